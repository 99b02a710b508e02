"""The caller's rows, labels and weights: checking, reading and splitting."""
