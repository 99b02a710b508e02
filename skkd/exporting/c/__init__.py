"""The formats `.c` and `.h`: the whole classifier as C99, written, compiled and run."""
