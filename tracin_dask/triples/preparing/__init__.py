"""Preparing a graph before training: what is in it, and its split into training, validation and test triples."""
