"""Scaling of numeric columns: subtract the centre, then divide by the scale.

==========  ==========================  ============================================
scaling     centre                      scale
==========  ==========================  ============================================
"standard"  mean                        standard deviation
"robust"    median                      distance between the quartiles
==========  ==========================  ============================================

Robust scaling is followed by :func:`smooth_clip`. Holzmüller et al. (2024), "Better by
default", arXiv:2407.04491, compare eight ways to scale in table B.2 and choose these two steps
together. They suit columns with some outliers, but not columns with heavy tails. With "robust",
a column with heavy tails is therefore replaced by its normal scores
(:mod:`skkd.preprocessing.heavy_tails`). The scores are clipped too.
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

#: Largest absolute value after scaling, so that later arithmetic does not overflow in float32.
MOST_DEVIATIONS = 1e30

#: Largest absolute value after smooth clipping.
CLIP = 3.0

QUARTILES = (0.25, 0.5, 0.75)


@dataclass
class Scaling:
    """Centre, scale and normal scores of the numeric columns.

    `of_no_width` lists the constant and empty columns whose scale was set to 1. It and
    `normal_scores` refer to a column by its *position*: its index among the numeric columns. For
    example, if the columns 0, 2 and 5 of X are numeric, column 5 has position 2.
    """

    centre: np.ndarray  #: (n_numeric,), float64
    scale: np.ndarray  #: (n_numeric,), float64
    #: The normal scores of each column with heavy tails, by position of the column.
    normal_scores: dict[int, NormalScores] = field(default_factory=dict)
    #: Positions of constant or empty columns whose scale is set to 1.
    of_no_width: list[int] = field(default_factory=list)


#: A function that yields consecutive blocks of rows, each with its sample weights.
Blocks = Callable[[Any, np.ndarray | None], Iterable[tuple[Any, np.ndarray | None]]]


def fit_scaling(
    scaling: str,
    blocks: Blocks,
    rows: Any,
    numeric: np.ndarray,
    sample_weight: np.ndarray | None,
) -> Scaling:
    """Compute centre, scale and normal scores of numeric columns.

    Missing values do not count. A sparse matrix gives the same result as the dense array of its
    values. A constant column, or a column without any number, has the scale

    - infinity with "robust": numbers are divided by the scale, so the network always gets 0;
    - 1 with "standard": the network can learn from other values in a later `partial_fit`.

    Parameters
    ----------
    scaling : {"robust", "standard"}
    blocks : callable
        ``blocks(rows, sample_weight)`` yields blocks of rows, each with its sample weights.
    rows : ndarray, sparse matrix or Table
    numeric : ndarray of int
        Indices of the numeric columns.
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
    # With scale 1 the network can learn from other values that `partial_fit` may bring. They may
    # have any size, so the preprocessor clips the columns `of_no_width`.
    return Scaling(
        np.where(all_missing, 0.0, centre),
        np.where(all_missing, 1.0, scale),
        of_no_width=np.flatnonzero(all_missing | (scale != deviation)).tolist(),
    )


def standardise(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Subtract the centre from values, and divide by the scale.

    Parameters
    ----------
    values : ndarray
        NaN stands for a missing value.
    centre, scale : ndarray that broadcasts with `values`

    Returns
    -------
    ndarray, float64
        A new array, 0 where a value is missing. It is clipped to the range from
        -`MOST_DEVIATIONS` to `MOST_DEVIATIONS`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.subtract(values, centre, dtype=np.float64)
        scaled /= scale
    lowest = np.minimum.reduce(scaled, axis=None, initial=0.0)
    highest = np.maximum.reduce(scaled, axis=None, initial=0.0)
    if not -MOST_DEVIATIONS <= lowest <= highest <= MOST_DEVIATIONS:  # True also if one is NaN
        scaled[np.isnan(scaled)] = 0.0
        np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)
    return scaled


def smooth_clip(scaled: np.ndarray) -> np.ndarray:
    r"""Squash values smoothly to the range from -3 to 3, in place.

    Values near 0 hardly change.

    .. math:: x \mapsto x / \sqrt{1 + (x/3)^2}

    Parameters
    ----------
    scaled : ndarray, floating

    Returns
    -------
    ndarray
        The array `scaled` itself.

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
    """Compute mean, scale and standard deviation of each numeric column with StandardScaler.

    The scale is the standard deviation, but 1 for a constant column.
    """
    # Scale and deviation differ in constant columns, where StandardScaler sets the scale to 1.
    if sparse.issparse(rows):
        scaler = StandardScaler(with_mean=False)
        scaler.fit(rows.astype(np.float64), sample_weight=sample_weight)
        return scaler.mean_, scaler.scale_, np.sqrt(scaler.var_)
    # scikit-learn divides 0 by 0 where a column holds no number at all: the mean is NaN.
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
    # With an infinite scale the network always gets 0.
    fitted = Scaling(np.zeros(len(numeric)), np.full(len(numeric), np.inf))
    for position, j in enumerate(numeric):
        half_range = _half_range_if_mostly_zeros(rows, j, sample_weight)
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
    """Compute the median and the width of a column, and whether its tails are heavy."""
    lower, median, upper = quantiles(values, weight, QUARTILES)
    with np.errstate(over="ignore"):
        width = min(upper - lower, np.finfo(np.float64).max)
        distance = np.abs(values - median)
    if width:
        return median, width, is_heavy_tailed(distance, width, weight)
    # The quartiles are equal. So the width is half the range of the values, and the tails are
    # judged in another unit: the median of all distances from the median that are not 0.
    half_range = values.max() / 2 - values.min() / 2
    if not half_range:
        return median, np.inf, False
    is_off = distance > 0
    weight_off = None if weight is None else weight[is_off]
    typical = quantiles(distance[is_off], weight_off, [0.5])[0]
    return median, half_range, is_heavy_tailed(distance, typical, weight)


def _half_range_if_mostly_zeros(rows: Any, j: int, weight: np.ndarray | None) -> float | None:
    """Return half the range of a sparse column if it is almost all zeros, else None."""
    # A shortcut without quantiles: a word-count matrix may have a hundred thousand such columns.
    # Their median is 0, and they have too few nonzero values for a heavy tail.
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
