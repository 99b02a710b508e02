"""
Transfer sets: their cost, and how realistic their rows are
===========================================================

``python transfer.py speed`` measures the time and the memory that each sampler takes to learn a
table and to make four times as many rows. It also measures how much farther away the nearest row is
if only a random block of the table is searched.

``python transfer.py rows FOLDER`` takes the folder with the files of ``tables.py``. It measures

- how well a forest distinguishes synthetic rows from real ones that no sampler has seen (area under
  the ROC curve: 0.5 is not at all, 1 is always);
- how many synthetic rows are copies of real ones;
- how often two forests agree on synthetic rows.
"""

import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from tables import load_split

from skkd.transfer import Gibbs, Munge, Spunge
from skkd.transfer.attributes import Attributes
from skkd.transfer.neighbours import embed, nearest_others

TABLES = [(20_000, 54), (100_000, 50)]
SAMPLERS = [Spunge(), Munge(), Munge(p=0.25), Gibbs(), Gibbs(p=1.0), Gibbs(max_features=0.3)]


def mixed_table(n_rows, n_columns, seed=0):
    """Return a table of real numbers, whole numbers and codes, in equal parts, all correlated."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n_rows, 8))
    X = hidden @ rng.standard_normal((8, n_columns)) + rng.standard_normal((n_rows, n_columns))
    X[:, 1::3] = np.round(X[:, 1::3] * 10)
    X[:, 2::3] = X[:, 2::3] > 0
    return X


def cost(sampler, X, n_new):
    """Return seconds to learn, seconds to sample, and the peak in MB of both, done in batches."""
    start = time.perf_counter()
    sampler.fit(X)
    learned = time.perf_counter()
    for _ in sampler.batches(n_new, random_state=0):
        pass
    sampled = time.perf_counter()
    tracemalloc.start()
    try:
        for _ in type(sampler)(**sampler.get_params()).fit(X).batches(20_000, random_state=0):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return learned - start, sampled - learned, peak / 2**20


def speed():
    print("   rows columns  sampler                      fit s  sample s   new rows/s  peak MB")
    for n_rows, n_columns in TABLES:
        X = mixed_table(n_rows, n_columns)
        for sampler in SAMPLERS:
            fitting, sampling, peak = cost(sampler, X, 4 * n_rows)
            print(
                f"{n_rows:7} {n_columns:7}  {sampler!r:26} {fitting:7.1f} {sampling:9.1f} "
                f"{4 * n_rows / sampling:12.0f} {peak:8.0f}",
                flush=True,
            )


def distances():
    """Print the distance of the nearest row in a block over that of the nearest of all rows."""
    print("   rows columns  block rows  mean distance  over best")
    for n_rows, n_columns in TABLES:
        points = embed(Attributes(mixed_table(n_rows, n_columns)), np.arange(n_rows))
        nearest = nearest_others(points)[1][:2000].mean()
        for block_rows in (2000, 5000, 10_000, 20_000):
            block = points[:block_rows]
            mean = nearest_others(block)[1][:2000].mean()
            print(f"{n_rows:7} {n_columns:7} {block_rows:11} {mean:14.3f} {mean / nearest:11.2f}")


def forest(seed, n_trees=100):
    encoder = make_column_transformer(
        (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            make_column_selector(dtype_exclude=np.number),
        ),
        remainder="passthrough",
    )
    trees = RandomForestClassifier(n_trees, min_samples_leaf=2, random_state=seed)
    return make_pipeline(encoder, trees)


def auc_of_forest(real, made):
    """Return the ROC AUC of a forest that distinguishes synthetic rows from real ones."""
    rows = np.concatenate([real, made])
    is_made = np.repeat([0, 1], [len(real), len(made)])
    classifier = forest(seed=0).set_params(columntransformer="passthrough")
    return roc_auc_score(
        is_made, cross_val_predict(classifier, rows, is_made, method="predict_proba")[:, 1]
    )


def share_of_copies(X, made):
    """Return the share of synthetic rows that equal a row of X."""
    known = {row.tobytes() for row in np.ascontiguousarray(X)}
    return np.mean([row.tobytes() in known for row in np.ascontiguousarray(made)])


def as_codes(*tables):
    """Return tables as arrays; strings and missing values become codes that all tables share."""
    codes = []
    for name in tables[0].columns:
        cells = np.concatenate([np.asarray(table[name], dtype=object) for table in tables])
        cells = np.array([str(cell) for cell in cells])
        numbers = tables[0][name].dtype.kind in "fiu"
        codes.append(cells.astype(float) if numbers else np.unique(cells, return_inverse=True)[1])
    cuts = np.cumsum([len(table) for table in tables])[:-1]
    return np.split(np.column_stack(codes).astype(float), cuts)


def realism(folder):
    print("table      sampler                        AUC  copies  agreement (on real rows)")
    for name in ("magic", "adult", "covertype"):
        X, X_test, y, _ = load_split(folder, name, 0)
        X, X_test = pd.DataFrame(X), pd.DataFrame(X_test[:5000])
        halves = [forest(seed).fit(X.iloc[seed::2], y[seed::2]) for seed in (0, 1)]
        on_real = np.mean(halves[0].predict(X_test) == halves[1].predict(X_test))
        for sampler in SAMPLERS:
            made = sampler.fit(X).sample(len(X_test), random_state=0)
            known, real, new = as_codes(X, X_test, made)
            agreement = np.mean(halves[0].predict(made) == halves[1].predict(made))
            print(
                f"{name:10} {sampler!r:26} {auc_of_forest(real, new):7.3f} "
                f"{share_of_copies(known, new):7.3f} {agreement:10.3f} ({on_real:.3f})",
                flush=True,
            )


def main():
    task, *folder = sys.argv[1:] or ["speed"]
    if task == "rows":
        realism(*folder)
    else:
        speed()
        distances()


if __name__ == "__main__":
    main()
