"""scikit-learn's tools for classifiers, with DistilledClassifier as the classifier.

A teacher is *frozen* (it was fitted to all rows, with the original labels) or *unfitted*
(``fit_teacher=True``: a clone of it is fitted to the rows of the student). If a
meta-estimator changes the labels or the columns that a frozen teacher was fitted to, there
must be an error: the score would be meaningless. `alpha` is high, so that a wrong teacher
lowers the score.
"""

import copy
import re

import joblib
import numpy as np
import pytest
import sklearn
from joblib import parallel_backend
from scipy.stats import loguniform
from sklearn import config_context, ensemble
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier

from skkd import DistilledClassifier, NeuralClassifier
from skkd.teachers import cache as teacher_cache
from skkd.teachers.agreement import TeacherMismatchWarning

#: Chance is 1/3, the best possible accuracy on the clouds about 0.97.
FAIR = 0.75

BASE = DistilledClassifier(
    alpha=0.9,
    hidden_layer_sizes=(8,),
    preset="plain",
    max_epochs=20,
    learning_rate=0.05,
    random_state=0,
)
FOREST = ensemble.RandomForestClassifier(8, max_depth=5, random_state=0)
LINEAR = LogisticRegression()

KINDS = {
    "strings": np.array(["ape", "bee", "cat"]),
    "from 1": np.array([1, 2, 3]),
    "codes": np.array([0, 1, 2]),
}

SKLEARN_VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def frozen(X, y, teacher=FOREST):
    """A student of a teacher that was fitted to all these rows."""
    return clone(BASE).set_params(teacher=clone(teacher).fit(X, y))


def unfitted(X, y, teacher=FOREST):
    """A student whose teacher is fitted to the rows of each fit."""
    return clone(BASE).set_params(teacher=clone(teacher), fit_teacher=True)


both_teachers = pytest.mark.parametrize("taught", [frozen, unfitted], ids=lambda f: f.__name__)


@pytest.fixture
def clouds(iris_like):
    """(X, y) of three classes that are strings."""
    X, y = iris_like
    return X + 2 * y[:, None] * [1, 0, 0, 0], KINDS["strings"][y]


@pytest.fixture(params=KINDS)
def data(request, clouds):
    """(X, y) of three classes, for each kind of labels."""
    X, y = clouds
    return X, KINDS[request.param][np.searchsorted(KINDS["strings"], y)]


def two_classes(X, y):
    """The rows of the first two classes."""
    kept = y != np.unique(y)[2]
    return X[kept], y[kept]


def assert_fair(clf, X, y):
    """Assert that a fitted classifier has the labels as given, and predicts them well."""
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    assert clf.predict(X).dtype.kind == np.asarray(y).dtype.kind
    assert clf.score(X, y) > FAIR
    if hasattr(clf, "predict_proba"):
        proba = clf.predict_proba(X)
        assert proba.shape == (len(X), len(np.unique(y)))
        np.testing.assert_allclose(proba.sum(axis=1), 1)


# What a client passes to the student -----------------------------------------------------


def first_weights(clf):
    return np.abs(clf.network_.layers[0].weight).sum(axis=1)


#: What the student is given: {name: client of a student}.
CLIENTS = {
    "y as it is": {
        "nothing": lambda s: s,
        "boosting": lambda s: ensemble.AdaBoostClassifier(s, n_estimators=3, random_state=0),
        "sigmoid": lambda s: CalibratedClassifierCV(s, method="sigmoid", cv=2),
        "isotonic": lambda s: CalibratedClassifierCV(s, method="isotonic", cv=2),
        "pipeline": lambda s: make_pipeline("passthrough", s),
        "grid": lambda s: GridSearchCV(s, {"alpha": [0.5, 1]}, cv=2, error_score="raise"),
    },
    "y as 0 to K-1": {
        "voting": lambda s: ensemble.VotingClassifier([("student", s)], voting="soft"),
        "bagging": lambda s: ensemble.BaggingClassifier(s, n_estimators=3, random_state=0),
        "stacking of": lambda s: ensemble.StackingClassifier([("student", s)], LINEAR, cv=2),
        "one calibrator": lambda s: CalibratedClassifierCV(s, cv=2, ensemble=False),
    },
    "y as two classes": {
        "one vs rest": OneVsRestClassifier,
        "one vs one": OneVsOneClassifier,
        "output code": lambda s: OutputCodeClassifier(s, code_size=3, random_state=0),
    },
    "other columns": {
        "bagging of features": lambda s: ensemble.BaggingClassifier(
            s, 4, max_features=0.5, random_state=1
        ),
        "stacking by": lambda s: ensemble.StackingClassifier([("linear", LINEAR)], s, cv=2),
        "elimination": lambda s: RFE(s, n_features_to_select=2, importance_getter=first_weights),
        "selection": lambda s: make_pipeline(
            SequentialFeatureSelector(s, n_features_to_select=1, cv=2), LINEAR
        ),
    },
}
if SKLEARN_VERSION >= (1, 8):
    CLIENTS["strings as 0 to K-1"] = {
        "temperature": lambda s: CalibratedClassifierCV(s, method="temperature", cv=2)
    }

