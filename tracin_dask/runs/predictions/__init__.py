"""What the model says of the test triples: which ranks are computed, where, and what they take."""
