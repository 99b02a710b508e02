"""The selection on held-out rows with clones of the teacher that were fitted without them."""

import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from skkd import DistilledClassifier
from skkd.selection.successive_halving import choose
from skkd.teachers import cache as teacher_cache
from skkd.teachers.agreement import WeakTeacherWarning
from skkd.teachers.tree_thresholds import thresholds_of

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "learning_rate": 0.02, "random_state": 0}

pytestmark = [
    pytest.mark.filterwarnings("ignore::skkd.teachers.TeacherMismatchWarning"),
    pytest.mark.filterwarnings("ignore::skkd.teachers.WeakTeacherWarning"),
    pytest.mark.filterwarnings("ignore:on held-out rows the network:UserWarning"),
]


@pytest.fixture(autouse=True)
def nothing_remembered():
    teacher_cache.forget()


class Repeats:
    """A sampler that gives the rows it was fitted on."""

    def fit(self, X):
        self.X = np.array(X)
        return self

    def sample(self, n_rows, random_state):
        return self.X[random_state.randint(len(self.X), size=n_rows)]


class Notes(DecisionTreeClassifier):
    """A tree that records the rows and the weights that it is fitted with."""

    fits: ClassVar[list] = []

    def fit(self, X, y, sample_weight=None):
        Notes.fits.append((np.array(X), sample_weight))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def fits():
    Notes.fits.clear()
    return Notes.fits


@pytest.fixture
def compared(monkeypatch):
    """The arguments (choices, folds) of later calls of `choose`."""
    calls = []

    def recorded(choices, folds, is_seen, n_jobs):
        calls.append((choices, folds))
        return choose(choices, folds, is_seen, n_jobs)

    monkeypatch.setattr("skkd.selection.plan.choose", recorded)
    return calls


def folds_of(compared):
    """The folds of the only fit."""
    ((_, folds),) = compared
    return folds


def margins(compared):
    """The candidate with a transfer set, in each fit."""
    return [
        candidate.required_margin
        for choices, _ in compared
        for candidate in choices.candidates
        if candidate.transfer_set is not None
    ]


def table(n_rows=400, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    flipped = rng.random(n_rows) < noise
    return X, (X[:, 0] + X[:, 1] > 0) ^ flipped


X, y = table()


def test_a_clone_is_fitted_to_the_other_rows_of_each_fold(fits, compared):
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y)
    assert [len(rows) for rows, _ in fits] == [400, 360, 360, 360]
    for fold, (rows, _) in zip(folds_of(compared), fits[1:], strict=True):
        np.testing.assert_array_equal(rows, np.delete(X, fold.held_out.index, axis=0))


def test_the_soft_labels_that_are_compared_are_those_of_the_clone(compared):
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    clf = DistilledClassifier(tree, fit_teacher=True, **QUICK).fit(X, y)
    for fold in folds_of(compared):
        train, held_out = fold.train.index, fold.held_out.index
        others = np.sort(train)
        clone = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X[others], y[others])
        for dataset, index in ((fold.train, train), (fold.held_out, held_out)):
            p = np.exp(dataset.targets["teacher_logits"])
            np.testing.assert_allclose(p, clone.predict_proba(X[index]), atol=1e-6)
        made = fold.transfer_rows["transfer set"]
        p = np.exp(made.targets["teacher_logits"])
        np.testing.assert_allclose(p, clone.predict_proba(made.rows), atol=1e-6)
    of_all = tree.fit(X, y)
    np.testing.assert_array_equal(clf.teacher_.predict_proba(X), of_all.predict_proba(X))


@pytest.mark.parametrize("how", [{"fit_teacher": True}, {"soft_labels": "out_of_fold"}], ids=str)
def test_with_clones_a_transfer_set_has_no_required_margin(how, compared):
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    DistilledClassifier(forest, **QUICK).fit(X, y)
    DistilledClassifier(forest, **QUICK | how).fit(X, y)
    assert margins(compared) == [4 / 3, 1]


