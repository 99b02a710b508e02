"""The transfer set of one fit: unlabelled or synthetic rows that a teacher labels."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from skkd.checks import with_note
from skkd.data.conversion import in_container_of
from skkd.data.dataset import Dataset
from skkd.data.validation import picked
from skkd.teachers.class_weight import row_weights

__all__ = ["FreshRows", "Labeller", "TransferSet", "auto_size"]

#: The number of synthetic rows that are made and labelled at a time, without a time limit.
BATCH_ROWS = 10_000

#: The number of synthetic rows that are made and labelled at a time, with a time limit.
CLOCKED_ROWS = 500

#: For `augment_size="auto"`: synthetic rows per row with a label, and their maximum in all.
TIMES, MOST = 10, 100_000


def auto_size(n_rows: int) -> int:
    """Return the number of synthetic rows for `augment_size="auto"`.

    It is ten times the number of rows with labels, but at most 100,000. If there are more than
    100,000 rows with labels, it is equal to their number.

    Parameters
    ----------
    n_rows : int
        The number of rows with labels.

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
    """The methods of :class:`skkd.teachers.teacher.Teacher` that a transfer set uses."""

    def soft_labels(self, X: Any, are_made: bool = False) -> np.ndarray:
        """Return the teacher's probabilities for rows, of shape (n_rows, n_classes).

        `are_made` says whether the rows are synthetic. The teacher may cache its predictions for
        synthetic rows differently.
        """

    def series_of_calls(self) -> AbstractContextManager[None]:
        """Return a context manager for several calls of `soft_labels`.

        The teacher's model must not change within the context. So a teacher that caches
        predictions checks only at the beginning and the end whether its model has changed.
        """


