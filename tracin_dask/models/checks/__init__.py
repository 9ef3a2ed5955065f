"""What is checked of a model that is not ConvE when it is loaded: its tables, its scores, and their gradients."""
