"""The training loop: rates, losses, stopping, interrupting, continuing."""

import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.class_weight import compute_sample_weight
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler

from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.dataset import hold_out
from skkd.modules import Dropout
from skkd.presets import PRESETS
from skkd.schedules import SCHEDULES, CosineDecay, Cyclic, StepDecay, WarmUp, resolve_schedule
from skkd.training.loop import Plateau, _Net


def tiny(**params):
    defaults = {"hidden_layer_sizes": (4,), "max_epochs": 3, "batch_size": 30, "random_state": 0}
    return NeuralClassifier(**{"preset": "plain"} | defaults | params)


def rates_of(clf):
    return [record["learning_rate"] for record in clf.history_]


class RecordRates(Callback):
    """Appends the rate of every batch to a list of the caller."""

    def __init__(self, rates):
        self.rates = rates

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.rates.append({group["lr"] for group in net.optimizer_.param_groups})


@pytest.mark.parametrize(
    ("losses", "tol", "patience", "stops_after"),
    [
        ([3, 2, 1, 0], 0.1, 1, None),
        ([1, 1], 0.1, 1, 2),
        ([1, 1, 1], 0.1, 2, 3),
        ([1, 1, 0.5, 1, 1], 0.1, 2, 5),
        ([1, 0.95, 0.9, 0.85], 0.2, 3, 4),  # each step is too small
        ([1, 0.95, 0.9, 0.85], 0.0, 3, None),
        ([1, 1, 1, 1], 0.0, 2, 3),
        ([1, 2, 3, 4], 0.0, None, None),
        ([1, 1.5, 0.5, 1.5, 1.5], 0.1, 2, 5),
    ],
)
def test_a_plateau_counts_epochs_without_an_improvement_of_tol(losses, tol, patience, stops_after):
    plateau = Plateau(tol, patience)
    reached = []
    for loss in losses:
        plateau.update(loss)
        reached.append(plateau.reached)
    assert reached == [stops_after is not None and i + 1 >= stops_after for i in range(len(losses))]


