"""Input that cannot be used raises one clear error and leaves the classifier as it was."""

import inspect
import os
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skkd import DistilledClassifier, NeuralClassifier, initializers, schedules, transfer
from skkd import preprocessing as encodings
from skkd.initializers import Normal
from skkd.schedules import StepDecay

nan, inf = np.nan, np.inf


def tiny(**params):
    return NeuralClassifier(
        **{"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0, **params}
    )


def with_value(value, dtype=np.float64):
    X = np.arange(12.0).reshape(6, 2).astype(dtype)
    X[3, 1] = value
    return X


GOOD_X, GOOD_Y = with_value(0.0), np.array([0, 1, 0, 1, 0, 1])

PARAMETERS = [
    ("hidden_layer_sizes", 0, ValueError, "an integer >= 1"),
    (
        "hidden_layer_sizes",
        "10",
        TypeError,
        "an integer >= 1, a sequence of them, 'auto' or 'smallest'",
    ),
    (
        "hidden_layer_sizes",
        None,
        TypeError,
        "an integer >= 1, a sequence of them, 'auto' or 'smallest'",
    ),
    ("hidden_layer_sizes", (10, 0), ValueError, "an integer >= 1"),
    ("hidden_layer_sizes", (1.5,), TypeError, "an integer >= 1"),
    ("hidden_layer_sizes", (True,), TypeError, "an integer >= 1"),
    ("hidden_layer_sizes", iter([4]), TypeError, "an integer >= 1"),
    ("activation", "sine", ValueError, "one of 'identity', 'logistic', 'tanh', 'relu'"),
    ("activation", torch.relu, ValueError, "one of 'identity'"),
    ("preset", "robust", ValueError, "one of 'tabular', 'plain'"),
    ("preset", None, ValueError, "one of 'tabular', 'plain'"),
    ("preset", ["plain"], ValueError, "one of 'tabular', 'plain'"),
    ("module", "mlp", ValueError, "a torch module class, a function that builds one, or None"),
    ("init", "kaiming", ValueError, "one of 'auto', 'zeros'"),
    ("init", None, TypeError, "a scheme's name or an object of skkd.initializers"),
    ("init", Normal, TypeError, "a scheme's name or an object of skkd.initializers"),
    ("bias_init", "ones", ValueError, "'zeros', a number"),
    ("bias_init", nan, ValueError, "a number"),
    ("bias_init", None, ValueError, "'zeros', a number"),
    ("parametrization", "mup", ValueError, "one of 'standard', 'ntk'"),
    ("parametrization", None, ValueError, "one of 'standard', 'ntk'"),
    ("feature_scale", 1, TypeError, "True or False"),
    ("feature_scale", "yes", TypeError, "True or False"),
    ("batch_norm", 1, TypeError, "True or False"),
    ("batch_norm", "yes", TypeError, "True or False"),
    ("dropout", 1.0, ValueError, r"a number in \[0, 1\)"),
    ("dropout", -0.1, ValueError, r"a number in \[0, 1\)"),
    ("dropout", (0.1, 0.2), ValueError, "a number, or one for each of 1 layers"),
    ("dropout", "half", TypeError, r"a number in \[0, 1\)"),
    ("dropout_decay", "sine", ValueError, "one of 'constant', 'step'"),
    ("dropout_decay", 0.1, TypeError, "a schedule's name or an object of skkd.schedules"),
    ("label_smoothing", 1.0, ValueError, r"a number in \[0, 1\)"),
    ("label_smoothing", None, TypeError, r"a number in \[0, 1\)"),
    ("optimizer", "lion", ValueError, "one of 'sgd', 'adam', 'adamw', 'rmsprop'"),
    ("optimizer", dict, ValueError, "or a torch optimiser class"),
    ("learning_rate", -0.1, ValueError, "a number > 0"),
    ("learning_rate", 0, ValueError, "a number > 0"),
    ("learning_rate", nan, ValueError, "a number > 0"),
    ("learning_rate", "constant", TypeError, "a number > 0"),
    ("momentum", 1.0, ValueError, r"a number in \[0, 1\)"),
    ("momentum", -1, ValueError, r"a number in \[0, 1\)"),
    ("nesterov", None, TypeError, "True or False"),
    ("weight_decay", -1e-9, ValueError, "a number >= 0"),
    ("max_grad_norm", 0.0, ValueError, "a number > 0"),
    ("max_grad_norm", "1", TypeError, "a number > 0"),
    ("lr_decay", "invscaling", ValueError, "one of 'constant', 'step'"),
    ("lr_decay", 0.1, TypeError, "a schedule's name or an object of skkd.schedules"),
    ("lr_decay", StepDecay, TypeError, "a schedule's name or an object of skkd.schedules"),
    ("batch_size", 0, ValueError, "an integer >= 1"),
    ("batch_size", 2.0, TypeError, "an integer >= 1"),
    ("batch_size", "all", ValueError, "an integer >= 1 or 'auto'"),
    ("shuffle", "no", TypeError, "True or False"),
    ("max_epochs", 0, ValueError, "an integer >= 1"),
    ("max_epochs", 1.5, TypeError, "an integer >= 1"),
    ("max_epochs", inf, TypeError, "an integer >= 1"),
    ("early_stopping", "auto", TypeError, "True or False"),
    ("validation_fraction", 0.0, ValueError, r"a number in \(0, 1\)"),
    ("validation_fraction", 1.0, ValueError, r"a number in \(0, 1\)"),
    ("validation_fraction", None, TypeError, r"a number in \(0, 1\)"),
    ("n_iter_no_change", 0, ValueError, "an integer >= 1"),
    ("n_iter_no_change", inf, TypeError, "an integer >= 1"),
    ("tol", -1e-4, ValueError, "a number >= 0"),
    ("tol", None, TypeError, "a number >= 0"),
    ("class_weight", "equal", ValueError, "a dict, 'balanced' or None"),
    ("class_weight", [1, 2], TypeError, "a dict, 'balanced' or None"),
    ("class_weight", {0: -1, 1: 1}, ValueError, "weights >= 0"),
    ("preprocessor", "minmax", ValueError, "'auto', 'robust', 'standard', None or a transf"),
    ("preprocessor", 3, TypeError, "'auto', 'robust', 'standard', None or a transformer with fit"),
    ("numeric_encoding", "bins", ValueError, "'auto', None, 'piecewise_linear'"),
    ("numeric_encoding", "teacher_bins", ValueError, "DistilledClassifier"),
    ("numeric_encoding", 12, TypeError, "an encoding's name or an object of skkd.preprocessing"),
    ("categorical_features", None, ValueError, "'from_dtype', names, indices or a mask"),
    ("categorical_features", [2], ValueError, "'from_dtype', names, indices or a mask"),
    ("categorical_features", ["a"], ValueError, "'from_dtype', names, indices or a mask"),
    ("warm_start", 0, TypeError, "True or False"),
    ("callbacks", "early", TypeError, "a list of skorch callbacks or None"),
    ("callbacks", [print], TypeError, r"skorch callbacks, or \(name, callback\) pairs"),
    ("verbose", -1, ValueError, "an integer >= 0"),
    ("verbose", "high", TypeError, "an integer >= 0"),
    ("verbose", None, TypeError, "an integer >= 0"),
    ("device", 0, TypeError, "'cpu', 'auto' or the name of a torch device"),
    ("device", "gpu", ValueError, "'cpu', 'auto' or a device that torch finds here"),
    ("dtype", "float16", ValueError, "one of 'float32', 'float64'"),
    ("dtype", np.float64, ValueError, "one of 'float32', 'float64'"),
    ("n_threads", 0, ValueError, "an integer >= 1"),
    ("n_threads", -1, ValueError, "an integer >= 1"),
    ("n_jobs", 0, ValueError, "-1 for one per core, or None"),
    ("n_jobs", 1.5, TypeError, "an integer"),
    ("n_threads", 10**6, ValueError, "at most .*, the logical cores of this machine, or None"),
    ("optimizer__lr", 0.1, ValueError, "learning_rate instead"),
    ("optimizer__weight_decay", 0.1, ValueError, "weight_decay instead"),
]


def shown(value):
    """A value as text for the name of its test."""
    return value.__name__ if isinstance(value, type) else str(value)[:12]


@pytest.mark.parametrize(
    ("name", "value", "error", "allowed"),
    PARAMETERS,
    ids=[f"{name}={shown(value)}" for name, value, *_ in PARAMETERS],
)
def test_parameters_out_of_range_are_named_with_what_is_allowed(name, value, error, allowed):
    clf = tiny(**{name: value})
    before = dict(vars(clf))
    with pytest.raises(error, match=rf"{name}=.*is not allowed: give .*{allowed}"):
        clf.fit(GOOD_X, GOOD_Y)
    assert list(vars(clf)) == list(before)
    assert all(vars(clf)[key] is kept for key, kept in before.items())


def test_every_parameter_has_a_refused_value():
    unchecked = {"random_state"}  # scikit-learn's own check
    assert {name for name, *_ in PARAMETERS} >= set(NeuralClassifier().get_params()) - unchecked
    with pytest.raises(ValueError, match="random_state='seed' is not allowed: give an int"):
        tiny(random_state="seed").fit(GOOD_X, GOOD_Y)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [(StepDecay(step_size=0), "step_size=0 is not allowed: give an integer >= 1")],
)
def test_parameters_of_nested_objects_are_checked_by_fit(schedule, message):
    with pytest.raises(ValueError, match=message):
        tiny(lr_decay=schedule).fit(GOOD_X, GOOD_Y)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("n_cores", [1, 2, 64, None])
