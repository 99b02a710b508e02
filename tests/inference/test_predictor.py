"""A predictor gives the answers of predict_proba, to floating arrays and rows of plain values."""

import pickle
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler
from torch import nn

from skkd import DistilledClassifier, NeuralClassifier

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 3, "random_state": 0}


class Flat(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.output = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.output(x.flatten(1))


@pytest.mark.parametrize(
    "settings",
    [{}, {"preprocessor": None}, {"batch_norm": True}, {"preset": "plain"}],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_predictor_gives_the_probabilities_of_predict_proba(settings, dtype, iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL, **settings).fit(X, y)
    predictor = clf.predictor()
    for rows in (X[:1].astype(dtype), X.astype(dtype), np.tile(X, (20, 1)).astype(dtype)):
        np.testing.assert_array_equal(predictor(rows), clf.predict_proba(rows))
    assert predictor.classes.tolist() == clf.classes_.tolist()


def test_missing_values_are_imputed_if_the_preprocessor_imputes_them(iris_like):
    X, y = iris_like
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    clf = NeuralClassifier(**SMALL).fit(gaps, y)
    np.testing.assert_array_equal(clf.predictor()(gaps), clf.predict_proba(gaps))
    with pytest.raises(ValueError, match="X holds nan in row 0, column 1"):
        NeuralClassifier(**SMALL, preprocessor=None).fit(X, y).predictor()(gaps)
    gaps[2, 3] = -np.inf
    with pytest.raises(ValueError, match="X holds -inf in row 2, column 3"):
        clf.predictor()(gaps)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[0],
        lambda X: X[:, :3],
        lambda X: X[:0],
        lambda X: X.astype(int),
        lambda X: X.astype(object),
        lambda X: pd.DataFrame(X),
        lambda X: pd.Series(X[0]),
        lambda X: iter(X.tolist()),
        lambda X: 1.0,
        lambda X: "four",
        lambda X: None,
        lambda X: [],
        lambda X: {},
    ],
    ids=[
        *("one row", "columns", "no row", "int", "object", "frame", "series", "iterator"),
        *("number", "text", "None", "no list", "no dict"),
    ],
)
def test_any_other_input_is_refused(change, iris_like):
    X, y = iris_like
    predictor = NeuralClassifier(**SMALL).fit(X, y).predictor()
    with pytest.raises(ValueError, match=r"X=.* is not allowed: give a floating ndarray .*, 4\)"):
        predictor(change(X))


def test_transformers_and_images_need_predict_proba(iris_like):
    X, y = iris_like
    with pytest.raises(ValueError, match="use predict_proba"):
        NeuralClassifier(**SMALL, preprocessor=StandardScaler()).fit(X, y).predictor()
    images = X.reshape(90, 1, 2, 2)
    with pytest.raises(ValueError, match="use predict_proba"):
        NeuralClassifier(module=Flat, max_epochs=1, random_state=0).fit(images, y).predictor()


def test_a_predictor_is_frozen_can_be_pickled_and_serves_many_threads(iris_like):
    X, y = iris_like
    clf = DistilledClassifier(**SMALL).fit(X, y, teacher_proba=np.eye(3)[y] * 0.7 + 0.1)
    predictor = pickle.loads(pickle.dumps(clf.student_.predictor()))
    with pytest.raises(AttributeError):
        predictor.n_features = 3
    assert repr(predictor) == "Predictor(Network, 4 columns, 3 classes)"
    expected = clf.predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: predictor(X), range(40)):
            np.testing.assert_array_equal(answer, expected)


def test_many_rows_of_float32_are_computed_in_float32(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL, activation="selu").fit(X, y)
    many = np.tile(X, (20, 1))
    single = clf.predict_proba(many.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, clf.predict_proba(many), atol=1e-5)
    np.testing.assert_allclose(single.sum(axis=1), 1, atol=1e-12)


def test_rows_that_overflow_float32_are_computed_in_float64(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL).fit(X, y)
    many = np.tile(X, (20, 1)).astype(np.float32)
    many[7] = 3e38
    assert np.isfinite(clf.predict_log_proba(many)).all()


# ---- rows of plain values ------------------------------------------------------------------

WIDE = 2**53


