"""Labels keep the caller's values in every container and type."""

from decimal import Decimal

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import DataConversionWarning
from sklearn.tree import DecisionTreeClassifier

from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.labels import read_labels
from skkd.teachers.members import MemberLabels
from skkd.teachers.out_of_bag import out_of_bag
from skkd.teachers.out_of_fold import out_of_fold
from skkd.teachers.soft_labels import known_classes

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

WORDS, NUMBERS, FLAGS = ["no", "yes"] * 10, [3, 1] * 10, [True, False] * 10
WIDE = [2**53, 2**53 + 1] * 10  # the same number in float64
X = np.column_stack([np.arange(20) % 2, np.arange(20) / 20])
TINY = {"hidden_layer_sizes": (4,), "max_epochs": 20, "learning_rate": 0.1, "random_state": 0}

#: Name to (labels, the kinds of dtype that `classes_` may have).
CONTAINERS = {
    "list of words": (WORDS, "U"),
    "list of ints": (NUMBERS, "i"),
    "list of bools": (FLAGS, "b"),
    "list of wide ints": (WIDE, "i"),
    "list of wide ints and floats": ([2**53 + 1, 0.0] * 10, "i"),
    "tuple": (tuple(WORDS), "U"),
    "words that end in zero": (["a\0", "a"] * 10, "O"),
    "array of words": (np.array(WORDS), "U"),
    "objects, words": (np.array(WORDS, dtype=object), "O"),
    "objects, ints": (np.array(NUMBERS, dtype=object), "i"),
    "objects, wide ints": (np.array(WIDE, dtype=object), "i"),
    "objects, 64 bits": (np.array([2**64 - 1, 0] * 10, dtype=object), "u"),
    "objects, NumPy's ints": (np.array([np.int64(3), np.uint8(1)] * 10, dtype=object), "i"),
    "objects, bools": (np.array(FLAGS, dtype=object), "b"),
    "objects, floats": (np.array([3.0, 1.0] * 10, dtype=object), "f"),
    "objects, decimals": (np.array([Decimal(3), Decimal(1)] * 10), "i"),
    "Series of objects": (pd.Series(NUMBERS, dtype=object), "i"),
    "Int64": (pd.Series(NUMBERS, dtype="Int64"), "i"),
    "Int8 array": (pd.array(NUMBERS, dtype="Int8"), "i"),
    "UInt16": (pd.Series(NUMBERS, dtype="UInt16"), "u"),
    "wide Int64": (pd.Series(WIDE, dtype="Int64"), "i"),
    "boolean": (pd.Series(FLAGS, dtype="boolean"), "b"),
    "Float32": (pd.Series([3.0, 1.0] * 10, dtype="Float32"), "f"),
    "string": (pd.Series(WORDS, dtype="string"), "O"),
    "string[pyarrow]": (pd.Series(WORDS, dtype="string[pyarrow]"), "O"),
    "ArrowDtype words": (pd.Series(WORDS, dtype=pd.ArrowDtype(pa.string())), "O"),
    "int32[pyarrow]": (pd.Series(NUMBERS, dtype="int32[pyarrow]"), "i"),
    "wide int64[pyarrow]": (pd.Series(WIDE, dtype="int64[pyarrow]"), "i"),
    "bool[pyarrow]": (pd.Series(FLAGS, dtype="bool[pyarrow]"), "b"),
    "decimal128[pyarrow]": (
        pd.Series([Decimal(3), Decimal(1)] * 10, dtype=pd.ArrowDtype(pa.decimal128(3))),
        "i",
    ),
    "Categorical of words": (pd.Categorical(WORDS), "O"),
    "categories of ints": (pd.Series(pd.Categorical(NUMBERS)), "i"),
    "categories of bools": (pd.Series(pd.Categorical(FLAGS)), "b"),
    "categories of Int64": (pd.Series(WIDE, dtype="Int64").astype("category"), "i"),
    "ordered categories": (pd.Series(pd.Categorical(WORDS, ["yes", "no"], ordered=True)), "O"),
    "sparse": (pd.Series(pd.arrays.SparseArray(NUMBERS)), "i"),
    "Index": (pd.Index(NUMBERS), "i"),
    "CategoricalIndex": (pd.CategoricalIndex(NUMBERS), "i"),
    "polars ints": (pl.Series(NUMBERS), "i"),
    "polars UInt8": (pl.Series(NUMBERS, dtype=pl.UInt8), "u"),
    "polars wide ints": (pl.Series(WIDE), "i"),
    "polars decimals": (pl.Series(NUMBERS).cast(pl.Decimal(10, 0)), "i"),
    "polars floats": (pl.Series([3.0, 1.0] * 10), "f"),
    "polars words": (pl.Series(WORDS), "UO"),
    "polars bools": (pl.Series(FLAGS), "b"),
    "polars Categorical": (pl.Series(WORDS, dtype=pl.Categorical), "UO"),
    "polars Enum": (pl.Series(WORDS, dtype=pl.Enum(["yes", "no"])), "UO"),
    "polars Object": (pl.Series(WORDS, dtype=pl.Object), "O"),
    "Arrow ints": (pa.array(NUMBERS), "i"),
    "Arrow wide ints": (pa.array(WIDE), "i"),
    "Arrow words": (pa.chunked_array([WORDS]), "O"),
    "Arrow bools": (pa.array(FLAGS), "b"),
    "Arrow dictionary": (pa.array(WORDS).dictionary_encode(), "O"),
    "masked, without a mask": (np.ma.array(NUMBERS), "i"),
}
if hasattr(getattr(np, "dtypes", None), "StringDType"):  # NumPy 2
    CONTAINERS["StringDType"] = (np.array(WORDS, dtype=np.dtypes.StringDType()), "O")
    CONTAINERS["StringDType with gaps"] = (
        np.array(WORDS, dtype=np.dtypes.StringDType(na_object=np.nan)),
        "O",
    )
