"""Nothing that a teacher or a transformer does changes what the caller gave."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skkd import DistilledClassifier, NeuralClassifier
from skkd.teachers.hashing import fingerprint
from skkd.transfer import resolve_augment

N_ROWS = 40
X = np.random.RandomState(0).normal([1.0, 2.0, 3.0], size=(N_ROWS, 3))
Y = (X[:, 0] > 1).astype(int)
ANSWER = np.where(np.eye(2)[Y], 0.9, 0.1)
TINY = {"hidden_layer_sizes": (4,), "max_epochs": 2, "numeric_encoding": None, "random_state": 0}
TAUGHT = TINY | {"alpha": 0.5, "augment": None}

CONTAINERS = {
    "array": lambda rows: rows.copy(),
    "array by column": np.asfortranarray,
    "slice": lambda rows: np.repeat(rows, 2, axis=1)[::-1, ::2][::-1],
    "table": lambda rows: pd.DataFrame(rows.copy(), columns=list("abc")),
    "table by column": lambda rows: pd.DataFrame(dict(zip("abc", rows.T.copy(), strict=True))),
    "mixed table": lambda rows: pd.DataFrame(rows.copy(), columns=list("abc")).assign(
        kind=pd.Categorical(np.where(rows[:, 1] > 2, "x", "y")),
        whole=pd.array(rows[:, 1].astype(int), dtype="Int64"),
    ),
    "polars": lambda rows: pl.DataFrame(dict(zip("abc", rows.T.copy(), strict=True))),
    "list": lambda rows: rows.tolist(),
    "list of arrays": lambda rows: list(rows.copy()),
    "csr": lambda rows: sparse.csr_matrix(rows),
    "csc": lambda rows: sparse.csc_array(rows),
    "coo": lambda rows: sparse.coo_array(rows),
    "lil": lambda rows: sparse.lil_matrix(rows),
}


def overwrite(rows):
    """Write to rows in each way that their container has; what they were, as an array."""
    before = numbers_of(rows).copy()
    if isinstance(rows, np.ndarray):
        rows[...] = 0
    elif sparse.issparse(rows) and rows.format == "lil":
        for row in rows.data:
            row[:] = [0.0] * len(row)
    elif sparse.issparse(rows):
        rows.data *= 0
    elif isinstance(rows, pd.DataFrame):
        StandardScaler(copy=False).fit_transform(rows[["a", "b", "c"]])
        StandardScaler(copy=False).fit_transform(rows.loc[:, "a":"c"])
        rows.iloc[0, 0] = 5.0
        rows["a"] = 0.0
        rows.columns.name = "changed"
        if "whole" in rows:
            rows["whole"].array[:] = 0
            rows["kind"].array[:] = "x"
    elif isinstance(rows, pl.DataFrame):
        rows[0, "a"] = 0.0
        rows.drop_in_place("b")
    else:
        for row in rows:
            row[0] = 0.0
    return before


def numbers_of(rows):
    if sparse.issparse(rows):
        return rows.toarray()
    if hasattr(rows, "columns"):
        return np.column_stack([np.asarray(rows[name], dtype=float) for name in "abc"])
    return np.asarray(rows, dtype=float)


def write(data):
    """Write to labels or weights."""
    if isinstance(data, pd.Series):
        data.iloc[:] = 0
    elif data is not None:
        data[:] = [0] * len(data) if isinstance(data, list) else 0


def kept(rows):
    """The same without writing to them."""
    return numbers_of(rows).copy()


def are_unchanged(rows, container):
    """Whether rows are as the container was made."""
    new = CONTAINERS[container](X)
    if isinstance(rows, pd.DataFrame):
        pd.testing.assert_frame_equal(rows, new)
        return rows.columns.name is None
    return (
        rows.equals(new)
        if isinstance(rows, pl.DataFrame)
        else fingerprint(rows) == fingerprint(new)
    )


class Threshold(ClassifierMixin, BaseEstimator):
    """Tells classes by the mean of the first column; `writes` to all that it gets."""

    def __init__(self, writes=True):
        self.writes = writes

    def seen(self, rows):
        return overwrite(rows) if self.writes else kept(rows)

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.threshold_ = self.seen(X)[:, 0].mean()
        if self.writes:
            write(y)
            write(sample_weight)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(self.threshold_ - self.seen(X)[:, 0]))
        return np.column_stack([1 - p, p])


class Scores(Threshold):
    """The same with a decision function."""

    predict_proba = property()

    def decision_function(self, X):
        return self.seen(X)[:, 0] - self.threshold_


class Columns(TransformerMixin, BaseEstimator):
    """The three columns of numbers, centred; `writes` to all that it gets."""

    def __init__(self, writes=True):
        self.writes = writes

    def seen(self, rows):
        return overwrite(rows) if self.writes else kept(rows)

    def fit(self, X, y=None, sample_weight=None):
        self.mean_ = self.seen(X).mean(axis=0)
        if self.writes:
            write(y)
            write(sample_weight)
        return self

    def transform(self, X):
        return self.seen(X) - self.mean_


def fitted(teacher, rows, y=Y):
    """A teacher that was fitted to rows of its own."""
    writes, teacher.writes = teacher.writes, False
    teacher.fit(rows, np.asarray(y))
    teacher.writes = writes
    return teacher


def taught(teacher, rows, **settings):
    return DistilledClassifier(teacher, **TAUGHT | settings).fit(rows, Y)


def by_an_estimator(rows, writes):
    return taught(fitted(Threshold(writes), rows), rows)


def by_batches(rows, writes):
    return taught(fitted(Threshold(writes), rows), rows, teacher_batch_size=7)


def by_scores(rows, writes):
    return taught(fitted(Scores(writes), rows), rows)


def by_a_function(rows, writes):
    teacher = fitted(Threshold(writes), rows)
    return taught(lambda X: teacher.predict_proba(X), rows)


def by_a_list(rows, writes):
    first, second = fitted(Threshold(False), rows), fitted(Threshold(writes), rows)
    return taught([(first, 1), (second, 2), (first, 1)], rows)


def by_one_fitted_here(rows, writes):
    weights = np.linspace(1, 2, N_ROWS)
    labels, before = Y.copy(), weights.copy()
    student = DistilledClassifier(Threshold(writes), fit_teacher=True, **TAUGHT)
    student.fit(rows, labels, sample_weight=weights)
    assert (labels == Y).all()
    assert (weights == before).all()
    return student


def by_clones_out_of_fold(rows, writes):
    return taught(fitted(Threshold(writes), rows), rows, soft_labels="out_of_fold")


def with_rows_without_labels(rows, writes):
    teacher = fitted(Threshold(False), rows)
    teacher.writes = writes
    student = DistilledClassifier(teacher, **TAUGHT).fit(rows, Y, X_unlabeled=rows)
    assert student.n_transfer_rows_ == N_ROWS
    return student


def with_its_own_preprocessor(rows, writes):
    return NeuralClassifier(preprocessor=Columns(writes), **TINY).fit(rows, Y)


PLACES = [
    by_an_estimator,
    by_batches,
    by_scores,
    by_a_function,
    by_a_list,
    by_one_fitted_here,
    by_clones_out_of_fold,
    with_rows_without_labels,
    with_its_own_preprocessor,
]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("place", PLACES)
def test_who_writes_to_the_rows_changes_neither_them_nor_the_student(place, container):
    rows = CONTAINERS[container](X)
    student = place(rows, writes=True)
    assert are_unchanged(rows, container)
    probabilities = student.predict_proba(rows)
    assert are_unchanged(rows, container)  # a preprocessor's transform is called in predict, too
    well_behaved = place(CONTAINERS[container](X), writes=False)
    np.testing.assert_array_equal(probabilities, well_behaved.predict_proba(rows))


@pytest.mark.parametrize("kind", [np.asarray, list, pd.Series])
@pytest.mark.parametrize("settings", [{"fit_teacher": True}, {"soft_labels": "out_of_fold"}])
def test_who_writes_to_labels_and_weights_in_fit_changes_neither(kind, settings):
    labels, weights = kind(Y.tolist()), kind(np.linspace(1, 2, N_ROWS).tolist())
    before = fingerprint((labels, weights))
    student = DistilledClassifier(Threshold().fit(X.copy(), Y.copy()), **TAUGHT | settings)
    student.fit(X.copy(), labels, sample_weight=weights)
    assert fingerprint((labels, weights)) == before
    well_behaved = DistilledClassifier(Threshold(False).fit(X, Y), **TAUGHT | settings)
    well_behaved.fit(X, Y, sample_weight=np.linspace(1, 2, N_ROWS))
    np.testing.assert_array_equal(student.predict_proba(X), well_behaved.predict_proba(X))


@pytest.mark.parametrize("container", ["array", "table", "table by column", "mixed table"])
@pytest.mark.parametrize("settings", [{}, {"fit_teacher": True}, {"soft_labels": "out_of_fold"}])
def test_a_scaler_that_works_in_place_is_taken_for_one_that_does_not(container, settings):
    rows = CONTAINERS[container](X)
    columns = ["a", "b", "c"] if container == "mixed table" else slice(None)
    first = FunctionTransformer(lambda X: X if isinstance(columns, slice) else X[columns])

    def student(copy):
        teacher = make_pipeline(first, StandardScaler(copy=copy), LogisticRegression())
        teacher.fit(CONTAINERS[container](X), Y)
        return DistilledClassifier(teacher, **TAUGHT | settings).fit(rows, Y)

    expected = student(copy=True).predict_proba(rows)
    np.testing.assert_array_equal(student(copy=False).predict_proba(rows), expected)
    assert are_unchanged(rows, container)


@pytest.mark.parametrize("container", ["array", "table", "csr", "list"])
def test_steps_in_front_of_a_forest_that_is_asked_out_of_bag_may_write(container):
    teacher = make_pipeline(FunctionTransformer(kept), RandomForestClassifier(20, random_state=0))
    rows = CONTAINERS[container](X)
    teacher.fit(rows, Y)
    expected = taught(teacher, rows, soft_labels="out_of_bag").predict_proba(rows)
    teacher[0].func = overwrite
    student = taught(teacher, rows, soft_labels="out_of_bag")
    assert are_unchanged(rows, container)
    np.testing.assert_array_equal(student.predict_proba(rows), expected)


@pytest.mark.parametrize("container", ["array", "table", "csr"])
def test_steps_that_are_probed_for_thresholds_of_trees_may_write(container):
    settings = TAUGHT | {"numeric_encoding": "teacher_bins"}
    if container == "csr":
        settings["numeric_encoding"] = None
    rows = CONTAINERS[container](X)
    forest = RandomForestClassifier(5, random_state=0)
    teacher = make_pipeline(FunctionTransformer(kept), forest).fit(rows, Y)
    expected = DistilledClassifier(teacher, **settings).fit(rows, Y).predict_proba(rows)
    teacher[0].func = overwrite
    student = DistilledClassifier(teacher, **settings).fit(rows, Y)
    assert are_unchanged(rows, container)
    np.testing.assert_array_equal(student.predict_proba(rows), expected)


def test_a_scaler_in_place_is_probed_for_thresholds_beside_the_callers_table():
    table = CONTAINERS["table"](X)
    forest = RandomForestClassifier(5, random_state=0)
    teacher = make_pipeline(StandardScaler(copy=False), forest).fit(table.copy(), Y)
    settings = TAUGHT | {"numeric_encoding": "teacher_bins"}
    DistilledClassifier(teacher, **settings).fit(table, Y)
    assert are_unchanged(table, "table")


class Resampler:
    """An object that makes rows, and overwrites those it learns from."""

    def fit(self, X):
        self.rows = X.copy()
        overwrite(X)
        return self

    def sample(self, n_rows, random_state):
        return self.rows[random_state.randint(len(self.rows), size=n_rows)]


def overwriting_sampler(rows, n_rows, random_state):
    made = rows[random_state.randint(len(rows), size=n_rows)]
    overwrite(rows)
    return made


@pytest.mark.parametrize("augment", [overwriting_sampler, Resampler()])
def test_what_makes_synthetic_rows_may_write_to_those_it_learns_from(augment):
    rows, teacher = X.copy(), Threshold(False).fit(X, Y)
    settings = TAUGHT | {"augment": augment, "augment_size": 50}
    student = DistilledClassifier(teacher, **settings).fit(rows, Y)
    assert student.n_transfer_rows_ == 50
    assert (rows == X).all()


@pytest.mark.parametrize("place", PLACES)
def test_a_flag_that_is_cleared_or_a_shape_that_is_set_is_none_of_the_callers(place):
    rows = X.copy()
    assert rows.flags.writeable

    def spoil(X):
        before = X.copy()
        X.flags.writeable = False
        X.shape = (X.size,)
        return before

    spoiling = {"Threshold": Threshold, "Scores": Scores, "Columns": Columns}
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, for setting a shape
        for kind in spoiling.values():
            patched.setattr(kind, "seen", lambda self, X: spoil(X) if self.writes else X.copy())
        student = place(rows, writes=True)
        student.predict(rows)
    assert rows.flags.writeable
    assert rows.shape == X.shape


def test_a_flag_that_is_set_back_does_not_open_the_callers_rows():
    rows = X.copy()

    def teacher(X):
        X.flags.writeable = True
        X[...] = 0
        return ANSWER

    taught(teacher, rows)
    assert (rows == X).all()


def test_an_error_of_another_kind_is_raised_at_once():
    calls = []

    def teacher(X):
        calls.append(X)
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        taught(teacher, X)
    assert len(calls) == 1


def test_the_error_about_the_copy_is_the_one_that_is_raised():
    def teacher(X):
        if not X.flags.writeable:
            raise ValueError("buffer source array is read-only")
        raise KeyError("what is really wrong")

    with pytest.raises(KeyError, match="what is really wrong") as caught:
        taught(teacher, X)
    assert caught.value.__context__ is None


class Picky(Threshold):
    """Takes memory that can be written to only, as some compiled code does."""

    refused = 0

    def seen(self, rows):
        if not rows.flags.writeable:
            Picky.refused += 1
            raise ValueError("buffer source array is read-only")
        return rows

    def fit(self, X, y, sample_weight=None):
        self.rows_ = X
        return super().fit(X, y)


@pytest.mark.parametrize(
    ("settings", "most_refused"),
    [({}, 1), ({"fit_teacher": True}, 1), ({"soft_labels": "out_of_fold"}, 1)],
)
def test_who_takes_no_read_only_memory_gets_copies_at_once_after_the_first_time(
    settings, most_refused
):
    teacher = Picky(writes=False).fit(X, Y)
    Picky.refused = 0
    student = DistilledClassifier(teacher, **TAUGHT | settings)
    student.fit(X, Y, X_unlabeled=X)
    assert Picky.refused == most_refused
    expected = DistilledClassifier(Threshold(False).fit(X, Y), **TAUGHT | settings)
    expected.fit(X, Y, X_unlabeled=X)
    np.testing.assert_array_equal(student.predict_proba(X), expected.predict_proba(X))


class RefusesWhatItKeeps(Threshold):
    """Keeps its rows in fit, and notices only when it is asked that they are read-only."""

    def fit(self, X, y, sample_weight=None):
        self.rows_ = X
        return super().fit(X, y)

    def predict_proba(self, X):
        if not self.rows_.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super().predict_proba(X)


@pytest.mark.parametrize("settings", [{"fit_teacher": True}, {"soft_labels": "out_of_fold"}])
def test_who_keeps_read_only_rows_and_cannot_use_them_is_fitted_again(settings):
    teacher = RefusesWhatItKeeps(writes=False).fit(X.copy(), Y)
    student = DistilledClassifier(teacher, **TAUGHT | settings).fit(X, Y)
    expected = DistilledClassifier(Threshold(False).fit(X, Y), **TAUGHT | settings).fit(X, Y)
    np.testing.assert_array_equal(student.predict_proba(X), expected.predict_proba(X))


class Drawing(Threshold):
    """Draws from its random state before it finds that it cannot write."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    writes = False

    def fit(self, X, y, sample_weight=None):
        self.noise_ = self.random_state.uniform()
        X[0, 0] += 0.0
        return super().fit(X, y)


