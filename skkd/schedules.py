"""Learning-rate schedules: functions from the progress of training to a learning-rate factor.

A schedule knows no optimiser and no network. At each point of training it gives the factor by
which the estimator's `learning_rate` is multiplied. Below, ``e`` is the number of epochs that
are done and ``E`` the number of epochs of the whole training. ``start`` and ``end`` are the
parameters `start_factor` and `end_factor`; all other names are parameters themselves.

====================  =========================================================
Constant              1
StepDecay             gamma^floor(e / step_size)                        by epoch
MultiStepDecay        gamma^(milestones passed at e)                    by epoch
ExponentialDecay      gamma^e                                           by epoch
CosineDecay           end + (1 - end)/2 (1 + cos(pi e/E))               by batch
CosineRestarts        CosineDecay, started again after each period      by batch
LinearDecay           start + (end - start) e/E                         by batch
FlatCosine            1, then half a cosine wave down to 0              by batch
CosLog                (1 - cos(2 pi log2(1 + (2^cycles - 1) e/E))) / 2  by batch
Cyclic                a triangle wave, base_factor to max_factor        by batch
OneCycle              up to 1, then down to almost 0                    by batch
PlateauDecay          gamma^(plateaus of the loss so far)               by loss
WarmUp                a ramp in front of any other schedule             by batch
====================  =========================================================

A factor "by epoch" is constant within an epoch: ``e`` is a whole number. A factor "by batch"
changes with every batch: ``e`` has fractions. A factor "by loss" depends on the losses of the
epochs so far.

All schedules follow scikit-learn's parameter protocol, so GridSearchCV can search
``lr_decay__gamma``. All of them can be pickled. :meth:`Schedule.simulate` computes the factors
of all batches without training anything. The factors of PlateauDecay depend on losses:
:meth:`PlateauDecay.follow` computes them from given losses.
"""

import math
from collections.abc import Set
from typing import Any

from sklearn.base import BaseEstimator

from skkd.checks import (
    check_instance,
    check_integer,
    check_number,
    check_option,
    is_listed,
    refuse,
)
from skkd.doc_links import DocLinkMixin

__all__ = [
    "Constant",
    "CosLog",
    "CosineDecay",
    "CosineRestarts",
    "Cyclic",
    "ExponentialDecay",
    "FlatCosine",
    "LinearDecay",
    "MultiStepDecay",
    "OneCycle",
    "PlateauDecay",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "resolve_schedule",
]


