"""Calibration of a teacher: the temperature at which its log-loss is lowest.

A student learns from the soft labels of its teacher, so the student becomes as over- or
under-confident as the teacher. Dividing the teacher's logits by a temperature tau corrects most
of this error. The temperature is fitted on rows that the teacher was not fitted on (Guo, Pleiss,
Sun and Weinberger 2017, "On calibration of modern neural networks", arXiv:1706.04599):

    tau = argmin over tau of - mean over the rows of log softmax(log p / tau)[y]

Here p is the vector of the teacher's probabilities of all classes for a row, and y is the row's
true class. The teacher is overconfident on the rows it was fitted on, so p must be a held-out,
out-of-bag or out-of-fold prediction.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from skkd.data.dataset import effective_rows
from skkd.inference.network import log_softmax

__all__ = ["best_temperature", "calibration_temperature"]


def calibration_temperature(
    probabilities: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    proba_floor: float = 1e-7,
) -> float:
    """Return the temperature at which a teacher's log-loss on held-out rows is lowest.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        The teacher's predictions. Rows of zeros are missing predictions and are left out.
    codes : ndarray of int of shape (n_rows,)
        The true class of each row, as a column number of `probabilities`.
    weights : ndarray of shape (n_rows,), default=None
        Sample weights. Rows of weight 0 are left out.
    proba_floor : float, default=1e-7
        Smaller probabilities are raised to this value, so that no row has an infinite loss.

    Returns
    -------
    float
        The number by which to divide the log-probabilities. It is above 1 if the teacher is
        overconfident, and 1 if no rows are left.

    Examples
    --------
    >>> import numpy as np
    >>> too_sure = np.tile([0.99, 0.01], (3000, 1))  # right in two of three rows
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


def best_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the temperature at which the log-loss of the rows, plus a prior, is lowest.

    The prior acts like one additional row of weight 1 in which all classes are equally likely.
    Without it, the temperature would tend to 0 whenever all predictions are right.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_classes)
    labels : ndarray of int of shape (n_rows,)
        The true class of each row.
    weights : ndarray of shape (n_rows,)
        The weights of the rows. Scale them to sum to the effective number of rows: only then
        does the prior count as much as one row.

    Returns
    -------
    float

    Examples
    --------
    The first class is true in two of three rows. Its odds are 2, so its best logit, with 0 for
    the second class, is log 2 = 0.69:

    >>> import numpy as np
    >>> logits = np.tile([9.0, 0.0], (3000, 1))
    >>> labels = np.array([0, 0, 1] * 1000)
    >>> temperature = best_temperature(logits, labels, weights=np.ones(3000))
    >>> round(9.0 / temperature, 2)
    0.69
    """
    rows = np.arange(len(labels))

    def total_loss(log_temperature: float) -> Any:
        log_p = log_softmax(logits / np.exp(log_temperature))
        return -weights @ log_p[rows, labels] - log_p.mean()

    return float(np.exp(minimize_scalar(total_loss, bounds=(-4.0, 6.0), method="bounded").x))
