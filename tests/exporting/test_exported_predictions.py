"""Each format answers like the classifier, for every kind of classifier."""

import copy
import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from exported_cases import (
    CASES,
    N_ROWS,
    SMALL,
    classifier,
    codes,
    fitted,
    labelled,
    mixed,
    numbers,
    table_classifier,
)
from scipy import sparse
from sklearn.preprocessing import StandardScaler

import skkd
from skkd import NeuralClassifier
from skkd.activations import ACTIVATIONS
from skkd.exporting.rows import draw_rows
from skkd.exporting.verify import TOLERANCES

FORMATS = (".onnx", ".npz", ".safetensors", ".skops")

#: Also those whose files are not loaded: their predictions are in test_c.py.
ALL_FORMATS = (*FORMATS, ".c", ".h")


#: .safetensors and .skops hold the arrays and the header of .npz, so activations are tested there.
PAIRS = [
    (case, ending)
    for case in CASES
    for ending in FORMATS
    if ending in (".onnx", ".npz") or case not in ACTIVATIONS
]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("case", "ending"), PAIRS)
def test_a_file_answers_like_its_classifier(case, ending, dtype, tmp_path):
    clf, X = fitted(case)
    path = tmp_path / f"clf{ending}"
    drawn = clf.export(path, dtype=dtype)
    given = skkd.export(clf, path, X=X, dtype=dtype)
    assert max(drawn, given) <= TOLERANCES[dtype]

    loaded, expected = skkd.load(path), clf.predict_proba(X)
    found = loaded.predict_proba(X)
    assert np.abs(found - expected).max() <= TOLERANCES[dtype]
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    second, first = np.sort(expected, axis=1)[:, -2:].T
    is_sure = first - second > TOLERANCES[dtype]
    assert (loaded.predict(X) == clf.predict(X))[is_sure].all()
    assert is_sure.mean() > 0.9
    assert loaded.classes_.dtype == clf.classes_.dtype
    assert loaded.classes_.tolist() == clf.classes_.tolist()
    if ending != ".onnx" and dtype == "float64":
        assert np.array_equal(found, expected)


def preprocessor_of(case):
    return fitted(case)[0].network_.preprocessor


def test_the_cases_have_what_their_names_promise():
    assert preprocessor_of("32-32 with bins").bins is not None
    assert preprocessor_of("mixed table with bins").bins is not None
    assert preprocessor_of("teacher bins").bins is not None
    assert len(preprocessor_of("heavy tails").normal_scores) == 2
    assert preprocessor_of("columns of no width").clips
    assert len(preprocessor_of("standard scaling").of_no_width) == 2
    assert preprocessor_of("rare texts").one_hot[0].rare == 255
    assert preprocessor_of("rare codes").one_hot[0].rare == 255
    assert None in preprocessor_of("gaps in declared categories").one_hot[0].categories
    assert 0.1 < preprocessor_of("fractions declared categories").one_hot[0].categories[1] < 0.11
    assert preprocessor_of("table with booleans").one_hot[0].categories == [False, True]
    assert fitted("batch norm and dropout")[0].network_.architecture["batch_norm"]
    assert fitted("temperature")[0].network_.temperature == 2.5
    assert len(fitted("26 classes")[0].classes_) == 26


# ---- ONNX in another program -----------------------------------------------------------------


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("case", "dtype", "kind"),
    [
        ("text labels", np.float32, "tensor(string)"),
        ("labels from 1", np.float32, "tensor(int64)"),
        ("bool labels", np.float64, "tensor(int64)"),
        ("float labels", np.float32, "tensor(int64)"),
    ],
)
def test_onnx_gives_the_labels_themselves_and_a_tensor_of_probabilities(
    case, dtype, kind, tmp_path
):
    clf, X = fitted(case)
    path = tmp_path / "clf.onnx"
    clf.export(path, dtype=np.dtype(dtype).name)
    session = session_of(path)
    assert [output.name for output in session.get_outputs()] == ["label", "probabilities"]
    assert session.get_outputs()[0].type == kind
    label, probabilities = session.run(None, {"X": X.astype(dtype)})
    assert (label == clf.predict(X)).all()
    assert np.abs(probabilities - clf.predict_proba(X)).max() < 1e-5
    assert probabilities.dtype == dtype


