r"""Normal scores: a scale for columns with heavy tails that depends on ranks alone.

If such a column is scaled to fit its middle and then clipped, all values of its tails become
nearly equal. Normal scores keep them apart. The score of a value x is

.. math:: s(x) = \frac{\Phi^{-1}(F(x))}{\Phi^{-1}(3/4) - \Phi^{-1}(1/4)}

minus the score of the median, where F is the share of the weight below x plus half the share
at x. The scores are the same for every increasing function of the column.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from skkd.data.columns import distinct, quantiles

__all__ = ["NormalScores", "is_heavy_tailed"]

#: Distance from the median, in units of the column's width, beyond which a value is far. So
#: are 4 % of a Cauchy distribution, .6 % of a log-normal one with sigma 1, .01 % of an
#: exponential one, nothing of a normal one.
FAR = 8.0

#: Share of the weight beyond which far values are a tail; up to it they are outliers.
MANY = 0.01

#: Relative tolerance for rounding in sums of weights and in values of another unit.
ROUNDING = 1e-9

#: Shares of the weight at whose quantiles the scores are kept.
LEVELS = ndtr(np.linspace(-3, 3, 33))


def is_heavy_tailed(distance: np.ndarray, width: float, weight: np.ndarray | None) -> bool:
    """Whether more than a hundredth of the weight lies over eight widths from the median.

    The value that lies furthest does not count: one outlier is not a tail.

    Parameters
    ----------
    distance : ndarray of shape (n_values,)
        Distance of each value from the median.
    width : float
        Unit of the distances, above 0.
    weight : ndarray of shape (n_values,) or None

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> near = np.linspace(0, 2, 95)
    >>> is_heavy_tailed(np.append(near, 1e6), 1.0, None)
    False
    >>> is_heavy_tailed(np.append(near, [20, 40, 1e6]), 1.0, None)
    True
    """
    with np.errstate(over="ignore"):
        is_far = distance > FAR * width * (1 + ROUNDING)
    is_far &= distance < distance.max()
    return bool(np.average(is_far, weights=weight) > MANY * (1 + ROUNDING))


@dataclass(eq=False)
class NormalScores:
    """Normal scores of a column: kept at some of its values, interpolated linearly between."""

    values: np.ndarray  #: (n_kept,), ascending
    scores: np.ndarray  #: (n_kept,); that of the median is 0

    @classmethod
    def fit(cls, values: np.ndarray, weight: np.ndarray | None = None) -> "NormalScores":
        """Compute the scores of a column and keep them at some of its quantiles.

        Parameters
        ----------
        values : ndarray of shape (n_values,), without NaN
        weight : ndarray of shape (n_values,), default=None

        Returns
        -------
        NormalScores

        Examples
        --------
        >>> import numpy as np
        >>> x = np.arange(1.0, 8.0)
        >>> NormalScores.fit(np.exp(x)).transform(np.exp([2.0, 4.0, 6.0, 50.0])).round(1)
        array([-0.6,  0. ,  0.6,  1.1])
        """
        values, weight = distinct(values, weight)
        up_to = np.cumsum(weight)
        scores = ndtri((up_to - weight / 2) / up_to[-1]) / (ndtri(0.75) - ndtri(0.25))
        at_quantiles = np.searchsorted(values, quantiles(values, weight, [0.5, *LEVELS]))
        scores -= scores[at_quantiles[0]]
        kept = np.unique([0, *at_quantiles, len(values) - 1])
        return cls(values[kept], scores[kept])

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return scores: 0 for missing values, the outermost score for values further out.

        Parameters
        ----------
        values : ndarray of shape (n_values,)

        Returns
        -------
        ndarray of shape (n_values,), float64
        """
        scores = np.interp(values, self.values, self.scores)
        scores[np.isnan(scores)] = 0.0
        return scores
