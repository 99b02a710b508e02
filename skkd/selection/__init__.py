"""Selection on held-out rows: what to learn from, encoding of numbers, number of epochs."""
