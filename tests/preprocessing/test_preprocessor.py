"""The preprocessor: scikit-learn's transformers, reduced to arrays."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, StandardScaler

from skkd import NeuralClassifier
from skkd.data.tables import Table, read_table
from skkd.data.validation import resolve_categorical
from skkd.preprocessing import PiecewiseLinear
from skkd.preprocessing import preprocessor as preprocessing
from skkd.preprocessing.preprocessor import (
    MAX_CATEGORIES,
    ChannelPreprocessor,
    ColumnPreprocessor,
    PassThrough,
    TransformerPreprocessor,
    fit_preprocessor,
    transform_in_blocks,
)
from skkd.preprocessing.scaling import SCALINGS, smooth_clip
from skkd.presets import PRESETS

close = np.testing.assert_allclose


def numbers(n_rows=40, n_columns=3, seed=0, missing=0.2):
    random = np.random.RandomState(seed)
    X = random.standard_normal((n_rows, n_columns)) * [1, 100, 1e-3][:n_columns] + 7
    X[random.uniform(size=X.shape) < missing] = np.nan
    return X


def letters(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


class Spy(TransformerMixin, BaseEstimator):
    """A transformer that keeps what it was fitted on."""

    def fit(self, X, y=None, sample_weight=None):
        self.fitted_on_ = {"X": X, "y": y, "sample_weight": sample_weight}
        return self

    def transform(self, X):
        return np.asarray(X, dtype=np.float64) * 2


def tiny(**params):
    defaults = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
    return NeuralClassifier(**{"preset": "plain"} | defaults | params)


both_scalings = pytest.mark.parametrize("scaling", SCALINGS)


def test_numbers_are_imputed_by_the_mean_and_standardised_as_scikit_learn_does():
    X, new = numbers(), numbers(seed=1)
    expected = make_pipeline(SimpleImputer(), StandardScaler()).fit(X)
    fitted = fit_preprocessor("standard", X, None)
    # In the pipeline the deviations include imputed values.
    scale = np.nanstd(X, axis=0)
    close(fitted.centre, expected[0].statistics_, rtol=1e-12)
    close(fitted.transform(new), (expected[0].transform(new) - fitted.centre) / scale, atol=1e-9)


def test_complete_numbers_are_transformed_as_by_standard_scaler():
    X, new = numbers(missing=0), numbers(seed=1, missing=0)
    close(
        fit_preprocessor("standard", X, None).transform(new), StandardScaler().fit(X).transform(new)
    )


@both_scalings
def test_categories_are_transformed_as_by_one_hot_encoder(scaling):
    values, new = letters(["b", "a", "c", "a"]), letters(["c", "b", "a", "unknown"])
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    expected = encoder.fit(values.reshape(-1, 1)).transform(new.reshape(-1, 1))
    fitted = fit_preprocessor(scaling, Table([values], ["c"]), None)
    np.testing.assert_array_equal(fitted.transform(Table([new], ["c"])), expected)
    assert fitted.n_features == 3


def test_numeric_columns_come_first_then_the_categories():
    table = Table([letters(["a", "b"]), np.array([1.0, 3.0])], ["c", "n"])
    fitted = fit_preprocessor("standard", table, None)
    np.testing.assert_array_equal(fitted.transform(table), [[-1, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize("as_table", [False, True], ids=["array", "table"])
def test_mean_and_deviation_are_weighted(as_table):
    X, weight = numbers(missing=0), np.arange(40.0)
    rows = read_table(X) if as_table else X
    fitted = fit_preprocessor("standard", rows, None, weight)
    mean = np.average(X, axis=0, weights=weight)
    close(fitted.centre, mean)
    close(fitted.scale, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight)))


@both_scalings
@pytest.mark.parametrize("kind", ["array", "table", "sparse", "image"])
def test_weight_two_is_the_row_twice(kind, scaling):
    X = numbers(missing=0.0 if kind == "sparse" else 0.2)
    counts = np.random.RandomState(0).randint(1, 4, size=len(X))
    make = {
        "array": np.asarray,
        "table": read_table,
        "sparse": sparse.csr_array,
        "image": lambda X: np.reshape(X, (-1, 3, 1, 1)),
    }[kind]
    weighted = fit_preprocessor(scaling, make(X), None, counts.astype(float))
    repeated = fit_preprocessor(scaling, make(np.repeat(X, counts, axis=0)), None)
    close(weighted.centre, repeated.centre, rtol=1e-12)
    close(weighted.scale, repeated.scale, rtol=1e-12)


@both_scalings
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_rows_are_transformed_as_dense_ones(weighted, scaling):
    X = sparse.random_array((30, 5), density=0.3, rng=0, format="csr")
    weight = np.arange(1.0, 31) if weighted else None
    dense, of_sparse = (
        fit_preprocessor(scaling, X.toarray(), None, weight),
        fit_preprocessor(scaling, X, None, weight),
    )
    close(of_sparse.transform(X), dense.transform(X.toarray()), rtol=1e-10, atol=1e-12)


@both_scalings
def test_unix_time_stamps_keep_their_distinct_values(scaling):
    seconds = 1.7e9 + np.arange(120.0)
    fitted = fit_preprocessor(scaling, seconds[:, None], None)
    assert len(np.unique(seconds.astype(np.float32))) < 10
    assert len(np.unique(transform_in_blocks(fitted, seconds[:, None], np.float32))) == 120


@pytest.mark.parametrize("preset", PRESETS)
def test_a_classifier_learns_from_time_stamps(preset):
    seconds = 1.7e9 + np.arange(120.0)
    clf = tiny(preset=preset, max_epochs=60, learning_rate=0.1).fit(
        seconds[:, None], np.arange(120) >= 60
    )
    assert clf.score(seconds[:, None], np.arange(120) >= 60) > 0.95


@pytest.mark.parametrize("weight", [None, np.array([0.1, 0.3, 7, 1e-3, 2])], ids=["", "weighted"])
@pytest.mark.parametrize("make", [np.asarray, read_table, sparse.csr_array])
def test_constant_columns_are_zero_and_stay_bounded(weight, make):
    X = np.column_stack([np.full(5, 0.1), np.arange(5.0)])
    fitted = fit_preprocessor("standard", make(X), None, weight)
    seen = fitted.transform(make(np.array([[0.1, 0.0], [2.1, 90.0], [5e3, 90.0]])))
    close(seen[:, 0], smooth_clip(np.array([0.0, 2.0, 5e3])), atol=1e-12)
    assert seen[1, 1] > 9  # a column with a width is not clipped


@pytest.mark.parametrize("kind", ["array", "table", "sparse", "image"])
def test_columns_without_any_value_are_zero(kind):
    X = np.column_stack([np.full(4, np.nan), np.arange(4.0)])
    make = {
        "array": np.asarray,
        "table": read_table,
        "sparse": sparse.csr_array,
        "image": lambda X: np.reshape(X, (-1, 2, 1, 1)),
    }[kind]
    seen = fit_preprocessor("standard", make(X), None).transform(make(X)).reshape(4, 2)
    assert (seen[:, 0] == 0).all()
    close(seen[:, 1], StandardScaler().fit_transform(X[:, [1]]).ravel())


@pytest.mark.parametrize("value", [np.finfo(float).max, -np.finfo(float).max, 1e300])
def test_the_largest_numbers_do_not_overflow(value):
    fitted = fit_preprocessor("standard", np.array([[0.0], [1e-9]]), None)
    seen = transform_in_blocks(fitted, np.array([[value]]), np.float32)
    assert np.isfinite(seen).all()
    assert np.sign(seen) == np.sign(value)


@both_scalings
def test_unknown_categories_are_zeros(scaling):
    fitted = fit_preprocessor(scaling, Table([letters(["a", "b"])], ["c"]), None)
    assert not fitted.transform(Table([letters(["z", None])], ["c"])).any()


@both_scalings
def test_missing_is_a_category_if_it_was_in_the_rows_of_fit(scaling):
    fitted = fit_preprocessor(scaling, Table([letters(["a", None, "a"])], ["c"]), None)
    np.testing.assert_array_equal(
        fitted.transform(Table([letters([None, "a"])], ["c"])), [[0, 1], [1, 0]]
    )


def test_a_categorical_column_of_missing_values_alone_is_missing():
    X = np.array([["a"], [None]], dtype=object)
    fitted = fit_preprocessor("standard", read_table(X), None)
    np.testing.assert_array_equal(fitted.transform(read_table(X[1:])), [[0, 1]])


def test_beyond_the_limit_rare_and_unknown_categories_share_an_indicator():
    common = [f"common {i:03}" for i in range(MAX_CATEGORIES - 1)]
    values = letters(common * 2 + [f"rare {i}" for i in range(50)])
    fitted = fit_preprocessor("standard", Table([values], ["c"]), None)
    assert fitted.n_features == MAX_CATEGORIES
    seen = fitted.transform(Table([letters(["rare 0", "rare 49", "new", common[0]])], ["c"]))
    np.testing.assert_array_equal(seen.argmax(axis=1), [MAX_CATEGORIES - 1] * 3 + [0])
    assert (seen.sum(axis=1) == 1).all()


def test_digits_in_quotes_are_the_same_category_alone_and_beside_letters():
    X = np.array([["1"], ["a"]] * 30, dtype=object)
    clf = tiny(max_epochs=5).fit(X, (X[:, 0] == "1").astype(int))
    np.testing.assert_array_equal(clf.predict_proba(X[:1]), clf.predict_proba(X)[:1])


@both_scalings
def test_images_are_standardised_by_channel(scaling):
    X = numbers(missing=0).reshape(5, 4, 3, 2) * np.array([1, 2, 3, 4]).reshape(4, 1, 1)
    mean = X.mean(axis=(0, 2, 3), keepdims=True)
    std = X.std(axis=(0, 2, 3), keepdims=True)
    fitted = fit_preprocessor(scaling, X, None)
    assert isinstance(fitted, ChannelPreprocessor)
    close(fitted.transform(X), (X - mean) / std, rtol=1e-10, atol=1e-12)
    assert fitted.n_features == 24


def test_missing_pixels_become_the_mean_of_their_channel():
    X = numbers(missing=0).reshape(5, 4, 3, 2)
    X[0, 1, 2, 0] = np.nan
    seen = fit_preprocessor("standard", X, None).transform(X)
    assert seen[0, 1, 2, 0] == 0
    assert np.isfinite(seen).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32])
def test_images_of_every_dtype_are_transformed_alike(dtype):
    X = np.random.RandomState(0).randint(2, size=(6, 2, 3, 3)).astype(dtype)
    expected = fit_preprocessor("standard", X.astype(np.float64), None).transform(
        X.astype(np.float64)
    )
    close(fit_preprocessor("standard", X, None).transform(X), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_without_a_preprocessor_numbers_do_not_change(make):
    X = np.array([[0.0, 2.0], [3.0, 0.0]])
    fitted = fit_preprocessor(None, make(X), None)
    assert isinstance(fitted, PassThrough)
    assert fitted.n_features == 2
    np.testing.assert_array_equal(fitted.transform(make(X)), X)


@pytest.mark.parametrize(("dtype", "value"), [("float32", 1e39), ("float64", np.inf)])
def test_without_a_preprocessor_values_too_large_are_refused(dtype, value):
    X = np.array([[0.0], [value]])
    with pytest.raises(ValueError, match=f"Input X contains infinity or .*'{dtype}'"):
        tiny(preprocessor=None, dtype=dtype).fit(X, [0, 1])


def test_a_transformer_is_fitted_on_the_training_rows_only_with_labels_and_weights(iris_like):
    X, y = iris_like
    weight = np.where(np.arange(90) % 5 == 0, 0.0, 2.0)
    names = np.array(["x", "y", "z"])[y]
    spy = Spy()
    clf = tiny(preprocessor=spy, early_stopping=True).fit(X, names, weight)
    seen = clf.network_.preprocessor.transformer.fitted_on_
    assert not hasattr(spy, "fitted_on_")
    assert len(seen["X"]) == len(seen["y"]) == len(seen["sample_weight"]) == 72 - 8
    row_of = {tuple(row): i for i, row in enumerate(X)}
    rows = [row_of[tuple(row)] for row in seen["X"]]
    assert (weight[rows] > 0).all()
    assert seen["y"].tolist() == names[rows].tolist()
    close(seen["sample_weight"], 1)


def test_a_transformer_gets_a_data_frame_as_it_is_and_not_a_copy(iris_like_table):
    X, y = iris_like_table
    spy = Spy()
    numeric = X[["length", "depth"]]
    clf = tiny(preprocessor=spy).fit(numeric, y)
    seen = clf.network_.preprocessor.transformer.fitted_on_["X"]
    assert type(seen) is type(numeric)
    assert seen.equals(numeric)
    assert np.shares_memory(seen["length"].to_numpy(), numeric["length"].to_numpy())
    by_name = make_column_transformer(
        (SimpleImputer(), ["width"]), (OneHotEncoder(), ["colour"]), remainder="drop"
    )
    clf = tiny(preprocessor=by_name, early_stopping=True).fit(X, y)
    assert clf.network_.preprocessor.n_features == 5
    assert clf.module_[0].in_features == 5
    assert clf.predict(X[::-1].reset_index(drop=True)).shape == (90,)


@pytest.mark.parametrize(
    "make",
    [np.asarray, sparse.csr_array, sparse.coo_array, sparse.csc_matrix, np.ndarray.tolist],
    ids=["array", "csr", "coo", "csc", "list"],
)
def test_a_transformer_takes_rows_of_any_kind(iris_like, make):
    X, y = iris_like
    clf = tiny(preprocessor=StandardScaler(with_mean=False), early_stopping=True)
    expected = clf.fit(X, y).predict_proba(X)
    close(clf.fit(make(X), y).predict_proba(make(X)), expected, rtol=1e-5)


def test_a_transformer_must_return_finite_numbers(iris_like):
    X, y = iris_like
    X[3, 0] = np.nan
    with pytest.raises(ValueError, match="what preprocessor returns contains NaN"):
        tiny(preprocessor=StandardScaler()).fit(X, y)


def test_a_transformer_is_fitted_as_it_is_on_its_own(iris_like):
    X, y = iris_like
    scaled = MinMaxScaler().fit(X)
    inside = tiny(preprocessor=MinMaxScaler()).fit(X, y).predict_proba(X)
    outside = tiny(preprocessor=None).fit(scaled.transform(X), y)
    close(outside.predict_proba(scaled.transform(X)), inside, rtol=1e-6)


@pytest.mark.parametrize(
    "preprocessor",
    ["standard", "robust", None, PCA(2)],
    ids=["standard", "robust", "None", "transformer"],
)
@pytest.mark.parametrize("kind", ["array", "table", "sparse", "image"])
def test_blocks_give_the_same_rows_as_one_call(monkeypatch, preprocessor, kind):
    if (kind, preprocessor) == ("table", None) or (kind == "image" and preprocessor):
        preprocessor = "standard"
    X = numbers(50, missing=0)
    make = {
        "array": np.asarray,
        "table": read_table,
        "sparse": sparse.csr_array,
        "image": lambda X: np.reshape(X, (-1, 3, 1, 1)),
    }[kind]
    rows = X if isinstance(preprocessor, PCA) else make(X)
    whole = fit_preprocessor(preprocessor, rows, None)
    expected = whole.transform(rows)
    monkeypatch.setattr(preprocessing, "BLOCK_BYTES", 8 * 3 * 7)
    fitted = fit_preprocessor(preprocessor, rows, None)
    sizes = [len(seen) for _, seen in fitted.blocks(rows)]
    assert len(sizes) >= 5
    assert sum(sizes) == 50
    assert max(len(seen) for _, seen in fitted.blocks(rows, most=4)) == 4
    close(transform_in_blocks(fitted, rows, np.float64), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("from_dtype", []),
        ([], []),
        (["c", "a"], [0, 2]),
        (np.array(["b"]), [1]),
        ([2, 0, 2], [0, 2]),
        (np.array([1]), [1]),
        ([True, False, True], [0, 2]),
        ((False, False, False), []),
    ],
    ids=repr,
)
def test_categorical_features_are_names_indices_or_a_mask(requested, expected):
    names = np.array(["a", "b", "c"], dtype=object)
    assert resolve_categorical(requested, np.ones((2, 3)), names) == expected


@pytest.mark.parametrize(
    "requested",
    [None, "a", 1, np.int64(1), 0.5, [0.5], ["d"], [3], [-1], [True, False], [0, "a"], [[0]]],
    ids=repr,
)
def test_categorical_features_of_any_other_kind_are_refused(requested):
    names = np.array(["a", "b", "c"], dtype=object)
    with pytest.raises(ValueError, match=r"categorical_features=.* is not allowed: give 'from_dty"):
        resolve_categorical(requested, np.ones((2, 3)), names)


def test_categorical_features_are_not_for_sparse_rows():
    with pytest.raises(
        ValueError, match=r"categorical_features=\[0\].*'from_dtype' for a sparse X"
    ):
        tiny(categorical_features=[0]).fit(sparse.csr_array(np.eye(4)), [0, 1, 0, 1])


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, object])
def test_numeric_columns_declared_categorical_are_encoded(dtype):
    X = np.array([[3, 1], [5, 2], [3, 3], [7, 4]]).astype(dtype)
    clf = tiny(categorical_features=[0]).fit(X, [0, 1, 0, 1])
    fitted = clf.network_.preprocessor
    assert isinstance(fitted, ColumnPreprocessor)
    assert fitted.n_features == 4
    np.testing.assert_array_equal(
        fitted.transform(np.array([[5, 2.5], [4, 2.5]])), [[0, 0, 1, 0], [0] * 4]
    )


def test_columns_of_a_table_are_declared_categorical_by_name(iris_like_table):
    X, y = iris_like_table
    X = X.assign(code=np.arange(90) % 4)
    widths = [
        tiny(categorical_features=f).fit(X, y).network_.preprocessor.n_features
        for f in ("from_dtype", ["code"], [6], X.columns == "code")
    ]
    assert widths[1:] == [widths[0] + 3] * 3


def test_numeric_columns_that_hold_text_later_are_refused_by_name(iris_like_table):
    X, y = iris_like_table
    clf = tiny().fit(X, y)
    with pytest.raises(ValueError, match="column 'length' held numbers in fit and .* now: 'long'"):
        clf.predict(X.assign(length=["long", *X["length"].tolist()[1:]]).astype({"length": object}))


def test_a_transformer_without_transform_is_refused():
    with pytest.raises(TypeError, match=r"preprocessor=.*a transformer with fit and transform"):
        TransformerPreprocessor.fit(object(), np.ones((2, 2)), [0, 1])


def test_categories_match_in_float32_and_float64(iris_like):
    codes = np.array([0.1, 0.2, 0.3, 20_000_001.0])[np.arange(90) % 4].reshape(-1, 1)
    fitted = ColumnPreprocessor.fit(codes, categorical=[0])
    fractions = codes[codes[:, 0] < 1]
    np.testing.assert_array_equal(
        fitted.transform(fractions), fitted.transform(fractions.astype(np.float32))
    )
    assert fitted.transform(codes).sum(axis=1).tolist() == [1.0] * 90


def test_a_transformer_takes_any_sparse_format(iris_like):
    X, y = iris_like
    clf = tiny(preprocessor=MaxAbsScaler(), early_stopping=True)
    assert clf.fit(sparse.coo_array(X), y).predict(sparse.coo_array(X)).shape == y.shape


@pytest.mark.slow
def test_50_000_sparse_rows_of_5_000_columns_fit_within_a_quarter_of_a_gigabyte():
    code = """
    from pathlib import Path
    import numpy as np
    from scipy import sparse
    from skkd import NeuralClassifier

    def peak():
        # Of this process: that of getrusage includes the one that started it.
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

    NeuralClassifier((8,), max_epochs=1).fit(np.eye(4), [0, 1, 0, 1])
    imported = peak()
    rng = np.random.default_rng(0)
    n_rows, n_columns, per_row = 50_000, 5_000, 5
    columns = rng.integers(n_columns, size=n_rows * per_row)
    starts = np.arange(0, n_rows * per_row + 1, per_row)
    X = sparse.csr_array((rng.random(len(columns)), columns, starts), (n_rows, n_columns))
    y = columns[::per_row] < n_columns // 2
    clf = NeuralClassifier((8,), batch_size=1000, max_epochs=1, random_state=0).fit(X, y)
    clf.predict(X[:5_000])
    print(peak() - imported)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    # Dense rows in float32 would take a gigabyte. The unit is a kilobyte.
    assert int(run.stdout) < 1024**2 / 4


