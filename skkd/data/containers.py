"""Classes that build synthetic rows in the container type of the caller's rows.

The caller's rows are called observed rows here. They may be a NumPy array, a SciPy sparse matrix,
a pandas or polars DataFrame or a pyarrow Table; a list of lists is turned into an array.

Each cell of a synthetic row is first a copy of an observed cell, so that categories, dates and
missing values keep the form in which their library stores them. Numbers are then written to some
of the cells. The columns keep their dtypes.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import refuse
from skkd.data.tables import columns_of, is_table

__all__ = ["MOST_CELLS", "container_of"]

#: The largest number of cells of a sparse matrix: it is made dense here (8 bytes per cell).
MOST_CELLS = 10**8

#: Numbers to write: index of a column -> (indices of the rows, one number for each).
Changes = dict[int, tuple[np.ndarray, np.ndarray]]


def container_of(X: Any) -> "Container":
    """Return a :class:`Container` of the observed rows, in the subclass for their type.

    Parameters
    ----------
    X : 2-d ndarray, sparse matrix, DataFrame, pyarrow.Table or list of lists
        The observed rows.

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
        array = np.array(X, dtype=object)  # else numbers next to strings become strings
    return Arrays(array)


class Container:
    """Observed rows, from which synthetic rows of the same container type are built.

    Each library (NumPy, SciPy, pandas, polars, pyarrow) has its own subclass.

    Parameters
    ----------
    X : container with a shape
        The observed rows.

    Attributes
    ----------
    names : list of str
        Names of the columns, for messages.
    zeros_are_gaps : bool
        Whether zeros count as absent entries, as in a sparse matrix, and are never replaced by
        a synthetic number.
    """

    zeros_are_gaps = False

    def __init__(self, X: Any) -> None:
        if len(X.shape) != 2 or 0 in X.shape:
            refuse("X", X, "a table of at least one row and one column")
        self.X = X
        self.shape = X.shape
        self.names = [str(name) for name, _ in self.columns()]

    def columns(self) -> list[tuple[Any, Any]]:
        """Return (name, column) pairs; each column has its library's own type."""
        return columns_of(self.X)

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        """Build synthetic rows from observed cells, and write numbers to some of the new cells.

        Parameters
        ----------
        picks : ndarray of int of shape (n_rows, n_columns)
            Cell (i, j) of the new rows is a copy of observed cell (``picks[i, j]``, j).
        changes : dict of int to (ndarray of int, ndarray)
            Index of a column -> (indices of new rows, the number to write in each of them). The
            numbers are int64 if the column holds integers, else float64.

        Returns
        -------
        container
            The new rows.
        """
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> Any:
        """Concatenate containers of rows, all with the columns of the observed rows."""
        raise NotImplementedError


class Arrays(Container):
    """Observed rows in a 2-d ndarray of any dtype."""

    def rows(self, picks: np.ndarray, changes: Changes) -> Any:
        block = self.X[picks, np.arange(self.shape[1])]
        for j, (at, numbers) in changes.items():
            block[at, j] = numbers
        return block

    def join(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)


class SparseMatrices(Arrays):
    """Observed rows in a SciPy sparse matrix; new rows keep its format and dtype."""

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
    """Observed rows in a pandas DataFrame; new rows get an index that starts at 0."""

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
    """Observed rows in a polars DataFrame."""

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
    """Observed rows in a pyarrow Table; new rows keep its schema."""

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
