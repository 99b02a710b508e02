"""
How long training, importing and predicting take
================================================

``NeuralClassifier`` against ``MLPClassifier``: the same rows, layers, epochs and batches
in the same run, one thread each, so that only the ratios say something about another
machine. Prints three tables; takes about a minute.
"""

import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from skkd import NeuralClassifier

# %%
# Training
# --------
# Both standardise nothing and never stop early. They take turns, and the quickest of
# three counts: whatever else a machine does can only slow a run down.

SETTINGS = [
    {"n_rows": 20_000, "n_features": 20, "layers": (100,), "epochs": 10, "batch_size": 200},
    {"n_rows": 50_000, "n_features": 100, "layers": (256, 256), "epochs": 3, "batch_size": 512},
]


def make_rows(n_rows, n_features):
    X, y = make_classification(n_rows, n_features, n_informative=15, n_classes=3, random_state=0)
    return X.astype(np.float32), y


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def make_pair(layers, epochs, batch_size):
    never = 10**6  # epochs without improvement
    mlp = MLPClassifier(
        layers, max_iter=epochs, batch_size=batch_size, n_iter_no_change=never, random_state=0
    )
    neural = NeuralClassifier(
        layers,
        max_epochs=epochs,
        batch_size=batch_size,
        n_iter_no_change=None,
        preprocessor=None,
        n_threads=1,
        random_state=0,
    )
    return mlp, neural


def compare_training():
    print("training, seconds (1 thread, best of 3)")
    print(f"{'rows x columns':>16}{'layers':>12}{'MLP':>9}{'Neural':>9}{'ratio':>8}")
    for setting in SETTINGS:
        X, y = make_rows(setting["n_rows"], setting["n_features"])
        mlp, neural = make_pair(setting["layers"], setting["epochs"], setting["batch_size"])
        mlp_times, neural_times = [], []
        for _ in range(3):
            mlp_times.append(seconds(lambda: mlp.fit(X, y)))  # noqa: B023
            neural_times.append(seconds(lambda: neural.fit(X, y)))  # noqa: B023
        size = f"{setting['n_rows']} x {setting['n_features']}"
        best, ours = min(mlp_times), min(neural_times)
        layers = "-".join(map(str, setting["layers"]))
        print(f"{size:>16}{layers:>12}{best:9.2f}{ours:9.2f}{ours / best:8.2f}")
    print("  a ratio below 1 means that NeuralClassifier is quicker\n")
    return mlp, neural, X


# %%
# Importing
# ---------
# In fresh processes: torch is imported by the first fit, not by the import.


def compare_imports():
    print("import, seconds in a fresh process (median of 5, the interpreter's start taken off)")
    codes = ["pass", "import sklearn.neural_network", "from skkd import NeuralClassifier"]
    times = {code: [] for code in codes}
    for _ in range(6):
        for code, taken in times.items():
            command = [sys.executable, "-c", code]
            taken.append(seconds(lambda: subprocess.run(command, check=True)))  # noqa: B023
    # The first round warms the disk's cache.
    start, *medians = (statistics.median(taken[1:]) for taken in times.values())
    for code, median in zip(codes[1:], medians, strict=True):
        print(f"{code:>36}{median - start:9.2f}")
    print()


# %%
# Predicting
# ----------
# ``predict_proba`` is NumPy in float64; ``module_`` is the same network in torch, given
# rows that are float32 tensors already, and MLPClassifier answers in float32 as well.


def latency(function, seconds_to_spend=0.5):
    function()
    times = []
    end = time.perf_counter() + seconds_to_spend
    while time.perf_counter() < end:
        times.append(seconds(function))
    return statistics.median(times) * 1e3


def compare_predictions(mlp, neural, X):
    module = neural.module_
    print("predict_proba, milliseconds (1 thread, median)")
    print(f"{'rows':>8}{'MLP':>10}{'Neural':>10}{'module_':>10}")
    for n_rows in (1, 10_000):
        rows = X[:n_rows]
        tensor = torch.tensor(rows)

        def in_torch(tensor=tensor):
            with torch.inference_mode():
                return torch.softmax(module(tensor), dim=1)

        print(
            f"{n_rows:8}"
            f"{latency(lambda: mlp.predict_proba(rows)):10.3f}"  # noqa: B023
            f"{latency(lambda: neural.predict_proba(rows)):10.3f}"  # noqa: B023
            f"{latency(in_torch):10.3f}"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)  # so few epochs never converge
    torch.set_num_threads(1)
    with threadpool_limits(1):
        mlp, neural, X = compare_training()
        compare_imports()
        compare_predictions(mlp, neural, X)
