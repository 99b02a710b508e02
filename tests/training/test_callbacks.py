"""Callbacks of skorch and of scikit-learn, and the progress bar."""

import copy
import pickle
from itertools import pairwise

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    LoadInitState,
    LRScheduler,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    Unfreezer,
)

from skkd import NeuralClassifier, progress

N_EPOCHS = 6


class TwoLayers(torch.nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(
            torch.nn.Linear(n_features, 8), torch.nn.ReLU(), torch.nn.Linear(8, n_classes)
        )


def classifier(*callbacks, **settings):
    defaults = {"preset": "plain", "learning_rate": 0.03, "batch_size": 20, "random_state": 0}
    return NeuralClassifier(
        (8,), max_epochs=N_EPOCHS, callbacks=list(callbacks), **defaults | settings
    )


def weights(clf):
    return joblib.hash(clf.network_.state)


class Spy(Callback):
    """Appends the last epoch of the history to a list."""

    def __init__(self, recorded):
        self.recorded = recorded

    def on_epoch_end(self, net, **kwargs):
        self.recorded.append(dict(net.history[-1]))


@pytest.mark.parametrize("on_train", [True, False])
def test_epoch_scoring_scores_each_epoch(on_train, iris_like):
    recorded = []
    scoring = EpochScoring("accuracy", lower_is_better=False, on_train=on_train, name="score")
    clf = classifier(scoring, Spy(recorded), early_stopping=True, n_iter_no_change=None)
    clf.fit(*iris_like)
    scores = [epoch["score"] for epoch in recorded]
    assert len(scores) == N_EPOCHS
    assert max(scores) > 0.6
    if not on_train:
        accuracies = [record["valid_accuracy"] for record in clf.history_]
        np.testing.assert_allclose(scores, accuracies, atol=1e-6)


def test_epoch_scoring_takes_a_callable_that_calls_predict(iris_like):
    recorded = []

    def score(net, X, y):
        return accuracy_score(y, net.predict(X))

    scoring = EpochScoring(score, name="score", lower_is_better=False)
    clf = classifier(scoring, Spy(recorded), early_stopping=True, n_iter_no_change=None)
    clf.fit(*iris_like)
    found = [epoch["score"] for epoch in recorded]
    np.testing.assert_allclose(found, [record["valid_accuracy"] for record in clf.history_])


def test_the_history_of_skorch_has_our_records(iris_like):
    recorded = []
    clf = classifier(Spy(recorded), early_stopping=True, n_iter_no_change=None).fit(*iris_like)
    for epoch, record in zip(recorded, clf.history_, strict=True):
        assert epoch["train_loss"] == record["train_loss"]
        assert epoch["valid_loss"] == record["valid_loss"]
        assert epoch["valid_acc"] == record["valid_accuracy"]
        assert epoch["lr"] == record["learning_rate"]
        assert epoch["dur"] == record["seconds"]
    assert recorded[0]["train_loss_best"] and recorded[0]["valid_loss_best"]


def test_skorchs_early_stopping_ends_the_training(iris_like):
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=0.9, sink=lambda text: 0)
    assert classifier(stopping).fit(*iris_like).n_iter_ == 3


def test_early_stopping_with_load_best_gives_back_the_best_weights(iris_like):
    stopping = EarlyStopping(
        monitor="train_loss", patience=2, threshold=0.9, load_best=True, sink=lambda text: 0
    )
    stopped = classifier(stopping).fit(*iris_like)
    assert stopped.n_iter_ == 3
    best = NeuralClassifier(**(stopped.get_params() | {"max_epochs": 1, "callbacks": None}))
    assert weights(stopped) == weights(best.fit(*iris_like))


def test_checkpoint_writes_the_fitted_weights(tmp_path, iris_like):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    clf = classifier(checkpoint).fit(*iris_like)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    for name, weight in clf.module_.state_dict().items():
        assert torch.equal(saved[name], weight)
    assert (tmp_path / "history.json").stat().st_size > 100