def test_a_second_fit_begins_with_the_random_state_of_the_first():
    student = DistilledClassifier(
        Drawing(np.random.RandomState(3)), fit_teacher=True, **TAUGHT
    ).fit(X, Y)
    assert student.teacher_.noise_ == np.random.RandomState(3).uniform()


@pytest.mark.parametrize("container", ["array", "table", "csr"])
def test_large_rows_are_not_copied_for_who_only_reads_them(container):
    rows = CONTAINERS[container](X)
    parts = []

    def teacher(seen):
        parts.append(seen.data if sparse.issparse(seen) else np.asarray(seen))
        return ANSWER

    taught(teacher, rows)
    (seen,) = parts
    assert np.shares_memory(seen, rows.data if sparse.issparse(rows) else np.asarray(rows))


@pytest.mark.parametrize("container", ["array", "table", "csr", "list"])
def test_a_sampler_of_ones_own_may_write_to_the_rows_of_all_its_batches(container):
    def overwriting(rows, n_rows, random_state):
        return overwrite(rows)[:n_rows]

    rows = CONTAINERS[container](X)
    sampler = resolve_augment(overwriting).fit(rows)
    for made in sampler.batches(20, random_state=0, batch_rows=10):
        np.testing.assert_array_equal(made, X[:10])
    assert are_unchanged(rows, container)


