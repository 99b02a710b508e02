"""The number of epochs is selected on held-out rows."""

import warnings
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest
from sklearn.metrics import log_loss
from skorch.callbacks import Callback

from skkd import DistilledClassifier, NeuralClassifier
from skkd.inference.calibration import best_temperature
from skkd.inference.network import softmax
from skkd.schedules import Constant, CosineRestarts, CosLog, FlatCosine, WarmUp
from skkd.selection.epochs import FEWEST_ROWS, EpochChoice
from skkd.selection.successive_halving import Trial

SMALL = {"hidden_layer_sizes": (150,), "random_state": 1}

#: It selects among 4, 13, 30 and 64 epochs; by default a network of few units has 269.
TINY = {"hidden_layer_sizes": (4,), "lr_decay": "coslog", "batch_size": 64, "random_state": 0}


def table(n_rows=600, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 6))
    y = X[:, 0] * X[:, 1] + 0.3 * X[:, 2] > 0
    flipped = rng.random(n_rows) < noise
    return X, np.where(flipped, rng.random(n_rows) < 0.5, y)


@pytest.mark.parametrize(
    ("schedule", "n_epochs", "ends"),
    [
        (CosLog(), 64, [4, 13, 30, 64]),
        (CosLog(cycles=1), 10, [10]),
        (CosLog(), 2, [1, 2]),
        (CosineRestarts(period=2), 20, [2, 6, 14]),
        (CosineRestarts(period=5, period_factor=1), 15, [5, 10, 15]),
        (CosineRestarts(period=30), 20, [20]),
        (WarmUp("coslog", 4), 68, [8, 17, 34, 68]),
        (Constant(), 7, [7]),
        (FlatCosine(), 7, [7]),
    ],
    ids=str,
)
def test_a_schedule_names_the_epochs_after_which_its_rate_is_lowest(schedule, n_epochs, ends):
    assert schedule.ends(n_epochs) == ends


@pytest.mark.parametrize("schedule", [CosLog(), CosineRestarts(period=3)], ids=str)
def test_just_before_an_end_the_rate_is_lower_than_before_and_after(schedule):
    n_epochs, per_epoch = 60, 100
    rates = schedule.simulate(n_epochs * per_epoch, batches_per_epoch=per_epoch)
    for end in schedule.ends(n_epochs)[:-1]:
        lowest = rates[end * per_epoch - 1]
        assert lowest < 0.2
        assert lowest < rates[round((end - 0.5) * per_epoch)]
        assert lowest < max(rates[end * per_epoch : (end + 3) * per_epoch])


def judged(losses, weights=None):
    """The choice after judging lengths at which the rows have these log-losses."""
    n_rows = len(losses[0])
    weights = np.ones(n_rows) if weights is None else np.asarray(weights)
    choice = EpochChoice(np.zeros(n_rows, dtype=int), weights)
    stops = []
    with mock.patch("skkd.selection.epochs.best_temperature", return_value=1.0):
        for epoch, row_losses in enumerate(losses, start=1):
            p = np.exp(-np.asarray(row_losses, dtype=float))
            stops.append(choice.judge(epoch, np.log(np.column_stack([p, 1 - p]))))
    return choice, stops


def test_the_longest_is_chosen_that_is_not_clearly_worse():
    choice, stops = judged([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5], [0.2, 0.9, 0.46]])
    assert choice.n_epochs == 3  # worse by .02, with a standard error of .2
    assert stops == [False, False, False]
    assert choice.losses == pytest.approx({1: 1.0, 2: 0.5, 3: 1.56 / 3})


def test_a_clearly_worse_length_ends_the_search():
    choice, stops = judged([[0.5, 0.5, 0.5], [0.6, 0.7, 0.6]])
    assert choice.n_epochs == 1
    assert stops == [False, True]


def test_rows_of_weight_0_do_not_count_and_weight_2_is_a_row_twice():
    losses = [[0.5, 0.5, 0.5, 0.5], [0.7, 0.2, 0.6, 9.0]]
    weighted, _ = judged(losses, weights=[1, 2, 1, 0])
    repeated, _ = judged([[row[i] for i in (0, 1, 1, 2)] for row in losses])
    assert weighted.losses == pytest.approx(repeated.losses)
    assert weighted.n_epochs == repeated.n_epochs


def random_logits(n_rows=500, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n_rows, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    return logits, labels, np.ones(n_rows)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0, 20.0])
def test_the_best_temperature_undoes_a_temperature(temperature):
    logits, labels, weights = random_logits()
    before = best_temperature(logits, labels, weights)
    assert before == pytest.approx(1.0, abs=0.15)
    after = best_temperature(logits / temperature, labels, weights)
    assert after == pytest.approx(before / temperature, rel=1e-3)


