"""Matching of categories of different types: 1 matches "1", and True matches "True".

A column of a file may be read as text in `fit` and as numbers or booleans in `predict`, or the
reverse. So a category is compared by its *meaning*, the number that it stands for: 1 for 1, "1",
True and "true". A text that cannot be read as a number has no meaning.
"""

import math
import numbers
from collections import Counter
from typing import Any

import numpy as np

__all__ = ["codes_by_meaning", "meaning_of"]

#: A float64 holds every integer below this. A larger float64 may stand for several integers.
WIDE = 2**53

FLAGS = {"true": 1, "false": 0}


def meaning_of(category: Any) -> int | float | None:
    """Return the number that a category stands for, so that 1 and "1" can be matched.

    Parameters
    ----------
    category : object
        A boolean, a number or a text. A text is read as a boolean or a number if possible.

    Returns
    -------
    int, float or None
        - For a boolean, and for the texts "true" and "false" in upper or lower case: 1 or 0.
        - For an integer: the integer.
        - For a float: an int if the float is whole, else the float rounded to float32. None if the
          float is not finite, or if its absolute value is at least 2^53.
        - For any other text or object: None.

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
    """Map the numbers that categories stand for to the positions of the categories.

    A number that several categories stand for is left out, because its match is ambiguous.

    Parameters
    ----------
    categories : list
        The categories of a column.
    are_text : bool
        True: use only the categories that are text. False: use only the categories that are
        not text.

    Returns
    -------
    dict of (int or float) to int
        Keys: the numbers, from :func:`meaning_of`. Values: positions in `categories`.

    Examples
    --------
    "01" and "1" stand for the same number, and "b" for none:

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
    if "_" in text:  # Python would read "1_000" as 1000
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
    # Round to float32: the same column may be float32 in `fit` and float64 in `predict`.
    return int(number) if number.is_integer() else float(np.float32(number))