def test_a_plateau_knows_the_best_loss_whatever_tol_is():
    plateau = Plateau(1.0, 1)
    assert [plateau.update(loss) for loss in [3, 2.9, 2.95, 2.9, 2.8]] == [
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("lr_decay", [*SCHEDULES, CosineDecay(0.1), WarmUp("step", 2)], ids=str)
def test_the_rates_of_a_schedule_reach_the_optimiser(iris_like, lr_decay):
    rates = []
    X, y = iris_like
    clf = tiny(lr_decay=lr_decay, learning_rate=0.01, max_epochs=6, callbacks=[RecordRates(rates)])
    clf.fit(X, y, X_val=X, y_val=y)
    expected = resolve_schedule("lr_decay", lr_decay).simulate(18, batches_per_epoch=3)
    assert all(len(of_groups) == 1 for of_groups in rates)
    np.testing.assert_allclose([rate.pop() for rate in rates], 0.01 * np.array(expected))
    np.testing.assert_allclose(rates_of(clf), 0.01 * np.array(expected)[::3])


@pytest.mark.parametrize("lr_decay", ["constant", "coslog", WarmUp("step", 2)], ids=str)
def test_rates_of_ntk_are_the_schedules_times_the_factor_of_each_group(iris_like, lr_decay):
    found = []

    class RecordGroups(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training:
                groups = net.optimizer_.param_groups
                found.append({group["rate_factor"]: group["lr"] for group in groups})

    clf = tiny(lr_decay=lr_decay, parametrization="ntk", feature_scale=True, max_epochs=6)
    clf.set_params(learning_rate=0.01, callbacks=[RecordGroups()]).fit(*iris_like)
    expected = resolve_schedule("lr_decay", lr_decay).simulate(18, batches_per_epoch=3)
    assert len(found) == 18
    for of_groups, factor in zip(found, expected, strict=True):
        assert set(of_groups) == {96.0, 8.0, 1.6}  # 4 inputs of 4 units
        for rate_factor, rate in of_groups.items():
            assert rate == pytest.approx(0.01 * factor * rate_factor)
    np.testing.assert_allclose(rates_of(clf), 0.01 * np.array(expected)[::3])


@pytest.mark.parametrize("dropout_decay", ["constant", "flat_cosine", "linear"])
def test_the_probability_of_dropout_follows_its_schedule(iris_like, dropout_decay):
    found = []

    class RecordDropout(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training:
                layers = [m for m in net.module_.modules() if isinstance(m, Dropout)]
                found.append([layer.p for layer in layers])

    clf = tiny(hidden_layer_sizes=(5, 4), dropout=(0.4, 0.2), dropout_decay=dropout_decay)
    clf.set_params(max_epochs=6, lr_decay="cosine", callbacks=[RecordDropout()]).fit(*iris_like)
    factors = resolve_schedule("dropout_decay", dropout_decay).simulate(18, batches_per_epoch=3)
    np.testing.assert_allclose(found, np.outer(factors, [0.4, 0.2]))
    assert [m.p for m in clf.module_.modules() if isinstance(m, Dropout)] == [0.4, 0.2]


@pytest.mark.parametrize(
    "lr_decay", ["step", StepDecay(2, 0.5), "cosine", Cyclic(), "one_cycle"], ids=str
)
def test_a_schedule_continues_over_partial_fits(iris_like, lr_decay):
    X, y = iris_like
    clf = tiny(lr_decay=lr_decay, max_epochs=5, n_iter_no_change=None)
    for _ in range(5):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(rates_of(clf), rates_of(clone(clf).fit(X, y)))


def test_a_schedule_counts_partial_fits_however_many_batches_they_have(iris_like):
    X, y = iris_like
    clf = tiny(lr_decay=StepDecay(step_size=2, gamma=0.5), learning_rate=1.0, batch_size=10)
    for n_rows in (90, 30, 10, 50):
        clf.partial_fit(X[:n_rows], y[:n_rows], classes=[0, 1, 2])
    assert rates_of(clf) == [1.0, 1.0, 0.5, 0.5]


def test_callbacks_may_set_the_rate_of_a_constant_schedule(iris_like):
    class Halve(Callback):
        def on_epoch_end(self, net, **kwargs):
            for group in net.optimizer_.param_groups:
                group["lr"] /= 2

    assert rates_of(tiny(learning_rate=0.4, callbacks=[Halve()]).fit(*iris_like)) == [0.4, 0.2, 0.1]


class RecordGradients(torch.optim.SGD):
    norms = []

    def step(self, closure=None):
        loss = super().step(closure)
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return loss


@pytest.mark.parametrize("max_grad_norm", [None, 0.01, 1e6])
def test_max_grad_norm_bounds_the_gradient(iris_like, max_grad_norm):
    RecordGradients.norms.clear()
    tiny(optimizer=RecordGradients, max_grad_norm=max_grad_norm).fit(*iris_like)
    norms = np.array(RecordGradients.norms)
    assert len(norms) == 9
    if max_grad_norm == 0.01:
        np.testing.assert_allclose(norms, 0.01, rtol=1e-3)
    else:
        assert (norms > 0.1).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_training_loss_is_the_weighted_mean_over_all_rows(iris_like, smoothing):
    X, y = iris_like
    weight = np.random.RandomState(0).uniform(0.1, 3, size=90)
    clf = tiny(
        learning_rate=1e-30,
        dtype="float64",
        label_smoothing=smoothing,
        class_weight={0: 2, 1: 1, 2: 1},
    )
    p = clf.fit(X, y, weight).predict_proba(X)
    weight = weight * np.where(y == 0, 2, 1)
    hard = log_loss(y, p, sample_weight=weight)
    uniform = np.average(-np.log(p).mean(axis=1), weights=weight)
    expected = (1 - smoothing) * hard + smoothing * uniform
    np.testing.assert_allclose(clf.loss_curve_, expected, rtol=1e-10)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_validation_loss_is_the_log_loss_of_true_labels(iris_like, early_stopping):
    X, y = iris_like
    weights = {0: 3.0, 1: 1.0, 2: 0.5}
    clf = tiny(
        label_smoothing=0.4,
        class_weight=weights,
        early_stopping=early_stopping,
        dtype="float64",
        max_epochs=1,
    )
    clf.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    sample_weight = [weights[label] for label in y[60:]]
    record = clf.history_[-1]
    expected = log_loss(y[60:], clf.predict_proba(X[60:]), sample_weight=sample_weight)
    accuracy = accuracy_score(y[60:], clf.predict(X[60:]), sample_weight=sample_weight)
    np.testing.assert_allclose(record["valid_loss"], expected, rtol=1e-10)
    np.testing.assert_allclose(record["valid_accuracy"], accuracy, rtol=1e-10)


def test_the_split_off_rows_keep_their_weights(iris_like, monkeypatch):
    splits = []

    def split(*args, **kwargs):
        splits.append(hold_out(*args, **kwargs))
        return splits[0]

    monkeypatch.setattr("skkd.data.fit_data.hold_out", split)
    X, y = iris_like
    weight = np.random.RandomState(0).uniform(0.1, 5, size=90)
    clf = tiny(early_stopping=True, label_smoothing=0.5, max_epochs=1, dtype="float64").fit(
        X, y, weight
    )
    _, valid = splits[0]
    weight_of = {tuple(row): w for row, w in zip(X, weight, strict=True)}
    expected = log_loss(
        clf.classes_[valid.targets["labels"]],
        clf.predict_proba(valid.rows),
        sample_weight=[weight_of[tuple(row)] for row in valid.rows],
    )
    np.testing.assert_allclose(clf.history_[0]["valid_loss"], expected, rtol=1e-10)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_early_stopping_gives_back_the_weights_of_the_best_epoch(iris_like, batch_norm):
    X, y = iris_like
    clf = tiny(
        early_stopping=True,
        learning_rate=0.3,
        max_epochs=60,
        n_iter_no_change=5,
        dtype="float64",
        batch_norm=batch_norm,
    )
    clf.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    losses = [record["valid_loss"] for record in clf.history_]
    assert clf.best_epoch_ == np.argmin(losses) + 1 < clf.n_iter_ < 60
    np.testing.assert_allclose(log_loss(y[60:], clf.predict_proba(X[60:])), min(losses), rtol=1e-10)


def test_early_stopping_watches_the_same_loss_whatever_the_training_loss_is(iris_like):
    X, y = iris_like
    for smoothing in (0.0, 0.9):
        clf = tiny(
            learning_rate=1e-30, label_smoothing=smoothing, dtype="float64", early_stopping=True
        )
        clf.fit(X, y, X_val=X, y_val=y)
        expected = log_loss(y, clf.predict_proba(X))
        np.testing.assert_allclose([r["valid_loss"] for r in clf.history_], expected, rtol=1e-10)


STOPS = {"max_epochs": 12, "tol": 1e6, "n_iter_no_change": 2}


@pytest.mark.parametrize(
    ("params", "n_epochs"),
    [
        ({}, 3),
        ({"lr_decay": WarmUp(n_epochs=1)}, 12),
        ({"lr_decay": "cosine"}, 12),
        ({"lr_decay": "step"}, 12),
        ({"early_stopping": True}, 3),
        ({"early_stopping": True, "lr_decay": "cosine"}, 3),
        ({"n_iter_no_change": None}, 12),
        ({"n_iter_no_change": None, "early_stopping": True}, 12),
        ({"n_iter_no_change": 5}, 6),
    ],
    ids=str,
)
def test_training_stops_on_a_plateau_but_the_training_loss_counts_at_a_constant_rate_only(
    iris_like, params, n_epochs
):
    clf = tiny(**{**STOPS, **params}).fit(*iris_like)
    assert clf.n_iter_ == len(clf.history_) == len(clf.loss_curve_) == n_epochs
    assert (clf.best_epoch_ is not None) == ("early_stopping" in params)


@pytest.mark.parametrize("with_validation", [False, True])
def test_without_early_stopping_the_training_loss_is_watched(iris_like, with_validation):
    X, y = iris_like
    held_out = {"X_val": X[:5] + 100, "y_val": y[:5]} if with_validation else {}
    clf = tiny(max_epochs=8, n_iter_no_change=1, learning_rate=0.01).fit(X, y, **held_out)
    assert clf.n_iter_ == 8
    assert clf.best_epoch_ is None
    assert ("valid_loss" in clf.history_[0]) == with_validation


def test_a_loss_that_is_not_finite_raises_at_the_end_of_its_epoch(iris_like):
    seen = []

    class Count(Callback):
        def on_batch_end(self, net, **kwargs):
            seen.append(1)

    clf = tiny(learning_rate=1e20, optimizer="sgd", callbacks=[Count()], max_epochs=10)
    message = (
        r"train_loss is (nan|inf) in epoch (\d+), with learning_rate=1e\+20: lower learning_rate"
    )
    with pytest.raises(ValueError, match=message):
        clf.fit(*iris_like)
    assert len(seen) % 3 == 0
    assert not hasattr(clf, "classes_")


def test_a_validation_loss_that_is_not_finite_raises_too(iris_like):
    X, y = iris_like
    clf = tiny(preprocessor=None, activation="identity", hidden_layer_sizes=(4,) * 6)
    with pytest.raises(ValueError, match=r"valid_loss is (nan|inf) in epoch 1, with learning_rate"):
        clf.fit(X, y, X_val=np.full((3, 4), 3e38), y_val=[0, 1, 2])


def both_ways(iris_like, **params):
    """Classifiers that trained for six epochs: at once, in two warm starts, in six calls."""
    X, y = iris_like
    clf = tiny(n_iter_no_change=None, max_epochs=6, learning_rate=0.02, **params)
    warm = clone(clf).set_params(max_epochs=3, warm_start=True).fit(X, y).fit(X, y)
    partial = clone(clf)
    for _ in range(6):
        partial.partial_fit(X, y, classes=[0, 1, 2])
    return clf.fit(X, y), warm, partial


class OwnDropout(torch.nn.Sequential):
    def __init__(self, n_features, n_classes):
        linear = torch.nn.Linear(n_features, n_classes)
        super().__init__(torch.nn.Dropout(0.3), linear, torch.nn.BatchNorm1d(n_classes))


@pytest.mark.parametrize(
    "params",
    [
        {"batch_size": 90},
        {"batch_size": 90, "optimizer": "sgd", "dtype": "float64"},
        {"batch_size": 20, "dropout": 0.4, "batch_norm": True},
        {"batch_size": 20, "optimizer": "rmsprop", "dropout": 0.4, "shuffle": False},
        {"batch_size": 20, "optimizer": torch.optim.NAdam, "max_grad_norm": 0.1},
        {"batch_size": 20, "module": OwnDropout},
        {
            "preset": "tabular",
            "lr_decay": "constant",
            "dropout_decay": "constant",
            "preprocessor": "standard",
        },
    ],
    ids=str,
)
def test_warm_starts_and_partial_fits_continue_bit_for_bit(iris_like, params):
    at_once, *in_parts = both_ways(iris_like, **params)
    for clf in in_parts:
        assert clf.n_iter_ == 6
        assert clf.loss_curve_ == at_once.loss_curve_
        assert [record["epoch"] for record in clf.history_] == [1, 2, 3, 4, 5, 6]
        for name, array in at_once.network_.state.items():
            np.testing.assert_array_equal(clf.network_.state[name], array)


def test_without_warm_start_fit_starts_again_and_forgets_the_moments(iris_like):
    clf = tiny(warm_start=True).fit(*iris_like)
    assert "moments" in clf.training_state_
    clf.set_params(warm_start=False).fit(*iris_like)
    assert not hasattr(clf, "training_state_")
    assert clf.n_iter_ == 3
    assert clf.loss_curve_ == tiny().fit(*iris_like).loss_curve_


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw", torch.optim.LBFGS])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_warm_start_may_change_the_optimiser(iris_like, optimizer, preset):
    for first, second in [("adam", optimizer), (optimizer, "adam")]:
        clf = tiny(preset=preset, warm_start=True, optimizer=first).fit(*iris_like)
        assert clf.set_params(optimizer=second).fit(*iris_like).n_iter_ == 6


@pytest.mark.parametrize(
    "change",
    [{"hidden_layer_sizes": (5,)}, {"batch_norm": True}, {"feature_scale": True}],
    ids=str,
)
def test_a_warm_start_refuses_other_layers(iris_like, change):
    clf = tiny(warm_start=True).fit(*iris_like).set_params(**change)
    before = dict(vars(clf))
    with pytest.raises(
        ValueError, match="other layers than the parameters ask for: set warm_start"
    ):
        clf.fit(*iris_like)
    assert vars(clf) == before


def test_a_warm_start_may_change_dropout_and_momentum(iris_like):
    clf = tiny(warm_start=True, optimizer="rmsprop", momentum=0.0).fit(*iris_like)
    assert clf.set_params(dropout=0.5, momentum=0.9).fit(*iris_like).n_iter_ == 6


def test_a_warm_start_under_early_stopping_never_ends_worse_than_it_began(iris_like):
    X, y = iris_like
    clf = tiny(warm_start=True, early_stopping=True, max_epochs=20)
    losses, best_epochs = [], []
    for learning_rate in (0.01, 1e-3, 30.0):
        clf.set_params(learning_rate=learning_rate).fit(X, y, X_val=X, y_val=y)
        losses.append(log_loss(y, clf.predict_proba(X)))
        best_epochs.append(clf.best_epoch_)
    assert losses == sorted(losses, reverse=True)
    assert best_epochs[2] == best_epochs[1] <= 40


def test_a_warm_start_runs_its_schedule_from_the_start(iris_like):
    clf = tiny(warm_start=True, lr_decay="cosine").fit(*iris_like).fit(*iris_like)
    rates = [record["learning_rate"] for record in clf.history_]
    assert rates[:3] == rates[3:]


def test_balanced_weights_of_a_validation_set_are_those_of_the_training_rows(iris_like):
    X, y = iris_like
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y > 0)[:20]]
    clf = tiny(class_weight="balanced").fit(X[few], y[few], X_val=X, y_val=y)
    weights = compute_sample_weight("balanced", y[few])
    of_class = {label: weights[y[few] == label][0] for label in np.unique(y)}
    expected = log_loss(y, clf.predict_proba(X), sample_weight=[of_class[label] for label in y])
    assert clf.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_warm_start_keeps_its_classes_and_its_preprocessor(iris_like):
    X, y = iris_like
    clf = tiny(warm_start=True).fit(X, y)
    view = clf.network_.preprocessor
    assert clf.fit(X * 100, np.r_[[2], np.minimum(y[1:], 1)]).network_.preprocessor is view
    assert clf.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="X has 3 features, but NeuralClassifier is expecting 4"):
        clf.fit(X[:, :3], y)


