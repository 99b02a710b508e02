"""A fitted network as plain data, which answers with NumPy alone."""
