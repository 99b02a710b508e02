"""Fitting on a GPU of CUDA; skipped where there is none.

CUDA's sums differ from the CPU's in rounding: what is compared is compared in float64, over
few steps, or by accuracy.
"""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skkd import DistilledClassifier, NeuralClassifier

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of CUDA")

DEVICE = "cuda"
SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 40, "random_state": 0}
EXACT = {**SMALL, "dtype": "float64", "max_epochs": 5, "dropout": 0.0}

#: Loads what the GPU's machine pickled, where no GPU is seen.
LOAD = """
import pickle, sys, warnings
import numpy as np
with open(sys.argv[1], "rb") as file:
    clf, X, p = pickle.load(file)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    answer = clf.predict_proba(X)
print(np.abs(answer - p).max() < 1e-5, [str(w.message) for w in caught])
"""


class Net(torch.nn.Module):
    """Any module: it does not know on what device it is."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(n_features, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(16, n_classes),
        )

    def forward(self, x):
        return self.body(x)


def on_both(X, y, cls=NeuralClassifier, sample_weight=None, **settings):
    """The same classifier, fitted on the CPU and on the GPU."""
    devices = "cpu", DEVICE
    return [cls(**settings, device=device).fit(X, y, sample_weight) for device in devices]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_norm": True},
        {"activation": "selu", "init": "xavier_normal"},
        {"optimizer": "sgd", "lr_decay": "cyclic"},
        {"optimizer": torch.optim.RMSprop, "max_grad_norm": 1.0},
        {"early_stopping": True},
        {"numeric_encoding": "piecewise_linear"},
        {"preset": "plain", "label_smoothing": 0.1, "batch_size": 16},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
def test_the_first_epochs_are_those_of_the_cpu(iris_like, settings):
    X, y = iris_like
    on_cpu, on_gpu = on_both(X, y, **EXACT, **settings)
    assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-6)


def test_dropout_draws_from_a_generator_of_the_gpu_that_the_seed_decides(iris_like):
    X, y = iris_like
    settings = {**SMALL, "device": DEVICE, "batch_size": len(X)}  # in one batch order is nothing
    first, again, whole = (
        NeuralClassifier(**settings, dropout=p).fit(X, y) for p in (0.5, 0.5, 0.0)
    )
    assert_allclose(again.predict_proba(X), first.predict_proba(X), atol=1e-4)
    assert np.abs(whole.predict_proba(X) - first.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("module", [None, Net])
def test_the_callers_generators_are_left_alone(iris_like, module):
    X, y = iris_like
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    dropout = 0.0 if module else 0.5
    clf = NeuralClassifier(module=module, dropout=dropout, device=DEVICE, **SMALL)
    for _ in range(2):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    clf.predict_proba(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


def test_auto_takes_the_gpu_and_gives_back_its_memory(iris_like):
    X, y = iris_like
    NeuralClassifier(device=DEVICE, **SMALL).fit(X, y)  # the libraries' own memory stays
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    NeuralClassifier(device="auto", **SMALL).fit(X, y)
    assert torch.cuda.max_memory_allocated() > before
    assert torch.cuda.memory_allocated() == before


def test_partial_fit_and_warm_start_go_on_as_on_the_cpu(iris_like):
    X, y = iris_like
    pairs = []
    for device in ("cpu", DEVICE):
        clf = NeuralClassifier(device=device, batch_size=8, **EXACT)
        for start in range(0, len(X), 30):
            clf.partial_fit(X[start : start + 30], y[start : start + 30], classes=[0, 1, 2])
        warm = NeuralClassifier(device=device, warm_start=True, **EXACT).fit(X, y)
        pairs.append((clf.predict_proba(X), warm.fit(X, y).predict_proba(X)))
    for on_cpu, on_gpu in zip(*pairs, strict=True):
        assert_allclose(on_gpu, on_cpu, atol=1e-6)


@pytest.mark.parametrize("module", [None, Net])
def test_going_on_drops_other_units_than_before(iris_like, module):
    X, y = iris_like
    settings = {"module": module, "dropout": 0.0 if module else 0.5, "device": DEVICE}
    settings |= {**SMALL, "preset": "plain", "learning_rate": 1e-12, "batch_size": 90}
    clf = NeuralClassifier(**settings).partial_fit(X, y, classes=[0, 1, 2])
    clf.partial_fit(X, y)
    first, second = (record["train_loss"] for record in clf.history_)
    assert first != second


def test_tables_sparse_rows_and_weights(iris_like_table, iris_like):
    table, names = iris_like_table
    X, y = iris_like
    weights = np.arange(len(y)) % 3
    for rows, labels in ((table, names), (sparse.csr_matrix(X), y)):
        on_cpu, on_gpu = on_both(rows, labels, sample_weight=weights, **EXACT)
        assert_allclose(on_gpu.predict_proba(rows), on_cpu.predict_proba(rows), atol=1e-6)


@pytest.mark.parametrize("module", [None, Net])
@pytest.mark.parametrize("cls", [NeuralClassifier, DistilledClassifier])
def test_what_was_fitted_on_a_gpu_predicts_where_there_is_none(iris_like, tmp_path, module, cls):
    X, y = iris_like
    teacher = {"teacher": RandomForestClassifier(5, random_state=0).fit(X, y)}
    given = teacher if cls is DistilledClassifier else {}
    clf = cls(**given, module=module, device=DEVICE, **SMALL).fit(X, y)
    path = tmp_path / "clf.pickle"
    path.write_bytes(pickle.dumps((clf, X, clf.predict_proba(X))))
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    # Where the class of the module is.
    hidden["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, "-c", LOAD, str(path)]
    done = subprocess.run(command, env=hidden, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True"), done.stdout
    assert ("predicting on the CPU" in done.stdout) == (module is not None)


def test_a_custom_module_learns(iris_like):
    X, y = iris_like
    settings = {**SMALL, "learning_rate": 0.03, "max_epochs": 100}
    clf = NeuralClassifier(module=Net, device=DEVICE, **settings).fit(X, y)
    assert clf.score(X, y) > 0.7


@pytest.mark.parametrize(
    "augment",
    [{"augment": None}, {"augment": "munge"}, {"augment": "munge", "augment_size": "fresh"}],
    ids=str,
)
def test_students_learn_as_on_the_cpu(iris_like, augment):
    X, y = iris_like
    teacher = RandomForestClassifier(20, random_state=0).fit(X, y)
    settings = {**EXACT, **augment, "teacher": teacher, "alpha": 0.7}
    on_cpu, on_gpu = on_both(X, y, DistilledClassifier, **settings)
    assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("loss", ["kl", "reverse_kl", "jensen_shannon", "logit_mse", "brier"])
def test_every_loss_is_that_of_the_cpu(iris_like, loss):
    X, y = iris_like
    teacher = RandomForestClassifier(20, random_state=0).fit(X, y)
    settings = {**EXACT, "teacher": teacher, "teacher_loss": loss, "alpha": 0.7}
    on_cpu, on_gpu = on_both(X, y, DistilledClassifier, **settings)
    assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("size", [(16,), "auto"], ids=str)
def test_defaults_choose_and_fit_on_the_gpu(size):
    X, y = make_classification(400, random_state=0)
    teacher = RandomForestClassifier(50, random_state=0).fit(X, y)
    settings = {"hidden_layer_sizes": size, "device": DEVICE, "random_state": 0}
    student = DistilledClassifier(teacher, **settings).fit(X, y)
    assert set(student.candidate_losses_) == {"labels", "teacher", "transfer set"}
    assert student.score(X, y) > 0.8


def test_a_module_on_the_gpu_teaches(iris_like):
    X, y = iris_like
    regression = LogisticRegression(max_iter=1000).fit(X, y)
    teacher = torch.nn.Linear(4, 3, device=DEVICE)
    with torch.no_grad():
        teacher.weight.copy_(torch.tensor(regression.coef_))
        teacher.bias.copy_(torch.tensor(regression.intercept_))
    settings = {**SMALL, "alpha": 1, "temperature": 1, "max_epochs": 200}
    student = DistilledClassifier(teacher, device=DEVICE, **settings).fit(X, y)
    assert teacher.weight.device.type == DEVICE
    assert np.abs(student.predict_proba(X) - regression.predict_proba(X)).mean() < 0.05


@pytest.mark.slow
def test_a_grid_in_processes(iris_like):
    X, y = iris_like
    search = GridSearchCV(
        NeuralClassifier(device=DEVICE, **SMALL), {"dropout": [0.0, 0.1]}, n_jobs=2, cv=2
    )
    assert search.fit(X, y).score(X, y) > 0.8
