"""Layers in 8-bit integers: what they cost is measured on the rows given, and printed."""

import logging
import re
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from exported_cases import N_ROWS, fitted, numbers, table_classifier
from sklearn.metrics import accuracy_score

import skkd
from skkd import NeuralClassifier
from skkd.exporting.formats import FORMATS
from skkd.exporting.onnx import quantize as onnx_quantize
from skkd.exporting.verify import VerificationError

LINE = re.compile(
    r"int8: labels agree on (?P<agreement>[\d.]+)% of (?P<n_rows>\d+) rows, probabilities differ "
    r"by up to (?P<largest>[-e.\d]+); (accuracy (?P<before>[\d.]+) before, (?P<after>[\d.]+) "
    r"after; )?(?P<bytes_before>\d+) bytes before, (?P<bytes_after>\d+) after\.\n"
)


def printed(capsys):
    """The numbers of the printed line, by name; without true labels, accuracies are NaN."""
    found = LINE.fullmatch(capsys.readouterr().out)
    return {name: float(value) for name, value in found.groupdict(default="nan").items()}


def learnt():
    """A classifier that has learnt something, and rows with their labels."""
    X = numbers(n_features=6)
    y = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
    return NeuralClassifier((64, 64), max_epochs=15, random_state=0).fit(X, y), X, y


def test_the_printed_line_is_true(tmp_path, capsys):
    clf, X, y = learnt()
    wrong = np.where(np.arange(N_ROWS) % 10, y, "no")
    clf.export(tmp_path / "float.onnx")
    difference = clf.export(tmp_path / "int8.onnx", X=X, y=wrong, quantize="int8")
    line, loaded = printed(capsys), skkd.load(tmp_path / "int8.onnx")
    assert line["n_rows"] == N_ROWS
    assert line["agreement"] == pytest.approx(100 * np.mean(loaded.predict(X) == clf.predict(X)))
    assert difference == np.abs(loaded.predict_proba(X) - clf.predict_proba(X)).max()
    assert 1e-5 < difference < 0.05
    assert line["largest"] == pytest.approx(difference, rel=0.05)
    assert line["before"] == pytest.approx(accuracy_score(wrong, clf.predict(X)), abs=1e-4)
    assert line["after"] == pytest.approx(accuracy_score(wrong, loaded.predict(X)), abs=1e-4)
    assert 0.8 < line["before"] < 1
    assert line["bytes_before"] == (tmp_path / "float.onnx").stat().st_size
    assert line["bytes_after"] == (tmp_path / "int8.onnx").stat().st_size
    assert line["bytes_after"] < line["bytes_before"] / 2

    clf.export(tmp_path / "int8.onnx", X=X, quantize="int8")
    assert np.isnan(printed(capsys)["before"])


CASES = ["mixed table with bins", "rare texts", "sparse numbers", "no hidden layer", "bool labels"]


@pytest.mark.parametrize("case", CASES)
def test_a_quantised_file_is_loaded_and_run(case, tmp_path, capsys):
    clf, X = fitted(case)
    path = tmp_path / "clf.onnx"
    difference = clf.export(path, X=X, quantize="int8", min_agreement=0.95)
    loaded = skkd.load(path)
    rows = X.iloc[:500] if hasattr(X, "iloc") else X[:500]  # together, as export compares them
    found, expected = loaded.predict_proba(rows), clf.predict_proba(rows)
    assert 0 < np.abs(found - expected).max() <= difference < 0.01
    assert np.mean(loaded.predict(rows) == clf.predict(rows)) > 0.95
    assert loaded.schema.to_dict() == clf.network_.schema.to_dict()


def test_every_layer_is_quantised_and_the_metadata_stay(tmp_path, capsys):
    clf, X = fitted("mixed table with bins")
    clf.export(tmp_path / "float.onnx")
    clf.export(tmp_path / "int8.onnx", X=X, quantize="int8")
    before, after = (onnx.load(tmp_path / f"{name}.onnx") for name in ("float", "int8"))
    operators = [node.op_type for node in after.graph.node]
    assert operators.count("MatMulInteger") == 3
    assert not {"Gemm", "MatMul"} & set(operators)
    weights = [t for t in after.graph.initializer if re.fullmatch(r"weight\d_quantized", t.name)]
    assert [t.data_type for t in weights] == [onnx.TensorProto.UINT8] * 3
    onnx.checker.check_model(after, full_check=True)

    kept, now = ({p.key: p.value for p in m.metadata_props} for m in (before, after))
    assert now.pop("skkd.digest") != kept.pop("skkd.digest")
    assert now == kept | {"skkd.quantize": "int8"}
    assert after.producer_name == "skkd"
    assert after.opset_import == before.opset_import
    assert after.ir_version == before.ir_version


def test_a_changed_weight_of_a_quantised_file_is_found(tmp_path, capsys):
    clf, X = fitted("two classes")
    path = tmp_path / "clf.onnx"
    clf.export(path, X=X, quantize="int8")
    model = onnx.load(path)
    weight = next(t for t in model.graph.initializer if t.name == "weight1_quantized")
    weight.raw_data = weight.raw_data[::-1]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="does not match its digest"):
        skkd.load(path)


