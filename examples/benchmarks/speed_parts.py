"""Tasks, rows, fits and rounds, which the parts of ``speed.py`` share."""

from statistics import median
from time import perf_counter

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skkd import DistilledClassifier, NeuralClassifier

#: The tasks: a small, a usual, a deep and a wide network. Each is fitted for a few epochs and for
#: more epochs: the difference gives the time of an epoch, without the fixed cost of a fit.
WORKS = {
    "a": {"shape": (1_797, 64, 10), "hidden": (100,), "batch": 200, "epochs": (10, 110)},
    "b": {"shape": (20_000, 20, 2), "hidden": (100,), "batch": 200, "epochs": (1, 11)},
    "c": {"shape": (50_000, 50, 2), "hidden": (256,) * 3, "batch": 256, "epochs": (1, 2)},
    "d": {"shape": (60_000, 784, 10), "hidden": (800, 800), "batch": 128, "epochs": (1, 2)},
}
RATE, DECAY = 1e-3, 1e-4


class Rows:
    """The arrays of a task, the same for all contenders."""

    def __init__(self, work):
        n_rows, n_features, self.n_classes = work["shape"]
        draw = np.random.default_rng(0)
        self.X = draw.standard_normal((n_rows, n_features), dtype=np.float32)
        self.y = draw.integers(self.n_classes, size=n_rows)
        self.weights = draw.uniform(0.5, 1.5, n_rows)
        self.teacher_proba = draw.dirichlet(np.ones(self.n_classes), n_rows)


# %%
# Fits
# ----
# Each of these functions takes a task, its rows and a number of epochs. It returns a function
# without arguments that fits.


def skkd_fit(work, rows, epochs, weighted=False, distilling=False, **settings):
    settings = {
        "preset": "plain",  # the network that the others train
        "hidden_layer_sizes": work["hidden"],
        "batch_size": work["batch"],
        "max_epochs": epochs,
        "n_iter_no_change": None,
        "preprocessor": None,
        "weight_decay": DECAY,
        "n_threads": torch.get_num_threads(),
        "random_state": 0,
        **settings,
    }
    weights = rows.weights if weighted else None
    if distilling:
        clf = DistilledClassifier(temperature=2.0, alpha=0.5, **settings)
        return lambda: clf.fit(rows.X, rows.y, weights, teacher_proba=rows.teacher_proba)
    clf = NeuralClassifier(**settings)
    return lambda: clf.fit(rows.X, rows.y, weights)


def mlp_fit(work, rows, epochs, dtype=np.float32, scaled=False):
    settings = {"batch_size": work["batch"], "max_iter": epochs, "n_iter_no_change": 10**6}
    clf = MLPClassifier(work["hidden"], random_state=0, **settings)
    if scaled:
        clf = make_pipeline(StandardScaler(), clf)
    X = rows.X.astype(dtype)
    return lambda: clf.fit(X, rows.y)


def skorch_fit(work, rows, epochs):
    net = NeuralNetClassifier(
        module(work),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        batch_size=work["batch"],
        iterator_train__shuffle=True,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
    )
    return lambda: net.fit(rows.X, rows.y)


class FeatureScale(nn.Module):
    """A learned scale of each feature."""

    def __init__(self, n_features):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_features))

    def forward(self, x):
        return x * self.scale


def module(work, batch_norm=False, dropout=0.0, activation=nn.ReLU, feature_scale=False):
    _, width, n_classes = work["shape"]
    layers = [FeatureScale(width)] if feature_scale else []
    for units in work["hidden"]:
        layers.append(nn.Linear(width, units, bias=not batch_norm))
        layers += [nn.BatchNorm1d(units)] if batch_norm else []
        layers.append(activation())
        layers += [nn.Dropout(dropout)] if dropout else []
        width = units
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


# %%
# Taking turns
# ------------

#: No further round is started after this many seconds.
LIMIT = 100


def seconds(function):
    start = perf_counter()
    function()
    return perf_counter() - start


def rounds_of(functions, n_rounds, repeats=1, warm_up=None):
    """Time functions in turn, for several rounds; return name -> seconds of each round.

    Seconds are the median of `repeats` calls. Before the first round the functions named in
    `warm_up`, by default all of them, are called once.
    """
    start = perf_counter()
    for name in functions if warm_up is None else warm_up:
        functions[name]()
    times = {name: [] for name in functions}
    for done in range(n_rounds):
        if done and perf_counter() - start > LIMIT:
            break
        for name, function in functions.items():
            times[name].append(median(seconds(function) for _ in range(repeats)))
    return times


def ratio(ours, theirs):
    """Return the median of the rounds' ratios."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))
