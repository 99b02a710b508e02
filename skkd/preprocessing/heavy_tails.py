r"""Columns of which many values lie far out, and the scale that suits them: their ranks.

A linear unit that suits the middle of such a column leaves nothing but "far" of its tails.
Normal scores ask where a value stands among the others:

.. math:: s(x) = \frac{\Phi^{-1}(F(x))}{\Phi^{-1}(3/4) - \Phi^{-1}(1/4)}

with the share F of the weight that lies below x, half of that at x included; minus the score
of the median. They are the same for every increasing function of the column.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from skkd.data.columns import distinct, quantiles

__all__ = ["NormalScores", "is_heavy_tailed"]

#: In units of the column's width. Beyond lie 4 % of a Cauchy distribution, .6 % of a
#: log-normal one with sigma 1, .01 % of an exponential one, nothing of a normal one.
FAR = 8.0

#: Of the weight; fewer are outliers.
MANY = 0.01

#: Sums of weights are rounded, and so are values in another unit.
ROUNDING = 1e-9

#: Shares of the weight at whose quantiles the scores are kept.
LEVELS = ndtr(np.linspace(-3, 3, 33))


def is_heavy_tailed(distance, width, weight):
    """Whether more than a hundredth of the weight lies over eight widths from the median.

    What lies furthest of all does not count: one outlier is no tail.

    Parameters
    ----------
    distance : ndarray of shape (n_values,)
        From the median.
    width : float
        Above 0.
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
    """Scores of the values of a column; linear between those that are kept."""

    values: np.ndarray  #: (n_kept,), ascending
    scores: np.ndarray  #: (n_kept,); that of the median is 0

    @classmethod
    def fit(cls, values, weight=None):
        """Scores of a column.

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
        kept = np.searchsorted(values, quantiles(values, weight, [0.5, *LEVELS]))
        scores -= scores[kept[0]]
        kept = np.unique([0, *kept, len(values) - 1])
        return cls(values[kept], scores[kept])

    def transform(self, values):
        """Scores of values; 0 where missing, the outermost ones for all that is further out.

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
