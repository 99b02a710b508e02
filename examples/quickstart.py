"""A small network learns from a big classifier, and is compared with the same network without it.

    python examples/quickstart.py

prints a table, and writes the student, ``student.onnx``, and a picture, ``student.png``, to the
current folder. It takes about half a minute. ``python examples/quickstart.py 5`` repeats it on five
splits of the data, and prints means and standard deviations.

The data are scikit-learn's digits, each moved at random. On the original digits the network without
a teacher is as good as this teacher, and the student learns from labels alone.

The network without a teacher learns from the same rows, with the same seed, and for at most as many
epochs. Both choose their number of epochs on held-out rows.
"""

import pickle
import sys
import textwrap
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import shift
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import skkd
from skkd import DistilledClassifier, NeuralClassifier

YOUR_OWN = """
from skkd import DistilledClassifier
student = DistilledClassifier(teacher, hidden_layer_sizes=(128,), random_state=0).fit(X, y)
student.export("student.onnx")
"""

NAMES = ("teacher: trees and SVM", "student: 128 units", "same network, no teacher")


def moved_digits():
    """Return scikit-learn's digits, each moved at random: this makes them harder to tell apart."""
    X, y = load_digits(return_X_y=True)
    moves = np.random.default_rng(0).uniform(-1.5, 1.5, (len(X), 2))  # pixels down and right
    images = zip(X.reshape(-1, 8, 8), moves, strict=True)
    return np.array([shift(image, move, order=1).ravel() for image, move in images]), y


def fit_teacher(X, y):
    """Return a fitted vote of trees and an SVM, with calibrated probabilities."""

    def calibrated(classifier):
        return CalibratedClassifierCV(classifier, method="temperature", ensemble=False)

    svm = calibrated(SVC(C=10, gamma=0.001))
    members = [("trees", ExtraTreesClassifier(200, random_state=0)), ("svm", svm)]
    return calibrated(VotingClassifier(members, voting="soft")).fit(X, y)


def measure(model, teacher, X, y):
    """Return accuracy, log-loss, agreement with the teacher, bytes, and seconds of one row."""
    times = []
    for i in range(50):
        start = perf_counter()
        model.predict_proba(X[i : i + 1])
        times.append(perf_counter() - start)
    agreement = np.mean(model.predict(X) == teacher.predict(X))
    size = len(pickle.dumps(getattr(model, "network_", model)))  # a network, or all of the teacher
    return model.score(X, y), log_loss(y, model.predict_proba(X)), agreement, size, np.median(times)


def with_unit(value, units):
    """Return a number as text, with two digits and the first unit that is not too large."""
    unit, factor = next((unit, factor) for unit, factor in units.items() if value >= factor)
    return f"{float(f'{value / factor:.2g}'):g} {unit}"


def size_and_time(measures):
    size, seconds = measures[3:]
    return with_unit(size, {"MB": 1e6, "kB": 1e3}), with_unit(seconds, {"ms": 1e-3, "µs": 1e-6})


def print_table(results):
    """Print means over the splits; if there are several, with standard deviations."""
    several = len(results) > 1
    columns = "accuracy", "log-loss", "same as teacher"
    print(f"\n{'':24}{''.join(f'{c:>16}' for c in columns)}{'pickle':>9}{'one row':>10}")
    for name, means, stds in zip(NAMES, results.mean(0), results.std(0, ddof=several), strict=True):
        cells = [f"{m:.3f}" + f" ± {s:.3f}" * several for m, s in zip(means, stds, strict=True)][:3]
        size, seconds = size_and_time(means)
        print(f"{name:24}{''.join(f'{cell:>16}' for cell in cells)}{size:>9}{seconds:>10}")


def draw(results):
    """Draw errors, log-loss, size and time as bars."""
    means = results.mean(0)
    words = [size_and_time(row) for row in means]
    panels = {
        "errors on new rows": (1 - means[:, 0], [f"{100 * (1 - row[0]):.1f} %" for row in means]),
        "log-loss on new rows": (means[:, 1], [f"{row[1]:.2f}" for row in means]),
        "size of the pickle": (means[:, 3], [size for size, _ in words]),
        "time for one row": (means[:, 4], [seconds for _, seconds in words]),
    }
    figure, all_axes = plt.subplots(1, 4, figsize=(9, 2), sharey=True, layout="constrained")
    for axes, (title, (values, texts)) in zip(all_axes, panels.items(), strict=True):
        bars = axes.barh(range(3), values, color=["#d95f02", "#1f5fa8", "#9dbcdc"], height=0.7)
        axes.bar_label(bars, texts, padding=3)
        axes.set(xlim=(0, 1.5 * max(values)), xticks=[])
        axes.set_title(title, fontsize=11, loc="left")
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    all_axes[0].set_yticks(range(3), [name.replace(": ", ":\n") for name in NAMES])
    all_axes[0].invert_yaxis()
    return figure


def export_and_check(student, X):
    """Write the student to student.onnx, read it back, and compare it with the student."""
    student.export("student.onnx")
    loaded = skkd.load("student.onnx")
    n_equal = np.sum(loaded.predict(X) == student.predict(X))
    difference = np.abs(loaded.predict_proba(X) - student.predict_proba(X)).max()
    size = with_unit(Path("student.onnx").stat().st_size, {"kB": 1e3})
    print(f"\nstudent.onnx ({size}) is the student in one file. Loaded with skkd.load, it predicts")
    print(f"the same label for {n_equal} of {len(X)} rows, and probabilities to {difference:.0e}.")


def main():
    n_splits = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    X, y = moved_digits()
    results = []
    for seed in range(n_splits):
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)
        print(f"Fitting three models to {len(X_train)} images of digits ...")
        teacher = fit_teacher(X_train, y_train)
        student = DistilledClassifier(teacher, hidden_layer_sizes=(128,), random_state=0)
        student.fit(X_train, y_train)
        twin = NeuralClassifier(hidden_layer_sizes=(128,), random_state=0).fit(X_train, y_train)
        models = teacher, student.student_, twin
        results.append([measure(model, teacher, X_test, y_test) for model in models])
    print_table(np.array(results))
    export_and_check(student, X_test)
    draw(np.array(results)).savefig("student.png", dpi=150)
    print("student.png is the table as a picture.")
    print("\nWith a fitted classifier and rows of your own:")
    print(textwrap.indent(YOUR_OWN.strip(), "    "))


if __name__ == "__main__":
    main()
