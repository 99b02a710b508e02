"""The optimisers that the parameter `optimizer` selects by name.

========  =======  =======================================================================
Name      Class    New weights
========  =======  =======================================================================
sgd       SGD      w - lr m, where m is the momentum: a running sum of g
adam      Adam     w - lr m / (sqrt(v) + eps), where m is a running mean of g
adamw     AdamW    as in Adam, but weight decay is subtracted from w, not added to g
rmsprop   RMSprop  w - lr m, where m is a running sum of g / (sqrt(v) + eps)
========  =======  =======================================================================

``w`` are the weights, ``lr`` is the learning rate, ``g`` the gradient, ``v`` a running mean of
``g^2`` and ``eps`` a small constant. In a running sum the newest summand counts fully, and the
older ones are multiplied by `momentum` in every step.

To add an optimiser, add an entry to :data:`OPTIMIZERS`. Importing this file does not import
torch. :mod:`skkd.training.optimizers` makes the optimisers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["OPTIMIZERS", "NamedOptimizer"]


@dataclass(frozen=True)
class NamedOptimizer:
    """The torch class of an optimiser, and the arguments that the class takes.

    Parameters
    ----------
    torch_class : callable
        Called without arguments, returns the class, a subclass of torch.optim.Optimizer.
    takes_momentum, takes_nesterov : bool, default=False
        Whether the class takes the arguments `momentum` and `nesterov`.
    is_fused : bool, default=False
        Whether the class takes the argument `fused`, which runs a whole step as one kernel.

    Examples
    --------
    >>> OPTIMIZERS["sgd"].torch_class().__name__
    'SGD'
    """

    torch_class: Callable[[], Any]
    takes_momentum: bool = False
    takes_nesterov: bool = False
    is_fused: bool = False  # a fused step is the same formula with much less overhead


def _of_torch(name: str) -> Callable[[], Any]:
    """Return a function that imports torch and returns the class `name` of torch.optim."""

    def get() -> Any:
        from torch import optim

        return getattr(optim, name)

    return get


#: The optimisers, by the names that the parameter `optimizer` takes.
OPTIMIZERS: dict[str, NamedOptimizer] = {
    "sgd": NamedOptimizer(
        _of_torch("SGD"), takes_momentum=True, takes_nesterov=True, is_fused=True
    ),
    "adam": NamedOptimizer(_of_torch("Adam"), is_fused=True),
    "adamw": NamedOptimizer(_of_torch("AdamW"), is_fused=True),
    "rmsprop": NamedOptimizer(_of_torch("RMSprop"), takes_momentum=True),
}
