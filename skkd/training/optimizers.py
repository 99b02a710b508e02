"""Optimisers by name or by class, and their state as plain arrays."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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

#: torch's class for each name in the table of `skkd.optimizers`.
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name: named.torch_class() for name, named in optimizers.OPTIMIZERS.items()
}


def make_optimizer(
    optimizer: "str | type[torch.optim.Optimizer]",
    module: torch.nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    rate_factors: dict[torch.nn.Parameter, float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """Make an optimiser for the parameters of a module.

    Weight decay applies to weights only, not to biases and BatchNorm's scales. If the class has
    no weight decay, the caller adds an L2 penalty to the loss: see :func:`penalty_of`.

    Parameters
    ----------
    optimizer : str or subclass of torch.optim.Optimizer
        A key of `OPTIMIZERS`, or a class that takes ``(params, lr=...)``.
    module : torch.nn.Module
    learning_rate : float
    weight_decay : float, default=0.0
    momentum : float, default=0.0
        Used by "sgd" and "rmsprop".
    nesterov : bool, default=False
        Used by "sgd" if momentum is not 0.
    rate_factors : dict of torch.nn.Parameter to float, default=None
        Factor for the learning rate of each parameter; a parameter that is not in the dict has
        the factor 1. Ignored if the class has no weight decay: such a class (LBFGS, for example)
        may allow only one group of parameters, and so only one learning rate.
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
    settings: dict[str, Any] = {"lr": learning_rate}
    options = options or {}
    if isinstance(optimizer, str):
        named = optimizers.OPTIMIZERS[optimizer]
        if named.takes_momentum:
            settings["momentum"] = momentum
        if named.takes_nesterov:
            settings["nesterov"] = nesterov and momentum > 0
        if named.is_fused and not {"foreach", "differentiable"} & {*options}:
            settings["fused"] = True
    optimizer_class: Any = class_of(optimizer)
    settings |= options
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not has_weight_decay(optimizer_class):  # LBFGS, for example, allows a single group only
        return _build(optimizer_class, parameters, settings, options)
    # Decoupled weight decay is multiplied by the learning rate, so a factor must be divided out.
    is_decoupled = issubclass(optimizer_class, torch.optim.AdamW) or options.get(
        "decoupled_weight_decay"
    )
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for parameter in parameters:
        factor = (rate_factors or {}).get(parameter, 1.0)
        groups.setdefault((factor, _is_weight(parameter)), []).append(parameter)
    return _build(
        optimizer_class,
        [
            {
                "params": members,
                "weight_decay": is_weight * weight_decay / (factor if is_decoupled else 1.0),
                "lr": learning_rate * factor,
                "rate_factor": factor,  # read by the training loop
            }
            for (factor, is_weight), members in groups.items()
        ],
        settings,
        options,
    )


