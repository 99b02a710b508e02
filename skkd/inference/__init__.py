"""Fitted networks stored as plain data. The built-in network predicts with NumPy, without torch."""
