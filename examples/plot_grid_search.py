"""
A grid search, and what a frozen teacher leaks into it
======================================================

All parameters of a :class:`~skkd.DistilledClassifier` are constructor parameters, so
``GridSearchCV`` can search them. The table of this example has strings and missing values, and the
teacher is a pipeline. The scores are honest only with ``fit_teacher=True``: a frozen teacher that
was fitted on all rows has seen the held-out rows of each fold.
"""

# %%
# A table with strings and missing values
# ---------------------------------------
# This example changes scikit-learn's breast cancer data: a few columns are binned into three words,
# and one value in ten is removed. ``--quick`` takes a smaller grid, and fewer folds and trees.
# ``--out`` is the path of the picture.

import argparse
import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tqdm import tqdm

from skkd import DistilledClassifier
from skkd.schedules import ExponentialDecay

parser = argparse.ArgumentParser(description="Search the parameters of a distilled network.")
parser.add_argument("--quick", action="store_true", help="a small grid, fewer folds and trees")
default = Path(tempfile.gettempdir()) / "plot_grid_search.png"
parser.add_argument("--out", type=Path, default=default, help="path of the picture")
options = parser.parse_args()

N_TREES, N_EPOCHS, N_NOISES = (30, 15, 6) if options.quick else (50, 25, 20)
FOLDS = StratifiedKFold(3 if options.quick else 5, shuffle=True, random_state=0)
WORDS = ["small", "middling", "large"]


