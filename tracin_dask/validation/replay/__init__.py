"""Replays a recorded training: what each step changed, split exactly among the training triples of the steps."""
