"""Rows that only a teacher labels: X_unlabeled and synthetic ones, in every container."""

import gc
import pickle
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import skkd.distillation
import skkd.selection.plan
import skkd.teachers.predict_proba
import skkd.transfer.transfer_set
from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.dataset import Dataset
from skkd.data.tables import read_table
from skkd.data.validation import RowReader
from skkd.estimators.fit_input import draw_seeds
from skkd.inference.calibration import calibration_temperature
from skkd.losses import TEACHER_LOSSES
from skkd.preprocessing.preprocessor import fit_preprocessor
from skkd.selection.successive_halving import choose
from skkd.supervision import Candidate
from skkd.teachers import cache as teacher_cache
from skkd.teachers.out_of_bag import out_of_bag
from skkd.teachers.out_of_fold import out_of_fold
from skkd.teachers.soft_labels import align
from skkd.transfer import Gibbs, Munge, Spunge, resolve_augment
from skkd.transfer.transfer_set import BATCH_ROWS, TransferSet, auto_size

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 3, "random_state": 0}
#: Options with which there is always a transfer set, of few rows.
TAUGHT = QUICK | {"alpha": 0.5, "augment": "munge", "augment_size": 90}

no_mismatch_warning = pytest.mark.filterwarnings("ignore::skkd.teachers.TeacherMismatchWarning")


def truth(X):
    p = 1 / (1 + np.exp(-4 * X[:, 0] * X[:, 1]))
    return np.column_stack([1 - p, p])


class Knows:
    """A teacher that knows the true probabilities."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        return truth(np.asarray(X))


class Counts(Knows):
    """It keeps the number of rows of each call."""

    def __init__(self):
        self.asked = []

    def predict_proba(self, X):
        self.asked.append(len(X))
        return super().predict_proba(X)


class Records:
    """A sampler that gives the rows it was fitted to, and keeps them in its class."""

    seen: ClassVar[list] = []

    def fit(self, X):
        self.X = np.array(X)
        self.seen.append(self.X)
        return self

    def sample(self, n_rows, random_state):
        return self.X[np.random.RandomState(0).randint(len(self.X), size=n_rows)]


def halves(X, n_rows, random_state):
    """A callable that makes rows."""
    return np.asarray(X)[random_state.randint(len(X), size=n_rows)] / 2


@pytest.fixture(autouse=True)
def nothing_remembered():
    teacher_cache.forget()


def table(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3))
    return X, (rng.random(n_rows) < truth(X)[:, 1]).astype(int)


X, y = table()


def mixed(n_rows=240, seed=0):
    """A table like Adult: numbers, integers, categories, both with gaps; and its labels."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n_rows),
            "hours": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(40, 10, n_rows)),
            "work": np.array(["private", "state", None], dtype=object)[rng.integers(0, 3, n_rows)],
            "sex": pd.Categorical(np.array(["f", "m"])[rng.integers(0, 2, n_rows)]),
            "native": rng.random(n_rows) < 0.8,
        }
    )
    rich = frame["age"] / 60 + (frame["work"] == "state") + rng.normal(0, 0.3, n_rows) > 1.2
    return frame, np.where(rich, ">50K", "<=50K")


def teacher_of_tables(frame, labels):
    one_hot = OneHotEncoder(handle_unknown="ignore")
    view = make_column_transformer((one_hot, ["work", "sex", "native"]), remainder="passthrough")
    forest = RandomForestClassifier(10, min_samples_leaf=5, random_state=0)
    return make_pipeline(view, forest).fit(frame, labels)


class OfTables:
    """A teacher of the table in any container."""

    classes_ = np.array(["<=50K", ">50K"])

    def predict_proba(self, X):
        frame = X if isinstance(X, pd.DataFrame) else X.to_pandas()
        assert list(frame.columns) == ["age", "hours", "work", "sex", "native"]
        p = np.clip(np.asarray(frame["age"], dtype=float) / 120, 0.01, 0.99)
        return np.column_stack([1 - p, p])


# ---- the transfer set alone --------------------------------------------------------------


def labelled(index=range(300)):
    index = np.asarray(index)
    targets = {"labels": np.zeros(len(index), dtype=int), "weights": np.ones(len(index))}
    return Dataset(X[index], targets, index=index)


@dataclass
class Labels:
    """A function of rows as the teacher of a transfer set."""

    ask: Callable

    def soft_labels(self, rows, are_made):
        return self.ask(rows)

    def series_of_calls(self):
        return nullcontext()


def transfer_set(ask=truth, class_weights=(1.0, 1.0), **settings):
    return TransferSet(
        X,
        Labels(ask),
        lambda rows: rows,
        lambda p: np.log(p + 1e-7),
        np.asarray(class_weights),
        **settings,
    )


@pytest.mark.parametrize(
    ("n_rows", "size"), [(1, 10), (1000, 10_000), (10_000, 100_000), (60_000, 100_000)]
)
def test_ten_synthetic_rows_for_each_row_are_enough_and_no_fewer_than_there_are(n_rows, size):
    assert auto_size(n_rows) == size
    assert auto_size(10**6) == 10**6


def test_collected_rows_are_labelled_by_the_teacher_and_shuffled():
    dataset = transfer_set(X_unlabeled=X[:50]).rows_beside(labelled())
    assert len(dataset) == 50
    order = [np.flatnonzero((X[:50] == row).all(axis=1))[0] for row in dataset.rows]
    assert sorted(order) == list(range(50)) != order
    soft_labels = truth(X[order])
    np.testing.assert_array_equal(dataset.targets["labels"], soft_labels.argmax(axis=1))
    np.testing.assert_allclose(dataset.targets["teacher_logits"], np.log(soft_labels + 1e-7))
    np.testing.assert_array_equal(dataset.targets["alpha"], np.ones(50))
    np.testing.assert_allclose(dataset.targets["weights"], np.ones(50))


