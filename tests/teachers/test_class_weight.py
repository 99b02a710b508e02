import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skkd.teachers.class_weight import has_class_weight, row_weights

X, Y = np.arange(20.0)[:, None], np.arange(20) % 2
PLAIN, WEIGHTED = LogisticRegression(), LogisticRegression(class_weight={0: 1, 1: 2})


class Booster:
    """A stand-in for models of other packages."""

    def __init__(self, **params):
        self.params = params

    def get_params(self, deep=True):
        return self.params


class WithoutDeep:
    def get_params(self):
        return {"class_weight": "balanced"}


CASES = {
    "none": (PLAIN, False),
    "dict": (WEIGHTED, True),
    "forest": (RandomForestClassifier(class_weight="balanced_subsample"), True),
    "frozen": (FrozenEstimator(WEIGHTED), True),
    "pipeline": (make_pipeline(StandardScaler(), WEIGHTED), True),
    "plain pipeline": (make_pipeline(StandardScaler(), PLAIN), False),
    "search": (GridSearchCV(PLAIN, {"class_weight": ["balanced"]}, cv=2).fit(X, Y), True),
    "plain search": (GridSearchCV(PLAIN, {"class_weight": [None]}, cv=2).fit(X, Y), False),
    "list": ([(WEIGHTED, 1), (FrozenEstimator(WEIGHTED), 2)], True),
    "plain list": ([(PLAIN, 1), (PLAIN, 2)], False),
    "function": (PLAIN.fit(X, Y).predict_proba, False),
    "class": (LogisticRegression, False),
    "LightGBM": (Booster(class_weight=None, is_unbalance=True), True),
    "plain LightGBM": (Booster(class_weight=None, is_unbalance=False, scale_pos_weight=1.0), False),
    "XGBoost": (Booster(scale_pos_weight=3.0), True),
    "plain XGBoost": (Booster(scale_pos_weight=None), False),
    "CatBoost": (Booster(class_weights=[1, 2]), True),
    "CatBoost, balanced": (Booster(auto_class_weights="Balanced"), True),
    "plain CatBoost": (Booster(auto_class_weights="None", class_weights=None), False),
    "equal weights": (LogisticRegression(class_weight={0: 2, 1: 2}), False),
    "one class": (LogisticRegression(class_weight={1: 3}), True),
    "vote": (VotingClassifier([("a", WEIGHTED), ("b", WEIGHTED)]), True),
    "mixed vote": (VotingClassifier([("a", WEIGHTED), ("b", PLAIN)]), False),
    "bagging": (BaggingClassifier(WEIGHTED), True),
    "one versus rest": (OneVsRestClassifier(WEIGHTED), True),
    "threshold": (FixedThresholdClassifier(WEIGHTED), True),
    "calibrated": (CalibratedClassifierCV(WEIGHTED), False),
    "without deep": (WithoutDeep(), False),
    "array": (Booster(class_weights=np.array([1, 2])), True),
}


@pytest.mark.parametrize("case", CASES)
def test_class_weights_of_a_teacher_are_found_by_its_parameters(case):
    teacher, expected = CASES[case]
    assert has_class_weight(teacher) is expected


def test_a_list_of_weighted_and_other_teachers_warns():
    with pytest.warns(UserWarning, match="some teachers or assistants have a class_weight"):
        assert not has_class_weight([(PLAIN, 1), (WEIGHTED, 1)])


def test_a_row_has_the_same_weight_by_a_weighted_and_by_another_teacher():
    w = np.array([0.5, 2.0, 0.0])
    p = np.random.RandomState(0).dirichlet(np.ones(3), 50)
    p[:, 2] = 0
    p /= p.sum(axis=1, keepdims=True)
    weighted = p * w / (p @ w)[:, None]
    by_plain = row_weights(p, w, is_weighted=False)
    np.testing.assert_allclose(row_weights(weighted, w, is_weighted=True), by_plain)
    unanswered = np.zeros((1, 3))
    assert row_weights(unanswered, w, is_weighted=True) == row_weights(unanswered, w, False) == 0
