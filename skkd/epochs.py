"""How many epochs: chosen on held-out rows, where the schedule has several good ends.

A noisy table is learned in a few epochs and then by heart; a clean one gains to the last.
A schedule whose rate falls to its lowest more than once (CosLog, CosineRestarts) offers
as many lengths, all of which one training passes. The longest is taken that is not
worse than a shorter one by more than the standard error of their difference.
"""

import numpy as np

from skkd.network import log_softmax

__all__ = ["FEWEST_ROWS", "EpochChoice"]

#: With fewer rows there is too little to hold out.
FEWEST_ROWS = 200


class EpochChoice:
    """Listens to a training, and compares held-out log-losses where the rate is lowest.

    Parameters
    ----------
    lengths : sequence of int
        Numbers of epochs to choose among, in ascending order.
    held_out : skkd.examples.Examples
        Their labels and weights count.

    Attributes
    ----------
    n_epochs : int or None
        The choice as of now.
    losses : dict of int to float
        Held-out log-loss at each length that was reached.
    """

    def __init__(self, lengths, held_out):
        self.lengths = lengths
        self.held_out = held_out
        self.n_epochs = None
        self.losses = {}
        self.best_row_losses = None

    def hear(self, record, network):
        """Take note of an epoch.

        Parameters
        ----------
        record : dict
            Of the epoch; its "epoch" counts.
        network : callable
            Returns the network as of now.

        Returns
        -------
        bool
            Whether going on is no use.
        """
        if record["epoch"] not in self.lengths:
            return False
        labels, weights = self.held_out.targets["labels"], self.held_out.targets["weights"]
        log_p = log_softmax(network().logits(self.held_out.rows))
        row_losses = -log_p[np.arange(len(labels)), labels]
        self.losses[record["epoch"]] = float(np.average(row_losses, weights=weights))
        if self.n_epochs is not None and _is_worse(row_losses - self.best_row_losses, weights):
            return True
        self.n_epochs, self.best_row_losses = record["epoch"], row_losses
        return False


def _is_worse(differences, weights):
    """Whether the weighted mean is above zero by more than its standard error."""
    mean = np.average(differences, weights=weights)
    error = np.sqrt(np.sum((weights * (differences - mean)) ** 2)) / weights.sum()
    return bool(mean > error)