def test_a_teacher_that_overfits_is_warned_of_if_clones_are_fitted():
    X, y = table(1000, noise=0.2)
    overfitted = KNeighborsClassifier(1)
    settings = QUICK | {"max_epochs": 20}
    with pytest.warns(WeakTeacherWarning):
        DistilledClassifier(overfitted, fit_teacher=True, **settings).fit(X, y)
    with warnings.catch_warnings(action="error"):  # a frozen teacher does not warn
        DistilledClassifier(overfitted.fit(X, y), **settings).fit(X, y)


def test_out_of_fold_labels_are_made_again_without_the_held_out_rows(fits, compared):
    settings = QUICK | {"soft_labels": "out_of_fold"}
    DistilledClassifier(Notes().fit(X, y), **settings).fit(X, y)
    parts = [320] * 5 + 3 * [360, *[288] * 5]
    assert [len(rows) for rows, _ in fits] == [400, *parts]
    for k, fold in enumerate(folds_of(compared)):
        held_out = set(map(tuple, X[fold.held_out.index]))
        for rows, _ in fits[6 + 6 * k :][:6]:
            assert not held_out & set(map(tuple, rows))


@pytest.mark.parametrize("how", [{"fit_teacher": True}, {"fit_teacher": False}], ids=str)
def test_a_teacher_with_out_of_fold_labels_does_not_predict_its_own_rows(how):
    asked = []

    class Counts(GaussianNB):
        def predict_proba(self, rows):
            asked.append(len(rows))
            return super().predict_proba(rows)

    settings = QUICK | how | {"soft_labels": "out_of_fold", "augment": None}
    DistilledClassifier(Counts().fit(X, y), **settings).fit(X, y)
    # Five folds of all rows; then three times five of those that are not held out, and those.
    assert asked == [80] * 5 + 3 * [*[72] * 5, 40]


def test_a_clone_gets_the_weights_of_its_rows(fits, compared):
    weights = np.arange(len(X)) % 3.0  # a third of the rows have none
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y, sample_weight=weights)
    for fold, (rows, of_rows) in zip(folds_of(compared), fits[1:], strict=True):
        np.testing.assert_array_equal(of_rows, np.delete(weights, fold.held_out.index))
        assert len(rows) == len(of_rows)


def test_validation_rows_of_the_caller_need_no_clone(fits):
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y, X_val=X[:50], y_val=y[:50])
    assert len(fits) == 1


def test_without_a_weight_the_teacher_is_fitted_once(fits):
    DistilledClassifier(Notes(), fit_teacher=True, alpha=0, **QUICK).fit(X, y)
    assert len(fits) == 1


def test_if_a_clone_would_lack_a_class_the_teacher_is_used_with_a_required_margin(fits, compared):
    labels = np.where(np.arange(len(X)) == 2, 2, y)
    clf = DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, labels)
    assert list(clf.classes_) == [0, 1, 2]
    assert any(2 in fold.held_out.index for fold in folds_of(compared))
    assert len(fits) == 1
    assert margins(compared) == [4 / 3]


def test_a_clone_that_cannot_predict_is_not_used_and_warns(compared):
    names = np.where(np.arange(len(X)) % 25 == 2, np.arange(len(X)), 0).astype(str)
    frame = pd.DataFrame({"number": X[:, 0], "name": names})
    columns = make_column_transformer((OneHotEncoder(), ["name"]), remainder="passthrough")
    teacher = make_pipeline(columns, LogisticRegression())
    with pytest.warns(UserWarning, match="cannot be fitted, or asked, without.*unknown categor"):
        DistilledClassifier(teacher, fit_teacher=True, **QUICK).fit(frame, y)
    assert margins(compared) == [4 / 3]


