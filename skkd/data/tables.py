"""Reading tables of pandas, polars and pyarrow as columns of NumPy arrays.

A column of numbers becomes a float64 array, with NaN for missing values. A column of
categories (strings, categories, booleans, objects that are not all numbers) becomes an
object array of plain Python values, with None for missing values.
"""

import math
from collections.abc import Hashable, Sequence
from datetime import date, time, timedelta
from typing import Any, NoReturn

import numpy as np

from skkd.checks import warn

__all__ = [
    "Table",
    "as_numbers",
    "as_objects",
    "columns_of",
    "is_table",
    "is_wide",
    "keep_wide_integers",
    "names_of",
    "read_numbers",
    "read_objects",
    "read_table",
    "read_values",
    "warn_of_numbers_in_quotes",
]

#: How the names of numeric types begin, in lower case, in pandas, polars and pyarrow.
NUMBERS = ("int", "uint", "float", "double", "halffloat", "decimal")

#: How the names of integer types begin. float64 is exact for integers below `WIDE`.
INTEGERS, WIDE = ("int", "uint"), 2**53

#: How the names of categorical types begin.
CATEGORIES = ("categor", "enum", "dictionary")

#: Types that an object column must not hold; `date` includes its subclass `datetime`.
DATES = (date, time, timedelta, np.datetime64, np.timedelta64)

#: A column of text is checked for numbers if it has at least `MANY_TEXTS` distinct texts. Of
#: the first `ENOUGH_TEXTS` texts a share of at least `NEARLY_ALL` must be numbers: the others
#: may be codes for missing values.
MANY_TEXTS, ENOUGH_TEXTS, NEARLY_ALL = 100, 1000, 0.9


class Table:
    """Rows as a list of columns: NumPy arrays of equal length.

    Parameters
    ----------
    columns : list of ndarray of shape (n_rows,)
        float64 (numbers, NaN if missing) or object (categories, None if missing).
    names : list of str
        For error messages.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table([np.array([1.0, 2.0]), np.array(["a", None], dtype=object)], ["x", "c"])
    >>> table.shape, table[[1]].columns[0]
    ((2, 2), array([2.]))
    """

    def __init__(self, columns: list[np.ndarray], names: list[str]) -> None:
        self.columns = columns
        self.names = names

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self.columns[0]) if self.columns else 0, len(self.columns))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> "Table":
        """Return a Table of the rows that a slice, a mask or an array of indices selects."""
        return Table([column[rows] for column in self.columns], self.names)


def is_table(X: Any) -> bool:
    """Whether X is a pandas or polars DataFrame or a pyarrow Table."""
    _refuse_queries(X)
    return _is_pandas(X) or hasattr(X, "get_columns") or _is_arrow(X)


def read_table(X: Any) -> Table:
    """Convert a DataFrame, a pyarrow Table or a 2-d array to a :class:`Table`.

    Parameters
    ----------
    X : pandas.DataFrame, polars.DataFrame, pyarrow.Table or 2-d ndarray

    Returns
    -------
    Table

    Raises
    ------
    TypeError
        If a column holds dates or times, or values that are not hashable, such as lists.

    Examples
    --------
    >>> import numpy as np
    >>> table = read_table(np.array([[1, "a"], [None, "b"]], dtype=object))
    >>> table.columns
    [array([ 1., nan]), array(['a', 'b'], dtype=object)]
    """
    if _is_pandas(X) and all(isinstance(t, np.dtype) and t.kind in "fiu" for t in X.dtypes):
        return Table(list(X.to_numpy(dtype=np.float64).T), list(map(str, X.columns)))
    named = columns_of(X)
    return Table([_read_column(n, c) for n, c in named], [str(n) for n, _ in named])


