"""Schedules: worked curves, torch's schedulers, warm-up, and scikit-learn's protocol."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.optim import lr_scheduler

from skkd.schedules import (
    SCHEDULES,
    Constant,
    CosineDecay,
    CosineRestarts,
    CosLog,
    Cyclic,
    ExponentialDecay,
    FlatCosine,
    LinearDecay,
    MultiStepDecay,
    OneCycle,
    PlateauDecay,
    Schedule,
    StepDecay,
    WarmUp,
    resolve_schedule,
)

close = np.testing.assert_allclose

BY_EPOCH = [
    StepDecay(step_size=2, gamma=0.5),
    MultiStepDecay(milestones=(1, 3), gamma=0.5),
    ExponentialDecay(gamma=0.8),
]
BY_BATCH = [
    CosineDecay(end_factor=0.1),
    CosineRestarts(period=2, period_factor=2),
    LinearDecay(start_factor=0.9, end_factor=0.1),
    CosLog(cycles=2),
    FlatCosine(flat=0.1),
    Cyclic(step_size=5, mode="triangular2"),
    OneCycle(),
]
ALL = [Constant(), *BY_EPOCH, *BY_BATCH, PlateauDecay(), WarmUp(StepDecay(), n_epochs=2)]


def named(schedules):
    return {"argvalues": schedules, "ids": lambda schedule: type(schedule).__name__}


def torchs_factors(scheduler, n_steps, **params):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = scheduler(optimizer, **params)
    factors = [optimizer.param_groups[0]["lr"]]
    for _ in range(n_steps - 1):
        optimizer.step()
        scheduler.step()
        factors.append(optimizer.param_groups[0]["lr"])
    return factors


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1, 1, 1, 1]),
        (StepDecay(step_size=2, gamma=0.1), [1, 1, 0.1, 0.1, 0.01, 0.01]),
        (MultiStepDecay(milestones=(1, 4), gamma=0.1), [1, 0.1, 0.1, 0.1, 0.01]),
        (ExponentialDecay(gamma=0.5), [1, 0.5, 0.25, 0.125]),
        (CosineDecay(), [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        (CosineDecay(end_factor=0.2), [1, 0.6]),
        (FlatCosine(), [1, 1, 1, 0.5]),
        (FlatCosine(flat=0), [1, 0.853553, 0.5, 0.146447]),
        (FlatCosine(flat=0.25), [1, 1, 0.75, 0.25]),
        (CosineRestarts(period=1, period_factor=2), [1, 1, 0.5, 1, 0.853553, 0.5, 0.146447, 1]),
        (CosineRestarts(period=2, period_factor=1), [1, 0.5, 1, 0.5, 1, 0.5]),
        (LinearDecay(), [1, 0.75, 0.5, 0.25]),
        (LinearDecay(start_factor=0.5, end_factor=1.5), [0.5, 0.75, 1, 1.25]),
        (OneCycle(rise=0.5, div_factor=4, final_div_factor=10, anneal="linear"),
         [0.25, 0.625, 1, 0.675, 0.35, 0.025]),
        (WarmUp("linear", n_epochs=4), [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        (WarmUp("constant", n_epochs=2, start_factor=0.5), [0.75, 1, 1, 1]),
    ],
)  # fmt: skip
def test_worked_curves(schedule, expected):
    close(schedule.simulate(len(expected)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("triangular", [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1]),
        ("triangular2", [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.25, 1.5, 1.75, 2, 1.75, 1.5, 1.25]),
        ("exp_range", [1, 1.25, 1.25, 1.1875, 1.125, 1 + 1.5 / 32, 1 + 1 / 64, 1 + 0.5 / 128, 1]),
    ],
)  # fmt: skip
def test_smiths_cycles_by_hand(mode, expected):
    cyclic = Cyclic(step_size=4, mode=mode, base_factor=1, max_factor=3, gamma=0.5)
    close(cyclic.simulate(len(expected)), expected)


@pytest.mark.parametrize(
    ("schedule", "scheduler", "params"),
    [
        (StepDecay(3, 0.3), lr_scheduler.StepLR, {"step_size": 3, "gamma": 0.3}),
        (MultiStepDecay((2, 5, 11), 0.3), lr_scheduler.MultiStepLR,
         {"milestones": [2, 5, 11], "gamma": 0.3}),
        (ExponentialDecay(0.9), lr_scheduler.ExponentialLR, {"gamma": 0.9}),
        (CosineDecay(0.1), lr_scheduler.CosineAnnealingLR, {"T_max": 20, "eta_min": 0.1}),
        (CosineRestarts(3, 2, 0.1), lr_scheduler.CosineAnnealingWarmRestarts,
         {"T_0": 3, "T_mult": 2, "eta_min": 0.1}),
        (LinearDecay(0.5, 0.1), lr_scheduler.LinearLR,
         {"start_factor": 0.5, "end_factor": 0.1, "total_iters": 20}),
        *[(Cyclic(4, mode, 0.2, 0.9, 0.95), lr_scheduler.CyclicLR,
           {"base_lr": 0.2, "max_lr": 0.9, "step_size_up": 4, "mode": mode, "gamma": 0.95,
            "cycle_momentum": False}) for mode in ("triangular", "triangular2", "exp_range")],
        *[(OneCycle(0.4, 10, 100, anneal), lr_scheduler.OneCycleLR,
           {"max_lr": 1, "total_steps": 20, "pct_start": 0.4, "div_factor": 10,
            "final_div_factor": 100, "anneal_strategy": name, "cycle_momentum": False})
          for anneal, name in (("cosine", "cos"), ("linear", "linear"))],
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_the_curve_is_torchs(schedule, scheduler, params):
    close(schedule.simulate(20), torchs_factors(scheduler, 20, **params), rtol=1e-9, atol=1e-12)


def losses_that_stand_still(seed):
    """Falling and noisy, level, and falling again."""
    random_state = np.random.RandomState(seed)
    falls = np.concatenate([np.linspace(2, 1, 20), np.ones(30), np.linspace(1, 0.2, 10)])
    return [*falls * random_state.uniform(0.98, 1.02, 60), *[0.2] * 60]


PLATEAUS = [
    {},
    {"patience": 0},
    {"patience": 2, "gamma": 0.5},
    {"patience": 2, "cooldown": 3, "gamma": 0.5},
    {"patience": 3, "threshold": 0.02, "gamma": 0.7},
    {"patience": 3, "threshold": 0.02, "threshold_mode": "abs", "gamma": 0.7},
    {"patience": 1, "threshold": 0.0, "gamma": 0.8, "min_factor": 0.05},
    {"patience": 1, "gamma": 0.3, "min_factor": 0.2, "cooldown": 2},
    {"patience": 1, "gamma": 0.3, "threshold": 1.5},
]


@pytest.mark.parametrize("params", PLATEAUS, ids=str)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [1.0, 0.003])
def test_a_plateau_decay_falls_when_torchs_does_step_by_step(params, seed, rate):
    decay = PlateauDecay(**params)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    names = {"gamma": "factor", "min_factor": "min_lr"}
    options = {names.get(name, name): value for name, value in decay.get_params().items()}
    options["min_lr"] *= rate
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **options)
    losses, expected = losses_that_stand_still(seed), []
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(loss)
    assert min(expected) < rate
    close(rate * np.array(decay.follow(losses)), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("params", "ends_after"),
    [
        ({"patience": 0, "gamma": 0.1, "min_factor": 1e-3}, 5),  # 1, .1, .01, .001: four falls
        ({"patience": 2, "gamma": 0.1, "min_factor": 1e-3}, 13),
        ({"patience": 0, "gamma": 0.5, "min_factor": 0.3}, 4),  # 1, .5, .3
        ({"patience": 0, "gamma": 0.5, "min_factor": 1.0}, 2),
        ({"patience": 0, "cooldown": 2, "gamma": 0.5, "min_factor": 0.5}, 5),
    ],
)
def test_a_plateau_decay_ends_when_it_would_fall_under_its_floor(params, ends_after):
    decay = PlateauDecay(**params)
    state, n_epochs = decay.begin(), 0
    while not state["is_over"]:
        before = dict(state)
        new = decay.after_epoch(state, 1.0)
        assert state == before
        state, n_epochs = new, n_epochs + 1
    assert n_epochs == ends_after
    assert state["factor"] == pytest.approx(params["min_factor"])


def test_a_plateau_decay_is_not_over_while_the_loss_falls():
    decay = PlateauDecay(patience=0)
    assert decay.follow([0.9**epoch for epoch in range(200)]) == [1.0] * 200
    assert decay.follow([]) == []


@pytest.mark.parametrize("schedule", **named(ALL))
def test_only_plateau_decays_watch_the_loss(schedule):
    assert (schedule.plateau is not None) == isinstance(schedule, PlateauDecay)
    assert (WarmUp(schedule).plateau is None) == (schedule.plateau is None)


def test_restarts_move_within_an_epoch_as_torchs_do():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    expected = []
    for batch in range(40):
        scheduler.step(batch / 5)
        expected.append(optimizer.param_groups[0]["lr"])
    close(CosineRestarts(2, 2).simulate(40, batches_per_epoch=5), expected, atol=1e-12)


@pytest.mark.parametrize("schedule", **named([*BY_EPOCH, CosineDecay(), LinearDecay()]))
def test_decays_start_at_one_and_never_rise_nor_leave_zero_to_one(schedule):
    curve = np.array(schedule.simulate(50))
    assert curve[0] == 1
    assert (np.diff(curve) <= 0).all()
    assert ((curve >= 0) & (curve <= 1)).all()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [(CosineDecay(0.25), 0.25), (LinearDecay(1, 0.25), 0.25), (CosLog(3), 0.0)],
)
def test_the_end_of_training_and_what_lies_behind_it_get_the_end_factor(schedule, expected):
    assert schedule.factor(30, 30) == pytest.approx(expected, abs=1e-12)
    assert schedule.factor(31, 30) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 10, 101])
def test_one_cycle_rises_once_to_one_and_falls_once_to_its_end(anneal, n_steps):
    curve = OneCycle(rise=0.3, div_factor=10, final_div_factor=100, anneal=anneal).simulate(n_steps)
    top = int(np.argmax(curve))
    assert (np.diff(curve[: top + 1]) > 0).all()
    assert (np.diff(curve[top:]) < 0).all()
    assert max(curve) <= 1
    if n_steps > 3:
        assert curve[0] == pytest.approx(1 / 10)
        assert curve[-1] == pytest.approx(1 / 1000)


@pytest.mark.parametrize("cycles", [1, 2, 4])
def test_coslog_has_as_many_peaks_as_cycles_each_wider_than_the_last(cycles):
    curve = np.array(CosLog(cycles).simulate(5000))
    middle = curve[1:-1]
    peaks = np.flatnonzero((middle > curve[:-2]) & (middle >= curve[2:]))
    valleys = np.flatnonzero((middle < curve[:-2]) & (middle <= curve[2:]))
    assert len(peaks) == cycles
    close(curve[peaks + 1], 1, atol=1e-3)
    assert len(valleys) == cycles - 1
    assert (np.diff(np.diff([0, *valleys, 5000])) > 0).all()


def test_coslog_is_realmlps_formula():
    t = np.arange(100) / 100
    expected = 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t)))
    close(CosLog(cycles=4).simulate(100), expected, atol=1e-12)


@pytest.mark.parametrize("schedule", **named([Constant(), *BY_EPOCH]))
def test_schedules_by_epoch_stand_still_within_an_epoch(schedule):
    curve = schedule.simulate(40, batches_per_epoch=5)
    assert curve == list(np.repeat(schedule.simulate(8), 5))


@pytest.mark.parametrize("schedule", **named(BY_BATCH))
def test_schedules_by_batch_move_within_an_epoch(schedule):
    curve = np.array(schedule.simulate(40, batches_per_epoch=10)).reshape(4, 10)
    assert (np.ptp(curve, axis=1) > 0).all()


@pytest.mark.parametrize("schedule", **named([s for s in BY_BATCH if s.counts == "progress"]))
def test_progress_does_not_depend_on_the_number_of_batches(schedule):
    close(schedule.simulate(40, batches_per_epoch=5)[::5], schedule.simulate(8), atol=1e-12)


@pytest.mark.parametrize("schedule", **named([Constant(), *BY_EPOCH, *BY_BATCH]))
@pytest.mark.parametrize("n_epochs", [2, 0.8])
def test_warm_up_is_a_ramp_and_then_the_schedule_from_its_start(schedule, n_epochs):
    ramp = int(n_epochs * 5)
    curve = WarmUp(schedule, n_epochs=n_epochs).simulate(30, batches_per_epoch=5)
    after = schedule.simulate(30 - ramp, batches_per_epoch=5)
    close(curve[:ramp], after[0] * np.arange(1, ramp + 1) / ramp, rtol=1e-9)
    close(curve[ramp:], after, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", **named([*BY_EPOCH, *BY_BATCH]))
def test_warm_up_of_no_epochs_changes_nothing(schedule):
    close(WarmUp(schedule, n_epochs=0).simulate(30, 5), schedule.simulate(30, 5), atol=1e-12)


@pytest.mark.parametrize("n_epochs", [6, 100])
def test_warm_up_longer_than_the_training_ramps_to_its_end(n_epochs):
    close(WarmUp("cosine", n_epochs=n_epochs).simulate(6), np.arange(1, 7) / 6)


@pytest.mark.parametrize("schedule", **named(ALL))
def test_clones_and_pickles_draw_the_same_curve(schedule):
    expected = schedule.simulate(24, 4)
    assert clone(schedule).simulate(24, 4) == expected
    assert pickle.loads(pickle.dumps(schedule)).simulate(24, 4) == expected


@pytest.mark.parametrize("schedule", **named(ALL))
def test_parameters_go_round_through_get_params_and_repr(schedule):
    params = schedule.get_params(deep=False)
    assert type(schedule)().set_params(**params).get_params(deep=False) == params
    assert eval(repr(schedule)).get_params(deep=False).keys() == params.keys()
    assert eval(repr(schedule)).simulate(24, 4) == schedule.simulate(24, 4)


def test_repr_shows_what_was_changed():
    assert repr(StepDecay(step_size=2)) == "StepDecay(step_size=2)"


def test_a_grid_can_reach_a_schedule_inside_a_warm_up():
    warm_up = clone(WarmUp(StepDecay(), n_epochs=2)).set_params(schedule__gamma=0.5, n_epochs=1)
    assert warm_up.get_params()["schedule__gamma"] == 0.5
    assert warm_up.simulate(32)[1::30] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("schedule", "parameter", "allowed", "error"),
    [
        (StepDecay(step_size=0), "step_size=0", "an integer >= 1", ValueError),
        (StepDecay(step_size=2.0), "step_size=2.0", "an integer >= 1", TypeError),
        (StepDecay(gamma=0), "gamma=0", "a number in (0, 1]", ValueError),
        (StepDecay(gamma="0.1"), "gamma='0.1'", "a number in (0, 1]", TypeError),
        (MultiStepDecay(milestones=5), "milestones=5", "a sequence of integers >= 0", TypeError),
        (MultiStepDecay(milestones=(1, -1)), "milestones=-1", "an integer >= 0", ValueError),
        (MultiStepDecay(gamma=2), "gamma=2", "a number in (0, 1]", ValueError),
        (ExponentialDecay(gamma=1.5), "gamma=1.5", "a number in (0, 1]", ValueError),
        (CosineDecay(end_factor=-0.1), "end_factor=-0.1", "a number in [0, 1]", ValueError),
        (CosineDecay(end_factor=math.nan), "end_factor=nan", "a number in [0, 1]", ValueError),
        (CosineRestarts(period=0), "period=0", "an integer >= 1", ValueError),
        (CosineRestarts(period_factor=1.5), "period_factor=1.5", "an integer >= 1", TypeError),
        (CosineRestarts(end_factor=2), "end_factor=2", "a number in [0, 1]", ValueError),
        (LinearDecay(start_factor=-1), "start_factor=-1", "a number >= 0", ValueError),
        (LinearDecay(end_factor=None), "end_factor=None", "a number >= 0", TypeError),
        (CosLog(cycles=True), "cycles=True", "an integer >= 1", TypeError),
        (FlatCosine(flat=1), "flat=1", "a number in [0, 1)", ValueError),
        (FlatCosine(flat=-0.1), "flat=-0.1", "a number in [0, 1)", ValueError),
        (FlatCosine(flat=None), "flat=None", "a number in [0, 1)", TypeError),
        (Cyclic(mode="sine"), "mode='sine'", "'triangular', 'triangular2'", ValueError),
        (Cyclic(step_size=0), "step_size=0", "an integer >= 1", ValueError),
        (Cyclic(base_factor=-1), "base_factor=-1", "a number >= 0", ValueError),
        (Cyclic(max_factor="1"), "max_factor='1'", "a number >= 0", TypeError),
        (OneCycle(rise=1), "rise=1", "a number in (0, 1)", ValueError),
        (OneCycle(div_factor=0.5), "div_factor=0.5", "a number >= 1", ValueError),
        (OneCycle(final_div_factor=0), "final_div_factor=0", "a number >= 1", ValueError),
        (OneCycle(anneal="cos"), "anneal='cos'", "'cosine', 'linear'", ValueError),
        (PlateauDecay(gamma=1), "gamma=1", "a number in (0, 1)", ValueError),
        (PlateauDecay(patience=-1), "patience=-1", "an integer >= 0", ValueError),
        (PlateauDecay(patience=None), "patience=None", "an integer >= 0", TypeError),
        (PlateauDecay(threshold=-1), "threshold=-1", "a number >= 0", ValueError),
        (PlateauDecay(threshold_mode="r"), "threshold_mode='r'", "'rel', 'abs'", ValueError),
        (PlateauDecay(cooldown=0.5), "cooldown=0.5", "an integer >= 0", TypeError),
        (PlateauDecay(min_factor=0), "min_factor=0", "a number in (0, 1]", ValueError),
        (WarmUp(PlateauDecay(gamma=0)), "gamma=0", "a number in (0, 1)", ValueError),
        (WarmUp("sine"), "schedule='sine'", "'one_cycle'", ValueError),
        (WarmUp(StepDecay(gamma=7)), "gamma=7", "a number in (0, 1]", ValueError),
        (WarmUp(n_epochs=-1), "n_epochs=-1", "a number >= 0", ValueError),
        (WarmUp(start_factor=2), "start_factor=2", "a number in [0, 1]", ValueError),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" in value else "",
)
def test_bad_parameters_are_refused_with_name_value_and_what_is_allowed(
    schedule, parameter, allowed, error
):
    for check in (lambda: schedule.simulate(1), lambda: resolve_schedule("lr_decay", schedule)):
        with pytest.raises(error) as refusal:
            check()
        assert parameter in str(refusal.value)
        assert allowed in str(refusal.value)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_name_means_the_schedule_with_its_defaults(name):
    schedule = resolve_schedule("lr_decay", name)
    assert schedule.get_params() == SCHEDULES[name]().get_params()
    assert len(schedule.simulate(10)) == 10


def test_a_schedule_object_is_taken_as_it_is():
    schedule = StepDecay(gamma=0.5)
    assert resolve_schedule("lr_decay", schedule) is schedule


@pytest.mark.parametrize("value", [StepDecay, None, 0.1])
def test_what_is_no_schedule_is_refused(value):
    with pytest.raises(TypeError, match=r"^lr_decay=.*a schedule's name or an object"):
        resolve_schedule("lr_decay", value)


def test_only_the_constant_schedule_is_constant():
    assert [schedule for schedule in ALL if schedule.is_constant] == [ALL[0]]


def test_a_schedule_without_a_factor_says_so():
    with pytest.raises(NotImplementedError, match="Schedule must define factor"):
        Schedule().simulate(1)


def test_schedules_do_without_torch():
    code = "import sys, skkd.schedules; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
