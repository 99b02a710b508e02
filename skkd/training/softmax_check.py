"""Warn of custom modules that end with a softmax, because the loss applies another one."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from skkd.checks import warn

__all__ = ["warn_of_probabilities"]

#: Fewer rows are not checked: their two logits may sum to one by chance.
FEWEST_ROWS = 8


def warn_of_probabilities(module: nn.Module, X: torch.Tensor) -> None:
    """Warn if a module returns probabilities, or their logarithms, instead of logits.

    Outputs count as probabilities if they lie in [0, 1] and sum to 1 in each row, and as
    logarithms of probabilities if this holds for their exponentials. If all rows have the same
    outputs, there is a warning only if the module ends with a softmax layer. Without this layer,
    the outputs may be those of a last layer of constant weights, and sum to 1 by chance.

    Parameters
    ----------
    module : torch.nn.Module
        It is in eval mode afterwards.
    X : torch.Tensor
        Some rows. Fewer than 8 are not checked.
    """
    if len(X) < FEWEST_ROWS:
        return
    outputs, layer = _outputs_and_softmax(module, X)
    if layer is None and bool((outputs == outputs[0]).all()):
        return
    last = "the softmax at the end of its forward" if layer is None else f"its last layer, {layer}"
    if _are_probabilities(outputs):
        warn(
            f"module gives probabilities where logits are wanted: drop {last}. The loss and "
            "predict_proba take the softmax themselves, and a second one leaves all classes "
            "nearly as likely."
        )
    elif _are_probabilities(outputs.exp()):
        warn(
            f"module gives log-probabilities where logits are wanted: drop {last}. The loss and "
            "predict_proba take the softmax themselves; the result is the same without it."
        )


def _are_probabilities(rows: torch.Tensor) -> bool:
    ones = torch.ones_like(rows[:, 0])
    sums_to_one = torch.allclose(rows.sum(dim=1), ones, rtol=0, atol=1e-4)
    return sums_to_one and bool(((rows >= 0) & (rows <= 1)).all())


def _outputs_and_softmax(module: nn.Module, X: torch.Tensor) -> tuple[torch.Tensor, str | None]:
    """Return the outputs of a module, and the name of the softmax layer that ends it, if any."""
    found: list[tuple[nn.Module, torch.Tensor]] = []

    def record(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        found.append((layer, output))

    layers: dict[nn.Module, str] = {
        layer: f"{type(layer).__name__}{f' ({name!r})' if name else ''}"
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Softmax, nn.LogSoftmax))
    }
    with torch.no_grad(), ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(record).remove)
        outputs = module.eval()(X)
    made = [layers[layer] for layer, output in found if output is outputs]
    return outputs.double(), made[-1] if made else None