def test_lr_scheduler_sets_the_rate_where_lr_decay_is_constant(iris_like):
    halving = LRScheduler(policy=torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    clf = classifier(halving).fit(*iris_like)
    rates = [record["learning_rate"] for record in clf.history_]
    np.testing.assert_allclose(rates, 0.03 * 0.5 ** np.arange(N_EPOCHS))


def test_gradient_norm_clipping_is_max_grad_norm(iris_like):
    clipped = classifier(GradientNormClipping(0.05), optimizer="sgd").fit(*iris_like)
    ours = classifier(max_grad_norm=0.05, optimizer="sgd").fit(*iris_like)
    assert weights(clipped) == weights(ours)
    assert weights(clipped) != weights(classifier(optimizer="sgd").fit(*iris_like))


@pytest.mark.parametrize(("module", "first_layer"), [(None, "linear1*"), (TwoLayers, "0.*")])
def test_freezer_keeps_the_first_layer_as_it_was(module, first_layer, iris_like):
    starts = []

    class Start(Callback):
        def on_train_begin(self, net, **kwargs):
            starts.append([p.detach().clone() for p in net.module_.parameters()])

    clf = classifier(Start(), Freezer(first_layer), module=module).fit(*iris_like)
    same = [
        torch.equal(before, after)
        for before, after in zip(starts[0], clf.module_.parameters(), strict=True)
    ]
    assert same == [True, True, False, False]


def test_print_log_writes_a_row_per_epoch(iris_like):
    lines = []
    classifier(PrintLog(sink=lines.append)).fit(*iris_like)
    assert "train_loss" in lines[0]
    assert len(lines) == 2 + N_EPOCHS


def test_skorchs_progress_bar_shows_the_batches_of_each_epoch(iris_like, capsys):
    classifier(ProgressBar(detect_notebook=False)).fit(*iris_like)
    assert capsys.readouterr().err.count("0/5") >= N_EPOCHS


class CountsBatches(Callback):
    def __init__(self, counts):
        self.counts = counts

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.counts.append(("begin", training, len(batch[0])))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(parameter.grad is not None for _, parameter in named_parameters)
        self.counts.append(("gradient", True, None))

    def on_batch_end(self, net, batch=None, training=None, y_pred=None, loss=None, **kwargs):
        X, y = batch
        assert y_pred.shape == (len(X), 3) and len(y) == len(X) and float(loss) > 0
        self.counts.append(("end", training, len(X)))


def test_batch_callbacks_are_called_for_every_batch(iris_like):
    counts = []
    classifier(CountsBatches(counts), early_stopping=True, n_iter_no_change=None).fit(*iris_like)
    trained = [size for event, training, size in counts if event == "end" and training]
    watched = [size for event, training, size in counts if event == "end" and not training]
    assert trained == [20, 20, 20, 21] * N_EPOCHS
    assert watched == [9] * N_EPOCHS
    assert sum(event == "gradient" for event, *_ in counts) == 4 * N_EPOCHS
    assert sum(event == "begin" for event, *_ in counts) == 5 * N_EPOCHS


@pytest.mark.parametrize(
    "entry", [EpochTimer(), ("timer", EpochTimer()), EpochTimer], ids=["object", "pair", "class"]
)
def test_callbacks_are_objects_or_pairs_or_classes(entry, iris_like):
    recorded = []
    classifier(entry, Spy(recorded)).fit(*iris_like)
    assert all(epoch["dur"] >= 0 for epoch in recorded)
    assert len(recorded) == N_EPOCHS


@pytest.mark.parametrize("callbacks", ["early", [3], EpochTimer(), [("timer", 3)]])
def test_objects_that_are_no_callbacks_are_refused(callbacks, iris_like):
    clf = classifier().set_params(callbacks=callbacks)
    with pytest.raises(TypeError, match="callbacks=.* is not allowed: give"):
        clf.fit(*iris_like)


def test_callbacks_are_copied_before_they_run(iris_like):
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=0.9, sink=lambda text: 0)
    scoring = EpochScoring("accuracy", on_train=True, lower_is_better=False)
    clf = classifier(("stopping", stopping), scoring)
    given, entries = clf.callbacks, list(clf.callbacks)
    before = [copy.copy(vars(callback)) for callback in (stopping, scoring)]
    first = clf.fit(*iris_like)
    expected = weights(first), first.n_iter_
    assert clf.callbacks is given and clf.callbacks == entries
    assert [vars(callback) for callback in (stopping, scoring)] == before
    again = clf.fit(*iris_like)
    assert (weights(again), again.n_iter_) == expected


