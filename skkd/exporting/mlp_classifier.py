"""A network as a fitted `MLPClassifier` of scikit-learn, for compilers that take one.

The scaling is merged into the first layer, so it must be linear: no clipping, no bins, no
categories. A `MLPClassifier` takes no missing values.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer

from skkd.data.tables import Table
from skkd.exporting.obstacles import obstacle_of_network
from skkd.exporting.rows import draw_rows
from skkd.exporting.runners import NetworkRunner
from skkd.inference.network import Network
from skkd.preprocessing.preprocessor import ColumnPreprocessor

__all__ = ["mlp_classifier", "obstacle_of_mlp_classifier"]

#: The activations that `MLPClassifier` has.
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")

#: The largest allowed difference between probabilities on drawn rows.
TOLERANCE = 1e-9


def obstacle_of_mlp_classifier(network: Any) -> str | None:
    """Return what keeps a network from being a `MLPClassifier`; None if nothing does.

    Parameters
    ----------
    network : object

    Returns
    -------
    str or None
    """
    reason = obstacle_of_network(network)
    if reason is not None:
        return reason
    reasons = [*_lasting_obstacles(network)] or [*_obstacles_of_parameters(network)]
    return "; ".join(reasons) or None


def _lasting_obstacles(network: Network) -> Iterator[str]:
    """What keeps the network from being an MLPClassifier, whatever its parameters are."""
    if not network.architecture["hidden_layer_sizes"]:
        yield "the network has no hidden layer"
    columns = network.preprocessor
    if isinstance(columns, ColumnPreprocessor) and columns.one_hot:
        yield "X has categories"


def _obstacles_of_parameters(network: Network) -> Iterator[str]:
    """What other parameters of a fit would change; ``preset="plain"`` changes all of it."""
    activation, columns = network.architecture["activation"], network.preprocessor
    if activation not in ACTIVATIONS:
        yield (
            f"activation is {activation!r}, and MLPClassifier has {', '.join(ACTIVATIONS)} (as "
            "preset='plain' has)"
        )
    if not isinstance(columns, ColumnPreprocessor):
        return
    if columns.bins is not None:
        yield "numeric_encoding adds bins: fit with numeric_encoding=None or preset='plain'"
    if columns.clips:
        yield "scaled numbers are clipped: fit with preprocessor='standard', None or preset='plain'"
    if columns.of_no_width:
        yield f"column {columns.of_no_width[0]} is constant, and other values would be clipped"


def mlp_classifier(network: Network) -> MLPClassifier:
    """Return a fitted `MLPClassifier` with the probabilities of a network.

    Parameters
    ----------
    network : Network

    Returns
    -------
    MLPClassifier
        It shares no array with the network. `partial_fit` raises: it cannot be trained further.

    Raises
    ------
    ValueError
        If a `MLPClassifier` cannot have these probabilities. The message names the reason.
    """
    reason = obstacle_of_mlp_classifier(network)
    if reason is not None:
        raise ValueError(f"this classifier cannot become an MLPClassifier: {reason}.")
    weights = [layer.weight.copy() for layer in network.layers]
    biases = [layer.bias.copy() for layer in network.layers]
    if isinstance(network.preprocessor, ColumnPreprocessor):
        centre, scale = network.preprocessor.centre, network.preprocessor.scale
        with np.errstate(all="ignore"):  # the result is compared below
            weights[0] = weights[0] / scale[:, None]
            biases[0] = biases[0] - centre @ weights[0]
    classes = network.schema.classes.copy()
    is_binary = len(classes) == 2
    if is_binary:  # one output, the log-odds of the second class
        weights[-1] = weights[-1][:, [1]] - weights[-1][:, [0]]
        biases[-1] = biases[-1][[1]] - biases[-1][[0]]
    hidden = tuple(network.architecture["hidden_layer_sizes"])
    fitted = MLPClassifier(hidden, activation=network.architecture["activation"])
    fitted.coefs_, fitted.intercepts_ = weights, biases
    fitted.n_layers_, fitted.n_outputs_ = len(weights) + 1, len(biases[-1])
    fitted.out_activation_ = "logistic" if is_binary else "softmax"
    fitted.classes_, fitted._label_binarizer = classes, LabelBinarizer().fit(classes)
    fitted.n_features_in_ = len(network.schema.features)
    _check(fitted, network)
    if network.feature_names is not None:
        fitted.feature_names_in_ = np.array(network.feature_names, dtype=object)
    return fitted


def _check(fitted: MLPClassifier, network: Network) -> None:
    """Compare the probabilities on drawn rows, in which nothing is missing."""
    rows = draw_rows(network.preprocessor, network.schema)
    if isinstance(rows, Table):
        rows = np.column_stack(rows.columns)
    if isinstance(network.preprocessor, ColumnPreprocessor):
        rows = np.where(np.isnan(rows), network.preprocessor.centre, rows)
    _, expected = NetworkRunner(network, network.schema).run(rows)
    with np.errstate(all="ignore"):
        found = fitted.predict_proba(rows.astype(np.float64))
    largest = np.abs(found - expected).max()
    if not largest <= TOLERANCE:  # True also for NaN
        raise ValueError(
            "this classifier cannot become an MLPClassifier: with the scaling merged into the "
            f"first layer, probabilities would differ by {largest:.3g} ({TOLERANCE:g} is allowed). "
            "Subtract a constant from columns of large numbers that differ little."
        )
