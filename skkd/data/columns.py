"""Values of one numeric column of an array, sparse matrix or Table; weighted quantiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from skkd.data.tables import Table

__all__ = ["by_column", "distinct", "distinct_values", "known_values", "quantiles"]


def by_column(rows: Any) -> Any:
    """Convert a sparse matrix to CSC without duplicate entries; return other rows unchanged.

    Parameters
    ----------
    rows : ndarray, sparse matrix or Table

    Returns
    -------
    csc matrix, or `rows` itself
    """
    if not sparse.issparse(rows):
        return rows
    columns = rows.tocsc()
    if not columns.has_canonical_format:
        columns = columns.copy()
        columns.sum_duplicates()
    return columns


def known_values(
    rows: Any, j: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the non-missing values of one numeric column, and their weights.

    Rows of weight 0 are left out.

    Parameters
    ----------
    rows : ndarray, csc matrix or Table
        The result of :func:`by_column`.
    j : int
        Index of the column.
    weight : ndarray of shape (n_rows,), default=None
        Weights of the rows; None weights all rows equally.

    Returns
    -------
    values : ndarray of shape (n_values,), float64
        For a csc matrix: the stored values, and one zero for all other cells.
    weight : ndarray of shape (n_values,) or None
        Weights of `values`; the one zero of a csc matrix has the total weight of its cells.
        None if `weight` is None and `rows` is not sparse.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> known_values(np.array([[2.0], [np.nan], [0.0]]), 0)
    (array([2., 0.]), None)
    >>> known_values(sparse.csc_array([[2.0], [0.0], [0.0]]), 0)
    (array([2., 0.]), array([1., 2.]))
    """
    if sparse.issparse(rows):
        values, weight = _stored_and_zero(rows, j, weight)
    else:
        values = rows.columns[j] if isinstance(rows, Table) else rows[:, j]
    values = values.astype(np.float64)
    counts = ~np.isnan(values)
    if weight is not None:
        counts &= weight > 0
    if counts.all():
        return values, weight
    return values[counts], None if weight is None else weight[counts]


def distinct_values(
    rows: Any, j: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct non-missing values of one numeric column, and their total weights.

    Rows of weight 0 are left out.

    Parameters
    ----------
    rows, j, weight
        As in :func:`known_values`.

    Returns
    -------
    values : ndarray of shape (n_values,), float64
        In ascending order.
    weight : ndarray of shape (n_values,)
        Total weight of each value.

    Examples
    --------
    >>> import numpy as np
    >>> distinct_values(np.array([[2.0], [1.0], [2.0], [np.nan]]), 0)
    (array([1., 2.]), array([1., 2.]))
    """
    return distinct(*known_values(rows, j, weight))


def distinct(values: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in ascending order, and the total weight of each.

    Parameters
    ----------
    values : ndarray of shape (n_values,), without NaN
    weight : ndarray of shape (n_values,), default=None
        None weights all values with 1.

    Returns
    -------
    values, weight : ndarray of shape (n_distinct,)

    Examples
    --------
    >>> import numpy as np
    >>> distinct(np.array([3.0, 1.0, 3.0]), np.array([0.5, 1.0, 0.5]))
    (array([1., 3.]), array([1., 1.]))
    """
    weight = np.ones(len(values)) if weight is None else weight
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order]
    first = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    return values[first], np.add.reduceat(weight, first) if len(first) else weight


def quantiles(
    values: np.ndarray, weight: np.ndarray | None, shares: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return weighted quantiles, without interpolation (NumPy's "inverted_cdf").

    Parameters
    ----------
    values : ndarray of shape (n_values,)
    weight : ndarray of shape (n_values,) or None
        None weights all values equally.
    shares : sequence of float in [0, 1]
        The levels of the quantiles.

    Returns
    -------
    ndarray of shape (n_shares,)
        For each share the smallest value v such that the values <= v have at least this share
        of the total weight.

    Examples
    --------
    >>> import numpy as np
    >>> quantiles(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), [0.25, 0.75, 1.0])
    array([1., 2., 3.])
    """
    if weight is None:
        return np.quantile(values, shares, method="inverted_cdf")
    order = np.argsort(values, kind="stable")
    weights_up_to = np.cumsum(weight[order])
    least = np.multiply(shares, weights_up_to[-1] * (1 - 1e-12))  # allow for rounding of sums
    return values[order[np.searchsorted(weights_up_to, least)]]


def _stored_and_zero(rows: Any, j: int, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return values and weights of a sparse column, with one zero for all cells not stored."""
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = np.append(rows.data[stored], 0.0)
    if weight is None:
        n_zeros = rows.shape[0] - (len(values) - 1)
        return values, np.append(np.ones(len(values) - 1), n_zeros)
    is_zero = np.ones(rows.shape[0], dtype=bool)
    is_zero[rows.indices[stored]] = False
    return values, np.append(weight[rows.indices[stored]], weight[is_zero].sum())
