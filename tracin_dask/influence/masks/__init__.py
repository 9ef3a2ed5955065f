"""Training triples, or pairs with a test triple, that are not ranked."""
