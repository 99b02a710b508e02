"""The values of "auto": two presets for the parameters of a classifier.

"tabular" is the default: a recipe for tables, after RealMLP (Holzmüller, Grinsztajn and
Steinwart 2024, "Better by default", arXiv:2407.04491), chosen by
``examples/benchmarks/defaults.py``. "plain" is the textbook network, with the defaults of
scikit-learn's MLPClassifier (except for the penalty, which MLPClassifier divides by the number
of rows in a batch).
"""

import numbers
import sys
from collections.abc import Mapping
from typing import Any

from skkd.checks import check_flag, check_option, is_auto, is_listed
from skkd.initializers import Normal
from skkd.schedules import SCHEDULES, Constant, CosLog

__all__ = ["NARROW", "PRESETS", "layer_sizes", "with_preset"]

PRESETS: dict[str, dict[str, Any]] = {
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

#: A network is narrow if no layer has more units.
NARROW = 64

#: (units of the widest layer at most, cycles of the learning rate, epochs).
LONGER = ((NARROW, 6, 269), (128, 5, 132))

#: Layers of fewer units are too small to overfit, and have no dropout.
WIDE = 256

#: The optimisers that NTK learning rates suit; for others they would be far too high.
ADAMS = ("adam", "adamw")


def layer_sizes(hidden_layer_sizes: Any) -> tuple:
    """Units of each hidden layer.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int

    Returns
    -------
    tuple

    Examples
    --------
    >>> layer_sizes(100), layer_sizes([64, 64]), layer_sizes(())
    ((100,), (64, 64), ())
    """
    return tuple(hidden_layer_sizes) if is_listed(hidden_layer_sizes) else (hidden_layer_sizes,)


def with_preset(parameters: Mapping[str, Any], in_parts: bool = False) -> dict[str, Any]:
    """The parameters of a classifier, with the values of its preset in place of "auto".

    Parameters
    ----------
    parameters : dict of str to object
        The result of `get_params`.
    in_parts : bool, default=False
        Whether they are for `partial_fit`, which has no last epoch for a schedule to end at.

    Returns
    -------
    dict of str to object

    Examples
    --------
    >>> from skkd import NeuralClassifier
    >>> clf = NeuralClassifier(preset="plain", max_epochs=5)
    >>> resolved = with_preset(clf.get_params())
    >>> resolved["hidden_layer_sizes"], resolved["max_epochs"]
    ((100,), 5)
    """
    check_option("preset", parameters["preset"], tuple(PRESETS))
    check_flag("early_stopping", parameters["early_stopping"])
    resolved = dict(parameters)
    for name, value in _suitable_values(parameters, in_parts).items():
        if is_auto(resolved.get(name, "auto")):
            resolved[name] = value
    if is_auto(parameters["dropout"]) and resolved["dropout"] and parameters["module"] is None:
        resolved["dropout"] = _where_wide(resolved["dropout"], resolved["hidden_layer_sizes"])
    if is_auto(parameters["numeric_encoding"]) and not isinstance(resolved["preprocessor"], str):
        resolved["numeric_encoding"] = None
    parametrization = parameters["parametrization"]
    is_standard = isinstance(parametrization, str) and parametrization == "standard"
    if is_auto(parameters["learning_rate"]) and is_standard:
        resolved["learning_rate"] = PRESETS["plain"]["learning_rate"]
    return resolved


def _suitable_values(parameters: Mapping[str, Any], in_parts: bool) -> dict[str, Any]:
    """The values of the preset, changed where they do not suit the other parameters."""
    values = dict(PRESETS["plain" if parameters["module"] is not None else parameters["preset"]])
    if not _is_adam(parameters["optimizer"]):
        values["parametrization"] = "standard"
        values["learning_rate"] = PRESETS["plain"]["learning_rate"]
        values.pop("optimizer__betas", None)
    if (
        _is_lbfgs(parameters["optimizer"]) and values["dropout"]
    ):  # its line search needs a loss without noise
        values["dropout"] = 0.0
        if is_auto(parameters["batch_size"]):
            values |= {"batch_size": sys.maxsize, "learning_rate": 1.0}
    has_cycles = values["lr_decay"] == "coslog"
    if has_cycles:
        values |= _long_enough(parameters)
    if _watches_loss(parameters["lr_decay"]):  # "plateau" ends training by itself
        values["max_epochs"] = PRESETS["plain"]["max_epochs"]
    if in_parts:
        values |= {"lr_decay": "constant", "dropout_decay": "constant"}
        # Columns may be constant in the first rows, or lack some values.
        values |= {"preprocessor": "standard", "numeric_encoding": None}
    elif parameters["early_stopping"] and has_cycles:
        values["lr_decay"] = "cosine"  # its loss stops improving only at the end
    return values


def _long_enough(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Schedule and epochs of a narrow network, which learns more slowly but is cheap per epoch.

    It has more cycles of the learning rate than a wide one, each twice as long as the last.
    """
    sizes = parameters["hidden_layer_sizes"]
    if is_auto(sizes) or not (
        is_auto(parameters["lr_decay"]) and is_auto(parameters["max_epochs"])
    ):
        return {}
    sizes = layer_sizes(sizes)
    if not sizes or not all(isinstance(size, numbers.Real) for size in sizes):
        return {}
    for widest, cycles, epochs in LONGER:
        if max(sizes) <= widest:
            return {"lr_decay": CosLog(cycles), "max_epochs": epochs}
    return {}


def _where_wide(dropout: float, hidden_layer_sizes: Any) -> Any:
    """The dropout of each layer: 0 in narrow ones."""
    sizes = layer_sizes(hidden_layer_sizes)
    if not all(isinstance(size, numbers.Real) for size in sizes):  # refused later, by `Config`
        return dropout
    return tuple(dropout if size >= WIDE else 0.0 for size in sizes)


def _watches_loss(lr_decay: Any) -> bool:
    schedule = SCHEDULES.get(lr_decay, Constant)() if isinstance(lr_decay, str) else lr_decay
    return getattr(schedule, "plateau", None) is not None


def _is_adam(optimizer: Any) -> bool:
    is_torchs = getattr(optimizer, "__module__", "").startswith("torch.optim")
    name = optimizer.__name__.lower() if is_torchs else optimizer
    return isinstance(name, str) and name in ADAMS


def _is_lbfgs(optimizer: Any) -> bool:
    return getattr(optimizer, "__name__", "") == "LBFGS"
