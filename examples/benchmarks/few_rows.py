"""
Few rows: does a teacher help, and does it help to fit it again?
================================================================

On a small table few rows can be held out, and a frozen teacher has seen them. This benchmark draws
a thousand rows from each of six tables. It compares ``NeuralClassifier()``, a student of a frozen
teacher, and a student with ``fit_teacher=True``. This last student fits clones of the teacher
without the held-out rows, and its seconds include these fits.

``python examples/benchmarks/few_rows.py FOLDER`` prints the table of the guide's page on
students. Measurements that exist already are read from ``--out``.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from distillation_teachers import TEACHERS
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing
from tables import load_split
from tqdm import tqdm

from skkd import DistilledClassifier, NeuralClassifier

TABLES = ("letter", "satimage", "spambase", "covertype", "magic", "adult")
SIZES = {"default": "auto", "32-32": (32, 32)}
ARMS = {"frozen": {}, "fit_teacher": {"fit_teacher": True}}
MOST_TEST_ROWS = 10_000


def draw(folder, table, n_rows, seed):
    """Draw `n_rows` training rows, stratified by class, and at most 10,000 test rows."""
    X_train, X_test, y_train, y_test = load_split(folder, table, seed)
    parts = []
    for X, y, n in ((X_train, y_train, n_rows), (X_test, y_test, MOST_TEST_ROWS)):
        index = np.arange(len(y))
        if n < len(y):
            index, _ = train_test_split(index, train_size=n, random_state=seed, stratify=y)
        parts += [_safe_indexing(X, index), y[index]]
    return parts


def measure(folder, table, n_rows, seed, size):
    """Yield a record of results for each classifier on one draw."""
    X, y, X_test, y_test = draw(folder, table, n_rows, seed)
    settings = {"hidden_layer_sizes": SIZES[size], "random_state": seed, "n_threads": 1}

    def record(contender, clf, teacher=""):
        start = perf_counter()
        clf.fit(X, y)
        seconds = perf_counter() - start
        p = np.clip(clf.predict_proba(X_test), 1e-7, 1)
        return {
            **{"table": table, "rows": n_rows, "seed": seed, "size": size},
            **{"who": contender, "teacher": teacher, "seconds": seconds},
            "accuracy": float(np.mean(clf.classes_[p.argmax(axis=1)] == y_test)),
            "log_loss": float(log_loss(y_test, p / p.sum(axis=1, keepdims=True))),
            "candidate": getattr(clf, "candidate_", ""),
        }

    yield record("untaught", NeuralClassifier(**settings))
    for name in ("forest", "boosting"):
        teacher = TEACHERS[name](X, seed, 1)
        yield record("teacher", teacher, name)
        for arm, how in ARMS.items():
            yield record(arm, DistilledClassifier(teacher, **how, **settings), name)


def report(results):
    """Print the gains over the network without a teacher, in points of accuracy and log-loss."""
    results = results.rename(columns={"who": "contender"})
    draws = ["table", "rows", "seed", "size"]
    untaught = results[results["contender"] == "untaught"].set_index(draws)
    taught = results[results["contender"] != "untaught"].join(
        untaught[["accuracy", "log_loss"]].add_suffix("_untaught"), on=draws
    )
    taught["points"] = 100 * (taught["accuracy"] - taught["accuracy_untaught"])
    taught["log-loss"] = taught["log_loss"] - taught["log_loss_untaught"]
    with pd.option_context("display.width", 200):
        for value in ("points", "log-loss"):
            print(f"\ngain over the network without a teacher: {value}")
            print(
                taught.pivot_table(
                    index=["size", "rows", "contender"],
                    columns="table",
                    values=value,
                    margins=True,
                    margins_name="mean",
                ).to_string(float_format="{:+.3f}".format)
            )
        print("\nseconds, median")
        columns = {"columns": ["size", "rows"], "values": "seconds", "aggfunc": "median"}
        print(results.pivot_table(index="contender", **columns))
        print("\nhow often each candidate was chosen")
        counts = {"columns": "candidate", "values": "seed", "aggfunc": "count"}
        print(taught.pivot_table(index="contender", **counts))


def main():
    parser = argparse.ArgumentParser(description="Students of small tables.")
    parser.add_argument("folder", type=Path, help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--rows", nargs="+", type=int, default=[1000])
    parser.add_argument("--seeds", type=int, default=3)
    default = Path(tempfile.gettempdir()) / "few_rows"
    parser.add_argument("--out", type=Path, default=default, help="folder of the results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    journal = options.out / "few_rows.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = [json.loads(line) for line in lines]
    have = {(d["table"], d["rows"], d["seed"], d["size"]) for d in done}
    tasks = [
        (table, n_rows, seed, size)
        for seed in range(options.seeds)
        for n_rows in options.rows
        for table in options.tables
        for size in SIZES
    ]
    for task in tqdm([task for task in tasks if task not in have], unit="draw"):
        done += (records := list(measure(options.folder, *task)))
        with journal.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    report(
        pd.DataFrame([d for d in done if (d["table"], d["rows"], d["seed"], d["size"]) in tasks])
    )


if __name__ == "__main__":
    main()