OTHER_CLASSES = {
    "fewer": np.minimum,
    "more": lambda y, _: y + (np.arange(90) == 0) * (3 - y),
    "as many, others": lambda y, _: np.where(y == 2, 3, y),
}


@pytest.mark.parametrize("labels", [lambda y: y, lambda y: y.astype(str)], ids=["int", "str"])
@pytest.mark.parametrize("change", OTHER_CLASSES)
@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_warm_start_refuses_other_classes_in_the_words_of_mlp_classifier(
    first, change, labels, iris_like
):
    X, y = iris_like
    clf = tiny(warm_start=True)
    clf.fit(X, labels(y)) if first == "fit" else clf.partial_fit(X, labels(y), np.unique(labels(y)))
    before = dict(vars(clf))
    with pytest.raises(
        ValueError,
        match=r"warm_start can only be used where `y` has the same classes as in the previous call "
        r"to fit\. Previously got \['?0'? '?1'? '?2'?\], `y` has .* Set warm_start=False",
    ):
        clf.fit(X, labels(OTHER_CLASSES[change](y, 1)))
    assert vars(clf) == before
    clf.set_params(warm_start=False).fit(X, labels(OTHER_CLASSES[change](y, 1)))


def test_a_warm_start_may_have_a_class_in_rows_of_no_weight_alone(iris_like):
    X, y = iris_like
    clf = tiny(warm_start=True).fit(X, y)
    assert clf.fit(X, y, sample_weight=(y < 2).astype(float)).classes_.tolist() == [0, 1, 2]


