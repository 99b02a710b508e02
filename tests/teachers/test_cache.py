"""A teacher is asked once about the same rows, and again if it or they have changed."""

import functools
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skkd.teachers.teacher
from skkd import DistilledClassifier
from skkd.teachers import cache as teacher_cache
from skkd.teachers.cache import remembered_answer
from skkd.teachers.hashing import fingerprint
from skkd.teachers.predict_proba import ask, ask_members

X, y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
TWELVE = {"temperature": [1, 2, 4], "alpha": [0.3, 0.6, 0.8, 1.0]}


@pytest.fixture(autouse=True)
def nothing_remembered():
    teacher_cache.forget()


class Counting:
    """A teacher that counts its calls in an attribute of its own."""

    def __init__(self, inner):
        self.inner = inner
        self.classes_ = inner.classes_
        self.calls = []

    def predict_proba(self, X):
        self.calls.append(len(X))
        return self.inner.predict_proba(X)


class CountingOnDisk(Counting):
    """Counts the calls in other processes, too: a file grows by a byte per call."""

    def __init__(self, inner, path):
        super().__init__(inner)
        self.path = path

    def predict_proba(self, X):
        with open(self.path, "ab") as file:
            file.write(b".")
        return self.inner.predict_proba(X)


class CountsFits(ClassifierMixin, BaseEstimator):
    """A forest that counts its fits in an attribute of its class."""

    fits: list = []

    def __init__(self, n_estimators=3, random_state=None):
        self.n_estimators = n_estimators
        self.random_state = random_state

    def fit(self, X, y):
        self.fits.append(len(X))
        self.forest_ = RandomForestClassifier(self.n_estimators, random_state=self.random_state)
        self.classes_ = self.forest_.fit(X, y).classes_
        return self

    def predict_proba(self, X):
        return self.forest_.predict_proba(X)


def forest(**settings):
    return RandomForestClassifier(5, random_state=0, **settings).fit(X, y)


def ways_to_count():
    counting = Counting(forest())
    calls = []

    def function(X):
        calls.append(len(X))
        return counting.inner.predict_proba(X)

    return {"duck": (counting, counting.calls), "function": (function, calls)}


@pytest.mark.parametrize("kind", ["duck", "function"])
@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda teacher: teacher], ids=["frozen", "raw"])
def test_a_grid_of_12_candidates_on_3_folds_asks_3_times_and_once_for_the_refit(kind, wrap):
    teacher, calls = ways_to_count()[kind]
    search = GridSearchCV(DistilledClassifier(wrap(teacher), **SMALL), TWELVE, cv=3)
    search.fit(X, y)
    assert calls == [100, 100, 100, 150]


def test_each_member_of_a_list_is_asked_once():
    one, two = Counting(forest()), Counting(LogisticRegression(max_iter=1000).fit(X, y))
    student = DistilledClassifier([(one, 1), (two, 2)], **SMALL)
    GridSearchCV(student, TWELVE, cv=3).fit(X, y)
    assert one.calls == two.calls == [100, 100, 100, 150]


@pytest.mark.slow
def test_with_two_jobs_and_a_memory_it_is_asked_at_most_once_more_per_fold(tmp_path):
    path = tmp_path / "calls"
    path.touch()
    student = DistilledClassifier(
        CountingOnDisk(forest(), path), memory=tmp_path / "memory", **SMALL
    )
    GridSearchCV(student, TWELVE, cv=3, n_jobs=2).fit(X, y)
    assert 4 <= len(path.read_bytes()) <= 7


def test_a_memory_serves_another_session(tmp_path):
    asked = tmp_path / "calls"
    asked.touch()
    memory = joblib.Memory(str(tmp_path / "memory"), verbose=0)
    teacher = CountingOnDisk(forest(), asked)
    one = DistilledClassifier(teacher, memory=memory, **SMALL).fit(X, y)
    teacher_cache.forget()
    same = pickle.loads(pickle.dumps(teacher))
    two = DistilledClassifier(same, memory=str(tmp_path / "memory"), **SMALL).fit(X, y)
    assert len(asked.read_bytes()) == 1
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_with_fit_teacher_a_grid_fits_one_teacher_per_fold_and_one_for_the_refit():
    CountsFits.fits.clear()
    student = DistilledClassifier(CountsFits(), fit_teacher=True, **SMALL)
    search = GridSearchCV(student, TWELVE, cv=3).fit(X, y)
    assert CountsFits.fits == [100, 100, 100, 150]
    assert search.best_estimator_.teacher_.random_state is not None


