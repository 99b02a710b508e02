import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags

from skkd import DistilledClassifier, NeuralClassifier
from skkd.presets import PRESETS
from skkd.teachers.agreement import TeacherMismatchWarning

X, y = load_iris(return_X_y=True)
FOREST = RandomForestClassifier(30, random_state=0).fit(X, y)
SMALL = {
    "hidden_layer_sizes": (16,),
    "preset": "plain",
    "max_epochs": 20,
    "learning_rate": 0.01,
    "random_state": 0,
}


TABULAR = {"hidden_layer_sizes": (16,), "max_epochs": 20, "random_state": 0}
TABULAR_SMOOTHING = PRESETS["tabular"]["label_smoothing"]


@pytest.mark.parametrize(
    "settings", [SMALL | {"label_smoothing": 0.1}, TABULAR], ids=["plain", "tabular"]
)
def test_alpha_zero_is_the_neural_classifier_bit_for_bit(settings):
    alone = NeuralClassifier(**settings, dropout=0.2).fit(X, y)
    taught = DistilledClassifier(FOREST, alpha=0, **settings, dropout=0.2)
    np.testing.assert_array_equal(alone.predict_proba(X), taught.fit(X, y).predict_proba(X))


def test_alpha_one_ignores_the_labels():
    shuffled = np.random.default_rng(0).permutation(y)
    proba = FOREST.predict_proba(X)
    one = DistilledClassifier(alpha=1, **SMALL).fit(X, y, teacher_proba=proba)
    with pytest.warns(TeacherMismatchWarning):
        two = DistilledClassifier(alpha=1, **SMALL).fit(X, shuffled, teacher_proba=proba)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_a_row_of_zeros_in_teacher_proba_is_learned_from_its_label():
    proba = FOREST.predict_proba(X)
    silent = proba.copy()
    silent[::3] = 0
    labelled = proba.copy()
    labelled[::3] = np.eye(3)[y[::3]]
    one, other = (
        DistilledClassifier(alpha=0.7, **SMALL).fit(X, y, teacher_proba=p)
        for p in (silent, labelled)
    )
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    silent[0] = [0.2, 0, 0]
    with pytest.raises(ValueError, match="no probabilities in row 0"):
        DistilledClassifier(alpha=0.7, **SMALL).fit(X, y, teacher_proba=silent)
    with pytest.raises(ValueError, match="no probabilities in row 0"):
        DistilledClassifier(lambda rows: np.zeros((len(rows), 3)), **SMALL).fit(X, y)


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
    taught = DistilledClassifier(teacher, alpha=1, augment=None, **SMALL)
    taught.fit(X[::2], noisy[::2])
    alone = NeuralClassifier(**SMALL).fit(X[::2], noisy[::2])
    assert taught.score(X[1::2], y[1::2]) > alone.score(X[1::2], y[1::2]) + 0.05


@pytest.mark.parametrize("settings", [SMALL, TABULAR | {"dropout": 0.0}], ids=["plain", "tabular"])
def test_weights_act_on_both_terms(settings):
    settings = settings | {"dtype": "float64", "batch_size": 10**6, "shuffle": False}
    settings |= {"alpha": 0.5, "augment": None}
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


def test_a_teacher_that_a_grid_unfitted_is_refused_with_advice():
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


@pytest.mark.parametrize("settings", [SMALL, TABULAR], ids=["plain", "tabular"])
def test_the_student_is_plain_equal_and_small(settings):
    settings = settings | {"hidden_layer_sizes": (64, 64)}
    distilled = DistilledClassifier(FOREST, **settings).fit(X, y)
    student = distilled.student_
    assert type(student) is NeuralClassifier
    np.testing.assert_array_equal(student.predict_proba(X), distilled.predict_proba(X))
    assert len(pickle.dumps(student)) < 100_000
    assert not any("teacher" in name for name in vars(student))
    assert joblib.hash(student) == joblib.hash(pickle.loads(pickle.dumps(student)))


def test_partial_fit_learns_from_the_teacher_too():
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
        ({"memory": 3}, "memory=3 .* a folder, a joblib.Memory or None"),
    ],
)
def test_bad_parameters_are_refused_and_change_nothing(setting, message):
    distilled = DistilledClassifier(**{"teacher": FOREST} | SMALL | setting)
    before = dict(vars(distilled))
    with pytest.raises(ValueError, match=message):
        distilled.fit(X, y)
    assert vars(distilled) == before


def test_teacher_proba_of_another_length_is_refused_with_the_likely_cause():
    with pytest.raises(ValueError, match="meta-estimator may have sliced"):
        DistilledClassifier(**SMALL).fit(X, y, teacher_proba=FOREST.predict_proba(X)[:9])


