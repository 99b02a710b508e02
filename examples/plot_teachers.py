"""
Five teachers and their students
================================

A forest of 500 trees takes megabytes on disk, and many milliseconds to predict one row. A
:class:`~skkd.DistilledClassifier` learns from the forest's probabilities. The result is a small
network that can replace the forest. This script measures size, time and accuracy for forests,
boosting and a bag of large networks, on two real data sets. It also measures the most important
baseline: the **same network trained on the labels alone**.
"""

# %%
# Set up
# ------
# Everything is repeated over several splits of the data. ``--quick`` takes fewer splits,
# trees and epochs; ``--out`` is the path of the picture.

import argparse
import importlib.util
import pickle
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, stdev
from time import perf_counter

import numpy as np
from scipy.ndimage import shift
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skkd import DistilledClassifier, NeuralClassifier

parser = argparse.ArgumentParser(description="Distil five teachers and measure the students.")
parser.add_argument("--quick", action="store_true", help="2 splits, fewer trees and epochs")
default = Path(tempfile.gettempdir()) / "plot_teachers.png"
parser.add_argument("--out", type=Path, default=default, help="path of the picture")
options = parser.parse_args()

SEEDS = range(2) if options.quick else range(5)
N_TREES, N_ROUNDS, N_EPOCHS = (100, 15, 20) if options.quick else (500, 50, 40)
DATA = {"digits": load_digits, "breast cancer": load_breast_cancer}

# %%
# Teachers and students
# ---------------------
# There are two teachers. Their students have one hidden layer of 16 or of 64 units. Each student
# has a **twin**: the same network, seed, rows, number of steps and schedule, but no teacher.
# Neither student nor twin stops early: on data sets as small as these, holding out rows for early
# stopping made the twins worse. ``preset="plain"`` is the network of the textbooks. The default
# preset would change much more than the hidden layer.
#
# The forest predicts 0 if no tree votes for a class. At a temperature above 1 ``proba_floor``,
# which replaces such zeros, decides how soft they become. With ``augment=None`` there are no
# synthetic rows, so student and twin learn from the same rows.

