"""The activations of :mod:`skkd.activations` as nodes of ONNX.

Only operators that onnxruntime has in both float32 and float64 are used: Elu, Selu and Softplus
are not among them.
"""

from collections.abc import Callable

import numpy as np

from skkd.activations import SELU_ALPHA, SELU_SCALE
from skkd.exporting.onnx.graph import Graph

__all__ = ["ONNX_ACTIVATIONS"]


def _scaled(graph: Graph, x: str, factor: float) -> str:
    return graph.add("Mul", x, graph.numbers("factor", factor))


def _leaky_relu(graph: Graph, x: str) -> str:
    return graph.add("Max", x, _scaled(graph, x, 0.01))


def _elu(graph: Graph, x: str) -> str:
    """``x`` above 0, ``exp(x) - 1`` below, as ``max(x, 0) + exp(min(x, 0)) - 1``."""
    below = _exp_minus_one_below_zero(graph, x)
    return graph.add("Add", graph.add("Relu", x), below)


def _selu(graph: Graph, x: str) -> str:
    below = _scaled(graph, _exp_minus_one_below_zero(graph, x), SELU_ALPHA)
    return _scaled(graph, graph.add("Add", graph.add("Relu", x), below), SELU_SCALE)


def _exp_minus_one_below_zero(graph: Graph, x: str) -> str:
    exp = graph.add("Exp", graph.add("Min", x, graph.numbers("zero", 0.0)))
    return graph.add("Sub", exp, graph.numbers("one", 1.0))


def _gelu(graph: Graph, x: str) -> str:
    """``x Phi(x)`` in the tanh approximation. The cube of a bounded x does not overflow."""
    low, high = graph.numbers("low", -1e3), graph.numbers("high", 1e3)
    bounded = graph.add("Clip", x, low, high)
    cube = graph.add("Mul", graph.add("Mul", bounded, bounded), bounded)
    inner = graph.add("Add", bounded, _scaled(graph, cube, 0.044715))
    tanh = graph.add("Tanh", _scaled(graph, inner, np.sqrt(2 / np.pi)))
    return graph.add(
        "Mul", _scaled(graph, x, 0.5), graph.add("Add", tanh, graph.numbers("one", 1.0))
    )


def _silu(graph: Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _mish(graph: Graph, x: str) -> str:
    """``x tanh(log(1 + exp(x)))``, with ``log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))``."""
    exp = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    log = graph.add("Log", graph.add("Add", exp, graph.numbers("one", 1.0)))
    softplus = graph.add("Add", graph.add("Relu", x), log)
    return graph.add("Mul", x, graph.add("Tanh", softplus))


#: By the name of the activation: ``(graph, x) -> z``, where x and z are names of values.
ONNX_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda graph, x: x,
    "logistic": lambda graph, x: graph.add("Sigmoid", x),
    "tanh": lambda graph, x: graph.add("Tanh", x),
    "relu": lambda graph, x: graph.add("Relu", x),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
}
