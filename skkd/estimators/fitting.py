"""`fit` and `partial_fit`: from the caller's rows to the fitted attributes.

The estimators import this module when `fit` is called: torch, the selection and the training
take longer to import than all that predicting needs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from skkd.callbacks import running
from skkd.checks import is_true, warn
from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput
from skkd.data.validation import COLUMN_ATTRIBUTES, RowReader
from skkd.estimators.fit_input import continues_last_fit, divide, read_all, read_part
from skkd.estimators.metadata import keep_metadata
from skkd.estimators.sklearn_callbacks import EpochCallbacks, with_callbacks
from skkd.presets import asks_for_smallest
from skkd.selection.encodings import competing_encodings, preprocessor_for
from skkd.selection.plan import Plan, make_plan
from skkd.selection.sizes import make_plan_of_smallest, title_of
from skkd.supervision import LabelSupervision, Supervision
from skkd.training import fit
from skkd.training.frequencies_check import warn_if_nothing_learned
from skkd.training.result import TrainingResult

__all__ = [
    "fit_labels",
    "fit_labels_in_part",
    "fit_supervised",
    "parameters_of",
    "train_one_epoch",
]


def parameters_of(estimator: Any, in_parts: bool = False) -> dict[str, Any]:
    """Return the parameters of an estimator by name, without those of nested objects.

    "smallest" is replaced by the layers of the last fit if a fit goes on from it, as a warm start
    and `partial_fit` (`in_parts`) do.
    """
    parameters = estimator.get_params(deep=False)
    goes_on = in_parts or is_true(estimator.warm_start)
    layers = getattr(estimator, "hidden_layer_sizes_", None)  # None also for a custom module
    if goes_on and layers is not None and asks_for_smallest(estimator.hidden_layer_sizes):
        parameters["hidden_layer_sizes"] = layers
    return parameters


def fit_labels(estimator: Any, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> None:
    """Fit an estimator to labels.

    Parameters
    ----------
    estimator : estimator
        Its fitted attributes are set.
    X, y, sample_weight, X_val, y_val : object
        The arguments of `fit`.
    """
    config = Config.from_parameters(parameters_of(estimator))
    given = read_all(estimator, X, y, sample_weight)
    supervision = LabelSupervision(config, given)
    data = divide(estimator, config, given, supervision, X_val, y_val)
    plan, _ = fit_supervised(
        estimator, config, given, data, supervision, y=y, sample_weight=sample_weight
    )
    keep_metadata(estimator, plan)


def fit_labels_in_part(estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any) -> None:
    """Train an estimator on labels for one epoch.

    Parameters
    ----------
    estimator : estimator
        Its fitted attributes are set.
    X, y, classes, sample_weight : object
        The arguments of `partial_fit`.
    """
    config = Config.from_parameters(parameters_of(estimator, in_parts=True), in_parts=True)
    given = read_part(estimator, X, y, classes, sample_weight)
    train_one_epoch(estimator, config, given, LabelSupervision(config, given))
    keep_metadata(estimator)


@with_callbacks
def fit_supervised(
    estimator: Any,
    config: Config,
    given: FitInput,
    data: FitData,
    supervision: Supervision,
    *,
    y: Any,
    sample_weight: Any,
) -> tuple[Plan, Dataset]:
    """Make a plan, train on all rows and set the fitted attributes.

    Return the plan, and the dataset that the network was trained on.
    """
    if continues_last_fit(estimator):
        plan = _plan_to_go_on(estimator, config, data, supervision)
    else:
        plan = _new_plan(estimator, config, given, data, supervision)
    if data.held_out is not None:
        plan.preprocessor.warn_of_unknown(data.held_out.rows, given.reader.names, "X_val")
    hooks = {"X": given.X, "y": y, "metadata": {"sample_weight": sample_weight}}
    callbacks = EpochCallbacks.of(estimator, plan.n_epochs_to_come, hooks)
    dataset = plan.candidate.dataset(data.train, plan.transfer_rows)
    result = _train_as_planned(given, data, dataset, plan, callbacks)
    _publish(estimator, result, data.classes, given.reader, config.warm_start)
    estimator.held_out_losses_ = None if plan.choice is None else plan.choice.losses
    estimator.numeric_encoding_ = plan.encoding
    estimator.size_losses_ = plan.size_losses
    if callbacks:
        fitted = {"network_": estimator.network_, "classes_": data.classes}
        callbacks.end(given.reader.columns | fitted)
    return plan, dataset


def _new_plan(
    estimator: Any, config: Config, given: FitInput, data: FitData, supervision: Supervision
) -> Plan:
    """Make the plan of a fit that starts anew."""
    has_callbacks = running(estimator.callbacks) or getattr(estimator, "_skl_callbacks", None)
    make = partial(
        make_plan,
        data=data,
        reader=given.reader,
        seeds=given.seeds,
        reports_epochs=bool(has_callbacks),
    )
    plan = make_plan_of_smallest(config, supervision, make)
    if plan.choice is not None and plan.choice.learned_nothing:
        warn(
            "on held-out rows the network is no better than the class frequencies: the "
            f"labels are noise, learning_rate={plan.config.learning_rate!r} is too high, "
            "or a class has too few rows to be held out."
        )
    return plan


def _train_as_planned(
    given: FitInput,
    data: FitData,
    dataset: Dataset,
    plan: Plan,
    callbacks: EpochCallbacks | None,
) -> TrainingResult:
    """Train on all rows according to the plan."""
    config, columns = plan.config, given.reader.columns

    def end_epoch(record: dict, result: Callable[[], TrainingResult]) -> bool:
        def fitted_attributes() -> dict[str, Any]:
            return columns | {"network_": result().network, "classes_": data.classes}

        return callbacks is not None and callbacks.end_epoch(fitted_attributes)

    result = fit.fit_dataset(
        config,
        plan.candidate.criterion,
        plan.preprocessor,
        dataset,
        data.valid,
        n_classes=len(data.classes),
        n_epochs=plan.n_epochs_to_come,
        seed=given.seeds.network,
        previous=plan.start,
        before_epoch=callbacks.begin_epoch if callbacks else None,
        on_epoch=end_epoch if callbacks else None,
        title=_title_of(plan),
    )
    last, result = result, result.preceded_by(plan.start)
    temperature = plan.temperature_for(None if config.early_stopping else len(result.history))
    if temperature != 1:
        result.network = result.network.at_temperature(temperature)
    if plan.choice is None or not plan.choice.learned_nothing:
        _warn_of_bad_result(result, last, data, plan)
    result.training_state["n_epochs"] = plan.n_epochs
    return result


def _title_of(plan: Plan) -> str | None:
    """The title of the progress bar; None if nothing was selected before."""
    if plan.choice is None:
        return None
    return "fitting all rows" + (f", {title_of(plan.config)}" if plan.size_losses else "")


def _warn_of_bad_result(
    result: TrainingResult, last: TrainingResult, data: FitData, plan: Plan
) -> None:
    """Warn if training has diverged, or if the network has learned nothing.

    `last` is the result of the last training alone, without the one that it has continued.
    """
    criterion, n_classes = plan.candidate.criterion, len(data.classes)
    keeps_old_weights = plan.start is not None and last.best_epoch == 0
    rate = plan.config.learning_rate
    if not keeps_old_weights and fit.warn_if_diverged(last, criterion, n_classes, rate):
        return
    warn_if_nothing_learned(result, criterion, data.train, rate)


def _plan_to_go_on(estimator: Any, config: Config, data: FitData, supervision: Supervision) -> Plan:
    """Make the plan of a warm start: nothing is selected, and the previous fit is continued."""
    n_epochs = config.max_epochs
    if "max_epochs" in config.left_auto:
        n_epochs = getattr(estimator, "training_state_", {}).get("n_epochs", n_epochs)
    return Plan(
        config,
        candidate=supervision.candidates(data, can_select=False)[0],
        encoding=getattr(estimator, "numeric_encoding_", None),
        preprocessor=estimator.network_.preprocessor,
        n_epochs=n_epochs,
        temperature=getattr(estimator.network_, "temperature", 1.0),
        start=_last_fit(estimator, restarts_schedule=True),
    )


def train_one_epoch(
    estimator: Any, config: Config, given: FitInput, supervision: Supervision
) -> None:
    """Train for one epoch, as `partial_fit` does, and set the fitted attributes."""
    goes_on = estimator.__sklearn_is_fitted__()
    data = divide(estimator, config, given, supervision)
    if goes_on:
        preprocessor = estimator.network_.preprocessor
    else:
        thresholds = supervision.thresholds(may_add_bins=False)
        encoding, *_ = competing_encodings(config, data.train.rows, thresholds)
        preprocessor = preprocessor_for(
            config, given.reader, data.train, data.classes, encoding, thresholds
        )
        estimator.numeric_encoding_ = encoding
    previous = _last_fit(estimator) if goes_on else None
    result = fit.fit_dataset(
        config,
        supervision.criterion(),
        preprocessor,
        data.train,
        None,
        n_classes=len(data.classes),
        n_epochs=1,
        seed=given.seeds.network,
        previous=previous,
    ).preceded_by(previous)
    _publish(estimator, result, data.classes, given.reader, keeps_training_state=True)


def _last_fit(estimator: Any, restarts_schedule: bool = False) -> TrainingResult:
    """Return the result of the previous fit, from which a training can continue."""
    if not hasattr(estimator, "history_"):  # a `student_` has no records of its training
        return TrainingResult(estimator.network_, [], None, {})
    state = getattr(estimator, "training_state_", {})
    if state and restarts_schedule:
        state = state | {"epochs_done": 0, "decay": None}  # of the learning rate's schedule
    return TrainingResult(
        estimator.network_, estimator.history_, estimator.best_epoch_, state, estimator.n_steps_
    )


def _publish(
    estimator: Any,
    result: TrainingResult,
    classes: np.ndarray,
    reader: RowReader,
    keeps_training_state: bool,
) -> None:
    """Set the fitted attributes from the result of a training."""
    for name in COLUMN_ATTRIBUTES:
        estimator.__dict__.pop(name, None)
    estimator.__dict__.update(reader.columns)
    estimator.classes_ = classes
    estimator.network_ = result.network.described(classes, reader.names)
    estimator.history_ = result.history
    estimator.loss_curve_ = [record["train_loss"] for record in result.history]
    estimator.n_iter_ = len(result.history)
    estimator.n_steps_ = result.n_steps
    estimator.held_out_losses_, estimator.size_losses_ = None, None
    estimator.best_epoch_ = result.best_epoch
    architecture = getattr(result.network, "architecture", {})  # a custom module has none
    estimator.hidden_layer_sizes_ = architecture.get("hidden_layer_sizes")
    estimator.__dict__.pop("training_state_", None)
    if keeps_training_state:
        estimator.training_state_ = result.training_state
