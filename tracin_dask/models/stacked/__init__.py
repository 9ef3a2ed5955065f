"""Several ConvE models of one configuration as stacked tensors, which one pass scores or trains."""
