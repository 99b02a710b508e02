"""The reader of .npz files that the guide prints: NumPy alone, without skkd."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from exported_cases import fitted

READER = Path(__file__).parents[2] / "docs" / "guide" / "read_npz.py"

CODE = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("skkd", "sklearn", "torch", "scipy", "pandas"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, sys.argv[1])
from read_npz import predict_proba
for path, rows in json.load(sys.stdin):
    print(json.dumps(predict_proba(path, rows).tolist()))
"""


def plain(X):
    """Rows as lists of plain values, with None for missing ones."""
    listed = X.astype(object).to_numpy().tolist() if hasattr(X, "iloc") else X.tolist()
    return [[None if value != value else value for value in row] for row in listed]


def test_reads_files_without_skkd(tmp_path):
    cases = ["32-32 with bins", "mixed table with bins", "rare texts", "heavy tails"]
    cases += ["standard scaling", "no preprocessing", "bool labels", "mish", "elu", "logistic"]
    work, expected = [], []
    for case in cases:
        clf, X = fitted(case)
        clf.export(tmp_path / f"{case}.npz")
        rows = X.iloc[:60] if hasattr(X, "iloc") else X[:60]
        work.append((str(tmp_path / f"{case}.npz"), plain(rows)))
        expected.append(clf.predict_proba(rows))
    command = [sys.executable, "-c", CODE, str(READER.parent)]
    done = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case, line, p in zip(cases, done.stdout.splitlines(), expected, strict=True):
        assert np.abs(np.array(json.loads(line)) - p).max() < 1e-5, case
