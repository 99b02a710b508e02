"""Reading class labels in any container as a NumPy array, without changing their values."""

import numbers
import warnings
from typing import Any, NoReturn

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d

from skkd.data.masks import refuse_mask
from skkd.data.tables import columns_of, is_table, read_objects

__all__ = ["plain_values", "read_labels"]


def read_labels(labels: Any, name: str = "y", warns: bool = True) -> np.ndarray:
    """Convert class labels to a one-dimensional NumPy array without changing their values.

    Parameters
    ----------
    labels : array-like of shape (n_rows,)
        A list, an array, or a column of pandas, polars or pyarrow.
    name : str, default="y"
        Name of the argument, for error messages.
    warns : bool, default=True
        Whether to warn if the labels are a column vector.

    Returns
    -------
    ndarray of shape (n_rows,)
        Its dtype depends on the labels:

        - Numbers of a nullable dtype get the NumPy dtype of the same name.
        - Categories get the dtype of their values.
        - Numbers and booleans of dtype object get bool, int64, uint64 or float64.
        - Strings get `str` or `object`, never StringDType, which parts of scikit-learn refuse.

    Raises
    ------
    ValueError
        If a label is missing, if labels have several types, or if an integer is beyond 64 bits.

    Examples
    --------
    >>> import pandas as pd
    >>> read_labels(pd.Series([2**53, 2**53 + 1], dtype="Int64"))
    array([9007199254740992, 9007199254740993])
    >>> read_labels([1, "a"])
    Traceback (most recent call last):
        ...
    ValueError: y holds labels of several types, int (1) and str ('a'): give labels of one type.
    """
    refuse_mask(labels, name)
    if is_table(labels):
        labels = _only_column(labels, name, warns)
    if isinstance(labels, (list, tuple)):
        labels = _array_of_list(labels)
    dtype: Any = getattr(labels, "dtype", None)
    if getattr(dtype, "kind", None) == "T" and isinstance(labels, np.ndarray):  # StringDType
        labels = labels.astype(object)
    elif hasattr(dtype, "ordered"):
        labels = _values_of_categories(labels, name)
    elif getattr(getattr(dtype, "numpy_dtype", None), "kind", "O") in "biuf":
        if labels.isna().any():
            _refuse_missing(name)
        labels = np.asarray(labels.to_numpy(dtype=dtype.numpy_dtype))
    elif str(dtype) in ("Int128", "UInt128"):  # types of polars that NumPy does not have
        labels = read_objects(labels)
    labels = column_or_1d(labels, warn=warns)
    return _read_objects(labels, name) if labels.dtype == object else labels


def plain_values(labels: Any) -> list:
    """Return labels as a list of plain Python values.

    Parameters
    ----------
    labels : array-like of shape (n_labels,)
        A list, an array, or a column of pandas, polars or pyarrow. Labels may differ in type.

    Returns
    -------
    list

    Examples
    --------
    >>> plain_values([1, "other"])
    [1, 'other']
    """
    if not (hasattr(labels, "to_list") or hasattr(labels, "to_pylist")):
        return _array_of_list(labels).tolist()
    return read_objects(labels).tolist()


def _only_column(table: Any, name: str, warns: bool) -> Any:
    """Return the column of a table with one column; raise ValueError for any other table."""
    columns = columns_of(table)
    if len(columns) != 1:
        raise ValueError(f"{name} should be a 1d array, got a table of shape {table.shape}.")
    if warns:
        warnings.warn(
            f"A column-vector {name} was passed when a 1d array was expected.",
            DataConversionWarning,
            stacklevel=4,
        )
    return columns[0][1]


def _array_of_list(listed: Any) -> np.ndarray:
    """Convert a list to an array, with dtype object if NumPy's own dtype would change a value."""
    array = np.asarray(listed)
    if not isinstance(listed, (list, tuple)):
        return array
    if array.ndim != 1 or array.tolist() == list(listed):
        return array
    return np.array(listed, dtype=object)


def _values_of_categories(labels: Any, name: str) -> np.ndarray:
    """Return the labels of a categorical pandas column, in the dtype of its categories."""
    codes = np.asarray(getattr(labels, "cat", labels).codes)
    if (codes < 0).any():
        _refuse_missing(name)
    return read_labels(labels.dtype.categories, name)[codes]


def _read_objects(labels: np.ndarray, name: str) -> np.ndarray:
    """Check an object array for missing labels and mixed types; convert it if it holds numbers."""
    listed = labels.tolist()
    for label in listed:
        if _is_missing(label):
            _refuse_missing(name, "None" if label is None else "NaN")
    kinds = {_kind_of(label): label for label in reversed(listed)}
    if len(kinds) > 1:
        first, other, *_ = (f"{type(e).__name__} ({e!r})" for e in reversed(kinds.values()))
        raise ValueError(
            f"{name} holds labels of several types, {first} and {other}: give labels of one type."
        )
    return _read_numbers(labels, listed, name) if "number" in kinds else labels


def _read_numbers(labels: np.ndarray, listed: list, name: str) -> np.ndarray:
    if all(isinstance(label, (bool, np.bool_)) for label in listed):
        return labels.astype(bool)
    are_floats = all(isinstance(label, (float, np.floating)) for label in listed)
    if are_floats or not all(map(_is_whole, listed)):
        try:
            return labels.astype(np.float64)
        except (TypeError, OverflowError):  # scikit-learn refuses such labels later
            return labels
    whole = [int(label) for label in listed]
    for info in (np.iinfo(np.int64), np.iinfo(np.uint64)):
        if info.min <= min(whole) and max(whole) <= info.max:
            return np.array(whole, dtype=info.dtype)
    widest = max(whole, key=abs)
    raise ValueError(
        f"{name} holds the integer {widest}, beyond 64 bits: give such labels as text."
    )


def _is_whole(number: Any) -> bool:
    try:
        return int(number) == number
    except (TypeError, ValueError, OverflowError):  # complex, infinite
        return False


def _kind_of(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    return "number" if isinstance(label, (numbers.Number, np.bool_)) else "other"


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN or pandas' NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # comparing NA gives NA, which has no truth value
        return True
    except ValueError:  # the label is an array
        return False


def _refuse_missing(name: str, gap: str = "NaN") -> NoReturn:
    raise ValueError(f"Input {name} contains {gap}: every row needs a label.")
