"""The mathematics of exact TracIn: tensors in, tensors out."""
