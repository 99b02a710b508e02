"""
How fast networks are fitted and asked: skkd beside its peers
=============================================================

Everybody trains the same network on the same arrays with Adam, without early stopping, in
one process and with as many threads (``--threads``), so only the ratios say something about
another machine. In each round the contenders take turns, and a ratio is the median of the
rounds' ratios.

``python examples/benchmarks/speed.py`` prints the tables, writes them as CSV and draws the
picture of the docs. ``--works a b`` and ``--rounds 3`` do less; quiet cores do better.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from threadpoolctl import threadpool_limits
from torch import nn
from tqdm import tqdm

from skkd import DistilledClassifier, NeuralClassifier
from skkd.losses import distillation_loss
from skkd.teachers import TeacherMismatchWarning

#: A small, a usual, a deep and a wide network. Each is fitted for a few and for more epochs:
#: the difference is the time of an epoch, without what a fit costs besides.
WORKS = {
    "a": {"shape": (1_797, 64, 10), "hidden": (100,), "batch": 200, "epochs": (10, 110)},
    "b": {"shape": (20_000, 20, 2), "hidden": (100,), "batch": 200, "epochs": (1, 11)},
    "c": {"shape": (50_000, 50, 2), "hidden": (256,) * 3, "batch": 256, "epochs": (1, 3)},
    "d": {"shape": (60_000, 784, 10), "hidden": (800, 800), "batch": 128, "epochs": (1, 2)},
}
RATE, DECAY = 1e-3, 1e-4


class Rows:
    """The arrays of a work, the same for everybody."""

    def __init__(self, work):
        n_rows, n_features, self.n_classes = work["shape"]
        draw = np.random.default_rng(0)
        self.X = draw.standard_normal((n_rows, n_features), dtype=np.float32)
        self.y = draw.integers(self.n_classes, size=n_rows)
        self.weights = draw.uniform(0.5, 1.5, n_rows)
        self.answers = draw.dirichlet(np.ones(self.n_classes), n_rows)


# %%
# The contenders
# --------------
# Each is a function of a work, its rows and a number of epochs, and returns the fit.


def skkd_fit(work, rows, epochs, weighted=False, distilling=False, **settings):
    settings |= {
        "hidden_layer_sizes": work["hidden"],
        "batch_size": work["batch"],
        "max_epochs": epochs,
        "n_iter_no_change": None,
        "preprocessor": None,
        "weight_decay": DECAY,
        "n_threads": torch.get_num_threads(),
        "random_state": 0,
    }
    weights = rows.weights if weighted else None
    if distilling:
        clf = DistilledClassifier(temperature=2.0, alpha=0.5, **settings)
        return lambda: clf.fit(rows.X, rows.y, weights, teacher_proba=rows.answers)
    clf = NeuralClassifier(**settings)
    return lambda: clf.fit(rows.X, rows.y, weights)


def mlp_fit(work, rows, epochs, dtype=np.float32):
    settings = {"batch_size": work["batch"], "max_iter": epochs, "n_iter_no_change": 10**6}
    clf = MLPClassifier(work["hidden"], random_state=0, **settings)
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


def loop_fit(work, rows, epochs, row_loss=None, fused=True, **layers):
    """The loop of the tutorials: slices, autograd, Adam."""
    X, y = torch.from_numpy(rows.X), torch.from_numpy(rows.y)
    weights = torch.from_numpy(rows.weights).float()
    teacher = torch.from_numpy(rows.answers).log().float()

    def loss(z, i):
        if row_loss is None:
            return nn.functional.cross_entropy(z, y[i])
        return row_loss(z, y[i], weights[i], teacher[i]).mean()

    def fit():
        net = module(work, **layers)
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE, weight_decay=DECAY, fused=fused)
        for _ in range(epochs):
            for i in torch.randperm(len(X)).split(work["batch"]):
                optimizer.zero_grad()
                loss(net(X[i]), i).backward()
                optimizer.step()

    return fit


def module(work, batch_norm=False, dropout=0.0):
    _, width, n_classes = work["shape"]
    layers = []
    for units in work["hidden"]:
        layers.append(nn.Linear(width, units, bias=not batch_norm))
        layers += [nn.BatchNorm1d(units)] if batch_norm else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout(dropout)] if dropout else []
        width = units
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


def with_weights(z, y, weights, teacher):
    return weights * nn.functional.cross_entropy(z, y, reduction="none")


def with_teacher(z, y, weights, teacher):
    return distillation_loss(y, z, teacher, temperature=2.0, alpha=0.5)


#: What is compared with what: name -> (ours, the others).
CONTESTS = {
    "plain": (
        skkd_fit,
        {
            "MLPClassifier float32": mlp_fit,
            "MLPClassifier float64": lambda *args: mlp_fit(*args, dtype=np.float64),
            "skorch": skorch_fit,
            "eager loop": lambda *args: loop_fit(*args, fused=False),
            "fused loop": loop_fit,
        },
    ),
    "weights": (
        lambda *args: skkd_fit(*args, weighted=True),
        {"fused loop": lambda *args: loop_fit(*args, row_loss=with_weights)},
    ),
    "BatchNorm and dropout": (
        lambda *args: skkd_fit(*args, batch_norm=True, dropout=0.2),
        {"fused loop": lambda *args: loop_fit(*args, batch_norm=True, dropout=0.2)},
    ),
    "distillation": (
        lambda *args: skkd_fit(*args, distilling=True),
        {"fused loop": lambda *args: loop_fit(*args, row_loss=with_teacher)},
    ),
}


# %%
# Taking turns
# ------------


def seconds(function):
    start = perf_counter()
    function()
    return perf_counter() - start


def rounds_of(functions, n_rounds, repeats=1):
    """Name -> seconds of each round; every function is warmed up first."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(n_rounds):
        for name, function in functions.items():
            times[name].append(median(seconds(function) for _ in range(repeats)))
    return times


