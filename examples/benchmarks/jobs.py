"""
Jobs: what two processes gain
=============================

With ``n_jobs=2`` the networks of a selection are trained side by side. This script fits students
with one process and with two, in turns, and prints the ratio of the times. The predictions must be
the same, bit for bit. The processes are started before: that takes a few seconds, once.

``python examples/benchmarks/jobs.py FOLDER`` takes about five minutes; FOLDER has the files of the
tables.
"""

import argparse
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from distillation import warm_up
from distillation_scores import load
from sklearn.ensemble import RandomForestClassifier

from skkd import DistilledClassifier

#: Table, number of training rows, hidden layers. With 1,500 rows there are two folds.
SETTINGS = [
    ("magic", 1_500, (32, 32)),
    ("magic", 14_000, (32, 32)),
    ("magic", 14_000, (256, 256, 256)),
    ("letter", 4_000, (128, 128)),
]


def seconds_and_answer(teacher, X, y, layers, n_jobs):
    clf = DistilledClassifier(
        teacher, hidden_layer_sizes=layers, n_threads=1, n_jobs=n_jobs, random_state=0
    )
    start = perf_counter()
    clf.fit(X, y)
    return perf_counter() - start, clf.predict_proba(X)


def main():
    parser = argparse.ArgumentParser(description="Compare fits in one and in two processes.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the files of the tables are")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("table     rows       layers   1 job, s  2 jobs, s  ratio")
    for table, n_rows, layers in SETTINGS:
        X, _, y, _ = load(options.folder, table, 0)
        X, y = X[:n_rows], y[:n_rows]
        teacher = RandomForestClassifier(200, random_state=0).fit(X, y)
        warm_up(2)
        times = {1: [], 2: []}
        for _ in range(options.rounds):
            answers = []
            for n_jobs in times:
                seconds, answer = seconds_and_answer(teacher, X, y, layers, n_jobs)
                times[n_jobs].append(seconds)
                answers.append(answer)
            assert np.array_equal(*answers), "two processes give another result than one"
        one, two = median(times[1]), median(times[2])
        name = "-".join(map(str, layers))
        print(
            f"{table:8} {len(y):6} {name:>12} {one:10.1f} {two:10.1f} {two / one:6.2f}", flush=True
        )


if __name__ == "__main__":
    main()
