"""scikit-learn's input tags match the rows that `fit`, and then `predict`, accepts."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from skkd import DistilledClassifier, NeuralClassifier

pd = pytest.importorskip("pandas")

TINY = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
N = 60
Y = np.arange(N) % 2
PLAIN = np.random.RandomState(0).randint(1, 5, size=(N, 3)).astype(float)


def with_gaps(X):
    X = X.copy()
    X[::7, 1] = np.nan
    return X


CATEGORIES = pd.DataFrame(
    {name: pd.Categorical(np.array(list("uvw"))[(Y + j) % 3]) for j, name in enumerate("abc")}
)

#: Tag to rows that it allows.
KINDS = {
    "allow_nan": with_gaps(PLAIN),
    "sparse": sparse.csr_matrix(PLAIN),
    "categorical": CATEGORIES,
    "two_d_array": PLAIN,
    "one_d_array": np.array(["good food", "bad food"] * (N // 2), dtype=object),
    "three_d_array": PLAIN.reshape(N, 3, 1),
}


#: Tags that are False for some classes of scikit-learn although they accept such rows:
#: boosting takes categories, and vectorizers take texts in one dimension.
MAY_BE_MODEST = ("categorical", "one_d_array")


def works(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(*arguments)
        except Exception:
            return False
    return True


def assert_tags_are_true(clf, kinds=KINDS, predicts=True):
    """Compare the tags before and after `fit` with the rows that work."""
    for name in kinds:
        unfitted = clone(clf)
        takes = works(unfitted.fit, KINDS[name], Y)
        promised = getattr(get_tags(clone(clf)).input_tags, name)
        if name in MAY_BE_MODEST:
            assert takes or not promised, f"fit: {name}"
        else:
            assert promised == takes, f"fit: {name}"
    negative = clone(clf)
    takes_negative = works(negative.fit, -PLAIN, Y) or not works(clone(clf).fit, PLAIN, Y)
    assert get_tags(clf).input_tags.positive_only != takes_negative, "fit: positive_only"
    fitted = clone(clf)
    if predicts and works(fitted.fit, PLAIN, Y):
        tags = get_tags(fitted).input_tags
        for name in ("allow_nan", "sparse", "two_d_array"):
            assert getattr(tags, name) == works(fitted.predict, KINDS[name]), f"predict: {name}"
        assert tags.positive_only != works(fitted.predict, -PLAIN)


PREPROCESSORS = {
    "auto": "auto",
    "robust": "robust",
    "standard": "standard",
    "None": None,
    "scaler": StandardScaler(),
    "scaler of sparse": MaxAbsScaler(),
    "scaler without a mean": StandardScaler(with_mean=False),
    "imputer": SimpleImputer(),
    "selector": VarianceThreshold(),
    "function": FunctionTransformer(),
    "imputer, scaler": make_pipeline(SimpleImputer(), StandardScaler()),
    "scaler, imputer": make_pipeline(StandardScaler(), SimpleImputer()),
    "scaler, scaler": make_pipeline(StandardScaler(), MinMaxScaler()),
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "ordinal, filled": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    ),
    "target": TargetEncoder(target_type="binary"),
    "text": TfidfVectorizer(),
}


@pytest.mark.parametrize("preprocessor", PREPROCESSORS.values(), ids=list(PREPROCESSORS))
def test_tags_are_true_for_every_preprocessor(preprocessor):
    clf = NeuralClassifier(preprocessor=preprocessor, **TINY)
    # If nothing was missing in fit, an encoder treats a missing value as an unknown category.
    assert_tags_are_true(clf, predicts=not isinstance(preprocessor, OrdinalEncoder))


TEACHERS = {
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3),
    "neighbours": KNeighborsClassifier(),
    "Gaussian": GaussianNB(),
    "multinomial": MultinomialNB(),
    "scaler, logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "scaler, multinomial": make_pipeline(MinMaxScaler(), MultinomialNB()),
    "imputer, logistic": make_pipeline(SimpleImputer(), LogisticRegression()),
    "scaler, boosting": make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=3)),
    "scaler, imputer, logistic": make_pipeline(
        MaxAbsScaler(), SimpleImputer(), LogisticRegression()
    ),
    "one-hot, logistic": make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    ),
    "search of boosting": GridSearchCV(
        HistGradientBoostingClassifier(max_iter=3), {"max_depth": [2]}, cv=2
    ),
    "search of logistic": GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2
    ),
    "calibrated": CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3), cv=2),
    "vote": VotingClassifier(
        [("a", DecisionTreeClassifier()), ("b", LogisticRegression())], voting="soft"
    ),
    "vote of pipelines": VotingClassifier(
        [("a", make_pipeline(SimpleImputer(), GaussianNB())), ("b", DecisionTreeClassifier())],
        voting="soft",
    ),
    "stack": StackingClassifier([("a", HistGradientBoostingClassifier(max_iter=3))], cv=2),
    "list": [(DecisionTreeClassifier(), 1), (LogisticRegression(), 2)],
    "list of boosting": [(HistGradientBoostingClassifier(max_iter=3), 1)],
    "encoded columns": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), make_column_selector(dtype_include="category")),
            remainder="passthrough",
        ),
        LogisticRegression(),
    ),
}


@pytest.mark.parametrize("teacher", TEACHERS.values(), ids=list(TEACHERS))
@pytest.mark.parametrize("preprocessor", ["auto", None], ids=str)
def test_tags_are_true_for_every_teacher(teacher, preprocessor):
    settings = {"fit_teacher": True, "augment": None, "alpha": 0.5, **TINY}
    student = DistilledClassifier(teacher, preprocessor=preprocessor, **settings)
    # A selector of columns needs a DataFrame.
    kinds = KINDS.keys() - {"two_d_array"} if teacher is TEACHERS["encoded columns"] else KINDS
    assert_tags_are_true(student, kinds)


@pytest.mark.parametrize("name", ["catboost", "lightgbm", "xgboost"])
def test_tags_are_true_for_boosting_of_other_libraries(name):
    library = pytest.importorskip(name)
    kinds = {
        "catboost": "CatBoostClassifier",
        "lightgbm": "LGBMClassifier",
        "xgboost": "XGBClassifier",
    }
    quiet = {"catboost": {"verbose": 0, "allow_writing_files": False}, "lightgbm": {"verbose": -1}}
    teacher = getattr(library, kinds[name])(n_estimators=3, **quiet.get(name, {}))
    settings = {"fit_teacher": True, "augment": None, "alpha": 0.5, **TINY}
    assert_tags_are_true(DistilledClassifier(teacher, **settings), kinds=["allow_nan", "sparse"])


def test_a_fitted_student_accepts_missing_values_even_if_its_teacher_does_not():
    student = DistilledClassifier(LogisticRegression().fit(PLAIN, Y), augment=None, **TINY)
    assert not get_tags(student).input_tags.allow_nan
    student.fit(PLAIN, Y)
    assert get_tags(student).input_tags.allow_nan
    assert np.isfinite(student.predict_proba(KINDS["allow_nan"])).all()
    assert not get_tags(clone(student)).input_tags.allow_nan
    assert get_tags(student.student_).input_tags.allow_nan


def test_tags_of_a_fitted_classifier_are_those_of_its_fitted_preprocessor():
    clf = NeuralClassifier(**TINY).fit(PLAIN, Y).set_params(preprocessor=None)
    assert get_tags(clf).input_tags.allow_nan
    clf.predict(KINDS["allow_nan"])
    assert not get_tags(clone(clf)).input_tags.allow_nan


def test_declared_categorical_columns_exclude_sparse_matrices():
    for named, takes in (("from_dtype", True), ([], True), ([0], False)):
        clf = NeuralClassifier(categorical_features=named, **TINY)
        assert get_tags(clf).input_tags.sparse == takes == works(clf.fit, KINDS["sparse"], Y)


def test_text_is_accepted_with_a_vectorizer_only():
    tags = get_tags(NeuralClassifier(preprocessor=TfidfVectorizer())).input_tags
    assert tags.string
    assert not tags.two_d_array
    assert not get_tags(NeuralClassifier()).input_tags.string
    of_text = make_pipeline(TfidfVectorizer(), LogisticRegression())
    student = DistilledClassifier(of_text, fit_teacher=True, preprocessor=TfidfVectorizer())
    assert get_tags(student).input_tags.string
    assert not get_tags(student.set_params(teacher=LogisticRegression())).input_tags.string


def test_a_teacher_of_pairwise_distances_sets_the_tag():
    teacher = KNeighborsClassifier(metric="precomputed")
    assert get_tags(DistilledClassifier(teacher, fit_teacher=True)).input_tags.pairwise


def test_a_frozen_teacher_has_the_tags_of_the_frozen_estimator():
    teacher = FrozenEstimator(make_pipeline(StandardScaler(), LogisticRegression()).fit(PLAIN, Y))
    assert not get_tags(DistilledClassifier(teacher)).input_tags.allow_nan


def test_a_union_fills_missing_values_if_all_its_parts_do():
    filling = make_union(SimpleImputer(), SimpleImputer(strategy="median"))
    keeping = make_union(SimpleImputer(), StandardScaler())
    assert_tags_are_true(NeuralClassifier(preprocessor=keeping, **TINY), kinds=["allow_nan"])
    assert_tags_are_true(NeuralClassifier(preprocessor=filling, **TINY), kinds=["allow_nan"])
