"""Turn a big fitted classifier into a small, fast neural network, inside scikit-learn.

Its modules from the bottom up: each imports only from lines above its own in this list.

    checks doc_links forks           errors, warnings; links to the docs; torch in a forked child
    runtime progress                 threads, seeds, devices; progress bars
    losses schedules                 the formulas of losses and learning-rate decay
    activations initializers         activations and their derivatives; initial weights
    optimizers                       the names of optimisers
    data                             the caller's rows, labels, weights: checked, read, split
    preprocessing                    turns X into the inputs of the network
    inference                        a fitted network as plain data, in NumPy alone
    exporting                        a fitted network as one file, checked, and back
    modules presets callbacks        the torch network; what "auto" means; skorch's callbacks
    teachers                         predict with, clone and fit teachers of any kind
    transfer                         rows without labels, labelled by a teacher
    config                           the parameters of an estimator, checked
    training                         dataset -> fitted network
    supervision distillation         what a network learns from: labels, a teacher
    selection                        choices made on held-out rows: candidate, number of epochs
    estimators                       NeuralClassifier, DistilledClassifier; fit, in fitting.py
"""

from skkd import forks as forks  # registers a handler for forked child processes

__version__ = "0.1.0.dev0"

__all__ = [
    "DistilledClassifier",
    "NeuralClassifier",
    "export",
    "initializers",
    "load",
    "losses",
    "modules",
    "preprocessing",
    "register_skl2onnx",
    "schedules",
    "transfer",
]

#: Estimators and functions, and the modules that define them.
DEFINED_IN = {
    "DistilledClassifier": "skkd.estimators.distilled",
    "NeuralClassifier": "skkd.estimators.neural",
    "export": "skkd.estimators.export",
    "load": "skkd.exporting.load",
    "register_skl2onnx": "skkd.estimators.skl2onnx",
}


def __getattr__(name):
    from importlib import import_module  # on top it would double the time of `import skkd`

    # Import a name on first use: `import skkd` stays fast and does not import torch.
    if name in DEFINED_IN:
        return getattr(import_module(DEFINED_IN[name]), name)
    if name in __all__:
        return import_module(f"skkd.{name}")
    raise AttributeError(f"module 'skkd' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
