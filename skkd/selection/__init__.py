"""What is decided on held-out rows: the candidate, the encoding, the number of epochs."""