if hasattr(pl, "Int128"):
    CONTAINERS["polars Int128"] = (pl.Series(NUMBERS, dtype=pl.Int128), "i")

of_every_container = pytest.mark.parametrize(
    ("y", "kinds"), CONTAINERS.values(), ids=list(CONTAINERS)
)


def values_of(y):
    """The caller's values as a list of plain Python values."""
    listed = y.to_pylist() if hasattr(y, "to_pylist") else list(y)
    return [value.item() if isinstance(value, np.generic) else value for value in listed]


def fitted(y, **settings):
    return NeuralClassifier(**TINY | settings).fit(X, y)


@of_every_container
def test_labels_come_back_as_the_callers_values(y, kinds):
    values = values_of(y)
    clf = fitted(y)
    assert clf.classes_.dtype.kind in kinds
    assert clf.classes_.tolist() == sorted(set(values))
    if not isinstance(values[0], Decimal | float):
        assert type(clf.classes_.tolist()[0]) is type(values[0])
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    assert predicted.tolist() == values  # two different rows have different labels
    assert clf.score(X, y) == 1.0


@of_every_container
def test_labels_of_validation_rows_may_have_any_of_these_types(y, kinds):
    clf = fitted(values_of(y), max_epochs=1)
    watched = NeuralClassifier(**TINY | {"max_epochs": 1}).fit(X, y, X_val=X, y_val=y)
    assert watched.history_[0]["valid_accuracy"] == clf.score(X, y)


@of_every_container
def test_classes_of_partial_fit_may_have_any_of_these_types(y, kinds):
    clf = NeuralClassifier(**TINY).partial_fit(X, y, classes=y[:2])
    assert clf.classes_.tolist() == sorted(set(values_of(y)))
    clf.partial_fit(X, y, classes=values_of(y)).partial_fit(X, values_of(y))


@of_every_container
def test_class_weights_are_found_by_the_callers_values(y, kinds):
    first, second = values_of(y)[:2]
    clf = fitted(y, class_weight={first: 1.0, second: 0.0}, max_epochs=2)
    assert set(clf.predict(X).tolist()) == {first}
    other = fitted(values_of(y), class_weight={first: 1.0, second: 0.0}, max_epochs=2)
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))


@of_every_container
@pytest.mark.parametrize("teacher_has_the_type", [False, True])
def test_a_teachers_classes_are_found_among_labels_of_the_type(y, kinds, teacher_has_the_type):
    codes = (np.arange(20) % 2 == 0).astype(int)
    teacher = TeacherOfClasses(y[:2] if teacher_has_the_type else values_of(y)[:2], codes)
    student = DistilledClassifier(teacher, alpha=1.0, augment=None, **TINY).fit(X, y)
    assert student.teacher_balanced_accuracy_ == 1.0
    assert student.predict(X).tolist() == values_of(y)


@of_every_container
def test_a_teacher_is_fitted_on_the_callers_values(y, kinds):
    student = DistilledClassifier(
        DecisionTreeClassifier(), fit_teacher=True, alpha=1.0, augment=None, **TINY
    ).fit(X, y)
    assert student.teacher_.classes_.tolist() == sorted(set(values_of(y)))
    assert student.predict(X).tolist() == values_of(y)


@of_every_container
def test_classes_of_out_of_sample_soft_labels_are_the_callers_values(y, kinds):
    values = values_of(y)
    forest = RandomForestClassifier(20, random_state=0).fit(X, read_labels(y))
    for _, classes in (
        out_of_fold(forest, X, y, seed=0, n_folds=2),
        out_of_bag(forest, X, y),
    ):
        assert classes.tolist() == sorted(set(values))


