"""The transfer set of one fit: rows without labels, collected or made, that a teacher labels."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from skkd.checks import noted
from skkd.data.conversion import in_container_of
from skkd.data.dataset import Dataset
from skkd.data.validation import picked

__all__ = ["FreshRows", "Labeller", "TransferSet", "auto_size"]

#: Rows that are made, and asked about, at a time.
BATCH_ROWS = 10_000

#: The same where the clock decides how many.
CLOCKED_ROWS = 500

#: Synthetic rows by default: so many for each row, but no more than so many in all.
TIMES, MOST = 10, 100_000


def auto_size(n_rows):
    """How many synthetic rows a table of so many rows gets, unless told otherwise.

    Parameters
    ----------
    n_rows : int

    Returns
    -------
    int

    Examples
    --------
    >>> auto_size(1000), auto_size(50_000), auto_size(300_000)
    (10000, 100000, 300000)
    """
    return max(n_rows, min(TIMES * n_rows, MOST))


class Labeller(Protocol):
    """What a transfer set needs of a teacher: see :class:`skkd.teachers.teacher.Teacher`."""

    def soft_labels(self, X: Any, are_made: bool = False) -> np.ndarray:
        """Probabilities of rows, of shape (n_rows, n_classes)."""

    def series_of_calls(self) -> AbstractContextManager[None]:
        """A context for several questions in a row."""


@dataclass(frozen=True)
class TransferSet:
    """Rows that only a teacher labels: where they come from, and how many there are.

    Nothing is made or kept here: :meth:`rows_beside` makes the rows.

    Parameters
    ----------
    X : container of n_rows rows
        As the caller has it.
    teacher : Labeller
    read : callable
        Rows as the caller has them -> as the preprocessor takes them.
    logits : callable
        Soft labels -> teacher's logits.
    class_weights : ndarray of shape (n_classes,)
        A row has their mean, weighted by its soft label.
    X_unlabeled : container of rows, default=None
    sampler : skkd.transfer.Sampler, default=None
        Not fitted.
    size : int, "auto" or "fresh", default="auto"
        Synthetic rows; "fresh": as many as have labels, others in each pass.
    seconds : float, default=None
        No more synthetic rows are made after so many.
    categorical : sequence of int, default=()
    seed : int, default=0
    """

    X: Any
    teacher: Labeller
    read: Callable[[Any], Any]
    logits: Callable[[np.ndarray], np.ndarray]
    class_weights: np.ndarray
    X_unlabeled: Any = None
    sampler: Any = None
    size: int | str = "auto"
    seconds: float | None = None
    categorical: Sequence[int] = ()
    seed: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether other rows are made for each pass."""
        return self.size == "fresh"

    def shared_by(self, n_sets: int) -> "TransferSet":
        """The same, made so many times within the same seconds in all.

        Parameters
        ----------
        n_sets : int

        Returns
        -------
        TransferSet
        """
        return self if self.seconds is None else replace(self, seconds=self.seconds / n_sets)

    def labelled_by(self, teacher: Labeller) -> "TransferSet":
        """The same rows, labelled by another teacher.

        Parameters
        ----------
        teacher : Labeller

        Returns
        -------
        TransferSet
        """
        return replace(self, teacher=teacher)

    def rows_beside(self, labelled: Dataset) -> Dataset:
        """The rows, in random order.

        Parameters
        ----------
        labelled : skkd.data.dataset.Dataset
            The rows that synthetic ones resemble. Rows that are held out are not among them,
            so that no information about them leaks into the set.

        Returns
        -------
        skkd.data.dataset.Dataset
        """
        random_state = np.random.RandomState(self.seed)
        if self.is_fresh:
            return self._fresh_rows(labelled, random_state)
        with self.teacher.series_of_calls():
            rows = _weighted_equally(self._parts(labelled, random_state))
        return rows.take(random_state.permutation(len(rows)))

    def _fresh_rows(self, labelled, random_state):
        """Rows for the first pass, and what makes those of the others: none are kept."""
        sampler = self._fitted_sampler(labelled)
        batches = partial(self._made, sampler, len(labelled), random_state, BATCH_ROWS)
        fresh_rows = FreshRows(batches, self._labelled_synthetic, len(labelled), self.seconds)
        return replace(fresh_rows.next(), fresh_rows=fresh_rows)

    def _parts(self, labelled, random_state):
        """The rows that were collected, and those that are made, with their soft labels."""
        if self.X_unlabeled is not None:
            with noted("Raised about the rows of X_unlabeled."):
                rows = in_container_of(self.X, self.X_unlabeled, "X_unlabeled")
                collected = self._labelled_by_teacher(rows, are_made=False)
            yield collected
        if self.sampler is not None:
            for rows in self._synthetic_rows(labelled, random_state):
                yield self._labelled_synthetic(rows)

    def _synthetic_rows(self, labelled, random_state):
        """Containers of rows as the caller has them."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        sampler = self._fitted_sampler(labelled)
        size = auto_size(len(labelled)) if self.size == "auto" else int(self.size)
        batch_rows = BATCH_ROWS if end is None else CLOCKED_ROWS
        for rows in self._made(sampler, size, random_state, batch_rows):
            yield rows
            if end is not None and time.monotonic() > end:
                return

    def _fitted_sampler(self, labelled):
        """A sampler of rows that resemble the labelled ones."""
        X = self.X if labelled.index is None else picked(self.X, labelled.index)
        sampler = copy.copy(self.sampler)
        with noted("Raised by augment."):
            sampler.fit(X, categorical=self.categorical)
        return sampler

    def _made(self, sampler, n_rows, random_state, batch_rows):
        batches = sampler.batches(n_rows, random_state, batch_rows)
        while True:
            with noted("Raised by augment."):
                rows = next(batches, None)
            if rows is None:
                return
            yield rows

    def _labelled_synthetic(self, rows):
        with noted("Raised about synthetic rows: augment=None makes none."):
            return self._labelled_by_teacher(in_container_of(self.X, rows), are_made=True)

    def _labelled_by_teacher(self, rows, are_made):
        rows_as_read = self.read(rows)  # refuses what cannot be read before the teacher is asked
        soft_labels = self.teacher.soft_labels(rows, are_made)
        targets = {
            "labels": soft_labels.argmax(axis=1),
            "teacher_logits": self.logits(soft_labels),
            "weights": soft_labels @ self.class_weights,
            "alpha": np.ones(len(soft_labels)),
        }
        return Dataset(rows_as_read, targets)


class FreshRows:
    """Other synthetic rows for each pass over the data, of which none are kept.

    Parameters
    ----------
    batches : callable
        () -> batches of rows as the caller has them.
    label : callable
        A batch -> the same with soft labels, as a Dataset.
    n_per_pass : int
    seconds : float or None
        No more rows are made after so many.

    Attributes
    ----------
    n_rows : int
        Rows made so far.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator],
        label: Callable[[Any], Dataset],
        n_per_pass: int,
        seconds: float | None,
    ) -> None:
        self._batches, self._label, self._n_per_pass = batches, label, n_per_pass
        self._end = None if seconds is None else time.monotonic() + seconds
        self.n_rows = 0

    def next(self) -> Dataset | None:
        """The rows of the next pass; None if time is over.

        Returns
        -------
        skkd.data.dataset.Dataset or None
        """
        if self._end is not None and self.n_rows > 0 and time.monotonic() > self._end:
            return None
        self.n_rows += self._n_per_pass
        return _weighted_equally(self._label(rows) for rows in self._batches())


def _joined(parts):
    """All parts behind each other, in pairs: joined one by one each would be copied for all."""
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        last = parts[len(parts) - len(parts) % 2 :]
        parts = [first.followed_by(second) for first, second in pairs] + last
    return parts[0]


def _weighted_equally(parts):
    """All parts as one; the rows of which the teacher says something weigh 1 in the mean."""
    examples = _joined(list(parts))
    weights = examples.targets["weights"]
    is_heard = weights > 0
    mean = weights[is_heard].mean() if is_heard.any() else 1.0
    return examples.with_target("weights", weights / mean)
