r"""Columns of which many values lie far out, and a scale that suits their tails, too.

A linear unit that suits the middle of such a column leaves its tails to the clip, which makes
one of a hundred units and of a million. The inverse hyperbolic sine is straight around 0 and
a logarithm further out:

.. math:: \operatorname{arsinh}(x) = \ln\left(x + \sqrt{1 + x^2}\right)
"""

import numpy as np

__all__ = ["is_heavy_tailed", "shorten_tails"]

#: In units of the column's width. Beyond lie 4 % of a Cauchy distribution, .6 % of a
#: log-normal one with sigma 1, .01 % of an exponential one, nothing of a normal one.
FAR = 8.0

#: Of the weight; fewer are outliers.
MANY = 0.01

#: Sums of weights are rounded, and so are values in another unit.
ROUNDING = 1e-9


def is_heavy_tailed(distance, width, weight):
    """Whether more than a hundredth of the weight lies over eight widths from the median.

    They must not all lie equally far: one outlier is no tail, however few rows there are.

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
    >>> is_heavy_tailed(np.append(near, [20, 1e6]), 1.0, None)
    True
    """
    with np.errstate(over="ignore"):
        is_far = distance > FAR * width * (1 + ROUNDING)
    share = np.average(is_far, weights=weight)
    return bool(share > MANY * (1 + ROUNDING)) and len(np.unique(distance[is_far])) > 1


def shorten_tails(scaled, is_heavy):
    """The inverse hyperbolic sine of some columns, in place.

    Parameters
    ----------
    scaled : ndarray of shape (n_rows, n_columns), floating
    is_heavy : ndarray of shape (n_columns,), bool

    Returns
    -------
    ndarray
        The argument.

    Examples
    --------
    >>> import numpy as np
    >>> shorten_tails(np.array([[0.1, 0.1], [1e6, 1e6]]), np.array([True, False])).round(1)
    array([[1.00e-01, 1.00e-01],
           [1.45e+01, 1.00e+06]])
    """
    if is_heavy.any():
        scaled[:, is_heavy] = np.arcsinh(scaled[:, is_heavy])
    return scaled
