"""Categories that come as another type: 1 where "1" was known, "True" where True was.

A file that is read twice may give a column as text once and as numbers or booleans another
time. Both mean the same if the text reads as that number, or as that boolean; and True is 1.
"""

import math
import numbers
from collections import Counter

import numpy as np

__all__ = ["codes_by_meaning", "meaning_of"]

#: Integers from here on are not all different in float64.
WIDE = 2**53

FLAGS = {"true": 1, "false": 0}


def meaning_of(category):
    """The number that a category is, or reads as.

    Parameters
    ----------
    category : object

    Returns
    -------
    int, float or None
        A boolean is 1 or 0, a fraction is rounded as float32 has it. None for any other
        text, and for what may be one of several integers in float64.

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


def codes_by_meaning(categories, are_text):
    """The position of each category by what it means, if no other means the same.

    Parameters
    ----------
    categories : list
    are_text : bool
        Whether to take the categories that are text, or the others.

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
    n_of = Counter(meanings.values())
    return {m: code for code, m in meanings.items() if m is not None and n_of[m] == 1}


def _read_number(text):
    if "_" in text:  # which Python takes between digits
        return None
    for kind in (int, float):
        try:
            number = kind(text)
            return number if kind is int else _rounded(number)
        except ValueError:
            continue
    return None


def _rounded(number):
    if not math.isfinite(number) or abs(number) >= WIDE:
        return None
    return int(number) if number.is_integer() else float(np.float32(number))
