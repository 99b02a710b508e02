"""Training: fit a network to a dataset."""
