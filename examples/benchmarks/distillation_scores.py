"""
Scores, comparisons and journals of the distillation benchmark
==============================================================

A journal holds numbers alone. The probabilities that they come from are stored beside it, for
later comparisons. This module does not need skkd: contenders that cannot be installed together
with it are measured in an environment of their own.
"""

import json
import re

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from tables import load_split

DECIDING = ("letter", "satimage", "spambase", "covertype")
REPORTED = ("magic", "pendigits", "connect4", "adult")

#: Used if the files of the real tables are missing.
BUNDLED = {"digits": load_digits, "breast_cancer": load_breast_cancer, "wine": load_wine}

FLOOR = 1e-7

#: The key of a line of a journal.
KEY = ("kind", "table", "split", "student", "teacher", "arm", "epochs", "encoding", "teachers")


# %%
# Rows
# ----


def tables_at(folder, wanted):
    """The tables of the command line, or those of scikit-learn if there are no files."""
    if set(wanted) <= set(BUNDLED) or (folder is not None and folder.is_dir()):
        return wanted
    print("no folder of tables: scikit-learn's own take their place, which prove nothing")
    return list(BUNDLED)


def load(folder, table, split):
    """Rows of a table, labels as codes: X_train, X_test, y_train, y_test."""
    if table in BUNDLED:
        X, y = BUNDLED[table](return_X_y=True)
        settings = {"random_state": split, "stratify": y}
        X_train, X_test, y_train, y_test = train_test_split(X.astype(np.float32), y, **settings)
    else:
        X_train, X_test, y_train, y_test = load_split(folder, table, split)
    classes, codes = np.unique(y_train, return_inverse=True)
    return X_train, X_test, codes, np.searchsorted(classes, y_test)


# %%
# Scores
# ------


def floored(p):
    """Probabilities as float64, none of them 0, each row with the sum 1."""
    p = np.clip(np.asarray(p, dtype=np.float64), FLOOR, 1)
    return p / p.sum(axis=1, keepdims=True)


def is_right(p, truth):
    return p.argmax(axis=1) == truth


def scores(p, truth):
    """Accuracy and log-loss."""
    return {
        "n_test": len(truth),
        "accuracy": float(is_right(p, truth).mean()),
        "log_loss": float(log_loss(truth, p, labels=range(p.shape[1]))),
    }


def fidelity(teacher, student, truth):
    """How close a student is to its teacher, and how many rows only one of them gets right."""
    kl = (teacher * (np.log(teacher) - np.log(student))).sum(axis=1)
    return {
        "agreement": float((teacher.argmax(axis=1) == student.argmax(axis=1)).mean()),
        "kl": float(kl.mean()),
        "over_teacher": only_one_right(student, teacher, truth),
    }


def only_one_right(one, other, truth):
    """McNemar's counts: rows that only the first gets right, and rows that only the second does."""
    one, other = is_right(one, truth), is_right(other, truth)
    return [int((one & ~other).sum()), int((other & ~one).sum())]


def difference(counts, n_rows):
    """Difference of two accuracies and its standard error, from McNemar's counts."""
    for_one, for_other = counts
    mean = (for_one - for_other) / n_rows
    return mean, np.sqrt(((for_one + for_other) / n_rows - mean**2) / n_rows)


# %%
# Journals
# --------


class Journal:
    """Lines of JSON in a file, and arrays of probabilities in a folder beside it.

    Parameters
    ----------
    folder : path
    table : str
    """

    def __init__(self, folder, table):
        self.path = folder / f"results-{table}.jsonl"
        self.answers = folder / "answers"
        self.lines = {_key(line): line for line in read(self.path)}

    def find(self, **key):
        """The line of that key and its probabilities, or None."""
        line, path = self.lines.get(_key(key)), self._path_of_answers(key)
        return (line, floored(np.load(path))) if line and path.exists() else None

    def has(self, **key):
        return _key(key) in self.lines

    def add(self, line, p=None):
        """Write a line, and store its probabilities, if there are any."""
        if p is not None:
            self.answers.mkdir(exist_ok=True)
            np.save(self._path_of_answers(line), p.astype(np.float32))
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.lines[_key(line)] = line

    def _path_of_answers(self, key):
        parts = [str(key[name]) for name in KEY if key.get(name) not in (None, "")]
        return self.answers / f"{re.sub('[^A-Za-z0-9_.=-]', '', '_'.join(parts))}.npy"


def _key(line):
    return tuple(str(line.get(name)) for name in KEY)


def read(path):
    """The lines of a journal; an incomplete line counts as missing."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            print(f"{path}: a line that was cut off is left out")
    return lines


def read_all(folder):
    """The lines of all journals; of those with the same key the last."""
    journals = [read(path) for path in sorted(folder.glob("results-*.jsonl"))]
    return list({_key(line): line for lines in journals for line in lines}.values())
