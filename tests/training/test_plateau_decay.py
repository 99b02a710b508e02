"""A learning rate that falls when the loss stops improving, in the estimators."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skkd import DistilledClassifier, NeuralClassifier
from skkd.schedules import PlateauDecay, WarmUp


def rates_of(clf):
    return [record["learning_rate"] for record in clf.history_]


def plateau(**params):
    defaults = {"gamma": 0.5, "patience": 1, "threshold": 0.05, "min_factor": 0.1}
    return PlateauDecay(**defaults | params)


def factors_of(clf, name="train_loss"):
    """The factors that follow from the recorded losses, and whether the last one ends training."""
    decay = clf.lr_decay if isinstance(clf.lr_decay, PlateauDecay) else PlateauDecay()
    losses = [record[name] for record in clf.history_]
    state = decay.begin()
    for loss in losses:
        state = decay.after_epoch(state, loss)
    return decay.follow(losses), state["is_over"]


@pytest.mark.parametrize("watched", ["train_loss", "X_val", "early_stopping"])
@pytest.mark.parametrize("parametrization", ["standard", "ntk"])
def test_under_a_plateau_decay_the_rate_follows_the_losses_and_training_ends_at_the_floor(
    iris_like, watched, parametrization
):
    X, y = iris_like
    held_out = {"X_val": X, "y_val": y} if watched == "X_val" else {}
    clf = NeuralClassifier(
        (8,), learning_rate=0.05, lr_decay=plateau(), random_state=0, dropout=0.0,
        parametrization=parametrization, early_stopping=watched == "early_stopping",
        n_iter_no_change=1,
    ).fit(X, y, **held_out)  # fmt: skip
    name = "train_loss" if watched == "train_loss" else "valid_loss"
    factors, is_over = factors_of(clf, name)
    rates = rates_of(clf)
    assert rates == pytest.approx(0.05 * np.array(factors))
    assert is_over and clf.n_iter_ < 200
    assert min(factors) == pytest.approx(0.1)
    if watched == "early_stopping":
        losses = [record["valid_loss"] for record in clf.history_]
        assert clf.best_epoch_ == 1 + int(np.argmin(losses))


@pytest.mark.parametrize("preset", ["plain", "tabular"])
def test_auto_epochs_are_200_at_most_under_a_plateau_decay(iris_like, preset):
    clf = NeuralClassifier((8,), preset=preset, lr_decay=plateau(patience=500), random_state=0)
    assert clf.fit(*iris_like).n_iter_ == 200


def test_plateau_by_name_is_the_schedule_with_its_defaults(iris_like):
    params = {"preset": "plain", "learning_rate": 0.3, "batch_size": 20, "random_state": 0}
    by_name = NeuralClassifier((8,), lr_decay="plateau", **params).fit(*iris_like)
    by_object = NeuralClassifier((8,), lr_decay=PlateauDecay(), **params).fit(*iris_like)
    assert joblib.hash(by_name.network_.state) == joblib.hash(by_object.network_.state)
    rates = rates_of(by_name)
    assert rates == pytest.approx(0.3 * np.array(factors_of(by_name)[0]))
    assert rates[-1] < 0.3


def test_a_plateau_decay_continues_over_partial_fits_and_stays_at_its_floor(iris_like):
    clf = NeuralClassifier(
        (8,), preset="plain", learning_rate=0.03, lr_decay=plateau(patience=0), random_state=0
    )
    for _ in range(40):
        clf = pickle.loads(pickle.dumps(clf)).partial_fit(*iris_like, classes=[0, 1, 2])
    factors, _ = factors_of(clf)
    rates = rates_of(clf)
    assert rates == pytest.approx(0.03 * np.array(factors))
    assert rates[-1] == pytest.approx(0.003)


def test_a_plateau_decay_starts_again_with_a_warm_start_and_after_another_schedule(iris_like):
    clf = NeuralClassifier(
        (8,), preset="plain", learning_rate=0.03, lr_decay=plateau(patience=0), random_state=0
    )
    clf.set_params(warm_start=True).fit(*iris_like)
    assert clf.history_[-1]["learning_rate"] < 0.03
    n_before = clf.n_iter_
    clf.fit(*iris_like)
    assert clf.history_[n_before]["learning_rate"] == 0.03
    clf.set_params(lr_decay="constant").partial_fit(*iris_like)
    clf.set_params(lr_decay=plateau(patience=0)).partial_fit(*iris_like)
    assert clf.history_[-1]["learning_rate"] == 0.03


def test_a_warm_up_in_front_of_a_plateau_decay_ramps_and_then_falls(iris_like):
    warm_up = WarmUp(plateau(patience=0), n_epochs=2, start_factor=0.5)
    clf = NeuralClassifier(
        (8,), preset="plain", learning_rate=0.03, lr_decay=warm_up, batch_size=90, random_state=0
    ).fit(*iris_like)
    rates = np.array(rates_of(clf))
    assert rates[:3] == pytest.approx([0.0225, 0.03, 0.03])
    assert rates[-1] == pytest.approx(0.003)
    assert clf.n_iter_ < 200


def test_a_grid_searches_the_patience_of_a_plateau_decay(iris_like):
    clf = NeuralClassifier(
        (8,), preset="plain", learning_rate=0.03, lr_decay=plateau(), random_state=0
    )
    grid = {"lr_decay__patience": [0, 10**6]}
    search = GridSearchCV(clf, grid, cv=2, scoring=lambda clf, X, y: clf.n_iter_).fit(*iris_like)
    assert search.best_params_ == {"lr_decay__patience": 10**6}
    assert search.cv_results_["mean_test_score"][0] < 200 == search.best_score_


def test_a_student_trains_under_a_plateau_decay(iris_like):
    teacher = LogisticRegression().fit(*iris_like)
    params = {
        "preset": "plain",
        "learning_rate": 0.03,
        "lr_decay": plateau(patience=0),
        "random_state": 0,
    }
    clf = DistilledClassifier(teacher, hidden_layer_sizes=(8,), **params).fit(*iris_like)
    rates = rates_of(clf)
    assert rates == pytest.approx(0.03 * np.array(factors_of(clf)[0]))
    assert rates[-1] == pytest.approx(0.003)


@pytest.mark.parametrize("decay", ["plateau", PlateauDecay(), WarmUp("plateau")])
def test_dropout_takes_no_schedule_that_watches_the_loss(iris_like, decay):
    with pytest.raises(ValueError, match="^dropout_decay=.*that does not depend on the loss"):
        NeuralClassifier((8,), dropout_decay=decay).fit(*iris_like)