WATCHERS = {
    "epochs": lambda path: [Spy([]), EpochTimer(), PrintLog(sink=lambda text: 0)],
    "scores": lambda path: [EpochScoring("accuracy", on_train=True, name="score")],
    "batches": lambda path: [CountsBatches([])],
    "checkpoint": lambda path: [Checkpoint(dirname=str(path), monitor=None)],
    "bar": lambda path: [ProgressBar(detect_notebook=False)],
}


@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout": 0.3, "batch_norm": True, "early_stopping": True}, {"module": TwoLayers}],
    ids=["plain", "dropout", "module"],
)
def test_callbacks_that_only_watch_do_not_change_a_bit(watcher, settings, tmp_path, iris_like):
    quiet = classifier(**settings).fit(*iris_like)
    recorded = classifier(*WATCHERS[watcher](tmp_path), **settings).fit(*iris_like)
    assert weights(recorded) == weights(quiet)
    assert recorded.loss_curve_ == quiet.loss_curve_


@pytest.mark.parametrize("verbose", [1, 2, True])
def test_verbose_does_not_change_a_bit(verbose, iris_like):
    quiet = classifier(dropout=0.3, early_stopping=True).fit(*iris_like)
    loud = classifier(dropout=0.3, early_stopping=True, verbose=verbose).fit(*iris_like)
    assert weights(loud) == weights(quiet)


def test_nothing_is_printed_by_default(iris_like, capsys):
    classifier(early_stopping=True).fit(*iris_like).predict(iris_like[0])
    assert capsys.readouterr() == ("", "")


def test_verbose_1_shows_a_bar_with_losses_and_metrics(iris_like, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a bar leaves out text that does not fit
    classifier(early_stopping=True, n_iter_no_change=None, verbose=1).fit(*iris_like)
    shown = capsys.readouterr()
    assert shown.out == ""
    for what in ("train_loss=", "valid_loss=", "valid_accuracy=", "learning_rate=", "epoch"):
        assert what in shown.err
    assert f"{N_EPOCHS}/{N_EPOCHS}" in shown.err


def test_one_bar_shows_what_is_tried_and_what_was_selected(capsys, monkeypatch):
    titles, show = [], progress.ProgressBar.show

    def recording_show(self, title, metrics):
        titles.append(title)
        show(self, title, metrics)

    monkeypatch.setattr(progress.ProgressBar, "show", recording_show)
    X = np.random.RandomState(0).standard_normal((300, 2))
    schedule = {"max_epochs": "auto", "lr_decay": "coslog"}
    clf = NeuralClassifier(8, verbose=1, **schedule).fit(X, X[:, 0] > 0)
    taken = f"selected labels, {clf.n_iter_} epochs"
    assert set(titles) == {*(f"trying labels, fold {k} of 3" for k in (1, 2, 3)), taken, None}
    shown = capsys.readouterr().err
    assert taken in shown
    assert "fitting all rows" in shown
    assert shown.count("\n") == 2  # one bar for the selection, and one for the last fit


def test_verbose_2_writes_a_line_per_epoch(iris_like, capsys):
    classifier(early_stopping=True, n_iter_no_change=None, verbose=2).fit(*iris_like)
    shown = capsys.readouterr()
    lines = [line for line in (shown.out + shown.err).splitlines() if line.startswith("epoch ")]
    assert len(lines) == N_EPOCHS
    assert all("train_loss" in line and "valid_loss" in line for line in lines)


def test_a_search_clones_callbacks(iris_like):
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=0.9, sink=lambda text: 0)
    search = GridSearchCV(classifier(stopping), {"dropout": [0.0, 0.1]}, cv=2).fit(*iris_like)
    assert search.best_estimator_.n_iter_ == 3
    assert search.best_estimator_.callbacks[0] is not stopping