def test_collected_and_synthetic_rows_come_together():
    made = transfer_set(X_unlabeled=X[:50], sampler=Munge(), size=120)
    dataset = Candidate("transfer set", None, transfer_set=made).dataset(labelled())
    assert len(made.rows_beside(labelled())) == dataset.n_transfer_rows == 170


def test_synthetic_rows_resemble_those_they_are_made_beside_whatever_was_made_before():
    made = transfer_set(sampler=resolve_augment(Records()), size=20)
    for n_rows in (40, 300, 40):
        made.rows_beside(labelled(range(n_rows)))
        np.testing.assert_array_equal(Records.seen[-1], X[:n_rows])


def test_the_seed_decides():
    one, two, other = (
        transfer_set(sampler=Munge(), size=50, seed=seed).rows_beside(labelled()).rows
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_weight_of_a_row_is_the_mean_class_weight_by_its_soft_label():
    soft_labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    made = transfer_set(lambda rows: soft_labels, [1.0, 3.0], X_unlabeled=np.eye(3))
    dataset = made.rows_beside(labelled())
    by_row = dict(zip(dataset.rows.argmax(axis=1), dataset.targets["weights"], strict=True))
    assert by_row == pytest.approx({0: 0.5, 1: 1.5, 2: 1.0})  # their mean is 1


def test_rows_without_an_answer_of_the_teacher_have_no_weight():
    soft_labels = np.array([[0.0, 0.0], [0.2, 0.8], [0.0, 0.0]])
    made = transfer_set(lambda rows: soft_labels, X_unlabeled=np.eye(3))
    dataset = made.rows_beside(labelled())
    by_row = dict(zip(dataset.rows.argmax(axis=1), dataset.targets["weights"], strict=True))
    assert by_row == pytest.approx({0: 0.0, 1: 1.0, 2: 0.0})
    assert np.isfinite(dataset.targets["teacher_logits"]).all()
    silent = transfer_set(lambda rows: np.zeros((3, 2)), X_unlabeled=np.eye(3)).rows_beside(
        labelled()
    )
    np.testing.assert_array_equal(silent.targets["weights"], np.zeros(3))


def test_the_time_limit_ends_it_after_one_batch_at_the_earliest(monkeypatch):
    monkeypatch.setattr("skkd.transfer.transfer_set.CLOCKED_ROWS", 40)
    now = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))  # each batch takes a second
    for seconds, n_rows in [(1e-9, 40), (0.5, 40), (1.0, 80), (2.5, 120), (50.0, 200)]:
        made = transfer_set(sampler=Munge(), size=200, seconds=seconds)
        assert len(made.rows_beside(labelled())) == n_rows, seconds


def test_rows_are_made_in_batches_whose_number_changes_nothing(monkeypatch):
    whole = transfer_set(sampler=Munge(), size=200).rows_beside(labelled())
    monkeypatch.setattr("skkd.transfer.transfer_set.BATCH_ROWS", 33)
    parts = transfer_set(sampler=Munge(), size=200).rows_beside(labelled())
    assert BATCH_ROWS == 10_000
    np.testing.assert_array_equal(np.sort(whole.rows[:, 0]), np.sort(parts.rows[:, 0]))


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "bsr", "lil", "dok"])
def test_synthetic_rows_of_every_sparse_format(kind):
    X = sparse.random_array((60, 5), density=0.4, rng=0, format=kind)
    y = np.arange(60) % 2
    asked = []

    def teacher(rows):
        asked.append((rows.shape[0], sparse.issparse(rows)))
        return np.full((rows.shape[0], 2), 0.5)

    with pytest.warns(UserWarning, match="no more than chance"):
        student = DistilledClassifier(teacher, **TAUGHT).fit(X, y, X_unlabeled=X.tocsr()[:7])
    assert student.n_transfer_rows_ == 97
    assert sorted(asked) == [(7, True), (60, True), (90, True)]


# ---- rows of one kind below those of another ---------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(work=None),
        lambda frame: frame.assign(work=None, sex=None, native=None),
        lambda frame: frame.assign(work="unheard of"),
        lambda frame: frame.assign(hours=1),
        lambda frame: frame.assign(sex=frame["sex"].astype(object).astype(str)),
        lambda frame: frame.astype({"age": object, "native": object}),
    ],
    ids=["no work", "no category", "unknown", "integers", "strings", "objects"],
)
def test_joined_rows_are_preprocessed_like_both_parts(change):
    above, _ = mixed(30)
    below = change(mixed(20, seed=1)[0])
    reader = RowReader(
        "NeuralClassifier", preprocessor="auto", dtype="float32", categorical=["sex"]
    )
    rows = [reader(above), reader(below)]
    view = fit_preprocessor("auto", rows[0], None)
    targets = [{"labels": np.zeros(n, dtype=int)} for n in (30, 20)]
    joined = Dataset(rows[0], targets[0]).followed_by(Dataset(rows[1], targets[1]))
    assert joined.n_labelled == 30
    np.testing.assert_array_equal(
        view.transform(joined.rows), np.concatenate([view.transform(part) for part in rows])
    )


def test_words_in_a_column_of_numbers_are_refused_with_its_name():
    frame, labels = mixed()
    student = DistilledClassifier(OfTables(), augment=None, **QUICK)
    with pytest.raises(ValueError, match="column 'hours' held numbers in fit and holds others"):
        student.fit(frame, labels, X_unlabeled=frame.assign(hours="many"))
    assert not hasattr(student, "network_")


def test_tables_that_are_read_alike_join():
    above = read_table(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}))
    targets = {"labels": np.zeros(2, dtype=int)}
    joined = Dataset(above, targets).followed_by(Dataset(above, targets)).rows
    assert joined.names == ["a", "b"]
    np.testing.assert_array_equal(joined.columns[0], [1.0, 2.0, 1.0, 2.0])
    assert joined.columns[1].tolist() == ["x", "y", "x", "y"]