TEACHERS = {
    "forest": lambda seed: RandomForestClassifier(N_TREES, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(max_iter=N_ROUNDS, random_state=seed),
}
SIZES = (16, 64)
TAUGHT = {"temperature": 2, "alpha": 0.9, "augment": None, "proba_floor": 1e-3}


def network(units, seed):
    """Return the parameters that a student and its twin share."""
    return {
        "preset": "plain",
        "hidden_layer_sizes": (units,),
        "learning_rate": 0.01,
        "lr_decay": "cosine",
        "batch_size": 64,
        "max_epochs": N_EPOCHS,
        "random_state": seed,
    }


# %%
# What is measured
# ----------------
# For each model this script measures the accuracy and the log-loss on test rows, how often the
# model agrees with the teacher, the size of its pickle, and the time of ``predict_proba`` for one
# row (a different row each time) and for 10,000 rows. Times are medians, on one thread.

limits = threadpool_limits(1)


def seconds(predict, batches):
    times = []
    for batch in batches:
        start = perf_counter()
        predict(batch)
        times.append(perf_counter() - start)
    return median(times)


def measure(model, teacher, X_test, y_test):
    many = X_test[np.arange(10_000) % len(X_test)]
    return {
        "accuracy": model.score(X_test, y_test),
        "log-loss": log_loss(y_test, model.predict_proba(X_test)),
        "agreement": float(np.mean(model.predict(X_test) == teacher.predict(X_test))),
        "bytes": len(pickle.dumps(model)),
        "one row": seconds(model.predict_proba, [X_test[i : i + 1] for i in range(15)]),
        "10,000 rows": seconds(model.predict_proba, [many] * 3),
    }


# %%
# On the teacher's own rows
# -------------------------

results = defaultdict(list)  # (data, teacher, model) -> one dict of measures per seed
runs = [(data, seed) for data in DATA for seed in SEEDS]
for data, seed in tqdm(runs, desc="forests and boosting", unit="split"):
    X, y = DATA[data](return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)
    twins = {n: NeuralClassifier(**network(n, seed)).fit(X_train, y_train) for n in SIZES}
    for name, make in TEACHERS.items():
        teacher = make(seed).fit(X_train, y_train)
        models = {"teacher": teacher}
        for n, twin in twins.items():
            student = DistilledClassifier(teacher, **TAUGHT, **network(n, seed))
            models[f"{n} units, distilled"] = student.fit(X_train, y_train).student_
            models[f"{n} units, labels"] = twin
        for model_name, model in models.items():
            measures = measure(model, teacher, X_test, y_test)
            results[data, name, model_name].append(measures)

# %%
# A teacher that is a better network
# ----------------------------------
# A forest teaches little to a network that is already as accurate. In Hinton's classical case the
# teacher is a bag of large networks, trained on more images than the student. Here only a quarter
# of the digits has labels. The bag is also trained on each image shifted by half a pixel in eight
# directions. Its student of 128 units is trained on the original images, and learns the effect of
# shifts from the bag's soft labels alone. ``weight_decay`` has the value that was best for the twin
# on other splits. The last model is a further baseline: it has no teacher, but is trained on the
# shifted images, with the same number of steps.

BAG_TAUGHT = {"temperature": 4, "alpha": 0.9, "augment": None, "proba_floor": 1e-5}


def shifted(images):
    """Return nine copies of each image of 8 by 8 pixels: unshifted, and in eight directions."""
    squares = images.reshape(-1, 8, 8)
    steps = (-0.5, 0, 0.5)
    moved = [shift(squares, (0, down, right), order=1) for down in steps for right in steps]
    return np.concatenate(moved).reshape(-1, 64)


def bag_of_large_networks(seed):
    large = NeuralClassifier(
        (256, 256),
        preset="plain",
        dropout=0.3,
        learning_rate=0.003,
        lr_decay="cosine",
        batch_size=128,
        max_epochs=13,
    )
    return BaggingClassifier(large, 4, bootstrap=False, random_state=seed)


X, y = load_digits(return_X_y=True)
for seed in tqdm(SEEDS, desc="bags of networks", unit="split"):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, train_size=0.25, random_state=seed
    )
    X_shifted, y_shifted = shifted(X_train), np.tile(y_train, 9)
    bag = bag_of_large_networks(seed).fit(X_shifted, y_shifted)
    small = network(128, seed) | {"batch_size": 32, "weight_decay": 0.001}
    small["max_epochs"] = 99  # a multiple of 9, because it is divided by 9 below
    student = DistilledClassifier(bag, **BAG_TAUGHT, **small).fit(X_train, y_train)
    twin = NeuralClassifier(**small).fit(X_train, y_train)
    small["max_epochs"] //= 9  # nine times the rows, so the number of steps is the same
    twin_with_shifts = NeuralClassifier(**small).fit(X_shifted, y_shifted)
    for model_name, model in {
        "teacher": bag,
        "128 units, distilled": student.student_,
        "128 units, labels": twin,
        "128 units, labels, shifts": twin_with_shifts,
    }.items():
        measures = measure(model, bag, X_test, y_test)
        results["450 digits", "bag of networks", model_name].append(measures)
limits.restore_original_limits()

# %%
# The table
# ---------
# The table shows means over the splits. The number after "±" is the standard deviation over splits.


def average(key, column):
    return mean(measures[column] for measures in results[key])


def spread(key, column):
    return stdev(measures[column] for measures in results[key])


def row(key):
    cells = [f"{average(key, c):8.3f} ±{spread(key, c):5.3f}" for c in ("accuracy", "log-loss")]
    return (
        f"  {key[2]:25}{''.join(cells)}{average(key, 'agreement'):11.3f}"
        f"{average(key, 'bytes') / 1e3:11,.0f}{average(key, 'one row') * 1e3:10.2f}"
        f"{average(key, '10,000 rows') * 1e3:13.1f}"
    )


def print_table():
    print(
        f"{'':27}{'accuracy':>15}{'log-loss':>15}{'agreement':>11}"
        f"{'kB':>11}{'1 row, ms':>10}{'10^4 rows, ms':>14}"
    )
    group = None
    for key in results:
        if key[:2] != group:
            group = key[:2]
            print(f"{key[0]}, {key[1]}")
        print(row(key))


print_table()

# %%
# The gain by the teacher is computed split by split: each student is compared with the twin of the
# same split and seed.


def gain(key, column="accuracy"):
    """Return the student's score minus its twin's, for each split."""
    twin = (*key[:2], key[2].replace("distilled", "labels"))
    pairs = zip(results[key], results[twin], strict=True)
    return [student[column] - label_only[column] for student, label_only in pairs]


distilled = [key for key in results if key[2].endswith("distilled")]
print("distilled minus labels alone")
for key in distilled:
    points = [100 * g for g in gain(key)]
    losses = gain(key, "log-loss")
    print(
        f"  {', '.join(key):50} accuracy {mean(points):+5.2f} ±{stdev(points):4.2f} points,"
        f" log-loss {mean(losses):+6.3f} ±{stdev(losses):5.3f}"
    )

