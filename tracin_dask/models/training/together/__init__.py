"""Training and measuring many ConvE models of one configuration at once."""
