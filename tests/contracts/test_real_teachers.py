"""Common classifiers as teachers: cloned, asked, not changed, and taught from."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from skkd import DistilledClassifier, NeuralClassifier

STUDENT = {
    "hidden_layer_sizes": (16,),
    "preset": "plain",
    "max_epochs": 60,
    "learning_rate": 0.02,
    "alpha": 0.9,
    "random_state": 0,
}


def linear():
    return LogisticRegression(max_iter=1000)


def xgboost():
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=10, max_depth=3)


def lightgbm():
    return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=10, verbose=-1)


def catboost():
    return pytest.importorskip("catboost").CatBoostClassifier(
        30, verbose=0, allow_writing_files=False, thread_count=1
    )


SCIKIT_LEARNS = {
    "forest": lambda: RandomForestClassifier(20, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(20, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=10),
    "linear": linear,
    "support vectors": SVC,
    "pipeline": lambda: make_pipeline(StandardScaler(), linear()),
    "stack": lambda: StackingClassifier([("svc", SVC()), ("linear", linear())], linear(), cv=2),
    "calibrated": lambda: CalibratedClassifierCV(SVC(), cv=2),
    "network": lambda: NeuralClassifier(random_state=0),
    "plain network": lambda: NeuralClassifier(
        (16,), preset="plain", max_epochs=30, learning_rate=0.02, random_state=0
    ),
    "search": lambda: GridSearchCV(linear(), {"C": [0.1, 1]}, cv=2),
}
OTHERS = {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost}

LABELS = {"codes": np.array([0, 1, 2]), "strings": np.array(["ape", "bee", "cat"])}


@pytest.fixture
def rows():
    X, codes = load_iris(return_X_y=True)
    return X, codes


def taught_by(teacher, X, y, **settings):
    """A student of a clone, so that the teacher has survived `clone`."""
    return clone(DistilledClassifier(teacher, **STUDENT | settings)).fit(X, y)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", SCIKIT_LEARNS | OTHERS)
def test_a_teacher_teaches_and_is_not_changed(name, labels, rows):
    X, codes = rows
    if name == "xgboost" and labels == "strings":
        pytest.skip("XGBoost takes codes only")
    y = LABELS[labels][codes]
    teacher = (SCIKIT_LEARNS | OTHERS)[name]().fit(X, y)
    before, params = pickle.dumps(teacher), repr(teacher.get_params())
    student = taught_by(teacher, X, y)
    assert pickle.dumps(teacher) == before
    assert repr(teacher.get_params()) == params
    assert student.teacher_ is teacher
    assert student.teacher_balanced_accuracy_ > 0.9
    assert student.classes_.tolist() == LABELS[labels].tolist()
    assert (student.predict(X) == np.ravel(teacher.predict(X))).mean() > 0.9


@pytest.mark.parametrize("name", ["forest", "linear", "network"])
def test_a_teacher_teaches_a_student_with_the_defaults(name, rows):
    X, y = rows
    teacher = SCIKIT_LEARNS[name]().fit(X, y)
    student = clone(DistilledClassifier(teacher, alpha=0.9, random_state=0)).fit(X, y)
    assert (student.predict(X) == np.ravel(teacher.predict(X))).mean() > 0.9


@pytest.mark.parametrize("name", ["forest", "stack", "network", "lightgbm", "catboost"])
def test_a_teacher_is_fitted_inside_of_each_fit(name, rows):
    X, codes = rows
    y = LABELS["strings"][codes]
    unfitted = (SCIKIT_LEARNS | OTHERS)[name]()
    before = repr(unfitted.get_params())
    student = DistilledClassifier(unfitted, fit_teacher=True, **STUDENT)
    assert cross_val_score(student, X, y, cv=2, error_score="raise").mean() > 0.85
    assert repr(unfitted.get_params()) == before
    assert not any(attribute.endswith("_") for attribute in vars(unfitted) if attribute[0] != "_")


@pytest.fixture
def adult_like():
    """(table, y): strings, missing values and numbers on different scales."""
    pd = pytest.importorskip("pandas")
    random = np.random.RandomState(0)
    n = 300
    table = pd.DataFrame(
        {
            "age": random.randint(18, 80, n).astype(float),
            "work": random.choice(["private", "state", "self"], n),
            "gain": random.exponential(1000, n),
        }
    )
    odds = (table["age"] - 45) / 10 + 2 * (table["work"] == "self") - table["gain"] / 2000
    y = np.where(odds + random.logistic(0, 0.3, n) > 0, "rich", "poor")
    table.loc[::9, "age"] = np.nan
    table.loc[::7, "work"] = None
    return table, y


def test_a_pipeline_by_column_names_gets_the_callers_table(adult_like):
    table, y = adult_like
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["gain", "age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["work"]),
    )
    teacher = make_pipeline(columns, RandomForestClassifier(30, random_state=0)).fit(table, y)
    student = taught_by(teacher, table, y)
    assert student.score(table, y) > 0.85
    honest = DistilledClassifier(teacher, fit_teacher=True, teacher_batch_size=50, **STUDENT)
    assert cross_val_score(honest, table, y, cv=2, error_score="raise").mean() > 0.75


def test_boosting_with_native_categories_gets_the_callers_table(adult_like):
    table, y = adult_like
    table = table.astype({"work": "category"})
    teacher = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")
    assert taught_by(teacher.fit(table, y), table, y).score(table, y) > 0.8


def test_a_skorch_net(rows):
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    X, y = rows
    X = X.astype(np.float32)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 3)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=60,
        train_split=None,  # so that fit leaves the module in training mode
        verbose=0,
    ).fit(X, y)
    assert net.module_.training
    before = pickle.dumps(net)
    student = taught_by(net, X, y)
    assert net.module_.training
    assert pickle.dumps(net) == before
    assert (student.predict(X) == net.predict(X)).mean() > 0.9


def test_an_unfitted_skorch_net_is_refused(rows):
    from skorch import NeuralNetClassifier
    from torch import nn

    net = NeuralNetClassifier(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="teacher is not fitted"):
        DistilledClassifier(net, **STUDENT).fit(*rows)


def test_a_torch_module_and_a_function(rows):
    import torch

    X, y = rows
    source = NeuralClassifier((16,), preset="plain", preprocessor=None, learning_rate=0.02)
    source.set_params(max_epochs=100, random_state=0).fit(X, y)
    module = source.module_.train()
    by_module = taught_by(module, X, y)
    by_function = taught_by(source.predict_proba, X, y)
    np.testing.assert_allclose(by_module.predict_proba(X), by_function.predict_proba(X), atol=1e-3)
    assert by_module.teacher_ is module and module.training
    logits = module.eval()(torch.tensor(X, dtype=torch.float32)).detach().numpy()
    assert (by_module.predict(X) == logits.argmax(axis=1)).mean() > 0.9


def test_a_list_of_teachers_teaches_their_weighted_mean(rows):
    X, y = rows
    one, two = RandomForestClassifier(5, random_state=0).fit(X, y), linear().fit(X, y)
    of_list = taught_by([(one, 3), (two, 1)], X, y)
    mean = 0.75 * one.predict_proba(X) + 0.25 * two.predict_proba(X)
    of_mean = DistilledClassifier(**STUDENT).fit(X, y, teacher_proba=mean)
    np.testing.assert_allclose(of_list.predict_proba(X), of_mean.predict_proba(X), atol=1e-5)
    assert of_list.teacher_[0][0] is one
    assert not any("teacher" in name for name in vars(of_list.student_))


def test_members_of_a_list_may_know_different_classes_if_that_is_allowed(rows):
    X, y = rows
    some = y < 2
    teachers = [(linear().fit(X[some], y[some]), 1), (linear().fit(X, y), 1)]
    with pytest.raises(ValueError, match=r"knows the classes \[0, 1\], y holds \[0, 1, 2\]"):
        taught_by(teachers, X, y)
    assert taught_by(teachers, X, y, on_class_mismatch="teacher").score(X, y) > 0.6


@pytest.mark.slow
def test_the_student_of_a_150_mb_forest_has_less_than_100_kb():
    random = np.random.RandomState(0)
    X, y = random.standard_normal((20_000, 20)), random.randint(2, size=20_000)
    forest = ExtraTreesClassifier(80, max_features=1, random_state=0, n_jobs=2).fit(X, y)
    assert len(pickle.dumps(forest)) > 150e6
    settings = {"alpha": 1.0, "augment": None, "max_epochs": 1, "random_state": 0}
    student = DistilledClassifier(forest, hidden_layer_sizes=(64, 64), **settings)
    student.fit(X, y)
    assert len(pickle.dumps(student.student_)) < 100e3
    np.testing.assert_array_equal(student.student_.predict_proba(X), student.predict_proba(X))
