"""Out-of-fold labels: of each row, by a teacher that was fitted without it."""

import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import _NotAnArray

from skkd import DistilledClassifier, NeuralClassifier
from skkd.teachers.cache import forget
from skkd.teachers.out_of_fold import _folds, out_of_fold

LABELS = np.array(["ape", "bee", "cat"])


@pytest.fixture(autouse=True)
def nothing_remembered():
    forget()


class InContext(ClassifierMixin, BaseEstimator):
    """Stores its rows, and weights them by their distance to a new row, similar to TabPFN."""

    def fit(self, X, y):
        self.classes_, self.codes_ = np.unique(y, return_inverse=True)
        self.rows_ = np.asarray(X)
        return self

    def predict_proba(self, X):
        distances = ((np.asarray(X)[:, None] - self.rows_) ** 2).sum(axis=2)
        mass = 1 / (distances**2 + 1e-12)
        return mass @ np.eye(len(self.classes_))[self.codes_] / mass.sum(axis=1, keepdims=True)


class Spy(DummyClassifier):
    """Predicts the weight of each class, and keeps the arguments of `fit` in a list."""

    given: list = []

    def fit(self, X, y, sample_weight=None):
        self.given.append((X, y, sample_weight, self.random_state))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def given_to_spy():
    Spy.given.clear()
    return Spy.given


def test_an_in_context_learner_repeats_labels_in_sample_and_not_out_of_fold(iris_like):
    X, y = iris_like
    X = StandardScaler().fit_transform(X)
    teacher = InContext().fit(X, y)
    np.testing.assert_allclose(teacher.predict_proba(X), np.eye(3)[y], atol=1e-6)
    found, classes = out_of_fold(teacher, X, y, seed=0)
    assert 0.6 < (classes[found.argmax(axis=1)] == y).mean() < 1
    surest = found.max(axis=1)
    assert surest.mean() < 0.9
    assert (surest < 0.7).any()


def test_noise_in_the_labels_is_not_predicted_out_of_fold(iris_like):
    X, y = iris_like
    noise = np.random.RandomState(1).permutation(y)  # the true probability is 1/3
    assert (InContext().fit(X, noise).predict_proba(X).argmax(axis=1) == noise).all()
    found, _ = out_of_fold(InContext(), X, noise, seed=0)
    assert (found.argmax(axis=1) == noise).mean() < 0.5


@pytest.mark.parametrize("labels", [[0, 1, 2], [5, 7, 11], LABELS, [False, True, True]])
def test_on_a_partition_probabilities_are_those_of_cross_val_predict(labels, iris_like):
    X, codes = iris_like
    y = np.asarray(labels)[codes]
    splitter = StratifiedKFold(4, shuffle=True, random_state=0)
    found, classes = out_of_fold(GaussianNB(), X, y, seed=0, cv=splitter)
    expected = cross_val_predict(GaussianNB(), X, y, cv=splitter, method="predict_proba")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64
    assert classes.tolist() == sorted(set(labels))


def sizes(folds, codes):
    """Rows of each class among the test rows of each fold."""
    return np.array([np.bincount(codes[test], minlength=codes.max() + 1) for _, test in folds])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(2, 6))
def test_the_folds_partition_the_rows_and_share_each_class(codes, n_folds):
    classes, codes = np.unique(codes, return_inverse=True)
    folds = _folds(classes, codes, np.random.RandomState(0), n_folds, None, None)
    n_folds = min(n_folds, len(codes))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(codes)))
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(len(codes)))
    shares = sizes(folds, codes)
    assert np.ptp(shares, axis=0).max() <= 1  # as even as possible for each class
    assert np.ptp(shares.sum(axis=1)) <= 1
    assert len(folds) == n_folds


def test_the_folds_are_as_those_of_stratified_k_fold(iris_like):
    _, y = iris_like
    folds = _folds(np.arange(3), y, np.random.RandomState(0), 5, None, None)
    reference = StratifiedKFold(5, shuffle=True, random_state=0).split(y, y)
    np.testing.assert_array_equal(sizes(folds, y), sizes(reference, y))
    others = _folds(np.arange(3), y, np.random.RandomState(1), 5, None, None)
    assert folds[0][1].tolist() != others[0][1].tolist()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 7), min_size=12, max_size=40), st.integers(0, 99))