OTHER_COLUMNS = r"X has [1235] features, but RandomForestClassifier is expecting 4"
RE_ENCODED = (
    r"teacher(_proba)? knows the classes {known}, y holds .*a meta-estimator has re-encoded it: "
    r"encode the labels to 0..K-1 before fitting the teacher"
)

every_client = pytest.mark.parametrize(
    "handed, name", [(handed, name) for handed, clients in CLIENTS.items() for name in clients]
)


def re_encoded(y):
    """The message about labels that a frozen teacher does not know."""
    return RE_ENCODED.format(known=re.escape(str(np.unique(y).tolist())))


@every_client
def test_an_unfitted_teacher_is_fitted_to_the_rows_that_any_client_passes_on(handed, name, data):
    X, y = data
    assert_fair(CLIENTS[handed][name](unfitted(X, y)).fit(X, y), X, y)


@every_client
def test_a_frozen_teacher_is_right_or_raises(handed, name, data):
    X, y = data
    client = CLIENTS[handed][name](frozen(X, y))
    keeps_labels = {
        "y as it is": True,
        "strings as 0 to K-1": y.dtype.kind == "i",
        "y as 0 to K-1": np.unique(y).tolist() == [0, 1, 2],
    }
    if keeps_labels.get(handed, False):
        assert_fair(client.fit(X, y), X, y)
    else:
        message = OTHER_COLUMNS if handed == "other columns" else re_encoded(y)
        with pytest.raises(ValueError, match=f"(?s){message}"):
            client.fit(X, y)


def test_as_many_but_other_columns_warn(data):
    X, y = data
    stack = ensemble.StackingClassifier([("linear", LINEAR)], frozen(X[:, :3], y), cv=2)
    if np.unique(y).tolist() == [0, 1, 2]:
        with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
            stack.fit(X[:, :3], y)
    else:
        with pytest.raises(ValueError, match=re_encoded(y)):
            stack.fit(X[:, :3], y)


def test_several_outputs_each_have_a_teacher(data):
    X, y = data
    targets = np.column_stack([y, np.unique(y)[(X[:, 1] > 15).astype(int)]])
    clf = MultiOutputClassifier(unfitted(X, y)).fit(X, targets)
    assert (clf.predict(X) == targets).mean(axis=0).min() > FAIR
    with pytest.raises(ValueError, match=re_encoded(y)):
        MultiOutputClassifier(frozen(X, y)).fit(X, targets)


def test_a_frozen_teacher_of_one_output_warns_at_another_of_the_same_classes(data):
    X, y = data
    targets = np.column_stack([y, np.random.RandomState(0).permutation(y)])
    with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
        MultiOutputClassifier(frozen(X, y)).fit(X, targets)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order, message", [([1, 0], RE_ENCODED), ([0, 1], OTHER_COLUMNS)])
def test_a_chain_of_classifiers(order, message, first, iris_like):
    X, y = iris_like
    targets = np.column_stack([first + y, first + (X[:, 0] > 1.5)])
    chain = ClassifierChain(unfitted(X, y), order=order).fit(X, targets)
    assert (chain.predict(X) == targets).mean(axis=0).min() > FAIR
    message = message.format(known=re.escape(str(np.unique(targets[:, 0]).tolist())))
    with pytest.raises(ValueError, match=message):
        ClassifierChain(frozen(X, first + y), order=order).fit(X, targets)