def test_no_temperature_is_better_than_the_best():
    logits, labels, weights = random_logits(5000)
    best = best_temperature(logits, labels, weights)
    losses = [log_loss(labels, softmax(logits / t)) for t in (best / 1.1, best, best * 1.1)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("n_rows", [5, 50, 500])
def test_the_temperature_of_correct_predictions_is_limited_by_their_number(n_rows):
    logits = np.tile([1.0, 0.0], (n_rows, 1))
    labels, weights = np.zeros(n_rows, dtype=int), np.ones(n_rows)
    p = softmax(logits / best_temperature(logits, labels, weights))[0, 1]
    assert p == pytest.approx(0.5 / (n_rows + 1), rel=0.01)  # Laplace's rule, with one row


@pytest.mark.parametrize(("later", "n_epochs"), [(1.05, 2), (1.08, 1)])
def test_a_length_outside_the_fixed_tolerance_is_not_selected_on_few_rows(later, n_epochs):
    noise = np.array([-0.4, 0.4] * 10)
    choice, stops = judged([0.5 + noise, 0.5 * later - noise])
    assert choice.n_epochs == n_epochs
    assert stops == [False, False]


def test_losses_that_creep_up_are_compared_with_the_best():
    losses = [np.full(20, 0.5) + 0.04 * epoch + 0.1 * (np.arange(20) % 2) for epoch in range(4)]
    losses[1][::2] -= 0.1  # not clearly worse
    choice, stops = judged(losses)
    assert choice.n_epochs == 2
    assert stops == [False, False, True, True]


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_a_factor_of_all_weights_changes_neither_choice_nor_temperature(factor):
    logits, labels, weights = random_logits(300)
    choices = []
    for scale in (1.0, factor):
        choices.append(EpochChoice(labels, scale * weights))
        choices[-1].judge(1, logits)
    assert choices[0].temperature == pytest.approx(choices[1].temperature)
    assert choices[0].losses == pytest.approx(choices[1].losses)


def test_one_heavy_row_counts_as_one_row():
    _, labels, weights = random_logits(300)
    weights[0] = 1e9
    choice = EpochChoice(labels, weights)
    assert choice.weights.sum() == pytest.approx(1.0, abs=1e-5)


class EndsAt4(Trial):
    """Selects 4 epochs, whatever the logits are."""

    def judge(self, epoch, logits):
        self.n_epochs, self.losses, self.temperature = 4, {4: 0.5}, 2.0
        self.judged.append((epoch, len(logits)))
        return epoch >= 13

    judged: ClassVar[list] = []


def test_the_fit_has_as_many_epochs_as_are_chosen_and_all_rows(monkeypatch):
    monkeypatch.setattr("skkd.selection.successive_halving.Trial", EndsAt4)
    X, y = table()
    clf = NeuralClassifier(**SMALL).fit(X, y)
    assert EndsAt4.judged == [(4, 180), (13, 180)]  # three times a tenth of 600
    assert clf.n_iter_ == len(clf.history_) == 4
    assert clf.held_out_losses_ == {4: 0.5}
    assert clf.network_.temperature == 2.0
    given = NeuralClassifier(max_epochs=64, **SMALL, callbacks=[("stop", StopAt(4))]).fit(X, y)
    np.testing.assert_allclose(2 * clf.decision_function(X), given.decision_function(X), rtol=1e-5)


class StopAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_a_fit_that_a_callback_ends_has_no_temperature_of_another_length():
    clf = NeuralClassifier(**SMALL, callbacks=[("stop", StopAt(2))]).fit(*table())
    assert clf.n_iter_ == 2
    assert clf.network_.temperature == 1.0


def test_a_warm_start_selects_nothing():
    X, y = table()
    clf = NeuralClassifier(**SMALL, warm_start=True).fit(X, y)
    assert clf.held_out_losses_ is not None
    first, temperature = clf.n_iter_, clf.network_.temperature
    assert temperature != 1
    assert clf.fit(X, y).held_out_losses_ is None
    assert clf.n_iter_ == 2 * first
    assert clf.network_.temperature == temperature
    assert clf.fit(X, y).n_iter_ == 3 * first
    assert clf.set_params(max_epochs=5).fit(X, y).n_iter_ == 3 * first + 5


@pytest.mark.parametrize("settings", [{"class_weight": "balanced"}, {"class_weight": {0: 1, 1: 9}}])
def test_weights_of_classes_do_not_keep_rows_from_being_held_out(settings):
    X, y = table()
    rare = y & (np.arange(len(y)) % 10 == 0)
    clf = NeuralClassifier(**SMALL, **settings).fit(X, rare)
    assert clf.held_out_losses_ is not None


def test_partial_fit_continues_from_the_weights_without_their_temperature():
    X, y = table()
    clf = NeuralClassifier(**SMALL, warm_start=True).fit(X, y)
    loss = clf.loss_curve_[-1]
    assert clf.network_.temperature != 1.0
    clf.partial_fit(X, y)
    assert clf.held_out_losses_ is None
    assert clf.loss_curve_[-1] < loss + 0.05


def test_too_few_held_out_rows_choose_nothing():
    X, y = table()
    clf = NeuralClassifier(**SMALL).fit(X, y, X_val=X[:5], y_val=y[:5])
    assert clf.held_out_losses_ is None


def test_probabilities_get_the_temperature_that_held_out_rows_ask_for():
    X, y = table(3000)
    X_test, y_test = table(2000, seed=1)
    chosen = NeuralClassifier(label_smoothing=0.4, **SMALL).fit(X, y)
    given = NeuralClassifier(label_smoothing=0.4, max_epochs=chosen.n_iter_, **SMALL).fit(X, y)
    assert (chosen.predict(X_test) == given.predict(X_test)).all()
    loss, of_given = (log_loss(y_test, clf.predict_proba(X_test)) for clf in (chosen, given))
    assert loss < 0.7 * of_given
    logits = given.decision_function(X_test)
    temperature = chosen.network_.temperature
    np.testing.assert_allclose(chosen.decision_function(X_test), logits / temperature, rtol=1e-3)


def test_a_choice_of_all_epochs_is_the_fit_of_that_number_but_for_its_temperature():
    X, y = table(3000)
    chosen = NeuralClassifier(**SMALL).fit(X, y)
    assert chosen.n_iter_ == 64
    given = NeuralClassifier(max_epochs=64, **SMALL).fit(X, y)
    assert given.held_out_losses_ is None
    for name, array in given.network_.state.items():
        if not name.startswith("output."):
            np.testing.assert_array_equal(chosen.network_.state[name], array)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_epochs": 3},
        {"preset": "plain", "n_iter_no_change": 1, "tol": 10.0},
        {"early_stopping": True, "n_iter_no_change": 1, "tol": 10.0},
        {"lr_decay": "cosine"},
    ],
    ids=str,
)
def test_nothing_is_chosen_where_there_is_one_length(settings):
    assert NeuralClassifier(**SMALL, **settings).fit(*table(300)).held_out_losses_ is None


