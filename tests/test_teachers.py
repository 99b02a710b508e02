import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skkd.teachers import (
    TeacherMismatchWarning,
    agreement_with,
    align,
    ask,
    check_probabilities,
    fit_clone,
    freeze,
    is_fitted,
)

X, y = load_iris(return_X_y=True)


class Duck:
    """Only predict_proba and classes_."""

    classes_ = np.array([0, 1, 2])

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


@pytest.mark.parametrize(
    "teacher",
    [
        RandomForestClassifier(5, random_state=0),
        LogisticRegression(max_iter=1000),
        make_pipeline(StandardScaler(), LogisticRegression()),
        SVC(),
        RidgeClassifier(),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_any_fitted_classifier_answers_with_probabilities(teacher):
    proba, classes = ask(clone(teacher).fit(X, y), X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert (classes == [0, 1, 2]).all()
    assert (proba.argmax(axis=1) == y).mean() > 0.8


def test_binary_scores_are_log_odds():
    teacher = SVC().fit(X[:100], y[:100])
    proba, _ = ask(teacher, X[:100])
    odds = np.log(proba[:, 1] / proba[:, 0])
    np.testing.assert_allclose(odds, teacher.decision_function(X[:100]), atol=1e-9)


def test_one_vs_one_scores_are_refused():
    four = np.arange(len(y)) % 4
    teacher = SVC(decision_function_shape="ovo").fit(X, four)
    with pytest.raises(ValueError, match="6 scores for 4 classes .one-vs-one"):
        ask(teacher, X)


def test_several_outputs_are_refused():
    teacher = RandomForestClassifier(2).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="one output"):
        ask(teacher, X)


def test_a_function_and_a_duck_answer_too():
    assert ask(lambda rows: np.full((len(rows), 2), 0.5), X)[1] is None
    assert ask(Duck(), X)[0].shape == (150, 3)


def test_what_cannot_answer_is_refused():
    with pytest.raises(TypeError, match="teacher=StandardScaler.*predict_proba"):
        ask(StandardScaler().fit(X), X)


def test_batches_give_the_answers_of_one_question():
    teacher = RandomForestClassifier(5, random_state=0).fit(X, y)
    sizes = []

    def spy(rows):
        sizes.append(len(rows))
        return teacher.predict_proba(rows)

    np.testing.assert_array_equal(ask(spy, X, batch_size=40)[0], teacher.predict_proba(X))
    assert sizes == [40, 40, 40, 30]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ([np.nan, 1], "is not finite"),
        ([-0.1, 1.1], "has a negative entry"),
        ([0.2, 0.2], "sums to 0.4"),
        ([3.0, -2.0], "negative"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_row(row, fault):
    with pytest.raises(ValueError, match=f"row 1.*{fault}"):
        check_probabilities([[0.5, 0.5], row], 2)


def test_float32_rounding_is_renormalised():
    p = check_probabilities(np.array([[0.3, 0.7000002]], dtype=np.float32), 1)
    assert abs(p.sum() - 1) < 1e-15


def test_columns_are_aligned_by_label_not_by_position():
    p = np.array([[0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(align(p, [2, 0, 1], np.array([0, 1, 2])), [[0.3, 0.2, 0.5]])


def test_other_classes_are_refused_unless_allowed():
    p = np.array([[0.5, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match="a meta-estimator has re-encoded it"):
        align(p, [1, 2], np.array([0, 1]))
    np.testing.assert_array_equal(align(p, [1, 2], np.array([0, 1]), "intersect"), [[0, 1], [0, 0]])


def test_labels_with_nothing_in_common_are_refused():
    with pytest.raises(ValueError, match="none in common"):
        align(np.array([[0.5, 0.5]]), ["a", "b"], np.array([0, 1]), "intersect")


def test_a_teacher_at_chance_level_warns():
    chance = np.full((300, 3), 1 / 3)
    with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
        assert agreement_with(chance, np.arange(300) % 3) == pytest.approx(1 / 3)


def test_balanced_accuracy_spares_a_teacher_of_rare_classes():
    codes = np.r_[np.zeros(95, int), np.ones(5, int)]
    first_choice = np.r_[np.ones(30, int), np.zeros(65, int), np.ones(5, int)]
    assert agreement_with(np.eye(2)[first_choice], codes) > 0.8


def test_a_frozen_teacher_is_shared_by_clone():
    teacher = LogisticRegression(max_iter=1000).fit(X, y)
    assert clone(freeze(teacher)).estimator is teacher
    assert freeze(freeze(teacher)).estimator is teacher


@pytest.mark.parametrize(
    ("teacher", "answers"),
    [
        (LogisticRegression(), False),
        (LogisticRegression(max_iter=1000).fit(X, y), True),
        (FrozenEstimator(LogisticRegression()), False),
        (Duck(), True),
        (len, True),
    ],
)
def test_is_fitted_tells_who_can_answer(teacher, answers):
    assert is_fitted(teacher) is answers


def test_fit_clone_leaves_the_teacher_alone_and_seeds_the_clone():
    teacher = RandomForestClassifier(3)
    fitted = fit_clone(FrozenEstimator(teacher), X, y, None, seed=7)
    assert fitted.random_state == 7
    assert teacher.random_state is None
    assert not is_fitted(teacher)
