"""Whether a custom module takes the softmax itself, which the loss would take again."""

from contextlib import ExitStack

import torch
from torch import nn

from skkd.checks import warn

__all__ = ["warn_of_probabilities"]

#: Fewer rows of two logits may sum to one by chance.
FEWEST_ROWS = 8


def warn_of_probabilities(module, X):
    """Warn where the outputs of a module are probabilities, or their logarithms.

    Outputs that are the same for each row tell nothing, unless a softmax layer has made
    them: a last layer that starts at a constant has such.

    Parameters
    ----------
    module : torch.nn.Module
        It is in eval mode afterwards.
    X : torch.Tensor
        Some rows.
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


def _are_probabilities(rows):
    ones = torch.ones_like(rows[:, 0])
    sums_to_one = torch.allclose(rows.sum(dim=1), ones, rtol=0, atol=1e-4)
    return sums_to_one and bool(((rows >= 0) & (rows <= 1)).all())


def _outputs_and_softmax(module, X):
    """The outputs of a module, and the softmax layer that they come from, or None."""
    found = []

    def note(layer, inputs, output):
        found.append((layer, output))

    layers = {
        layer: f"{type(layer).__name__}{f' ({name!r})' if name else ''}"
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Softmax, nn.LogSoftmax))
    }
    with torch.no_grad(), ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(note).remove)
        outputs = module.eval()(X)
    made = [layers[layer] for layer, output in found if output is outputs]
    return outputs.double(), made[-1] if made else None