def test_teachers_with_other_parameters_are_fitted_apart():
    CountsFits.fits.clear()
    student = DistilledClassifier(CountsFits(), fit_teacher=True, **SMALL)
    grid = {"teacher__n_estimators": [2, 3], "alpha": [0.5, 1.0]}
    search = GridSearchCV(student, grid, cv=3).fit(X, y)
    assert len(CountsFits.fits) == 2 * 3 + 1
    assert (
        search.best_estimator_.teacher_.n_estimators == search.best_params_["teacher__n_estimators"]
    )


def test_without_an_integer_seed_every_fit_fits_a_new_teacher():
    CountsFits.fits.clear()
    student = DistilledClassifier(CountsFits(), fit_teacher=True, **SMALL | {"random_state": None})
    student.fit(X, y)
    student.fit(X, y)
    assert len(CountsFits.fits) == 2


def test_other_labels_and_other_weights_need_another_teacher():
    CountsFits.fits.clear()
    student = DistilledClassifier(LogisticRegression(max_iter=1000), fit_teacher=True, **SMALL)
    plain = student.fit(X, y).teacher_
    weighted = student.fit(X, y, sample_weight=1 + y).teacher_
    relabelled = student.fit(X, np.where(y == 2, 1, y)).teacher_
    assert len({id(plain), id(weighted), id(relabelled)}) == 3
    assert student.fit(X, y).teacher_ is plain


def test_a_memory_keeps_fitted_teachers_too(tmp_path):
    student = DistilledClassifier(
        RandomForestClassifier(3), fit_teacher=True, memory=tmp_path, **SMALL
    )
    one = student.fit(X, y).predict_proba(X)
    teacher_cache.forget()
    two = student.fit(X, y).predict_proba(X)
    assert len(list(tmp_path.rglob("output.pkl"))) == 1
    np.testing.assert_array_equal(one, two)


def count_asks(teacher, rows, times=1):
    """The number of calls of `ask` for a teacher and rows, over some turns."""
    asked = []

    def spy(teacher):
        asked.append(teacher)
        return ask(teacher, rows)

    for _ in range(times):
        answer = remembered_answer(teacher, rows, spy)
    return len(asked), answer


def test_a_teacher_that_was_fitted_again_is_asked_again():
    teacher = forest()
    assert count_asks(teacher, X, times=2)[0] == 1
    teacher.set_params(max_depth=1).fit(X, y)
    n_asks, (probabilities, _) = count_asks(teacher, X)
    assert n_asks == 1
    np.testing.assert_allclose(probabilities, teacher.predict_proba(X), rtol=1e-12)


def test_a_teacher_that_was_trained_further_in_place_is_asked_again():
    teacher = GaussianNB().partial_fit(X[::2], y[::2], classes=[0, 1, 2])
    before = count_asks(teacher, X)[1][0]
    teacher.partial_fit(X[1::2], y[1::2])
    n_asks, (after, _) = count_asks(teacher, X)
    assert n_asks == 1
    assert abs(before - after).max() > 0


def test_a_torch_module_that_was_trained_further_is_asked_again():
    import torch

    module = torch.nn.Linear(4, 3)
    assert count_asks(module, X, times=2)[0] == 1
    with torch.no_grad():
        module.weight[0, 0] += 1
    assert count_asks(module, X)[0] == 1


def test_a_counter_in_the_teacher_does_not_count_as_a_change_but_a_fit_does():
    teacher = Counting(forest())
    assert count_asks(teacher, X, times=3)[0] == 1
    teacher.inner.set_params(max_depth=1).fit(X, y)
    assert count_asks(teacher, X)[0] == 1


def test_in_a_series_of_calls_a_teacher_is_read_only_before_and_after(monkeypatch):
    read = []
    monkeypatch.setattr(
        teacher_cache, "fingerprint", lambda thing: read.append(thing) or fingerprint(thing)
    )
    teacher = Counting(forest())  # each call changes its counter
    with teacher_cache.series_of_calls(teacher):
        for rows in (X[:50], X[50:], X[:50]):
            ask_members(teacher, rows)
    assert teacher.calls == [50, 100]
    assert sum(thing is teacher for thing in read) == 2
    ask_members(teacher, X[:50])
    assert teacher.calls == [50, 100]
    teacher.inner.fit(X, y[::-1])
    with teacher_cache.series_of_calls(teacher):
        ask_members(teacher, X[:50])
    assert teacher.calls == [50, 100, 50]


