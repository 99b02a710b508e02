"""The multilayer perceptron, built from Linear -> BatchNorm -> activation -> Dropout.

=========  ==================================================================
Linear     W x + b; without b where BatchNorm follows, whose shift replaces it
BatchNorm  gamma (x - mean) / sqrt(var + 1e-5) + beta; mean and var are the
           batch's in training (var biased), running averages in inference
Dropout    x mask / (1 - p) in training, x in inference ("inverted")
=========  ==================================================================

The first layer may be a ScaledLinear, ``W (s x) + b``: a learned scale of each feature.

The last layer is a bare Linear: modules return logits, always.
"""

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from skkd import activations
from skkd.initializers import initialize_, resolve_bias_init, resolve_init

__all__ = ["ACTIVATIONS", "MLP", "Dropout", "ScaledLinear", "rate_factors"]

#: Functions that make the torch module of an activation, by its name in `skkd.activations`.
ACTIVATIONS = {name: activation.module for name, activation in activations.ACTIVATIONS.items()}


class Dropout(nn.Module):
    r"""Inverted dropout that draws from a generator of its own.

    .. math:: x \cdot m / (1 - p), \qquad m \sim \mathrm{Bernoulli}(1 - p)

    in training, the identity in inference; so the expectation is the same in both.
    torch's own draws from the global generator only, which two threads would share.

    Parameters
    ----------
    p : float in [0, 1)
        Probability that a unit is dropped, rounded to a multiple of 1/65536.
    generator : torch.Generator, default=None
        None is torch's global generator. It is neither pickled nor copied.

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
        """A new draw, of the shape of `x`: 0 where a unit is dropped, else 1 / (1 - p)."""
        # Four draws of 16 bits from each number: several times as fast as bernoulli_.
        n_dropped = min(round(self.p * 2**16), 2**16 - 1)  # of the 2**16 equally likely draws
        numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        draws = numbers.random_(-(2**63), None, generator=self.generator).view(torch.int16)
        is_kept = draws[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return is_kept.to(x.dtype).div_(1 - n_dropped / 2**16)

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "generator": None}


class ScaledLinear(nn.Linear):
    r"""A Linear with a learned scale of each input.

    .. math:: W (s \odot x) + b

    ``W s`` could be learned by W alone. But s, which starts at 1 and has a higher learning
    rate, scales an input for all units at once.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, default=True
    device : torch.device, default=None
    dtype : torch.dtype, default=None

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
        BatchNorm between each hidden Linear and its activation.
    dropout : float or sequence of float, default=0.0
        Probability of dropping a unit, one for all hidden layers or one for each.
    feature_scale : bool, default=False
        Whether the first layer is a :class:`ScaledLinear`.
    init, bias_init : str, float or Initializer, default="auto" and "zeros"
        See :mod:`skkd.initializers`. The last layer feeds no activation, so "auto"
        is Xavier there.
    zero_output : bool, default=False
        Whether the last layer starts at zero, and all classes equally likely.
    generator : torch.Generator, default=None
        For the weights and for dropout; None is torch's global one.
    dtype : torch.dtype, default=torch.float32

    Notes
    -----
    Shape: (n_rows, n_features) -> (n_rows, n_classes).

    Examples
    --------
    >>> import torch
    >>> mlp = MLP(4, 3, hidden_layer_sizes=(8,), batch_norm=True, dropout=0.5)
    >>> [name for name, layer in mlp.named_children()]
    ['linear1', 'batch_norm1', 'activation1', 'dropout1', 'output']
    >>> mlp.linear1.bias is None
    True
    >>> MLP(4, 3)(torch.zeros(5, 4)).shape
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
    """One dropout probability per hidden layer, from one for all or one for each."""
    try:
        return tuple(dropout)
    except TypeError:
        return (dropout,) * n_layers


#: Inputs of the layer whose learning rate is `learning_rate` itself in "ntk".
USUAL_INPUTS = 256


def rate_factors(module: MLP) -> dict[nn.Parameter, float]:
    r"""Factors of the learning rate that train an MLP as in the NTK parametrisation.

    There a layer is :math:`W x / \sqrt{d} + b` with d inputs, and W starts with variance
    1. A layer :math:`V x + b` whose V starts with variance 1/d learns the same from an
    optimiser of Adam's kind, for which only the rate matters, if the rate of V is divided
    by :math:`\sqrt{d}`: so a good rate is good for every width. Biases learn ten times
    more slowly than W, and a scale of features six times faster, as in RealMLP. All of it
    is divided by the factor of a layer with 256 inputs, so that a learning rate means
    what it usually means.

    Parameters
    ----------
    module : MLP

    Returns
    -------
    dict of torch.nn.Parameter to float

    References
    ----------
    Jacot, Gabriel and Hongler (2018), "Neural tangent kernel", arXiv:1806.07572;
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv:2407.04491.

    Examples
    --------
    >>> mlp = MLP(4, 3, hidden_layer_sizes=(256,))
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