# %%
# A forest's probabilities are not certain enough, and neither are those of its students: see the
# log-loss of the digits. In accuracy a student is as good as its forest or its boosting, but so is
# the twin, within the spread over splits. The network learns as much from the labels of these rows
# as from the teacher. On breast cancer the twin is often better. Distilling helps if the teacher is
# better than the twin: the student of the bag of networks has the lower log-loss. A network that is
# trained on the shifted images themselves does as well without a teacher.

# %%
# Deploy it
# ---------
# ``student_`` is the network without the teacher. It consists of arrays, and predicts with NumPy.

path = Path(tempfile.mkdtemp()) / "student.pickle"
path.write_bytes(pickle.dumps(student.student_))
loaded = pickle.loads(path.read_bytes())
same = np.array_equal(loaded.predict_proba(X_test), student.predict_proba(X_test))
print(f"{path.name}: {path.stat().st_size:,} bytes, accuracy {loaded.score(X_test, y_test):.3f}")
print("the loaded student predicts the same:", same)

# %%
# The picture
# -----------
# The picture shows five teachers and their students. The line on each mark is the standard
# deviation over the splits.

TEACHER, STUDENT = "#d95f02", "#1f5fa8"
PAIRS = [key for key in distilled if not key[2].startswith("16")]


def in_words(value, scales):
    """Return a value as text, with two significant digits and a unit."""
    scale, unit = next((scale, unit) for scale, unit in scales if value >= scale)
    return f"{float(f'{value / scale:.2g}'):g} {unit}"


def draw_accuracy(axes):
    """Draw teacher, student and twin below each other, with their standard deviations."""
    kinds = [
        (-0.22, "s", TEACHER, TEACHER, "teacher"),
        (0, "o", STUDENT, STUDENT, "its student, a small network"),
        (0.22, "o", STUDENT, "white", "the same network without a teacher"),
    ]
    for y, key in enumerate(PAIRS):
        models = "teacher", key[2], key[2].replace("distilled", "labels")
        for model, (lift, marker, edge, face, label) in zip(models, kinds, strict=True):
            axes.errorbar(
                100 * average((*key[:2], model), "accuracy"),
                y + lift,
                xerr=100 * spread((*key[:2], model), "accuracy"),
                fmt=marker,
                markersize=8,
                color=edge,
                markerfacecolor=face,
                elinewidth=1,
                label=None if y else label,
            )
    axes.set_title("accuracy, %", fontsize=11)
    axes.grid(axis="x", alpha=0.3)


def draw_arrows(axes, column, scales, title):
    """Draw an arrow from each teacher to its student."""
    for y, key in enumerate(PAIRS):
        big, small = (average((*key[:2], model), column) for model in ("teacher", key[2]))
        arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", (small, y), (big, y), arrowprops=arrow)
        for x, marker, color, side in ((big, "s", TEACHER, 9), (small, "o", STUDENT, -9)):
            axes.plot(x, y, marker, color=color, markersize=9)
            axes.annotate(
                in_words(x, scales),
                (x, y),
                (side, 0),
                textcoords="offset points",
                horizontalalignment="left" if side > 0 else "right",
                verticalalignment="center",
                fontsize=9,
            )
    axes.set(xscale="log", xticks=[])
    axes.minorticks_off()
    axes.margins(x=0.36)
    axes.set_title(title, fontsize=11)


def draw():
    import matplotlib.pyplot as plt

    figure, (accuracy, size, time) = plt.subplots(
        1, 3, figsize=(9, 4.2), sharey=True, width_ratios=[1.25, 1, 1], layout="constrained"
    )
    draw_accuracy(accuracy)
    draw_arrows(size, "bytes", [(1e6, "MB"), (1e3, "kB")], "size on disk")
    draw_arrows(time, "one row", [(1e-3, "ms"), (1e-6, "µs")], "time for one row")
    for axes in (accuracy, size, time):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    for axes in (size, time):
        axes.spines["bottom"].set_visible(False)
    accuracy.set_yticks(range(len(PAIRS)), [f"{teacher}\n{data}" for data, teacher, _ in PAIRS])
    accuracy.invert_yaxis()
    figure.suptitle(
        "A big slow classifier becomes a small fast network, about as accurate", weight="bold"
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


if importlib.util.find_spec("matplotlib"):
    draw().savefig(options.out, dpi=110)
    print("the picture is in", options.out)
else:
    print("the picture needs matplotlib: pip install matplotlib")