def test_the_bytes_depend_on_the_network_alone(tmp_path, capsys):
    clf, X = fitted("two classes")
    for name, rows in {"a": X, "b": X[:50]}.items():
        skkd.export(clf.network_, tmp_path / f"{name}.onnx", X=rows, quantize="int8")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_range_of_inputs_is_that_of_all_rows_of_a_call(tmp_path, capsys):
    clf, X = fitted("no preprocessing")
    clf.export(tmp_path / "clf.onnx", X=X, quantize="int8")
    session = onnxruntime.InferenceSession(
        tmp_path / "clf.onnx", providers=["CPUExecutionProvider"]
    )
    row = X[:1].astype(np.float32)
    alone = session.run(["probabilities"], {"X": row})[0]
    beside = session.run(["probabilities"], {"X": np.concatenate([row, 1000 * row])})[0]
    assert np.abs(alone - clf.predict_proba(row)).max() < 0.01
    assert np.abs(beside[0] - alone[0]).max() > 0.001


@pytest.mark.parametrize("agreement", [0.99, 0.0])
def test_a_file_that_agrees_too_seldom_is_not_written(agreement, tmp_path, capsys, monkeypatch):
    clf, X, y = learnt()
    path = tmp_path / "clf.onnx"
    path.write_bytes(b"old")
    coarse = np.vectorize(lambda at: 0 if at % 2 else 255, otypes=[np.uint8])
    right = onnx_quantize._make_plain

    def worse(graph):
        right(graph)
        for tensor in graph.initializer:
            if tensor.name == "weight2_quantized":
                values = coarse(np.arange(64 * 64)).reshape(64, 64)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    monkeypatch.setattr(onnx_quantize, "_make_plain", worse)
    settings = {"X": X, "y": y, "quantize": "int8", "min_agreement": agreement}
    if agreement:
        message = r"not written, because min_agreement=0.99\. int8: labels agree on .*; accuracy 1"
        with pytest.raises(VerificationError, match=message):
            clf.export(path, **settings)
        assert path.read_bytes() == b"old"
        assert capsys.readouterr().out == ""
    else:
        clf.export(path, **settings)
        assert printed(capsys)["agreement"] < 99
        assert skkd.load(path).score(X, y) < 0.9


def test_wrong_arguments_name_what_is_allowed(tmp_path):
    clf, X = fitted("two classes")
    path, int8 = tmp_path / "clf.onnx", {"X": X, "quantize": "int8"}
    with pytest.raises(ValueError, match="quantize='int4' is not allowed: give 'int8' or None"):
        clf.export(path, X=X, quantize="int4")
    with pytest.raises(
        ValueError, match=r"quantize='int8' is not allowed: give None: \.npz has no"
    ):
        clf.export(tmp_path / "clf.npz", **int8)
    with pytest.raises(ValueError, match="quantize='int8' is not allowed.*dtype=\"float32\""):
        clf.export(path, dtype="float64", **int8)
    with pytest.raises(ValueError, match="needs X: give rows as they come in practice"):
        clf.export(path, quantize="int8")
    with pytest.raises(ValueError, match='y is used with quantize="int8" only'):
        clf.export(path, X=X, y=clf.predict(X))
    with pytest.raises(ValueError, match='min_agreement is used with quantize="int8" only'):
        clf.export(path, X=X, min_agreement=0.9)
    with pytest.raises(
        ValueError, match=r"min_agreement=1.5 is not allowed: give a number in \[0, 1\]"
    ):
        clf.export(path, min_agreement=1.5, **int8)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 120\]"):
        clf.export(path, y=[0, 1, 0], **int8)
    assert list(tmp_path.iterdir()) == []


def test_a_column_with_the_name_of_a_quantised_value_is_refused(tmp_path):
    table = fitted("mixed table")[1].rename(columns={"debt": "weight1_scale"})
    clf, X = table_classifier(table)
    clf.export(tmp_path / "clf.onnx")
    with pytest.raises(ValueError, match="a column of the name 'weight1_scale'"):
        clf.export(tmp_path / "int8.onnx", X=X, quantize="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["clf.onnx"]


def test_logging_is_left_as_it_is(monkeypatch, caplog):
    data = FORMATS[".onnx"].write(fitted("two classes")[0].network_, "float32")
    monkeypatch.setattr(logging.root, "handlers", [])
    onnx_quantize.quantize(data)
    assert logging.root.handlers == []
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        onnx_quantize.quantize(data)
    assert caplog.records == []


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    data = FORMATS[".onnx"].write(fitted("two classes")[0].network_, "float32")
    for module in [m for m in sys.modules if m.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = r"quantize=\"int8\" needs onnxruntime: pip install 'skkd\[export\]'"
    with pytest.raises(ImportError, match=message):
        onnx_quantize.quantize(data)
