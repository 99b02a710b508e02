r"""Normal scores: a rank-based scaling of columns with heavy tails.

If a column with heavy tails is scaled by its median and quartiles and then clipped, all values
in a tail become nearly equal. Normal scores keep these values apart. The score of a value x of a
column with median m is

.. math::
    s(x) - s(m), \qquad s(x) = \frac{\Phi^{-1}(F(x))}{\Phi^{-1}(3/4) - \Phi^{-1}(1/4)}

where F(x) is the share of the rows with values below x, plus half the share of the rows with the
value x. Rows count by their sample weights. :math:`\Phi^{-1}` is the quantile function of the
standard normal distribution. The scores do not change if an increasing function is applied to the
column.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from skkd.data.columns import distinct, quantiles

__all__ = ["NormalScores", "is_heavy_tailed"]

#: Distance from the median, in units of the column's width, beyond which a value is far. This
#: holds for 4 % of a Cauchy distribution, .6 % of a log-normal distribution with sigma 1, .01 %
#: of an exponential distribution, and no part of a normal distribution.
FAR = 8.0

#: Far values are a heavy tail if they have more than this share of the sample weight; else they
#: are outliers.
MANY = 0.01

#: Relative tolerance for rounding errors in sums of sample weights and in values after a change
#: of unit.
ROUNDING = 1e-9

#: The quantile levels of the column at which scores are stored.
LEVELS = ndtr(np.linspace(-3, 3, 33))


def is_heavy_tailed(distance: np.ndarray, width: float, weight: np.ndarray | None) -> bool:
    """Whether more than 1 % of the sample weight lies more than eight widths from the median.

    The value furthest from the median does not count, because one outlier is not a tail.

    Parameters
    ----------
    distance : ndarray of shape (n_values,)
        Distance of each value from the median.
    width : float
        The width of the column, such as the distance between its quartiles; above 0.
    weight : ndarray of shape (n_values,) or None
        The sample weight of each value; None if all are equal.

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
    """A map from the values of a column to normal scores.

    The scores of some values of the column are stored; other scores are interpolated linearly.
    """

    values: np.ndarray  #: (n_kept,), ascending
    scores: np.ndarray  #: (n_kept,), the score of each of `values`; the median has score 0

    @classmethod
    def fit(cls, values: np.ndarray, weight: np.ndarray | None = None) -> "NormalScores":
        """Compute the scores of a column, and store the scores of some values.

        These values are the lowest, the highest, the median, and 33 further quantiles.

        Parameters
        ----------
        values : ndarray of shape (n_values,), without NaN
            The values of the column, in any order.
        weight : ndarray of shape (n_values,), default=None
            The sample weight of each value; None if all are equal.

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
        """Return the scores of values.

        A missing value has score 0. A value outside the range of the column in `fit` has the
        score of the nearer end of the range.

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