class Keeper:
    """Keeps its rows, and changes them when it makes others."""

    def fit(self, X):
        self.rows = X
        return self

    def sample(self, n_rows, random_state):
        self.rows += 1.0
        return self.rows[:n_rows]


def test_a_sampler_that_changes_the_rows_that_it_keeps_changes_its_own():
    rows = X.copy()
    sampler = resolve_augment(Keeper()).fit(rows)
    for increment, made in enumerate(sampler.batches(20, batch_rows=10), start=1):
        np.testing.assert_allclose(made, X[:10] + increment)
    assert (rows == X).all()


class KeepingColumns(Columns):
    """Keeps its rows in fit, and notices in transform that they are read-only."""

    def fit(self, X, y=None, sample_weight=None):
        self.rows_ = X
        return super().fit(X)

    def transform(self, X):
        if not self.rows_.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super().transform(X)


def test_a_transformer_that_cannot_use_the_read_only_rows_it_keeps_is_fitted_again():
    rows = X.copy()
    student = NeuralClassifier(preprocessor=KeepingColumns(False), **TINY).fit(rows, Y)
    expected = NeuralClassifier(preprocessor=Columns(False), **TINY).fit(rows, Y)
    np.testing.assert_array_equal(student.predict_proba(rows), expected.predict_proba(rows))


def test_a_preprocessor_that_writes_leaves_rows_alone_after_a_pickle_too():
    student = NeuralClassifier(preprocessor=Columns(), **TINY).fit(X.copy(), Y)
    rows = X.copy()
    again = pickle.loads(pickle.dumps(student))
    np.testing.assert_array_equal(again.predict_proba(rows), student.predict_proba(rows))
    assert (rows == X).all()