def test_cross_val_predict_gives_probabilities_in_the_order_of_the_classes(data):
    X, y = data
    settings = {"cv": 3, "method": "predict_proba"}
    proba = cross_val_predict(unfitted(X, y), X, y, **settings)
    assert (np.unique(y)[proba.argmax(axis=1)] == y).mean() > FAIR
    if np.unique(y).tolist() == [0, 1, 2]:
        proba = cross_val_predict(frozen(X, y), X, y, **settings)
        assert (proba.argmax(axis=1) == y).mean() > FAIR
    else:
        with pytest.raises(ValueError, match=re_encoded(y)):
            cross_val_predict(frozen(X, y), X, y, **settings)


@both_teachers
def test_a_fitted_student_is_calibrated_as_it_is(taught, data):
    X, y = data
    fitted = taught(X, y).fit(X[:60], y[:60])
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X[60:], y[60:])
    assert calibrated.calibrated_classifiers_[0].estimator.estimator is fitted
    assert_fair(calibrated, X, y)


@both_teachers
def test_self_training_labels_the_unlabelled(taught, data):
    X, y = data
    partly = y.astype(object) if y.dtype.kind == "U" else y.copy()
    partly[:30] = -1
    clf = SelfTrainingClassifier(taught(X, y), threshold=0.6).fit(X, partly)
    assert (clf.transduction_[:30] != -1).any()
    assert (clf.predict(X[:30]) == y[:30]).mean() > FAIR


@both_teachers
def test_a_tuned_threshold(taught, data):
    X, y = two_classes(*data)
    student = taught(X, y)
    tuned = TunedThresholdClassifierCV(student, scoring="balanced_accuracy", cv=2).fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert_fair(tuned, X, y)


@both_teachers
def test_a_fixed_threshold_moves_predictions_to_one_class(taught, data):
    X, y = two_classes(*data)
    label = np.unique(y)[1]
    student = taught(X, y).set_params(temperature=3)
    low = FixedThresholdClassifier(student, threshold=0.01, pos_label=label).fit(X, y)
    high = clone(low).set_params(threshold=0.99).fit(X, y)
    counts = [(clf.predict(X) == label).sum() for clf in (low, high)]
    assert counts[0] > 30 > counts[1]


