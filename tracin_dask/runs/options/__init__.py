"""The options of a run, in groups of frozen values that travel whole from the caller to the workers."""
