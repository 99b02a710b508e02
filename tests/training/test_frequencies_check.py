import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import log_loss
from torch import nn

from skkd import DistilledClassifier, NeuralClassifier
from skkd.training import frequencies_check

N = 1500
RNG = np.random.RandomState(0)
X = RNG.standard_normal((N, 5))
Y = (X[:, 0] + RNG.standard_normal(N) > 1.6).astype(int)
P = np.vectorize(lambda z: 0.5 * math.erfc((1.6 - z) / math.sqrt(2)))(X[:, 0])
PROBA = np.column_stack([1 - P, P])
SETTINGS = {"hidden_layer_sizes": (16, 16), "max_epochs": 20, "random_state": 0}


def teacher(rows):
    z = (1.6 - np.asarray(rows)[:, 0]) / math.sqrt(2)
    p = 0.5 * np.vectorize(math.erfc)(z)
    return np.column_stack([1 - p, p])


class Net(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_classes))

    def forward(self, x):
        return self.layers(x)


def taught(**settings):
    return DistilledClassifier(teacher, **{"alpha": 0.5, "augment": None} | SETTINGS | settings)


PATHS = {
    "labels": NeuralClassifier(**SETTINGS),
    "labels, early stopping": NeuralClassifier(early_stopping=True, **SETTINGS),
    "module": NeuralClassifier(module=Net, **SETTINGS),
    "class weights": NeuralClassifier(class_weight="balanced", **SETTINGS),
    "teacher": taught(),
    "teacher alone": taught(alpha=1.0),
    "teacher, early stopping": taught(early_stopping=True),
    "teacher and class weights": taught(class_weight="balanced"),
    "transfer set": taught(augment="munge", augment_size=200),
    "selection": taught(alpha="auto", augment="auto"),
    "few steps": NeuralClassifier(batch_size=N, **SETTINGS),
}
TOLD = "no better than the class frequencies|training has diverged"


@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("path", PATHS)
def test_a_network_no_better_than_the_class_frequencies_warns(path, rate):
    clf = PATHS[path].set_params(learning_rate=rate)
    with warnings.catch_warnings(record=True, action="always") as caught:
        p = clf.fit(X, Y).predict_proba(X)
    messages = [str(w.message) for w in caught if w.category is UserWarning]
    weights = (1 / np.bincount(Y))[Y] if clf.class_weight else np.ones(N)
    shares = np.bincount(Y, weights) / weights.sum()
    of_shares = -(shares @ np.log(shares))
    loss = log_loss(Y, p, sample_weight=weights)
    if rate == 1.0 and loss < of_shares * (1 - 1e-3):  # this network has learned something
        assert messages == [] or clf.early_stopping  # of which the held-out rows are a part
        return
    assert loss > of_shares * (1 - 1e-3)
    (message,) = messages
    assert any(text in message for text in TOLD.split("|"))


@pytest.mark.parametrize("path", PATHS)
def test_a_healthy_training_does_not_warn(path):
    clf = PATHS[path].set_params(learning_rate=0.01)
    with warnings.catch_warnings(action="error"):
        clf.fit(X, Y)


def test_a_constant_network_warns_once_and_names_the_learning_rate():
    with pytest.warns(UserWarning, match="no better than the class.*learning_rate=10.0") as caught:
        PATHS["labels, early stopping"].set_params(learning_rate=10.0).fit(X, Y)
    assert len(caught) == 1


def test_a_warm_start_that_keeps_a_constant_network_warns_again():
    clf = NeuralClassifier(early_stopping=True, warm_start=True, learning_rate=1000.0, **SETTINGS)
    for _ in range(2):
        with pytest.warns(UserWarning, match=TOLD):
            clf.fit(X, Y)


@pytest.mark.parametrize("path", ["labels", "teacher"])
def test_a_few_epochs_of_few_steps_do_not_warn(path):
    clf = PATHS[path].set_params(learning_rate=1e-6, max_epochs=3)
    with warnings.catch_warnings(action="error"):
        clf.fit(X, Y)
    clf.set_params(max_epochs=20)


def test_early_stopping_that_keeps_the_weights_it_began_with_on_noise_does_not_warn():
    noise = np.random.RandomState(1).randint(2, size=60)
    clf = NeuralClassifier((32,), max_epochs=30, early_stopping=True, random_state=0)
    with warnings.catch_warnings(action="error"):
        clf.fit(X[:60], noise)


def test_partial_fit_does_not_warn():
    with warnings.catch_warnings(action="error"):
        NeuralClassifier((4,), learning_rate=1000.0, random_state=0).partial_fit(X, Y, [0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_label_smoothing_of_a_rare_class_is_no_reason_to_warn(smoothing):
    rare = (X[:, 0] > np.sort(X[:, 0])[-7]).astype(int)
    clf = NeuralClassifier((16,), max_epochs=60, label_smoothing=smoothing, random_state=0)
    with warnings.catch_warnings(action="error"):
        clf.set_params(learning_rate=0.02, class_weight=None).fit(X, rare)


def test_a_student_of_a_teacher_that_contradicts_the_labels_does_not_warn():
    with warnings.catch_warnings(action="ignore"):
        warnings.filterwarnings("error", "on its training rows|training has diverged")
        taught(alpha=1.0, learning_rate=0.01).fit(X, Y, teacher_proba=PROBA[:, ::-1])
        with pytest.raises(UserWarning, match=TOLD):
            taught(alpha=1.0, learning_rate=10.0).fit(X, Y, teacher_proba=PROBA[:, ::-1])


def test_large_tables_are_compared_on_a_part_of_their_rows(monkeypatch):
    monkeypatch.setattr(frequencies_check, "MOST_ROWS", 100)
    order = np.argsort(Y)  # the part holds rows of all classes
    with warnings.catch_warnings(action="error"):
        PATHS["labels"].set_params(learning_rate=0.01).fit(X[order], Y[order])
    with pytest.warns(UserWarning, match=TOLD):
        PATHS["labels"].set_params(learning_rate=1000.0).fit(X[order], Y[order])


@pytest.mark.parametrize("seed", range(3))
def test_early_stopping_with_a_smoothed_rare_class_is_no_reason_to_warn(seed):
    random_state = np.random.RandomState(seed)
    rows = random_state.standard_normal((2000, 6))
    signal = 0.7 * rows[:, 0] + random_state.logistic(size=2000)
    rare = (signal > np.sort(signal)[-41]).astype(int)
    clf = NeuralClassifier((8,), early_stopping=True, max_epochs=50, random_state=seed)
    clf.fit(rows, rare)  # warnings are errors


def test_logits_that_are_shifted_to_the_frequencies_show_what_smoothing_hides():
    codes = np.array([0] * 99 + [1])
    weights, shares = np.ones(100), np.array([0.99, 0.01])
    knows = np.log(np.where(np.arange(100)[:, None] > 89, [[0.4, 0.6]], [[0.8, 0.2]]))
    constant = np.log(np.full((100, 2), 0.5))
    better = frequencies_check._is_better_but_smooth
    assert better(knows, codes, weights, shares, 0.05)
    assert not better(constant, codes, weights, shares, 0.05)
