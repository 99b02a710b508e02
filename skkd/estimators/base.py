"""The base class of the estimators: parameters, reading X and y, fitting, attributes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skkd import __version__
from skkd.callbacks import PREFIX, link_as, parameters_by_name, running, with_parameters
from skkd.checks import refuse, warn
from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput, Seeds, unwrapped_rows
from skkd.data.input_tags import tags_of_preprocessor
from skkd.data.labels import read_labels
from skkd.data.masks import fill_mask
from skkd.data.validation import (
    COLUMN_ATTRIBUTES,
    RowReader,
    check_labels,
    check_weights,
    count_rows,
    encode,
)
from skkd.doc_links import DocLinkMixin
from skkd.estimators.options import OBJECTS, OPTION_PREFIXES, set_options
from skkd.estimators.sklearn_callbacks import (
    CallbackSupportMixin,
    EpochCallbacks,
    with_callbacks,
)
from skkd.selection.encodings import competing_encodings, preprocessor_for
from skkd.selection.plan import Plan, make_plan
from skkd.supervision import Supervision
from skkd.training.result import TrainingResult

__all__ = ["BaseNeuralEstimator", "all_or_nothing", "has_partial_fit"]


def has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise an AttributeError if a parameter rules `partial_fit` out.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    bool
    """
    if estimator.early_stopping:
        refuse(
            "early_stopping",
            estimator.early_stopping,
            "False for partial_fit, which runs one epoch per call",
            AttributeError,
        )
    return True


