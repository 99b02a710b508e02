"""
Selection: how far the default is from the best of the explicit settings
========================================================================

``DistilledClassifier(teacher)`` selects on held-out rows what its student learns from. Its
**regret** is the accuracy (or log-loss) on test rows of the best setting of a fixed list, minus
that of the default. The list has labels alone, the teacher on the same rows, and MUNGE's synthetic
rows, each with and without bins at the teacher's thresholds. Only the default is calibrated, which
lowers its log-loss.

The best setting is the one with the best score on the *test* rows, so even a perfect selection has
a small regret: the more settings there are, the luckier the best. The column "rule" is the regret
of a simple rule that a selection can follow: take the setting whose log-loss on held-out rows is
lowest, where the teacher was fitted without these rows and each training went to its end.

With several splits a second table has a regret without this luck: the default is compared, on each
split, with the setting that is best on average over the **other** splits of the table.

``python examples/benchmarks/selection.py FOLDER`` prints the tables. Measurements and teachers that
exist already are read from ``--out``. Seconds in the journals say little, because fits with one
teacher share its answers. ``--jobs 2`` runs two tables at a time.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from distillation import Split, run, run_teacher, sizes
from distillation_scores import DECIDING, REPORTED, Journal, load
from distillation_teachers import TEACHERS
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from skkd import DistilledClassifier
from skkd.preprocessing import SelectiveBins
from skkd.teachers import cache

#: Parameters of the settings. All are fitted with ``fit_teacher=True``, so that their losses on
#: held-out rows are those of a student whose teacher has not seen these rows.
SOURCES = {
    "labels": {"alpha": 0.0},
    "teacher": {"alpha": 0.5, "augment": None},
    "teacher alone": {"alpha": 1.0, "augment": None},
    "munge": {"alpha": 0.5, "augment": "munge"},
    "munge alone": {"alpha": 1.0, "augment": "munge"},
    "munge, out of bag": {"alpha": 0.5, "augment": "munge", "soft_labels": "out_of_bag"},
}
#: Without bins for all numbers there are those that "auto" always has, for codes and counts.
ENCODINGS = {
    "": {"numeric_encoding": SelectiveBins()},
    ", bins": {"numeric_encoding": "teacher_bins"},
}
SETTINGS = {
    source + encoding: {**SOURCES[source], **ENCODINGS[encoding]}
    for source in SOURCES
    for encoding in ENCODINGS
}


# %%
# Measurements
# ------------


def cut(rows, n_most, seed):
    """Return the rows of a split with at most `n_most` training rows."""
    X_train, X_test, y_train, y_test = rows
    if len(y_train) > n_most:
        kept, _ = train_test_split(
            np.arange(len(y_train)), train_size=n_most, random_state=seed, stratify=y_train
        )
        X_train = X_train.iloc[kept] if isinstance(X_train, pd.DataFrame) else X_train[kept]
        y_train = y_train[kept]
    return X_train, X_test, y_train, y_test


def measure(place, student, name, arm, teacher, p_teacher):
    """Fit the default or one setting, and write a line to the journal."""
    key = place.key("selection", student=student, teacher=name, arm=arm)
    if arm == "labels":  # the same network for all teachers
        lines = [place.journal.line(**key | {"teacher": other}) for other in TEACHERS]
        known = next(filter(None, lines), None)
        if known:
            place.journal.add(known | key)
            return
    settings = {"hidden_layer_sizes": sizes(student), **place.common}
    if arm != "default":
        settings |= {"fit_teacher": True, **SETTINGS[arm]}
    clf = DistilledClassifier(teacher, **settings)
    line, p = place.fit_and_ask(clf, shares_teacher=True)
    line |= {
        "ask": clf.teacher_seconds_,
        "n_steps": int(clf.n_steps_),
        "n_epochs": clf.n_iter_,
        "candidate": clf.candidate_,
        "encoding_": str(clf.numeric_encoding_),
        "losses": clf.candidate_losses_,
        "held_out": {str(n): float(loss) for n, loss in (clf.held_out_losses_ or {}).items()},
    }
    place.journal.add({**key, **line}, p)


def run_table(options, table):
    """Make all measurements of a table that its journal does not hold yet."""
    # By default the cache does not hold large forests, and each setting would fit and ask them.
    cache.TEACHER_BYTES = 2**32
    journal = Journal(options.out, table)
    arms = ["default", *options.settings]
    total = options.splits * len(options.teachers) * len(options.students) * len(arms)
    with tqdm(total=total, desc=table, unit="fit", mininterval=1) as progress:
        for split in range(options.splits):
            rows = cut(load(options.folder, table, split), options.rows, split)
            place = Split(table, split, rows, journal, options.out, options.threads)
            for name in options.teachers:
                known = [arm for arm in arms if "out of bag" not in arm or name == "forest"]
                tasks = list(product(options.students, known))
                cache.forget()  # what the last teacher was asked
                run_teacher(place, name, "selection", tasks, measure, progress)


# %%
# Report
# ------


def regrets(lines):
    """Return a DataFrame with the regret of the default for each table, split, teacher, size.

    Accuracies are in points.
    """
    where = ["table", "split", "teacher", "student"]
    table = pd.DataFrame([line for line in lines if line["kind"] == "selection"])
    found = []
    for key, group in table.groupby(where):
        arms = group.set_index("arm")
        settings = arms.drop("default", errors="ignore")
        if "default" not in arms.index or len(settings) < 6:
            continue
        default = arms.loc["default"]
        rule = settings.loc[settings["held_out"].map(lowest).idxmin()]
        found.append(
            dict(zip(where, key, strict=True))
            | {
                "default": default["accuracy"],
                "took": f"{default['candidate']}, {default['encoding_']}",
                "best": settings["accuracy"].idxmax(),
                "lowest log-loss": settings["log_loss"].idxmin(),
                "rule took": rule.name,
                "accuracy, regret": 100 * (settings["accuracy"].max() - default["accuracy"]),
                "accuracy, rule": 100 * (settings["accuracy"].max() - rule["accuracy"]),
                "log-loss, regret": default["log_loss"] - settings["log_loss"].min(),
                "log-loss, rule": rule["log_loss"] - settings["log_loss"].min(),
            }
        )
    return pd.DataFrame(found)


def regrets_without_luck(lines):
    """Return the regret against the setting that is best on the other splits, for each pair, size.

    Accuracies are in points; the means over splits and their standard errors. Only splits count
    that have the default and six settings or more, and only settings that all these splits have.
    """
    table = pd.DataFrame([line for line in lines if line["kind"] == "selection"])
    found = []
    for key, group in table.groupby(["table", "teacher", "student"]):
        leads = {score: leads_of_settings(group, score) for score in ("accuracy", "log_loss")}
        if min(leads["accuracy"].shape) < 2:
            continue
        regret = {"n splits": len(leads["accuracy"])}
        for score, lead in leads.items():
            best_elsewhere = {split: lead.drop(split).mean().idxmax() for split in lead.index}
            values = pd.Series(
                {split: lead.at[split, best_elsewhere[split]] for split in lead.index}
            )
            regret |= {score: values.mean(), f"+- {score}": values.sem()}
            regret[f"best, {score}"] = lead.mean().idxmax()
        found.append(dict(zip(("table", "teacher", "student"), key, strict=True)) | regret)
    return pd.DataFrame(found)


def leads_of_settings(group, score):
    """Return by how much each setting (column) is better than the default on each split (row)."""
    by_arm = group.pivot(index="split", columns="arm", values=score)
    if "default" not in by_arm:
        return pd.DataFrame()
    by_arm = by_arm.dropna(subset="default").dropna(thresh=7).dropna(axis=1)
    lead = by_arm.drop(columns="default").sub(by_arm["default"], axis=0)
    return 100 * lead if score == "accuracy" else -lead


def lowest(losses):
    """Return the held-out loss at the selected number of epochs, the lowest of all."""
    return min(losses.values(), default=np.inf)


def report(lines):
    """Print the regret of each pair, and the means with their standard errors."""
    table = regrets(lines)
    if table.empty:
        print("no pair of table and teacher is complete")
        return
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print_means(table, [name for name in table if name.endswith(("regret", "rule"))])
    table = regrets_without_luck(lines)
    if len(table):
        print("\nagainst the setting that is best on the other splits")
        print(table.to_string(index=False, float_format="{:.3f}".format))
        print_means(table, ["accuracy", "log_loss"])


def print_means(table, columns):
    """Print the means of columns over pairs of table and teacher, and their standard errors."""
    parts = {"deciding": DECIDING, "reported": REPORTED, "all": [*DECIDING, *REPORTED]}
    for student, of_size in table.groupby("student"):
        for part, names in parts.items():
            of_part = of_size[of_size["table"].isin(names)]
            measured = [name for name in TEACHERS if name in set(of_part["teacher"])]
            for teachers in [measured, ["forest"]] if len(measured) > 1 else [measured]:
                chosen = of_part[of_part["teacher"].isin(teachers)]
                if len(chosen):
                    pairs = chosen.groupby(["table", "teacher"])[columns].mean()
                    print(f"\n{student}, {part} tables, {' '.join(teachers)}: {len(pairs)} pairs")
                    means = pd.DataFrame({"mean": pairs.mean(), "standard error": pairs.sem()})
                    means["worst pair"] = pairs.max()
                    print(means.to_string(float_format="{:.3f}".format))


def parse():
    parser = argparse.ArgumentParser(description="Measure the regret of the selection.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the files of the tables are")
    parser.add_argument("--tables", nargs="+", default=[*DECIDING, *REPORTED])
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS)
    parser.add_argument("--students", nargs="+", default=["32-32", "128-128"])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--rows", type=int, default=15_000, help="at most so many training rows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time")
    parser.add_argument("--only", choices=("measure", "report"))
    default = Path(tempfile.gettempdir()) / "selection"
    parser.add_argument("--out", type=Path, default=default, help="results and teachers")
    return parser.parse_args()


if __name__ == "__main__":
    run(parse(), __file__, run_table, report)
