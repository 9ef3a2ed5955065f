"""The options of a run, in groups of frozen values; workers get those of scoring and computing."""
