"""Synthetic rows come back in the container of the table, with its columns and types."""

import datetime
import pickle

import numpy as np
import pytest
from scipy import sparse

from skkd.transfer import Gibbs, Munge, Spunge
from skkd.transfer.attributes import Attributes

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

every_sampler = pytest.mark.parametrize(
    "sampler", [Munge(p=0.8), Spunge(share=0.5, p=0.5), Gibbs(p=0.8)], ids=repr
)

N_ROWS = 60


def content():
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(N_ROWS)

    def gaps(values):
        return [None if i % 7 == 0 else value for i, value in enumerate(values)]

    return {
        "float": numbers.tolist(),
        "float with gaps": gaps(numbers.round(2).tolist()),
        "integer": rng.integers(-9, 9, size=N_ROWS).tolist(),
        "integer with gaps": gaps(rng.integers(100, size=N_ROWS).tolist()),
        "string": gaps([str(c) for c in rng.choice(["a", "b", "c"], size=N_ROWS)]),
        "flag": (numbers > 0).tolist(),
        "flag with gaps": gaps((numbers > 0).tolist()),
        "day": gaps([datetime.date(2020, 1, 1 + i % 28) for i in range(N_ROWS)]),
        "nothing": [None] * N_ROWS,
    }


def pandas_frame():
    frame = pd.DataFrame(content())
    frame = frame.astype({"float": "float32", "integer": "int8", "integer with gaps": "Int64"})
    frame["category"] = pd.Categorical(frame["string"], ["c", "a", "b", "unseen"], ordered=True)
    frame["strings of arrow"] = frame["string"].astype("string")
    frame["flag with gaps"] = frame["flag with gaps"].astype("boolean")
    frame["Float32"] = frame["float"].astype("Float32")
    frame["int64 of arrow"] = frame["integer with gaps"].astype("int64[pyarrow]")
    frame["float of arrow"] = frame["float"].astype("double[pyarrow]")
    frame["moment"] = pd.to_datetime(frame["day"]).dt.tz_localize("UTC")
    frame["span"] = frame["moment"] - frame["moment"].min()
    frame["sparse"] = pd.arrays.SparseArray(frame["float"].clip(lower=0).to_numpy())
    frame["objects"] = np.array([3, "x", None] * (N_ROWS // 3), dtype=object)
    frame["numbers as objects"] = np.array([3, 1.5, None, 7] * (N_ROWS // 4), dtype=object)
    frame.index = frame.index[::-1] + 100
    return frame


def values_of(column):
    values = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
    return {None if value is None or value != value else value for value in map(plain, values)}


def plain(value):
    return None if value is pd.NA or value is pd.NaT else value


def assert_observed(old, new, names):
    for name in names:
        assert values_of(new[name]) <= values_of(old[name]), name


SWAPPED = ["string", "flag", "flag with gaps", "day", "nothing"]


@every_sampler
def test_pandas(sampler):
    frame = pandas_frame()
    before = frame.copy(deep=True)
    rows = sampler.fit(frame).sample(200, random_state=0)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    pd.testing.assert_index_equal(rows.index, pd.RangeIndex(200))
    pd.testing.assert_frame_equal(frame, before)
    others = ["category", "strings of arrow", "moment", "span", "objects"]
    assert_observed(frame, rows, SWAPPED + others)
    for name in ("float", "float with gaps", "integer", "integer with gaps", "float of arrow"):
        assert rows[name].min() >= frame[name].min()
        assert rows[name].max() <= frame[name].max()
    assert rows["integer with gaps"].isna().any()
    assert not rows["integer"].isna().any()
    pd.testing.assert_frame_equal(
        rows, pickle.loads(pickle.dumps(sampler)).sample(200, random_state=0)
    )


@every_sampler
def test_pandas_in_many_frames_is_the_same(sampler):
    sampler.fit(pandas_frame())
    batches = list(sampler.batches(50, random_state=0, batch_rows=20))
    joined = pd.concat(batches, ignore_index=True)
    pd.testing.assert_frame_equal(joined, sampler.sample(50, random_state=0))


def test_pandas_labels_of_any_kind():
    frame = pd.DataFrame(np.random.default_rng(0).random((9, 3)))
    frame.columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["x", "y"])
    rows = Munge().fit(frame).sample(5, random_state=0)
    pd.testing.assert_index_equal(rows.columns, frame.columns)
    assert rows.shape == (5, 3)


@every_sampler
def test_polars(sampler):
    frame = pl.DataFrame(content()).with_columns(
        pl.col("float").cast(pl.Float32).alias("Float32"),
        pl.col("integer").cast(pl.Int8).alias("Int8"),
        pl.col("string").cast(pl.Categorical).alias("category"),
        pl.col("string").cast(pl.Enum(["c", "a", "b", "unseen"])).alias("enum"),
    )
    before = frame.clone()
    rows = sampler.fit(frame).sample(200, random_state=0)
    assert rows.schema == frame.schema
    assert rows.height == 200
    assert frame.equals(before)
    assert_observed(frame, rows, [*SWAPPED, "category", "enum"])
    assert rows["integer with gaps"].null_count()
    assert rows["float with gaps"].drop_nulls().is_nan().sum() == 0
    assert pl.concat(sampler.batches(200, 0, batch_rows=33)).equals(rows)


@every_sampler
def test_pyarrow(sampler):
    table = pa.table(content())
    table = table.append_column("category", table["string"].dictionary_encode())
    table = table.append_column("float32", table["float"].cast("float32"))
    table = pa.concat_tables([table.slice(0, 20), table.slice(20)]).replace_schema_metadata(
        {"origin": "here"}
    )
    rows = sampler.fit(table).sample(200, random_state=0)
    assert rows.schema.equals(table.schema, check_metadata=True)
    assert rows.num_rows == 200
    rows.validate(full=True)
    assert_observed(table, rows, [*SWAPPED, "category"])
    assert rows["integer with gaps"].null_count
    batches = list(sampler.batches(200, 0, batch_rows=33))
    assert pa.concat_tables(batches).combine_chunks().equals(rows.combine_chunks())


def test_the_three_libraries_give_the_same_rows():
    columns = {k: v for k, v in content().items() if k not in ("nothing", "day")}
    for sampler in (Munge(), Spunge(), Gibbs()):
        frame = sampler.fit(pl.DataFrame(columns)).sample(40, random_state=0)
        table = sampler.fit(pa.table(columns)).sample(40, random_state=0)
        pandas = sampler.fit(frame_of(columns)).sample(40, random_state=0)
        assert frame.to_dict(as_series=False) == table.to_pydict()
        assert [plain(v) for v in pandas["integer with gaps"]] == frame[
            "integer with gaps"
        ].to_list()


def frame_of(columns):
    return pd.DataFrame(columns).astype({"integer with gaps": "Int64", "flag with gaps": "boolean"})


@every_sampler
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_arrays_of_any_type(sampler, dtype):
    X = np.random.default_rng(0).integers(0, 200, size=(50, 3))
    X = (X % 2 if dtype == "bool" else X).astype(dtype)
    rows = sampler.fit(X).sample(80, random_state=0)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == X.dtype
    assert rows.min() >= X.min()
    assert rows.max() <= X.max()


@every_sampler
def test_arrays_of_strings_objects_and_dates(sampler):
    frame = pandas_frame()[["float", "integer", "string", "flag"]]
    X = frame.to_numpy(dtype=object)
    rows = sampler.fit(X).sample(80, random_state=0)
    assert rows.dtype == object
    assert {type(value) for value in rows[:, 1]} == {int}
    assert {type(value) for value in rows[:, 3]} <= {bool, np.bool_}
    assert set(rows[:, 2]) <= set(X[:, 2])
    letters = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
    assert sampler.fit(letters).sample(9, random_state=0).dtype == letters.dtype
    days = np.array([["2020-01-01"], ["2021-05-05"], ["NaT"]], dtype="datetime64[D]")
    assert sampler.fit(days).sample(9, random_state=0).dtype == days.dtype


def test_lists_become_arrays():
    rows = Munge().fit([[1, "a"], [2, "b"], [3, "a"]]).sample(5, random_state=0)
    assert rows.dtype == object
    assert set(rows[:, 0]) <= {1, 2, 3}
    assert Munge().fit([[1, 2], [3, 4], [5, 7]]).sample(5, random_state=0).dtype.kind == "i"


@every_sampler
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
def test_sparse_matrices_stay_sparse(sampler, kind):
    dense = sparse.random(200, 30, density=0.1, random_state=0, dtype=np.float32).toarray()
    dense[:, :5] = np.rint(dense[:, :5] * 9)
    X = kind(dense)
    rows = sampler.fit(X).sample(400, random_state=0)
    assert type(rows) is kind
    assert rows.dtype == np.float32
    assert rows.shape == (400, 30)
    assert 0.08 < rows.nnz / (400 * 30) < 0.12
    new = rows.toarray()
    np.testing.assert_array_equal(new[:, :5], np.rint(new[:, :5]))
    assert (new.max(axis=0) <= dense.max(axis=0)).all()
    joined = sparse.vstack(list(sampler.batches(400, 0, batch_rows=150))).toarray()
    np.testing.assert_array_equal(joined, new)


def test_a_sparse_matrix_too_big_or_with_gaps_is_refused():
    with pytest.raises(ValueError, match="sparse matrix of shape .* at most 100,000,000 cells"):
        Munge().fit(sparse.csr_matrix((100_000, 100_000)))
    with pytest.raises(ValueError, match="sparse matrix with NaN"):
        Munge().fit(sparse.csr_matrix([[np.nan, 1.0], [0.0, 2.0]]))


def test_one_hot_columns_of_a_table_are_one_attribute():
    frame = pd.get_dummies(pd.DataFrame({"x": [0.5, 1.5, 3.5] * 9, "colour": ["r", "g", "b"] * 9}))
    attributes = Attributes(frame)
    assert attributes.kinds == ["continuous", "group"]
    rows = Spunge(share=1.0).fit(frame).sample(50, random_state=0)
    assert (rows.iloc[:, 1:].sum(axis=1) == 1).all()
    assert (rows.dtypes == frame.dtypes).all()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_infinity_is_refused_with_the_name_of_the_column(make):
    with pytest.raises(ValueError, match="infinity in column 'income'"):
        Munge().fit(make({"age": [1.0, 2.0, 3.0], "income": [1.0, float("inf"), 2.0]}))


def test_cells_that_hold_lists_and_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="list in column 'tags'"):
        Munge().fit(pl.DataFrame({"tags": [[1], [2, 3]]}))
    with pytest.raises(TypeError, match="complex numbers in column"):
        Munge().fit(np.array([[1j], [2.0]]))


def test_a_query_is_refused():
    with pytest.raises(TypeError, match="call .collect"):
        Munge().fit(pl.LazyFrame({"x": [1, 2]}))
