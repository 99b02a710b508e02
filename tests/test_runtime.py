"""Fitting and predicting change no global state, and no global state changes a bit of them."""

import inspect
import json
import os
import pickle
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from skorch.callbacks import Callback

from skkd import NeuralClassifier
from skkd.modules import MLP
from skkd.runtime import default_n_threads, resolve_device, threads_of_fit


class WithDropout(torch.nn.Sequential):
    """Draws its weights and its dropout from torch's global generator."""

    def __init__(self, n_features, n_classes, n_units=16):
        super().__init__(
            torch.nn.Linear(n_features, n_units),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(n_units, n_classes),
        )


def a_plain_mlp(n_features, n_classes):
    """A custom module with the layers of the built-in network."""
    return MLP(n_features, n_classes, (16,))


FAST = {
    "preset": "plain",
    "max_epochs": 5,
    "learning_rate": 0.03,
    "batch_size": 16,
    "random_state": 0,
}

BUILT_IN = NeuralClassifier((16,), dropout=0.3, batch_norm=True, early_stopping=True, **FAST)
CUSTOM = NeuralClassifier(module=WithDropout, early_stopping=True, **FAST)
TABULAR = NeuralClassifier((16,), dropout=0.3, max_epochs=5, batch_size=16, random_state=0)

every_network = pytest.mark.parametrize(
    "estimator", [BUILT_IN, CUSTOM, TABULAR], ids=["built-in", "custom", "tabular"]
)


def bits(clf):
    """All weights and the losses of all epochs, as a hash."""
    losses = [(record["train_loss"], record.get("valid_loss")) for record in clf.history_]
    return joblib.hash((clf.network_.state, losses))


#: (n_rows, n_features, layers): for these the number of threads decides the last bits.
SENSITIVE = [(100_000, 4, ()), (1024, 100, (256, 256))]


def sensitive_fit(problem, n_threads):
    n_rows, n_features, layers = problem
    X = np.random.RandomState(0).standard_normal((n_rows, n_features))
    clf = NeuralClassifier(
        layers,
        preset="plain",
        n_threads=n_threads,
        batch_size=n_rows,
        max_epochs=3,
        random_state=0,
    )
    return bits(clf.fit(X, X[:, 0] > 0))