def test_as_many_threads_as_the_machine_has_cores_are_allowed(n_cores, method, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: n_cores)
    X, y = np.arange(8.0).reshape(-1, 1), [0, 1] * 4
    classes = {"classes": [0, 1]} if method == "partial_fit" else {}
    teacher = DistilledClassifier(alpha=0.5, preset="plain", max_epochs=1, hidden_layer_sizes=(2,))
    for clf, given in ((tiny(max_epochs=1), {}), (teacher, {"teacher_proba": np.eye(2)[y]})):
        for n_threads in ((n_cores or 1) + 1, 20_000):
            clf.set_params(n_threads=n_threads)
            with pytest.raises(
                ValueError, match=rf"n_threads={n_threads} .* at most {n_cores or 1},"
            ):
                getattr(clf, method)(X, y, **classes, **given)
        for n_threads in (1, None):
            getattr(clf.set_params(n_threads=n_threads), method)(X, y, **classes, **given)


def test_batch_norm_needs_more_than_one_row_in_a_batch():
    with pytest.raises(ValueError, match="batch_size=1 is not allowed: give at least 2"):
        tiny(batch_norm=True, batch_size=1).fit(GOOD_X, GOOD_Y)
    with pytest.raises(ValueError, match=r"batch_norm=True is not allowed.*n_samples=1"):
        tiny(batch_norm=True).fit(GOOD_X, GOOD_Y, sample_weight=[0, 0, 0, 0, 0, 1])
    with pytest.raises(ValueError, match=r"batch_norm=True is not allowed.*n_samples=1"):
        tiny(batch_norm=True).partial_fit(GOOD_X[:1], GOOD_Y[:1], classes=[0, 1])


