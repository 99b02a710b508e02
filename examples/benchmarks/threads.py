"""
Threads: the size from which two are faster than one
====================================================

With `n_threads=None` skkd chooses the number of threads by the number of parameters of the network
times the rows of a batch. The choice must not depend on the machine, because the number of threads
changes the last bits of a fit. The limit comes from this benchmark: it times fits with one and with
two threads, and prints the ratio of the times.
"""

import itertools
import time

import numpy as np

from skkd import NeuralClassifier
from skkd.runtime import default_n_threads

SETTINGS = [
    # columns, layers, batch size
    (20, (100,), 200),
    (30, (128, 128), 256),
    (54, (256, 256), 512),
    (100, (256, 256, 256), 1024),
    (784, (800, 800), 256),
    (784, (1200, 1200), 512),
    (20, (100,), 20_000),
]


def seconds_per_batch(X, y, layers, batch_size, n_threads, n_epochs):
    clf = NeuralClassifier(
        layers,
        preset="plain",
        batch_size=batch_size,
        max_epochs=n_epochs,
        n_iter_no_change=None,
        n_threads=n_threads,
        random_state=0,
    ).fit(X, y)
    per_epoch = [record["seconds"] for record in clf.history_]
    return min(per_epoch) / -(-len(X) // batch_size)


def main():
    rng = np.random.default_rng(0)
    print("milliseconds per batch (best epoch)")
    print(" columns       layers  batch     work        1        2    2/1  chosen")
    for n_columns, layers, batch_size in SETTINGS:
        X = rng.standard_normal((4 * batch_size, n_columns))
        y = (X[:, 0] > 0).astype(int)
        widths = (n_columns, *layers, 2)
        n_parameters = sum(a * b + b for a, b in itertools.pairwise(widths))
        began, n_epochs = time.perf_counter(), 4
        one = seconds_per_batch(X, y, layers, batch_size, 1, n_epochs)
        n_epochs = max(4, int(10 / max(time.perf_counter() - began, 0.1)))
        one = seconds_per_batch(X, y, layers, batch_size, 1, n_epochs)
        two = seconds_per_batch(X, y, layers, batch_size, 2, n_epochs)
        name = "-".join(map(str, layers))
        work = n_parameters * batch_size
        chosen = default_n_threads(n_parameters, batch_size)
        print(
            f"{n_columns:8} {name:>12} {batch_size:6} {work:8.0e} "
            f"{one * 1e3:8.3f} {two * 1e3:8.3f} {two / one:6.2f}  {chosen}"
        )


if __name__ == "__main__":
    main()