# ---- in a fit ----------------------------------------------------------------------------


def test_rows_without_labels_teach_what_the_labelled_ones_cannot():
    X_test, _ = table(1000, seed=1)
    few, more = slice(0, 20), slice(20, 300)
    settings = QUICK | {"hidden_layer_sizes": (100,), "max_epochs": 30, "augment": None}
    settings |= {"alpha": 1.0, "batch_size": 8}
    without = DistilledClassifier(Knows(), **settings).fit(X[few], y[few])
    given = DistilledClassifier(Knows(), **settings)
    given.fit(X[few], y[few], X_unlabeled=X[more])
    assert given.n_transfer_rows_ == 280
    assert without.n_transfer_rows_ == 0
    distances = [
        np.abs(clf.predict_proba(X_test) - truth(X_test)).mean() for clf in (given, without)
    ]
    assert distances[0] < 0.7 * distances[1]


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: (rows,)], ids=["as is", "tuple"])
def test_a_table_with_words_and_gaps(wrap):
    frame, labels = mixed()
    more, _ = mixed(50, seed=1)
    student = DistilledClassifier(
        teacher_of_tables(frame, labels), alpha=0.5, augment="munge", augment_size=60, **QUICK
    )
    student.fit(frame, labels, X_unlabeled=wrap(more))
    assert student.n_transfer_rows_ == 110
    assert student.predict_proba(more).shape == (50, 2)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries(library):
    package = pytest.importorskip(library)
    frame, labels = mixed()
    frame["sex"] = frame["sex"].astype(object).astype(str)
    read = package.from_pandas if library == "polars" else package.Table.from_pandas
    of_pandas, of_other = (
        DistilledClassifier(OfTables(), alpha=1, augment="munge", augment_size=50, **QUICK).fit(
            container(frame), labels, X_unlabeled=container(frame.iloc[:30])
        )
        for container in (lambda table: table, read)
    )
    assert of_pandas.n_transfer_rows_ == of_other.n_transfer_rows_ == 80
    np.testing.assert_allclose(
        of_pandas.predict_proba(frame), of_other.predict_proba(read(frame)), atol=1e-5
    )


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_behind_a_custom_transformer(library):
    package = pytest.importorskip(library)
    (frame, labels), (more, _) = mixed(), mixed(50, seed=1)
    frame.index = np.arange(len(frame))[::-1] * 3
    frame, more = (
        part.assign(sex=part["sex"].astype(object).astype(str)) for part in (frame, more)
    )
    if library == "polars":
        frame, more = package.from_pandas(frame), package.from_pandas(more)
    one_hot = OneHotEncoder(handle_unknown="ignore")
    view = make_column_transformer((one_hot, ["work", "sex"]), (StandardScaler(), ["age"]))
    student = DistilledClassifier(OfTables(), preprocessor=view, **TAUGHT)
    student.fit(frame, labels, X_unlabeled=more)
    assert student.n_transfer_rows_ == 140
    assert student.predict(more).shape == (50,)


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def as_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame, preserve_index=False)


FRAMES = {"pandas": lambda frame: frame, "polars": as_polars, "pyarrow": as_arrow}
CONTAINERS = FRAMES | {
    "array": lambda frame: frame.to_numpy(dtype=object),
    "list": lambda frame: frame.to_numpy(dtype=object).tolist(),
}

no_names_warning = pytest.mark.filterwarnings("ignore:.* names its columns:UserWarning")


@no_names_warning
@pytest.mark.parametrize("preprocessor", ["auto", "a transformer"])
@pytest.mark.parametrize("convert", CONTAINERS.values(), ids=CONTAINERS)
def test_rows_without_labels_in_another_container_than_a_frame(convert, preprocessor):
    (frame, labels), (more, _) = mixed(), mixed(50, seed=1)
    teacher = teacher_of_tables(frame, labels)
    if preprocessor != "auto":
        one_hot = OneHotEncoder(handle_unknown="ignore")
        preprocessor = make_column_transformer(
            (one_hot, ["work", "sex"]), (StandardScaler(), ["age"])
        )
    settings = QUICK | {"alpha": 0.5, "augment": None, "preprocessor": preprocessor}
    one, other = (
        DistilledClassifier(teacher, **settings).fit(frame, labels, X_unlabeled=rows)
        for rows in (more, convert(more))
    )
    assert other.n_transfer_rows_ == 50
    np.testing.assert_allclose(one.predict_proba(more), other.predict_proba(more))


@no_names_warning
@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("kind", ["array", "list"])
def test_rows_without_labels_in_a_frame_below_an_array(kind, library):
    teacher = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    frame = pd.DataFrame(X[:40], columns=list("abc"))
    above = X if kind == "array" else X.tolist()
    settings = QUICK | {"alpha": 0.5, "augment": None}
    one, other = (
        DistilledClassifier(teacher, **settings).fit(above, y, X_unlabeled=rows)
        for rows in (X[:40], FRAMES[library](frame))
    )
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_transformer_keeps_categories_that_labelled_rows_do_not_have():
    frame, labels = mixed()
    more = mixed(50, seed=1)[0].assign(sex=pd.Categorical(["f", "other"] * 25))
    seen = []

    def codes(rows):
        seen.append(rows["sex"].dtype)
        return np.column_stack([rows["sex"].cat.codes, rows["age"]])

    student = DistilledClassifier(OfTables(), preprocessor=FunctionTransformer(codes), **TAUGHT)
    student.fit(frame, labels, X_unlabeled=more)
    assert pd.CategoricalDtype(["f", "m", "other"]) in seen


