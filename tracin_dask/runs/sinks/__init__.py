"""What a run writes while it goes on: records of finished rows, and all influences."""
