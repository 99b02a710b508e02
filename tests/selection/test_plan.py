"""The plan of the last fit to all rows, and from where it continues."""

import re
from collections import namedtuple
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skkd import DistilledClassifier, NeuralClassifier
from skkd.schedules import CosineRestarts
from skkd.training import fit as fitting
from skkd.training.result import TrainingResult

random = np.random.default_rng(0)
X = random.standard_normal((3200, 3))  # a tenth of them is enough to hold out once
X[:, 2] = random.integers(0, 3, len(X))
y = (X[:, 0] * X[:, 1] + 0.3 * random.standard_normal(len(X)) > 0).astype(int)
LENGTHS = [2, 6, 14]
SETTINGS = {
    "hidden_layer_sizes": (16,),
    "random_state": 0,
    "lr_decay": CosineRestarts(2),
    "max_epochs": "auto",
    "numeric_encoding": None,
}
TRANSFER_SET = {"alpha": 0.5, "augment": "munge", "augment_size": 1000}
Call = namedtuple("Call", "n_rows n_epochs previous fitted again")


@pytest.fixture(autouse=True)
def no_more_than_three_lengths(monkeypatch):
    monkeypatch.setattr("skkd.selection.plan._lengths", lambda *settings: LENGTHS)


@pytest.fixture
def calls(monkeypatch):
    """The later calls of `fit_dataset`, in their order."""
    made, fit_dataset = [], fitting.fit_dataset

    def recorded(config, criterion, preprocessor, train, valid, *, n_epochs, previous=None, **rest):
        how = {"n_epochs": n_epochs, "previous": previous, **rest}
        again = partial(fit_dataset, config, criterion, preprocessor, train, valid, **how)
        made.append(Call(train.n_labelled or len(train), n_epochs, previous, again(), again))
        return made[-1].fitted

    monkeypatch.setattr(fitting, "fit_dataset", recorded)
    return made


def same_arrays(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])


def teacher(X):
    p = 1 / (1 + np.exp(-6 * X[:, 0] * X[:, 1]))
    return np.column_stack([1 - p, p])


class LinearTeacher(LogisticRegression):
    """Of the product of the first two columns."""

    def fit(self, X, y):
        return super().fit(X[:, :1] * X[:, 1:2], y)

    def predict_proba(self, X):
        return super().predict_proba(X[:, :1] * X[:, 1:2])


def student(**settings):
    settings = {"teacher": teacher} | SETTINGS | TRANSFER_SET | settings
    return DistilledClassifier(**settings).fit(X, y)


def starts_over(calls, clf):
    assert calls[-1].previous is None
    assert calls[-1].n_epochs == clf.n_iter_ > 2


def test_with_a_transfer_set_only_the_last_part_is_trained_again_on_all_rows(calls):
    clf = student()
    *selection, last = calls
    n_before = LENGTHS[LENGTHS.index(clf.n_iter_) - 1]
    assert [call.n_rows for call in selection] == [2880] * len(selection)
    assert last.n_rows == 3200
    assert last.n_epochs == clf.n_iter_ - n_before > 0
    assert clf.history_[:n_before] == last.previous.history
    losses = [record["train_loss"] for call in selection for record in call.fitted.history]
    assert [record["train_loss"] for record in clf.history_[:n_before]] == losses[:n_before]
    assert [record["epoch"] for record in clf.history_] == list(range(1, clf.n_iter_ + 1))
    assert [r["train_loss"] for r in clf.history_[n_before:]] == [
        r["train_loss"] for r in last.fitted.history
    ]
    assert clf.n_steps_ == last.previous.n_steps + last.fitted.n_steps
    assert clf.n_steps_ == clf.n_iter_ * (last.fitted.n_steps // last.n_epochs)
    assert clf.score(X, y) > 0.8


def test_the_last_fit_continues_the_selected_training(calls):
    clf = student()
    start, selection = calls[-1].previous, calls[0]
    by_hand = selection.again(n_epochs=LENGTHS[LENGTHS.index(clf.n_iter_) - 1], on_epoch=None)
    assert len(start.history) == len(by_hand.history)
    same_arrays(start.network.state, by_hand.network.state)
    states = [dict(fitted.training_state) for fitted in (start, by_hand)]
    moments = [state.pop("moments") for state in states]
    same_arrays(*states)
    assert len(moments[0]) == len(moments[1]) > 0
    for index in moments[0]:
        same_arrays(*(one[index] for one in moments))


def test_rate_and_temperature_are_those_of_the_whole_training(monkeypatch):
    clf, plain = student(), student(augment=None)
    assert clf.n_iter_ == plain.n_iter_ == LENGTHS[-1]
    of_whole = [record["learning_rate"] for record in plain.history_]
    assert [record["learning_rate"] for record in clf.history_] == pytest.approx(of_whole)

    def in_favour_of_transfer_sets(trials):
        return {trial: 0.1 if trial.candidate.transfer_set else 1 for trial in trials}

    margins = "skkd.selection.successive_halving._required_margins"
    monkeypatch.setattr(margins, in_favour_of_transfer_sets)
    auto = student(alpha="auto")
    assert auto.candidate_ == "transfer set"
    assert auto.network_.temperature != 1


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": None},  # each held-out row counts
        {"augment_size": 600},  # held out are more than half as many
        {"augment_size": "fresh"},  # the same rows would come again
        {"callbacks": [Callback()]},  # they are called for all epochs, and may change any
        {"preprocessor": StandardScaler()},  # its columns may differ each time
        {"fit_teacher": True},  # the last fit has another teacher
    ],
    ids=["labels", "small", "fresh", "callbacks", "transformer", "other teacher"],
)
def test_otherwise_training_starts_from_the_beginning(settings, calls):
    if "fit_teacher" in settings:
        settings = settings | {"teacher": LinearTeacher()}
    starts_over(calls, student(**settings))


