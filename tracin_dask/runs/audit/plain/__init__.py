"""Plain automatic differentiation of the whole model in float64; nothing is shared with an engine."""
