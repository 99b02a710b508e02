"""Out-of-bag labels, computed from a fitted ensemble, against those of scikit-learn."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from skkd.inference.calibration import calibration_temperature
from skkd.inference.network import log_softmax
from skkd.teachers.out_of_bag import has_out_of_bag, out_of_bag

LABELS = np.array(["ape", "bee", "cat"])


def forest(n_estimators=12, **settings):
    return RandomForestClassifier(n_estimators, random_state=0, **settings)


def quietly_fitted(ensemble, X, y, **fit_arguments):
    with warnings.catch_warnings():  # about rows that are in every bag
        warnings.simplefilter("ignore")
        return ensemble.fit(X, y, **fit_arguments)


FORESTS = {
    "forest": lambda **s: forest(**s),
    "few trees": lambda **s: forest(3, **s),
    "small samples": lambda **s: forest(max_samples=0.3, **s),
    "shallow": lambda **s: forest(max_depth=1, **s),
    "pruned": lambda **s: forest(ccp_alpha=0.02, **s),
    "balanced": lambda **s: forest(class_weight="balanced", **s),
    "balanced by tree": lambda **s: forest(class_weight="balanced_subsample", **s),
    "extra trees": lambda **s: ExtraTreesClassifier(12, bootstrap=True, random_state=0, **s),
}
BAGGINGS = {
    "trees": lambda **s: BaggingClassifier(n_estimators=12, random_state=0, **s),
    "some features": lambda **s: BaggingClassifier(
        n_estimators=12, max_features=0.5, bootstrap_features=True, random_state=0, **s
    ),
    "small samples of neighbours": lambda **s: BaggingClassifier(
        KNeighborsClassifier(3, algorithm="brute"),
        12,
        max_samples=0.4,
        max_features=3,
        random_state=0,
        **s,
    ),
    "voters": lambda **s: BaggingClassifier(RidgeClassifier(), 12, random_state=0, **s),
    "pipelines": lambda **s: BaggingClassifier(
        make_pipeline(MinMaxScaler(), GaussianNB()), 12, random_state=0, **s
    ),
}


@pytest.mark.parametrize("name", FORESTS | BAGGINGS)
def test_probabilities_are_those_of_oob_score_to_the_bit(name, iris_like):
    X, y = iris_like
    make = (FORESTS | BAGGINGS)[name]
    expected = quietly_fitted(make(oob_score=True), X, LABELS[y]).oob_decision_function_
    teacher = make().fit(X, LABELS[y])
    state = pickle.dumps(teacher)
    assert has_out_of_bag(teacher)
    for asked in (teacher, FrozenEstimator(teacher), pickle.loads(state), copy.deepcopy(teacher)):
        found, classes = out_of_bag(asked, X)
        assert found.dtype == np.float64
        assert classes.tolist() == LABELS.tolist()
        np.testing.assert_array_equal(found, np.nan_to_num(expected, nan=0.0))
    with_labels, _ = out_of_bag(teacher, X, LABELS[y])
    np.testing.assert_array_equal(with_labels, found)
    assert pickle.dumps(teacher) == state


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 10**6), st.integers(1, 12))
def test_each_row_has_the_mean_of_the_trees_fitted_without_it(n_trees, seed, max_samples):
    rng = np.random.RandomState(seed)
    X, y = rng.standard_normal((12, 3)), rng.randint(3, size=12)
    teacher = RandomForestClassifier(n_trees, max_samples=max_samples, random_state=seed).fit(X, y)
    found, _ = out_of_bag(teacher, X)
    for i, row in enumerate(found):
        probabilities_of_trees = [
            tree.predict_proba(X[i : i + 1])[0]
            for tree, bag in zip(teacher.estimators_, teacher.estimators_samples_, strict=True)
            if i not in bag
        ]
        np.testing.assert_allclose(
            row,
            np.mean(probabilities_of_trees, axis=0) if probabilities_of_trees else 0,
            atol=1e-15,
        )


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="older trees count rows of weight 0, and lead gaps, in other ways: they are refused",
)
def test_sample_weights_draw_other_bags_and_they_are_found(iris_like):
    X, y = iris_like
    weights = np.where(np.arange(90) % 3, 1.0, 0.0)
    for make in (FORESTS["forest"], BAGGINGS["trees"]):
        scored = quietly_fitted(make(oob_score=True), X, y, sample_weight=weights)
        expected = np.nan_to_num(scored.oob_decision_function_, nan=0.0)
        teacher = make().fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(out_of_bag(teacher, X)[0], expected)


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="older trees count rows of weight 0, and lead gaps, in other ways: they are refused",
)
def test_missing_values_and_sparse_rows_reach_the_trees(iris_like):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = iris_like
    gaps = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
    full, _ = out_of_bag(forest().fit(gaps, y), gaps)
    assert full.sum(axis=1).max() == pytest.approx(1)
    dense = np.maximum(X, 0)
    teacher = forest().fit(dense, y)
    for matrix in (sparse.csr_matrix(dense), sparse.coo_array(dense)):
        np.testing.assert_array_equal(out_of_bag(teacher, matrix)[0], out_of_bag(teacher, dense)[0])
    bagging = BAGGINGS["some features"]().fit(dense, y)
    np.testing.assert_array_equal(
        out_of_bag(bagging, sparse.csr_matrix(dense))[0], out_of_bag(bagging, dense)[0]
    )


def test_in_a_pipeline_the_earlier_steps_transform_the_rows(iris_like_table):
    table, y = iris_like_table
    numbers = table[["length", "depth", "noise"]]
    teacher = make_pipeline(MinMaxScaler(), "passthrough", PCA(2), forest()).fit(numbers, y)
    before = teacher[:-1].transform(numbers)
    found, classes = out_of_bag(teacher, numbers)
    np.testing.assert_array_equal(found, out_of_bag(teacher[-1], before)[0])
    assert classes.tolist() == sorted(set(y))
    search = GridSearchCV(teacher, {"pca__n_components": [2]}, cv=2).fit(numbers, y)
    np.testing.assert_array_equal(out_of_bag(search, numbers)[0], found)


def test_a_table_with_strings_behind_its_encoder(iris_like_table):
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    table, y = iris_like_table
    columns = make_column_transformer(
        (OneHotEncoder(), ["colour"]), remainder="passthrough", verbose_feature_names_out=False
    )
    teacher = make_pipeline(columns.set_output(transform="default"), forest()).fit(table, y)
    assert out_of_bag(teacher, table)[0].sum(axis=1).max() == pytest.approx(1)


def without_out_of_bag():
    linear = LogisticRegression(max_iter=500)
    nb = GaussianNB()
    return {
        "every tree sees all": ExtraTreesClassifier(3),
        "forest without bootstrap": forest(3, bootstrap=False),
        "bagging without sampling": BaggingClassifier(nb, 3, bootstrap=False),
        "no ensemble": linear,
        "boosting": GradientBoostingClassifier(n_estimators=2),
        "vote": VotingClassifier([("forest", forest(3)), ("nb", nb)], voting="soft"),
        "labels before it": make_pipeline(SelectKBest(k=2), forest(3)),
        "target encoding": make_pipeline(TargetEncoder(cv=2), forest(3)),
        "regression": RandomForestRegressor(3),
    }


@pytest.mark.parametrize("name", without_out_of_bag())
def test_teachers_without_out_of_bag_rows_are_refused(name, iris_like):
    X, y = iris_like
    teacher = without_out_of_bag()[name]
    assert not has_out_of_bag(teacher)
    assert not has_out_of_bag(teacher.fit(X, y))
    with pytest.raises(ValueError, match=r"bootstrap=True.*soft_labels='out_of_fold'"):
        out_of_bag(teacher, X)


def test_subsamples_without_replacement_have_out_of_bag_rows(iris_like):
    X, y = iris_like
    ensemble = BaggingClassifier(GaussianNB(), 9, bootstrap=False, max_samples=0.6, random_state=0)
    assert has_out_of_bag(ensemble.fit(X, y))
    assert out_of_bag(ensemble, X)[0].sum(axis=1).max() == pytest.approx(1)


def test_members_that_were_fitted_before_have_seen_every_row(iris_like):
    X, y = iris_like
    member = FrozenEstimator(GaussianNB().fit(X, y))
    for base in (member, VotingClassifier([("nb", member), ("other", GaussianNB())])):
        assert not has_out_of_bag(BaggingClassifier(base, 3, random_state=0).fit(X, y))


@pytest.mark.parametrize("thing", [None, len, "forest", [(1, 2)], RandomForestClassifier])
def test_objects_that_are_no_ensembles_have_no_out_of_bag_rows(thing):
    assert not has_out_of_bag(thing)


def test_another_number_of_rows_is_refused(iris_like):
    X, y = iris_like
    teacher = forest().fit(X, y)
    with pytest.raises(ValueError, match=r"X has 89 rows, teacher.*was fitted on 90.*in_sample"):
        out_of_bag(teacher, X[1:])


@pytest.mark.parametrize("name", ["forest", "shallow", "extra trees", "trees", "some features"])
@pytest.mark.parametrize(
    "change", [lambda X: X[::-1], lambda X: X * 2, lambda X: np.roll(X, 1, axis=0)]
)
def test_other_rows_or_another_order_are_refused(name, change, iris_like):
    X, y = iris_like
    teacher = (FORESTS | BAGGINGS)[name]().fit(X, y)
    with pytest.raises(ValueError, match="the rows reach other leaves of its trees"):
        out_of_bag(teacher, change(X))


def test_another_order_is_refused_behind_steps_that_round(iris_like):
    X, y = iris_like
    teacher = make_pipeline(PCA(), forest()).fit(X, y)
    out_of_bag(teacher, X)
    with pytest.raises(ValueError, match="other leaves"):
        out_of_bag(teacher, X[np.random.RandomState(0).permutation(90)])


class Noise(TransformerMixin, BaseEstimator):
    """In `fit` it transforms rows in another way than later, as cross-fitted encodings do."""

    def fit(self, X, y=None):
        return self

    def fit_transform(self, X, y=None):
        return X + np.random.RandomState(0).standard_normal(X.shape) * X.std(axis=0)

    def transform(self, X):
        return X


def test_steps_that_gave_the_teacher_other_rows_are_refused(iris_like):
    X, y = iris_like
    teacher = make_pipeline(Noise(), forest()).fit(X, y)
    with pytest.raises(ValueError, match="other leaves"):
        out_of_bag(teacher, X)


def test_a_row_whose_class_no_member_knows_is_all_zero():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((40, 3)), np.arange(40) % 2
    y[7] = 2  # the only row of its class: members without it do not know the class
    teacher = forest(40).fit(X, y)
    blind, _ = out_of_bag(teacher, X)
    assert blind[7].sum() == pytest.approx(1) and blind[7, 2] == 0
    found, _ = out_of_bag(teacher, X, y)
    assert not found[7].any()
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found[others], blind[others])


def test_members_that_know_fewer_classes_are_placed_by_their_codes():
    rng = np.random.RandomState(1)
    X, y = rng.standard_normal((24, 2)), np.repeat([10, 20, 30], 8)
    y[:7] = 30
    teacher = BaggingClassifier(KNeighborsClassifier(1), 15, max_samples=5, random_state=0)
    found, classes = out_of_bag(teacher.fit(X, y), X)
    assert min(len(member.classes_) for member in teacher.estimators_) < 3
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert classes.tolist() == [10, 20, 30]


class Rule(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent code."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.most_ = np.bincount(y).argmax()
        return self

    def predict(self, X):
        return np.full(len(X), self.most_)


def test_members_without_probabilities_vote(iris_like):
    X, y = iris_like
    found, _ = out_of_bag(BaggingClassifier(Rule(), 20, random_state=0).fit(X, y), X)
    shares = found[found > 0]  # of at most 20 votes
    assert shares.min() >= 1 / 20
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_probabilities_are_softer_and_closer_to_those_of_new_rows_than_in_sample():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((300, 5)), rng.randint(2, size=300)  # labels are noise
    teacher = forest(60).fit(X, y)
    in_sample, (found, _) = teacher.predict_proba(X), out_of_bag(teacher, X)
    assert (in_sample.argmax(axis=1) == y).mean() > 0.98
    assert abs((found.argmax(axis=1) == y).mean() - 0.5) < 0.1
    assert found.max(axis=1).mean() < in_sample.max(axis=1).mean() - 0.1


def test_one_column_and_an_ensemble_of_one():
    X, y = np.arange(10.0)[:, None], np.arange(10) % 2
    tree = BaggingClassifier(DecisionTreeClassifier(), 1, random_state=0).fit(X, y)
    found, _ = out_of_bag(tree, X)
    in_bag = np.isin(np.arange(10), tree.estimators_samples_[0])
    assert (found.any(axis=1) == ~in_bag).all()
    dummies = BaggingClassifier(DummyClassifier(), 2, random_state=0).fit(X, y)
    assert out_of_bag(dummies, X)[0].shape == (10, 2)


def test_several_outputs_are_refused(iris_like):
    X, y = iris_like
    teacher = forest().fit(X, np.c_[y, y])
    with pytest.raises(ValueError, match="several outputs"):
        out_of_bag(teacher, X)


@settings(max_examples=10)
@given(st.floats(0.2, 5.0))
def test_the_temperature_that_spoiled_probabilities_is_found(tau):
    rng = np.random.RandomState(0)
    p = rng.dirichlet(np.ones(3), size=2000)
    codes = (rng.uniform(size=2000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    sharpened = np.exp(log_softmax(np.log(p) / tau))
    found = calibration_temperature(sharpened, codes, proba_floor=1e-300)
    assert found == pytest.approx(1 / tau, rel=0.1)


def test_rows_without_an_answer_do_not_count_for_the_temperature():
    rng = np.random.RandomState(0)
    p, codes = rng.dirichlet(np.ones(3), size=200), rng.randint(3, size=200)
    silent = np.arange(200) % 4 == 0
    expected = calibration_temperature(p[~silent], codes[~silent])
    with_silent = np.where(silent[:, None], 0.0, p)
    assert calibration_temperature(with_silent, codes) == pytest.approx(expected, rel=1e-12)
    weights = np.where(silent, 0.0, 3.0)
    assert calibration_temperature(p, codes, weights) == pytest.approx(expected, rel=1e-12)
    assert calibration_temperature(np.zeros((5, 3)), codes[:5]) == 1.0


def test_only_out_of_bag_rows_give_the_temperature_of_a_forest(iris_like):
    X, y = iris_like
    teacher = forest(60).fit(X, y)
    honest = calibration_temperature(out_of_bag(teacher, X)[0], y, proba_floor=1e-3)
    assert calibration_temperature(teacher.predict_proba(X), y, proba_floor=1e-3) < 0.6 < honest
