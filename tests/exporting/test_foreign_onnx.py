"""ONNX files of other programs: those that are understood predict, the others are refused."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import onnx_files as made
import pandas as pd
import pytest
from onnx import TensorProto, helper
from onnx_files import MADE, ML, info, linear_node, model, node, table
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score

import skkd
from skkd.exporting.onnx import foreign_check as onnx_foreign_check

ROWS = np.random.RandomState(0).standard_normal((40, 2))


def loaded(model, tmp_path):
    (tmp_path / "clf.onnx").write_bytes(model.SerializeToString())
    return skkd.load(tmp_path / "clf.onnx")


@pytest.mark.parametrize("case", MADE)
def test_it_answers_by_its_formula(case, tmp_path):
    make, answers = MADE[case]
    clf, expected = loaded(make(), tmp_path), answers(ROWS)
    found = clf.predict_proba(ROWS)
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    assert clf.classes_.tolist() == ([3, 5, 9] if case == "forest" else ["ham", "jam", "spam"])
    assert clf.predict(ROWS).tolist() == clf.classes_[expected.argmax(axis=1)].tolist()
    assert clf.predict(ROWS).dtype == clf.classes_.dtype
    assert clf.n_features_in_ == 2
    assert not hasattr(clf, "feature_names_in_")


@pytest.mark.parametrize("case", MADE)
def test_it_serves_as_a_classifier_and_as_a_teacher(case, tmp_path):
    clf = loaded(MADE[case][0](), tmp_path)
    y = clf.predict(ROWS)
    assert is_classifier(clf)
    assert cross_val_score(FrozenEstimator(clf), ROWS, y, cv=2).tolist() == [1, 1]
    assert np.array_equal(pickle.loads(pickle.dumps(clf)).predict(ROWS), y)
    settings = {"hidden_layer_sizes": (4,), "max_epochs": 2, "alpha": 0.5, "random_state": 0}
    student = skkd.DistilledClassifier(clf, on_class_mismatch="teacher", **settings)
    student = clone(student).fit(ROWS, y)
    assert student.teacher_balanced_accuracy_ == 1
    assert student.classes_.tolist() == clf.classes_.tolist()


PEOPLE = pd.DataFrame(
    {"age": [20.0, 70.0, 40.0], "n": [1, 0, 3], "job": ["cook", "smith", "unknown"]}
)


def test_inputs_of_one_column_are_the_columns_of_a_table(tmp_path):
    clf = loaded(made.mixed(), tmp_path)
    assert clf.feature_names_in_.tolist() == ["age", "n", "job"]
    turned = PEOPLE[["job", "age", "n"]].assign(more=1)
    for rows in (PEOPLE, turned):
        assert np.abs(clf.predict_proba(rows) - made.mixed_answers(PEOPLE)).max() < 1e-6
    with pytest.raises(ValueError, match=r"X lacks the columns \['n', 'job'\]"):
        clf.predict(PEOPLE[["age"]])


def test_values_that_an_input_does_not_take_are_refused(tmp_path):
    clf = loaded(made.mixed(), tmp_path)
    with pytest.raises(ValueError, match="column 'n' must hold int64"):
        clf.predict(PEOPLE.assign(n=0.5))
    with pytest.raises(ValueError, match="column 'n' must hold int64"):
        clf.predict(PEOPLE.assign(n=[1, None, 3]))
    with pytest.raises(ValueError, match="column 'job' must be text"):
        clf.predict(PEOPLE.assign(job=["cook", None, "cook"]))
    with pytest.raises(ValueError, match="no probabilities"):
        clf.predict_proba(PEOPLE.assign(age=np.nan))


def test_metadata_is_that_of_the_file(tmp_path):
    made_by = made.linear()
    helper.set_model_props(made_by, {"author": "Ada"})
    assert loaded(made_by, tmp_path).metadata == {"author": "Ada"}


def test_labels_behind_an_encoder_are_found(tmp_path):
    nodes = [
        linear_node(label="k", classlabels_ints=[0, 1, 2]),
        node(
            *("LabelEncoder", ["k"], ["label"]),
            domain=ML,
            keys_int64s=[2, 1, 0],
            values_strings=["c", "b", "a"],
        ),
    ]
    clf = loaded(model(nodes, [table()]), tmp_path)
    assert clf.classes_.tolist() == ["a", "b", "c"]
    expected = clf.classes_[made.linear_answers(ROWS).argmax(axis=1)]
    assert clf.predict(ROWS).tolist() == expected.tolist()


def refused(model, tmp_path, reason):
    with pytest.raises(ValueError, match=rf"(?s)cannot be loaded: it is damaged.*{reason}"):
        loaded(model, tmp_path)


@pytest.mark.parametrize("name", ["producer", "graph", "metadata"])
def test_a_file_that_names_skkd_and_has_no_digest_is_refused(name, tmp_path):
    named = made.linear()
    if name == "producer":
        named.producer_name = "skkd"
    elif name == "graph":
        named.graph.name = "skkd"
    else:
        helper.set_model_props(named, {"skkd.header": "{}"})
    refused(named, tmp_path, "has no digest")


def linear_and(*nodes, given="X", inputs=None, **others):
    """The linear classifier of a value that nodes compute."""
    return model([*nodes, linear_node(given)], inputs or [table()], **others)


def doublings(n):
    names = ["X", *(f"wide{i}" for i in range(n))]
    return [node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)]


def with_function():
    changed = made.linear()
    changed.functions.add(name="f", domain="own")
    return changed


def with_data_elsewhere():
    changed = made.network()
    tensor = changed.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return changed


def with_size(dims):
    changed = made.network()
    changed.graph.initializer[0].dims[:] = dims
    return changed


SCORES = info("probabilities", TensorProto.FLOAT, [None, 3])
LONG = np.array([2**40, 2], dtype=np.int64)
POSITIONS = np.array([0, 2], dtype=np.int64)
BRANCH = helper.make_graph([node("Identity", ["X"], ["y"])], "b", [], [table(name="y")])

REFUSED = {
    "control flow": (
        linear_and(node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH)),
        "operator 'If' of '' is not allowed",
    ),
    "an operator of its own": (
        linear_and(node("Add", ["X", "X"], ["y"], domain="own")),
        "operator 'Add' of 'own' is not allowed",
    ),
    "functions": (with_function(), "has functions"),
    "data in another file": (with_data_elsewhere(), "is in another file"),
    "a negative size": (with_size([-1, 2]), "has shape"),
    "an enormous size": (with_size([2**40]), "values"),
    "a size that is computed": (
        linear_and(node("Expand", ["X", "long"], ["y"]), constants={"long": LONG}),
        "operator 'Expand' of '' is not allowed",
    ),
    "too many columns": (linear_and(*doublings(40)), "has shape"),
    "too many numbers": (linear_and(*doublings(20)), "a row takes .* numbers"),
    "rows times rows": (
        linear_and(
            node("Transpose", ["X"], ["t"]),
            node("Gather", ["X", "first"], ["a"], axis=1),
            node("Gather", ["t", "first"], ["b"], axis=0),
            node("Add", ["a", "b"], ["square"]),
            constants={"first": POSITIONS[:1]},
        ),
        r"'square' has shape \(-1, -1\)",
    ),
    "joined rows": (linear_and(node("Concat", ["X", "X"], ["y"], axis=0)), "do not fit together"),
    "summed rows": (
        linear_and(
            node("ReduceSum", ["X", "first"], ["y"]), constants={"first": POSITIONS[:1]}
        ),
        "joins rows",
    ),
    "columns that are not there": (
        linear_and(node("Gather", ["X", "p"], ["y"], axis=1), constants={"p": POSITIONS}),
        "not there",
    ),
    "positions that are not counted": (
        model(
            [
                linear_node(label="other"),
                node("Cast", ["X"], ["k"], to=TensorProto.INT64),
                node("ArrayFeatureExtractor", ["p", "k"], ["label"], domain=ML),
            ],
            [table()],
            constants={"p": POSITIONS},
        ),
        "that ArgMax has not computed",
    ),
    "another number of coefficients": (linear_and(inputs=[table(3)]), "number of coefficients"),
    "an input of unknown width": (
        linear_and(inputs=[info("X", TensorProto.FLOAT, [None, None])]),
        "no table of a known number of columns",
    ),
    "one row alone": (
        linear_and(inputs=[info("X", TensorProto.FLOAT, [1, 2])]),
        "takes 1 rows alone",
    ),
    "two tables": (
        linear_and(inputs=[table(), table(name="Z")]),
        "several inputs, of which one has several columns",
    ),
    "other outputs": (
        model(
            [linear_node(label="y")],
            [table()],
            [info("y", TensorProto.STRING, [None]), SCORES],
        ),
        "its outputs are",
    ),
    "no classes": (
        model(
            [linear_node(label="y"), node("Cast", ["first"], ["label"], to=TensorProto.STRING),
             node("ReduceMax", ["X"], ["first"], axes=[1], keepdims=0)][::-1],
            [table()],
        ),
        "does not say which class",
    ),
    "the same class twice": (
        model(
            [linear_node(classlabels_strings=["a", "a", "b"])], [table()]
        ),
        "at least two different",
    ),
    "maps of other classes": (
        model(
            [
                linear_node(scores="p", label="output_label"),
                node(
                    *("ZipMap", ["p"], ["output_probability"]),
                    domain=ML,
                    classlabels_strings=["ham", "spam", "jam"],
                ),
            ],
            [table()],
            [info("output_label", TensorProto.STRING, [None]), made.maps()],
        ),
        "different classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_or_not_bounded_is_refused(case, tmp_path):
    wrong, reason = REFUSED[case]
    refused(wrong, tmp_path, reason)


CHAIN = 1200

WRONG_TREES = {
    "a circle": ({"nodes_truenodeids": [0, 0, 0] * 2}, "are no trees"),
    "a node with two parents": ({"nodes_truenodeids": [2, 0, 0] * 2}, "are no trees"),
    "a node that is not there": ({"nodes_truenodeids": [7, 0, 0] * 2}, "not there"),
    "a negative number": ({"nodes_truenodeids": [-1, 0, 0] * 2}, "negative"),
    "the same number twice": ({"nodes_nodeids": [0, 1, 1, 0, 1, 2]}, "the same number"),
    "a column that is not there": ({"nodes_featureids": [0, 0, 0, 2, 0, 0]}, "beyond the 2"),
    "a class that is not there": ({"class_ids": [0, 1, 0, 0, 3]}, "beyond the 3"),
    "weights of a branch": ({"class_nodeids": [0, 2, 1, 2, 2]}, "no leaf"),
    "too few thresholds": ({"nodes_values": [0.0] * 5}, "lack some"),
    "too few weights": ({"class_weights": [0.5] * 4}, "lack some"),
    "another mode": ({"nodes_modes": ["BRANCH", "LEAF", "LEAF"] * 2}, "another mode"),
    "base values of other classes": ({"base_values": [0.0] * 2}, "base values"),
    "a tree in two parts": (
        {
            "nodes_treeids": [0, 1, 0, 0, 1, 1],
            "nodes_nodeids": [0, 0, 1, 2, 1, 2],
            "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", *["LEAF"] * 4],
            "nodes_truenodeids": [1, 1, 0, 0, 0, 0],
            "nodes_falsenodeids": [2, 2, 0, 0, 0, 0],
        },
        "are no trees",
    ),
    "a chain": (
        {
            "nodes_treeids": [0] * (2 * CHAIN + 1),
            "nodes_nodeids": list(range(2 * CHAIN + 1)),
            "nodes_featureids": [0] * (2 * CHAIN + 1),
            "nodes_values": [0.0] * (2 * CHAIN + 1),
            "nodes_modes": [*["BRANCH_LEQ", "LEAF"] * CHAIN, "LEAF"],
            "nodes_truenodeids": [i + 1 for i in range(2 * CHAIN + 1)],
            "nodes_falsenodeids": [i + 2 for i in range(2 * CHAIN + 1)],
            "class_treeids": [0],
            "class_nodeids": [1],
            "class_ids": [0],
            "class_weights": [1.0],
        },
        "depth of at most 1000",
    ),
}


@pytest.mark.parametrize("case", WRONG_TREES)
def test_nodes_that_are_no_trees_are_refused(case, tmp_path):
    changed, reason = WRONG_TREES[case]
    refused(made.forest(**changed), tmp_path, reason)


def test_more_nodes_than_allowed_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_foreign_check, "MOST_NODES", 3)
    refused(made.linear_with_maps(), tmp_path, "4 nodes")


def test_a_label_that_is_no_class_is_an_error(tmp_path):
    clf = loaded(made.linear(), tmp_path)
    schema = replace(clf.schema, classes=np.array(["a", "b", "c"]))
    clf.runner = replace(clf.runner, schema=schema)
    with pytest.raises(ValueError, match="a label that is none of its classes"):
        clf.predict(ROWS)
