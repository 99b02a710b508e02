"""`fit` and `partial_fit` with a teacher."""

from typing import Any

import numpy as np

from skkd.checks import is_auto, warn
from skkd.config import DistilledConfig
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, unwrapped_rows
from skkd.data.masks import fill_mask
from skkd.distillation import TeacherSupervision, check_arguments_of_fit
from skkd.estimators.assistant import split_from_teacher, with_assistants
from skkd.estimators.fit_input import continues_last_fit, divide, read_all, read_part
from skkd.estimators.fitting import fit_supervised, parameters_of, train_one_epoch
from skkd.estimators.metadata import keep_metadata
from skkd.selection.comparisons import losses_of_all, reason_for
from skkd.selection.plan import Plan
from skkd.selection.successive_halving import Trial
from skkd.teachers.agreement import WeakTeacherWarning
from skkd.teachers.teacher import Clock

__all__ = ["fit_taught", "fit_taught_in_part"]


def fit_taught(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    X_val: Any,
    y_val: Any,
    teacher_proba: Any = None,
    X_unlabeled: Any = None,
) -> None:
    """Fit an estimator to labels and a teacher.

    Parameters
    ----------
    estimator : estimator
        Its fitted attributes are set.
    X, y, sample_weight, X_val, y_val, teacher_proba, X_unlabeled : object
        The arguments of `fit`.
    """
    config = DistilledConfig.from_parameters(parameters_of(estimator))
    X_unlabeled = fill_mask(unwrapped_rows(X_unlabeled))
    check_arguments_of_fit(config, teacher_proba, X_unlabeled)
    goes_on = continues_last_fit(estimator)
    given = read_all(estimator, X, y, sample_weight)
    assistants_clock = Clock()
    config = with_assistants(config, given, assistants_clock)
    supervision = TeacherSupervision(
        config,
        given,
        teacher_proba,
        X_unlabeled,
        alpha=_alpha_of_last_fit(estimator) if goes_on else None,
    )
    data = divide(estimator, config, given, supervision, X_val, y_val)
    plan, dataset = fit_supervised(
        estimator, config, given, data, supervision, y=y, sample_weight=sample_weight
    )
    _publish_teacher(estimator, supervision)
    if config.assistant is not None:
        estimator.teacher_, estimator.assistant_ = split_from_teacher(
            estimator.teacher, config.assistant, estimator.teacher_
        )
        estimator.assistant_seconds_ = assistants_clock.seconds
    _publish_candidate(estimator, plan, dataset)
    estimator.agreement_ = _agreement(estimator.network_, supervision, data, plan.choice)
    keep_metadata(estimator, plan)


def fit_taught_in_part(
    estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any, teacher_proba: Any = None
) -> None:
    """Train an estimator on labels and a teacher for one epoch.

    Parameters
    ----------
    estimator : estimator
        Its fitted attributes are set.
    X, y, classes, sample_weight, teacher_proba : object
        The arguments of `partial_fit`.
    """
    config = DistilledConfig.from_parameters(parameters_of(estimator, in_parts=True), in_parts=True)
    check_arguments_of_fit(config, teacher_proba, None)
    goes_on = estimator.__sklearn_is_fitted__()
    given = read_part(estimator, X, y, classes, sample_weight)
    alpha = _alpha_of_last_fit(estimator) if goes_on else None
    supervision = TeacherSupervision(config, given, teacher_proba, alpha=alpha, remember=False)
    train_one_epoch(estimator, config, given, supervision)
    _publish_teacher(estimator, supervision)
    estimator.alpha_ = supervision.alpha
    estimator.candidate_ = "teacher" if estimator.alpha_ > 0 else "labels"
    estimator.candidate_losses_, estimator.candidate_reason_ = None, None
    estimator.n_transfer_rows_ = 0
    estimator.agreement_ = None
    keep_metadata(estimator)


def _alpha_of_last_fit(estimator: Any) -> float | None:
    """If `alpha` is "auto", return the value that the previous fit used, else None."""
    return getattr(estimator, "alpha_", None) if is_auto(estimator.alpha) else None


def _publish_teacher(estimator: Any, supervision: TeacherSupervision) -> None:
    """Set the fitted attributes about the teacher."""
    estimator.teacher_ = None if supervision.teacher is None else supervision.teacher.model
    estimator.teacher_balanced_accuracy_ = supervision.balanced_accuracy
    estimator.teacher_temperature_ = supervision.temperature
    estimator.teacher_seconds_ = supervision.clock.seconds
    estimator.assistant_, estimator.assistant_seconds_ = None, 0.0


def _publish_candidate(estimator: Any, plan: Plan, dataset: Dataset) -> None:
    """Set the fitted attributes about the selected candidate."""
    estimator.alpha_ = plan.candidate.alpha
    estimator.candidate_ = plan.candidate.name
    estimator.n_transfer_rows_ = dataset.n_transfer_rows
    estimator.candidate_losses_, estimator.candidate_reason_ = None, None
    choice = plan.choice
    if choice is not None and len(choice.trials) > 1:
        estimator.candidate_losses_ = losses_of_all(choice.comparisons)
        estimator.candidate_reason_ = reason_for(
            choice.candidate.name, len(choice.labels), choice.comparisons
        )
        _warn_of_weak_teacher(estimator, choice)


def _agreement(
    network: Any, supervision: TeacherSupervision, data: FitData, choice: Trial | None
) -> float | None:
    """The share of held-out rows on which the network predicts the teacher's class.

    The rows are those of the selection, where the network is that of the selected trial, or else
    the rows of X that early stopping has held out. Rows without a soft label are left out. None
    if there are no such rows, and for rows of the caller, which the teacher does not predict.
    """
    if choice is not None:
        predicted, logits = choice.predicted[choice.n_epochs], choice.teacher_logits
        index, weights = choice.index, choice.weights
    elif data.valid is not None:
        valid = data.valid
        predicted = network.logits(valid.rows).argmax(axis=1)
        logits = valid.targets.get("teacher_logits")
        index, weights = valid.index, valid.targets["weights"]
    else:
        return None
    if logits is None or index is None:
        return None
    weights = weights * supervision.has_soft_label[index]
    if not weights.any():
        return None
    return float(np.average(predicted == logits.argmax(axis=1), weights=weights))


def _warn_of_weak_teacher(estimator: Any, choice: Trial) -> None:
    """Warn if the teacher is worse on held-out rows than a network without a teacher."""
    without_teacher = choice.trials.get("labels")
    if not is_auto(estimator.alpha) or without_teacher is None or choice.teacher_logits is None:
        return
    loss, is_worse = without_teacher.against(choice.teacher_logits)
    if is_worse:
        advice = "A better teacher may help, or more rows for it to label (X_unlabeled)."
        if choice.candidate.alpha > 0:
            advice = f"The student with a teacher still has the lowest: {choice.loss:.4g}."
        weighted = "" if estimator.class_weight is None else ", weighted by class_weight,"
        warn(
            "on held-out rows the teacher is no better than a network without a teacher: its "
            f"log-loss{weighted} is {loss:.4g}, that of the network {without_teacher.loss:.4g}. "
            f"{advice}",
            WeakTeacherWarning,
        )
