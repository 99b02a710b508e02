"""What a student learns from: labels, a teacher beside them, rows that only it labels."""

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skkd.checks import is_auto, refuse, warn
from skkd.config import DistilledConfig
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput
from skkd.data.validation import (
    check_same_classes,
    count_rows,
    encode,
    is_plain_table,
    nominal_columns,
    picked,
)
from skkd.inference.calibration import calibration_temperature
from skkd.preprocessing.encodings import resolve_encoding
from skkd.supervision import Candidate, Fold, LabelSupervision
from skkd.teachers.agreement import agreement_with
from skkd.teachers.members import MemberLabels
from skkd.teachers.soft_labels import (
    TeacherLogits,
    check_probabilities,
    known_classes,
    named_columns,
)
from skkd.teachers.teacher import Clock, HowToAsk, LabelledRows, Teacher, can_be_cloned, mixed
from skkd.transfer import Munge, resolve_augment
from skkd.transfer.transfer_set import TransferSet

__all__ = ["AUTO_ALPHA", "TeacherSupervision", "check_arguments_of_fit"]

#: The weight of a teacher, if it gets any, and MUNGE's p, where they are "auto".
AUTO_ALPHA, AUTO_MUNGE = 0.5, 0.25

#: A teacher that was fitted on the held-out rows reveals their labels through the synthetic rows
#: beside them: the loss with a transfer set must be lower than that of labels by a quarter.
#: Its soft labels of the other rows reveal little: where they have shown that the teacher helps,
#: a twentieth is enough.
REQUIRED_MARGIN, REQUIRED_MARGIN_IF_TRUSTED = 4 / 3, 1.05