def test_a_group_is_never_in_both_parts_of_a_fold(groups, seed):
    groups = np.array(["a", "b", *map(str, groups)])
    rng = np.random.RandomState(seed)
    codes = rng.randint(3, size=len(groups))
    folds = _folds(np.arange(3), codes, rng, 5, groups, None)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(codes)))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])


def test_groups_reach_the_default_and_a_splitter(iris_like):
    X, y = iris_like
    twins, labels = np.repeat(X, 2, axis=0), np.repeat(np.random.RandomState(0).permutation(y), 2)
    groups = np.repeat(np.arange(90), 2)
    leaky, _ = out_of_fold(InContext(), twins, labels, seed=0)
    assert (leaky.argmax(axis=1) == labels).mean() > 0.8
    for cv in (None, GroupKFold(5)):
        found, _ = out_of_fold(InContext(), twins, labels, seed=0, groups=groups, cv=cv)
        assert (found.argmax(axis=1) == labels).mean() < 0.5
    with pytest.raises(ValueError, match="two groups or more"):
        out_of_fold(InContext(), X, y, seed=0, groups=np.zeros(90))


@pytest.mark.parametrize("make", [GaussianNB, InContext, lambda: RandomForestClassifier(5)])
def test_rows_of_a_class_that_a_fold_lacks_are_all_zero(make, iris_like):
    X, y = iris_like
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    silent, _ = out_of_fold(make(), X, y, seed=0, cv=KFold(3))
    assert not silent.any()  # sorted: each fold's rows are all of the class that it lacks
    unknown = cross_val_predict_of_sorted(X, y)
    assert (unknown[np.arange(90), y] == 0).all()  # the class of the row is unknown
    folds = KFold(4)
    found, _ = out_of_fold(GaussianNB(), X, y, seed=0, cv=folds)
    covered = found.any(axis=1)
    for train, test in folds.split(X):
        known = np.isin(y[test], y[train])
        np.testing.assert_array_equal(covered[test], known)
    np.testing.assert_allclose(found[covered].sum(axis=1), 1)


def cross_val_predict_of_sorted(X, y):
    with pytest.warns(RuntimeWarning, match="Number of classes"):
        return cross_val_predict(GaussianNB(), X, y, cv=KFold(3), method="predict_proba")


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=20), st.integers(2, 6), st.integers(0, 9))
def test_rows_are_all_zero_if_their_class_is_missing_and_else_sum_to_one(y, n_folds, seed):
    y = np.array([0, 1, *y])
    X = np.random.RandomState(seed).standard_normal((len(y), 2))
    found, classes = out_of_fold(
        DummyClassifier(), X, y, seed=seed, n_folds=n_folds, remember=False
    )
    rows_of_class = (y[:, None] == classes).sum(axis=0)[np.searchsorted(classes, y)]
    own = found[np.arange(len(y)), np.searchsorted(classes, y)]
    assert not found[rows_of_class == 1].any()
    covered = found.any(axis=1)
    assert (own[covered] > 0).all()
    np.testing.assert_allclose(found[covered].sum(axis=1), 1)


def test_rare_classes_cause_no_warning_and_no_error(iris_like):
    X, y = iris_like
    y = y.copy()
    y[:3] = [7, 8, 8]
    found, classes = out_of_fold(GaussianNB(), X, y, seed=0)
    assert not found[0].any()
    assert found[1:].any(axis=1).all()
    assert classes.tolist() == [0, 1, 2, 7, 8]
    groups = np.arange(90) // 2
    grouped, _ = out_of_fold(GaussianNB(), X, y, seed=0, groups=groups)
    assert not grouped[0].any()
    two, _ = out_of_fold(InContext(), X[:2], [0, 1], seed=0)
    assert not two.any()  # each fold has one class to train on
    one_of_a_kind = np.zeros(90, dtype=int)
    one_of_a_kind[5] = 1
    found, _ = out_of_fold(LogisticRegression(), X, one_of_a_kind, seed=0)
    # One fold of five has one class to train on.
    assert found.any(axis=1).mean() == pytest.approx(0.8, abs=0.01)


def test_one_class_is_refused(iris_like):
    with pytest.raises(ValueError, match="one class only"):
        out_of_fold(GaussianNB(), iris_like[0], np.zeros(90), seed=0)