def test_shared_settings_have_the_same_defaults():
    of_neural = NeuralClassifier().get_params()
    of_distilled = DistilledClassifier().get_params()
    assert {name: of_distilled[name] for name in of_neural} == of_neural


def test_a_batch_of_one_class_does_not_warn():
    student = DistilledClassifier(FOREST, **SMALL).partial_fit(X, y, classes=[0, 1, 2])
    assert student.partial_fit(X[:40], y[:40]).n_iter_ == 2
    assert not hasattr(student.set_params(fit_teacher=True), "partial_fit")


def test_a_class_is_no_teacher():
    with pytest.raises(TypeError, match="teacher=.*not its class"):
        DistilledClassifier(RandomForestClassifier, **SMALL).fit(X, y)


def test_named_columns_of_teacher_proba_are_aligned_by_name():
    words = np.array(["ape", "bee", "cat"])[y]
    proba = FOREST.predict_proba(X)
    plain = DistilledClassifier(**SMALL).fit(X, words, teacher_proba=proba)
    named = pd.DataFrame(proba, columns=["ape", "bee", "cat"])[["cat", "ape", "bee"]]
    by_name = DistilledClassifier(**SMALL).fit(X, words, teacher_proba=named)
    np.testing.assert_array_equal(plain.predict_proba(X), by_name.predict_proba(X))


def test_teacher_proba_is_used_instead_of_the_teacher():
    def never(rows):
        raise AssertionError("asked")

    student = DistilledClassifier(never, **SMALL).fit(X, y, teacher_proba=FOREST.predict_proba(X))
    assert student.teacher_ is None
    assert student.teacher_balanced_accuracy_ > 0.9


@pytest.mark.parametrize(("width", "smooths"), [(64, False), (65, True)])
def test_labels_beside_the_teacher_of_a_small_network_are_not_smoothed(width, smooths):
    proba = FOREST.predict_proba(X)
    settings = {"hidden_layer_sizes": width, "max_epochs": 3, "random_state": 0, "alpha": 0.5}
    auto = DistilledClassifier(**settings).fit(X, y, teacher_proba=proba)
    value = TABULAR_SMOOTHING if smooths else 0.0
    given = DistilledClassifier(label_smoothing=value, **settings)
    given.fit(X, y, teacher_proba=proba)
    np.testing.assert_array_equal(auto.predict_proba(X), given.predict_proba(X))
    given.set_params(label_smoothing=TABULAR_SMOOTHING - value)
    given.fit(X, y, teacher_proba=proba)
    assert abs(auto.predict_proba(X) - given.predict_proba(X)).max() > 1e-4


@pytest.mark.parametrize(("settings", "other"), [(SMALL, 0.3), (TABULAR, 0.3)])
def test_label_smoothing_acts_on_the_label_term_alone(settings, other):
    proba = FOREST.predict_proba(X)
    first = DistilledClassifier(alpha=1, **settings)
    second = DistilledClassifier(alpha=1, label_smoothing=other, **settings)
    first.fit(X, y, teacher_proba=proba)
    second.fit(X, y, teacher_proba=proba)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    first.set_params(alpha=0.5).fit(X, y, teacher_proba=proba)
    second.set_params(alpha=0.5).fit(X, y, teacher_proba=proba)
    assert abs(first.predict_proba(X) - second.predict_proba(X)).max() > 0.01


def test_class_weights_act_on_both_terms():
    weights = np.array([1.0, 3.0, 0.5])
    settings = SMALL | {"alpha": 1.0}
    by_class = DistilledClassifier(FOREST, class_weight=dict(enumerate(weights)), **settings)
    by_class.fit(X, y)
    by_row = DistilledClassifier(**settings)
    p = np.maximum(FOREST.predict_proba(X), by_row.proba_floor) * weights
    p /= p.sum(axis=1, keepdims=True)
    by_row.fit(X, y, sample_weight=weights[y], teacher_proba=p)
    plain = DistilledClassifier(FOREST, **settings).fit(X, y)
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-6)
    assert abs(by_class.predict_proba(X) - plain.predict_proba(X)).max() > 1e-3


def test_early_stopping_watches_true_labels_whatever_alpha_is():
    wrong = np.roll(np.eye(3), 1, axis=1)[y]
    settings = SMALL | {"early_stopping": True, "max_epochs": 30, "alpha": 1.0}
    with pytest.warns(TeacherMismatchWarning):
        student = DistilledClassifier(**settings).fit(X, y, teacher_proba=wrong)
    losses = [record["valid_loss"] for record in student.history_]
    assert student.best_epoch_ <= 3  # the better it learns the teacher, the worse the labels
    assert losses[-1] > losses[0]


