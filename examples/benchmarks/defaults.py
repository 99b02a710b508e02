"""
Defaults: NeuralClassifier() and other classifiers' defaults
============================================================

Every classifier is fitted with its defaults, on ten tables with five splits each. Five of the
tables were used to choose skkd's defaults, the other five were not.

``python examples/benchmarks/defaults.py FOLDER`` prints the tables and draws the picture of the
docs. Measurements that exist already are read from ``--out``. The classifiers of pytabkit and
LightGBM are left out if these are not installed.
"""

import argparse
import json
import logging
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from tables import DECIDING, REPORTED, load_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skkd import NeuralClassifier

#: The contender with which the others are compared.
YARDSTICK = "RealMLP-TD-S"

#: Contenders whose names start with one of these train on the device of `--device`.
NETWORKS = ("NeuralClassifier", "RealMLP", "without: ")

#: Upper limit of the ratios in the picture: gradient boosting fails on the rare classes of shuttle.
MOST = 4


# %%
# The contenders
# --------------
# Each contender is a function of a seed, a number of threads and a torch device that returns an
# unfitted classifier.


def neural(seed, threads, device, **settings):
    return NeuralClassifier(random_state=seed, n_threads=threads, device=device, **settings)


def mlp(seed, threads, device):
    return make_pipeline(numbers(StandardScaler()), MLPClassifier(random_state=seed))


def raw_mlp(seed, threads, device):
    return make_pipeline(numbers("passthrough"), MLPClassifier(random_state=seed))


def skorch_net(seed, threads, device):
    import torch
    from skorch import NeuralNetClassifier

    class Net(torch.nn.Sequential):
        def __init__(self):
            layers = torch.nn.LazyLinear(100), torch.nn.ReLU(), torch.nn.LazyLinear(26)
            super().__init__(*layers)

    torch.manual_seed(seed)
    net = NeuralNetClassifier(Net, criterion=torch.nn.CrossEntropyLoss, verbose=0)
    return make_pipeline(numbers(StandardScaler()), net)


def numbers(scaler):
    """Return a transformer of any table to float32: numbers scaled, categories one-hot."""
    categories = make_column_selector(dtype_exclude="number")
    fill = make_pipeline(SimpleImputer(), scaler)
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    split = make_column_transformer((encode, categories), remainder=fill)
    return make_pipeline(FunctionTransformer(pd.DataFrame), split, FunctionTransformer(as_float32))


def as_float32(X):
    """Return a table as an array of float32, which torch accepts."""
    return np.asarray(X, dtype=np.float32)


def real_mlp_s(seed, threads, device):
    from pytabkit import RealMLP_TD_S_Classifier

    return RealMLP_TD_S_Classifier(device=device, random_state=seed, n_threads=threads)


def real_mlp(seed, threads, device):
    from pytabkit import RealMLP_TD_Classifier

    return RealMLP_TD_Classifier(device=device, random_state=seed, n_threads=threads)


def lightgbm(seed, threads, device):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, n_jobs=threads, verbose=-1)


def boosting(seed, threads, device):
    return HistGradientBoostingClassifier(random_state=seed)


CONTENDERS = {
    "NeuralClassifier": neural,
    "RealMLP-TD-S": real_mlp_s,
    "RealMLP-TD": real_mlp,
    "LightGBM": lightgbm,
    "HistGradientBoosting": boosting,
    "MLPClassifier, scaled": mlp,
    "MLPClassifier, raw": raw_mlp,
    "skorch": skorch_net,
}

#: The changes of the defaults that the ablation makes, one at a time.
ABLATIONS = {
    "standard scaling": {"preprocessor": "standard"},
    "ReLU": {"activation": "relu"},
    "no feature scale": {"feature_scale": False},
    "biases start at 0": {"bias_init": "zeros"},
    "no dropout": {"dropout": 0.0},
    "constant dropout": {"dropout_decay": "constant"},
    "label smoothing .05": {"label_smoothing": 0.05},
    "no label smoothing": {"label_smoothing": 0.0},
    "constant rate": {"lr_decay": "constant"},
    "cosine": {"lr_decay": "cosine"},
    "beta2 .999": {"optimizer__betas": (0.9, 0.999)},
    "standard parametrization": {"parametrization": "standard"},
    "256 epochs": {"max_epochs": 256},
    "batches of 256": {"batch_size": 256},
    "32 epochs": {"max_epochs": 32},
    "two layers of 256": {"hidden_layer_sizes": (256, 256)},
    "best epoch of 80 %": {"early_stopping": True, "validation_fraction": 0.2},
    "plain": {"preset": "plain"},
}