def test_repeated_splits_are_averaged(iris_like):
    X, y = iris_like
    splitter = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    found, _ = out_of_fold(GaussianNB(), X, y, seed=0, cv=splitter)
    total = np.zeros((90, 3))
    for train, test in splitter.split(X, y):
        total[test] += GaussianNB().fit(X[train], y[train]).predict_proba(X[test])
    np.testing.assert_allclose(found, total / 2)


def test_rows_that_no_fold_tests_are_all_zero(iris_like):
    X, y = iris_like
    found, _ = out_of_fold(GaussianNB(), X, y, seed=0, cv=TimeSeriesSplit(4))
    assert not found[:18].any()
    np.testing.assert_allclose(found[18:].sum(axis=1), 1)
    some, _ = out_of_fold(GaussianNB(), X, y, seed=0, cv=ShuffleSplit(2, random_state=0))
    tested = np.concatenate([t for _, t in ShuffleSplit(2, random_state=0).split(X)])
    np.testing.assert_array_equal(np.flatnonzero(some.any(axis=1)), np.unique(tested))


def test_other_ways_to_split(iris_like):
    X, y = iris_like
    pairs = list(KFold(3, shuffle=True, random_state=0).split(X))
    expected, _ = out_of_fold(GaussianNB(), X, y, seed=0, cv=pairs)
    fold = np.empty(90, dtype=int)
    for k, (_, test) in enumerate(pairs):
        fold[test] = k
    masks = [(fold != k, fold == k) for k in range(3)]
    for cv in (PredefinedSplit(fold), iter(pairs), masks):
        np.testing.assert_array_equal(out_of_fold(GaussianNB(), X, y, seed=0, cv=cv)[0], expected)
    one_by_one, _ = out_of_fold(GaussianNB(), X[:20], y[:20], seed=0, cv=LeaveOneOut())
    np.testing.assert_allclose(one_by_one.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (5, "cv=5.*n_folds is the number"),
        ([(np.arange(90), np.arange(10))], "test rows are not among its training rows"),
        ([(np.arange(80), np.arange(80, 91))], "indices of the 90 rows"),
        ([(np.arange(80), np.array([-1]))], "indices of the 90 rows"),
        ([(np.arange(80), np.array([0.5]))], "indices of the 90 rows"),
    ],
)
def test_invalid_splits_are_refused(cv, message, iris_like):
    with pytest.raises(ValueError, match=message):
        out_of_fold(GaussianNB(), *iris_like, seed=0, cv=cv)


@pytest.mark.parametrize("n_folds", [1, 2.5, "5", True])
def test_n_folds_is_an_integer_from_two_on(n_folds, iris_like):
    with pytest.raises((ValueError, TypeError), match="n_folds"):
        out_of_fold(GaussianNB(), *iris_like, seed=0, n_folds=n_folds)


