"""scikit-learn's meta-estimators and tools, with NeuralClassifier as the classifier."""

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
from skorch.callbacks import Callback

from skkd import NeuralClassifier
from skkd.initializers import He, Orthogonal
from skkd.schedules import CosineDecay, StepDecay

#: Chance is 1/3; the best possible accuracy on the clouds is about 0.97.
FAIR = 0.75

BASE = NeuralClassifier((8,), preset="plain", max_epochs=20, learning_rate=0.05, random_state=0)

KINDS = {
    "strings": np.array(["ape", "bee", "cat"]),
    "from 1": np.array([1, 2, 3]),
    "codes": np.array([0, 1, 2]),
}

SKLEARN_VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


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


@pytest.fixture
def two_classes(data):
    X, y = data
    kept = y != np.unique(y)[1]
    return X[kept], y[kept]


def assert_fair(clf, X, y):
    """Check that a fitted classifier has the labels as given, and predicts them well."""
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    assert clf.predict(X).dtype.kind == np.asarray(y).dtype.kind
    assert clf.score(X, y) > FAIR
    if hasattr(clf, "predict_proba"):
        proba = clf.predict_proba(X)
        assert proba.shape == (len(X), len(np.unique(y)))
        np.testing.assert_allclose(proba.sum(axis=1), 1)


GRIDS = {
    "init": {"init": ["he_normal", "xavier_uniform", Orthogonal()]},
    "init__distribution": {"init": [He()], "init__distribution": ["normal", "uniform"]},
    "lr_decay": {"lr_decay": ["step", "cosine", CosineDecay(), StepDecay(5, gamma=0.5)]},
    "lr_decay__gamma": {"lr_decay": [StepDecay(5)], "lr_decay__gamma": [0.3, 0.9]},
    "hidden_layer_sizes": {"hidden_layer_sizes": [(), (8,), (8, 8)]},
    "dropout": {"dropout": [0.0, 0.2], "batch_norm": [False, True]},
    "optimizer__betas": {"optimizer__betas": [(0.9, 0.999), (0.5, 0.9)]},
    "optimizer": [{"optimizer": ["adam"]}, {"optimizer": ["sgd"], "momentum": [0.5, 0.9]}],
}


@pytest.mark.parametrize("grid", GRIDS)
def test_grid_search_over(grid, clouds):
    search = GridSearchCV(BASE, GRIDS[grid], cv=2, error_score="raise").fit(*clouds)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == scores.max() > FAIR
    assert len(set(scores)) > 1 or grid in ("lr_decay__gamma", "init__distribution")
    assert_fair(search, *clouds)


@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
def test_a_grid_search_with_two_jobs_scores_as_with_one(backend, clouds):
    grid = {"init": ["he_normal", Orthogonal()], "dropout": [0.0, 0.3], "lr_decay": [StepDecay(5)]}
    one = GridSearchCV(BASE, grid, cv=2).fit(*clouds)
    with parallel_backend(backend):
        two = GridSearchCV(BASE, grid, cv=2, n_jobs=2).fit(*clouds)
    for fold in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(one.cv_results_[fold], two.cv_results_[fold])
    np.testing.assert_array_equal(one.predict_proba(clouds[0]), two.predict_proba(clouds[0]))


def test_multimetric_search(clouds):
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    search = GridSearchCV(
        BASE, {"max_epochs": [1, 20]}, scoring=scoring, refit="neg_log_loss", cv=2
    ).fit(*clouds)
    assert search.best_params_ == {"max_epochs": 20}
    assert search.cv_results_["mean_test_roc_auc_ovr"][1] > FAIR
    assert_fair(search.best_estimator_, *clouds)


def test_randomized_search_draws_from_distributions(clouds):
    space = {"learning_rate": loguniform(1e-4, 1e-1), "hidden_layer_sizes": [(4,), (8,)]}
    search = RandomizedSearchCV(BASE, space, n_iter=4, cv=2, random_state=0).fit(*clouds)
    assert len(set(search.cv_results_["param_learning_rate"])) == 4
    assert_fair(search, *clouds)


