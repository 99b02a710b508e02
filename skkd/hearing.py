"""What a student hears of its teacher, or of a clone that has not seen some rows, as targets."""

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from skkd.calibration import calibration_temperature
from skkd.choosing import Lesson
from skkd.inputs import check_weights, count_rows, encode, picked
from skkd.labels import read_labels
from skkd.parameters import warn
from skkd.presets import changed
from skkd.soft_labels import align, mix
from skkd.teacher_cache import questions_in_a_row
from skkd.teacher_fitting import part_that_stays_fitted
from skkd.teachers import agreement_with, members_of
from skkd.teaching import (
    check_teaching,
    classes_of,
    hear_teacher,
    is_remembered,
    opinions_of,
    read_answers,
)

__all__ = ["HearingMixin", "Questions"]


@dataclass
class Questions:
    """What a student asks a teacher about the rows of a transfer set.

    Parameters
    ----------
    student : DistilledClassifier
    teacher : object
        Fitted: the one of all rows, or of a part of them.
    classes : ndarray
        Of the soft labels.
    """

    student: object
    teacher: object
    classes: np.ndarray

    def __call__(self, rows, are_made):
        """Soft labels of some rows; see :func:`skkd.teaching.opinions_of`."""
        with self._timed():
            opinions = opinions_of(self.student, self.teacher, rows, are_made)
            return self.student._mixed(opinions, self.classes)

    @contextmanager
    def in_a_row(self):
        """Several questions, before and after which the teacher is read, and not at each."""
        is_kept = is_remembered(self.student, self.teacher, are_made=True)
        with ExitStack() as series:
            with self._timed():
                for member, _ in members_of(self.teacher) if is_kept else ():
                    series.enter_context(questions_in_a_row(member))
            try:
                yield
            finally:
                with self._timed():
                    series.close()

    @contextmanager
    def _timed(self):
        began = time.perf_counter()
        try:
            yield
        finally:
            self.student.teacher_seconds_ += time.perf_counter() - began


class HearingMixin:
    """The targets of a student, and the fitted attributes about its teacher."""

    def _make_targets(
        self,
        X,
        y,
        classes,
        sample_weight,
        seed,
        teacher_proba=None,
        X_unlabeled=None,
        remember=True,
    ):
        check_teaching(self, teacher_proba, X_unlabeled)
        own_classes, _ = encode(y, classes)  # complains before a teacher costs anything
        began = time.perf_counter()
        if teacher_proba is None:
            teacher, opinions = hear_teacher(self, X, y, sample_weight, seed, remember)
        else:
            teacher, opinions = None, [read_answers(teacher_proba, own_classes, count_rows(X))]
        self.teacher_seconds_ = time.perf_counter() - began
        if self.on_class_mismatch == "teacher" and classes is None:
            classes = classes_of(opinions, own_classes)
        classes, codes = encode(y, classes)
        soft_labels = self._mixed(opinions, classes)
        silent = soft_labels.sum(axis=1) == 0
        weights = ~silent * (1.0 if sample_weight is None else sample_weight)
        fitted_here = teacher is not None and self.fit_teacher
        self.teacher_ = teacher
        self.teacher_agreement_ = agreement_with(soft_labels, codes, weights, fitted_here)
        self.teacher_temperature_ = 1.0
        if self.calibrate_teacher:
            self.teacher_temperature_ = calibration_temperature(
                soft_labels, codes, weights, proba_floor=self.proba_floor
            )
        teacher_logits = self._teacher_logits(_with_labels(soft_labels, codes))
        return classes, {"labels": codes, "teacher_logits": teacher_logits}

    def _lessons_of_unseen(self, task, splits, candidates, thresholds):
        """The lessons of clones of the teacher that have not seen the held-out rows.

        None where no clone may be fitted, or would lack a class, or fails.
        """
        if not (self._may_fit_anew(task) and any(candidate.alpha for candidate in candidates)):
            return None
        labels = read_labels(task.y, warns=False)
        unseen = [np.delete(np.arange(len(labels)), held_out.index) for _, held_out in splits]
        if any(len(np.unique(labels[index])) < len(np.unique(labels)) for index in unseen):
            return None
        candidates = [candidate.anew(n_sets=len(splits) + 1) for candidate in candidates]
        began = time.perf_counter()
        try:
            return [
                self._lesson(task, split, index, candidates, thresholds)
                for split, index in zip(splits, unseen, strict=True)
            ]
        except Exception as error:
            warn(
                "the teacher cannot be fitted, or asked, without the rows that are held out to "
                f"choose by ({error}): the one that has seen them answers instead. X_val and y_val "
                "would be rows that it has not seen."
            )
            return None
        finally:
            self.teacher_seconds_ += time.perf_counter() - began

    def _lesson(self, task, split, index, candidates, thresholds):
        """What a clone teaches that was fitted on the rows of an index."""
        from skkd.tree_thresholds import thresholds_of

        train, held_out = split
        weights = check_weights(task.sample_weight, count_rows(task.X))
        teacher, opinions = hear_teacher(
            changed(self, fit_teacher=True),
            picked(task.X, index),
            read_labels(task.y, warns=False)[index],
            None if weights is None else weights[index],
            task.seeds.teacher,
            remember=True,
        )
        of_train = np.searchsorted(index, train.index)
        opinions = [replace(one, probabilities=one.probabilities[of_train]) for one in opinions]
        train = self._taught(train, opinions, task.classes)
        opinions = opinions_of(self, teacher, picked(task.X, held_out.index), are_made=False)
        held_out = self._taught(held_out, opinions, task.classes)
        ask = Questions(self, teacher, task.classes)
        candidates = [candidate.anew(ask=ask) for candidate in candidates]
        if thresholds is not None:
            thresholds = thresholds_of(teacher, task.X) or None
        return Lesson(train, held_out, candidates, thresholds)

    def _may_fit_anew(self, task):
        """Whether clones of the teacher may be fitted to rows of which some are held out."""
        is_allowed = self.fit_teacher or self.soft_labels == "out_of_fold"
        if not is_allowed or self.teacher_ is None or task.held_out is not None:
            return False
        members = [member for member, _ in members_of(self.teacher)]
        return not any(part_that_stays_fitted(member) for member in members)

    def _taught(self, examples, opinions, classes):
        """Examples with the soft labels of another teacher."""
        soft_labels = _with_labels(self._mixed(opinions, classes), examples.targets["labels"])
        return examples.with_target("teacher_logits", self._teacher_logits(soft_labels))

    def _mixed(self, opinions, classes):
        """Soft labels out of several opinions; all zero where nobody says anything."""
        aligned = [
            align(o.probabilities, o.classes, classes, self.on_class_mismatch, o.whose)
            for o in opinions
        ]
        return mix(aligned, [o.weight for o in opinions])

    def _teacher_logits(self, soft_labels):
        return np.log(np.maximum(soft_labels, self.proba_floor)) / self.teacher_temperature_


def _with_labels(soft_labels, codes):
    """Soft labels, where there are none the label: a row of which nobody says anything."""
    silent = soft_labels.sum(axis=1) == 0
    soft_labels[silent, codes[silent]] = 1.0
    return soft_labels