class TeacherSupervision:
    """Learning from labels and from a teacher.

    Parameters
    ----------
    config : DistilledConfig
    data : FitInput
    teacher_proba : array-like or DataFrame of shape (n_rows, n_classes), default=None
        Soft labels in place of a teacher.
    X_unlabeled : container of rows, default=None
        Rows that only the teacher labels.
    alpha : float, default=None
        The weight of the teacher, if it was decided before; None: the configuration says it.
    goes_on : bool, default=False
        Whether an earlier fit goes on: then nothing is selected anew.
    remember : bool, default=True
        Whether to ask the teacher about the same rows only once.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    targets : dict of str to ndarray
        "labels" and "teacher_logits".
    teacher : Teacher or None
    agreement : float
        Balanced accuracy of the teacher on the rows.
    temperature : float
        That the teacher's logits were divided by.
    clock : Clock
        The seconds that the teacher and its clones took.
    """

    def __init__(
        self,
        config: DistilledConfig,
        data: FitInput,
        teacher_proba: Any = None,
        X_unlabeled: Any = None,
        *,
        alpha: float | None = None,
        goes_on: bool = False,
        remember: bool = True,
    ) -> None:
        self.config, self.data, self.X_unlabeled = config, data, X_unlabeled
        takes_teachers_classes = config.on_class_mismatch == "teacher"
        needs_all_classes = data.needs_all_classes and not takes_teachers_classes
        # It refuses labels before a teacher is asked.
        self.by_labels = LabelSupervision(
            config, replace(data, needs_all_classes=needs_all_classes)
        )
        self.goes_on = goes_on
        self.given_alpha = alpha
        self.clock = Clock()
        with self.clock.running():
            self.teacher, answers = self._ask(teacher_proba, remember)
        classes = self.by_labels.classes
        if takes_teachers_classes and data.classes is None:
            classes = known_classes(answers, classes)
        elif takes_teachers_classes and data.needs_all_classes:
            check_same_classes(known_classes(answers, np.unique(data.y)), classes)
        self.classes, codes = encode(data.y, classes)
        if self.teacher is not None:
            self.teacher = self.teacher.with_classes(self.classes)
        soft_labels = mixed(answers, self.classes, config.on_class_mismatch)
        weights = self._weights_of_answers(soft_labels)
        is_fitted_here = self.teacher is not None and config.fit_teacher
        self.agreement = agreement_with(soft_labels, codes, weights, is_fitted_here)
        self.temperature = 1.0
        if config.calibrate_teacher:
            self.temperature = calibration_temperature(
                soft_labels, codes, weights, proba_floor=config.proba_floor
            )
        self.logits = TeacherLogits(config.proba_floor, self.temperature)
        teacher_logits = self.logits(_or_labels(soft_labels, codes))
        self.targets = {"labels": codes, "teacher_logits": teacher_logits}

    @property
    def alpha(self) -> float:
        """The weight of the teacher where nothing is selected."""
        if self.given_alpha is not None:
            return self.given_alpha
        return AUTO_ALPHA if is_auto(self.config.alpha) else self.config.alpha

    def criterion(self) -> Any:
        """The loss of labels and soft labels."""
        return self._criterion(self.alpha)

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The teacher, labels alone and a transfer set, as far as `alpha` and `augment` ask."""
        can_select = can_select and not self.goes_on
        is_left_open = is_auto(self.config.alpha)
        if self.alpha == 0:
            return self.by_labels.candidates(data, can_select)
        shared: dict[str, Any] = {
            "criterion": self.criterion(),
            "alpha": self.alpha,
            "is_calibrated": is_left_open and self.config.module is None,
        }
        sampler = self._sampler(can_select)
        transfer_set = self._transfer_set(data, sampler)
        makes_rows_asked_for = sampler is not None and not is_auto(self.config.augment)
        is_asked_for = makes_rows_asked_for or self.X_unlabeled is not None
        candidates = []
        if transfer_set is None or is_left_open or not is_asked_for:
            candidates.append(Candidate("teacher", **shared))
        if is_left_open and can_select:
            candidates += self.by_labels.candidates(data, can_select)
        if transfer_set is not None:
            if not is_asked_for:
                shared["required_margin"] = REQUIRED_MARGIN
                shared["required_margin_if_trusted"] = REQUIRED_MARGIN_IF_TRUSTED
            with_more = Candidate("transfer set", transfer_set=transfer_set, **shared)
            # Where nothing can be held out the first is taken.
            candidates.insert(0 if is_asked_for else len(candidates), with_more)
        return candidates

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """Where the teacher's trees split the columns, if a numeric encoding asks for it."""
        encoding = resolve_encoding("numeric_encoding", self.config.numeric_encoding)
        may_ask = may_add_bins and self.config.alpha != 0 and is_plain_table(self.data.X)
        if encoding is None or not (encoding.asks_teacher or may_ask):
            return None
        thresholds = {} if self.teacher is None else _thresholds_of(self.teacher, self.data.X)
        if not thresholds and encoding.asks_teacher:
            warn(
                "numeric_encoding asks for a teacher whose trees split columns of X, and there "
                "is none: its bins lie between quantiles instead, as with 'piecewise_linear'."
            )
        return thresholds or None

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """Each split, taught by a clone of the teacher that has not seen its held-out rows.

        None where no clone may be fitted, or would lack a class, or fails.
        """
        is_taught = any(candidate.alpha for candidate in candidates)
        if not (is_taught and data.held_out is None and self._may_fit_clones()):
            return None
        labels = self.data.y
        unseen = [np.delete(np.arange(len(labels)), held_out.index) for _, held_out in splits]
        if any(len(np.unique(labels[index])) < len(np.unique(labels)) for index in unseen):
            return None
        n_sets = len(splits) + 1
        candidates = [one.sharing_seconds(n_sets) for one in candidates]
        with self.clock.running():
            try:
                return [
                    self._fold(split, index, candidates, thresholds is not None)
                    for split, index in zip(splits, unseen, strict=True)
                ]
            except Exception as error:
                warn(
                    "the teacher cannot be fitted, or asked, without the rows that are held out to "
                    f"choose by ({error}): the one that has seen them answers instead. X_val and "
                    "y_val would be rows that it has not seen."
                )
                return None

    def _fold(self, split, index, candidates, asks_thresholds):
        """A split, taught by a clone that was fitted on the rows of an index."""
        train, held_out = split
        X, weights = self.data.X, self.data.sample_weight
        rows = LabelledRows(
            picked(X, index), self.data.y[index], None if weights is None else weights[index]
        )
        clone, answers = Teacher.of_fit(
            self.config.teacher,
            replace(self.teacher.how, remembers_rows=self._is_seeded),
            rows,
            fits=True,
            seed=self.data.seeds.teacher,
            remember=True,
            clock=self.clock,
        )
        clone = clone.with_classes(self.classes)
        soft_labels = mixed(answers, self.classes, self.config.on_class_mismatch)
        train = self._taught(train, soft_labels[np.searchsorted(index, train.index)])
        held_out = self._taught(held_out, clone.soft_labels(picked(X, held_out.index)))
        candidates = [one.labelled_by(clone) for one in candidates]
        return Fold(
            train, held_out, candidates, _thresholds_of(clone, X) if asks_thresholds else None
        )

    def _taught(self, dataset, soft_labels):
        """A dataset with the soft labels of another teacher."""
        soft_labels = _or_labels(soft_labels, dataset.targets["labels"])
        return dataset.with_target("teacher_logits", self.logits(soft_labels))

    def _ask(self, teacher_proba, remember):
        """The teacher, and the soft labels of the rows by each member; no teacher if given."""
        config, data = self.config, self.data
        if teacher_proba is not None:
            return None, [_given(teacher_proba, self.by_labels.classes, count_rows(data.X))]
        if config.teacher is None:
            refuse("teacher", None, "a fitted classifier, or teacher_proba in fit")
        return Teacher.of_fit(
            config.teacher,
            self._how_to_ask(),
            LabelledRows(data.X, data.y, data.sample_weight),
            fits=config.fit_teacher,
            seed=data.seeds.teacher,
            remember=remember,
            clock=self.clock,
        )

    @property
    def _is_seeded(self):
        """Whether another fit with the same parameters draws the same numbers."""
        return isinstance(self.config.random_state, numbers.Integral)

    def _how_to_ask(self):
        config = self.config
        makes_the_same_rows = config.augment_seconds is None and config.augment_size != "fresh"
        return HowToAsk(
            source="in_sample" if is_auto(config.soft_labels) else config.soft_labels,
            on_class_mismatch=config.on_class_mismatch,
            batch_size=config.teacher_batch_size,
            memory=config.memory,
            shows_progress=bool(config.verbose),
            remembers_fits=self._is_seeded,
            # A teacher that is fitted without a seed is another one in each fit.
            remembers_rows=self._is_seeded or not config.fit_teacher,
            remembers_made_rows=self._is_seeded and makes_the_same_rows,
        )

    def _may_fit_clones(self):
        """Whether clones of the teacher may be fitted to rows of which some are held out."""
        is_allowed = self.config.fit_teacher or self.config.soft_labels == "out_of_fold"
        return is_allowed and self.teacher is not None and can_be_cloned(self.config.teacher)

    def _weights_of_answers(self, soft_labels):
        """Sample weights, 0 where no member answers."""
        weights = self.data.sample_weight
        return (soft_labels.sum(axis=1) > 0) * (1.0 if weights is None else weights)

    def _criterion(self, alpha):
        if alpha == 0:
            return self.by_labels.criterion()
        from skkd.training.criteria import TaughtLoss

        config = self.config
        smoothing = config.label_smoothing
        if "label_smoothing" in config.left_auto and config.is_narrow:
            smoothing = 0.0  # the teacher's labels are soft, and a small network spares its units
        return TaughtLoss(float(config.temperature), alpha, smoothing, config.teacher_loss)

    def _sampler(self, can_select):
        """What makes synthetic rows, not fitted; or None."""
        config = self.config
        if config.augment is None:
            return None
        if not is_auto(config.augment):
            return resolve_augment(config.augment)
        # What a transformer or a module of one's own takes may be anything.
        reads_columns = isinstance(config.preprocessor, (str, type(None))) and config.module is None
        suits = can_select and reads_columns and is_plain_table(self.data.X)
        return Munge(p=AUTO_MUNGE) if suits else None

    def _transfer_set(self, data, sampler):
        """The rows that only the teacher labels; None where there are none."""
        if self.teacher is None or (sampler is None and self.X_unlabeled is None):
            return None
        config, X = self.config, self.data.X
        categorical = ()
        if sampler is not None and isinstance(config.preprocessor, str):
            names = self.data.reader.names
            categorical = nominal_columns(config.categorical_features, X, names)
        return TransferSet(
            X,
            teacher=self.teacher,
            read=self.data.reader,
            logits=self.logits,
            class_weights=data.class_weights,
            X_unlabeled=self.X_unlabeled,
            sampler=sampler,
            size=config.augment_size,
            seconds=config.augment_seconds,
            categorical=categorical,
            seed=self.data.seeds.teacher,
        )


