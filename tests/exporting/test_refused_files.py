"""Files that are not loaded: pickles, damaged and changed files, and files of other kinds."""

import io
import zipfile

import numpy as np
import onnx
import pandas as pd
import pytest
from exported_cases import fitted
from onnx import TensorProto, helper

import skkd
from skkd.exporting import load as load_module
from skkd.exporting import npz as npz_format
from skkd.exporting.content import digest_of

FORMATS = (".onnx", ".npz", ".safetensors")


@pytest.fixture(scope="module", params=FORMATS)
def saved(request, tmp_path_factory):
    """The path of a file with three classes and four numbers, in each format."""
    path = tmp_path_factory.mktemp("saved") / f"clf{request.param}"
    fitted("labels from 1")[0].export(path)
    return path


@pytest.mark.parametrize("ending", [".pkl", ".joblib", ".pickle", ".pt"])
def test_pickles_are_refused_unopened(ending, tmp_path):
    path = tmp_path / f"clf{ending}"  # not even there
    with pytest.raises(ValueError, match="loading a pickle can run any code"):
        skkd.load(path)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"does not end in one of \.onnx, \.npz, \.safetensors"):
        skkd.load(tmp_path / "clf.txt")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        skkd.load(tmp_path / "clf.onnx")


def refused(path, data, reason=""):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"(?s)cannot be loaded: it is damaged.*{reason}"):
        skkd.load(path)


def test_truncated_empty_and_foreign_files_are_refused(saved, tmp_path):
    data = saved.read_bytes()
    for wrong in (b"", data[:7], data[: len(data) // 2], data[:-1], b"\0" * 1000, b"{}" * 50):
        refused(tmp_path / saved.name, wrong)


def test_a_file_of_another_format_is_refused(saved, tmp_path):
    for ending in FORMATS:
        if ending != saved.suffix:
            refused(tmp_path / f"clf{ending}", saved.read_bytes())


def test_an_enormous_file_is_refused_before_it_is_read(saved, tmp_path, monkeypatch):
    path = tmp_path / saved.name
    with path.open("wb") as file:
        file.truncate(2**31)  # takes no space on the disk
    with pytest.raises(ValueError, match="at most 1073741824 are read"):
        skkd.load(path)
    monkeypatch.setattr(load_module, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="at most 10 are read"):
        skkd.load(saved)


def npz(compression=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def claims(description):
    """An array file with a description of its own and no data."""
    text = description.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_what_an_npz_file_must_not_hold(tmp_path):
    path = tmp_path / "clf.npz"
    refused(path, npz(zipfile.ZIP_DEFLATED, header=npy(np.zeros(10**7))), "compressed")
    refused(path, npz(header=npy(np.array([print], dtype=object))), "dtype object")
    huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    refused(path, npz(header=claims(huge)), "has 0 bytes")
    negative = "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 0), }"
    refused(path, npz(header=claims(negative)), "has 0 bytes")
    refused(path, npz(other=npy(np.zeros(3))), "header")
    refused(path, npz(header=npy(np.frombuffer(b"[" * 10**5, np.uint8))), "RecursionError")
    refused(path, npz(header=npy(np.frombuffer(b'{"format": "x"}', np.uint8))), "not that of")


def rewritten(path, change):
    """The bytes of an npz file whose header and arrays a function changes."""
    arrays, header = npz_format.read(path.read_bytes())
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, header)
    header["digest"] = digest_of(arrays, header)
    return npz_format.write(arrays, header)


def set_in(path, value):
    def change(arrays, header):
        inner = header
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def replaced(name, array):
    return lambda arrays, header: arrays.update({name: array})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_in(["version"], 2), "the format has version 2, this skkd reads 1"),
        (set_in(["activation"], "step"), "there is no activation 'step'"),
        (set_in(["n_layers"], 10**9), "1000000000 layers"),
        (set_in(["n_layers"], 1), "inputs"),
        (set_in(["schema", "classes"], [1, 1, 2]), "classes are not"),
        (set_in(["schema", "classes"], [1, 2]), "outputs"),
        (set_in(["schema", "classes_dtype"], "O8,f4"), ""),
        (set_in(["schema", "dtype"], "object"), "dtype 'object'"),
        (set_in(["schema", "features"], []), "centre has shape"),
        (set_in(["schema", "features", 0, "kind"], "code"), "kind 'code'"),
        (set_in(["preprocessing", "of_no_width"], [-1]), "no numeric column"),
        (set_in(["preprocessing", "has_bins"], True), "KeyError"),
        (set_in(["preprocessing"], 7), "TypeError"),
        (replaced("centre", np.zeros(3)), "centre has shape"),
        (replaced("layer1.weight", np.zeros((4, 7))), "layer 1"),
        (replaced("layer1.weight", np.zeros((4, 8), dtype=np.int64)), "layer 1"),
        (replaced("layer2.weight", np.zeros((7, 3))), "layer 2 takes 7 inputs, and gets 8"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(change, reason, tmp_path):
    path = tmp_path / "clf.npz"
    fitted("labels from 1")[0].export(path)
    refused(path, rewritten(path, change), reason)


def test_changed_weights_and_headers_are_recognised(tmp_path):
    path = tmp_path / "clf.safetensors"
    fitted("labels from 1")[0].export(path)
    data = path.read_bytes()
    refused(path, data[:-1] + bytes([data[-1] ^ 1]), "does not match its digest")
    assert data.count(b"[1, 2, 10]") == 1
    refused(path, data.replace(b"[1, 2, 10]", b"[1, 2, 11]"), "does not match its digest")


# ---- ONNX ------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    fitted("labels from 1")[0].export(tmp_path / "good.onnx")
    return onnx.load(tmp_path / "good.onnx")


def test_changed_onnx_files_are_recognised(model, tmp_path):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[::-1]
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "does not match its digest")


def without_metadata(model):
    del model.metadata_props[:]
    model.producer_name = "another program"


def test_an_onnx_constant_in_another_file_is_refused(model, tmp_path):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "is in another file")


