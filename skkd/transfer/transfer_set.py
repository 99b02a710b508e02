"""The transfer set of one fit: rows without labels, collected or made, that a teacher labels."""

import copy
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from skkd.checks import noted
from skkd.data.conversion import in_container_of
from skkd.data.dataset import Examples
from skkd.data.validation import count_rows, picked

__all__ = ["TransferSet", "auto_size"]

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


class TransferSet:
    """Rows that only a teacher labels, made when they are first asked for.

    Synthetic rows resemble those of the examples that ask first: of a part of the
    table where others are held out, which nothing must tell of.

    Parameters
    ----------
    X : container of n_rows rows
        As the caller has it.
    ask : callable
        (Rows as the caller has them, whether they are synthetic) -> aligned soft labels of
        shape (n, n_classes).
        Its `in_a_row`, if it has one, gives a context for several questions.
    read : callable
        Rows as the caller has them -> as the input view takes them.
    logits : callable
        Soft labels -> teacher's logits.
    of_classes : ndarray of shape (n_classes,)
        Weights of the classes. A row has the mean of them that its soft label says.
    X_unlabeled : container of rows, default=None
    sampler : skkd.transfer.Sampler, default=None
        Not fitted.
    size : int, "auto" or "fresh", default="auto"
        Synthetic rows; "fresh": as many as have labels, others in each pass.
    seconds : float, default=None
        No more synthetic rows are made after so many.
    categorical : sequence of int, default=()
    seed : int, default=0

    Attributes
    ----------
    n_rows : int
        Made and collected so far.
    """

    def __init__(
        self,
        X,
        ask,
        read,
        logits,
        of_classes,
        *,
        X_unlabeled=None,
        sampler=None,
        size="auto",
        seconds=None,
        categorical=(),
        seed=0,
    ):
        self.X, self.ask, self.read, self.logits = X, ask, read, logits
        self.of_classes = of_classes
        self.X_unlabeled, self.sampler = X_unlabeled, sampler
        self.size, self.seconds, self.categorical, self.seed = size, seconds, categorical, seed
        self.n_rows = 0
        self.examples = None

    def anew(self, ask=None, n_sets=1):
        """The same for whoever asks first of the copy: nothing is made yet.

        Parameters
        ----------
        ask : callable, default=None
            In place of the teacher that is asked.
        n_sets : int, default=1
            How many such copies share the seconds.

        Returns
        -------
        TransferSet
        """
        other = copy.copy(self)
        other.sampler = copy.copy(self.sampler)
        other.ask = self.ask if ask is None else ask
        other.seconds = None if self.seconds is None else self.seconds / n_sets
        other.examples, other.n_rows = None, 0
        return other

    def __call__(self, labelled):
        """The transfer set, in an order without meaning.

        Parameters
        ----------
        labelled : skkd.data.dataset.Examples
            Of the first caller: the rows that synthetic ones are to resemble.

        Returns
        -------
        skkd.data.dataset.Examples
        """
        if self.size == "fresh":
            return self._fresh(labelled)
        if self.examples is None:
            random_state = np.random.RandomState(self.seed)
            with getattr(self.ask, "in_a_row", nullcontext)():
                examples = _weighted_equally(self._parts(labelled, random_state))
            self.examples = examples.take(random_state.permutation(len(examples)))
            self.n_rows = len(self.examples)
        return self.examples

    def _fresh(self, labelled):
        """Rows for the first pass, and what makes those of the others: none are kept."""
        random_state = np.random.RandomState(self.seed)
        self._fit_sampler(labelled)
        end = None if self.seconds is None else time.monotonic() + self.seconds
        self.n_rows = 0

        def make():
            if end is not None and self.n_rows > 0 and time.monotonic() > end:
                return None
            batches = self._made(len(labelled), random_state, BATCH_ROWS)
            self.n_rows += len(labelled)
            return _weighted_equally(self._labelled_synthetic(rows) for rows in batches)

        return replace(make(), renew=make)

    def _parts(self, labelled, random_state):
        """What the teacher says of the rows that were collected, and of those that are made."""
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
        n_rows = self._fit_sampler(labelled)
        size = auto_size(n_rows) if self.size == "auto" else int(self.size)
        batch_rows = BATCH_ROWS if end is None else CLOCKED_ROWS
        for rows in self._made(size, random_state, batch_rows):
            yield rows
            if end is not None and time.monotonic() > end:
                return

    def _fit_sampler(self, labelled):
        """Show it the rows that synthetic ones are to resemble; how many they are."""
        X = self.X if labelled.index is None else picked(self.X, labelled.index)
        with noted("Raised by augment."):
            self.sampler.fit(X, categorical=self.categorical)
        return count_rows(X)

    def _made(self, n_rows, random_state, batch_rows):
        batches = self.sampler.batches(n_rows, random_state, batch_rows)
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
        rows_of_view = self.read(rows)  # complains before the teacher is asked
        soft_labels = self.ask(rows, are_made)
        targets = {
            "labels": soft_labels.argmax(axis=1),
            "teacher_logits": self.logits(soft_labels),
            "weights": soft_labels @ self.of_classes,
            "alpha": np.ones(len(soft_labels)),
        }
        return Examples(rows_of_view, targets)


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
