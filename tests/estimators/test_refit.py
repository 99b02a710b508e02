"""Fitting an object again: until the new fit ends, other threads see and use the old one."""

import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import Callback

from skkd import DistilledClassifier, NeuralClassifier

FAST = {"hidden_layer_sizes": (4,), "preset": "plain", "max_epochs": 2, "random_state": 0}
NAMES = ["a", "b", "c", "d"]

CONTAINERS = {
    "array": np.asarray,
    "list": lambda X: X.tolist(),
    "DataFrame": lambda X: pd.DataFrame(X, columns=NAMES[: X.shape[1]]),
    "polars": lambda X: pl.DataFrame(X, schema=NAMES[: X.shape[1]]),
    "sparse": sparse.csr_array,
}


def module_of_any_width(n_features, n_classes):
    return torch.nn.Linear(n_features, n_classes)


ESTIMATORS = {
    "labels": NeuralClassifier(**FAST),
    "module": NeuralClassifier(**FAST | {"module": module_of_any_width}),
    "early stopping": NeuralClassifier(**FAST, early_stopping=True),
    "warm start": NeuralClassifier(**FAST, warm_start=True),
    "given answers": DistilledClassifier(**FAST, alpha=0.5),
    "fitted teacher": DistilledClassifier(
        DecisionTreeClassifier(max_depth=2), fit_teacher=True, alpha=0.5, augment=None, **FAST
    ),
    "choice": DistilledClassifier(
        DecisionTreeClassifier(max_depth=3), fit_teacher=True, learning_rate=0.05, **FAST
    ),
}


class Looks(Callback):
    """Records the attributes of the object that is being fitted, in each epoch."""

    def __init__(self, clf, X, seen):
        self.clf, self.X, self.seen = clf, X, seen

    def on_epoch_end(self, net, **kwargs):
        self.seen.append((dict(vars(self.clf)), self.clf.predict_proba(self.X)))


def rows(container, n_columns, n_rows=240):
    X = np.random.default_rng(n_columns).normal(size=(n_rows, n_columns))
    return CONTAINERS[container](X), (X.sum(axis=1) > 0).astype(int)


def fit(clf, X, y):
    given = isinstance(clf, DistilledClassifier) and clf.teacher is None
    return clf.fit(X, y, **({"teacher_proba": np.eye(2)[y]} if given else {}))


@pytest.mark.filterwarnings("ignore::skkd.teachers.WeakTeacherWarning")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_until_a_fit_ends_the_object_is_that_of_the_last_fit(kind, container):
    X, y = rows(container, 3)
    clf = fit(type(ESTIMATORS[kind])(**ESTIMATORS[kind].get_params(deep=False)), X, y)
    wider, of_wider = (X, y) if clf.warm_start else rows("array", 4)
    before, answers, seen = dict(vars(clf)), clf.predict_proba(X), []
    clf.set_params(callbacks=[Looks(clf, X, seen)])
    fit(clf, wider, of_wider)
    assert seen
    for attributes, probabilities in seen:
        assert attributes.keys() == before.keys()
        assert all(attributes[k] is before[k] for k in before if k != "callbacks")
        np.testing.assert_array_equal(probabilities, answers)
    assert clf.network_ is not before["network_"]
    assert clf.n_features_in_ == wider.shape[1] if hasattr(wider, "shape") else 3
    if not clf.warm_start:
        assert not hasattr(clf, "feature_names_in_")


@pytest.mark.parametrize("kind", ["labels", "given answers"])
def test_until_a_partial_fit_ends_the_object_is_the_one_of_the_last(kind):
    X, y = rows("DataFrame", 3)
    clf = type(ESTIMATORS[kind])(**ESTIMATORS[kind].get_params(deep=False))
    answers = {"teacher_proba": np.eye(2)[y]} if kind == "given answers" else {}
    clf.partial_fit(X, y, classes=[0, 1], **answers)
    before, seen = dict(vars(clf)), []
    clf.set_params(callbacks=[Looks(clf, X, seen)]).partial_fit(X, y, **answers)
    ((attributes, _),) = seen
    assert all(attributes[k] is before[k] for k in before if k != "callbacks")
    assert clf.n_iter_ == 2


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_first_fit_shows_nothing_before_it_ends(kind):
    X, y = rows("DataFrame", 3)
    clf = type(ESTIMATORS[kind])(**ESTIMATORS[kind].get_params(deep=False))
    seen = []

    class Notes(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append({name for name in vars(clf) if name.endswith("_")})

    fit(clf.set_params(callbacks=[Notes()]), X, y)
    assert set().union(*seen) == set()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_after_an_error_the_object_is_the_one_of_the_last_fit(kind, error):
    X, y = rows("DataFrame", 3)
    clf = fit(type(ESTIMATORS[kind])(**ESTIMATORS[kind].get_params(deep=False)), X, y)
    answers = clf.predict_proba(X)

    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise_(error)

    clf.set_params(callbacks=[Fails()])
    before = dict(vars(clf))
    with pytest.raises(error):
        fit(clf, *((X, y) if clf.warm_start else rows("array", 4)))
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(X), answers)


def raise_(error):
    raise error("as a user's code does")


def test_attributes_that_are_set_during_a_fit_are_kept():
    X, y = rows("array", 3)
    clf = NeuralClassifier(**FAST)

    class Sets(Callback):
        def on_epoch_end(self, net, **kwargs):
            clf.set_params(max_epochs=7).note = "mine"

    clf.set_params(callbacks=[Sets()]).fit(X, y)
    assert (clf.max_epochs, clf.note, clf.n_iter_) == (7, "mine", 2)


def test_threads_that_predict_get_the_result_of_one_fit_or_the_other():
    tables = {width: rows("DataFrame", width, n_rows=40) for width in (3, 4)}
    clf = NeuralClassifier(**FAST | {"max_epochs": 1})
    answers = {width: clf.fit(X, y).predict_proba(X) for width, (X, y) in tables.items()}
    done, problems = threading.Event(), []

    def predict(width):
        X, _ = tables[width]
        while not done.is_set():
            try:
                right = np.array_equal(clf.predict_proba(X), answers[width])
                right &= np.array_equal(clf.predict(X), answers[width].argmax(axis=1))
            except ValueError as error:
                right = "feature names should match those that were passed" in str(error)
            if not right:
                problems.append(width)

    threads = [threading.Thread(target=predict, args=(width,)) for width in (3, 4)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        clf.fit(*tables[3 + turn % 2])
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
