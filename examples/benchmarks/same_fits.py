"""Prints a hash of the results of many fits, one for each, to compare two checkouts bit by bit.

    python examples/benchmarks/same_fits.py > before.txt   # in one checkout
    python examples/benchmarks/same_fits.py > after.txt    # in the other
    diff before.txt after.txt

There is one fit for each option that changes the path through `fit`. Its hash covers the
predictions, `history_` without the seconds, and the attributes that hold choices. Hashes of two
machines, or of two versions of torch or NumPy, are not comparable.
"""

import hashlib
import sys
import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import PowerTransformer
from torch import nn

from skkd import DistilledClassifier, NeuralClassifier
from skkd.schedules import StepDecay
from skkd.transfer import Munge

#: Fitted attributes that hold choices. Those that an estimator lacks are skipped.
CHOSEN = (
    "candidate_",
    "candidate_losses_",
    "alpha_",
    "best_epoch_",
    "held_out_losses_",
    "n_iter_",
    "n_steps_",
    "n_transfer_rows_",
    "numeric_encoding_",
    "teacher_balanced_accuracy_",
    "teacher_temperature_",
)


def table(n_rows, n_columns=6, n_classes=3, seed=0):
    """Return X and y of overlapping clusters; one column has a large scale, one whole numbers."""
    random_state = np.random.RandomState(seed)
    y = random_state.randint(n_classes, size=n_rows)
    X = random_state.standard_normal((n_rows, n_columns))
    X[:, 0] += 1.5 * y
    X[:, 1] = np.round(X[:, 1] * 2 + (y == 1))
    X[:, 2] *= 100
    return X, y


X, Y = table(600)
X_SMALL, Y_SMALL = X[:120], Y[:120]
X_MORE = table(300, seed=1)[0]
X_LONG, Y_LONG = table(2400)
WEIGHTS = np.random.RandomState(2).uniform(0.1, 2, len(Y))
FRAME = pd.DataFrame(X, columns=list("abcdef"))
FRAME["colour"] = np.array(["red", "green", "blue"])[(Y + (np.arange(len(Y)) % 4 == 0)) % 3]
FRAME.loc[::7, "b"] = np.nan
WORDS = np.array(["low", "middle", "high"])[Y]
SPARSE = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0))
FOREST = RandomForestClassifier(20, random_state=0, bootstrap=True).fit(X, Y)
LINEAR = LogisticRegression(max_iter=1000).fit(X, Y)
OF_FRAME = HistGradientBoostingClassifier(
    max_iter=10, categorical_features="from_dtype", random_state=0
).fit(FRAME.astype({"colour": "category"}), WORDS)


class Module(nn.Module):
    """A custom module."""

    def __init__(self, n_features, n_classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, n_classes)
        )

    def forward(self, x):
        """Logits."""
        return self.layers(x)


def neural(**parameters):
    """Return a small NeuralClassifier."""
    defaults = {"hidden_layer_sizes": (16, 16), "max_epochs": 4, "random_state": 0}
    return NeuralClassifier(**defaults | parameters)


def distilled(teacher=FOREST, **parameters):
    """Return a small DistilledClassifier."""
    defaults = {"hidden_layer_sizes": (16, 16), "max_epochs": 4, "random_state": 0}
    return DistilledClassifier(teacher, **defaults | parameters)


def partial(estimator, **arguments):
    """Call `partial_fit` three times, on a third of the rows each."""
    for k in range(3):
        estimator.partial_fit(X[k::3], Y[k::3], classes=[0, 1, 2] if k == 0 else None, **arguments)
    return estimator


def twice(estimator, *arguments, **settings):
    """Fit twice; the second fit starts from the result of the first (warm start)."""
    return estimator.set_params(warm_start=True).fit(*arguments, **settings).fit(*arguments)


def function_teacher(rows):
    """Return probabilities; this function is used as a teacher."""
    return FOREST.predict_proba(rows) * 0.9 + 0.1 / 3