def keep_wide_integers(table: Table, X: Any, categorical: Sequence[int]) -> None:
    """Read categorical columns of large integers again, because float64 has rounded them.

    :func:`read_table` stores integers as float64, which is exact only below 2**53. A categorical
    column of larger integers is replaced by an object array of plain Python values, read from X.

    Parameters
    ----------
    table : Table
        Its list of columns is changed in place.
    X : pandas.DataFrame, polars.DataFrame, pyarrow.Table or 2-d ndarray
        The data that `table` was read from.
    categorical : list of int
        Indices of the categorical columns.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"id": pd.array([2**53, 2**53 + 1, None], dtype="Int64")})
    >>> table = read_table(X)
    >>> keep_wide_integers(table, X, [0])
    >>> table.columns
    [array([9007199254740992, 9007199254740993, None], dtype=object)]
    """
    for j in categorical:
        if is_wide(table.columns[j]):
            column = columns_of(X)[j][1]
            if _kind_of(column).startswith((*INTEGERS, "object")):
                table.columns[j] = read_objects(column)


def is_wide(column: np.ndarray) -> bool:
    """Whether a column is float64 and holds a number that may be an integer rounded to float64."""
    return column.dtype != object and bool((np.abs(column) >= WIDE).any())


def as_numbers(values: Any) -> np.ndarray | None:
    """Convert a column of numbers and None to float64, with NaN for None.

    Return None if the column holds any other value, even a string of digits.
    """
    # Other rows may hold strings that are not numbers.
    if any(isinstance(value, (str, bytes)) for value in values):
        return None
    try:
        return np.asarray(values, dtype=object).astype(np.float64)
    except (TypeError, ValueError):
        return None


def warn_of_numbers_in_quotes(X: Any, table: Table, declared: Sequence[int]) -> None:
    """Warn if the texts in a column can be read as numbers.

    There is no warning in these cases, because the texts may be codes of categories:

    - All numbers are whole.
    - The column has few distinct texts.
    - The dtype of the column is categorical.

    Parameters
    ----------
    X : pandas.DataFrame, polars.DataFrame, pyarrow.Table or 2-d ndarray
    table : Table
        The table that was read from X.
    declared : list of int
        Indices of the columns that the user declared categorical; they give no warning.
    """
    for j, (name, column) in enumerate(columns_of(X)):
        values = table.columns[j]
        if values.dtype != object or j in declared or _kind_of(column).startswith(CATEGORIES):
            continue
        texts = dict.fromkeys(value for value in values if isinstance(value, str))
        if len(texts) >= MANY_TEXTS and _read_as_fractions(list(texts)[:ENOUGH_TEXTS]):
            warn(
                f"column {name!r} holds text that reads as numbers, and its many values are taken "
                "for categories: make them numbers (in pandas: to_numeric, errors='coerce'), or, "
                "if they are codes, name the column in categorical_features."
            )


def _read_as_fractions(texts: list[str]) -> bool:
    numbers = [number for number in map(_number_in, texts) if number is not None]
    some_are_fractions = any(not number.is_integer() for number in numbers)
    return some_are_fractions and len(numbers) >= NEARLY_ALL * len(texts)


def _number_in(text: str) -> float | None:
    """Convert text to a finite number; return None if it is not one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def columns_of(X: Any) -> list[tuple[Any, Any]]:
    """Return (name, column) pairs of a table or of a 2-d array.

    Each column has the type of its own library. The columns of an array get the names
    "column 0", "column 1" and so on.
    """
    _refuse_queries(X)
    if _is_pandas(X):
        return list(X.items())
    if hasattr(X, "get_columns"):  # polars
        return [(series.name, series) for series in X.get_columns()]
    if _is_arrow(X):
        return list(zip(X.column_names, X.itercolumns(), strict=True))
    return [(f"column {j}", X[:, j]) for j in range(X.shape[1])]


def names_of(X: Any) -> list | None:
    """Return the names of the columns of a table; None if X is not a table."""
    columns = X.column_names if _is_arrow(X) else getattr(X, "columns", None)
    return None if columns is None else list(columns)


def _is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc") and hasattr(X, "columns")


def _is_arrow(X: Any) -> bool:
    return hasattr(X, "column_names") and hasattr(X, "itercolumns")


def _refuse_queries(X: Any) -> None:
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise TypeError(f"{type(X).__name__} holds a query, not rows: call .collect() first.")


def _kind_of(column: Any) -> str:
    """Return the name of a column's dtype in lower case; empty if the column has none."""
    return str(getattr(column, "dtype", getattr(column, "type", ""))).lower()


