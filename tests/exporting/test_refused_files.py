"""Files that are not loaded: pickles, damaged and changed files, and files of other kinds."""

import io
import itertools
import os
import tokenize
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
from exported_cases import fitted
from onnx import TensorProto, helper, numpy_helper

import skkd
from skkd.exporting import content
from skkd.exporting import load as load_module
from skkd.exporting import npz as npz_format
from skkd.exporting.content import digest_of
from skkd.exporting.onnx import check as onnx_check
from skkd.exporting.onnx import write as onnx_format

FORMATS = (".onnx", ".npz", ".safetensors", ".skops")


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
    names = r"\.onnx, \.npz, \.safetensors, \.skops"  # and not .c, which is not loaded
    with pytest.raises(ValueError, match=rf"ends in {names}, or format="):
        skkd.load(tmp_path / "clf.txt")
    with pytest.raises(ValueError, match=rf"give one of {names}\."):
        skkd.load(tmp_path / "clf.txt", format="txt")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        skkd.load(tmp_path / "clf.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_is_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "clf.npz")
    with pytest.raises(ValueError, match="is no regular file"):
        skkd.load(tmp_path / "clf.npz")


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


def test_json_that_is_too_long_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "MOST_JSON", 100)
    refused(tmp_path / saved.name, saved.read_bytes(), "JSON of length .* at most 100 is read")


def test_a_description_of_an_array_that_is_no_python_is_refused(tmp_path):
    for wrong in (
        "{'descr': '<f8', (",
        "{'descr': '(1,', 'fortran_order': False, 'shape': (1,), }",
    ):
        refused(tmp_path / "clf.npz", npz(header=claims(wrong)))


def test_any_error_of_reading_becomes_one_value_error(tmp_path, monkeypatch):
    def read(data):
        raise tokenize.TokenError("EOF")

    monkeypatch.setitem(
        load_module.FORMATS, ".npz", replace(load_module.FORMATS[".npz"], read=read)
    )
    refused(tmp_path / "clf.npz", b"", "TokenError")


def test_texts_of_another_length_than_their_dtype_are_refused(tmp_path):
    path = tmp_path / "clf.npz"
    fitted("text labels")[0].export(path)
    assert skkd.load(path).classes_.dtype == "<U3"
    wide = rewritten(path, set_in(["schema", "classes_dtype"], "<U262144"))
    refused(path, wide, "texts of up to 3 characters")


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
        (set_in(["n_layers"], 1), "outputs"),
        (set_in(["schema", "classes"], [1, 1, 2]), "classes are not"),
        (set_in(["schema", "classes"], [1, 2]), "3 outputs, and the schema 2 classes"),
        (set_in(["schema", "classes"], ["a", "b", [1]]), "neither text nor numbers"),
        (set_in(["schema", "classes_dtype"], "(1,"), "classes of dtype"),
        (set_in(["schema", "classes_dtype"], "<U262144"), "classes of dtype"),
        (set_in(["schema", "classes_dtype"], "<f16"), "classes of dtype"),
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


def with_digest(model):
    """The bytes of a changed model, with a digest that fits."""
    properties = {entry.key: entry for entry in model.metadata_props}
    properties["skkd.digest"].value = onnx_format.digest_of(model)
    return model.SerializeToString()


def test_an_onnx_constant_in_another_file_is_refused(model, tmp_path):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(tmp_path / "clf.onnx", with_digest(model), "is in another file")


def test_an_onnx_constant_of_another_size_than_its_data_is_refused(model, tmp_path):
    model.graph.initializer[0].dims[:] = [-1]
    refused(tmp_path / "clf.onnx", with_digest(model), "has shape")
    model.graph.initializer[0].dims[:] = [2**40]
    refused(tmp_path / "clf.onnx", with_digest(model), "values")


def test_a_model_without_its_digest_is_refused(model, tmp_path):
    kept = [entry for entry in model.metadata_props if entry.key != "skkd.digest"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "has no digest")
    del model.metadata_props[:]
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "has no digest")
    model.producer_name = ""
    refused(tmp_path / "clf.onnx", model.SerializeToString(), "has no digest")


def test_the_format_of_onnx_runtime_is_refused_unopened(model, tmp_path):
    data = model.SerializeToString()
    refused(tmp_path / "clf.onnx", data[:4] + b"ORTM" + data[8:], "ONNX Runtime's own format")


def nodes_before_the_end(*nodes):
    """Insert nodes before the softmax."""

    def change(graph):
        at = next(i for i, node in enumerate(graph.node) if node.op_type == "Softmax")
        kept = list(graph.node)
        del graph.node[:]
        graph.node.extend([*kept[:at], *nodes, *kept[at:]])

    return change


def doublings(graph):
    names = ["X", *(f"wide{i}" for i in range(40))]
    pairs = itertools.pairwise(names)
    nodes = [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in pairs]
    nodes_before_the_end(*nodes)(graph)


def column_times_row(graph):
    column = numpy_helper.from_array(np.zeros((1000, 1), np.float32), "column")
    graph.initializer.append(column)
    nodes_before_the_end(helper.make_node("Add", ["X", "column"], ["square"]))(graph)


def rows_times_rows(graph):
    nodes = [
        helper.make_node("ArgMax", ["X"], ["first"], axis=1, keepdims=0),
        helper.make_node("Equal", ["first", "first"], ["square"]),
    ]
    nodes_before_the_end(*nodes)(graph)


def twice_the_rows(graph):
    nodes_before_the_end(helper.make_node("Concat", ["X", "X"], ["longer"], axis=0))(graph)


def other_attribute(graph):
    next(node for node in graph.node if node.op_type == "Gemm").attribute.add(
        name="transA", i=1, type=onnx.AttributeProto.INT
    )


def another_domain(graph):
    nodes_before_the_end(helper.make_node("Add", ["X", "X"], ["y"], domain="com.example"))(graph)


def operator(kind, *inputs, **attributes):
    return nodes_before_the_end(helper.make_node(kind, inputs, ["y"], **attributes))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (operator("ConstantOfShape", "columns"), "is none that skkd writes"),
        (operator("CenterCropPad", "X", "columns"), "is none that skkd writes"),
        (another_domain, "of 'com.example' is none that skkd writes"),
        (operator("Gemm", "X", "X"), "Gemm has operands"),
        (operator("MatMulInteger", "X", "X", "X", "X"), "MatMulInteger has operands"),
        (operator("DynamicQuantizeLinear", "X"), "other attributes, inputs or outputs"),
        (operator("Cast", "X", to=TensorProto.STRING), "Cast has another to"),
        (doublings, "a value has .* columns"),
        (column_times_row, "Add has operands"),
        (rows_times_rows, "Equal has operands"),
        (twice_the_rows, "Concat has another axis"),
        (other_attribute, "Gemm has other attributes"),
        (lambda graph: graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_value"), ""),
        (lambda graph: graph.input.pop(), ""),
        (lambda graph: graph.output.pop(), "label and probabilities"),
    ],
)
def test_onnx_graphs_that_skkd_does_not_write_are_refused(change, reason, model, tmp_path):
    change(model.graph)
    refused(tmp_path / "clf.onnx", with_digest(model), reason)


def test_more_nodes_than_a_table_needs_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_check, "MOST_NODES", 5)
    refused(tmp_path / "clf.onnx", with_digest(model), "nodes")