def test_a_function_may_make_arrays_of_a_frame():
    frame, labels = mixed()

    def as_arrays(X, n_rows, random_state):
        return X.to_numpy(dtype=object)[random_state.randint(len(X), size=n_rows)]

    teacher = teacher_of_tables(frame, labels)
    student = DistilledClassifier(teacher, **TAUGHT | {"augment": as_arrays}).fit(frame, labels)
    assert student.n_transfer_rows_ == 90


@pytest.mark.parametrize("library", FRAMES)
def test_other_names_are_refused_from_any_library(library):
    frame, labels = mixed()
    renamed = frame.rename(columns={"age": "years"})
    student = DistilledClassifier(OfTables(), augment=None, **QUICK)
    with pytest.raises(ValueError, match="feature names should match") as caught:
        student.fit(frame, labels, X_unlabeled=FRAMES[library](renamed))
    assert "years" in str(caught.value)
    assert "Raised about the rows of X_unlabeled." in caught.value.__notes__


@no_mismatch_warning
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 3, 1)], ids=str)
def test_rows_of_more_dimensions(shape):
    def module(n_classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, n_classes))

    images = X.reshape(-1, *shape)
    settings = TAUGHT | {"augment": halves, "module": module, "learning_rate": 0.01}
    student = DistilledClassifier(lambda rows: truth(rows.reshape(-1, 3)), **settings)
    student.fit(images, y, X_unlabeled=images[:20])
    assert student.n_transfer_rows_ == 110
    assert student.predict_proba(images).shape == (300, 2)


KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "int8": lambda X: np.clip(X * 20, -127, 127).astype(np.int8),
    "bool": lambda X: X > 0,
    "a column twice": lambda X: X[:, [0, 0]],
    "a column missing": lambda X: np.where(np.arange(3) == 2, np.nan, X),
    "rows missing": lambda X: np.where(np.arange(len(X))[:, None] % 4 == 0, np.nan, X),
    "one column": lambda X: X[:, :1],
    "two rows": lambda X: X[:2],
    "a row twice": lambda X: X[[0, 0, 1]],
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("augment", ["munge", "spunge"])
@no_mismatch_warning
def test_arrays_of_every_kind(change, augment):
    rows = change(X)
    labels = (np.arange(len(rows)) % 2).astype(str)

    def teacher(asked):
        assert asked.dtype == rows.dtype
        p = np.clip(np.nan_to_num(np.asarray(asked, dtype=float)[:, 0]) / 4 + 0.5, 0.1, 0.9)
        return np.column_stack([1 - p, p])

    student = DistilledClassifier(teacher, **TAUGHT | {"augment": augment}).fit(rows, labels)
    assert student.n_transfer_rows_ == 90
    assert np.isfinite(student.predict_proba(rows)).all()


def test_lists_of_numbers_beside_words():
    frame, labels = mixed()
    rows = frame[["age", "work"]].to_numpy(dtype=object).tolist()

    def teacher(rows):
        p = np.array([float(row[0]) / 120 for row in rows])
        return np.column_stack([1 - p, p])

    student = DistilledClassifier(teacher, **TAUGHT).fit(rows, labels, X_unlabeled=rows[:5])
    assert student.n_transfer_rows_ == 95


def test_synthetic_rows_by_default_where_there_is_a_table_and_a_teacher():
    student = DistilledClassifier(Knows(), **QUICK).fit(X, y)
    assert "transfer set" in student.candidate_losses_
    for other in (sparse.csr_array(X), sparse.csr_matrix(X)):
        student = DistilledClassifier(lambda rows: truth(rows.toarray()), **QUICK).fit(other, y)
        assert set(student.candidate_losses_) == {"labels", "teacher"}
        assert student.n_transfer_rows_ == 0


def test_a_pass_is_of_as_many_steps_with_a_transfer_set_as_without():
    for n_rows, batch_size in [(40, 8), (41, 8), (33, 32), (50, 49), (64, 64), (65, 64), (30, 7)]:
        settings = QUICK | {"alpha": 0.5, "batch_size": batch_size}
        for n_unlabeled in (1, 3, 13, 200):
            steps = {
                DistilledClassifier(Knows(), augment=None, **settings)
                .fit(X[:n_rows], y[:n_rows], X_unlabeled=X_unlabeled)
                .n_steps_
                for X_unlabeled in (None, X[:n_unlabeled])
            }
            assert len(steps) == 1, (n_rows, batch_size, n_unlabeled)


@pytest.mark.parametrize(
    ("settings", "n_seen"),
    [
        ({"alpha": "auto"}, [270] * 3),
        ({"alpha": 1.0, "max_epochs": "auto", "lr_decay": "coslog"}, [270] * 3),
        ({"alpha": 1.0, "early_stopping": True}, [270]),
        ({"alpha": 0.3, "early_stopping": True, "validation_fraction": 0.5}, [150]),
        ({"alpha": 1.0}, [300]),
    ],
    ids=str,
)
def test_held_out_rows_never_shape_synthetic_ones(settings, n_seen, monkeypatch):
    watched = []

    def recorded(choices, folds, is_seen, n_jobs):
        watched.extend(fold.held_out.index for fold in folds)
        return choose(choices, folds, is_seen, n_jobs)

    monkeypatch.setattr(skkd.selection.plan, "choose", recorded)
    Records.seen = []
    settings = QUICK | {"augment": Records(), "augment_size": 50} | settings
    DistilledClassifier(Knows(), **settings).fit(X, y)
    assert [len(rows) for rows in Records.seen] == n_seen
    for index, rows in zip(watched, Records.seen, strict=False):
        assert not set(map(tuple, rows)) & set(map(tuple, X[index]))


def test_rows_are_made_once_for_all_trainings_of_a_fold_and_for_the_last_fit():
    Records.seen = []
    settings = QUICK | {"augment": Records(), "augment_size": 50, "alpha": 1.0}
    settings |= {"max_epochs": "auto", "lr_decay": "coslog", "numeric_encoding": "auto"}
    DistilledClassifier(Knows(), **settings).fit(X, y)
    assert [len(rows) for rows in Records.seen] == [270] * 3


