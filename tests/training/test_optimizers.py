"""Optimisers: names, settings, single steps, and a state that survives as arrays."""

import copy
import inspect

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from skorch.callbacks import Callback

from skkd import DistilledClassifier, NeuralClassifier
from skkd import config as settings
from skkd.modules import MLP
from skkd.presets import PRESETS
from skkd.training.optimizers import (
    OPTIMIZERS,
    L2Penalty,
    load_state,
    make_optimizer,
    penalty_of,
    quick_step_of,
    state_as_arrays,
)

close = torch.testing.assert_close


def small_module(seed=0):
    generator = torch.Generator().manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    return module


def gradients(module, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=generator) for p in module.parameters()]


def step(optimizer, module, seed):
    for parameter, gradient in zip(module.parameters(), gradients(module, seed), strict=True):
        parameter.grad = gradient.clone()
    optimizer.step()


def is_weight(parameter):
    return parameter.ndim > 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"momentum": 0.8, "nesterov": True}),
        ("adam", {"betas": (0.9, 0.999)}),
        ("adamw", {"betas": (0.9, 0.999)}),
        ("rmsprop", {"momentum": 0.8}),
    ],
)
def test_names_are_torchs_classes_with_their_settings(name, settings):
    optimizer = make_optimizer(
        name, small_module(), learning_rate=0.3, weight_decay=0.2, momentum=0.8, nesterov=True
    )
    assert type(optimizer) is OPTIMIZERS[name]
    assert type(optimizer).__name__.lower() == name
    for group in optimizer.param_groups:
        assert group["lr"] == 0.3
        assert {key: group[key] for key in settings} == settings


@pytest.mark.parametrize(
    ("momentum", "nesterov", "expected"), [(0.0, True, False), (0.5, False, False)]
)
def test_nesterov_needs_momentum(momentum, nesterov, expected):
    optimizer = make_optimizer(
        "sgd", small_module(), learning_rate=0.1, momentum=momentum, nesterov=nesterov
    )
    assert optimizer.param_groups[0]["nesterov"] is expected


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.NAdam])
def test_weight_decay_acts_on_matrices_only(optimizer):
    module = small_module()
    before = copy.deepcopy(module)
    optimizer = make_optimizer(optimizer, module, learning_rate=0.1, weight_decay=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for new, old in zip(module.parameters(), before.parameters(), strict=True):
        if is_weight(new):
            assert torch.equal((new - old).sign(), -old.sign())
        else:
            close(new, old)


def sgd_step(w, g, decay, v):
    v = 0.9 * v + (g + decay * w)
    return w - 0.1 * (g + decay * w + 0.9 * v), v


def test_two_steps_of_sgd_are_nesterovs():
    module = small_module()
    optimizer = make_optimizer(
        "sgd", module, learning_rate=0.1, weight_decay=0.01, momentum=0.9, nesterov=True
    )
    expected = [p.detach().clone() for p in module.parameters()]
    velocity = [torch.zeros_like(p) for p in expected]
    for seed in (1, 2):
        for i, gradient in enumerate(gradients(module, seed)):
            decay = 0.01 if is_weight(expected[i]) else 0.0
            expected[i], velocity[i] = sgd_step(expected[i], gradient, decay, velocity[i])
        step(optimizer, module, seed)
    for new, wanted in zip(module.parameters(), expected, strict=True):
        close(new.detach(), wanted)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_step_of_adam_is_the_sign_of_the_gradient(name):
    module = small_module()
    before = copy.deepcopy(module)
    step(make_optimizer(name, module, learning_rate=0.1), module, 1)
    for new, old, gradient in zip(
        module.parameters(), before.parameters(), gradients(module, 1), strict=True
    ):
        close(new, old - 0.1 * gradient.sign(), atol=1e-5, rtol=1e-5)


REFERENCES = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, fused=False),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.1, fused=False, foreach=False),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.1, fused=False, foreach=False),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.1, momentum=0.9, foreach=False),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_steps_are_those_of_torchs_plain_loops(name):
    module, reference = small_module(), small_module()
    groups = [
        {"params": [p for p in reference.parameters() if is_weight(p)], "weight_decay": 0.05},
        {"params": [p for p in reference.parameters() if not is_weight(p)], "weight_decay": 0.0},
    ]
    settings = {"weight_decay": 0.05, "momentum": 0.9, "nesterov": True}
    optimizer = make_optimizer(name, module, learning_rate=0.1, **settings)
    expected = REFERENCES[name](groups)
    for seed in range(5):
        step(optimizer, module, seed)
        step(expected, reference, seed)
    for new, wanted in zip(module.parameters(), reference.parameters(), strict=True):
        close(new, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("adam", {"betas": (0.5, 0.6), "eps": 1e-3}),
        ("rmsprop", {"alpha": 0.5}),
        (torch.optim.SGD, {"momentum": 0.7}),
        (torch.optim.NAdam, {"momentum_decay": 0.01}),
    ],
)
def test_options_reach_the_optimiser(optimizer, options):
    made = make_optimizer(
        optimizer, small_module(), learning_rate=0.1, momentum=0.9, options=options
    )
    for group in made.param_groups:
        assert {name: group[name] for name in options} == options


