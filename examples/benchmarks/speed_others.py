"""The part of ``speed.py`` about whole fits, a grid search, import, memory and size."""

import pickle
import subprocess
import sys
from statistics import median

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from speed_parts import WORKS, Rows, mlp_fit, ratio, rounds_of, skkd_fit
from tqdm import tqdm

from skkd import NeuralClassifier


def other_numbers(n_rounds):
    """Yield the rows of a table: a number of skkd, one of MLPClassifier, and their ratio."""
    parts = (whole_fits, grid_searches, imports, pickles)
    for part in tqdm(parts, "others", unit="part"):
        yield from part(n_rounds)
    for preprocessor in tqdm(("auto", None), "memory", unit="fit"):
        what = f"memory of a fit in addition to X, in sizes of X, preprocessor={preprocessor}"
        code = f"preprocessor = {preprocessor!r}\n{PEAK_OF_A_FIT}"
        peaks = [float(python(code)) for _ in range(min(n_rounds, 3))]  # a fit takes ten seconds
        yield {"what": what, "skkd": median(peaks)}


def whole_fits(n_rounds, epochs=50):
    """Time whole fits of task (a), with MLPClassifier's defaults, but without early stopping."""
    work = WORKS["a"]
    rows = Rows(work)
    fits = {
        "skkd": skkd_fit(work, rows, epochs),
        "float32": mlp_fit(work, rows, epochs),
        "float64": mlp_fit(work, rows, epochs, dtype=np.float64),
    }
    times = rounds_of(fits, n_rounds)
    for dtype in ("float32", "float64"):
        what = f"fit of (a), {epochs} epochs, s; MLPClassifier in {dtype}"
        yield line(what, times["skkd"], times[dtype])


def grid_searches(n_rounds):
    """Time a grid search of 24 short fits to few rows, where the fixed cost of a fit matters."""
    rows = Rows(WORKS["a"])
    X, y = rows.X[:600], rows.y[:600]
    decays, rates, batch = np.logspace(-6, -3, 4), (1e-3, 1e-2), 200
    ours = NeuralClassifier(
        (32,),
        preset="plain",
        batch_size=batch,
        max_epochs=10,
        n_iter_no_change=None,
        preprocessor=None,
        n_threads=torch.get_num_threads(),
        random_state=0,
    )
    mlp = MLPClassifier(
        (32,), batch_size=batch, max_iter=10, n_iter_no_change=10**6, random_state=0
    )
    settings = {"cv": 3, "refit": False, "n_jobs": 1}
    grids = (
        (ours, {"weight_decay": decays, "learning_rate": rates}),
        (mlp, {"alpha": batch * decays, "learning_rate_init": rates}),
    )
    searches = [GridSearchCV(*grid, **settings) for grid in grids]
    times = rounds_of(dict(enumerate([lambda s=s: s.fit(X, y) for s in searches])), n_rounds)
    yield line("grid search of 24 fits, s", times[0], times[1])


def imports(n_rounds):
    """Time the imports, each in a new process that imports nothing else."""
    codes = (
        "from skkd import NeuralClassifier, DistilledClassifier",
        "from sklearn.neural_network import MLPClassifier",
    )
    times = rounds_of(dict(enumerate([lambda c=c: python(c) for c in codes])), n_rounds)
    yield line("import, s", times[0], times[1])


def pickles(_):
    rows = Rows(WORKS["a"])
    sizes = [[len(pickle.dumps(fit(WORKS["a"], rows, 1)())) / 1e3] for fit in (skkd_fit, mlp_fit)]
    yield line("pickle of (a), kB", *sizes)


def line(what, ours, theirs):
    numbers = {"skkd": median(ours), "MLPClassifier": median(theirs)}
    return {"what": what, **numbers, "skkd's": ratio(ours, theirs)}


#: Code that prints how much memory a fit needs in addition to X, in sizes of X. On Linux the peak
#: of memory can be reset before the fit. The peak of getrusage cannot, and it includes the parent
#: process.
PEAK_OF_A_FIT = """
import contextlib, sys
from pathlib import Path
import numpy as np
from skkd import NeuralClassifier

def fit(X, y):
    settings = {"batch_size": 128, "max_epochs": 1, "n_threads": 1, "random_state": 0}
    NeuralClassifier((800, 800), preprocessor=preprocessor, **settings).fit(X, y)

def peak():
    with contextlib.suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    import resource
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

draw = np.random.default_rng(0)
X, y = draw.standard_normal((60_000, 784), dtype=np.float32), draw.integers(10, size=60_000)
fit(X[:256], np.arange(256) % 10)  # imports, and the network
with contextlib.suppress(OSError):
    Path("/proc/self/clear_refs").write_text("5")
before = peak()
fit(X, y)
print((peak() - before) / X.nbytes)
"""


def python(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
