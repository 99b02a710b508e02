"""Thresholds of teachers' trees: known ones are found, wherever the trees are."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from skkd.teachers.tree_thresholds import thresholds_of

close = np.testing.assert_allclose
same = np.testing.assert_array_equal
STUMP = DecisionTreeClassifier(max_depth=1, random_state=0)


def steps_in(column, n_columns=3, n_rows=200, seed=0):
    """Rows with label 1 if one column is above 5. The values of the column are 0.1 apart."""
    random = np.random.RandomState(seed)
    X = random.randint(0, 100, size=(n_rows, n_columns)) / 10.0
    return X, (X[:, column] > 5).astype(int)


def main_split(teacher, X):
    """(column, threshold) of the splits with most of the gain."""
    found = thresholds_of(teacher, X)
    column = max(found, key=lambda j: found[j][1].sum())
    thresholds, gains = found[column]
    return column, thresholds[gains.argmax()]


def hist(**settings):
    return HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5, **settings)


ENSEMBLES = {
    "tree": STUMP,
    "forest": RandomForestClassifier(5, random_state=0),
    "extra trees": ExtraTreesClassifier(30, max_depth=2, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "histograms": hist(),
    "adaboost": AdaBoostClassifier(STUMP, n_estimators=3),
    "bagging": BaggingClassifier(STUMP, 9, max_features=0.7, random_state=0),
    "bagged pipelines": BaggingClassifier(
        make_pipeline(StandardScaler(), STUMP), 9, max_features=0.7, random_state=0
    ),
    "one against the rest": OneVsRestClassifier(STUMP),
    "calibrated": CalibratedClassifierCV(STUMP, cv=2),
    "search": GridSearchCV(STUMP, {"max_depth": [1, 2]}, cv=2),
    "voting": VotingClassifier([("dummy", DummyClassifier()), ("histograms", hist())]),
    "stack": StackingClassifier([("tree", STUMP), ("line", LogisticRegression())], cv=2),
    "stack of a line": StackingClassifier(
        [("line", DummyClassifier())], final_estimator=STUMP, passthrough=True, cv=2
    ),
    "frozen": FrozenEstimator(STUMP),
}


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_threshold_that_matters_is_found(name, column):
    X, y = steps_in(column)
    teacher = ENSEMBLES[name]
    if name == "frozen":
        teacher = FrozenEstimator(clone(STUMP).fit(X, y))
    teacher = teacher.fit(X, y)
    found, threshold = main_split(teacher, X)
    assert found == column
    assert 4.5 <= threshold <= 5.5 if name == "extra trees" else 4.8 <= threshold <= 5.2


def test_thresholds_and_gains_of_a_tree_are_those_of_scikit_learn():
    X, y = steps_in(0)
    y = y + (X[:, 1] > 3)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    found = thresholds_of(tree, X)
    inner = tree.tree_.feature >= 0
    for j in found:
        same(np.sort(found[j][0]), np.sort(tree.tree_.threshold[tree.tree_.feature == j]))
    total = sum(gains.sum() for _, gains in found.values())
    shares = np.zeros(3)
    for j, (_, gains) in found.items():
        shares[j] = gains.sum() / total
    close(shares, tree.feature_importances_)
    assert sum(len(thresholds) for thresholds, _ in found.values()) == inner.sum()


def test_the_members_of_a_list_count_by_their_weights():
    X, y = steps_in(0)
    other = clone(STUMP).fit(X, X[:, 2] > 7)
    tree = DecisionTreeClassifier(max_depth=1).fit(X, y)
    found = thresholds_of([(tree, 3.0), (FrozenEstimator(other), 1.0)], X)
    close([found[0][1].sum(), found[2][1].sum()], [3.0, 1.0])


@pytest.mark.parametrize(
    "teacher",
    [LogisticRegression(), DummyClassifier(), make_pipeline(StandardScaler(), DummyClassifier())],
    ids=["line", "dummy", "pipeline"],
)
def test_a_teacher_without_trees_has_no_thresholds(teacher):
    X, y = steps_in(0)
    assert thresholds_of(teacher.fit(X, y), X) == {}
    assert thresholds_of(lambda rows: rows, X) == {}


def test_trees_without_splits_have_no_thresholds():
    X, y = steps_in(0)
    assert thresholds_of(clone(STUMP).fit(X, np.ones(200)), X) == {}
    assert thresholds_of(HistGradientBoostingClassifier(max_iter=2).fit(X[:20], y[:20]), X) == {}


MONOTONE = {
    "scaled": StandardScaler(),
    "imputed and scaled": make_pipeline(SimpleImputer(), StandardScaler()),
    "ranked": QuantileTransformer(n_quantiles=50),
    "falling": FunctionTransformer(np.negative),
    "logarithm": FunctionTransformer(np.log1p),
    "permuted": make_column_transformer(("passthrough", [2, 0]), (StandardScaler(), [1])),
}


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("name", MONOTONE)
def test_thresholds_behind_monotone_steps_are_those_of_the_column_itself(name, column):
    X, y = steps_in(column)
    teacher = make_pipeline(MONOTONE[name], STUMP).fit(X, y)
    j, threshold = main_split(teacher, X)
    below, above = X[X[:, column] <= 5, column].max(), X[X[:, column] > 5, column].min()
    assert j == column
    assert below <= threshold <= above
    assert list(thresholds_of(teacher, X)) == [column]


def test_affine_steps_are_undone_exactly():
    X, y = steps_in(0)
    X = X * [1.0, 1e6, 1e-3] + [1e7, 0.0, 5.0]
    forest = RandomForestClassifier(3, random_state=0)
    behind = thresholds_of(make_pipeline(StandardScaler(), forest).fit(X, y), X)
    scaled = StandardScaler().fit(X)
    forest = RandomForestClassifier(3, random_state=0).fit(scaled.transform(X), y)
    for j, (thresholds, gains) in thresholds_of(forest, scaled.transform(X)).items():
        expected = thresholds * scaled.scale_[j] + scaled.mean_[j]
        close(np.sort(behind[j][0]), np.sort(expected), rtol=1e-9)
        close(behind[j][1].sum(), gains.sum())


def test_columns_that_are_mixed_are_left_out():
    X, y = steps_in(0)
    assert thresholds_of(make_pipeline(PCA(), STUMP).fit(X, y), X) == {}


def products(X):
    return make_pipeline(PolynomialFeatures(interaction_only=True, include_bias=False), STUMP).fit(
        X, X[:, 0] * X[:, 1] > 20
    )


@pytest.mark.parametrize("first", [[0, 3, 0], [0, 0, 0], [3, 2, 1]], ids=str)
def test_products_are_left_out_for_any_first_row(first):
    X, _ = steps_in(0)
    X[0] = first
    teacher = products(X)
    assert teacher[-1].tree_.feature[0] == 3  # the product of the first two columns
    assert thresholds_of(teacher, X) == {}


def test_products_of_columns_that_are_mostly_zero_are_left_out():
    X, _ = steps_in(0)
    X = np.where(np.arange(200)[:, None] % 20 == 19, X + 9, X * [0, 1, 1])
    for rows in (X, sparse.csr_matrix(X), sparse.coo_matrix(X)):
        teacher = products(X)
        assert teacher[-1].tree_.feature[0] > 2  # a product
        assert thresholds_of(teacher, rows) == {}


def test_single_columns_are_kept_beside_products():
    X, y = steps_in(1)
    X[0, 1] = 0
    steps = PolynomialFeatures(interaction_only=True, include_bias=False)
    j, threshold = main_split(make_pipeline(steps, StandardScaler(), STUMP).fit(X, y), X)
    assert j == 1
    assert 4.8 <= threshold <= 5.2


@pytest.mark.parametrize("mix", [np.maximum, np.minimum, lambda a, b: a * (b > 9.5)])
def test_a_column_that_another_one_switches_is_left_out(mix):
    X, _ = steps_in(0)
    X[0] = 0
    X[1] = 9.9
    steps = FunctionTransformer(lambda rows: mix(rows[:, [0]], rows[:, [1]]))
    teacher = make_pipeline(steps, STUMP).fit(X, mix(X[:, 0], X[:, 1]) > 3)
    assert thresholds_of(teacher, X) == {}


def test_a_number_that_a_letter_switches_is_left_out():
    X, _ = steps_in(0)
    frame = table_of(X)
    steps = FunctionTransformer(lambda rows: rows[["x"]].where(rows["c"] == "b", 0.0))
    teacher = make_pipeline(steps, STUMP).fit(frame, (frame["c"] == "b") & (frame["x"] > 5))
    assert thresholds_of(teacher, frame) == {}


def test_a_gap_in_the_first_row_that_neighbours_fill_does_not_matter():
    X, y = steps_in(1)
    X[0, 0] = X[::9, 2] = np.nan
    teacher = make_pipeline(KNNImputer(), RandomForestClassifier(5, random_state=0)).fit(X, y)
    assert set(thresholds_of(teacher, X)) == {0, 1, 2}


def test_steps_that_refuse_rows_of_several_parts_leave_no_thresholds():
    X, y = steps_in(0)
    known = {tuple(row) for row in X}

    def check(rows):
        if not known.issuperset(map(tuple, rows)):
            raise ValueError("such a row cannot be")
        return rows * 2

    teacher = make_pipeline(FunctionTransformer(check), STUMP).fit(X, y)
    assert thresholds_of(teacher, X) == {}


def test_a_wide_table_needs_few_probes():
    asked = []

    def double(rows):
        asked.append(len(rows))
        return rows * 2

    X, y = steps_in(100, n_columns=200)
    teacher = make_pipeline(FunctionTransformer(double), STUMP).fit(X, y)
    asked.clear()
    j, threshold = main_split(teacher, X)
    assert j == 100
    assert 4.8 <= threshold <= 5.2
    assert sum(asked) < 800


def test_a_function_that_falls_and_rises_is_left_out():
    X, _ = steps_in(0)
    steps = FunctionTransformer(lambda rows: (rows - 5.0) ** 2)
    teacher = make_pipeline(steps, STUMP).fit(X, np.abs(X[:, 0] - 5) > 2)
    assert thresholds_of(teacher, X) == {}


def test_missing_values_do_not_matter():
    X, y = steps_in(1)
    X[::7, 1], X[0, 0] = np.nan, np.nan
    for steps in ([], [SimpleImputer()]):
        j, threshold = main_split(make_pipeline(*steps, STUMP).fit(X, y), X)
        assert j == 1
        assert 4.8 <= threshold <= 5.2


def test_a_sparse_matrix_is_read():
    X, y = steps_in(1)
    rows = sparse.csr_matrix(X)
    for teacher in (STUMP, make_pipeline(MaxAbsScaler(), STUMP)):
        j, threshold = main_split(clone(teacher).fit(rows, y), rows)
        assert j == 1
        assert 4.8 <= threshold <= 5.2


def table_of(X):
    pd = pytest.importorskip("pandas")
    letters = np.array(list("abcd"))[(X[:, 0] % 4).astype(int)]
    return pd.DataFrame({"c": letters, "x": X[:, 0], "i": X[:, 1].astype(int), "z": X[:, 2]})


def encode_and_scale():
    return ColumnTransformer(
        [
            ("letters", OneHotEncoder(handle_unknown="ignore"), ["c"]),
            ("numbers", StandardScaler(), ["z", "x"]),
        ],
        remainder="passthrough",
    )


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_table_with_letters_behind_a_column_transformer(column):
    X, y = steps_in(column)
    frame = table_of(X)
    y = (frame.iloc[:, column + 1] > 5).astype(int)
    vote = VotingClassifier([("pipeline", make_pipeline(encode_and_scale(), STUMP))])
    for teacher in (make_pipeline(encode_and_scale(), STUMP), vote):
        j, threshold = main_split(teacher.fit(frame, y), frame)
        assert j == column + 1
        assert 4.8 <= threshold <= 6


@pytest.mark.parametrize("name", ["calibrated", "search", "one against the rest", "frozen"])
def test_a_table_inside_of_other_estimators(name):
    frame = table_of(steps_in(1)[0])
    pipeline, labels = make_pipeline(encode_and_scale(), STUMP), (frame["i"] > 5).astype(int)
    kinds = {
        "calibrated": CalibratedClassifierCV(pipeline, cv=2),
        "search": GridSearchCV(pipeline, {"decisiontreeclassifier__max_depth": [1]}, cv=2),
        "one against the rest": OneVsRestClassifier(pipeline),
        "frozen": FrozenEstimator(pipeline.fit(frame, labels)),
    }
    j, threshold = main_split(kinds[name].fit(frame, labels), frame)
    assert j == 2
    assert 4.8 <= threshold <= 6


def test_a_pipeline_that_gets_other_columns_in_an_unknown_ensemble_has_no_thresholds():
    class OfTwoColumns(BaseEstimator):
        def fit(self, X, y):
            self.estimator_ = make_pipeline(StandardScaler(), STUMP).fit(X[:, :2], y)
            return self

    X, y = steps_in(1)
    assert thresholds_of(OfTwoColumns().fit(X, y), X) == {}


def test_a_polars_table_behind_a_column_transformer():
    pl = pytest.importorskip("polars")
    X, y = steps_in(1)
    frame = pl.DataFrame(dict(zip("abc", X.T, strict=True)))
    teacher = make_pipeline(make_column_transformer((StandardScaler(), ["c", "b"])), STUMP)
    j, threshold = main_split(teacher.fit(frame, y), frame)
    assert j == 1
    assert 4.8 <= threshold <= 5.2


def test_categories_of_histograms_come_first_inside_and_not_outside():
    X, _ = steps_in(0)
    frame = table_of(X)[["x", "c", "i"]].astype({"c": "category"})
    y = (frame.i > 5) ^ (frame.c == "a")
    found = thresholds_of(hist(categorical_features="from_dtype").fit(frame, y), frame)
    assert 1 not in found
    assert main_split(hist(categorical_features="from_dtype").fit(frame, y), frame)[0] == 2
    codes = np.column_stack([frame.x, OrdinalEncoder().fit_transform(frame[["c"]]), frame.i])
    found = thresholds_of(hist(categorical_features=[1]).fit(codes, y), codes)
    assert 1 not in found
    thresholds, gains = found[2]
    assert 5 < thresholds[gains.argmax()] < 6


LIBRARIES = {
    "xgboost": ("XGBClassifier", {"n_estimators": 3}),
    "lightgbm": ("LGBMClassifier", {"n_estimators": 3, "verbose": -1}),
    "catboost": ("CatBoostClassifier", {"iterations": 1, "depth": 1, "verbose": 0}),
}


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("library", LIBRARIES)
def test_boosting_libraries(library, column, tmp_path):
    name, settings = LIBRARIES[library]
    settings = settings | ({"train_dir": str(tmp_path)} if library == "catboost" else {})
    kind = getattr(pytest.importorskip(library), name)
    X, y = steps_in(column)
    teacher = kind(**settings).fit(X, y)
    j, threshold = main_split(teacher, X)
    assert j == column
    assert 4.8 <= threshold <= 5.2
    behind = main_split(make_pipeline(StandardScaler(), kind(**settings)).fit(X, y), X)
    assert behind[0] == column
    assert 4.8 <= behind[1] <= 5.2


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosting_libraries_with_categories_of_a_table(library):
    name, settings = LIBRARIES[library]
    kind = getattr(pytest.importorskip(library), name)
    settings = settings | ({"enable_categorical": True} if library == "xgboost" else {})
    frame = table_of(steps_in(0)[0])[["x", "c", "i"]].astype({"c": "category"})
    y = ((frame.i > 5) | (frame.c == "a")).astype(int)
    teacher = kind(**settings).fit(frame, y)
    assert 1 not in thresholds_of(teacher, frame)
    j, threshold = main_split(teacher, frame)
    assert j == 2
    assert 5 <= threshold <= 6
