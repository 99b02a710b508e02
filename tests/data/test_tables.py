"""Tables of three libraries, and arrays of objects, as the same plain columns."""

import warnings
from decimal import Decimal

import numpy as np
import pytest

from skkd import NeuralClassifier
from skkd.data.tables import MANY_TEXTS, Table, is_table, read_table

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

CONTENT = {
    "ints": [3, None, 1],
    "floats": [0.5, None, -2.0],
    "strings": ["b", None, "a"],
    "flags": [True, None, False],
    "nothing": [None, None, None],
}


def assert_same_column(column, expected):
    """`expected`: a list of floats, or of plain values and None."""
    if all(isinstance(value, float) for value in expected):
        assert column.dtype == np.float64
        np.testing.assert_array_equal(column, expected)
    else:
        assert column.dtype == object
        assert column.tolist() == expected


def assert_same_table(table, other):
    assert table.names == other.names
    for column, expected in zip(table.columns, other.columns, strict=True):
        assert_same_column(column, expected.tolist())


def column_of(frame):
    (column,) = read_table(frame).columns
    return column


def test_the_three_libraries_give_the_same_table():
    frames = [
        pd.DataFrame(CONTENT).astype({"ints": "Int64", "strings": "string", "flags": "boolean"}),
        pl.DataFrame(CONTENT),
        pa.table(CONTENT),
    ]
    tables = [read_table(frame) for frame in frames]
    assert tables[0].names == list(CONTENT)
    assert tables[0].shape == (3, 5)
    assert_same_column(tables[0].columns[0], [3.0, np.nan, 1.0])
    assert_same_column(tables[0].columns[2], ["b", None, "a"])
    assert_same_column(tables[0].columns[3], [True, None, False])
    assert_same_table(tables[1], tables[0])
    assert_same_table(tables[2], tables[0])


@pytest.mark.parametrize(
    "dtype",
    [
        "int8",
        "uint64",
        "float16",
        "longdouble",
        "Int8",
        "Float32",
        "int16[pyarrow]",
        "float[pyarrow]",
    ],
)
def test_numbers_of_any_pandas_dtype_are_float64(dtype):
    assert_same_column(column_of(pd.DataFrame({"n": pd.array([3, 1], dtype=dtype)})), [3.0, 1.0])


@pytest.mark.parametrize("dtype", ["Int8", "Float64", "int32[pyarrow]", "float[pyarrow]"])
def test_missing_numbers_of_nullable_pandas_dtypes_are_nan(dtype):
    frame = pd.DataFrame({"n": pd.array([3, None], dtype=dtype)})
    assert_same_column(column_of(frame), [3.0, np.nan])


@pytest.mark.parametrize("dtype", ["Int8", "UInt64", "Int64", "Float32"])
def test_numbers_of_any_polars_dtype_are_float64(dtype):
    series = pl.Series("n", [3, None]).cast(getattr(pl, dtype))
    assert_same_column(column_of(pl.DataFrame(series)), [3.0, np.nan])


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "float32", "float64"])
def test_numbers_of_any_arrow_type_are_float64(dtype):
    values = np.array([3, 0], dtype=dtype)
    numbers = pa.array(values, mask=np.array([False, True]), type=getattr(pa, dtype)())
    assert_same_column(column_of(pa.table({"n": numbers})), [3.0, np.nan])


@pytest.mark.parametrize("values", [[0, 0, 3], [0.0, 0.0, 1.5]])
def test_sparse_pandas_columns_are_dense_numbers(values):
    column = column_of(pd.DataFrame({"n": pd.arrays.SparseArray(values)}))
    assert_same_column(column, [float(v) for v in values])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"d": [Decimal("1.5"), None]}),
        pd.DataFrame({"d": pd.array(["1.5", None], dtype=pd.ArrowDtype(pa.decimal128(3, 1)))}),
        pl.DataFrame({"d": [Decimal("1.5"), None]}),
        pa.table({"d": [Decimal("1.5"), None]}),
    ],
    ids=["pandas", "pandas-arrow", "polars", "pyarrow"],
)
def test_decimals_are_numbers(frame):
    assert_same_column(column_of(frame), [1.5, np.nan])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"c": pd.Categorical(["u", None, "v"])}),
        pd.DataFrame({"c": ["u", None, "v"]}),
        pd.DataFrame({"c": pd.array(["u", None, "v"], dtype="string[pyarrow]")}),
        pl.DataFrame({"c": pl.Series(["u", None, "v"], dtype=pl.Categorical)}),
        pl.DataFrame({"c": pl.Series(["u", None, "v"], dtype=pl.Enum(["v", "u"]))}),
        pa.table({"c": pa.array(["u", None, "v"]).dictionary_encode()}),
        pa.table({"c": pa.array(["u", None, "v"], type=pa.large_string())}),
        pa.record_batch({"c": pa.array(["u", None, "v"])}),
    ],
    ids=["category", "str", "string", "Categorical", "Enum", "dictionary", "large", "batch"],
)
def test_categories_and_strings_are_plain_values(frame):
    column = column_of(frame)
    assert_same_column(column, ["u", None, "v"])
    assert type(column[0]) is str


