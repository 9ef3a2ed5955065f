"""What a caller gives, checked against the store: triples, sets, groups, masks and learning rates."""