@pytest.mark.parametrize("preset", PRESETS)
def test_options_of_the_classifier_change_its_training(preset, iris_like):
    X, y = iris_like
    clf = NeuralClassifier((4,), preset=preset, learning_rate=0.1, max_epochs=3, random_state=0)
    plain = clf.fit(X, y).predict_proba(X)
    changed = clf.set_params(optimizer__betas=(0.1, 0.2)).fit(X, y).predict_proba(X)
    assert np.abs(changed - plain).max() > 1e-3


def test_a_custom_optimiser_class_trains(iris_like):
    class SignDescent(torch.optim.Optimizer):
        def __init__(self, params, lr, scale=1.0):
            super().__init__(params, {"lr": lr, "scale": scale})

        @torch.no_grad()
        def step(self, closure=None):
            with torch.enable_grad():
                loss = closure()
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter -= group["lr"] * group["scale"] * parameter.grad.sign()
            return loss

    clf = NeuralClassifier((8,), preset="plain", optimizer=SignDescent, optimizer__scale=0.1)
    clf.set_params(learning_rate=0.1, max_epochs=60, random_state=0).fit(*iris_like)
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"] / 2


def test_optimisers_that_call_the_closure_several_times_train(iris_like):
    clf = NeuralClassifier((), preset="plain", optimizer=torch.optim.LBFGS, learning_rate=1.0)
    clf.set_params(batch_size=90, max_epochs=10, dtype="float64", random_state=0).fit(*iris_like)
    assert clf.history_[-1]["train_loss"] < 0.5 * clf.history_[0]["train_loss"]


def test_frozen_parameters_are_left_alone():
    module = small_module()
    module[0].weight.requires_grad_(False)
    optimizer = make_optimizer("adam", module, learning_rate=0.1)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 5


def test_a_module_without_matrices_has_an_optimiser():
    optimizer = make_optimizer("adam", torch.nn.BatchNorm1d(3), learning_rate=0.1)
    assert len(optimizer.param_groups) == 1


def factors_of(module):
    return {parameter: 0.1 * i for i, parameter in enumerate(module.parameters(), start=1)}


@pytest.mark.parametrize("rate_factors", [lambda module: None, factors_of])
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.NAdam])
def test_training_continues_bit_for_bit_from_arrays(optimizer, rate_factors):
    settings = {"learning_rate": 0.05, "weight_decay": 0.01, "momentum": 0.9, "nesterov": True}
    module = small_module()
    first = make_optimizer(optimizer, module, rate_factors=rate_factors(module), **settings)
    for seed in range(3):
        step(first, module, seed)
    state = state_as_arrays(first, [*module.parameters()])
    resumed = copy.deepcopy(module)
    second = make_optimizer(optimizer, resumed, rate_factors=rate_factors(resumed), **settings)
    load_state(second, state, [*resumed.parameters()])
    for seed in range(3, 6):
        step(first, module, seed)
        step(second, resumed, seed)
    for new, wanted in zip(resumed.parameters(), module.parameters(), strict=True):
        assert torch.equal(new, wanted)


