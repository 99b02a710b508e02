"""The names that `optimizer` takes, each with its torch class and the arguments it has.

========  =======  ====================================================
sgd       SGD      w - lr m, where m is the momentum of the gradients
adam      Adam     w - lr m / (sqrt(v) + eps), moments m and v
adamw     AdamW    the same, and weights decay apart from the gradients
rmsprop   RMSprop  w - lr g / (sqrt(v) + eps), momentum after that
========  =======  ====================================================

A new name is a new entry of :data:`OPTIMIZERS`. Importing this file does not import torch;
:mod:`skkd.training.optimizers` makes the optimisers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["OPTIMIZERS", "NamedOptimizer"]


@dataclass(frozen=True)
class NamedOptimizer:
    """An optimiser that has a name.

    Parameters
    ----------
    torch_class : callable
        Gives the class, a subclass of torch.optim.Optimizer.
    takes_momentum, takes_nesterov : bool, default=False
        Whether the class has the arguments `momentum` and `nesterov`.
    is_fused : bool, default=False
        Whether it has the argument `fused`: one kernel for a whole step. The formula is the
        same, and the overhead a few times smaller.

    Examples
    --------
    >>> OPTIMIZERS["sgd"].torch_class().__name__
    'SGD'
    """

    torch_class: Callable[[], Any]
    takes_momentum: bool = False
    takes_nesterov: bool = False
    is_fused: bool = False


def _of_torch(name: str) -> Callable[[], Any]:
    """A function that gives a class of torch.optim, and imports torch only then."""

    def get() -> Any:
        from torch import optim

        return getattr(optim, name)

    return get


#: The optimisers by name.
OPTIMIZERS: dict[str, NamedOptimizer] = {
    "sgd": NamedOptimizer(
        _of_torch("SGD"), takes_momentum=True, takes_nesterov=True, is_fused=True
    ),
    "adam": NamedOptimizer(_of_torch("Adam"), is_fused=True),
    "adamw": NamedOptimizer(_of_torch("AdamW"), is_fused=True),
    "rmsprop": NamedOptimizer(_of_torch("RMSprop"), takes_momentum=True),
}
