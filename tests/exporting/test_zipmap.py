"""ONNX files whose probabilities are maps."""

import numpy as np
import onnx
import onnxruntime
import pytest
from exported_cases import fitted

import skkd
from skkd.exporting.onnx import write as onnx_format
from skkd.exporting.onnx.zipmap import with_zipmap

CASES = ["labels from 1", "bool labels", "text labels", "26 classes", "mixed table"]


@pytest.mark.parametrize("case", CASES)
def test_a_file_with_maps_answers_like_its_classifier(case, tmp_path):
    clf, X = fitted(case)
    path = tmp_path / "clf.onnx"
    assert clf.export(path, zipmap=True) < 1e-5
    assert skkd.export(clf, path, zipmap=True, X=X) < 1e-5
    onnx.checker.check_model(path, full_check=True)
    loaded = skkd.load(path)
    assert np.abs(loaded.predict_proba(X) - clf.predict_proba(X)).max() < 1e-5
    assert loaded.predict(X).tolist() == clf.predict(X).tolist()
    assert loaded.classes_.dtype == clf.classes_.dtype


def test_onnx_runtime_gives_a_map_for_each_row(tmp_path):
    clf, X = fitted("text labels")
    clf.export(tmp_path / "clf.onnx", zipmap=True)
    session = onnxruntime.InferenceSession(tmp_path / "clf.onnx")
    label, maps = session.run(["label", "probabilities"], {"X": X[:3].astype(np.float32)})
    assert label.tolist() == clf.predict(X[:3]).tolist()
    for row, expected in zip(maps, clf.predict_proba(X[:3]), strict=True):
        assert sorted(row) == sorted(clf.classes_)
        assert max(abs(row[c] - p) for c, p in zip(clf.classes_, expected, strict=True)) < 1e-5


def test_maps_are_refused_where_there_are_none(tmp_path):
    clf, _ = fitted("labels from 1")
    with pytest.raises(ValueError, match=r"zipmap=True is not allowed.*\.npz has no maps"):
        clf.export(tmp_path / "clf.npz", zipmap=True)
    with pytest.raises(ValueError, match='zipmap=True is not allowed.*dtype="float32"'):
        clf.export(tmp_path / "clf.onnx", zipmap=True, dtype="float64")
    with pytest.raises(TypeError, match="zipmap=1 is not allowed"):
        clf.export(tmp_path / "clf.onnx", zipmap=1)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [([1, 10, 2], "other classes than the schema"), ([1, 2], "other classes than columns")],
)
def test_maps_of_other_classes_are_refused(keys, reason, tmp_path):
    network = fitted("labels from 1")[0].network_
    data = with_zipmap(onnx_format.write(network, "float32"), np.array(keys))
    (tmp_path / "clf.onnx").write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        skkd.load(tmp_path / "clf.onnx")
