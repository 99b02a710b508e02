"""
Distillation: students and their twins, which learn from labels alone
=====================================================================

There are eight tables, four teachers and two sizes of student. A student,
``DistilledClassifier(teacher)`` with its defaults, is compared with its twin, the same network
without a teacher. Two twins are fitted: one with `NeuralClassifier`'s defaults, and one with the
student's number of optimiser steps (with assistants: that of all together) and encoding, and with
its own best epoch. The student is compared with the better of the two. Four of the tables were used
to choose the defaults, the other four were not.

``python examples/benchmarks/distillation.py FOLDER`` prints the tables and draws the picture of the
docs. Measurements and teachers that exist already are read from ``--out``. This folder grows to
tens of gigabytes. ``--jobs 2`` runs two tables at a time.
"""

import argparse
import logging
import math
import pickle
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter

import joblib
from distillation_report import draw, report, write_csv
from distillation_scores import (
    DECIDING,
    KEY,
    REPORTED,
    Journal,
    fidelity,
    floored,
    is_right,
    load,
    only_one_right,
    read_all,
    scores,
    tables_at,
)
from distillation_teachers import TEACHERS, fit_teacher
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skkd import DistilledClassifier, NeuralClassifier
from skkd.preprocessing import SelectiveBins, without_teacher
from skkd.teachers.cache import forget
from skkd.training.batches import batch_bounds

#: Each arm of the benchmark -> the parameters of DistilledClassifier that differ from the defaults.
VARIANTS = {
    "distilled": {},
    "labels only": {"alpha": 0.0},
    "teacher only": {"alpha": 1.0},
    "alpha auto": {"alpha": "auto"},
    "same rows": {"augment": None},
    "munge": {"augment": "munge"},
    "spunge": {"augment": "spunge"},
    "gibbs": {"augment": "gibbs"},
    "in sample": {"soft_labels": "in_sample"},
    "out of bag": {"soft_labels": "out_of_bag"},
    "out of fold": {"soft_labels": "out_of_fold"},
    "teacher bins": {"numeric_encoding": "teacher_bins"},
    "plain": {"preset": "plain"},
    "assistants": {"assistant": "auto"},
    "two processes": {"n_jobs": 2},
}

#: Parameters that the twin of equal steps copies from a student, besides `numeric_encoding`.
ENCODING = ("preprocessor", "categorical_features")


# %%
# One split of one table
# ----------------------


@dataclass
class Split:
    """One split of a table: its rows, and the journal that stores the results."""

    table: str
    split: int
    rows: tuple
    journal: Journal
    out: Path
    threads: int

    def key(self, kind, **more):
        return {"kind": kind, "table": self.table, "split": self.split, **more}

    def fit_and_ask(self, clf, shares_teacher=False):
        """Fit a classifier; return its scores and times, and its probabilities of the test rows.

        With `shares_teacher` what an earlier fit has got from the teacher is used again, so the
        time of the fit means nothing.
        """
        X_train, _, y_train, y_test = self.rows
        if not shares_teacher:
            forget()  # so that no predictions of a teacher come from the cache
        start = perf_counter()
        clf.fit(X_train, y_train)
        seconds = perf_counter() - start
        p, predict = self.ask(clf)
        return {**scores(p, y_test), "fit": seconds, "predict": predict}, p

    def ask(self, clf):
        start = perf_counter()
        p = clf.predict_proba(self.rows[1])
        return floored(p), perf_counter() - start

    @property
    def common(self):
        """Parameters that all networks of this split have."""
        return {"n_threads": self.threads, "random_state": self.split}


def load_or_fit_teacher(place, name):
    """Return the fitted teacher, from disk if it is stored there, and its test probabilities."""
    key = place.key("teacher", teacher=name)
    path = place.out / "teachers" / f"{place.table}-{place.split}-{name}.joblib"
    found = place.journal.find(**key)
    if found and path.exists():
        return joblib.load(path), found[1]
    X_train, _, y_train, y_test = place.rows
    teacher, seconds = fit_teacher(path, name, X_train, y_train, place.split, place.threads)
    p, predict = place.ask(teacher)
    size = path.stat().st_size / 1000
    line = {**scores(p, y_test), "fit": seconds, "predict": predict, "kB": size}
    place.journal.add({**key, **line}, p)
    return teacher, p


# %%
# Students and twins
# ------------------


def sizes(student):
    return tuple(int(size) for size in student.split("-"))