@pytest.mark.parametrize(
    "missing", [None, np.nan, float("nan"), pd.NA, pd.NaT, np.float32("nan")], ids=repr
)
def test_every_kind_of_missing_value_is_none_or_nan(missing):
    strings = pd.DataFrame({"c": pd.Series(["u", missing], dtype=object)})
    numbers = pd.DataFrame({"c": pd.Series([1, missing], dtype=object)})
    assert_same_column(column_of(strings), ["u", None])
    assert_same_column(column_of(numbers), [1.0, np.nan])


def test_booleans_are_categories_but_with_numbers_they_are_numbers():
    assert_same_column(column_of(pd.DataFrame({"b": [True, False]})), [True, False])
    mixed = np.array([[True], [2]], dtype=object)
    assert_same_column(read_table(mixed).columns[0], [1.0, 2.0])


def test_categories_may_be_numbers():
    assert_same_column(column_of(pd.DataFrame({"c": pd.Categorical([2, 1, None])})), [2, 1, None])


def test_intervals_are_categories():
    intervals = pd.arrays.IntervalArray.from_breaks([0, 1, 2])
    assert column_of(pd.DataFrame({"i": intervals})).tolist() == list(intervals)


def test_object_columns_of_numbers_are_numbers_and_of_digits_in_quotes_are_names():
    table = read_table(np.array([[1, "1", "a"], [None, "2", 0]], dtype=object))
    assert_same_column(table.columns[0], [1.0, np.nan])
    assert_same_column(table.columns[1], ["1", "2"])
    assert_same_column(table.columns[2], ["a", 0])


STRINGS = ["U1", "S1", "O"]
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    STRINGS.append(np.dtypes.StringDType())


@pytest.mark.parametrize("dtype", STRINGS, ids=str)
def test_arrays_of_strings_are_categories(dtype):
    table = read_table(np.array([["a"], ["b"]]).astype(dtype))
    expected = [b"a", b"b"] if dtype == "S1" else ["a", "b"]
    assert table.columns[0].tolist() == expected
    assert table.names == ["column 0"]


DATES = {
    "pandas": pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}),
    "pandas-zone": pd.DataFrame({"when": pd.to_datetime(["2020-01-01"]).tz_localize("UTC")}),
    "pandas-delta": pd.DataFrame({"when": pd.to_timedelta([1])}),
    "pandas-period": pd.DataFrame({"when": pd.period_range("2020", periods=1, freq="M")}),
    "pandas-object": pd.DataFrame({"when": pd.Series([pd.Timestamp("2020-01-01")], dtype=object)}),
    "polars-date": pl.DataFrame({"when": pl.Series([1]).cast(pl.Date)}),
    "polars-datetime": pl.DataFrame({"when": pl.Series([1]).cast(pl.Datetime)}),
    "polars-time": pl.DataFrame({"when": pl.Series([1]).cast(pl.Time)}),
    "polars-duration": pl.DataFrame({"when": pl.Series([1]).cast(pl.Duration)}),
    "arrow-timestamp": pa.table({"when": pa.array([1], type=pa.timestamp("s"))}),
    "arrow-date": pa.table({"when": pa.array([1], type=pa.date32())}),
    "arrow-duration": pa.table({"when": pa.array([1], type=pa.duration("s"))}),
}


@pytest.mark.parametrize("frame", DATES.values(), ids=DATES)
def test_dates_are_refused_by_the_name_of_their_column(frame):
    with pytest.raises(TypeError, match=r"column 'when' holds dates or times \(.+\): turn them"):
        read_table(frame)


@pytest.mark.parametrize("cell", [[1, 2], [1], {}, np.array([1, 2]), np.array([1.0])], ids=repr)
def test_cells_that_hold_several_values_are_refused(cell):
    column = np.empty(2, dtype=object)
    column[1] = cell
    for X in (pd.DataFrame({"a": column}), column.reshape(2, 1)):
        with pytest.raises(TypeError, match="column .* holds a .*: an argument must be a string"):
            read_table(X)


