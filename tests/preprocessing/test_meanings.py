"""Categories of another type are matched when predicting; a column without a match warns."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skkd import DistilledClassifier, NeuralClassifier
from skkd.preprocessing.meanings import meaning_of
from skkd.preprocessing.preprocessor import MAX_CATEGORIES

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

TINY = {"hidden_layer_sizes": (8,), "max_epochs": 20, "learning_rate": 0.05, "random_state": 0}
N = 40
Y = np.arange(N) % 2

#: Name to the two categories of a column in fit, and the same two when predicting.
PAIRS = {
    "text, ints": (["1", "2"], [1, 2]),
    "text, floats": (["1", "2"], [1.0, 2.0]),
    "text, fractions": (["0.1", "0.2"], [0.1, 0.2]),
    "text of floats, ints": (["1.0", "2.0"], [1, 2]),
    "codes with zeros, ints": (["01", "02"], [1, 2]),
    "wide text, wide ints": ([str(2**53), str(2**53 + 1)], [2**53, 2**53 + 1]),
    "bools, text": ([True, False], ["True", "False"]),
    "bools, lower case": ([True, False], ["true", "false"]),
    "bools, ints": ([True, False], [1, 0]),
    "bools, floats": ([True, False], [1.0, 0.0]),
    "bools, digits": ([True, False], ["1", "0"]),
    "text of bools, ints": (["True", "False"], [1, 0]),
    "digits, bools": (["1", "0"], [True, False]),
    "text, bools": (["True", "False"], [True, False]),
    "lower case, bools": (["true", "false"], [True, False]),
    "ints, text": ([1, 2], ["1", "2"]),
    "ints, floats": ([1, 2], [1.0, 2.0]),
    "ints, text of floats": ([1, 2], ["1.0", "2.0"]),
    "fractions, text": ([0.1, 0.2], ["0.1", "0.2"]),
    "fractions, fractions": ([0.1, 0.2], [0.1, 0.2]),
}

IN_CONTAINERS = {
    "list": lambda c: [[value] for value in c],
    "array": lambda c: np.array(c).reshape(-1, 1),
    "objects": lambda c: np.array(c, dtype=object).reshape(-1, 1),
    "pandas": lambda c: pd.DataFrame({"c": c}),
    "pandas, objects": lambda c: pd.DataFrame({"c": pd.Series(c, dtype=object)}),
    "pandas, categories": lambda c: pd.DataFrame({"c": pd.Categorical(c)}),
    "pandas, nullable": lambda c: pd.DataFrame({"c": c}).convert_dtypes(),
    "pandas, Arrow": lambda c: pd.DataFrame({"c": c}).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda c: pl.DataFrame({"c": c}),
    "pyarrow": lambda c: pa.table({"c": c}),
}

of_every_container = pytest.mark.parametrize(
    "container", IN_CONTAINERS.values(), ids=list(IN_CONTAINERS)
)
nameless = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def repeated(two):
    return [two[code] for code in Y]


def fitted_on(two, **settings):
    return NeuralClassifier(**TINY, categorical_features=[0], **settings).fit(
        pd.DataFrame({"c": repeated(two)}), Y
    )


@nameless
@of_every_container
@pytest.mark.parametrize(("known", "given"), PAIRS.values(), ids=list(PAIRS))
def test_categories_mean_the_same_in_another_type(known, given, container):
    clf = fitted_on(known)
    expected = clf.predict_proba(pd.DataFrame({"c": known}))
    assert expected.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_array_equal(clf.predict_proba(container(given)), expected)


@nameless
@of_every_container
@pytest.mark.parametrize("given", [[0.1, 0.2], ["0.1", "0.2"], np.float32([0.1, 0.2])], ids=repr)
def test_fractions_of_a_categorical_dtype_mean_the_same_in_another_type(given, container):
    frame = pd.DataFrame({"c": pd.Categorical(repeated([0.1, 0.2]))})
    clf = NeuralClassifier(**TINY).fit(frame, Y)
    expected = clf.predict_proba(frame.iloc[:2])
    assert expected.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_array_equal(clf.predict_proba(container(given)), expected)


def test_a_fraction_beside_text_is_a_known_category():
    clf = fitted_on([0.1, 0.2])
    expected = clf.predict_proba(pd.DataFrame({"c": [0.1]}))
    beside_text = pd.DataFrame({"c": pd.Series([0.1, "else"], dtype=object)})
    np.testing.assert_array_equal(clf.predict_proba(beside_text)[:1], expected)


def test_a_huge_number_is_an_unknown_category_without_a_warning_of_overflow():
    clf = fitted_on([1, 2])
    given = pd.DataFrame({"c": [1e300, 1]})
    assert clf.predict_proba(given)[1].tolist() == clf.predict_proba(given[1:])[0].tolist()


@nameless
@pytest.mark.parametrize("known", [["1", "2"], [1, 2]], ids=["text", "ints"])
def test_categories_mean_the_same_in_a_sparse_matrix(known):
    clf = fitted_on(known)
    expected = clf.predict_proba(pd.DataFrame({"c": known}))
    np.testing.assert_array_equal(clf.predict_proba(sparse.csr_array([[1.0], [2.0]])), expected)


def test_a_missing_value_beside_numbers_stays_missing():
    frame = pd.DataFrame({"c": ["1", "2", None, "2"] * 10})
    clf = NeuralClassifier(**TINY).fit(frame, Y)
    given = pd.DataFrame({"c": [1.0, np.nan]})
    np.testing.assert_array_equal(clf.predict_proba(given), clf.predict_proba(frame.iloc[[0, 2]]))


@nameless
def test_ambiguous_categories_are_unknown():
    clf = NeuralClassifier(**TINY).fit(pd.DataFrame({"c": ["1", "01", "2", "x"] * 10}), Y)
    unknown = clf.predict_proba(pd.DataFrame({"c": ["else", "2"]}))
    np.testing.assert_array_equal(clf.predict_proba(np.array([[1], [2]])), unknown)


def test_texts_match_only_as_they_are_written():
    clf = NeuralClassifier(**TINY).fit(pd.DataFrame({"c": repeated(["1", "2"])}), Y)
    unknown, _ = clf.predict_proba(pd.DataFrame({"c": ["else", "2"]}))
    of_others, _ = clf.predict_proba(pd.DataFrame({"c": ["1.0", "2"]}))
    np.testing.assert_array_equal(of_others, unknown)


UNKNOWN = {
    "other words": (["a", "b"], ["A", "B"]),
    "text, numbers": (["a", "b"], [1, 2]),
    "text, bools": (["a", "b"], [True, False]),
    "numbers, words": ([1, 2], ["one", "two"]),
    "bools, words": ([True, False], ["yes", "no"]),
    "numbers, other numbers": ([1, 2], [3, 4]),
    "ambiguous": (["1", "01"], [1, 1]),
}


@nameless
@of_every_container
@pytest.mark.parametrize(("known", "given"), UNKNOWN.values(), ids=list(UNKNOWN))
def test_a_column_without_a_known_category_is_warned_of(known, given, container):
    clf = fitted_on(known)
    with pytest.warns(
        UserWarning, match="no value of column 'c' of X is a category that was in fit"
    ):
        clf.predict(container(given))


def test_a_column_with_a_known_category_is_not_warned_of():
    clf = fitted_on(["a", "b"])
    clf.predict(pd.DataFrame({"c": ["new", "b"]}))
    clf.predict(pd.DataFrame({"c": [None, None]}))


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_every_predicting_method_warns(method):
    clf = fitted_on(["a", "b"])
    with pytest.warns(UserWarning, match="fit had 'a', 'b'"):
        getattr(clf, method)(pd.DataFrame({"c": ["x"]}))


def test_validation_rows_later_batches_and_warm_starts_are_warned_of():
    rows, others = pd.DataFrame({"c": repeated("ab")}), pd.DataFrame({"c": repeated("AB")})
    match = "no value of column 'c' of {} is a category"
    clf = NeuralClassifier(**TINY, warm_start=True)
    with pytest.warns(UserWarning, match=match.format("X_val")):
        clf.fit(rows, Y, X_val=others, y_val=Y)
    with (
        pytest.warns(UserWarning, match=match.format("X")),
        pytest.warns(UserWarning, match="no better than the class frequencies"),
    ):
        clf.fit(others, Y)
    clf = NeuralClassifier(**TINY).partial_fit(rows, Y, classes=[0, 1])
    with pytest.warns(UserWarning, match=match.format("X")):
        clf.partial_fit(others, Y)


def test_validation_rows_of_another_type_are_matched():
    rows = pd.DataFrame({"c": repeated("12")})
    same = NeuralClassifier(**TINY).fit(rows, Y, X_val=rows, y_val=Y)
    numbers = NeuralClassifier(**TINY).fit(rows, Y, X_val=rows.astype(int), y_val=Y)
    assert numbers.history_[-1]["valid_loss"] == same.history_[-1]["valid_loss"]


def test_a_student_matches_categories_and_warns_too():
    rows = pd.DataFrame({"c": repeated("12")})
    teacher = make_pipeline(OrdinalEncoder(), HistGradientBoostingClassifier()).fit(rows, Y)
    student = DistilledClassifier(teacher, alpha=1.0, augment=None, **TINY).fit(rows, Y)
    np.testing.assert_array_equal(
        student.predict_proba(rows.astype(int)), student.predict_proba(rows)
    )
    with pytest.warns(UserWarning, match="no value of column 'c'"):
        student.predict(rows + "!")


def test_rare_categories_are_not_taken_for_unknown_ones():
    names = [f"n{i}" for i in range(MAX_CATEGORIES)]
    frame = pd.DataFrame({"c": [*names, *names, "rare"]})
    clf = NeuralClassifier(**TINY | {"max_epochs": 1}).fit(frame, np.arange(len(frame)) % 2)
    clf.predict(pd.DataFrame({"c": ["rare"]}))
    with pytest.warns(UserWarning, match="no value of column 'c'"):
        clf.predict(pd.DataFrame({"c": [1, 2]}))


@nameless
@of_every_container
def test_wide_integers_are_different_categories(container):
    ids = [2**53, 2**53 + 1]
    if container is IN_CONTAINERS["array"]:
        assert container(ids).dtype == np.int64
    clf = NeuralClassifier(**TINY, categorical_features=[0]).fit(container(repeated(ids)), Y)
    assert clf.predict(container(ids)).tolist() == [0, 1]
    with_words = fitted_on(ids)
    assert with_words.predict(container(ids)).tolist() == [0, 1]


def test_wide_integers_with_gaps_are_different_categories():
    ids = pd.DataFrame({"c": pd.array([2**53, 2**53 + 1] * 19 + [None, None], dtype="Int64")})
    clf = NeuralClassifier(**TINY, categorical_features=["c"]).fit(ids, Y)
    assert clf.predict(ids.iloc[:2]).tolist() == [0, 1]


def test_changing_the_parameter_after_fit_changes_no_prediction():
    ids = pd.DataFrame({"c": [2**53, 2**53 + 1] * 20})
    clf = NeuralClassifier(**TINY, categorical_features=["c"]).fit(ids, Y)
    before = clf.predict_proba(ids)
    clf.set_params(categorical_features=["no such column"])
    np.testing.assert_array_equal(clf.predict_proba(ids), before)


@pytest.mark.parametrize(
    ("category", "meaning"),
    [
        ("1_000", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (float(2**53), None),
        (2**53 + 1, 2**53 + 1),
        (f"{2**53 + 1}", 2**53 + 1),
        ("1e3", 1000),
        (" TRUE ", 1),
        (np.bool_(False), 0),
        (np.float32(0.1), float(np.float32(0.1))),
        (None, None),
        ((1, 2), None),
    ],
)
def test_meaning(category, meaning):
    assert meaning_of(category) == meaning