def test_rows_of_weight_0_never_shape_synthetic_ones_and_x_val_holds_no_rows_out():
    weights = np.arange(len(X)) % 3 > 0
    settings = QUICK | {"alpha": 1.0, "augment": Records(), "augment_size": 50}
    DistilledClassifier(Knows(), **settings).fit(X, y, sample_weight=weights)
    assert set(map(tuple, Records.seen[-1])) == set(map(tuple, X[weights]))
    settings["early_stopping"] = True
    DistilledClassifier(Knows(), **settings).fit(X, y, X_val=X[:20], y_val=y[:20])
    assert set(map(tuple, Records.seen[-1])) == set(map(tuple, X))


def test_class_weights_weigh_transfer_rows_too():
    student = DistilledClassifier(Knows(), **TAUGHT | {"alpha": 1.0, "augment_size": 300})
    means = [student.fit(X, y).predict_proba(X)[:, 1].mean()]
    student.fit(X, y, sample_weight=np.where(y == 1, 20, 1))  # of labelled rows alone
    means.append(student.predict_proba(X)[:, 1].mean())
    student.set_params(class_weight={0: 1, 1: 20}).fit(X, y)
    means.append(student.predict_proba(X)[:, 1].mean())
    assert np.all(np.diff(means) > 0.05), means


def test_the_scale_of_weights_does_not_matter_beside_a_transfer_set():
    students = [
        DistilledClassifier(Knows(), dtype="float64", **TAUGHT).fit(X, y, sample_weight=weight)
        for weight in (None, np.full(len(X), 1e6))
    ]
    np.testing.assert_allclose(*(student.predict_proba(X) for student in students), atol=1e-9)


def test_in_a_grid_over_settings_of_the_student_a_transfer_set_is_asked_about_once():
    teacher = Counts()
    grid = {"learning_rate": [0.01, 0.02], "temperature": [1, 2], "alpha": [0.5, 1.0]}
    student = DistilledClassifier(teacher, **TAUGHT)
    GridSearchCV(student, grid, cv=3, error_score="raise").fit(X, y)
    assert sorted(teacher.asked) == [90] * 4 + [200] * 3 + [300]
    GridSearchCV(clone(student), {"learning_rate": [0.03]}, cv=3).fit(X, y)
    assert len(teacher.asked) == 8


def test_without_an_integer_seed_each_fit_makes_a_new_transfer_set():
    teacher = Counts()
    student = DistilledClassifier(teacher, **TAUGHT | {"random_state": None})
    student.fit(X, y).fit(X, y)
    assert teacher.asked.count(90) == 2


@pytest.fixture
def asked(monkeypatch):
    """The number of rows of each call, counted outside of the teacher, which stays unchanged."""
    sizes, ask = [], skkd.teachers.predict_proba.ask

    def counted(teacher, rows, **settings):
        sizes.append(len(rows))
        return ask(teacher, rows, **settings)

    monkeypatch.setattr("skkd.teachers.predict_proba.ask", counted)
    return sizes


def test_rows_without_labels_are_asked_about_once_whatever_the_seed(asked):
    student = DistilledClassifier(Knows(), **TAUGHT | {"random_state": None})
    student.fit(X, y, X_unlabeled=X[:50]).fit(X, y, X_unlabeled=X[:50])
    student.set_params(random_state=0, augment_seconds=1000)
    student.fit(X, y, X_unlabeled=X[:50].tolist())
    assert asked == [300, 50, 90, 90, 90]


def test_no_answers_are_kept_with_a_time_limit_on_synthetic_rows(asked, monkeypatch):
    monkeypatch.setattr("skkd.transfer.transfer_set.CLOCKED_ROWS", 30)
    student = DistilledClassifier(Knows(), augment_seconds=1000, **TAUGHT)
    student.fit(X, y).fit(X, y)
    assert asked == [300, 30, 30, 30, 30, 30, 30]


def test_a_transfer_set_is_asked_about_in_batches():
    teacher = Counts()
    DistilledClassifier(teacher, teacher_batch_size=40, **TAUGHT).fit(X, y)
    assert sorted(teacher.asked) == sorted([40] * 7 + [20] + [40, 40, 10])


def test_a_search_passes_rows_without_labels_on():
    search = GridSearchCV(
        DistilledClassifier(Knows(), **QUICK, augment=None),
        {"alpha": [0.5, 1.0]},
        cv=2,
        error_score="raise",
    ).fit(X, y, X_unlabeled=(X,))  # as many rows as X: unwrapped they would be sliced
    assert search.best_estimator_.n_transfer_rows_ == len(X)


def test_routing_passes_rows_without_labels_through_a_pipeline():
    with config_context(enable_metadata_routing=True):
        student = DistilledClassifier(Knows(), alpha=0.5, augment=None, **QUICK)
        student.set_fit_request(X_unlabeled=True)
        pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), student)
        pipeline.fit(X, y, X_unlabeled=X[:33])
    assert pipeline[-1].n_transfer_rows_ == 33


def test_several_teachers_mix_their_answers_about_transfer_rows():
    class Mixture(Knows):
        def predict_proba(self, X):
            return (truth(X) + 3 * 0.5) / 4

    class Undecided(Knows):
        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    students = [
        DistilledClassifier(teacher, dtype="float64", **TAUGHT).fit(X, y, X_unlabeled=X[:9])
        for teacher in ([(Knows(), 1.0), (Undecided(), 3.0)], Mixture())
    ]
    np.testing.assert_allclose(*(student.predict_proba(X) for student in students), rtol=1e-9)


class OfThree(Knows):
    classes_ = np.array([0, 1, 2])

    def predict_proba(self, X):
        return np.column_stack([truth(X) * 0.9, np.full(len(X), 0.1)])


