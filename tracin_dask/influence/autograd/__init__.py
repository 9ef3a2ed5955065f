"""The engine of any other model, by automatic differentiation."""
