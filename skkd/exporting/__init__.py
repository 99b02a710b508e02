"""A fitted network as one file, checked before it is written, and back."""