def test_an_onnx_constant_of_negative_or_huge_shape_is_refused(model, tmp_path):
    without_metadata(model)
    model.graph.initializer[0].dims[:] = [-1]
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "has shape")
    model.graph.initializer[0].dims[:] = [2**40]
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "and fewer bytes")


def test_onnx_operators_that_can_take_any_memory_are_refused(model, tmp_path):
    without_metadata(model)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["a"], ["b"]))
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "can take any time or memory")
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Pickle", "com.example"
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "domain 'com.example'")


def foreign(inputs, nodes, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def logistic_regression(**classes):
    """A classifier of ONNX itself, as sklearn-onnx writes it."""
    node = helper.make_node(
        "LinearClassifier",
        ["input"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[1.0, -1.0, -1.0, 1.0],
        intercepts=[0.0, 0.0],
        post_transform="SOFTMAX",
        **classes,
    )
    info = helper.make_tensor_value_info
    kind = TensorProto.STRING if "classlabels_strings" in classes else TensorProto.INT64
    outputs = [info("label", kind, [None]), info("probabilities", TensorProto.FLOAT, [None, 2])]
    return foreign([info("input", TensorProto.FLOAT, [None, 2])], [node], outputs)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [({"classlabels_ints": [3, 7]}, [3, 7]), ({"classlabels_strings": ["a", "b"]}, ["a", "b"])],
)
def test_a_classifier_of_another_program_is_loaded(classes, expected, tmp_path):
    path = tmp_path / "clf.onnx"
    path.write_bytes(logistic_regression(**classes))
    loaded = skkd.load(path)
    assert loaded.classes_.tolist() == expected
    X = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert loaded.predict(X).tolist() == expected
    p = 1 / (1 + np.exp(-4))
    assert np.abs(loaded.predict_proba(pd.DataFrame(X)) - [[p, 1 - p], [1 - p, p]]).max() < 1e-6


def test_an_onnx_file_without_the_outputs_of_a_classifier_is_refused(tmp_path):
    info = helper.make_tensor_value_info
    one = info("x", TensorProto.FLOAT, [None, 2]), info("y", TensorProto.FLOAT, [None, 2])
    data = foreign([one[0]], [helper.make_node("Relu", ["x"], ["y"])], [one[1]])
    refused(tmp_path / "clf.onnx", data, "not label and probabilities")
