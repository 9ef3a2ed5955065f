"""The closed-form engine of ConvE: gradients as a few small factors."""
