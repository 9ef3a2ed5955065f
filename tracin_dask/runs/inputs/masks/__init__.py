"""The masks of a run: of its options, and those that follow the graph from the test triples."""