def test_a_query_is_refused():
    query = pl.LazyFrame({"a": [1.0, 2.0]})
    with pytest.raises(TypeError, match=r"LazyFrame holds a query.*call \.collect\(\)"):
        NeuralClassifier().fit(query, [0, 1])


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (pd.DataFrame({"a": [1]}), True),
        (pl.DataFrame({"a": [1]}), True),
        (pa.table({"a": [1]}), True),
        (pd.Series([1]), False),
        (pl.Series([1]), False),
        (np.ones((1, 1)), False),
        ([[1]], False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_is_table_distinguishes_frames_from_arrays(X, expected):
    assert is_table(X) is expected


@pytest.mark.parametrize(
    "rows", [slice(1, 3), [2, 0], np.array([True, False, True])], ids=["slice", "indices", "mask"]
)
def test_rows_of_a_table_are_rows_of_each_column(rows):
    numbers, letters = np.array([1.0, 2.0, 3.0]), np.array(["a", None, "c"], dtype=object)
    picked = Table([numbers, letters], ["n", "c"])[rows]
    assert picked.names == ["n", "c"]
    assert picked.columns[0].tolist() == numbers[rows].tolist()
    assert picked.columns[1].tolist() == letters[rows].tolist()
    assert len(picked) == picked.shape[0] == 2


def test_a_table_without_columns_has_no_rows():
    assert Table([], []).shape == (0, 0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": []}), r"0 sample\(s\) and 1 feature\(s\)"),
        (pd.DataFrame(index=range(2)), r"0 feature\(s\)"),
        (pl.DataFrame({"a": [1.0, np.inf]}), "Input X contains infinity"),
        (pa.table({"a": [1.0, -np.inf], "b": ["u", "v"]}), "Input X contains infinity"),
    ],
    ids=["no rows", "no columns", "inf", "inf beside strings"],
)
def test_tables_without_numbers_to_learn_from_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        NeuralClassifier().fit(frame, np.arange(len(frame)))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_classifier_gives_the_same_answers_for_each_library(iris_like_table, library):
    X, y = iris_like_table
    content = {name: [None if pd.isna(v) else v for v in X[name].tolist()] for name in X.columns}
    if library == "pandas":
        other = pd.DataFrame(content, dtype=object).astype({"big": "boolean"})
    else:
        other = pl.DataFrame(content) if library == "polars" else pa.table(content)
    clf = NeuralClassifier((4,), max_epochs=2, random_state=0)
    expected = clf.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(other), expected)
    np.testing.assert_array_equal(clf.fit(other, y).predict_proba(X), expected)
    assert clf.feature_names_in_.tolist() == list(X.columns)


AMOUNTS = [f"{0.25 * i}" for i in range(2 * MANY_TEXTS)]


def fit_to_texts(texts, make=pd.DataFrame, **params):
    X = make({"charges": texts, "a": np.arange(len(texts))})
    y = np.arange(len(texts)) > 100
    return NeuralClassifier(hidden_layer_sizes=(2,), max_epochs=5, **params).fit(X, y)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_column_of_numbers_in_quotes_warns_once_in_a_fit(make):
    with pytest.warns(UserWarning, match="'charges' holds text.*to_numeric") as caught:
        fit_to_texts([*AMOUNTS, " ", "?", None], make)
    assert sum("charges" in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize(
    "texts",
    [
        [f"{i:05}" for i in range(2 * MANY_TEXTS)],
        AMOUNTS + [f"name {i}" for i in range(MANY_TEXTS)],
        AMOUNTS[: MANY_TEXTS - 1] * 2,
        pd.Categorical(AMOUNTS),
    ],
    ids=["whole", "names, too", "few", "categorical by type"],
)
def test_columns_of_codes_names_and_grades_do_not_warn(texts):
    with warnings.catch_warnings(action="ignore"):
        warnings.filterwarnings("error", message=".*holds text")
        fit_to_texts(texts)


def test_columns_declared_categorical_do_not_warn():
    with warnings.catch_warnings(action="ignore"):
        warnings.filterwarnings("error", message=".*holds text")
        fit_to_texts(AMOUNTS, categorical_features=["charges"])
        fit_to_texts(pl.Series(AMOUNTS, dtype=pl.Categorical), pl.DataFrame)
        fit_to_texts(pa.array(AMOUNTS).dictionary_encode(), pa.table)


def test_wide_integers_of_a_number_column_are_rounded_in_every_library():
    wide = [2**53 + 1, 3]
    for frame in (pd.DataFrame({"n": wide}), pl.DataFrame({"n": wide}), pa.table({"n": wide})):
        assert_same_column(column_of(frame), [float(2**53), 3.0])