@pytest.mark.parametrize("n_rows", [1, 7, 1000])
def test_the_number_of_rows_of_an_onnx_file_is_free(n_rows, tmp_path):
    clf, X = fitted("labels from 1")
    clf.export(tmp_path / "clf.onnx")
    rows = np.resize(X, (n_rows, X.shape[1]))
    _, probabilities = session_of(tmp_path / "clf.onnx").run(None, {"X": rows.astype(np.float32)})
    assert np.abs(probabilities - clf.predict_proba(rows)).max() < 1e-5


def test_a_mixed_table_has_an_input_for_each_column(tmp_path):
    clf, X = fitted("mixed table")
    clf.export(tmp_path / "clf.onnx")
    session = session_of(tmp_path / "clf.onnx")
    inputs = {given.name: (given.type, given.shape) for given in session.get_inputs()}
    number, text = ("tensor(float)", ["n_rows", 1]), ("tensor(string)", ["n_rows", 1])
    assert inputs == {
        "age": number,
        "label_": number,  # an output has the name "label"
        "year": number,
        "debt": number,
        "job": text,
        "region": text,
        "married": number,
        "grade": number,
    }
    as_text = X["job"].astype(object).where(X["job"].notna(), "<missing>")
    feeds = {n: X[n.rstrip("_")].to_numpy(np.float32) for n in inputs if inputs[n] == number}
    feeds |= {"job": as_text.to_numpy(object), "region": X["region"].to_numpy(object)}
    feeds = {name: column.reshape(-1, 1) for name, column in feeds.items()}
    label, probabilities = session.run(None, feeds)
    assert (label == clf.predict(X)).all()
    assert np.abs(probabilities - clf.predict_proba(X)).max() < 1e-5


def test_what_stands_for_missing_text_is_in_the_metadata(tmp_path):
    clf, _ = fitted("mixed table")
    clf.export(tmp_path / "clf.onnx")
    metadata = session_of(tmp_path / "clf.onnx").get_modelmeta().custom_metadata_map
    features = {feature["name"]: feature for feature in json.loads(metadata["skkd.features"])}
    assert features["job"]["missing"] == "<missing>"  # the empty text is a category
    assert features["region"]["missing"] == ""
    assert features["age"] == {"name": "age", "kind": "number", "input": "age"}
    assert metadata["skkd.classes"] == '["no", "yes"]'


