"""Supervision by a teacher: soft labels of the training rows, and of a transfer set."""

import copy
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
from skkd.teachers.class_weight import has_class_weight
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

#: The values for "auto": the weight of the teacher (alpha), and the parameter p of MUNGE.
AUTO_ALPHA, AUTO_MUNGE = 0.5, 0.25

#: If a teacher was fitted on the held-out rows, its soft labels of nearby synthetic rows reveal
#: the held-out labels. A network trained on these synthetic rows has too low a held-out loss.
#: So the candidate with a transfer set is selected only if its loss is lower by a quarter
#: than the loss with labels alone (factor 4/3). The teacher's soft labels of the training rows
#: reveal little of the held-out labels. If the candidate that uses only them is better than
#: labels alone, the teacher is trusted, and a twentieth is enough (factor 1.05).
REQUIRED_MARGIN, REQUIRED_MARGIN_IF_TRUSTED = 4 / 3, 1.05


class TeacherSupervision:
    """Supervision by labels and a teacher.

    Parameters
    ----------
    config : DistilledConfig
    data : FitInput
    teacher_proba : array-like or DataFrame of shape (n_rows, n_classes), default=None
        The caller's own soft labels of the rows, in place of a teacher.
    X_unlabeled : container of rows, default=None
        Further rows, without labels. Only the teacher labels them.
    alpha : float, default=None
        The weight of the teacher in the loss, from an earlier fit; None means `config.alpha`.
    remember : bool, default=True
        Whether the teacher's predictions for the rows of `data` are cached.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted class labels of the student.
    targets : dict of str to ndarray
        Training targets of each row: "labels" (class codes) and "teacher_logits".
    teacher : Teacher or None
        None if `teacher_proba` is given.
    balanced_accuracy : float
        Balanced accuracy of the teacher's most likely classes, compared with y.
    is_weighted : bool
        Whether classes have different weights, and the teacher has class weights of its own. Its
        probabilities are then those of the weighted problem already.
    has_soft_label : ndarray of bool of shape (n_rows,)
        Whether the teacher has predicted the row; the label takes its place otherwise.
    temperature : float
        The teacher's logits were divided by this; 1 if the teacher is not calibrated.
    draws_again : bool
        Whether the same random numbers are drawn again, in another fit or for another size of the
        network. What the teacher is asked is then remembered.
    clock : Clock
        Measures the seconds that the teacher and its clones take.
    """

    def __init__(
        self,
        config: DistilledConfig,
        data: FitInput,
        teacher_proba: Any = None,
        X_unlabeled: Any = None,
        *,
        alpha: float | None = None,
        remember: bool = True,
    ) -> None:
        self.config, self.data, self.X_unlabeled = config, data, X_unlabeled
        takes_teachers_classes = config.on_class_mismatch == "teacher"
        needs_all_classes = data.needs_all_classes and not takes_teachers_classes
        # This comes first, so that unsuitable labels are refused before the teacher is called.
        self.by_labels = LabelSupervision(
            config, replace(data, needs_all_classes=needs_all_classes)
        )
        self.given_alpha = alpha
        self.draws_again = isinstance(config.random_state, numbers.Integral) or bool(
            config.smaller_sizes
        )
        self.clock = Clock()
        with self.clock.running():
            self.teacher, members = self._soft_labels_by_member(teacher_proba, remember)
        classes = self.by_labels.classes
        if takes_teachers_classes and data.classes is None:
            classes = known_classes(members, classes)
        elif takes_teachers_classes and data.needs_all_classes:
            check_same_classes(known_classes(members, np.unique(data.y)), classes)
        self.classes, codes = encode(data.y, classes)
        if self.teacher is not None:
            self.teacher = self.teacher.with_classes(self.classes)
        soft_labels = mixed(members, self.classes, config.on_class_mismatch)
        weights = self._weights_of_soft_labels(soft_labels)
        was_fitted = self.teacher is not None and config.fit_teacher
        self.has_soft_label = soft_labels.sum(axis=1) > 0
        self.balanced_accuracy = agreement_with(soft_labels, codes, weights, was_fitted)
        self.temperature = 1.0
        factors = data.class_weights(config.class_weight, self.classes, codes)
        has_factors = bool((factors != factors[0]).any())
        self.is_weighted = (
            has_factors and self.teacher is not None and has_class_weight(self.teacher.model)
        )
        if config.calibrate_teacher:
            self.temperature = calibration_temperature(
                soft_labels,
                codes,
                weights * factors[codes] if self.is_weighted else weights,
                proba_floor=config.proba_floor,
            )
        reweights = has_factors and not self.is_weighted
        self.logits = TeacherLogits(
            config.proba_floor, self.temperature, factors if reweights else None
        )
        teacher_logits = self.logits(_filled_with_labels(soft_labels, codes))
        self.targets = {"labels": codes, "teacher_logits": teacher_logits}

    def with_config(self, config: DistilledConfig) -> "TeacherSupervision":
        """A copy for a network with other parameters, with the same labels and teacher."""
        copied = copy.copy(self)
        copied.config, copied.by_labels = config, self.by_labels.with_config(config)
        return copied

    @property
    def alpha(self) -> float:
        """The weight of the teacher in the loss of candidates that use the teacher."""
        if self.given_alpha is not None:
            return self.given_alpha
        alpha = self.config.alpha
        return AUTO_ALPHA if isinstance(alpha, str) else alpha

    def criterion(self) -> Any:
        """The training loss on labels and soft labels; on labels alone if `alpha` is 0."""
        if self.alpha == 0:
            return self.by_labels.criterion()
        from skkd.training.criteria import TaughtLoss

        config = self.config
        smoothing = config.label_smoothing
        if "label_smoothing" in config.left_auto and config.is_narrow:
            smoothing = 0.0  # soft labels regularise a small network enough
        return TaughtLoss(float(config.temperature), self.alpha, smoothing, config.teacher_loss)

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The candidates to compare on held-out rows: "teacher", "labels", "transfer set".

        The parameters `alpha` and `augment` and the argument X_unlabeled decide which of them
        there are. If `can_select` is false, no rows can be held out, and the first candidate is
        used.
        """
        is_alpha_auto = is_auto(self.config.alpha)
        if self.alpha == 0:
            return self.by_labels.candidates(data, can_select)
        shared: dict[str, Any] = {
            "criterion": self.criterion(),
            "alpha": self.alpha,
            "is_calibrated": is_alpha_auto and self.config.module is None,
        }
        sampler = self._sampler(can_select)
        transfer_set = self._transfer_set(data, sampler)
        has_sampler_of_user = sampler is not None and not is_auto(self.config.augment)
        is_requested = has_sampler_of_user or self.X_unlabeled is not None
        candidates = []
        if transfer_set is None or is_alpha_auto or not is_requested:
            candidates.append(Candidate("teacher", **shared))
        if is_alpha_auto and can_select:
            candidates += self.by_labels.candidates(data, can_select)
        if transfer_set is not None:
            if not is_requested:
                shared["required_margin"] = REQUIRED_MARGIN
                shared["required_margin_if_trusted"] = REQUIRED_MARGIN_IF_TRUSTED
            with_transfer_set = Candidate("transfer set", transfer_set=transfer_set, **shared)
            # The first candidate is used if no rows can be held out.
            candidates.insert(0 if is_requested else len(candidates), with_transfer_set)
        return candidates

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """The thresholds of the teacher's trees, by index of the column of X.

        A numeric encoding can use them as bin edges. `may_add_bins` tells whether such an encoding
        may be tried even if the user has not asked for one. If there are no thresholds, or if they
        are not to be used, the result is None.
        """
        encoding = resolve_encoding("numeric_encoding", self.config.numeric_encoding)
        may_use = may_add_bins and self.config.alpha != 0 and is_plain_table(self.data.X)
        if encoding is None or not (encoding.asks_teacher or may_use):
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
        """If possible, fit a clone of the teacher without the held-out rows of each split.

        `splits` are pairs (training rows, held-out rows). The result is one Fold for each
        pair. Each Fold holds the tree thresholds of its clone or, if the argument `thresholds` is
        None, no thresholds. If clones are not needed or cannot be fitted, the result is None.
        """
        uses_teacher = any(candidate.alpha for candidate in candidates)
        if not (uses_teacher and data.held_out is None and self._may_fit_clones()):
            return None
        labels = self.data.y
        indices = [_all_but(held_out.index, len(labels)) for _, held_out in splits]
        if any(len(np.unique(labels[index])) < len(np.unique(labels)) for index in indices):
            return None  # the clone would not know a class of the held-out rows
        n_sets = len(splits) + 1
        candidates = [one.sharing_seconds(n_sets) for one in candidates]
        with self.clock.running():
            try:
                return [
                    self._fold(split, index, candidates, thresholds is not None)
                    for split, index in zip(splits, indices, strict=True)
                ]
            except Exception as error:
                warn(
                    "the teacher cannot be fitted, or asked, without the rows that are held out "
                    f"for the selection ({error}): the teacher that has seen them is used instead. "
                    "Give X_val and y_val to select on rows that it has not seen."
                )
                return None

    def _fold(
        self,
        split: tuple[Dataset, Dataset],
        index: np.ndarray,
        candidates: list[Candidate],
        needs_thresholds: bool,
    ) -> Fold:
        """Fit a clone of the teacher to the rows `index`, and make a Fold with its soft labels."""
        train, held_out = split
        X, weights = self.data.X, self.data.sample_weight
        rows = LabelledRows(
            picked(X, index), self.data.y[index], None if weights is None else weights[index]
        )
        assert self.teacher is not None
        clone, members = Teacher.of_fit(
            self.config.teacher,
            replace(self.teacher.how, remembers_rows=self.draws_again),
            rows,
            fits=True,
            seed=self.data.seeds.teacher,
            remember=True,
            clock=self.clock,
        )
        clone = clone.with_classes(self.classes)
        soft_labels = mixed(members, self.classes, self.config.on_class_mismatch)
        assert train.index is not None and held_out.index is not None
        in_clone = np.searchsorted(index, train.index)
        train = self._with_soft_labels(train, soft_labels[in_clone])
        held_out = self._with_soft_labels(held_out, clone.soft_labels(picked(X, held_out.index)))
        candidates = [one.labelled_by(clone) for one in candidates]
        thresholds = _thresholds_of(clone, X) if needs_thresholds else None
        return Fold(train, held_out, candidates, thresholds)

    def _with_soft_labels(self, dataset: Dataset, soft_labels: np.ndarray) -> Dataset:
        """A copy of a dataset whose target "teacher_logits" is made from `soft_labels`."""
        soft_labels = _filled_with_labels(soft_labels, dataset.targets["labels"])
        return dataset.with_target("teacher_logits", self.logits(soft_labels))

    def _soft_labels_by_member(
        self, teacher_proba: Any, remember: bool
    ) -> tuple[Teacher | None, list[MemberLabels]]:
        """The teacher (None if `teacher_proba` is given), and the soft labels of each member."""
        config, data = self.config, self.data
        if teacher_proba is not None:
            given = _given_labels(teacher_proba, self.by_labels.classes, count_rows(data.X))
            return None, [given]
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

    def _how_to_ask(self) -> HowToAsk:
        config = self.config
        makes_the_same_rows = config.augment_seconds is None and config.augment_size != "fresh"
        return HowToAsk(
            source="in_sample" if is_auto(config.soft_labels) else config.soft_labels,
            on_class_mismatch=config.on_class_mismatch,
            batch_size=config.teacher_batch_size,
            memory=config.memory,
            shows_progress=bool(config.verbose),
            remembers_fits=self.draws_again,
            # Without a seed, each fit has a fitted teacher of its own.
            remembers_rows=self.draws_again or not config.fit_teacher,
            remembers_made_rows=self.draws_again and makes_the_same_rows,
        )

    def _may_fit_clones(self) -> bool:
        """Whether clones of the teacher may be fitted without the held-out rows."""
        is_allowed = self.config.fit_teacher or self.config.soft_labels == "out_of_fold"
        return is_allowed and self.teacher is not None and can_be_cloned(self.config.teacher)

    def _weights_of_soft_labels(self, soft_labels: np.ndarray) -> np.ndarray:
        """The sample weights of the rows, with 0 for each row that has no soft label."""
        weights = self.data.sample_weight
        return (soft_labels.sum(axis=1) > 0) * (1.0 if weights is None else weights)

    def _sampler(self, can_select: bool) -> Any:
        """The unfitted sampler of synthetic rows, or None if no synthetic rows are to be made."""
        config = self.config
        if config.augment is None:
            return None
        if not is_auto(config.augment):
            return resolve_augment(config.augment)
        # A transformer or module of the user may not accept the rows that MUNGE makes.
        reads_columns = isinstance(config.preprocessor, (str, type(None))) and config.module is None
        suits = can_select and reads_columns and is_plain_table(self.data.X)
        return Munge(p=AUTO_MUNGE) if suits else None

    def _transfer_set(self, data: FitData, sampler: Any) -> TransferSet | None:
        """The transfer set of rows that only the teacher labels, if there are any."""
        if self.teacher is None or (sampler is None and self.X_unlabeled is None):
            return None
        config, X = self.config, self.data.X
        categorical: Sequence[int] = ()
        if sampler is not None and isinstance(config.preprocessor, str):
            names = self.data.reader.names
            categorical = nominal_columns(config.categorical_features, X, names)
        return TransferSet(
            X,
            teacher=self.teacher,
            read=self.data.reader,
            logits=self.logits,
            class_weights=data.class_weights,
            is_weighted=self.is_weighted,
            X_unlabeled=self.X_unlabeled,
            sampler=sampler,
            size=config.augment_size,
            seconds=config.augment_seconds,
            categorical=categorical,
            seed=self.data.seeds.teacher,
        )


def check_arguments_of_fit(config: DistilledConfig, teacher_proba: Any, X_unlabeled: Any) -> None:
    """Raise an error for arguments of `fit` that contradict the parameters.

    Parameters
    ----------
    config : DistilledConfig
    teacher_proba, X_unlabeled : object
        The arguments of `fit`.
    """
    has_teacher = teacher_proba is None
    if config.calibrate_teacher and not config.asks_out_of_sample and has_teacher:
        allowed = "False, or soft_labels='out_of_bag' or 'out_of_fold': rows it has not seen"
        refuse("calibrate_teacher", True, allowed)
    if X_unlabeled is not None and config.augment_size == "fresh":
        allowed = "'auto' or an integer >= 1 together with X_unlabeled"
        refuse("augment_size", config.augment_size, allowed)
    if not has_teacher:
        _check_without_teacher(config, X_unlabeled)


def _check_without_teacher(config: DistilledConfig, X_unlabeled: Any) -> None:
    """Raise an error if a parameter or argument needs a teacher, for a fit without one."""
    if config.asks_out_of_sample:
        refuse("soft_labels", config.soft_labels, "'auto' or 'in_sample' beside teacher_proba")
    if not (config.augment is None or is_auto(config.augment)):
        refuse("augment", config.augment, "'auto' or None together with teacher_proba")
    if config.assistant is not None:
        allowed = "None together with teacher_proba: it teaches beside a teacher"
        refuse("assistant", config.assistant, allowed)
    if X_unlabeled is not None:
        raise ValueError(
            "X_unlabeled is labelled by the teacher, and teacher_proba replaces it: give one of "
            "them, or append the unlabelled rows to X, with soft labels and a y of their own."
        )


def _given_labels(teacher_proba: Any, classes: np.ndarray, n_rows: int) -> MemberLabels:
    """Check the caller's `teacher_proba`, and return it as the soft labels of one member."""
    probabilities = check_probabilities(
        teacher_proba, n_rows, "teacher_proba", may_be_unanswered=True
    )
    columns = named_columns(teacher_proba, classes)
    return MemberLabels(probabilities, columns, name="teacher_proba")


def _filled_with_labels(soft_labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Write the one-hot label into each row without a soft label, in place."""
    has_none = soft_labels.sum(axis=1) == 0
    soft_labels[has_none, codes[has_none]] = 1.0
    return soft_labels


def _all_but(index: np.ndarray | None, n_rows: int) -> np.ndarray:
    """The indices of all rows except those in `index`."""
    assert index is not None
    return np.delete(np.arange(n_rows), index)


def _thresholds_of(teacher: Teacher, X: Any) -> dict | None:
    """The thresholds of a teacher's trees, by index of the column of X, if there are any."""
    from skkd.teachers import tree_thresholds  # slow to import

    return tree_thresholds.thresholds_of(teacher.model, X) or None
