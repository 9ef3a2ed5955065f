"""The closed-form engine of ConvE: gradients as small factors, and their products in terms of these."""
