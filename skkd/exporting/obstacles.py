"""What keeps a network from being exported, in words."""

import math
from typing import Any

import numpy as np

from skkd.inference.module_network import ModuleNetwork
from skkd.inference.network import Network
from skkd.preprocessing.preprocessor import ChannelPreprocessor, ColumnPreprocessor, PassThrough

__all__ = ["obstacle_of_network", "obstacle_of_parameters"]

TRANSFORMER = (
    "preprocessor is a transformer of its own, and a file would have to run its code. Put the "
    "transformer in front of the classifier in a Pipeline, and export the classifier"
)
MODULE = (
    "module is a torch module of its own, and a file would have to run its code. Only .onnx can "
    "hold one"
)
IMAGES = (
    "X has more than two dimensions. Give flat rows of numbers, and let the module begin with "
    "torch.nn.Unflatten"
)


def obstacle_of_parameters(
    module: Any, preprocessor: Any, holds_modules: bool = False
) -> str | None:
    """Return what in the parameters of a classifier keeps all fits from being exported.

    Parameters
    ----------
    module, preprocessor : object
        The parameters of this name.
    holds_modules : bool, default=False
        Whether the format can hold a custom module.

    Returns
    -------
    str or None
        None if nothing does.
    """
    if module is not None and not holds_modules:
        return MODULE
    return None if preprocessor is None or isinstance(preprocessor, str) else TRANSFORMER


def obstacle_of_network(network: Any, holds_modules: bool = False) -> str | None:
    """Return what keeps a fitted network from being exported in any format.

    Parameters
    ----------
    network : object
        A Network can be exported as a rule.
    holds_modules : bool, default=False
        Whether the format can hold a custom module.

    Returns
    -------
    str or None
        None if nothing does.
    """
    if isinstance(network, ModuleNetwork) and not holds_modules:
        return MODULE
    if not isinstance(network, (Network, ModuleNetwork)):
        return f"a {type(network).__name__} is no fitted network of skkd"
    if isinstance(network.preprocessor, ChannelPreprocessor):
        return IMAGES
    if not isinstance(network.preprocessor, (ColumnPreprocessor, PassThrough)):
        return TRANSFORMER
    if network.classes is None:
        return "the network has no classes: give them with network.described(classes)"
    if network.classes.dtype.kind not in "OUbiuf" or not _are_plain(network.classes):
        return f"classes of dtype {network.classes.dtype} are neither text nor numbers"
    if any(map(_is_endless, network.classes.tolist())):
        return "a class is not a finite number: give the classes as text"
    return _obstacle_of_categories(network)


def _are_plain(classes: np.ndarray) -> bool:
    return all(isinstance(label, (str, bool, int, float)) for label in classes.tolist())


def _is_endless(value: Any) -> bool:
    """Whether a value is a number that JSON does not have."""
    return isinstance(value, float) and not math.isfinite(value)


def _obstacle_of_categories(network: Network | ModuleNetwork) -> str | None:
    for feature in network.schema.features:
        for category in feature.categories or ():
            if not isinstance(category, (str, bool, int, float, type(None))):
                kind = type(category).__name__
                return (
                    f"column {feature.name!r} has categories of type {kind} ({category!r}): give "
                    "text or numbers"
                )
            if _is_endless(category):
                return (
                    f"column {feature.name!r} has the category {category!r}, which is not a finite "
                    "number: give the categories as text"
                )
    return None
