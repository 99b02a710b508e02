"""
Raw columns: do the units of the numbers matter?
================================================

This benchmark fits ``NeuralClassifier()`` on variants of the same tables: standardised beforehand,
unchanged, with each column in a unit of its own, with an offset of ten million, and with heavy
tails. For each variant it prints the error in per cent, the difference from the error with
standardised columns, and the standard error of this difference over the test rows of all splits.
(Splits share rows, so this standard error is rather too small.)

``python examples/benchmarks/raw_columns.py FOLDER`` takes twenty minutes on one core.
"""

import argparse
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

TABLES = ("satimage", "spambase", "magic", "pendigits")
REFERENCE = "standardised"


# %%
# The variants
# ------------
# Each variant is a function of the raw columns, the standardised columns, and a random generator
# that draws the same numbers for training rows and for test rows.


def standardised(raw, scaled, rng):
    return scaled


def unchanged(raw, scaled, rng):
    return raw


def other_units(raw, scaled, rng):
    """Give each column a random unit, from millionths to millions."""
    return raw * 10 ** rng.uniform(-6, 6, raw.shape[1])


def offset(raw, scaled, rng):
    return raw + 1e7


def heavy_tail(raw, scaled, rng):
    """Make tails heavy and keep the order of values: four standard deviations become 1490."""
    return np.sign(scaled) * np.expm1(2 * np.abs(scaled)) / 2


VARIANTS = {
    REFERENCE: standardised,
    "unchanged": unchanged,
    "other units": other_units,
    "offset of 1e7": offset,
    "heavy tail": heavy_tail,
}


# %%
# The benchmark
# -------------


def correct_predictions(folder, table, split, threads):
    """Return, for each variant, a mask of the test rows that the network predicts correctly."""
    *parts, y_train, y_test = load_split(folder, table, split)
    raw = [part.astype(np.float64) for part in parts]
    scaler = StandardScaler().fit(raw[0])
    found = {}
    for name, variant in VARIANTS.items():
        X_train, X_test = (
            variant(part, scaler.transform(part), np.random.default_rng(split)) for part in raw
        )
        clf = NeuralClassifier(random_state=split, n_threads=threads).fit(X_train, y_train)
        found[name] = clf.predict(X_test) == y_test
    return found


def lines_of(table, by_split):
    """Yield one line of results per variant, over the test rows of all splits."""
    pooled = {name: np.concatenate([one[name] for one in by_split]) for name in VARIANTS}
    for name, is_right in pooled.items():
        extra_errors = pooled[REFERENCE].astype(float) - is_right
        yield {
            "table": table,
            "columns": name,
            "error": 100 * np.mean(~is_right),
            "extra error": 100 * extra_errors.mean(),
            "standard error": 100 * extra_errors.std() / np.sqrt(len(extra_errors)),
        }


def main():
    parser = argparse.ArgumentParser(description="Compare units of the same columns.")
    parser.add_argument("folder", type=Path, help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    lines = []
    with threadpool_limits(options.threads):
        for table in tqdm(options.tables, unit="table"):
            splits = range(options.splits)
            by_split = [
                correct_predictions(options.folder, table, split, options.threads)
                for split in splits
            ]
            lines += lines_of(table, by_split)
            tqdm.write(pd.DataFrame(lines[-len(VARIANTS) :]).to_string(index=False))
    with_errors = pd.DataFrame(lines)
    print(with_errors.pivot_table("error", "columns", "table", sort=False).round(2).to_string())
    others = with_errors[with_errors["columns"] != REFERENCE]
    n_worse = (others["extra error"] > others["standard error"]).sum()
    print(f"worse by more than a standard error: {n_worse} of {len(others)}")


if __name__ == "__main__":
    main()