def ratio(ours, theirs):
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def fit_times(name, contest, n_rounds):
    """Rows of the table: microseconds of a batch, of a whole fit, and ratios."""
    work = WORKS[name]
    rows, (few, more) = Rows(work), work["epochs"]
    ours, others = CONTESTS[contest]
    contenders = {"skkd": ours, **others}
    fits = {
        (who, epochs): make(work, rows, epochs)
        for who, make in contenders.items()
        for epochs in (few, more)
    }
    times = rounds_of(fits, n_rounds)
    n_batches = -(-len(rows.X) // work["batch"]) * (more - few)
    of_batch = {
        who: [(b - a) / n_batches for a, b in zip(times[who, few], times[who, more], strict=True)]
        for who in contenders
    }
    for who in contenders:
        yield {
            "work": name,
            "contest": contest,
            "who": who,
            "batch, us": 1e6 * median(of_batch[who]),
            "skkd's batch": ratio(of_batch["skkd"], of_batch[who]),
            "fit, s": median(times[who, more]),
            "skkd's fit": ratio(times["skkd", more], times[who, more]),
        }


def predict_times(n_rounds):
    """Rows of the table: microseconds for 1, 100 and 100,000 rows."""
    work = WORKS["a"]
    rows = Rows(work)
    many = np.resize(rows.X, (100_000, rows.X.shape[1]))
    ours = skkd_fit(work, rows, 1)()
    net = skorch_fit(work, rows, 1)()
    raw = ours.module_
    forest = RandomForestClassifier(500, n_jobs=2, random_state=0).fit(rows.X, rows.y)
    forest.set_params(n_jobs=1)
    contenders = {
        "skkd": ours.predict_proba,
        "MLPClassifier": mlp_fit(work, rows, 1)().predict_proba,
        "skorch": net.predict_proba,
        "raw module": lambda X: torch.softmax(raw(torch.from_numpy(X)), 1).numpy(),
        "forest of 500": forest.predict_proba,
    }
    for n_rows, repeats in ((1, 50), (100, 20), (100_000, 1)):
        some = dict(contenders)
        if n_rows > 100:
            del some["forest of 500"]  # a minute
        X = many[:n_rows]
        calls = {who: (lambda ask=ask, X=X: ask(X)) for who, ask in some.items()}
        with torch.inference_mode():
            times = rounds_of(calls, n_rounds, repeats)
        for who in some:
            yield {
                "rows": n_rows,
                "who": who,
                "time, us": 1e6 * median(times[who]),
                "skkd's": ratio(times["skkd"], times[who]),
            }


def other_numbers():
    """Import time against scikit-learn's, memory of a fit over that of X, size of a pickle."""
    imports = {
        "skkd": "from skkd import NeuralClassifier, DistilledClassifier",
        "MLPClassifier": "import sklearn.neural_network",
    }
    run = {who: (lambda code=code: python(code)) for who, code in imports.items()}
    times = rounds_of(run, 5)
    yield {"what": "import, s", **{who: median(t) for who, t in times.items()}}
    peak = float(python(PEAK_OF_A_FIT))
    yield {"what": "peak of fit (d) beyond X, in sizes of X", "skkd": peak}
    work = WORKS["a"]
    rows = Rows(work)
    sizes = {"skkd": skkd_fit(work, rows, 1)(), "MLPClassifier": mlp_fit(work, rows, 1)()}
    yield {
        "what": "pickle of (a), kB",
        **{who: len(pickle.dumps(clf)) / 1e3 for who, clf in sizes.items()},
    }


PEAK_OF_A_FIT = """
import resource, numpy as np
from skkd import NeuralClassifier
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def fit(X, y):
    settings = {"batch_size": 128, "max_epochs": 1, "n_threads": 1, "random_state": 0}
    NeuralClassifier((800, 800), **settings).fit(X, y)
draw = np.random.default_rng(0)
X, y = draw.standard_normal((60_000, 784), dtype=np.float32), draw.integers(10, size=60_000)
fit(X[:256], np.arange(256) % 10)  # imports, and the network
before = peak()
fit(X, y)
print((peak() - before) / X.nbytes)
"""


def python(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# %%
# Tables and picture
# ------------------


def draw(table, path):
    """How much of each contender's time skkd takes, per batch."""
    import matplotlib.pyplot as plt

    plain = [line for line in table if line["contest"] == "plain" and line["who"] != "skkd"]
    works = list(dict.fromkeys(line["work"] for line in plain))
    figure, panels = plt.subplots(
        1, len(works), figsize=(2.4 * len(works) + 1.5, 3), sharey=True, layout="constrained"
    )
    for axes, name in zip(np.atleast_1d(panels), works, strict=True):
        lines = [line for line in plain if line["work"] == name]
        axes.barh([line["who"] for line in lines], [line["skkd's batch"] for line in lines])
        axes.axvline(1, color="black", linewidth=1)
        n_rows, n_features, _ = WORKS[name]["shape"]
        hidden = "-".join(map(str, WORKS[name]["hidden"]))
        axes.set_title(f"{n_rows:,} x {n_features}, {hidden}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("time of a training step, skkd over the other (shorter: skkd is faster)")
    figure.savefig(path, dpi=110)
    print("the picture is in", path)


def main():
    parser = argparse.ArgumentParser(description="Time skkd and its peers.")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--contests", nargs="+", choices=CONTESTS, default=list(CONTESTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    default = Path(tempfile.gettempdir()) / "speed"
    parser.add_argument("--out", type=Path, default=default, help="folder of CSVs and picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", TeacherMismatchWarning)  # answers at random
    warnings.filterwarnings("ignore", message="Stochastic Optimizer")
    with threadpool_limits(options.threads):
        torch.set_num_threads(options.threads)
        contests = [(name, contest) for name in options.works for contest in options.contests]
        fits = []
        for name, contest in tqdm(contests, unit="contest"):
            fits += fit_times(name, contest, options.rounds)
        predictions = list(predict_times(options.rounds))
    others = list(other_numbers())
    tables = {"fits": fits, "predictions": predictions, "others": others}
    for title, table in tables.items():
        table = pd.DataFrame(table)
        table.to_csv(options.out / f"{title}.csv", index=False)
        print(f"\n{title}")
        print(table.to_string(index=False, na_rep="", float_format="{:,.3g}".format))
    if "plain" in options.contests:
        draw(fits, options.out / "speed.png")


if __name__ == "__main__":
    main()
