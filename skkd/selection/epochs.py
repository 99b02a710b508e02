"""The number of epochs, selected on held-out rows by the one-standard-error rule.

On a noisy table a network overfits after a few epochs; on a clean one it improves to the last.
A schedule whose learning rate falls to its minimum several times (CosLog, CosineRestarts) has
as many lengths at which training may end, and one training passes them all. The longest is
selected whose loss is not higher than the lowest by more than the standard error of their
difference. As this error is large for few held-out rows, there is also a fixed tolerance.

The losses are log-losses at the temperature that suits the held-out rows best. The confidence
of a network changes with the epochs and with label smoothing, and should not make a less
accurate network win (Berta, Holzmüller, Jordan and Bach 2025, "Rethinking early
stopping: refine, then calibrate", arXiv:2501.19195). The fitted network gets the
temperature of its length.
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
    "is_worse",
]

#: Nothing is selected for tables of fewer rows.
FEWEST_ROWS = 200

#: Nothing is selected on fewer held-out rows.
FEWEST_HELD_OUT = 10

#: A length is not selected if its loss is above `RELATIVE_TOLERANCE` times the lowest, plus
#: `ABSOLUTE_TOLERANCE`.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1.05, 0.005


class EpochChoice:
    """Compares the held-out log-losses at the lengths at which a training may end.

    Parameters
    ----------
    labels : ndarray of int of shape (n_rows,)
        Of the held-out rows.
    weights : ndarray of shape (n_rows,)

    Attributes
    ----------
    n_epochs : int or None
        The length selected so far.
    temperature : float
        The temperature at which its log-loss is lowest.
    losses : dict of int to float
        Held-out log-loss at each length that was reached, at its best temperature.
    row_losses : dict of int to ndarray of shape (n_rows,)
        The same for each row.
    """

    def __init__(self, labels: np.ndarray, weights: np.ndarray) -> None:
        self.labels = labels
        self.weights = weights * (effective_rows(weights) / weights.sum())
        self.row_losses: dict[int, np.ndarray] = {}
        self.losses: dict[int, float] = {}
        self.n_epochs: Any = None
        self.temperature = 1.0

    @property
    def loss(self) -> float:
        """The log-loss at the selected length."""
        return self.losses[self.n_epochs]

    @property
    def learned_nothing(self) -> bool:
        """Whether class frequencies alone have a log-loss as low."""
        shares = np.bincount(self.labels, weights=self.weights)
        shares = shares[shares > 0] / shares.sum()
        return bool(min(self.losses.values()) >= -shares @ np.log(shares))

    def judge(self, epoch: int, logits: np.ndarray) -> bool:
        """Compare the network after an epoch with those at earlier lengths.

        Parameters
        ----------
        epoch : int
        logits : ndarray of shape (n_rows, n_classes)
            Of the held-out rows.

        Returns
        -------
        bool
            Whether to stop training, because the loss is higher than the lowest by more than
            the standard error.
        """
        weights = self.weights
        row_losses, temperature = self._row_losses(logits)
        loss = float(np.average(row_losses, weights=weights))
        self.row_losses[epoch] = row_losses
        best = min(self.losses, key=self.losses.__getitem__, default=epoch)
        self.losses[epoch] = loss
        if is_worse(row_losses - self.row_losses[best], weights):
            return True
        if loss > RELATIVE_TOLERANCE * self.losses[best] + ABSOLUTE_TOLERANCE:
            return False
        self.n_epochs, self.temperature = epoch, temperature
        return False

    def against(self, logits: np.ndarray) -> tuple[float, bool]:
        """Compare another classifier on the held-out rows, at its own best temperature.

        Parameters
        ----------
        logits : ndarray of shape (n_rows, n_classes)
            Its logits for these rows.

        Returns
        -------
        loss : float
            Its log-loss.
        is_worse : bool
            Whether it is higher than that of the selected length by more than the standard
            error.
        """
        theirs, _ = self._row_losses(logits)
        loses = is_worse(theirs - self.row_losses[self.n_epochs], self.weights)
        return float(np.average(theirs, weights=self.weights)), loses

    def _row_losses(self, logits: np.ndarray) -> tuple[np.ndarray, float]:
        """The log-loss of each row at the best temperature, and this temperature."""
        temperature = best_temperature(logits, self.labels, self.weights)
        log_p = log_softmax(logits / temperature)
        return -log_p[np.arange(len(self.labels)), self.labels], temperature


def is_worse(differences: np.ndarray, weights: np.ndarray, errors: float = 1.0) -> bool:
    """Whether the weighted mean is above zero by more than some standard errors.

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
