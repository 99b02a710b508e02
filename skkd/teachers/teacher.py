"""A teacher with its options: it gives soft labels, fits clones, and measures its time."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from skkd.teachers.cache import as_memory, series_of_calls
from skkd.teachers.cloning import fit_and_ask, part_that_stays_fitted
from skkd.teachers.members import MemberLabels, is_fitted, members_of, unwrapped
from skkd.teachers.out_of_bag import out_of_bag
from skkd.teachers.out_of_fold import out_of_fold
from skkd.teachers.predict_proba import ask_members
from skkd.teachers.soft_labels import align, mix

__all__ = ["Clock", "HowToAsk", "LabelledRows", "Teacher", "can_be_cloned", "mixed"]

NOT_FITTED = (
    "teacher is not fitted. Fit it first; in a grid over teachers, which clones them, wrap each "
    "fitted one in sklearn.frozen.FrozenEstimator; or set fit_teacher=True to have a clone of "
    "it fitted on the rows of each fit."
)


class Clock:
    """A stopwatch that adds up the seconds spent on fitting and calling teachers."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_running = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """A context whose time is added to `seconds`; nested contexts are counted once."""
        if self._is_running:
            yield
            return
        began, self._is_running = time.perf_counter(), True
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began
            self._is_running = False


@dataclass(frozen=True)
class HowToAsk:
    """The options of a teacher that stay the same for all its calls.

    Each option `remembers_...` is set to False if caching would be useless, because no later fit
    of a student will have the same rows (or, for clones, the same seed).

    Parameters
    ----------
    source : {"in_sample", "out_of_bag", "out_of_fold"}
        Which models label a training row: the teacher as it is, those of its members that were
        not fitted on the row, or clones of the teacher that were fitted without the row.
    on_class_mismatch : {"raise", "teacher", "intersect"}
        What to do if teacher and student have different classes.
    batch_size : int or None
        Rows per call.
    memory : folder, joblib.Memory or None
        Where predictions are cached on disk.
    shows_progress : bool
    remembers_fits : bool
        Whether fitted clones are cached.
    remembers_rows : bool
        Whether predictions for further real rows, such as unlabelled ones, are cached.
    remembers_made_rows : bool
        Whether predictions for synthetic rows are cached.
    """

    source: str = "in_sample"
    on_class_mismatch: str = "raise"
    batch_size: int | None = None
    memory: Any = None
    shows_progress: bool = False
    remembers_fits: bool = True
    remembers_rows: bool = True
    remembers_made_rows: bool = True

    @property
    def is_out_of_sample(self) -> bool:
        """Whether each training row is labelled by models that were not fitted on that row."""
        return self.source in ("out_of_bag", "out_of_fold")

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments `batch_size`, `progress` and `memory` of each call."""
        return {
            "batch_size": self.batch_size,
            "progress": self.shows_progress,
            "memory": as_memory(self.memory),
        }


