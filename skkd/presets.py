"""What "auto" means: two sets of values for the parameters of a classifier.

"tabular" is the default: a recipe for tables, after RealMLP (Holzmüller, Grinsztajn and
Steinwart 2024, "Better by default", arXiv:2407.04491), chosen by
``examples/benchmarks/defaults.py``. "plain" is the network of the textbooks, with the
numbers of scikit-learn's MLPClassifier (but for the penalty, which that divides by the
number of rows in a batch).
"""

import numbers
import sys

from skkd.initializers import Normal
from skkd.parameters import check_flag, check_option, is_auto
from skkd.schedules import CosLog
from skkd.settings import layer_sizes

__all__ = ["PRESETS", "changed", "is_narrow", "with_preset"]

PRESETS = {
    "tabular": {
        "hidden_layer_sizes": (256, 256, 256),
        "activation": "selu",
        "bias_init": Normal(std=1.0),
        "parametrization": "ntk",
        "feature_scale": True,
        "dropout": 0.15,
        "dropout_decay": "flat_cosine",
        "label_smoothing": 0.1,
        "optimizer__betas": (0.9, 0.95),
        "learning_rate": 0.0025,
        "weight_decay": 0.0,
        "lr_decay": "coslog",
        "max_epochs": 64,
        "preprocessor": "robust",
        "numeric_encoding": "selective",
    },
    "plain": {
        "hidden_layer_sizes": (100,),
        "activation": "relu",
        "bias_init": "zeros",
        "parametrization": "standard",
        "feature_scale": False,
        "dropout": 0.0,
        "dropout_decay": "constant",
        "label_smoothing": 0.0,
        "optimizer__betas": (0.9, 0.999),
        "learning_rate": 0.001,
        "weight_decay": 0.0001,
        "lr_decay": "constant",
        "batch_size": 200,
        "max_epochs": 200,
        "preprocessor": "standard",
        "numeric_encoding": None,
    },
}

#: Units of the widest layer of a narrow network.
NARROW = 64

#: Widest layer, waves of the rate, and their epochs.
LONGER = ((NARROW, 6, 269), (128, 5, 132))

#: Layers of fewer units are too small to learn by heart: none of them is dropped.
WIDE = 256

#: The optimisers that NTK rates are made for: for others they would be far too high.
ADAMS = ("adam", "adamw")


def with_preset(estimator, in_parts=False):
    """A copy of an estimator in which no parameter is "auto" that a preset knows.

    Parameters
    ----------
    estimator : NeuralClassifier
    in_parts : bool, default=False
        Whether `partial_fit` asks, which has no end that a schedule could lead to.

    Returns
    -------
    NeuralClassifier

    Examples
    --------
    >>> from skkd import NeuralClassifier
    >>> settings = with_preset(NeuralClassifier(preset="plain", max_epochs=5))
    >>> settings.hidden_layer_sizes, settings.max_epochs
    ((100,), 5)
    """
    check_option("preset", estimator.preset, tuple(PRESETS))
    check_flag("early_stopping", estimator.early_stopping)
    values = _suitable_values(estimator, in_parts)
    settings = changed(estimator)
    for name, value in values.items():
        if is_auto(getattr(settings, name, "auto")):
            setattr(settings, name, value)
    if is_auto(estimator.dropout) and settings.dropout and estimator.module is None:
        settings.dropout = _where_wide(settings.dropout, settings.hidden_layer_sizes)
    if is_auto(estimator.numeric_encoding) and not isinstance(settings.preprocessor, str):
        settings.numeric_encoding = None
    is_standard = isinstance(estimator.parametrization, str) and (
        estimator.parametrization == "standard"
    )
    if is_auto(estimator.learning_rate) and is_standard:
        settings.learning_rate = PRESETS["plain"]["learning_rate"]
    return settings


def changed(estimator, **parameters):
    """A shallow copy of an estimator with other parameters, for reading alone.

    Parameters
    ----------
    estimator : NeuralClassifier
    **parameters : object

    Returns
    -------
    NeuralClassifier
    """
    copied = type(estimator).__new__(type(estimator))
    vars(copied).update(vars(estimator) | parameters)
    return copied


def _suitable_values(estimator, in_parts):
    """The values of the preset, changed where they do not suit the other parameters."""
    values = dict(PRESETS["plain" if estimator.module is not None else estimator.preset])
    if not _is_adam(estimator.optimizer):
        values["parametrization"] = "standard"
        values["learning_rate"] = PRESETS["plain"]["learning_rate"]
        values.pop("optimizer__betas", None)
    if _is_lbfgs(estimator.optimizer) and values["dropout"]:  # noise leads it astray
        values["dropout"] = 0.0
        if is_auto(estimator.batch_size):
            values |= {"batch_size": sys.maxsize, "learning_rate": 1.0}
    has_waves = values["lr_decay"] == "coslog"
    if has_waves:
        values |= _long_enough(estimator)
    if in_parts:
        values |= {"lr_decay": "constant", "dropout_decay": "constant"}
        # The first rows may have columns of no width, or lack some values.
        values |= {"preprocessor": "standard", "numeric_encoding": None}
    elif estimator.early_stopping and has_waves:
        values["lr_decay"] = "cosine"  # whose loss stands still only when it is over
    return values


def _long_enough(estimator):
    """Schedule and epochs: a narrow network learns more slowly, and an epoch of it is cheap.

    More waves of the rate follow those of a wide one, each twice as long as the last.
    """
    sizes = estimator.hidden_layer_sizes
    if is_auto(sizes) or not (is_auto(estimator.lr_decay) and is_auto(estimator.max_epochs)):
        return {}
    sizes = layer_sizes(sizes)
    if not sizes or not all(isinstance(size, numbers.Real) for size in sizes):
        return {}
    for most, waves, epochs in LONGER:
        if max(sizes) <= most:
            return {"lr_decay": CosLog(waves), "max_epochs": epochs}
    return {}


def is_narrow(settings):
    """Whether no layer of the built-in network has more than 64 units.

    Parameters
    ----------
    settings : NeuralClassifier
        With the values of its preset.

    Returns
    -------
    bool
    """
    sizes = layer_sizes(settings.hidden_layer_sizes)
    return settings.module is None and max(sizes, default=0) <= NARROW


def _where_wide(dropout, hidden_layer_sizes):
    """The dropout of each layer."""
    sizes = layer_sizes(hidden_layer_sizes)
    if not all(isinstance(size, numbers.Real) for size in sizes):  # no sizes: `fit` says so
        return dropout
    return tuple(dropout if size >= WIDE else 0.0 for size in sizes)


def _is_adam(optimizer):
    is_torchs = getattr(optimizer, "__module__", "").startswith("torch.optim")
    name = optimizer.__name__.lower() if is_torchs else optimizer
    return isinstance(name, str) and name in ADAMS


def _is_lbfgs(optimizer):
    return getattr(optimizer, "__name__", "") == "LBFGS"
