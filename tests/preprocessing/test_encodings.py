"""Numbers spread over bins: by formula, and as what a network sees of real tables."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.tables import read_table
from skkd.preprocessing import PiecewiseLinear, TeacherBins
from skkd.preprocessing.preprocessor import ColumnPreprocessor, fit_preprocessor
from skkd.teachers.tree_thresholds import thresholds_of

close = np.testing.assert_allclose
same = np.testing.assert_array_equal
SCALINGS = ["standard", "robust"]


def preprocessor_of(X, n_bins=4, weight=None, scaling="robust", thresholds=None):
    encoding = PiecewiseLinear(n_bins) if thresholds is None else TeacherBins(n_bins)
    return fit_preprocessor(scaling, X, None, weight, encoding=encoding, thresholds=thresholds)


def components(fitted, X):
    """The components, without the scaled numbers."""
    return fitted.transform(X)[:, len(fitted.numeric) :]


def same_bins(bins, others):
    assert (bins is None) == (others is None)  # a column of one value has no bins
    if bins is not None:
        same(bins.left, others.left)
        same(bins.width, others.width)


def edges_of(fitted):
    """The edges of each numeric column, in its own unit."""
    bins, found = fitted.bins, []
    for j in range(len(fitted.numeric)):
        of_column = bins.column == j
        left, width = bins.left[of_column], bins.width[of_column]
        edges = np.append(left, left[-1:] + width[-1:])
        found.append(edges * fitted.scale[j] + fitted.centre[j])
    return found


def encoded(x, edges):
    """The formula of the paper, its outer bins closed."""
    ramps = [
        np.clip((x - edges[t]) / (edges[t + 1] - edges[t]), 0, 1) for t in range(len(edges) - 1)
    ]
    return np.stack(ramps, axis=1) if ramps else np.empty((len(x), 0))


def skewed(n_rows=101, n_columns=3, seed=0):
    random = np.random.RandomState(seed)
    return np.exp(random.standard_normal((n_rows, n_columns))) * [1, 100, 1e-3][:n_columns]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("n_bins", [1, 2, 5, 12])
def test_components_are_the_formula_between_quantiles(scaling, n_bins):
    X = skewed()
    new = np.concatenate([X, -X, 10 * X])
    shares = np.arange(n_bins + 1) / n_bins
    edges = np.quantile(X, shares, axis=0, method="inverted_cdf")
    expected = [encoded(new[:, j], edges[:, j]) for j in range(3)]
    fitted = preprocessor_of(X, n_bins, scaling=scaling)
    close(components(fitted, new), np.concatenate(expected, axis=1), rtol=1e-9, atol=1e-12)
    assert fitted.n_features == 3 + 3 * n_bins


@pytest.mark.parametrize("scaling", SCALINGS)
def test_the_scaled_number_stands_in_front(scaling):
    X = skewed()
    same(
        preprocessor_of(X, scaling=scaling).transform(X)[:, :3],
        fit_preprocessor(scaling, X, None).transform(X),
    )


def test_a_linear_layer_of_the_components_is_any_piecewise_linear_function():
    x = np.sort(skewed(n_columns=1), axis=0)
    fitted = preprocessor_of(x, n_bins=6)
    edges = edges_of(fitted)[0]
    heights = np.random.RandomState(0).standard_normal(7)
    line = heights[0] + components(fitted, x) @ np.diff(heights)
    close(line, np.interp(x.ravel(), edges, heights), atol=1e-9)


columns = st.integers(2, 40).flatmap(
    lambda n_rows: st.tuples(
        arrays(float, n_rows, elements=st.floats(-1e6, 1e6)),
        arrays(int, n_rows, elements=st.integers(1, 5)),
    )
)


@given(columns, st.integers(1, 6))
def test_components_rise_from_0_to_1_and_keep_the_order_of_the_rows(column, n_bins):
    values, _ = column
    fitted = preprocessor_of(values[:, None], n_bins)
    order = np.sort(np.concatenate([values, [-1e9, 1e9, 0.5]]))[:, None]
    ramps = components(fitted, order)
    assert ((ramps >= 0) & (ramps <= 1)).all()
    assert (np.diff(ramps, axis=0) >= 0).all()
    same(ramps[0], 0)
    same(ramps[-1], 1)
    # A component is 1 before the next one rises.
    assert ((ramps[:, 1:] == 0) | (ramps[:, :-1] >= 1 - 1e-9)).all()


def test_components_are_continuous():
    X = skewed(n_columns=1)
    fitted = preprocessor_of(X)
    x = np.concatenate(edges_of(fitted))[:, None]
    step = 1e-9 * np.abs(x)
    close(fitted.transform(x - step), fitted.transform(x + step), atol=1e-6)


@given(columns, st.sampled_from([1.0, 0.1, 1 / 3, 1e-8, 1e8]), st.integers(1, 6))
def test_weight_k_is_the_row_k_times(column, unit, n_bins):
    values, counts = column
    weighted = preprocessor_of(values[:, None], n_bins, counts * unit)
    repeated = preprocessor_of(np.repeat(values, counts)[:, None], n_bins)
    same_bins(weighted.bins, repeated.bins)


@given(columns, st.randoms())
def test_the_order_of_the_rows_does_not_matter(column, random):
    values, counts = column
    order = list(range(len(values)))
    random.shuffle(order)
    for weight in (None, counts / 3):
        there = preprocessor_of(values[order, None], 3, None if weight is None else weight[order])
        here = preprocessor_of(values[:, None], 3, weight)
        same_bins(there.bins, here.bins)


def test_rows_without_weight_do_not_count():
    X = skewed()
    weight = np.repeat([1.0, 0.0], [60, 41])
    same(preprocessor_of(X, weight=weight).bins.left, preprocessor_of(X[:60]).bins.left)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_few_different_values_are_the_edges(scaling):
    rare = np.repeat([0.0, 1.0, 2.0, 7.0], [90, 8, 1, 1])
    flags = np.arange(100) % 2.0
    fitted = preprocessor_of(np.column_stack([rare, flags, np.full(100, 3.0)]), scaling=scaling)
    assert [len(edges) for edges in edges_of(fitted)] == [4, 2, 0]
    close(edges_of(fitted)[0], [0, 1, 2, 7])
    close(edges_of(fitted)[1], [0, 1])
    assert fitted.n_features == 3 + 3 + 1


def test_a_value_with_the_weight_of_a_bin_is_an_edge_and_the_others_share_the_remaining_bins():
    x = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    expected = [0, 1, 12, 23, 34, 45, 56, 67, 78, 89, 100]
    close(edges_of(preprocessor_of(x[:, None], n_bins=10))[0], expected)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_missing_numbers_are_left_out_and_become_the_centre(scaling):
    X = skewed()
    gaps = X.copy()
    gaps[50:60] = np.nan
    fitted = preprocessor_of(gaps, scaling=scaling)
    without = preprocessor_of(np.delete(X, np.s_[50:60], axis=0), scaling=scaling)
    close(fitted.bins.left, without.bins.left, rtol=1e-12, atol=1e-12)
    same(fitted.transform(gaps[50:51]), fitted.transform(fitted.centre[None]))


def test_columns_without_numbers_have_no_bins():
    X = np.column_stack([np.full(20, np.nan), np.arange(20.0)])
    fitted = preprocessor_of(X)
    assert fitted.n_features == 2 + 4
    assert np.isfinite(fitted.transform(X)).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_values_far_away_and_close_together(scaling):
    steps = np.arange(101.0)
    X = np.column_stack([1e7 + steps / 64, steps * 1e-100, steps * 1e100])
    fitted = preprocessor_of(X, scaling=scaling)
    for x in (X, -X, X * [1, 1e150, 1e90], np.full((1, 3), np.inf), np.full((1, 3), -np.inf)):
        seen = fitted.transform(x)[:, 3:]
        assert np.isfinite(seen).all()
        assert ((seen >= 0) & (seen <= 1)).all()
    expected = encoded(X[:, 0], X[[0, 25, 50, 75, 100], 0])
    close(components(fitted, X)[:, :4], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_every_dtype_gives_the_same_as_float64(dtype):
    X = (skewed() * [10, 1, 1e5]).astype(dtype)
    fitted, exact = preprocessor_of(X), preprocessor_of(X.astype(float))
    same(fitted.bins.left, exact.bins.left)
    same(fitted.transform(X), exact.transform(X.astype(float)))


@pytest.mark.parametrize("weight", [None, np.arange(60) % 4 / 7.0], ids=["even", "weighted"])
@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_sparse_rows_are_encoded_as_dense_ones(weight, density, scaling):
    X = sparse.random(60, 5, density=density, format="csr", random_state=0)
    X.data = np.round(X.data, 1) - 0.3
    of_sparse, of_dense = (preprocessor_of(rows, 5, weight, scaling) for rows in (X, X.toarray()))
    close(of_sparse.bins.left, of_dense.bins.left, rtol=1e-9, atol=1e-12)
    close(of_sparse.transform(X), of_dense.transform(X.toarray()), rtol=1e-9, atol=1e-12)


def letters_and_numbers(n_rows=80):
    pd = pytest.importorskip("pandas")
    random = np.random.RandomState(0)
    x, z = random.standard_normal((2, n_rows))
    letters = random.choice(list("abc"), n_rows)
    y = ((x > 0.3) ^ (letters == "a")).astype(int)
    frame = pd.DataFrame({"x": x, "c": letters, "z": z, "flag": x > 0})
    frame.loc[3, "z"] = np.nan
    return frame, y


def test_categories_of_a_table_do_not_change():
    frame, _ = letters_and_numbers()
    table = read_table(frame)
    plain, fitted = fit_preprocessor("robust", table, None), preprocessor_of(table)
    seen = fitted.transform(table)
    assert fitted.n_features == seen.shape[1] == plain.n_features + 8
    same(np.delete(seen, np.s_[2:10], axis=1), plain.transform(table))
    numbers = frame[["x", "z"]].to_numpy()
    same(seen[:, 2:10], components(preprocessor_of(numbers), numbers))


def test_blocks_give_the_same_rows_as_one_call():
    X = skewed()
    fitted = preprocessor_of(X)
    blocks = [seen for _, seen in fitted.blocks(X, most=7)]
    same(np.concatenate(blocks), fitted.transform(X))
    same(fitted.transform(X[4:5]), fitted.transform(X)[4:5])


def test_thresholds_are_the_edges():
    X = np.tile(np.arange(11.0)[:, None], (1, 3))
    thresholds = {0: ([2.5, 7.5], [1.0, 2.0]), 2: ([99.0, -99.0], [1.0, 1.0])}
    fitted = preprocessor_of(X, n_bins=8, thresholds=thresholds)
    edges = edges_of(fitted)
    close(edges[0], [0, 2.5, 7.5, 10])
    assert len(edges[1]) == len(edges[2]) == 0  # no thresholds; thresholds outside of the values
    assert fitted.n_features == 3 + 3


def test_many_thresholds_are_reduced_to_quantiles_weighted_by_gain():
    x = np.arange(101.0)
    thresholds, gains = np.arange(100) + 0.5, np.repeat([1.0, 3.0], 50)
    close(TeacherBins(4).edges(x, x, (thresholds, gains)), [0, 49.5, 66.5, 83.5, 100], atol=1)
    even = TeacherBins(4).edges(x, x, (thresholds, np.zeros(100)))
    close(even, [0, 24.5, 49.5, 74.5, 100])
    repeated = np.repeat(thresholds, gains.astype(int))
    same(
        TeacherBins(4).edges(x, x, (repeated, np.ones(len(repeated)))),
        TeacherBins(4).edges(x, x, (thresholds, gains)),
    )


def tiny(kind=NeuralClassifier, *args, **params):
    return kind(*args, **{"hidden_layer_sizes": (16,), "max_epochs": 4, "random_state": 0} | params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", ["tabular", "plain"])
def test_the_fitted_classifier_holds_and_keeps_its_bins(dtype, preset):
    frame, y = letters_and_numbers()
    clf = tiny(numeric_encoding="piecewise_linear", dtype=dtype, preset=preset).fit(frame, y)
    fitted = clf.network_.preprocessor
    assert isinstance(fitted, ColumnPreprocessor)
    assert fitted.bins.column.tolist() == [0] * 12 + [1] * 12
    copied = pickle.loads(pickle.dumps(clf))
    same(copied.predict_proba(frame), clf.predict_proba(frame))
    close(clf.predict_proba(frame.iloc[5:6]), clf.predict_proba(frame)[5:6], rtol=1e-12)
    same(clone(clf).fit(frame, y).predict_proba(frame), clf.predict_proba(frame))
    import torch

    seen = torch.tensor(fitted.transform(read_table(frame)), dtype=getattr(torch, dtype))
    logits = clf.module_(seen).detach().numpy()
    close(logits, clf.network_.logits(read_table(frame)), rtol=1e-3, atol=1e-4)


def test_a_preprocessor_pickled_before_there_were_bins_still_transforms():
    X = skewed()
    fitted = fit_preprocessor("robust", X, None)
    expected = fitted.transform(X)
    vars(fitted).pop("bins")
    same(fitted.transform(X), expected)
    assert fitted.n_features == 3


def test_the_predictor_uses_bins(iris_like):
    X, y = iris_like
    clf = tiny(numeric_encoding="piecewise_linear").fit(X, y)
    same(clf.predictor()(X), clf.predict_proba(X))


def test_partial_fit_and_warm_start_keep_the_bins_of_the_first_rows(iris_like):
    X, y = iris_like
    clf = tiny(numeric_encoding=PiecewiseLinear(3), warm_start=True)
    bins = clf.partial_fit(X, y, classes=[0, 1, 2]).network_.preprocessor.bins
    assert clf.partial_fit(X * 9, y).network_.preprocessor.bins is bins
    assert clf.fit(X * 9, y).network_.preprocessor.bins is bins


def test_a_custom_module_gets_the_components(iris_like):
    import torch

    X, y = iris_like
    clf = tiny(module=lambda n_features, n_classes: torch.nn.Linear(n_features, n_classes))
    clf.set_params(numeric_encoding=PiecewiseLinear(3)).fit(X, y)
    assert clf.module_.in_features == X.shape[1] * 4


def test_with_bins_a_linear_model_learns_steps():
    x = np.random.RandomState(0).uniform(0, 6, size=(400, 1))
    y = (x.ravel() % 2 > 1).astype(int)
    line = tiny(hidden_layer_sizes=(), max_epochs=30)
    assert line.fit(x, y).score(x, y) < 0.7
    bent = line.set_params(numeric_encoding=PiecewiseLinear(24))
    assert bent.fit(x, y).score(x, y) > 0.85


def test_grids_over_encodings_and_their_bins(iris_like):
    X, y = iris_like
    grid = {"numeric_encoding": [None, "piecewise_linear"]}
    search = GridSearchCV(tiny(), grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 2
    grid = {"numeric_encoding__n_bins": [2, 5]}
    start = tiny(numeric_encoding=PiecewiseLinear())
    search = GridSearchCV(start, grid, cv=2, error_score="raise").fit(X, y)
    n_bins = search.best_params_["numeric_encoding__n_bins"]
    fitted = search.best_estimator_.network_.preprocessor
    assert fitted.n_features == X.shape[1] * (1 + n_bins)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"numeric_encoding": "bins"}, ValueError, "numeric_encoding='bins'.*'piecewise_linear'"),
        ({"numeric_encoding": 12}, TypeError, "numeric_encoding=12.*skkd.preprocessing"),
        ({"numeric_encoding": PiecewiseLinear}, TypeError, "numeric_encoding=.*object"),
        ({"numeric_encoding": PiecewiseLinear(0)}, ValueError, "n_bins=0.*>= 1"),
        ({"numeric_encoding": PiecewiseLinear(2.5)}, TypeError, "n_bins=2.5.*an integer"),
        ({"numeric_encoding": "teacher_bins"}, ValueError, "only a DistilledClassifier"),
        ({"numeric_encoding": TeacherBins()}, ValueError, "only a DistilledClassifier"),
        ({"numeric_encoding": PiecewiseLinear(), "preprocessor": None}, ValueError, "preprocessor"),
    ],
    ids=str,
)
def test_unusable_encodings_are_refused(iris_like, params, error, message):
    with pytest.raises(error, match=message):
        tiny(**params).fit(*iris_like)


@pytest.mark.parametrize("current", [None, "piecewise_linear"])
def test_parameters_of_an_encoding_need_an_object(current):
    with pytest.raises(ValueError, match=r"numeric_encoding as an object.*skkd\.preprocessing"):
        tiny(numeric_encoding=current).set_params(numeric_encoding__n_bins=3)
    with pytest.raises(TypeError, match=r"skkd\.preprocessing"):
        tiny(numeric_encoding__n_bins=3)


def test_images_have_no_bins():
    X = np.zeros((8, 1, 4, 4))
    with pytest.raises(ValueError, match="more than two dimensions"):
        fit_preprocessor("robust", X, None, encoding=PiecewiseLinear())


def teach(teacher, X, y, **params):
    settings = {"alpha": 1.0, "numeric_encoding": "teacher_bins"} | params
    return tiny(DistilledClassifier, teacher, **settings).fit(X, y)


def test_the_edges_are_where_the_teacher_splits(iris_like):
    X, y = iris_like
    forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(X, y)
    clf = teach(forest, X, y, numeric_encoding=TeacherBins(200))
    found = thresholds_of(forest, X)
    for j, edges in enumerate(edges_of(clf.network_.preprocessor)):
        expected = np.unique(found[j][0]) if j in found else []
        close(edges[1:-1], expected, rtol=1e-9)
    assert pickle.loads(pickle.dumps(clf)).network_.preprocessor.n_features > X.shape[1]


def test_a_teacher_in_a_pipeline_has_the_same_bins(iris_like):
    X, y = iris_like
    forest = RandomForestClassifier(5, random_state=0)
    inside = teach(make_pipeline(StandardScaler(), forest).fit(X, y), X, y)
    scaled = StandardScaler().fit(X)
    outside = teach(clone(forest).fit(scaled.transform(X), y), scaled.transform(X), y)
    for j, edges in enumerate(edges_of(inside.network_.preprocessor)):
        expected = edges_of(outside.network_.preprocessor)[j]
        close((edges - scaled.mean_[j]) / scaled.scale_[j], expected, atol=1e-9)


def test_the_teacher_is_probed_with_the_callers_table():
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    frame, y = letters_and_numbers()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = make_column_transformer((OneHotEncoder(), ["c", "flag"]), (numbers, ["z", "x"]))
    forest = RandomForestClassifier(9, max_features=None, random_state=0)
    clf = teach(make_pipeline(steps, forest).fit(frame, y), frame, y)
    assert clf.network_.preprocessor.bins.column.tolist().count(0) > 2
    same(clf.student_.predict_proba(frame), clf.predict_proba(frame))


def test_a_teacher_that_is_fitted_in_fit_has_its_own_thresholds(iris_like):
    X, y = iris_like
    clf = teach(RandomForestClassifier(3, max_depth=2), X, y, fit_teacher=True)
    found = thresholds_of(clf.teacher_, X)
    assert set(clf.network_.preprocessor.bins.column) == set(found)


@pytest.mark.parametrize("has_teacher", [True, False])
def test_a_teacher_without_trees_warns_and_gives_quantiles(iris_like, has_teacher):
    X, y = iris_like
    line = LogisticRegression().fit(X, y)
    clf = tiny(DistilledClassifier, numeric_encoding=TeacherBins(5))
    answers = {"teacher_proba": line.predict_proba(X)}
    with pytest.warns(UserWarning, match="quantiles"):
        if has_teacher:
            clf.set_params(teacher=line).fit(X, y)
        else:
            clf.fit(X, y, **answers)
    expected = tiny(numeric_encoding=PiecewiseLinear(5)).fit(X, y).network_.preprocessor.bins
    same(clf.network_.preprocessor.bins.left, expected.left)


def test_a_student_can_be_cloned_and_fitted(iris_like):
    X, y = iris_like
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    student = teach(forest, X, y, numeric_encoding=TeacherBins(5)).student_
    assert repr(student.numeric_encoding) == "PiecewiseLinear(n_bins=5)"
    clone(student).fit(X, y)


def test_a_grid_over_the_encodings_of_a_student(iris_like):
    X, y = iris_like
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    encodings = [None, "piecewise_linear", "teacher_bins", TeacherBins(3)]
    search = GridSearchCV(
        tiny(DistilledClassifier, forest),
        {"numeric_encoding": encodings},
        cv=2,
        error_score="raise",
    )
    assert len(search.fit(X, y).cv_results_["params"]) == 4