def columns_of_every_kind(n_rows=60):
    """(table, y): one column of every kind that a table can have; y depends on some of them."""
    draw = np.random.RandomState(0)
    number = draw.standard_normal(n_rows)
    count = draw.randint(0, 5, n_rows)
    grade = draw.randint(1, 4, n_rows)
    job = np.array(["clerk", "cook", "smith"], dtype=object)[draw.randint(0, 3, n_rows)]
    is_gap = np.arange(n_rows) % 7 == 3
    job_with_gaps = np.where(is_gap, None, job)
    table = {
        "float": number,
        "float32": draw.standard_normal(n_rows).astype(np.float32),
        "float and gaps": np.where(is_gap, np.nan, 10 * number),
        "heavy tails": np.exp(4 * number),
        "mostly zero": np.where(np.arange(n_rows) % 8 == 0, number, 0.0),
        "int": count,
        "uint8": count.astype(np.uint8),
        "int and gaps": pd.array(np.where(is_gap, None, count), dtype="Int64"),
        "large int": WIDE + 10**6 * count,
        "decimal": [Decimal(int(c)) / 4 for c in count],
        "mixed numbers": pd.Series([None, 1, 2.5, True] * (n_rows // 4), dtype=object),
        "constant": np.full(n_rows, 3.0),
        "all missing": np.full(n_rows, np.nan),
        "bool": number > 0,
        "bool and gaps": pd.array(np.where(is_gap, None, number > 0), dtype="boolean"),
        "text": job,
        "text and gaps": pd.Series(job_with_gaps, dtype=object),
        "string dtype": pd.array(job_with_gaps, dtype="string"),
        "codes in quotes": grade.astype(str).astype(object),
        "category": pd.Categorical(job_with_gaps),
        "ordered category": pd.Categorical(job, ["cook", "smith", "clerk"], ordered=True),
        "category of ints": pd.Categorical(grade),
        "category of fractions": pd.Categorical(grade / 10),
        "category of bools": pd.Categorical(number > 0),
        "declared": grade,
        "declared fractions": grade / 10,
        "declared wide": WIDE + draw.randint(0, 3, n_rows),
        "many texts": [f"text {i % 300}" for i in range(n_rows)],
    }
    return pd.DataFrame(table), (number + (job == "cook") + (grade == 2) > 0.5).astype(int)


TABLE_SETTINGS = [
    {},
    {"numeric_encoding": "piecewise_linear"},
    {"numeric_encoding": None, "preprocessor": "standard"},
    {"preset": "plain", "batch_norm": True},
    {"module": Flat},
]


@pytest.fixture(scope="module", params=TABLE_SETTINGS, ids=str)
def of_every_kind(request):
    """(fitted classifier, table) with one column of every kind."""
    table, y = columns_of_every_kind()
    settings = SMALL | request.param
    if "module" in settings:
        del settings["hidden_layer_sizes"]
    declared = [name for name in table if name.startswith("declared")]
    return NeuralClassifier(**settings, categorical_features=declared).fit(table, y), table


def plain(row):
    """A row of a table as a dict."""
    return row.to_dict("records")[0]


def test_a_row_of_plain_values_gives_the_bits_of_predict_proba(of_every_kind):
    clf, table = of_every_kind
    predictor = pickle.loads(pickle.dumps(clf.predictor()))
    for i in range(len(table)):
        row, expected = plain(table.iloc[[i]]), clf.predict_proba(table.iloc[[i]])
        values = list(row.values())
        backwards = dict(reversed(row.items()))
        for given in (row, backwards, OrderedDict(row), MappingProxyType(row)):
            np.testing.assert_array_equal(predictor(given), expected)
        for given in (values, tuple(values), [row], [values], (tuple(values),)):
            np.testing.assert_array_equal(predictor(given), expected)
        np.testing.assert_array_equal(clf.predict_proba(pd.DataFrame([row])), expected)


@pytest.mark.parametrize("n_rows", [2, 16, 17, 60, 1200])
def test_a_list_of_rows_gives_the_bits_of_predict_proba(n_rows, of_every_kind):
    clf, table = of_every_kind
    table = pd.concat([table] * 20, ignore_index=True).iloc[:n_rows]
    predictor, expected = clf.predictor(), clf.predict_proba(table)
    np.testing.assert_array_equal(predictor(table.to_dict("records")), expected)
    tuples = list(table.itertuples(index=False, name=None))
    np.testing.assert_array_equal(predictor(tuples), expected)
    np.testing.assert_array_equal(predictor(tuple(map(list, tuples))), expected)


def answers(predict, X):
    """The probabilities or the error, and the warnings, which show the value differently."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = predict(X).tolist()
        except (TypeError, ValueError) as error:
            answer = type(error)
    return answer, [str(warning.message).partition(": it holds")[0] for warning in caught]


VALUES = [
    *(None, np.nan, float("nan"), np.float32("nan"), pd.NA, Decimal("nan")),
    *(0, 1, 2, -3, True, False, np.True_, np.int8(2), np.uint64(2), np.int64(1), 10**17, WIDE + 1),
    *(0.1, 0.5, 1.0, -0.0, np.float16(0.1), np.float32(0.1), np.float64(0.2), 1e300, -1e-300),
    *(Decimal("0.25"), Fraction(1, 4), np.longdouble(1), 1j, float("inf"), -np.inf, 10**400),
    *("cook", "plumber", "", "1", " 1 ", "1.0", "2.5", "true", "False", "nan", np.str_("cook")),
    *(b"cook", ("a", "b"), frozenset(), [1], [], {}, np.array([1, 2]), np.array(1.0), object),
    *(date(2020, 1, 2), datetime(2020, 1, 2), timedelta(1), np.datetime64("2020-01-02")),
]


@pytest.mark.parametrize("of_every_kind", TABLE_SETTINGS[:1], ids=str, indirect=True)
@pytest.mark.parametrize("name", columns_of_every_kind()[0].columns)
def test_any_value_in_any_column_is_taken_as_in_predict_proba(name, of_every_kind):
    clf, table = of_every_kind
    predictor = clf.predictor()
    row = plain(table.iloc[[0]])
    for value in VALUES:
        changed = row | {name: value}
        frame = pd.DataFrame([row])
        frame[name] = pd.Series([None], dtype=object)
        frame[name].array[0] = value
        frame.isetitem(list(row).index(name), frame[name].infer_objects())
        expected = answers(clf.predict_proba, frame)
        assert answers(predictor, changed) == expected, value
        if name == "float" and isinstance(value, (list, tuple, dict, np.ndarray)):
            continue  # the first item of a list tells whether it holds values or rows
        assert answers(predictor, tuple(changed.values())) == expected, value


PEOPLE = pd.DataFrame(
    {
        "age": [31.0, 25.0, np.nan, 60.0, 44.0, 37.0],
        "job": ["cook", "cook", "smith", None, "clerk", "clerk"],
        "height": [180, 165, 172, 158, 190, 177],
    }
)


@pytest.fixture(scope="module")
def of_people():
    """A predictor for PEOPLE."""
    return NeuralClassifier(**SMALL).fit(PEOPLE, [0, 1] * 3).predictor()


ALL = {"age": 31, "job": "cook", "height": 180}
LACKING = {"age": 31, "job": "cook"}


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (LACKING, "^X lacks the column 'height': give a value for each of the 3 columns of fit"),
        ({"age": 31}, "^X lacks the columns 'job', 'height': "),
        (ALL | {"heigth": 1}, "^X has the unknown column 'heigth': .* and for no other column"),
        (ALL | {"a": 1, 7: 2}, "^X has the unknown columns 'a', 7: "),
        (LACKING | {"heigth": 1}, "^X lacks the column 'height' and has the unknown .* 'heigth': "),
        ([ALL, LACKING], "^row 1 of X lacks the column 'height': "),
        ([ALL, (1, "cook", 2, 3)], "^row 1 of X has 4 values: give one for each of the 3 columns"),
        ((31, "cook"), "^X has 2 values: give one for each of the 3 columns of fit, None if"),
        ([ALL, 31], "^row 1 of X is a int: give a dict, or a tuple of 3 values"),
        ([np.zeros(3)], "^row 0 of X is a ndarray: give a dict, or a tuple of 3 values"),
        (ALL | {"height": "tall"}, "column 'height' held numbers in fit and holds others now: "),
        ([ALL, ALL | {"age": np.inf}], "^column 'age' of X holds inf in row 1"),
        ((10**400, "cook", 1), "^X holds a number that is too large for float64"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(X, message, of_people):
    with pytest.raises(ValueError, match=message):
        of_people(X)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (date(2020, 1, 2), r"column 'height' holds dates or times \(date\)"),
        ([180], "column 'height' holds a list: an argument must be a string or a number"),
        (np.array([1, 2]), "column 'height' holds a ndarray: an argument must be a string"),
    ],
)
def test_a_value_of_no_allowed_type_is_refused_by_name(value, message, of_people):
    for X in (ALL | {"height": value}, (31, "cook", value)):
        with pytest.raises(TypeError, match=message):
            of_people(X)


def test_a_row_of_a_classifier_without_names_is_a_tuple(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(**SMALL).fit(X, y)
    predictor, expected = clf.predictor(), clf.predict_proba(X[:3])
    np.testing.assert_array_equal(predictor(X[:3].tolist()), expected)
    np.testing.assert_array_equal(predictor(list(map(tuple, X[:3]))), expected)
    with pytest.raises(ValueError, match="the columns of fit had no names: give a tuple of 4"):
        predictor(dict(enumerate(X[0])))
    with pytest.raises(ValueError, match="column 'column 2' held numbers in fit and holds others"):
        predictor((1.0, 2.0, "three", 4.0))


def test_columns_of_the_same_name_need_a_tuple():
    table = PEOPLE[["age", "height"]].fillna(0)
    clf = NeuralClassifier(**SMALL).fit(table, [0, 1] * 3)
    predictor = replace(clf.predictor(), names=("age", "age"))
    with pytest.raises(ValueError, match="several columns of fit have the same name"):
        predictor({"age": 3})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_without_a_preprocessor_are_numbers(dtype, iris_like):
    X, y = iris_like
    table = pd.DataFrame(X, columns=list("abcd"))
    clf = NeuralClassifier(**SMALL, preprocessor=None, dtype=dtype).fit(table, y)
    predictor = clf.predictor()
    for i in range(5):
        expected = clf.predict_proba(table.iloc[[i]])
        np.testing.assert_array_equal(predictor(plain(table.iloc[[i]])), expected)
        np.testing.assert_array_equal(predictor(X[i].tolist()), expected)
    rows = [(1, 2.5, True, 4), (0, -3, False, 0.1)]
    np.testing.assert_array_equal(
        predictor(rows), clf.predict_proba(pd.DataFrame(rows, columns=list("abcd")))
    )
    with pytest.raises(ValueError, match="X holds nan in row 0, column 1"):
        predictor((1, None, 3, 4))
    with pytest.raises(ValueError, match="a value that is not a number"):
        predictor((1, "2", 3, 4))


def test_a_number_too_large_for_the_network_is_refused(iris_like):
    X, y = iris_like
    predictor = NeuralClassifier(**SMALL, preprocessor=None).fit(X, y).predictor()
    for given in (np.array([[0, 0, 1e300, 0]]), (0, 0, 1e300, 0)):
        with pytest.raises(ValueError, match=r"X holds 1e\+300 in row 0, column 2"):
            predictor(given)


def test_arrays_with_categories_give_the_probabilities_of_predict_proba(iris_like):
    X, y = iris_like
    X = np.column_stack([X, np.arange(90) % 5])
    clf = NeuralClassifier(**SMALL, categorical_features=[4]).fit(X, y)
    predictor = clf.predictor()
    np.testing.assert_array_equal(predictor(X), clf.predict_proba(X))
    np.testing.assert_array_equal(predictor(X.tolist()), clf.predict_proba(X))
    unknown = X[:1] + 7
    for rows in (unknown, unknown.tolist(), unknown[0].tolist()):
        with pytest.warns(UserWarning, match="no value of column 4 of X is a category") as caught:
            predictor(rows)
        assert caught[0].filename == __file__


def test_many_threads_share_a_predictor_of_a_table():
    table, y = columns_of_every_kind()
    clf = DistilledClassifier(**SMALL).fit(table, y, teacher_proba=np.eye(2)[y] * 0.8 + 0.1)
    predictor = clf.student_.predictor()
    before = pickle.dumps(predictor)
    rows = table.to_dict("records")
    expected = [clf.predict_proba(table.iloc[[i]]) for i in range(len(table))]
    with ThreadPoolExecutor(8) as pool:
        for answer, one in zip(pool.map(predictor, rows * 3), expected * 3, strict=True):
            np.testing.assert_array_equal(answer, one)
    assert pickle.dumps(predictor) == before