def student_of(kind, calls):
    """A student whose teacher counts on disk its calls, or its fits and calls."""
    if kind == "frozen":
        return DistilledClassifier(CountingOnDisk(forest(), calls), **SMALL)
    settings = {"fit_teacher": True} if kind == "fitted" else {"soft_labels": "out_of_fold"}
    return DistilledClassifier(FitsOnDisk(calls), augment=None, **settings, **SMALL)


class FitsOnDisk(ClassifierMixin, BaseEstimator):
    """Naive Bayes that counts its fits in a file."""

    def __init__(self, path):
        self.path = path

    def fit(self, X, y):
        with open(self.path, "ab") as file:
            file.write(b".")
        self.inner_ = GaussianNB().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


@pytest.mark.parametrize("kind", ["frozen", "fitted", "out of fold"])
@pytest.mark.parametrize("form", ["folder", "joblib.Memory", "cleared joblib.Memory"])
def test_a_memory_stores_what_the_process_has_kept_before(kind, form, tmp_path):
    calls = tmp_path / "calls"
    student = student_of(kind, calls)
    if kind == "out of fold":
        student.teacher.fit(X, y)
    student.fit(X, y)
    n_calls = calls.stat().st_size
    memory = tmp_path / "memory"
    student.memory = memory if form == "folder" else joblib.Memory(memory, verbose=0)
    student.fit(X, y)
    if form == "cleared joblib.Memory":
        student.memory.clear(warn=False)
        student.fit(X, y)
    assert calls.stat().st_size == n_calls
    teacher_cache.forget()  # like a new session
    again = pickle.loads(pickle.dumps(student)).fit(X, y)
    assert calls.stat().st_size == n_calls
    np.testing.assert_array_equal(again.predict_proba(X), student.predict_proba(X))


def test_a_memory_with_a_cache_method_alone_stores_it_too(tmp_path):
    class Shelf:
        def __init__(self):
            self.found = {}

        def cache(self, function, ignore=()):
            def cached(key, compute):
                if key not in self.found:
                    self.found[key] = function(key, compute)
                return self.found[key]

            return cached

    student = DistilledClassifier(forest(), **SMALL).fit(X, y)
    student.set_params(memory=Shelf()).fit(X, y)
    assert len(student.memory.found) == 1


posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions")


@posix
@pytest.mark.parametrize("form", [str, Path])
def test_the_folder_of_a_memory_is_made_for_its_user_alone(form, tmp_path):
    before = os.umask(0)
    try:
        memory = form(tmp_path / "a" / "memory")
        DistilledClassifier(forest(), memory=memory, **SMALL).fit(X, y)
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "memory").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "memory" / "joblib").stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("form", [str, Path])
@pytest.mark.parametrize("inside", [".", "joblib"])
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(mode, inside, form, tmp_path):
    folder = tmp_path / "memory"
    (folder / inside).mkdir(parents=True)
    (folder / inside).chmod(mode)
    student = DistilledClassifier(forest(), memory=form(folder), **SMALL)
    with pytest.raises(ValueError, match="only you may write to .* or joblib.Memory"):
        student.fit(X, y)
    assert list(folder.rglob("*.pkl")) == []
    student.set_params(memory=joblib.Memory(folder, verbose=0)).fit(X, y)
    assert list(folder.rglob("*.pkl")) != []


@posix
def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    if os.stat(tmp_path).st_uid == 0:  # root may write everywhere
        os.chown(tmp_path, 12345, -1)
        monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(ValueError, match="a folder that is yours"):
        DistilledClassifier(forest(), memory=tmp_path, **SMALL).fit(X, y)


def test_a_file_is_no_folder_of_a_memory(tmp_path):
    (tmp_path / "memory").write_text("")
    with pytest.raises(ValueError, match="memory=.*a folder, not a file"):
        DistilledClassifier(forest(), memory=tmp_path / "memory", **SMALL).fit(X, y)


