"""Checks of parameters, and warnings that point at the user's code.

Every error of a check names the parameter, the value received and the values allowed.
"""

import numbers
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import numpy as np

__all__ = [
    "check_flag",
    "check_instance",
    "check_integer",
    "check_number",
    "check_option",
    "is_auto",
    "is_listed",
    "is_true",
    "refuse",
    "warn",
    "with_note",
]

#: Prefixes of the modules that a warning skips to find the user's own line.
INNER = ("skkd.", "sklearn.", "contextlib")

#: A longer `repr` of a value is cut in an error message.
MOST_CHARACTERS = 300

#: torch holds integers of 64 bits, and floats of 32 (to 3.4e38): 1e37 leaves room for multiples.
LARGEST_INTEGER, LARGEST_NUMBER = 2**63 - 1, 1e37


def refuse(name: str, value: Any, allowed: str, error: type[Exception] = ValueError) -> NoReturn:
    """Raise `error` with a message that names the parameter, its value and the allowed values."""
    try:
        shown = repr(value)
    except Exception:  # from a user's class, or for an integer of thousands of digits
        shown = object.__repr__(value)
    shown = shown if len(shown) <= MOST_CHARACTERS else shown[:MOST_CHARACTERS] + "..."
    raise error(f"{name}={shown} is not allowed: give {allowed}.")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points at the line of the user's code that called the package."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith(INNER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def with_note(note: str) -> Iterator[None]:
    """Add a note to any error that the `with` block raises, such as an error of the teacher."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def check_number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Raise an error unless `value` is a real number in the interval from `low` to `high`.

    A bound of None sets no limit; `low_open` and `high_open` exclude the bounds themselves. NaN,
    infinity and numbers too large for torch are never allowed. The error is a TypeError if `value`
    is not a number, else a ValueError.
    """
    allowed = _interval("a number", low, high, low_open, high_open)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    number: Any = value  # for mypy: classes of `numbers` have no comparison with int
    above = low is None or (number > low if low_open else number >= low)
    below = high is None or (number < high if high_open else number <= high)
    if not (above and below) or number != number:  # NaN
        refuse(name, value, allowed)
    _check_size(name, value, allowed)


def check_integer(
    name: str, value: Any, *, low: int | None = None, high: int | None = None
) -> None:
    """Raise an error unless `value` is an integer in the interval from `low` to `high`.

    The bounds themselves are allowed, and a bound of None sets no limit. Integers that do not fit
    in 64 bits are never allowed. The error is a TypeError if `value` is not an integer, else a
    ValueError.
    """
    allowed = _interval("an integer", low, high)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    number: Any = value  # for mypy: classes of `numbers` have no comparison with int
    if (low is not None and number < low) or (high is not None and number > high):
        refuse(name, value, allowed)
    _check_size(name, value, allowed)


def _check_size(name: str, value: Any, allowed: str) -> None:
    """Raise ValueError if a number is too large for torch."""
    largest = LARGEST_INTEGER if isinstance(value, numbers.Integral) else LARGEST_NUMBER
    if not -largest <= value <= largest:
        refuse(name, value, f"{allowed}, of at most {largest:.4g}")


def check_flag(name: str, value: Any) -> None:
    """Raise TypeError if `value` is not a boolean of Python or NumPy."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, value, "True or False", TypeError)


def check_option(name: str, value: Any, options: Collection[str]) -> None:
    """Raise ValueError if `value` is not one of the strings in `options`."""
    if not isinstance(value, str) or value not in options:
        refuse(name, value, "one of " + ", ".join(map(repr, options)))


def check_instance(name: str, value: Any, kind: type, allowed: str) -> None:
    """Raise TypeError if `value` is not an instance of the class `kind`.

    `allowed` describes the allowed values in the error message.
    """
    if not isinstance(value, kind):
        refuse(name, value, allowed, TypeError)


def _interval(
    noun: str,
    low: float | None,
    high: float | None,
    low_open: bool = False,
    high_open: bool = False,
) -> str:
    if low is None and high is None:
        return noun
    if high is None:
        return f"{noun} {'>' if low_open else '>='} {low}"
    if low is None:
        return f"{noun} {'<' if high_open else '<='} {high}"
    return f"{noun} in {'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"


def is_listed(value: Any) -> bool:
    """Whether a value is list-like: a sequence other than a string, or a 1-d array."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
    return is_sequence or getattr(value, "ndim", None) == 1


def is_true(value: Any) -> bool:
    """Whether a value is True (of Python or NumPy); other truthy values do not count."""
    return isinstance(value, (bool, np.bool_)) and bool(value)


def is_auto(value: Any) -> bool:
    """Whether a value is the string "auto"."""
    return isinstance(value, str) and value == "auto"