class Schedule(DocLinkMixin, BaseEstimator):
    """Base class of the learning-rate schedules. Subclasses define `factor`.

    `factor` returns the number by which `learning_rate` is multiplied. It is called with two
    numbers: how much of the training is done, and how long the whole training is. The class
    attribute `counts` is the unit of both numbers:

    - "epoch", the default: epochs, where an unfinished epoch does not count as done;
    - "progress": epochs, fractions included;
    - "batch": batches.

    Examples
    --------
    A schedule of one's own:

    >>> class InverseSquareRoot(Schedule):
    ...     def factor(self, epoch: float, n_epochs: float) -> float:
    ...         return (1 + epoch) ** -0.5
    >>> [round(f, 3) for f in InverseSquareRoot().simulate(4)]
    [1.0, 0.707, 0.577, 0.5]
    """

    #: The unit of the arguments of `factor`: "epoch" (whole epochs), "progress" (epochs,
    #: fractions included) or "batch" (batches).
    counts = "epoch"

    #: Whether the factor is always 1.
    is_constant = False

    @property
    def plateau(self) -> "PlateauDecay | None":
        """The PlateauDecay that this schedule is or contains; None if there is none."""
        return None

    def factor(self, done: float, total: float) -> float:
        """Compute the factor of the learning rate at a point of training.

        The class attribute `counts` says whether the arguments are epochs or batches.
        Subclasses name them accordingly, for example ``epoch, n_epochs``.

        Parameters
        ----------
        done : int or float
            Number of epochs or batches that are done, from 0.
        total : int or float
            Number of epochs or batches of the whole training.

        Returns
        -------
        float
            The factor.
        """
        raise NotImplementedError(f"{type(self).__name__} must define factor(done, total)")

    def check(self) -> None:
        """Raise ValueError or TypeError if a parameter is not usable."""

    def ends(self, n_epochs: int) -> list[int]:
        """Return the numbers of epochs after which the learning rate is at a minimum.

        With ``max_epochs="auto"``, skkd may end training early: after one of these numbers of
        epochs. The base class returns ``[n_epochs]``.

        Parameters
        ----------
        n_epochs : int
            Number of epochs of the whole training, if it does not end early.

        Returns
        -------
        list of int
            In ascending order, none above `n_epochs`.
        """
        return [n_epochs]

    def at_batch(self, batch: int, batches_per_epoch: int, n_epochs: float) -> float:
        """Compute the factor of the learning rate for one batch.

        Parameters
        ----------
        batch : int
            Number of batches that are done before this one, from 0.
        batches_per_epoch : int
        n_epochs : int or float
            Number of epochs of the whole training.

        Returns
        -------
        float
        """
        if self.counts == "batch":
            return self.factor(batch, batches_per_epoch * n_epochs)
        if self.counts == "progress":
            return self.factor(batch / batches_per_epoch, n_epochs)
        return self.factor(batch // batches_per_epoch, n_epochs)

    def simulate(self, n_steps, batches_per_epoch=1):
        """Compute the factor of every batch, without training anything.

        Parameters
        ----------
        n_steps : int
            Number of batches of the whole training.
        batches_per_epoch : int, default=1
            The training then has ``n_steps / batches_per_epoch`` epochs.

        Returns
        -------
        list of float, of length `n_steps`

        Examples
        --------
        >>> StepDecay(step_size=2, gamma=0.1).simulate(5)
        [1.0, 1.0, 0.1, 0.1, 0.010000000000000002]
        """
        self.check()
        n_epochs = n_steps / batches_per_epoch
        return [self.at_batch(step, batches_per_epoch, n_epochs) for step in range(n_steps)]


class Constant(Schedule):
    """Keep the learning rate constant: the factor is always 1.

    Examples
    --------
    >>> Constant().simulate(3)
    [1.0, 1.0, 1.0]
    """

    is_constant = True

    def factor(self, epoch: float, n_epochs: float) -> float:
        return 1.0


class StepDecay(Schedule):
    """Multiply the learning rate by `gamma` every `step_size` epochs.

    After ``e`` epochs the factor is ``gamma^floor(e / step_size)``.

    Parameters
    ----------
    step_size : int, default=30
        Number of epochs between two steps.
    gamma : float in (0, 1], default=0.1

    Examples
    --------
    >>> StepDecay(step_size=2, gamma=0.5).simulate(6)
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, step_size=30, gamma=0.1):
        self.step_size = step_size
        self.gamma = gamma

    def check(self) -> None:
        check_integer("step_size", self.step_size, low=1)
        check_number("gamma", self.gamma, low=0, high=1, low_open=True)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class MultiStepDecay(Schedule):
    """Multiply the learning rate by `gamma` at each milestone.

    Parameters
    ----------
    milestones : sequence of int, default=(60, 120, 160)
        Numbers of epochs after which the learning rate falls.
    gamma : float in (0, 1], default=0.1

    Examples
    --------
    >>> MultiStepDecay(milestones=(1, 3), gamma=0.5).simulate(5)
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, milestones=(60, 120, 160), gamma=0.1):
        self.milestones = milestones
        self.gamma = gamma

    def check(self) -> None:
        if not (is_listed(self.milestones) or isinstance(self.milestones, Set)):
            refuse("milestones", self.milestones, "a sequence of integers >= 0", TypeError)
        for milestone in self.milestones:
            check_integer("milestones", milestone, low=0)
        check_number("gamma", self.gamma, low=0, high=1, low_open=True)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return float(self.gamma ** sum(epoch >= milestone for milestone in self.milestones))


