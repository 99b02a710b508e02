"""The gradients by hand are those of autograd, and a fit by hand is a fit by autograd."""

import numpy as np
import pytest
import torch

from skkd import DistilledClassifier, NeuralClassifier
from skkd.modules import ACTIVATIONS, MLP, Dropout, ScaledLinear, rate_factors
from skkd.presets import PRESETS
from skkd.training import loop as training
from skkd.training.backprop import PASSES, Backprop
from skkd.training.criteria import LabelLoss, TaughtLoss
from skkd.training.optimizers import make_optimizer, quick_step_of

LOSSES = {
    "labels": LabelLoss(),
    "smoothed": LabelLoss(0.2),
    "taught": TaughtLoss(temperature=3.0, alpha=0.7),
    "taught, smoothed": TaughtLoss(temperature=0.5, alpha=0.3, label_smoothing=0.1),
    "teacher alone": TaughtLoss(temperature=2.0, alpha=1.0),
}


def batch(n_rows=13, n_features=5, n_classes=3, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    X = torch.randn(n_rows, n_features, generator=draw, dtype=dtype)
    targets = {
        "labels": torch.randint(n_classes, (n_rows,), generator=draw),
        "weights": torch.rand(n_rows, generator=draw, dtype=dtype) * 2,
        "teacher_logits": torch.randn(n_rows, n_classes, generator=draw, dtype=dtype),
    }
    return X, targets


def network(dtype=torch.float64, n_features=5, **settings):
    draw = torch.Generator().manual_seed(1)
    return MLP(
        n_features, 3, **{"hidden_layer_sizes": (7, 4), "generator": draw} | settings, dtype=dtype
    )


def by_autograd(module, row_loss, X, targets):
    for parameter in module.parameters():
        parameter.grad = None
    losses = targets["weights"] * row_loss(module(X), targets)
    losses.mean().backward()
    return losses.detach(), [p.grad.clone() for p in module.parameters()]


def by_hand(module, row_loss, X, targets, **settings):
    losses, _ = Backprop(module, row_loss.gradient, **settings)(X, targets)
    return losses, [p.grad.clone() for p in module.parameters()]


def assert_same(module_settings, row_loss, X=None, targets=None):
    drawn_X, drawn_targets = batch()
    X, targets = (drawn_X, drawn_targets) if X is None else (X, targets)
    outcomes = []
    for way in (by_autograd, by_hand):
        module = network(**module_settings)
        outcomes.append((*way(module, row_loss, X, targets), module.state_dict()))
    (losses, gradients, state), (losses_by_hand, gradients_by_hand, state_by_hand) = outcomes
    torch.testing.assert_close(losses_by_hand, losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients_by_hand, gradients, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state_by_hand, state, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_each_loss(name):
    assert_same({}, LOSSES[name])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_each_activation(activation):
    assert_same({"activation": activation}, LabelLoss())
    assert_same({"activation": activation, "dropout": 0.3, "batch_norm": True}, LabelLoss())


@pytest.mark.parametrize("hidden", [(), (4,), (6, 5, 4)])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_of_each_depth(hidden, batch_norm, dropout):
    settings = {"hidden_layer_sizes": hidden, "batch_norm": batch_norm, "dropout": dropout}
    assert_same(settings, TaughtLoss(temperature=2.0, alpha=0.5))
    assert_same(settings | {"feature_scale": True}, TaughtLoss(temperature=2.0, alpha=0.5))


@pytest.mark.parametrize("n_rows", [1, 2, 200])
def test_gradients_of_batches_of_any_size(n_rows):
    assert_same({}, LabelLoss(), *batch(n_rows))


def test_extreme_logits_have_finite_gradients():
    X, targets = batch()
    for name, row_loss in LOSSES.items():
        losses, gradients = by_hand(network(), row_loss, X * 1e4, targets)
        assert torch.isfinite(losses).all(), name
        assert all(torch.isfinite(gradient).all() for gradient in gradients), name


def test_without_weights_the_loss_is_the_mean():
    X, targets = batch()
    targets["weights"] = torch.ones_like(targets["weights"])
    weighted = by_hand(network(), LabelLoss(), X, targets)
    plain = by_hand(network(), LabelLoss(), X, targets, weighted=False)
    torch.testing.assert_close(weighted, plain)


def test_the_losses_of_a_gradient_are_the_losses_themselves():
    X, targets = batch()
    logits = network()(X).detach()
    for row_loss in LOSSES.values():
        torch.testing.assert_close(
            row_loss.gradient(logits.clone(), targets)[0], row_loss(logits, targets)
        )


def test_every_layer_of_the_built_in_network_has_a_pass():
    layers = [layer for name in ACTIVATIONS for layer in network(activation=name, dropout=0.1)]
    layers += list(network(batch_norm=True, feature_scale=True))
    assert {type(layer) for layer in layers} == set(PASSES)
    assert all(Backprop.is_possible(network(activation=name)) for name in ACTIVATIONS)


def test_other_modules_and_frozen_layers_are_left_to_autograd():
    assert not Backprop.is_possible(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    partly_frozen = network()
    partly_frozen.linear1.weight.requires_grad_(False)
    assert not Backprop.is_possible(partly_frozen)


@pytest.fixture
def by_autograd_alone(monkeypatch):
    """A function that turns the fast paths of fits off."""

    def forget():
        monkeypatch.setattr(training.Backprop, "is_possible", lambda module: False)
        monkeypatch.setattr(training, "quick_step_of", lambda optimizer: None)

    return forget


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "rmsprop"},
        {"optimizer": torch.optim.LBFGS, "max_epochs": 3},
        {"optimizer__amsgrad": True},
        {"batch_norm": True, "dropout": 0.2, "label_smoothing": 0.1},
        {"lr_decay": "cosine", "max_grad_norm": 0.1},
        {"activation": "gelu", "hidden_layer_sizes": (8, 8, 8), "early_stopping": True},
        {"class_weight": "balanced", "warm_start": True, "shuffle": False},
        {"preset": "tabular", "learning_rate": "auto"},
        {"preset": "tabular", "optimizer": "adamw", "weight_decay": 0.1, "batch_norm": True},
        {"preset": "tabular", "hidden_layer_sizes": (), "max_grad_norm": 0.1},
        {"feature_scale": True, "optimizer": "sgd"},
    ],
    ids=str,
)
def test_a_fit_by_hand_is_a_fit_by_autograd(settings, by_autograd_alone, iris_like):
    X, y = iris_like
    settings = {"max_epochs": 15, "batch_size": 16, "learning_rate": 0.01} | settings
    clf = NeuralClassifier(
        **{"hidden_layer_sizes": (8,), "preset": "plain"} | settings,
        dtype="float64",
        random_state=0,
    )
    weights = np.linspace(0.5, 2, len(y))
    quick = [clf.fit(X, y, sample_weight=weights).predict_proba(X), clf.loss_curve_]
    by_autograd_alone()
    clf = NeuralClassifier(**clf.get_params())
    slow = [clf.fit(X, y, sample_weight=weights).predict_proba(X), clf.loss_curve_]
    np.testing.assert_allclose(quick[0], slow[0], atol=1e-6)
    np.testing.assert_allclose(quick[1], slow[1], atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_taught_fit_by_hand_is_a_fit_by_autograd(preset, by_autograd_alone, iris_like):
    X, y = iris_like
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=len(y)) * 0.3 + 0.7 * np.eye(3)[y]
    clf = DistilledClassifier(
        temperature=2.0,
        alpha=0.7,
        hidden_layer_sizes=(8,),
        preset=preset,
        max_epochs=15,
        dtype="float64",
        random_state=0,
    )
    quick = clf.fit(X, y, teacher_proba=soft).predict_proba(X)
    by_autograd_alone()
    slow = clf.fit(X, y, teacher_proba=soft).predict_proba(X)
    np.testing.assert_allclose(quick, slow, atol=1e-6)


