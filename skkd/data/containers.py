"""Synthetic rows in the container and types of the observed rows.

Each cell of a synthetic row is a copy of an observed cell, so that categories, dates and
missing values keep the form that the library stores. Numbers are then written to some of the
cells. Rows of NumPy arrays, SciPy sparse matrices, pandas and polars DataFrames and pyarrow
Tables come in the same container; rows of lists come as arrays.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import refuse
from skkd.data.tables import columns_of, is_table

__all__ = ["MOST_CELLS", "container_of"]

#: The largest size of a sparse matrix, which is made dense inside, with 8 bytes per cell.
MOST_CELLS = 10**8

#: By column: the rows to write to, and the numbers to write.
Changes = dict[int, tuple[np.ndarray, np.ndarray]]


def container_of(X: Any) -> "Container":
    """Return the object that reads the columns of X and makes rows of its cells.

    Parameters
    ----------
    X : 2-d ndarray, sparse matrix, DataFrame, pyarrow.Table or list of lists

    Returns
    -------
    Arrays, SparseMatrices, PandasFrames, PolarsFrames or ArrowTables
    """
    if sparse.issparse(X):
        return SparseMatrices(X)
    if is_table(X):
        if hasattr(X, "iloc"):
            return PandasFrames(X)
        return PolarsFrames(X) if hasattr(X, "get_columns") else ArrowTables(X)
    array = np.asarray(X)
    if array.dtype.kind in "US" and not hasattr(X, "dtype"):
        array = np.array(X, dtype=object)  # else numbers beside strings become strings
    return Arrays(array)


class Container:
    """The observed rows; each library has its own subclass.

    Parameters
    ----------
    X : container with a shape

    Attributes
    ----------
    names : list of str
        Names of the columns, for messages.
    zeros_are_gaps : bool
        Whether a zero is not a number but a value of its own, as in a sparse matrix: cells
        are copied from or to it, and no number near it is drawn.
    """

    zeros_are_gaps = False

    def __init__(self, X: Any) -> None:
        if len(X.shape) != 2 or 0 in X.shape:
            refuse("X", X, "a table of at least one row and one column")
        self.X = X
        self.shape = X.shape
        self.names = [str(name) for name, _ in self.columns()]

    def columns(self) -> list[tuple[Any, Any]]:
        """Return (name, column) pairs, with columns of the library's own type."""
        return columns_of(self.X)

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        """Make rows of copied cells, and write numbers to some of the cells.

        Parameters
        ----------
        picks : ndarray of int of shape (n_rows, n_columns)
            The observed row that each cell is copied from.
        changes : dict of int to (ndarray of int, ndarray)
            By column: the rows to write to, and the numbers, int64 if the column
            holds integers, else float64.

        Returns
        -------
        container
        """
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> Any:
        """Concatenate the rows of several containers."""
        raise NotImplementedError


class Arrays(Container):
    """Rows of a 2-d ndarray of any type."""

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        block = self.X[picks, np.arange(self.shape[1])]
        for j, (at, numbers) in changes.items():
            block[at, j] = numbers
        return block

    def join(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)


class SparseMatrices(Arrays):
    """Rows of a SciPy sparse matrix, of its format and type."""

    zeros_are_gaps = True

    def __init__(self, X: Any) -> None:
        if X.shape[0] * X.shape[1] > MOST_CELLS:
            allowed = (
                f"at most {MOST_CELLS:,} cells (rows times columns), fewer columns "
                "(SelectKBest, TruncatedSVD) or a callable that makes rows"
            )
            refuse("X", f"sparse matrix of shape {X.shape}", allowed)
        self.matrix = type(X)
        self.format = X.format
        super().__init__(X.toarray())
        if self.X.dtype.kind == "f" and np.isnan(self.X).any():
            refuse("X", "sparse matrix with NaN", "a sparse matrix without missing values")

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        return self.matrix(super().rows(picks, changes))

    def join(self, parts: Sequence[Any]) -> Any:
        return sparse.vstack(parts, format=self.format)


class PandasFrames(Container):
    """Rows of a pandas DataFrame, with an index from 0."""

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        columns = {}
        for j in range(self.shape[1]):
            taken = self.X.iloc[:, j].take(picks[:, j]).reset_index(drop=True)
            columns[j] = self._write(taken, *changes[j]) if j in changes else taken
        block = type(self.X)(columns)
        block.columns = self.X.columns
        return block

    @staticmethod
    def _write(column: Any, at: np.ndarray, numbers: np.ndarray) -> Any:
        is_sparse = hasattr(column.dtype, "fill_value")
        written = column.astype(column.dtype.subtype) if is_sparse else column
        written.iloc[at] = type(column)(numbers).astype(written.dtype).array
        return written.astype(column.dtype)

    def join(self, parts: Sequence[Any]) -> Any:
        pandas = import_module("pandas")
        parts = [part.copy(deep=False) for part in parts]
        for j, dtype in enumerate(self.X.dtypes):
            columns = [part.iloc[:, j] for part in parts]
            is_uniform = all(column.dtype == dtype for column in columns)
            if is_uniform or not isinstance(dtype, pandas.CategoricalDtype):
                continue
            more = [value for column in columns for value in column.dropna().unique()]
            categories = list(dict.fromkeys([*dtype.categories, *more]))
            shared = pandas.CategoricalDtype(categories, dtype.ordered)
            for part, column in zip(parts, columns, strict=True):
                part.isetitem(j, column.astype(shared))
        return pandas.concat(parts, ignore_index=True)


class PolarsFrames(Container):
    """Rows of a polars DataFrame."""

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        columns = []
        for j, series in enumerate(self.X.get_columns()):
            taken = series.gather(picks[:, j])
            if j in changes:
                at, numbers = changes[j]
                taken = taken.scatter(at, type(series)(numbers).cast(series.dtype))
            columns.append(taken)
        return type(self.X)(columns)

    def join(self, parts: Sequence[Any]) -> Any:
        return import_module("polars").concat(parts, how="vertical_relaxed")


class ArrowTables(Container):
    """Rows of a pyarrow Table, with its schema."""

    def __init__(self, X: Any) -> None:
        super().__init__(X.unify_dictionaries().combine_chunks())

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        pyarrow, columns = import_module("pyarrow"), []
        for j, column in enumerate(self.X.itercolumns()):
            taken = column.take(pyarrow.array(picks[:, j]))
            columns.append(self._write(taken, *changes[j]) if j in changes else taken)
        return pyarrow.Table.from_arrays(columns, schema=self.X.schema)

    @staticmethod
    def _write(column: Any, at: np.ndarray, numbers: np.ndarray) -> Any:
        pyarrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
        is_written = np.zeros(len(column), dtype=bool)
        is_written[at] = True
        values = pyarrow.array(numbers).cast(column.type, safe=False)
        return compute.replace_with_mask(column.combine_chunks(), is_written, values)

    def join(self, parts: Sequence[Any]) -> Any:
        return import_module("pyarrow").concat_tables(parts, promote_options="permissive")
