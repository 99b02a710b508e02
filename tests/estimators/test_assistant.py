"""The assistant teaches beside the teacher."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import skkd.presets
from skkd import DistilledClassifier, NeuralClassifier

SMALL = {"hidden_layer_sizes": (4,), "max_epochs": 2, "batch_size": 240, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_classification(240, 5, random_state=0)


@pytest.fixture(scope="module")
def forest(data):
    return RandomForestClassifier(10, max_depth=3, random_state=0).fit(*data)


class Counts(LogisticRegression):
    """It remembers the numbers of rows that its copies were fitted to."""

    n_rows = []

    def fit(self, X, y, sample_weight=None):
        self.n_rows.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Counts, "n_rows", [])
    return Counts.n_rows


@pytest.mark.parametrize("n_teachers", [1, 2])
def test_the_student_is_that_of_teachers_and_assistant_with_half_the_weight(
    data, forest, n_teachers
):
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(*data)
    teacher = forest if n_teachers == 1 else [(forest, 1.0), (tree, 2.0)]
    members = [(forest, 1.0)] if n_teachers == 1 else teacher
    weight = sum(weight for _, weight in members)
    fitted = LogisticRegression().fit(*data)
    by_hand = DistilledClassifier([*members, (fitted, weight)], **SMALL).fit(*data)
    student = DistilledClassifier(teacher, assistant=LogisticRegression(), **SMALL).fit(*data)
    np.testing.assert_array_equal(student.predict_proba(data[0]), by_hand.predict_proba(data[0]))
    assert student.candidate_losses_ == by_hand.candidate_losses_
    if n_teachers == 1:
        assert student.teacher_ is forest
    else:
        assert [member for member, _ in student.teacher_] == [forest, tree]
    np.testing.assert_array_equal(student.assistant_.coef_, fitted.coef_)
    assert student.assistant_seconds_ > 0
    assert student.teacher_balanced_accuracy_ == by_hand.teacher_balanced_accuracy_


def narrow_default(monkeypatch):
    """Make the default network quick to train."""
    for name, value in {"hidden_layer_sizes": (8,), "max_epochs": 2}.items():
        monkeypatch.setitem(skkd.presets.PRESETS["tabular"], name, value)


def test_auto_are_two_default_networks_taught_by_the_teacher_and_by_the_labels(
    data, forest, monkeypatch
):
    narrow_default(monkeypatch)
    how = {"dtype": "float64", "preprocessor": "standard"}
    student = DistilledClassifier(forest, assistant="auto", **SMALL, **how).fit(*data)
    assert [type(one) for one in student.assistant_] == [DistilledClassifier, NeuralClassifier]
    for assistant in student.assistant_:
        assert assistant.hidden_layer_sizes == "auto"
        assert {name: getattr(assistant, name) for name in how} == how
        alone = clone(assistant).fit(*data)
        np.testing.assert_array_equal(
            assistant.predict_proba(data[0]), alone.predict_proba(data[0])
        )
    assert student.assistant_[0].teacher_ is forest
    assert student.teacher_ is forest


@pytest.mark.parametrize(
    ("how", "container", "encoding"),
    [
        ({}, np.asarray, "selective"),
        ({}, sparse.csr_array, "auto"),  # none
        ({"preprocessor": StandardScaler()}, np.asarray, "auto"),  # none
    ],
    ids=["dense", "sparse", "transformer"],
)
def test_the_taught_assistant_of_auto_tries_no_bins_for_all_numbers(
    data, forest, how, container, encoding, monkeypatch
):
    narrow_default(monkeypatch)
    X, y = data
    student = DistilledClassifier(forest, assistant="auto", augment=None, **SMALL, **how)
    taught, _ = student.fit(container(X), y).assistant_
    assert taught.numeric_encoding == encoding


def test_several_assistants_weigh_as_much_as_the_teachers_each(data, forest):
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    student = DistilledClassifier(forest, assistant=[LogisticRegression(), tree], **SMALL).fit(
        *data
    )
    fitted = [clone(one).fit(*data) for one in (LogisticRegression(), tree)]
    by_hand = DistilledClassifier([(one, 1.0) for one in (forest, *fitted)], **SMALL).fit(*data)
    np.testing.assert_array_equal(student.predict_proba(data[0]), by_hand.predict_proba(data[0]))
    assert [type(one) for one in student.assistant_] == [LogisticRegression, DecisionTreeClassifier]


def test_auto_with_fit_teacher_fits_the_teacher_of_the_assistant_too(data, forest, monkeypatch):
    narrow_default(monkeypatch)
    student = DistilledClassifier(
        forest, assistant="auto", fit_teacher=True, augment=None, **SMALL
    ).fit(*data)
    taught, _ = student.assistant_
    assert taught.teacher_ is not forest
    assert taught.fit_teacher


def test_without_an_assistant_there_is_none(data, forest):
    student = DistilledClassifier(forest, **SMALL).fit(*data)
    assert student.assistant_ is None
    assert student.assistant_seconds_ == 0


def test_no_assistant_is_fitted_for_a_student_that_learns_from_the_labels_alone(
    data, forest, counted
):
    student = DistilledClassifier(forest, alpha=0.0, assistant=Counts(), **SMALL).fit(*data)
    assert counted == []
    assert student.assistant_ is None
    assert student.teacher_ is forest


def test_the_classifier_that_was_given_stays_unfitted_and_the_student_has_no_reference(
    data, forest
):
    given = LogisticRegression()
    student = DistilledClassifier(forest, assistant=given, **SMALL).fit(*data)
    assert not hasattr(given, "coef_")
    assert b"linear_model" not in pickle.dumps(student.student_)
    assert clone(student).assistant is not given


def test_a_search_fits_the_assistant_once_for_each_set_of_rows(data, forest, counted):
    search = GridSearchCV(
        DistilledClassifier(forest, assistant=Counts(), augment=None, **SMALL),
        {"temperature": [1.0, 2.0], "alpha": [0.5, 1.0]},
        cv=2,
    ).fit(*data)
    assert sorted(counted) == [120, 120, 240]
    assert search.best_estimator_.assistant_.n_rows is counted


def test_parameters_of_the_assistant_can_be_searched(data, forest):
    student = DistilledClassifier(forest, assistant=LogisticRegression(), augment=None, **SMALL)
    search = GridSearchCV(student, {"assistant__C": [0.1, 1.0]}, cv=2).fit(*data)
    assert search.best_estimator_.assistant_.C in (0.1, 1.0)


def test_with_fit_teacher_no_assistant_has_seen_the_held_out_rows(data, forest, counted):
    student = DistilledClassifier(
        forest, assistant=Counts(), fit_teacher=True, augment=None, **SMALL
    ).fit(*data)
    assert sorted(counted) == [216, 216, 216, 240]  # three folds, and all rows
    assert type(student.teacher_) is RandomForestClassifier
    assert student.teacher_ is not forest
    assert type(student.assistant_) is Counts


def test_sample_weights_reach_the_assistant(data, forest):
    weights = np.r_[np.ones(120), np.full(120, 3.0)]
    how = {"assistant": LogisticRegression(), "augment": None, **SMALL}
    student = DistilledClassifier(forest, **how).fit(*data, sample_weight=weights)
    expected = LogisticRegression().fit(*data, sample_weight=weights)
    np.testing.assert_array_equal(student.assistant_.coef_, expected.coef_)


def test_warnings_and_errors_of_fitting_an_assistant_name_it(data, forest):
    X, y = data
    student = DistilledClassifier(forest, assistant=KNeighborsClassifier(), **SMALL)
    with pytest.warns(UserWarning, match="assistant, a KNeighborsClassifier, takes no sample_w"):
        student.fit(X, y, sample_weight=1.0 + y)
    student.set_params(assistant__n_neighbors=0)
    with pytest.raises(ValueError, match="n_neighbors") as raised:
        student.fit(X, y)
    assert "Raised by fit of assistant, a KNeighborsClassifier." in raised.value.__notes__


@pytest.mark.filterwarnings("ignore:on held-out rows the network is no better")
@pytest.mark.parametrize("own", [None, "balanced"])
def test_the_assistant_has_class_weights_if_the_teacher_has(data, own, monkeypatch):
    narrow_default(monkeypatch)
    X, y = data
    y = np.where(np.arange(len(y)) % 4, 0, y)
    tree = DecisionTreeClassifier(max_depth=2, class_weight=own, random_state=0).fit(X, y)
    weights = {0: 1.0, 1: 4.0}
    student = DistilledClassifier(
        tree, assistant="auto", augment=None, class_weight=weights, **SMALL
    ).fit(X, y)
    assert [one.class_weight for one in student.assistant_] == 2 * [weights if own else None]


def test_a_table_with_text_reaches_the_assistant_as_it_is(data):
    X, y = data
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(c=np.where(X[:, 2] > 0, "x", "y"))
    frame.loc[::7, "a"] = np.nan
    labels = np.array(["no", "yes"])[y]
    teacher = NeuralClassifier((8,), max_epochs=2, random_state=0).fit(frame, labels)
    student = DistilledClassifier(
        teacher, assistant=NeuralClassifier((16,), max_epochs=2), **SMALL
    ).fit(frame, labels)
    assert set(student.predict(frame)) <= {"no", "yes"}
    assert student.assistant_.feature_names_in_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"assistant": "wide"}, TypeError, "assistant='wide' .* 'auto'"),
        ({"assistant": LogisticRegression}, TypeError, "assistant"),
        ({"assistant": 3}, TypeError, "assistant=3"),
        ({"assistant": []}, TypeError, r"assistant=\[\]"),
        ({"assistant": [LogisticRegression(), "auto"]}, TypeError, "a list of them"),
        ({"assistant": "auto", "soft_labels": "out_of_bag"}, ValueError, "only forests have"),
        ({"assistant": "auto", "soft_labels": "out_of_fold"}, ValueError, "frozen teacher"),
        ({"assistant": LinearRegression()}, TypeError, r"assistant=LinearRegression\(\)"),
    ],
)
def test_what_is_no_assistant_is_refused(data, forest, how, error, message):
    with pytest.raises(error, match=message):
        DistilledClassifier(forest, **how, **SMALL).fit(*data)


def test_an_assistant_without_a_teacher_is_refused(data, forest):
    student = DistilledClassifier(assistant="auto", **SMALL)
    with pytest.raises(ValueError, match="assistant='auto' .* beside a teacher"):
        student.fit(*data, teacher_proba=forest.predict_proba(data[0]))
    with pytest.raises(ValueError, match="teacher=None"):
        student.fit(*data)
    assert not hasattr(DistilledClassifier(forest, assistant="auto"), "partial_fit")


def test_a_teacher_that_is_not_fitted_is_refused_before_the_assistant_is_fitted(data, counted):
    with pytest.raises(ValueError, match="teacher is not fitted"):
        DistilledClassifier(RandomForestClassifier(), assistant=Counts(), **SMALL).fit(*data)
    assert counted == []


def test_the_bars_of_the_assistant_say_so(data, forest, capsys):
    assistant = NeuralClassifier((4,), max_epochs=2, verbose=1, random_state=0)
    DistilledClassifier(forest, assistant=assistant, verbose=1, **SMALL).fit(*data)
    shown = capsys.readouterr().err
    assert "assistant: " in shown
    assert "selected" in shown
