"""What is chosen on held-out rows, with a teacher that may be fitted without these."""

import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from skkd import DistilledClassifier, teacher_cache
from skkd.race import choose
from skkd.teachers import WeakTeacherWarning

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "learning_rate": 0.02, "random_state": 0}

pytestmark = [
    pytest.mark.filterwarnings("ignore::skkd.teachers.TeacherMismatchWarning"),
    pytest.mark.filterwarnings("ignore::skkd.teachers.WeakTeacherWarning"),
    pytest.mark.filterwarnings("ignore:on held-out rows the network:UserWarning"),
]


@pytest.fixture(autouse=True)
def nothing_remembered():
    teacher_cache.forget()


class Notes(DecisionTreeClassifier):
    """A tree that notes which rows it is fitted on, and the weights they have."""

    fits: ClassVar[list] = []

    def fit(self, X, y, sample_weight=None):
        Notes.fits.append((np.array(X), sample_weight))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def fits():
    Notes.fits.clear()
    return Notes.fits


@pytest.fixture
def folds(monkeypatch):
    """The folds of the fits to come."""
    heard = []

    def recorded(choices, folds):
        heard.extend(folds)
        return choose(choices, folds)

    monkeypatch.setattr("skkd.choosing.choose", recorded)
    return heard


def table(n_rows=400, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    flipped = rng.random(n_rows) < noise
    return X, (X[:, 0] + X[:, 1] > 0) ^ flipped


X, y = table()


def test_a_clone_is_fitted_to_the_other_rows_of_each_fold(fits, folds):
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y)
    assert [len(rows) for rows, _ in fits] == [400, 360, 360, 360]
    for fold, (rows, _) in zip(folds, fits[1:], strict=True):
        np.testing.assert_array_equal(rows, X[fold.train.index])


def test_what_is_compared_is_what_the_clone_says(folds):
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    clf = DistilledClassifier(tree, fit_teacher=True, **QUICK).fit(X, y)
    for fold in folds:
        train, held_out = fold.train.index, fold.held_out.index
        clone = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X[train], y[train])
        for examples, index in ((fold.train, train), (fold.held_out, held_out)):
            p = np.exp(examples.targets["teacher_logits"])
            np.testing.assert_allclose(p, clone.predict_proba(X[index]), atol=1e-6)
        made = fold.candidates["transfer set"].transfer_set.examples
        p = np.exp(made.targets["teacher_logits"])
        np.testing.assert_allclose(p, clone.predict_proba(made.rows), atol=1e-6)
    of_all = tree.fit(X, y)
    np.testing.assert_array_equal(clf.teacher_.predict_proba(X), of_all.predict_proba(X))


@pytest.mark.parametrize("how", [{"fit_teacher": True}, {"soft_labels": "out_of_fold"}], ids=str)
def test_then_a_transfer_set_has_no_handicap(how, folds):
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    for settings, handicap in ((how, 1), ({}, 4 / 3)):
        folds.clear()
        DistilledClassifier(forest, **QUICK | settings).fit(X, y)
        assert {fold.candidates["transfer set"].handicap for fold in folds} == {handicap}


def test_a_teacher_that_learns_by_heart_is_seen_through():
    by_heart = KNeighborsClassifier(1)
    with pytest.warns(WeakTeacherWarning):
        clf = DistilledClassifier(by_heart, fit_teacher=True, **QUICK).fit(X, y)
    assert clf.candidate_ == "labels"
    with warnings.catch_warnings(action="error"):  # which a frozen one is not
        DistilledClassifier(by_heart.fit(X, y), **QUICK).fit(X, y)


def test_out_of_fold_labels_stay_and_a_clone_labels_the_rows_that_are_made(fits, folds):
    settings = QUICK | {"soft_labels": "out_of_fold", "alpha": 0.5}
    DistilledClassifier(Notes().fit(X, y), augment=None, **settings).fit(X, y)
    n_fits = len(fits)
    assert n_fits == 6  # the teacher, and five parts: nothing is compared
    DistilledClassifier(Notes().fit(X, y), **settings).fit(X, y)
    assert [len(rows) for rows, _ in fits[n_fits + 1 :]] == [320] * 5 + [360] * 3
    p = np.exp(folds[0].train.targets["teacher_logits"])
    in_sample = Notes().fit(X, y).predict_proba(X[folds[0].train.index])
    assert (abs(p - in_sample) > 0.5).any()


def test_it_has_the_weights_of_its_rows(fits, folds):
    weights = np.arange(len(X)) % 3.0  # a third of the rows have none
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y, sample_weight=weights)
    for fold, (rows, of_rows) in zip(folds, fits[1:], strict=True):
        np.testing.assert_array_equal(of_rows, weights[fold.train.index])
        assert of_rows.min() == 1
        assert len(rows) == len(of_rows)


def test_rows_of_ones_own_need_no_clone(fits):
    DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, y, X_val=X[:50], y_val=y[:50])
    assert len(fits) == 1


def test_without_a_weight_the_teacher_is_fitted_once(fits):
    DistilledClassifier(Notes(), fit_teacher=True, alpha=0, **QUICK).fit(X, y)
    assert len(fits) == 1


def test_a_class_of_one_row_is_no_error():
    labels = np.where(np.arange(len(X)) == 7, 2, y)
    clf = DistilledClassifier(Notes(), fit_teacher=True, **QUICK).fit(X, labels)
    assert list(clf.classes_) == [0, 1, 2]


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
