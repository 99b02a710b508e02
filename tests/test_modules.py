"""The multilayer perceptron: its layers, BatchNorm and dropout by formula, its randomness."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from skkd import NeuralClassifier, activations
from skkd.activations import Activation
from skkd.initializers import Constant, He
from skkd.modules import (
    ACTIVATIONS,
    MLP,
    Dropout,
    ScaledLinear,
    dropout_per_layer,
    rate_factors,
)
from skkd.training.backprop import Backprop
from skkd.training.optimizers import make_optimizer

close = torch.testing.assert_close


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_rows(n_rows=6, n_features=5, seed=1, **kwargs):
    return torch.randn(n_rows, n_features, generator=seeded(seed), **kwargs)


def names(mlp):
    return [type(layer).__name__ for layer in mlp]


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("sizes", [(), (8,), (8, 4), [8, 4]])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logits_have_one_column_per_class_and_weights_the_shapes_of_the_layers(sizes, n_classes):
    mlp = MLP(5, n_classes, hidden_layer_sizes=sizes)
    assert mlp(random_rows()).shape == (6, n_classes)
    shapes = [tuple(layer.weight.shape) for layer in mlp if isinstance(layer, nn.Linear)]
    widths = [5, *sizes, n_classes]
    assert shapes == [(n_out, n_in) for n_in, n_out in itertools.pairwise(widths)]


@pytest.mark.parametrize(
    ("sizes", "batch_norm", "expected"),
    [
        ((), False, 5 * 3 + 3),
        ((), True, 5 * 3 + 3),
        ((8,), False, (5 * 8 + 8) + (8 * 3 + 3)),
        ((8,), True, (5 * 8 + 2 * 8) + (8 * 3 + 3)),
        ((8, 4), False, (5 * 8 + 8) + (8 * 4 + 4) + (4 * 3 + 3)),
        ((8, 4), True, (5 * 8 + 2 * 8) + (8 * 4 + 2 * 4) + (4 * 3 + 3)),
    ],
)
def test_parameters_are_weights_biases_and_what_batch_norm_puts_in_their_place(
    sizes, batch_norm, expected
):
    mlp = MLP(5, 3, hidden_layer_sizes=sizes, batch_norm=batch_norm)
    assert sum(parameter.numel() for parameter in mlp.parameters()) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Linear", "ReLU", "Linear"]),
        ({"batch_norm": True}, ["Linear", "BatchNorm1d", "ReLU", "Linear"]),
        ({"dropout": 0.5}, ["Linear", "ReLU", "Dropout", "Linear"]),
        (
            {"batch_norm": True, "dropout": 0.5, "activation": "tanh"},
            ["Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear"],
        ),
    ],
)
def test_layers_come_as_linear_batch_norm_activation_dropout(options, expected):
    assert names(MLP(5, 3, hidden_layer_sizes=(8,), **options)) == expected
    twice = names(MLP(5, 3, hidden_layer_sizes=(8, 4), **options))
    assert twice == expected[:-1] + expected


def test_no_hidden_layer_leaves_softmax_regression():
    assert names(MLP(5, 3, hidden_layer_sizes=(), batch_norm=True, dropout=0.5)) == ["Linear"]


def test_no_bias_stands_in_front_of_batch_norm():
    mlp = MLP(5, 3, hidden_layer_sizes=(8, 4), batch_norm=True)
    biases = [layer.bias is not None for layer in mlp if isinstance(layer, nn.Linear)]
    assert biases == [False, False, True]


def test_the_output_is_what_the_formula_says():
    mlp, x = MLP(5, 3, hidden_layer_sizes=(8,), activation="tanh", bias_init=0.3), random_rows()
    hidden = torch.tanh(x @ mlp[0].weight.T + 0.3)
    close(mlp(x), hidden @ mlp[2].weight.T + 0.3)


def test_batch_norm_keeps_the_biased_batch_and_the_unbiased_running_variance():
    layer = MLP(1, 2, hidden_layer_sizes=(1,), batch_norm=True)[1]
    x = torch.tensor([[1.0], [2.0], [4.0], [9.0]])
    close(layer(x), (x - 4) / (9.5 + 1e-5) ** 0.5)
    close(layer.running_mean, torch.tensor([0.9 * 0 + 0.1 * 4]))
    close(layer.running_var, torch.tensor([0.9 * 1 + 0.1 * 38 / 3]))
    assert float(layer.running_var) == pytest.approx(2.1667, abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_scales_and_shifts_by_the_formula(training):
    mlp = MLP(5, 3, hidden_layer_sizes=(4,), batch_norm=True, activation="identity")
    layer, x = mlp[1], random_rows(20, 4)
    layer.weight.data, layer.bias.data = random_rows(2, 4, seed=2)
    layer.running_mean, layer.running_var = random_rows(2, 4, seed=3).abs()
    mean, var = layer.running_mean.clone(), layer.running_var.clone()
    if training:
        mean, var = x.mean(dim=0), x.var(dim=0, correction=0)
    expected = layer.weight * (x - mean) / torch.sqrt(var + 1e-5) + layer.bias
    close(layer.train(training)(x), expected)


def test_inference_leaves_the_running_averages_alone():
    mlp = MLP(5, 3, batch_norm=True)
    before = copy.deepcopy(mlp)
    mlp.eval()(random_rows())
    assert same_weights(mlp, before)
    mlp.train()(random_rows())
    assert not same_weights(mlp, before)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_scales_the_rest_so_that_the_mean_stays(p):
    n = 100_000
    out = Dropout(p, generator=seeded())(torch.ones(n))
    rounded = round(p * 2**16) / 2**16
    assert sorted(set(out.tolist())) == pytest.approx([0, 1 / (1 - rounded)])
    share = float((out == 0).double().mean())
    error = (p * (1 - p) / n) ** 0.5
    assert abs(share - p) < 4 * error
    assert abs(float(out.double().mean()) - 1) < 4 * error / (1 - p)


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_dropout_is_the_identity_in_inference(p):
    x = random_rows()
    assert torch.equal(Dropout(p, generator=seeded()).eval()(x), x)


def test_dropout_of_probability_zero_is_the_identity_in_training():
    x = random_rows()
    assert torch.equal(Dropout(0.0)(x), x)


def test_dropout_passes_gradients_only_through_what_it_kept():
    x = torch.ones(100, requires_grad=True)
    out = Dropout(0.5, generator=seeded())(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_dropout_draws_from_its_own_generator():
    x, before = torch.ones(50), torch.get_rng_state()
    layer, twin, other = (Dropout(0.5, generator=seeded(seed)) for seed in (0, 0, 1))
    first = layer(x)
    assert torch.equal(first, twin(x))
    assert not torch.equal(first, other(x))
    assert not torch.equal(first, layer(x))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_says_its_probability():
    assert repr(Dropout(0.25)) == "Dropout(p=0.25)"


@pytest.mark.parametrize(
    ("dropout", "expected"),
    [(0.3, [0.3, 0.3]), ((0.1, 0.2), [0.1, 0.2]), ([0.0, 0.2], [0.2]), (0.0, []), (0, [])],
)
def test_dropout_is_one_for_all_layers_or_one_for_each(dropout, expected):
    mlp = MLP(5, 3, hidden_layer_sizes=(8, 4), dropout=dropout)
    assert [layer.p for layer in mlp if isinstance(layer, Dropout)] == expected
    assert len(dropout_per_layer(dropout, 2)) == 2


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"init": "orthogonal"}])
def test_one_generator_decides_all_the_weights(options):
    before = torch.get_rng_state()
    one, twin, other = (MLP(5, 3, (8, 4), generator=seeded(seed), **options) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(one, twin)
    assert not same_weights(one, other)


def test_without_a_generator_the_global_one_decides():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        mlp = MLP(5, 3, (8, 4))
    assert same_weights(mlp, MLP(5, 3, (8, 4), generator=seeded(4)))


def test_one_generator_decides_dropout_too():
    x, before = random_rows(), torch.get_rng_state()
    one, twin = (MLP(5, 3, (50,), dropout=0.5, generator=seeded()) for _ in range(2))
    assert torch.equal(one(x), twin(x))
    assert not torch.equal(one(x), one(x))
    assert torch.equal(torch.get_rng_state(), before)


def test_hidden_layers_and_the_last_get_the_schemes_of_what_they_feed():
    mlp = MLP(400, 100, hidden_layer_sizes=(200,), activation="relu", generator=seeded())
    assert float(mlp[0].weight.detach().std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert float(mlp[-1].weight.detach().std()) == pytest.approx((2 / 300) ** 0.5, rel=0.02)


@pytest.mark.parametrize("init", ["he_normal", He("normal")])
def test_a_named_scheme_holds_for_every_layer(init):
    mlp = MLP(400, 100, hidden_layer_sizes=(200,), init=init, generator=seeded())
    assert float(mlp[0].weight.detach().std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert float(mlp[-1].weight.detach().std()) == pytest.approx((2 / 200) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("bias_init", "expected"), [("zeros", 0), (0.1, 0.1), (Constant(-1), -1)])
def test_biases_start_as_they_are_told(bias_init, expected):
    mlp = MLP(5, 3, hidden_layer_sizes=(8,), bias_init=bias_init)
    for layer in (mlp[0], mlp[-1]):
        close(layer.bias.detach(), torch.full_like(layer.bias, expected))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("identity", lambda x: x),
        ("logistic", lambda x: 1 / (1 + torch.exp(-x))),
        ("tanh", torch.tanh),
        ("relu", lambda x: x.clamp_min(0)),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("elu", lambda x: torch.where(x > 0, x, torch.exp(x) - 1)),
        (
            "selu",
            lambda x: (
                1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (torch.exp(x) - 1))
            ),
        ),
        (
            "gelu",
            lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        ),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
        ("mish", lambda x: x * torch.tanh(torch.log1p(torch.exp(x)))),
    ],
)
def test_activations_are_their_formulas(name, formula):
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    close(ACTIVATIONS[name]()(x), formula(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_of_every_activation_learns(activation):
    x, labels = random_rows(60), random_rows(60)[:, 0].gt(0).long()
    mlp = MLP(5, 2, (16,), activation=activation, batch_norm=True, generator=seeded())
    optimizer = torch.optim.Adam(mlp.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        losses.append(nn.functional.cross_entropy(mlp(x), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


def test_the_precision_is_that_of_dtype_in_every_layer():
    mlp = MLP(5, 3, (8,), batch_norm=True, dropout=0.5, dtype=torch.float64, generator=seeded())
    assert {parameter.dtype for parameter in mlp.parameters()} == {torch.float64}
    assert mlp[1].running_var.dtype == torch.float64
    assert mlp(random_rows(dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda mlp: pickle.loads(pickle.dumps(mlp))], ids=["copy", "pickle"]
)
def test_copies_and_pickles_predict_the_same_without_the_generator(copied):
    mlp, x = MLP(5, 3, (8,), batch_norm=True, dropout=0.5, generator=seeded()), random_rows()
    mlp(x)
    twin = copied(mlp)
    assert same_weights(mlp, twin)
    assert torch.equal(mlp.eval()(x), twin.eval()(x))
    assert twin[3].generator is None
    assert mlp[3].generator is not None


@pytest.mark.parametrize("bias", [True, False])
def test_a_scaled_linear_is_a_linear_of_the_scaled_input(bias):
    layer, x = ScaledLinear(5, 3, bias=bias, dtype=torch.float64), random_rows(dtype=torch.float64)
    layer.scale.data = random_rows(1, seed=3, dtype=torch.float64)[0]
    close(layer(x), nn.functional.linear(x * layer.scale, layer.weight, layer.bias))


def test_the_scale_starts_at_one_and_costs_one_number_per_feature():
    assert torch.equal(ScaledLinear(5, 3).scale.detach(), torch.ones(5))
    one, other = (MLP(5, 3, (8,), feature_scale=scaled, generator=seeded()) for scaled in (0, 1))
    assert names(other) == ["ScaledLinear", "ReLU", "Linear"]
    assert torch.equal(other[0].scale.detach(), torch.ones(5))
    assert torch.equal(one(random_rows()), other(random_rows()))
    sizes = [sum(parameter.numel() for parameter in mlp.parameters()) for mlp in (one, other)]
    assert sizes[1] == sizes[0] + 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(), (8,), (8, 4)])
def test_the_scale_belongs_to_the_first_layer_and_has_its_dtype(sizes, dtype):
    mlp = MLP(5, 3, sizes, feature_scale=True, batch_norm=True, dtype=dtype)
    kinds = [type(layer) for layer in mlp if isinstance(layer, nn.Linear)]
    assert kinds == [ScaledLinear] + [nn.Linear] * len(sizes)
    assert mlp[0].scale.dtype == dtype
    assert mlp(random_rows(dtype=dtype)).shape == (6, 3)


def test_rate_factors_are_one_over_the_root_of_the_number_of_inputs_and_one_for_256():
    mlp = MLP(16, 3, hidden_layer_sizes=(25, 100), feature_scale=True)
    by_name = {name: rate_factors(mlp)[p] for name, p in mlp.named_parameters()}
    assert by_name == pytest.approx(
        {
            "linear1.weight": 16 / 4,
            "linear1.bias": 1.6,
            "linear1.scale": 96.0,
            "linear2.weight": 16 / 5,
            "linear2.bias": 1.6,
            "output.weight": 16 / 10,
            "output.bias": 1.6,
        }
    )


def test_every_parameter_has_a_rate_factor_and_batch_norms_shift_is_a_bias():
    mlp = MLP(16, 3, hidden_layer_sizes=(25,), batch_norm=True, dropout=0.1, feature_scale=True)
    factors = rate_factors(mlp)
    assert set(factors) == set(mlp.parameters())
    assert factors[mlp.batch_norm1.weight] == 16.0
    assert factors[mlp.batch_norm1.bias] == 1.6


@pytest.mark.parametrize("sizes", [(), (8,), (8, 4)])
def test_with_a_zero_output_all_classes_start_equally_likely(sizes):
    mlp = MLP(5, 3, sizes, bias_init=0.3, zero_output=True, generator=seeded())
    assert torch.equal(mlp(random_rows()), torch.zeros(6, 3))
    twin = MLP(5, 3, sizes, bias_init=0.3, generator=seeded())
    for layer, other in zip(list(mlp)[:-1], list(twin)[:-1], strict=True):
        assert same_weights(layer, other)
    nn.functional.cross_entropy(mlp(random_rows()), torch.tensor([0, 1, 2] * 2)).backward()
    assert mlp[-1].weight.grad.abs().max() > 0  # so that it learns from there


class NTK(nn.Module):
    """An MLP in the NTK parametrisation, that starts as the same function as another."""

    def __init__(self, mlp):
        super().__init__()
        layers = [layer for layer in mlp if isinstance(layer, nn.Linear)]
        self.scale = nn.Parameter(layers[0].scale.detach().clone())
        self.weights = nn.ParameterList(
            layer.weight.detach() * layer.in_features**0.5 for layer in layers
        )
        self.biases = nn.ParameterList(layer.bias.detach().clone() for layer in layers)

    def forward(self, x):
        x = x * self.scale
        for weight, bias in zip(self.weights, self.biases, strict=True):
            z = x @ weight.T / weight.shape[1] ** 0.5 + bias
            x = nn.functional.selu(z)
        return z


@pytest.mark.parametrize("sizes", [(), (8,), (20, 6)])
def test_rate_factors_train_an_mlp_as_the_ntk_parametrisation_does(sizes):
    x, labels = random_rows(30, dtype=torch.float64), random_rows(30)[:, 0].gt(0).long()
    mlp = MLP(
        5,
        2,
        sizes,
        activation="selu",
        feature_scale=True,
        init="lecun_normal",
        bias_init=0.1,
        generator=seeded(),
        dtype=torch.float64,
    )
    before, ntk = mlp(x).detach(), NTK(mlp)
    close(ntk(x).detach(), before, rtol=1e-10, atol=1e-12)
    tiny_eps = {"eps": 1e-30}  # which is all that the scale of a gradient meets in Adam
    optimizers = [
        make_optimizer(
            "adam", mlp, learning_rate=0.01 / 16, rate_factors=rate_factors(mlp), options=tiny_eps
        ),
        torch.optim.Adam(
            [
                {"params": [ntk.scale], "lr": 0.06},
                {"params": list(ntk.weights), "lr": 0.01},
                {"params": list(ntk.biases), "lr": 0.001},
            ],
            **tiny_eps,
        ),
    ]
    for _ in range(20):
        for module, optimizer in zip((mlp, ntk), optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), labels).backward()
            optimizer.step()
    close(mlp(x), ntk(x), rtol=1e-8, atol=1e-9)
    assert (mlp(x) - before).abs().max() > 0.1


class SquaredReLU(nn.Module):
    def forward(self, x):
        return x.relu().square()


def test_a_new_activation_is_one_entry_of_the_table(monkeypatch):
    new = Activation(lambda x: np.maximum(x, 0) ** 2, SquaredReLU, init="he")
    monkeypatch.setitem(activations.ACTIVATIONS, "squared_relu", new)
    X = random_rows(60).numpy()
    settings = {"activation": "squared_relu", "max_epochs": 30, "random_state": 0}
    classifier = NeuralClassifier((16,), **settings).fit(X, X[:, 0] > 0)
    assert classifier.score(X, X[:, 0] > 0) > 0.9
    module = classifier.network_.module()
    assert type(module.activation1) is SquaredReLU
    assert not Backprop.is_possible(module)  # it has no derivative by hand
    x = np.linspace(-2, 2, 9)
    close(torch.from_numpy(new.numpy(x)), SquaredReLU()(torch.from_numpy(x)))
