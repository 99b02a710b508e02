"""Forward and backward passes of the built-in network's layers, without autograd.

For small networks autograd's bookkeeping takes half of the time of a training step. Here the
table :data:`PASSES` maps each kind of layer to a class with a forward and a backward function.
A new kind of layer needs an entry there; the activations come from :mod:`skkd.activations`.
The gradients are those of autograd, up to rounding.

A layer turns its inputs ``x`` of shape (n_rows, n_inputs) into outputs ``z`` of shape
(n_rows, n_units). ``dx`` is the derivative of the loss with respect to ``x``, and has the shape
of ``x``; likewise ``dz``, ``dW``, ``db`` and ``ds``. ``@`` is the matrix product, and ``*``
multiplies element by element:

============  ==================================  ========================================
layer         forward                             backward
============  ==================================  ========================================
Linear        z = x @ W.T + b                     dW = dz.T @ x, db = sum of dz over rows,
                                                  dx = dz @ W
ScaledLinear  z = x @ (W * s).T + b               dW = (dz.T @ x) * s, db as for Linear,
                                                  ds = sum of W * (dz.T @ x) over units
BatchNorm     z = gamma * (x - mean) / sd + beta  by torch's own kernel
activation f  z = f(x)                            dx = dz * f'(x), by torch's own kernels
Dropout       z = x * m                           dx = dz * m
============  ==================================  ========================================

``W`` are the weights, of shape (n_units, n_inputs), ``b`` the biases of the units, and ``s`` the
scales of the inputs. ``mean`` and ``sd`` are those of each column of ``x`` in the batch. ``m`` is
0 for a dropped unit and ``1 / (1 - p)`` for a kept one; units are dropped with probability ``p``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from skkd.activations import ACTIVATIONS, Activation
from skkd.modules import MLP, Dropout, ScaledLinear

__all__ = ["PASSES", "Backprop"]

aten = torch.ops.aten


class Backprop:
    """Computes the gradients of a multilayer perceptron for one batch, without autograd.

    The gradients are those of the sum of the weighted losses, divided by the number of rows.

    Parameters
    ----------
    module : skkd.modules.MLP
        The `grad` of its parameters is overwritten in place.
    gradient : callable
        (logits, targets) of a batch -> (losses, their derivatives with respect to the logits).
    weighted : bool, default=True
        Whether to multiply each loss by its ``targets["weights"]``; False if all weights are 1.

    Examples
    --------
    >>> import torch
    >>> from skkd.training.criteria import LabelLoss
    >>> mlp = MLP(2, 3, init="zeros")
    >>> backprop = Backprop(mlp, LabelLoss().gradient)
    >>> targets = {"labels": torch.tensor([0]), "weights": torch.ones(1)}
    >>> backprop(torch.ones(1, 2), targets)
    (tensor([1.0986]), tensor([[0., 0., 0.]]))
    >>> mlp.output.bias.grad
    tensor([-0.6667,  0.3333,  0.3333])
    """

    def __init__(self, module: MLP, gradient: Callable, weighted: bool = True) -> None:
        self.gradient = gradient
        self.weighted = weighted
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        *hidden, output = module
        last = OutputPass if type(output) is nn.Linear else PASSES[type(output)]
        self.passes = [*(PASSES[type(layer)](layer) for layer in hidden), last(output)]

    @staticmethod
    def is_possible(module: nn.Module) -> bool:
        """Whether a module is an MLP with all layers in `PASSES` and no frozen parameter."""
        known = type(module) is MLP and all(type(layer) in PASSES for layer in module)
        return known and all(parameter.requires_grad for parameter in module.parameters())

    def __call__(
        self, X: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Set the `grad` of all parameters, and return two tensors: weighted losses, and logits."""
        logits = X
        for layer in self.passes:
            logits = layer.forward(logits)
        losses, d = self.gradient(logits, targets)
        if self.weighted:
            weights = targets["weights"]
            losses.mul_(weights)
            d.mul_(weights.unsqueeze(1))
        d.div_(len(X))
        for layer in reversed(self.passes[1:]):
            d = layer.backward(d)
        self.passes[0].backward(d, wants_input=False)
        return losses, logits


