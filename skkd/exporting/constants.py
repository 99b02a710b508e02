"""Numbers of a network as constants of ONNX or C, in float32 or float64."""

from typing import Any

import numpy as np

__all__ = ["PrecisionError", "factors", "finite", "split"]


class PrecisionError(ValueError):
    """A number of the network does not fit into float32."""


def finite(name: str, values: Any, dtype: np.dtype) -> np.ndarray:
    """Return numbers in a dtype.

    Parameters
    ----------
    name : str
        What they are, for the error message.
    values : array-like
    dtype : dtype

    Returns
    -------
    ndarray

    Raises
    ------
    PrecisionError
        If a finite number is infinite in this dtype.
    """
    with np.errstate(over="ignore"):
        cast = np.asarray(values, dtype=np.float64).astype(dtype)
    if not np.isfinite(cast).all():
        raise _beyond(name, dtype)
    return cast


def factors(name: str, values: Any, dtype: np.dtype) -> np.ndarray:
    """Return factors in a dtype, of which none but 0 itself may become 0.

    Parameters
    ----------
    name : str
    values : array-like
    dtype : dtype

    Returns
    -------
    ndarray

    Raises
    ------
    PrecisionError
        If a factor is infinite or 0 in this dtype, and is neither in float64.
    """
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        is_lost = (values.astype(dtype) == 0) & (values != 0)
    if is_lost.any():
        raise _beyond(name, dtype)
    return finite(name, values, dtype)


def split(name: str, values: Any, rest: Any, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers in a dtype as two arrays, whose sum is more precise than one.

    Parameters
    ----------
    name : str
    values : array-like
    rest : array-like
        Small numbers to add to `values`.
    dtype : dtype

    Returns
    -------
    high, low : ndarray

    Raises
    ------
    PrecisionError
        If a finite number is infinite in this dtype.
    """
    values = np.asarray(values, dtype=np.float64)
    high = finite(name, values, dtype)
    return high, finite(f"{name}_rest", (values - high.astype(np.float64)) + rest, dtype)


def _beyond(name: str, dtype: np.dtype) -> PrecisionError:
    hint = ': give dtype="float64"' if dtype == np.float32 else ""
    return PrecisionError(f"{name} holds numbers beyond {dtype.name}{hint}.")