class Counts(GaussianNB):
    """It counts the calls of `predict_proba`."""

    n_asked = 0

    def predict_proba(self, X):
        Counts.n_asked += 1
        return super().predict_proba(X)


def taught(teacher, **params):
    student = DistilledClassifier(teacher, warm_start=True, alpha=0.5, augment=None, preset="plain")
    return student.set_params(hidden_layer_sizes=(4,), max_epochs=2, random_state=0, **params)


@pytest.mark.parametrize("on_class_mismatch", ["raise", "intersect"])
def test_a_students_warm_start_refuses_other_classes_before_the_teacher_is_called(
    on_class_mismatch, iris_like
):
    X, y = iris_like
    student = taught(Counts().fit(X, y), on_class_mismatch=on_class_mismatch).fit(X, y)
    n_asked = Counts.n_asked
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
        student.fit(X + 1, np.minimum(y, 1))
    assert Counts.n_asked == n_asked


def test_a_student_with_its_teachers_classes_continues_if_these_are_the_same(iris_like):
    X, y = iris_like
    few = np.minimum(y, 1)
    student = taught(GaussianNB().fit(X, y), on_class_mismatch="teacher").fit(X, few)
    assert student.classes_.tolist() == [0, 1, 2]
    assert student.fit(X, few).fit(X, y).n_iter_ == 6
    for labels in (few, np.where(np.arange(90) % 9 == 0, 3, y)):
        student.set_params(teacher=GaussianNB().fit(X, labels))
        with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
            student.fit(X, few)