def test_a_seed_decides_everything_and_the_global_state_is_unchanged(iris_like, given_to_spy):
    X, y = iris_like
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    teacher, shuffled = RandomForestClassifier(5), KFold(3, shuffle=True)
    for cv in (None, shuffled, RepeatedStratifiedKFold(n_splits=2, n_repeats=2)):
        first, again, other = (
            out_of_fold(teacher, X, y, seed=seed, cv=cv, remember=False)[0] for seed in (7, 7, 8)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert shuffled.random_state is None and teacher.random_state is None
    own = np.random.RandomState(3)
    out_of_fold(Spy(), X, y, seed=0, cv=KFold(3, shuffle=True, random_state=own))
    assert own.randint(10**6) == np.random.RandomState(3).randint(10**6)
    seeds = [seed for _, _, _, seed in given_to_spy]
    assert len(set(seeds)) == 3 and None not in seeds


def test_weights_reach_the_teacher_with_their_rows(iris_like, given_to_spy):
    X, y = iris_like
    X, weights = X.copy(), np.arange(90.0)
    X[:, 0] = weights
    out_of_fold(make_pipeline("passthrough", Spy()), X, LABELS[y], weights, seed=0, n_folds=3)
    assert len(given_to_spy) == 3
    for rows, labels, its_weights, _ in given_to_spy:
        np.testing.assert_array_equal(rows[:, 0], its_weights)
        np.testing.assert_array_equal(labels, LABELS[y][its_weights.astype(int)])
    with pytest.warns(UserWarning, match="takes no sample_weight") as warned:
        out_of_fold(InContext(), X, y, weights, seed=0)
    assert len(warned) == 1
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        out_of_fold(GaussianNB(), X, y, weights[1:], seed=0)


def test_array_likes_have_folds_too(iris_like):
    X, y = iris_like
    found, _ = out_of_fold(GaussianNB(), _NotAnArray(X), y, seed=0)
    np.testing.assert_array_equal(found, out_of_fold(GaussianNB(), X, y, seed=0)[0])


def test_it_is_computed_once_for_the_same_arguments(iris_like, tmp_path, monkeypatch):
    X, y = iris_like
    fits, fit = [], GaussianNB.fit

    def counted(self, X, y, sample_weight=None):
        fits.append(len(X))
        return fit(self, X, y, sample_weight)

    fitted = GaussianNB().fit(X, y)
    monkeypatch.setattr(GaussianNB, "fit", counted)
    first, _ = out_of_fold(GaussianNB(), X, y, seed=0)
    again, _ = out_of_fold(fitted, X.copy(), y, seed=0)
    assert len(fits) == 5
    np.testing.assert_array_equal(first, again)
    for change in ({"seed": 1}, {"n_folds": 4}, {"sample_weight": 1.0 + y}, {"cv": KFold(5)}):
        fits.clear()
        out_of_fold(GaussianNB(), X, y, **{"seed": 0} | change)
        assert fits
    memory = joblib.Memory(tmp_path, verbose=0)
    stored, _ = out_of_fold(GaussianNB(), X, y, seed=5, memory=memory)
    forget()
    fits.clear()
    found, classes = out_of_fold(GaussianNB(), X, y, seed=5, memory=memory)
    assert not fits
    np.testing.assert_array_equal(found, stored)
    assert classes.tolist() == [0, 1, 2]


def test_the_teacher_stays_as_it_was(iris_like):
    X, y = iris_like
    for teacher in (RandomForestClassifier(3, random_state=0), GaussianNB()):
        state = pickle.dumps(teacher.fit(X, y))
        expected, _ = out_of_fold(teacher, X, y, seed=0, remember=False)
        found, _ = out_of_fold(FrozenEstimator(teacher), X, y, seed=0, remember=False)
        np.testing.assert_array_equal(found, expected)
        assert pickle.dumps(teacher) == state


def test_a_pipeline_gets_its_table_with_names_gaps_and_strings(iris_like_table):
    table, y = iris_like_table
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["length", "width"]),
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
    )
    teacher = make_pipeline(columns, LogisticRegression()).fit(table, y)
    found, classes = out_of_fold(FrozenEstimator(teacher), table, y, seed=0)
    assert (classes[found.argmax(axis=1)] == y).mean() > 0.8
    as_series, _ = out_of_fold(teacher, table, type(table["colour"])(y), seed=0)
    np.testing.assert_array_equal(as_series, found)
    as_category, _ = out_of_fold(teacher, table, type(table["colour"])(y, dtype="category"), seed=0)
    np.testing.assert_array_equal(as_category, found)


def test_rows_of_any_kind_are_picked(iris_like):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    polars = pytest.importorskip("polars")
    X, y = iris_like
    expected, _ = out_of_fold(GaussianNB(), X, y, seed=0)
    names = list("abcd")
    for rows, labels in ((X.tolist(), y.tolist()), (polars.DataFrame(X, names), polars.Series(y))):
        found, _ = out_of_fold(GaussianNB(), rows, labels, seed=0)
        np.testing.assert_allclose(found, expected)
    linear = LogisticRegression()
    dense, _ = out_of_fold(linear, X, y, seed=0)
    found, _ = out_of_fold(linear, scipy_sparse.coo_array(X), y, seed=0, batch_size=7)
    np.testing.assert_allclose(found, dense, atol=1e-3)
    assert out_of_fold(linear, X[:, :1], y, seed=0)[0].shape == (90, 3)


def test_teachers_with_decision_function_alone_are_asked_too(iris_like):
    X, y = iris_like
    found, classes = out_of_fold(SVC(), X, LABELS[y], seed=0)
    assert (classes[found.argmax(axis=1)] == LABELS[y]).mean() > 0.6


def xgboost():
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1)


def lightgbm():
    return pytest.importorskip("lightgbm").LGBMClassifier(
        n_estimators=20, min_child_samples=5, verbose=-1, n_jobs=1
    )