def test_classes_that_only_the_teacher_knows():
    settings = TAUGHT | {"dtype": "float64"}
    plain = DistilledClassifier(Knows(), **settings).fit(X, y)
    shared = DistilledClassifier(OfThree(), on_class_mismatch="intersect", **settings).fit(X, y)
    np.testing.assert_allclose(plain.predict_proba(X), shared.predict_proba(X), rtol=1e-9)
    of_teacher = DistilledClassifier(OfThree(), on_class_mismatch="teacher", **settings).fit(X, y)
    assert list(of_teacher.classes_) == [0, 1, 2]
    with pytest.raises(ValueError, match="on_class_mismatch"):
        DistilledClassifier(OfThree(), **settings).fit(X, y)


def test_a_teacher_that_is_fitted_in_fit_labels_transfer_rows_too():
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    fitted_here = DistilledClassifier(tree, fit_teacher=True, **TAUGHT).fit(X, y)
    frozen = DistilledClassifier(clone(tree).fit(X, y), **TAUGHT).fit(X, y)
    assert fitted_here.n_transfer_rows_ == 90
    np.testing.assert_array_equal(fitted_here.predict_proba(X), frozen.predict_proba(X))


@pytest.mark.slow
@no_mismatch_warning
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("augment", ["auto", "munge"])
def test_labels_that_are_noise_score_by_chance_with_a_teacher_fitted_on_each_fold(augment):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((600, 5)), rng.integers(0, 2, 600)
    student = DistilledClassifier(
        RandomForestClassifier(20, random_state=0),
        fit_teacher=True,
        augment=augment,
        hidden_layer_sizes=(150,),
        batch_size=128,
        random_state=0,
    )
    assert cross_val_score(student, X, y, cv=4).mean() == pytest.approx(0.5, abs=0.06)


# ---- samplers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "augment",
    [
        "munge",
        "spunge",
        "gibbs",
        Munge(p=0.8),
        Spunge(noise=1.0),
        Gibbs(n_rounds=1),
        halves,
        Records(),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)[:12]),
)
def test_every_way_to_make_rows(augment):
    before = dict(vars(augment)) if hasattr(augment, "__dict__") else {}
    student = DistilledClassifier(Knows(), **TAUGHT | {"augment": augment}).fit(X, y)
    assert student.n_transfer_rows_ == 90
    assert student.augment is augment
    assert dict(vars(augment)) == before if before else True
    again = clone(student).fit(X, y)
    np.testing.assert_array_equal(student.predict_proba(X), again.predict_proba(X))


def test_ways_to_make_rows_differ():
    answers = [
        DistilledClassifier(Knows(), **TAUGHT | {"augment": augment}).fit(X, y).predict_proba(X)
        for augment in (None, "munge", Munge(p=0.9), "spunge", "gibbs", halves)
    ]
    for k, one in enumerate(answers):
        for other in answers[:k]:
            assert abs(one - other).max() > 1e-6


