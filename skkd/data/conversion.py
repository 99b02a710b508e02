"""Conversion of further rows, such as `X_unlabeled`, to the container type of X.

A teacher or a transformer that was fitted on a DataFrame needs a DataFrame with the same
columns. If X and the rows both have column names, the rows keep their names, and a later check
compares them with the names in X. Otherwise column j of the rows is taken as column j of X.
"""

from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import warn
from skkd.data.tables import as_numbers, columns_of, is_table, read_objects

__all__ = ["in_container_of"]


def in_container_of(X: Any, rows: Any, name: str | None = None) -> Any:
    """Convert rows to the container type of X, and their columns to the dtypes of X.

    A column keeps its own dtype if the dtype of X would change a value; rounding to a float dtype
    does not count as a change. The names and the number of columns are checked later, not here.

    Parameters
    ----------
    X : container of rows
        Sets the container type and the dtypes.
    rows : container of rows
        The rows to convert. They keep their column names if X has column names too.
    name : str, default=None
        Name of `rows` in the warning that only one of X and `rows` has column names. None: no
        warning.

    Returns
    -------
    container of rows
        The converted rows, in the same order; `rows` itself if nothing has to be converted.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [25.0, 31.0], "job": ["clerk", "cook"]})
    >>> rows = in_container_of(X, [[47, "cook"], [None, "smith"]])
    >>> list(rows.columns), rows.dtypes.equals(X.dtypes)
    (['age', 'job'], True)
    """
    if sparse.issparse(rows) and not sparse.issparse(X):
        rows = rows.toarray()
    if sparse.issparse(X):
        return _as_sparse(X, rows)
    if name is not None and _has_names(X) != _has_names(rows):
        named, nameless = ("X", name) if _has_names(X) else (name, "X")
        warn(f"{named} names its columns, {nameless} does not: they are taken in the same order.")
    if is_table(X):
        return _as_table(X, rows)
    return _as_array(X, rows) if isinstance(X, (np.ndarray, list, tuple)) else rows


def _has_names(rows: Any) -> bool:
    """Whether rows are a table whose column names are all strings, as scikit-learn requires."""
    return is_table(rows) and all(isinstance(label, str) for label, _ in columns_of(rows))


def _as_sparse(X: Any, rows: Any) -> Any:
    if sparse.issparse(rows):
        return rows
    dense = _as_array(np.empty((0, X.shape[1])), rows)
    is_numeric = getattr(dense, "ndim", 0) == 2 and dense.dtype.kind in "fiub"
    return type(X)(dense) if is_numeric else rows


def _as_array(X: Any, rows: Any) -> Any:
    """Convert rows to an array, or to a list of lists if X is a list or tuple."""
    is_array = isinstance(X, np.ndarray)
    if is_table(rows):
        columns = _plain_columns(rows)
        rows = _stacked(columns, X.dtype if is_array else None) if columns else rows
    if not is_array and isinstance(rows, np.ndarray) and rows.ndim == 2:
        return rows.tolist()
    return _array_of(rows, X.ndim == 2) if is_array and isinstance(rows, (list, tuple)) else rows


def _array_of(rows: list | tuple, is_table_like: bool) -> Any:
    """Convert a list of rows to an array; return the list itself if its rows differ in length.

    If `is_table_like`, an array with text gets dtype object, so that numbers stay numbers.
    """
    try:
        array = np.asarray(rows)
    except ValueError:  # the later check of the rows raises the error
        return rows
    if is_table_like and array.dtype.kind in "US":
        return np.array(rows, dtype=object)  # else numbers next to strings become strings
    return array


def _stacked(columns: list[np.ndarray], dtype: np.dtype | None) -> np.ndarray:
    """Stack columns of plain values into one 2-d array, of `dtype` if this changes no value."""
    as_float = [as_numbers(values) for values in columns]
    numeric = [numbers for numbers in as_float if numbers is not None]
    if len(numeric) == len(columns) and (dtype is None or dtype.kind in "fiub"):
        stacked = np.column_stack(numeric)
        return stacked if dtype is None or _changes(stacked, dtype) else stacked.astype(dtype)
    array = np.empty((len(columns[0]), len(columns)), dtype=object)
    for j, (values, numbers) in enumerate(zip(columns, as_float, strict=True)):
        array[:, j] = values
        if numbers is not None:
            array[np.isnan(numbers), j] = np.nan
    return array