def test_unknown_keywords_are_refused_by_the_constructor_and_by_set_params():
    with pytest.raises(
        TypeError, match="NeuralClassifier got an unexpected keyword argument 'alpha'"
    ):
        tiny(alpha=1e-4)
    clf = tiny()
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="Invalid parameter 'alpha' for estimator"):
        clf.set_params(alpha=1e-4)
    with pytest.raises(ValueError, match="Invalid parameter 'gamma'"):
        clf.set_params(lr_decay=StepDecay()).set_params(max_epochs=5, lr_decay__gama=1, gamma=1)
    assert set(vars(clf)) == set(before)
    assert "optimizer__betas" in tiny(optimizer__betas=(0, 0)).get_params()


ROWS = {
    "NaN": (with_value(nan), {"preprocessor": None}, ValueError, "Input X contains NaN"),
    "inf": (with_value(inf), {}, ValueError, "Input X contains infinity"),
    "-inf": (with_value(-inf), {"preprocessor": None}, ValueError, "Input X contains infinity"),
    "sparse inf": (sparse.csr_array(with_value(inf)), {}, ValueError, "contains infinity"),
    "object inf": (with_value(inf, object), {}, ValueError, "Input X contains infinity"),
    "complex": (GOOD_X * 1j, {}, ValueError, "Complex data not supported"),
    "dates": (GOOD_X.astype("M8[D]"), {}, TypeError, "'column 0' holds dates or times"),
    "durations": (GOOD_X.astype("m8[s]"), {}, TypeError, "'column 0' holds dates or times"),
    "objects": (
        with_value({}, object),
        {},
        TypeError,
        "holds a dict: an argument must be",
    ),
    "strings": ([["a", 1]] * 6, {"preprocessor": None}, ValueError, "could not convert string"),
    "texts": (["a b", "c"] * 3, {}, ValueError, "X holds 6 texts.*TfidfVectorizer"),
    "1-d": (GOOD_X[:, 0], {}, ValueError, "Expected 2D array, got 1D array instead"),
    "3-d": (GOOD_X[None], {}, ValueError, r"Found array with dim 3"),
    "ragged": ([[1, 2], [3]] * 3, {}, ValueError, "inhomogeneous shape"),
    "no rows": (GOOD_X[:0], {}, ValueError, r"0 sample\(s\)"),
    "no columns": (GOOD_X[:, :0], {}, ValueError, r"0 feature\(s\)"),
    "None": (None, {}, ValueError, "Expected 2D array|NoneType"),
    "number": (3.0, {}, ValueError, "Expected 2D array, got scalar array instead"),
}


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize(("X", "params", "error", "message"), ROWS.values(), ids=ROWS)
def test_rows_that_cannot_be_used_are_refused(X, params, error, message, fitted_before):
    clf = tiny(**params)
    if fitted_before:
        clf.fit(GOOD_X, GOOD_Y)
    before = dict(vars(clf))
    with pytest.raises(error, match=message):
        clf.fit(X, GOOD_Y)
    assert vars(clf) == before
    if fitted_before:
        with pytest.raises(error if error is not TypeError else (TypeError, ValueError)):
            clf.predict(X)
        assert vars(clf) == before


@pytest.mark.parametrize(
    "X", [np.ones((2, 3)), np.ones((2, 1)), sparse.csr_array(np.ones((2, 3)))], ids=str
)
@pytest.mark.parametrize("preprocessor", ["robust", "standard", None])
def test_rows_of_another_width_are_refused_later(X, preprocessor):
    clf = tiny(preprocessor=preprocessor).fit(GOOD_X, GOOD_Y)
    message = rf"X has {X.shape[1]} features, but NeuralClassifier is expecting 2 features"
    for method in (clf.predict, clf.predict_proba, clf.predict_log_proba, clf.decision_function):
        with pytest.raises(ValueError, match=message):
            method(X)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, [0, 1])


def test_strings_where_numbers_were_are_refused_by_the_name_of_their_column():
    clf = tiny().fit(GOOD_X, GOOD_Y)
    with pytest.raises(
        ValueError, match="'column 1' held numbers in fit and holds others now: 'b'"
    ):
        clf.predict(np.array([[1, "b"]], dtype=object))
    with pytest.raises(
        ValueError, match="'column 0' held numbers in fit and holds others now: 'a'"
    ):
        clf.fit(GOOD_X, GOOD_Y, X_val=[["a", "b"]], y_val=[0])


ALL_MISSING = {
    "objects": lambda: np.array([[0, None]] * 6, dtype=object),
    "floats": lambda: np.array([[0, nan]] * 6),
    "pandas": lambda: pytest.importorskip("pandas").DataFrame({"a": [0] * 6, "b": [None] * 6}),
    "pandas floats": lambda: pytest.importorskip("pandas").DataFrame({"a": [0] * 6, "b": nan}),
    "polars": lambda: pytest.importorskip("polars").DataFrame({"a": [0] * 6, "b": [None] * 6}),
    "pyarrow": lambda: pytest.importorskip("pyarrow").table({"a": [0] * 6, "b": [None] * 6}),
}

