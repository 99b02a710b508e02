"""Which columns have heavy tails, and their normal scores."""

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
    """Positions of the columns that become normal scores."""
    return list(fit_scaling(scaling, blocks, X, np.arange(X.shape[1]), weight).normal_scores)


def blocks(rows, weight):
    yield rows, weight


def preprocessor_of(X, weight=None):
    return fit_preprocessor("robust", X, None, weight)


def long_tailed(n_rows=400, n_columns=3, seed=0):
    return np.sinh(5 * np.random.default_rng(seed).standard_normal((n_rows, n_columns)))


# Which columns have heavy tails
# -----------------------------


@pytest.mark.parametrize("n_rows", [100, 200, 700, 1000])
@pytest.mark.parametrize("unit", [None, 1.0, 0.1, 1 / 3, 1.1])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e-7, 3.0])
@pytest.mark.parametrize("extra", [0, 1])
def test_a_tail_needs_more_than_a_hundredth_beyond_eight_widths(n_rows, unit, factor, extra):
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
def test_a_column_of_two_values_has_no_tail(share):
    x = (np.arange(1000) < 1000 * share) * 1e6
    assert heavy_columns(x[:, None]) == []


def test_without_a_quartile_distance_the_median_distance_of_the_others_is_the_unit():
    x = np.zeros(100)
    x[:9] = [-1, 1, 2, 2, 2, 3, 40, 50, 60]
    assert heavy_columns(x[:, None]) == [0]
    x[:9] = [-1, 1, 2, 2, 2, 3, 4, 50, 60]
    assert heavy_columns(x[:, None]) == []
    x[:9] = [-1, 1, 2, 10, 10, 10, 40, 50, 60]
    assert heavy_columns(x[:, None]) == []


def test_only_robust_scaling_computes_normal_scores():
    X = long_tailed()
    assert heavy_columns(X) == [0, 1, 2]
    assert heavy_columns(X, scaling="standard") == []


# Their normal scores
# -------------------


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


def test_heavy_tailed_columns_become_clipped_scores_and_others_do_not_change():
    X = np.column_stack([long_tailed()[:, 0], np.random.default_rng(1).normal(size=400)])
    seen = preprocessor_of(X).transform(X)
    same(seen[:, 0], smooth_clip(NormalScores.fit(X[:, 0]).transform(X[:, 0])))
    same(seen[:, [1]], preprocessor_of(X[:, [1]]).transform(X[:, [1]]))


def test_scores_keep_the_order_and_are_bounded():
    X = np.sort(long_tailed(n_columns=1), axis=0)
    fitted = preprocessor_of(X)
    seen = fitted.transform(X)[:, 0]
    assert (np.diff(seen) >= 0).all()
    assert len(np.unique(seen)) > 390
    assert np.abs(fitted.transform(np.array([[-1e300], [1e300]]))).max() < CLIP


def test_missing_values_and_the_median_are_zero():
    X = long_tailed()
    X[::7, 1] = np.nan
    for rows in (X, read_table(X)):
        fitted = preprocessor_of(rows)
        assert list(fitted.normal_scores) == [0, 1, 2]
        same(fitted.transform(rows)[::7, 1], 0.0)
    same(preprocessor_of(X).transform(fitted.centre[None]), 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_every_dtype_gives_the_same_as_float64(dtype):
    X = long_tailed().clip(-1e9, 1e9).astype(dtype)
    same(
        preprocessor_of(X).transform(X), preprocessor_of(X.astype(float)).transform(X.astype(float))
    )


with_far_values = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 1e3, 1e6]), st.integers(1, 4)),
    min_size=2,
    max_size=40,
)


@given(with_far_values, st.sampled_from([1.0, 0.1, 1 / 3, 1e-8]))
def test_weight_k_is_the_row_k_times_and_sparse_is_dense(rows, unit):
    values, counts = (np.array(part) for part in zip(*rows, strict=True))
    repeated = np.repeat(values, counts)[:, None]
    expected = preprocessor_of(repeated).transform(values[:, None])
    close(
        preprocessor_of(values[:, None], counts * unit).transform(values[:, None]),
        expected,
        atol=1e-12,
    )
    column = sparse.csr_array(values[:, None])
    close(preprocessor_of(column, counts * unit).transform(column), expected, atol=1e-12)
    close(preprocessor_of(sparse.csr_array(repeated)).transform(column), expected, atol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_rows_of_weight_0_do_not_count(make):
    X = np.abs(long_tailed())
    X[X < 0.5] = 0.0
    weight = np.ones(len(X))
    weight[::5] = 0.0
    expected = preprocessor_of(X[weight > 0]).transform(X)
    X_there = X.copy()
    X_there[weight == 0] = 1e300
    close(preprocessor_of(make(X_there), weight).transform(X), expected, atol=1e-12)


def test_a_preprocessor_with_scores_survives_pickling():
    X = long_tailed()
    fitted = preprocessor_of(X)
    same(pickle.loads(pickle.dumps(fitted)).transform(X), fitted.transform(X))


def test_bins_have_edges_at_values_not_at_ranks():
    X = long_tailed(n_columns=1)
    fitted = fit_preprocessor("robust", X, None, encoding=PiecewiseLinear(n_bins=2))
    lowest, median, highest = np.quantile(X, [0, 0.5, 1], method="inverted_cdf")
    expected = np.column_stack(
        [(X - lowest) / (median - lowest), (X - median) / (highest - median)]
    )
    close(fitted.transform(X)[:, 1:], expected.clip(0, 1), atol=1e-12)


def test_a_network_learns_from_exponentially_long_tails():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    y = np.abs(X).max(axis=1) > 1.5
    X = np.sinh(4 * X)
    clf = NeuralClassifier((32,), max_epochs=60, random_state=0)
    assert clf.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.93  # .90 with clipping alone
    clf.set_params(preprocessor="standard").fit(X[:400], y[:400])
    assert clf.score(X[400:], y[400:]) < 0.9