def test_with_a_memory_a_teacher_is_read_once_more(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        teacher_cache, "fingerprint", lambda thing: read.append(thing) or fingerprint(thing)
    )
    teacher, memory = forest(), joblib.Memory(tmp_path, verbose=0)
    with teacher_cache.series_of_calls(teacher):
        answers = [
            ask_members(teacher, X[k : k + 9], memory=memory)[0].probabilities for k in range(5)
        ]
    assert len(read) == 2 + 1 + 2 * 5  # the teacher, its copy, five times the rows and the key
    np.testing.assert_array_equal(answers[3], teacher.predict_proba(X[3:12]))


def test_the_batches_of_a_transfer_set_are_a_series_of_calls(monkeypatch):
    began = []
    monkeypatch.setattr(
        skkd.teachers.teacher, "series_of_calls", lambda one: began.append(one) or nullcontext()
    )
    teacher = forest()
    settings = SMALL | {"alpha": 0.5, "augment": "spunge"}
    DistilledClassifier(teacher, **settings).fit(X, y)
    assert began == [teacher]
    DistilledClassifier(teacher, **settings | {"random_state": None}).fit(X, y)
    assert began == [teacher]  # answers for fresh rows are not kept


def test_a_teacher_that_cannot_be_read_is_asked_each_time_in_a_series_too():
    teacher = Counting(forest())
    teacher.lock = threading.Lock()
    with teacher_cache.series_of_calls(teacher):
        ask_members(teacher, X), ask_members(teacher, X)
    assert teacher.calls == [150, 150]


def test_rows_with_one_other_number_are_other_rows():
    teacher = forest()
    others = X.copy()
    others[3, 2] += 1e-9
    assert count_asks(teacher, X)[0] == count_asks(teacher, others)[0] == 1
    assert count_asks(teacher, X.copy())[0] == 0


def change(model):
    model.fit(X, (y + 1) % 3)


class Holder:
    """A teacher that passes rows on to a model; with `lock`, its content cannot be read."""

    classes_ = np.arange(3)

    def __init__(self, model, lock=None):
        self.model = model
        self.lock = lock

    def predict_proba(self, X):
        return self.model.predict_proba(X)


def closure_over(*things):
    def teacher(X):
        return things[0].predict_proba(X)

    return teacher


