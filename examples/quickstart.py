"""A small network learns from a big classifier: the README's first command.

    python examples/quickstart.py

prints a table, and writes the student, ``student.onnx``, and a picture, ``student.png``, to the
current folder. It takes about half a minute. ``python examples/quickstart.py 5`` repeats it on five
splits, and prints means and standard deviations.
"""

import pickle
import sys
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

NAMES = ("teacher: 200 trees and an SVM", "student: 128 units", "same network, no teacher")


def moved_digits():
    """scikit-learn's digits, each image moved by up to a pixel: harder than the originals."""
    X, y = load_digits(return_X_y=True)
    steps = np.random.default_rng(0).integers(-1, 2, (len(X), 2))
    images = zip(X.reshape(-1, 8, 8), steps, strict=True)
    return np.array([shift(image, step, order=0).ravel() for image, step in images]), y


def fit_teacher(X, y):
    """Fit a vote of trees and an SVM, with calibrated probabilities."""

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
    columns = "accuracy", "log-loss", "as teacher"
    print(f"\n{'':30}{''.join(f'{c:>15}' for c in columns)}{'size':>9}{'one row':>10}")
    for name, means, stds in zip(NAMES, results.mean(0), results.std(0, ddof=several), strict=True):
        cells = [f"{m:.3f}" + f" ± {s:.3f}" * several for m, s in zip(means, stds, strict=True)][:3]
        size, seconds = size_and_time(means)
        print(f"{name:30}{''.join(f'{cell:>15}' for cell in cells)}{size:>9}{seconds:>10}")


def draw(results):
    """Draw errors, log-loss, size and time as bars."""
    means = results.mean(0)
    words = [size_and_time(row) for row in means]
    panels = {
        "errors on new rows": (1 - means[:, 0], [f"{100 * (1 - row[0]):.1f} %" for row in means]),
        "log-loss on new rows": (means[:, 1], [f"{row[1]:.2f}" for row in means]),
        "size": (means[:, 3], [size for size, _ in words]),
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


def main():
    n_splits = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    X, y = moved_digits()
    results = []
    print("1,347 images of digits to learn from, 450 new ones to test. Three models are fitted ...")
    for seed in range(n_splits):
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)
        teacher = fit_teacher(X_train, y_train)
        student = DistilledClassifier(teacher, hidden_layer_sizes=(128,), random_state=0)
        student.fit(X_train, y_train)
        twin = NeuralClassifier(hidden_layer_sizes=(128,), random_state=0).fit(X_train, y_train)
        models = teacher, student.student_, twin
        results.append([measure(model, teacher, X_test, y_test) for model in models])
    print_table(np.array(results))

    student.export("student.onnx")
    loaded = skkd.load("student.onnx")
    n_equal = np.sum(loaded.predict(X_test) == student.predict(X_test))
    difference = np.abs(loaded.predict_proba(X_test) - student.predict_proba(X_test)).max()
    size = with_unit(Path("student.onnx").stat().st_size, {"kB": 1e3})
    print(f"\nstudent.onnx, {size}: the student in one file, which runs without Python. Read back,")
    print(f"{n_equal} of {len(X_test)} labels are equal; probabilities differ by {difference:.0e}.")
    draw(np.array(results)).savefig("student.png", dpi=150)
    print("student.png: the table as a picture.")
    print("\nWith a teacher and rows of your own:", YOUR_OWN.replace("\n", "\n    "))


if __name__ == "__main__":
    main()
