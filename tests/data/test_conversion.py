"""Rows of another container are converted to that of the table without changing a value."""

import datetime
import warnings

import numpy as np
import pytest
from scipy import sparse

from skkd.data.containers import container_of
from skkd.data.conversion import in_container_of

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

CONTENT = {
    "float": [1.5, 2.5, None],
    "integer": [1, 2, 3],
    "flag": [True, False, True],
    "string": ["a", None, "b"],
    "day": [datetime.datetime(2020, 1, 1), None, datetime.datetime(2021, 5, 5)],
}


def pandas_frame():
    frame = pd.DataFrame(CONTENT).astype({"float": "float32"})
    frame["category"] = pd.Categorical(frame["string"], ["c", "a", "b"], ordered=True)
    frame["integer with gaps"] = pd.array([1, None, 3], dtype="Int64")
    frame["flag with gaps"] = pd.array([True, None, False], dtype="boolean")
    frame["strings"] = frame["string"].astype("string")
    frame["sparse"] = pd.arrays.SparseArray([0.0, 0.0, 2.0])
    frame["objects"] = np.array([3, "x", None], dtype=object)
    frame.index = [7, 3, 5]
    return frame


def polars_frame():
    return pl.DataFrame(CONTENT).with_columns(
        pl.col("string").cast(pl.Categorical).alias("category"),
        pl.col("string").cast(pl.Enum(["b", "a"])).alias("enum"),
        pl.col("integer").cast(pl.Int8).alias("small"),
    )


def arrow_table():
    table = pa.table(CONTENT)
    return table.append_column("category", table["string"].dictionary_encode())


def values_of(column):
    values = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
    return [
        None if value is pd.NA or value is pd.NaT or value != value else value for value in values
    ]


def same_values(one, other):
    return all(
        values_of(one.iloc[:, j] if hasattr(one, "iloc") else one[name])
        == values_of(other.iloc[:, j] if hasattr(other, "iloc") else other[name])
        for j, name in enumerate(getattr(one, "column_names", None) or one.columns)
    )


def list_of(frame):
    return [list(row) for row in zip(*(values_of(frame[name]) for name in frame), strict=True)]


@pytest.mark.parametrize("made", [list_of, lambda frame: np.array(list_of(frame), dtype=object)])
def test_values_become_a_pandas_frame_with_the_types_of_the_table(made):
    frame = pandas_frame()
    rows = in_container_of(frame, made(frame))
    pd.testing.assert_frame_equal(rows, frame.reset_index(drop=True))


@pytest.mark.parametrize("other", [polars_frame, arrow_table])
def test_a_frame_of_another_library_becomes_a_pandas_frame(other):
    X = pd.DataFrame(CONTENT).astype({"float": "float32"})
    X["category"] = pd.Categorical(X["string"])
    rows = other().select(list(X.columns))
    converted = in_container_of(X, rows)
    pd.testing.assert_frame_equal(converted, X)


@pytest.mark.parametrize("make", [polars_frame, arrow_table])
def test_values_and_pandas_frames_become_frames_of_polars_and_pyarrow(make):
    X = make()
    names = getattr(X, "column_names", None) or X.columns
    plain = [list(row) for row in zip(*(values_of(X[name]) for name in names), strict=True)]
    for rows in (plain, np.array(plain, dtype=object)):
        converted = in_container_of(X, rows)
        assert type(converted) is type(X)
        assert converted.schema == X.schema
        assert same_values(converted, X)
    frame = pd.DataFrame({name: values_of(X[name]) for name in names})
    assert same_values(in_container_of(X, frame), X)


CONTAINERS = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("library", CONTAINERS)
def test_a_type_that_would_change_a_value_is_not_applied(library):
    make = CONTAINERS[library]
    X = make({"i": [1, 2], "b": [True, False], "s": ["a", "b"], "f": [1.0, 2.0]})
    rows = [[1.5, None, 3, "1.5"], [None, True, None, "x"]]
    converted = in_container_of(X, rows)
    for j, name in enumerate("ibsf"):
        assert values_of(converted[name]) == [row[j] for row in rows], name


def test_new_categories_follow_those_of_the_table():
    X = pd.DataFrame({"c": pd.Categorical(["u", "v"], ["v", "u"])})
    dtype = in_container_of(X, [["w"], [None], ["u"], ["w"]])["c"].dtype
    assert dtype == pd.CategoricalDtype(["v", "u", "w"])


def test_categories_of_several_frames_are_joined_to_one_type():
    X = pd.DataFrame({"c": pd.Categorical(["u", "v"], ["v", "u"]), "x": [1.0, 2.0]})
    other = pd.DataFrame({"c": pd.Categorical(["w", None]), "x": [3.0, 4.0]})
    words = pd.DataFrame({"c": ["u", "z"], "x": [5, 6]})
    joined = container_of(X).join([X, other, words])
    assert joined["c"].dtype == pd.CategoricalDtype(["v", "u", "w", "z"])
    assert values_of(joined["c"]) == ["u", "v", "w", None, "u", "z"]
    assert values_of(joined["x"]) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert X["c"].dtype == pd.CategoricalDtype(["v", "u"])
    assert words["c"].dtype != joined["c"].dtype


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_frames_of_different_types_can_be_joined(make):
    above = make({"x": [1, 2], "c": ["a", "b"]})
    joined = container_of(above).join([above, make({"x": [0.5, None], "c": ["a", None]})])
    assert values_of(joined["x"]) == [1.0, 2.0, 0.5, None]
    if make is pl.DataFrame:
        above = above.with_columns(pl.col("c").cast(pl.Enum(["a", "b"])))
        joined = container_of(above).join([above, make({"x": [3, 4], "c": ["z", None]})])
        assert values_of(joined["c"]) == ["a", "b", "z", None]