@pytest.fixture
def threads_of_torch():
    """torch.set_num_threads, restored after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@contextmanager
def no_draws_from(*generators):
    states = {
        "torch": lambda: torch.get_rng_state().numpy().tobytes(),
        "numpy": lambda: pickle.dumps(np.random.get_state()),
        "python": random.getstate,
    }
    before = {name: states[name]() for name in generators}
    yield
    assert {name: states[name]() for name in generators} == before


@every_network
def test_no_global_generator_is_touched_with_an_integer_seed(estimator, iris_like):
    X, y = iris_like
    with no_draws_from("torch", "numpy", "python"):
        clf = clone(estimator).fit(X, y)
        clf.predict_proba(X)
        pickle.loads(pickle.dumps(clf)).predict(X)
        clf.module_(torch.zeros(2, 4))


@every_network
def test_no_global_generator_is_touched_by_a_failing_fit(estimator, iris_like):
    clf = clone(estimator).set_params(optimizer="sgd", learning_rate=1e30)
    with no_draws_from("torch", "numpy", "python"), pytest.raises(ValueError, match="lower"):
        clf.fit(*iris_like)


@every_network
def test_without_a_seed_numpys_global_generator_decides_alone(estimator, iris_like):
    def fit_after_seed(seed):
        np.random.seed(seed)
        return bits(clone(estimator).set_params(random_state=None).fit(*iris_like))

    before = np.random.get_state()
    try:
        with no_draws_from("torch", "python"):
            assert fit_after_seed(0) == fit_after_seed(0) != fit_after_seed(1)
    finally:
        np.random.set_state(before)


def test_a_random_state_object_is_advanced_by_each_fit(iris_like):
    def two_fits():
        clf = clone(BUILT_IN).set_params(random_state=np.random.RandomState(0))
        return [bits(clf.fit(*iris_like)), bits(clf.fit(*iris_like))]

    first, second = two_fits()
    assert first != second
    assert two_fits() == [first, second]


@every_network
def test_the_global_generators_do_not_change_a_bit(estimator, iris_like):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        expected = bits(clone(estimator).fit(*iris_like))
        torch.manual_seed(2)
        assert bits(clone(estimator).fit(*iris_like)) == expected


def test_a_fit_on_the_cpu_seeds_no_other_device(monkeypatch, iris_like):
    def refuse(*args):
        raise AssertionError("the caller's generators of other devices are not ours")

    for device in (torch.cuda, torch.mps, torch.xpu):
        for name in {"manual_seed", "manual_seed_all"} & set(dir(device)):
            monkeypatch.setattr(device, name, refuse)
    clone(CUSTOM).fit(*iris_like).predict_proba(iris_like[0])


def test_a_warm_start_without_the_previous_module_touches_no_global_generator(iris_like):
    clf = clone(TABULAR).set_params(module=a_plain_mlp, warm_start=True).fit(*iris_like)
    clf.set_params(module=None, dropout=0.0, feature_scale=False)
    with no_draws_from("torch"):
        clf.fit(*iris_like)


@every_network
def test_the_same_seed_gives_the_same_bits_again_and_another_seed_others(estimator, iris_like):
    clf = clone(estimator)
    first = bits(clf.fit(*iris_like))
    assert bits(clf.fit(*iris_like)) == first
    assert bits(clf.set_params(random_state=1).fit(*iris_like)) != first


@every_network
def test_twenty_fits_in_four_threads_give_the_bits_of_one(estimator, iris_like):
    expected = bits(clone(estimator).fit(*iris_like))
    with no_draws_from("torch", "numpy", "python"), ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(clone(estimator).fit, *iris_like) for _ in range(20)]
        assert {bits(fit.result()) for fit in fits} == {expected}


@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
@every_network
def test_two_jobs_give_the_bits_of_one(estimator, backend, iris_like):
    settings = {"cv": 4, "method": "predict_proba"}
    expected = cross_val_predict(clone(estimator), *iris_like, **settings)
    with parallel_backend(backend):
        found = cross_val_predict(clone(estimator), *iris_like, n_jobs=2, **settings)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n_before", [1, 2, 3])
@every_network
def test_a_fit_restores_the_number_of_threads(estimator, n_before, iris_like, threads_of_torch):
    threads_of_torch(n_before)
    clf = clone(estimator).set_params(n_threads=2, max_epochs=2, batch_size=90)
    clf.fit(*iris_like)
    assert torch.get_num_threads() == n_before
    with pytest.raises(ValueError, match="learning_rate"):
        clf.set_params(optimizer="sgd", learning_rate=1e30, lr_decay="constant").fit(*iris_like)
    assert torch.get_num_threads() == n_before


class Fails(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("a callback fails")


def test_concurrent_fits_restore_the_number_of_threads(iris_like, threads_of_torch):
    threads_of_torch(3)

    def fit_or_fail(number):
        clf = NeuralClassifier((8,), n_threads=1 + number % 2, **FAST)
        if number % 3 == 0:
            with pytest.raises(RuntimeError, match="a callback fails"):
                clf.set_params(callbacks=[Fails()]).fit(*iris_like)
        else:
            clf.fit(*iris_like)
        return torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fit_or_fail, range(12))) == {3}
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


@pytest.mark.parametrize("problem", SENSITIVE)
def test_concurrent_fits_with_different_numbers_of_threads_give_the_bits_of_each_alone(
    problem, monkeypatch
):
    counts = (1, 2, 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)  # this machine may have fewer
    expected = {n_threads: sensitive_fit(problem, n_threads) for n_threads in counts}
    with ThreadPoolExecutor(6) as pool:
        fits = [(n, pool.submit(sensitive_fit, problem, n)) for _ in range(3) for n in counts]
        assert all(fit.result() == expected[n_threads] for n_threads, fit in fits)


def test_a_fit_that_wants_another_number_of_threads_waits_for_those_that_run():
    entered = threading.Event()

    def enter():
        with threads_of_fit(2):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with threads_of_fit(1):
            pool.submit(enter)
            assert not entered.wait(0.2)
        assert entered.wait(20)


def test_fits_that_want_the_same_number_of_threads_do_not_wait_for_each_other():
    together = threading.Barrier(2, timeout=20)

    def meet():
        with threads_of_fit(1):
            together.wait()
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        assert [meeting.result() for meeting in [pool.submit(meet), pool.submit(meet)]] == [1, 1]


HASHES_OF_FITS = """
from test_runtime import hashes_of_fits
print(*hashes_of_fits())
"""


def hashes_of_fits():
    clf = clone(CUSTOM).set_params(batch_size=8192).fit(np.eye(8192, 4), np.arange(8192) % 3)
    counts = (None, 2)
    return [bits(clf), *(sensitive_fit(problem, n) for problem in SENSITIVE for n in counts)]


def run_python(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_number_of_threads_around_a_fit_does_not_change_a_bit(threads_of_torch):
    threads_of_torch(3)
    expected = hashes_of_fits()
    threads_of_torch(1)
    assert hashes_of_fits() == expected
    assert run_python(HASHES_OF_FITS, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1").split() == expected


USES_OF_TORCH = {
    "a fit": "clf.set_params(n_threads=2).fit(X, y)",
    "a fit of a custom module": "custom.set_params(n_threads=2).fit(X, y)",
    "a custom module that predicts": "torch.set_num_threads(2); custom.predict_proba(X)",
    "a torch teacher": "torch.set_num_threads(2); ask(module, X)",
    "a user's own": "torch.set_num_threads(2); module(rows)",
    "a user's own, with one thread again": (
        "torch.set_num_threads(2); module(rows); torch.set_num_threads(1)"
    ),
}

USE_FORK_USE = """
class Wide(torch.nn.Sequential):
    def __init__(self, n_features, n_classes):
        layers = torch.nn.Linear(n_features, 512), torch.nn.ReLU(), torch.nn.Linear(512, n_classes)
        super().__init__(*layers)