@dataclass(frozen=True)
class LabelledRows:
    """The rows, labels and weights that a teacher is fitted to.

    Parameters
    ----------
    X : container of rows
        The caller's own container, because the teacher takes rows in this form.
    y : ndarray of shape (n_rows,)
    sample_weight : ndarray of shape (n_rows,) or None
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None


@dataclass(frozen=True)
class Teacher:
    """A fitted teacher, with the options of its calls.

    Parameters
    ----------
    model : object or list of (object, float)
        One fitted model, or a list of (model, weight).
    how : HowToAsk
    clock : Clock
        Adds up the seconds of this teacher and of its clones.
    classes : ndarray of shape (n_classes,), default=None
        The class of each column of the soft labels. :meth:`soft_labels` needs it.
    """

    model: Any
    how: HowToAsk
    clock: Clock
    classes: np.ndarray | None = None

    @classmethod
    def of_fit(
        cls,
        model: Any,
        how: HowToAsk,
        rows: LabelledRows,
        *,
        fits: bool,
        seed: int,
        remember: bool,
        clock: Clock,
    ) -> tuple["Teacher", list[MemberLabels]]:
        """Make the teacher for one fit of a student, and its soft labels of the training rows.

        Parameters
        ----------
        model : object or list of (object, float)
            The user's parameter `teacher`.
        how : HowToAsk
        rows : LabelledRows
            The training rows.
        fits : bool
            Whether to fit a clone of the model on these rows; if not, it must be fitted already.
        seed : int
            Seed of the clones that are fitted here.
        remember : bool
            Whether predictions are cached; if `fits`, `how.remembers_fits` is used instead.
        clock : Clock

        Returns
        -------
        teacher : Teacher
            Without `classes`; see :meth:`with_classes`.
        soft_labels : list of MemberLabels
            One for each model of the teacher.
        """
        X, y, sample_weight = rows.X, rows.y, rows.sample_weight
        in_sample = not how.is_out_of_sample
        if fits:
            remember = how.remembers_fits
            fitted, answers = fit_and_ask(
                model, X, y, sample_weight, seed=seed, asks=in_sample, remember=remember,
                **how.options,
            )  # fmt: skip
        else:
            if not is_fitted(model):
                raise ValueError(NOT_FITTED)
            fitted = unwrapped(model)
            try:
                answers = (
                    ask_members(fitted, X, remember=remember, **how.options) if in_sample else []
                )
            except NotFittedError as error:
                raise ValueError(NOT_FITTED) from error
        if not in_sample:
            answers = _out_of_sample(fitted, rows, how, seed, remember)
        return cls(fitted, how, clock), answers

    def with_classes(self, classes: np.ndarray) -> "Teacher":
        """A copy of this teacher that gives soft labels with one column for each of `classes`.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)

        Returns
        -------
        Teacher
        """
        return replace(self, classes=classes)

    def soft_labels(self, X: Any, are_made: bool = False) -> np.ndarray:
        """Predict the probabilities of rows.

        Parameters
        ----------
        X : container of rows
            The rows in the form that the teacher takes.
        are_made : bool, default=False
            Whether the rows are synthetic. Then the predictions are cached if
            `how.remembers_made_rows`, else if `how.remembers_rows`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            One column for each of `classes`; all zero in rows that no member labels.
        """
        with self.clock.running():
            remember = self.how.remembers_made_rows if are_made else self.how.remembers_rows
            answers = ask_members(self.model, X, remember=remember, **self.how.options)
            assert self.classes is not None, "with_classes was not called"
            return mixed(answers, self.classes, self.how.on_class_mismatch)

    @contextmanager
    def series_of_calls(self) -> Iterator[None]:
        """A context for several calls between which the model does not change.

        To save time, changes of the model are looked for at the beginning and the end only.
        """
        members = members_of(self.model) if self.how.remembers_made_rows else []
        with ExitStack() as series:
            with self.clock.running():
                for member, _ in members:
                    series.enter_context(series_of_calls(member))
            try:
                yield
            finally:
                with self.clock.running():
                    series.close()


def can_be_cloned(model: Any) -> bool:
    """Whether a clone of a teacher can be fitted without the held-out rows.

    It cannot if a part of the teacher was fitted with labels and stays fitted in the clone (a
    frozen classifier, say). This part may have learned the labels of the held-out rows.

    Parameters
    ----------
    model : object or list of (object, float)

    Returns
    -------
    bool
        For a list, True only if it is true of all members.
    """
    return not any(part_that_stays_fitted(member) for member, _ in members_of(model))


def mixed(answers: list[MemberLabels], classes: np.ndarray, on_class_mismatch: str) -> np.ndarray:
    """The soft labels of all members, aligned by class and averaged by weight.

    Parameters
    ----------
    answers : list of MemberLabels
        The soft labels of each member.
    classes : ndarray of shape (n_classes,)
        The classes of the student.
    on_class_mismatch : {"raise", "teacher", "intersect"}
        What to do if a member has other classes; see :func:`skkd.teachers.soft_labels.align`.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        A row is all zero if no member gives it a soft label.
    """
    aligned = [
        align(one.probabilities, one.classes, classes, on_class_mismatch, one.name)
        for one in answers
    ]
    return mix(aligned, [one.weight for one in answers])


def _out_of_sample(
    model: Any, rows: LabelledRows, how: HowToAsk, seed: int, remember: bool
) -> list[MemberLabels]:
    """The out-of-bag or out-of-fold labels of the training rows, for each member of a teacher."""
    members = members_of(model)
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=len(members))
    soft_labels = []
    for (member, weight), seed_of_member in zip(members, seeds, strict=True):
        if how.source == "out_of_bag":
            probabilities, classes = out_of_bag(member, rows.X, rows.y)
        else:
            probabilities, classes = out_of_fold(
                member,
                rows.X,
                rows.y,
                rows.sample_weight,
                seed=int(seed_of_member),
                remember=remember,
                **how.options,
            )
        soft_labels.append(MemberLabels(probabilities, classes, weight))
    return soft_labels
