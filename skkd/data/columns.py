"""The numbers of single columns of any rows, and their weighted quantiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from skkd.data.tables import Table

__all__ = ["by_column", "distinct", "distinct_values", "known_values", "quantiles"]


def by_column(rows: Any) -> Any:
    """Convert sparse rows to columns with each value stored once; return others unchanged.

    Parameters
    ----------
    rows : ndarray, sparse matrix or Table

    Returns
    -------
    csc matrix, or the argument
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
    """Return the values of a numeric column that are neither missing nor of weight 0.

    Parameters
    ----------
    rows : ndarray, csc matrix or Table
        See :func:`by_column`.
    j : int
        Index of the column.
    weight : ndarray of shape (n_rows,), default=None

    Returns
    -------
    values : ndarray of shape (n_values,), float64
        For a sparse column the stored values, and one zero for all others.
    weight : ndarray of shape (n_values,) or None
        None if all weights are equal.

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
    """Return the different values of a numeric column, without missing ones or weights of 0.

    Parameters
    ----------
    rows, j, weight
        As of :func:`known_values`.

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
    """Return different values in ascending order, and the total weight of each.

    Parameters
    ----------
    values : ndarray of shape (n_values,), without NaN
    weight : ndarray of shape (n_values,), default=None

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
    """Return for each share the smallest value that this share of the weight does not exceed.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
    weight : ndarray of shape (n_values,) or None
    shares : sequence of float in [0, 1]

    Returns
    -------
    ndarray of shape (n_shares,)

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
    least = np.multiply(shares, weights_up_to[-1] * (1 - 1e-12))  # sums are rounded
    return values[order[np.searchsorted(weights_up_to, least)]]


def _stored_and_zero(rows: Any, j: int, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Stored values and weights of a sparse column; one zero has the weight of all others."""
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = np.append(rows.data[stored], 0.0)
    if weight is None:
        n_zeros = rows.shape[0] - (len(values) - 1)
        return values, np.append(np.ones(len(values) - 1), n_zeros)
    is_zero = np.ones(rows.shape[0], dtype=bool)
    is_zero[rows.indices[stored]] = False
    return values, np.append(weight[rows.indices[stored]], weight[is_zero].sum())