def test_parameters_of_a_sampler_are_parameters_of_the_student():
    student = DistilledClassifier(Knows(), **TAUGHT | {"augment": Munge(p=0.3)})
    assert student.get_params()["augment__p"] == 0.3
    assert clone(student.set_params(augment__p=0.6)).augment.p == 0.6
    grid = {"augment__p": [0.1, 0.9]}
    search = GridSearchCV(student, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["augment__p"] in (0.1, 0.9)
    grid = {"augment": [None, "munge", Spunge(noise=1.0)]}
    GridSearchCV(student, grid, cv=2, error_score="raise").fit(X, y)


@pytest.mark.parametrize("augment", ["auto", "munge"])
def test_parameters_of_a_sampler_need_the_sampler(augment):
    message = f"augment__p=0.5 is not allowed: give augment as an object .* not '{augment}'"
    with pytest.raises(ValueError, match=message):
        DistilledClassifier(Knows(), augment=augment).set_params(augment__p=0.5)


# ---- soft labels -------------------------------------------------------------------------


def test_out_of_bag_labels_equal_those_given_as_teacher_proba():
    forest = RandomForestClassifier(40, random_state=0).fit(X, y)
    settings = QUICK | {"alpha": 0.7, "augment": None}
    student = DistilledClassifier(forest, soft_labels="out_of_bag", **settings).fit(X, y)
    by_hand = DistilledClassifier(**settings)
    by_hand.fit(X, y, teacher_proba=out_of_bag(forest, X, y)[0])
    np.testing.assert_array_equal(student.predict_proba(X), by_hand.predict_proba(X))
    in_sample = DistilledClassifier(forest, **settings).fit(X, y)
    assert student.teacher_balanced_accuracy_ < in_sample.teacher_balanced_accuracy_
    assert student.teacher_ is forest


@pytest.mark.parametrize("fit_teacher", [False, True])
def test_out_of_fold_labels_equal_those_given_as_teacher_proba(fit_teacher):
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    settings = QUICK | {"alpha": 0.7, "augment": None}
    student = DistilledClassifier(
        tree, soft_labels="out_of_fold", fit_teacher=fit_teacher, **settings
    ).fit(X, y)
    seed = draw_seeds(student)[2]
    seed = np.random.RandomState(seed).randint(2**31 - 1, size=1)[0]
    proba, classes = out_of_fold(tree, X, y, seed=int(seed))
    assert list(classes) == [0, 1]
    by_hand = DistilledClassifier(**settings).fit(X, y, teacher_proba=proba)
    np.testing.assert_array_equal(student.predict_proba(X), by_hand.predict_proba(X))


def test_out_of_sample_labels_of_several_teachers_are_mixed():
    forests = [RandomForestClassifier(40, random_state=k).fit(X, y) for k in (0, 1)]
    settings = QUICK | {"alpha": 0.7, "augment": None, "dtype": "float64"}
    student = DistilledClassifier(
        [(forests[0], 1.0), (forests[1], 3.0)], soft_labels="out_of_bag", **settings
    ).fit(X, y)
    one, three = (out_of_bag(forest, X, y)[0] for forest in forests)
    by_hand = DistilledClassifier(**settings).fit(X, y, teacher_proba=(one + 3 * three) / 4)
    np.testing.assert_allclose(student.predict_proba(X), by_hand.predict_proba(X), rtol=1e-9)


@no_mismatch_warning
def test_a_calibrated_teacher_has_probabilities_that_fit_the_labels():
    p = truth(X)
    sure = p**5 / (p**5).sum(axis=1, keepdims=True)
    settings = QUICK | {"alpha": 1.0, "augment": None, "dtype": "float64"}
    student = DistilledClassifier(calibrate_teacher=True, **settings)
    student.fit(X, y, teacher_proba=sure)
    tau = calibration_temperature(sure, y)
    assert student.teacher_temperature_ == pytest.approx(tau)
    assert tau > 2
    mild = np.maximum(sure, 1e-7) ** (1 / tau)
    by_hand = DistilledClassifier(**settings)
    by_hand.fit(X, y, teacher_proba=mild / mild.sum(axis=1, keepdims=True))
    assert by_hand.teacher_temperature_ == 1.0
    np.testing.assert_allclose(student.predict_proba(X), by_hand.predict_proba(X), rtol=1e-6)


def test_transfer_rows_are_calibrated_as_the_others():
    forest = RandomForestClassifier(40, random_state=0).fit(X, y)
    settings = TAUGHT | {"alpha": 1.0, "soft_labels": "out_of_bag"}
    plain = DistilledClassifier(forest, **settings).fit(X, y)
    calibrated = DistilledClassifier(forest, calibrate_teacher=True, **settings).fit(X, y)
    assert calibrated.teacher_temperature_ != 1.0
    assert abs(plain.predict_proba(X) - calibrated.predict_proba(X)).max() > 1e-4


# ---- after the fit -------------------------------------------------------------------------


def test_a_fitted_student_pickles_and_keeps_no_transfer_set(monkeypatch):
    made = []

    class Watched(TransferSet):
        def rows_beside(self, labelled):
            rows = super().rows_beside(labelled)
            made.extend([weakref.ref(self), weakref.ref(rows)])
            return rows

    monkeypatch.setattr(skkd.distillation, "TransferSet", Watched)
    student = DistilledClassifier(Knows(), **TAUGHT | {"augment_size": 20_000}).fit(X, y)
    gc.collect()
    assert [ref() for ref in made] == [None, None]
    content = pickle.dumps(student)
    assert len(content) < 30_000
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict_proba(X), student.predict_proba(X))
    assert again.n_transfer_rows_ == 20_000
    assert clone(again).get_params()["augment"] == "munge"


def test_the_student_alone_holds_neither_teacher_nor_transfer_set():
    auto = DistilledClassifier(Knows(), **QUICK).fit(X, y)
    given = DistilledClassifier(Knows(), **TAUGHT).fit(X, y)
    for student in (auto.student_, given.student_):
        assert type(student) is NeuralClassifier
        named = ("teacher", "transfer", "alpha", "candidate")
        assert not [name for name in vars(student) if any(part in name for part in named)]
        assert b"test_transfer_set" not in pickle.dumps(student)  # the module of the teacher
        assert b"Munge" not in pickle.dumps(student)


def test_a_transfer_set_is_asked_about_by_callbacks_without_a_change():
    from skorch.callbacks import Callback

    class Asks(Callback):
        def on_epoch_end(self, net, dataset_train=None, **kwargs):
            sizes.append(len(net.predict_proba(dataset_train)))

    sizes = []
    settings = TAUGHT | {"augment_size": 1000}
    plain = DistilledClassifier(Knows(), **settings).fit(X, y)
    watched = DistilledClassifier(Knows(), callbacks=[Asks()], **settings).fit(X, y)
    assert sizes == [1300] * 3
    np.testing.assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))


# ---- errors ------------------------------------------------------------------------------


def test_the_names_of_the_losses_are_those_in_the_losses_module():
    names = ", ".join(map(repr, TEACHER_LOSSES))
    with pytest.raises(ValueError, match=f"give one of {names}\\."):
        DistilledClassifier(Knows(), teacher_loss="mse", **TAUGHT).fit(X, y)


@pytest.mark.parametrize("name", TEACHER_LOSSES)
def test_every_loss_learns_from_a_transfer_set(name):
    student = DistilledClassifier(Knows(), teacher_loss=name, **TAUGHT).fit(X, y)
    assert np.isfinite(student.loss_curve_).all()


