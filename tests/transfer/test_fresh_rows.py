"""augment_size="fresh": other synthetic rows in each epoch. None are kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skkd import DistilledClassifier
from skkd.teachers import cache as teacher_cache
from skkd.training.batches import Batches, Rows

same = np.testing.assert_array_equal
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 4, "random_state": 0, "alpha": 0.5}
FRESH = QUICK | {"augment": "munge", "augment_size": "fresh"}


class Counts:
    """A teacher that keeps the rows of its calls."""

    classes_ = np.array([0, 1])

    def __init__(self):
        self.asked = []

    def predict_proba(self, X):
        X = np.asarray(X)
        self.asked.append(X.copy())
        p = 1 / (1 + np.exp(-3 * X[:, 0]))
        return np.column_stack([1 - p, p])


@pytest.fixture(autouse=True)
def nothing_remembered():
    teacher_cache.forget()


def table(n_rows=120):
    X = np.random.default_rng(0).standard_normal((n_rows, 3))
    return X, (X[:, 0] > 0).astype(int)


def asked_per_epoch(**settings):
    teacher = Counts()
    X, y = table()
    clf = DistilledClassifier(teacher, **FRESH | settings).fit(X, y)
    return clf, teacher.asked[1:]  # the first call is about X itself


def test_the_teacher_is_asked_about_other_rows_in_each_epoch():
    clf, asked = asked_per_epoch()
    assert [len(rows) for rows in asked] == [120] * 4
    assert len(np.unique(np.concatenate(asked), axis=0)) > 4 * 100
    assert clf.n_transfer_rows_ == 4 * 120
    assert clf.candidate_ == "transfer set"


def test_a_seed_decides_the_rows_of_every_epoch():
    first, asked = asked_per_epoch()
    second, asked_again = asked_per_epoch()
    same(asked, asked_again)
    X, _ = table()
    same(first.predict_proba(X), second.predict_proba(X))
    other, _ = asked_per_epoch(random_state=1)
    assert (other.predict_proba(X) != first.predict_proba(X)).any()


def test_as_many_steps_as_without():
    X, y = table()
    alone = DistilledClassifier(Counts(), **QUICK, augment=None).fit(X, y)
    assert asked_per_epoch()[0].n_steps_ == alone.n_steps_


def test_every_candidate_and_the_last_fit_start_with_new_rows():
    teacher = Counts()
    X, y = table(400)
    settings = FRESH | {"alpha": 0.5, "augment": "auto"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skkd.distillation.REQUIRED_MARGIN_IF_TRUSTED", 0.1)  # the transfer set wins
        clf = DistilledClassifier(teacher, **settings).fit(X, y)
    assert clf.candidate_ == "transfer set"
    assert [len(rows) for rows in teacher.asked[1:]] == [360] * 4 * 3 + [400] * 4
    assert clf.n_transfer_rows_ == 4 * 400


def test_after_the_time_limit_the_last_rows_are_used_again():
    clf, asked = asked_per_epoch(augment_seconds=1e-9)
    assert len(asked) == 1
    assert clf.n_transfer_rows_ == 120
    assert clf.n_iter_ == 4


def test_tables_with_strings_and_sparse_rows():
    X, y = table()
    frame = pd.DataFrame({"letter": np.where(X[:, 1] > 0, "a", "b"), "sign": X[:, 0].round()})
    forest = RandomForestClassifier(5, random_state=0)
    teacher = make_pipeline(OneHotEncoder(handle_unknown="ignore"), forest).fit(frame, y)
    assert DistilledClassifier(teacher, **FRESH).fit(frame, y).n_transfer_rows_ == 480
    forest.fit(sparse.csr_array(X), y)
    settings = FRESH | {"augment": "spunge"}
    assert DistilledClassifier(forest, **settings).fit(sparse.csr_array(X), y).n_iter_ == 4


def rows_of(values, n_labelled=None, fresh_rows=None):
    values = np.asarray(values, dtype=float)
    targets = {"labels": values.astype(int), "weights": np.ones(len(values))}
    return Rows(values[:, None], targets, n_labelled=n_labelled, fresh_rows=fresh_rows)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_pass_has_the_labelled_rows_and_the_newest_others(is_sparse):
    fresh = iter([rows_of([20, 21]), None])
    rows = rows_of([0, 1, 10, 11], n_labelled=2, fresh_rows=lambda: next(fresh))
    if is_sparse:
        from skkd.preprocessing.preprocessor import PassThrough

        rows.X, rows.preprocessor = sparse.csr_array(rows.X.numpy()), PassThrough(1)

        def fresh_rows():
            others = next(fresh)
            if others is not None:
                others.X = sparse.csr_array(others.X.numpy())
            return others

        rows.fresh_rows = fresh_rows
    batches = Batches(rows, 2)
    passes = []
    for _ in range(3):
        rows.begin_pass()
        passes.append(np.sort(np.concatenate([X.numpy().ravel() for X, _ in batches])))
    same(passes, [[0, 1, 10, 11], [0, 1, 20, 21], [0, 1, 20, 21]])


def test_others_are_not_written_over_the_callers_rows():
    first = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0.0, 1.0, 10.0, 11.0])
    kept = [array.copy() for array in first]
    targets = {"labels": np.arange(4), "teacher_logits": first[1]}
    others = Rows(first[0][2:] + 10, {name: t[2:] + 10 for name, t in targets.items()})
    rows = Rows(first[0], targets, dtype=torch.float64, n_labelled=2, fresh_rows=lambda: others)
    for _ in range(2):
        rows.begin_pass()
        rows.next_pass()
    same(rows.X[2:].ravel(), [20, 21])
    same(rows.targets["teacher_logits"][2:], [20, 21])
    for array, before in zip((first[0], targets["teacher_logits"]), kept, strict=True):
        same(array, before)
    same(targets["labels"], np.arange(4))


@pytest.mark.parametrize(
    ("settings", "rows", "message"),
    [
        ({}, {"X_unlabeled": np.zeros((2, 3))}, "augment_size='fresh'.*X_unlabeled"),
        ({"augment_size": "new"}, {}, "augment_size='new'.*'auto' or an integer >= 1 or 'fresh'"),
    ],
    ids=["unlabelled", "unknown"],
)
def test_fresh_rows_are_refused_with_options_that_exclude_them(settings, rows, message):
    X, y = table()
    with pytest.raises((TypeError, ValueError), match=message):
        DistilledClassifier(Counts(), **FRESH | settings).fit(X, y, **rows)


def test_a_custom_module_is_refused():
    from torch import nn

    with pytest.raises(ValueError, match="augment_size='fresh'.*module of your own"):
        DistilledClassifier(Counts(), **FRESH, module=nn.Identity).fit(*table())