KINDS = {
    "itself": lambda model: model,
    "bound method": lambda model: model.predict_proba,
    "partial": lambda model: functools.partial(Holder.predict_proba, Holder(model)),
    "closure": closure_over,
    "closure over a lock": lambda model: closure_over(model, threading.Lock()),
    "holder": Holder,
    "holder of a lock": lambda model: Holder(model, threading.Lock()),
    "frozen": FrozenEstimator,
    "list": lambda model: [(model, 1.0)],
}
MODELS = {
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "neighbours that count": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
    "in place": GaussianNB,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_a_change_inside_of_a_teacher_is_always_found(kind, model):
    model = MODELS[model]().fit(X, y)
    teacher = KINDS[kind](model)
    for _ in range(2):
        np.testing.assert_allclose(ask_members(teacher, X)[0].probabilities, model.predict_proba(X))
    change(model)
    np.testing.assert_allclose(ask_members(teacher, X)[0].probabilities, model.predict_proba(X))


def test_a_method_replaced_in_a_class_counts_as_a_change():
    class Local(Holder):
        pass

    teacher = Local(forest())
    assert count_asks(teacher, X, times=2)[0] == 1
    Local.predict_proba = lambda self, X: np.full((len(X), 3), 1 / 3)
    assert count_asks(teacher, X)[1][0][0, 0] == 1 / 3


def test_many_threads_with_the_same_rows_make_one_call():
    teacher = Counting(forest())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask_members(teacher, X)[0].probabilities, range(16)))
    assert teacher.calls == [150]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_locks_held_while_forking_do_not_block_the_child():
    code = """
import os, signal, threading
import numpy as np, torch
from skkd.teachers import cache, predict_proba

teacher, X = torch.nn.Linear(4, 3), np.ones((5, 4))
torch.set_num_threads(1)
predict_proba.ask_members(teacher, X)
held, done = threading.Event(), threading.Event()

def hold():
    with predict_proba._modes_lock, cache._lock, cache._records[id(teacher)].lock:
        held.set()
        done.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    predict_proba.ask_members(teacher, X)
    os._exit(0)
print(os.waitpid(child, 0)[1])
done.set()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0"], done.stderr


def test_an_error_in_the_teacher_leaves_nothing_behind():
    broken = [True]

    def teacher(X):
        if broken:
            raise RuntimeError("out of order")
        return forest().predict_proba(X)

    with pytest.raises(RuntimeError, match="out of order"):
        ask_members(teacher, X)
    broken.clear()
    assert ask_members(teacher, X)[0].probabilities.shape == (150, 3)


def test_partial_fit_keeps_no_answers():
    teacher = Counting(forest())
    student = DistilledClassifier(teacher, **SMALL)
    for _ in range(2):
        student.partial_fit(X, y, classes=[0, 1, 2])
    assert len(teacher.calls) == 2
    assert n_kept() == 0


def test_a_memory_that_cannot_keep_a_teacher_warns(tmp_path):
    teacher = Holder(forest(), threading.Lock())
    with pytest.warns(UserWarning, match="memory keeps no answers of teacher, a Holder"):
        DistilledClassifier(teacher, memory=tmp_path, **SMALL).fit(X, y)


def test_kept_answers_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        count_asks(forest(), X)[1][0][0, 0] = 1


def test_the_teacher_is_held_by_a_weak_reference_and_its_answers_are_dropped_with_it():
    teacher = forest()
    gone = weakref.ref(teacher)
    count_asks(teacher, X)
    del teacher
    gc.collect()
    assert gone() is None
    count_asks(forest(), X)
    assert len(teacher_cache._records) == 1


def test_a_new_teacher_at_an_old_address_is_asked():
    old, new = forest(), forest(max_depth=1)
    count_asks(old, X)
    teacher_cache._records[id(new)] = teacher_cache._records[id(old)]
    assert count_asks(new, X)[0] == 1


def n_kept():
    return sum(len(record.answers) for record in teacher_cache._records.values())


@pytest.mark.parametrize(
    "bound", [{"ANSWER_BYTES": 3 * 150 * 8 * 10}, {"MOST_ANSWERS": 10}], ids=["bytes", "number"]
)
def test_what_is_kept_is_bounded(bound, monkeypatch):
    monkeypatch.setattr(teacher_cache, *bound.popitem())
    one, two = forest(), forest(max_depth=2)
    for shift in range(8):
        count_asks(one, X + shift)
        count_asks(two, X + shift)
    assert n_kept() == 10
    assert count_asks(two, X + 7)[0] == 0
    assert count_asks(one, X)[0] == 1


def test_fitted_teachers_are_bounded_in_bytes_too(monkeypatch):
    monkeypatch.setattr(teacher_cache, "TEACHER_BYTES", 10_000)
    CountsFits.fits.clear()
    student = DistilledClassifier(CountsFits(), fit_teacher=True, **SMALL)
    student.fit(X, y)
    student.fit(X, y)
    assert len(CountsFits.fits) == 2
    assert not teacher_cache._fitted


def test_a_fitted_teacher_that_the_user_refitted_is_not_used_again():
    student = DistilledClassifier(RandomForestClassifier(3), fit_teacher=True, **SMALL)
    before = student.fit(X, y).predict_proba(X)
    student.teacher_.fit(X, y[::-1])
    np.testing.assert_array_equal(student.fit(X, y).predict_proba(X), before)


def test_teachers_that_cannot_be_read_or_referred_to_are_asked_each_time():
    class Slots:
        __slots__ = ()
        classes_ = np.arange(3)

        def predict_proba(self, X):
            return np.full((len(X), 3), 1 / 3)

    assert count_asks(Slots(), X, times=2)[0] == 2
    assert count_asks(Holder(forest(), threading.Lock()), X, times=2)[0] == 2


@pytest.mark.slow
def test_a_step_that_was_edited_in_a_notebook_gets_a_new_teacher(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(
        """
from tests.teachers.test_cache import SMALL, X, y, pipeline_with
from skkd import DistilledClassifier

def run(step):
    student = DistilledClassifier(pipeline_with(step), fit_teacher=True, **SMALL)
    return student.fit(X, y).teacher_

COLUMNS = [0, 1]
def step(X): return X[:, COLUMNS]
first, again = run(step), run(step)
def step(X): return X[:, [2, 3]]
second = run(step)
def step(X): return X[:, COLUMNS]
COLUMNS = [0, 3]
third = run(step)
print(first is again, first is second, first is third)
"""
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    assert done.stdout.split() == ["True", "False", "False"], done.stderr


def pipeline_with(step):
    return make_pipeline(FunctionTransformer(step), RandomForestClassifier(3, random_state=0))
