"""numeric_encoding="auto": bins for codes and counts, and where they help on held-out rows."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skkd import DistilledClassifier, NeuralClassifier
from skkd.preprocessing import SelectiveBins
from skkd.teachers.agreement import WeakTeacherWarning

same = np.testing.assert_array_equal


def tiny(**params):
    settings = {"hidden_layer_sizes": (16,), "max_epochs": 4, "random_state": 0}
    return NeuralClassifier(**settings | params)


# ---- bins for the columns that need them -------------------------------------------------


def selective_edges(X, n_rows=None, **settings):
    """The edges of each column of an array, by SelectiveBins."""
    columns = {}
    for j, column in enumerate(X.T):
        values, counts = np.unique(column, return_counts=True)
        columns[j] = values, counts.astype(float)
    return SelectiveBins(**settings).edges_of_table(columns, n_rows or len(X))


def codes_and_numbers(n_rows=1000, n_codes=4):
    random = np.random.RandomState(0)
    return np.column_stack([np.arange(n_rows) % n_codes, random.standard_normal(n_rows)])


@pytest.mark.parametrize(
    ("n_codes", "n_edges"), [(1, 0), (2, 0), (3, 3), (8, 8), (9, 0)], ids=lambda n: n
)
def test_three_to_eight_whole_numbers_have_an_edge_each(n_codes, n_edges):
    codes, numbers = selective_edges(codes_and_numbers(n_codes=n_codes))
    same(codes, np.arange(n_codes) if n_edges else [])
    same(numbers, [])


def test_fractions_and_rare_codes_are_numbers_like_others():
    codes = np.repeat([0.0, 1.0, 2.0], [500, 490, 10])
    fractions = np.arange(1000) % 4 / 4
    assert [len(e) for e in selective_edges(np.column_stack([codes, fractions]))] == [0, 0]


def test_more_bins_than_a_twenty_fifth_of_the_rows_are_not_made():
    X = np.repeat(codes_and_numbers(n_rows=100)[:, :1], 3, axis=1)
    assert [len(e) for e in selective_edges(X, n_rows=225)] == [4, 4, 4]
    assert [len(e) for e in selective_edges(X, n_rows=224)] == [0, 0, 0]


def heaped(n_rows=2000, share=0.8):
    """A column that is 0 but for a share of rows, which all differ."""
    return np.concatenate(
        [np.zeros(int(share * n_rows)), 1 + np.arange((1 - share) * n_rows - 0.5)]
    )


def test_a_heap_has_its_edge_and_the_other_values_share_the_bins():
    (edges,) = selective_edges(heaped()[:, None])
    assert len(edges) == 33
    same(edges[:2], [0, 1])
    gaps = np.diff(edges[1:])
    assert gaps.max() - gaps.min() <= 1


def test_a_heap_of_less_than_three_quarters_is_none():
    assert len(selective_edges(heaped(share=0.74)[:, None])[0]) == 0
    assert len(selective_edges(heaped(share=0.75)[:, None])[0]) == 33


def test_many_heaps_share_the_rows_and_too_many_have_no_bins():
    X = np.repeat(heaped()[:, None], 10, axis=1)
    assert {len(edges) for edges in selective_edges(X[:, :4])} == {21}
    assert {len(edges) for edges in selective_edges(X[:, :10])} == {9}
    assert {len(edges) for edges in selective_edges(np.repeat(X, 2, axis=1))} == {0}


# ---- in the classifiers ------------------------------------------------------------------


def test_the_default_has_bins_for_codes():
    X = codes_and_numbers(n_rows=400)
    y = np.isin(X[:, 0], [0, 3]).astype(int)
    clf = tiny(preset="tabular").fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"
    assert clf.network_.preprocessor.n_features == 2 + 3
    by_name = tiny(preset="tabular", numeric_encoding="selective").fit(X, y)
    same(clf.predict_proba(X), by_name.predict_proba(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "plain"},
        {"preprocessor": None},
        {"preprocessor": StandardScaler()},
        {"numeric_encoding": None},
    ],
    ids=str,
)
def test_where_auto_is_no_encoding(settings):
    X = codes_and_numbers()
    clf = tiny(**{"preset": "tabular"} | settings).fit(X, X[:, 1] > 0)
    assert clf.numeric_encoding_ is None
    assert clf.network_.preprocessor.n_features == 2


def test_sparse_rows_and_parts_of_a_table_have_no_bins():
    X = codes_and_numbers()
    y = (X[:, 1] > 0).astype(int)
    assert tiny(preset="tabular").fit(sparse.csr_array(X), y).numeric_encoding_ is None
    clf = tiny(preset="tabular").partial_fit(X, y, classes=[0, 1])
    assert clf.network_.preprocessor.n_features == 2


#: Large batches, because the time of a small network is that of its steps.
QUICK = {"batch_size": 500, "random_state": 0}
NARROW = QUICK | {"hidden_layer_sizes": (8,)}

#: It selects among 4, 13, 30 and 64 epochs.
STUDENT = {"augment": None, "lr_decay": "coslog", "batch_size": 100, "random_state": 0}


def stepped(n_rows=600):
    """Labels that jump where a tree splits, far too often for a small network."""
    X = np.random.RandomState(0).uniform(size=(n_rows, 3))
    return X, (np.floor(8 * X[:, 0]) % 2).astype(int)


@pytest.fixture(scope="module")
def narrow():
    """A narrow network that compared the encodings. No test may change it."""
    return NeuralClassifier(**NARROW).fit(*stepped(2000))


def test_a_narrow_network_takes_bins_for_all_numbers_where_they_help(narrow):
    X, y = stepped(2000)
    assert repr(narrow.numeric_encoding_) == "PiecewiseLinear()"
    without = NeuralClassifier(numeric_encoding="selective", **NARROW).fit(X, y)
    assert narrow.score(X, y) > without.score(X, y) + 0.05


def test_a_network_with_one_wide_layer_goes_without_bins_for_all_numbers():
    clf = NeuralClassifier((8, 65), **QUICK).fit(*stepped(2000))
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


def test_a_narrow_network_goes_without_bins_where_they_do_not_help():
    X = np.random.RandomState(0).standard_normal((2000, 2))
    clf = NeuralClassifier((32,), **QUICK).fit(X, X @ [1, 1] > 0)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


def test_bins_for_all_numbers_are_not_tried_where_there_are_many(monkeypatch):
    X, y = stepped(2000)
    monkeypatch.setattr("skkd.selection.encodings.MOST_COLUMNS", 2)
    clf = NeuralClassifier(**NARROW).fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


def test_bins_for_all_numbers_are_not_tried_on_few_rows():
    X, y = stepped(1999)
    clf = NeuralClassifier(**NARROW).fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


def test_a_small_student_of_any_teacher_tries_bins():
    X, y = stepped(2000)
    teacher = KNeighborsClassifier(1).fit(X, y)
    clf = DistilledClassifier(teacher, hidden_layer_sizes=(8,), **STUDENT).fit(X, y)
    assert repr(clf.numeric_encoding_) == "PiecewiseLinear()"


def test_without_a_teachers_weight_a_student_of_trees_is_a_plain_classifier(narrow):
    X, y = stepped(2000)
    forest = RandomForestClassifier(20, max_features=None, random_state=0).fit(X, y)
    untaught = DistilledClassifier(forest, alpha=0, **NARROW).fit(X, y)
    assert repr(untaught.numeric_encoding_) == repr(narrow.numeric_encoding_) == "PiecewiseLinear()"
    same(untaught.predict_proba(X), narrow.predict_proba(X))


def test_an_encoding_without_more_inputs_is_not_tried(monkeypatch):
    class Compared(Exception):
        """It ends the fit: what is trained after it does not matter here."""

    def recorded(choices, folds, is_seen, n_jobs):
        raise Compared(len(choices.encodings))

    monkeypatch.setattr("skkd.selection.plan.choose", recorded)
    codes = np.random.RandomState(0).randint(0, 4, (2000, 3))
    for X, n_encodings in [(codes, 1), (codes + stepped(2000)[0], 2)]:
        with pytest.raises(Compared, match=f"^{n_encodings}$"):
            NeuralClassifier(**NARROW).fit(X, codes[:, 0] > 1)


def test_softmax_regression_stays_linear():
    X, y = stepped(2000)
    clf = NeuralClassifier((), **QUICK).fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


def test_a_student_of_trees_takes_their_thresholds_where_they_help():
    X, y = stepped(2000)
    forest = RandomForestClassifier(20, max_features=None, random_state=0).fit(X, y)
    settings = STUDENT | {"hidden_layer_sizes": (8,)}
    clf = DistilledClassifier(forest, **settings).fit(X, y)
    assert repr(clf.numeric_encoding_) == "TeacherBins()"
    without = DistilledClassifier(forest, numeric_encoding=None, **settings).fit(X, y)
    assert clf.score(X, y) > without.score(X, y) + 0.1
    assert repr(clf.student_.numeric_encoding) == "'auto'"
    same(clf.student_.predict_proba(X), clf.predict_proba(X))


def test_a_wide_student_of_trees_takes_their_thresholds_but_more_is_required(monkeypatch):
    X, y = stepped(3000)
    forest = RandomForestClassifier(20, max_features=None, random_state=0).fit(X, y)
    student = DistilledClassifier(forest, hidden_layer_sizes=(65,), **STUDENT)
    assert repr(student.fit(X, y).numeric_encoding_) == "TeacherBins()"
    monkeypatch.setattr("skkd.selection.successive_halving.CLEARLY", 1000)  # standard errors
    assert repr(student.fit(X, y).numeric_encoding_) == "SelectiveBins()"


def test_a_student_of_trees_goes_without_their_thresholds_where_they_do_not_help():
    X = np.random.RandomState(0).standard_normal((2000, 2))
    y = (X @ [1, 1] > 0).astype(int)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    with pytest.warns(WeakTeacherWarning):
        clf = DistilledClassifier(forest, hidden_layer_sizes=(32,), **STUDENT).fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"


@pytest.mark.parametrize("settings", [{"max_epochs": 3}, {"early_stopping": True}], ids=str)
def test_no_encodings_are_compared_where_no_length_is_chosen(settings):
    X, y = stepped(300)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    clf = DistilledClassifier(forest, **STUDENT | settings).fit(X, y)
    assert repr(clf.numeric_encoding_) == "SelectiveBins()"