class ExponentialDecay(Schedule):
    """Multiply the learning rate by `gamma` after every epoch.

    After ``e`` epochs the factor is ``gamma^e``.

    Parameters
    ----------
    gamma : float in (0, 1], default=0.95

    Examples
    --------
    >>> ExponentialDecay(gamma=0.5).simulate(4)
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, gamma=0.95):
        self.gamma = gamma

    def check(self) -> None:
        check_number("gamma", self.gamma, low=0, high=1, low_open=True)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return float(self.gamma**epoch)


class CosineDecay(Schedule):
    """Lower the factor from 1 to `end_factor` along half a cosine wave.

    After ``e`` of ``E`` epochs, fractions included, the factor is
    ``end + (1 - end)/2 (1 + cos(pi e/E))``, where ``end`` is `end_factor`.

    Parameters
    ----------
    end_factor : float in [0, 1], default=0.0
        Factor at the end of training.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR", arXiv:1608.03983, equation 5.

    Examples
    --------
    >>> [round(f, 3) for f in CosineDecay().simulate(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    counts = "progress"

    def __init__(self, end_factor=0.0):
        self.end_factor = end_factor

    def check(self) -> None:
        check_number("end_factor", self.end_factor, low=0, high=1)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return _cosine(min(epoch / n_epochs, 1), 1, self.end_factor)


class CosineRestarts(Schedule):
    """Restart a cosine decay after each period, with ever longer periods (SGDR).

    Parameters
    ----------
    period : int, default=10
        Epochs of the first period.
    period_factor : int, default=2
        Each period is this many times as long as the one before.
    end_factor : float in [0, 1], default=0.0
        Factor at the end of each period.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR", arXiv:1608.03983.

    Examples
    --------
    >>> [round(f, 3) for f in CosineRestarts(period=2, period_factor=2).simulate(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    counts = "progress"

    def __init__(self, period=10, period_factor=2, end_factor=0.0):
        self.period = period
        self.period_factor = period_factor
        self.end_factor = end_factor

    def check(self) -> None:
        check_integer("period", self.period, low=1)
        check_integer("period_factor", self.period_factor, low=1)
        check_number("end_factor", self.end_factor, low=0, high=1)

    def factor(self, epoch: float, n_epochs: float) -> float:
        period = self.period
        while epoch >= period:
            epoch -= period
            period *= self.period_factor
        return _cosine(epoch / period, 1, self.end_factor)

    def ends(self, n_epochs: int) -> list[int]:
        ends, end, period = [], self.period, self.period
        while end <= n_epochs:
            ends.append(end)
            period *= self.period_factor
            end += period
        return ends or [n_epochs]  # an unfinished period ends at a high rate: a last resort


class LinearDecay(Schedule):
    """Change the factor along a straight line, from `start_factor` to `end_factor`.

    After ``e`` of ``E`` epochs, fractions included, the factor is
    ``start + (end - start) e/E``.

    Parameters
    ----------
    start_factor : float, default=1.0
        ``start``: factor of the first batch.
    end_factor : float, default=0.0
        ``end``: factor at the end of training.

    Examples
    --------
    >>> LinearDecay().simulate(4)
    [1.0, 0.75, 0.5, 0.25]
    """

    counts = "progress"

    def __init__(self, start_factor=1.0, end_factor=0.0):
        self.start_factor = start_factor
        self.end_factor = end_factor

    def check(self) -> None:
        check_number("start_factor", self.start_factor, low=0)
        check_number("end_factor", self.end_factor, low=0)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return _linear(min(epoch / n_epochs, 1), self.start_factor, self.end_factor)


class FlatCosine(Schedule):
    """Keep the factor at 1 for a while, then lower it to 0 along half a cosine wave.

    After ``e`` of ``E`` epochs, fractions included, the factor is
    ``(1 + cos(pi max(0, e/E - flat) / (1 - flat))) / 2``.

    Parameters
    ----------
    flat : float in [0, 1), default=0.5
        Share of the training that is done when the decay begins.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv:2407.04491,
    apply this schedule to the dropout rate.

    Examples
    --------
    >>> [round(f, 3) for f in FlatCosine().simulate(8)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.854, 0.5, 0.146]
    """

    counts = "progress"

    def __init__(self, flat=0.5):
        self.flat = flat

    def check(self) -> None:
        check_number("flat", self.flat, low=0, high=1, high_open=True)

    def factor(self, epoch: float, n_epochs: float) -> float:
        decayed = max(0.0, min(epoch / n_epochs, 1) - self.flat) / (1 - self.flat)
        return (1 + math.cos(math.pi * decayed)) / 2


class CosLog(Schedule):
    """Cosine waves between 0 and 1, each longer than the one before: RealMLP's schedule.

    After ``e`` of ``E`` epochs, fractions included, the factor is
    ``(1 - cos(2 pi log2(1 + (2^cycles - 1) e/E))) / 2``.

    Parameters
    ----------
    cycles : int, default=4
        Number of waves. Each is twice as long as the one before, and starts and ends at 0.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv:2407.04491.

    Examples
    --------
    >>> [round(f, 3) for f in CosLog(cycles=1).simulate(4)]
    [0.0, 0.718, 0.93, 0.324]
    """

    counts = "progress"

    def __init__(self, cycles=4):
        self.cycles = cycles

    def check(self) -> None:
        check_integer("cycles", self.cycles, low=1)
        check_integer("cycles", self.cycles, high=1000)

    def factor(self, epoch: float, n_epochs: float) -> float:
        t = min(epoch / n_epochs, 1)
        return (1 - math.cos(2 * math.pi * math.log2(1 + (2**self.cycles - 1) * t))) / 2

    def ends(self, n_epochs: int) -> list[int]:
        shares = [(2**cycle - 1) / (2**self.cycles - 1) for cycle in range(1, self.cycles + 1)]
        return sorted({round(share * n_epochs) for share in shares} - {0})


class Cyclic(Schedule):
    """Raise and lower the factor in a triangle wave between `base_factor` and `max_factor`.

    After ``b`` batches the factor is
    ``base_factor + (max_factor - base_factor) max(0, 1 - x) scale``, where
    ``x = |b / step_size - 2 cycle + 1|``, and ``cycle = floor(1 + b / (2 step_size))`` numbers
    the cycles from 1. `mode` decides ``scale``:

    - "triangular": 1;
    - "triangular2": ``1 / 2^(cycle - 1)``, so that each peak is half as high above
      `base_factor` as the one before;
    - "exp_range": ``gamma^b``.

    Parameters
    ----------
    step_size : int, default=2000
        Length of half a cycle in **batches**. The number of batches in two to ten epochs
        works well.
    mode : {"triangular", "triangular2", "exp_range"}, default="triangular"
        How the peaks change from cycle to cycle.
    base_factor : float, default=0.1
        Lowest factor.
    max_factor : float, default=1.0
        Highest factor.
    gamma : float in (0, 1], default=0.9999
        Used by "exp_range" only.

    References
    ----------
    Smith (2017), "Cyclical learning rates", arXiv:1506.01186, section 3.

    Examples
    --------
    >>> Cyclic(step_size=2, base_factor=1, max_factor=3, mode="triangular2").simulate(9)
    [1.0, 2.0, 3.0, 2.0, 1.0, 1.5, 2.0, 1.5, 1.0]
    """

    counts = "batch"

    def __init__(
        self, step_size=2000, mode="triangular", base_factor=0.1, max_factor=1.0, gamma=0.9999
    ):
        self.step_size = step_size
        self.mode = mode
        self.base_factor = base_factor
        self.max_factor = max_factor
        self.gamma = gamma

    def check(self) -> None:
        check_integer("step_size", self.step_size, low=1)
        check_option("mode", self.mode, ("triangular", "triangular2", "exp_range"))
        check_number("base_factor", self.base_factor, low=0)
        check_number("max_factor", self.max_factor, low=0)
        check_number("gamma", self.gamma, low=0, high=1, low_open=True)

    def factor(self, batch: float, n_batches: float) -> float:
        cycle = math.floor(1 + batch / (2 * self.step_size))
        x = abs(batch / self.step_size - 2 * cycle + 1)
        scale = {
            "triangular": 1.0,
            "triangular2": 1 / 2 ** (cycle - 1),
            "exp_range": self.gamma**batch,
        }[self.mode]
        return self.base_factor + (self.max_factor - self.base_factor) * max(0.0, 1 - x) * scale


class OneCycle(Schedule):
    """Raise the factor to 1, then lower it to almost 0.

    The factor is ``1 / div_factor`` at the first batch. It rises to 1, and then falls to
    ``1 / (div_factor * final_div_factor)`` at the last batch.

    Parameters
    ----------
    rise : float in (0, 1), default=0.3
        Share of the batches during which the factor rises.
    div_factor : float, default=25.0
        The factor of the first batch is 1 / `div_factor`.
    final_div_factor : float, default=1e4
        The factor of the last batch is 1 / (`div_factor` * `final_div_factor`).
    anneal : {"cosine", "linear"}, default="cosine"
        Shape of the rise and of the fall.

    References
    ----------
    Smith and Topin (2018), "Super-convergence", arXiv:1708.07120.

    Examples
    --------
    >>> [round(f, 3) for f in OneCycle(rise=0.5, anneal="linear").simulate(7)]
    [0.04, 0.424, 0.808, 0.857, 0.571, 0.286, 0.0]
    """

    counts = "batch"

    def __init__(self, rise=0.3, div_factor=25.0, final_div_factor=1e4, anneal="cosine"):
        self.rise = rise
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.anneal = anneal

    def check(self) -> None:
        check_number("rise", self.rise, low=0, high=1, low_open=True, high_open=True)
        check_number("div_factor", self.div_factor, low=1)
        check_number("final_div_factor", self.final_div_factor, low=1)
        check_option("anneal", self.anneal, ("cosine", "linear"))

    def factor(self, batch: float, n_batches: float) -> float:
        start = 1 / self.div_factor
        end = start / self.final_div_factor
        slope = {"cosine": _cosine, "linear": _linear}[self.anneal]
        last = max(n_batches - 1, 1)
        peak = max(self.rise * n_batches - 1, 0)
        if batch <= peak:
            return slope(batch / peak if peak else 1, start, 1)
        return slope(min((batch - peak) / (last - peak), 1), 1, end)


class PlateauDecay(Schedule):
    """Multiply the learning rate by `gamma` whenever the loss stops falling.

    The rule is that of torch's ReduceLROnPlateau. The watched loss is the loss of held-out
    rows, or the training loss if no rows are held out. After more than `patience` epochs in a
    row without improvement the factor is multiplied by `gamma`, but never falls below
    `min_factor`. If the factor already is `min_factor`, training ends instead, as with
    ``learning_rate="adaptive"`` of scikit-learn's MLPClassifier. `partial_fit` never ends
    training: it continues at `min_factor`.

    Parameters
    ----------
    gamma : float in (0, 1), default=0.1
        Multiplies the learning rate. torch calls it `factor`.
    patience : int, default=10
        Number of epochs in a row without improvement that are tolerated.
    threshold : float, default=1e-4
        Improvements of the loss by less than this do not count.
    threshold_mode : {"rel", "abs"}, default="rel"
        Whether `threshold` is a share of the lowest loss so far, or an absolute difference.
    cooldown : int, default=0
        Number of epochs after each reduction that do not count towards `patience`.
    min_factor : float in (0, 1], default=1e-3
        Lowest factor: torch's `min_lr` divided by the learning rate.

    Examples
    --------
    >>> decay = PlateauDecay(gamma=0.5, patience=1, min_factor=0.5)
    >>> decay.follow([1.0, 0.9, 0.9, 0.9, 0.9, 0.9])  # the factor of each epoch
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self,
        gamma=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_factor=1e-3,
    ):
        self.gamma = gamma
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_factor = min_factor

    @property
    def plateau(self) -> "PlateauDecay | None":
        return self

    def check(self) -> None:
        check_number("gamma", self.gamma, low=0, high=1, low_open=True, high_open=True)
        check_integer("patience", self.patience, low=0)
        check_number("threshold", self.threshold, low=0)
        check_option("threshold_mode", self.threshold_mode, ("rel", "abs"))
        check_integer("cooldown", self.cooldown, low=0)
        check_number("min_factor", self.min_factor, low=0, high=1, low_open=True)

    def factor(self, epoch: float, n_epochs: float) -> float:
        return 1.0  # the actual factor depends on losses: see `after_epoch`

    def begin(self) -> dict[str, Any]:
        """Return the state before the first epoch, for `after_epoch`.

        Returns
        -------
        dict
            "factor": the factor of the learning rate. "is_over": whether training must end.
            "best": the lowest loss so far. "n_bad": the number of epochs in a row without
            improvement. "n_cooldown": the number of epochs that are left of the cooldown.
        """
        return {"factor": 1.0, "is_over": False, "best": math.inf, "n_bad": 0, "n_cooldown": 0}

    def after_epoch(self, state: dict[str, Any], loss: float) -> dict[str, Any]:
        """Return the state after one more epoch, given its loss. `state` is not changed.

        Parameters
        ----------
        state : dict
            State before this epoch: the result of `begin`, or of the previous call.
        loss : float
            The watched loss after this epoch.

        Returns
        -------
        dict
            The new state, with the keys that `begin` describes.
        """
        state = dict(state)
        best = state["best"]
        is_relative = self.threshold_mode == "rel"
        to_beat = best * (1 - self.threshold) if is_relative else best - self.threshold
        if loss < to_beat:
            state |= {"best": loss, "n_bad": 0}
        else:
            state["n_bad"] += 1
        if state["n_cooldown"] > 0:
            state |= {"n_cooldown": state["n_cooldown"] - 1, "n_bad": 0}
        if state["n_bad"] > self.patience:
            is_at_floor = math.isclose(state["factor"], self.min_factor)
            factor = self.min_factor if is_at_floor else state["factor"] * self.gamma
            state |= {"factor": max(factor, self.min_factor), "is_over": is_at_floor}
            state |= {"n_cooldown": self.cooldown, "n_bad": 0}
        return state

    def follow(self, losses):
        """Compute the factor of each epoch from given losses, without training anything.

        Parameters
        ----------
        losses : sequence of float
            The loss after each epoch.

        Returns
        -------
        list of float
            One factor per epoch. It depends on the losses of the earlier epochs only.
        """
        self.check()
        state, factors = self.begin(), []
        for loss in losses:
            factors.append(state["factor"])
            state = self.after_epoch(state, loss)
        return factors


class WarmUp(Schedule):
    """Raise the learning rate along a linear ramp before another schedule begins.

    The ramp fills the first `n_epochs` epochs. It ends at the rate at which `schedule` begins,
    and it starts at `start_factor` times that rate. In between, the rate rises linearly, batch
    by batch. `schedule` then covers the remaining epochs. CosLog needs no ramp, because it
    begins at 0.

    Parameters
    ----------
    schedule : str or Schedule, default="constant"
        The schedule after the ramp.
    n_epochs : float, default=5
        Number of epochs of the ramp. Fractions are allowed.
    start_factor : float in [0, 1], default=0.0
        Start of the ramp, as a share of the rate at its end. The first batch is already one
        step above the start, so with 0 no batch is trained at rate 0.

    Examples
    --------
    Four epochs of ramp, then four of "linear", with one batch per epoch:

    >>> WarmUp(schedule="linear", n_epochs=4).simulate(8)
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(self, schedule="constant", n_epochs=5, start_factor=0.0):
        self.schedule = schedule
        self.n_epochs = n_epochs
        self.start_factor = start_factor

    def check(self) -> None:
        resolve_schedule("schedule", self.schedule)
        check_number("n_epochs", self.n_epochs, low=0)
        check_number("start_factor", self.start_factor, low=0, high=1)

    @property
    def plateau(self) -> "PlateauDecay | None":
        return resolve_schedule("schedule", self.schedule).plateau

    def ends(self, n_epochs: int) -> list[int]:
        rest = max(1, round(n_epochs - self.n_epochs))
        ramp = n_epochs - rest
        return [ramp + end for end in resolve_schedule("schedule", self.schedule).ends(rest)]

    def at_batch(self, batch: int, batches_per_epoch: int, n_epochs: float) -> float:
        schedule = resolve_schedule("schedule", self.schedule)
        ramp = min(round(self.n_epochs * batches_per_epoch), round(n_epochs * batches_per_epoch))
        rest = max(n_epochs - ramp / batches_per_epoch, 1 / batches_per_epoch)
        if batch >= ramp:
            return schedule.at_batch(batch - ramp, batches_per_epoch, rest)
        top = schedule.at_batch(0, batches_per_epoch, rest)
        return top * _linear((batch + 1) / ramp, self.start_factor, 1)


SCHEDULES = {
    "constant": Constant,
    "step": StepDecay,
    "multi_step": MultiStepDecay,
    "exponential": ExponentialDecay,
    "cosine": CosineDecay,
    "cosine_restarts": CosineRestarts,
    "linear": LinearDecay,
    "flat_cosine": FlatCosine,
    "coslog": CosLog,
    "cyclic": Cyclic,
    "one_cycle": OneCycle,
    "plateau": PlateauDecay,
}


def resolve_schedule(name: str, value: Any) -> Schedule:
    """Return the schedule that the value of a parameter stands for, and check its settings.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : str or Schedule
        A key of `SCHEDULES`, or a schedule.

    Returns
    -------
    Schedule
        A schedule with default settings for a key, else the schedule itself.

    Examples
    --------
    >>> resolve_schedule("lr_decay", value="step")
    StepDecay()
    """
    if isinstance(value, str):
        check_option(name, value, tuple(SCHEDULES))
        return SCHEDULES[value]()
    check_instance(name, value, Schedule, "a schedule's name or an object of skkd.schedules")
    value.check()
    return value


def _linear(t: float, start: float, end: float) -> float:
    return start + (end - start) * t


def _cosine(t: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2
