"""How sure a teacher should be: the temperature at which its log-loss is lowest.

A teacher's soft labels carry its over- or under-confidence over to the student. One
number mends most of it: its logits divided by a temperature, chosen where the labels
were not seen (Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural
networks", arXiv:1706.04599),

    tau = argmin over tau of - mean over the rows of log softmax(log p / tau)[y]

On rows the teacher was fitted on it would merely learn that it knows them by heart: give
held-out, out-of-bag or out-of-fold probabilities.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from skkd.data.dataset import effective_rows
from skkd.inference.network import log_softmax

__all__ = ["best_temperature", "calibration_temperature"]


def calibration_temperature(probabilities, codes, weights=None, *, proba_floor=1e-7):
    """The temperature at which a teacher's log-loss on unseen rows is lowest.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Aligned. Rows that are all zero say nothing, and do not count.
    codes : ndarray of int of shape (n_rows,)
        The classes that are true.
    weights : ndarray of shape (n_rows,), default=None
    proba_floor : float, default=1e-7
        Smallest probability before the logarithm: how wrong a certain teacher is.

    Returns
    -------
    float
        Divide the logarithms of the probabilities by it. Above 1 the teacher was too
        sure; 1 where no row counts.

    Examples
    --------
    >>> import numpy as np
    >>> too_sure = np.tile([0.99, 0.01], (3000, 1))  # and right twice of three times
    >>> tau = calibration_temperature(too_sure, np.array([0, 0, 1] * 1000))
    >>> odds = np.exp(np.log(0.99 / 0.01) / tau)
    >>> round(float(odds), 1)
    2.0
    """
    weights = np.ones(len(codes)) if weights is None else weights
    counts = (probabilities.sum(axis=1) > 0) & (weights > 0)
    if not counts.any():
        return 1.0
    logits = np.log(np.maximum(probabilities[counts], proba_floor))
    weights = weights[counts] * (effective_rows(weights[counts]) / weights[counts].sum())
    return best_temperature(logits, codes[counts], weights)


def best_temperature(logits, labels, weights):
    """The temperature at which the log-loss is lowest, one more row of unknown class included.

    Without that row, n right answers would ask for a temperature of 0, however small n.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_classes)
    labels : ndarray of int of shape (n_rows,)
    weights : ndarray of shape (n_rows,)
        Their sum is the number of rows that counts.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.tile([9.0, 0.0], (3000, 1))  # and right twice of three times
    >>> labels = np.array([0, 0, 1] * 1000)
    >>> round(9 / best_temperature(sure, labels, np.ones(3000)), 2)  # log 2
    0.69
    """
    rows = np.arange(len(labels))

    def total_loss(log_temperature):
        log_p = log_softmax(logits / np.exp(log_temperature))
        return -weights @ log_p[rows, labels] - log_p.mean()

    return float(np.exp(minimize_scalar(total_loss, bounds=(-4.0, 6.0), method="bounded").x))