@both_teachers
@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
def test_permutation_importance_finds_the_informative_feature(backend, taught, clouds):
    clf = taught(*clouds).fit(*clouds)
    one = permutation_importance(clf, *clouds, n_repeats=3, random_state=0)
    with parallel_backend(backend):
        two = permutation_importance(clf, *clouds, n_repeats=3, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(one.importances, two.importances)
    assert one.importances_mean.argmax() == 0 and one.importances_mean[0] > 0.1


@both_teachers
def test_partial_dependence_has_a_curve_per_class(taught, data):
    found = partial_dependence(taught(*data).fit(*data), data[0], [0], grid_resolution=5)
    assert found["average"].shape == (3, 5)
    np.testing.assert_allclose(found["average"].sum(axis=0), 1)
    assert found["average"][0, 0] > found["average"][0, -1]


# Searches and curves ---------------------------------------------------------------------


@both_teachers
@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
def test_a_grid_search_with_two_jobs_scores_as_with_one(backend, taught, clouds):
    grid = {"alpha": [0.5, 1.0], "temperature": [1, 4]}
    student = taught(*clouds, teacher=clone(FOREST).set_params(random_state=None))
    one = GridSearchCV(student, grid, cv=2, error_score="raise").fit(*clouds)
    teacher_cache.forget()
    with parallel_backend(backend):
        two = GridSearchCV(student, grid, cv=2, n_jobs=2).fit(*clouds)
    for fold in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(one.cv_results_[fold], two.cv_results_[fold])
    np.testing.assert_array_equal(one.predict_proba(clouds[0]), two.predict_proba(clouds[0]))
    assert_fair(one, *clouds)


@both_teachers
def test_multimetric_search(taught, clouds):
    X, y = clouds
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    search = GridSearchCV(
        taught(X, y), {"max_epochs": [1, 20]}, scoring=scoring, refit="neg_log_loss", cv=2
    ).fit(X, y)
    assert search.best_params_ == {"max_epochs": 20}
    assert search.cv_results_["mean_test_roc_auc_ovr"][1] > FAIR
    assert_fair(search.best_estimator_, X, y)


@both_teachers
def test_randomized_search_draws_from_distributions(taught, clouds):
    X, y = clouds
    space = {"temperature": loguniform(1, 10), "alpha": [0.5, 1.0]}
    search = RandomizedSearchCV(taught(X, y), space, n_iter=4, cv=2, random_state=0).fit(X, y)
    assert len(set(search.cv_results_["param_temperature"])) == 4
    assert_fair(search, X, y)


@both_teachers
def test_halving_search_spends_epochs(taught, clouds):
    X, y = clouds
    search = HalvingGridSearchCV(
        taught(X, y),
        {"learning_rate": [0.0001, 0.01, 0.05, 0.1]},
        resource="max_epochs",
        min_resources=5,
        max_resources=20,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [5, 10, 20]
    assert search.best_estimator_.n_iter_ == 20
    assert search.best_params_["learning_rate"] > 0.0001
    assert_fair(search, X, y)


@both_teachers
def test_nested_cross_validation(taught, clouds):
    search = GridSearchCV(taught(*clouds), {"alpha": [0.5, 1.0]}, cv=2, error_score="raise")
    assert cross_val_score(search, *clouds, cv=2, error_score="raise").mean() > FAIR


@both_teachers
def test_learning_curve(taught, clouds):
    sizes, trained, tested = learning_curve(
        taught(*clouds), *clouds, cv=2, train_sizes=[0.3, 1.0], error_score="raise"
    )
    assert sizes.tolist() == [13, 45]
    assert trained.mean(axis=1).min() > FAIR and tested[-1].mean() > FAIR


@both_teachers
def test_validation_curve(taught, clouds):
    trained, _ = validation_curve(
        taught(*clouds), *clouds, param_name="max_epochs", param_range=[1, 20], cv=2
    )
    assert trained[1].mean() > max(FAIR, trained[0].mean())


def test_permutation_test_score_finds_the_labels_significant(clouds):
    settings = {"cv": 2, "n_permutations": 5}
    score, permuted, p_value = permutation_test_score(unfitted(*clouds), *clouds, **settings)
    assert score > FAIR > permuted.max()
    assert p_value == pytest.approx(1 / 6)


def test_a_frozen_teacher_contradicts_permuted_labels_and_warns(clouds):
    with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
        permutation_test_score(frozen(*clouds), *clouds, cv=2, n_permutations=5)


# Teachers in grids -----------------------------------------------------------------------


def test_a_grid_over_several_frozen_teachers_finds_the_better_one(clouds):
    X, y = clouds
    stump = FrozenEstimator(clone(FOREST).set_params(n_estimators=1, max_depth=1).fit(X, y))
    good = FrozenEstimator(clone(FOREST).fit(X, y))
    grid = {"teacher": [stump, good], "alpha": [1.0]}
    search = GridSearchCV(BASE, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["teacher"] is good
    assert search.best_estimator_.teacher_ is good.estimator
    assert_fair(search, X, y)


@pytest.mark.parametrize("n_raw", [1, 2])
def test_raw_fitted_teachers_in_a_grid_are_refused_with_advice(n_raw, clouds):
    X, y = clouds
    teachers = [clone(FOREST).fit(X, y) for _ in range(2)]
    teachers[n_raw:] = [FrozenEstimator(teacher) for teacher in teachers[n_raw:]]
    search = GridSearchCV(BASE, {"teacher": teachers}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="not fitted.*sklearn.frozen.FrozenEstimator"):
        search.fit(X, y)


def test_parameters_of_an_unfitted_teacher_are_searched(clouds):
    X, y = clouds
    student = unfitted(X, y, teacher=DecisionTreeClassifier(random_state=0)).set_params(alpha=1.0)
    before = student.teacher.get_params()
    grid = {"teacher__max_depth": [1, 3], "temperature": [1, 2]}
    search = GridSearchCV(student, grid, cv=2, error_score="raise").fit(X, y)
    of_stump, of_tree = search.cv_results_["mean_test_score"].reshape(2, 2)
    assert of_stump.max() < FAIR < of_tree.min()
    assert search.best_estimator_.teacher_.max_depth == 3
    assert search.best_estimator_.teacher_.tree_.max_depth > 1
    assert student.teacher.get_params() == before and not hasattr(student.teacher, "tree_")
    assert_fair(search, X, y)


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda forest: forest], ids=["frozen", "raw"])
def test_a_search_for_parameters_of_a_frozen_teacher_is_refused(wrap, clouds):
    forest = clone(FOREST).fit(*clouds)
    before = joblib.hash(forest)
    student = clone(BASE).set_params(teacher=wrap(forest))
    with pytest.raises(ValueError, match="teacher__n_estimators=3 .*fit_teacher=True.* frozen"):
        GridSearchCV(student, {"teacher__n_estimators": [3]}, cv=2).fit(*clouds)
    assert joblib.hash(forest) == before


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda forest: forest], ids=["frozen", "raw"])
def test_set_params_does_not_change_a_frozen_teacher(wrap, clouds):
    forest = clone(FOREST).fit(*clouds)
    student = clone(BASE).set_params(teacher=wrap(forest))
    with pytest.raises(ValueError, match="teacher__n_estimators=3 .*fit_teacher=True.* frozen"):
        student.set_params(teacher__n_estimators=3)
    assert forest.n_estimators == FOREST.n_estimators


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda forest: forest], ids=["frozen", "raw"])
def test_a_grid_over_fit_teacher_shares_the_teacher_or_fits_a_clone_of_it(wrap, clouds):
    X, y = clouds
    order = np.argsort(y, kind="stable")
    forest = clone(FOREST).fit(X, y)
    student = clone(BASE).set_params(teacher=wrap(forest), alpha=1.0)
    found = {}
    for fits in (False, True):
        search = GridSearchCV(student, {"fit_teacher": [fits]}, cv=2, error_score="raise")
        found[fits] = search.fit(X[order][::2], y[order][::2]).best_estimator_.teacher_
    assert found[False] is forest
    assert found[True] is not forest and found[True].n_estimators == FOREST.n_estimators
    assert (found[True].predict_proba(X) != forest.predict_proba(X)).any()
    both = GridSearchCV(student, {"fit_teacher": [False, True]}, cv=2, error_score="raise")
    assert_fair(both.fit(X, y), X, y)


