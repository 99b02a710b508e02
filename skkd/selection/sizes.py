"""``hidden_layer_sizes="smallest"``: the smallest network that is not clearly worse than the best.

Networks of several sizes are compared on the same held-out rows. For each size everything else is
selected, too, as if the user had asked for that size. A network is clearly worse than the best one
if its log-loss is higher by more than the standard error of the difference, or above a fixed
tolerance. The tolerance counts for few held-out rows, where the standard error is large.

A teacher that has seen the held-out rows can make a loss too low, most of all with a transfer set
(see :class:`skkd.supervision.Candidate`). So like is compared with like: the losses of all sizes
are those of the candidate that is selected for the largest size. The required margins tell how much
a loss is trusted: if the margin of a network is above that of the best one, its loss is multiplied
by the ratio.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from skkd.checks import warn
from skkd.config import Config, count_weights
from skkd.progress import titled
from skkd.selection.comparisons import last_comparison_of
from skkd.selection.epochs import FEWEST_HELD_OUT, FEWEST_ROWS, is_intolerable, is_worse
from skkd.selection.plan import Plan
from skkd.selection.successive_halving import Trial
from skkd.supervision import Supervision

__all__ = ["make_plan_of_smallest", "title_of"]


@dataclass(frozen=True)
class Rival:
    """The plan of one size, and the trial by which it is compared with other sizes.

    Parameters
    ----------
    plan : Plan
    trial : Trial
        Of the candidate by which all sizes are compared.
    margin : float
        The required margin of the trial.
    """

    plan: Plan
    trial: Trial
    margin: float


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
    rivals: list[Rival] = []
    name = None
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
        name = name or plan.candidate.name
        margins = last_comparison_of(name, plan.choice.comparisons).margins
        rival = Rival(plan, plan.choice.trials[name], margins[name])
        losses[sizes] = rival.trial.loss
        # Plans hold many rows, so those that are clearly worse are dropped at once.
        rivals = _not_clearly_worse([*rivals, rival])
    plans = [rival.plan for rival in rivals]
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


def _not_clearly_worse(rivals: list[Rival]) -> list[Rival]:
    best = min(rivals, key=lambda rival: rival.trial.loss)
    return [rival for rival in rivals if not _is_clearly_worse(rival, best)]


def _is_clearly_worse(rival: Rival, best: Rival) -> bool:
    """Whether a network is clearly worse on the held-out rows than the best one."""
    if rival is best:
        return False
    ours, theirs = rival.trial, best.trial
    ratio = max(rival.margin / best.margin, 1.0)
    differences = ratio * ours.row_losses[ours.n_epochs] - theirs.row_losses[theirs.n_epochs]
    return (
        (ours.learned_nothing and not theirs.learned_nothing)
        or is_intolerable(ratio * ours.loss, theirs.loss)
        or is_worse(differences, ours.weights)
    )


def _size_of(plan: Plan, n_classes: int) -> int:
    """The number of weights: bins of numbers add inputs, so fewer units can have more weights."""
    return count_weights(plan.config.layer_sizes, plan.preprocessor.n_features, n_classes)
