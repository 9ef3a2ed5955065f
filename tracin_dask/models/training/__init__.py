"""Training of a ConvE."""
