"""What files say about the training."""

import json
import pickle
from datetime import UTC, date, datetime, timedelta

import numpy as np
import onnx
import pytest
from exported_cases import FAST, SMALL, codes, fitted, numbers
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import skkd
from skkd import DistilledClassifier, NeuralClassifier
from skkd.exporting.formats import FORMATS

TREE = DecisionTreeClassifier(max_depth=3, random_state=0).fit(numbers(), codes(numbers()))
LINEAR = LogisticRegression(max_iter=1000).fit(numbers(), codes(numbers()))


def of_fit(clf, **arguments):
    return clf.fit(numbers(), codes(numbers()), **arguments).network_.metadata


def taught_by(teacher, **settings):
    settings = {"alpha": 0.5, "augment": None} | settings
    return DistilledClassifier(teacher, **(SMALL | settings))


def test_fit_records_estimator_teacher_and_versions():
    metadata = of_fit(NeuralClassifier(**SMALL))
    assert metadata["estimator"] == "NeuralClassifier"
    assert metadata["versions"]["skkd"] == skkd.__version__
    assert metadata["versions"]["numpy"] == np.__version__
    assert set(metadata) == {"estimator", "trained", "versions"}
    metadata = of_fit(taught_by(FrozenEstimator(TREE)))
    assert metadata["estimator"] == "DistilledClassifier"
    assert metadata["teacher"] == "DecisionTreeClassifier"
    both = of_fit(taught_by([(TREE, 1.0), (LINEAR, 2.0)]))
    assert both["teacher"] == "DecisionTreeClassifier, LogisticRegression"
    assert of_fit(taught_by(lambda X: TREE.predict_proba(X)))["teacher"] == "<lambda>"


def test_a_teacher_that_taught_nothing_is_not_recorded():
    P = TREE.predict_proba(numbers())
    assert "teacher" not in of_fit(taught_by(None), teacher_proba=P)
    assert "teacher" not in of_fit(taught_by(TREE, alpha=0.0))


def test_metrics_on_held_out_rows_are_recorded():
    stopped = taught_by(TREE, early_stopping=True)
    metadata = of_fit(stopped)
    assert metadata["agreement"] == stopped.agreement_
    best = min(record["valid_loss"] for record in stopped.history_)
    assert metadata["held_out_log_loss"] == best

    X = np.random.RandomState(0).standard_normal((400, 2))
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, X[:, 0] > 0)
    selected = taught_by(tree, alpha="auto", learning_rate=0.1).fit(X, X[:, 0] > 0)
    assert len(selected.candidate_losses_) == 2
    loss = selected.network_.metadata["held_out_log_loss"]
    assert loss == selected.held_out_losses_[selected.n_iter_]


def test_the_day_of_the_fit_is_recorded():
    day = of_fit(taught_by(TREE))["trained"]
    assert abs(datetime.now(UTC).date() - date.fromisoformat(day)) <= timedelta(days=1)


def test_an_assistant_is_recorded():
    assert "assistant" not in of_fit(taught_by(TREE))
    taught = taught_by(TREE, assistant=DecisionTreeClassifier(max_depth=1))
    assert of_fit(taught)["assistant"] == "DecisionTreeClassifier"


def test_partial_fit_records_it_too():
    X, y = numbers(), codes(numbers())
    clf = taught_by(TREE).partial_fit(X, y, classes=[0, 1, 2])
    assert clf.network_.metadata["teacher"] == "DecisionTreeClassifier"
    clf = NeuralClassifier(**SMALL).partial_fit(X, y, classes=[0, 1, 2])
    assert clf.network_.metadata["estimator"] == "NeuralClassifier"


def test_two_equal_fits_are_equal():
    one, other = (
        taught_by(TREE).fit(numbers(), codes(numbers())).network_ for _ in range(2)
    )  # fmt: skip
    assert pickle.dumps(one) == pickle.dumps(other)


@pytest.mark.parametrize("ending", FORMATS)
def test_files_hold_it_with_what_is_given(ending, tmp_path):
    clf = taught_by(TREE).fit(numbers(), codes(numbers()))
    given = {"data": "toy", "tests": {"accuracy": 0.5, "passed": [True, None]}}
    for name in "ab":
        clf.student_.export(tmp_path / f"{name}{ending}", metadata=given)
    if ending in (".c", ".h"):  # C code is not loaded
        described = json.loads((tmp_path / "a.json").read_bytes())
        assert described["metadata"] == clf.network_.metadata | given
        return
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    loaded = skkd.load(tmp_path / f"a{ending}")
    assert loaded.metadata == clf.network_.metadata | given
    loaded.metadata["tests"].clear()
    assert loaded.metadata == clf.network_.metadata | given
    assert pickle.loads(pickle.dumps(loaded)).metadata == loaded.metadata


def test_onnx_files_have_a_property_of_it(tmp_path):
    fitted("labels from 1")[0].export(tmp_path / "clf.onnx", metadata={"estimator": "mine"})
    properties = {p.key: p.value for p in onnx.load(tmp_path / "clf.onnx").metadata_props}
    metadata = json.loads(properties["skkd.metadata"])
    assert metadata["estimator"] == "mine"
    assert set(metadata) == {"estimator", "trained", "versions"}


@pytest.mark.parametrize(
    "metadata", ["today", {1: 2}, {"loss": np.nan}, {"X": np.ones(2)}, {"a": (1, 2)}, []]
)
def test_what_json_cannot_hold_is_refused(metadata, tmp_path):
    with pytest.raises(TypeError, match="metadata=.* is not allowed: give a dict of str to str"):
        fitted("labels from 1")[0].export(tmp_path / "clf.npz", metadata=metadata)


def test_what_is_too_long_to_be_loaded_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"metadata has \d+ characters: give at most 1048576\."):
        fitted("labels from 1")[0].export(tmp_path / "clf.npz", metadata={"a": "x" * 2**23})
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_an_old_pickle_has_none(tmp_path):
    network = pickle.loads(pickle.dumps(NeuralClassifier(**FAST).fit(numbers(), codes(numbers()))))
    del vars(network.network_)["metadata"]
    network.export(tmp_path / "clf.npz")
    assert skkd.load(tmp_path / "clf.npz").metadata == {}