def test_a_grid_that_stops_fitting_a_raw_fitted_teacher_is_refused_with_advice(clouds):
    forest = clone(FOREST).fit(*clouds)
    student = clone(BASE).set_params(teacher=forest, fit_teacher=True)
    search = GridSearchCV(student, {"fit_teacher": [False]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="not fitted.*sklearn.frozen.FrozenEstimator"):
        search.fit(*clouds)
    student.set_params(teacher=FrozenEstimator(forest))
    assert search.fit(*clouds).best_estimator_.teacher_ is forest


@both_teachers
def test_clone_keeps_metadata_requests_together_with_the_teacher(taught, clouds):
    with config_context(enable_metadata_routing=True):
        student = taught(*clouds).set_fit_request(teacher_proba=True, sample_weight="w")
        copied = clone(clone(student))
        requests = copied.get_metadata_routing().fit.requests
    assert (requests["teacher_proba"], requests["sample_weight"]) == (True, "w")
    if taught is frozen:
        assert copied.teacher.estimator is student.teacher
    else:
        assert copied.fit_teacher and not hasattr(copied.teacher, "estimators_")


# What is in front of the student ---------------------------------------------------------


@both_teachers
def test_a_pipeline_with_memory(taught, data, tmp_path):
    X, y = data
    scaled = StandardScaler().fit_transform(X)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("net", taught(scaled, y))], memory=str(tmp_path)
    )
    search = GridSearchCV(pipeline, {"net__alpha": [0.5, 1]}, cv=2, error_score="raise").fit(X, y)
    assert any(tmp_path.rglob("*.pkl"))
    assert_fair(search, X, y)


