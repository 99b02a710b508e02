"""Trainings in several processes give what they give one after another."""

import warnings
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from skkd import DistilledClassifier, NeuralClassifier
from skkd.schedules import CosLog
from skkd.selection import side_by_side

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 3, "batch_size": 240, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_classification(240, 5, random_state=0)  # with three folds


@pytest.fixture(scope="module")
def forest(data):
    return RandomForestClassifier(10, random_state=0).fit(*data)


class Keeps:
    """A teacher that stays in its process: it cannot be pickled."""

    def __init__(self, model):
        self.model, self.classes_ = model, model.classes_

    def predict_proba(self, X):
        return self.model.predict_proba(X)

    def __reduce__(self):
        raise TypeError("this teacher cannot be pickled")


def same(one, other, X):
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    for name in ("held_out_losses_", "history_", "n_steps_", "numeric_encoding_"):
        ours, theirs = getattr(one, name), getattr(other, name)
        if name == "history_":
            ours, theirs = ([{**r, "seconds": 0} for r in h] for h in (ours, theirs))
        assert str(ours) == str(theirs)


@pytest.mark.parametrize(
    "how",
    [
        {"max_epochs": "auto", "lr_decay": CosLog(2)},
        {"max_epochs": "auto", "lr_decay": CosLog(2), "X_val": True},
        {"early_stopping": True},
        {"augment": "munge", "augment_size": "fresh"},
    ],
    ids=["three folds", "one fold", "early stopping", "fresh rows"],
)
def test_two_processes_give_the_bits_of_one(data, forest, how, monkeypatch):
    monkeypatch.setattr("skkd.selection.encodings.FEWEST_ROWS", 100)  # compares encodings, too
    X, y = data
    fit = {"X_val": X[:60], "y_val": y[:60]} if how.get("X_val") else {}
    how = {name: value for name, value in how.items() if name != "X_val"}
    settings = SMALL | how
    one = DistilledClassifier(Keeps(forest), **settings).fit(X, y, **fit)
    two = DistilledClassifier(Keeps(forest), n_jobs=2, **settings).fit(X, y, **fit)
    same(one, two, X)
    assert one.candidate_losses_ == two.candidate_losses_
    assert one.candidate_reason_ == two.candidate_reason_


def test_folds_of_a_network_without_a_teacher_give_the_bits_of_one_process(data):
    X, y = data
    settings = SMALL | {"max_epochs": "auto", "lr_decay": CosLog(2)}
    one, two = (NeuralClassifier(n_jobs=n, **settings).fit(X, y) for n in (None, 2))
    same(one, two, X)


def test_a_search_over_a_student_with_n_jobs_gives_the_same_scores(data, forest):
    from sklearn.model_selection import cross_val_score

    scores = [
        cross_val_score(DistilledClassifier(forest, n_jobs=n, **SMALL), *data, cv=2) for n in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_the_bar_counts_the_epochs_of_other_processes(data, forest, capsys):
    X, y = data
    DistilledClassifier(forest, n_jobs=2, verbose=1, **SMALL).fit(X, y, X_val=X[:60], y_val=y[:60])
    shown = capsys.readouterr().err
    assert "selected" in shown
    assert "9epoch" in shown  # three candidates, three epochs each


def warns_of(number):
    warnings.warn(f"seen {number}", RuntimeWarning, stacklevel=1)
    return number


def test_warnings_of_other_processes_are_repeated_here():
    with pytest.warns(RuntimeWarning) as caught:
        assert side_by_side._run(warns_of, [(1,), (2,)], 2) == [1, 2]
    assert [str(one.message) for one in caught] == ["seen 1", "seen 2"]


def test_the_first_task_is_done_while_the_third_is_made(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))

    def tasks():
        yield (first,)
        yield (second,)
        end = monotonic() + 60
        while not first.exists():
            assert monotonic() < end, "the first task waits for the third"
            sleep(0.01)
        yield (third,)

    side_by_side._run(Path.touch, tasks(), 2)
    assert third.exists()


class KnowsNoOtherRows(Keeps):
    """A teacher that raises an error if it is asked about synthetic rows."""

    def predict_proba(self, X):
        if len(X) != 240:
            raise RuntimeError("no synthetic rows")
        return super().predict_proba(X)


def test_after_an_error_of_the_teacher_the_processes_can_be_used_again(data, forest):
    X, y = data
    fit = {"X_val": X[:60], "y_val": y[:60]}
    with pytest.raises(RuntimeError, match="no synthetic rows"):
        DistilledClassifier(KnowsNoOtherRows(forest), n_jobs=2, **SMALL).fit(X, y, **fit)
    one, two = (DistilledClassifier(forest, n_jobs=n, **SMALL).fit(X, y, **fit) for n in (1, 2))
    same(one, two, X)


def may_not_start(monkeypatch):
    monkeypatch.setattr(side_by_side, "Parallel", lambda **how: pytest.fail("started processes"))


def test_inside_a_parallel_loop_no_process_is_started(data, monkeypatch):
    may_not_start(monkeypatch)
    fit = NeuralClassifier(n_jobs=2, **SMALL | {"max_epochs": "auto", "lr_decay": CosLog(2)}).fit
    Parallel(n_jobs=2, backend="threading")(delayed(fit)(*data) for _ in range(2))


def test_while_another_thread_uses_the_processes_none_is_started(data, monkeypatch):
    may_not_start(monkeypatch)
    with side_by_side._pool_lock:
        NeuralClassifier(n_jobs=2, **SMALL | {"max_epochs": "auto", "lr_decay": CosLog(2)}).fit(
            *data
        )


def fails(number):
    raise ValueError(f"the batch {number} is bad")


def test_an_error_of_another_process_is_raised_here():
    with pytest.raises(ValueError, match="the batch 1 is bad") as raised:
        side_by_side._run(fails, [(1,), (1,)], 2)
    assert "Raised in 2 processes. n_jobs=1 trains in this process." in raised.value.__notes__


def test_one_job_starts_no_process(data, monkeypatch):
    may_not_start(monkeypatch)
    for n_jobs in (None, 1):
        NeuralClassifier(n_jobs=n_jobs, **SMALL).fit(*data)


@pytest.mark.parametrize(("n_jobs", "error"), [(0, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_a_wrong_number_of_processes_is_refused(data, n_jobs, error):
    with pytest.raises(error, match="n_jobs"):
        NeuralClassifier(n_jobs=n_jobs).fit(*data)