@pytest.mark.parametrize("on_class_mismatch", ["raise", "teacher", "intersect"])
def test_a_students_partial_fits_need_not_hold_all_classes(on_class_mismatch, iris_like):
    X, y = iris_like
    student = taught(GaussianNB().fit(X, y), on_class_mismatch=on_class_mismatch)
    student.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X[y < 2], y[y < 2])
    assert student.n_iter_ == 2


def test_partial_fit_fits_the_preprocessor_in_its_first_call_only(iris_like):
    X, y = iris_like
    clf = tiny().partial_fit(X[:40], y[:40], classes=[0, 1, 2])
    view = clf.network_.preprocessor
    np.testing.assert_allclose(view.centre, X[:40].mean(axis=0))
    assert clf.partial_fit(X * 100, y).network_.preprocessor is view


def test_partial_fit_needs_all_classes_in_its_first_call(iris_like):
    X, y = iris_like
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        tiny().partial_fit(X, y)
    clf = tiny().partial_fit(X[y < 2], y[y < 2], classes=[2, 0, 1])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.partial_fit(X[y == 2], y[y == 2]).predict_proba(X).shape == (90, 3)
    with pytest.raises(
        ValueError, match=r"classes=.* is not allowed: give the classes of the first"
    ):
        clf.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"y=\[7\] is not allowed: give labels among the classes"):
        clf.partial_fit(X[:1], [7])


