"""Checks of constructor parameters, with one wording for all of them, and warnings.

Every message names the parameter, the value received and the values allowed.
"""

import numbers
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np

__all__ = [
    "check_flag",
    "check_instance",
    "check_integer",
    "check_number",
    "check_option",
    "is_listed",
    "is_true",
    "noted",
    "refuse",
    "warn",
]

#: Modules that no user's line is in.
INNER = ("skkd.", "sklearn.", "contextlib")

#: Of a value in a message.
MOST_CHARACTERS = 300

#: What torch can count with: integers of 64 bits, and floats of 32 and small multiples of them.
LARGEST_INTEGER, LARGEST_NUMBER = 2**63 - 1, 1e37


def refuse(name, value, allowed, error=ValueError):
    """Raise `error`: parameter, value received, values allowed."""
    try:
        shown = repr(value)
    except Exception:  # of a class of the user's, or an integer of thousands of digits
        shown = object.__repr__(value)
    shown = shown if len(shown) <= MOST_CHARACTERS else shown[:MOST_CHARACTERS] + "..."
    raise error(f"{name}={shown} is not allowed: give {allowed}.")


def warn(message, category=UserWarning):
    """Warn the user, at the line of theirs that led here."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith(INNER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def noted(note):
    """Errors of a teacher's say that they are."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def check_number(name, value, *, low=None, high=None, low_open=False, high_open=False):
    """Refuse anything but a finite number within bounds that torch can count with."""
    allowed = _interval("a number", low, high, low_open, high_open)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    above = low is None or (value > low if low_open else value >= low)
    below = high is None or (value < high if high_open else value <= high)
    if not (above and below) or value != value:  # NaN
        refuse(name, value, allowed)
    _check_size(name, value, allowed)


def check_integer(name, value, *, low=None, high=None):
    """Refuse anything but an integer within bounds."""
    allowed = _interval("an integer", low, high)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    if (low is not None and value < low) or (high is not None and value > high):
        refuse(name, value, allowed)
    _check_size(name, value, allowed)


def _check_size(name, value, allowed):
    """Refuse a number that torch cannot count with."""
    largest = LARGEST_INTEGER if isinstance(value, numbers.Integral) else LARGEST_NUMBER
    if not -largest <= value <= largest:
        refuse(name, value, f"{allowed}, of at most {largest:.4g}")


def check_flag(name, value):
    """Refuse anything but True or False."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, value, "True or False", TypeError)


def check_option(name, value, options):
    """Refuse anything but one of a few strings."""
    if not isinstance(value, str) or value not in options:
        refuse(name, value, "one of " + ", ".join(map(repr, options)))


def check_instance(name, value, kind, allowed):
    """Refuse anything but an instance (a class is not an instance)."""
    if not isinstance(value, kind):
        refuse(name, value, allowed, TypeError)


def _interval(noun, low, high, low_open=False, high_open=False):
    if low is None and high is None:
        return noun
    if high is None:
        return f"{noun} {'>' if low_open else '>='} {low}"
    if low is None:
        return f"{noun} {'<' if high_open else '<='} {high}"
    return f"{noun} in {'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"


def is_listed(value):
    """Whether a value is a list of others: a sequence, or an array of one dimension."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
    return is_sequence or getattr(value, "ndim", None) == 1


def is_true(value):
    """Whether a flag is set; anything else is for `check_flag` to refuse."""
    return isinstance(value, (bool, np.bool_)) and bool(value)


def is_auto(value):
    """Whether a parameter is left to the estimator."""
    return isinstance(value, str) and value == "auto"
