"""Turn a big fitted classifier into a small, fast neural network, inside scikit-learn.

From the bottom up; each imports from those above it in this list, and from nothing below:

    checks doc_links forks           errors, warnings; links to the docs; torch after a fork
    runtime progress                 threads, seeds, devices; progress bars
    losses schedules                 the formulas of the course: losses, learning-rate decay
    activations initializers         each activation with its derivative; how weights start
    optimizers                       the names of optimisers
    data                             the caller's rows, labels, weights: checked, read, split
    preprocessing                    what the network sees of X
    inference                        a fitted network as plain data, in NumPy alone
    modules presets callbacks        the torch network; what "auto" means; skorch's callbacks
    teachers                         how each kind of model is asked, cloned, fitted
    transfer                         rows that only a teacher labels
    config                           the parameters of an estimator, checked
    training                         dataset -> fitted network
    supervision distillation         what a network learns from: labels, a teacher
    selection                        what is decided on held-out rows
    estimators                       NeuralClassifier, DistilledClassifier
"""

import importlib

from skkd import forks as forks  # what a forked child needs is registered now

__version__ = "0.1.0.dev0"

__all__ = [
    "DistilledClassifier",
    "NeuralClassifier",
    "initializers",
    "losses",
    "modules",
    "preprocessing",
    "schedules",
    "transfer",
]

#: Where the estimators live.
ESTIMATORS = {
    "DistilledClassifier": "skkd.estimators.distilled",
    "NeuralClassifier": "skkd.estimators.neural",
}


def __getattr__(name):
    # Imported when first touched, so that `import skkd` costs nothing and torch waits
    # until a part that needs it.
    if name in ESTIMATORS:
        return getattr(importlib.import_module(ESTIMATORS[name]), name)
    if name in __all__:
        return importlib.import_module(f"skkd.{name}")
    raise AttributeError(f"module 'skkd' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