def check_arguments_of_fit(config: DistilledConfig, teacher_proba: Any, X_unlabeled: Any) -> None:
    """Refuse arguments of `fit` that do not suit the parameters.

    Parameters
    ----------
    config : DistilledConfig
    teacher_proba, X_unlabeled : object
        As `fit` got them.
    """
    has_teacher = teacher_proba is None
    if config.calibrate_teacher and not config.asks_out_of_sample and has_teacher:
        allowed = "False, or soft_labels 'out_of_bag' or 'out_of_fold': rows it has not seen"
        refuse("calibrate_teacher", True, allowed)
    if X_unlabeled is not None and config.augment_size == "fresh":
        allowed = "'auto' or an integer >= 1 together with X_unlabeled"
        refuse("augment_size", config.augment_size, allowed)
    if not has_teacher:
        _check_without_teacher(config, X_unlabeled)


def _check_without_teacher(config: DistilledConfig, X_unlabeled: Any) -> None:
    """Refuse what only a teacher could answer, beside answers that replace it."""
    if config.asks_out_of_sample:
        refuse("soft_labels", config.soft_labels, "'auto' or 'in_sample' beside teacher_proba")
    if not (config.augment is None or is_auto(config.augment)):
        refuse("augment", config.augment, "'auto' or None together with teacher_proba")
    if X_unlabeled is not None:
        raise ValueError(
            "X_unlabeled is labelled by the teacher, and teacher_proba replaces it: give one of "
            "them, or the unlabelled rows their answers and a y of their own."
        )


def _given(teacher_proba, classes, n_rows):
    """The caller's own soft labels."""
    probabilities = check_probabilities(
        teacher_proba, n_rows, "teacher_proba", may_be_unanswered=True
    )
    columns = named_columns(teacher_proba, classes)
    return MemberLabels(probabilities, columns, name="teacher_proba")


def _or_labels(soft_labels, codes):
    """Soft labels; the label itself for rows that no member answers."""
    unanswered = soft_labels.sum(axis=1) == 0
    soft_labels[unanswered, codes[unanswered]] = 1.0
    return soft_labels


def _thresholds_of(teacher, X):
    """Where a teacher's trees split the columns, by column; None if they do not."""
    from skkd.teachers import tree_thresholds  # imports what reads other libraries' trees

    return tree_thresholds.thresholds_of(teacher.model, X) or None