def leaves_of(tree):
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for branch in tree for leaf in leaves_of(branch)]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.LBFGS])
def test_the_state_holds_copies_as_arrays_and_no_tensor(optimizer):
    module = small_module()
    made = make_optimizer(optimizer, module, learning_rate=0.1, momentum=0.9)

    def closure():
        for parameter, gradient in zip(module.parameters(), gradients(module, 0), strict=True):
            parameter.grad = gradient.clone()
        return torch.tensor(1.0)

    made.step(closure)
    state = state_as_arrays(made, [*module.parameters()])
    frozen = copy.deepcopy(state)
    arrays = [leaf for leaf in leaves_of(state) if isinstance(leaf, np.ndarray)]
    assert arrays
    assert not any(isinstance(leaf, torch.Tensor) for leaf in leaves_of(state))
    made.step(closure)
    for now, then in zip(leaves_of(state), leaves_of(frozen), strict=True):
        np.testing.assert_array_equal(now, then)


def test_loading_a_state_keeps_the_settings_of_the_optimiser():
    module = small_module()
    first = make_optimizer("adam", module, learning_rate=0.1)
    step(first, module, 0)
    second = make_optimizer("adam", module, learning_rate=0.7, weight_decay=0.2)
    parameters = [*module.parameters()]
    load_state(second, state_as_arrays(first, parameters), parameters)
    assert [group["lr"] for group in second.param_groups] == [0.7, 0.7]
    assert [group["weight_decay"] for group in second.param_groups] == [0.2, 0.0]


def test_the_names_are_those_that_the_settings_allow():
    assert set(OPTIMIZERS) == set(settings.OPTIMIZERS)


def test_options_can_replace_the_fused_kernel():
    optimizer = make_optimizer(
        "adam", torch.nn.Linear(2, 2), learning_rate=0.1, options={"foreach": True}
    )
    assert optimizer.param_groups[0]["foreach"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rate_factors_are_factors_of_the_learning_rate_of_a_group(name):
    module = small_module()
    factors = factors_of(module)
    optimizer = make_optimizer(name, module, learning_rate=0.3, rate_factors=factors)
    seen = {}
    for group in optimizer.param_groups:
        assert group["lr"] == 0.3 * group["rate_factor"]
        seen.update(dict.fromkeys(group["params"], group["rate_factor"]))
    assert seen == factors


def test_parameters_of_one_rate_share_a_group_and_without_factors_there_are_two():
    module = small_module()
    halves = dict.fromkeys(list(module.parameters())[:2], 0.5)
    optimizer = make_optimizer("adam", module, learning_rate=0.1, rate_factors=halves)
    sizes = {(g["rate_factor"], len(g["params"])) for g in optimizer.param_groups}
    assert sizes == {(0.5, 1), (1.0, 1), (1.0, 3)}
    plain = make_optimizer("adam", module, learning_rate=0.1)
    assert [(g["rate_factor"], g["lr"]) for g in plain.param_groups] == [(1.0, 0.1)] * 2


def test_decoupled_weight_decay_is_unaffected_by_rate_factors():
    module = small_module()
    before = copy.deepcopy(module)
    optimizer = make_optimizer(
        "adamw", module, learning_rate=0.1, weight_decay=0.5, rate_factors=factors_of(module)
    )
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for new, old in zip(module.parameters(), before.parameters(), strict=True):
        close(new, old * (1 - 0.1 * 0.5) if is_weight(old) else old)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_a_penalty_is_part_of_the_gradient_whatever_the_rate_factor_is(name):
    module = small_module()
    optimizer = make_optimizer(
        name, module, learning_rate=0.1, weight_decay=0.5, rate_factors=factors_of(module)
    )
    for group in optimizer.param_groups:
        weights = {is_weight(parameter) for parameter in group["params"]}
        assert group["weight_decay"] == 0.5 * weights.pop()
        assert not weights


def test_moments_belong_to_their_parameters_whatever_the_groups():
    module = small_module()
    first = make_optimizer("adam", module, learning_rate=0.05, rate_factors=factors_of(module))
    step(first, module, 0)
    parameters = [*module.parameters()]
    second = make_optimizer("adam", module, learning_rate=0.05)
    load_state(second, state_as_arrays(first, parameters), parameters)
    for parameter in parameters:
        moment = second.state[parameter]["exp_avg"]
        assert torch.equal(moment, first.state[parameter]["exp_avg"])


def test_a_step_without_some_gradient_is_the_optimisers_own():
    module, twin = small_module(), small_module()
    twin.load_state_dict(module.state_dict())
    optimizers = [make_optimizer("adam", m, learning_rate=0.1) for m in (module, twin)]
    for m, optimizer in zip((module, twin), optimizers, strict=True):
        step(optimizer, m, 0)
    quick = quick_step_of(optimizers[0])
    for m in (module, twin):
        next(m.parameters()).grad = None
    quick()
    optimizers[1].step()
    for new, wanted in zip(module.parameters(), twin.parameters(), strict=True):
        assert torch.equal(new, wanted)


#: All optimiser classes of torch that can train a network of matrices and vectors.
TORCHS = [
    kind
    for _, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if kind not in (torch.optim.Optimizer, torch.optim.SparseAdam, getattr(torch.optim, "Muon", 0))
]

#: They have no weight decay.
WITHOUT_DECAY = {torch.optim.LBFGS, torch.optim.Rprop}


class Descent(torch.optim.Optimizer):
    """Plain gradient descent without weight decay, which records the losses that it gets."""

    losses: list = []

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        self.losses.append(float(loss))
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * parameter.grad


class WatchesBatches(Callback):
    """A callback with a hook for every batch."""

    def on_batch_end(self, net, **kwargs):
        pass


def module_of_ones_own(n_features, n_classes):
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, n_classes)
    )


