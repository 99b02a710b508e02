"""Clones of teachers: seeds, weights, and what cannot be cloned."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skkd.teachers.cloning import fit_and_ask
from skkd.teachers.predict_proba import ask

X, y = load_iris(return_X_y=True)


class Duck:
    """Only predict_proba and classes_."""

    classes_ = np.array([0, 1, 2])

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


def test_a_fitted_clone_leaves_the_teacher_alone_and_is_seeded():
    teacher = RandomForestClassifier(3)
    fitted, _ = fit_and_ask(FrozenEstimator(teacher), X, y, None, seed=7)
    again, _ = fit_and_ask(FrozenEstimator(teacher), X, y, None, seed=7, remember=False)
    assert fitted.random_state == again.random_state
    assert fitted.random_state is not None
    assert teacher.random_state is None
    with pytest.raises(NotFittedError):
        teacher.predict(X)


def test_seeds_of_the_teacher_itself_are_kept_and_steps_are_seeded():
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(3))
    assert fit_and_ask(pipeline, X, y, None, seed=7)[0][-1].random_state is not None
    pipeline.set_params(randomforestclassifier__random_state=1)
    assert fit_and_ask(pipeline, X, y, None, seed=7)[0][-1].random_state == 1


def test_members_of_an_ensemble_have_seeds_of_their_own():
    forest = RandomForestClassifier(3)
    fitted, _ = fit_and_ask([(forest, 1), (forest, 1)], X, y, None, seed=0)
    assert fitted[0][0].random_state != fitted[1][0].random_state
    vote = VotingClassifier([("a", forest), ("b", forest)], voting="soft")
    members = fit_and_ask(vote, X, y, None, seed=0)[0].estimators_
    assert members[0].random_state != members[1].random_state


def test_every_teacher_of_a_list_is_fitted():
    teachers = [(RandomForestClassifier(3), 2), (LogisticRegression(max_iter=1000), 1)]
    fitted, soft_labels = fit_and_ask(teachers, X, y, None, seed=0)
    assert [weight for _, weight in fitted] == [o.weight for o in soft_labels] == [2, 1]
    np.testing.assert_allclose(
        soft_labels[1].probabilities, fitted[1][0].predict_proba(X), rtol=1e-12
    )


def test_weights_reach_a_teacher_that_takes_them():
    weights = 1.0 + 5 * (y == 1)
    fitted, _ = fit_and_ask(LogisticRegression(max_iter=1000), X, y, weights, seed=0)
    by_hand = LogisticRegression(max_iter=1000, random_state=0).fit(X, y, weights)
    np.testing.assert_allclose(fitted.coef_, by_hand.coef_)


def test_weights_reach_the_last_step_of_a_pipeline():
    weights = 1.0 + 5 * (y == 1)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    fitted, _ = fit_and_ask(pipeline, X, y, weights, seed=0)
    by_hand = clone(pipeline).fit(X, y, logisticregression__sample_weight=weights)
    np.testing.assert_allclose(fitted[-1].coef_, by_hand[-1].coef_)


def mean_of_class_1(teacher, weights):
    fitted, _ = fit_and_ask(teacher, X, y, weights, seed=0)
    return fitted.predict_proba(X)[:, 1].mean()


@pytest.mark.parametrize("kind", ["voting", "stacking", "nested"])
def test_weights_reach_all_members_of_an_ensemble(kind):
    pairs = [("linear", LogisticRegression(max_iter=1000)), ("left", "drop")]
    teacher = VotingClassifier(pairs, voting="soft")
    if kind == "stacking":
        teacher = StackingClassifier(pairs, cv=2)
    elif kind == "nested":
        teacher = VotingClassifier([("inner", teacher)], voting="soft")
    weights = 1.0 + 50 * (y == 1)
    assert mean_of_class_1(teacher, weights) > mean_of_class_1(teacher, None) + 0.05


@pytest.mark.parametrize(
    "teacher",
    [
        KNeighborsClassifier(),
        VotingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())]),
        StackingClassifier([("a", LogisticRegression())], KNeighborsClassifier()),
        TunedThresholdClassifierCV(LogisticRegression()),
        RFECV(LogisticRegression(max_iter=1000)),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_a_teacher_that_takes_no_weights_warns(teacher):
    name = type(teacher).__name__
    with pytest.warns(UserWarning, match=f"{name}, takes no sample_weight"):
        fit_and_ask(teacher, X[:100], y[:100], 1.0 + y[:100], seed=0, asks=False)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"knn": KNeighborsClassifier()}, r"nor does its knn, a KNeighborsClassifier\)"),
        (
            {"linear": make_pipeline(StandardScaler(), LogisticRegression())},
            "nor does its linear, a Pipeline: put its other steps in front of the VotingClassifier",
        ),
    ],
    ids=["neighbours", "pipeline"],
)
def test_the_part_that_takes_no_weights_is_named(members, message):
    vote = VotingClassifier(list(members.items()), voting="soft")
    with pytest.warns(UserWarning, match=message):
        fit_and_ask(make_pipeline("passthrough", vote), X, y, 1.0 + y, seed=0, asks=False)


def test_without_asks_the_teacher_does_not_predict():
    class Silent(LogisticRegression):
        def predict_proba(self, X):
            raise AssertionError("asked")

    _, (labels_of_one,) = fit_and_ask(Silent(max_iter=1000), X, y, None, seed=0, asks=False)
    assert len(labels_of_one.probabilities) == 0
    with pytest.raises(AssertionError, match="asked"):
        fit_and_ask(Silent(max_iter=1000), X, y, None, seed=0)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_the_estimator_inside_of_a_search(routing):
    weights = 1.0 + 5 * (y == 1)
    with config_context(enable_metadata_routing=routing):
        scaler, linear = StandardScaler(), LogisticRegression(random_state=0)
        scorer = get_scorer("accuracy")
        if routing:
            scaler.set_fit_request(sample_weight=False)
            linear.set_fit_request(sample_weight=True)
            scorer = scorer.set_score_request(sample_weight=True)
        search = GridSearchCV(make_pipeline(scaler, linear), {}, cv=2, scoring=scorer)
        fitted, _ = fit_and_ask(search, X, y, weights, seed=0)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    by_hand.fit(X, y, logisticregression__sample_weight=weights)
    np.testing.assert_allclose(fitted.best_estimator_[-1].coef_, by_hand[-1].coef_)


@pytest.mark.parametrize("teacher", [ask, Duck()], ids=["function", "duck"])
def test_teachers_that_cannot_be_fitted_are_refused(teacher):
    with pytest.raises(ValueError, match="fit_teacher=False"):
        fit_and_ask(teacher, X, y, None, seed=0)
