"""The progress bar: after an interrupt it blocks no other thread."""

import multiprocessing
import os
import sys
import threading
import time

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skkd import DistilledClassifier, NeuralClassifier
from skkd.progress import ProgressBar, bar_class
from skkd.teachers.predict_proba import ask

RECORD = {"epoch": 1, "train_loss": 0.5}


class Screen:
    """An output that raises Ctrl-C or an error at one of the writes."""

    def __init__(self, at, error):
        self.at, self.error, self.n_writes = at, error, 0

    def write(self, text):
        self.n_writes += 1
        if self.n_writes == self.at:
            raise self.error

    def flush(self):
        pass


class Lock:
    """A lock that raises Ctrl-C right after it is taken or released for the n-th time."""

    def __init__(self, lock, at, when):
        self.lock, self.at, self.when, self.n = lock, at, when, 0

    def acquire(self, *args):
        taken = self.lock.acquire(*args)
        self.count("acquire")
        return taken

    def release(self):
        self.lock.release()
        self.count("release")

    def count(self, when):
        self.n += when == self.when
        if self.n == self.at and when == self.when:
            self.n += 1
            raise KeyboardInterrupt

    def __enter__(self):
        self.acquire()

    def __exit__(self, *error):
        self.release()


def use_a_bar(title=None):
    bar = ProgressBar(3, verbose=2, title=title)
    bar.bar.mininterval = 0
    try:
        for _ in range(3):
            bar.on_epoch_end(RECORD)
    finally:
        bar.close()


def ends_in_another_thread(function, seconds=20):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


@pytest.fixture
def fresh_lock(monkeypatch):
    """A lock for one test, so that a failing test does not block the others."""
    monkeypatch.setattr(bar_class(), "_lock", threading.RLock())


def n_writes_of(function, monkeypatch):
    screen = Screen(0, None)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    function()
    return screen.n_writes


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the terminal is gone")], ids=repr)
def test_after_any_failed_write_of_a_bar_the_bar_of_another_thread_ends(
    error, monkeypatch, fresh_lock
):
    with monkeypatch.context() as patch:
        n_writes = n_writes_of(use_a_bar, patch)
    assert n_writes > 10
    for at in range(1, n_writes + 1):
        with monkeypatch.context() as patch:
            screen = Screen(at, error)
            patch.setattr(sys, "stderr", screen)
            patch.setattr(sys, "stdout", screen)
            with pytest.raises(type(error)):
                use_a_bar()
            assert ends_in_another_thread(use_a_bar), f"at write {at} of {n_writes}"
    bar = ProgressBar(1, verbose=1)
    assert bar.bar.pos == 0  # no line is reserved for a bar that has ended
    bar.close()


# The oldest tqdm cannot delete a bar that was never made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("when", ["acquire", "release"])
def test_ctrl_c_right_after_the_lock_is_taken_or_released_leaves_it_free(when, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen(0, None))
    monkeypatch.setattr(sys, "stdout", Screen(0, None))
    lock = Lock(threading.RLock(), 0, when)
    monkeypatch.setattr(bar_class(), "_lock", lock)
    use_a_bar()
    assert lock.n > 10
    for at in range(1, lock.n + 1):
        inner = threading.RLock()
        monkeypatch.setattr(bar_class(), "_lock", Lock(inner, at, when))
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            use_a_bar()
        assert ends_in_another_thread(inner.acquire), f"at {when} {at} of {lock.n}"


def verbose_fit():
    X = np.arange(40.0).reshape(-1, 1)
    clf = NeuralClassifier((2,), preset="plain", max_epochs=3, verbose=2, random_state=0)
    clf.fit(X, X[:, 0] > 20)


def verbose_distillation():
    X = np.arange(40.0).reshape(-1, 1)
    y = X[:, 0] > 20
    clf = DistilledClassifier(GaussianNB().fit(X, y), alpha=0.5, augment=None, preset="plain")
    clf.set_params(hidden_layer_sizes=(2,), max_epochs=2, verbose=1).fit(X, y)


def bar_of_rows():
    ask(lambda X: np.full((len(X), 2), 0.5), np.zeros((9, 1)), batch_size=3, progress=True)


@pytest.mark.parametrize("work", [verbose_fit, verbose_distillation, bar_of_rows])
def test_after_ctrl_c_in_verbose_work_the_same_work_ends_in_another_thread(
    work, monkeypatch, fresh_lock
):
    with monkeypatch.context() as patch:
        n_writes_of(work, patch)  # the first call takes longer and writes more
        n_writes = n_writes_of(work, patch)
    for at in (1, 2, n_writes // 2):
        with monkeypatch.context() as patch:
            screen = Screen(at, KeyboardInterrupt())
            patch.setattr(sys, "stderr", screen)
            patch.setattr(sys, "stdout", screen)
            with pytest.raises(KeyboardInterrupt):
                work()
            assert ends_in_another_thread(work)


def test_a_lock_of_tqdm_that_is_never_released_stops_no_fit(monkeypatch):
    from tqdm.auto import tqdm

    monkeypatch.setattr(sys, "stderr", Screen(0, None))
    monkeypatch.setattr(sys, "stdout", Screen(0, None))
    with tqdm.get_lock():
        assert ends_in_another_thread(verbose_fit)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_a_lock_of_its_own():
    held, done = threading.Event(), threading.Event()

    def hold():
        with bar_class()._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=use_a_bar)
    child.start()
    child.join(20)
    done.set()
    thread.join()
    is_over = child.exitcode == 0
    child.kill()
    assert is_over


def test_bars_of_several_threads_take_turns(monkeypatch, fresh_lock):
    lines = []

    class Slow(Screen):
        def write(self, text):
            lines.append(threading.current_thread())  # an id may be used again
            time.sleep(1e-5)

    monkeypatch.setattr(sys, "stderr", Slow(0, None))
    monkeypatch.setattr(sys, "stdout", Slow(0, None))
    threads = [threading.Thread(target=use_a_bar) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(set(lines)) == 3
