"""Where numeric columns lie and how wide they are, and values in that unit.

==========  ==========================  ============================================
"standard"  mean                        standard deviation
"robust"    median                      distance between the quartiles
==========  ==========================  ============================================

Robust scaling is followed by :func:`smooth_clip`. Together they are what made the
difference among eight ways to scale in Holzmüller et al. (2024), "Better by default",
arXiv:2407.04491, table B.2.
"""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skkd.tables import Table

__all__ = [
    "SCALINGS",
    "centre_and_scale",
    "distinct_values",
    "quantiles",
    "smooth_clip",
    "standardise",
]

SCALINGS = ("robust", "standard")

#: No standardised value is larger, so that nothing behind it overflows, in float32 neither.
MOST_DEVIATIONS = 1e30

#: Where the smooth clip ends.
CLIP = 3.0

QUARTILES = (0.25, 0.5, 0.75)


def centre_and_scale(scaling, blocks, rows, numeric, sample_weight):
    """Centre and scale of the numeric columns, missing values left out.

    A column without any number has centre 0. It, and any other without a width, has
    scale 1 where scaling is "standard", and an infinite one where it is "robust": the
    network never sees it. Sparse rows are scaled as the dense ones would be.

    Parameters
    ----------
    scaling : {"robust", "standard"}
    blocks : callable
        (rows, sample_weight) -> consecutive blocks of rows and their weights.
    rows : ndarray, sparse matrix or Table
    numeric : ndarray of int
        Indices of the columns.
    sample_weight : ndarray of shape (n_rows,) or None

    Returns
    -------
    centre, scale : ndarray of shape (n_numeric,), float64
    """
    if len(numeric) == 0:
        return np.empty(0), np.empty(0)
    if scaling == "robust":
        rows = rows.tocsc() if sparse.issparse(rows) else rows
        found = [
            _of_mostly_zeros(rows, j, sample_weight)
            or _median_and_width(_column(rows, j), sample_weight)
            for j in numeric
        ]
        centre, scale = (np.array(values) for values in zip(*found, strict=True))
    else:
        centre, scale = _mean_and_deviation(blocks, rows, numeric, sample_weight)
    all_missing = np.isnan(centre)
    widest = np.inf if scaling == "robust" else 1.0
    return np.where(all_missing, 0.0, centre), np.where(all_missing, widest, scale)


def standardise(values, centre, scale):
    """How many units of scale lie between values and the centre; 0 where missing.

    Parameters
    ----------
    values : ndarray
    centre, scale : ndarray that broadcast with it

    Returns
    -------
    ndarray, float64
        A new one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.subtract(values, centre, dtype=np.float64)
        scaled /= scale
    lowest = np.minimum.reduce(scaled, axis=None, initial=0.0)
    highest = np.maximum.reduce(scaled, axis=None, initial=0.0)
    if not -MOST_DEVIATIONS <= lowest <= highest <= MOST_DEVIATIONS:  # a NaN is not, either
        scaled[np.isnan(scaled)] = 0.0
        np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)
    return scaled


def smooth_clip(scaled):
    r"""Values squeezed, in place, into [-3, 3]: those around 0 stay what they are.

    .. math:: x / \sqrt{1 + (x/3)^2}

    Parameters
    ----------
    scaled : ndarray, floating

    Returns
    -------
    ndarray
        The argument.

    Examples
    --------
    >>> import numpy as np
    >>> smooth_clip(np.array([0.0, 4.0, 1e9]))
    array([0. , 2.4, 3. ])
    """
    length = np.multiply(scaled, 1 / CLIP)
    length *= length
    length += 1.0
    np.sqrt(length, out=length)
    scaled /= length
    return scaled


def quantiles(values, weight, shares):
    """The smallest values that at least these shares of the weight do not exceed.

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


def distinct_values(rows, j, weight=None):
    """The different values of a numeric column that have a weight, missing ones left out.

    Parameters
    ----------
    rows : ndarray, csc matrix or Table
    j : int
        Index of the column.
    weight : ndarray of shape (n_rows,), default=None

    Returns
    -------
    values : ndarray of shape (n_values,), float64
        In ascending order.
    weight : ndarray of shape (n_values,)
        Of each.

    Examples
    --------
    >>> import numpy as np
    >>> distinct_values(np.array([[2.0], [1.0], [2.0], [np.nan]]), 0)
    (array([1., 2.]), array([1., 2.]))
    """
    weight = np.ones(rows.shape[0]) if weight is None else weight
    if sparse.issparse(rows):
        stored = slice(rows.indptr[j], rows.indptr[j + 1])
        values = np.append(rows.data[stored], 0.0).astype(np.float64)
        is_zero = np.ones(rows.shape[0], dtype=bool)
        is_zero[rows.indices[stored]] = False
        weight = np.append(weight[rows.indices[stored]], weight[is_zero].sum())
    else:
        values = _column(rows, j)
    counts = ~np.isnan(values) & (weight > 0)
    order = np.flatnonzero(counts)[np.argsort(values[counts], kind="stable")]
    values, weight = values[order], weight[order]
    first = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    return values[first], np.add.reduceat(weight, first) if len(first) else weight


def _mean_and_deviation(blocks, rows, numeric, sample_weight):
    if sparse.issparse(rows):
        scaler = StandardScaler(with_mean=False)
        scaler.fit(rows.astype(np.float64), sample_weight=sample_weight)
        return scaler.mean_, scaler.scale_
    # scikit-learn divides 0 by 0 where a column holds no number at all.
    with np.errstate(invalid="ignore", divide="ignore"):
        if isinstance(rows, Table):
            columns = [_column(rows, j).reshape(-1, 1) for j in numeric]
            scalers = [StandardScaler().fit(c, sample_weight=sample_weight) for c in columns]
            centre = np.concatenate([scaler.mean_ for scaler in scalers])
            return centre, np.concatenate([scaler.scale_ for scaler in scalers])
        scaler = StandardScaler()
        for values, weight in blocks(rows, sample_weight):
            scaler.partial_fit(values[:, numeric].astype(np.float64), sample_weight=weight)
        return scaler.mean_, scaler.scale_


def _median_and_width(values, weight):
    """Median and distance between the quartiles; half the range where that is 0."""
    is_known = ~np.isnan(values)
    if not is_known.all():
        values, weight = values[is_known], None if weight is None else weight[is_known]
    if len(values) == 0:
        return np.nan, np.nan
    lower, median, upper = quantiles(values, weight, QUARTILES)
    with np.errstate(over="ignore"):
        width = min(upper - lower, np.finfo(np.float64).max)
    return median, width or values.max() / 2 - values.min() / 2 or np.inf


def _of_mostly_zeros(rows, j, weight):
    """Median and width of a sparse column whose quartiles are all 0; None for any other."""
    if not sparse.issparse(rows):
        return None
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = rows.data[stored]
    share = len(values) / rows.shape[0]
    if weight is not None:
        share = weight[rows.indices[stored]].sum() / weight.sum()
    if share >= QUARTILES[0] * (1 - 1e-9) or np.isnan(values).any():
        return None
    highest, lowest = values.max(initial=0.0), values.min(initial=0.0)
    return 0.0, float(highest) / 2 - float(lowest) / 2 or np.inf


def _column(rows, j):
    if isinstance(rows, Table):
        return rows.columns[j].astype(np.float64)
    column = rows[:, [j]].toarray() if sparse.issparse(rows) else rows[:, j]
    return column.ravel().astype(np.float64)
