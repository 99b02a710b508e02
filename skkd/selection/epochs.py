"""How many epochs: chosen on held-out rows, where the schedule has several good ends.

A noisy table is learned in a few epochs and then by heart; a clean one gains to the last.
A schedule whose rate falls to its lowest more than once (CosLog, CosineRestarts) offers
as many lengths, all of which one training passes. The longest is taken that is not
worse than the best by more than the standard error of their difference; nor visibly so, for
few held-out rows have a large error.

What is compared is the log-loss at the temperature that suits the held-out rows best:
how sure a network is changes with the epochs and with label smoothing, and is no reason
to prefer one that knows less (Berta, Holzmüller, Jordan and Bach 2025, "Rethinking early
stopping: refine, then calibrate", arXiv:2501.19195). The fitted network gets the
temperature of its length.
"""

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

#: With fewer rows there is too little to hold out.
FEWEST_ROWS = 200

#: Fewer held-out rows say nothing.
FEWEST_HELD_OUT = 10

#: A length whose loss is higher than so many times the lowest, and so much more, is not taken.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1.05, 0.005


class EpochChoice:
    """Compares held-out log-losses at the lengths that a training may have.

    Parameters
    ----------
    labels : ndarray of int of shape (n_rows,)
        Of the held-out rows.
    weights : ndarray of shape (n_rows,)

    Attributes
    ----------
    n_epochs : int or None
        The choice as of now.
    temperature : float
        At which its log-loss is lowest.
    losses : dict of int to float
        Held-out log-loss at each length that was reached, at its best temperature.
    row_losses : dict of int to ndarray of shape (n_rows,)
        The same of each row.
    """

    def __init__(self, labels, weights):
        self.labels = labels
        self.weights = weights * (effective_rows(weights) / weights.sum())
        self.row_losses = {}
        self.losses = {}
        self.n_epochs = None
        self.temperature = 1.0

    @property
    def loss(self):
        """The log-loss at the length chosen."""
        return self.losses[self.n_epochs]

    @property
    def learned_nothing(self):
        """Whether class frequencies alone would have done as well."""
        shares = np.bincount(self.labels, weights=self.weights)
        shares = shares[shares > 0] / shares.sum()
        return bool(min(self.losses.values()) >= -shares @ np.log(shares))

    def judge(self, epoch, logits):
        """Compare the network after some epochs with those before.

        Parameters
        ----------
        epoch : int
        logits : ndarray of shape (n_rows, n_classes)
            Of the held-out rows.

        Returns
        -------
        bool
            Whether going on is no use.
        """
        weights = self.weights
        row_losses, temperature = self._row_losses(logits)
        loss = float(np.average(row_losses, weights=weights))
        self.row_losses[epoch] = row_losses
        best = min(self.losses, key=self.losses.get, default=epoch)
        self.losses[epoch] = loss
        if is_worse(row_losses - self.row_losses[best], weights):
            return True
        if loss > RELATIVE_TOLERANCE * self.losses[best] + ABSOLUTE_TOLERANCE:
            return False
        self.n_epochs, self.temperature = epoch, temperature
        return False

    def against(self, logits):
        """How another classifier does on the held-out rows, at its own best temperature.

        Parameters
        ----------
        logits : ndarray of shape (n_rows, n_classes)
            Its logits of these rows.

        Returns
        -------
        loss : float
            Its log-loss.
        is_worse : bool
            Whether that is higher than ours by more than the standard error.
        """
        theirs, _ = self._row_losses(logits)
        loses = is_worse(theirs - self.row_losses[self.n_epochs], self.weights)
        return float(np.average(theirs, weights=self.weights)), loses

    def _row_losses(self, logits):
        temperature = best_temperature(logits, self.labels, self.weights)
        log_p = log_softmax(logits / temperature)
        return -log_p[np.arange(len(self.labels)), self.labels], temperature


def is_worse(differences, weights, errors=1.0):
    """Whether the weighted mean is above zero by more than so many standard errors.

    Parameters
    ----------
    differences : ndarray of shape (n_rows,)
        Of losses, row by row.
    weights : ndarray of shape (n_rows,)
    errors : float, default=1.0

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
