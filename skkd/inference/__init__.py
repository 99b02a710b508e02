"""Fitted networks as plain data, which predict with NumPy alone."""
