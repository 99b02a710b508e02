"""The answers of teachers become arrays in the order of the classes, or are refused."""

from unittest.mock import MagicMock, Mock

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.fixes import parse_version

from skkd import DistilledClassifier
from skkd.teachers.predict_proba import ask, ask_members

X, codes = load_iris(return_X_y=True)
NAMES = np.array(["a", "b", "c"])
Y = NAMES[codes]
TEACHER = LogisticRegression(max_iter=1000).fit(X, Y)
FOREST = RandomForestClassifier(5, random_state=0).fit(X, Y)
P = TEACHER.predict_proba(X)
TAUGHT = {"hidden_layer_sizes": (4,), "max_epochs": 1, "alpha": 0.5, "augment": None}

FRAMES = {
    "pandas": lambda p, names: pd.DataFrame(p, columns=names),
    "polars": lambda p, names: pl.DataFrame(dict(zip(map(str, names), p.T, strict=True))),
    "pyarrow": lambda p, names: pa.table(dict(zip(map(str, names), p.T, strict=True))),
}

IS_1_7 = parse_version(sklearn.__version__) >= parse_version("1.7")


def type_name(one):
    """An id that is the same in each process."""
    return type(one).__name__


class Framed:
    """Gives tables whose columns are in the order of `names`."""

    def __init__(self, kind, names, classes=NAMES, order=None):
        self.kind, self.names, self.classes_ = FRAMES[kind], names, classes
        self.order = order

    def _framed(self, p):
        order = self.order
        if order is None:
            order = [list(map(str, self.classes_)).index(str(name)) for name in self.names]
        return self.kind(p[:, order], self.names)

    def predict_proba(self, X):
        return self._framed(TEACHER.predict_proba(X))


class FramedScores(Framed):
    predict_proba = property()

    def decision_function(self, X):
        return self._framed(TEACHER.decision_function(X))


@pytest.mark.parametrize("batch_size", [None, 40])
@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("Teacher", [Framed, FramedScores])
def test_named_columns_in_another_order_than_the_classes_are_sorted_by_name(
    Teacher, kind, batch_size
):
    teacher = Teacher(kind, ["c", "a", "b"])
    p, classes = ask(teacher, X, batch_size=batch_size)
    assert classes.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(p, P, rtol=1e-12)


@pytest.mark.parametrize("kind", FRAMES)
def test_named_columns_of_a_list_of_teachers_are_sorted_by_name(kind):
    others = Framed(kind, ["b", "a", "c"])
    for labels_of_one in ask_members([(TEACHER, 1), (others, 1), (others.predict_proba, 1)], X):
        position = [list(labels_of_one.classes).index(name) for name in NAMES]
        np.testing.assert_allclose(labels_of_one.probabilities[:, position], P, rtol=1e-12)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_table_whose_names_are_the_labels_as_text_is_sorted_by_them(kind):
    teacher = Framed(kind, ["2", "0", "1"], classes=np.array([0, 1, 2]))
    np.testing.assert_allclose(ask(teacher, X)[0], P, rtol=1e-12)


@pytest.mark.parametrize("names", [range(3), ["column_0", "column_1", "column_2"]])
def test_columns_with_default_names_are_in_the_order_of_the_classes(names):
    teacher = Framed("pandas", names, order=[0, 1, 2])
    np.testing.assert_allclose(ask(teacher, X)[0], P, rtol=1e-12)


@pytest.mark.parametrize(
    "names", [["a", "b", "d"], ["a", "b", "b"], ["p_a", "p_b", "p_c"], ["A", "B", "C"], [3, 1, 2]]
)
@pytest.mark.parametrize("Teacher", [Framed, FramedScores])
def test_names_that_are_not_those_of_the_classes_are_refused(Teacher, names):
    teacher = Teacher("pandas", names, order=[0, 1, 2])
    with pytest.raises(ValueError, match=r"teacher gives columns named .* its classes are \['a'"):
        ask(teacher, X)


