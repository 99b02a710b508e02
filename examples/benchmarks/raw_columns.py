"""
Raw columns: does it matter in what units the numbers come?
===========================================================

``NeuralClassifier()`` on the same tables in other clothes: standardised beforehand, as they
come, each column in a unit of its own, with an offset of ten million, and with a heavy tail.
Prints errors in per cent and, for each dress, the mean difference from standardised columns
with its standard error over the test rows.

``python examples/benchmarks/raw_columns.py FOLDER`` takes half an hour on one core.
"""

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from tables import load_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skkd import NeuralClassifier

TABLES = ("satimage", "spambase", "letter", "magic", "pendigits")
REFERENCE = "standardised"


# %%
# The dresses
# -----------
# Each is a function of raw and of standardised columns, and of a random generator that
# training and test rows share.


def standardised(raw, scaled, rng):
    return scaled


def as_they_come(raw, scaled, rng):
    return raw


def other_units(raw, scaled, rng):
    """From millionths to millions."""
    return raw * 10 ** rng.uniform(-6, 6, raw.shape[1])


def offset(raw, scaled, rng):
    return raw + 1e7


def heavy_tail(raw, scaled, rng):
    """The order stays; four standard deviations become 1490."""
    return np.sign(scaled) * np.expm1(2 * np.abs(scaled)) / 2


DRESSES = {
    REFERENCE: standardised,
    "as they come": as_they_come,
    "other units": other_units,
    "offset of 1e7": offset,
    "heavy tail": heavy_tail,
}


# %%
# Everything
# ----------


def rights(folder, table, split, threads):
    """By dress, which test rows the network is right on."""
    *parts, y_train, y_test = load_split(folder, table, split)
    raw = [part.astype(np.float64) for part in parts]
    scaler = StandardScaler().fit(raw[0])
    found = {}
    for name, dress in DRESSES.items():
        X_train, X_test = (
            dress(part, scaler.transform(part), np.random.default_rng(split)) for part in raw
        )
        clf = NeuralClassifier(random_state=split, n_threads=threads).fit(X_train, y_train)
        found[name] = clf.predict(X_test) == y_test
    return found


def lines_of(table, found):
    """A line per dress, over the test rows of all splits."""
    pooled = {name: np.concatenate([one[name] for one in found]) for name in DRESSES}
    for name, is_right in pooled.items():
        lead = pooled[REFERENCE].astype(float) - is_right
        yield {
            "table": table,
            "columns": name,
            "error": 100 * np.mean(~is_right),
            "more": 100 * lead.mean(),
            "standard error": 100 * lead.std() / np.sqrt(len(lead)),
        }


def main():
    parser = argparse.ArgumentParser(description="Compare units of the same columns.")
    parser.add_argument("folder", type=Path, help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    lines = []
    with threadpool_limits(options.threads):
        for table in tqdm(options.tables, unit="table"):
            splits = range(options.splits)
            found = [rights(options.folder, table, split, options.threads) for split in splits]
            lines += lines_of(table, found)
            tqdm.write(pd.DataFrame(lines[-len(DRESSES) :]).to_string(index=False))
    with_errors = pd.DataFrame(lines)
    print(with_errors.pivot_table("error", "columns", "table", sort=False).round(2).to_string())
    print((with_errors["more"] > with_errors["standard error"]).sum(), "beyond a standard error")


if __name__ == "__main__":
    main()