def one_row(X, n_rows, random_state):
    return X[:1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"teacher_loss": "mse"}, "teacher_loss='mse' is not allowed: give one of 'kl'"),
        ({"soft_labels": "oob"}, "soft_labels='oob' is not allowed: give one of 'auto', 'in_s"),
        ({"augment": "smote"}, "augment='smote' is not allowed: give 'auto', None, 'munge', "),
        ({"augment": 3}, "augment=3 is not allowed: give 'auto', None, 'munge', "),
        ({"augment": Munge}, "augment=.* is not allowed"),
        ({"augment": Munge(p=2.0)}, "p=2.0 is not allowed"),
        ({"augment_size": 0}, "augment_size=0 is not allowed: give 'auto' or an integer >= 1"),
        ({"augment_size": 2.5}, "augment_size=2.5"),
        ({"augment_size": "all"}, "augment_size='all' is not allowed: give 'auto' or an integer"),
        ({"augment_size": None}, "augment_size=None"),
        ({"augment_seconds": 0}, "augment_seconds=0 is not allowed: give a number > 0"),
        ({"augment_seconds": "1"}, "augment_seconds='1'"),
        ({"calibrate_teacher": 1}, "calibrate_teacher=1 is not allowed: give True or False"),
        ({"calibrate_teacher": True}, "calibrate_teacher=True is not allowed: give False, or"),
        ({"soft_labels": "out_of_bag"}, "teacher=.*soft_labels='out_of_fold'"),
        ({"augment": one_row}, "must return n_rows=90 rows; it returned 1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_invalid_parameters_are_named_and_leave_the_student_unfitted(setting, message):
    student = DistilledClassifier(Knows(), **TAUGHT | setting)
    before = dict(vars(student))
    with pytest.raises((ValueError, TypeError), match=message):
        student.fit(X, y)
    assert vars(student) == before


@pytest.mark.parametrize(
    ("setting", "arguments", "message"),
    [
        ({"augment": "munge"}, {}, "augment='munge' is not allowed: give 'auto' or None"),
        ({"augment": halves}, {}, "augment=.*'auto' or None together with teacher_proba"),
        ({"augment": None}, {"X_unlabeled": X[:5]}, "X_unlabeled is labelled by the teacher"),
        ({"augment": None, "soft_labels": "out_of_bag"}, {}, "soft_labels='out_of_bag'.*in_sample"),
        ({"augment": None, "soft_labels": "out_of_fold"}, {}, "soft_labels='out_of_fold'.*'auto'"),
    ],
    ids=lambda value: "",
)
@pytest.mark.parametrize("teacher", [None, Knows()], ids=["alone", "with a teacher"])
def test_options_that_teacher_proba_excludes_are_refused(teacher, setting, arguments, message):
    student = DistilledClassifier(teacher, **TAUGHT | setting)
    with pytest.raises(ValueError, match=message):
        student.fit(X, y, teacher_proba=truth(X), **arguments)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:0], "0 sample"),
        (X[:, :2], "X has 2 features, but DistilledClassifier is expecting 3"),
        (X[0], "Expected 2D array, got 1D array"),
        (np.full((2, 3), np.inf), "infinity"),
    ],
    ids=["none", "narrow", "one", "infinite"],
)
def test_errors_about_rows_without_labels_name_x_unlabeled(rows, message):
    student = DistilledClassifier(Knows(), **QUICK, augment=None)
    with pytest.raises(ValueError, match=message) as caught:
        student.fit(X, y, X_unlabeled=rows)
    assert "Raised about the rows of X_unlabeled." in caught.value.__notes__
    assert not hasattr(student, "network_")


def test_an_error_of_the_teacher_about_transfer_rows_has_its_note():
    class Stumbles(Knows):
        def predict_proba(self, X):
            if len(X) == 90:
                raise RuntimeError("no more")
            return super().predict_proba(X)

    with pytest.raises(RuntimeError, match="no more") as caught:
        DistilledClassifier(Stumbles(), **TAUGHT).fit(X, y)
    assert "teacher" in caught.value.__notes__[0]


def test_the_answers_of_the_teacher_for_transfer_rows_are_checked():
    def teacher(rows):
        return truth(rows) if len(rows) == len(X) else truth(rows) * 2

    with pytest.raises(ValueError, match="teacher gives no probabilities"):
        DistilledClassifier(teacher, **TAUGHT).fit(X, y)


def test_teachers_without_probabilities_label_transfer_rows_by_their_scores():
    linear = LogisticRegression().fit(X, y)
    aligned = align(linear.predict_proba(X[:5]), linear.classes_, np.array([0, 1]))
    np.testing.assert_allclose(aligned.sum(axis=1), 1)

    class Scores:
        classes_ = np.array([0, 1])

        def decision_function(self, rows):
            return 4 * rows[:, 0] * rows[:, 1]

    students = [DistilledClassifier(t, **TAUGHT).fit(X, y) for t in (Scores(), Knows())]
    np.testing.assert_allclose(*(s.predict_proba(X) for s in students), atol=1e-4)


def test_a_teacher_fitted_on_lists_gets_lists():
    asked = []

    def teacher(rows):
        asked.append(rows)
        p = 1 / (1 + np.exp(-np.array([row[0] for row in rows], dtype=float)))
        return np.column_stack([1 - p, p])

    X = np.random.default_rng(0).standard_normal((240, 2))
    rows = [[a, b, "x" if a > b else "y"] for a, b in X.tolist()]
    settings = QUICK | {"learning_rate": 0.03}
    student = DistilledClassifier(teacher, **settings).fit(rows, X[:, 0] > 0)
    assert len(asked) > 1
    for batch in asked:
        assert isinstance(batch, list)
        assert all(isinstance(row, list) and isinstance(row[0], float) for row in batch)
    assert student.predict(rows[:3]).shape == (3,)


def test_a_nested_list_gives_the_same_student_as_its_array():
    X = np.random.default_rng(0).standard_normal((240, 2)).round(2)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    of_array, of_list = (
        DistilledClassifier(Knows(), **QUICK).fit(rows, y) for rows in (X, X.tolist())
    )
    assert sorted(of_list.candidate_losses_) == ["labels", "teacher", "transfer set"]
    assert of_list.candidate_losses_ == of_array.candidate_losses_


@pytest.mark.parametrize("n_parts", [1, 2, 3, 8, 13])
def test_parts_are_joined_in_their_order(n_parts):
    rows = np.arange(26.0)[:, None]
    targets = {"labels": np.arange(26), "weights": np.ones(26)}
    all_of_them = Dataset(rows, targets)
    parts = [all_of_them.take(index) for index in np.array_split(np.arange(26), n_parts)]
    joined = skkd.transfer.transfer_set._weighted_equally(iter(parts))
    np.testing.assert_array_equal(joined.rows, rows)
    np.testing.assert_array_equal(joined.targets["labels"], targets["labels"])
