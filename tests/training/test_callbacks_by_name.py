"""Named callbacks: their parameters, how to disable them, and links between them."""

import functools
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, LoadInitState

from skkd import DistilledClassifier, NeuralClassifier
from skkd.config import copies_of_callbacks

N_EPOCHS = 6


def quiet(text):
    """A sink that prints nothing."""


def stopping(patience=2):
    return EarlyStopping("train_loss", patience=patience, threshold=0.9, sink=quiet)


def neural(callbacks, **settings):
    defaults = {"preset": "plain", "max_epochs": N_EPOCHS, "random_state": 0}
    return NeuralClassifier((8,), callbacks=callbacks, **defaults | settings)


def distilled(callbacks, **settings):
    defaults = {"preset": "plain", "max_epochs": N_EPOCHS, "random_state": 0, "augment": None}
    return DistilledClassifier(
        LogisticRegression(), fit_teacher=True, alpha=0.5, hidden_layer_sizes=(8,),
        callbacks=callbacks, **defaults | settings,
    )  # fmt: skip


both = pytest.mark.parametrize("make", [neural, distilled])


@both
def test_get_params_gives_named_callbacks_and_their_parameters(make):
    callback, timer = stopping(), EpochTimer()
    clf = make([("stopping", callback), timer, ("a_class", EarlyStopping), ("off", None)])
    deep, flat = clf.get_params(), clf.get_params(deep=False)
    assert deep["callbacks__stopping"] is callback
    assert deep["callbacks__stopping__patience"] == 2
    assert deep["callbacks__a_class"] is EarlyStopping
    assert deep["callbacks__off"] is None
    assert not any("Timer" in name or "a_class__" in name for name in deep)
    assert not any(name.startswith("callbacks__") for name in flat)


@pytest.mark.parametrize("callbacks", [None, "disable", [], [EpochTimer()], 3, [3], [("a", 3)]])
def test_get_params_and_clone_work_whatever_callbacks_is(callbacks):
    clf = neural(callbacks)
    assert clf.get_params()["callbacks"] is callbacks
    assert type(clone(clf).callbacks) is type(callbacks)


@both
def test_set_params_reaches_into_a_named_callback(make, iris_like):
    clf = make([("stopping", stopping())]).set_params(callbacks__stopping__patience=4)
    assert clf.get_params()["callbacks__stopping__patience"] == 4
    assert clf.fit(*iris_like).n_iter_ == 5


def test_set_params_sets_several_at_once_the_callbacks_first(iris_like):
    clf = neural(None).set_params(
        callbacks__late__monitor="train_loss",
        callbacks__late__patience=3,
        callbacks__late=EarlyStopping(sink=quiet, threshold=0.9),
        callbacks=[("early", stopping()), ("late", None)],
        callbacks__early=None,
    )
    assert clf.fit(*iris_like).n_iter_ == 4


def test_a_class_becomes_a_callback_with_the_parameters_set(iris_like):
    given = [("stopping", EarlyStopping)]
    clf = neural(given)
    clf.set_params(callbacks__stopping__monitor="train_loss", callbacks__stopping__sink=quiet)
    assert given == [("stopping", EarlyStopping)]
    assert type(clf.callbacks[0][1]) is EarlyStopping
    assert clf.fit(*iris_like).n_iter_ == N_EPOCHS


@pytest.mark.parametrize("off", [None, "disable"])
def test_a_callback_that_is_none_or_disable_does_not_run(off, iris_like):
    given = [("stopping", stopping()), ("timer", EpochTimer())]
    clf = neural(given).set_params(callbacks__stopping=off)
    assert [name for name, _ in given] == [name for name, _ in clf.callbacks]
    assert given[0][1] is not None
    assert clf.fit(*iris_like).n_iter_ == N_EPOCHS
    assert clone(clf).fit(*iris_like).n_iter_ == N_EPOCHS
    assert pickle.loads(pickle.dumps(clf)).fit(*iris_like).n_iter_ == N_EPOCHS


def hash_of_a_fit_that_selects_its_epochs(callbacks):
    """A hash of the weights after training on parts of the rows and then on all of them."""
    X = np.random.RandomState(0).standard_normal((300, 2))
    settings = {"preset": "tabular", "max_epochs": "auto", "lr_decay": "coslog", "batch_size": 64}
    clf = neural(callbacks, **settings).fit(X, X[:, 0] > 0)
    assert len(clf.held_out_losses_) == 4
    return joblib.hash(clf.network_.state)


