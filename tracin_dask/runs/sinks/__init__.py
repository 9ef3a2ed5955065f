"""Written during a run: records of finished rows, and all influences."""