def test_training_starts_from_the_beginning_if_the_last_part_would_be_the_shorter(
    calls, monkeypatch
):
    monkeypatch.setattr("skkd.selection.plan._lengths", lambda *settings: [2, 8, 14])
    clf = student()
    assert clf.n_iter_ == 14
    starts_over(calls, clf)


def test_training_starts_from_the_beginning_if_callbacks_watch_it(calls):
    clf = DistilledClassifier(teacher, **SETTINGS | TRANSFER_SET)
    clf.fit(X, y, X_val=X[:400], y_val=y[:400])
    starts_over(calls, clf)
    assert all("valid_loss" in record for record in clf.history_)
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(scoring="accuracy")
    clf = DistilledClassifier(teacher, **SETTINGS | TRANSFER_SET).set_callbacks(monitor).fit(X, y)
    starts_over(calls, clf)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == clf.n_iter_


@pytest.mark.parametrize(("n_rare", "differs"), [(0, False), (40, True)])
def test_training_starts_from_the_beginning_if_held_out_rows_change_the_inputs(
    n_rare, differs, calls
):
    rows = X.astype(object)
    rows[:, 2] = np.where(X[:, 2] > 0, "a", "b")
    rows[:n_rare, 2] = [f"only in row {i}" for i in range(n_rare)]

    def knows_numbers(rows):
        return teacher(rows[:, :2].astype(float))

    DistilledClassifier(knows_numbers, **SETTINGS | TRANSFER_SET).fit(rows, y)
    widths = [call.fitted.network.preprocessor.n_features for call in calls]
    assert (widths[-1] != widths[0]) == differs
    assert (calls[-1].previous is None) == differs


def test_labels_alone_are_learned_from_the_beginning(calls):
    starts_over(calls, NeuralClassifier(**SETTINGS).fit(X, y))


def test_epochs_are_shown_by_their_numbers(capsys):
    clf = student(verbose=2)
    shown = capsys.readouterr()
    lines = re.findall(r"^epoch (\d+): ", shown.out + shown.err, flags=re.MULTILINE)
    assert [int(line) for line in lines] == list(range(7, 15))
    assert clf.n_iter_ == 14
    assert "14/14" in shown.err


def test_a_warm_start_counts_its_own_epochs():
    clf = student(warm_start=True)
    n_epochs = clf.n_iter_
    clf.fit(X, y)
    assert clf.n_iter_ == 2 * n_epochs
    assert clf.history_[n_epochs]["learning_rate"] == clf.history_[0]["learning_rate"]


def test_earlier_epochs_are_counted_before_those_of_a_training():
    earlier = TrainingResult(None, [{"epoch": 1}, {"epoch": 2}], 2, {}, n_steps=20)
    later = TrainingResult(
        "network", [{"epoch": 1, "train_loss": 0.5}], 1, {"epochs_done": 3}, n_steps=9
    )
    both = later.preceded_by(earlier)
    assert both.history == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3, "train_loss": 0.5}]
    assert (both.best_epoch, both.n_steps) == (3, 29)
    assert (both.network, both.training_state) == (later.network, later.training_state)
    assert later.preceded_by(None) is later
    assert later.history == [{"epoch": 1, "train_loss": 0.5}]
    without_best = TrainingResult("network", [], None, {}).preceded_by(earlier)
    assert without_best.best_epoch is None