torch.set_num_threads(1)
X = np.random.RandomState(0).standard_normal((1024, 64)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)
settings = {"preset": "plain", "batch_size": 512, "max_epochs": 2, "random_state": 0}
clf = NeuralClassifier((512,), **settings).fit(X, y)
custom = NeuralClassifier(module=Wide, **settings).fit(X, y)
rows, module = torch.tensor(X), custom.module_
answers = clf.predict_proba(X), custom.predict_proba(X), ask(module, X)[0]
USE
child = os.fork()
if child == 0:
    code = 1
    try:
        signal.alarm(20)
        module(rows).sum().backward()
        found = clf.predict_proba(X), custom.predict_proba(X), ask(module, X)[0]
        np.testing.assert_allclose(found, answers, atol=1e-4)
        for estimator in (clf, custom):
            again = clone(estimator).set_params(n_threads=2).fit(X, y).predict_proba(X)
            np.testing.assert_allclose(again, estimator.predict_proba(X), atol=1e-4)
        student = DistilledClassifier(module, hidden_layer_sizes=(512,), augment=None, **settings)
        student.set_params(n_threads=2).fit(X, y)
        module(rows)
        assert torch.get_num_threads() == 1
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
"""


FORK_WITHIN_A_FIT = """
from skorch.callbacks import Callback

class Forks(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 1:
            children.append(os.fork())
            signal.alarm(0 if children[-1] else 20)

children = []
X = np.random.RandomState(0).standard_normal((1024, 64))
y = (X[:, 0] > 0).astype(int)
clf = NeuralClassifier((512,), preset="plain", batch_size=512, max_epochs=2, n_threads=2,
                       callbacks=[Forks()], random_state=0).fit(X, y)
if children[-1] == 0:
    code = 1
    try:
        clf.set_params(callbacks=None, n_threads=2).fit(X, y)
        clf.set_params(callbacks=None, n_threads=1).fit(X, y)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)
assert os.waitpid(children[-1], 0)[1] == 0
"""

#: Runs each of several scripts like a process of its own. Torch and skorch, which take seconds to
#: import, are imported once; skkd, which must not see the first fork, is imported after it.
RUN_IN_FORKS = """
import json, os, signal, sys, traceback
import numpy as np
import skorch
import torch, torch._dynamo
from sklearn.base import clone

found = {}
for name, script in json.loads(sys.argv[1]).items():
    process = os.fork()
    if process == 0:
        try:
            assert "skkd" not in sys.modules
            import skkd
            from skkd import DistilledClassifier, NeuralClassifier
            from skkd.teachers.predict_proba import ask

            exec(script)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    found[name] = os.waitpid(process, 0)[1]
assert not any(found.values()), found
print(*found, sep="\\n")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works_with_one_thread_after_torch_had_two_in_its_parent():
    scripts = {name: USE_FORK_USE.replace("USE", use) for name, use in USES_OF_TORCH.items()}
    scripts["a fit that goes on in the child"] = FORK_WITHIN_A_FIT
    assert run_python(RUN_IN_FORKS, json.dumps(scripts)).splitlines() == list(scripts)


