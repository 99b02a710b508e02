"""From a dataset to a fitted network."""
