"""The multilayer perceptron, built from Linear -> BatchNorm -> activation -> Dropout.

=========  ==================================================================
Linear     W x + b; without b where BatchNorm follows, whose shift replaces it
BatchNorm  gamma (x - mean) / sqrt(var + 1e-5) + beta; mean and var are the
           batch's in training (var biased), running averages in inference
Dropout    x mask / (1 - p) in training, x in inference ("inverted")
=========  ==================================================================

The last layer is a bare Linear: modules return logits, always.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from skkd.initializers import initialize_, resolve_bias_init, resolve_init

__all__ = ["ACTIVATIONS", "MLP", "Dropout"]

ACTIVATIONS = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
}


class Dropout(nn.Module):
    r"""Inverted dropout that draws from a generator of its own.

    .. math:: x \cdot m / (1 - p), \qquad m \sim \mathrm{Bernoulli}(1 - p)

    in training, the identity in inference; so the expectation is the same in both.
    torch's own draws from the global generator only, which two threads would share.

    Parameters
    ----------
    p : float in [0, 1)
        Probability that a unit is dropped.
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
        keep = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return keep.div_(1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __getstate__(self):
        return {**super().__getstate__(), "generator": None}


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
    init, bias_init : str, float or Initializer, default="auto" and "zeros"
        See :mod:`skkd.initializers`. The last layer feeds no activation, so "auto"
        is Xavier there.
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
        init="auto",
        bias_init="zeros",
        generator=None,
        dtype=torch.float32,
    ):
        hidden_init = resolve_init("init", init, activation)
        output_init = resolve_init("init", init, "identity")
        bias_init = resolve_bias_init("bias_init", bias_init)

        def linear(n_in, n_out, bias, weight_init):
            layer = nn.utils.skip_init(nn.Linear, n_in, n_out, bias=bias, dtype=dtype, device="cpu")
            return initialize_(layer, weight_init, bias_init, generator)

        rates = dropout_per_layer(dropout, len(hidden_layer_sizes))
        layers = OrderedDict()
        width = n_features
        for i, (n_units, p) in enumerate(zip(hidden_layer_sizes, rates, strict=True), start=1):
            layers[f"linear{i}"] = linear(width, n_units, not batch_norm, hidden_init)
            if batch_norm:
                layers[f"batch_norm{i}"] = nn.BatchNorm1d(n_units, dtype=dtype, device="cpu")
            layers[f"activation{i}"] = ACTIVATIONS[activation]()
            if p > 0:
                layers[f"dropout{i}"] = Dropout(p, generator)
            width = n_units
        layers["output"] = linear(width, n_classes, True, output_init)
        super().__init__(layers)


def dropout_per_layer(dropout, n_layers):
    """One dropout probability per hidden layer, from one for all or one for each."""
    try:
        return tuple(dropout)
    except TypeError:
        return (dropout,) * n_layers
