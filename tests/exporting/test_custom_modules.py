"""Custom torch modules in ONNX files: converted by torch, and checked before they are loaded."""

import itertools
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import torch
from exported_cases import FAST, fitted, mixed, numbers
from module_files import constant, module_file, there_and_back
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import skkd
from skkd import NeuralClassifier
from skkd.exporting.formats import FORMATS
from skkd.exporting.onnx.module_check import shape_and_size


class CNN(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(
            *(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)),
            *(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, n_classes)),
        )


class Block(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first, self.norm = nn.Linear(n_features, 8), nn.LayerNorm(8)
        self.output = nn.Linear(8, n_classes)

    def forward(self, x):
        h = nn.functional.gelu(self.norm(self.first(x)))
        return self.output(h + h.sigmoid())


class LogGamma(Block):
    def forward(self, x):
        return self.output(self.first(x).abs().lgamma())


class Flat(nn.Sequential):
    def __init__(self, n_features):
        super().__init__(nn.Flatten(), nn.Linear(n_features, 3))


def of(module, X, n_classes=3, **settings):
    y = np.array(["low", "mid", "top"])[:n_classes][np.arange(len(X)) % n_classes]
    return NeuralClassifier(module=module, **FAST, **settings).fit(X, y)


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def pixels():
    return numbers(n_features=16)


@pytest.mark.slow
def test_torch_converts_modules_or_gives_its_reason(tmp_path, monkeypatch, capfd):
    clf, X, path = of(CNN, pixels()), pixels(), tmp_path / "clf.onnx"
    state = torch.get_rng_state()
    assert clf.exports_to() == {
        ending: None if ending == ".onnx" else reason
        for ending, reason in NeuralClassifier(module=CNN).exports_to().items()
    }
    assert torch.equal(torch.get_rng_state(), state)
    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", None)  # what was converted is used again
        assert max(clf.export(path), clf.export(path, X=X)) < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == ["clf.onnx"]
    assert str(skkd.__path__[0]).encode() not in path.read_bytes()

    session = session_of(path)
    for n_rows in (1, 7, 1000):
        rows = np.resize(X, (n_rows, 16))
        label, p = session.run(None, {"X": rows.astype(np.float32)})
        assert np.abs(p - clf.predict_proba(rows)).max() < 1e-5
        assert (label == clf.predict(rows)).all()
    assert session.get_modelmeta().custom_metadata_map["skkd.classes"] == '["low", "mid", "top"]'

    loaded = skkd.load(path)
    assert loaded.predict(X).tolist() == clf.predict(X).tolist()
    assert np.abs(loaded.predict_proba(X) - clf.predict_proba(X)).max() < 1e-5

    table = mixed().rename(columns={"debt": "module.input"})
    clf = of(Block, table, n_classes=2)
    assert max(clf.export(path), clf.export(path, X=table)) < 1e-5
    loaded = skkd.load(path)
    assert np.abs(loaded.predict_proba(table) - clf.predict_proba(table)).max() < 1e-5
    assert loaded.schema.names == list(table.columns)

    with pytest.raises(ValueError, match=r"exported to \.onnx: torch cannot convert.*prims.lgamma"):
        of(LogGamma, numbers()).export(tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()

    assert capfd.readouterr() == ("", "")


def test_what_is_in_the_way_is_known_without_torch_s_exporter(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", None)
    images = of(Flat, pixels().reshape(-1, 1, 4, 4))
    reason = "X has more than two dimensions. Give flat rows of numbers, and let the module begin"
    with pytest.raises(ValueError, match=rf"exported to \.onnx: {reason}"):
        images.export(tmp_path / "clf.onnx")
    assert reason in images.exports_to()[".onnx"]
    clf = of(Block, numbers())
    assert "module computes in float32" in clf.exports_to("float64")[".onnx"]
    for ending in (".npz", ".safetensors"):
        with pytest.raises(ValueError, match=rf"exported to {ending}: module is a torch module of"):
            clf.export(tmp_path / f"clf{ending}")
        assert "Only .onnx can hold one" in clf.exports_to()[ending]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="cannot become an MLPClassifier: module is"):
        clf.to_mlp_classifier()


def test_conversions_in_two_threads_leave_the_process_as_it_was(monkeypatch, tmp_path):
    classifiers, running = [of(Block, numbers()), of(LogGamma, numbers())], []

    def export(*arguments, **settings):
        running.append(1)
        time.sleep(0.1)
        assert running == [1]
        running.clear()
        raise RuntimeError("not converted")

    def run(clf):
        with pytest.raises(ValueError, match="not converted"):
            clf.export(tmp_path / "clf.onnx")

    monkeypatch.setattr(torch.onnx, "export", export)
    output, state = sys.stdout, torch.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, classifiers))
    assert sys.stdout is output
    assert torch.equal(torch.get_rng_state(), state)


