"""Files with random changes: each is refused with one ValueError, or still answers.

No file may take a second of computing, or 200 MB more than the process had. The files are few, so
that the test is quick. For a long run, from the folder of the tests:
``SKKD_FUZZ=50000 pytest -n 0 exporting/test_fuzz.py`` makes 50,000 files in each test.

30 November 2026: 100,000 files of each format (.onnx, .npz, .safetensors, .skops) with changed
bytes, 50,000 ONNX files of other programs, 7500 changed graphs, 5000 with changed members and 5000
with changed headers and arrays. All were refused with a ValueError or answered; none took a second
or 200 MB.
"""

import faulthandler
import io
import os
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_files
import pandas as pd
import pytest
from exported_cases import fitted
from module_files import convolutions, module_file
from onnx import ModelProto

import skkd
from skkd.exporting import content, npz
from skkd.exporting.onnx import write as onnx
from skkd.exporting.onnx.module_check import RULES

N_FILES = int(os.environ.get("SKKD_FUZZ", "100"))


def flipped(rng, data):
    changed = bytearray(data)
    for at in rng.integers(len(data), size=rng.integers(1, 6)):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwritten(rng, data):
    """With large and small numbers where a size may stand."""
    changed = bytearray(data)
    at = int(rng.integers(len(data)))
    value = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    length = int(rng.integers(1, 9))
    changed[at : at + length] = bytes([value]) * length
    return bytes(changed)


def truncated(rng, data):
    return data[: int(rng.integers(len(data)))]


def sections_of(rng, data):
    return sorted(int(at) for at in rng.integers(len(data), size=3))


def swapped(rng, data):
    a, b, c = sections_of(rng, data)
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeated(rng, data):
    a, b, _ = sections_of(rng, data)
    return data[:b] + data[a:b] + data[b:]


CHANGES = (flipped, overwritten, truncated, swapped, repeated)


MOST_BYTES, MOST_SECONDS = 200e6, 1

#: After so long, in which other programs may have the processor, Python is ended.
HANGS_AFTER = 60

STATUS, RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextmanager
def within_limits():
    """The limits of time and memory for each file. Memory is measured on Linux alone."""
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=sys.__stderr__)
    before, start = memory_after_reset(), time.process_time()
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert time.process_time() - start < MOST_SECONDS
    assert peak_memory() - before < MOST_BYTES


def memory_after_reset():
    """Forget the peak of this process; the bytes that it has now."""
    if RESET_PEAK.exists():
        RESET_PEAK.write_text("5")
    return peak_memory()


def peak_memory():
    if not RESET_PEAK.exists():
        return 0
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) * 1024


