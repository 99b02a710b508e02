"""Networks as scikit-learn's own MLPClassifier: the same probabilities, or a reason."""

import numpy as np
import pandas as pd
import pytest
from exported_cases import SMALL, classifier, codes, fitted, numbers
from sklearn.base import clone

from skkd import NeuralClassifier

PLAIN = {"preset": "plain"}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("labels", [[False, True], ["a", "b"], [1, 2, 10], list("abcdef")])
@pytest.mark.parametrize("settings", [{}, {"preprocessor": None}, {"batch_norm": True}])
def test_has_the_same_probabilities(activation, labels, settings):
    X = numbers() / (100 if "preprocessor" in settings else 1)
    y = np.array(labels)[codes(X, len(labels))]
    clf, _ = classifier(X, y, activation=activation, **PLAIN, **settings)
    mlp = clf.to_mlp_classifier()
    rows = X.astype(np.float32).astype(float)  # X is read as float32 if it is not scaled
    assert np.abs(mlp.predict_proba(rows) - clf.predict_proba(rows)).max() < 1e-9
    assert (mlp.predict(rows) == clf.predict(rows)).all()
    assert mlp.score(X, y) == clf.score(X, y)
    assert not hasattr(clone(mlp), "coefs_")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("labels from 1", "activation is 'selu'"),
        ("relu", "scaled numbers are clipped: fit with preprocessor='standard', None or preset"),
        ("standard scaling", "column 1 is constant"),
        ("no hidden layer", "the network has no hidden layer"),
    ],
)
def test_what_it_cannot_have_is_named(case, reason):
    with pytest.raises(ValueError, match=f"cannot become an MLPClassifier: {reason}"):
        fitted(case)[0].to_mlp_classifier()


def test_bins_and_categories_are_named():
    X = numbers()
    clf, _ = classifier(X, **PLAIN, numeric_encoding="piecewise_linear")
    with pytest.raises(ValueError, match="numeric_encoding adds bins"):
        clf.to_mlp_classifier()
    clf = NeuralClassifier(**SMALL, **PLAIN, categorical_features=[2]).fit(X, codes(X))
    with pytest.raises(ValueError, match="X has categories"):
        clf.to_mlp_classifier()


def test_all_parameters_that_stand_in_the_way_are_named_at_once():
    X = numbers()
    clf = NeuralClassifier(**SMALL, numeric_encoding="piecewise_linear").fit(X, codes(X))
    with pytest.raises(ValueError) as caught:
        clf.to_mlp_classifier()
    for part in ("activation is 'selu'", "adds bins", "are clipped", "preset='plain'"):
        assert part in str(caught.value)
    plain = NeuralClassifier(**SMALL, preset="plain").fit(X, codes(X))
    assert plain.to_mlp_classifier().n_features_in_ == 4


def test_it_shares_no_array_with_the_classifier():
    clf, _ = classifier(numbers(), **PLAIN, activation="relu")
    mlp = clf.to_mlp_classifier()
    mlp.classes_[:] = 7
    mlp.coefs_[-1][:] = 7
    assert clf.classes_.tolist() == [0, 1, 2]
    assert (clf.network_.layers[-1].weight != 7).all()


def test_large_numbers_that_differ_little_are_refused():
    X = numbers()
    clf, _ = classifier(X + 1e13, codes(X), **PLAIN, activation="relu")
    with pytest.raises(ValueError, match=r"would differ by .* \(1e-09 is allowed\)"):
        clf.to_mlp_classifier()


@pytest.mark.filterwarnings("error")
def test_a_table_keeps_its_names():
    X = pd.DataFrame(numbers(), columns=list("abcd"))
    clf, _ = classifier(X, codes(numbers()), **PLAIN, activation="relu")
    mlp = clf.to_mlp_classifier()
    assert mlp.feature_names_in_.tolist() == list("abcd")
    assert np.abs(mlp.predict_proba(X) - clf.predict_proba(X)).max() < 1e-9
