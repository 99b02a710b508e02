"""The two presets: the values that replace "auto" in the parameters of a classifier.

"tabular", the default, is a recipe for tables. It follows RealMLP (Holzmüller, Grinsztajn and
Steinwart 2024, "Better by default", arXiv:2407.04491) and was chosen by the benchmark
``examples/benchmarks/defaults.py``. "plain" is the textbook network, with the defaults of
scikit-learn's MLPClassifier. Only the L2 penalty differs: MLPClassifier divides it by the number
of rows in a batch, skkd does not.
"""

import numbers
import sys
from collections.abc import Mapping
from typing import Any

from skkd.checks import check_flag, check_option, is_auto, is_listed
from skkd.initializers import Normal
from skkd.schedules import SCHEDULES, Constant, CosLog

__all__ = ["NARROW", "PRESETS", "SMALLER_SIZES", "asks_for_smallest", "layer_sizes", "with_preset"]

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

#: The hidden layers that ``hidden_layer_sizes="smallest"`` tries after those of "auto".
SMALLER_SIZES: dict[str, tuple[tuple[int, ...], ...]] = {
    "tabular": ((128, 128), (64, 64), (32, 32), (16,), ()),
    "plain": ((50,), (25,), (10,), ()),
}

#: A network is narrow if no hidden layer has more units than this.
NARROW = 64

#: Longer trainings of small networks: (largest number of units in a layer, cycles of the
#: learning rate, epochs).
LONGER = ((NARROW, 6, 269), (128, 5, 132))

#: Layers with fewer units than this are too small to overfit and get no dropout.
WIDE = 256

#: The optimisers that suit the learning rates of ``parametrization="ntk"``. These rates are far
#: too high for other optimisers.
ADAMS = ("adam", "adamw")


def layer_sizes(hidden_layer_sizes: Any) -> tuple:
    """Return the number of units of each hidden layer as a tuple.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        An integer means one hidden layer.

    Returns
    -------
    tuple

    Examples
    --------
    >>> layer_sizes(100), layer_sizes([64, 64]), layer_sizes(())
    ((100,), (64, 64), ())
    """
    return tuple(hidden_layer_sizes) if is_listed(hidden_layer_sizes) else (hidden_layer_sizes,)


def asks_for_smallest(hidden_layer_sizes: Any) -> bool:
    """Whether the parameter `hidden_layer_sizes` is "smallest".

    Parameters
    ----------
    hidden_layer_sizes : object

    Returns
    -------
    bool
    """
    return isinstance(hidden_layer_sizes, str) and hidden_layer_sizes == "smallest"


def with_preset(parameters: Mapping[str, Any], in_parts: bool = False) -> dict[str, Any]:
    """Replace "auto" in the parameters of a classifier by the values of the preset.

    A parameter for which the preset has no value stays "auto". For `partial_fit`, "auto" has the
    following values instead of the preset's: "constant" for `lr_decay` and `dropout_decay`,
    "standard" for `preprocessor`, and None for `numeric_encoding`.

    The value "smallest" of `hidden_layer_sizes` is replaced like "auto".

    Parameters
    ----------
    parameters : dict of str to object
        The result of `get_params`. ``parameters["preset"]`` names the preset.
    in_parts : bool, default=False
        Whether the parameters are for `partial_fit`.

    Returns
    -------
    dict of str to object
        A copy of `parameters` in which values have replaced "auto". For Adam and AdamW,
        "optimizer__betas" is added if `parameters` does not have it.

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
    if asks_for_smallest(parameters["hidden_layer_sizes"]):
        parameters = {**parameters, "hidden_layer_sizes": "auto"}
    resolved = dict(parameters)
    for name, value in _suitable_values(parameters, in_parts).items():
        if is_auto(resolved.get(name, "auto")):
            resolved[name] = value
    if is_auto(parameters["dropout"]) and resolved["dropout"] and parameters["module"] is None:
        resolved["dropout"] = _dropout_by_width(resolved["dropout"], resolved["hidden_layer_sizes"])
    if is_auto(parameters["numeric_encoding"]) and not isinstance(resolved["preprocessor"], str):
        resolved["numeric_encoding"] = None
    parametrization = parameters["parametrization"]
    is_standard = isinstance(parametrization, str) and parametrization == "standard"
    if is_auto(parameters["learning_rate"]) and is_standard:
        resolved["learning_rate"] = PRESETS["plain"]["learning_rate"]
    return resolved


def _suitable_values(parameters: Mapping[str, Any], in_parts: bool) -> dict[str, Any]:
    """Return the preset's values, adapted to the parameters that the user has set."""
    values = dict(PRESETS["plain" if parameters["module"] is not None else parameters["preset"]])
    if not _is_adam(parameters["optimizer"]):
        values["parametrization"] = "standard"
        values["learning_rate"] = PRESETS["plain"]["learning_rate"]
        values.pop("optimizer__betas", None)
    if _is_lbfgs(parameters["optimizer"]) and values["dropout"]:
        values["dropout"] = 0.0  # the line search of LBFGS needs a loss without noise
        if is_auto(parameters["batch_size"]):
            values |= {"batch_size": sys.maxsize, "learning_rate": 1.0}
    has_cycles = values["lr_decay"] == "coslog"
    if has_cycles:
        values |= _longer_training(parameters)
    if _watches_loss(parameters["lr_decay"]):  # "plateau" ends training by itself
        values["max_epochs"] = PRESETS["plain"]["max_epochs"]
    if in_parts:  # `partial_fit` does not know the number of epochs
        values |= {"lr_decay": "constant", "dropout_decay": "constant"}
        # In the first rows a column may be constant or lack some of its later values.
        values |= {"preprocessor": "standard", "numeric_encoding": None}
    elif parameters["early_stopping"] and has_cycles:
        values["lr_decay"] = "cosine"  # a rising rate, as in "coslog", raises the loss for a while
    return values


def _longer_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lr_decay` and `max_epochs` for small networks, or {} to keep the preset's values."""
    # Small networks learn more slowly, but their epochs are cheap. What the user has set stays.
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


def _dropout_by_width(dropout: float, hidden_layer_sizes: Any) -> Any:
    """Return the dropout of each hidden layer: 0 for fewer than 256 units, else `dropout`."""
    sizes = layer_sizes(hidden_layer_sizes)
    if not all(isinstance(size, numbers.Real) for size in sizes):  # `Config` refuses them later
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
