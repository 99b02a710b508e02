import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from skkd import DistilledClassifier, NeuralClassifier
from skkd.teachers import TeacherMismatchWarning

X, y = load_iris(return_X_y=True)
FOREST = RandomForestClassifier(30, random_state=0).fit(X, y)
SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 20, "learning_rate": 0.01, "random_state": 0}


def test_alpha_zero_is_the_neural_classifier_bit_for_bit():
    alone = NeuralClassifier(**SMALL, dropout=0.2, label_smoothing=0.1).fit(X, y)
    taught = DistilledClassifier(FOREST, alpha=0, **SMALL, dropout=0.2, label_smoothing=0.1)
    np.testing.assert_array_equal(alone.predict_proba(X), taught.fit(X, y).predict_proba(X))


def test_alpha_one_ignores_the_labels():
    shuffled = np.random.default_rng(0).permutation(y)
    proba = FOREST.predict_proba(X)
    one = DistilledClassifier(alpha=1, **SMALL).fit(X, y, teacher_proba=proba)
    with pytest.warns(TeacherMismatchWarning):
        two = DistilledClassifier(alpha=1, **SMALL).fit(X, shuffled, teacher_proba=proba)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_a_one_hot_teacher_at_temperature_one_is_the_labels():
    settings = SMALL | {"dtype": "float64"}
    one_hot = np.eye(3)[y]
    taught = DistilledClassifier(alpha=1, proba_floor=1e-12, **settings)
    taught.fit(X, y, teacher_proba=one_hot)
    alone = NeuralClassifier(**settings).fit(X, y)
    np.testing.assert_allclose(taught.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_the_student_learns_the_teacher_not_the_labels():
    X, y = load_digits(return_X_y=True)
    noisy = np.where(np.random.default_rng(0).random(len(y)) < 0.4, (y + 1) % 10, y)
    teacher = RandomForestClassifier(30, random_state=0).fit(X, y)
    taught = DistilledClassifier(teacher, alpha=1, **SMALL).fit(X[::2], noisy[::2])
    alone = NeuralClassifier(**SMALL).fit(X[::2], noisy[::2])
    assert taught.score(X[1::2], y[1::2]) > alone.score(X[1::2], y[1::2]) + 0.05


def test_weights_act_on_both_terms():
    settings = SMALL | {"dtype": "float64", "batch_size": 10**6, "shuffle": False}
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    one = DistilledClassifier(FOREST, temperature=2, **settings).fit(X, y, sample_weight=weights)
    two = DistilledClassifier(FOREST, temperature=2, **settings).fit(X[rows], y[rows])
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), rtol=1e-7)


def test_the_teacher_is_bit_identical_before_and_after():
    before = pickle.dumps(FOREST)
    params = FOREST.get_params()
    DistilledClassifier(FOREST, **SMALL).fit(X, y).predict(X)
    assert pickle.dumps(FOREST) == before
    assert FOREST.get_params() == params


def test_the_teacher_sees_the_callers_own_table():
    table = pd.DataFrame({"colour": ["red", None, "blue"] * 50, "size": X[:, 0]})
    target = np.where(X[:, 0] > 5.8, "big", "small")
    teacher = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(table, target)
    student = DistilledClassifier(teacher, **SMALL).fit(table, target)
    assert student.score(table, target) > 0.8


def test_permuted_columns_of_the_teacher_change_nothing():
    class Permuted:
        classes_ = FOREST.classes_[::-1]

        def predict_proba(self, X):
            return FOREST.predict_proba(X)[:, ::-1]

    straight = DistilledClassifier(FOREST, **SMALL).fit(X, y)
    permuted = DistilledClassifier(Permuted(), **SMALL).fit(X, y)
    np.testing.assert_array_equal(straight.predict_proba(X), permuted.predict_proba(X))


def test_clone_keeps_the_fitted_teacher():
    distilled = DistilledClassifier(FOREST, module__x=1, **SMALL)
    copied = clone(distilled)
    assert copied.teacher.estimator is FOREST
    assert distilled.teacher is FOREST
    assert clone(copied).teacher.estimator is FOREST
    assert copied.get_params()["module__x"] == 1