def scikit_learn_callbacks():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")


class Recorder:
    """A callback of scikit-learn's protocol that records its calls."""

    def __init__(self, stop_after=None, fail_after=None):
        self.stop_after = stop_after
        self.fail_after = fail_after
        self.events = []
        self.answers = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        self.answers.append(fitted_estimator.predict_proba(X))
        if self.fail_after == context.task_id and context.task_name == "epoch":
            raise RuntimeError("a callback fails")
        return self.stop_after == context.task_id and context.task_name == "epoch"


@pytest.fixture
def recorder():
    scikit_learn_callbacks()
    return Recorder


def test_callbacks_of_scikit_learn_are_called_for_the_fit_and_each_epoch(recorder, iris_like):
    recorded = recorder()
    clf = classifier().set_callbacks(recorded).fit(*iris_like)
    epochs = ["begin epoch", "end epoch"] * N_EPOCHS
    assert recorded.events == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    np.testing.assert_array_equal(recorded.answers[-1], clf.predict_proba(iris_like[0]))
    np.testing.assert_array_equal(recorded.answers[-2], recorded.answers[-1])
    assert not np.array_equal(recorded.answers[0], recorded.answers[1])


@pytest.mark.parametrize("module", [None, TwoLayers])
def test_the_fitted_estimator_of_an_epoch_predicts_like_a_fit_of_that_length(
    module, recorder, iris_like
):
    recorded = recorder()
    clf = classifier(module=module).set_callbacks(recorded).fit(*iris_like)
    shorter = clone(clf).set_params(max_epochs=2).set_callbacks().fit(*iris_like)
    np.testing.assert_array_equal(recorded.answers[1], shorter.predict_proba(iris_like[0]))
    assert weights(clf) == weights(classifier(module=module).fit(*iris_like))


def test_a_callback_of_scikit_learn_stops_the_training(recorder, iris_like):
    recorded = recorder(stop_after=2)
    clf = classifier().set_callbacks(recorded).fit(*iris_like)
    assert clf.n_iter_ == 3
    assert recorded.events[-3:] == ["end epoch", "end fit", "teardown"]


def test_every_epoch_that_begins_ends_where_early_stopping_stops(recorder, iris_like):
    recorded = recorder()
    clf = classifier(n_iter_no_change=2, tol=10.0).set_callbacks(recorded).fit(*iris_like)
    assert clf.n_iter_ < N_EPOCHS
    assert recorded.events.count("begin epoch") == recorded.events.count("end epoch") == clf.n_iter_


def test_teardown_is_called_after_an_error_and_nothing_is_left(recorder, iris_like):
    recorded = recorder(fail_after=1)
    clf = classifier().set_callbacks(recorded)
    before = dict(vars(clf))
    with pytest.raises(RuntimeError, match="a callback fails"):
        clf.fit(*iris_like)
    assert recorded.events[-1] == "teardown"
    assert vars(clf) == before
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(iris_like[0], iris_like[1][:-1])
    assert vars(clf) == before


def test_a_fit_with_callbacks_leaves_no_other_attributes(recorder, iris_like):
    plain = classifier().fit(*iris_like)
    recorded = classifier().set_callbacks(recorder()).fit(*iris_like)
    assert set(vars(recorded)) - set(vars(plain)) == {"_skl_callbacks"}


def test_scoring_monitor_logs_a_row_per_epoch(iris_like):
    monitor = scikit_learn_callbacks().ScoringMonitor(scoring="accuracy")
    clf = classifier().set_callbacks(monitor).fit(*iris_like)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == N_EPOCHS
    assert rows[-1]["accuracy"] == clf.score(*iris_like) > 0.5


