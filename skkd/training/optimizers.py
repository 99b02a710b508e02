"""Optimisers by name or by class, and their state as plain arrays."""

import inspect
from dataclasses import dataclass

import numpy as np
import torch

from skkd import optimizers
from skkd.checks import refuse

__all__ = [
    "OPTIMIZERS",
    "L2Penalty",
    "class_of",
    "has_weight_decay",
    "kind_of",
    "load_state",
    "make_optimizer",
    "penalty_of",
    "quick_step_of",
    "state_as_arrays",
]

#: The classes by name, of the table in `skkd.optimizers`.
OPTIMIZERS = {name: named.torch_class() for name, named in optimizers.OPTIMIZERS.items()}


def make_optimizer(
    optimizer,
    module,
    *,
    learning_rate,
    weight_decay=0.0,
    momentum=0.0,
    nesterov=False,
    rate_factors=None,
    options=None,
):
    """An optimiser for the parameters of a module.

    Weight decay acts on weights alone, not on biases nor on BatchNorm's scales. A class
    that has none gets its L2 from the loss: see :func:`penalty_of`.

    Parameters
    ----------
    optimizer : str or subclass of torch.optim.Optimizer
        A key of `OPTIMIZERS`, or a class that takes ``(params, lr=...)``.
    module : torch.nn.Module
    learning_rate : float
    weight_decay : float, default=0.0
    momentum : float, default=0.0
        Of "sgd" and "rmsprop".
    nesterov : bool, default=False
        Of "sgd", where momentum is not 0.
    rate_factors : dict of torch.nn.Parameter to float, default=None
        Of the learning rate, kept in the groups of parameters as "rate_factor". They
        leave decoupled weight decay as it is. Without effect for a class without weight
        decay, such as LBFGS, which takes no groups.
    options : dict, default=None
        Further arguments of the class, for example ``betas``.

    Returns
    -------
    torch.optim.Optimizer

    Examples
    --------
    >>> optimizer = make_optimizer("adam", torch.nn.Linear(2, 2), learning_rate=0.01)
    >>> optimizer.param_groups[0]["lr"]
    0.01
    """
    settings = {"lr": learning_rate}
    options = options or {}
    if isinstance(optimizer, str):
        named = optimizers.OPTIMIZERS[optimizer]
        if named.takes_momentum:
            settings["momentum"] = momentum
        if named.takes_nesterov:
            settings["nesterov"] = nesterov and momentum > 0
        if named.is_fused and not {"foreach", "differentiable"} & {*options}:
            settings["fused"] = True
    optimizer_class = class_of(optimizer)
    settings |= options
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not has_weight_decay(optimizer_class):
        return optimizer_class(parameters, **settings)
    is_decoupled = issubclass(optimizer_class, torch.optim.AdamW) or options.get(
        "decoupled_weight_decay"
    )
    groups = {}
    for parameter in parameters:
        factor = (rate_factors or {}).get(parameter, 1.0)
        groups.setdefault((factor, _is_weight(parameter)), []).append(parameter)
    return optimizer_class(
        [
            {
                "params": members,
                "weight_decay": is_weight * weight_decay / (factor if is_decoupled else 1.0),
                "lr": learning_rate * factor,
                "rate_factor": factor,
            }
            for (factor, is_weight), members in groups.items()
        ],
        **settings,
    )


def _is_weight(parameter):
    """Whether it is decayed: biases and BatchNorm's scales are vectors."""
    return parameter.ndim > 1


def has_weight_decay(optimizer_class):
    """Whether a class of optimisers has a weight decay of its own.

    Parameters
    ----------
    optimizer_class : subclass of torch.optim.Optimizer

    Returns
    -------
    bool

    Examples
    --------
    >>> has_weight_decay(torch.optim.SGD), has_weight_decay(torch.optim.LBFGS)
    (True, False)
    """
    return "weight_decay" in inspect.signature(optimizer_class).parameters


@dataclass(frozen=True)
class L2Penalty:
    """``weight_decay / 2 * sum w^2`` as a part of the loss.

    Parameters
    ----------
    weights : list of torch.nn.Parameter
    weight_decay : float

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([[3.0]]))
    >>> weight.grad = torch.tensor([[1.0]])
    >>> penalty = L2Penalty([weight], weight_decay=0.5)
    >>> penalty.add_gradient()
    >>> float(penalty.value()), float(weight.grad)
    (2.25, 2.5)
    """

    weights: list
    weight_decay: float

    def value(self):
        """What the penalty adds to the loss, as a tensor."""
        return sum(w.detach().square().sum() for w in self.weights) * (self.weight_decay / 2)

    def add_gradient(self):
        """Add its gradient, ``weight_decay * w``, to the gradients of the weights.

        As SGD does, a weight without a gradient is left out.
        """
        for weight in self.weights:
            if weight.grad is None:
                continue
            if weight.grad.layout != torch.strided:
                allowed = "0 where gradients are sparse: those of the penalty are not"
                refuse("weight_decay", self.weight_decay, allowed)
            weight.grad.add_(weight.detach(), alpha=self.weight_decay)


def penalty_of(optimizer, weight_decay):
    """The L2 penalty that the loss needs because the optimiser has no weight decay.

    Its gradient is the one that SGD's ``weight_decay`` adds: for the same weights.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    weight_decay : float

    Returns
    -------
    L2Penalty or None
        None for an optimiser that has its own weight decay, and for ``weight_decay=0``.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 2)
    >>> penalty_of(torch.optim.Adam(layer.parameters()), 0.1) is None
    True
    >>> len(penalty_of(torch.optim.LBFGS(layer.parameters()), 0.1).weights)
    1
    """
    if weight_decay == 0 or has_weight_decay(type(optimizer)):
        return None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    weights = [parameter for parameter in parameters if _is_weight(parameter)]
    return L2Penalty(weights, weight_decay) if weights else None


