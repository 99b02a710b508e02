r"""Where numeric columns lie and how wide they are, and values in that unit.

==========  ==========================  ============================================
"standard"  mean                        standard deviation
"robust"    median                      distance between the quartiles
==========  ==========================  ============================================

Robust scaling is followed by :func:`smooth_clip`. Together they are what made the
difference among eight ways to scale in Holzmüller et al. (2024), "Better by default",
arXiv:2407.04491, table B.2. A column with far tails passes :math:`\operatorname{arsinh}`
in between, for the clip alone would make one of all that lies there.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skkd.tables import Table

__all__ = [
    "SCALINGS",
    "Scaling",
    "by_column",
    "distinct_values",
    "fit_scaling",
    "quantiles",
    "smooth_clip",
    "squeeze",
    "standardise",
]

SCALINGS = ("robust", "standard")

#: No standardised value is larger, so that nothing behind it overflows, in float32 neither.
MOST_DEVIATIONS = 1e30

#: Where the smooth clip ends.
CLIP = 3.0

QUARTILES = (0.25, 0.5, 0.75)

#: A column has far tails if more than this share of its weight lies further from its median
#: than so many units. (Of a Cauchy distribution 4 % do, of a log-normal one half of
#: one, of an exponential one one row in ten thousand.)
TAIL_SHARE, FAR = 0.01, 8.0


class Scaling(NamedTuple):
    """Of the numeric columns, each an ndarray of shape (n_numeric,)."""

    centre: np.ndarray  #: float64
    scale: np.ndarray  #: float64
    has_far_tails: np.ndarray  #: bool


def fit_scaling(scaling, blocks, rows, numeric, sample_weight):
    """Centre, scale and kind of the numeric columns, missing values left out.

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
    Scaling
        Only "robust" asks for tails.
    """
    if len(numeric) == 0:
        return Scaling(np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    if scaling == "robust":
        rows = by_column(rows)
        found = [_robust(*_values_and_weight(rows, j, sample_weight)) for j in numeric]
        centre, scale, has_far_tails = map(np.array, zip(*found, strict=True))
    else:
        centre, scale = _mean_and_deviation(blocks, rows, numeric, sample_weight)
        has_far_tails = np.zeros(len(numeric), dtype=bool)
    all_missing = np.isnan(centre)
    widest = np.inf if scaling == "robust" else 1.0
    centre, scale = np.where(all_missing, 0.0, centre), np.where(all_missing, widest, scale)
    return Scaling(centre, scale, has_far_tails)


def by_column(rows):
    """Sparse rows column by column, each value stored once; others as they are.

    Parameters
    ----------
    rows : ndarray, sparse matrix or Table

    Returns
    -------
    csc matrix, or the argument
    """
    if not sparse.issparse(rows):
        return rows
    rows = rows.tocsc(copy=True)
    rows.sum_duplicates()
    return rows


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


def squeeze(scaled, has_far_tails):
    r"""Values of a robust scaling, in place, in [-3, 3]; the order of each column stays.

    Columns with far tails pass :math:`\operatorname{arsinh}` first, a logarithm that is
    straight around 0; all pass :func:`smooth_clip`.

    Parameters
    ----------
    scaled : ndarray of shape (n_rows, n_columns), floating
    has_far_tails : ndarray of shape (n_columns,), bool

    Returns
    -------
    ndarray
        The argument.

    Examples
    --------
    >>> import numpy as np
    >>> squeeze(np.array([[0.0, 100.0, 10000.0]]).T, np.array([True])).ravel().round(2)
    array([0.  , 2.61, 2.87])
    >>> squeeze(np.array([[0.0, 100.0, 10000.0]]).T, np.array([False])).ravel().round(2)
    array([0., 3., 3.])
    """
    if has_far_tails.any():
        scaled[:, has_far_tails] = np.arcsinh(scaled[:, has_far_tails])
    return smooth_clip(scaled)


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
        See :func:`by_column`.
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
    values, weight = _values_and_weight(rows, j, weight)
    weight = np.ones(len(values)) if weight is None else weight
    order = np.argsort(values, kind="stable")
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


def _robust(values, weight):
    """Median, width, and whether the tails are far.

    The width is the distance between the quartiles. Where that is 0 it is half the range,
    or, of far tails, the median distance of the other values from the median.
    """
    if len(values) == 0:
        return np.nan, np.nan, False
    lower, median, upper = quantiles(values, weight, QUARTILES)
    with np.errstate(over="ignore"):
        width = min(upper - lower, np.finfo(np.float64).max)
        distance = np.abs(values - median)
    if width:
        return median, width, _are_far(distance, width, weight)
    half_range = values.max() / 2 - values.min() / 2
    if not half_range:
        return median, np.inf, False
    others = distance > 0
    of_others = weight if weight is None else weight[others]
    width = min(quantiles(distance[others], of_others, [0.5])[0], half_range)
    if _are_far(distance, width, weight):
        return median, width, True
    return median, half_range, False


def _are_far(distance, width, weight):
    with np.errstate(over="ignore"):
        is_far = distance > FAR * width
    return np.average(is_far, weights=weight) > TAIL_SHARE


def _values_and_weight(rows, j, weight):
    """Numbers of a column that have a weight, and that, or None where each counts alike."""
    if sparse.issparse(rows):
        values, weight = _stored_and_zero(rows, j, weight)
    else:
        values = _column(rows, j)
    counts = ~np.isnan(values)
    if weight is not None:
        counts &= weight > 0
    if counts.all():
        return values, weight
    return values[counts], None if weight is None else weight[counts]


def _stored_and_zero(rows, j, weight):
    """Stored values of a sparse column, and one zero for all others, with their weight."""
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = np.append(rows.data[stored], 0.0).astype(np.float64)
    if weight is None:
        n_zeros = rows.shape[0] - (len(values) - 1)
        return values, np.append(np.ones(len(values) - 1), n_zeros)
    is_zero = np.ones(rows.shape[0], dtype=bool)
    is_zero[rows.indices[stored]] = False
    return values, np.append(weight[rows.indices[stored]], weight[is_zero].sum())


def _column(rows, j):
    if isinstance(rows, Table):
        return rows.columns[j].astype(np.float64)
    return rows[:, j].astype(np.float64)
