"""Matching of categories across types: 1 and "1" are the same, and so are "True" and True.

The same column of a file may be read once as text and once as numbers or booleans. A text and
a number mean the same if the text can be read as that number; "true" and True are 1.
"""

import math
import numbers
from collections import Counter
from typing import Any

import numpy as np

__all__ = ["codes_by_meaning", "meaning_of"]

#: From here on float64 cannot distinguish all integers.
WIDE = 2**53

FLAGS = {"true": 1, "false": 0}


def meaning_of(category: Any) -> int | float | None:
    """Return the number that a category is, or that its text can be read as.

    Parameters
    ----------
    category : object

    Returns
    -------
    int, float or None
        1 or 0 for a boolean; a fraction is rounded to float32. None for any other text, and
        for a float64 that is too large to stand for a single integer.

    Examples
    --------
    >>> meaning_of("1"), meaning_of(1), meaning_of("true"), meaning_of(True), meaning_of("a")
    (1, 1, 1, 1, None)
    """
    if isinstance(category, str):
        name = category.strip().lower()
        return FLAGS[name] if name in FLAGS else _read_number(name)
    if isinstance(category, (numbers.Integral, np.bool_)):
        return int(category)
    return _rounded(float(category)) if isinstance(category, numbers.Real) else None


def codes_by_meaning(categories: list, are_text: bool) -> dict[Any, int]:
    """Map meanings to positions of categories; a meaning that several share is left out.

    Parameters
    ----------
    categories : list
    are_text : bool
        Whether to use only the categories that are text, or only the others.

    Returns
    -------
    dict of (int or float) to int

    Examples
    --------
    >>> codes_by_meaning(["01", "1", "2", "b"], are_text=True)
    {2: 2}
    """
    meanings = {
        code: meaning_of(category)
        for code, category in enumerate(categories)
        if isinstance(category, str) == are_text
    }
    counts = Counter(meanings.values())
    return {m: code for code, m in meanings.items() if m is not None and counts[m] == 1}


def _read_number(text: str) -> int | float | None:
    if "_" in text:  # Python allows it between digits
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return _rounded(float(text))
    except ValueError:
        return None


def _rounded(number: float) -> int | float | None:
    if not math.isfinite(number) or abs(number) >= WIDE:
        return None
    return int(number) if number.is_integer() else float(np.float32(number))