def test_scoring_monitor_logs_the_epochs_of_every_fit_of_a_search(iris_like):
    monitor = scikit_learn_callbacks().ScoringMonitor(scoring="accuracy")
    clf = classifier().set_callbacks(monitor)
    GridSearchCV(clf, {"dropout": [0.0, 0.1]}, cv=2).fit(*iris_like)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == N_EPOCHS * (2 * 2 + 1)


@pytest.mark.parametrize("in_a_search", [False, True])
def test_scikit_learns_progress_bar_shows_the_fit(in_a_search, iris_like, capsys):
    callbacks = scikit_learn_callbacks()
    pytest.importorskip("rich")
    clf = GridSearchCV(classifier(), {"dropout": [0.0]}, cv=2) if in_a_search else classifier()
    clf.set_callbacks(callbacks.ProgressBar()).fit(*iris_like)
    assert "NeuralClassifier" in capsys.readouterr().out


@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_of_probabilities_reach_the_history(use_caching, iris_like):
    X, y = iris_like
    scoring = EpochScoring("neg_log_loss", name="score", use_caching=use_caching)
    clf = classifier(scoring).fit(X, y, X_val=X, y_val=y)
    for record in clf.history_:
        assert record["score"] == pytest.approx(-record["valid_loss"], rel=1e-4)


def test_a_checkpoint_gives_back_the_best_weights(iris_like, tmp_path):
    X, y = iris_like
    checkpoint = Checkpoint(dirname=tmp_path, load_best=True, monitor="valid_loss_best")
    clf = classifier(checkpoint, learning_rate=0.5).fit(X, y, X_val=X, y_val=y)
    best = min(record["valid_loss"] for record in clf.history_)
    assert log_loss(y, clf.predict_proba(X)) == pytest.approx(best, rel=1e-4)


