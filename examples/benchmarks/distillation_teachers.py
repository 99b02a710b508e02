"""
The teachers of the distillation benchmark
==========================================

Each accepts a table with strings and missing values. A fitted teacher is stored on disk, because
students and contenders share it.
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

#: Networks in the bag, and their epochs: the default would choose the epochs in a first fit.
N_NETWORKS = 10
NETWORK_EPOCHS = 30


def forest(X, seed, threads):
    """500 trees; categories as codes, missing values as a code of their own."""
    trees = RandomForestClassifier(500, n_jobs=threads, random_state=seed)
    if not isinstance(X, pd.DataFrame):
        return trees
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
    )
    strings = make_column_selector(dtype_exclude="number")
    return make_pipeline(make_column_transformer((codes, strings), remainder="passthrough"), trees)


def boosting(X, seed, threads):
    """Gradient boosting, which handles categories and missing values."""
    trees = HistGradientBoostingClassifier(random_state=seed)
    if not isinstance(X, pd.DataFrame):
        return trees
    return make_pipeline(FunctionTransformer(as_categories), trees)


def as_categories(X):
    """Columns of strings as columns of categories."""
    return X.astype(dict.fromkeys(X.select_dtypes(exclude="number").columns, "category"))


def stack(X, seed, threads):
    """Forest and boosting, combined by a logistic regression on out-of-fold predictions."""
    parts = [("forest", forest(X, seed, threads)), ("boosting", boosting(X, seed, threads))]
    return StackingClassifier(parts, LogisticRegression(max_iter=1000), cv=3)


def networks(X, seed, threads):
    """The mean of ten larger networks that differ in their seeds.

    Their labels are not smoothed, which would hide what a student can learn (Müller,
    Kornblith and Hinton 2019, "When does label smoothing help?", arXiv:1906.02629).
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
