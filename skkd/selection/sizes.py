"""``hidden_layer_sizes="smallest"``: the smallest network that is not clearly worse.

Networks of several sizes are compared on the same held-out rows, from large to small. The first
one that is clearly worse than the best of the larger ones ends the comparison: the one before it is
taken. Clearly worse means that its loss is higher by more than the standard error of the
difference, or that it is above a fixed tolerance. The tolerance counts for few held-out rows, where
the standard error is large.

For each size everything else is selected, too, as if the user had asked for that size.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from skkd.config import Config
from skkd.progress import titled
from skkd.selection.epochs import is_intolerable, is_worse
from skkd.selection.plan import Plan
from skkd.selection.successive_halving import Trial
from skkd.supervision import Supervision

__all__ = ["make_plan_of_smallest"]


def make_plan_of_smallest(
    config: Config, supervision: Supervision, make: Callable[..., Plan]
) -> Plan:
    """Make the plans of several sizes, and return that of the smallest that is not clearly worse.

    Parameters
    ----------
    config : Config
        Its `smaller_sizes` are tried after its own sizes. If there are none, the plan of its own
        sizes is returned.
    supervision : Supervision
    make : callable
        :func:`skkd.selection.plan.make_plan` for the data of the fit: a function of `config`,
        `supervision` and `must_judge`.

    Returns
    -------
    Plan
        If no rows can be held out, that of the largest size.
    """
    if not config.smaller_sizes:
        return make(config, supervision=supervision)
    smallest = _plan_for(config.layer_sizes, config, supervision, make)
    best = smallest.choice
    if best is None:
        return smallest
    losses = {config.layer_sizes: best.loss}
    for sizes in config.smaller_sizes:
        plan = _plan_for(sizes, config, supervision, make)
        losses[sizes] = plan.choice.loss
        if _is_clearly_worse(plan.choice, best):
            break
        smallest = plan
        best = min(best, plan.choice, key=lambda choice: choice.loss)
    return replace(smallest, size_losses=losses)


def _plan_for(
    sizes: Sequence[int], config: Config, supervision: Supervision, make: Callable[..., Any]
) -> Any:
    """Make the plan of one size."""
    sized = config.with_sizes(sizes)
    with titled(f"layers {'-'.join(map(str, sizes)) or 'none'}: "):
        return make(sized, supervision=supervision.with_config(sized), must_judge=True)


def _is_clearly_worse(ours: Trial, theirs: Trial) -> bool:
    """Whether a network is clearly worse on the held-out rows than another."""
    our_rows, their_rows = (choice.row_losses[choice.n_epochs] for choice in (ours, theirs))
    return is_intolerable(ours.loss, theirs.loss) or is_worse(our_rows - their_rows, ours.weights)
