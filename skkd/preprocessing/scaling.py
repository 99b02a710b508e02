"""Scaling of numeric columns: the centre is subtracted, the result divided by the scale.

==========  ==========================  ============================================
"standard"  mean                        standard deviation
"robust"    median                      distance between the quartiles
==========  ==========================  ============================================

Robust scaling is followed by :func:`smooth_clip`. Together they made the difference among
eight ways to scale in Holzmüller et al. (2024), "Better by default", arXiv:2407.04491, table
B.2. They suit columns with some outliers. Columns with heavy tails
(:mod:`skkd.preprocessing.heavy_tails`) are replaced by normal scores, which are clipped too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skkd.data.columns import by_column, known_values, quantiles
from skkd.data.tables import Table
from skkd.preprocessing.heavy_tails import MANY, ROUNDING, NormalScores, is_heavy_tailed

__all__ = ["SCALINGS", "Scaling", "fit_scaling", "smooth_clip", "standardise"]

SCALINGS = ("robust", "standard")

#: Bound of scaled values, so that later arithmetic does not overflow, even in float32.
MOST_DEVIATIONS = 1e30

#: Bound of smoothly clipped values.
CLIP = 3.0

QUARTILES = (0.25, 0.5, 0.75)


@dataclass
class Scaling:
    """Centre and scale of the numeric columns; positions count the numeric columns alone."""

    centre: np.ndarray  #: (n_numeric,), float64
    scale: np.ndarray  #: (n_numeric,), float64
    #: By position, of the columns with heavy tails.
    normal_scores: dict[int, NormalScores] = field(default_factory=dict)
    #: Positions of columns without a width, whose scale is 1 for want of another.
    of_no_width: list[int] = field(default_factory=list)


#: (rows, sample_weight) -> consecutive blocks of rows and their weights.
Blocks = Callable[[Any, np.ndarray | None], Iterable[tuple[Any, np.ndarray | None]]]


def fit_scaling(
    scaling: str,
    blocks: Blocks,
    rows: Any,
    numeric: np.ndarray,
    sample_weight: np.ndarray | None,
) -> Scaling:
    """Compute centre, scale and normal scores of the numeric columns without missing values.

    A column without any number has centre 0. A column without numbers or without a width
    has an infinite scale if `scaling` is "robust", so that it is 0 for the network. If it is
    "standard" the scale is 1, because `partial_fit` may bring other values; these may be of
    any size, so they are clipped. Sparse rows are scaled as the dense ones would be.

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
        With normal scores only if `scaling` is "robust".
    """
    if len(numeric) == 0:
        return Scaling(np.empty(0), np.empty(0))
    if scaling == "robust":
        return _robust(by_column(rows), numeric, sample_weight)
    centre, scale, deviation = _mean_and_deviation(blocks, rows, numeric, sample_weight)
    all_missing = np.isnan(centre)
    return Scaling(
        np.where(all_missing, 0.0, centre),
        np.where(all_missing, 1.0, scale),
        of_no_width=np.flatnonzero(all_missing | (scale != deviation)).tolist(),
    )


def standardise(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Subtract the centre from values and divide by the scale; 0 for missing values.

    Parameters
    ----------
    values : ndarray
    centre, scale : ndarray that broadcast with it

    Returns
    -------
    ndarray, float64
        A new array.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.subtract(values, centre, dtype=np.float64)
        scaled /= scale
    lowest = np.minimum.reduce(scaled, axis=None, initial=0.0)
    highest = np.maximum.reduce(scaled, axis=None, initial=0.0)
    if not -MOST_DEVIATIONS <= lowest <= highest <= MOST_DEVIATIONS:  # also if one is NaN
        scaled[np.isnan(scaled)] = 0.0
        np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)
    return scaled


def smooth_clip(scaled: np.ndarray) -> np.ndarray:
    r"""Clip values smoothly to [-3, 3], in place; values near 0 hardly change.

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


def _mean_and_deviation(
    blocks: Blocks, rows: Any, numeric: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, scales and standard deviations; the last two differ in columns without a width."""
    if sparse.issparse(rows):
        scaler = StandardScaler(with_mean=False)
        scaler.fit(rows.astype(np.float64), sample_weight=sample_weight)
        return scaler.mean_, scaler.scale_, np.sqrt(scaler.var_)
    # scikit-learn divides 0 by 0 where a column holds no number at all.
    with np.errstate(invalid="ignore", divide="ignore"):
        if isinstance(rows, Table):
            columns = [rows.columns[j].astype(np.float64).reshape(-1, 1) for j in numeric]
            scalers = [StandardScaler().fit(c, sample_weight=sample_weight) for c in columns]
        else:
            scalers = [StandardScaler()]
            for values, weight in blocks(rows, sample_weight):
                values = values[:, numeric].astype(np.float64)
                scalers[0].partial_fit(values, sample_weight=weight)
        return (
            np.concatenate([scaler.mean_ for scaler in scalers]),
            np.concatenate([scaler.scale_ for scaler in scalers]),
            np.concatenate([np.sqrt(scaler.var_) for scaler in scalers]),
        )


def _robust(rows: Any, numeric: np.ndarray, sample_weight: np.ndarray | None) -> Scaling:
    fitted = Scaling(np.zeros(len(numeric)), np.full(len(numeric), np.inf))
    for position, j in enumerate(numeric):
        half_range = _half_range_of_mostly_zeros(rows, j, sample_weight)
        if half_range is not None:
            fitted.scale[position] = half_range
            continue
        values, weight = known_values(rows, j, sample_weight)
        if len(values):
            centre, scale, is_heavy = _median_and_width(values, weight)
            fitted.centre[position], fitted.scale[position] = centre, scale
            if is_heavy:
                fitted.normal_scores[position] = NormalScores.fit(values, weight)
    return fitted


def _median_and_width(values: np.ndarray, weight: np.ndarray | None) -> tuple[float, float, bool]:
    """Median, width (inf if constant), and whether the tails are heavy.

    The width is the distance between the quartiles, or if that is 0 half the range. In the
    second case the unit for the tails is the median distance of the values off the median.
    """
    lower, median, upper = quantiles(values, weight, QUARTILES)
    with np.errstate(over="ignore"):
        width = min(upper - lower, np.finfo(np.float64).max)
        distance = np.abs(values - median)
    if width:
        return median, width, is_heavy_tailed(distance, width, weight)
    half_range = values.max() / 2 - values.min() / 2
    if not half_range:
        return median, np.inf, False
    is_off = distance > 0
    weight_off = None if weight is None else weight[is_off]
    typical = quantiles(distance[is_off], weight_off, [0.5])[0]
    return median, half_range, is_heavy_tailed(distance, typical, weight)


def _half_range_of_mostly_zeros(rows: Any, j: int, weight: np.ndarray | None) -> float | None:
    """Width of a sparse column with too few stored values for a tail; None for any other.

    This saves time: a matrix of words may have a hundred thousand such columns.
    """
    if not sparse.issparse(rows):
        return None
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = rows.data[stored]
    share = len(values) / rows.shape[0]
    if weight is not None:
        stored_weight = weight[rows.indices[stored]]
        values, share = values[stored_weight > 0], stored_weight.sum() / weight.sum()
    if share >= MANY * (1 - ROUNDING) or np.isnan(values).any():
        return None
    highest, lowest = values.max(initial=0.0), values.min(initial=0.0)
    return float(highest) / 2 - float(lowest) / 2 or np.inf