class BaseNeuralEstimator(CallbackSupportMixin, DocLinkMixin, BaseEstimator):
    """Base class of neural networks as scikit-learn estimators, with or without a teacher."""

    module: Any
    preprocessor: Any
    categorical_features: Any
    class_weight: Any
    dtype: Any
    early_stopping: Any
    warm_start: Any
    callbacks: Any
    random_state: Any

    network_: Any
    classes_: np.ndarray
    history_: list[dict]
    best_epoch_: int | None
    n_steps_: int

    def get_params(self, deep=True):
        """The parameters of the constructor, including ``module__*`` and ``optimizer__*``.

        With `deep` there are also named callbacks, as ``callbacks__<name>``, and their
        parameters, as ``callbacks__<name>__<parameter>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of nested objects.

        Returns
        -------
        dict of str to object
        """
        params = super().get_params(deep=deep)
        options = {k: v for k, v in vars(self).items() if k.startswith(OPTION_PREFIXES)}
        return params | options | (parameters_by_name(self.callbacks) if deep else {})

    def set_params(self, **params):
        """Set parameters, also those of nested objects.

        ``callbacks__<name>`` sets a named callback (None or "disable" disables it), and
        ``callbacks__<name>__<parameter>`` sets one parameter of a named callback.

        Parameters
        ----------
        **params : object

        Returns
        -------
        NeuralClassifier
            Itself.
        """
        options = {k: params.pop(k) for k in list(params) if k.startswith(OPTION_PREFIXES)}
        of_callbacks = {k: params.pop(k) for k in list(params) if k.startswith(PREFIX)}
        for name, value in params.items():
            owner, _, setting = name.partition("__")
            current = params.get(owner, getattr(self, owner, None))
            if setting and (isinstance(current, str) or (current is None and owner in OBJECTS)):
                where = f", of {OBJECTS[owner]}" if owner in OBJECTS else ""
                allowed = f"{owner} as an object with that setting{where}, not {current!r}"
                refuse(name, value, allowed)
        super().set_params(**params)
        set_options(self, options)
        if of_callbacks:
            self.callbacks = with_parameters(self.callbacks, of_callbacks)
        return self

    def _goes_on(self) -> bool:
        """Whether `fit` continues from the last fit."""
        return bool(self.warm_start) and self.__sklearn_is_fitted__()

    def __sklearn_is_fitted__(self):
        return "network_" in vars(self)

    def _read_all(self, X: Any, y: Any, sample_weight: Any) -> FitInput:
        """Read and check the input of `fit`. In a warm start y must have all classes again."""
        goes_on = self._goes_on()
        given = self._read(X, y, sample_weight, self.classes_ if goes_on else None, goes_on=goes_on)
        return replace(given, needs_all_classes=goes_on)

    def _read(
        self, X: Any, y: Any, sample_weight: Any, classes: np.ndarray | None, *, goes_on: bool
    ) -> FitInput:
        """Read rows, labels and weights, and check them."""
        X = fill_mask(X)
        reader = self._reader(goes_on)
        rows = reader(X)
        if goes_on:
            self.network_.preprocessor.warn_of_unknown(rows, reader.names)
        n_rows = count_rows(X)
        y = check_labels(type(self).__name__, y, n_rows)
        sample_weight = check_weights(sample_weight, n_rows)
        return FitInput(X, rows, y, sample_weight, reader, self._draw_seeds(), classes)

    def _read_part(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> FitInput:
        """Read and check the input of `partial_fit`."""
        if isinstance(self.class_weight, str):
            refuse("class_weight", self.class_weight, "a dict or None for partial_fit")
        classes = self._classes_of_all_calls(classes)
        return self._read(X, y, sample_weight, classes, goes_on=self.__sklearn_is_fitted__())

    def _reader(self, goes_on: bool) -> RowReader:
        """Make a reader of rows. With `goes_on` it accepts only the columns of the last fit."""
        columns = {name: getattr(self, name) for name in COLUMN_ATTRIBUTES if hasattr(self, name)}
        reads_as, categorical = self.preprocessor, self.categorical_features
        if goes_on:
            fitted = self.network_.preprocessor
            reads_as, categorical = fitted.reads_as, fitted.categorical
        return RowReader(
            type(self).__name__,
            preprocessor=reads_as,
            dtype=self.dtype,
            allow_nd=self.module is not None,
            categorical=categorical,
            columns=columns if goes_on else None,
        )

    def _draw_seeds(self) -> Seeds:
        try:
            random_state = check_random_state(self.random_state)
        except ValueError:
            refuse("random_state", self.random_state, "an int, a numpy RandomState or None")
        return Seeds(*random_state.randint(np.iinfo(np.int32).max, size=3).tolist())

    def _fit_data(
        self,
        config: Config,
        given: FitInput,
        supervision: Supervision,
        X_val: Any = None,
        y_val: Any = None,
    ) -> FitData:
        """Encode the input of a fit, and divide it into training and held-out rows."""
        classes, codes = supervision.classes, supervision.targets["labels"]
        factors = given.class_weights(self.class_weight, classes, codes)
        held_out = self._read_held_out(X_val, y_val, given.reader, classes, factors)
        return FitData.divided(
            given.dataset(supervision.targets, factors),
            classes,
            factors,
            held_out,
            config.validation_fraction if config.early_stopping else None,
            given.seeds.split,
        )

    def _read_held_out(
        self, X_val: Any, y_val: Any, reader: RowReader, classes: np.ndarray, factors: np.ndarray
    ) -> Dataset | None:
        """Read `X_val` and `y_val` as a dataset; None if they were not given."""
        if (X_val is None) != (y_val is None):
            missing = "y_val" if y_val is None else "X_val"
            raise ValueError(f"{missing}=None is not allowed: X_val and y_val go together.")
        if X_val is None:
            return None
        X_val, y_val = unwrapped_rows(X_val), unwrapped_rows(y_val)
        rows = reader(X_val)
        y_val = check_labels(type(self).__name__, y_val, count_rows(X_val), name="y_val")
        _, codes = encode(y_val, classes, name="y_val")
        weights = factors[codes]
        if not weights.any():
            raise ValueError("class_weight leaves no row of X_val with a weight above zero.")
        return Dataset(rows, {"labels": codes, "weights": weights})

    @with_callbacks
    def _fit_supervised(
        self,
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
        goes_on = self._goes_on()
        if goes_on:
            plan = self._plan_to_go_on(config, data, supervision)
        else:
            reports_epochs = bool(running(self.callbacks) or getattr(self, "_skl_callbacks", None))
            plan = make_plan(config, data, supervision, given.reader, given.seeds, reports_epochs)
        if data.held_out is not None:
            plan.preprocessor.warn_of_unknown(data.held_out.rows, given.reader.names, "X_val")
        hooks = {"X": given.X, "y": y, "metadata": {"sample_weight": sample_weight}}
        callbacks = EpochCallbacks.of(self, plan.n_epochs_to_come, hooks)
        dataset = plan.candidate.dataset(data.train, plan.transfer_rows)
        result = self._train_as_planned(config, given, data, dataset, plan, callbacks)
        self._publish(result, data.classes, given.reader, config.warm_start)
        self.held_out_losses_ = None if plan.choice is None else plan.choice.losses
        self.numeric_encoding_ = plan.encoding
        if callbacks:
            fitted = {"network_": self.network_, "classes_": data.classes}
            callbacks.end(given.reader.columns | fitted)
        return plan, dataset

    def _train_as_planned(
        self,
        config: Config,
        given: FitInput,
        data: FitData,
        dataset: Dataset,
        plan: Plan,
        callbacks: EpochCallbacks | None,
    ) -> TrainingResult:
        """Train on all rows according to the plan."""
        from skkd.training import fit  # imports torch, only when it is needed

        columns = given.reader.columns

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
            title=None if plan.choice is None else "fitting all rows",
        )
        has_warned = plan.choice is not None and plan.choice.learned_nothing
        keeps_old_weights = plan.start is not None and result.best_epoch == 0
        if not (has_warned or keeps_old_weights):
            n_classes = len(data.classes)
            fit.warn_if_diverged(result, plan.candidate.criterion, n_classes, config.learning_rate)
        result = result.preceded_by(plan.start)
        temperature = plan.temperature_for(None if config.early_stopping else len(result.history))
        if temperature != 1:
            result.network = result.network.at_temperature(temperature)
        result.training_state["n_epochs"] = plan.n_epochs
        return result

    def _plan_to_go_on(self, config: Config, data: FitData, supervision: Supervision) -> Plan:
        """The plan of a warm start: nothing is selected, and the last fit is continued."""
        n_epochs = config.max_epochs
        if "max_epochs" in config.left_auto:
            n_epochs = getattr(self, "training_state_", {}).get("n_epochs", n_epochs)
        return Plan(
            candidate=supervision.candidates(data, can_select=False)[0],
            encoding=getattr(self, "numeric_encoding_", None),
            preprocessor=self.network_.preprocessor,
            n_epochs=n_epochs,
            temperature=getattr(self.network_, "temperature", 1.0),
            start=self._last_fit(restarts_schedule=True),
        )

    def _train_one_epoch(self, config: Config, given: FitInput, supervision: Supervision) -> None:
        """Train for one epoch, as `partial_fit` does, and set the fitted attributes."""
        from skkd.training.fit import fit_dataset

        goes_on = self.__sklearn_is_fitted__()
        data = self._fit_data(config, given, supervision)
        if goes_on:
            preprocessor = self.network_.preprocessor
        else:
            thresholds = supervision.thresholds(may_add_bins=False)
            encoding, *_ = competing_encodings(config, data.train.rows, thresholds)
            preprocessor = preprocessor_for(
                config, given.reader, data.train, data.classes, encoding, thresholds
            )
            self.numeric_encoding_ = encoding
        previous = self._last_fit() if goes_on else None
        result = fit_dataset(
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
        self._publish(result, data.classes, given.reader, keeps_training_state=True)

    def _last_fit(self, restarts_schedule: bool = False) -> TrainingResult:
        """The result of the last fit, from which a training can continue.

        With `restarts_schedule` the schedule of the learning rate begins anew.
        """
        state = getattr(self, "training_state_", {})
        if state and restarts_schedule:
            state = state | {"epochs_done": 0, "decay": None}
        return TrainingResult(self.network_, self.history_, self.best_epoch_, state, self.n_steps_)

    def _classes_of_all_calls(self, classes: Any) -> np.ndarray:
        """The classes for `partial_fit`: given in the first call, and the same in all others."""
        goes_on = self.__sklearn_is_fitted__()
        if classes is None:
            if not goes_on:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return self.classes_
        classes = np.unique(read_labels(classes, "classes"))
        if goes_on and not np.array_equal(classes, self.classes_):
            refuse("classes", classes, f"the classes of the first call, {self.classes_!r}")
        return classes

    def _publish(
        self,
        result: TrainingResult,
        classes: np.ndarray,
        reader: RowReader,
        keeps_training_state: bool,
    ) -> None:
        """Set the fitted attributes from the result of a training."""
        for name in COLUMN_ATTRIBUTES:
            self.__dict__.pop(name, None)
        self.__dict__.update(reader.columns)
        self.classes_ = classes
        self.network_ = result.network
        self.history_ = result.history
        self.loss_curve_ = [record["train_loss"] for record in result.history]
        self.n_iter_ = len(result.history)
        self.n_steps_ = result.n_steps
        self.held_out_losses_ = None
        self.best_epoch_ = result.best_epoch
        self.__dict__.pop("training_state_", None)
        if keeps_training_state:
            self.training_state_ = result.training_state

    def __sklearn_clone__(self):
        cloned = super().__sklearn_clone__()
        link_as(self.callbacks, cloned.callbacks)
        return cloned

    def __getstate__(self):
        return {**super().__getstate__(), "_skkd_version": __version__}

    def __setstate__(self, state):
        version = state.pop("_skkd_version", __version__)
        if version != __version__ and "network_" in state:
            warn(
                f"this {type(self).__name__} was fitted by skkd {version}, this is {__version__}: "
                "its predictions may differ. Fit it again, or install that version."
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.__sklearn_is_fitted__():  # predict reads X as the fitted preprocessor needs it
            tags.input_tags = tags_of_preprocessor(self.network_.preprocessor.reads_as)
        else:
            tags.input_tags = tags_of_preprocessor(self.preprocessor, self.categorical_features)
        if isinstance(self.preprocessor, (str, type(None))):
            tags.input_tags.three_d_array = self.module is not None
        return tags


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[Any]:
    """Context with a working copy of an estimator, which replaces its attributes at the end.

    The estimator gets all changed attributes at once. Until then, and after an error, it is as
    it was before, so that other threads can predict with it.

    Parameters
    ----------
    estimator : estimator
    """
    cls: Any = type(estimator)
    working = cls.__new__(cls)
    vars(working).update(vars(estimator))
    before, after = dict(vars(working)), vars(working)
    yield working
    new = {k: v for k, v in after.items() if k not in before or before[k] is not v}
    kept = {k: v for k, v in vars(estimator).items() if k not in before or k in after}
    estimator.__dict__ = kept | new  # a single assignment: other threads see all or nothing
