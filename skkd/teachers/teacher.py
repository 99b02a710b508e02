"""A teacher with its options, set once: its soft labels, its clones, and its seconds."""

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
    """Adds up the seconds that teachers take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_running = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a block; nested blocks count once."""
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
    """The options that are the same for each call of a teacher.

    Parameters
    ----------
    source : {"in_sample", "out_of_bag", "out_of_fold"}
        Where the soft labels of the rows of `fit` come from.
    on_class_mismatch : {"raise", "teacher", "intersect"}
    batch_size : int or None
        Rows per call.
    memory : folder, joblib.Memory or None
    shows_progress : bool
    remembers_fits : bool
        Whether fitted clones are kept, because another fit may need the same clone: with
        the same rows and the same seed.
    remembers_rows : bool
        Whether answers for unlabelled rows are kept, because another fit may have the
        same rows.
    remembers_made_rows : bool
        The same for synthetic rows.
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
        """Whether soft labels come from models that were not fitted on the row."""
        return self.source in ("out_of_bag", "out_of_fold")

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of each call: batch size, progress bar, and where answers are kept."""
        return {
            "batch_size": self.batch_size,
            "progress": self.shows_progress,
            "memory": as_memory(self.memory),
        }


@dataclass(frozen=True)
class LabelledRows:
    """Rows with labels, in the form that a teacher is fitted to.

    Parameters
    ----------
    X : container of rows
        As the caller has them.
    y : ndarray of shape (n_rows,)
    sample_weight : ndarray of shape (n_rows,) or None
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None


@dataclass(frozen=True)
class Teacher:
    """A fitted model, or several with weights, and the options of its calls.

    Parameters
    ----------
    model : object or list of (object, float)
        Fitted.
    how : HowToAsk
    clock : Clock
        Adds up the seconds of this teacher and of its clones.
    classes : ndarray of shape (n_classes,), default=None
        The columns of its soft labels.
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
        """The teacher of one fit, and its soft labels of the rows of that fit.

        Parameters
        ----------
        model : object or list of (object, float)
            As the user gave it.
        how : HowToAsk
        rows : LabelledRows
        fits : bool
            Whether a clone of the model is fitted on these rows.
        seed : int
            Of models that are fitted.
        remember : bool
            Whether answers are kept, so that the same rows are predicted only once.
        clock : Clock

        Returns
        -------
        teacher : Teacher
        soft_labels : list of MemberLabels
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
        """The same, whose soft labels have these columns.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)

        Returns
        -------
        Teacher
        """
        return replace(self, classes=classes)

    def soft_labels(self, X: Any, are_made: bool = False) -> np.ndarray:
        """Probabilities of rows, one column per class.

        Parameters
        ----------
        X : container of rows
            As the caller has them.
        are_made : bool, default=False
            Whether they are synthetic.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            A row is all zero where no member answers.
        """
        with self.clock.running():
            remember = self.how.remembers_made_rows if are_made else self.how.remembers_rows
            answers = ask_members(self.model, X, remember=remember, **self.how.options)
            assert self.classes is not None, "with_classes was not called"
            return mixed(answers, self.classes, self.how.on_class_mismatch)

    @contextmanager
    def series_of_calls(self) -> Iterator[None]:
        """A context for several calls: changes of the model are looked for around all of them."""
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
    """Whether a clone can be fitted to other rows, without a part that stays fitted.

    Parameters
    ----------
    model : object or list of (object, float)

    Returns
    -------
    bool
    """
    return not any(part_that_stays_fitted(member) for member, _ in members_of(model))


def mixed(answers: list[MemberLabels], classes: np.ndarray, on_class_mismatch: str) -> np.ndarray:
    """The soft labels of all members, aligned by class and averaged by weight.

    Parameters
    ----------
    answers : list of MemberLabels
    classes : ndarray of shape (n_classes,)
    on_class_mismatch : {"raise", "teacher", "intersect"}

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        A row is all zero where no member answers.
    """
    aligned = [
        align(one.probabilities, one.classes, classes, on_class_mismatch, one.name)
        for one in answers
    ]
    return mix(aligned, [one.weight for one in answers])


def _out_of_sample(
    model: Any, rows: LabelledRows, how: HowToAsk, seed: int, remember: bool
) -> list[MemberLabels]:
    """Soft labels by models that were not fitted on the row, for each member."""
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
