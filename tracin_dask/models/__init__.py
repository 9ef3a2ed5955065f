"""ConvE, its checkpoints in every known dialect, and its training; any other model as a function of rows."""