@dataclass(frozen=True)
class TransferSet:
    """A description of the rows that only a teacher labels, and a method that makes them.

    A transfer set consists of the user's unlabelled rows, of synthetic rows from a sampler, or
    of both. :meth:`rows_beside` makes the rows; this object does not store them.

    Parameters
    ----------
    X : container of n_rows rows
        The X that the user passed to `fit`.
    teacher : Labeller
        Gives the rows their soft labels.
    read : callable
        Converts rows of the user's type to rows that the preprocessor takes.
    logits : callable
        Converts soft labels to the teacher's logits.
    class_weights : ndarray of shape (n_classes,)
        A row gets the expected weight of its class, scaled to a mean of 1: see
        :func:`skkd.teachers.class_weight.row_weights`.
    is_weighted : bool, default=False
        Whether the teacher has class weights of its own.
    X_unlabeled : container of rows, default=None
        The user's unlabelled rows.
    sampler : skkd.transfer.Sampler, default=None
        An unfitted sampler of synthetic rows. Without a sampler no synthetic rows are made.
    size : int, "auto" or "fresh", default="auto"
        The number of synthetic rows; for "auto" see :func:`auto_size`. With "fresh", each epoch
        gets new rows, as many as there are rows with labels.
    seconds : float, default=None
        Time limit for making synthetic rows.
    categorical : sequence of int, default=()
        Indices of the categorical columns of X.
    seed : int, default=0
        Seed of the sampler and of the order of the rows.
    """

    X: Any
    teacher: Labeller
    read: Callable[[Any], Any]
    logits: Callable[[np.ndarray], np.ndarray]
    class_weights: np.ndarray
    is_weighted: bool = False
    X_unlabeled: Any = None
    sampler: Any = None
    size: int | str = "auto"
    seconds: float | None = None
    categorical: Sequence[int] = ()
    seed: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether new synthetic rows are made for each epoch."""
        return self.size == "fresh"

    def shared_by(self, n_sets: int) -> "TransferSet":
        """Return a transfer set with an equal part of this one's time limit.

        Parameters
        ----------
        n_sets : int
            The number of transfer sets that share the time limit.

        Returns
        -------
        TransferSet
            A copy with the time limit ``seconds / n_sets``; this object itself if it has no time
            limit.
        """
        return self if self.seconds is None else replace(self, seconds=self.seconds / n_sets)

    def labelled_by(self, teacher: Labeller) -> "TransferSet":
        """Return a copy of this transfer set that has another teacher.

        Parameters
        ----------
        teacher : Labeller
            The teacher of the copy.

        Returns
        -------
        TransferSet
        """
        return replace(self, teacher=teacher)

    def rows_beside(self, labelled: Dataset) -> Dataset:
        """Make the rows of the transfer set, with the teacher's soft labels.

        Parameters
        ----------
        labelled : skkd.data.dataset.Dataset
            The rows with labels, without held-out rows; the sampler is fitted to these rows.

        Returns
        -------
        skkd.data.dataset.Dataset
            The rows of the transfer set only, without the rows of `labelled`:

            - If `size` is not "fresh": all rows, in random order.
            - If `size` is "fresh": the rows of the first epoch. The attribute `fresh_rows` of
              the Dataset makes the rows of later epochs.
        """
        random_state = np.random.RandomState(self.seed)
        if self.is_fresh:
            return self._fresh_rows(labelled, random_state)
        with self.teacher.series_of_calls():
            rows = _weighted_equally(self._parts(labelled, random_state))
        return rows.take(random_state.permutation(len(rows)))

    def _fresh_rows(self, labelled: Dataset, random_state: np.random.RandomState) -> Dataset:
        """Make the rows of the first epoch, and attach a `FreshRows` for later epochs."""
        sampler = self._fitted_sampler(labelled)
        batches = partial(self._sampled_batches, sampler, len(labelled), random_state, BATCH_ROWS)
        fresh_rows = FreshRows(batches, self._label_synthetic, len(labelled), self.seconds)
        first_rows = fresh_rows.next()
        assert first_rows is not None  # the first epoch has no time limit
        return replace(first_rows, fresh_rows=fresh_rows)

    def _parts(self, labelled: Dataset, random_state: np.random.RandomState) -> Iterator[Dataset]:
        """Yield X_unlabeled, then batches of synthetic rows, all with soft labels."""
        if self.X_unlabeled is not None:
            with with_note("Raised about the rows of X_unlabeled."):
                rows = in_container_of(self.X, self.X_unlabeled, "X_unlabeled")
                unlabelled = self._label_by_teacher(rows, are_made=False)
            yield unlabelled
        if self.sampler is not None:
            for rows in self._synthetic_rows(labelled, random_state):
                yield self._label_synthetic(rows)

    def _synthetic_rows(
        self, labelled: Dataset, random_state: np.random.RandomState
    ) -> Iterator[Any]:
        """Yield batches of synthetic rows until there are enough or the time limit is reached."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        sampler = self._fitted_sampler(labelled)
        size = auto_size(len(labelled)) if self.size == "auto" else int(self.size)
        batch_rows = BATCH_ROWS if end is None else CLOCKED_ROWS
        for rows in self._sampled_batches(sampler, size, random_state, batch_rows):
            yield rows
            if end is not None and time.monotonic() > end:
                return

    def _fitted_sampler(self, labelled: Dataset) -> Any:
        """Fit a copy of the sampler to the rows with labels."""
        X = self.X if labelled.index is None else picked(self.X, labelled.index)
        sampler = copy.copy(self.sampler)
        with with_note("Raised by augment."):
            sampler.fit(X, categorical=self.categorical)
        return sampler

    def _sampled_batches(
        self, sampler: Any, n_rows: int, random_state: np.random.RandomState, batch_rows: int
    ) -> Iterator[Any]:
        """Yield the batches of a fitted sampler; errors get a note that names `augment`."""
        batches = sampler.batches(n_rows, random_state, batch_rows)
        while True:
            with with_note("Raised by augment."):
                rows = next(batches, None)
            if rows is None:
                return
            yield rows

    def _label_synthetic(self, rows: Any) -> Dataset:
        with with_note("Raised about synthetic rows: augment=None makes none."):
            return self._label_by_teacher(in_container_of(self.X, rows), are_made=True)

    def _label_by_teacher(self, rows: Any, are_made: bool) -> Dataset:
        # Read the rows first, so that unreadable rows are refused before the teacher predicts.
        rows_as_read = self.read(rows)
        soft_labels = self.teacher.soft_labels(rows, are_made)
        targets = {
            "labels": soft_labels.argmax(axis=1),
            "teacher_logits": self.logits(soft_labels),
            "weights": row_weights(soft_labels, self.class_weights, self.is_weighted),
            "alpha": np.ones(len(soft_labels)),
        }
        return Dataset(rows_as_read, targets)


class FreshRows:
    """A maker of new synthetic rows with soft labels for each epoch; it keeps no rows.

    Parameters
    ----------
    batches : callable
        ``batches()`` returns an iterator of batches: new synthetic rows for one epoch.
    label : callable
        ``label(batch)`` returns a Dataset of the rows of a batch with soft labels.
    n_per_pass : int
        The number of rows of each epoch.
    seconds : float or None
        Time limit for making rows, counted from the creation of this object.

    Attributes
    ----------
    n_rows : int
        The number of rows made so far.
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
        """Make the rows of the next epoch.

        Returns
        -------
        skkd.data.dataset.Dataset or None
            None if the time limit has passed. The first call always returns rows.
        """
        if self._end is not None and self.n_rows > 0 and time.monotonic() > self._end:
            return None
        self.n_rows += self._n_per_pass
        return _weighted_equally(self._label(rows) for rows in self._batches())


def _joined(parts: list[Dataset]) -> Dataset:
    """Join the parts to one dataset, in order."""
    # Join in pairs: appending part after part would copy the first parts for each later part.
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        last = parts[len(parts) - len(parts) % 2 :]
        parts = [first.followed_by(second) for first, second in pairs] + last
    return parts[0]


def _weighted_equally(parts: Iterable[Dataset]) -> Dataset:
    """Join the parts to one dataset, and scale its positive weights to a mean of 1."""
    dataset = _joined(list(parts))
    weights = dataset.targets["weights"]
    is_answered = weights > 0  # the teacher has no prediction for rows of weight 0
    mean = weights[is_answered].mean() if is_answered.any() else 1.0
    return dataset.with_target("weights", weights / mean)
