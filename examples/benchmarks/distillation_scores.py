"""
Scores, comparisons and journals of the distillation benchmark
==============================================================

A journal is a file with one line of numbers per measurement. The probabilities from which the
numbers were computed are stored beside it, for later comparisons. This module does not need skkd,
because libraries that cannot be installed together with skkd are measured in an environment of
their own.
"""

import json
import re

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from tables import load_split

#: The tables that were used to choose the defaults, and the others.
DECIDING = ("letter", "satimage", "spambase", "covertype")
REPORTED = ("magic", "pendigits", "connect4", "adult")

#: Data sets of scikit-learn, used if the files of the real tables are missing.
BUNDLED = {"digits": load_digits, "breast_cancer": load_breast_cancer, "wine": load_wine}

#: Smaller probabilities are raised to this value before scoring.
FLOOR = 1e-7

#: The fields that identify a line of a journal.
KEY = ("kind", "table", "split", "student", "teacher", "arm", "epochs", "encoding", "teachers")


# %%
# Rows
# ----


def tables_at(folder, wanted):
    """Return the wanted tables, or those of scikit-learn if the folder does not exist."""
    if set(wanted) <= set(BUNDLED) or (folder is not None and folder.is_dir()):
        return wanted
    print("no folder of tables: scikit-learn's small tables are used, too small for any conclusion")
    return list(BUNDLED)


def load(folder, table, split):
    """Return X_train, X_test, y_train, y_test of a table, with labels as codes 0, 1, 2, ..."""
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
    """Return probabilities as float64, raised to at least FLOOR, with rows that sum to 1."""
    p = np.clip(np.asarray(p, dtype=np.float64), FLOOR, 1)
    return p / p.sum(axis=1, keepdims=True)


def is_right(p, truth):
    return p.argmax(axis=1) == truth


def scores(p, truth):
    """Return the number of test rows, accuracy and log-loss."""
    return {
        "n_test": len(truth),
        "accuracy": float(is_right(p, truth).mean()),
        "log_loss": float(log_loss(truth, p, labels=range(p.shape[1]))),
    }


def fidelity(teacher, student, truth):
    """Return how close a student is to its teacher, and how many rows only one gets right."""
    kl = (teacher * (np.log(teacher) - np.log(student))).sum(axis=1)
    return {
        "agreement": float((teacher.argmax(axis=1) == student.argmax(axis=1)).mean()),
        "kl": float(kl.mean()),
        "over_teacher": only_one_right(student, teacher, truth),
    }


def only_one_right(one, other, truth):
    """Return McNemar's counts: rows that only the first predicts right, then only the second."""
    one, other = is_right(one, truth), is_right(other, truth)
    return [int((one & ~other).sum()), int((other & ~one).sum())]


def difference(counts, n_rows):
    """Return the difference of two accuracies and its standard error, from McNemar's counts."""
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
        self.probabilities = folder / "answers"
        self.lines = {_key(line): line for line in read(self.path)}

    def find(self, **key):
        """Return the line with this key and its probabilities, or None if either is missing."""
        line, path = self.line(**key), self._path_of_probabilities(key)
        return (line, floored(np.load(path))) if line and path.exists() else None

    def line(self, **key):
        """Return the line with this key, or None if it is missing."""
        return self.lines.get(_key(key))

    def has(self, **key):
        return _key(key) in self.lines

    def add(self, line, p=None):
        """Append a line to the file, and store its probabilities if `p` is given."""
        if p is not None:
            self.probabilities.mkdir(exist_ok=True)
            np.save(self._path_of_probabilities(line), p.astype(np.float32))
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.lines[_key(line)] = line

    def _path_of_probabilities(self, key):
        parts = [str(key[name]) for name in KEY if key.get(name) not in (None, "")]
        return self.probabilities / f"{re.sub('[^A-Za-z0-9_.=-]', '', '_'.join(parts))}.npy"


def _key(line):
    return tuple(str(line.get(name)) for name in KEY)


def read(path):
    """Return the lines of a journal without incomplete ones, which are printed."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            print(f"{path}: a line that was cut off is left out")
    return lines


def read_all(folder):
    """Return the lines of all journals; of lines with the same key only the last."""
    journals = [read(path) for path in sorted(folder.glob("results-*.jsonl"))]
    return list({_key(line): line for lines in journals for line in lines}.values())