# ---- inputs that are the same ------------------------------------------------------------


def preprocessor_of_numbers(X, **settings):
    return fit_preprocessor("robust", X, np.zeros(len(X)), **settings)


def test_inputs_are_the_same_for_all_units():
    X = numbers()
    assert preprocessor_of_numbers(X).has_same_inputs_as(preprocessor_of_numbers(3 * X + 1))
    encoding = PiecewiseLinear(n_bins=4)
    spread = preprocessor_of_numbers(X, encoding=encoding)
    assert spread.has_same_inputs_as(preprocessor_of_numbers(X[:30], encoding=encoding))
    assert PassThrough(3).has_same_inputs_as(PassThrough(3))
    images = np.zeros((4, 2, 3, 3))
    assert ChannelPreprocessor.fit(images).has_same_inputs_as(ChannelPreprocessor.fit(images + 1))


def test_inputs_differ_by_columns_bins_and_categories():
    X = np.column_stack([numbers(missing=0), np.arange(40.0) % 3])
    fitted = preprocessor_of_numbers(X)
    of_category = preprocessor_of_numbers(X, categorical=(3,))
    assert of_category.has_same_inputs_as(preprocessor_of_numbers(X[:20], categorical=(3,)))
    bins = preprocessor_of_numbers(X, encoding=PiecewiseLinear(n_bins=4))
    few = np.where(np.arange(4) == 0, X.round(-1), X)  # another column has as many bins
    others = [
        preprocessor_of_numbers(X[:, :3]),
        of_category,
        bins,
        preprocessor_of_numbers(X, encoding=PiecewiseLinear(n_bins=5)),
        PassThrough(4),
    ]
    for other in others:
        assert not fitted.has_same_inputs_as(other)
    assert not bins.has_same_inputs_as(
        preprocessor_of_numbers(few, encoding=PiecewiseLinear(n_bins=4))
    )
    assert not of_category.has_same_inputs_as(preprocessor_of_numbers(X % 2, categorical=(3,)))


def test_inputs_from_a_transformer_are_never_the_same():
    fitted = fit_preprocessor(StandardScaler(), numbers(missing=0), np.zeros(40))
    assert not fitted.has_same_inputs_as(fitted)
