"""Ranks of the entities of a triple: scores of all entities as its tail or head, and how many score higher."""
