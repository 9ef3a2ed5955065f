"""What is kept of the influences of a batch: each reduction starts, adds, merges and finishes."""
