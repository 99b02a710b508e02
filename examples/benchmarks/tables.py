"""
Real tables for the benchmarks, cut into training and test rows
===============================================================

Nothing is downloaded: the folder of the files is an argument. Split 0 is the official split, if
there is one. The other splits are stratified draws of the same size.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

#: Tables whose number of training rows is neither that of the official split nor three quarters.
TRAINING_ROWS = {"covertype": 20_000, "fashion_mnist": 10_000}
FILES = {"covertype": "covertype_100k"}

#: The tables that were used to choose skkd's defaults, and the others.
DECIDING = ("letter", "satimage", "spambase", "covertype", "fashion_mnist")
REPORTED = ("magic", "pendigits", "shuttle", "connect4", "adult")


def load_split(folder, name, split):
    """Return training and test rows of a table.

    Parameters
    ----------
    folder : path
    name : str
    split : int

    Returns
    -------
    X_train, X_test, y_train, y_test
        DataFrames of X for adult, else float32 arrays.
    """
    X, y, is_training = _read(Path(folder), name)
    if split == 0 and is_training is not None:
        train, test = np.flatnonzero(is_training), np.flatnonzero(~is_training)
    else:
        n_rows = 0.75 if is_training is None else int(is_training.sum())
        n_rows = TRAINING_ROWS.get(name, n_rows) if is_training is None else n_rows
        settings = {"train_size": n_rows, "random_state": split, "stratify": y}
        train, test = train_test_split(np.arange(len(y)), **settings)
    if len(train) > TRAINING_ROWS.get(name, len(train)):
        settings = {"train_size": TRAINING_ROWS[name], "random_state": split, "stratify": y[train]}
        train, _ = train_test_split(train, **settings)
    rows = X.iloc if isinstance(X, pd.DataFrame) else X
    return rows[train], rows[test], y[train], y[test]


def _read(folder, name):
    """Return X, y, and a mask of the official training rows, or None if there is no such split."""
    if name == "adult":
        table = pd.read_csv(folder / "adult.csv.gz", na_values="?")
        X = table.drop(columns=["income", "split"])
        return X, table["income"].to_numpy(dtype=str), (table["split"] == "train").to_numpy()
    arrays = np.load(folder / f"{FILES.get(name, name)}.npz")
    if "X" in arrays:
        return arrays["X"].astype(np.float32), arrays["y"], None
    parts = [arrays[f"X_{part}"] for part in ("train", "test")]
    X = np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(np.float32)
    y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    return X, y, np.arange(len(y)) < len(parts[0])
