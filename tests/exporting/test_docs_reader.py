"""The readers of files that the guide prints run without skkd: read_npz.py and serve_onnx.py."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported_cases import SMALL, fitted, mixed
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skkd import DistilledClassifier
from skkd.exporting.verify import TOLERANCES

GUIDE = Path(__file__).parents[2] / "docs" / "guide"

CODE = """
import json, sys
BLOCKED = ("skkd", "sklearn", "torch", "scipy", "pandas")
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, sys.argv[1])
from read_npz import predict_proba
from serve_onnx import Model
for path, names, rows in json.load(sys.stdin):
    by_name = [dict(zip(names, row)) for row in rows]
    label, p = Model(path + ".onnx").predict(by_name)
    print(json.dumps([label.tolist(), p.tolist(), predict_proba(path + ".npz", rows).tolist()]))
assert not set(BLOCKED) & set(sys.modules)
"""


def plain(X):
    """Rows as lists of plain values, with None for missing ones."""
    listed = X.astype(object).to_numpy().tolist() if hasattr(X, "iloc") else X.tolist()
    return [[None if value != value else value for value in row] for row in listed]


def stacked_on_a_table():
    """A student of forest and boosting on a DataFrame with strings, categories and gaps; rows."""
    X = mixed()
    y = np.where(X["age"].gt(0) ^ X["job"].eq("cook"), "<=50K", ">50K")
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
    )
    text = make_column_selector(dtype_exclude="number")
    parts = [
        ("forest", RandomForestClassifier(5, random_state=0)),
        ("boosting", HistGradientBoostingClassifier(max_iter=5, random_state=0)),
    ]
    encode = make_column_transformer((codes, text), remainder="passthrough")
    teacher = make_pipeline(encode, StackingClassifier(parts, cv=2)).fit(X, y)
    student = DistilledClassifier(teacher, alpha=0.9, augment=None, **SMALL).fit(X, y)
    X.loc[:2, "job"] = "pilot"  # was not in fit
    return student, X


CASES = ["32-32 with bins", "mixed table with bins", "rare texts", "heavy tails", "mixed table"]
CASES += ["standard scaling", "no preprocessing", "bool labels", "mish", "elu", "logistic"]


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_readers_answer_like_the_classifier_without_skkd(dtype, tmp_path):
    found = {case: fitted(case) for case in CASES} | {"stack": stacked_on_a_table()}
    work, expected = [], []
    for case, (clf, X) in found.items():
        for ending in (".onnx", ".npz"):
            clf.export(tmp_path / f"{case}{ending}", dtype=dtype)
        rows = X.iloc[:60] if hasattr(X, "iloc") else X[:60]
        work.append((str(tmp_path / case), clf.network_.schema.names, plain(rows)))
        expected.append((clf.predict(rows), clf.predict_proba(rows)))
    command = [sys.executable, "-c", CODE, str(GUIDE)]
    done = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case, line, (label, p) in zip(found, done.stdout.splitlines(), expected, strict=True):
        labels, *probabilities = json.loads(line)
        assert labels == label.tolist(), case
        assert np.abs(np.array(probabilities) - p).max() < TOLERANCES[dtype], case
