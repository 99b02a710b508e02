"""``hidden_layer_sizes="smallest"``: the smallest network that is not clearly worse than the best.

Networks of several sizes are compared on the same held-out rows. For each size everything else is
selected, too, as if the user had asked for that size. A network is clearly worse than the best one
if its log-loss is higher by more than the standard error of the difference, or above a fixed
tolerance. The tolerance counts for few held-out rows, where the standard error is large.

A teacher that has seen the held-out rows can make a loss too low, most of all with a transfer set
(see :class:`skkd.supervision.Candidate`). The required margins tell how much a loss is trusted. If
the margin of a network is above that of the best one, its loss is multiplied by the ratio.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skkd.checks import warn
from skkd.config import Config, count_weights
from skkd.progress import titled
from skkd.selection.epochs import FEWEST_HELD_OUT, FEWEST_ROWS, is_intolerable, is_worse
from skkd.selection.plan import Plan
from skkd.selection.successive_halving import Trial
from skkd.supervision import Supervision

__all__ = ["make_plan_of_smallest", "title_of"]


def make_plan_of_smallest(
    config: Config, supervision: Supervision, make: Callable[..., Plan]
) -> Plan:
    """Make the plans of several sizes, and return that of the smallest that is not clearly worse.

    Parameters
    ----------
    config : Config
        Its `smaller_sizes` are tried beside its own sizes. If there are none, the plan of its own
        sizes is returned.
    supervision : Supervision
    make : callable
        :func:`skkd.selection.plan.make_plan` for the data of the fit: a function of `config`,
        `supervision` and `n_plans`.

    Returns
    -------
    Plan
        If no rows can be held out, that of the largest size.
    """
    if not config.smaller_sizes:
        return make(config, supervision=supervision)
    losses: dict[tuple[int, ...], float] = {}
    rivals: list[tuple[Trial, Plan]] = []
    for sizes in (config.layer_sizes, *config.smaller_sizes):
        sized = config.with_sizes(sizes)
        with titled(f"{title_of(sized)}: "):
            plan = make(
                sized,
                supervision=supervision.with_config(sized),
                n_plans=1 + len(config.smaller_sizes),
            )
        if plan.choice is None:
            _warn_of_few_rows(sizes)
            return plan
        losses[sizes] = plan.choice.loss
        # Plans hold many rows, so those that are clearly worse are dropped at once.
        rivals = _not_clearly_worse([*rivals, (plan.choice, plan)])
    plans = [plan for _, plan in rivals]
    smallest = min(plans, key=lambda plan: _size_of(plan, len(supervision.classes)))
    return replace(smallest, size_losses=losses)


def title_of(config: Config) -> str:
    """The hidden layers, for the title of a progress bar."""
    return f"layers {'-'.join(map(str, config.layer_sizes)) or 'none'}"


def _warn_of_few_rows(sizes: tuple[int, ...]) -> None:
    warn(
        f"hidden_layer_sizes='smallest' compares networks on held-out rows. It needs {FEWEST_ROWS} "
        f"rows with a weight above 0, and {FEWEST_HELD_OUT} held-out rows: the layers of 'auto', "
        f"{sizes}, are used."
    )


def _not_clearly_worse(rivals: list[tuple[Trial, Plan]]) -> list[tuple[Trial, Plan]]:
    best = min((choice for choice, _ in rivals), key=lambda choice: choice.loss)
    return [rival for rival in rivals if not _is_clearly_worse(rival[0], best)]


def _is_clearly_worse(ours: Trial, best: Trial) -> bool:
    """Whether a network is clearly worse on the held-out rows than the best one."""
    if ours is best:
        return False
    ratio = max(ours.margin / best.margin, 1.0)
    differences = ratio * _row_losses(ours) - _row_losses(best)
    return (
        (ours.learned_nothing and not best.learned_nothing)
        or is_intolerable(ratio * ours.loss, best.loss)
        or is_worse(differences, ours.weights)
    )


def _row_losses(choice: Trial) -> np.ndarray:
    return choice.row_losses[choice.n_epochs]


def _size_of(plan: Plan, n_classes: int) -> int:
    """The number of weights: bins of numbers add inputs, so fewer units can have more weights."""
    return count_weights(plan.config.layer_sizes, plan.preprocessor.n_features, n_classes)