# %%
# One measurement
# ---------------


def measure(folder, table, split, contender, threads, device):
    """Return error, log-loss, AUC and seconds of one contender on one split."""
    X_train, X_test, y_train, y_test = load_split(folder, table, split)
    if isinstance(X_train, pd.DataFrame) and not contender.startswith(("Neural", "without")):
        X_train, X_test = as_categories(X_train, X_test)
    classes, codes = np.unique(y_train, return_inverse=True)
    start = perf_counter()
    clf = maker(contender)(split, threads, device).fit(X_train, codes)
    fitted = perf_counter()
    p = np.asarray(clf.predict_proba(X_test), dtype=np.float64)[:, : len(classes)]
    answered = perf_counter()
    p = np.clip(p, 1e-7, 1)
    p /= p.sum(axis=1, keepdims=True)
    truth = np.searchsorted(classes, y_test)
    scores = p[:, 1] if len(classes) == 2 else p
    return {
        "table": table,
        "split": split,
        "contender": contender,
        "device": device if contender.startswith(NETWORKS) else "cpu",
        "n_test": len(truth),
        "error": float(100 * np.mean(p.argmax(axis=1) != truth)),
        "log_loss": float(log_loss(truth, p, labels=range(len(classes)))),
        "auc": float(roc_auc_score(truth, scores, multi_class="ovr")),
        "fit": fitted - start,
        "predict": answered - fitted,
    }


def maker(contender):
    if contender in CONTENDERS:
        return CONTENDERS[contender]
    settings = ABLATIONS[contender.removeprefix("without: ")]
    return lambda seed, threads, device: neural(seed, threads, device, **settings)


def as_categories(*tables):
    """Return tables whose strings are categories, with missing values as one more category."""
    text = tables[0].select_dtypes(exclude="number").columns
    known = {name: sorted(set(tables[0][name].fillna("missing"))) for name in text}
    return [
        table.assign(
            **{
                name: pd.Categorical(table[name].fillna("missing"), categories=known[name])
                for name in text
            }
        )
        for table in tables
    ]


# %%
# Tables and picture
# ------------------


def error_table(results):
    """Return the mean errors, with a row per contender and a column per table."""
    return results.pivot_table(index="contender", columns="table", values="error")


def by_split(results, value):
    """Return one value, with a row per table and split, and a column per contender."""
    return results.pivot_table(index=["table", "split"], columns="contender", values=value)


def beside(results, value, yardstick):
    """Return, by table, the means of each contender and of the yardstick on the same splits."""
    own = by_split(results, value)
    own = own[own[yardstick].notna()]
    reference = pd.DataFrame(
        {contender: own[yardstick].where(own[contender].notna()) for contender in own.columns}
    )
    return own.groupby("table").mean().T, reference.groupby("table").mean().T


def mean_ranks(results):
    """Return the mean ranks of the errors, over the splits that all contenders have."""
    errors = by_split(results, "error").dropna()
    return errors.groupby("table").mean().rank(axis=1).mean()


def summary(results, tables):
    """Return a row per contender that compares it with the others on some tables."""
    some = results[results["table"].isin(tables)]
    contenders = sorted(set(some["contender"]))
    yardstick = YARDSTICK if YARDSTICK in contenders else contenders[0]
    errors, of_yardstick = beside(some, "error", yardstick)
    losses, losses_of_yardstick = beside(some, "log_loss", yardstick)
    ranks = mean_ranks(some)
    lines = [
        {
            "contender": contender,
            "tables": int(errors.loc[contender].notna().sum()),
            "mean rank": ranks.get(contender),
            f"error over {yardstick}'s": (
                errors.loc[contender] / of_yardstick.loc[contender]
            ).mean(),
            "tables with lower log-loss": int(
                (losses.loc[contender] < losses_of_yardstick.loc[contender]).sum()
            ),
            f"fit time over {yardstick}'s": time_ratio(some, contender, yardstick),
            **duels(some, contender),
        }
        for contender in contenders
    ]
    return pd.DataFrame(lines).set_index("contender").sort_values("mean rank")


def timed(results):
    """Return the lines whose seconds can be compared: on the CPU, under the same load."""
    return results[(results["device"] == "cpu") & results["timed"]]


def time_ratio(results, contender, yardstick):
    """Return the fit time over the yardstick's on the same splits, as the median over tables."""
    seconds = by_split(timed(results), "fit").reindex(columns=list({contender, yardstick}))
    return (seconds[contender] / seconds[yardstick]).groupby("table").mean().median()