def _build(
    optimizer_class: type, parameters: Any, settings: dict, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Build an optimiser, or raise an error that names the class and the user's options."""
    try:
        return optimizer_class(parameters, **settings)
    except (IndexError, TypeError, ValueError) as error:
        given = ", ".join(f"optimizer__{name}={value!r}" for name, value in options.items())
        kind = TypeError if isinstance(error, TypeError) else ValueError
        allowed = f"a class that takes all parameters of a network ({error})"
        allowed += f", and other options than {given}" if given else ""
        return refuse("optimizer", optimizer_class, allowed, kind)


def _is_weight(parameter: torch.Tensor) -> bool:
    """Whether a parameter is a weight, not a bias or a scale."""
    return parameter.ndim > 1  # biases and scales have one axis


def has_weight_decay(optimizer_class: type[torch.optim.Optimizer]) -> bool:
    """Whether a class of optimisers has its own weight decay.

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
    """The L2 penalty on weights, ``weight_decay / 2 * sum w^2``, as a part of the loss.

    Parameters
    ----------
    weights : list of torch.nn.Parameter
        The sum goes over all their elements w.
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

    weights: list[torch.nn.Parameter]
    weight_decay: float

    def value(self) -> Any:
        """Compute the value of the penalty, as a tensor."""
        return sum(w.detach().square().sum() for w in self.weights) * (self.weight_decay / 2)

    def add_gradient(self) -> None:
        """Add the gradient of the penalty, ``weight_decay * w``, to the gradients of the weights.

        A weight without a gradient is left out, as in SGD.
        """
        for weight in self.weights:
            if weight.grad is None:
                continue
            if weight.grad.layout != torch.strided:
                allowed = "0 where gradients are sparse: those of the penalty are not"
                refuse("weight_decay", self.weight_decay, allowed)
            weight.grad.add_(weight.detach(), alpha=self.weight_decay)


def penalty_of(optimizer: torch.optim.Optimizer, weight_decay: float) -> L2Penalty | None:
    """Return the L2 penalty that the caller must add to the loss, or None if there is none to add.

    Only an optimiser class without weight decay of its own needs the penalty. The gradient of the
    penalty is the one that SGD adds for the same ``weight_decay``.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    weight_decay : float

    Returns
    -------
    L2Penalty or None
        None in three cases: the class of the optimiser has weight decay of its own,
        ``weight_decay`` is 0, or the optimiser trains no weights.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 2)
    >>> penalty_of(torch.optim.Adam(layer.parameters()), 0.1) is None
    True
    >>> penalty = penalty_of(torch.optim.LBFGS(layer.parameters()), 0.1)
    >>> penalty.weights == [layer.weight]  # without the bias
    True
    """
    if weight_decay == 0 or has_weight_decay(type(optimizer)):
        return None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    weights = [parameter for parameter in parameters if _is_weight(parameter)]
    return L2Penalty(weights, weight_decay) if weights else None


def class_of(optimizer: "str | type[torch.optim.Optimizer]") -> type[torch.optim.Optimizer]:
    """Return the optimiser class of a name; a class is returned unchanged.

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


def kind_of(optimizer: torch.optim.Optimizer) -> str:
    """Name an optimiser's class and the settings that decide which moments it keeps.

    Moments can be loaded only into an optimiser of the same kind.

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


def quick_step_of(optimizer: torch.optim.Optimizer) -> Callable[[], None] | None:
    """Return a function that makes a step by calling the optimiser's fused kernel directly.

    The steps equal those of ``optimizer.step()``, bit for bit. They are faster, because tensors and
    settings are gathered only once. Gradients and the learning rate are still read in each step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        It must have made its first step already, because that step creates the moments.

    Returns
    -------
    callable without arguments, or None
        None in three cases: the optimiser is not a fused Adam, AdamW or SGD, an option such as
        `amsgrad` is switched on, or a parameter has no gradient.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1)
    >>> optimizer = make_optimizer("adam", layer, learning_rate=0.1)
    >>> layer(torch.ones(1, 1)).sum().backward()
    >>> optimizer.step()
    >>> quick_step_of(optimizer)()
    """
    bind = _KERNELS.get(type(optimizer))
    if bind is None:
        return None
    switches = ("amsgrad", "maximize", "differentiable", "capturable")
    for group in optimizer.param_groups:
        is_plain = group.get("fused") and not any(group.get(name) for name in switches)
        if not is_plain or isinstance(group["lr"], torch.Tensor):
            return None
    states = [[optimizer.state[p] for p in group["params"]] for group in optimizer.param_groups]
    if not all(p.grad is not None for group in optimizer.param_groups for p in group["params"]):
        return None
    counts = _counts_in_one_tensor(state for of_group in states for state in of_group)
    steps = [bind(*pair) for pair in zip(optimizer.param_groups, states, strict=True)]

    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def quick_step() -> None:
        if any(p.grad is None for p in parameters):  # the module did not use all of them
            optimizer.step()
            return
        if counts is not None:
            counts.add_(1)  # for all parameters at once
        for step in steps:
            step()

    return quick_step


def _counts_in_one_tensor(states: Iterable[dict]) -> torch.Tensor | None:
    """Move all step counts into one tensor and return it; None if no state has a step count."""
    counted = [state for state in states if "step" in state]
    if not counted:
        return None
    counts = torch.stack([state["step"] for state in counted])
    for i, state in enumerate(counted):
        state["step"] = counts[i]
    return counts


def _bind_adam(
    group: dict[str, Any], states: list[dict], kernel: Callable | None = None
) -> Callable[[], None]:
    """Return a function that makes one step of Adam for a group of parameters."""
    kernel = kernel or torch._fused_adam_  # AdamW has another one
    params = [p.detach() for p in group["params"]]
    means = [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    counts = [state["step"] for state in states]
    beta1, beta2 = group["betas"]
    settings = {name: group[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")}

    def step() -> None:
        grads = [p.grad for p in group["params"]]
        kernel(
            *(params, grads, means, squares, [], counts),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            **settings,
        )

    return step


def _bind_adamw(group: dict[str, Any], states: list[dict]) -> Callable[[], None]:
    """Return a function that makes one step of AdamW for a group of parameters."""
    return _bind_adam(group, states, torch._fused_adamw_)


def _bind_sgd(group: dict[str, Any], states: list[dict]) -> Callable[[], None]:
    """Return a function that makes one step of SGD for a group of parameters."""
    params = [p.detach() for p in group["params"]]
    buffers = [state["momentum_buffer"] for state in states] if group["momentum"] else []
    names = ("weight_decay", "momentum", "dampening", "nesterov", "maximize")
    settings = {name: group[name] for name in names}

    def step() -> None:
        grads = [p.grad for p in group["params"]]
        torch._fused_sgd_(params, grads, buffers, lr=group["lr"], is_first_step=False, **settings)

    return step


_KERNELS: dict[type, Callable[[dict[str, Any], list[dict]], Callable[[], None]]] = {
    torch.optim.Adam: _bind_adam,
    torch.optim.AdamW: _bind_adamw,
    torch.optim.SGD: _bind_sgd,
}


def state_as_arrays(
    optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]
) -> dict[int, Any]:
    """Copy the moments and step counts of an optimiser, as NumPy arrays.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    parameters : list of torch.nn.Parameter
        Those of the optimiser, in the order of ``module.parameters()``.

    Returns
    -------
    dict
        Maps the position of a parameter in `parameters` to its state.
    """
    state = optimizer.state_dict()["state"]
    arrays = _map_leaves(
        state, lambda leaf: leaf.cpu().numpy().copy() if isinstance(leaf, torch.Tensor) else leaf
    )
    position = _positions(optimizer, parameters)
    return {position[index]: arrays[index] for index in arrays}


def load_state(
    optimizer: torch.optim.Optimizer,
    state: dict[int, Any],
    parameters: list[torch.nn.Parameter],
) -> None:
    """Load moments and step counts from :func:`state_as_arrays` into an optimiser.

    The optimiser keeps its own settings, such as the learning rate. It may divide the parameters
    into other groups than the optimiser that the state comes from.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    state : dict
    parameters : list of torch.nn.Parameter
        In the same order as for :func:`state_as_arrays`.
    """
    tensors = _map_leaves(
        state,
        lambda leaf: torch.tensor(leaf, device="cpu") if isinstance(leaf, np.ndarray) else leaf,
    )
    positions = _positions(optimizer, parameters)
    by_index = {i: tensors[position] for i, position in enumerate(positions) if position in tensors}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_index, "param_groups": groups})


def _positions(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> list[int]:
    """Return the index in `parameters` of each parameter of the optimiser, group after group."""
    position = {parameter: i for i, parameter in enumerate(parameters)}
    return [position[p] for group in optimizer.param_groups for p in group["params"]]


def _map_leaves(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to all values inside nested dicts and lists."""
    if isinstance(tree, dict):
        return {key: _map_leaves(value, function) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_map_leaves(value, function) for value in tree]
    return function(tree)
