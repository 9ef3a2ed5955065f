"""The audit of a run: a few influences once more, by plain automatic differentiation of the whole model."""
