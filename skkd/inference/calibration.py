"""Calibration of a teacher: the temperature at which its log-loss is lowest.

A student learns the over- or under-confidence of its teacher's soft labels. Dividing the
teacher's logits by a temperature corrects most of it. The temperature is fitted on rows that
the teacher was not fitted on (Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern
neural networks", arXiv:1706.04599),

    tau = argmin over tau of - mean over the rows of log softmax(log p / tau)[y]

The teacher is overconfident on the rows it was fitted on, so give held-out, out-of-bag or
out-of-fold probabilities.
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
        Columns in the order of the codes. Rows of zeros have no answer and are left out.
    codes : ndarray of int of shape (n_rows,)
        The true class of each row.
    weights : ndarray of shape (n_rows,), default=None
    proba_floor : float, default=1e-7
        Smallest probability before the logarithm, which bounds the loss of a row.

    Returns
    -------
    float
        Divide the logarithms of the probabilities by it. Above 1 the teacher is
        overconfident; it is 1 if no row is left.

    Examples
    --------
    >>> import numpy as np
    >>> too_sure = np.tile([0.99, 0.01], (3000, 1))  # and right on two rows of three
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
    """Return the temperature at which the log-loss of the rows and a prior is lowest.

    The prior is one more row that has all classes in equal parts. Without it the temperature
    would tend to 0 if all answers are right, even for very few rows.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_classes)
    labels : ndarray of int of shape (n_rows,)
    weights : ndarray of shape (n_rows,)
        Their sum is the effective number of rows, against one row of the prior.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.tile([9.0, 0.0], (3000, 1))  # and right on two rows of three
    >>> labels = np.array([0, 0, 1] * 1000)
    >>> round(9 / best_temperature(sure, labels, np.ones(3000)), 2)  # log 2
    0.69
    """
    rows = np.arange(len(labels))

    def total_loss(log_temperature: float) -> Any:
        log_p = log_softmax(logits / np.exp(log_temperature))
        return -weights @ log_p[rows, labels] - log_p.mean()

    return float(np.exp(minimize_scalar(total_loss, bounds=(-4.0, 6.0), method="bounded").x))
