"""Samplers of synthetic rows: the properties of all of them, and those of each."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.tree import DecisionTreeRegressor

from skkd.transfer import Gibbs, Munge, Sampler, Spunge, resolve_augment
from skkd.transfer.attributes import Attributes, one_hot_groups
from skkd.transfer.gibbs import Leaves
from skkd.transfer.munge import layers_of
from skkd.transfer.neighbours import embed, nearest_others
from skkd.transfer.sampler import BLOCK_ROWS, shuffled_copies

SAMPLERS = [
    Munge(),
    Munge(p=1.0, s=0.2, block_rows=20),
    Spunge(),
    Spunge(share=1.0, noise=3.0, p=1.0),
    Gibbs(),
    Gibbs(p=1.0, n_rounds=2, min_samples_leaf=1, max_rows=30),
]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


def mixed_rows(n_rows, seed=0):
    """A number, a whole number, gaps, a flag, a constant, a group of three, three codes."""
    rng = np.random.default_rng(seed)
    number = rng.standard_normal(n_rows)
    gaps = np.where(rng.random(n_rows) < 0.3, np.nan, number + rng.random(n_rows))
    colour = rng.integers(3, size=n_rows)
    columns = [number, np.rint(10 * number), gaps, number > 0, np.full(n_rows, 7.0)]
    codes = np.array([-1.0, 5.0, 2.5])[rng.integers(3, size=n_rows)]
    return np.column_stack([*columns, *np.eye(3)[colour].T, codes])


CODES = 8  # given as categorical


def assert_like(X, rows):
    """Assert the properties that rows made from `mixed_rows` have for every sampler."""
    assert rows.dtype == X.dtype
    for old, new in zip(X.T, rows.T, strict=True):
        if np.isnan(old).all():
            assert np.isnan(new).all()
            continue
        assert np.isnan(old).any() or not np.isnan(new).any()
        known = new[~np.isnan(new)]
        assert (known >= np.nanmin(old)).all()
        assert (known <= np.nanmax(old)).all()
    whole = rows[:, 1]
    np.testing.assert_array_equal(whole, np.rint(whole))
    for j in (3, 4, CODES):
        assert set(rows[:, j]) <= set(X[:, j])
    group = rows[:, 5:8]
    assert set(group.ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(group.sum(axis=1), 1)


@every_sampler
@settings(max_examples=15)
@given(n_rows=st.integers(8, 60), n_new=st.integers(1, 200), seed=st.integers(0, 99))
def test_properties_of_every_sampler(sampler, n_rows, n_new, seed):
    X = mixed_rows(n_rows, seed)
    before = X.copy()
    rows = sampler.fit(X, categorical=[CODES]).sample(n_new, random_state=seed)
    assert len(rows) == n_new
    assert_like(X, rows)
    np.testing.assert_array_equal(X, before)


@every_sampler
def test_most_rows_are_new(sampler):
    X = mixed_rows(200)
    rows = sampler.fit(X, categorical=[CODES]).sample(200, random_state=0)
    known = {row.tobytes() for row in X}
    assert sum(row.tobytes() in known for row in rows) < 100


@every_sampler
def test_the_seed_decides_in_one_container_or_in_many(sampler):
    X = mixed_rows(50)
    sampler.fit(X)
    rows = sampler.sample(130, random_state=1)
    np.testing.assert_array_equal(rows, sampler.sample(130, np.random.RandomState(1)))
    np.testing.assert_array_equal(rows, clone(sampler).fit(X).sample(130, random_state=1))
    for batch_rows in (1, 7, 50, 130, 999):
        batches = list(sampler.batches(130, random_state=1, batch_rows=batch_rows))
        assert {len(batch) for batch in batches[:-1]} <= {batch_rows}
        np.testing.assert_array_equal(rows, np.concatenate(batches))
    assert not np.array_equal(rows, sampler.sample(130, random_state=2), equal_nan=True)


@every_sampler
def test_more_rows_than_a_block(sampler):
    X = mixed_rows(30)
    rows = sampler.fit(X, categorical=[CODES]).sample(BLOCK_ROWS + 5, random_state=0)
    assert len(rows) == BLOCK_ROWS + 5
    assert_like(X, rows)


@every_sampler
def test_global_random_state_is_left_alone(sampler):
    before = np.random.get_state()[1].copy()
    sampler.fit(mixed_rows(30)).sample(5, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@every_sampler
def test_a_fitted_sampler_pickles(sampler):
    sampler.fit(mixed_rows(30))
    again = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(again.sample(9, random_state=3), sampler.sample(9, 3))


@every_sampler
@pytest.mark.parametrize(
    "X",
    [
        np.array([[1.5, 2.0, np.nan]]),
        np.full((4, 2), np.nan),
        np.tile([[0.1, 3.0, 0.0]], (30, 1)),
        np.array([[1.0], [2.0], [4.0]]),
        np.array([[np.nan, 1.0], [0.5, np.nan], [0.7, 3.0], [0.9, 5.0]]),
    ],
    ids=["one row", "all missing", "copies", "one column", "gaps"],
)
def test_edge_cases(sampler, X):
    rows = sampler.fit(X).sample(25, random_state=0)
    assert rows.shape == (25, X.shape[1])
    for old, new in zip(X.T, rows.T, strict=True):
        if len(np.unique(old)) == 1:
            np.testing.assert_array_equal(new, np.full(25, old[0]))


@every_sampler
def test_infinity_is_refused_by_name(sampler):
    with pytest.raises(ValueError, match="infinity in column 'column 1'.*row 2"):
        sampler.fit(np.array([[0.0, 1.0], [1.0, 2.0], [2.0, -np.inf]]))


@every_sampler
def test_no_rows_and_wrong_sizes_are_refused(sampler):
    with pytest.raises(ValueError, match="at least one row and one column"):
        sampler.fit(np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least one row and one column"):
        sampler.fit([1.0, 2.0])
    with pytest.raises(ValueError, match="indices of columns, from 0 to 8"):
        sampler.fit(mixed_rows(5), categorical=[9])
    sampler.fit(mixed_rows(5))
    with pytest.raises(ValueError, match="n_rows=0 is not allowed"):
        sampler.sample(0)
    with pytest.raises(TypeError, match="batch_rows='all'"):
        next(sampler.batches(3, batch_rows="all"))


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Munge(p=1.1), r"p=1.1 is not allowed: give a number in \[0, 1\]"),
        (Munge(s=0), "s=0 is not allowed: give a number > 0"),
        (Munge(block_rows=1), "block_rows=1 is not allowed: give an integer >= 2"),
        (Spunge(share=-1), "share=-1 is not allowed"),
        (Spunge(noise=-1), "noise=-1 is not allowed"),
        (Spunge(p=2), "p=2 is not allowed"),
        (Gibbs(n_rounds=0), "n_rounds=0 is not allowed"),
        (Gibbs(p=-1), "p=-1 is not allowed"),
        (Gibbs(min_samples_leaf=0), "min_samples_leaf=0 is not allowed"),
        (Gibbs(max_features=0), "max_features=0 is not allowed"),
        (Gibbs(max_rows=1), "max_rows=1 is not allowed"),
    ],
)
def test_parameters_out_of_bounds_are_refused_at_fit(sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler.fit(mixed_rows(5))


# --- attributes


def test_kinds_of_columns():
    attributes = Attributes(mixed_rows(100))
    assert dict(zip(attributes.columns, attributes.kinds, strict=True)) == {
        (0,): "continuous",
        (1,): "integral",
        (2,): "continuous",
        (8,): "continuous",
        (3,): "nominal",
        (4,): "nominal",
        (5, 6, 7): "group",
    }


def test_groups_that_lie_apart():
    rng = np.random.default_rng(0)
    first, second = np.eye(4)[rng.integers(4, size=99)], np.eye(3)[rng.integers(3, size=99)]
    X = np.column_stack([first[:, :2], second[:, :1], first[:, 2:], second[:, 1:]])
    assert sorted(Attributes(X).columns) == [(0, 1, 3, 4), (2, 5, 6)]
    assert set(Attributes(X).kinds) == {"group"}


def test_a_wide_group_is_found_among_flags():
    rng = np.random.default_rng(0)
    group = np.eye(200)[rng.integers(200, size=1000)]
    flags = rng.integers(2, size=(1000, 3))
    kinds = Attributes(np.column_stack([flags, group, flags[:, :1]])).kinds
    assert kinds == ["nominal"] * 3 + ["group", "nominal"]


def test_flags_that_overlap_or_leave_a_row_out_are_no_group():
    overlap = np.array([[1, 0], [0, 1], [1, 1]])
    neither = np.array([[1, 0], [0, 1], [0, 0]])
    for X in (overlap, neither):
        assert Attributes(X).kinds == ["nominal", "nominal"]


def test_integers_beyond_float64_are_nominal():
    X = np.array([[2**60 + 1, 1], [2**60 + 3, 2], [2**60 + 5, 3]], dtype=np.int64)
    assert sorted(Attributes(X).kinds) == ["integral", "nominal"]
    rows = Munge(p=1.0).fit(X).sample(30, random_state=0)
    assert set(rows[:, 0]) == set(X[:, 0])


def test_of_very_many_flags_neighbouring_ones_are_still_groups():
    rng = np.random.default_rng(0)
    codes = np.eye(30, dtype=bool)[rng.integers(30, size=200)]
    flags = [*(rng.random((700, 200)) < 0.1), *codes.T, *(rng.random((700, 200)) < 0.1)]
    assert one_hot_groups(dict(enumerate(flags)), 200) == [tuple(range(700, 730))]


# --- Munge


def test_nominal_values_that_nearly_all_differ_need_no_more_vectors_than_rows():
    names = np.arange(100_000).astype(str).astype(object)
    attributes = Attributes(np.column_stack([names, np.arange(100_000)]))
    points = embed(attributes, np.arange(50))
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    different = squares[~np.eye(50, dtype=bool)]
    np.testing.assert_allclose(different, 1, atol=1e-4)  # 50 values: orthogonal vectors


def test_neighbours_are_those_of_a_search_over_the_published_distance():
    X = np.delete(mixed_rows(80), 2, axis=1)  # no gaps
    attributes = Attributes(X, categorical=[7])
    found, distances = nearest_others(embed(attributes, np.arange(80)))
    scaled = X[:, :2] - X[:, :2].min(axis=0)
    scaled /= scaled.max(axis=0)
    codes = np.column_stack([X[:, 2], X[:, 4:7].argmax(axis=1), X[:, 7]])
    squares = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
    squares += (codes[:, None] != codes).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    np.testing.assert_array_equal(found, squares.argmin(axis=1))
    np.testing.assert_allclose(distances, np.sqrt(squares.min(axis=1)), rtol=1e-4)


def test_swaps_alone_keep_the_values_of_every_nominal_column():
    X = np.array([[letter] for letter in "aabbbccccc"], dtype=object)
    rows = Munge(p=1.0).fit(X).sample(10, random_state=0)
    assert sorted(rows[:, 0]) == sorted(X[:, 0])


def test_a_pair_is_drawn_around_each_other():
    X = np.array([[0.0, 0], [1.0, 0], [10.0, 1], [11.0, 1]])
    sampler = Munge(p=1.0, s=10.0).fit(X)
    rows = sampler.sample(4000, random_state=0)
    low = rows[rows[:, 1] == 0, 0]
    assert low.max() < 3.0
    near_zero = low[np.abs(low) < 0.5]
    assert 0.4 < len(near_zero) / len(low) < 0.6


def test_no_change_at_probability_zero():
    X = mixed_rows(40)
    rows = Munge(p=0.0).fit(X).sample(40, random_state=0)
    order = [np.lexsort(np.nan_to_num(table[:, :3]).T) for table in (X, rows)]
    np.testing.assert_array_equal(rows[order[1]], X[order[0]])


def one_by_one(X, neighbours, order):
    """All attributes of each pair swapped, in order: the published loop with s = infinity."""
    X = X.copy()
    for row in order:
        pair = [row, neighbours[row]]
        X[pair] = X[pair[::-1]]
    return X


@given(n_rows=st.integers(2, 40), seed=st.integers(0, 99))
def test_layers_do_what_one_pair_after_another_does(n_rows, seed):
    rng = np.random.RandomState(seed)
    order = rng.permutation(n_rows)
    neighbours = (np.arange(n_rows) + rng.randint(1, n_rows, size=n_rows)) % n_rows
    X = np.arange(n_rows)
    layers = layers_of(order, neighbours)
    assert sorted(np.concatenate(layers)) == list(range(n_rows))
    expected = one_by_one(X, neighbours, order)
    for rows in layers:
        assert len(set(rows) | set(neighbours[rows])) == 2 * len(rows)
        others = neighbours[rows]
        X[rows], X[others] = X[others], X[rows]
    np.testing.assert_array_equal(X, expected)


def test_nearest_others_of_copies_are_copies():
    points = np.repeat(np.random.default_rng(0).random((5, 3)), 4, axis=0).astype(np.float32)
    found, distances = nearest_others(points)
    assert (found != np.arange(20)).all()
    np.testing.assert_array_equal(found // 4, np.arange(20) // 4)
    np.testing.assert_allclose(distances, 0, atol=1e-6)


# --- Spunge


@pytest.mark.parametrize(("share", "n_drawn"), [(0.0, 0), (0.01, 1), (0.1, 2), (0.49, 9)])
def test_the_share_of_attributes_from_other_rows(share, n_drawn):
    X = np.arange(1000.0)[:, None] + 1000 * np.arange(20)
    rows = Spunge(share=share, noise=0.0).fit(X).sample(1000, random_state=0)
    n_own = stats.mode(rows % 1000, axis=1).count
    assert (n_own >= 20 - n_drawn).all()
    np.testing.assert_allclose(n_own.mean(), 20 - n_drawn, rtol=0.01)


def test_marginals_are_kept_where_all_attributes_are_drawn():
    X = mixed_rows(500)
    rows = Spunge(share=1.0, noise=0.0).fit(X).sample(5000, random_state=0)
    assert stats.ks_2samp(X[:, 0], rows[:, 0]).pvalue > 0.01
    assert abs(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]) < 0.05
    assert np.corrcoef(X[:, 0], X[:, 1])[0, 1] > 0.99


def test_noise_has_its_standard_deviation_and_probability():
    X = np.random.default_rng(0).normal(scale=[[5.0, 0.1]], size=(4000, 2))
    sampler = Spunge(share=0.0, noise=0.1, p=0.3).fit(X)
    donors, numbers = next(sampler.draw(4000, np.random.RandomState(0)))
    difference = numbers - X[donors[:, 0]]
    is_noisy = difference != 0
    np.testing.assert_allclose(is_noisy.mean(axis=0), 0.3, atol=0.03)
    sd = [column[noisy].std() for column, noisy in zip(difference.T, is_noisy.T, strict=True)]
    np.testing.assert_allclose(sd, [0.5, 0.01], rtol=0.1)


# --- Gibbs


def test_every_value_is_an_observed_one():
    X = mixed_rows(100)
    rows = Gibbs(p=1.0, n_rounds=3).fit(X).sample(300, random_state=0)
    for old, new in zip(X.T, rows.T, strict=True):
        assert {str(value) for value in new} <= {str(value) for value in old}


def test_dependent_attributes_stay_dependent():
    X = mixed_rows(2000)
    rows = Gibbs(p=1.0).fit(X).sample(2000, random_state=0)
    assert np.corrcoef(rows[:, 0], rows[:, 1])[0, 1] > 0.98
    assert np.mean((rows[:, 0] > 0) == (rows[:, 3] == 1)) > 0.98
    assert stats.ks_2samp(X[:, 0], rows[:, 0]).pvalue > 0.01
    assert abs(np.isnan(rows[:, 2]).mean() - np.isnan(X[:, 2]).mean()) < 0.03


def test_gaps_that_follow_from_another_attribute_do_so_in_new_rows():
    rng = np.random.default_rng(0)
    x = rng.random(1000)
    X = np.column_stack([x, np.where(x > 0.5, np.nan, rng.random(1000))])
    rows = Gibbs(p=1.0).fit(X).sample(1000, random_state=0)
    assert np.mean(np.isnan(rows[:, 1]) == (rows[:, 0] > 0.5)) > 0.98


def test_donors_are_uniform_over_the_leaf_that_the_tree_leads_to():
    X = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    tree = DecisionTreeRegressor(min_samples_leaf=5).fit(X, X[:, 0])
    donors = Leaves(tree, X).donors(np.repeat(X, 200, axis=0), np.random.RandomState(0))
    np.testing.assert_array_equal(tree.apply(X[donors]), np.repeat(tree.apply(X), 200))
    counts = np.bincount(donors[np.repeat(tree.apply(X), 200) == tree.apply(X)[0]])
    assert stats.chisquare(counts[counts > 0]).pvalue > 0.01


def test_very_many_values_of_a_nominal_attribute():
    names = np.array([[f"name {i % 150}", i // 3] for i in range(450)], dtype=object)
    rows = Gibbs(p=1.0).fit(names).sample(100, random_state=0)
    assert set(rows[:, 0]) <= set(names[:, 0])
    assert Munge().fit(names).sample(100, random_state=0).shape == (100, 2)


# --- as the parameter `augment`


@pytest.mark.parametrize(("name", "kind"), [("munge", Munge), ("spunge", Spunge), ("gibbs", Gibbs)])
def test_samplers_by_name(name, kind):
    assert type(resolve_augment(name)) is kind
    assert resolve_augment(name).get_params() == kind().get_params()


def test_a_sampler_that_is_given_is_not_fitted_itself():
    given_sampler = Munge(p=0.3)
    resolved = resolve_augment(given_sampler)
    resolved.fit(mixed_rows(5))
    assert resolved.p == 0.3
    assert not hasattr(given_sampler, "attributes_")


def test_a_callable_makes_rows():
    def rolled(X, n_rows, random_state):
        return X[random_state.randint(len(X), size=n_rows)]

    X = mixed_rows(30)
    sampler = resolve_augment(rolled).fit(X, categorical=[CODES])
    batches = list(sampler.batches(10, random_state=0, batch_rows=4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    again = list(sampler.batches(10, random_state=0, batch_rows=4))
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(again))
    assert not np.array_equal(batches[0], batches[1], equal_nan=True)


def test_a_callable_that_makes_too_few_rows_is_named():
    sampler = resolve_augment(lambda X, n_rows, random_state: X[:2]).fit([[1], [2], [3]])
    with pytest.raises(ValueError, match="must return n_rows=3 rows; it returned 2"):
        sampler.sample(3)


class Bootstrap:
    """A sampler of another library: its fit returns None."""

    def fit(self, X):
        self.X = X

    def sample(self, n_rows, random_state):
        return self.X[np.random.RandomState(random_state).randint(len(self.X), size=n_rows)]


def test_an_object_with_fit_and_sample_is_copied():
    theirs = Bootstrap()
    rows = resolve_augment(theirs).fit(mixed_rows(9), categorical=[CODES]).sample(4, random_state=0)
    assert rows.shape == (4, 9)
    assert not hasattr(theirs, "X")


@pytest.mark.parametrize("augment", ["mixup", None, 3, Munge, object(), ["munge"]])
def test_anything_else_is_refused(augment):
    with pytest.raises((ValueError, TypeError), match="give 'munge', 'spunge', 'gibbs', a sampler"):
        resolve_augment(augment)
    with pytest.raises((ValueError, TypeError), match="give 'auto', 'munge', 'spunge', 'gibbs', a"):
        resolve_augment(augment, besides=("auto",))


def test_a_custom_sampler_must_define_draw():
    with pytest.raises(NotImplementedError, match="must define draw"):
        Sampler().fit([[1], [2]]).sample(1)


def test_parameters_follow_the_protocol():
    for values in ParameterGrid({"p": [0.1, 0.9], "s": [1.0, 5.0]}):
        assert clone(Munge().set_params(**values)).get_params() == {"block_rows": 10_000, **values}


@given(n_observed=st.integers(1, 9), n_rows=st.integers(1, 40))
def test_shuffled_copies_use_every_row_equally(n_observed, n_rows):
    rows = np.concatenate(list(shuffled_copies(n_observed, n_rows, np.random.RandomState(0))))
    counts = np.bincount(rows, minlength=n_observed)
    assert len(rows) == n_rows
    assert counts.max() - counts.min() <= 1