@pytest.mark.parametrize("optimizer", TORCHS)
def test_every_optimiser_decays_the_same_weights_by_itself_or_through_the_loss(optimizer):
    module = small_module()
    made = make_optimizer(optimizer, module, learning_rate=0.1, weight_decay=0.5)
    penalty = penalty_of(made, 0.5)
    assert (penalty is not None) == (optimizer in WITHOUT_DECAY)
    if penalty is None:
        decayed = [
            p for group in made.param_groups if group["weight_decay"] for p in group["params"]
        ]
        assert {group["weight_decay"] for group in made.param_groups} == {0.5, 0.0}
    else:
        decayed = penalty.weights
    assert {*decayed} == {p for p in module.parameters() if is_weight(p)}
    assert penalty_of(made, 0.0) is None


@pytest.mark.parametrize("module", [None, module_of_ones_own], ids=["built-in", "custom"])
@pytest.mark.parametrize("optimizer", TORCHS)
def test_weight_decay_shrinks_the_weights_of_every_optimiser(optimizer, module, iris_like):
    clf = NeuralClassifier((5,), preset="plain", module=module, optimizer=optimizer)
    clf.set_params(learning_rate=0.01, max_epochs=20, random_state=0, n_iter_no_change=None)
    norms = []
    for weight_decay in (0.0, 3.0):
        clf.set_params(weight_decay=weight_decay).fit(*iris_like)
        parameters = clf.module_.parameters()
        norms.append(sum(float(p.detach().square().sum()) for p in parameters if is_weight(p)))
    assert norms[1] < norms[0]


LIKE_SGD = {
    "by hand": {"hidden_layer_sizes": (5,)},
    "BatchNorm, scales and dropout": {"batch_norm": True, "feature_scale": True, "dropout": 0.2},
    "custom module": {"module": module_of_ones_own},
    "shortened gradients": {"max_grad_norm": 0.1},
    "callbacks": {"callbacks": [WatchesBatches()]},
    "tabular": {"preset": "tabular", "parametrization": "standard"},
}