def test_partial_fit_takes_weights_and_dicts_but_no_balance(iris_like):
    X, y = iris_like
    weight = np.where(y == 0, 4.0, 1.0)
    by_dict = tiny(class_weight={0: 4, 1: 1, 2: 1}).partial_fit(X, y, classes=[0, 1, 2])
    by_weight = tiny().partial_fit(X, y, classes=[0, 1, 2], sample_weight=weight)
    np.testing.assert_allclose(by_dict.predict_proba(X), by_weight.predict_proba(X), rtol=1e-5)
    with pytest.raises(
        ValueError, match="class_weight='balanced' is not allowed: give a dict or None"
    ):
        tiny(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_there_is_no_partial_fit_under_early_stopping():
    assert hasattr(tiny(), "partial_fit")
    assert not hasattr(tiny(early_stopping=True), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        tiny(early_stopping=True).partial_fit  # noqa: B018


def test_partial_fit_continues_after_fit_and_fit_starts_again_after_partial_fit(iris_like):
    X, y = iris_like
    clf = tiny().fit(X, y).partial_fit(X, y)
    assert clf.n_iter_ == 4
    assert clf.fit(X, y).n_iter_ == 3


CALLS = []


def press_ctrl_c_on_call(number):
    CALLS.append(1)
    if len(CALLS) == number:
        raise KeyboardInterrupt


class Interrupted(torch.nn.Linear):
    def forward(self, x):
        press_ctrl_c_on_call(number=6)
        return super().forward(x)


class PressesDeepInside(Callback):
    def on_epoch_end(self, net, **kwargs):
        press_ctrl_c_on_call(number=2)


class Stops(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


INTERRUPTED = {
    "module": {"module": Interrupted, "module__in_features": 4, "module__out_features": 3},
    "callback": {"callbacks": [PressesDeepInside()]},
}


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("params", INTERRUPTED.values(), ids=INTERRUPTED)
def test_ctrl_c_propagates_and_leaves_the_classifier_as_it_was(iris_like, params, fitted_before):
    CALLS.clear()
    clf = tiny()
    if fitted_before:
        clf.fit(*iris_like)
    clf.set_params(max_epochs=20, **params)
    before = dict(vars(clf))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*iris_like)
    assert vars(clf) == before
    assert all(vars(clf)[name] is value for name, value in before.items())


@pytest.mark.slow
def test_a_signal_in_the_middle_of_fit_propagates():
    script = """
        import os, signal
        import numpy as np, torch
        from skkd import NeuralClassifier

        class Slow(torch.nn.Linear):
            def forward(self, x):
                if self.training:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().forward(x)

        clf = NeuralClassifier(module=Slow, module__in_features=2, module__out_features=2)
        before = dict(vars(clf))
        try:
            clf.fit(np.eye(2), [0, 1])
        except KeyboardInterrupt:
            print("interrupted", vars(clf) == before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "interrupted True\n"


def test_a_callback_that_raises_keyboard_interrupt_stops_quietly(iris_like):
    clf = tiny(max_epochs=10, callbacks=[Stops()]).fit(*iris_like)
    assert clf.n_iter_ == 2
    np.testing.assert_array_equal(
        clf.predict_proba(iris_like[0]),
        tiny(max_epochs=2).fit(*iris_like).predict_proba(iris_like[0]),
    )


@pytest.mark.parametrize("monitor", ["train_loss", "valid_loss"])
def test_skorchs_early_stopping_stops_quietly(iris_like, monitor):
    X, y = iris_like
    stopping = EarlyStopping(monitor, patience=3, threshold=1e9, threshold_mode="abs", sink=str)
    clf = tiny(max_epochs=20, n_iter_no_change=None, callbacks=[stopping])
    clf.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert clf.n_iter_ < 20
    assert clf.predict(X).shape == (90,)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(sink=str),
        EarlyStopping("valid_acc_best", sink=str),
        LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    ],
    ids=["loss", "accuracy", "plateau"],
)
def test_a_callback_that_watches_held_out_rows_is_refused_without_them(iris_like, callback):
    clf = tiny(max_epochs=3, callbacks=[callback])
    with pytest.raises(ValueError, match=r"watches 'valid_(loss|acc)', but no rows are held out"):
        clf.fit(*iris_like)
    with pytest.raises(ValueError, match="no rows are held out"):
        clf.partial_fit(*iris_like, classes=[0, 1, 2])


def test_a_callback_that_watches_our_name_of_an_entry_gets_an_error_with_skorchs_name(iris_like):
    X, y = iris_like
    clf = tiny(callbacks=[EarlyStopping("valid_accuracy", sink=str)])
    with pytest.raises(ValueError, match="'valid_accuracy', which .* know as 'valid_acc'"):
        clf.fit(X, y, X_val=X, y_val=y)


def test_a_callbacks_own_errors_stay_what_they_are(iris_like):
    class Looks(Callback):
        def on_epoch_end(self, net, **kwargs):
            {}["my_valid_loss"]

    with pytest.raises(KeyError, match="my_valid_loss"):
        tiny(max_epochs=3, callbacks=[Looks()]).fit(*iris_like)


DIVERGING = {"preset": "tabular", "max_epochs": 6, "learning_rate": 300.0}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_training_that_has_diverged_warns(iris_like, early_stopping):
    X, y = iris_like
    with pytest.warns(UserWarning, match=r"diverged.*learning_rate=300\.0"):
        tiny(**DIVERGING, early_stopping=early_stopping).fit(X, y, X_val=X, y_val=y)


def test_a_students_training_that_has_diverged_warns(iris_like):
    student = DistilledClassifier(GaussianNB().fit(*iris_like), alpha=0.5, augment=None)
    student.set_params(temperature=2.0, hidden_layer_sizes=(4,), **DIVERGING)
    with pytest.warns(UserWarning, match="diverged"):
        student.fit(*iris_like)


def test_a_short_training_does_not_warn(iris_like):
    with warnings.catch_warnings(action="error"):
        tiny(**DIVERGING | {"max_epochs": 4}).fit(*iris_like)


def test_a_warm_start_under_early_stopping_continues_any_fit(iris_like):
    X, y = iris_like
    clf = tiny(early_stopping=True, callbacks=[EpochScoring("accuracy", lower_is_better=False)])
    clf.fit(X, y, X_val=X, y_val=y)
    before = log_loss(y, clf.predict_proba(X))
    clf.set_params(warm_start=True, learning_rate=30.0).fit(X, y, X_val=X, y_val=y)
    assert log_loss(y, clf.predict_proba(X)) <= before + 1e-12


def test_a_signal_in_a_callbacks_own_frame_is_no_request_to_stop(iris_like):
    class Presses(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    clf = tiny(callbacks=[Presses()])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            clf.fit(*iris_like)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not hasattr(clf, "classes_")


def test_torchs_default_device_has_no_influence(iris_like):
    for module in (None, torch.nn.LazyLinear):
        clf = tiny(dropout=0.5, batch_norm=True)
        if module is not None:
            clf = tiny(module=module, module__out_features=3)
        expected = clf.fit(*iris_like).loss_curve_
        torch.set_default_device("meta")
        try:
            assert clf.fit(*iris_like).loss_curve_ == expected
            clf.predict(iris_like[0])
        finally:
            torch.set_default_device(None)


class Restless(torch.nn.Module):
    """It draws numbers, counts and keeps a mean in each forward pass, even in eval mode."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, n_classes)
        self.norm = torch.nn.BatchNorm1d(n_features)
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x):
        self.n_calls += 1
        noise = 1e-3 * torch.randn(len(x), 1) + 1e-4 * self.n_calls
        return self.linear(self.norm(x)) + noise * self.linear.weight[:, 0]


WAYS_TO_STOP = {
    "plain": {},
    "BatchNorm and dropout": {"batch_norm": True, "dropout": 0.3},
    "tabular": {"preset": "tabular"},
    "sgd": {"optimizer": "sgd", "max_grad_norm": 1.0},
    "module": {"module": Restless},
    "callbacks": {"callbacks": [EpochScoring("accuracy", lower_is_better=False)]},
    "teacher": {"teacher": GaussianNB(), "alpha": 0.5, "augment": None},
}


def stopped_early(case, X, y, **params):
    params = {"early_stopping": True, "max_epochs": 12} | WAYS_TO_STOP[case] | params
    held_out = {"X_val": X, "y_val": params.pop("y_val")} if "y_val" in params else {}
    clf = DistilledClassifier(preset="plain") if "teacher" in params else tiny(max_epochs=12)
    if "teacher" in params:
        params["teacher"] = params["teacher"].fit(X, y)
    clf.set_params(**{"hidden_layer_sizes": (4,), "batch_size": 30, "random_state": 0} | params)
    return clf.fit(X, y, **held_out)


def weights_of(clf):
    return clf.network_.state


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


@pytest.mark.filterwarnings("ignore:training has diverged")
@pytest.mark.parametrize("case", WAYS_TO_STOP)
def test_a_diverging_training_keeps_the_weights_it_began_with(case, iris_like):
    X, y = iris_like
    initial = {}

    class Remembers(Callback):
        def on_train_begin(self, net, **kwargs):
            state = net.module_.state_dict()
            initial.update({name: t.numpy().copy() for name, t in state.items()})

    callbacks = [*WAYS_TO_STOP[case].get("callbacks", []), Remembers()]
    wrong = (y + 1) % 3
    clf = stopped_early(case, X, y, learning_rate=50.0, callbacks=callbacks, y_val=wrong)
    assert clf.best_epoch_ == 0
    assert type(clf.best_epoch_) is int
    assert clf.n_iter_ == len(clf.history_) == len(clf.loss_curve_) >= 1
    assert initial.keys() == weights_of(clf).keys()
    for name, array in weights_of(clf).items():
        np.testing.assert_array_equal(array, initial[name])
    losses = [record["valid_loss"] for record in clf.history_]
    assert log_loss(wrong, clf.predict_proba(X)) < min(losses)


@pytest.mark.parametrize("split", [True, False], ids=["split", "X_val"])
@pytest.mark.parametrize("case", WAYS_TO_STOP)
def test_evaluating_the_initial_weights_does_not_change_a_bit(case, split, iris_like, monkeypatch):
    params = {"warm_start": True, "learning_rate": 0.05} | (
        {} if split else {"y_val": iris_like[1]}
    )
    looked = stopped_early(case, *iris_like, **params)
    assert looked.best_epoch_ >= 1

    def does_not_look(net, valid):
        net.loss_at_start = float("inf")

    monkeypatch.setattr(_Net, "keep_starting_weights", does_not_look)
    plain = stopped_early(case, *iris_like, **params)
    assert looked.best_epoch_ == plain.best_epoch_
    assert without_seconds(looked.history_) == without_seconds(plain.history_)
    for name, array in weights_of(plain).items():
        np.testing.assert_array_equal(weights_of(looked)[name], array)
    for name in {"generator", "global_generator"} & {*plain.training_state_}:
        np.testing.assert_array_equal(looked.training_state_[name], plain.training_state_[name])


@pytest.mark.parametrize(("first", "best_epoch"), [({}, 4), ({"early_stopping": True}, None)])
def test_best_epoch_of_a_warm_start_without_a_better_epoch_is_that_of_the_last_fit(
    first, best_epoch, iris_like
):
    X, y = iris_like
    clf = tiny(max_epochs=4, learning_rate=0.05, **first).fit(X, y, X_val=X, y_val=y)
    best_epoch = best_epoch or clf.best_epoch_
    before = clf.predict_proba(X)
    clf.set_params(warm_start=True, early_stopping=True, learning_rate=1e4)
    clf.fit(X, y, X_val=X, y_val=y)
    assert (clf.best_epoch_, clf.n_iter_) == (best_epoch, 8)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    clf.set_params(learning_rate=0.05).fit(X, y, X_val=X, y_val=y)
    assert clf.best_epoch_ > 8


def test_a_warm_start_from_epoch_0_stays_there(iris_like):
    X, y = iris_like
    clf = tiny(max_epochs=2, warm_start=True, early_stopping=True, learning_rate=1e4).fit(X, y)
    assert (clf.best_epoch_, clf.n_iter_) == (0, 2)
    assert clf.fit(X, y).best_epoch_ == 0
    assert clf.n_iter_ == 4


def test_an_epoch_as_good_as_the_initial_weights_is_taken():
    X, y = np.zeros((40, 2)), np.arange(40) % 2
    clf = tiny(hidden_layer_sizes=(), parametrization="ntk", early_stopping=True, shuffle=False)
    assert clf.set_params(batch_size=40).fit(X, y, X_val=X, y_val=y).best_epoch_ == 1
    np.testing.assert_array_equal(clf.predict_proba(X), 0.5)


def test_the_warning_of_divergence_names_the_weights_that_are_kept(iris_like):
    clf = tiny(**DIVERGING, early_stopping=True)
    with pytest.warns(UserWarning, match=r"row\. The weights are those it began with\. Lower"):
        clf.fit(*iris_like)
    np.testing.assert_allclose(clf.predict_proba(iris_like[0]), 1 / 3)
