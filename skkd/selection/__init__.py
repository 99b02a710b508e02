"""Selection on held-out rows: what to learn from, layers, encoding of numbers, number of epochs."""
