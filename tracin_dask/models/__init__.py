"""ConvE, its checkpoints in every known dialect, and its training."""
