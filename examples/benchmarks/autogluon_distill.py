"""
Distillation by AutoGluon, on the splits of distillation.py
===========================================================

``python examples/benchmarks/autogluon_distill.py FOLDER`` fits AutoGluon's predictor, distils
it into a network of its own (`TabularPredictor.distill`), and measures both. It also measures the
network that the predictor itself fitted to the labels. All results are written into the journals of
``examples/benchmarks/distillation.py``, whose report then shows them.

The script does nothing if AutoGluon is not installed. Install it with
``pip install "autogluon.tabular[catboost,lightgbm,xgboost]" torch``. The script does not need skkd,
which may require another version of torch.
"""

import argparse
import shutil
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from distillation_scores import DECIDING, REPORTED, Journal, floored, load, scores, tables_at
from threadpoolctl import threadpool_limits
from tqdm import tqdm

TEACHER, STUDENT, TWIN = "AutoGluon teacher", "AutoGluon distill", "AutoGluon network"
NETWORK = "NeuralNetTorch"


def as_table(X, y=None):
    """Return X as a DataFrame with named columns, and y, if given, as its column "label"."""
    if isinstance(X, pd.DataFrame):
        table = X.copy()
    else:  # float64, as AutoGluon's synthetic rows: rounding to float32 would make ties
        table = pd.DataFrame(X.astype(np.float64)).add_prefix("x")
    return table if y is None else table.assign(label=np.asarray(y))


def fit_predictor(train, folder, options):
    """Fit and return AutoGluon's predictor with its defaults."""
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor(label="label", path=str(folder), verbosity=0)
    limits = {"time_limit": options.time_limit, "num_cpus": options.threads, "num_gpus": 0}
    return predictor.fit(train, presets=options.presets, **limits)


def distill(predictor, split, options):
    """Distil the predictor into a network, and return the name of the network."""
    np.random.seed(split)  # decides the synthetic rows
    names = predictor.distill(
        hyperparameters={"NN_TORCH": {"ag_args_fit": {"num_cpus": options.threads}}},
        time_limit=options.time_limit,
        # These are the defaults. They are passed, because AutoGluon's own dictionary of them keeps
        # the number of rows of its first use.
        augment_args={"size_factor": 5, "max_size": 100_000},
        verbosity=0,
    )
    return next(name for name in names if name.startswith(NETWORK))


def ask(predictor, X, y, model):
    """Return the scores of a model, and the seconds it takes to predict once it is in memory."""
    predictor.persist([model], max_memory=None)
    start = perf_counter()
    p = predictor.predict_proba(X, model=model)
    seconds = perf_counter() - start
    predictor.unpersist()
    return {**scores(floored(p[sorted(p.columns)]), y), "predict": seconds}


def measure(table, split, options):
    """Return lines for the predictor, its student and its network without a teacher, if any."""
    X_train, X_test, y_train, y_test = load(options.folder, table, split)
    train, test = as_table(X_train, y_train), as_table(X_test)
    folder = Path(tempfile.mkdtemp(dir=options.out))
    try:
        start = perf_counter()
        predictor = fit_predictor(train, folder / "predictor", options)
        fits = {TEACHER: perf_counter() - start}
        models = {TEACHER: predictor.model_best}  # the model that `distill` uses as teacher
        board = predictor.leaderboard().set_index("model")
        if NETWORK in board.index:
            models[TWIN], fits[TWIN] = NETWORK, board.loc[NETWORK, "fit_time"]
        start = perf_counter()
        models[STUDENT] = distill(predictor, split, options)
        fits[STUDENT] = perf_counter() - start
        key = {"kind": "contender", "table": table, "split": split}
        return [
            {**key, "arm": arm, "fit": fits[arm], **ask(predictor, test, y_test, model)}
            for arm, model in models.items()
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="Distil by AutoGluon.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=[*DECIDING, *REPORTED])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--presets", help="of the predictor, in place of its default")
    parser.add_argument("--time_limit", type=float, help="seconds, of fit and of distil each")
    default = Path(tempfile.gettempdir()) / "distillation"
    parser.add_argument("--out", type=Path, default=default, help="--out of distillation.py")
    options = parser.parse_args()
    try:
        import autogluon.tabular  # noqa: F401
    except ImportError as error:
        print(f"AutoGluon is left out: {error}")
        return
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (t, s) for t in tables_at(options.folder, options.tables) for s in range(options.splits)
    ]
    for table, split in tqdm(tasks, unit="split"):
        journal = Journal(options.out, table)
        if journal.has(kind="contender", table=table, split=split, arm=STUDENT):
            continue
        try:
            with threadpool_limits(options.threads):
                lines = measure(table, split, options)
        except Exception as error:  # AutoGluon's distillation fails on some tables
            tqdm.write(f"{table}, split {split} failed: {error!r}")
            continue
        for line in lines:
            journal.add(line)


if __name__ == "__main__":
    main()
