"""skl2onnx converts pipelines around our classifiers, and the result answers like them."""

import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skkd
from skkd import DistilledClassifier, NeuralClassifier

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
TENSORS = {"zipmap": False}

#: Operators that onnxruntime of all supported versions has.
OPSET = 17


@pytest.fixture(scope="module")
def to_onnx():
    skl2onnx = pytest.importorskip("skl2onnx")
    skkd.register_skl2onnx()
    skkd.register_skl2onnx()  # changes nothing
    return skl2onnx.to_onnx


def numbers():
    X = np.random.RandomState(0).standard_normal((60, 4)).astype(np.float32)
    X[::5, 1] = np.nan
    return X


def labels(*classes):
    return np.array(classes)[np.arange(60) % len(classes)]


def run(model, feeds):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def converts(to_onnx, model, X, tolerance=1e-5, options=TENSORS, **settings):
    converted = to_onnx(model, X[:1], options=options, target_opset=OPSET, **settings)
    label, p = run(converted, {"X": X})
    assert np.abs(p - model.predict_proba(X)).max() < tolerance
    assert p.dtype == X.dtype
    assert (label == model.predict(X)).all()


@pytest.mark.parametrize("classes", [(0, 1, 2), ("no", "yes"), (False, True), (1.0, 3.0)])
def test_a_pipeline_answers_alike(to_onnx, classes):
    X = numbers()
    pipeline = make_pipeline(StandardScaler(), NeuralClassifier(**SMALL)).fit(X, labels(*classes))
    converts(to_onnx, pipeline, X)


def test_double_inputs_are_computed_in_double(to_onnx):
    X = numbers().astype(np.float64)
    clf = NeuralClassifier(**SMALL).fit(X + 1e7, labels(0, 1, 2))
    converts(to_onnx, clf, X + 1e7, tolerance=1e-9)


def test_a_student_and_a_loaded_file_answer_alike(to_onnx, tmp_path):
    X, y = numbers(), labels("a", "b", "c")
    teacher = make_pipeline(StandardScaler(), NeuralClassifier(**SMALL)).fit(X, y)
    student = DistilledClassifier(teacher, augment=None, **SMALL).fit(X, y)
    converts(to_onnx, student, X)
    for ending in (".npz", ".onnx"):
        student.export(tmp_path / f"student{ending}")
        converts(to_onnx, skkd.load(tmp_path / f"student{ending}"), X)
    student.export(tmp_path / "maps.onnx", X=X, quantize="int8", zipmap=True, min_agreement=0.9)
    converts(to_onnx, skkd.load(tmp_path / "maps.onnx"), X)
    student.export(tmp_path / "maps.onnx", zipmap=True)
    loaded = skkd.load(tmp_path / "maps.onnx")
    converts(to_onnx, loaded, X)
    model = to_onnx(loaded, X[:1], options=TENSORS | {"raw_scores": True}, target_opset=OPSET)
    scores = np.exp(run(model, {"X": X})[1])
    assert (
        np.abs(scores / scores.sum(axis=1, keepdims=True) - student.predict_proba(X)).max() < 1e-5
    )


def test_options_of_skl2onnx_are_taken(to_onnx):
    X, y = numbers(), labels("no", "yes")
    clf = NeuralClassifier(**SMALL).fit(X, y)
    label, p = run(to_onnx(clf, X[:1], target_opset=OPSET), {"X": X})
    assert (label == clf.predict(X)).all()
    assert list(p[0]) == ["no", "yes"]
    assert np.abs([row["yes"] for row in p] - clf.predict_proba(X)[:, 1]).max() < 1e-5
    options = {"zipmap": False, "nocl": True, "raw_scores": True}
    label, scores = run(to_onnx(clf, X[:1], options=options, target_opset=OPSET), {"X": X})
    assert (clf.classes_[label] == clf.predict(X)).all()
    assert np.abs(scores[:, 1] - clf.decision_function(X)).max() < 1e-5
    assert np.abs(scores[:, 0] + clf.decision_function(X)).max() < 1e-5


def test_meta_estimators_use_the_scores_that_scikit_learn_uses(to_onnx):
    X = np.nan_to_num(numbers())
    for y in (labels(0, 1), labels(0, 1, 2)):
        # It is calibrated on the result of decision_function.
        converts(to_onnx, CalibratedClassifierCV(NeuralClassifier(**SMALL), cv=2).fit(X, y), X)
    members = [("network", NeuralClassifier(**SMALL)), ("linear", LogisticRegression())]
    voting = VotingClassifier(members, voting="soft", flatten_transform=False)
    converts(to_onnx, voting.fit(X, y), X)


def table():
    X = pd.DataFrame(numbers()[:, :2], columns=["age", "debt"])
    X["job"] = np.array(["cook", "smith", "judge"])[np.arange(60) % 3]
    return X


def columns_of(X):
    return {name: X[[name]].to_numpy(dtype=object if name == "job" else np.float32) for name in X}


@pytest.mark.parametrize("is_in_front", [True, False])
def test_a_mixed_table_is_read_column_by_column(to_onnx, is_in_front):
    X, model = table(), NeuralClassifier(**SMALL)
    if is_in_front:
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        steps = [("text", encoder, ["job"]), ("numbers", StandardScaler(), ["age", "debt"])]
        model = make_pipeline(ColumnTransformer(steps), model)
    model.fit(X, labels("no", "yes"))
    converted = to_onnx(model, X[:1], options=TENSORS, target_opset=OPSET)
    label, p = run(converted, columns_of(X))
    assert np.abs(p - model.predict_proba(X)).max() < 1e-5
    assert (label == model.predict(X)).all()


def test_what_cannot_be_converted_is_named(to_onnx):
    X, y = numbers(), labels(0, 1)
    clf = NeuralClassifier(preprocessor=StandardScaler(), **SMALL).fit(np.nan_to_num(X), y)
    with pytest.raises(ValueError, match="preprocessor is a transformer of its own"):
        to_onnx(clf, X[:1])
    clf = NeuralClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="target_opset=12 is not allowed: give at least 13"):
        to_onnx(clf, X[:1], target_opset=12)
    with pytest.raises(ValueError, match="the classifier has 4 columns, and gets 3"):
        to_onnx(clf, X[:1, :3])
    with pytest.raises(ValueError, match="takes one input for each of its 3 columns"):
        to_onnx(NeuralClassifier(**SMALL).fit(table(), y), X[:1, :3])
    with pytest.raises(ValueError, match="input 'job' is text, and the classifier reads numbers"):
        to_onnx(NeuralClassifier(**SMALL).fit(X[:, :3], y), table()[:1])


def test_a_missing_skl2onnx_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="register_skl2onnx needs skl2onnx: pip install skl2onnx"):
        skkd.register_skl2onnx()