def steps_per_epoch(batch_size, n_rows):
    if batch_size == "auto":
        batch_size = min(max(n_rows // 32, 32), 256)
    return len(batch_bounds(n_rows, min(batch_size, n_rows)))


def steps_of(fitted, n_rows):
    """Return the number of optimiser steps in the final fit."""
    if hasattr(fitted, "n_steps_"):
        return int(fitted.n_steps_)
    return fitted.n_iter_ * steps_per_epoch(fitted.batch_size, n_rows)


def steps_with_assistants(student, n_rows):
    """Return the number of optimiser steps in the final fits of a student and its assistants."""
    assistants = student.assistant_ or []
    return sum(steps_of(one, rows_of_training(one, n_rows)) for one in [student, *assistants])


def rows_of_training(classifier, n_rows):
    """Return the number of rows that early stopping does not hold out."""
    share = classifier.validation_fraction if classifier.early_stopping else 0
    return n_rows - math.ceil(share * n_rows)


def seconds_of_teacher(fitted):
    """Return the seconds that the teacher took within a fit, or None if they are not known."""
    return getattr(fitted, "teacher_seconds_", None)


def encoding_of(student):
    """Return the student's parameters that encode X, if not the defaults, without its teacher."""
    known, defaults = student.get_params(deep=False), NeuralClassifier().get_params()
    seen = {name: known[name] for name in ENCODING if known[name] != defaults[name]}
    encoding = without_teacher(student.numeric_encoding_)
    if not isinstance(encoding, SelectiveBins):  # not the one that "auto" starts from
        seen["numeric_encoding"] = encoding
    return seen


def size_in_kb(classifier):
    return len(pickle.dumps(classifier)) / 1000


def measure_student(place, student, name, arm, teacher, p_teacher):
    """Measure a student and its twins, and write a line to the journal."""
    key = place.key("distilled", student=student, teacher=name, arm=arm)
    settings = {"hidden_layer_sizes": sizes(student), **place.common, **VARIANTS[arm]}
    clf = DistilledClassifier(teacher, **settings)
    if "n_jobs" in settings:
        warm_up(settings["n_jobs"])
    line, p = place.fit_and_ask(clf)
    y_test = place.rows[3]
    line["ask"] = seconds_of_teacher(clf)
    line["n_steps"] = steps_with_assistants(clf, len(place.rows[2]))
    line |= {"candidate": clf.candidate_, "encoding_": str(clf.numeric_encoding_)}
    line["kB"] = size_in_kb(clf.student_)
    line |= fidelity(p_teacher, p, y_test)
    twins = {
        "defaults": twin_of_defaults(place, student),
        "equal steps": twin_of_equal_steps(
            place, student, line["n_steps"], encoding_of(clf.student_)
        ),
    }
    line["twins"] = {
        of: {
            **twin,
            **fidelity(p_teacher, p_twin, y_test),
            "over_student": only_one_right(p_twin, p, y_test),
        }
        for of, (twin, p_twin) in twins.items()
    }
    place.journal.add({**key, **line}, p)


def twin_of_defaults(place, student):
    key = place.key("twin", student=student, arm="defaults")
    return measure_twin(place, key, NeuralClassifier(sizes(student), **place.common))


def twin_of_equal_steps(place, student, n_steps, encoding):
    """Measure a twin with the student's number of steps, rounded up to whole epochs.

    It keeps its best epoch, but does not stop early, so its learning rate falls to the end.
    """
    keeps_best = {"early_stopping": True, "n_iter_no_change": None}
    twin = NeuralClassifier(sizes(student), **keeps_best, **encoding, **place.common)
    n_rows = rows_of_training(twin, len(place.rows[2]))
    epochs = math.ceil(n_steps / steps_per_epoch(twin.batch_size, n_rows))
    twin.set_params(max_epochs=epochs)
    key = place.key("twin", student=student, arm="equal steps", epochs=epochs)
    return measure_twin(place, {**key, "encoding": str(encoding) if encoding else ""}, twin)


def measure_twin(place, key, twin):
    """Return the twin's line and probabilities; fit the twin if the journal lacks them.

    A twin has no teacher, so the students of all teachers share it.
    """
    found = place.journal.find(**key)
    if found:
        return found
    line, p = place.fit_and_ask(twin)
    n_rows = rows_of_training(twin, len(place.rows[2]))
    line |= {"n_steps": steps_of(twin, n_rows), "best_epoch": twin.best_epoch_}
    line = {**key, **line, "kB": size_in_kb(twin)}
    place.journal.add(line, p)
    return line, p


def measure_mean(place, student, arm, teachers):
    """Write to the journal the lead of students over their twins, in rows that are predicted right.

    The leads are averaged over teachers row by row, because they are not independent: teachers
    share the twin and the test rows. The line holds the sum and the sum of squares over rows.
    """
    key = place.key("mean", student=student, arm=arm, teachers=sorted(teachers))
    if place.journal.has(**key):
        return
    y_test = place.rows[3]
    totals = {}
    for name in teachers:
        found = place.journal.find(**place.key("distilled", student=student, teacher=name, arm=arm))
        if found is None:  # measured on another machine, so its probabilities are missing here
            return
        line, p = found
        for of, twin in line["twins"].items():
            _, p_twin = place.journal.find(**{part: twin.get(part) for part in KEY})
            lead = is_right(p, y_test).astype(float) - is_right(p_twin, y_test)
            totals[of] = totals.get(of, 0) + lead / len(teachers)
    moments = {of: [float(lead.sum()), float((lead**2).sum())] for of, lead in totals.items()}
    place.journal.add({**key, "n_test": len(y_test), "twins": moments})


# %%
# The benchmark
# -------------


def run_table(options, table):
    """Make all measurements of a table that its journal does not hold yet."""
    journal = Journal(options.out, table)
    total = options.splits * len(options.teachers) * len(options.students) * len(options.arms)
    with tqdm(total=total, desc=table, unit="student", mininterval=1) as progress:
        for split in range(options.splits):
            rows = load(options.folder, table, split)
            place = Split(table, split, rows, journal, options.out, options.threads)
            tasks = list(product(options.students, options.arms))
            for teacher in options.teachers:
                run_teacher(place, teacher, "distilled", tasks, measure_student, progress)
            for student, arm in tasks:
                measure_mean(place, student, arm, options.teachers)


def run_teacher(place, name, kind, tasks, measure, progress):
    """Measure students of one teacher on one split, unless the journal holds them.

    `tasks` are pairs (size of the student, arm).
    """
    keys = [place.key(kind, student=s, teacher=name, arm=arm) for s, arm in tasks]
    missing = [task for task, key in zip(tasks, keys, strict=True) if not place.journal.has(**key)]
    progress.update(len(tasks) - len(missing))
    if not missing:
        return
    teacher, p_teacher = load_or_fit_teacher(place, name)
    for student, arm in missing:
        measure(place, student, name, arm, teacher, p_teacher)
        progress.update()


def run_in_processes(options, script):
    """Run a script in one process for each table, `jobs` at a time."""

    def run(table):
        one = argparse.Namespace(
            **vars(options) | {"tables": [table], "jobs": 1, "only": "measure"}
        )
        command = [sys.executable, script, *arguments_of(one)]
        return subprocess.run(command).returncode

    with ThreadPoolExecutor(options.jobs) as pool:
        codes = dict(zip(options.tables, pool.map(run, options.tables), strict=True))
    for table in (table for table, code in codes.items() if code):
        print(f"{table} failed: its results are incomplete")


def arguments_of(options):
    """Return the options as arguments of the command line."""
    words = [str(options.folder)] if options.folder else []
    for name, value in vars(options).items():
        if name != "folder" and value is not None:
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


def known_arms(wanted):
    """Return the arms whose parameters DistilledClassifier has, and print the others."""
    arms = []
    for arm in wanted:
        try:
            DistilledClassifier(**VARIANTS[arm])
            arms.append(arm)
        except TypeError as error:
            print(f"{arm} is left out: {error}")
    return arms


def parse():
    parser = argparse.ArgumentParser(description="Compare students with and without a teacher.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=[*DECIDING, *REPORTED])
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS)
    parser.add_argument("--students", nargs="+", default=["32-32", "128-128"])
    parser.add_argument("--arms", nargs="+", default=["distilled"], choices=VARIANTS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time")
    parser.add_argument("--only", choices=("measure", "report"))
    default = Path(tempfile.gettempdir()) / "distillation"
    parser.add_argument("--out", type=Path, default=default, help="results, teachers, picture")
    return parser.parse_args()


def warm_up(n_jobs=1):
    """Fit once in each process, because the first fit of a process takes longer."""
    # With the settings of skkd's selection, which then uses the same processes.
    parallel = joblib.Parallel(n_jobs, backend="loky", max_nbytes=None)
    parallel(joblib.delayed(fit_once)() for _ in range(n_jobs))


def fit_once():
    X, y = load_digits(return_X_y=True)
    NeuralClassifier(8, max_epochs=2).fit(X[:300], y[:300]).predict_proba(X)


def run(options, script, run_table, report):
    """Measure the tables, in several processes of `script` if asked for, and print the report."""
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    options.tables = tables_at(options.folder, options.tables)
    if options.only != "report" and options.jobs > 1:
        run_in_processes(options, script)
    elif options.only != "report":
        import torch

        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            warm_up()
            for table in options.tables:
                run_table(options, table)
    if options.only != "measure":
        report(read_all(options.out))


def print_and_draw(lines, options):
    """Print the report of each arm; draw the first arm, and write its tables."""
    for arm in options.arms:
        report(lines, arm, options)
    draw(lines, options.arms[0], options, options.out / "distillation.png")
    for student in options.students:
        path = options.out / f"students-{student}.csv"
        write_csv(lines, options.arms[0], student, options, path)


def main():
    options = parse()
    options.arms = known_arms(options.arms)
    run(options, __file__, run_table, partial(print_and_draw, options=options))


if __name__ == "__main__":
    main()