def _read_column(name: Any, column: Any) -> np.ndarray:
    """Convert a column to float64 if it holds numbers, else to an array of objects."""
    kind = _kind_of(column)
    if kind.startswith(("date", "time", "duration", "period")):
        _refuse_dates(name, kind)
    if kind.removeprefix("sparse[").startswith(NUMBERS) and not kind.startswith("interval"):
        return read_numbers(column)
    values = read_objects(column)
    return _numbers_or_objects(name, values) if kind in ("object", "null") else values


def read_values(name: Any, values: Sequence[Any]) -> np.ndarray:
    """Convert the plain Python values of one column to numbers if possible, else to objects.

    Parameters
    ----------
    name : str
        Name of the column, for error messages.
    values : sequence of object
        None, NaN and the missing values of pandas stand for a missing value.

    Returns
    -------
    ndarray of shape (n_values,)
        float64 if all values are numbers or missing, else object.

    Raises
    ------
    TypeError
        If a value is a date or a time, or is not hashable, such as a list.

    Examples
    --------
    >>> read_values("age", [31, None]), read_values("job", ["cook", None])
    (array([31., nan]), array(['cook', None], dtype=object))
    """
    return _numbers_or_objects(name, as_objects(values))


def _numbers_or_objects(name: Any, values: np.ndarray) -> np.ndarray:
    """Convert objects to float64 if all are numbers or None; refuse dates, lists and the like."""
    for kind in dict.fromkeys(map(type, values)):
        if issubclass(kind, DATES):
            _refuse_dates(name, kind.__name__)
        if not issubclass(kind, Hashable):
            raise TypeError(
                f"column {name!r} holds a {kind.__name__}: an argument must be a string or a "
                "number."
            )
    numbers = as_numbers(values)
    return values if numbers is None else numbers


def _refuse_dates(name: Any, kind: str) -> NoReturn:
    raise TypeError(
        f"column {name!r} holds dates or times ({kind}): "
        "turn them into numbers (days since a date, hour of the day) first."
    )


def read_numbers(column: Any) -> np.ndarray:
    """Convert a numeric column of any library to a float64 array, with NaN for missing values."""
    if isinstance(column, np.ndarray):
        return column.astype(np.float64)
    if hasattr(column, "to_pylist"):  # pyarrow
        return np.asarray(column.cast("float64", safe=False).to_numpy(), dtype=np.float64)
    if hasattr(column, "iloc"):  # pandas, with its nullable types
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.cast(float).fill_null(np.nan).to_numpy().astype(np.float64)  # polars


def read_objects(column: Any) -> np.ndarray:
    """Convert a column of any library to plain Python values (dtype object), None if missing."""
    if hasattr(column, "to_pylist"):  # pyarrow
        listed = column.to_pylist()
    elif hasattr(column, "to_list"):  # pandas, polars
        listed = column.to_list()
    else:
        listed = column.tolist()
    return as_objects(listed)


def as_objects(listed: Sequence[Any]) -> np.ndarray:
    """Put plain Python values into an array of dtype object, with None for missing values."""
    values = np.empty(len(listed), dtype=object)
    values[:] = [None if _is_missing(value) else value for value in listed]
    return values


def _is_missing(value: Any) -> bool:
    # NaN differs from itself; comparing pandas' NA gives NA, so its type is checked first.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return type(value) is not np.ndarray and value != value