class IsEpoch:
    """A monitor by which one epoch is the best."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, net):
        return net.history[-1, "epoch"] == self.epoch


@pytest.mark.parametrize("module", [None, TwoLayers])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("best", [1, 3, N_EPOCHS])
def test_a_checkpoint_gives_back_the_best_epoch_wherever_it_is(
    best, watched, module, iris_like, tmp_path
):
    X, y = iris_like
    held_out = {"X_val": X, "y_val": y} if watched else {}
    settings = {"module": module, "n_iter_no_change": None}
    checkpoint = Checkpoint(dirname=tmp_path, load_best=True, monitor=IsEpoch(best))
    clf = classifier(checkpoint, **settings).fit(X, y, **held_out)
    plain = classifier(**settings).fit(X, y, **held_out)
    shorter = clone(plain).set_params(max_epochs=best).fit(X, y)
    assert weights(clf) == weights(shorter)
    assert clf.loss_curve_ == plain.loss_curve_
    assert (clf.n_iter_, clf.best_epoch_) == (N_EPOCHS, None)
    assert [record["epoch"] for record in clf.history_] == list(range(1, N_EPOCHS + 1))
    assert [set(record) for record in clf.history_] == [set(record) for record in plain.history_]


# The validation loss is lowest in the last, in a middle and in the first epoch.
@pytest.mark.parametrize("rate", [0.01, 0.5, 4.0])
@pytest.mark.parametrize("monitor", ["valid_loss_best", "train_loss_best"])
def test_under_early_stopping_the_weights_are_those_of_best_epoch(
    monitor, rate, iris_like, tmp_path
):
    settings = {"early_stopping": True, "n_iter_no_change": None, "learning_rate": rate}
    checkpoint = Checkpoint(dirname=tmp_path, load_best=True, monitor=monitor)
    clf = classifier(checkpoint, **settings).fit(*iris_like)
    plain = classifier(**settings).fit(*iris_like)
    assert weights(clf) == weights(plain)
    losses = [record["valid_loss"] for record in clf.history_]
    assert clf.best_epoch_ == plain.best_epoch_ == 1 + int(np.argmin(losses))
    assert len(losses) == N_EPOCHS


def test_only_a_lower_loss_is_the_best_so_far(iris_like):
    recorded = []
    X, y = iris_like
    classifier(Spy(recorded), learning_rate=1e-30).fit(X, y, X_val=X, y_val=y)
    assert [epoch["valid_loss_best"] for epoch in recorded] == [True] + [False] * (N_EPOCHS - 1)


def resuming(path, **settings):
    saving = TrainEndCheckpoint(dirname=str(path))
    return classifier(saving, LoadInitState(saving), **settings)


RESUMING = {
    "TrainEndCheckpoint": lambda path: TrainEndCheckpoint(dirname=path),
    "Checkpoint": lambda path: Checkpoint(dirname=path, monitor=None),
}


@pytest.mark.parametrize("kind", RESUMING)
@pytest.mark.parametrize("copied", [lambda clf: clf, clone], ids=["as it is", "clone"])
@pytest.mark.parametrize("saving_first", [True, False])
def test_training_resumes_from_what_was_saved(kind, copied, saving_first, iris_like, tmp_path):
    recorded = []
    saving = RESUMING[kind](str(tmp_path))
    links = [saving, ("loading", LoadInitState(saving))]
    callbacks = links if saving_first else links[::-1]
    first = copied(classifier(*callbacks, shuffle=False)).fit(*iris_like)
    again = copied(classifier(*callbacks, shuffle=False))
    again.set_params(callbacks=[*again.callbacks, Spy(recorded)]).fit(*iris_like)
    longer = classifier(shuffle=False).set_params(max_epochs=2 * N_EPOCHS).fit(*iris_like)
    assert weights(again) == weights(longer)
    assert first.loss_curve_ + again.loss_curve_ == longer.loss_curve_
    assert [epoch["epoch"] for epoch in recorded] == list(range(N_EPOCHS + 1, 2 * N_EPOCHS + 1))
    assert again.n_iter_ == N_EPOCHS


def test_a_loaded_history_counts_for_what_is_the_best_loss(iris_like, tmp_path):
    resuming(tmp_path).fit(*iris_like)
    recorded, (X, y) = [], iris_like
    worse = resuming(tmp_path)
    worse.set_params(callbacks=[*worse.callbacks, Spy(recorded)]).fit(X, (y + 1) % 3)
    assert not any(epoch["train_loss_best"] for epoch in recorded)


@pytest.mark.parametrize("batches", [[], [CountsBatches([])]], ids=["epochs", "batches"])
def test_the_history_counts_batches_as_skorch_does(batches, iris_like):
    recorded = []
    X, y = iris_like
    classifier(Spy(recorded), *batches).fit(X, y)
    assert [epoch["train_batch_count"] for epoch in recorded] == [5] * N_EPOCHS
    assert not any("valid_batch_count" in epoch for epoch in recorded)
    recorded.clear()
    classifier(Spy(recorded), *batches).fit(X, y, X_val=X, y_val=y)
    assert [epoch["valid_batch_count"] for epoch in recorded] == [1] * N_EPOCHS


CALLS = {
    "partial_fit": lambda clf, X, y: clf.partial_fit(X, y, classes=[0, 1, 2]),
    "warm_start": lambda clf, X, y: clf.set_params(warm_start=True, max_epochs=1).fit(X, y),
}


def in_calls(call, *callbacks, n_calls=4, copied=lambda clf: clf, **settings):
    """A classifier after some calls of one epoch each, and its weights after each."""
    data, after = settings.pop("data"), []
    clf = classifier(*callbacks, **settings)
    for _ in range(n_calls):
        clf = copied(CALLS[call](clf, *data))
        after.append([p.detach().clone() for p in clf.module_.parameters()])
    return clf, after


def changes(after, parameter):
    """Whether a parameter changed in each call but the first."""
    return [not torch.equal(a[parameter], b[parameter]) for a, b in pairwise(after)]


class CountsEpochs(Callback):
    """Records the number of each epoch that begins, and the number of batches before it."""

    seen: list = []

    def on_epoch_begin(self, net, **kwargs):
        n_batches = sum(epoch["train_batch_count"] for epoch in net.history[:-1])
        self.seen.append((net.history[-1, "epoch"], n_batches))


def pickled(clf):
    return pickle.loads(pickle.dumps(clf))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("copied", [lambda clf: clf, pickled], ids=["same", "pickled"])
def test_the_history_goes_on_over_calls(call, copied, iris_like, monkeypatch):
    monkeypatch.setattr(CountsEpochs, "seen", [])
    clf, _ = in_calls(call, CountsEpochs(), copied=copied, data=iris_like)
    assert CountsEpochs.seen == [(1, 0), (2, 5), (3, 10), (4, 15)]
    CALLS[call](clf.set_params(callbacks=None), *iris_like)
    CALLS[call](clf.set_params(callbacks=[CountsEpochs()]), *iris_like)
    assert CountsEpochs.seen[-1] == (6, 25)
    assert [record["epoch"] for record in clf.history_] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("call", CALLS)
def test_what_callbacks_recorded_is_there_in_later_calls(call, iris_like, tmp_path):
    seen = []

    class Reader(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append([(e["score"], e["score_best"], e["event_cp"]) for e in net.history])

    callbacks = [
        EpochScoring("accuracy", on_train=True, name="score", lower_is_better=False),
        Checkpoint(dirname=str(tmp_path), monitor="score_best"),
        Reader(),
    ]
    clf, _ = in_calls(call, *callbacks, data=iris_like, learning_rate=0.001)
    scores = [record["score"] for record in clf.history_]
    assert [score for score, _, _ in seen[-1]] == scores[:-1]
    is_best = [not any(earlier >= s for earlier in scores[:i]) for i, s in enumerate(scores)]
    assert [best for _, best, _ in seen[-1]] == is_best[:-1]
    assert [saved for _, _, saved in seen[-1]] == is_best[:-1]


def test_fit_begins_a_new_history(iris_like):
    recorded = []
    clf = classifier(Spy(recorded))
    clf.fit(*iris_like).fit(*iris_like)
    assert [epoch["epoch"] for epoch in recorded] == 2 * list(range(1, N_EPOCHS + 1))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("module", "first_layer"), [(None, "linear1*"), (TwoLayers, "0.*")])
def test_an_unfreezer_fires_in_its_epoch_over_calls(call, module, first_layer, iris_like):
    callbacks = [Freezer(first_layer), Unfreezer(first_layer, at=3)]
    _, after = in_calls(call, *callbacks, module=module, data=iris_like)
    assert changes(after, 0) == [False, True, True]
    assert changes(after, 2) == [True, True, True]


@pytest.mark.parametrize("call", CALLS)
def test_without_callbacks_nothing_stays_frozen(call, iris_like):
    clf, _ = in_calls(call, Freezer("linear1*"), data=iris_like)
    before = [p.detach().clone() for p in clf.module_.parameters()]
    CALLS[call](clf.set_params(callbacks=None), *iris_like)
    assert not any(map(torch.equal, before, clf.module_.parameters()))


SCHEDULERS = {
    "ExponentialLR": {"gamma": 0.5},
    "StepLR": {"step_size": 2, "gamma": 0.1},
    "LambdaLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
    "OneCycleLR": {"max_lr": 0.3, "total_steps": 9},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("policy", SCHEDULERS)
def test_a_scheduler_of_torch_goes_on_over_calls_as_in_skorch(policy, call, iris_like):
    X, y = iris_like
    scheduler = LRScheduler(getattr(torch.optim.lr_scheduler, policy), **SCHEDULERS[policy])
    clf, _ = in_calls(call, scheduler, data=iris_like)
    rates = []

    class Rates(Callback):
        def on_epoch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    options = {"lr": 0.03, "optimizer": torch.optim.Adam, "train_split": None, "max_epochs": 1}
    callbacks = [scheduler, Rates()]
    net = NeuralNetClassifier(lambda: TwoLayers(4, 3), callbacks=callbacks, verbose=0, **options)
    for _ in range(4):
        net.partial_fit(X.astype(np.float32), y)
    assert [record["learning_rate"] for record in clf.history_] == pytest.approx(rates)