def test_few_rows_are_all_trained_on():
    for n_rows, chooses in [(FEWEST_ROWS - 1, False), (FEWEST_ROWS, True)]:
        clf = NeuralClassifier(**TINY).fit(*table(n_rows))
        assert (clf.held_out_losses_ is not None) == chooses


def test_validation_rows_of_the_caller_replace_the_split():
    X, y = table(noise=0.5)
    X_val, y_val = table(300, noise=0.5, seed=1)
    own = NeuralClassifier(**SMALL).fit(X, y, X_val=X_val, y_val=y_val)
    split = NeuralClassifier(**SMALL).fit(X, y)
    assert own.held_out_losses_ != split.held_out_losses_
    assert "valid_loss" in own.history_[0]


def test_callbacks_are_called_in_the_last_fit_only():
    begun = []

    class Count(Callback):
        def on_train_begin(self, net, **kwargs):
            begun.append(net)

    NeuralClassifier(**TINY, callbacks=[Count()]).fit(*table(300))
    assert len(begun) == 1


def test_a_rare_class_is_no_obstacle_and_no_warning():
    X, y = table(300)
    y = y.astype(int)
    y[0] = 2
    clf = NeuralClassifier(**TINY).fit(X, y)
    assert clf.predict_proba(X).shape == (300, 3)


def test_a_student_chooses_by_true_labels_and_keeps_the_temperature_of_its_teacher():
    X, y = table(1500, noise=0.5)
    overfitted = np.column_stack([~y, y]) * 0.98 + 0.01  # a teacher that has overfitted
    settings = {"hidden_layer_sizes": (256, 256), "random_state": 3}
    student = DistilledClassifier(alpha=1.0, **settings).fit(X, y, teacher_proba=overfitted)
    assert student.n_iter_ < 64
    assert min(student.held_out_losses_) < 64
    assert not hasattr(student.student_, "held_out_losses_")
    untaught = NeuralClassifier(**settings).fit(X, y)
    assert student.network_.temperature == 1.0
    assert untaught.network_.temperature != 1.0
    sure = np.abs(student.predict_proba(X) - 0.5).mean()
    assert sure > np.abs(untaught.predict_proba(X) - 0.5).mean()


def test_a_rate_that_is_far_too_high_warns():
    with pytest.warns(UserWarning, match=r"no better than the class frequencies.*learning_rate=30"):
        NeuralClassifier(learning_rate=30.0, **SMALL).fit(*table())


def test_a_network_that_learns_does_not_warn():
    with warnings.catch_warnings(action="error"):
        NeuralClassifier(**SMALL).fit(*table())
