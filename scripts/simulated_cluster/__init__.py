"""A run on many workers, simulated on one machine: everything is real but the scoring, which sleeps."""