LATER = {
    "objects": lambda: np.array([[0, "x"]] * 6, dtype=object),
    "pandas": lambda: pytest.importorskip("pandas").DataFrame({"a": [0] * 6, "b": ["x"] * 6}),
    "polars": lambda: pytest.importorskip("polars").DataFrame({"a": [0] * 6, "b": ["x"] * 6}),
    "pyarrow": lambda: pytest.importorskip("pyarrow").table({"a": [0] * 6, "b": ["x"] * 6}),
}


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")
@pytest.mark.parametrize("preprocessor", ["robust", "standard"])
@pytest.mark.parametrize("later", LATER.values(), ids=list(LATER))
@pytest.mark.parametrize("rows", ALL_MISSING.values(), ids=list(ALL_MISSING))
def test_strings_in_a_column_that_was_all_missing_are_refused_for_what_it_was(
    rows, later, preprocessor
):
    clf = tiny(preprocessor=preprocessor).fit(rows(), GOOD_Y)
    message = "column .* was all missing in fit and holds 'x' now, of which nothing was learned"
    with pytest.raises(ValueError, match=message):
        clf.predict(later())
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(later(), GOOD_Y)


class LikeNA:
    """Like pandas' NA: comparisons with it have no truth value."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


LABELS = {
    "one class": ([1] * 6, "y holds one class only, 1: a classifier needs at least two classes"),
    "too few": ([0, 1], "X has 6 rows, y has 2 labels"),
    "none": (None, "requires y to be passed, but the target y is None"),
    "2-d": (np.eye(6)[:, :2], r"y should be a 1d array, got an array of shape \(6, 2\)"),
    "multi-label": ([[0, 1], [1, 1]] * 3, "y should be a 1d array"),
    "NaN": ([0, 1, nan, 0, 1, 0], "Input y contains NaN"),
    "inf": ([0, 1, inf, 0, 1, 0], "Input y contains infinity"),
    "gaps": (np.array(["a", None] * 3, dtype=object), "Input y contains None"),
    "NA among words": (np.array(["a", LikeNA()] * 3, dtype=object), "Input y contains NaN"),
    "NaN among words": (np.array(["a", nan] * 3, dtype=object), "Input y contains NaN"),
    "continuous": ([0.1, 0.5, 0.7, 1.2, 3.4, 2.2], "Unknown label type: continuous"),
    "mixed": (
        np.array(["a", 1] * 3, dtype=object),
        r"y holds labels of several types, str \('a'\) and int \(1\): give labels of one type",
    ),
}


@pytest.mark.parametrize(("y", "message"), LABELS.values(), ids=LABELS)
def test_labels_that_cannot_be_learnt_are_refused(y, message):
    clf = tiny()
    before = dict(vars(clf))
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(GOOD_X, y)
    assert vars(clf) == before


WEIGHTS = {
    "negative": ([1, 1, -0.5, 1, 1, 1], r"Negative values in sample_weight \(row 2: -0.5\)"),
    "NaN": ([1, 1, nan, 1, 1, 1], "Input sample_weight contains NaN"),
    "inf": ([1, 1, inf, 1, 1, 1], "Input sample_weight contains infinity"),
    "zero": ([0] * 6, "Sample weights must contain at least one non-zero number"),
    "2-d": (np.ones((6, 1)), r"Sample weights must be 1D array or scalar, got shape \(6, 1\)"),
    "short": ([1, 1], "sample_weight has 2 values, X has 6 rows"),
    "strings": (["a"] * 6, "sample_weight=.*one number >= 0 per row"),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("weight", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_invalid_sample_weights_are_refused(weight, message, method):
    clf = tiny()
    before = dict(vars(clf))
    classes = {} if method == "fit" else {"classes": [0, 1]}
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(GOOD_X, GOOD_Y, sample_weight=weight, **classes)
    assert vars(clf) == before


def test_a_class_weight_of_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"The classes, \[1\], are not in class_weight"):
        tiny(class_weight={0: 1, 5: 2}).fit(GOOD_X, GOOD_Y)


def test_class_weights_must_leave_something():
    with pytest.raises(ValueError, match="class_weight leaves no row with a weight above zero"):
        tiny(class_weight={0: 0, 1: 0}).fit(GOOD_X, GOOD_Y)
    with pytest.raises(ValueError, match="class_weight leaves no row of X_val with a weight above"):
        tiny(class_weight={0: 0, 1: 1}).fit(GOOD_X, GOOD_Y, X_val=GOOD_X[:1], y_val=[0])


def test_a_split_that_cannot_be_stratified_warns():
    with pytest.warns(UserWarning, match=r"not stratified: .* validation_fraction=0.1"):
        tiny(early_stopping=True).fit(GOOD_X, [0, 0, 0, 0, 0, 1])
    with pytest.raises(ValueError, match="With n_samples=1, test_size=0.1"):
        tiny(early_stopping=True).fit(GOOD_X, GOOD_Y, sample_weight=[1, 0, 0, 0, 0, 0])


class BreaksDown(torch.nn.Linear):
    """Its third call raises."""

    calls = 0

    def forward(self, x):
        BreaksDown.calls += 1
        if BreaksDown.calls == 3:
            raise RuntimeError("broken")
        return super().forward(x)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("fitted_before", [False, True])
def test_an_error_in_the_middle_of_training_leaves_everything_as_it_was(method, fitted_before):
    clf = tiny(warm_start=True)
    if fitted_before:
        clf.fit(GOOD_X, GOOD_Y)
        expected = clf.predict_proba(GOOD_X)
    clf.set_params(module=BreaksDown, module__in_features=2, module__out_features=2)
    clf.set_params(batch_size=2, max_epochs=5, warm_start=False)
    before = dict(vars(clf))
    BreaksDown.calls = 0
    if method == "partial_fit" and fitted_before:
        message = "other layers than the parameters ask for"
    else:
        message = "broken"
    classes = {} if method == "fit" else {"classes": [0, 1]}
    with pytest.raises((RuntimeError, ValueError), match=message):
        getattr(clf, method)(GOOD_X * 2, GOOD_Y, **classes)
    assert list(vars(clf)) == list(before)
    assert all(vars(clf)[name] is value for name, value in before.items())
    if fitted_before:
        np.testing.assert_array_equal(clf.predict_proba(GOOD_X), expected)
    else:
        assert not hasattr(clf, "n_features_in_")


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_unfitted_classifiers_raise_not_fitted_error(method):
    with pytest.raises(ValueError, match="This NeuralClassifier instance is not fitted yet"):
        getattr(tiny(), method)(GOOD_X)
    with pytest.raises(ValueError, match="not fitted yet"):
        tiny().module_  # noqa: B018


def test_arguments_of_a_module_without_a_module_are_refused(iris_like):
    with pytest.raises(ValueError, match="module__width=3 .* together with module"):
        NeuralClassifier(module__width=3).fit(*iris_like)


def test_dates_are_refused_without_a_preprocessor_too():
    X = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]").reshape(-1, 1)
    with pytest.raises(TypeError, match="not dates or times"):
        NeuralClassifier(preprocessor=None).fit(X, [0, 1] * 5)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0])
def test_class_weights_that_are_no_weights_are_refused(weight, iris_like):
    with pytest.raises(ValueError, match="class_weight=.*finite weights >= 0"):
        tiny(class_weight={0: weight, 1: 1.0, 2: 1.0}).fit(*iris_like)


def test_sample_weights_may_be_as_large_as_numbers_go(iris_like):
    X, y = iris_like
    plain = tiny().fit(X, y)
    heavy = tiny().fit(X, y, sample_weight=np.full(len(y), 1e308))
    np.testing.assert_allclose(heavy.predict_proba(X), plain.predict_proba(X), atol=1e-6)


def test_a_setting_of_a_schedule_given_by_name_is_refused():
    with pytest.raises(ValueError, match="lr_decay__gamma=0.5.*lr_decay as an object"):
        NeuralClassifier(lr_decay="step").set_params(lr_decay__gamma=0.5)


def test_a_column_of_several_kinds_is_named(iris_like):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"mixed": pd.Series(["a", 1] * 45, dtype=object)})
    with pytest.raises(TypeError, match="column 'mixed' holds values of several kinds"):
        tiny().fit(table, iris_like[1])


@pytest.mark.parametrize("random_state", ["a", np.random.default_rng(0)])
def test_a_random_state_of_another_kind_is_refused(random_state, iris_like):
    with pytest.raises(ValueError, match="random_state=.*numpy RandomState"):
        tiny(random_state=random_state).fit(*iris_like)


def test_a_validation_fraction_that_leaves_nothing_is_named(iris_like):
    X, _ = iris_like
    few = [0, 1, 2]
    with (
        pytest.warns(UserWarning, match="not stratified"),
        pytest.raises(ValueError, match="validation_fraction=0.99"),
    ):
        tiny(early_stopping=True, validation_fraction=0.99).fit(X[few], [0, 1, 2])


def test_a_transformers_class_and_its_overflow_name_the_preprocessor(iris_like):
    X, y = iris_like
    with pytest.raises(TypeError, match="preprocessor=.*not its class"):
        tiny(preprocessor=FunctionTransformer).fit(X, y)
    with pytest.raises(ValueError, match="preprocessor returns values too large for float32"):
        tiny(preprocessor=FunctionTransformer(lambda X: X * 0 + 1e39)).fit(X, y)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("drop_out", "dropout"), ("max_iter", "max_epochs"), ("alpha", "weight_decay")],
)
def test_the_error_for_a_misspelt_or_foreign_parameter_suggests_a_name(typo, meant):
    with pytest.raises(TypeError, match=f"{typo}.*did you mean {meant}?"):
        NeuralClassifier(**{typo: 0.1})


def test_unknown_options_of_an_optimizer_or_a_module_are_named(iris_like):
    with pytest.raises(TypeError, match="optimizer__beta=0.9 is not allowed: give one of .*betas"):
        tiny(optimizer__beta=0.9).fit(*iris_like)
    with pytest.raises(TypeError, match="module__widht=3 is not allowed: give one of in_features"):
        tiny(module=torch.nn.Linear, module__widht=3).fit(*iris_like)


def test_images_without_an_axis_of_channels_get_a_hint():
    module = torch.nn.Conv2d
    clf = tiny(module=module, module__in_channels=1, module__out_channels=2, module__kernel_size=3)
    with pytest.raises(ValueError, match=r"rows of shape \(8, 8\).*X\[:, None\]"):
        clf.fit(np.zeros((6, 8, 8)), [0, 1] * 3)


NO_ROWS = {
    "array": lambda: GOOD_X[:0],
    "float32": lambda: GOOD_X[:0].astype(np.float32),
    "objects": lambda: GOOD_X[:0].astype(object),
    "list": lambda: [],
    "csr": lambda: sparse.csr_array((0, 2)),
    "csc": lambda: sparse.csc_matrix((0, 2)),
    "masked": lambda: np.ma.array(GOOD_X)[:0],
    "pandas": lambda: pytest.importorskip("pandas").DataFrame(GOOD_X[:0]),
    "words": lambda: pytest.importorskip("pandas").DataFrame({"a": [], "b": []}, dtype="str"),
    "polars": lambda: pytest.importorskip("polars").DataFrame(GOOD_X, schema=["a", "b"])[:0],
    "pyarrow": lambda: pytest.importorskip("pyarrow").table({"a": [0.0], "b": [0.0]})[:0],
}


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("rows", NO_ROWS.values(), ids=list(NO_ROWS))
@pytest.mark.parametrize(
    "preprocessor",
    ["robust", "standard", None, FunctionTransformer(), StandardScaler(with_mean=False)],
    ids=str,
)
def test_no_rows_are_refused_as_scikit_learn_does(rows, preprocessor):
    clf = tiny(preprocessor=preprocessor).fit(GOOD_X, GOOD_Y)
    match = r"Found array with 0 sample\(s\)|Expected 2D array, got 1D array"
    for method in (clf.predict, clf.predict_proba, clf.predict_log_proba, clf.decision_function):
        with pytest.raises(ValueError, match=match):
            method(rows())


def test_the_docstrings_mention_the_error_for_no_rows():
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert "If X has no rows" in getattr(NeuralClassifier, method).__doc__


# What no parameter may be ----------------------------------------------------------------


class WithoutRepr:
    def __repr__(self):
        raise RuntimeError("no repr")


TOO_LARGE = {
    "10**400": 10**400,
    "-10**400": -(10**400),
    "10**5000": 10**5000,
    "a fraction": Fraction(10**400, 3),
    "10**30": 10**30,
    "2**63": 2**63,
    "1e308": 1e308,
}
ARRAYS = {
    "0-d": np.array(3),
    "0-d of a float": np.array(0.5),
    "0-d of a bool": np.array(True),
    "0-d of a string": np.array("auto"),
    "0-d of an object": np.array(None),
    "1-d": np.array([1, 2]),
    "1-d of floats": np.array([0.1, 0.2]),
    "1-d of bools": np.array([True, False]),
    "1-d of strings": np.array(["a", "b"]),
    "2-d": np.array([[1.0, 2.0]]),
    "a tensor": torch.ones(2),
    "a 0-d tensor": torch.tensor(1),
}
OTHERS = {
    "a class": type,
    "int": int,
    "a function": len,
    "an object": object(),
    "a list of 10**400": [10**400],
    "a nested list": [[1]],
    "complex": 1j,
    "bytes": b"x",
    "a set": {1},
    "a Decimal": Decimal(1),
}
NOT_ALLOWED = TOO_LARGE | ARRAYS | OTHERS

#: What is allowed all the same, or has messages of another's.
ALLOWED = {
    "hidden_layer_sizes": {"1-d"},
    "categorical_features": {"1-d", "1-d of bools"},
    "milestones": {"1-d", "a set"},
    "n_threads": set(NOT_ALLOWED),  # tested in test_isolation.py
}

SETTINGS = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}


def refused(error, name):
    """Whether a message is one of ours, about a parameter."""
    is_ours = f"{name}=" in str(error) and "is not allowed: give " in str(error)
    return is_ours and type(error) in (TypeError, ValueError)


def unclear_answers(name, use):
    """What is not refused by name, of all that a parameter cannot be."""
    unclear = {}
    for what, value in NOT_ALLOWED.items():
        if what in ALLOWED.get(name, ()):
            continue
        try:
            use(value)
        except Exception as error:
            if not refused(error, name):
                unclear[what] = error
        else:
            unclear[what] = "no error"
    return unclear


def classifiers():
    """(class, preset, name) of each parameter of both classifiers."""
    ours = list(NeuralClassifier().get_params())
    for preset in ("tabular", "plain"):
        yield from ((NeuralClassifier, preset, name) for name in ours)
    theirs = [name for name in DistilledClassifier().get_params() if name != "teacher"]
    yield from ((DistilledClassifier, "tabular", name) for name in theirs if name not in ours)


@pytest.mark.parametrize(("kind", "preset", "name"), list(classifiers()))
def test_every_parameter_of_a_classifier_refuses_by_name_what_it_cannot_be(kind, preset, name):
    teacher = LogisticRegression().fit(GOOD_X, GOOD_Y)
    teaching = {"teacher": teacher} if kind is DistilledClassifier else {}

    def use(value):
        settings = SETTINGS | {"preset": preset} | teaching | {name: value}
        kind(**settings).fit(GOOD_X, GOOD_Y)

    assert unclear_answers(name, use) == {}


@pytest.mark.parametrize("kind", [NeuralClassifier, DistilledClassifier])
def test_what_no_parameter_may_be_disturbs_no_tool_before_fit(kind):
    names = list(kind().get_params())
    for value in ARRAYS.values():
        assert clone(kind(**dict.fromkeys(names, value)))._repr_html_()
    for n, name in enumerate(names):
        for m, value in enumerate(ARRAYS.values()):
            estimator = clone(kind(**{name: value}))
            assert name in repr(estimator)
            # It is slow, and shows the other parameters too: by itself each has one value.
            if m == n % len(ARRAYS):
                assert estimator._repr_html_()
            assert estimator.__sklearn_tags__().estimator_type == "classifier"
            assert isinstance(hasattr(estimator, "partial_fit"), bool)
            estimator.set_params(**{name: value})


def parts():
    """(class, name) of each parameter of what is an object of our modules."""
    for module in (schedules, initializers, encodings, transfer):
        for public in map(vars(module).get, module.__all__):
            if inspect.isclass(public) and issubclass(public, BaseEstimator):
                yield from ((public, name) for name in public._get_param_names())


def use_part(part):
    if isinstance(part, transfer.Sampler):
        part.fit(GOOD_X).sample(3, random_state=0)
    elif isinstance(part, schedules.Schedule):
        tiny(lr_decay=part).fit(GOOD_X, GOOD_Y)
    elif isinstance(part, initializers.Initializer):
        tiny(init=part).fit(GOOD_X, GOOD_Y)
    else:
        teacher = LogisticRegression().fit(GOOD_X, GOOD_Y)
        DistilledClassifier(teacher, numeric_encoding=part, **SETTINGS).fit(GOOD_X, GOOD_Y)


@pytest.mark.parametrize(("kind", "name"), list(parts()))
def test_every_parameter_of_a_part_refuses_by_name_what_it_cannot_be(kind, name):
    assert unclear_answers(name, lambda value: use_part(kind(**{name: value}))) == {}


@pytest.mark.parametrize("value", [WithoutRepr(), 10**5000], ids=["no repr", "many digits"])
def test_what_cannot_be_shown_is_refused_all_the_same(value):
    for name in ("hidden_layer_sizes", "learning_rate", "activation", "init"):
        with pytest.raises(
            (TypeError, ValueError), match=f"{name}=.*object at 0x.* is not allowed"
        ):
            tiny(**{name: value}).fit(GOOD_X, GOOD_Y)


HUGE = [10**400, -(10**400), Fraction(10**400, 3)]
of_every_size = pytest.mark.parametrize("huge", HUGE, ids=["10**400", "-10**400", "a fraction"])


def containers_of(huge):
    """The same rows, one of which holds a number that no float does, by container."""
    pd = pytest.importorskip("pandas")
    rows = GOOD_X.astype(object)
    rows[3, 1] = huge
    return {
        "list": rows.tolist(),
        "tuple": tuple(map(tuple, rows.tolist())),
        "array": rows,
        "DataFrame": pd.DataFrame(rows, columns=["a", "b"]),
    }


@of_every_size
@pytest.mark.parametrize("preprocessor", ["auto", "standard", None])
@pytest.mark.parametrize("container", ["list", "tuple", "array", "DataFrame"])
def test_a_number_in_X_that_no_float_holds_is_called_too_large(container, preprocessor, huge):
    X = containers_of(huge)[container]
    good = containers_of(0)[container]
    fitted = tiny(preprocessor=preprocessor).fit(good, GOOD_Y)
    student = DistilledClassifier(
        LogisticRegression(), fit_teacher=True, preprocessor=preprocessor, **SETTINGS
    )
    for use in (
        lambda: tiny(preprocessor=preprocessor).fit(X, GOOD_Y),
        lambda: tiny(preprocessor=preprocessor).partial_fit(X, GOOD_Y, classes=[0, 1]),
        lambda: tiny(preprocessor=preprocessor).fit(good, GOOD_Y, X_val=X, y_val=GOOD_Y),
        lambda: student.fit(X, GOOD_Y),
        lambda: student.fit(good, GOOD_Y, X_unlabeled=X),
        lambda: fitted.predict_proba(X),
    ):
        with pytest.raises(ValueError, match="Input X contains infinity or a value too large for"):
            use()


@of_every_size
def test_a_number_that_no_float_holds_is_not_for_a_transformer(huge):
    X = containers_of(huge)["array"]
    as_floats = FunctionTransformer(lambda rows: rows.astype(np.float64))
    fitted = tiny(preprocessor=as_floats).fit(GOOD_X, GOOD_Y)
    for use in (
        lambda: tiny(preprocessor=as_floats).fit(X, GOOD_Y),
        lambda: fitted.predict(X),
    ):
        with pytest.raises(ValueError, match="preprocessor cannot take X: "):
            use()


@of_every_size
def test_a_weight_that_no_float_holds_is_refused_by_name(huge):
    weights = [1, 1, 1, 1, 1, huge]
    pairs = [(LogisticRegression().fit(GOOD_X, GOOD_Y), weight) for weight in (1, huge)]
    for name, use in {
        "sample_weight": lambda: tiny().fit(GOOD_X, GOOD_Y, sample_weight=weights),
        "class_weight": lambda: tiny(class_weight={0: 1, 1: huge}).fit(GOOD_X, GOOD_Y),
        "teacher": lambda: DistilledClassifier(pairs, **SETTINGS).fit(GOOD_X, GOOD_Y),
    }.items():
        with pytest.raises(ValueError, match=rf"{name}=(.|\n)* is not allowed: give "):
            use()
    with pytest.raises(ValueError, match="sample_weight=.* is not allowed: give "):
        tiny().fit(GOOD_X, GOOD_Y, sample_weight=huge)


@pytest.mark.parametrize("weight", [np.array([1, 2]), np.array(2), "a", None, [1], 1e308])
def test_what_is_no_weight_of_a_class_is_refused_by_name(weight):
    with pytest.raises(ValueError, match="class_weight=.* is not allowed: give finite weights"):
        tiny(class_weight={0: 1, 1: weight}).fit(GOOD_X, GOOD_Y)


@of_every_size
@pytest.mark.parametrize("container", [list, lambda rows: np.array(rows, dtype=object)])
def test_a_probability_that_no_float_holds_is_no_probability(container, huge):
    answer = container([[0.5, 0.5]] * 5 + [[huge, 0.5]])
    with pytest.raises(ValueError, match="teacher_proba must give numbers"):
        DistilledClassifier(**SETTINGS).fit(GOOD_X, GOOD_Y, teacher_proba=answer)
    with pytest.raises(ValueError, match="teacher must give numbers"):
        DistilledClassifier(lambda rows: answer, **SETTINGS).fit(GOOD_X, GOOD_Y)


TORCHS = [
    name
    for name, found in sorted(vars(torch.optim).items())
    if inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)
]


@pytest.mark.parametrize("preset", ["tabular", "plain"])
@pytest.mark.parametrize("name", TORCHS)
def test_each_optimiser_of_torch_trains_or_is_refused_by_name(name, preset):
    clf = tiny(optimizer=getattr(torch.optim, name), preset=preset)
    if name in ("Optimizer", "SparseAdam", "Muon"):
        with pytest.raises((TypeError, ValueError), match=f"optimizer=.*{name}.* is not allowed"):
            clf.fit(GOOD_X, GOOD_Y)
    else:
        assert clf.fit(GOOD_X, GOOD_Y).n_iter_ == 2


class OfSparseGradients(torch.optim.SparseAdam):
    pass


def test_a_class_made_from_sparse_adam_is_refused_too():
    with pytest.raises(ValueError, match="an optimiser of dense gradients, such as 'adam'"):
        tiny(optimizer=OfSparseGradients).fit(GOOD_X, GOOD_Y)


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("betas", (0.9,), "optimizer=.*betas="),
        ("betas", 0.9, "optimizer=.*betas="),
        ("betas", (2, 3), "optimizer=.*Invalid beta"),
        ("betas", (10**400, 0.9), "optimizer__betas="),
        ("eps", 10**400, "optimizer__eps="),
        ("eps", 10**30, "optimizer__eps="),
        ("eps", Fraction(10**400), "optimizer__eps="),
        ("eps", -1, "optimizer=.*Invalid epsilon"),
        ("eps", np.array([1, 2]), "optimizer__eps="),
        ("eps", np.array(1e-8), "optimizer__eps="),
        ("amsgrad", np.array([1, 2]), "optimizer__amsgrad="),
    ],
)
def test_an_option_that_an_optimiser_cannot_take_is_refused_by_name(option, value, named):
    with pytest.raises((TypeError, ValueError), match=rf"{named}.* is not allowed|{named}"):
        tiny(**{f"optimizer__{option}": value}).fit(GOOD_X, GOOD_Y)


WITHOUT_SIGNATURE = [type, int, dict, str, Exception, staticmethod, torch.tensor]
WITH_OTHER_ARGUMENTS = [len, np.array, np.add, torch.nn.Linear]
WITHOUT_MODULE = [object, list, print, lambda n_classes: n_classes, lambda: None]


@pytest.mark.parametrize("module", [*WITHOUT_SIGNATURE, *WITH_OTHER_ARGUMENTS, *WITHOUT_MODULE])
@pytest.mark.parametrize("kind", [NeuralClassifier, DistilledClassifier])
def test_what_builds_no_module_is_refused_by_name(kind, module):
    teaching = {"teacher": LogisticRegression().fit(GOOD_X, GOOD_Y)}
    settings = teaching if kind is DistilledClassifier else {}
    with pytest.raises(TypeError, match=r"^module=.* (is not allowed: give |must build a torch)"):
        kind(module=module, **settings, **SETTINGS).fit(GOOD_X, GOOD_Y)


def test_a_module_without_one_of_its_arguments_names_it():
    with pytest.raises(TypeError, match=r"as module__\* \(missing a required argument: 'in_feat"):
        tiny(module=torch.nn.Linear).fit(GOOD_X, GOOD_Y)


@pytest.mark.parametrize(
    "sizes", [10**12, (10**12,), (10**7, 10**7), 2**62, [2**40] * 3, 2**63, (4, 10**400)]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "distil"])
def test_layers_that_fit_into_no_memory_are_refused_by_name(method, sizes):
    def use():
        if method == "distil":

            def teacher(rows):
                raise AssertionError("asked in vain")

            DistilledClassifier(teacher, hidden_layer_sizes=sizes).fit(GOOD_X, GOOD_Y)
        elif method == "fit":
            NeuralClassifier(sizes).fit(GOOD_X, GOOD_Y)
        else:
            NeuralClassifier(sizes).partial_fit(GOOD_X, GOOD_Y, classes=[0, 1])

    with pytest.raises(ValueError, match="hidden_layer_sizes=.* is not allowed: give "):
        use()


def test_the_columns_of_X_count_where_layers_are_too_large(monkeypatch):
    monkeypatch.setattr("skkd.config._bytes_of_memory", lambda: 10_000)
    assert tiny(hidden_layer_sizes=20).fit(GOOD_X, GOOD_Y).n_iter_ == 2
    with pytest.raises(ValueError, match="hidden_layer_sizes=.*these need 1.6e.04 bytes"):
        tiny(hidden_layer_sizes=20).fit(np.tile(GOOD_X, 50), GOOD_Y)


@pytest.mark.parametrize("sampler", [transfer.Munge(), transfer.Spunge(), transfer.Gibbs()])
@pytest.mark.parametrize("container", ["list", "tuple", "array", "DataFrame"])
def test_whole_numbers_that_no_float_holds_are_names_for_a_sampler(container, sampler):
    X = containers_of(10**400)[container]
    made = sampler.fit(X).sample(20, random_state=0)
    assert set(np.asarray(made, dtype=object)[:, 1]) <= set(np.asarray(X, dtype=object)[:, 1])