FORK_BEFORE_THE_ESTIMATORS = """
import os, signal, sys
import skkd
assert "torch" not in sys.modules
import torch
torch.set_num_threads(2)
rows = torch.ones(1000, 1000)
rows @ rows
child = os.fork()
if child == 0:
    signal.alarm(20)
    rows @ rows
    os._exit(torch.get_num_threads() - 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_importing_the_package_is_enough_for_a_forked_child_to_have_one_thread():
    assert run_python(FORK_BEFORE_THE_ESTIMATORS).split() == ["0"]


@every_network
def test_twenty_predicting_threads_share_one_classifier(estimator, iris_like):
    X, y = iris_like
    clf = clone(estimator).fit(X, y)
    expected = clf.predict_proba(X)
    unpickled = pickle.loads(pickle.dumps(clf))
    before = dict(vars(unpickled))
    hash_before = joblib.hash(unpickled)
    together = threading.Barrier(20, timeout=20)

    def predict(_):
        together.wait()
        return [unpickled.predict_proba(X) for _ in range(5)]

    with no_draws_from("torch", "numpy", "python"), ThreadPoolExecutor(20) as pool:
        for answers in pool.map(predict, range(20)):
            for answer in answers:
                np.testing.assert_array_equal(answer, expected)
    assert vars(unpickled).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(unpickled).items())
    assert joblib.hash(unpickled) == hash_before


class FitsAnother(Callback):
    def __init__(self, estimator, data, found):
        self.estimator = estimator
        self.data = data
        self.found = found

    def on_epoch_end(self, net, **kwargs):
        self.found.append(bits(clone(self.estimator).fit(*self.data)))


@pytest.mark.parametrize("inner", [BUILT_IN, CUSTOM], ids=["built-in", "custom"])
@pytest.mark.parametrize("n_threads", [None, 2])
@every_network
def test_a_fit_inside_a_fit_changes_neither(estimator, inner, n_threads, iris_like):
    inner = clone(inner).set_params(n_threads=n_threads, max_epochs=2, batch_size=90)
    expected = bits(clone(estimator).fit(*iris_like))
    expected_inside = bits(clone(inner).fit(*iris_like))
    n_before = torch.get_num_threads()
    found = []
    outer = clone(estimator).set_params(callbacks=[FitsAnother(inner, iris_like, found)])
    assert bits(outer.fit(*iris_like)) == expected
    assert set(found) == {expected_inside}
    assert torch.get_num_threads() == n_before


@every_network
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_off_around_a_fit_do_not_matter(estimator, mode, iris_like):
    expected = bits(clone(estimator).fit(*iris_like))
    with mode():
        assert bits(clone(estimator).fit(*iris_like)) == expected
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@every_network
def test_the_default_dtype_of_torch_does_not_matter(estimator, iris_like):
    clf = clone(estimator).fit(*iris_like)
    torch.set_default_dtype(torch.float64)
    try:
        there = clone(estimator).fit(*iris_like)
        dtypes = {parameter.dtype for parameter in there.module_.parameters()}
    finally:
        torch.set_default_dtype(torch.float32)
    assert dtypes == {torch.float32}
    if estimator is not CUSTOM:  # torch draws the weights of a Linear in the default dtype
        assert bits(there) == bits(clf)


@pytest.mark.parametrize(
    "n_parameters, batch_size, expected",
    [(1_000, 200, 1), (1_000_000, 256, 1), (5_000_000, 256, 1), (50_000_000, 200, 2)],
)
def test_the_default_number_of_threads_is_a_function_of_its_arguments(
    n_parameters, batch_size, expected, monkeypatch, threads_of_torch
):
    assert list(inspect.signature(default_n_threads).parameters) == ["n_parameters", "batch_size"]
    for n_threads in (1, 2, 7):
        threads_of_torch(n_threads)
        monkeypatch.setenv("OMP_NUM_THREADS", str(n_threads))
        monkeypatch.setattr(os, "cpu_count", lambda n_threads=n_threads: n_threads)
        assert default_n_threads(n_parameters, batch_size) == expected


def test_a_missing_device_is_an_error_for_fitting_and_a_warning_for_predicting():
    with pytest.raises(ValueError, match="device='nonsense' is not allowed"):
        resolve_device("nonsense")
    with pytest.warns(UserWarning, match="predicting on the CPU"):
        assert resolve_device("nonsense", fall_back=True) == torch.device("cpu")


def test_a_callback_that_predicts_does_not_deadlock_with_a_waiting_fit():
    X = np.random.RandomState(0).standard_normal((90, 4))
    y = np.arange(90) % 3
    fitted = clone(CUSTOM).fit(X, y)
    inside, custom_begins = threading.Event(), threading.Event()

    class Predicts(Callback):
        def on_epoch_end(self, net, **kwargs):
            inside.set()
            custom_begins.wait(5)
            fitted.predict(X)

    def fit_custom():
        inside.wait(10)
        custom_begins.set()
        clone(CUSTOM).fit(X, y)

    two = NeuralClassifier((8,), n_threads=2, max_epochs=3, callbacks=[Predicts()])
    threads = [
        threading.Thread(target=two.fit, args=(X, y), daemon=True),
        threading.Thread(target=fit_custom, daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
