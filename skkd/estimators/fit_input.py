"""The input of `fit` and `partial_fit`: read, checked, encoded and divided."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skkd.checks import refuse
from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput, Seeds, unwrapped_rows
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
from skkd.supervision import Supervision

__all__ = ["continues_last_fit", "divide", "draw_seeds", "read_all", "read_part"]


def continues_last_fit(estimator: Any) -> bool:
    """Whether `fit` continues from a previous fit, as `warm_start` asks."""
    return bool(estimator.warm_start) and estimator.__sklearn_is_fitted__()


def read_all(estimator: Any, X: Any, y: Any, sample_weight: Any) -> FitInput:
    """Read and check the input of `fit`; in a warm start, y must hold all earlier classes."""
    goes_on = continues_last_fit(estimator)
    given = _read(
        estimator, X, y, sample_weight, estimator.classes_ if goes_on else None, goes_on=goes_on
    )
    return replace(given, needs_all_classes=goes_on)


def read_part(estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any) -> FitInput:
    """Read and check the input of `partial_fit`."""
    if isinstance(estimator.class_weight, str):
        refuse("class_weight", estimator.class_weight, "a dict or None for partial_fit")
    classes = _classes_of_all_calls(estimator, classes)
    return _read(estimator, X, y, sample_weight, classes, goes_on=estimator.__sklearn_is_fitted__())


def _read(
    estimator: Any, X: Any, y: Any, sample_weight: Any, classes: np.ndarray | None, *, goes_on: bool
) -> FitInput:
    """Read rows, labels and weights, and check them."""
    X = fill_mask(X)
    reader = _reader(estimator, goes_on)
    rows = reader(X)
    if goes_on:
        estimator.network_.preprocessor.warn_of_unknown(rows, reader.names)
    n_rows = count_rows(X)
    y = check_labels(type(estimator).__name__, y, n_rows)
    sample_weight = check_weights(sample_weight, n_rows)
    return FitInput(X, rows, y, sample_weight, reader, draw_seeds(estimator), classes)


def _reader(estimator: Any, goes_on: bool) -> RowReader:
    """Make a reader of rows; with `goes_on`, it accepts only the columns of the previous fit."""
    columns = {
        name: getattr(estimator, name) for name in COLUMN_ATTRIBUTES if hasattr(estimator, name)
    }
    reads_as, categorical = estimator.preprocessor, estimator.categorical_features
    if goes_on:
        fitted = estimator.network_.preprocessor
        reads_as, categorical = fitted.reads_as, fitted.categorical
    return RowReader(
        type(estimator).__name__,
        preprocessor=reads_as,
        dtype=estimator.dtype,
        allow_nd=estimator.module is not None,
        categorical=categorical,
        columns=columns if goes_on else None,
    )


def draw_seeds(estimator: Any) -> Seeds:
    """Draw the seeds of a fit from `random_state`."""
    try:
        random_state = check_random_state(estimator.random_state)
    except ValueError:
        refuse("random_state", estimator.random_state, "an int, a numpy RandomState or None")
    return Seeds(*random_state.randint(np.iinfo(np.int32).max, size=3).tolist())


def _classes_of_all_calls(estimator: Any, classes: Any) -> np.ndarray:
    """Return the classes for `partial_fit`: the first call gives them, and they stay the same."""
    goes_on = estimator.__sklearn_is_fitted__()
    if classes is None:
        if not goes_on:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return estimator.classes_
    classes = np.unique(read_labels(classes, "classes"))
    if goes_on and not np.array_equal(classes, estimator.classes_):
        refuse("classes", classes, f"the classes of the first call, {estimator.classes_!r}")
    return classes


def divide(
    estimator: Any,
    config: Config,
    given: FitInput,
    supervision: Supervision,
    X_val: Any = None,
    y_val: Any = None,
) -> FitData:
    """Encode the input of a fit, and divide it into training and held-out rows."""
    classes, codes = supervision.classes, supervision.targets["labels"]
    factors = given.class_weights(estimator.class_weight, classes, codes)
    held_out = _read_held_out(estimator, X_val, y_val, given.reader, classes, factors)
    return FitData.divided(
        given.dataset(supervision.targets, factors),
        classes,
        factors,
        held_out,
        config.validation_fraction if config.early_stopping else None,
        given.seeds.split,
    )


def _read_held_out(
    estimator: Any,
    X_val: Any,
    y_val: Any,
    reader: RowReader,
    classes: np.ndarray,
    factors: np.ndarray,
) -> Dataset | None:
    """Read `X_val` and `y_val` as a dataset; None if they were not given."""
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise ValueError(f"{missing}=None is not allowed: X_val and y_val go together.")
    if X_val is None:
        return None
    X_val, y_val = unwrapped_rows(X_val), unwrapped_rows(y_val)
    rows = reader(X_val)
    y_val = check_labels(type(estimator).__name__, y_val, count_rows(X_val), name="y_val")
    _, codes = encode(y_val, classes, name="y_val")
    weights = factors[codes]  # the class weights
    if not weights.any():
        raise ValueError("class_weight leaves no row of X_val with a weight above zero.")
    return Dataset(rows, {"labels": codes, "weights": weights})
