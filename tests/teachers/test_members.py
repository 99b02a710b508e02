"""Lists of teachers, frozen teachers, and which ones are fitted."""

import pytest
from simple_teachers import Duck, LogitModule
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skkd.teachers.members import freeze, input_tags_of, is_fitted, members_of
from skkd.teachers.predict_proba import ask

X, y = load_iris(return_X_y=True)


@pytest.mark.parametrize("members", [[], [Duck()], [(Duck(), 1, 2)]], ids=["none", "bare", "three"])
def test_a_list_must_hold_pairs(members):
    with pytest.raises(TypeError, match="a list of .teacher, weight. pairs"):
        members_of(members)


@pytest.mark.parametrize("members", [[("rf", Duck())], [(Duck(), "much")]], ids=["name", "text"])
def test_names_in_place_of_weights_are_refused(members):
    with pytest.raises(TypeError, match="weights above zero .not of .name, teacher"):
        members_of(members)
    assert is_fitted(members)  # so that `fit` raises the error
    assert input_tags_of(members).sparse


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_weights_of_teachers_must_be_above_zero(weight):
    with pytest.raises(ValueError, match="weights above zero"):
        members_of([(Duck(), weight)])


@pytest.mark.parametrize(
    "teacher",
    [
        LogisticRegression(max_iter=1000).fit(X, y),
        [(LogisticRegression(max_iter=1000).fit(X, y), 1.0)],
        ask,
        LogitModule(),
    ],
    ids=["estimator", "list", "function", "module"],
)
def test_a_frozen_teacher_is_shared_by_clone(teacher):
    assert clone(freeze(teacher)).estimator is teacher
    assert freeze(freeze(teacher)).estimator is teacher


FITTED = LogisticRegression(max_iter=1000).fit(X, y)


@pytest.mark.parametrize(
    ("teacher", "answers"),
    [
        (LogisticRegression(), False),
        (FITTED, True),
        (FrozenEstimator(LogisticRegression()), True),  # because the user has frozen it
        (Duck(), True),
        (len, True),
        ([(FITTED, 1), (Duck(), 1)], True),
        ([(FITTED, 1), (LogisticRegression(), 1)], False),
    ],
)
def test_is_fitted_is_true_for_teachers_that_can_predict(teacher, answers):
    assert is_fitted(teacher) is answers


def test_tags_are_those_that_all_teachers_share():
    assert not input_tags_of(LogisticRegression()).allow_nan
    assert input_tags_of(RandomForestClassifier()).allow_nan
    assert not input_tags_of([(RandomForestClassifier(), 1), (LogisticRegression(), 1)]).allow_nan
    assert input_tags_of(Duck()).sparse
