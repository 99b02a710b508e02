"""The number of epochs, selected on held-out rows by the one-standard-error rule.

On a noisy table a network overfits after a few epochs; on a clean one it improves to the last.
In some schedules (CosLog, CosineRestarts) the learning rate falls to its minimum several times.
The numbers of epochs up to each of these minima are compared. A single training is enough: it
reaches them one after another.

The rule selects the largest number of epochs whose held-out loss is close to the lowest one. Close
means that the difference is at most its standard error. As this error is large for few held-out
rows, the difference must also be within a fixed tolerance.

Before a loss is computed, the logits are divided by the temperature that gives the lowest log-loss
on the held-out rows. The confidence of a network changes with the epochs and with label smoothing,
and should not make a less accurate network win (Berta, Holzmüller, Jordan and Bach 2025,
"Rethinking early stopping: refine, then calibrate", arXiv:2501.19195). The fitted network gets the
temperature of the selected number of epochs.
"""

from typing import Any

import numpy as np

from skkd.data.dataset import effective_rows
from skkd.inference.calibration import best_temperature
from skkd.inference.network import log_softmax

__all__ = [
    "FEWEST_HELD_OUT",
    "FEWEST_ROWS",
    "EpochChoice",
    "is_intolerable",
    "is_worse",
]

#: For tables of fewer rows nothing is selected, and defaults are used.
FEWEST_ROWS = 200

#: With fewer held-out rows nothing is selected, and defaults are used.
FEWEST_HELD_OUT = 10

#: A loss is too far from the lowest one if it is above `RELATIVE_TOLERANCE` times the lowest, plus
#: `ABSOLUTE_TOLERANCE`.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1.05, 0.005


class EpochChoice:
    """Selects the number of epochs of a training by held-out log-losses.

    Call :meth:`judge` after each number of epochs to compare. Each loss is computed at the
    temperature for which it is lowest.

    Parameters
    ----------
    labels : ndarray of int of shape (n_rows,)
        Labels of the held-out rows, as codes.
    weights : ndarray of shape (n_rows,)
        Weights of the held-out rows.

    Attributes
    ----------
    n_epochs : int or None
        The number of epochs that is selected so far; None before the first call of `judge`.
    temperature : float
        The temperature at which the log-loss is lowest after `n_epochs` epochs.
    losses : dict of int to float
        The log-loss of the held-out rows, by number of epochs.
    row_losses : dict of int to ndarray of shape (n_rows,)
        The log-loss of each held-out row, by number of epochs.
    predicted : dict of int to ndarray of int of shape (n_rows,)
        The most likely class of each held-out row, by number of epochs.
    """

    def __init__(self, labels: np.ndarray, weights: np.ndarray) -> None:
        self.labels = labels
        self.weights = weights * (effective_rows(weights) / weights.sum())
        self.row_losses: dict[int, np.ndarray] = {}
        self.predicted: dict[int, np.ndarray] = {}
        self.losses: dict[int, float] = {}
        self.n_epochs: Any = None
        self.temperature = 1.0

    @property
    def loss(self) -> float:
        """The held-out log-loss after the selected number of epochs."""
        return self.losses[self.n_epochs]

    @property
    def learned_nothing(self) -> bool:
        """Whether the network was never better than a prediction of the class frequencies."""
        shares = np.bincount(self.labels, weights=self.weights)
        shares = shares[shares > 0] / shares.sum()
        return bool(min(self.losses.values()) >= -shares @ np.log(shares))

    def judge(self, epoch: int, logits: np.ndarray) -> bool:
        """Record the loss after a number of epochs, and select this number if the loss is low.

        Low means close to the lowest loss so far.

        Parameters
        ----------
        epoch : int
            The number of epochs so far.
        logits : ndarray of shape (n_rows, n_classes)
            The network's logits for the held-out rows.

        Returns
        -------
        bool
            Whether to stop training: True if the loss is higher than the lowest one so far by more
            than the standard error of the difference.
        """
        weights = self.weights
        row_losses, temperature = self._row_losses(logits)
        loss = float(np.average(row_losses, weights=weights))
        self.row_losses[epoch] = row_losses
        self.predicted[epoch] = logits.argmax(axis=1)
        best = min(self.losses, key=self.losses.__getitem__, default=epoch)
        self.losses[epoch] = loss
        if is_worse(row_losses - self.row_losses[best], weights):
            return True
        if is_intolerable(loss, self.losses[best]):
            return False
        self.n_epochs, self.temperature = epoch, temperature
        return False

    def against(self, logits: np.ndarray) -> tuple[float, bool]:
        """Compare another classifier with the network after the selected number of epochs.

        Parameters
        ----------
        logits : ndarray of shape (n_rows, n_classes)
            The logits of the other classifier for the held-out rows.

        Returns
        -------
        loss : float
            The log-loss of the other classifier, at its own best temperature.
        is_worse : bool
            Whether the loss of the other classifier is higher than the network's by more than
            the standard error of the difference.
        """
        theirs, _ = self._row_losses(logits)
        loses = is_worse(theirs - self.row_losses[self.n_epochs], self.weights)
        return float(np.average(theirs, weights=self.weights)), loses

    def _row_losses(self, logits: np.ndarray) -> tuple[np.ndarray, float]:
        """Compute each row's log-loss at the best temperature, and return this temperature, too."""
        temperature = best_temperature(logits, self.labels, self.weights)
        log_p = log_softmax(logits / temperature)
        return -log_p[np.arange(len(self.labels)), self.labels], temperature


def is_intolerable(loss: float, lowest: float) -> bool:
    """Whether a loss is too far from the lowest one to be selected, whatever its standard error.

    Parameters
    ----------
    loss, lowest : float

    Returns
    -------
    bool

    Examples
    --------
    >>> is_intolerable(0.21, lowest=0.20), is_intolerable(0.22, lowest=0.20)
    (False, True)
    """
    return loss > RELATIVE_TOLERANCE * lowest + ABSOLUTE_TOLERANCE


def is_worse(differences: np.ndarray, weights: np.ndarray, errors: float = 1.0) -> bool:
    """Whether the weighted mean of differences is more than `errors` standard errors above 0.

    Parameters
    ----------
    differences : ndarray of shape (n_rows,)
        Differences of two losses, row by row.
    weights : ndarray of shape (n_rows,)
    errors : float, default=1.0
        Number of standard errors.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> is_worse(np.array([0.5, 1.5]), np.ones(2), errors=2)
    True
    >>> is_worse(np.array([-0.5, 1.5]), np.ones(2), errors=2)
    False
    """
    mean = np.average(differences, weights=weights)
    error = np.sqrt(np.sum((weights * (differences - mean)) ** 2)) / weights.sum()
    return bool(mean > errors * error)
