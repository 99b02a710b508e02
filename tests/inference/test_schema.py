"""The schema of a fitted network: columns, categories and classes as plain values."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from skkd import DistilledClassifier, NeuralClassifier
from skkd.inference.network import Network
from skkd.inference.schema import Feature, Schema

SMALL = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}


def fit(X, y=None, **settings):
    return NeuralClassifier(**(SMALL | settings)).fit(X, y or np.arange(len(X)) % 2)


def table():
    X = pd.DataFrame({"size": np.arange(40.0)})
    X["job"] = np.resize(np.array(["cook", "smith", None], dtype=object), 40)
    X["married"] = np.arange(40) % 3 == 0
    return X


def test_describes_the_columns_of_a_table():
    schema = fit(table(), ["no", "yes"] * 20).network_.schema
    assert schema.features == (
        Feature("size"),
        Feature("job", ("cook", "smith", None)),
        Feature("married", (False, True)),
    )
    assert [feature.kind for feature in schema.features] == ["number", "category", "category"]
    assert schema.has_names
    assert schema.allows_missing
    assert schema.dtype == "float64"
    assert schema.classes.tolist() == ["no", "yes"]
    assert schema.categorical == [1, 2]


def test_columns_without_names_are_numbered():
    schema = fit(table().to_numpy(dtype=object)).network_.schema
    assert schema.names == ["column 0", "column 1", "column 2"]
    assert not schema.has_names
    assert fit(np.arange(8.0).reshape(4, 2)).network_.schema.names == ["x0", "x1"]


def test_rows_that_are_not_scaled_have_the_dtype_of_the_network_and_no_gaps():
    schema = fit(np.arange(8.0).reshape(4, 2), preprocessor=None).network_.schema
    assert (schema.dtype, schema.allows_missing, len(schema.features)) == ("float32", False, 2)


def test_rare_categories_share_an_input():
    X = pd.DataFrame({"town": [f"town {i}" for i in range(300)] * 2})
    feature = fit(X).network_.schema.features[0]
    assert feature.others_share_an_input
    assert len(feature.categories) == 255
    assert feature.one_hot(0).n_indicators == 256


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float64, "<U3", object])
def test_is_the_same_after_json(dtype):
    clf = fit(table())
    classes = np.array(["a", "bcd"] if dtype in ("<U3", object) else [0, 1], dtype=dtype)
    schema = clf.network_.described(classes, clf.feature_names_in_).schema
    back = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert back.features == schema.features
    assert back.classes.dtype == classes.dtype
    assert back.classes.tolist() == classes.tolist()
    assert back.to_dict() == schema.to_dict()


def test_is_kept_by_pickles_temperatures_and_students(iris_like_table):
    X, y = iris_like_table
    clf = NeuralClassifier(**SMALL).fit(X, y)
    expected = clf.network_.schema.to_dict()
    assert pickle.loads(pickle.dumps(clf)).network_.schema.to_dict() == expected
    assert clf.network_.at_temperature(3.0).schema.to_dict() == expected
    student = DistilledClassifier(clf, alpha=0.5, augment=None, **SMALL).fit(X, y)
    assert student.network_.schema.to_dict() == expected
    assert student.student_.network_.schema.to_dict() == expected


def test_partial_fit_and_warm_starts_describe_the_network(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(warm_start=True, **SMALL).fit(X, y).fit(X, y)
    assert clf.network_.schema.classes.tolist() == [0, 1, 2]
    clf = NeuralClassifier((4,)).partial_fit(X, y, classes=[0, 1, 2, 3])
    assert clf.network_.schema.classes.tolist() == [0, 1, 2, 3]


def test_networks_without_classes_or_known_columns_have_none(iris_like):
    X, y = iris_like
    network = fit(X).network_
    bare = Network(network.preprocessor, network.architecture, network.state)
    with pytest.raises(ValueError, match="this network has no classes"):
        bare.schema  # noqa: B018
    clf = NeuralClassifier(preprocessor=StandardScaler(), **SMALL).fit(X, y)
    with pytest.raises(ValueError, match="columns of a TransformerPreprocessor are not known"):
        clf.network_.schema  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "dtype"), [({"batch_norm": True}, "float64"), ({"batch_norm": True}, "float32")]
)
def test_a_folded_network_has_the_same_logits(settings, dtype, iris_like):
    X, y = iris_like
    network = NeuralClassifier(**SMALL, **settings).fit(X, y).network_.at_temperature(1.7)
    folded = network.folded(dtype)
    assert not {"batch_norm1.weight", "linear1.scale"} & set(folded.state)
    assert folded.state["output.weight"].dtype == dtype
    difference = np.abs(folded.logits(X) - network.logits(X)).max()
    assert difference == 0 if dtype == "float64" else 0 < difference < 1e-5
    module_logits = folded.module()(torch.tensor(network.preprocessor.transform(X).astype(dtype)))
    assert np.abs(module_logits.detach().numpy() - network.logits(X)).max() < 1e-5
