"""Random tables of columns of many kinds: ONNX and .npz files answer like the classifier."""

import numpy as np
import pandas as pd
import pytest

import skkd
from skkd import NeuralClassifier

#: By name: a function of a generator and a number of rows.
KINDS = {
    "numbers": lambda rng, n: rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4),
    "heavy tails": lambda rng, n: np.exp(4 * rng.standard_normal(n)),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.8, 0, rng.integers(1, 100, n)),
    "constant": lambda rng, n: np.full(n, 3.5),
    "empty": lambda rng, n: np.full(n, np.nan),
    "counts": lambda rng, n: rng.integers(0, 5, n),
    "booleans": lambda rng, n: rng.random(n) < 0.4,
    "texts": lambda rng, n: rng.choice(["a", "b", "", "é"], n),
    "texts and gaps": lambda rng, n: rng.choice(np.array(["x", None, "y"], dtype=object), n),
    "many texts": lambda rng, n: np.array([f"town {i % 290}" for i in range(n)]),
    "nullable": lambda rng, n: pd.array(
        rng.choice(np.array([1, 2, None], dtype=object), n), dtype="Int64"
    ),
    "codes": lambda rng, n: pd.Categorical(rng.choice([10, 20, 30], n)),
    "fractions": lambda rng, n: pd.Categorical(rng.choice([0.1, 0.25, 7.0], n)),
}


@pytest.mark.parametrize("seed", range(25))
def test_files_answer_like_the_classifier(seed, tmp_path):
    rng = np.random.default_rng(seed)
    n_rows = 700 if seed % 5 == 0 else 60
    kinds = rng.choice(list(KINDS), rng.integers(1, 7))
    X = pd.DataFrame({f"{j} {kind}": KINDS[kind](rng, n_rows) for j, kind in enumerate(kinds)})
    clf = NeuralClassifier(
        (8,),
        max_epochs=2,
        random_state=0,
        numeric_encoding=(None, "piecewise_linear", "selective")[rng.integers(3)],
        preprocessor=("robust", "standard")[rng.integers(2)],
    ).fit(X, rng.integers(0, 3, n_rows))
    for name in ("clf.onnx", "clf.npz"):
        assert clf.export(tmp_path / name) < 1e-5
        assert clf.export(tmp_path / name, dtype="float64") < 1e-9
        found = skkd.load(tmp_path / name).predict_proba(X)
        assert np.abs(found - clf.predict_proba(X)).max() < 1e-9