class TeacherOfClasses:
    """A teacher with given `classes_`."""

    def __init__(self, classes, codes):
        self.classes_, self.codes = classes, codes

    def predict_proba(self, X):
        first = X[:, 0] == 0
        return np.column_stack([first, ~first]) * 0.9 + 0.05


@pytest.mark.parametrize(
    ("own", "of_teacher", "expected"),
    [
        (np.array([1, 2]), np.array([1.0, 2.0, 3.0]), np.array([1, 2, 3])),
        (np.array([1.0, 2.0]), np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0])),
        (np.array([1, 2], dtype=np.int8), [1, 2, 300], np.array([1, 2, 300])),
        (np.array(["a", "b"], dtype=object), np.array(["a", "b", "c"]), ["a", "b", "c"]),
    ],
)
def test_classes_taken_from_a_teacher_get_the_type_of_the_students_labels(
    own, of_teacher, expected
):
    classes = known_classes([MemberLabels(np.ones((1, 3)) / 3, of_teacher)], own)
    assert classes.tolist() == list(expected)
    if isinstance(expected, np.ndarray):
        assert classes.dtype == expected.dtype


def test_a_teachers_classes_of_several_types_are_refused():
    known = np.array([1, 2, "other"], dtype=object)
    with pytest.raises(ValueError, match="classes_ holds labels of several types"):
        known_classes([MemberLabels(np.ones((1, 3)) / 3, known)], np.array([1, 2]))


MIXED = {
    "list": [1, "a"] * 10,
    "tuple": (1, "a") * 10,
    "array": np.array([1, "a"] * 10, dtype=object),
    "Series": pd.Series([1, "a"] * 10),
    "categories": pd.Series([1, "a"] * 10).astype("category"),
    "polars": pl.Series([1, "a"] * 10, dtype=pl.Object),
}


@pytest.mark.parametrize("y", MIXED.values(), ids=list(MIXED))
def test_labels_of_several_types_are_refused_by_the_names_of_the_types(y):
    with pytest.raises(ValueError, match=r"y holds labels of several types, int \(1\) and str"):
        fitted(y)
    clf = fitted(NUMBERS)
    with pytest.raises(ValueError, match="y_val holds labels of several types"):
        clf.fit(X, NUMBERS, X_val=X, y_val=y)
    with pytest.raises(ValueError, match="classes holds labels of several types"):
        NeuralClassifier(**TINY).partial_fit(X, NUMBERS, classes=y)


@pytest.mark.parametrize(("value", "kind"), [(True, "bool"), (0.5, "float"), (b"c", "bytes")])
def test_the_type_that_is_mixed_with_text_is_named(value, kind):
    with pytest.raises(ValueError, match=rf"{kind} \({value!r}\) and str \('a'\)"):
        read_labels([value, "a"])


MISSING = {
    "list": [*WORDS[:-1], None],
    "list with NaN": [*WORDS[:-1], np.nan],
    "Int64": pd.Series([*NUMBERS[:-1], None], dtype="Int64"),
    "boolean": pd.Series([*FLAGS[:-1], None], dtype="boolean"),
    "string": pd.Series([*WORDS[:-1], None], dtype="string"),
    "int64[pyarrow]": pd.Series([*NUMBERS[:-1], None], dtype="int64[pyarrow]"),
    "categories": pd.Series(pd.Categorical([*WORDS[:-1], None])),
    "polars": pl.Series([*NUMBERS[:-1], None]),
    "polars words": pl.Series([*WORDS[:-1], None]),
    "Arrow": pa.array([*FLAGS[:-1], None]),
}


@pytest.mark.parametrize("y", MISSING.values(), ids=list(MISSING))
def test_a_missing_label_is_refused_in_every_container(y):
    with pytest.raises(ValueError, match="Input y contains (NaN|None)"):
        fitted(y)
    with pytest.raises(ValueError, match="Input y_val contains (NaN|None)"):
        NeuralClassifier(**TINY).fit(X, WORDS, X_val=X, y_val=y)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"y": pd.array(WIDE, dtype="Int64")}),
        pl.DataFrame({"y": WIDE}),
        pa.table({"y": WIDE}),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_a_table_of_one_column_is_taken_for_labels_with_a_warning(frame):
    with pytest.warns(DataConversionWarning, match="column-vector"):
        clf = fitted(frame)
    assert clf.classes_.tolist() == WIDE[:2]


def test_integers_beyond_64_bits_are_refused():
    with pytest.raises(ValueError, match=f"y holds the integer {2**70}, beyond 64 bits"):
        fitted([2**70, 1] * 10)


def test_fractions_in_an_object_array_are_continuous():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        fitted(np.linspace(0, 1, 20).astype(object))
