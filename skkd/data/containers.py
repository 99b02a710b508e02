"""Rows put together from the cells of a table, in the container and types of that table.

A synthetic row takes each of its cells from a row that was observed, so whatever a cell
holds, a category, a date or a gap, comes back as the library stored it. Only numbers are
then written over some of these cells. NumPy arrays, SciPy's sparse matrices, pandas and
polars DataFrames and pyarrow Tables come back as what they are; lists as arrays.
"""

from importlib import import_module

import numpy as np
from scipy import sparse

from skkd.checks import refuse
from skkd.data.tables import columns_of, is_table

__all__ = ["MOST_CELLS", "container_of"]

#: A sparse matrix is handled as a dense one inside, of 8 bytes per cell.
MOST_CELLS = 10**8


def container_of(X):
    """What reads the columns of X and puts rows of its cells together.

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
    """The observed rows; subclasses know how their library stores cells.

    Parameters
    ----------
    X : container with a shape

    Attributes
    ----------
    names : list of str
        Of the columns, for messages.
    zeros_are_gaps : bool
        Whether a zero is a value of its own, which is swapped and never drawn around.
    """

    zeros_are_gaps = False

    def __init__(self, X):
        if len(X.shape) != 2 or 0 in X.shape:
            refuse("X", X, "a table of at least one row and one column")
        self.X = X
        self.shape = X.shape
        self.names = [str(name) for name, _ in self.columns()]

    def columns(self):
        """(name, column) pairs, columns as the library gives them."""
        return columns_of(self.X)

    def rows(self, picks, changes):
        """Rows of picked cells, some of which are overwritten by numbers.

        Parameters
        ----------
        picks : ndarray of int of shape (n_rows, n_columns)
            The observed row that each cell is taken from.
        changes : dict of int to (ndarray of int, ndarray)
            By column: the rows to write into, and the numbers, int64 if the column
            holds integers, else float64.

        Returns
        -------
        container
        """
        raise NotImplementedError

    def join(self, parts):
        """One container out of several."""
        raise NotImplementedError


class Arrays(Container):
    """Rows of a 2-d ndarray of any type."""

    def rows(self, picks, changes):
        block = self.X[picks, np.arange(self.shape[1])]
        for j, (at, numbers) in changes.items():
            block[at, j] = numbers
        return block

    def join(self, parts):
        return np.concatenate(parts)


class SparseMatrices(Arrays):
    """Rows of a SciPy sparse matrix, of its format and type."""

    zeros_are_gaps = True

    def __init__(self, X):
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

    def rows(self, picks, changes):
        return self.matrix(super().rows(picks, changes))

    def join(self, parts):
        return sparse.vstack(parts, format=self.format)


class PandasFrames(Container):
    """Rows of a pandas DataFrame, numbered from 0."""

    def rows(self, picks, changes):
        columns = {}
        for j in range(self.shape[1]):
            taken = self.X.iloc[:, j].take(picks[:, j]).reset_index(drop=True)
            columns[j] = self._write(taken, *changes[j]) if j in changes else taken
        block = type(self.X)(columns)
        block.columns = self.X.columns
        return block

    @staticmethod
    def _write(column, at, numbers):
        is_sparse = hasattr(column.dtype, "fill_value")
        written = column.astype(column.dtype.subtype) if is_sparse else column
        written.iloc[at] = type(column)(numbers).astype(written.dtype).array
        return written.astype(column.dtype)

    def join(self, parts):
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

    def rows(self, picks, changes):
        columns = []
        for j, series in enumerate(self.X.get_columns()):
            taken = series.gather(picks[:, j])
            if j in changes:
                at, numbers = changes[j]
                taken = taken.scatter(at, type(series)(numbers).cast(series.dtype))
            columns.append(taken)
        return type(self.X)(columns)

    def join(self, parts):
        return import_module("polars").concat(parts, how="vertical_relaxed")


class ArrowTables(Container):
    """Rows of a pyarrow Table, its schema kept."""

    def __init__(self, X):
        super().__init__(X.unify_dictionaries().combine_chunks())

    def rows(self, picks, changes):
        pyarrow, columns = import_module("pyarrow"), []
        for j, column in enumerate(self.X.itercolumns()):
            taken = column.take(pyarrow.array(picks[:, j]))
            columns.append(self._write(taken, *changes[j]) if j in changes else taken)
        return pyarrow.Table.from_arrays(columns, schema=self.X.schema)

    @staticmethod
    def _write(column, at, numbers):
        pyarrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
        is_written = np.zeros(len(column), dtype=bool)
        is_written[at] = True
        numbers = pyarrow.array(numbers).cast(column.type, safe=False)
        return compute.replace_with_mask(column.combine_chunks(), is_written, numbers)

    def join(self, parts):
        return import_module("pyarrow").concat_tables(parts, promote_options="permissive")