def _changes(numbers: np.ndarray, dtype: np.dtype) -> bool:
    """Whether conversion to `dtype` changes a number; rounding to a float does not count."""
    if dtype.kind == "f":
        return False
    return not np.isfinite(numbers).all() or (numbers.astype(dtype) != numbers).any()


def _as_table(X: Any, rows: Any) -> Any:
    if not is_table(rows) and isinstance(rows, (list, tuple)):
        rows = _array_of(rows, is_table_like=True)
    if len(getattr(rows, "shape", ())) != 2 or rows.shape[1] != X.shape[1]:
        return rows
    names = rows if _has_names(X) and _has_names(rows) else X
    labels = [label for label, _ in columns_of(names)]
    is_pandas = hasattr(X, "iloc")
    if isinstance(rows, type(X)) or isinstance(X, type(rows)):
        if not is_pandas:
            return rows
        return _with_types_of(X, rows.set_axis(X.columns, axis=1) if names is X else rows)
    columns = _plain_columns(rows)
    if is_pandas:
        return _as_pandas(X, columns, X.columns if names is X else labels)
    if hasattr(X, "get_columns"):
        polars = import_module("polars")
        made = [_as_polars(polars, *pair) for pair in zip(X.get_columns(), columns, strict=True)]
        return polars.DataFrame(dict(zip(labels, made, strict=True)))
    pyarrow = import_module("pyarrow")
    made = [_as_arrow(pyarrow, *pair) for pair in zip(X.schema.types, columns, strict=True)]
    return pyarrow.Table.from_arrays(made, names=labels)


def _plain_columns(rows: Any) -> list[np.ndarray]:
    """Return columns as object arrays of plain Python values, with None for missing ones."""
    return [read_objects(column) for _, column in columns_of(rows)]


def _as_pandas(X: Any, columns: list[np.ndarray], labels: Any) -> Any:
    pandas = import_module("pandas")
    made = {j: _as_series(pandas, X.iloc[:, j].dtype, v) for j, v in enumerate(columns)}
    return pandas.DataFrame(made).set_axis(labels, axis=1)


def _with_types_of(X: Any, rows: Any) -> Any:
    """Convert the columns of a DataFrame to the dtypes that columns of the same name have in X."""
    pandas = import_module("pandas")
    if not (X.columns.is_unique and rows.columns.is_unique):  # a name has several dtypes
        return rows
    names = [name for name in rows if name in X and rows[name].dtype != X[name].dtype]
    rows = rows.copy(deep=False) if names else rows
    for name in names:
        column = _as_series(pandas, X[name].dtype, read_objects(rows[name]))
        rows[name] = column.set_axis(rows.index)
    return rows


def _as_series(pandas: Any, dtype: Any, values: np.ndarray) -> Any:
    """Make a pandas Series of `dtype`, or of an inferred dtype if `dtype` would change a value."""
    if isinstance(dtype, pandas.CategoricalDtype):
        categories = dtype.categories.tolist()
        known = set(categories)
        more = dict.fromkeys(v for v in values if v is not None and v not in known)
        return pandas.Series(pandas.Categorical(values, [*categories, *more], dtype.ordered))
    own = pandas.Series(values.tolist(), dtype=object if str(dtype) == "object" else None)
    try:
        column = own.astype(dtype)
    except (TypeError, ValueError):
        return own
    is_gap = np.equal(values, np.array(None, dtype=object)).astype(bool)
    if (column.isna().to_numpy() != is_gap).any():
        return own
    if dtype.kind == "f":
        return own if as_numbers(values) is None else column
    is_same = column[~is_gap].to_numpy(dtype=object) == values[~is_gap]
    return column if is_same.all() else own


def _as_polars(polars: Any, like: Any, values: np.ndarray) -> Any:
    try:
        return polars.Series(values.tolist(), dtype=like.dtype)
    except (TypeError, ValueError, OverflowError, polars.exceptions.PolarsError):
        return polars.Series(values.tolist(), strict=False)


def _as_arrow(pyarrow: Any, kind: Any, values: np.ndarray) -> Any:
    listed = values.tolist()
    try:
        column = pyarrow.array(listed, type=kind)
    except (TypeError, ValueError, OverflowError, pyarrow.ArrowException):
        return pyarrow.array(listed)
    is_same = pyarrow.types.is_floating(kind) or column.to_pylist() == listed
    return column if is_same else pyarrow.array(listed)
