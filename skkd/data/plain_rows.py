"""Rows of plain Python values: dicts, tuples and lists."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from skkd.data.tables import Table, as_numbers, as_objects, is_wide, read_values

__all__ = ["ROW_TYPES", "read_plain_rows"]

#: The types of a row. A dict is a Mapping, too; its own name makes the check fast.
ROW_TYPES = (dict, list, tuple, Mapping)

#: Numbers of these types, and None, are converted in all numeric columns at once.
NUMBER_TYPES = frozenset(
    [bool, int, float, type(None), np.bool_, np.int32, np.int64, np.float32, np.float64]
)


def read_plain_rows(
    X: Any, n_columns: int, names: Sequence[str] | None, numeric: Sequence[int]
) -> Any:
    """Convert rows of plain values, with the same result as for a DataFrame of the values.

    Parameters
    ----------
    X : dict, list or tuple
        One row, or a list of rows. A row is a dict from the names of the columns to the values,
        or a tuple or list of the values in the order of the columns.
    n_columns : int
        The number of columns in `fit`.
    names : sequence of str or None
        The names of the columns in `fit`; None if the columns had no names.
    numeric : sequence of int
        Indices of the columns that were numeric in `fit`, in ascending order.

    Returns
    -------
    ndarray of shape (n_rows, n_columns) or Table
        A float64 array if all columns were numeric in `fit` and are numeric now, else a Table.
        NaN stands for a missing number, None for a missing category.

    Raises
    ------
    ValueError
        If a row does not have the columns of `fit`, or if a number is infinite or too large for
        float64.
    TypeError
        If a value is a date or a time, or is not hashable, such as a list.

    Examples
    --------
    >>> read_plain_rows({"height": 1.8, "age": 31}, 2, ["age", "height"], numeric=[0, 1])
    array([[31. ,  1.8]])
    >>> read_plain_rows([(31, "cook"), (None, "smith")], 2, None, numeric=[0]).columns
    [array([31., nan]), array(['cook', 'smith'], dtype=object)]
    """
    are_several = isinstance(X, (list, tuple)) and len(X) > 0 and _is_row(X[0])
    rows = [
        _in_order(row, f"row {i} of X" if are_several else "X", n_columns, names)
        for i, row in enumerate(X if are_several else [X])
    ]
    labels = [f"column {j}" for j in range(n_columns)] if names is None else list(names)
    try:
        return _read(rows, labels, numeric)
    except OverflowError as error:  # a Python integer or Fraction beyond float64
        raise ValueError("X holds a number that is too large for float64.") from error


def _is_row(value: Any) -> bool:
    """Whether the first item of X is a row: a dict, list, tuple, or an array (refused later)."""
    return isinstance(value, ROW_TYPES) or getattr(value, "ndim", 0) > 0


def _in_order(row: Any, label: str, n_columns: int, names: Sequence[str] | None) -> Sequence:
    """Return the values of a row in the order of the columns."""
    if isinstance(row, (dict, Mapping)):
        if names is None:
            raise ValueError(
                f"{label} is a dict, and the columns of fit had no names: give a tuple of "
                f"{n_columns} values in the order of the columns."
            )
        if len(row) != n_columns or not all(name in row for name in names):
            _refuse_names(row, label, names)
        return [row[name] for name in names]
    if not isinstance(row, (list, tuple)):
        raise ValueError(
            f"{label} is a {type(row).__name__}: give a dict, or a tuple of {n_columns} values."
        )
    if len(row) != n_columns:
        raise ValueError(
            f"{label} has {len(row)} values: give one for each of the {n_columns} columns of fit, "
            "None if it is missing."
        )
    return row


def _refuse_names(row: Mapping, label: str, names: Sequence[str]) -> NoReturn:
    lacking = [name for name in names if name not in row]
    unknown = [name for name in row if name not in names]
    if not lacking and not unknown:
        raise ValueError(
            f"{label} is a dict, and several columns of fit have the same name: give a tuple of "
            f"{len(names)} values in the order of the columns."
        )
    problems = [
        f"{problem} {'columns' if found[1:] else 'column'} {', '.join(map(repr, found))}"
        for problem, found in (("lacks the", lacking), ("has the unknown", unknown))
        if found
    ]
    raise ValueError(
        f"{label} {' and '.join(problems)}: give a value for each of the {len(names)} columns of "
        "fit, None if it is missing, and for no other column."
    )


def _read(rows: list[Sequence], names: list[str], numeric: Sequence[int]) -> Any:
    """Read rows of values that are in the order of the columns."""
    numbers = _numbers_at_once(rows, numeric)
    if numbers is not None and len(numeric) == len(names):
        return numbers
    columns = {} if numbers is None else dict(zip(numeric, numbers.T, strict=True))
    for j, name in enumerate(names):
        if j not in columns:
            columns[j] = _read_column(name, [row[j] for row in rows], j in numeric)
    table = Table([columns[j] for j in range(len(names))], names)
    if len(numeric) == len(names) and all(column.dtype != object for column in table.columns):
        return np.column_stack(table.columns)
    return table


def _numbers_at_once(rows: list[Sequence], numeric: Sequence[int]) -> np.ndarray | None:
    """Convert all numeric columns at once, or return None if they must be read one by one."""
    values = [row[j] for row in rows for j in numeric]
    if not NUMBER_TYPES.issuperset(map(type, values)):
        return None
    numbers: Any = as_numbers(values)
    return None if np.isinf(numbers).any() else numbers.reshape(len(rows), len(numeric))


def _read_column(name: str, values: list, is_numeric: bool) -> np.ndarray:
    column = read_values(name, values)
    if column.dtype == object:
        return column
    if np.isinf(column).any():
        row = int(np.isinf(column).argmax())
        raise ValueError(f"column {name!r} of X holds {values[row]!r} in row {row}.")
    return as_objects(values) if is_wide(column) and not is_numeric else column