@pytest.mark.parametrize("kind", FRAMES)
def test_named_columns_give_the_same_student_as_columns_in_order(kind):
    settings = TAUGHT | {"random_state": 0}
    student = DistilledClassifier(Framed(kind, ["c", "b", "a"]), **settings).fit(X, Y)
    expected = DistilledClassifier(TEACHER, **settings).fit(X, Y)
    np.testing.assert_array_equal(student.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("kind", FRAMES)
def test_the_columns_of_a_function_are_sorted_by_name_in_each_batch(kind):
    def teacher(rows):
        order = [2, 1, 0] if rows[0, 0] == X[0, 0] else [1, 0, 2]
        return FRAMES[kind](TEACHER.predict_proba(rows)[:, order], NAMES[order])

    p, classes = ask(teacher, X, batch_size=75)
    assert list(classes) == ["c", "b", "a"]
    np.testing.assert_allclose(p[:, ::-1], P, rtol=1e-12)


def test_a_function_with_other_columns_in_a_later_batch_is_refused():
    def teacher(rows):
        names = NAMES if rows[0, 0] == X[0, 0] else ["a", "b", "d"]
        return pd.DataFrame(TEACHER.predict_proba(rows), columns=names)

    with pytest.raises(ValueError, match="teacher gives columns named"):
        ask(teacher, X, batch_size=75)


@pytest.mark.parametrize("Series", [pd.Series, pl.Series, list])
def test_scores_of_two_classes_may_be_a_series(Series):
    two = codes < 2
    model = LogisticRegression().fit(X[two], Y[two])

    class Scores:
        classes_ = pd.Index(["a", "b"])

        def decision_function(self, X):
            return Series(model.decision_function(X).tolist())

    p, classes = ask(Scores(), X[two])
    assert list(classes) == ["a", "b"]
    np.testing.assert_allclose(p, model.predict_proba(X[two]))


class AnswersAll:
    """Has attributes of any name: functions that return None."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class IsAll:
    """Has attributes of any name: each is the object itself."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


@pytest.mark.parametrize("batch_size", [None, 40])
@pytest.mark.parametrize("way", ["function", "predict_proba", "decision_function"])
@pytest.mark.parametrize(
    ("answer", "received"),
    [
        (None, "None"),
        (0.5, "a float"),
        (np.float64(0.5), "a float64"),
        (np.array(0.5), r"shape \(\)"),
        (P[None], r"shape \(1, 150, 3\)"),
    ],
)
def test_an_answer_that_is_no_table_of_numbers_is_refused(answer, received, way, batch_size):
    class Teacher:
        classes_ = NAMES

    setattr(Teacher, way, lambda self, X: answer)
    teacher = Teacher() if way != "function" else lambda X: answer
    message = f"must give one probability per row and class, .*; it gave {received}"
    with pytest.raises(ValueError, match=message):
        ask(teacher, X, batch_size=batch_size)


@pytest.mark.parametrize("answer", [[], P[0], MagicMock()], ids=type_name)
def test_an_answer_of_one_dimension_is_refused(answer):
    with pytest.raises(ValueError, match=r"it gave shape \(\d,\)"):
        ask(lambda X: answer, X)


@pytest.mark.parametrize("answer", ["a", {"a": 1}, {0.5}, (p for p in P), [[0.5, 0.5], [1.0]]])
def test_an_answer_that_holds_no_numbers_is_refused(answer):
    with pytest.raises(ValueError, match="teacher must give numbers, one per row and class"):
        ask(lambda X: answer, X)


def test_answers_of_unequal_widths_are_refused():
    with pytest.raises(ValueError, match="teacher gives 2 columns for some rows and 3 for others"):
        ask(lambda rows: P[:40, :2] if rows[0, 0] == X[0, 0] else P[:40, :3], X[:80], batch_size=40)


def test_a_batch_with_a_row_too_many_is_refused_though_the_next_has_one_too_few():
    counts = iter([41, 39])
    with pytest.raises(ValueError, match="gives 41 rows for the 40 rows"):
        ask(lambda rows: P[: next(counts)], X[:80], batch_size=40)


@pytest.mark.parametrize(
    "classes",
    [
        lambda: NAMES,
        {0: "a", 1: "b", 2: "c"},
        {"a", "b", "c"},
        "abc",
        3,
        np.array(3),
        [NAMES, NAMES],
        [NAMES[:2], NAMES],
        NAMES[:, None],
        MagicMock(),
        IsAll(),
    ],
    ids=type_name,
)
@pytest.mark.parametrize("way", ["predict_proba", "decision_function"])
def test_classes_that_are_no_array_of_labels_are_refused(way, classes):
    class Teacher:
        def __init__(self):
            self.classes_ = classes

    setattr(Teacher, way, lambda self, X: P)
    with pytest.raises(ValueError, match=r"(?s)teacher.classes_=.* is not allowed: give an array"):
        ask(Teacher(), X)


def test_classes_that_are_none_are_those_of_y():
    class Teacher:
        classes_ = None

        def predict_proba(self, X):
            return P

    assert ask(Teacher(), X)[1] is None


@pytest.mark.parametrize("classes", [{}, {"classes_": None}])
def test_scores_without_classes_are_refused(classes):
    Teacher = type("Teacher", (), classes | {"decision_function": lambda self, X: P})
    with pytest.raises(ValueError, match="decision_function and no classes_"):
        ask(Teacher(), X)


@pytest.mark.parametrize(
    "settings", [{}, {"fit_teacher": True}, {"soft_labels": "out_of_bag"}], ids=str
)
@pytest.mark.parametrize("teacher", [MagicMock(), Mock(), AnswersAll(), IsAll()], ids=type_name)
def test_an_object_with_attributes_of_any_name_is_refused_as_a_teacher(teacher, settings):
    # Before scikit-learn 1.7 such an object passes for one that was not fitted.
    refused = r"teacher\S*=<.*> is not allowed: give" if IS_1_7 else "is not (allowed: give|fitted)"
    with pytest.raises(ValueError, match=refused):
        DistilledClassifier(teacher, **TAUGHT | settings).fit(X, Y)
    members = [(FOREST, 1), (teacher, 1)]
    with pytest.raises(ValueError, match=refused):
        DistilledClassifier(members, **TAUGHT | settings).fit(X, Y)
