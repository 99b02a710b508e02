"""The multilayer perceptron, built from Linear -> BatchNorm -> activation -> Dropout.

=========  ==================================================================
Linear     W x + b
BatchNorm  gamma * (x - mean) / sqrt(var + 1e-5) + beta. In training mean and
           var (biased) are those of the batch, in inference running averages
Dropout    x * mask / (1 - p) in training, x in inference ("inverted")
=========  ==================================================================

``x`` is the input of a layer for one row. ``W x`` is a matrix product, ``*`` and ``/`` work entry
by entry. ``W``, ``b``, ``gamma`` and ``beta`` are learned. A Linear in front of a BatchNorm has no
``b``, because ``beta`` does the same. ``mask`` is 1 for a kept unit and 0 for a dropped one; ``p``
is the probability of 0.

The first layer may be a ScaledLinear, ``W (s * x) + b``: a Linear that first multiplies each
feature by a learned scale, an entry of ``s``.

The last layer is a Linear without activation, so the network always returns logits.
"""

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from skkd import activations
from skkd.initializers import initialize_, resolve_bias_init, resolve_init

__all__ = ["ACTIVATIONS", "MLP", "Dropout", "ScaledLinear", "rate_factors"]

#: By the name of an activation in `skkd.activations`: a function that makes its torch module.
ACTIVATIONS = {name: activation.module for name, activation in activations.ACTIVATIONS.items()}


