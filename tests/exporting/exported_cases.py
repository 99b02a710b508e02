"""Fitted classifiers of every kind that is exported, each fitted once, and rows for them."""

import functools

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.tree import DecisionTreeClassifier

from skkd import DistilledClassifier, NeuralClassifier
from skkd.activations import ACTIVATIONS

FAST = {"max_epochs": 2, "random_state": 0}
SMALL = {"hidden_layer_sizes": (8,)} | FAST
N_ROWS = 120


def numbers(seed=0, n_features=4):
    """Rows of which the third column holds years."""
    X = np.random.RandomState(seed).standard_normal((N_ROWS, n_features)) * 10
    X[:, 2:3] = np.round(2005.3 + X[:, 2:3])
    return X


def codes(X, n_classes=3):
    return np.argsort(np.argsort(X[:, 0])) * n_classes // len(X)


def gaps(X):
    X = X.copy()
    X[::7, 1] = np.nan
    return X


def mixed():
    X = gaps(numbers())
    rng = np.random.RandomState(1)
    table = pd.DataFrame(X, columns=["age", "label", "year", "debt"])
    table["job"] = rng.choice(["cook", "smith", "", "Müller"], N_ROWS)
    table["region"] = pd.Categorical(rng.choice(["north", "south"], N_ROWS))
    table["married"] = rng.random(N_ROWS) < 0.5
    table["grade"] = rng.choice([1, 2, 7], N_ROWS)
    table.loc[::5, "job"] = None
    return table


def bools():
    table = mixed()[["age", "debt", "married"]]
    table["smokes"] = np.where(np.arange(N_ROWS) % 3, np.arange(N_ROWS) % 2 == 0, None)
    return table


def many_texts():
    names = np.array([f"town {i}" for i in range(300)])
    return pd.DataFrame({"town": np.tile(names, 2)[: 2 * 290 + 7], "size": np.arange(587.0)})


def many_codes():
    return np.column_stack([np.arange(587.0) % 290, np.arange(587.0)])


def heavy_tails():
    X = numbers()
    X[:, 0] = np.exp(X[:, 0] / 3)
    X[:, 2] = np.sinh((X[:, 2] - 2005) / 3)
    return gaps(X)


def of_no_width():
    X = numbers()
    X[:, 1], X[:, 3] = 7.5, np.nan
    return X


def classifier(X, y=None, **settings):
    y = codes(X) if y is None else y
    return NeuralClassifier(**(SMALL | settings)).fit(X, y), X


def table_classifier(X, **settings):
    y = np.array(["no", "yes"])[(np.arange(len(X)) % 3 == 0).astype(int)]
    return classifier(X, y, **settings)


def labelled(labels):
    X = numbers()
    return classifier(X, np.array(labels)[codes(X, len(labels))])


def taught(X):
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, codes(X))
    settings = {"numeric_encoding": "teacher_bins", "alpha": 0.5, "augment": None}
    return DistilledClassifier(tree, **(SMALL | settings)).fit(X, codes(X)), X


def at_temperature():
    clf, X = classifier(numbers())
    clf.network_ = clf.network_.at_temperature(2.5)
    return clf, X


def sparse_rows():
    X = sparse.random(N_ROWS, 6, density=0.3, random_state=0, format="csr")
    return classifier(X, np.arange(N_ROWS) % 2)


BINS = {"numeric_encoding": "piecewise_linear", "hidden_layer_sizes": (32, 32)}

CASES = {
    "default network": lambda: (
        NeuralClassifier(**FAST).fit(numbers(), codes(numbers())),
        numbers(),
    ),
    "32-32 with bins": lambda: classifier(gaps(numbers()), **BINS),
    "batch norm and dropout": lambda: classifier(numbers(), batch_norm=True, dropout=0.3),
    "two classes": lambda: classifier(numbers(), codes(numbers(), 2)),
    "26 classes": lambda: labelled([chr(ord("a") + i) for i in range(26)]),
    "text labels": lambda: labelled(["ä", "b c", ""]),
    "object labels": lambda: classifier(
        numbers(), np.array(["a", "bb"], object)[codes(numbers(), 2)]
    ),
    "labels from 1": lambda: labelled([1, 2, 10]),
    "bool labels": lambda: labelled([False, True]),
    "float labels": lambda: labelled([1.0, 3.0]),
    "uint8 labels": lambda: labelled(np.array([3, 200], dtype=np.uint8)),
    "mixed table": lambda: table_classifier(mixed()),
    "mixed table with bins": lambda: table_classifier(mixed(), **BINS),
    "mixed array": lambda: table_classifier(mixed().to_numpy(dtype=object)),
    "table of numbers": lambda: classifier(
        pd.DataFrame(numbers(), columns=list("abcd")), codes(numbers())
    ),
    "table with booleans": lambda: table_classifier(bools()),
    "codes declared categories": lambda: table_classifier(
        mixed()[["age", "grade"]], categorical_features=["grade"]
    ),
    "fractions declared categories": lambda: classifier(
        np.column_stack([np.arange(N_ROWS) % 3 / 10, np.arange(N_ROWS)]), categorical_features=[0]
    ),
    "gaps in declared categories": lambda: classifier(
        gaps(np.round(numbers())), codes(numbers()), categorical_features=[1]
    ),
    "rare texts": lambda: table_classifier(many_texts()),
    "rare codes": lambda: table_classifier(many_codes(), categorical_features=[0]),
    "teacher bins": lambda: taught(numbers()),
    "sparse numbers": sparse_rows,
    "one feature": lambda: classifier(numbers(n_features=1)),
    "heavy tails": lambda: classifier(heavy_tails(), codes(numbers())),
    "columns of no width": lambda: classifier(of_no_width()),
    "standard scaling": lambda: classifier(of_no_width(), preset="plain"),
    "no preprocessing": lambda: classifier(numbers() / 100, preprocessor=None),
    "float64": lambda: classifier(numbers() / 100, dtype="float64", preprocessor=None),
    "no hidden layer": lambda: classifier(numbers(), hidden_layer_sizes=()),
    "temperature": at_temperature,
} | {
    name: functools.partial(lambda name: classifier(numbers(), activation=name), name)
    for name in ACTIVATIONS
}


@functools.cache
def fitted(case):
    """(classifier, X) of a case; fitted once in a process."""
    return CASES[case]()
