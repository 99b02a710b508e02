"""Where numeric columns lie and how wide they are, and values in that unit.

==========  ==========================  ============================================
"standard"  mean                        standard deviation
"robust"    median                      distance between the quartiles
==========  ==========================  ============================================

Robust scaling is followed by :func:`smooth_clip`. Together they are what made the
difference among eight ways to scale in Holzmüller et al. (2024), "Better by default",
arXiv:2407.04491, table B.2. They serve columns with some outliers; those with heavy tails
(:mod:`skkd.preprocessing.heavy_tails`) are seen as normal scores instead, clipped as well.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skkd.data.columns import by_column, known_values, quantiles
from skkd.data.tables import Table
from skkd.preprocessing.heavy_tails import MANY, ROUNDING, NormalScores, is_heavy_tailed

__all__ = ["SCALINGS", "Scaling", "fit_scaling", "smooth_clip", "standardise"]

SCALINGS = ("robust", "standard")

#: No standardised value is larger, so that nothing behind it overflows, in float32 neither.
MOST_DEVIATIONS = 1e30

#: Where the smooth clip ends.
CLIP = 3.0

QUARTILES = (0.25, 0.5, 0.75)


@dataclass
class Scaling:
    """Of numeric columns, by their position among them."""

    centre: np.ndarray  #: (n_numeric,), float64
    scale: np.ndarray  #: (n_numeric,), float64
    normal_scores: dict = field(default_factory=dict)  #: NormalScores of heavy-tailed ones
    of_no_width: list = field(default_factory=list)  #: those whose scale of 1 means nothing


def fit_scaling(scaling, blocks, rows, numeric, sample_weight):
    """Centre, scale and normal scores of the numeric columns, missing values left out.

    A column without any number has centre 0. It, and any other without a width, has an
    infinite scale where scaling is "robust": the network never sees it. Where it is
    "standard" the scale is 1, for `partial_fit` may bring other values; as nobody knows
    how large these are, they are clipped. Sparse rows are scaled as the dense ones would be.

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
        Normal scores are "robust" alone.
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


def _mean_and_deviation(blocks, rows, numeric, sample_weight):
    """Means, scales and standard deviations, which differ in columns without a width."""
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
        found = [(s.mean_, s.scale_, np.sqrt(s.var_)) for s in scalers]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _robust(rows, numeric, sample_weight):
    fitted = Scaling(np.zeros(len(numeric)), np.full(len(numeric), np.inf))
    for position, j in enumerate(numeric):
        nearly_all_zeros = _half_range_of_nearly_zeros(rows, j, sample_weight)
        if nearly_all_zeros is not None:
            fitted.scale[position] = nearly_all_zeros
            continue
        values, weight = known_values(rows, j, sample_weight)
        if len(values):
            centre, scale, is_heavy = _median_and_width(values, weight)
            fitted.centre[position], fitted.scale[position] = centre, scale
            if is_heavy:
                fitted.normal_scores[position] = NormalScores.fit(values, weight)
    return fitted


def _median_and_width(values, weight):
    """Median, width (inf if constant), and whether the tails are heavy.

    The width is the distance between the quartiles, or where that is 0 half the range. Tails
    are then measured by the median distance of the other values: two values have none.
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
    others = distance > 0
    of_others = None if weight is None else weight[others]
    typical = quantiles(distance[others], of_others, [0.5])[0]
    return median, half_range, is_heavy_tailed(distance, typical, weight)


def _half_range_of_nearly_zeros(rows, j, weight):
    """Width of a sparse column with too few stored values for a tail; None for any other.

    Quick, for texts have a hundred thousand such columns.
    """
    if not sparse.issparse(rows):
        return None
    stored = slice(rows.indptr[j], rows.indptr[j + 1])
    values = rows.data[stored]
    share = len(values) / rows.shape[0]
    if weight is not None:
        of_stored = weight[rows.indices[stored]]
        values, share = values[of_stored > 0], of_stored.sum() / weight.sum()
    if share >= MANY * (1 - ROUNDING) or np.isnan(values).any():
        return None
    highest, lowest = values.max(initial=0.0), values.min(initial=0.0)
    return float(highest) / 2 - float(lowest) / 2 or np.inf