def test_halving_search_spends_epochs(clouds):
    search = HalvingGridSearchCV(
        BASE,
        {"learning_rate": [0.0001, 0.01, 0.05, 0.1]},
        resource="max_epochs",
        min_resources=5,
        max_resources=20,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(*clouds)
    assert search.n_resources_ == [5, 10, 20]
    assert search.best_estimator_.n_iter_ == 20
    assert search.best_params_["learning_rate"] > 0.0001
    assert_fair(search, *clouds)


def test_nested_cross_validation(clouds):
    search = GridSearchCV(BASE, {"dropout": [0.0, 0.2]}, cv=2)
    assert cross_val_score(search, *clouds, cv=2, error_score="raise").mean() > FAIR


def test_cross_val_predict_gives_probabilities_in_the_order_of_the_classes(data):
    X, y = data
    proba = cross_val_predict(BASE, X, y, cv=3, method="predict_proba")
    assert (np.unique(y)[proba.argmax(axis=1)] == y).mean() > FAIR


def test_learning_curve(clouds):
    sizes, trained, tested = learning_curve(BASE, *clouds, cv=2, train_sizes=[0.3, 1.0])
    assert sizes.tolist() == [13, 45]
    assert trained.mean(axis=1).min() > FAIR and tested[-1].mean() > FAIR


def test_validation_curve(clouds):
    trained, _ = validation_curve(BASE, *clouds, param_name="max_epochs", param_range=[1, 20], cv=2)
    assert trained[1].mean() > max(FAIR, trained[0].mean())


def test_permutation_test_score_finds_the_labels_significant(clouds):
    score, permuted, p_value = permutation_test_score(BASE, *clouds, cv=2, n_permutations=5)
    assert score > FAIR > permuted.max()
    assert p_value == pytest.approx(1 / 6)


LINEAR = LogisticRegression()

ENSEMBLES = {
    "voting": ensemble.VotingClassifier([("net", BASE), ("linear", LINEAR)], voting="soft"),
    "bagging": ensemble.BaggingClassifier(BASE, n_estimators=3, random_state=0),
    "bagging of features": ensemble.BaggingClassifier(BASE, 5, max_features=0.5, random_state=1),
    "boosting": ensemble.AdaBoostClassifier(BASE, n_estimators=3, random_state=0),
    "stacking of": ensemble.StackingClassifier([("net", BASE), ("linear", LINEAR)], LINEAR, cv=2),
    "stacking by": ensemble.StackingClassifier([("linear", LINEAR)], BASE, cv=2),
    "sigmoid": CalibratedClassifierCV(BASE, method="sigmoid", cv=2),
    "isotonic": CalibratedClassifierCV(BASE, method="isotonic", cv=2),
    "one calibrator": CalibratedClassifierCV(BASE, cv=2, ensemble=False),
    "one vs rest": OneVsRestClassifier(BASE),
    "one vs one": OneVsOneClassifier(BASE),
    "output code": OutputCodeClassifier(BASE, code_size=3, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), BASE),
}
if SKLEARN_VERSION >= (1, 8):
    ENSEMBLES["temperature"] = CalibratedClassifierCV(BASE, method="temperature", cv=2)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_in_an_ensemble(name, data):
    assert_fair(clone(ENSEMBLES[name]).fit(*data), *data)


def test_a_frozen_classifier_is_calibrated_as_it_is(data):
    X, y = data
    fitted = clone(BASE).fit(X[:60], y[:60])
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X[60:], y[60:])
    assert calibrated.calibrated_classifiers_[0].estimator.estimator is fitted
    assert_fair(calibrated, X, y)


def test_several_outputs(data):
    X, y = data
    targets = np.column_stack([y, np.unique(y)[(X[:, 1] > 15).astype(int)]])
    clf = MultiOutputClassifier(BASE).fit(X, targets)
    assert (clf.predict(X) == targets).mean(axis=0).min() > FAIR


@pytest.mark.parametrize("first", [0, 1])
def test_a_chain_of_classifiers(first, iris_like):
    X, y = iris_like
    targets = np.column_stack([first + y, first + (X[:, 0] > 1.5)])
    chain = ClassifierChain(BASE, order=[1, 0]).fit(X, targets)
    assert (chain.predict(X) == targets).mean(axis=0).min() > FAIR


def test_self_training_labels_the_unlabelled(data):
    X, y = data
    partly = y.astype(object) if y.dtype.kind == "U" else y.copy()
    partly[:30] = -1
    clf = SelfTrainingClassifier(BASE, threshold=0.6).fit(X, partly)
    assert (clf.transduction_[:30] != -1).any()
    assert (clf.predict(X[:30]) == y[:30]).mean() > FAIR


def test_sequential_selection_keeps_an_informative_feature(clouds):
    selector = SequentialFeatureSelector(BASE, n_features_to_select=1, cv=2).fit(*clouds)
    assert selector.get_support().sum() == 1
    assert not selector.get_support()[3]


