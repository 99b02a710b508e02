"""Centre and width of columns by formula, and what clipping makes of values far away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from skkd import NeuralClassifier
from skkd.data.tables import read_table
from skkd.preprocessing.preprocessor import fit_preprocessor, transform_in_blocks
from skkd.preprocessing.scaling import CLIP, fit_scaling, smooth_clip, standardise

close = np.testing.assert_allclose
same = np.testing.assert_array_equal
ROUNDING = 4 * np.finfo(float).eps


def robust(rows, weight=None, numeric=None):
    """Centre and scale of robust scaling."""
    fitted = fitted_to(rows, weight, numeric)
    return fitted.centre, fitted.scale


def fitted_to(rows, weight=None, numeric=None):
    numeric = np.arange(rows.shape[1]) if numeric is None else numeric
    return fit_scaling("robust", None, rows, numeric, weight)


def seen(X, fitted_on=None, weight=None):
    """The inputs of a network for X."""
    return fit_preprocessor(
        "robust", X if fitted_on is None else fitted_on, None, weight
    ).transform(X)


def skewed(n_rows=41, n_columns=3, seed=0):
    random = np.random.RandomState(seed)
    return np.exp(random.standard_normal((n_rows, n_columns))) * [1, 100, 1e-3][:n_columns]


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5, 8, 40, 41, 42, 43, 999])
@pytest.mark.parametrize("weight", [None, 1.0, 0.1], ids=str)
def test_median_and_quartiles_are_numpys_inverted_cdf(n_rows, weight):
    X = skewed(n_rows)
    lower, median, upper = np.quantile(X, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
    centre, scale = robust(X, None if weight is None else np.full(n_rows, weight))
    same(centre, median)
    close(scale, upper - lower, rtol=1e-15)


columns = st.integers(2, 30).flatmap(
    lambda n_rows: st.tuples(
        arrays(float, n_rows, elements=st.floats(-1e6, 1e6)),
        arrays(int, n_rows, elements=st.integers(1, 5)),
    )
)


@given(columns, st.sampled_from([1.0, 0.1, 1 / 3, 1e-8, 1e8]))
def test_weight_k_is_the_row_k_times(column, unit):
    values, counts = column
    weighted = robust(values[:, None], counts * unit)
    repeated = robust(np.repeat(values, counts)[:, None])
    for found, expected in zip(weighted, repeated, strict=True):
        same(found, expected)


@given(columns, st.randoms())
def test_the_order_of_the_rows_does_not_matter(column, random):
    values, counts = column
    order = list(range(len(values)))
    random.shuffle(order)
    for weight in (None, counts.astype(float)):
        there = robust(values[order, None], None if weight is None else weight[order])
        for found, expected in zip(there, robust(values[:, None], weight), strict=True):
            same(found, expected)


@given(columns)
def test_half_of_the_weight_lies_within_one_width_of_the_median(column):
    values, counts = column
    (centre,), (scale,) = robust(values[:, None], counts.astype(float))
    if np.isfinite(scale):
        near = np.abs(values - centre) <= scale * (1 + 1e-9)
        assert counts[near].sum() >= counts.sum() / 2


def test_without_a_distance_between_the_quartiles_the_width_is_half_the_range():
    X = np.array([0.0] * 18 + [5.0, -1.0])[:, None]
    centre, scale = robust(X)
    assert (centre[0], scale[0]) == (0.0, 3.0)
    close(np.unique(seen(X)), [-1 / 3 / np.sqrt(1 + 1 / 81), 0, 5 / 3 / np.sqrt(1 + 25 / 81)])


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1e300])
@pytest.mark.parametrize("weight", [None, np.array([0.1, 0.3, 7, 1e-3, 2])], ids=["", "weighted"])
def test_constant_columns_are_infinitely_wide_and_ignored(value, weight):
    X = np.full((5, 1), value)
    assert robust(X, weight)[1] == np.inf
    assert (seen(np.array([[value], [2.1], [-1e300], [np.nan]]), X, weight) == 0).all()


def test_a_column_that_was_constant_in_fit_changes_no_prediction(iris_like):
    X, y = iris_like
    X[:, 2] = 5.0
    clf = NeuralClassifier((4,), max_epochs=3, random_state=0).fit(X, y)
    expected = clf.predict_proba(X)
    X[:, 2] = np.linspace(-1e9, 1e9, len(X))
    same(clf.predict_proba(X), expected)


def test_missing_values_are_left_out_and_become_the_median():
    X = skewed()
    gaps = np.random.RandomState(1).uniform(size=X.shape) < 0.3
    weight = np.arange(1.0, 42)
    holes = np.where(gaps, np.nan, X)
    for w in (None, weight):
        centre, scale = robust(holes, w)
        for j in range(X.shape[1]):
            known = ~gaps[:, j]
            expected = robust(X[known][:, [j]], None if w is None else w[known])
            assert (centre[j], scale[j]) == (expected[0][0], expected[1][0])
    assert (seen(holes)[gaps] == 0).all()


def test_columns_without_any_value_are_zero():
    X = np.column_stack([np.full(4, np.nan), np.arange(4.0)])
    assert robust(X)[0].tolist() == [0.0, 1.0]
    assert np.isfinite(seen(X)).all()
    assert (seen(X)[:, 0] == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_equals_dense(make, weighted):
    X = sparse.random_array((60, 5), density=0.7, rng=0, format="csr")
    X.data[::3] *= -5
    weight = np.arange(1.0, 61) if weighted else None
    for found, expected in zip(robust(make(X), weight), robust(X.toarray(), weight), strict=True):
        same(found, expected)
    same(seen(sparse.csr_array(X), weight=weight), seen(X.toarray(), weight=weight))


def test_sparse_values_stored_in_parts_are_their_sum():
    in_parts = sparse.csc_array(([1.0, 2.0, 5.0], [0, 0, 2], [0, 3]), shape=(3, 1))
    for found, expected in zip(robust(in_parts), robust(in_parts.toarray()), strict=True):
        same(found, expected)
    assert in_parts.data.tolist() == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_table_equals_the_array(weighted):
    X = np.where(np.random.RandomState(1).uniform(size=(41, 3)) < 0.1, np.nan, skewed())
    weight = np.arange(1.0, 42) if weighted else None
    for found, expected in zip(robust(read_table(X), weight), robust(X, weight), strict=True):
        same(found, expected)
    same(seen(read_table(X), weight=weight), seen(X, weight=weight))


def test_only_the_numeric_columns_are_scaled():
    X = skewed()
    X[::10, 0] += np.arange(1000, 1005)
    whole = robust(X)
    for found, expected in zip(robust(X, numeric=np.array([2, 0])), whole, strict=True):
        same(found, expected[[2, 0]])
    assert list(fitted_to(X, numeric=np.array([2, 0])).normal_scores) == [1]
    assert [part.shape for part in robust(X, numeric=np.array([], dtype=int))] == [(0,), (0,)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_numbers_of_any_dtype_are_scaled_in_float64(dtype):
    X = (skewed() * 10 % 7).astype(dtype)
    for found, expected in zip(robust(X), robust(X.astype(np.float64)), strict=True):
        assert found.dtype == np.float64
        same(found, expected)


@given(arrays(float, 20, elements=st.floats(-1e150, 1e150)))
def test_smooth_clip_is_its_formula_odd_and_bounded(x):
    clipped = smooth_clip(x.copy())
    close(clipped, x / np.sqrt(1 + (x / 3) ** 2), rtol=1e-12)
    same(smooth_clip(-x), -clipped)
    assert (np.abs(clipped) <= CLIP + ROUNDING).all()
    assert (np.abs(clipped) <= np.abs(x) * (1 + ROUNDING)).all()


@given(arrays(float, 20, elements=st.floats(-1e30, 1e30)))
def test_smooth_clip_is_monotone(x):
    x.sort()
    clipped = smooth_clip(x.copy())
    assert (np.diff(clipped) >= -ROUNDING * np.abs(clipped[1:])).all()


def test_smooth_clip_keeps_moderate_values_distinct_and_hardly_changes_those_near_zero():
    x = np.linspace(-100, 100, 2001)
    assert (np.diff(smooth_clip(x.copy())) > 0).all()
    small = np.linspace(-0.01, 0.01, 101)
    close(smooth_clip(small.copy()), small, rtol=1e-5)
    close(smooth_clip(np.array([0.0, 4.0, -4.0])), [0, 2.4, -2.4])


def test_smooth_clip_works_in_place():
    x = np.array([1.0, 2.0])
    assert smooth_clip(x) is x


@pytest.mark.parametrize("kind", ["array", "table", "sparse"])
def test_inputs_are_scaled_then_clipped(kind):
    X = skewed()
    make = {"array": np.asarray, "table": read_table, "sparse": sparse.csr_array}[kind]
    centre, scale = robust(X)
    close(seen(make(X)), smooth_clip(standardise(X, centre, scale)), rtol=1e-14)


@pytest.mark.parametrize(
    ("offset", "factor", "tolerance"),
    [(0.0, 1e-9, 1e-12), (0.0, 1e12, 1e-12), (1e7, 1.0, 1e-7), (1e7, 1e3, 1e-9), (-1e7, 1.0, 1e-7)],
)
def test_neither_units_nor_offsets_change_the_inputs(offset, factor, tolerance):
    X = skewed() / [1, 100, 1e-3]
    close(seen(offset + factor * X), seen(X), rtol=0, atol=tolerance)


def test_a_mirrored_column_gives_mirrored_inputs():
    X = skewed(41)  # of 4 n + 1 rows the quartiles are mirrored, too
    close(seen(-X), -seen(X), rtol=1e-12)


def test_time_stamps_around_the_median_keep_their_distinct_values():
    seconds = (1.7e9 + np.arange(120.0))[:, None]
    clipped = transform_in_blocks(fit_preprocessor("robust", seconds, None), seconds, np.float32)
    assert len(np.unique(clipped)) == 120


def test_heavy_tails_stay_bounded_and_in_their_order():
    x = np.sort(np.random.RandomState(0).standard_cauchy(2000) ** 3)
    clipped = seen(x[:, None])[:, 0]
    assert np.ptp(x) > 1e6
    assert (np.abs(clipped) <= CLIP + ROUNDING).all()
    assert (np.diff(clipped) >= -ROUNDING).all()
    assert len(np.unique(clipped)) > 1900
    assert 0.3 < np.median(np.abs(clipped)) < 0.7  # half of the rows lie between the quartiles


@pytest.mark.parametrize(
    ("X", "tolerance"),
    [
        (skewed(400, 1), 0.05),
        (np.random.RandomState(0).standard_normal((400, 1)), 0.02),
        (np.random.RandomState(0).standard_normal((50, 1)), 0.16),
        (np.random.RandomState(0).standard_normal((20, 1)), 0.4),
    ],
    ids=["skewed", "400 rows", "50 rows", "20 rows"],
)
def test_an_outlier_does_not_move_the_others(X, tolerance):
    with_outlier = np.concatenate([X, [[1e12]]])
    close(seen(with_outlier)[:-1], seen(X), atol=tolerance)
    assert seen(with_outlier)[-1] == pytest.approx(CLIP)


@pytest.mark.parametrize("value", [np.finfo(float).max, -np.finfo(float).max, 1e300])
def test_the_largest_numbers_do_not_overflow(value):
    for fitted_on in ([[0.0], [1e-9]], [[0.0], [5e-324]], [[0.0], [1.0]]):
        clipped = seen(np.array([[value]]), np.array(fitted_on))
        close(clipped, np.sign(value) * CLIP)


def test_the_most_distant_numbers_have_a_finite_scale():
    largest = np.finfo(float).max
    X = np.array([[-largest], [0.0], [1.0], [largest]])
    assert np.isfinite(seen(X)).all()


def test_partial_fit_uses_columns_that_were_constant_at_first():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    y = X[:, 0] > 0
    X[:20, 0], y[:20] = 0.0, np.arange(20) % 2
    clf = NeuralClassifier((16,), random_state=0)
    for start in list(range(0, 400, 20)) * 3:
        clf.partial_fit(X[start : start + 20], y[start : start + 20], classes=[False, True])
    assert clf.score(X[20:], y[20:]) > 0.9


def test_a_column_without_any_number_in_fit_changes_no_prediction():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = X[:, 1] > 0
    X[:, 0] = np.nan
    clf = NeuralClassifier((8,), max_epochs=5, random_state=0).fit(X, y)
    other = X.copy()
    other[:, 0] = 5.0
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(other))


@pytest.mark.parametrize("weighted", [False, True])
def test_mostly_empty_sparse_columns_are_scaled_as_dense_ones(weighted):
    X = sparse.random(200, 30, density=0.1, random_state=0, format="csr")
    X.data -= 0.5
    X.data[::7] *= 1000
    X.data[1::7] = 0.0
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 200) if weighted else None
    settings = {"labels": np.zeros(200), "sample_weight": weight}
    of_sparse = fit_preprocessor("robust", X, **settings)
    of_dense = fit_preprocessor("robust", X.toarray(), **settings)
    np.testing.assert_allclose(of_sparse.centre, of_dense.centre)
    np.testing.assert_allclose(of_sparse.scale, of_dense.scale)
    assert of_sparse.normal_scores.keys() == of_dense.normal_scores.keys()
    close(of_sparse.transform(X), of_dense.transform(X.toarray()), rtol=1e-14)


def test_quartiles_at_both_ends_of_the_numbers_have_a_finite_distance():
    X = np.tile([-1e308, 1e308], 50).reshape(-1, 1)
    assert np.isfinite(fit_preprocessor("robust", X, np.zeros(100)).scale).all()
