"""The transfer set of one fit: unlabelled or synthetic rows that a teacher labels."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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

#: Synthetic rows that are made and labelled at a time.
BATCH_ROWS = 10_000

#: The same if their number is limited by time.
CLOCKED_ROWS = 500

#: Synthetic rows by default: so many for each row with a label, at most so many in all.
TIMES, MOST = 10, 100_000


def auto_size(n_rows: int) -> int:
    """The number of synthetic rows for `augment_size="auto"`.

    Parameters
    ----------
    n_rows : int
        Rows with labels.

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
    """The methods that a transfer set uses of a :class:`skkd.teachers.teacher.Teacher`."""

    def soft_labels(self, X: Any, are_made: bool = False) -> np.ndarray:
        """Probabilities of rows, of shape (n_rows, n_classes)."""

    def series_of_calls(self) -> AbstractContextManager[None]:
        """A context for several calls between which the teacher does not change."""


@dataclass(frozen=True)
class TransferSet:
    """Rows that only a teacher labels: their sources and their number.

    The rows themselves are made by :meth:`rows_beside`, and not kept here.

    Parameters
    ----------
    X : container of n_rows rows
        As the caller has it.
    teacher : Labeller
    read : callable
        Rows as the caller has them -> rows as the preprocessor takes them.
    logits : callable
        Soft labels -> the teacher's logits.
    class_weights : ndarray of shape (n_classes,)
        The weight of a row is their mean, weighted by its soft label.
    X_unlabeled : container of rows, default=None
    sampler : skkd.transfer.Sampler, default=None
        Not fitted.
    size : int, "auto" or "fresh", default="auto"
        The number of synthetic rows; "fresh": other rows in each pass, as many as have
        labels.
    seconds : float, default=None
        Time limit for making synthetic rows.
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
        """The same, with the time limit shared by so many sets.

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
            The rows that synthetic ones resemble. Held-out rows must not be among them, so
            that no information about them leaks into the set.

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

    def _fresh_rows(self, labelled: Dataset, random_state: np.random.RandomState) -> Dataset:
        """Rows for the first pass, with a FreshRows for those of later passes."""
        sampler = self._fitted_sampler(labelled)
        batches = partial(self._made, sampler, len(labelled), random_state, BATCH_ROWS)
        fresh_rows = FreshRows(batches, self._labelled_synthetic, len(labelled), self.seconds)
        first_rows = fresh_rows.next()
        assert first_rows is not None  # the first pass has no time limit
        return replace(first_rows, fresh_rows=fresh_rows)

    def _parts(self, labelled: Dataset, random_state: np.random.RandomState) -> Iterator[Dataset]:
        """X_unlabeled and the synthetic rows, with their soft labels."""
        if self.X_unlabeled is not None:
            with noted("Raised about the rows of X_unlabeled."):
                rows = in_container_of(self.X, self.X_unlabeled, "X_unlabeled")
                unlabelled = self._labelled_by_teacher(rows, are_made=False)
            yield unlabelled
        if self.sampler is not None:
            for rows in self._synthetic_rows(labelled, random_state):
                yield self._labelled_synthetic(rows)

    def _synthetic_rows(
        self, labelled: Dataset, random_state: np.random.RandomState
    ) -> Iterator[Any]:
        """Containers of rows as the caller has them."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        sampler = self._fitted_sampler(labelled)
        size = auto_size(len(labelled)) if self.size == "auto" else int(self.size)
        batch_rows = BATCH_ROWS if end is None else CLOCKED_ROWS
        for rows in self._made(sampler, size, random_state, batch_rows):
            yield rows
            if end is not None and time.monotonic() > end:
                return

    def _fitted_sampler(self, labelled: Dataset) -> Any:
        """A sampler of rows that resemble the labelled ones."""
        X = self.X if labelled.index is None else picked(self.X, labelled.index)
        sampler = copy.copy(self.sampler)
        with noted("Raised by augment."):
            sampler.fit(X, categorical=self.categorical)
        return sampler

    def _made(
        self, sampler: Any, n_rows: int, random_state: np.random.RandomState, batch_rows: int
    ) -> Iterator[Any]:
        """The batches of a sampler. Errors get a note that names `augment`."""
        batches = sampler.batches(n_rows, random_state, batch_rows)
        while True:
            with noted("Raised by augment."):
                rows = next(batches, None)
            if rows is None:
                return
            yield rows

    def _labelled_synthetic(self, rows: Any) -> Dataset:
        with noted("Raised about synthetic rows: augment=None makes none."):
            return self._labelled_by_teacher(in_container_of(self.X, rows), are_made=True)

    def _labelled_by_teacher(self, rows: Any, are_made: bool) -> Dataset:
        rows_as_read = self.read(
            rows
        )  # first, so that unreadable rows are refused before the teacher is asked
        soft_labels = self.teacher.soft_labels(rows, are_made)
        targets = {
            "labels": soft_labels.argmax(axis=1),
            "teacher_logits": self.logits(soft_labels),
            "weights": soft_labels @ self.class_weights,
            "alpha": np.ones(len(soft_labels)),
        }
        return Dataset(rows_as_read, targets)


class FreshRows:
    """Other synthetic rows for each pass over the data. None are kept.

    Parameters
    ----------
    batches : callable
        () -> batches of rows as the caller has them.
    label : callable
        A batch -> a Dataset of the same rows with soft labels.
    n_per_pass : int
        Rows of each pass.
    seconds : float or None
        Time limit for making rows.

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
        """The rows of the next pass; None after the time limit.

        Returns
        -------
        skkd.data.dataset.Dataset or None
        """
        if self._end is not None and self.n_rows > 0 and time.monotonic() > self._end:
            return None
        self.n_rows += self._n_per_pass
        return _weighted_equally(self._label(rows) for rows in self._batches())


def _joined(parts: list[Dataset]) -> Dataset:
    """All parts as one, in their order.

    They are joined in pairs: joined one by one, each part would be copied for all later ones.
    """
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        last = parts[len(parts) - len(parts) % 2 :]
        parts = [first.followed_by(second) for first, second in pairs] + last
    return parts[0]


def _weighted_equally(parts: Iterable[Dataset]) -> Dataset:
    """All parts as one. The mean weight is 1, without the rows of weight 0.

    A row has weight 0 if the teacher gives no answer for it.
    """
    dataset = _joined(list(parts))
    weights = dataset.targets["weights"]
    is_answered = weights > 0
    mean = weights[is_answered].mean() if is_answered.any() else 1.0
    return dataset.with_target("weights", weights / mean)
