"""One call of `fit`: what the caller gave, as read, and how it is divided."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skkd.data.dataset import Examples, effective_rows
from skkd.selection.epochs import FEWEST_ROWS

__all__ = ["Seeds", "Task", "unwrapped_rows"]


class Seeds(NamedTuple):
    """What is drawn from `random_state`, one after the other."""

    network: int
    split: int
    teacher: int


@dataclass
class Task:
    """What one call of `fit` is about, the parameters apart.

    Parameters
    ----------
    X, y, sample_weight : object
        As the caller gave them.
    classes : ndarray of shape (n_classes,)
    of_classes : ndarray of shape (n_classes,)
        Their weights.
    train : skkd.data.dataset.Examples
        All rows but those that early stopping watches.
    valid : skkd.data.dataset.Examples or None
        Watched while they are fitted.
    held_out : skkd.data.dataset.Examples or None
        The caller's own validation rows.
    seeds : Seeds
    goes_on : bool
        Whether this is a warm start.
    X_unlabeled : container of rows, default=None
        Of which only a teacher can say something.
    """

    X: object
    y: object
    sample_weight: object
    classes: np.ndarray
    of_classes: np.ndarray
    train: Examples
    valid: Examples | None
    held_out: Examples | None
    seeds: Seeds
    goes_on: bool
    X_unlabeled: object = None

    @property
    def can_choose(self):
        """Whether rows enough can be held out to choose anything by them."""
        return not self.goes_on and self._rows_that_count() >= FEWEST_ROWS

    def _rows_that_count(self):
        """How many rows of equal weight say as much, whatever the weights of their classes."""
        targets = self.train.targets
        return effective_rows(targets["weights"] / self.of_classes[targets["labels"]])


def unwrapped_rows(value):
    """The content of a tuple of one, which keeps searches from slicing it."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
