"""Which columns have heavy tails, and the normal scores that a network sees of them."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm

from skkd import NeuralClassifier
from skkd.data.tables import read_table
from skkd.preprocessing import PiecewiseLinear
from skkd.preprocessing.heavy_tails import FAR, NormalScores, is_heavy_tailed
from skkd.preprocessing.preprocessor import fit_preprocessor
from skkd.preprocessing.scaling import CLIP, fit_scaling, smooth_clip

close = np.testing.assert_allclose
same = np.testing.assert_array_equal


def heavy_columns(X, weight=None, scaling="robust"):
    """Positions of the columns that are seen as normal scores."""
    return list(fit_scaling(scaling, blocks, X, np.arange(X.shape[1]), weight).normal_scores)


def blocks(rows, weight):
    yield rows, weight


def view_of(X, weight=None):
    return fit_preprocessor("robust", X, None, weight)


def long_tailed(n_rows=400, n_columns=3, seed=0):
    return np.sinh(5 * np.random.default_rng(seed).standard_normal((n_rows, n_columns)))


# Which columns
# -------------


@pytest.mark.parametrize("n_rows", [100, 200, 700, 1000])
@pytest.mark.parametrize("unit", [None, 1.0, 0.1, 1 / 3, 1.1])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e-7, 3.0])
@pytest.mark.parametrize("extra", [0, 1])
def test_it_takes_more_than_a_hundredth_beyond_eight_widths(n_rows, unit, factor, extra):
    distance = np.zeros(n_rows)
    distance[: n_rows // 100 + extra] = FAR + 0.001
    distance[-1] = 1e6  # the furthest
    distance[-40:-20] = FAR
    weight = None if unit is None else np.full(n_rows, unit)
    assert is_heavy_tailed(distance * factor, 1.0 * factor, weight) == bool(extra)


@pytest.mark.parametrize("n_rows", [30, 99, 1000])
def test_one_outlier_is_no_tail_however_few_rows_there_are(n_rows):
    x = np.random.default_rng(0).standard_normal(n_rows)
    x[0] = 1e12
    assert heavy_columns(x[:, None]) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("normal", False), ("exponential", False), ("uniform", False), ("cauchy", True)],
)
def test_distributions(name, expected):
    rng = np.random.default_rng(0)
    draw = rng.standard_cauchy if name == "cauchy" else getattr(rng, name)
    assert heavy_columns(draw(size=(2000, 1))) == [0] * expected


@pytest.mark.parametrize("share", [0.001, 0.02, 0.2])
def test_two_values_are_never_far_apart(share):
    x = (np.arange(1000) < 1000 * share) * 1e6
    assert heavy_columns(x[:, None]) == []


def test_over_one_value_the_median_distance_of_the_others_is_the_measure():
    x = np.zeros(100)
    x[:9] = [-1, 1, 2, 2, 2, 3, 40, 50, 60]
    assert heavy_columns(x[:, None]) == [0]
    x[:9] = [-1, 1, 2, 2, 2, 3, 4, 50, 60]
    assert heavy_columns(x[:, None]) == []
    x[:9] = [-1, 1, 2, 10, 10, 10, 40, 50, 60]
    assert heavy_columns(x[:, None]) == []


def test_only_robust_scaling_asks_for_tails():
    X = long_tailed()
    assert heavy_columns(X) == [0, 1, 2]
    assert heavy_columns(X, scaling="standard") == []


# What is seen of them
# --------------------


def test_scores_are_the_quantiles_of_the_normal_distribution_at_the_middle_ranks():
    x = np.random.default_rng(0).permutation(np.exp(np.arange(33.0)))
    expected = norm.ppf((np.arange(33) + 0.5) / 33) / (norm.ppf(0.75) - norm.ppf(0.25))
    scores = NormalScores.fit(x)
    found = scores.transform(np.sort(x))
    same(found[16], 0.0)
    close(found[np.isin(np.sort(x), scores.values)], expected[np.isin(np.sort(x), scores.values)])
    assert len(scores.values) > 20


@pytest.mark.parametrize("increasing", [np.sinh, np.exp, np.cbrt, lambda x: 3 * x + 1e6])
def test_increasing_functions_of_a_column_have_the_same_scores(increasing):
    x = np.random.default_rng(0).standard_normal(1000) * 4
    scores, of_function = NormalScores.fit(x), NormalScores.fit(increasing(x))
    same(of_function.scores, scores.scores)
    same(of_function.values, increasing(scores.values))
    close(of_function.transform(increasing(x)), scores.transform(x), atol=0.15)


def test_a_network_sees_the_clipped_scores_and_of_other_columns_what_it_saw():
    X = np.column_stack([long_tailed()[:, 0], np.random.default_rng(1).normal(size=400)])
    seen = view_of(X).transform(X)
    same(seen[:, 0], smooth_clip(NormalScores.fit(X[:, 0]).transform(X[:, 0])))
    same(seen[:, [1]], view_of(X[:, [1]]).transform(X[:, [1]]))


def test_order_stays_and_all_is_bounded():
    X = np.sort(long_tailed(n_columns=1), axis=0)
    view = view_of(X)
    seen = view.transform(X)[:, 0]
    assert (np.diff(seen) >= 0).all()
    assert len(np.unique(seen)) > 390
    assert np.abs(view.transform(np.array([[-1e300], [1e300]]))).max() < CLIP


def test_missing_values_and_the_median_are_zero():
    X = long_tailed()
    X[::7, 1] = np.nan
    for rows in (X, read_table(X)):
        view = view_of(rows)
        assert list(view.normal_scores) == [0, 1, 2]
        same(view.transform(rows)[::7, 1], 0.0)
    same(view_of(X).transform(view.centre[None]), 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_any_dtype_is_seen_as_in_float64(dtype):
    X = long_tailed().clip(-1e9, 1e9).astype(dtype)
    same(view_of(X).transform(X), view_of(X.astype(float)).transform(X.astype(float)))


with_far_values = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 1e3, 1e6]), st.integers(1, 4)),
    min_size=2,
    max_size=40,
)


@given(with_far_values, st.sampled_from([1.0, 0.1, 1 / 3, 1e-8]))
def test_weight_k_is_the_row_k_times_and_sparse_is_dense(rows, unit):
    values, counts = (np.array(part) for part in zip(*rows, strict=True))
    repeated = np.repeat(values, counts)[:, None]
    expected = view_of(repeated).transform(values[:, None])
    close(view_of(values[:, None], counts * unit).transform(values[:, None]), expected, atol=1e-12)
    column = sparse.csr_array(values[:, None])
    close(view_of(column, counts * unit).transform(column), expected, atol=1e-12)
    close(view_of(sparse.csr_array(repeated)).transform(column), expected, atol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_rows_of_weight_0_are_as_not_there(make):
    X = np.abs(long_tailed())
    X[X < 0.5] = 0.0
    weight = np.ones(len(X))
    weight[::5] = 0.0
    expected = view_of(X[weight > 0]).transform(X)
    X_there = X.copy()
    X_there[weight == 0] = 1e300
    close(view_of(make(X_there), weight).transform(X), expected, atol=1e-12)


def test_a_view_with_scores_survives_pickling():
    X = long_tailed()
    view = view_of(X)
    same(pickle.loads(pickle.dumps(view)).transform(X), view.transform(X))


def test_bins_stay_between_values_not_ranks():
    X = long_tailed(n_columns=1)
    view = fit_preprocessor("robust", X, None, encoding=PiecewiseLinear(n_bins=2))
    lowest, median, highest = np.quantile(X, [0, 0.5, 1], method="inverted_cdf")
    expected = np.column_stack(
        [(X - lowest) / (median - lowest), (X - median) / (highest - median)]
    )
    close(view.transform(X)[:, 1:], expected.clip(0, 1), atol=1e-12)


def test_a_network_learns_from_exponentially_long_tails():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    y = np.abs(X).max(axis=1) > 1.5
    X = np.sinh(4 * X)
    clf = NeuralClassifier((32,), max_epochs=60, random_state=0)
    assert clf.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.93  # with the clip alone .90
    clf.set_params(preprocessor="standard").fit(X[:400], y[:400])
    assert clf.score(X[400:], y[400:]) < 0.9