@pytest.mark.parametrize("how", [{"fit_teacher": True}, {"soft_labels": "out_of_fold"}], ids=str)
@pytest.mark.parametrize("of_classes", [False, True])
def test_a_class_without_weight_is_known_to_the_clones(how, of_classes, fits):
    labels = np.where(X[:, 2] > 1, 2, y)
    weights = {"sample_weight": np.where(labels == 2, 0, 1)}
    settings = QUICK | how
    if of_classes:
        weights, settings = {}, settings | {"class_weight": {0: 1, 1: 1, 2: 0}}
    DistilledClassifier(Notes().fit(X, labels), **settings).fit(X, labels, **weights)
    assert len(fits) > 4
    for rows, _ in fits:
        assert (rows[:, 2] > 1).any()


def test_a_teacher_with_a_part_that_stays_fitted_has_seen_all_rows(compared):
    tree = FrozenEstimator(DecisionTreeClassifier(random_state=0).fit(X, y))
    stack = StackingClassifier([("tree", tree)], LogisticRegression(), cv="prefit")
    DistilledClassifier(stack, fit_teacher=True, **QUICK).fit(X, y)
    assert margins(compared) == [4 / 3]


def test_thresholds_are_those_of_the_clone(monkeypatch):
    asked = []

    def recorded(teacher, X):
        asked.append(teacher)
        return thresholds_of(teacher, X)

    monkeypatch.setattr("skkd.teachers.tree_thresholds.thresholds_of", recorded)
    settings = QUICK | {"numeric_encoding": "teacher_bins"}
    clf = DistilledClassifier(Notes(), fit_teacher=True, **settings).fit(X, y)
    assert len({id(teacher) for teacher in asked}) == 4
    assert asked[0] is clf.teacher_


@pytest.mark.parametrize("is_fresh", [False, True])
def test_synthetic_rows_resemble_those_of_the_fold(is_fresh, compared):
    size = "fresh" if is_fresh else 50
    settings = QUICK | {"augment": Repeats(), "augment_size": size}
    DistilledClassifier(Notes(), fit_teacher=True, **settings).fit(X, y)
    assert len(folds_of(compared)) == 3
    for fold in folds_of(compared):
        made = fold.candidates["transfer set"].transfer_set.rows_beside(fold.train)
        passes = [made, made.fresh_rows.next()] if is_fresh else [made]
        for one in passes:
            assert not set(map(tuple, one.rows)) & set(map(tuple, X[fold.held_out.index]))


def test_all_transfer_sets_share_the_time_limit(compared):
    settings = QUICK | {"augment_seconds": 6.0, "augment_size": 50}
    for how, seconds in (({"fit_teacher": True}, 1.5), ({}, 2.0)):
        compared.clear()
        DistilledClassifier(Notes().fit(X, y), **settings | how).fit(X, y)
        sets = [fold.candidates["transfer set"].transfer_set for fold in folds_of(compared)]
        assert [one.seconds for one in sets] == [seconds] * 3


def test_several_teachers_and_a_table_with_strings():
    frame = pd.DataFrame({"sign": np.where(X[:, 0] > 0, "plus", "minus"), "number": X[:, 1]})
    columns = make_column_transformer((OneHotEncoder(), ["sign"]), remainder="passthrough")
    teachers = [(make_pipeline(columns, one), 1.0) for one in (LogisticRegression(), Notes())]
    clf = DistilledClassifier(teachers, fit_teacher=True, **QUICK)
    clf.fit(frame, np.where(y, "yes", "no"))
    assert clf.candidate_losses_.keys() == {"labels", "teacher", "transfer set"}
    assert set(clf.predict(frame)) <= {"yes", "no"}


def test_a_fit_of_the_same_rows_remembers_the_clones(fits):
    clf = DistilledClassifier(Notes(), fit_teacher=True, **QUICK)
    first = clf.fit(X, y).predict_proba(X)
    n_fits = len(fits)
    assert n_fits == 4
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), first)
    assert len(fits) == n_fits