def duels(results, contender):
    """Return on how many tables NeuralClassifier wins, ties and loses, by one standard error."""
    errors = by_split(results, "error")
    counts = {"won": 0, "tied": 0, "lost": 0}
    if contender == "NeuralClassifier" or "NeuralClassifier" not in errors:
        return counts
    rows = by_split(results, "n_test")["NeuralClassifier"]
    columns = {"ours": errors["NeuralClassifier"], "theirs": errors[contender], "rows": rows}
    for _, both in pd.DataFrame(columns).dropna().groupby("table"):
        share = both[["ours", "theirs"]].to_numpy().mean() / 100
        error = 100 * np.sqrt(2 * share * (1 - share) / both["rows"].sum())
        lead = (both["theirs"] - both["ours"]).mean()
        counts["won" if lead > error else "lost" if lead < -error else "tied"] += 1
    return counts


def draw(results, path):
    """Draw the error divided by RealMLP-TD-S's, with a dot for each table and contender."""
    import matplotlib.pyplot as plt

    names = [contender for contender in CONTENDERS if contender in set(results["contender"])]
    errors, of_yardstick = beside(results, "error", YARDSTICK)
    relative = errors / of_yardstick
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(names) + 1.4), layout="constrained")
    for height, contender in enumerate(reversed(names)):
        values = relative.loc[contender].dropna().clip(upper=MOST)
        axes.plot(values, [height] * len(values), "o", alpha=0.5, color="tab:blue")
        axes.plot(values.median(), height, "|", color="black", markersize=16)
    axes.set_yticks(range(len(names)), reversed(names))
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_xscale("log")
    ticks = {0.7: "0.7", 1: "1", 1.5: "1.5", 2: "2", 3: "3", MOST: f"{MOST} or more"}
    axes.set_xticks(list(ticks), list(ticks.values()), minor=False)
    axes.minorticks_off()
    axes.set_xlabel(f"test error over {YARDSTICK}'s (a dot per table, | the median)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    print("the picture is in", path)


def main():
    parser = argparse.ArgumentParser(description="Compare defaults on real tables.")
    parser.add_argument("folder", type=Path, help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=[*DECIDING, *REPORTED])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--ablation", action="store_true", help="change the defaults one by one")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--device", default="cpu", help="of the networks; times count on the CPU only"
    )
    parser.add_argument(
        "--untimed", action="store_true", help="do not report the times of this run"
    )
    default = Path(tempfile.gettempdir()) / "defaults"
    parser.add_argument("--out", type=Path, default=default, help="folder of results and picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    journal = options.out / "results.jsonl"
    done = read(journal)
    contenders = list(options.contenders)
    if options.ablation:
        contenders = ["NeuralClassifier", *(f"without: {name}" for name in ABLATIONS)]
    wanted = [
        (table, split, contender)
        for split in range(options.splits)
        for table in options.tables
        for contender in contenders
    ]
    have = {(line["table"], line["split"], line["contender"]) for line in done}
    import torch

    torch.set_num_threads(options.threads)
    for table, split, contender in tqdm([task for task in wanted if task not in have], unit="fit"):
        try:
            with threadpool_limits(options.threads):
                done.append(
                    measure(
                        options.folder, table, split, contender, options.threads, options.device
                    )
                )
        except ImportError as error:
            tqdm.write(f"{contender} is left out: {error}")
            continue
        done[-1]["timed"] = not options.untimed
        with journal.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
    report(pd.DataFrame([r for r in done if (r["table"], r["split"], r["contender"]) in wanted]))
    if not options.ablation and any(line["contender"] == YARDSTICK for line in done):
        draw(pd.DataFrame(done), options.out / "defaults.png")


def read(journal):
    if not journal.exists():
        return []
    lines = map(json.loads, journal.read_text().splitlines())
    return [{"device": "cpu", "timed": True, **line} for line in lines]


def report(results):
    with pd.option_context("display.width", 200, "display.max_columns", 30):
        for value in ("error", "log_loss", "auc", "fit", "predict"):
            print(f"\n{value}")
            lines = timed(results) if value in ("fit", "predict") else results
            table = lines.pivot_table(index="contender", columns="table", values=value)
            print(table.to_string(float_format="{:.3f}".format, na_rep=""))
        groups = {"deciding": DECIDING, "reported": REPORTED, "all": [*DECIDING, *REPORTED]}
        for title, tables in groups.items():
            if set(results["table"]) & set(tables):
                print(f"\n{title} tables")
                print(summary(results, tables).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
