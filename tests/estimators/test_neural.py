"""NeuralClassifier: parameters, weights, labels, inputs, fitted attributes, custom modules."""

import numpy as np
import pytest
import sklearn
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import check_class_weight_classifiers
from skorch.callbacks import Callback

from skkd import NeuralClassifier
from skkd.preprocessing.preprocessor import PassThrough
from skkd.presets import PRESETS

close = np.testing.assert_allclose
same = np.testing.assert_array_equal


def tiny(**params):
    defaults = {"hidden_layer_sizes": (6,), "max_epochs": 3, "batch_size": 30, "random_state": 0}
    return NeuralClassifier(**{"preset": "plain", "learning_rate": 0.01} | defaults | params)


def exact(**params):
    """Full batches in float64, so that results differ by rounding only."""
    return tiny(**{"batch_size": 1000, "dtype": "float64", "max_epochs": 20, **params})


both_presets = pytest.mark.parametrize("preset", PRESETS)

TABULAR = {"preset": "tabular", "learning_rate": "auto"}


def linear(n_features, n_classes):
    return torch.nn.Linear(n_features, n_classes)


SGD = {"optimizer": "sgd"}
AUTO = {"hidden_layer_sizes": "auto", "batch_size": "auto", "learning_rate": "auto"}
PLATEAU = {"tol": 1e6, "n_iter_no_change": 2, "max_epochs": 6}
EFFECTS = {
    "hidden_layer_sizes": ((7,), {}),
    "activation": ("tanh", {}),
    "preset": ("tabular", AUTO),
    "module": (linear, {}),
    "init": ("orthogonal", {}),
    "bias_init": (0.5, {}),
    "parametrization": ("ntk", {}),
    "feature_scale": (True, {"learning_rate": 0.05}),
    "batch_norm": (True, {}),
    "dropout": (0.5, {}),
    "dropout_decay": ("flat_cosine", {"dropout": 0.5}),
    "label_smoothing": (0.3, {}),
    "optimizer": ("rmsprop", {}),
    "learning_rate": (0.03, {}),
    "momentum": (0.1, SGD),
    "nesterov": (False, SGD),
    "weight_decay": (1.0, SGD),
    "max_grad_norm": (0.01, SGD),
    "lr_decay": ("cosine", {}),
    "batch_size": (10, {}),
    "shuffle": (False, {}),
    "max_epochs": (2, {}),
    "early_stopping": (True, {}),
    "validation_fraction": (0.4, {"early_stopping": True}),
    "n_iter_no_change": (None, PLATEAU),
    "tol": (0.0, PLATEAU),
    "class_weight": ({0: 5, 1: 1, 2: 1}, {}),
    "preprocessor": (None, {}),
    "numeric_encoding": ("piecewise_linear", {}),
    "categorical_features": ([3], {}),
    "warm_start": (True, {}),
    "dtype": ("float64", {}),
    "random_state": (1, {}),
}
NO_EFFECT = {
    "callbacks": [Callback()],
    "verbose": 2,
    "device": "cpu:0",
    "n_threads": 2,
    "n_jobs": 1,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_every_parameter_has_an_effect(iris_like, name):
    X, y = iris_like
    X = np.round(X)
    value, others = EFFECTS[name]
    clf = tiny(**others)
    plain = clf.fit(X, y).fit(X, y).predict_proba(X)
    changed = clf.set_params(**{name: value}).fit(X, y).fit(X, y).predict_proba(X)
    assert np.abs(changed - plain).max() > (1e-10 if name == "dtype" else 1e-4)


@pytest.mark.parametrize("name", NO_EFFECT)
def test_parameters_about_output_and_machine_do_not_change_a_bit(iris_like, name):
    X, y = iris_like
    clf = tiny(dropout=0.3, early_stopping=True)
    plain = clf.fit(X, y).predict_proba(X)
    same(clf.set_params(**{name: NO_EFFECT[name]}).fit(X, y).predict_proba(X), plain)


def test_the_tests_above_name_every_parameter():
    assert {*EFFECTS, *NO_EFFECT} == set(NeuralClassifier().get_params(deep=False))


@pytest.mark.parametrize("params", [SGD, {"optimizer": "adam"}], ids=str)
def test_without_hidden_layers_it_is_logistic_regression(iris_like, params):
    X, y = iris_like
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    decay = 0.02
    expected = LogisticRegression(C=1 / (len(X) * decay), tol=1e-10, max_iter=1000).fit(Z, y)
    clf = exact(hidden_layer_sizes=(), weight_decay=decay, lr_decay="cosine", max_epochs=400)
    clf.set_params(learning_rate=0.1, **params).fit(X, y)
    close(clf.predict_proba(X), expected.predict_proba(Z), atol=2e-4)
    same(clf.predict(X), expected.predict(Z))


def test_without_penalty_it_is_the_maximum_likelihood(iris_like):
    X, y = iris_like
    y = y > 0
    X = X + np.random.RandomState(1).standard_normal(X.shape) * X.std(axis=0)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = LogisticRegression(C=1e10, tol=1e-12, max_iter=1000).fit(Z, y)
    clf = exact(hidden_layer_sizes=(), optimizer=torch.optim.LBFGS, learning_rate=1.0)
    clf.set_params(weight_decay=0.0).fit(X, y)
    close(clf.decision_function(X), expected.decision_function(Z), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("data", "score"),
    [
        (make_blobs(300, centers=4, random_state=0), 0.9),
        (load_iris(return_X_y=True), 0.96),
        (tuple(part[:600] for part in load_digits(return_X_y=True)), 0.99),
    ],
    ids=["blobs", "iris", "digits"],
)
@pytest.mark.parametrize("params", [{}, TABULAR], ids=["plain", "tabular"])
def test_it_learns(data, score, params):
    clf = tiny(hidden_layer_sizes=(32,), max_epochs=40, **params).fit(*data)
    assert clf.score(*data) >= score
    assert clf.score(*data) == accuracy_score(data[1], clf.predict(data[0]))


@pytest.mark.parametrize(
    "wrap", [lambda value: value, lambda value: (value,)], ids=["as is", "tuple"]
)
def test_a_validation_set_of_the_caller_is_recorded(iris_like, wrap):
    X, y = iris_like
    clf = tiny(early_stopping=True).fit(X[:60], y[:60], X_val=wrap(X[60:]), y_val=wrap(y[60:]))
    assert len(clf.history_) == 3
    assert clf.loss_curve_ == tiny().fit(X[:60], y[:60]).loss_curve_


@pytest.mark.parametrize("names", [{"X_val": [[0.0] * 4]}, {"y_val": [0]}], ids=["X_val", "y_val"])
def test_a_validation_set_needs_rows_and_labels(iris_like, names):
    with pytest.raises(ValueError, match="_val=None is not allowed: X_val and y_val go together"):
        tiny().fit(*iris_like, **names)


def test_labels_of_a_validation_set_must_be_known(iris_like):
    X, y = iris_like
    with pytest.raises(
        ValueError, match=r"y_val=\[9\] is not allowed: give labels among the classes"
    ):
        tiny().fit(X, y, X_val=X[:2], y_val=[0, 9])


def test_rows_of_a_validation_set_must_have_the_same_columns(iris_like_table):
    X, y = iris_like_table
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        tiny().fit(X, y, X_val=X[X.columns[::-1]], y_val=y)
    clf = tiny(early_stopping=True).fit(X, y, X_val=X.iloc[:9], y_val=y[:9])
    assert clf.feature_names_in_.tolist() == list(X.columns)


@pytest.mark.parametrize(
    "params",
    [{}, {"optimizer": "sgd"}, {"activation": "tanh"}, {"preset": "tabular", "dropout": 0.0}],
    ids=str,
)
def test_weight_two_is_the_row_twice(iris_like, params):
    X, y = iris_like
    counts = np.random.RandomState(0).randint(0, 4, size=90)
    weighted = exact(**params).fit(X, y, sample_weight=counts)
    repeated = exact(**params).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    close(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-7)


@both_presets
def test_weight_zero_is_no_row_bit_for_bit(iris_like, preset):
    X, y = iris_like
    keep = np.arange(90) % 3 > 0
    clf = tiny(preset=preset, dropout=0.3, early_stopping=True)
    expected = clf.fit(X[keep], y[keep]).predict_proba(X)
    same(clf.fit(X, y, sample_weight=7.0 * keep).predict_proba(X), expected)


@pytest.mark.parametrize(
    "weight", [np.full(90, 3.0), [5] * 90, 0.25], ids=["array", "list", "number"]
)
@both_presets
def test_equal_weights_are_no_weights(iris_like, weight, preset):
    clf = exact(preset=preset)
    plain = clf.fit(*iris_like).predict_proba(iris_like[0])
    close(clf.fit(*iris_like, weight).predict_proba(iris_like[0]), plain, rtol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_have_equal_sums_of_sample_weights(iris_like, weighted):
    X, y = iris_like[0][:70], iris_like[1][:70]
    weight = np.random.RandomState(0).uniform(0.1, 5, 70) if weighted else np.ones(70)
    balanced = weight / np.bincount(y, weights=weight)[y]
    if not weighted:
        close(balanced / balanced.mean(), compute_sample_weight("balanced", y))
    expected = exact().fit(X, y, sample_weight=balanced).predict_proba(X)
    clf = exact(class_weight="balanced").fit(X, y, sample_weight=weight)
    close(clf.predict_proba(X), expected, rtol=1e-7)


def test_a_dict_of_class_weights_multiplies_the_sample_weights(iris_like):
    X, y = iris_like
    weight = np.random.RandomState(0).uniform(0.1, 5, 90)
    by_dict = exact(class_weight={0: 4, 2: 0.5, 1: 1}).fit(X, y, sample_weight=weight)
    by_weight = exact().fit(X, y, sample_weight=weight * np.array([4, 1, 0.5])[y])
    close(by_dict.predict_proba(X), by_weight.predict_proba(X), rtol=1e-7)


@pytest.mark.parametrize("batch_size", [2, 4, 8, 64])
@both_presets
def test_batches_of_light_rows_do_not_blow_up(batch_size, preset):
    training = {
        "plain": {"max_epochs": 8, "learning_rate": 0.01},
        "tabular": {"max_epochs": 30},
    }[preset]
    clf = NeuralClassifier((16,), preset=preset, batch_size=batch_size, **training)
    check_class_weight_classifiers("NeuralClassifier", clf)


pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
WORDS = ["b", "a", "c"]
LABELS = {
    "str": (np.array(WORDS), lambda y: y, "U"),
    "object": (np.array(WORDS, dtype=object), lambda y: y, "O"),
    "list": (np.array(WORDS), list, "U"),
    "from 1": (np.array([3, 1, 2]), lambda y: y, "i"),
    "uint8": (np.array([7, 0, 3], dtype=np.uint8), lambda y: y, "u"),
    "bool": (np.array([True, False, False]), lambda y: y, "b"),
    "float": (np.array([2.0, 0.0, -1.0]), lambda y: y, "f"),
    "pandas": (np.array(WORDS), pd.Series, "O"),
    "category": (np.array(WORDS), lambda y: pd.Series(y, dtype="category"), "O"),
    "polars": (np.array(WORDS), pl.Series, "OU"),
    "pyarrow": (np.array(WORDS), pa.array, "OU"),
    "torch": (np.array([3, 1, 2]), torch.tensor, "i"),
    "column": (np.array([3, 1, 2]), lambda y: y, "i"),
}


@pytest.mark.parametrize(("values", "make", "kind"), LABELS.values(), ids=LABELS)
def test_labels_of_any_type_come_back_as_they_were(iris_like, values, make, kind):
    X, codes = iris_like
    labels = make(values[codes])
    clf = tiny(max_epochs=30, early_stopping=True).fit(X, labels)
    assert clf.classes_.tolist() == sorted(set(values.tolist()))
    predicted = clf.predict(X)
    assert type(predicted) is np.ndarray
    assert predicted.dtype == clf.classes_.dtype
    assert predicted.dtype.kind in kind
    assert np.mean(predicted == values[codes]) > 0.6
    known = labels.numpy() if isinstance(labels, torch.Tensor) else labels
    assert clf.score(X, known) == np.mean(predicted == values[codes])


def test_decision_function_is_log_odds_for_two_classes_and_logits_for_more(iris_like):
    X, y = iris_like
    two, three = tiny().fit(X, y > 0), tiny().fit(X, y)
    p = two.predict_proba(X)
    assert two.decision_function(X).shape == (90,)
    close(two.decision_function(X), np.log(p[:, 1] / p[:, 0]), atol=1e-12)
    same(two.predict(X), two.decision_function(X) > 0)
    logits = three.decision_function(X)
    assert logits.shape == (90, 3)
    same(three.predict(X), three.classes_[logits.argmax(axis=1)])
    close(three.predict_log_proba(X), np.log(three.predict_proba(X)), atol=1e-12)


def test_fitted_attributes_are_plain_and_agree(iris_like):
    X, y = iris_like
    clf = tiny(early_stopping=True, learning_rate=np.float32(0.01), max_epochs=np.int64(3)).fit(
        X, y
    )
    assert clf.n_iter_ == len(clf.history_) == 3
    assert type(clf.n_iter_) is type(clf.best_epoch_) is int
    for record in clf.history_:
        assert type(record.pop("epoch")) is int
        assert {type(value) for value in record.values()} == {float}
        assert {*record} == {
            "learning_rate", "train_loss", "seconds", "valid_loss", "valid_accuracy"
        }  # fmt: skip
    assert clf.loss_curve_ == [record["train_loss"] for record in clf.history_]
    assert clf.n_features_in_ == 4
    assert not hasattr(clf, "feature_names_in_")
    assert clf.classes_.tolist() == [0, 1, 2]


def test_module_is_a_new_torch_module_with_the_fitted_weights(iris_like):
    X, y = iris_like
    clf = tiny(preprocessor=None, batch_norm=True, dropout=0.5, dtype="float64").fit(X, y)
    assert isinstance(clf.network_.preprocessor, PassThrough)
    module = clf.module_
    assert module is not clf.module_
    assert not any(part.training for part in module.modules())
    close(module(torch.tensor(X)).detach(), clf.decision_function(X), rtol=1e-10)


def test_names_of_columns_are_kept_and_their_order_is_checked(iris_like_table):
    X, y = iris_like_table
    clf = tiny().fit(X, y)
    assert clf.feature_names_in_.tolist() == list(X.columns)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        clf.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        clf.predict(X.rename(columns={"big": "small"}))


@pytest.mark.parametrize("n_rows", range(2, 40))
def test_batch_norm_trains_on_any_number_of_rows(iris_like, n_rows):
    X, y = iris_like[0][:n_rows], np.arange(n_rows) % 2
    clf = tiny(batch_norm=True, batch_size=8, max_epochs=1).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_one_row_at_a_time_trains(iris_like):
    X, y = iris_like
    assert tiny(batch_size=1, max_epochs=5).fit(X, y).score(X, y) > 0.6
    clf = tiny().partial_fit(X[:1], y[:1], classes=[0, 1, 2])
    assert clf.predict_proba(X[:1]).shape == (1, 3)


class Convolutions(torch.nn.Module):
    def __init__(self, n_features, n_classes, channels=2):
        super().__init__()
        assert n_features == 64
        self.convolution = torch.nn.Conv2d(1, channels, 3)
        self.output = torch.nn.Linear(channels * 36, n_classes)

    def forward(self, x):
        return self.output(torch.relu(self.convolution(x)).flatten(1))


@pytest.fixture
def images():
    X, y = load_digits(n_class=3, return_X_y=True)
    return X[:200].reshape(-1, 1, 8, 8), y[:200]


def test_a_custom_module_takes_images_and_arguments(images):
    X, y = images
    clf = tiny(module=Convolutions, module__channels=5, max_epochs=8, early_stopping=True)
    assert clf.fit(X, y).score(X, y) > 0.95
    assert clf.n_features_in_ == 1
    assert clf.module_.convolution.weight.shape == (5, 1, 3, 3)
    same(clf.fit(X, y).predict_proba(X), clf.fit(X, y).predict_proba(X))
    Z = torch.tensor(clf.network_.preprocessor.transform(X), dtype=torch.float32)
    close(clf.module_(Z).detach(), clf.decision_function(X), rtol=1e-4, atol=1e-4)


def test_custom_modules_predict_in_eval_mode(iris_like):
    def build(n_features, n_classes):
        return torch.nn.Sequential(torch.nn.Dropout(0.5), linear(n_features, n_classes))

    X, y = iris_like
    clf = tiny(module=build).fit(X, y)
    same(clf.predict_proba(X), clf.predict_proba(X))
    assert not any(part.training for part in clf.module_.modules())


def test_initialisers_reach_the_layers_of_a_custom_module(images):
    clf = tiny(module=Convolutions, init="zeros", bias_init=0.25, learning_rate=1e-30)
    with pytest.warns(UserWarning, match="2 units of hidden layer 1 start with equal weights"):
        module = clf.fit(*images).module_
    for layer in (module.convolution, module.output):
        assert (layer.weight.abs() < 1e-20).all()
        assert (layer.bias == 0.25).all()


BAD_MODULES = {
    "shape": (
        lambda n_features: torch.nn.Linear(n_features, 2),
        ValueError,
        r"here \(2, 3\); it re",
    ),
    "kind": (
        lambda n_features: torch.nn.LSTM(n_features, 3),
        ValueError,
        "module must return logits",
    ),
    "instance": (torch.nn.Linear(4, 3), TypeError, "its class .with its arguments as module__"),
    "not a module": (lambda: 3, TypeError, "must build a torch.nn.Module, got 3"),
    "name": ("mlp", ValueError, "module='mlp' is not allowed: give a torch module class"),
    "argument": (linear, TypeError, "module__depth=2 is not allowed"),
}


@pytest.mark.parametrize(("module", "error", "message"), BAD_MODULES.values(), ids=BAD_MODULES)
def test_modules_that_cannot_be_trained_are_refused(iris_like, module, error, message):
    clf = tiny(module=module, **({"module__depth": 2} if module is linear else {}))
    with pytest.raises(error, match=message):
        clf.fit(*iris_like)
    assert not hasattr(clf, "classes_")


def test_a_factory_function_is_a_module_too(iris_like):
    clf = tiny(module=linear).fit(*iris_like)
    assert isinstance(clf.module_, torch.nn.Linear)
    assert clf.predict_proba(iris_like[0]).shape == (90, 3)


def memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


KINDS = {
    "memmap": memory_map,
    "fortran": lambda X, _: np.asfortranarray(X),
    "strides": lambda X, _: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X, _: X.astype(">f8"),
    "longdouble": lambda X, _: X.astype(np.longdouble),
    "list": lambda X, _: X.tolist(),
    "object": lambda X, _: X.astype(object),
    "torch": lambda X, _: torch.tensor(X),
    "float16": lambda X, _: X.astype(np.float16),
    "int8": lambda X, _: X.astype(np.int8),
    "uint8": lambda X, _: X.astype(np.uint8),
    "csr_array": lambda X, _: sparse.csr_array(X),
    "csc_matrix": lambda X, _: sparse.csc_matrix(X),
    "coo_array": lambda X, _: sparse.coo_array(X),
    "dok_matrix": lambda X, _: sparse.dok_matrix(X),
}


@pytest.mark.parametrize("preprocessor", ["standard", "robust", None])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_arrays_of_any_kind_give_the_same_classifier(iris_like, tmp_path, make, preprocessor):
    X, y = iris_like
    X = np.round(np.abs(X))
    clf = tiny(preprocessor=preprocessor, early_stopping=True)
    expected = clf.fit(X, y).predict_proba(X)
    close(clf.fit(make(X, tmp_path), y).predict_proba(make(X, tmp_path)), expected, rtol=1e-4)


def test_booleans_and_nested_lists_with_strings_are_categories():
    X, y = [["red", 1.5], ["green", 2], ["red", None], ["blue", 0]] * 10, [0, 1, 0, 1] * 10
    clf = tiny(max_epochs=60).fit(X, y)
    assert clf.network_.preprocessor.n_features == 4
    assert clf.score(X, y) == 1
    flags = np.array([[True, False], [False, False]] * 20)
    assert tiny().fit(flags, y).network_.preprocessor.n_features == 3


@pytest.mark.parametrize("preprocessor", ["auto", None])
@pytest.mark.parametrize("dispatch", [False, True])
def test_torch_tensors_give_arrays_also_under_array_api_dispatch(
    iris_like, monkeypatch, dispatch, preprocessor
):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    if dispatch and sklearn.__version__ < "1.8":  # later ones bring it along
        pytest.importorskip("array_api_compat")
    X, y = (torch.tensor(part) for part in iris_like)
    with config_context(array_api_dispatch=dispatch):
        clf = tiny(preprocessor=preprocessor).fit(X, y, sample_weight=torch.ones(90))
        probabilities, predicted = clf.predict_proba(X), clf.predict(X)
    assert type(probabilities) is type(predicted) is np.ndarray
    same(probabilities, clf.fit(*iris_like).predict_proba(iris_like[0]))


@pytest.mark.parametrize("init", ["zeros", "constant"])
def test_units_that_start_equal_warn_and_stay_equal(iris_like, init):
    with pytest.warns(UserWarning, match="6 units of hidden layer 1 start with equal weights"):
        weight = exact(init=init, bias_init=0.1).fit(*iris_like).network_.state["linear1.weight"]
    close(weight, np.tile(weight[0], (6, 1)), rtol=1e-6)  # they differ by rounding only
    weight = exact(init="he_uniform").fit(*iris_like).network_.state["linear1.weight"]
    assert np.ptp(weight, axis=0).min() > 0.1


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("module", [None, linear])
def test_it_fits_inside_of_contexts_without_gradients(iris_like, context, module):
    X, y = iris_like
    clf = tiny(module=module, warm_start=True)
    expected = clf.fit(X, y).fit(X, y).predict_proba(X)
    with context():
        clf = tiny(module=module, warm_start=True).fit(X, y).fit(X, y)
    same(clf.predict_proba(X), expected)


def test_the_default_dtype_of_torch_has_no_influence(iris_like):
    clf = tiny(batch_norm=True, dropout=0.3)
    expected = clf.fit(*iris_like).predict_proba(iris_like[0])
    torch.set_default_dtype(torch.float64)
    try:
        same(clf.fit(*iris_like).predict_proba(iris_like[0]), expected)
        assert clf.module_[0].weight.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_predict_reads_x_as_fit_did_whatever_the_parameter_says_now(iris_like_table):
    table, y = iris_like_table
    clf = NeuralClassifier((8,), max_epochs=2, random_state=0).fit(table, y)
    before = clf.predict_proba(table)
    clf.set_params(preprocessor=None)
    np.testing.assert_array_equal(clf.predict_proba(table), before)
