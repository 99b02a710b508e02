"""Checks of constructor parameters, with one wording for all of them, and warnings.

Every message names the parameter, the value received and the values allowed.
"""

import math
import numbers
import sys
import warnings
from contextlib import contextmanager

import numpy as np

__all__ = [
    "check_flag",
    "check_instance",
    "check_integer",
    "check_number",
    "check_option",
    "noted",
    "refuse",
    "warn",
]

#: Modules that no user's line is in.
INNER = ("skkd.", "sklearn.", "contextlib")

#: Of a value in a message.
MOST_CHARACTERS = 300


def refuse(name, value, allowed, error=ValueError):
    """Raise `error`: parameter, value received, values allowed."""
    shown = repr(value)
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
    """Refuse anything but a finite number within bounds."""
    allowed = _interval("a number", low, high, low_open, high_open)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    above = low is None or (value > low if low_open else value >= low)
    below = high is None or (value < high if high_open else value <= high)
    if not (above and below and math.isfinite(value)):
        refuse(name, value, allowed)


def check_integer(name, value, *, low=None, high=None):
    """Refuse anything but an integer within bounds."""
    allowed = _interval("an integer", low, high)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        refuse(name, value, allowed, TypeError)
    if (low is not None and value < low) or (high is not None and value > high):
        refuse(name, value, allowed)


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


def is_auto(value):
    """Whether a parameter is left to the estimator."""
    return isinstance(value, str) and value == "auto"