def test_cross_validation_and_grids_keep_it_too():
    assert cross_val_score(DistilledClassifier(FOREST, **SMALL), X, y, cv=3).mean() > 0.8
    linear = FrozenEstimator(LogisticRegression(max_iter=1000).fit(X, y))
    grid = {"teacher": [FrozenEstimator(FOREST), linear], "temperature": [1, 3], "alpha": [0.5, 1]}
    search = GridSearchCV(DistilledClassifier(**SMALL), grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_a_teacher_that_a_grid_unfitted_names_the_cure():
    search = GridSearchCV(
        DistilledClassifier(**SMALL), {"teacher": [FOREST]}, cv=2, error_score="raise"
    )
    with pytest.raises(ValueError, match="FrozenEstimator"):
        search.fit(X, y)


def test_fit_teacher_fits_a_clone_per_fit_and_searches_its_parameters():
    teacher = RandomForestClassifier(3)
    search = GridSearchCV(
        DistilledClassifier(teacher, fit_teacher=True, **SMALL),
        {"teacher__n_estimators": [2, 9]},
        cv=2,
    ).fit(X, y)
    assert search.best_estimator_.teacher_.n_estimators in (2, 9)
    assert not hasattr(teacher, "estimators_")
    assert teacher.n_estimators == 3


def test_relabelling_meta_estimators_raise_instead_of_corrupting():
    teacher = RandomForestClassifier(5, random_state=0).fit(X, y + 1)
    vote = VotingClassifier([("student", DistilledClassifier(teacher, **SMALL))])
    with pytest.raises(ValueError, match="re-encoded"):
        vote.fit(X, y + 1)


def test_a_scaler_in_front_of_the_teacher_warns():
    raw = X + 100
    teacher = RandomForestClassifier(10, random_state=0).fit(raw, y)
    with pytest.warns(TeacherMismatchWarning):
        make_pipeline(StandardScaler(), DistilledClassifier(teacher, **SMALL)).fit(raw, y)


def test_class_mismatch_policies():
    some = y < 2
    with pytest.raises(ValueError, match="on_class_mismatch"):
        DistilledClassifier(FOREST, **SMALL).fit(X[some], y[some])
    of_teacher = DistilledClassifier(FOREST, on_class_mismatch="teacher", **SMALL)
    assert list(of_teacher.fit(X[some], y[some]).classes_) == [0, 1, 2]
    shared = DistilledClassifier(FOREST, on_class_mismatch="intersect", **SMALL)
    assert list(shared.fit(X[some], y[some]).classes_) == [0, 1]


def test_the_student_is_plain_equal_and_small():
    distilled = DistilledClassifier(FOREST, **SMALL | {"hidden_layer_sizes": (64, 64)}).fit(X, y)
    student = distilled.student_
    assert type(student) is NeuralClassifier
    np.testing.assert_array_equal(student.predict_proba(X), distilled.predict_proba(X))
    assert len(pickle.dumps(student)) < 100_000
    assert not any("teacher" in name for name in vars(student))
    assert joblib.hash(student) == joblib.hash(pickle.loads(pickle.dumps(student)))


def test_partial_fit_is_taught_too():
    student = DistilledClassifier(FOREST, **SMALL)
    for _ in range(20):
        student.partial_fit(X, y, classes=[0, 1, 2])
    assert student.score(X, y) > 0.8


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"teacher": None}, "teacher=None"),
        ({"teacher": RandomForestClassifier()}, "teacher is not fitted"),
        ({"temperature": 0}, "temperature=0"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"proba_floor": 0}, "proba_floor=0"),
        ({"on_class_mismatch": "drop"}, "on_class_mismatch='drop'"),
        ({"teacher_batch_size": 0}, "teacher_batch_size=0"),
    ],
)
def test_bad_settings_are_refused_and_leave_no_trace(setting, message):
    distilled = DistilledClassifier(**{"teacher": FOREST} | SMALL | setting)
    before = dict(vars(distilled))
    with pytest.raises(ValueError, match=message):
        distilled.fit(X, y)
    assert vars(distilled) == before


def test_answers_of_another_length_name_the_likely_cause():
    with pytest.raises(ValueError, match="meta-estimator may have sliced"):
        DistilledClassifier(**SMALL).fit(X, y, teacher_proba=FOREST.predict_proba(X)[:9])


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True], ids=["default", "float64_full_batch"])
def test_scikit_learns_checks_pass(exact):
    settings = SMALL | {"max_epochs": 100}
    if exact:
        settings |= {"dtype": "float64", "batch_size": 10**6, "shuffle": False}
    teacher = DecisionTreeClassifier(max_depth=2)  # takes weights and missing values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks have random labels: a teacher at chance
        results = check_estimator(
            DistilledClassifier(teacher, fit_teacher=True, **settings), on_fail=None, on_skip=None
        )
    failed = {r["check_name"] for r in results if r["status"] == "failed"}
    allowed = {
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    }
    assert failed == (set() if exact else allowed)


def test_shared_settings_have_the_same_defaults():
    of_neural = NeuralClassifier().get_params()
    of_distilled = DistilledClassifier().get_params()
    assert {name: of_distilled[name] for name in of_neural} == of_neural


def test_a_batch_of_one_class_is_taught_without_a_warning():
    student = DistilledClassifier(FOREST, **SMALL).partial_fit(X, y, classes=[0, 1, 2])
    assert student.partial_fit(X[:40], y[:40]).n_iter_ == 2
    assert not hasattr(student.set_params(fit_teacher=True), "partial_fit")


def test_a_class_is_no_teacher():
    with pytest.raises(TypeError, match="teacher=.*not its class"):
        DistilledClassifier(RandomForestClassifier, **SMALL).fit(X, y)
