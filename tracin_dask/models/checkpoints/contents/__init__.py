"""What is in the file of a checkpoint, read without running code from it."""
