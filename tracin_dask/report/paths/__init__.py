"""Paths from the head of a test triple to its tail through its most influential training triples."""
