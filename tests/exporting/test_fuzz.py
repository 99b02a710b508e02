"""Files with random changes: each is refused with one ValueError, or still answers.

The files are few, so that the test is quick. For a long run, from the folder of the tests:
``SKKD_FUZZ=100000 pytest exporting/test_fuzz.py``.
"""

import itertools
import os
import time

import numpy as np
import pytest
from exported_cases import fitted
from onnx import ModelProto

import skkd
from skkd.exporting import content, npz

N_FILES = int(os.environ.get("SKKD_FUZZ", "300"))


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


def without_digest(data):
    """An ONNX file of another program, which has no digest that would show a change."""
    model = ModelProto.FromString(data)
    classes = model.graph.initializer
    del model.metadata_props[:]
    model.producer_name = "another program"
    for node in model.graph.node:
        if node.op_type == "Gather" and node.output[0] == "label":
            node.op_type, node.domain = "ArrayFeatureExtractor", "ai.onnx.ml"
            node.ClearField("attribute")
    model.opset_import.add(domain="ai.onnx.ml", version=3)
    assert any(tensor.name == "classes" for tensor in classes)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("case", "ending"),
    [
        *itertools.product(["labels from 1", "mixed table"], [".onnx", ".npz", ".safetensors"]),
        ("foreign", ".onnx"),
    ],
)
def test_changed_files_are_refused_or_answer(case, ending, tmp_path):
    path = tmp_path / f"clf{ending}"
    clf, X = fitted("labels from 1" if case == "foreign" else case)
    clf.export(path)
    data = without_digest(path.read_bytes()) if case == "foreign" else path.read_bytes()
    path.write_bytes(data)
    skkd.load(path).predict(X)  # before any change

    rng, refused, slowest = np.random.default_rng(0), 0, 0.0
    for i in range(N_FILES):
        path.write_bytes(CHANGES[i % len(CHANGES)](rng, data))
        start = time.perf_counter()
        try:
            skkd.load(path).predict_proba(X)
        except ValueError:
            refused += 1
        slowest = max(slowest, time.perf_counter() - start)
    assert refused > N_FILES * (0.3 if case == "foreign" else 0.8)
    assert slowest < 10  # a hang; the machine may be busy


VALUES = [None, True, -1, 0, 2**70, 0.5, float("nan"), "", "x" * 99, [], [[]], {}, {"a": 1}]


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
        path.write_bytes(npz.write(arrays, header))
        try:
            skkd.load(path).predict_proba(X)
        except ValueError:
            refused += 1
    assert refused > N_FILES / 2