def test_a_scaler_in_front_of_a_frozen_teacher_of_raw_rows_warns(data):
    X, y = data
    with pytest.warns(TeacherMismatchWarning, match="unscaled"):
        make_pipeline(StandardScaler(), frozen(X + 20, y)).fit(X + 20, y)


def columns_of_the_table():
    return make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ("passthrough", ["big"]),
    )


@both_teachers
def test_teacher_and_student_each_have_their_own_preprocessing_of_a_table(taught, iris_like_table):
    table, y = iris_like_table
    teacher = make_pipeline(columns_of_the_table(), FOREST)
    grid = {"preprocessor": ["auto", columns_of_the_table()], "alpha": [0.5, 1.0]}
    search = GridSearchCV(taught(table, y, teacher=teacher), grid, cv=3, error_score="raise")
    search.fit(table, y)
    assert search.cv_results_["mean_test_score"].min() > FAIR
    assert search.best_estimator_.feature_names_in_.tolist() == list(table.columns)
    assert_fair(search, table, y)


@both_teachers
def test_a_student_behind_a_column_transformer_learns_from_a_teacher_of_its_columns(
    taught, iris_like_table
):
    table, y = iris_like_table
    columns = columns_of_the_table()
    pipeline = make_pipeline(columns, taught(columns.fit_transform(table), y))
    assert_fair(pipeline.fit(table, y), table, y)


def test_a_student_behind_a_column_transformer_hides_the_table_from_its_teacher(iris_like_table):
    table, y = iris_like_table
    student = frozen(table, y, teacher=make_pipeline(columns_of_the_table(), FOREST))
    with pytest.raises(ValueError, match="but ColumnTransformer is expecting 6"):
        make_pipeline(columns_of_the_table(), student).fit(table, y)


def test_columns_named_upstream_reach_teacher_and_student(clouds):
    pytest.importorskip("pandas")
    X, y = clouds
    pipeline = make_pipeline(StandardScaler(), unfitted(X, y)).set_output(transform="pandas")
    pipeline.fit(X, y)
    names = ["x0", "x1", "x2", "x3"]
    assert pipeline[-1].feature_names_in_.tolist() == names
    assert pipeline[-1].teacher_.feature_names_in_.tolist() == names
    assert_fair(pipeline, X, y)


# Metadata: weights, and answers bought elsewhere -----------------------------------------


def answers(X):
    """Probabilities that depend on the first column alone; that of class 0 falls with it."""
    logits = X[:, [0]] * [0, 0.5, 1.0] - [0, 0.9, 3.8]
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True)


