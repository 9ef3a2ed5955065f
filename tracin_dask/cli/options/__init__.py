"""The options of `run` and `plan`, one file per section of their help. Imports nothing that is slow to import."""
