"""Lets the examples of these pages import the files that they print."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
