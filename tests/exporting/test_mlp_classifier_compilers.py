"""Compilers that take scikit-learn's MLPClassifier give the probabilities of our network."""

import shutil
import sqlite3
import subprocess

import numpy as np
import pandas as pd
import pytest
from exported_cases import SMALL, codes, numbers
from sklearn.pipeline import make_pipeline

from skkd import NeuralClassifier


def student(X, n_classes=3, activation="relu"):
    settings = SMALL | {"preset": "plain", "activation": activation}
    return NeuralClassifier(**settings).fit(X, codes(numbers(), n_classes))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_skl2onnx(n_classes):
    onnxruntime, skl2onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("skl2onnx")
    X = numbers()
    clf = student(X, n_classes)
    mlp = clf.to_mlp_classifier()
    model = skl2onnx.to_onnx(mlp, X[:1], options={"zipmap": False}, target_opset=17)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    label, p = session.run(None, {"X": X})
    assert np.abs(p - clf.predict_proba(X)).max() < 1e-9
    assert (label == clf.predict(X)).all()


MAIN = """
#include <stdio.h>
#include "student.h"
int main(void) {
    float row[4], p[3];
    while (fread(row, sizeof(float), 4, stdin) == 4) {
        if (eml_net_predict_proba(&student, row, 4, p, 3) != EmlOk) return 1;
        fwrite(p, sizeof(float), 3, stdout);
    }
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_emlearn(activation, tmp_path, monkeypatch):
    emlearn = pytest.importorskip("emlearn")
    monkeypatch.chdir(tmp_path)  # it makes a folder "tmp" where it runs
    X = numbers()
    X[:, 2] -= 2000  # emlearn writes six digits after the point
    clf = student(X, activation=activation)
    converted = emlearn.convert(clf.to_mlp_classifier(), method="loadable")
    converted.save(file=str(tmp_path / "student.h"), name="student")
    (tmp_path / "main.c").write_text(MAIN)
    options = ["-std=c99", "-I", emlearn.includedir, "main.c", "-o", "main", "-lm"]
    subprocess.run(["gcc", *options], cwd=tmp_path, check=True)
    rows = X.astype(np.float32).tobytes()
    out = subprocess.run([tmp_path / "main"], input=rows, stdout=subprocess.PIPE, check=True).stdout
    p = np.frombuffer(out, dtype=np.float32).reshape(-1, 3)
    assert np.abs(p - clf.predict_proba(X)).max() < 1e-4


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_orbital(n_classes):
    orbital = pytest.importorskip("orbital")
    X = pd.DataFrame(numbers(), columns=list("abcd"))
    clf = student(X, n_classes)
    columns = {name: orbital.types.DoubleColumnType() for name in X}
    parsed = orbital.parse_pipeline(make_pipeline(clf.to_mlp_classifier()), features=columns)
    query = orbital.export_sql("people", parsed, dialect="sqlite")
    database = sqlite3.connect(":memory:")
    X.to_sql("people", database, index=False)
    found = pd.read_sql(query, database)
    p = found[[f"output_probability.{label}" for label in clf.classes_]]
    assert np.abs(p - clf.predict_proba(X)).max(axis=None) < 1e-9
    assert (found["output_label"] == clf.predict(X)).all()
