"""
Sizes: how large a student has to be
====================================

``DistilledClassifier(teacher)`` has three hidden layers of 256 units. This script fits it with
smaller layers, too, and with ``hidden_layer_sizes="smallest"``, which selects the size on held-out
rows. It prints accuracies and log-losses on test rows, sizes in kB, and the times of fits.

``--noise 0.3`` draws 30 per cent of all labels at random, also those of the test rows. Such tables
show whether a large network is worse than a small one where there is little to learn.

``python examples/benchmarks/sizes.py FOLDER`` prints the tables. Measurements and teachers that
exist already are read from ``--out``, so each choice of ``--rows`` and ``--noise`` needs a folder
of its own. ``--jobs 2`` runs two tables at a time.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from distillation import Split, run, run_teacher, size_in_kb, sizes
from distillation_scores import DECIDING, REPORTED, Journal, load
from distillation_teachers import TEACHERS
from selection import cut
from tqdm import tqdm

from skkd import DistilledClassifier

#: The students that are compared: layers of "auto", smaller ones, and the selected ones.
STUDENTS = ("256-256-256", "128-128", "64-64", "32-32", "16", "none", "smallest")
LARGEST = STUDENTS[0]


# %%
# Measurements
# ------------


def with_noise(rows, share, seed):
    """Return the rows of a split with a share of all labels drawn at random."""
    X_train, X_test, *labels = rows
    random = np.random.default_rng(seed)
    n_classes = max(map(max, labels)) + 1
    noisy = [
        np.where(random.random(len(y)) < share, random.integers(0, n_classes, len(y)), y)
        for y in labels
    ]
    return X_train, X_test, *noisy


def layers_of(student):
    if student == "smallest":
        return student
    return () if student == "none" else sizes(student)


def measure(place, student, name, arm, teacher, p_teacher):
    """Fit a student, and write a line to the journal."""
    clf = DistilledClassifier(teacher, hidden_layer_sizes=layers_of(student), **place.common)
    line, p = place.fit_and_ask(clf)
    line["layers"] = "-".join(map(str, clf.hidden_layer_sizes_)) or "none"
    line |= {"ask": clf.teacher_seconds_, "kB": size_in_kb(clf.student_)}
    line |= {"candidate": clf.candidate_, "encoding_": str(clf.numeric_encoding_)}
    place.journal.add({**place.key("sizes", student=student, teacher=name, arm=arm), **line}, p)


def run_table(options, table):
    """Make all measurements of a table that its journal does not hold yet."""
    journal = Journal(options.out, table)
    total = options.splits * len(options.teachers) * len(options.students)
    with tqdm(total=total, desc=table, unit="fit", mininterval=1) as progress:
        for split in range(options.splits):
            rows = cut(load(options.folder, table, split), options.rows, split)
            rows = with_noise(rows, options.noise, split)
            place = Split(table, split, rows, journal, options.out, options.threads)
            tasks = [(student, "distilled") for student in options.students]
            for name in options.teachers:
                run_teacher(place, name, "sizes", tasks, measure, progress)


# %%
# Report
# ------


def report(lines):
    """Print the scores by size, and how "smallest" compares with the layers of "auto"."""
    table = pd.DataFrame([line for line in lines if line["kind"] == "sizes"])
    if table.empty:
        print("nothing is measured")
        return
    where = ["table", "teacher"]
    known = [student for student in STUDENTS if student in set(table["student"])]
    for score, factor, digits in (("accuracy", 100, 2), ("log_loss", 1, 3), ("kB", 1, 0)):
        means = table.pivot_table(index=where, columns="student", values=score) * factor
        print(f"\n{score}\n{means[known].round(digits).to_string()}")
    if {LARGEST, "smallest"} <= set(known):
        compare(table, where)


def compare(table, where):
    """Print the selected layers, and the differences between "smallest" and "auto"."""
    of_split = [*where, "split"]
    auto, smallest = (
        table[table["student"] == student].set_index(of_split) for student in (LARGEST, "smallest")
    )
    auto, smallest = auto.align(smallest, join="inner", axis=0)
    lead = pd.DataFrame(
        {
            "layers": smallest["layers"],
            "accuracy": 100 * (smallest["accuracy"] - auto["accuracy"]),
            "log-loss": smallest["log_loss"] - auto["log_loss"],
            "size, times": smallest["kB"] / auto["kB"],
            "fit, times": (smallest["fit"] - smallest["ask"]) / (auto["fit"] - auto["ask"]),
        }
    )
    print('\n"smallest", compared with "auto"')
    print(lead.to_string(float_format="{:.3f}".format))
    pairs = lead.drop(columns="layers").groupby(where).mean()
    summary = pd.DataFrame({"mean": pairs.mean(), "standard error": pairs.sem()})
    print(f"\n{len(pairs)} pairs\n{summary.to_string(float_format='{:.3f}'.format)}")


def parse():
    parser = argparse.ArgumentParser(description="Compare students of several sizes.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=[*DECIDING, *REPORTED])
    parser.add_argument("--teachers", nargs="+", default=["forest"], choices=TEACHERS)
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=STUDENTS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--rows", type=int, default=15_000, help="at most so many training rows")
    parser.add_argument("--noise", type=float, default=0.0, help="share of labels drawn at random")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time")
    parser.add_argument("--only", choices=("measure", "report"))
    default = Path(tempfile.gettempdir()) / "sizes"
    parser.add_argument("--out", type=Path, default=default, help="results and teachers")
    return parser.parse_args()


if __name__ == "__main__":
    run(parse(), __file__, run_table, report)