class Watchful(DistilledClassifier):
    """Refuses soft labels that do not fall where the first column rises."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None, *, teacher_proba=None, X_val=None, y_val=None):
        type(self).n_fits += 1
        in_order = np.argsort(np.asarray(X)[:, 0])
        of_first_class = np.asarray(teacher_proba)[in_order, 0]
        assert len(X) == len(teacher_proba) and (np.diff(of_first_class) <= 0).all()
        assert of_first_class[0] > of_first_class[-1]
        return super().fit(X, y, sample_weight, teacher_proba=teacher_proba)


@pytest.fixture
def watchful():
    Watchful.n_fits = 0
    return Watchful(**BASE.get_params())


@pytest.fixture(params=[False, True], ids=["handed on", "routed"])
def routing(request):
    with config_context(enable_metadata_routing=request.param):
        yield request.param


def with_wrong_rows(X, y):
    """The rows, then the same rows with the labels of other classes and weight 0."""
    classes = np.unique(y)
    wrong = classes[(np.searchsorted(classes, y) + 1) % len(classes)]
    weight = np.repeat([1.0, 0.0], len(y))
    order = np.random.RandomState(0).permutation(2 * len(y))
    return np.concatenate([X, X])[order], np.concatenate([y, wrong])[order], weight[order]


def test_weights_and_answers_arrive_together_through_a_pipeline_and_a_search(
    routing, data, watchful
):
    X, y, weight = with_wrong_rows(*data)
    scaler, net, scorer = StandardScaler(), watchful.set_params(alpha=0.3), get_scorer("accuracy")
    metadata = {"sample_weight": weight, "teacher_proba": answers(X)}
    if routing:
        scaler.set_fit_request(sample_weight=False)
        net.set_fit_request(sample_weight=True, teacher_proba=True)
        scorer = scorer.set_score_request(sample_weight=True)
    else:
        metadata = {f"net__{name}": value for name, value in metadata.items()}
    pipeline = Pipeline([("scale", scaler), ("net", net)]).fit(X, y, **metadata)
    search = GridSearchCV(
        pipeline, {"net__alpha": [0.3, 0.6]}, cv=3, scoring=scorer, error_score="raise"
    ).fit(X, y, **metadata)
    assert Watchful.n_fits == 1 + 2 * 3 + 1
    assert search.best_estimator_[-1].teacher_ is None
    assert_fair(pipeline, *data)
    assert_fair(search, *data)


def routed(student):
    return clone(student).set_fit_request(teacher_proba=True)


TAKE_ANSWERS = {
    "halving": (
        4 + 2 + 1,
        lambda s: HalvingGridSearchCV(
            s,
            {"alpha": [0.5, 1.0]},
            resource="max_epochs",
            min_resources=10,
            max_resources=20,
            factor=2,
            cv=2,
            error_score="raise",
        ),
    ),
    "random search": (
        3,
        lambda s: RandomizedSearchCV(
            s, {"alpha": [0.5]}, n_iter=1, cv=2, random_state=0, error_score="raise"
        ),
    ),
    "bagging": (3, lambda s: ensemble.BaggingClassifier(s, n_estimators=3, random_state=0)),
    "voting": (1, lambda s: ensemble.VotingClassifier([("net", s), ("linear", LINEAR)])),
    "calibrated": (2, lambda s: CalibratedClassifierCV(s, cv=2)),
    "one calibrator": (3, lambda s: CalibratedClassifierCV(s, cv=2, ensemble=False)),
    "pipeline": (1, lambda s: make_pipeline(StandardScaler(), s)),
}


@pytest.mark.parametrize("name", TAKE_ANSWERS)
def test_routed_answers_stay_with_their_rows(name, data, watchful):
    X, y = data
    n_fits, client = TAKE_ANSWERS[name]
    with config_context(enable_metadata_routing=True):
        clf = client(routed(watchful)).fit(X, y, teacher_proba=answers(X))
    assert Watchful.n_fits == n_fits
    assert_fair(clf, X, y)


def test_answers_that_are_not_in_the_order_of_the_rows_are_found(data, watchful):
    with pytest.raises(AssertionError):
        watchful.fit(*data, teacher_proba=answers(data[0])[::-1])


def test_a_tuned_threshold_passes_answers_on(data, watchful):
    X, y = two_classes(*data)
    of_two = answers(X)[:, :2] / answers(X)[:, :2].sum(axis=1, keepdims=True)
    with config_context(enable_metadata_routing=True):
        tuned = TunedThresholdClassifierCV(routed(watchful), cv=2).fit(X, y, teacher_proba=of_two)
    assert Watchful.n_fits == 3
    assert_fair(tuned, X, y)


@pytest.mark.parametrize(
    "client", [OneVsRestClassifier, OneVsOneClassifier], ids=lambda client: client.__name__
)
def test_answers_about_three_classes_are_refused_for_two(client, data):
    X, y = data
    with config_context(enable_metadata_routing=True):
        clf = client(routed(BASE))
        with pytest.raises(ValueError, match="3 columns for 2 classes"):
            clf.fit(X, y, teacher_proba=answers(X))


def test_answers_that_self_training_does_not_slice_name_the_cause(data):
    X, y = data
    partly = y.astype(object) if y.dtype.kind == "U" else y.copy()
    partly[:30] = -1
    with config_context(enable_metadata_routing=True):
        clf = SelfTrainingClassifier(routed(BASE))
        message = "teacher_proba gives 90 rows for the 60 rows of X: a meta-estimator may have"
        with pytest.raises(ValueError, match=message):
            clf.fit(X, partly, teacher_proba=answers(X))


def test_routing_refuses_answers_without_a_request(clouds):
    X, y = clouds
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(clone(BASE), {"alpha": [0.5]}, cv=2)
        with pytest.raises(ValueError, match="teacher_proba"):
            search.fit(X, y, teacher_proba=answers(X))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_table_of_answers_is_read_by_the_names_of_its_columns(alpha, routing, data):
    pd = pytest.importorskip("pandas")
    X, y = data
    student = clone(BASE).set_params(alpha=alpha)
    if routing:
        student.set_fit_request(teacher_proba=True)
    table = pd.DataFrame(answers(X), columns=np.unique(y))
    search = GridSearchCV(student, {"temperature": [1, 2]}, cv=2, error_score="raise")
    in_order = clone(search).fit(X, y, teacher_proba=answers(X))
    by_name = search.fit(X, y, teacher_proba=table[np.unique(y)[[2, 0, 1]]])
    np.testing.assert_array_equal(in_order.predict_proba(X), by_name.predict_proba(X))
    for fold in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(in_order.cv_results_[fold], by_name.cv_results_[fold])
    assert_fair(by_name, X, y)


def test_a_table_of_answers_names_labels_that_voting_has_re_encoded(data):
    pd = pytest.importorskip("pandas")
    X, y = data
    table = pd.DataFrame(answers(X), columns=np.unique(y))
    with config_context(enable_metadata_routing=True):
        vote = ensemble.VotingClassifier([("net", routed(BASE))])
        if np.unique(y).tolist() == [0, 1, 2]:
            assert_fair(vote.fit(X, y, teacher_proba=table), X, y)
        else:
            with pytest.raises(ValueError, match=re_encoded(y)):
                vote.fit(X, y, teacher_proba=table)


# Copies ----------------------------------------------------------------------------------


def through_a_file(fitted, folder):
    joblib.dump(fitted, folder / "clf.joblib", compress=3)
    return joblib.load(folder / "clf.joblib")


COPIES = {"deepcopy": lambda fitted, folder: copy.deepcopy(fitted), "joblib": through_a_file}


@both_teachers
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_answers_alike_and_can_be_fitted_again(kind, taught, data, tmp_path):
    X, y = data
    fitted = taught(X, y).fit(X, y)
    copied = COPIES[kind](fitted, tmp_path)
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(copied.predict(X), fitted.predict(X))
    assert copied.teacher_ is not fitted.teacher_
    refitted = copied.fit(X[::2], y[::2])
    np.testing.assert_array_equal(
        refitted.predict_proba(X), clone(fitted).fit(X[::2], y[::2]).predict_proba(X)
    )


@both_teachers
def test_skops_asks_for_trust_in_our_own_types_alone(taught, data, tmp_path):
    skops_io = pytest.importorskip("skops.io")
    X, y = data
    student = taught(X, y).fit(X, y).student_
    skops_io.dump(student, tmp_path / "student.skops")
    untrusted = skops_io.get_untrusted_types(file=tmp_path / "student.skops")
    assert untrusted and all(name.startswith("skkd.") for name in untrusted), untrusted
    loaded = skops_io.load(tmp_path / "student.skops", trusted=untrusted)
    assert type(loaded) is NeuralClassifier
    np.testing.assert_array_equal(loaded.predict_proba(X), student.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), student.predict(X))


# Honest scores ---------------------------------------------------------------------------


@pytest.mark.slow
def test_labels_that_are_noise_score_by_chance_unless_the_teacher_saw_all_rows():
    n_rows, n_draws = 200, 12
    scores = {frozen: [], unfitted: []}
    for seed in range(n_draws):
        random_state = np.random.RandomState(seed)
        X = random_state.standard_normal((n_rows, 2))
        y = random_state.permutation(np.arange(n_rows) % 2)
        forest = ensemble.RandomForestClassifier(20, min_samples_leaf=5, random_state=seed)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for taught, found in scores.items():
            student = taught(X, y, teacher=forest).set_params(
                alpha=1.0,
                temperature=2,
                hidden_layer_sizes=(64, 64),
                max_epochs=100,
                learning_rate=0.01,
                weight_decay=0.0,
            )
            found.append(cross_val_score(student, X, y, cv=folds, error_score="raise").mean())
    three_standard_errors = 3 * np.sqrt(0.25 / (n_rows * n_draws))
    assert abs(np.mean(scores[unfitted]) - 0.5) < three_standard_errors
    assert np.mean(scores[frozen]) - 0.5 > 2 * three_standard_errors
