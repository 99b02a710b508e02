"""A predictor gives the answers of predict_proba, to arrays of numbers alone."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skkd import DistilledClassifier, NeuralClassifier

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 3, "random_state": 0}


@pytest.mark.parametrize(
    "settings",
    [{}, {"preprocessor": None}, {"batch_norm": True}, {"preset": "plain"}],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_predictor_gives_the_probabilities_of_predict_proba(settings, dtype, iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL, **settings).fit(X, y)
    predictor = clf.predictor()
    for rows in (X[:1].astype(dtype), X.astype(dtype), np.tile(X, (20, 1)).astype(dtype)):
        np.testing.assert_array_equal(predictor(rows), clf.predict_proba(rows))
    assert predictor.classes.tolist() == clf.classes_.tolist()


def test_missing_values_are_imputed_if_the_preprocessor_imputes_them(iris_like):
    X, y = iris_like
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    clf = NeuralClassifier(**SMALL).fit(gaps, y)
    np.testing.assert_array_equal(clf.predictor()(gaps), clf.predict_proba(gaps))
    with pytest.raises(ValueError, match="X holds nan in row 0, column 1"):
        NeuralClassifier(**SMALL, preprocessor=None).fit(X, y).predictor()(gaps)
    gaps[2, 3] = -np.inf
    with pytest.raises(ValueError, match="X holds -inf in row 2, column 3"):
        clf.predictor()(gaps)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.tolist(),
        lambda X: X[0],
        lambda X: X[:, :3],
        lambda X: X[:0],
        lambda X: X.astype(int),
        lambda X: X.astype(object),
    ],
    ids=["list", "one row", "columns", "no row", "int", "object"],
)
def test_any_other_input_is_refused(change, iris_like):
    X, y = iris_like
    predictor = NeuralClassifier(**SMALL).fit(X, y).predictor()
    with pytest.raises(ValueError, match=r"X=.* is not allowed: give a floating ndarray .*, 4\)"):
        predictor(change(X))


def test_categories_and_transformers_need_predict_proba(iris_like, iris_like_table):
    table, labels = iris_like_table
    with pytest.raises(ValueError, match="use predict_proba"):
        NeuralClassifier(**SMALL).fit(table, labels).predictor()
    with pytest.raises(ValueError, match="use predict_proba"):
        NeuralClassifier(**SMALL, preprocessor=StandardScaler()).fit(*iris_like).predictor()


def test_a_predictor_is_frozen_can_be_pickled_and_serves_many_threads(iris_like):
    X, y = iris_like
    clf = DistilledClassifier(**SMALL).fit(X, y, teacher_proba=np.eye(3)[y] * 0.7 + 0.1)
    predictor = pickle.loads(pickle.dumps(clf.student_.predictor()))
    with pytest.raises(AttributeError):
        predictor.n_features = 3
    assert repr(predictor) == "Predictor(Network, 4 columns, 3 classes)"
    expected = clf.predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: predictor(X), range(40)):
            np.testing.assert_array_equal(answer, expected)


def test_many_rows_of_float32_are_computed_in_float32(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL, activation="selu").fit(X, y)
    many = np.tile(X, (20, 1))
    single = clf.predict_proba(many.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, clf.predict_proba(many), atol=1e-5)
    np.testing.assert_allclose(single.sum(axis=1), 1, atol=1e-12)


def test_rows_that_overflow_float32_are_computed_in_float64(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL).fit(X, y)
    many = np.tile(X, (20, 1)).astype(np.float32)
    many[7] = 3e38
    assert np.isfinite(clf.predict_log_proba(many)).all()