@pytest.fixture(scope="module")
def hash_without_callbacks():
    return hash_of_a_fit_that_selects_its_epochs(None)


@pytest.mark.parametrize("callbacks", ["disable", [("a", None)], [("a", "disable")], [], ()])
def test_disabled_callbacks_do_not_change_a_bit(callbacks, hash_without_callbacks):
    assert hash_of_a_fit_that_selects_its_epochs(callbacks) == hash_without_callbacks


@both
def test_a_grid_searches_a_patience_and_whether_a_callback_runs(make, iris_like):
    callback = stopping()
    grid = [{"callbacks__stopping__patience": [1, 3]}, {"callbacks__stopping": [None, "disable"]}]
    search = GridSearchCV(make([("stopping", callback)]), grid, cv=2, scoring=n_epochs)
    search.fit(*iris_like)
    assert search.cv_results_["mean_test_score"].tolist() == [2, 4, N_EPOCHS, N_EPOCHS]
    assert callback.patience == 2


def n_epochs(clf, X, y):
    return clf.n_iter_


@pytest.mark.parametrize(
    ("callbacks", "name", "message"),
    [
        ([("a", EpochTimer()), ("b", EpochTimer())], "callbacks__c", "callbacks, 'a', 'b'"),
        ([("a", EpochTimer())], "callbacks__c__patience", "named callbacks, 'a'"),
        ([EpochTimer()], "callbacks__EpochTimer__x", r"a name: callbacks=\[\(name, callback\)"),
        (None, "callbacks__a__x", r"a name: callbacks=\[\(name, callback\)"),
        ("disable", "callbacks__a", r"a name: callbacks=\[\(name, callback\)"),
        ([("a", None)], "callbacks__a__x", "callbacks__a is set to a callback; it is None"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(callbacks, name, message):
    with pytest.raises(ValueError, match=rf"^{name}=7 is not allowed: give .*{message}"):
        neural(callbacks).set_params(**{name: 7})


def test_an_unknown_parameter_of_a_callback_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Invalid parameter 'patient'.*'patience'"):
        neural([("a", stopping())]).set_params(callbacks__a__patient=1)


def test_the_constructor_takes_no_parameter_of_a_callback():
    with pytest.raises(TypeError, match=r"callbacks__a__patience'.*with set_params if"):
        neural([("a", stopping())], callbacks__a__patience=3)


@pytest.mark.parametrize("names", [("a", "a"), ("a__b", "c"), (3, "a")])
def test_ambiguous_names_are_refused(names, iris_like):
    clf = neural([(name, EpochTimer()) for name in names])
    with pytest.raises(ValueError, match="callbacks=.* is not allowed: give other names than"):
        clf.fit(*iris_like)


class Linked(Callback):
    """A callback that refers to others."""

    def __init__(self, others=None, items=None):
        self.others = others
        self.items = items

    def call(self, text=None):
        return self


LINKS = {
    "attribute": (lambda other: other, lambda found: found),
    "list": (lambda other: [1, other], lambda found: found[1]),
    "tuple": (lambda other: (1, (other,)), lambda found: found[1][0]),
    "dict": (lambda other: {"a": [other]}, lambda found: found["a"][0]),
    "method": (lambda other: other.call, lambda found: found.__self__),
    "partial": (lambda other: functools.partial(other.call, 1), lambda found: found()),
    "keyword": (lambda other: functools.partial(quiet, text=other),
                lambda found: found.keywords["text"]),
}  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "copied",
    [copies_of_callbacks, lambda callbacks: clone(neural(callbacks)).callbacks],
    ids=["fit", "clone"],
)
def test_copies_refer_to_each_other_as_the_originals_do(copied, order, link):
    make, follow = LINKS[link]
    other = Linked()
    knows = Linked(make(other))
    callbacks = [("other", other), knows][::order]
    copies = dict(zip(["other", "knows"], copied(callbacks)[::order], strict=True))
    assert follow(copies["knows"].others) is copies["other"][1]
    assert copies["other"][1] is not other
    assert follow(knows.others) is other


def test_objects_that_the_user_gave_to_a_callback_are_shared():
    given = [[], {}, ()]
    outside = EpochTimer()
    callback = Linked([outside], given)
    (copied, loading) = copies_of_callbacks([callback, LoadInitState(outside)])
    assert copied is not callback
    assert (copied.others, copied.items) == (callback.others, given)
    assert copied.others is callback.others and copied.items is given
    assert loading.checkpoint is outside
