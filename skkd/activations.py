"""The activation functions of the hidden layers: one :class:`Activation` for each name.

===========  =====================================================  ==========
identity     x                                                      Xavier
logistic     1 / (1 + exp(-x))                                      Xavier
tanh         tanh(x)                                                Xavier
relu         max(x, 0)                                              He
leaky_relu   max(x, 0.01 x)                                         He
elu          x above 0, exp(x) - 1 below                            He
selu         1.0507 x above 0, 1.0507 * 1.6733 (exp(x) - 1) below   LeCun
gelu         x Phi(x), in the tanh approximation                    He
silu         x / (1 + exp(-x))                                      He
mish         x tanh(log(1 + exp(x)))                                He
===========  =====================================================  ==========

``Phi`` is the distribution function of the standard normal distribution. The last column is
the initialisation scheme that ``init="auto"`` uses for the layer in front of the activation. To
add an activation, add an entry to :data:`ACTIVATIONS`.

Importing this file does not import torch. Making a torch module does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Activation"]


@dataclass(frozen=True)
class Activation:
    """An activation function in NumPy and torch, with its derivative and initialisation.

    Training without autograd calls `forward` and `backward`. Their arguments and results are

    - ``layer``: the torch module that `module` makes;
    - ``x`` and ``z``: the input and the output of ``layer``;
    - ``dx`` and ``dz``: the derivatives of the loss with respect to ``x`` and ``z``;
    - ``aten``: ``torch.ops.aten``.

    Parameters
    ----------
    numpy : callable
        Applies the function to a NumPy array, for prediction; may overwrite the array.
    module : callable
        Called without arguments, makes the torch module.
    init : str
        The key of `skkd.initializers.INITIALIZERS` that ``init="auto"`` stands for.
    negative_slope : float, default=0.0
        Slope of the function below 0, for the scheme "he".
    forward : callable, default=None
        ``(layer, x) -> z``. With None, ``layer(x)`` is called instead.
    backward : callable, default=None
        ``(aten, layer, dz, x, z) -> dx``. With None, the network is trained by autograd.

    Examples
    --------
    >>> import numpy as np
    >>> ACTIVATIONS["relu"].numpy(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> ACTIVATIONS["relu"].module()
    ReLU()
    """

    numpy: Callable[[np.ndarray], np.ndarray]
    # Each activation needs a module class of its own: training without autograd finds the
    # activation by that class.
    module: Callable[[], nn.Module]
    init: str
    negative_slope: float = 0.0
    # `forward` may overwrite x if `backward` does not read x.
    forward: Callable[[Any, Tensor], Tensor] | None = None
    backward: Callable[[Any, Any, Tensor, Tensor, Tensor], Tensor] | None = None


def _of_torch(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """Return a function that imports torch and makes the module `name` of torch.nn."""

    def make() -> nn.Module:
        from torch import nn

        return getattr(nn, name)(**settings)

    return make


def logistic(x: np.ndarray) -> np.ndarray:
    """Compute ``1 / (1 + exp(-x))`` without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def softplus(x: np.ndarray) -> np.ndarray:
    """Compute ``log(1 + exp(x))`` without overflow."""
    return np.logaddexp(0, x)


def elu(x: np.ndarray) -> np.ndarray:
    """Return ``x`` where it is above 0, and ``exp(x) - 1`` elsewhere."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: np.ndarray) -> np.ndarray:
    """Compute the scaled ELU, which keeps mean and variance near 0 and 1 (arXiv:1706.02515)."""
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def _selu_(layer: Any, x: Tensor) -> Tensor:  # an `Activation.forward`, so it takes `layer`
    """Apply torch's SELU to `x` in place."""
    import torch

    return torch.selu_(x)


def gelu(x: np.ndarray) -> np.ndarray:
    """Compute the Gaussian error linear unit in the tanh approximation of arXiv:1606.08415."""
    bounded = np.clip(x, -1e3, 1e3)  # avoids overflow of the cube; tanh is +-1 there anyway
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (bounded + 0.044715 * bounded**3)))


#: The activations by name. The derivatives are torch's own kernels. The derivatives of relu,
#: logistic, tanh, elu and selu are computed from z, which avoids another exponential.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        lambda x: x,
        _of_torch("Identity"),
        init="xavier",
        forward=lambda layer, x: x,
        backward=lambda aten, layer, d, x, z: d,
    ),
    "logistic": Activation(
        logistic,
        _of_torch("Sigmoid"),
        init="xavier",
        forward=lambda layer, x: x.sigmoid_(),
        backward=lambda aten, layer, d, x, z: aten.sigmoid_backward(d, z),
    ),
    "tanh": Activation(
        np.tanh,
        _of_torch("Tanh"),
        init="xavier",
        forward=lambda layer, x: x.tanh_(),
        backward=lambda aten, layer, d, x, z: aten.tanh_backward(d, z),
    ),
    "relu": Activation(
        lambda x: np.maximum(x, 0, out=x),
        _of_torch("ReLU"),
        init="he",
        forward=lambda layer, x: x.relu_(),
        backward=lambda aten, layer, d, x, z: aten.threshold_backward(d, z, 0),
    ),
    "leaky_relu": Activation(
        lambda x: np.maximum(x, 0.01 * x),
        _of_torch("LeakyReLU"),
        init="he",
        negative_slope=0.01,
        backward=lambda aten, layer, d, x, z: aten.leaky_relu_backward(
            d, x, layer.negative_slope, False
        ),
    ),
    "elu": Activation(
        elu,
        _of_torch("ELU"),
        init="he",
        backward=lambda aten, layer, d, x, z: aten.elu_backward(d, layer.alpha, 1, 1, True, z),
    ),
    "selu": Activation(
        selu,
        _of_torch("SELU"),
        init="lecun",
        forward=_selu_,
        backward=lambda aten, layer, d, x, z: aten.elu_backward(
            d, SELU_ALPHA, SELU_SCALE, 1, True, z
        ),
    ),
    "gelu": Activation(
        gelu,
        _of_torch("GELU", approximate="tanh"),
        init="he",
        backward=lambda aten, layer, d, x, z: aten.gelu_backward(
            d, x, approximate=layer.approximate
        ),
    ),
    "silu": Activation(
        lambda x: x * logistic(x),
        _of_torch("SiLU"),
        init="he",
        backward=lambda aten, layer, d, x, z: aten.silu_backward(d, x),
    ),
    "mish": Activation(
        lambda x: x * np.tanh(softplus(x)),
        _of_torch("Mish"),
        init="he",
        backward=lambda aten, layer, d, x, z: aten.mish_backward(d, x),
    ),
}
