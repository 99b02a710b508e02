"""Loaded classifiers as scikit-learn's clients use them, and files that are not loaded."""

import copy
import io
import json
import pickle
import subprocess
import sys
import zipfile

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from exported_cases import fitted, numbers
from onnx import TensorProto, helper
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

import skkd
from skkd import DistilledClassifier
from skkd.exporting import load as load_module
from skkd.exporting.libraries import library

FORMATS = (".onnx", ".npz", ".safetensors")


@pytest.fixture(scope="module", params=FORMATS)
def saved(request, tmp_path_factory):
    """The path of a file with three classes and four numbers, in each format."""
    path = tmp_path_factory.mktemp("saved") / f"clf{request.param}"
    fitted("labels from 1")[0].export(path)
    return path


@pytest.fixture(scope="module", params=FORMATS)
def saved_mixed(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / f"mixed{request.param}"
    fitted("mixed table")[0].export(path)
    return path


# ---- a classifier of scikit-learn ------------------------------------------------------------


def test_has_the_attributes_of_a_fitted_classifier(saved):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    assert loaded.classes_.tolist() == [1, 2, 10]
    assert loaded.n_features_in_ == 4
    assert not hasattr(loaded, "feature_names_in_")
    assert loaded.schema.names == ["x0", "x1", "x2", "x3"]
    assert is_classifier(loaded)
    assert get_tags(loaded).input_tags.allow_nan
    assert loaded.score(X, clf.predict(X)) == 1
    assert get_scorer("neg_log_loss")(loaded, X, clf.predict(X)) < 0
    assert "4 columns, 3 classes" in repr(loaded)


def test_has_the_names_and_categories_of_a_table(saved_mixed):
    clf, X = fitted("mixed table")
    loaded = skkd.load(saved_mixed)
    assert loaded.feature_names_in_.tolist() == X.columns.tolist()
    features = {feature.name: feature for feature in loaded.schema.features}
    assert features["region"].categories == ("north", "south")
    assert features["married"].categories == (False, True)
    assert features["grade"].kind == "number"
    assert features["job"].kind == "category"
    assert loaded.schema.to_dict() == clf.network_.schema.to_dict()


def test_clones_copies_and_pickles_predict(saved):
    _, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    expected = loaded.predict_proba(X)
    assert clone(loaded) is loaded
    for other in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        assert np.array_equal(other.predict_proba(X), expected)


def test_threads_may_share_it(saved):
    _, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    call = joblib.delayed(loaded.predict_proba)
    answers = joblib.Parallel(n_jobs=4, backend="threading")(call(X) for _ in range(8))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_serves_clients_that_only_predict(saved):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    assert cross_val_score(FrozenEstimator(loaded), X, clf.predict(X), cv=3).tolist() == [1, 1, 1]


def test_cannot_be_fitted(saved):
    with pytest.raises(TypeError, match="cannot be fitted"):
        skkd.load(saved).fit(numbers(), None)


@pytest.mark.parametrize("is_cloned", [False, True])
def test_teaches(saved, is_cloned):
    clf, X = fitted("labels from 1")
    settings = {"alpha": 1.0, "hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}
    student = DistilledClassifier(skkd.load(saved), **settings)
    student = clone(student) if is_cloned else student
    student.fit(X, clf.predict(X))
    same = DistilledClassifier(clf, **settings).fit(X, clf.predict(X))
    assert np.abs(student.predict_proba(X) - same.predict_proba(X)).max() < 1e-3


def test_takes_columns_by_name_in_any_order(saved_mixed):
    clf, X = fitted("mixed table")
    loaded = skkd.load(saved_mixed)
    turned = X[X.columns[::-1]].assign(more=1)
    assert np.abs(loaded.predict_proba(turned) - clf.predict_proba(X)).max() < 1e-5


def test_names_the_columns_that_are_missing(saved_mixed):
    _, X = fitted("mixed table")
    with pytest.raises(ValueError, match=r"X lacks the columns \['age', 'job'\]"):
        skkd.load(saved_mixed).predict(X.drop(columns=["job", "age"]))


def test_refuses_rows_of_another_width(saved):
    with pytest.raises(ValueError, match="X has 3 features, but LoadedClassifier is expecting 4"):
        skkd.load(saved).predict(numbers()[:, :3])


def test_refuses_infinite_and_no_rows(saved):
    loaded = skkd.load(saved)
    with pytest.raises(ValueError, match="infinity"):
        loaded.predict(np.full((1, 4), np.inf))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        loaded.predict(np.empty((0, 4)))


def test_missing_numbers_are_refused_if_the_classifier_takes_none(tmp_path):
    clf, X = fitted("no preprocessing")
    for ending in FORMATS:
        clf.export(tmp_path / f"clf{ending}")
        with pytest.raises(ValueError, match="NaN"):
            skkd.load(tmp_path / f"clf{ending}").predict(X * np.nan)


def test_loading_and_predicting_import_no_torch(tmp_path):
    paths = [str(tmp_path / f"clf{ending}") for ending in FORMATS]
    for path in paths:
        fitted("labels from 1")[0].export(path)
    code = (
        "import sys, numpy as np, skkd\n"
        "for path in sys.argv[1:]: skkd.load(path).predict(np.ones((2, 4)))\n"
        "assert not {'torch', 'skorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, *paths], check=True)


# ---- files that are not loaded ---------------------------------------------------------------


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
    from skkd.exporting import npz as npz_format
    from skkd.exporting.content import _digest

    arrays, header = npz_format.read(path.read_bytes())
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, header)
    header["digest"] = _digest(arrays, header)
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


# ---- libraries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "name"),
    [(".onnx", "onnx"), (".onnx", "onnxruntime"), (".safetensors", "safetensors")],
)
def test_a_missing_library_is_named_with_its_extra(ending, name, monkeypatch, tmp_path):
    clf, _ = fitted("labels from 1")
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {name}: pip install 'skkd\[export\]'"):
        clf.export(tmp_path / f"clf{ending}")
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_of_a_library_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers_of_a_library", None)
    with pytest.raises(ModuleNotFoundError):
        __import__("flatbuffers_of_a_library")
    assert library("json", "a test") is json