@pytest.mark.parametrize("library", CONTAINERS)
def test_a_frame_becomes_an_array(library):
    make = CONTAINERS[library]
    numbers = make({"a": [1, 2], "b": [1.5, None]})
    mixed = make({"a": [1, None], "b": ["x", None]})
    for X in (np.zeros((2, 2)), np.zeros((2, 2), dtype=int), [[1, 2]]):
        np.testing.assert_array_equal(in_container_of(X, numbers), [[1, 1.5], [2, np.nan]])
    whole = make({"a": [1, 2], "b": [0, 3]})
    assert in_container_of(np.zeros((2, 2), dtype=np.int8), whole).dtype == np.int8
    assert in_container_of(np.zeros((2, 2), dtype=np.float32), numbers).dtype == np.float32
    for X in (np.array([["a", 1]], dtype=object), [["a", 1]], np.zeros((2, 2))):
        converted = in_container_of(X, mixed)
        assert isinstance(converted, type(X))
        converted = np.array(converted, dtype=object)
        assert converted[0].tolist() == [1, "x"]
        assert np.isnan(converted[1, 0])
        assert converted[1, 1] is None


def test_a_list_becomes_an_array():
    X = np.zeros((2, 2))
    assert in_container_of(X, [[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert in_container_of(X, [[1, "x"]]).tolist() == [[1, "x"]]
    assert in_container_of(np.array(["a text"]), ["one", "two"]).shape == (2,)
    images = np.zeros((2, 3, 3))
    assert in_container_of(images, list(images)).shape == (2, 3, 3)
    ragged = [[1, 2], [3]]
    assert in_container_of(X, ragged) is ragged


def test_sparse_and_dense_rows():
    dense = np.array([[0.0, 1.0], [2.0, 0.0]])
    for kind in (sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix):
        X = kind(dense)
        for rows in (dense, dense.tolist(), pd.DataFrame(dense)):
            converted = in_container_of(X, rows)
            assert type(converted) is kind
            np.testing.assert_array_equal(converted.toarray(), dense)
        np.testing.assert_array_equal(in_container_of(dense, X), dense)
        frame = in_container_of(pd.DataFrame({"a": [1.0], "b": [2.0]}), X)
        assert list(frame.columns) == ["a", "b"]
        np.testing.assert_array_equal(frame, dense)
    words = np.array([["a", "b"]])
    assert in_container_of(sparse.csr_matrix(dense), words) is words


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


@pytest.mark.parametrize(
    ("X", "rows"),
    [
        (FRAME, FRAME.rename(columns={"a": "z"})),
        (FRAME, np.zeros((2, 3))),
        (FRAME, np.zeros(2)),
        (FRAME, np.zeros((2, 2, 2))),
        (np.zeros((2, 2)), np.zeros((2, 3))),
        (["text"], ["more"]),
        (pd.Series(["text"]), ["more"]),
        (sparse.csr_matrix((2, 2)), sparse.csc_matrix((1, 2))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_of_the_same_container_or_of_another_shape_are_returned_unchanged(X, rows):
    assert in_container_of(X, rows) is rows


def test_a_frame_of_pandas_takes_the_types_of_another_by_name():
    table = pd.DataFrame(
        {
            "n": np.array([1.0, 2.0]),
            "c": pd.Categorical(["x", "y"], categories=["y", "x", "z"]),
            "k": np.array([1, 2], dtype="int8"),
        }
    )
    read = pd.DataFrame({"k": [3, 4], "n": [5, 6], "c": ["z", "w"]}, index=[7, 9])
    rows = in_container_of(table, read, "rows")
    assert rows.columns.tolist() == ["k", "n", "c"] and rows.index.tolist() == [7, 9]
    assert rows.dtypes[["n", "k"]].equals(table.dtypes[["n", "k"]])
    assert rows["c"].cat.categories.tolist() == ["y", "x", "z", "w"]
    assert rows["c"].tolist() == ["z", "w"] and rows["n"].tolist() == [5, 6]
    assert read["c"].dtype != rows["c"].dtype  # the caller's table does not change
    large = in_container_of(table, read.assign(k=[300, 4]))
    assert large["k"].tolist() == [300, 4]  # no int8


def test_names_of_the_rows_are_kept_if_both_have_names():
    rows = pl.DataFrame({"b": [1.0], "z": [2.0]})
    assert list(in_container_of(FRAME, rows).columns) == ["b", "z"]
    nameless = pd.DataFrame([[1.0, 2.0]])
    assert list(in_container_of(FRAME, nameless).columns) == ["a", "b"]
    assert list(in_container_of(nameless, FRAME).columns) == [0, 1]
    assert list(in_container_of(nameless, rows).columns) == [0, 1]


def test_columns_matched_by_position_warn_if_only_one_side_has_names():
    with pytest.warns(UserWarning, match="X names its columns, rows does not"):
        in_container_of(FRAME, FRAME.to_numpy(), "rows")
    with pytest.warns(UserWarning, match="rows names its columns, X does not"):
        in_container_of(FRAME.to_numpy().tolist(), FRAME, "rows")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_container_of(FRAME, FRAME.to_numpy())
        in_container_of(FRAME, pl.DataFrame({"a": [1.0], "b": [2.0]}), "rows")
        in_container_of(np.zeros((2, 2)), [[1, 2]], "rows")