@pytest.mark.parametrize("case", ["labels from 1", "26 classes", "32-32 with bins", "rare codes"])
def test_a_table_of_numbers_needs_no_other_operators_than_those_of_onnx(case, tmp_path):
    fitted(case)[0].export(tmp_path / "clf.onnx")
    model = onnx.load(tmp_path / "clf.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    operators = [node.op_type for node in model.graph.node]
    assert "MatMul" not in operators
    assert operators.count("Gemm") == len(fitted(case)[0].network_.layers)
    assert [given.name for given in model.graph.input] == ["X"]


def test_one_file_is_written_and_nothing_else(tmp_path):
    for ending in FORMATS:
        fitted("labels from 1")[0].export(tmp_path / f"clf{ending}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"clf{e}" for e in FORMATS)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_bytes_of_a_file_depend_on_the_network_alone(ending, tmp_path):
    clf, _ = fitted("mixed table")
    for name in "ab":
        clf.export(tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


# ---- precision -------------------------------------------------------------------------------


def far_from_zero():
    X = numbers(n_features=2) + 1e7
    return classifier(X)


def test_rows_that_float32_cannot_hold_need_float64(tmp_path):
    clf, X = far_from_zero()
    path = tmp_path / "clf.onnx"
    for rows in (X, None):
        with pytest.raises(ValueError, match='give dtype="float64"'):
            clf.export(path, X=rows)
        assert not path.exists()
    assert clf.export(path, X=X, dtype="float64") < 1e-9
    label, probabilities = session_of(path).run(None, {"X": X})
    assert np.abs(probabilities - clf.predict_proba(X)).max() < 1e-9
    assert (label == clf.predict(X)).all()


def test_numbers_that_float32_holds_are_scaled_without_loss(tmp_path):
    X = np.round(numbers(n_features=2)) + 2**23  # the last digit before the point is exact
    clf, _ = classifier(X, numeric_encoding="piecewise_linear")
    assert clf.export(tmp_path / "clf.onnx", X=X) < 1e-6


def test_numbers_beyond_float32_need_float64(tmp_path):
    X = numbers(n_features=2) * 1e200
    clf, _ = classifier(X)
    with pytest.raises(ValueError, match=r'beyond float32.*dtype="float64"'):
        clf.export(tmp_path / "clf.onnx")
    assert clf.export(tmp_path / "clf.onnx", X=X, dtype="float64") < 1e-9


def test_codes_that_float32_does_not_tell_apart_need_float64(tmp_path):
    X = np.column_stack([2**24 + np.arange(N_ROWS) % 3, np.arange(N_ROWS)])
    clf, _ = classifier(X, np.arange(N_ROWS) % 3, categorical_features=[0])
    with pytest.raises(ValueError, match=r"column 'x0' has categories that float32 does not"):
        clf.export(tmp_path / "clf.onnx")
    assert "float32 does not tell apart" in clf.exports_to()[".onnx"]
    assert clf.exports_to(dtype="float64")[".onnx"] is None
    assert clf.export(tmp_path / "clf.onnx", X=X, dtype="float64") < 1e-9
    assert clf.export(tmp_path / "clf.npz", X=X) < 1e-5


@pytest.mark.parametrize("settings", [{}, {"preset": "plain"}])
def test_any_number_in_a_column_that_was_constant_in_fit(settings, tmp_path):
    X = numbers()
    X[:, 1] = 7.5
    clf, _ = classifier(X, **settings)
    clf.export(tmp_path / "clf.onnx")
    rows = np.array([[0, value, 2005, 0] for value in (1e39, -1e39, 1e300)])
    found = skkd.load(tmp_path / "clf.onnx").predict_proba(rows)
    assert np.abs(found - clf.predict_proba(rows)).max() < 1e-5


def test_a_scale_beyond_float32_needs_float64(tmp_path):
    X = numbers()
    X[:, 0] = np.sign(X[:, 0]) * 1e60
    X[0, 0] = 0
    clf, _ = classifier(X, codes(numbers()))
    clf.network_.preprocessor.centre[0] = 0
    with pytest.raises(ValueError, match=r"inverse_scale .*beyond float32.*dtype=\"float64\""):
        clf.export(tmp_path / "clf.onnx", X=X[:1])
    assert clf.export(tmp_path / "clf.onnx", dtype="float64") < 1e-9


def test_drawn_rows_have_the_full_range():
    clf, _ = classifier(numbers() * 1e100)
    rows = draw_rows(clf.network_.preprocessor, clf.network_.schema)
    assert np.nanmax(np.abs(rows)) > 1e104


# ---- what cannot be exported -----------------------------------------------------------------


class Module(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(4, 2))


def of_transformer():
    X = numbers()
    return NeuralClassifier((4,), max_epochs=1, preprocessor=StandardScaler()).fit(X, codes(X))


def of_intervals():
    X = pd.DataFrame({"age": pd.cut(np.arange(40.0), 4), "size": np.arange(40.0)})
    return NeuralClassifier((4,), max_epochs=1).fit(X, np.arange(40) % 2)


@pytest.mark.parametrize("ending", ALL_FORMATS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_transformer, "preprocessor is a transformer of its own"),
        (of_intervals, r"column 'age' has categories of type Interval"),
    ],
)
def test_what_no_file_can_hold_is_refused_by_name(make, reason, ending, tmp_path):
    clf = make()
    with pytest.raises(ValueError, match=rf"cannot be exported to {ending}: {reason}"):
        clf.export(tmp_path / f"clf{ending}")
    assert list(tmp_path.iterdir()) == []
    assert reason.split()[0] in clf.exports_to()[ending]


def test_the_parameters_show_before_fit_what_cannot_be_exported():
    assert set(NeuralClassifier().exports_to().values()) == {None}
    assert "module" in NeuralClassifier(module=Module).exports_to()[".npz"]
    assert NeuralClassifier(module=Module).exports_to()[".onnx"] is None
    assert "transformer" in NeuralClassifier(preprocessor=StandardScaler()).exports_to()[".onnx"]
    assert tuple(NeuralClassifier().exports_to()) == ALL_FORMATS


def of_infinity():
    X = np.column_stack([np.resize([1.0, 2.0, 3.0], 40), np.arange(40.0)])
    clf, _ = classifier(X, np.arange(40) % 2, categorical_features=[0])
    clf.network_.preprocessor.one_hot[0].categories[1] = np.inf
    return clf


def of_infinite_class():
    clf, _ = fitted("labels from 1")
    clf = copy.copy(clf)
    clf.network_ = clf.network_.described(np.array([1.0, 2.0, np.inf]))
    return clf


@pytest.mark.parametrize("ending", ALL_FORMATS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_infinity, "column 'x0' has the category inf, which is not a finite number"),
        (of_infinite_class, "a class is not a finite number"),
    ],
)
def test_infinite_categories_and_classes_are_refused(make, reason, ending, tmp_path):
    clf = make()
    assert reason in clf.exports_to()[ending]
    with pytest.raises(ValueError, match=reason):
        clf.export(tmp_path / f"clf{ending}")