def test_recursive_elimination_with_the_weights_as_importance(clouds):
    def importance(clf):
        return np.abs(clf.network_.layers[0].weight).sum(axis=1)

    selector = RFE(BASE, n_features_to_select=2, importance_getter=importance).fit(*clouds)
    assert selector.get_support()[0] and selector.score(*clouds) > FAIR


def test_recursive_elimination_without_importances_is_refused(clouds):
    with pytest.raises(ValueError, match="importance_getter"):
        RFE(BASE).fit(*clouds)


def test_a_tuned_threshold(two_classes):
    X, y = two_classes
    tuned = TunedThresholdClassifierCV(BASE, scoring="balanced_accuracy", cv=2).fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert_fair(tuned, X, y)


def test_a_fixed_threshold_moves_predictions_to_one_class(two_classes):
    X, y = two_classes
    low = FixedThresholdClassifier(BASE, threshold=0.01, pos_label=np.unique(y)[1]).fit(X, y)
    high = clone(low).set_params(threshold=0.99).fit(X, y)
    counts = [(clf.predict(X) == np.unique(y)[1]).sum() for clf in (low, high)]
    assert counts[0] > 30 > counts[1]


@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
def test_permutation_importance_finds_the_informative_feature(backend, clouds):
    clf = clone(BASE).fit(*clouds)
    one = permutation_importance(clf, *clouds, n_repeats=3, random_state=0)
    with parallel_backend(backend):
        two = permutation_importance(clf, *clouds, n_repeats=3, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(one.importances, two.importances)
    assert one.importances_mean.argmax() == 0 and one.importances_mean[0] > 0.1


def test_partial_dependence_has_a_curve_per_class(data):
    found = partial_dependence(clone(BASE).fit(*data), data[0], [0], grid_resolution=5)
    assert found["average"].shape == (3, 5)
    np.testing.assert_allclose(found["average"].sum(axis=0), 1)
    assert found["average"][0, 0] > found["average"][0, -1]


def test_a_pipeline_with_memory(clouds, tmp_path):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", BASE)], memory=str(tmp_path))
    search = GridSearchCV(pipeline, {"net__dropout": [0.0, 0.2]}, cv=2).fit(*clouds)
    assert any(tmp_path.rglob("*.pkl"))
    assert_fair(search, *clouds)


def test_columns_named_upstream_are_remembered(clouds):
    pytest.importorskip("pandas")
    pipeline = make_pipeline(StandardScaler(), BASE).set_output(transform="pandas").fit(*clouds)
    assert pipeline[-1].feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"]
    assert_fair(pipeline, *clouds)


def test_a_table_through_a_column_transformer(iris_like_table):
    table, y = iris_like_table
    columns = make_column_transformer(
        (SimpleImputer(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ("passthrough", ["big"]),
    )
    search = GridSearchCV(make_pipeline(columns, BASE), {"neuralclassifier__dropout": [0, 0.1]})
    assert_fair(search.fit(table, y), table, y)


def test_a_table_as_it_is(iris_like_table):
    table, y = iris_like_table
    assert cross_val_score(BASE, table, y, cv=3, error_score="raise").mean() > FAIR
    clf = clone(BASE).fit(table, y)
    assert clf.feature_names_in_.tolist() == list(table.columns)


def with_wrong_rows(X, y):
    """The rows, then the same rows with the labels of other classes and weight 0."""
    classes = np.unique(y)
    wrong = classes[(np.searchsorted(classes, y) + 1) % len(classes)]
    weight = np.repeat([1.0, 0.0], len(y))
    order = np.random.RandomState(0).permutation(2 * len(y))
    return np.concatenate([X, X])[order], np.concatenate([y, wrong])[order], weight[order]


@pytest.mark.parametrize("routing", [False, True])
def test_sample_weights_arrive_through_a_pipeline_and_a_search(routing, data):
    X, y, weight = with_wrong_rows(*data)
    with config_context(enable_metadata_routing=routing):
        scaler, net, scorer = StandardScaler(), clone(BASE), get_scorer("accuracy")
        if routing:
            scaler.set_fit_request(sample_weight=False)
            net.set_fit_request(sample_weight=True)
            scorer = scorer.set_score_request(sample_weight=True)
        pipeline = make_pipeline(scaler, net)
        name = "sample_weight" if routing else "neuralclassifier__sample_weight"
        pipeline.fit(X, y, **{name: weight})
        grid = {"neuralclassifier__dropout": [0.0, 0.1]}
        search = GridSearchCV(pipeline, grid, cv=2, scoring=scorer).fit(X, y, **{name: weight})
    assert_fair(pipeline, *data)
    assert_fair(search, *data)
    assert make_pipeline(StandardScaler(), clone(BASE)).fit(X, y).score(*data) < 0.9


def test_routing_refuses_weights_that_were_not_requested(clouds):
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(clone(BASE), {"dropout": [0.0]}, cv=2)
        with pytest.raises(ValueError, match="sample_weight"):
            search.fit(*clouds, sample_weight=np.ones(len(clouds[1])))


def test_a_pipeline_transforms_the_validation_rows(clouds):
    X, y = clouds
    far = X * 1000 + 5000
    net = clone(BASE).set_params(preprocessor=None, early_stopping=True)
    scaler = StandardScaler().fit(far[:60])
    by_hand = clone(net).fit(
        scaler.transform(far[:60]), y[:60], X_val=scaler.transform(far[60:]), y_val=y[60:]
    )
    with config_context(enable_metadata_routing=True):
        net.set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), net, transform_input=["X_val"])
        pipeline.fit(far[:60], y[:60], X_val=far[60:], y_val=y[60:])
    losses = [record["valid_loss"] for record in pipeline[-1].history_]
    assert losses == [record["valid_loss"] for record in by_hand.history_]
    assert_fair(pipeline, far, y)


class SeesValidationRows(Callback):
    seen: list = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if not training:
            self.seen.append(len(batch[0]))


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("is_wrapped, rows_seen", [(True, {90}), (False, {45, 90})])
def test_a_tuple_of_one_keeps_a_search_from_slicing_the_validation_rows(
    is_wrapped, rows_seen, routing, clouds
):
    X, y = clouds
    net = clone(BASE).set_params(callbacks=[SeesValidationRows()], max_epochs=2)
    SeesValidationRows.seen.clear()
    with config_context(enable_metadata_routing=routing):
        if routing:
            net.set_fit_request(X_val=True, y_val=True)
        held_out = {"X_val": (X,), "y_val": (y,)} if is_wrapped else {"X_val": X, "y_val": y}
        GridSearchCV(net, {"dropout": [0.0]}, cv=2).fit(X, y, **held_out)
    assert set(SeesValidationRows.seen) == rows_seen


@pytest.fixture
def figures():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


def test_displays_of_a_binary_classifier(two_classes, figures):
    from sklearn.calibration import CalibrationDisplay
    from sklearn.metrics import DetCurveDisplay, PrecisionRecallDisplay, RocCurveDisplay

    clf = clone(BASE).fit(*two_classes)
    assert RocCurveDisplay.from_estimator(clf, *two_classes).roc_auc > 0.9
    assert PrecisionRecallDisplay.from_estimator(clf, *two_classes).average_precision > 0.9
    assert DetCurveDisplay.from_estimator(clf, *two_classes).fpr.max() <= 1
    display = CalibrationDisplay.from_estimator(clf, *two_classes, n_bins=4)
    assert display.y_prob.shape == (60,)


def test_displays_of_three_classes(data, figures):
    from sklearn.inspection import DecisionBoundaryDisplay, PartialDependenceDisplay
    from sklearn.metrics import ConfusionMatrixDisplay
    from sklearn.model_selection import LearningCurveDisplay

    X, y = data
    clf = clone(BASE).fit(X, y)
    confusion = ConfusionMatrixDisplay.from_estimator(clf, X, y)
    assert np.trace(confusion.confusion_matrix) / len(y) > FAIR
    assert [label.get_text() for label in confusion.ax_.get_xticklabels()] == [
        str(label) for label in np.unique(y)
    ]
    dependence = PartialDependenceDisplay.from_estimator(clf, X, [0, 1], target=np.unique(y)[0])
    assert len(dependence.pd_results) == 2
    curve = LearningCurveDisplay.from_estimator(BASE, X, y, cv=2, train_sizes=[0.5, 1.0])
    assert curve.test_scores.shape == (2, 2)
    of_two = clone(BASE).fit(X[:, :2], y)
    boundary = DecisionBoundaryDisplay.from_estimator(
        of_two, X[:, :2], grid_resolution=5, response_method="predict"
    )
    assert boundary.response.shape == (5, 5) and len(np.unique(boundary.response)) == 3
