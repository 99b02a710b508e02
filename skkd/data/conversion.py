"""Rows of one container in that of another: what comes beside a table may be an array.

A teacher or a transformer that was fitted on a DataFrame wants a DataFrame of the same
columns. They are found by name where both containers name theirs, else by position.
"""

from importlib import import_module

import numpy as np
from scipy import sparse

from skkd.checks import warn
from skkd.data.tables import as_numbers, columns_of, is_table, read_objects

__all__ = ["in_container_of"]


def in_container_of(X, rows, name=None):
    """Rows in the container of X, with the types of its columns where they fit.

    Parameters
    ----------
    X : container of rows
    rows : container of rows
        A table keeps the names of its columns, if X has names as well: whether they are the
        same is not looked at.
    name : str, default=None
        What the rows are called in the warning that only one of both has names; None does
        not warn.

    Returns
    -------
    container of as many rows
        The rows as they are, if they are in such a container already, or if they have
        another number of columns or of dimensions.

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


def _has_names(rows):
    """Whether the columns are named, as scikit-learn understands it."""
    return is_table(rows) and all(isinstance(label, str) for label, _ in columns_of(rows))


def _as_sparse(X, rows):
    if sparse.issparse(rows):
        return rows
    dense = _as_array(np.empty((0, X.shape[1])), rows)
    is_numeric = getattr(dense, "ndim", 0) == 2 and dense.dtype.kind in "fiub"
    return type(X)(dense) if is_numeric else rows


def _as_array(X, rows):
    """Of a table its values; of a list an array, where X is one, and the other way round."""
    is_array = isinstance(X, np.ndarray)
    if is_table(rows):
        columns = _plain_columns(rows)
        rows = _stacked(columns, X.dtype if is_array else None) if columns else rows
    if not is_array and isinstance(rows, np.ndarray) and rows.ndim == 2:
        return rows.tolist()
    return _array_of(rows, X.ndim == 2) if is_array and isinstance(rows, (list, tuple)) else rows


def _array_of(rows, is_table_like):
    """A list as an array, or as it is where it is none."""
    try:
        array = np.asarray(rows)
    except ValueError:  # of unequal lengths: the check of rows complains
        return rows
    if is_table_like and array.dtype.kind in "US":  # numbers beside strings stay numbers
        return np.array(rows, dtype=object)
    return array


def _stacked(columns, dtype):
    """Columns of plain values as one array, of numbers if all are."""
    numbers = [as_numbers(values) for values in columns]
    if not any(column is None for column in numbers) and (dtype is None or dtype.kind in "fiub"):
        stacked = np.column_stack(numbers)
        return stacked if dtype is None or _changes(stacked, dtype) else stacked.astype(dtype)
    array = np.empty((len(columns[0]), len(columns)), dtype=object)
    for j, (values, of_values) in enumerate(zip(columns, numbers, strict=True)):
        array[:, j] = values
        if of_values is not None:
            array[np.isnan(of_values), j] = np.nan
    return array


def _changes(numbers, dtype):
    """Whether numbers of another type would be others, but for rounding."""
    if dtype.kind == "f":
        return False
    return not np.isfinite(numbers).all() or (numbers.astype(dtype) != numbers).any()


def _as_table(X, rows):
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


def _plain_columns(rows):
    """Columns as object arrays of plain values, missing ones None."""
    return [read_objects(column) for _, column in columns_of(rows)]


def _as_pandas(X, columns, labels):
    pandas = import_module("pandas")
    made = {j: _as_series(pandas, X.iloc[:, j].dtype, v) for j, v in enumerate(columns)}
    return pandas.DataFrame(made).set_axis(labels, axis=1)


def _with_types_of(X, rows):
    """A pandas table in the types of X's columns of the same names."""
    pandas = import_module("pandas")
    if not (X.columns.is_unique and rows.columns.is_unique):
        return rows
    names = [name for name in rows if name in X and rows[name].dtype != X[name].dtype]
    rows = rows.copy(deep=False) if names else rows
    for name in names:
        column = _as_series(pandas, X[name].dtype, read_objects(rows[name]))
        rows[name] = column.set_axis(rows.index)
    return rows


def _as_series(pandas, dtype, values):
    """A column in a type of X's; in one of its own, if that would change a value."""
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
    is_gap = np.equal(values, None).astype(bool)
    if (column.isna().to_numpy() != is_gap).any():
        return own
    if dtype.kind == "f":
        return own if as_numbers(values) is None else column
    is_same = column[~is_gap].to_numpy(dtype=object) == values[~is_gap]
    return column if is_same.all() else own


def _as_polars(polars, like, values):
    try:
        return polars.Series(values.tolist(), dtype=like.dtype)
    except (TypeError, ValueError, OverflowError, polars.exceptions.PolarsError):
        return polars.Series(values.tolist(), strict=False)


def _as_arrow(pyarrow, kind, values):
    values = values.tolist()
    try:
        column = pyarrow.array(values, type=kind)
    except (TypeError, ValueError, OverflowError, pyarrow.ArrowException):
        return pyarrow.array(values)
    is_same = pyarrow.types.is_floating(kind) or column.to_pylist() == values
    return column if is_same else pyarrow.array(values)
