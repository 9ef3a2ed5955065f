"""What each command does with its options. Imported when a command runs, not when it shows its help."""