def table():
    """Return the table, with words and missing values, and the diagnoses."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    holes = np.random.default_rng(0).random(X.shape) < 0.1
    for column in X.columns[::6]:
        X[column] = pd.qcut(X[column], 3, labels=WORDS).astype(object)
    return X.mask(holes), y.map({0: "malignant", 1: "benign"})


X, y = table()
print(X.iloc[:4, :4].to_string())

# %%
# A teacher that takes the table
# ------------------------------
# The teacher encodes and imputes by itself, so it gets the table as it is. The student has a
# preprocessor of its own, so it gets the same table.

is_word = make_column_selector(dtype_exclude="number")
teacher = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), is_word),
        (SimpleImputer(), make_column_selector(dtype_include="number")),
    ),
    RandomForestClassifier(N_TREES, min_samples_leaf=5, random_state=0),
)

# %%
# The search
# ----------
# Nothing is fitted yet. With ``fit_teacher=True`` each fold fits a teacher on its training rows.
# skkd fits it once per fold, not once per candidate, because fitted teachers are cached.
#
# ``lr_decay`` takes a name or an object. An object has parameters that can be searched, such as
# ``lr_decay__gamma``, and a name has none. So there is one grid for the name and one for the
# object. ``preset="plain"`` makes the student a network without dropout, label smoothing and other
# extras, unless they are set here.

student = DistilledClassifier(
    teacher,
    fit_teacher=True,
    augment=None,
    preset="plain",
    hidden_layer_sizes=(32,),
    learning_rate=0.01,
    batch_size=64,
    max_epochs=N_EPOCHS,
    proba_floor=1e-3,
    random_state=0,
)
shared = {
    "temperature": [1, 2, 4],
    "alpha": [0.1, 0.5, 0.9],
    "init": ["he"] if options.quick else ["he", "orthogonal"],
}
grid = [
    shared | {"lr_decay": ["cosine"]},
    shared | {"lr_decay": [ExponentialDecay()], "lr_decay__gamma": [0.9]},
]
search = GridSearchCV(student, grid, scoring="neg_log_loss", cv=FOLDS)
search.fit(X, y)

print(f"{len(search.cv_results_['params'])} candidates, {FOLDS.get_n_splits()} folds")
for name, value in sorted(search.best_params_.items()):
    print(f"  {name:16} {value}")
print(f"log-loss in cross-validation: {-search.best_score_:.3f}")

# %%
# The next table shows the log-loss by temperature and alpha, as the mean over initialisations and
# schedules. The column "spread" is the standard deviation over folds. Candidates that differ by
# much less than this are equally good, whichever the search calls best.

found = pd.DataFrame(search.cv_results_)
found["log-loss"] = -found["mean_test_score"]
found["spread"] = found["std_test_score"]
heat = found.pivot_table(
    index="param_temperature", columns="param_alpha", values=["log-loss", "spread"]
).astype(float)
print(heat.round(3).to_string())

# %%
# Random labels
# -------------
# Now 150 rows of the table get random labels: 75 are "heads", 75 are "tails". The best accuracy
# that any classifier can expect is one half. A **frozen** teacher that was fitted on all rows has
# seen the labels of the held-out rows in every fold, and passes them on. So its students score
# better than chance on labels that cannot be learnt. A teacher that is fitted in each fold has not
# seen these labels.

noise_student = DistilledClassifier(
    alpha=1.0,
    augment=None,
    preset="plain",
    hidden_layer_sizes=(64,),
    learning_rate=0.01,
    lr_decay="cosine",
    batch_size=64,
    max_epochs=60,
    random_state=0,
)


def scores_on_noise(seed):
    """Yield the cross-validated accuracy with a frozen teacher, then with one teacher per fold."""
    rng = np.random.default_rng(seed)
    rows = X.iloc[rng.permutation(len(X))[:150]]
    coins = rng.permutation(np.repeat(["heads", "tails"], 75))
    teacher.fit(rows, coins)
    for fit_teacher in (False, True):
        noise_student.set_params(teacher=teacher, fit_teacher=fit_teacher)
        yield cross_val_score(noise_student, rows, coins, cv=FOLDS).mean()


seeds = tqdm(range(N_NOISES), desc="random labels", unit="draw")
on_noise = pd.DataFrame(
    [list(scores_on_noise(seed)) for seed in seeds],
    columns=["frozen teacher", "fit_teacher=True"],
)
print(on_noise.agg(["mean", "std"]).round(3).to_string())

# %%
# The picture
# -----------
# On the right each point is one draw of 150 random labels, and each bar is the mean over the draws.


def draw_heat(axes):
    losses, spreads = heat["log-loss"], heat["spread"]
    axes.imshow(losses, cmap="viridis_r", aspect="auto")
    middle = losses.to_numpy().mean()
    for (i, j), loss in np.ndenumerate(losses):
        text = f"{loss:.3f}\n±{spreads.iloc[i, j]:.3f}"
        color = "white" if loss > middle else "black"
        axes.text(j, i, text, ha="center", va="center", color=color)
    axes.set_xticks(range(losses.shape[1]), losses.columns)
    axes.set_yticks(range(losses.shape[0]), losses.index)
    axes.set(xlabel="alpha", ylabel="temperature", title="log-loss with the real labels")


def draw_noise(axes):
    jitter = np.linspace(-0.12, 0.12, len(on_noise))
    for x, (name, color) in enumerate(zip(on_noise, ("#d95f02", "#1f5fa8"), strict=True)):
        axes.plot(x + jitter, on_noise[name], "o", color=color, alpha=0.5)
        axes.plot([x - 0.25, x + 0.25], [on_noise[name].mean()] * 2, color=color, linewidth=3)
    axes.axhline(0.5, color="0.4", linestyle="--", zorder=0)
    axes.annotate("chance", (0.5, 0.5), (0, 3), textcoords="offset points", ha="center")
    axes.set_xticks([0, 1], on_noise.columns)
    axes.set(xlim=(-0.5, 1.5), ylabel="accuracy in cross-validation", title="random labels")
    axes.spines[["top", "right"]].set_visible(False)


def draw():
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    draw_heat(left)
    draw_noise(right)
    return figure


if importlib.util.find_spec("matplotlib"):
    draw().savefig(options.out, dpi=110)
    print("the picture is in", options.out)
else:
    print("the picture needs matplotlib: pip install matplotlib")