FITS = {
    "neural, defaults": lambda: NeuralClassifier(random_state=0).fit(X, Y),
    "neural, auto epochs, narrow": lambda: neural(max_epochs="auto").fit(X_LONG, Y_LONG),
    "neural, plain": lambda: neural(preset="plain").fit(X, Y),
    "neural, weights": lambda: neural(class_weight="balanced").fit(X, Y, sample_weight=WEIGHTS),
    "neural, early stopping": lambda: neural(early_stopping=True, max_epochs=12).fit(X, Y),
    "neural, X_val": lambda: neural(max_epochs="auto").fit(X, Y, X_val=X_LONG, y_val=Y_LONG),
    "neural, BatchNorm, dropout": lambda: neural(batch_norm=True, dropout=0.3).fit(X, Y),
    "neural, SGD, step decay": lambda: neural(
        optimizer="sgd", lr_decay=StepDecay(step_size=2), max_grad_norm=1.0
    ).fit(X, Y),
    "neural, float64, sparse": lambda: neural(dtype="float64").fit(SPARSE, Y),
    "neural, DataFrame": lambda: neural(max_epochs="auto").fit(FRAME, WORDS),
    "neural, transformer": lambda: neural(preprocessor=PowerTransformer()).fit(X, Y),
    "neural, no preprocessor": lambda: neural(preprocessor=None).fit(X, Y),
    "neural, module": lambda: neural(module=Module, module__width=6).fit(X, Y),
    "neural, warm start": lambda: twice(neural(), X, Y),
    "neural, partial_fit": lambda: partial(neural()),
    "neural, few rows": lambda: neural(max_epochs="auto").fit(X_SMALL, Y_SMALL),
    "distilled, defaults": lambda: DistilledClassifier(FOREST, random_state=0).fit(X, Y),
    "distilled, auto epochs, narrow": lambda: distilled(max_epochs="auto").fit(X_LONG, Y_LONG),
    "distilled, linear teacher": lambda: distilled(LINEAR, max_epochs="auto").fit(X, Y),
    "distilled, two teachers": lambda: distilled([(FOREST, 1.0), (LINEAR, 2.0)]).fit(X, Y),
    "distilled, function": lambda: distilled(function_teacher).fit(X, Y),
    "distilled, alpha 0": lambda: distilled(alpha=0.0).fit(X, Y),
    "distilled, alpha .5": lambda: distilled(alpha=0.5, augment=None, temperature=2.0).fit(X, Y),
    "distilled, alpha 1, auto epochs": lambda: distilled(alpha=1.0, max_epochs="auto").fit(X, Y),
    "distilled, munge": lambda: distilled(alpha=0.5, augment=Munge(p=0.3)).fit(X, Y),
    "distilled, spunge, auto": lambda: distilled(augment="spunge", max_epochs="auto").fit(X, Y),
    "distilled, gibbs": lambda: distilled(alpha=0.5, augment="gibbs", augment_size=500).fit(X, Y),
    "distilled, fresh rows": lambda: distilled(augment="munge", augment_size="fresh").fit(X, Y),
    "distilled, fresh rows, auto": lambda: distilled(
        augment="munge", augment_size="fresh", max_epochs="auto"
    ).fit(X, Y),
    "distilled, fresh rows, sparse": lambda: distilled(
        RandomForestClassifier(10, random_state=0).fit(SPARSE, Y),
        alpha=0.5,
        augment="munge",
        augment_size="fresh",
    ).fit(SPARSE, Y),
    "distilled, X_unlabeled": lambda: distilled(augment=None).fit(X, Y, X_unlabeled=X_MORE),
    "distilled, teacher_proba": lambda: distilled(None, augment="auto").fit(
        X, Y, teacher_proba=FOREST.predict_proba(X)
    ),
    "distilled, fit_teacher": lambda: distilled(
        FOREST, fit_teacher=True, max_epochs="auto", class_weight="balanced"
    ).fit(X, Y, sample_weight=WEIGHTS),
    "distilled, out of bag, bins": lambda: distilled(
        soft_labels="out_of_bag", numeric_encoding="teacher_bins", calibrate_teacher=True
    ).fit(X, Y),
    "distilled, out of fold": lambda: distilled(
        KNeighborsClassifier(3).fit(X, Y), soft_labels="out_of_fold", max_epochs="auto"
    ).fit(X, Y),
    "distilled, early stopping": lambda: distilled(early_stopping=True, max_epochs=12).fit(X, Y),
    "distilled, X_val": lambda: distilled(max_epochs="auto").fit(X, Y, X_val=X_MORE, y_val=Y[:300]),
    "distilled, brier": lambda: distilled(alpha=0.7, teacher_loss="brier", augment=None).fit(X, Y),
    "distilled, DataFrame": lambda: distilled(OF_FRAME, max_epochs="auto").fit(
        FRAME.astype({"colour": "category"}), WORDS
    ),
    "distilled, module": lambda: distilled(module=Module, alpha=0.5).fit(X, Y),
    "distilled, warm start": lambda: twice(distilled(augment="munge"), X, Y),
    "distilled, partial_fit": lambda: partial(distilled(alpha=0.5)),
    "distilled, mismatch": lambda: distilled(
        LogisticRegression().fit(X[Y < 2], Y[Y < 2]), alpha=0.5, on_class_mismatch="intersect"
    ).fit(X, Y),
    "distilled, few rows": lambda: distilled(max_epochs="auto").fit(X_SMALL, Y_SMALL),
}


def rows_of(estimator):
    """Return rows that a fitted estimator can predict."""
    if hasattr(estimator, "feature_names_in_"):
        rows = FRAME
        if getattr(estimator, "teacher", None) is OF_FRAME:
            rows = rows.astype({"colour": "category"})
        return rows
    return X_MORE


def contents(estimator):
    """Yield all results that are compared, as bytes."""
    yield estimator.predict_proba(rows_of(estimator)).tobytes()
    for record in estimator.history_:
        yield repr(sorted((k, v) for k, v in record.items() if k != "seconds")).encode()
    for name in CHOSEN:
        if hasattr(estimator, name):
            yield f"{name}={getattr(estimator, name)!r}".encode()


def main(wanted):
    """Print a line for each fit whose name contains one of the given words."""
    for name, fit in FITS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = fit()
        digest = hashlib.sha256()
        for content in contents(estimator):
            digest.update(content)
        print(f"{digest.hexdigest()[:16]}  {name}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
