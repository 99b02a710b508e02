"""The caller's rows, labels and weights: checked, read, split."""
