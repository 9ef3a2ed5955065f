"""A result as pages that a browser shows without a server or network: one per prediction, and an index."""