def test_a_missing_onnxscript_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"needs onnxscript: pip install 'skkd\[export\]'"):
        of(Block, numbers()).export(tmp_path / "clf.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_network_of_a_module_has_a_schema():
    network = of(Block, mixed(), n_classes=2).network_
    assert network.schema.names == list(mixed().columns)
    assert network.schema.classes.tolist() == ["low", "mid"]


# ---- checks before loading ---------------------------------------------------------------------


W = constant(np.ones((2, 1, 3, 3)))
IMAGE = (1, 4, 6)

#: Operator, shape of one row of each operand or a constant, attributes.
ALLOWED = [
    ("Relu", [IMAGE], {}),
    ("LeakyRelu", [IMAGE], {"alpha": 0.2}),
    ("Add", [IMAGE, (1, 4, 6)], {}),
    ("Add", [(3, 1, 2), (1, 5, 2)], {}),
    ("Mul", [IMAGE, constant(2.5)], {}),
    ("Sub", [constant(np.ones((1, 7, 4, 6))), IMAGE], {}),
    ("Clip", [IMAGE, constant(0.0), constant(6.0)], {}),
    ("PRelu", [IMAGE, constant(np.ones((1, 1, 1)))], {}),
    ("BatchNormalization", [(2, 3), *[constant(np.ones(2))] * 4], {"epsilon": 1e-5}),
    ("InstanceNormalization", [(2, 3), *[constant(np.ones(2))] * 2], {"epsilon": 1e-5}),
    ("LayerNormalization", [IMAGE, constant(np.ones(6)), constant(np.ones(6))], {"axis": -1}),
    ("Softmax", [IMAGE], {"axis": 1}),
    ("Gemm", [(5,), constant(np.ones((5, 3)))], {}),
    ("Gemm", [(5,), constant(np.ones((3, 5))), constant(np.ones(3))], {"transB": 1}),
    ("MatMul", [IMAGE, constant(np.ones((6, 2)))], {}),
    ("Conv", [IMAGE, W], {}),
    ("Conv", [IMAGE, W, constant(np.ones(2))], {"pads": [1, 2, 0, 1], "strides": [2, 1]}),
    ("Conv", [IMAGE, W], {"kernel_shape": [3, 3], "dilations": [1, 2]}),
    ("Conv", [(4, 9), constant(np.ones((6, 2, 3)))], {"group": 2, "auto_pad": "NOTSET"}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 3], "pads": [1, 0, 0, 1]}),
    ("GlobalAveragePool", [IMAGE], {}),
    ("ReduceMean", [IMAGE, constant([-1, 2])], {"keepdims": 0}),
    ("ReduceSum", [IMAGE, constant([1])], {"keepdims": 1}),
    ("Flatten", [IMAGE], {}),
    ("Reshape", [IMAGE, constant([-1, 24])], {}),
    ("Reshape", [IMAGE, constant([0, 0, -1])], {}),
    ("Reshape", [(24,), constant([-1, 2, 3, 4])], {"allowzero": 1}),
    ("Transpose", [IMAGE], {"perm": [0, 3, 1, 2]}),
    ("Squeeze", [IMAGE, constant([1])], {}),
    ("Unsqueeze", [IMAGE, constant([1, -1])], {}),
    ("Concat", [IMAGE, (3, 4, 6)], {"axis": 1}),
    ("Gather", [IMAGE, constant(2)], {"axis": 2}),
    ("Gather", [IMAGE, constant([0, 3, 3])], {"axis": -2}),
    ("Slice", [IMAGE, *map(constant, ([1, -1], [3, -5], [2, 3], [1, -2]))], {}),
    ("Slice", [IMAGE, constant([1]), constant([2**31 - 1]), constant([-1])], {}),
    ("Cast", [IMAGE], {"to": TensorProto.DOUBLE}),
]

REFUSED = [
    ("Sum", [IMAGE], {}),
    ("Add", [IMAGE, (6,)], {}),  # rows against columns
    ("Add", [(3,), constant(np.ones((9, 3)))], {}),  # more rows
    ("Add", [(3,), (2,)], {}),
    ("BatchNormalization", [(2, 3), *[constant(np.ones(2))] * 4], {"training_mode": 1}),
    ("LayerNormalization", [IMAGE, constant(np.ones(6))], {"axis": 0}),
    ("Softmax", [IMAGE], {"axis": -4}),
    ("Gemm", [(5,), constant(np.ones((5, 3)))], {"transA": 1}),
    ("Gemm", [(5,), constant(np.ones((5, 3))), constant(np.ones((9, 3)))], {}),
    ("Gemm", [(5,), (3,)], {}),
    ("MatMul", [(5, 5), (5, 5)], {}),
    ("Conv", [IMAGE, W], {"auto_pad": "SAME_UPPER"}),
    ("Conv", [IMAGE, W], {"pads": [0, 0, 0, -1]}),
    ("Conv", [IMAGE, W], {"strides": [0, 1]}),
    ("Conv", [IMAGE, W], {"kernel_shape": [1, 1]}),
    ("Conv", [IMAGE, W], {"group": 2}),
    ("Conv", [IMAGE, W], {"pads": [2**40] * 4}),
    ("Conv", [(1, 2, 2), W], {}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "storage_order": 1}),
    ("ReduceMean", [IMAGE, constant([0])], {}),
    ("ReduceMean", [IMAGE], {}),
    ("Flatten", [IMAGE], {"axis": 2}),
    ("Reshape", [IMAGE, constant([24, -1])], {}),
    ("Reshape", [IMAGE, constant([-1, 12])], {}),
    ("Reshape", [IMAGE, constant([-1, 0])], {"allowzero": 1}),
    ("Reshape", [IMAGE, (2,)], {}),
    ("Transpose", [IMAGE], {"perm": [1, 0, 2, 3]}),
    ("Transpose", [IMAGE], {}),
    ("Squeeze", [IMAGE, constant([2])], {}),
    ("Unsqueeze", [IMAGE, constant([0])], {}),
    ("Concat", [IMAGE, IMAGE], {"axis": 0}),
    ("Concat", [IMAGE, (1, 4, 5)], {"axis": 1}),
    ("Gather", [IMAGE, constant(0)], {}),
    ("Slice", [IMAGE, constant([0]), constant([1])], {}),
    ("Cast", [IMAGE], {"to": TensorProto.STRING}),
    ("Relu", [IMAGE], {"domain": "com.example"}),
    ("Relu", [IMAGE], {"other": 1}),
    ("Relu", [IMAGE], {"body": helper.make_graph([], "g", [], [])}),
]


