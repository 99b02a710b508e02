"""
Noisy labels: early stopping, a teacher, or both
================================================

Adult's incomes can be predicted from its columns in six cases of seven at best, and a network that
is trained for long memorises the seventh. A forest is the teacher of students on 4,000 rows, and
the same networks learn from labels alone; 16,281 rows test them. First there are plain networks,
then those of the default preset, with its dropout, smoothed labels and schedule. Prints the table
of the guide's page on distillation.

``python examples/benchmarks/noisy_table.py adult.csv.gz`` takes a minute or two. The file
has the columns of UCI's Adult, their missing values as ``?``, and a column `split`.
"""

import argparse

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from tqdm import tqdm

from skkd import DistilledClassifier, NeuralClassifier

PLAIN = {"preset": "plain"}
STOPPED = {"early_stopping": True}
SETTINGS = {
    "plain, 200 epochs": PLAIN,
    "plain, early stopping": PLAIN | STOPPED,
    "plain, early stopping, alpha=0.9": PLAIN | STOPPED | {"alpha": 0.9},
    "plain, early stopping, alpha=1": PLAIN | STOPPED | {"alpha": 1.0},
    "defaults": {},
    "defaults, early stopping": STOPPED,
}

#: The loss of the textbook, without any choice on held-out rows.
TEXTBOOK = {"alpha": 0.5, "augment": None}


def read(path):
    """The rows to draw from, and those to test on, each as (X, y)."""
    table = pd.read_csv(path, na_values="?")
    for split in ("train", "test"):
        rows = table[table["split"] == split].drop(columns="split")
        yield rows.drop(columns="income"), rows["income"].str.strip(". ")


def make_forest():
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_exclude="number")), remainder="passthrough"
    )
    return make_pipeline(columns, RandomForestClassifier(500, min_samples_leaf=3, random_state=0))


def accuracies(X, y, X_test, y_test, seed):
    """Accuracies of the teacher, and of student and network without teacher for each setting."""
    forest = make_forest().fit(X, y)
    yield "forest", "teacher", forest.score(X_test, y_test)
    for name, settings in SETTINGS.items():
        student = DistilledClassifier(forest, random_state=seed, **(TEXTBOOK | settings)).fit(X, y)
        yield name, "student", student.score(X_test, y_test)
        if "alpha" not in settings:
            untaught = NeuralClassifier(random_state=seed, **settings).fit(X, y)
            yield name, "untaught", untaught.score(X_test, y_test)


def main():
    parser = argparse.ArgumentParser(description="Early stopping and a teacher on Adult.")
    parser.add_argument("path", help="adult.csv.gz")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    (X, y), (X_test, y_test) = read(options.path)
    found = []
    for seed in tqdm(range(options.draws), unit="draw"):
        rows = X.sample(4_000, random_state=seed).index
        found += accuracies(X.loc[rows], y.loc[rows], X_test, y_test, seed)
    table = pd.DataFrame(found, columns=["settings", "who", "accuracy"])
    summary = table.groupby(["settings", "who"], sort=False)["accuracy"].agg(["mean", "std"])
    print(summary.round(4).to_string())


if __name__ == "__main__":
    main()