def with_text(category, name):
    jobs = pd.Series(np.resize(np.array(["cook", category], dtype=object), 40), dtype=object)
    columns = pd.Index(["job", name], dtype=object)
    return table_classifier(pd.concat([jobs, pd.Series(np.arange(40.0))], axis=1, keys=columns))[0]


def test_texts_that_utf8_cannot_encode_are_named():
    found = with_text("b\ud800", "size").exports_to()
    assert found[".onnx"] == "column 'job' has a category that UTF-8 cannot encode"
    assert found[".npz"] is None
    found = with_text("b", "\ud800").exports_to()
    assert found[".onnx"] == "UTF-8 cannot encode the name of column '\\ud800'"
    assert labelled(["a", "b\ud800"])[0].exports_to()[".onnx"] == "UTF-8 cannot encode a class"


def test_huge_integers_are_named():
    clf = of_infinity()
    clf.network_.preprocessor.one_hot[0].categories[1] = 10**400
    assert "column 'x0' has categories that float32 does not" in clf.exports_to()[".onnx"]
    clf, _ = labelled(["a", "b"])
    clf.network_ = clf.network_.described(np.array([1, 10**30], dtype=object))
    assert clf.exports_to()[".onnx"] == "labels are int64, and a class is larger"


# ---- rows of other containers ----------------------------------------------------------------


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame])
def test_a_loaded_file_takes_tables_of_any_library(convert, ending, tmp_path):
    clf, X = fitted("mixed table")
    clf.export(tmp_path / f"clf{ending}")
    loaded = skkd.load(tmp_path / f"clf{ending}")
    assert np.abs(loaded.predict_proba(convert(X)) - clf.predict_proba(X)).max() < 1e-5


@pytest.mark.parametrize("ending", FORMATS)
def test_categories_of_another_type_and_unknown_ones_are_read_as_by_the_classifier(
    ending, tmp_path
):
    clf, X = fitted("mixed table")
    clf.export(tmp_path / f"clf{ending}")
    rows = X.assign(married=X["married"].astype(str))
    rows["job"] = np.resize(np.array(["cook", None, "", "pilot", 7], dtype=object), len(X))
    loaded = skkd.load(tmp_path / f"clf{ending}")
    assert np.abs(loaded.predict_proba(rows) - clf.predict_proba(rows)).max() < 1e-5


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_rows_of_numbers_for_columns_of_text_are_read_as_by_the_classifier(
    container, ending, tmp_path
):
    X = pd.DataFrame({"size": np.arange(40.0), "grade": np.resize(["1", "2", "3"], 40)})
    clf = NeuralClassifier(**SMALL).fit(X.to_numpy(dtype=object), np.arange(40) % 2)
    clf.export(tmp_path / f"clf{ending}")
    rows = container(np.column_stack([np.arange(5.0), [1.0, 2.0, 3.0, 4.0, 0.0]]))
    loaded = skkd.load(tmp_path / f"clf{ending}")
    assert np.abs(loaded.predict_proba(rows) - clf.predict_proba(rows)).max() < 1e-5


@pytest.mark.parametrize("ending", FORMATS)
def test_columns_without_a_known_category_are_warned_of(ending, tmp_path):
    clf, X = fitted("mixed table")
    clf.export(tmp_path / f"clf{ending}")
    loaded = skkd.load(tmp_path / f"clf{ending}")
    with pytest.warns(UserWarning, match="no value of column 'region' of X is a category"):
        loaded.predict(X.assign(region="west"))


def test_unknown_columns_of_mixed_tables_have_unique_inputs(tmp_path):
    X = mixed()[["age", "job"]].set_axis(["job_", "job"], axis=1)
    X.insert(0, "probabilities", np.arange(N_ROWS) % 7)
    X.insert(0, "x", X["job"])
    clf = NeuralClassifier(**SMALL).fit(X, codes(numbers()))
    assert clf.export(tmp_path / "clf.onnx", X=X) < 1e-5
    names = [given.name for given in session_of(tmp_path / "clf.onnx").get_inputs()]
    assert names == ["x", "probabilities_", "job_", "job"]