def node_of(operator, operands, attributes):
    names = [f"operand{i}" for i in range(len(operands))]
    node = helper.make_node(operator, names, ["y"], name="module.0", **attributes)
    pairs = list(zip(names, operands, strict=True))
    shapes = {name: given for name, given in pairs if isinstance(given, tuple)}
    tensors = {
        name: numpy_helper.from_array(given, name) for name, given in pairs if name not in shapes
    }
    return node, shapes, tensors


@pytest.mark.parametrize(("operator", "operands", "attributes"), ALLOWED)
def test_the_shape_of_a_row_is_that_of_onnx_runtime(operator, operands, attributes):
    node, shapes, tensors = node_of(operator, operands, attributes)
    found, size = shape_and_size(node, shapes, tensors)
    info = helper.make_tensor_value_info
    given = [info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in shapes.items()]
    kind = TensorProto.DOUBLE if operator == "Cast" else TensorProto.FLOAT
    output = info("y", kind, None)
    graph = helper.make_graph([node], "g", given, [output], list(tensors.values()))
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {name: np.ones((7, *shape), np.float32) for name, shape in shapes.items()}
    (answer,) = session.run(None, feeds)
    assert answer.shape == (7, *found)
    assert size >= math.prod(found)


@pytest.mark.parametrize(("operator", "operands", "attributes"), REFUSED)
def test_what_mixes_rows_or_could_be_of_any_size_is_refused(operator, operands, attributes):
    with pytest.raises(ValueError, match=r"operator '?\w+'? "):
        shape_and_size(*node_of(operator, operands, attributes))


def test_a_file_with_nodes_of_a_module_is_loaded(tmp_path):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(module_file(tmp_path / "clf.onnx", there_and_back))
    squared = clf.predict_proba(X) ** 2  # the logits are doubled
    expected = squared / squared.sum(axis=1, keepdims=True)
    assert np.abs(loaded.predict_proba(X) - expected).max() < 1e-5


def sums(logits):
    nodes = [helper.make_node("CumSum", [logits, "axis"], ["result"])]
    return nodes, {"axis": constant(1)}


def test_what_skkd_does_not_load_still_runs_and_is_compared(tmp_path):
    clf, X = fitted("labels from 1")
    data = module_file(tmp_path / "clf.onnx", sums).read_bytes()
    logits = np.log(clf.predict_proba(X)).cumsum(axis=1)
    # Sums of logits are those of log-probabilities up to a term that grows from class to class.
    _, p = FORMATS[".onnx"].run_module(data).run(X)
    shift = np.log(p) - logits
    assert np.abs(np.diff(shift, n=2)).max() < 1e-4
    with pytest.raises(ValueError, match=r"'CumSum' .* is none that skkd loads: run the file in"):
        skkd.load(tmp_path / "clf.onnx")


def growing(logits):
    names = [logits, *(f"wide{i}" for i in range(40))]
    pairs = itertools.pairwise(names)
    return [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in pairs], {}


def padded(logits):
    make = helper.make_node
    nodes = [
        make("Reshape", [logits, "shape"], ["image"]),
        make("Conv", ["image", "kernel"], ["wide"], pads=[10**5] * 4),
        make("GlobalMaxPool", ["wide"], ["one"]),
        make("Flatten", ["one"], ["flat"]),
    ]
    kernel = np.ones((3, 1, 1, 1), np.float32)
    return nodes, {"shape": constant([-1, 1, 1, 3]), "kernel": kernel}


def hidden(logits):
    nodes, tensors = there_and_back(logits)
    nodes[0].output[0] = nodes[1].input[0] = "X"
    return nodes, tensors


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (growing, "takes more than 16777216 numbers"),
        (padded, "takes more than 16777216 numbers"),
        (hidden, "'X' is computed twice"),
    ],
)
def test_a_module_that_takes_much_memory_is_refused(change, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        skkd.load(module_file(tmp_path / "clf.onnx", change))