def class_of(optimizer):
    """The class that a name means, or the class itself.

    Parameters
    ----------
    optimizer : str or subclass of torch.optim.Optimizer

    Returns
    -------
    subclass of torch.optim.Optimizer

    Examples
    --------
    >>> class_of("sgd").__name__
    'SGD'
    """
    return OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer


def kind_of(optimizer):
    """What decides which moments an optimiser keeps: its class and its switches.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer

    Returns
    -------
    str

    Examples
    --------
    >>> kind_of(torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9))
    'SGD momentum'
    """
    settings = optimizer.param_groups[0]
    switches = [name for name in ("momentum", "amsgrad", "centered") if settings.get(name)]
    return " ".join([type(optimizer).__name__, *switches])


def quick_step_of(optimizer):
    """The fused kernel of an optimiser that has made a step, without what surrounds it.

    ``optimizer.step()`` gathers its tensors and its settings anew in every step, which
    takes longer than the arithmetic of a small network. The rate is still read from the
    groups of parameters, each time.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer

    Returns
    -------
    callable without arguments, or None
        The same step, to the bit. None for other optimisers and settings.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1)
    >>> optimizer = make_optimizer("adam", layer, learning_rate=0.1)
    >>> layer(torch.ones(1, 1)).sum().backward()
    >>> optimizer.step()
    >>> quick_step_of(optimizer)()
    """
    bind = _KERNELS.get(type(optimizer))
    switches = ("amsgrad", "maximize", "differentiable", "capturable")
    for group in optimizer.param_groups:
        is_plain = group.get("fused") and not any(group.get(name) for name in switches)
        if bind is None or not is_plain or isinstance(group["lr"], torch.Tensor):
            return None
    states = [[optimizer.state[p] for p in group["params"]] for group in optimizer.param_groups]
    if not all(p.grad is not None for group in optimizer.param_groups for p in group["params"]):
        return None
    counts = _counts_in_one_tensor(state for of_group in states for state in of_group)
    steps = [bind(*pair) for pair in zip(optimizer.param_groups, states, strict=True)]

    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def quick_step():
        if any(p.grad is None for p in parameters):  # a module that does not use all of them
            optimizer.step()
            return
        if counts is not None:
            counts.add_(1)
        for step in steps:
            step()

    return quick_step


def _counts_in_one_tensor(states):
    """Make the parameters' counts of steps views of one tensor, for a single addition."""
    counted = [state for state in states if "step" in state]
    if not counted:
        return None
    counts = torch.stack([state["step"] for state in counted])
    for i, state in enumerate(counted):
        state["step"] = counts[i]
    return counts


def _bind_adam(group, states, kernel=None):
    """One step of Adam for a group of parameters."""
    kernel = kernel or torch._fused_adam_
    params = [p.detach() for p in group["params"]]
    means = [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    counts = [state["step"] for state in states]
    beta1, beta2 = group["betas"]
    settings = {name: group[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")}

    def step():
        grads = [p.grad for p in group["params"]]
        kernel(
            *(params, grads, means, squares, [], counts),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            **settings,
        )

    return step


def _bind_adamw(group, states):
    return _bind_adam(group, states, torch._fused_adamw_)


def _bind_sgd(group, states):
    """One step of SGD for a group of parameters."""
    params = [p.detach() for p in group["params"]]
    buffers = [state["momentum_buffer"] for state in states] if group["momentum"] else []
    names = ("weight_decay", "momentum", "dampening", "nesterov", "maximize")
    settings = {name: group[name] for name in names}

    def step():
        grads = [p.grad for p in group["params"]]
        torch._fused_sgd_(params, grads, buffers, lr=group["lr"], is_first_step=False, **settings)

    return step


_KERNELS = {
    torch.optim.Adam: _bind_adam,
    torch.optim.AdamW: _bind_adamw,
    torch.optim.SGD: _bind_sgd,
}


def state_as_arrays(optimizer, parameters):
    """Moments and step counts of an optimiser, as NumPy arrays.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    parameters : list of torch.nn.Parameter
        In an order that does not depend on the optimiser's groups.

    Returns
    -------
    dict
        Position in `parameters` to state.
    """
    state = optimizer.state_dict()["state"]
    arrays = _map_leaves(
        state, lambda leaf: leaf.cpu().numpy().copy() if isinstance(leaf, torch.Tensor) else leaf
    )
    position = _positions(optimizer, parameters)
    return {position[index]: arrays[index] for index in arrays}


def load_state(optimizer, state, parameters):
    """Give an optimiser the moments and step counts of :func:`state_as_arrays`.

    Its own settings (rates, decay) stay as they are, and its groups may be others.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    state : dict
    parameters : list of torch.nn.Parameter
        In the order of the call that gave `state`.
    """
    tensors = _map_leaves(
        state,
        lambda leaf: torch.tensor(leaf, device="cpu") if isinstance(leaf, np.ndarray) else leaf,
    )
    positions = _positions(optimizer, parameters)
    by_index = {i: tensors[position] for i, position in enumerate(positions) if position in tensors}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_index, "param_groups": groups})


def _positions(optimizer, parameters):
    """Where in a list the parameters of an optimiser are, in the order of its groups."""
    position = {parameter: i for i, parameter in enumerate(parameters)}
    return [position[p] for group in optimizer.param_groups for p in group["params"]]


def _map_leaves(tree, function):
    if isinstance(tree, dict):
        return {key: _map_leaves(value, function) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_map_leaves(value, function) for value in tree]
    return function(tree)
