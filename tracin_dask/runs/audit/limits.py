"""The size of an audit."""

DEFAULT_ROWS = 4
"""Training triples of an audit whose number is not stated, as far as there is time."""
MOST_ANSWERS = 2
"""Test triples, or sets of them, of an audit."""
TRIES = 8
"""Rows and answers to choose from, for each that is wanted: some lie near a kink."""
LEAST_SECONDS, SHARE_OF_TIME = 1.0, 0.01
"""An audit whose number is not stated takes no longer than the larger of these, but always one answer and one row."""
