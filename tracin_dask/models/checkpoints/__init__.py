"""Files of trained models, and what they say."""