def test_the_seed_of_the_network_does_not_depend_on_the_teacher():
    seeded = DistilledClassifier(RandomForestClassifier(3), fit_teacher=True, alpha=0, **SMALL)
    np.testing.assert_array_equal(
        seeded.fit(X, y).predict_proba(X), NeuralClassifier(**SMALL).fit(X, y).predict_proba(X)
    )


def test_verbose_shows_the_progress_of_the_teacher(capsys):
    DistilledClassifier(FOREST, teacher_batch_size=50, verbose=1, **SMALL).fit(X + 1e-9, y)
    shown = capsys.readouterr().err
    assert shown.index("teacher") < shown.index("epoch")


@pytest.mark.parametrize(
    "teacher",
    [RandomForestClassifier(), LogisticRegression(), HistGradientBoostingClassifier()],
    ids=lambda teacher: type(teacher).__name__,
)
def test_tags_allow_what_student_and_teacher_both_take(teacher):
    both = get_tags(DistilledClassifier(teacher, fit_teacher=True)).input_tags
    of_teacher, of_student = get_tags(teacher).input_tags, get_tags(NeuralClassifier()).input_tags
    for name in ("sparse", "allow_nan", "categorical"):
        expected = getattr(of_teacher, name) and getattr(of_student, name)
        assert getattr(both, name) == expected


def test_tags_beside_a_teacher_without_tags_are_the_students():
    tags = get_tags(DistilledClassifier(lambda X: X)).input_tags
    assert tags.sparse and tags.allow_nan and tags.categorical


@pytest.mark.parametrize("teacher", [FOREST, lambda X: X, [(FOREST, 1.0)]])
def test_it_has_a_representation_in_html(teacher):
    copied = clone(DistilledClassifier(teacher))
    assert "FrozenEstimator" in repr(copied)
    assert "DistilledClassifier" in copied._repr_html_()


def test_predicting_needs_no_teacher():
    student = DistilledClassifier(FOREST, **SMALL).fit(X, y)
    expected = student.predict_proba(X)
    student.teacher = student.teacher_ = None
    np.testing.assert_array_equal(student.predict_proba(X), expected)


def test_the_student_can_be_fitted_on_and_cloned_as_any_network():
    student = DistilledClassifier(FOREST, warm_start=True, **SMALL).fit(X, y).student_
    assert clone(student).fit(X, y).score(X, y) > 0.8
    assert student.partial_fit(X, y).score(X, y) > 0.8


def test_the_teacher_gets_the_weights_as_they_are():
    weights = 1 + 99.0 * (y == 1)
    linear = LogisticRegression(max_iter=1000)
    student = DistilledClassifier(linear, fit_teacher=True, **SMALL)
    by_hand = clone(linear).fit(X, y, sample_weight=weights)
    fitted = student.fit(X, y, sample_weight=weights).teacher_
    np.testing.assert_allclose(fitted.coef_, by_hand.coef_, rtol=1e-6)


def test_parameters_of_a_frozen_teacher_are_refused_and_stay_as_they_are():
    with pytest.raises(ValueError, match="teacher__max_depth=1 is not allowed.*fit_teacher=True"):
        DistilledClassifier(FOREST).set_params(teacher__max_depth=1)
    assert FOREST.max_depth is None
    unfitted = DistilledClassifier(RandomForestClassifier())
    unfitted.set_params(teacher__max_depth=1)
    assert unfitted.teacher.max_depth == 1


def test_the_class_policies_keep_the_type_of_the_labels():
    as_floats = RandomForestClassifier(5, random_state=0).fit(X, y.astype(float))
    student = DistilledClassifier(as_floats, on_class_mismatch="teacher", **SMALL).fit(X, y)
    assert student.classes_.dtype.kind == "i"


def test_labels_that_no_teacher_knows_are_refused_by_name():
    of_two = LogisticRegression().fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match=r"y holds \[2\], which no teacher knows.*'intersect'"):
        DistilledClassifier(of_two, on_class_mismatch="teacher", **SMALL).fit(X, y)
    shared = DistilledClassifier(of_two, on_class_mismatch="intersect", **SMALL)
    assert shared.fit(X, y).score(X, y) > 0.6


def test_an_unfitted_frozen_teacher_is_refused_with_advice():
    student = DistilledClassifier(FrozenEstimator(RandomForestClassifier()), **SMALL)
    with pytest.raises(ValueError, match="teacher is not fitted"):
        student.fit(X, y)


def test_a_frozen_wrapper_without_fitted_attributes_is_used():
    class Wrapper(BaseEstimator):
        def __init__(self, model=None):
            self.model = model

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return FOREST.predict_proba(X)

    assert DistilledClassifier(FrozenEstimator(Wrapper()), **SMALL).fit(X, y).score(X, y) > 0.5


