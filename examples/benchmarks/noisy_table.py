"""
Noisy labels: early stopping, a teacher, or both
================================================

The incomes of the table Adult can be predicted in six cases of seven at best, and a network that is
trained for long memorises the seventh. Students learn from a forest on 4,000 rows, and the same
networks learn from the labels of these rows alone. All are tested on 16,281 rows. Some networks are
plain, the others have the default preset, with its dropout, smoothed labels and schedule. The
script prints the table of the guide's page on distillation.

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

#: Parameters for the textbook's loss, with nothing chosen on held-out rows.
TEXTBOOK = {"alpha": 0.5, "augment": None}


def read(path):
    """Yield (X, y) twice: the rows to draw training rows from, then the test rows."""
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
    """Yield (settings, classifier, accuracy) of the teacher, the students and their twins."""
    forest = make_forest().fit(X, y)
    yield "forest", "teacher", forest.score(X_test, y_test)
    for name, settings in SETTINGS.items():
        student = DistilledClassifier(forest, random_state=seed, **(TEXTBOOK | settings)).fit(X, y)
        yield name, "student", student.score(X_test, y_test)
        if "alpha" not in settings:
            twin = NeuralClassifier(random_state=seed, **settings).fit(X, y)
            yield name, "no teacher", twin.score(X_test, y_test)


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
    table = pd.DataFrame(found, columns=["settings", "classifier", "accuracy"])
    summary = table.groupby(["settings", "classifier"], sort=False)["accuracy"].agg(["mean", "std"])
    print(summary.round(4).to_string())


if __name__ == "__main__":
    main()