class Dropout(nn.Module):
    r"""Inverted dropout that can draw from its own random generator.

    In training each entry of the input ``x`` becomes

    .. math:: x \cdot m / (1 - p), \qquad m \sim \mathrm{Bernoulli}(1 - p)

    where ``m`` is 0 for a dropped unit and 1 for a kept one. In inference the layer returns
    ``x``, which is also the expectation of its output in training. torch's Dropout can only
    draw from the global generator, which all threads share.

    Parameters
    ----------
    p : float in [0, 1)
        Probability that a unit is dropped, rounded to a multiple of 1/65536.
    generator : torch.Generator, default=None
        Source of randomness. None is torch's global generator. A pickle or copy of the layer
        does not contain `generator`: the restored layer or the copy draws from the global one.

    References
    ----------
    Srivastava et al. (2014), "Dropout", section 10.

    Examples
    --------
    >>> import torch
    >>> layer = Dropout(0.5, generator=torch.Generator().manual_seed(0))
    >>> sorted(set(layer(torch.ones(100)).tolist()))
    [0.0, 2.0]
    >>> layer.eval()(torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, p: float, generator: torch.Generator | None = None):
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * self.mask(x)

    def mask(self, x: Tensor) -> Tensor:
        """Draw a mask of the shape of `x`: 0 for a dropped unit, 1 / (1 - p) for a kept one."""
        # Each random int64 gives four draws of 16 bits: several times as fast as bernoulli_.
        n_dropped = min(round(self.p * 2**16), 2**16 - 1)  # values of a draw that drop the unit
        numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        draws = numbers.random_(-(2**63), None, generator=self.generator).view(torch.int16)
        is_kept = draws[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return is_kept.to(x.dtype).div_(1 - n_dropped / 2**16)

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "generator": None}


class ScaledLinear(nn.Linear):
    r"""A Linear layer that first multiplies each input by a learned scale.

    .. math:: W (s \odot x) + b

    ``x`` is one row, ``s`` holds one scale per input, :math:`\odot` multiplies entry by entry.
    ``W`` and ``b`` are the weights and biases of the Linear. A plain Linear can represent the
    same functions, but learns them differently: here, one step of training can make an input
    more or less important to all units at once. The scales start at 1 and may be trained at a
    higher learning rate.

    Parameters
    ----------
    in_features, out_features : int
        Number of inputs, and of units.
    bias : bool, default=True
        Whether to add ``b``.
    device : torch.device, default=None
        Where the weights lie. None is torch's default device.
    dtype : torch.dtype, default=None
        Type of the weights. None is torch's default dtype.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv:2407.04491.

    Examples
    --------
    >>> import torch
    >>> ScaledLinear(2, 3).scale
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__(in_features, out_features, bias, device, dtype)
        self.scale = nn.Parameter(torch.ones(in_features, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.scale, self.bias)


class MLP(nn.Sequential):
    """A multilayer perceptron that returns logits.

    Parameters
    ----------
    n_features : int
        Width of the input.
    n_classes : int
        Width of the output.
    hidden_layer_sizes : sequence of int, default=(100,)
        Units per hidden layer. ``()`` is softmax regression: one Linear.
    activation : str, default="relu"
        A key of `ACTIVATIONS`.
    batch_norm : bool, default=False
        Whether to put BatchNorm between each hidden Linear and its activation.
    dropout : float or sequence of float, default=0.0
        Probability of dropping a unit: one for all hidden layers, or one for each.
    feature_scale : bool, default=False
        Whether the first layer is a :class:`ScaledLinear`.
    init : str or Initializer, default="auto"
        Scheme for the starting weights: "auto", a key of `INITIALIZERS` in
        :mod:`skkd.initializers`, or a scheme. "auto" takes the scheme that suits `activation`,
        and Xavier for the last layer, because no activation follows it.
    bias_init : {"zeros"}, float or Initializer, default="zeros"
        Scheme for the starting biases. A number is the start value of every bias.
    zero_output : bool, default=False
        Whether the last layer starts with zero weights and biases, so that all classes start
        equally likely.
    generator : torch.Generator, default=None
        Source of randomness for the weights and for dropout. None is torch's global
        generator.
    dtype : torch.dtype, default=torch.float32

    Notes
    -----
    Shape: (n_rows, n_features) -> (n_rows, n_classes).

    Examples
    --------
    >>> import torch
    >>> mlp = MLP(
    ...     n_features=4, n_classes=3, hidden_layer_sizes=(8,), batch_norm=True, dropout=0.5
    ... )
    >>> [name for name, layer in mlp.named_children()]
    ['linear1', 'batch_norm1', 'activation1', 'dropout1', 'output']
    >>> mlp.linear1.bias is None
    True
    >>> mlp(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features,
        n_classes,
        hidden_layer_sizes=(100,),
        activation="relu",
        batch_norm=False,
        dropout=0.0,
        feature_scale=False,
        init="auto",
        bias_init="zeros",
        zero_output=False,
        generator=None,
        dtype=torch.float32,
    ):
        hidden_init = resolve_init("init", init, activation)
        output_init = resolve_init("init", init, "identity")
        bias_init = resolve_bias_init("bias_init", bias_init)

        def linear(n_in, n_out, bias, weight_init):
            kind = ScaledLinear if feature_scale and not layers else nn.Linear
            layer = nn.utils.skip_init(kind, n_in, n_out, bias=bias, dtype=dtype, device="cpu")
            if kind is ScaledLinear:
                nn.init.ones_(layer.scale)
            return initialize_(layer, weight_init, bias_init, generator)

        rates = dropout_per_layer(dropout, len(hidden_layer_sizes))
        layers = OrderedDict()
        width = n_features
        for i, (n_units, p) in enumerate(zip(hidden_layer_sizes, rates, strict=True), start=1):
            layers[f"linear{i}"] = linear(width, n_units, not batch_norm, hidden_init)
            if batch_norm:
                layers[f"batch_norm{i}"] = nn.BatchNorm1d(n_units, dtype=dtype, device="cpu")
            layers[f"activation{i}"] = activations.ACTIVATIONS[activation].module()
            if p > 0:
                layers[f"dropout{i}"] = Dropout(p, generator)
            width = n_units
        layers["output"] = linear(width, n_classes, True, output_init)
        if zero_output:
            nn.init.zeros_(layers["output"].weight)
            nn.init.zeros_(layers["output"].bias)
        super().__init__(layers)


def dropout_per_layer(dropout: Any, n_layers: int) -> tuple[float, ...]:
    """Return one dropout probability for each of `n_layers` hidden layers.

    `dropout` is one probability for all layers, or a sequence with one for each.
    """
    try:
        return tuple(dropout)
    except TypeError:
        return (dropout,) * n_layers


#: With ``parametrization="ntk"``, the weights of a layer with this many inputs are trained at
#: exactly `learning_rate`.
USUAL_INPUTS = 256


def rate_factors(module: MLP) -> dict[nn.Parameter, float]:
    r"""Return the learning-rate factors that train an MLP as in the NTK parametrisation.

    In the NTK parametrisation a layer with d inputs x, weights W and biases b computes
    :math:`W x / \sqrt{d} + b`, and the entries of W start with variance 1. A usual layer
    computes :math:`V x + b`, and the entries of V start with variance 1/d. Adam trains both in
    the same way if V has :math:`1 / \sqrt{d}` times the learning rate of W. (The steps of Adam
    do not depend on the size of the gradients.) One `learning_rate` then suits layers of
    every width.

    Weights therefore have the factor :math:`1 / \sqrt{d}`. As in RealMLP, biases have the
    factor 0.1, and the scale of a :class:`ScaledLinear` has the factor 6. Finally all factors
    are multiplied by :math:`\sqrt{256}`, so that the weights of a layer with 256 inputs have
    factor 1.

    Parameters
    ----------
    module : MLP

    Returns
    -------
    dict of torch.nn.Parameter to float
        The factor by which `learning_rate` is multiplied for each parameter of `module`.

    References
    ----------
    Jacot, Gabriel and Hongler (2018), "Neural tangent kernel", arXiv:1806.07572;
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv:2407.04491.

    Examples
    --------
    Weights and biases of the hidden layer (4 inputs), then of the last layer (256 inputs):

    >>> mlp = MLP(n_features=4, n_classes=3, hidden_layer_sizes=(256,))
    >>> list(rate_factors(mlp).values())
    [8.0, 1.6, 1.0, 1.6]
    """
    factors = {}
    for layer in module:
        for name, parameter in layer.named_parameters():
            of_matrix = 1 / math.sqrt(parameter.shape[1]) if parameter.ndim > 1 else 1.0
            factor = {"scale": 6.0, "bias": 0.1}.get(name, of_matrix)
            factors[parameter] = factor * math.sqrt(USUAL_INPUTS)
    return factors