@pytest.mark.parametrize("ntk", [False, True], ids=["standard", "ntk"])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_quick_step_is_the_optimisers_step_to_the_bit(name, ntk):
    X, targets = batch(dtype=torch.float32)
    states = []
    for quickly in (False, True):
        module = network(torch.float32, feature_scale=ntk)
        optimizer = make_optimizer(
            name,
            module,
            learning_rate=0.01,
            weight_decay=0.1,
            momentum=0.9,
            nesterov=True,
            rate_factors=rate_factors(module) if ntk else None,
        )
        for i in range(5):
            by_autograd(module, LabelLoss(), X, targets)
            step = quick_step_of(optimizer) if quickly and i > 0 else optimizer.step
            step()
            optimizer.param_groups[0]["lr"] *= 0.9
        states.append([module.state_dict(), optimizer.state_dict()["state"]])
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rmsprop", {}),
        ("adam", {"amsgrad": True}),
        ("sgd", {"maximize": True}),
        ("adam", {"foreach": True}),
    ],
)
def test_other_optimisers_have_no_quick_step(name, options):
    module = network()
    optimizer = make_optimizer(name, module, learning_rate=0.01, options=options)
    by_autograd(module, LabelLoss(), *batch())
    optimizer.step()
    assert quick_step_of(optimizer) is None


def test_dropout_draws_one_mask_for_both_passes():
    layer = Dropout(0.5, torch.Generator().manual_seed(0))
    dropped = PASSES[Dropout](layer)
    x = torch.ones(4, 4)
    z = dropped.forward(x)
    torch.testing.assert_close(dropped.backward(torch.ones(4, 4)), z)
    torch.testing.assert_close(x, torch.ones(4, 4))


@pytest.mark.parametrize("bias", [True, False])
def test_a_learned_scale_has_the_gradients_of_autograd(bias):
    draw = torch.Generator().manual_seed(0)
    layer = ScaledLinear(5, 4, bias=bias, dtype=torch.float64)
    layer.scale.data = torch.randn(5, generator=draw, dtype=torch.float64)  # some below 0
    x = torch.randn(9, 5, generator=draw, dtype=torch.float64)
    upstream = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    expected = layer(x)
    wanted = torch.autograd.grad((expected * upstream).sum(), list(layer.parameters()))
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    scaled = PASSES[ScaledLinear](layer)
    torch.testing.assert_close(scaled.forward(x), expected.detach(), rtol=1e-12, atol=1e-12)
    assert scaled.backward(upstream.clone()) is None
    found = [parameter.grad for parameter in layer.parameters()]
    torch.testing.assert_close(found, list(wanted), rtol=1e-12, atol=1e-12)


def test_gradients_of_a_learned_scale_follow_the_weights_of_each_step():
    X, targets = batch()
    modules = [network(feature_scale=True) for _ in range(2)]
    step = Backprop(modules[0], LabelLoss().gradient)
    for _ in range(3):
        step(X, targets)
        by_autograd(modules[1], LabelLoss(), X, targets)
        for module in modules:
            for parameter in module.parameters():
                parameter.data -= 0.5 * parameter.grad
    states = [module.state_dict() for module in modules]
    torch.testing.assert_close(*states, rtol=1e-10, atol=1e-12)
    assert (states[0]["linear1.scale"] - 1).abs().min() > 1e-4