def test_the_student_has_what_predicting_needs_and_no_records_of_the_training():
    distilled = DistilledClassifier(FOREST, warm_start=True, **SMALL).fit(X, y)
    student = distilled.student_
    assert len(distilled.history_) == len(distilled.loss_curve_) == 20
    fitted = {name for name in vars(student) if name.endswith("_")} - {*student.get_params()}
    assert fitted == {
        "classes_",
        "hidden_layer_sizes_",
        "n_features_in_",
        "n_iter_",
        "n_steps_",
        "network_",
        "numeric_encoding_",
    }
    assert (student.n_iter_, student.n_steps_) == (20, distilled.n_steps_)
    assert get_tags(student).input_tags.allow_nan == get_tags(distilled).input_tags.allow_nan
    named = DistilledClassifier(**SMALL)
    named.fit(pd.DataFrame(X).add_prefix("x"), y, teacher_proba=FOREST.predict_proba(X))
    assert list(named.student_.feature_names_in_) == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("way", ["partial_fit", "warm start"])
def test_a_student_that_is_trained_further_counts_its_epochs_anew(way):
    student = DistilledClassifier(FOREST, warm_start=True, **SMALL).fit(X, y).student_
    before = student.score(X, y)
    student.partial_fit(X, y) if way == "partial_fit" else student.fit(X, y)
    n_epochs = 1 if way == "partial_fit" else 20
    assert student.n_iter_ == len(student.history_) == len(student.loss_curve_) == n_epochs
    assert student.score(X, y) > before - 0.05


def test_the_pickle_of_a_student_has_no_history():
    digits, labels = load_digits(return_X_y=True)
    teacher = RandomForestClassifier(10, random_state=0).fit(digits, labels)
    settings = SMALL | {"hidden_layer_sizes": (32, 32), "max_epochs": 60}
    distilled = DistilledClassifier(teacher, alpha=0.5, augment=None, **settings)
    student = distilled.fit(digits, labels).student_
    np.testing.assert_array_equal(student.predict_proba(digits), distilled.predict_proba(digits))
    size = len(pickle.dumps(student))
    with_records = pickle.loads(pickle.dumps(student))
    with_records.history_, with_records.loss_curve_ = distilled.history_, distilled.loss_curve_
    weights = sum(array.nbytes for array in student.network_.state.values())
    assert size < weights + 5_000
    assert size < 0.9 * len(pickle.dumps(with_records))


def test_agreement_is_the_share_of_held_out_rows_of_the_same_class():
    rows = np.random.RandomState(0).standard_normal((400, 2))
    labels = (rows[:, 0] > 0).astype(int)
    right = np.column_stack([1 - labels, labels]) * 0.8 + 0.1
    settings = SMALL | {"alpha": 0.0, "learning_rate": 0.05, "max_epochs": 40}

    def agreement(proba, sample_weight=None, **more):
        student = DistilledClassifier(**settings | more)
        return student.fit(rows, labels, sample_weight, teacher_proba=proba).agreement_

    selects = {"max_epochs": "auto", "alpha": "auto", "preset": "tabular"}
    for more in ({"early_stopping": True}, selects):
        assert agreement(right, **more) > 0.9
        assert type(agreement(right, **more)) is float
    with pytest.warns(TeacherMismatchWarning):
        assert agreement(right[:, ::-1], early_stopping=True) < 0.1
    of_zeros = np.tile([0.9, 0.1], (400, 1))  # the teacher has the same answer for all rows
    with pytest.warns(TeacherMismatchWarning):
        plain = agreement(of_zeros, early_stopping=True)
    with pytest.warns(TeacherMismatchWarning):
        weighted = agreement(of_zeros, 1 + 8.0 * (labels == 0), early_stopping=True)
    assert abs(plain - 0.5) < 0.15
    assert weighted > 0.8
    unanswered = np.where(labels[:, None] == 0, right, 0.0)
    unanswered[::2] = np.where(labels[::2, None] == 0, right[::2, ::-1], 0.0)
    found = agreement(unanswered, early_stopping=True)  # rows without soft labels do not count
    assert abs(found - 0.5) < 0.25


def test_agreement_is_none_if_the_teacher_has_predicted_no_held_out_rows():
    few = DistilledClassifier(FOREST, **SMALL).fit(X, y)
    assert few.agreement_ is None
    assert few.partial_fit(X, y).agreement_ is None
    given = DistilledClassifier(FOREST, early_stopping=True, **SMALL)
    assert given.fit(X, y, X_val=X, y_val=y).agreement_ is None
    assert given.fit(X, y).agreement_ > 0.5
    assert not any("agreement" in name for name in vars(given.student_))