def test_the_limits_are_measured(monkeypatch):
    monkeypatch.setitem(globals(), "MOST_BYTES", 20e6)
    if RESET_PEAK.exists():
        with pytest.raises(AssertionError), within_limits():
            np.ones(int(MOST_BYTES) // 8 + 10**6)
    monkeypatch.setitem(globals(), "MOST_SECONDS", 0)
    with pytest.raises(AssertionError), within_limits():
        sum(range(100))


def is_refused(path, data, X):
    """Whether a file is refused with a ValueError; otherwise it must answer."""
    path.write_bytes(data)
    with within_limits():
        try:
            skkd.load(path).predict_proba(X)
        except ValueError:
            return True
    return False


@pytest.mark.parametrize("case", ["labels from 1", "mixed table"])
@pytest.mark.parametrize("ending", [".onnx", ".npz", ".safetensors", ".skops"])
def test_changed_files_are_refused_or_answer(case, ending, tmp_path):
    path = tmp_path / f"clf{ending}"
    clf, X = fitted(case)
    clf.export(path)
    data = path.read_bytes()
    assert not is_refused(path, data, X)  # before any change

    rng = np.random.default_rng(0)
    refused = [is_refused(path, CHANGES[i % len(CHANGES)](rng, data), X) for i in range(N_FILES)]
    assert np.mean(refused) > 0.8


# ---- members of an npz file, changed before they are zipped ----------------------------------


def members_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


#: Texts for the description of an array, which NumPy reads as Python.
DESCRIPTIONS = [
    *(b"(", b"'", b'"', b"[" * 90, b"-1", b"10**9", b"9" * 30, b"None", b"(1,", b"<U999999"),
    *(b"|O", b"<f16", b"True", b"{}", b"\\", b"\n", b"#", b"\x00", b"()", b"1e400", b"0j"),
]


def with_other_description(rng, member):
    """Put a text into the description of an array, whose length stays."""
    size = int.from_bytes(member[8:10], "little")
    text = bytearray(member[10 : 10 + size])
    at = int(rng.integers(60))
    new = DESCRIPTIONS[rng.integers(len(DESCRIPTIONS))]
    text[at : at + int(rng.integers(len(new) + 1))] = new
    return member[:10] + bytes(text)[: size - 1].ljust(size - 1) + b"\n" + member[10 + size :]


def test_changed_members_are_refused_or_answer(tmp_path):
    path = tmp_path / "clf.npz"
    clf, X = fitted("mixed table with bins")
    clf.export(path)
    members, rng = members_of(path.read_bytes()), np.random.default_rng(0)
    changes = (with_other_description, *CHANGES)
    refused = []
    for i in range(N_FILES):
        name = sorted(members)[rng.integers(len(members))]
        change = changes[i // 2 % len(changes) if i % 2 else 0]
        refused.append(is_refused(path, zipped(members | {name: change(rng, members[name])}), X))
    assert np.mean(refused) > 0.8


# ---- ONNX graphs with a right digest ---------------------------------------------------------

OPERATORS = ["Add", "Concat", "Gather", "Gemm", "ReduceSum", "Where", "Cast", "ArgMax", "Expand"]
OPERATORS += ["DynamicQuantizeLinear", "MatMulInteger"]
NUMBERS = [-(2**63), -1, 0, 1, 2, 7, 16, 2**20, 2**31, 2**62]


def one_of(rng, values):
    return values[rng.integers(len(values))]


def with_other_node(rng, graph):
    node = one_of(rng, graph.node)
    node.op_type = one_of(rng, OPERATORS)


def with_other_operand(rng, graph):
    node = one_of(rng, graph.node)
    names = [value.name for value in (*graph.input, *graph.initializer)]
    names += [name for other in graph.node for name in other.output]
    node.input[rng.integers(len(node.input))] = one_of(rng, names)


def with_more_operands(rng, graph):
    node = one_of(rng, graph.node)
    node.input.extend(list(node.input) * int(rng.integers(1, 4)))


def with_other_attribute(rng, graph):
    attribute = one_of(rng, one_of(rng, [n for n in graph.node if n.attribute]).attribute)
    attribute.i = one_of(rng, NUMBERS)
    if rng.random() < 0.3:
        attribute.name = one_of(rng, ["axis", "to", "keepdims", "transA", "broadcast"])


def with_other_constant(rng, graph):
    tensor = one_of(rng, graph.initializer)
    tensor.dims[:] = rng.choice(NUMBERS, size=rng.integers(4)).tolist()
    if rng.random() < 0.5:
        tensor.data_type = int(rng.integers(20))
    if rng.random() < 0.5:
        tensor.raw_data = CHANGES[rng.integers(len(CHANGES))](rng, tensor.raw_data or b"12345678")


def with_other_shape(rng, graph):
    value = one_of(rng, [*graph.input, *graph.output]).type.tensor_type
    one_of(rng, value.shape.dim).dim_value = one_of(rng, NUMBERS)
    if rng.random() < 0.3:
        value.elem_type = int(rng.integers(20))


def without_a_node(rng, graph):
    del graph.node[rng.integers(len(graph.node))]


GRAPH_CHANGES = (
    *(with_other_node, with_other_operand, with_more_operands, with_other_attribute),
    *(with_other_constant, with_other_shape, without_a_node),
)


@pytest.mark.parametrize(
    ("case", "quantize"),
    [("labels from 1", None), ("mixed table with bins", None), ("two classes", "int8")],
)
def test_changed_graphs_with_a_right_digest_are_refused_or_answer(case, quantize, tmp_path):
    path = tmp_path / "clf.onnx"
    clf, X = fitted(case)
    clf.export(path, X=X, quantize=quantize)
    data, rng, refused = path.read_bytes(), np.random.default_rng(0), []
    for i in range(N_FILES):
        model = ModelProto.FromString(data)
        GRAPH_CHANGES[i % len(GRAPH_CHANGES)](rng, model.graph)
        digest = next(p for p in model.metadata_props if p.key == "skkd.digest")
        digest.value = onnx.digest_of(model)
        refused.append(is_refused(path, model.SerializeToString(), X))
    assert 0.5 < np.mean(refused) < 1


# ---- ONNX files of other programs ------------------------------------------------------------


def with_other_numbers(rng, graph):
    """In the list of an attribute: a number more, less, or another one."""
    lists = [a for n in graph.node for a in n.attribute if a.ints or a.floats or a.strings]
    attribute = one_of(rng, lists)
    values = attribute.ints or attribute.floats or attribute.strings
    others = NUMBERS if attribute.ints else [np.nan, np.inf, 1e38]
    others = [b"LEAF", b"BRANCH_EQ", b"", b"\xff"] if attribute.strings else others
    change = rng.integers(3)
    if change == 0:
        values.pop()
    elif change == 1:
        values.append(one_of(rng, others))
    else:
        values[rng.integers(len(values))] = one_of(rng, others)


def of_another_program(case):
    if case == "mixed":
        table = pd.DataFrame({"age": [20.0, 70.0], "n": [1, 0], "job": ["cook", "smith"]})
        return onnx_files.mixed(), table
    return onnx_files.MADE[case][0](), np.random.RandomState(0).standard_normal((9, 2))


@pytest.mark.parametrize("case", ["linear with maps", "forest", "mixed"])
def test_changed_files_of_other_programs_are_refused_or_answer(case, tmp_path):
    model, X = of_another_program(case)
    data, rng, refused = model.SerializeToString(), np.random.default_rng(0), []
    changes = (with_other_numbers, with_other_node, with_other_operand, without_a_node)
    for i in range(N_FILES // 3):
        changed = ModelProto.FromString(data)
        changes[i % len(changes)](rng, changed.graph)
        changed = changed.SerializeToString()
        changed = CHANGES[i % len(CHANGES)](rng, data) if i % 7 == 0 else changed
        refused.append(is_refused(tmp_path / "clf.onnx", changed, X))
    assert 0.5 < np.mean(refused) < 1


# ---- custom modules --------------------------------------------------------------------------


def with_other_operator(rng, graph):
    node = one_of(rng, [node for node in graph.node if node.name.startswith("module.")])
    node.op_type = one_of(rng, sorted(RULES))


def with_other_integers(rng, graph):
    attributes = [a for node in graph.node for a in node.attribute if len(a.ints)]
    ints = one_of(rng, attributes).ints
    ints[rng.integers(len(ints))] = one_of(rng, NUMBERS)


def with_other_integer_constant(rng, graph):
    tensor = one_of(rng, [t for t in graph.initializer if t.data_type == 7 and len(t.raw_data)])
    values = np.frombuffer(tensor.raw_data, np.int64).copy()
    values[rng.integers(len(values))] = one_of(rng, [*NUMBERS, 3, 4, 6, 12])
    tensor.raw_data = values.tobytes()


MODULE_CHANGES = (with_other_operator, with_other_integers, with_other_integer_constant)


def test_changed_modules_with_a_right_digest_are_refused_or_answer(tmp_path):
    path, (_, X) = tmp_path / "clf.onnx", fitted("labels from 1")
    data = module_file(path, convolutions).read_bytes()
    assert not is_refused(path, data, X)
    rng, refused, changes = np.random.default_rng(0), [], (*MODULE_CHANGES, *GRAPH_CHANGES)
    for i in range(N_FILES // 2):
        model = ModelProto.FromString(data)
        changes[i % len(changes)](rng, model.graph)
        digest = next(p for p in model.metadata_props if p.key == "skkd.digest")
        digest.value = onnx.digest_of(model)
        refused.append(is_refused(path, model.SerializeToString(), X))
    assert 0.5 < np.mean(refused) < 1


# ---- headers and arrays with a right digest --------------------------------------------------

VALUES = [
    *(None, True, -1, 0, 2**70, 0.5, float("nan"), "", "x" * 99, [], [[]], {}, {"a": 1}),
    *("(1,", "<U262144", "<U0", "<i8", "|b1", "O", "object", "O8,f4", "<f16", "M8", "(2**40,)i8"),
    *("float32", "float64", "3<f8", "{'names': ['a']}"),
]


def leaves(value, path=()):
    """The paths of all values inside of a header."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from leaves(value[key], (*path, key))


def with_other_value(rng, arrays, header):
    paths = list(leaves(header))
    *parents, last = paths[rng.integers(len(paths))]
    inner = header
    for key in parents:
        inner = inner[key]
    inner[last] = VALUES[rng.integers(len(VALUES))]


def with_other_array(rng, arrays, header):
    name = sorted(arrays)[rng.integers(len(arrays))]
    array = arrays[name]
    others = [
        array[:0],
        array[..., :-1],
        np.repeat(array, 2, axis=0),
        array.reshape(-1),
        array * np.nan if array.dtype.kind == "f" else array - 10**6,
        array.astype(np.int64) if array.dtype.kind == "f" else array.astype(np.float64),
        np.full_like(array, np.iinfo(np.int64).max if array.dtype.kind == "i" else np.inf),
    ]
    arrays[name] = others[rng.integers(len(others))]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of other names and categories
def test_changed_content_with_a_right_digest_is_refused_or_answers(tmp_path):
    path = tmp_path / "clf.npz"
    clf, X = fitted("mixed table with bins")
    clf.export(path)
    data, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for i in range(N_FILES):
        arrays, header = npz.read(data)
        (with_other_array if i % 2 else with_other_value)(rng, arrays, header)
        header["digest"] = content.digest_of(arrays, header)
        refused += is_refused(path, npz.write(arrays, header), X)
    assert refused > N_FILES / 2