class LinearPass:
    def __init__(self, layer: Any) -> None:
        # Detached tensors share memory with the parameters, but autograd ignores them.
        self.weight, self.grad = layer.weight.detach(), layer.weight.grad
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.bias_grad = None if layer.bias is None else layer.bias.grad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.x = x
        if self.bias is None:
            return x @ self.weight.t()
        return torch.addmm(self.bias, x, self.weight.t())

    def backward(self, d: torch.Tensor, wants_input: bool = True) -> torch.Tensor | None:
        torch.mm(d.t(), self.x, out=self.grad)
        if self.bias is not None:
            torch.sum(d, 0, out=self.bias_grad)
        return torch.mm(d, self.weight) if wants_input else None


class ScaledLinearPass(LinearPass):
    """Forward and backward functions of a ScaledLinear layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.unscaled = self.weight
        self.scale, self.scale_grad = layer.scale.detach(), layer.scale.grad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.weight = self.unscaled * self.scale
        return super().forward(x)

    def backward(self, d: torch.Tensor, wants_input: bool = False) -> torch.Tensor | None:
        super().backward(d, wants_input=False)  # always the first layer of the network
        torch.sum(self.grad * self.unscaled, 0, out=self.scale_grad)
        self.grad.mul_(self.scale)
        return None


class OutputPass(LinearPass):
    """Forward and backward functions of the last layer, whose logits are stored class by class."""

    bias: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.x = x
        # The logits are stored class after class in memory, which is faster for few classes.
        return torch.addmm(self.bias.unsqueeze(1), self.weight, x.t()).t()


class BatchNormPass:
    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.layer
        norm.num_batches_tracked.add_(1)
        self.x = x
        z, self.mean, self.inverse_sd = torch.native_batch_norm(
            x,
            self.weight,
            self.bias,
            norm.running_mean,
            norm.running_var,
            True,
            norm.momentum,
            norm.eps,
        )
        return z

    def backward(self, d: torch.Tensor) -> torch.Tensor:
        norm = self.layer
        d, of_weight, of_bias = aten.native_batch_norm_backward(
            d,
            self.x,
            self.weight,
            norm.running_mean,
            norm.running_var,
            self.mean,
            self.inverse_sd,
            True,
            norm.eps,
            (True, True, True),
        )
        norm.weight.grad.copy_(of_weight)
        norm.bias.grad.copy_(of_bias)
        return d


class DropoutPass:
    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mask = self.layer.mask(x)
        return x * self.mask

    def backward(self, d: torch.Tensor) -> torch.Tensor:
        return d.mul_(self.mask)


def activation_pass(activation: Activation) -> type:
    """Make the class for :data:`PASSES` that runs an activation forward and backward.

    Parameters
    ----------
    activation : skkd.activations.Activation

    Returns
    -------
    type
        Takes the layer as its only argument, and has the methods `forward` and `backward`.
    """
    backward: Any = activation.backward
    forward = activation.forward or (lambda layer, x: layer(x))

    class ActivationPass:
        def __init__(self, layer: Any) -> None:
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.x = x
            self.z = forward(self.layer, x)
            return self.z

        def backward(self, d: torch.Tensor) -> torch.Tensor:
            return backward(aten, self.layer, d, self.x, self.z)

    return ActivationPass


PASSES: dict[type[nn.Module], Any] = {
    nn.Linear: LinearPass,
    ScaledLinear: ScaledLinearPass,
    nn.BatchNorm1d: BatchNormPass,
    Dropout: DropoutPass,
    **{
        type(activation.module()): activation_pass(activation)
        for activation in ACTIVATIONS.values()
        if activation.backward is not None
    },
}
