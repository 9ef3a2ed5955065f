"""The steps of a training: batches, one step, and steps that a GPU replays."""