def catboost(**settings):
    return pytest.importorskip("catboost").CatBoostClassifier(
        10, verbose=0, allow_writing_files=False, thread_count=1, **settings
    )


@pytest.mark.parametrize("make", [xgboost, lightgbm, catboost])
def test_boosters_give_out_of_fold_labels_also_if_a_class_is_missing(make, iris_like):
    X, y = iris_like
    y = y.copy()
    found, classes = out_of_fold(make().fit(X, y), X, y, seed=0, n_folds=2)
    assert (classes[found.argmax(axis=1)] == y).mean() > 0.7
    y[y == 1] = 0
    y[4] = 1  # the only row of a class in the middle: one fold has codes with a gap
    expected_gap = out_of_fold(make(), X, y, seed=0, n_folds=2)[0]
    assert not expected_gap[4].any()
    others = np.arange(90) != 4
    np.testing.assert_allclose(expected_gap[others].sum(axis=1), 1)
    assert (expected_gap.argmax(axis=1) == y)[others].mean() > 0.7


def test_catboost_with_categories(iris_like_table):
    table, y = iris_like_table
    table = table[["length", "width", "colour"]].assign(colour=table["colour"].fillna("none"))
    teacher = catboost(cat_features=("colour",))
    found, classes = out_of_fold(teacher, table, y, seed=0, n_folds=2)
    assert (classes[found.argmax(axis=1)] == y).mean() > 0.7
    with pytest.raises(RuntimeError) as caught:
        out_of_fold(catboost(cat_features=["colour"]), table, y, seed=0)
    assert "cat_features must be a tuple" in caught.value.__notes__[0]


def test_a_network_teaches_out_of_fold(iris_like):
    X, y = iris_like
    network = NeuralClassifier((8,), max_epochs=8, learning_rate=0.05, preset="plain")
    found, classes = out_of_fold(network.fit(X, LABELS[y]), X, LABELS[y], seed=0, n_folds=2)
    assert (classes[found.argmax(axis=1)] == LABELS[y]).mean() > 0.5


@pytest.mark.parametrize(
    "teacher",
    [
        lambda rows: np.full((len(rows), 3), 1 / 3),
        [(GaussianNB(), 1.0)],
        GaussianNB,
        "forest",
        None,
    ],
)
def test_teachers_that_cannot_be_fitted_are_refused_with_advice(teacher, iris_like):
    with pytest.raises(ValueError, match=r"cloned and fitted, or soft_labels='in_sample'"):
        out_of_fold(teacher, *iris_like, seed=0)


def test_a_torch_module_is_refused(iris_like):
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="cloned and fitted"):
        out_of_fold(torch.nn.Linear(4, 3), *iris_like, seed=0)


def test_fitted_parts_inside_have_seen_the_rows_and_are_refused(iris_like):
    X, y = iris_like
    nb = GaussianNB().fit(X, y)
    frozen = FrozenEstimator(nb)
    leaks = {
        "cv": StackingClassifier([("nb", nb)], cv="prefit"),
        "estimator": CalibratedClassifierCV(frozen),
        "nb": VotingClassifier([("nb", frozen), ("other", GaussianNB())], voting="soft"),
        "classifier__estimator": make_named(frozen),
        "teacher": DistilledClassifier(nb),
    }
    for name, teacher in leaks.items():
        with pytest.raises(ValueError, match=rf"a clone keeps its {name}.*in_sample"):
            out_of_fold(teacher, X, y, seed=0)


def make_named(frozen):
    from sklearn.pipeline import Pipeline

    return Pipeline([("scale", MinMaxScaler()), ("classifier", CalibratedClassifierCV(frozen))])


def test_a_frozen_transformer_that_saw_no_labels_may_stay(iris_like):
    X, y = iris_like
    scaler = FrozenEstimator(StandardScaler().fit(X))
    found, _ = out_of_fold(make_pipeline(scaler, KNeighborsClassifier()), X, y, seed=0)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_an_error_of_the_teacher_is_named_and_nothing_is_tried_twice(iris_like, given_to_spy):
    X, y = iris_like

    with pytest.raises(ValueError, match="strategy") as caught:
        out_of_fold(Spy(strategy="nonsense"), X, y, seed=0)
    assert "Raised by fit of teacher, a Spy, on the rows of a fold." in caught.value.__notes__
    assert len(given_to_spy) == 1
