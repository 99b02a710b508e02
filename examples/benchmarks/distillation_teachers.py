"""
The teachers of the distillation benchmark
==========================================

Each teacher accepts a table with strings and missing values. A fitted teacher is stored on disk,
because all students share it.
"""

from time import perf_counter

import joblib
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from skkd import NeuralClassifier

#: Number of networks in the ensemble, and of their epochs. (By default each network would choose
#: its number of epochs in a first fit, which takes time.)
N_NETWORKS = 10
NETWORK_EPOCHS = 30


def forest(X, seed, threads):
    """Return a forest of 500 trees; categories become codes, and missing values one more code."""
    trees = RandomForestClassifier(500, n_jobs=threads, random_state=seed)
    if not isinstance(X, pd.DataFrame):
        return trees
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
    )
    strings = make_column_selector(dtype_exclude="number")
    return make_pipeline(make_column_transformer((codes, strings), remainder="passthrough"), trees)


def boosting(X, seed, threads):
    """Return gradient boosting, which handles categories and missing values itself."""
    trees = HistGradientBoostingClassifier(random_state=seed)
    if not isinstance(X, pd.DataFrame):
        return trees
    return make_pipeline(FunctionTransformer(as_categories), trees)


def as_categories(X):
    """Return a DataFrame whose columns of strings are columns of categories."""
    return X.astype(dict.fromkeys(X.select_dtypes(exclude="number").columns, "category"))


def stack(X, seed, threads):
    """Return forest and boosting, stacked by a logistic regression on out-of-fold predictions."""
    parts = [("forest", forest(X, seed, threads)), ("boosting", boosting(X, seed, threads))]
    return StackingClassifier(parts, LogisticRegression(max_iter=1000), cv=3)


def networks(X, seed, threads):
    """Return the mean of ten larger networks that differ in their seeds.

    They are trained without label smoothing, because smoothing would remove information that a
    student can learn (Müller, Kornblith and Hinton 2019, "When does label smoothing help?",
    arXiv:1906.02629).
    """
    settings = {
        "hidden_layer_sizes": (256, 256, 256),
        "max_epochs": NETWORK_EPOCHS,
        "label_smoothing": 0.0,
    }
    members = [
        (
            f"network_{i}",
            NeuralClassifier(**settings, n_threads=threads, random_state=seed * N_NETWORKS + i),
        )
        for i in range(N_NETWORKS)
    ]
    return VotingClassifier(members, voting="soft")


TEACHERS = {"forest": forest, "boosting": boosting, "stack": stack, "networks": networks}


def fit_teacher(path, name, X, y, seed, threads):
    """Fit a teacher and store it at a path.

    Returns
    -------
    teacher, seconds
    """
    start = perf_counter()
    teacher = TEACHERS[name](X, seed, threads).fit(X, y)
    seconds = perf_counter() - start
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    joblib.dump(teacher, unfinished, compress=0)
    unfinished.replace(path)
    return teacher, seconds
