"""Turn a big fitted classifier into a small, fast neural network, inside scikit-learn."""

import importlib

from skkd import forks as forks  # what a forked child needs is registered now

__version__ = "0.1.0.dev0"

__all__ = [
    "DistilledClassifier",
    "NeuralClassifier",
    "encodings",
    "initializers",
    "losses",
    "modules",
    "schedules",
    "transfer",
]

#: Where the estimators live.
ESTIMATORS = {"DistilledClassifier": "skkd.distilled", "NeuralClassifier": "skkd.neural"}


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