@pytest.mark.parametrize("teacher", [None, GaussianNB()], ids=["labels", "teacher"])
@pytest.mark.parametrize("case", LIKE_SGD)
def test_the_penalty_of_the_loss_gives_the_gradient_of_sgds_weight_decay(case, teacher, iris_like):
    X, y = iris_like
    params = {"hidden_layer_sizes": (5,), "preset": "plain"} | LIKE_SGD[case]
    params |= {"learning_rate": 0.05, "weight_decay": 0.3, "momentum": 0.0, "max_epochs": 4}
    params |= {"dtype": "float64", "random_state": 0, "batch_size": 40}
    if teacher is None:
        clf = NeuralClassifier(**params)
    else:
        clf = DistilledClassifier(teacher.fit(X, y), alpha=0.5, augment=None, **params)
    weights = np.linspace(0.5, 2, len(y))
    by_itself = clf.set_params(optimizer="sgd").fit(X, y, weights).module_.state_dict()
    loss_curve = clf.loss_curve_
    through_the_loss = clf.set_params(optimizer=Descent).fit(X, y, weights).module_.state_dict()
    for name, tensor in by_itself.items():
        close(through_the_loss[name], tensor, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(clf.loss_curve_, loss_curve)
    without = clf.set_params(weight_decay=0.0).fit(X, y, weights).module_.state_dict()
    assert any(not torch.allclose(without[name], by_itself[name]) for name in by_itself)


def test_the_optimiser_gets_the_loss_with_its_penalty_and_history_is_without(iris_like):
    X, y = iris_like
    Descent.losses.clear()
    clf = NeuralClassifier((), preset="plain", optimizer=Descent, learning_rate=1e-30)
    clf.set_params(batch_size=90, max_epochs=1, weight_decay=0.6, random_state=0, dtype="float64")
    clf.fit(X, y)
    p = clf.predict_proba(X)[np.arange(90), y]
    of_rows = -np.log(p).mean()
    penalty = 0.3 * float(clf.module_.output.weight.detach().square().sum())
    np.testing.assert_allclose(Descent.losses, [of_rows + penalty])
    np.testing.assert_allclose(clf.loss_curve_, [of_rows])


@pytest.mark.parametrize("alpha", [0.1, 5.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_lbfgs_finds_the_optimum_of_mlp_classifier(alpha, n_classes, iris_like):
    X, y = iris_like
    y = np.minimum(y, n_classes - 1)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    # Two classes have one logit there and two here: half of it and its negative.
    weight_decay = alpha / len(y) * (2 if n_classes == 2 else 1)
    theirs = MLPClassifier((), solver="lbfgs", alpha=alpha, tol=1e-12, max_iter=5000).fit(Z, y)
    clf = NeuralClassifier((), preset="plain", optimizer=torch.optim.LBFGS, learning_rate=1.0)
    clf.set_params(optimizer__line_search_fn="strong_wolfe", batch_size=90, max_epochs=20)
    clf.set_params(weight_decay=weight_decay, dtype="float64", preprocessor=None, random_state=0)
    clf.set_params(optimizer__tolerance_grad=1e-10, optimizer__tolerance_change=1e-14).fit(Z, y)
    np.testing.assert_allclose(clf.predict_proba(Z), theirs.predict_proba(Z), atol=1e-4)
    ours = clf.module_.output.weight.detach().numpy().T
    if n_classes == 2:
        ours = ours[:, 1:] - ours[:, :1]
    np.testing.assert_allclose(ours, theirs.coefs_[0], atol=1e-3)


@pytest.mark.parametrize("max_epochs", [1, 3])
@pytest.mark.parametrize(("limit", "count"), [("max_eval", "func_evals"), ("max_iter", "n_iter")])
def test_the_limits_of_lbfgs_hold_for_each_epoch(limit, count, max_epochs, iris_like):
    clf = NeuralClassifier((4,), preset="plain", optimizer=torch.optim.LBFGS, learning_rate=1.0)
    clf.set_params(batch_size=90, max_epochs=max_epochs, warm_start=True, random_state=0)
    clf.set_params(optimizer__max_iter=100, optimizer__max_eval=100)
    clf.set_params(**{f"optimizer__{limit}": 5}).fit(*iris_like)
    (state,) = clf.training_state_["moments"].values()
    assert state[count] == 5 * max_epochs


def test_a_penalty_leaves_out_frozen_weights_and_refuses_sparse_gradients():
    frozen, free = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    free.grad = torch.zeros(2, 2)
    L2Penalty([frozen, free], 0.5).add_gradient()
    assert frozen.grad is None
    assert torch.equal(free.grad, torch.full((2, 2), 0.5))
    free.grad = torch.zeros(2, 2).to_sparse()
    with pytest.raises(
        ValueError, match=r"weight_decay=0\.5 is not allowed: give 0 where gradients"
    ):
        L2Penalty([free], 0.5).add_gradient()


def test_rates_of_ntk_need_an_optimiser_with_groups_that_decay_by_themselves(iris_like):
    clf = NeuralClassifier((4,), optimizer=torch.optim.LBFGS, parametrization="ntk", max_epochs=1)
    with pytest.raises(ValueError, match="parametrization='ntk' is not allowed: give one of 'sta"):
        clf.fit(*iris_like)
    module = MLP(3, 2, (4,))
    assert (
        penalty_of(make_optimizer("adam", module, learning_rate=0.1, weight_decay=1.0), 1.0) is None
    )
