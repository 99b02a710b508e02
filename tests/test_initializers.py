"""Initialisers: their formulas, torch's own, and why the choice matters."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from torch import nn
from torch.nn import init

from skkd.initializers import (
    INITIALIZERS,
    Constant,
    He,
    Initializer,
    LeCun,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Xavier,
    Zeros,
    fans,
    initialize_,
    is_weighted_layer,
    resolve_bias_init,
    resolve_init,
    warn_of_equal_units,
)
from skkd.modules import ACTIVATIONS, MLP

RANDOM = [name for name in INITIALIZERS if name not in ("zeros", "constant")]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(scheme, shape=(400, 300), seed=0, dtype=torch.float32):
    return scheme.fill_(torch.empty(shape, dtype=dtype), seeded(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("scheme", "std", "bound"),
    [
        (Xavier("uniform"), 0.05345, 0.09258),
        (Xavier("normal"), 0.05345, None),
        (Xavier("uniform", gain=2), 0.10690, 0.18516),
        (He("uniform"), 0.08165, 0.14142),
        (He("normal"), 0.08165, None),
        (He("uniform", fan="fan_out"), math.sqrt(2 / 400), math.sqrt(6 / 400)),
        (He("normal", negative_slope=0.5), math.sqrt(1.6 / 300), None),
        (LeCun("uniform"), math.sqrt(1 / 300), math.sqrt(3 / 300)),
        (LeCun("normal"), math.sqrt(1 / 300), None),
        (Orthogonal(), math.sqrt(1 / 400), None),
    ],
    ids=repr,
)
def test_weights_have_the_mean_the_variance_and_the_bounds_of_the_formula(scheme, std, bound, seed):
    weights = drawn(scheme, (400, 300), seed)
    assert abs(weights.mean()) < 5 * std / math.sqrt(weights.numel())
    assert weights.std() == pytest.approx(std, rel=0.01)
    if bound is not None:
        assert 0.999 * bound < weights.abs().max() < 1.0001 * bound


@pytest.mark.parametrize(
    ("scheme", "distribution"),
    [
        (Normal(1, 0.5), stats.norm(1, 0.5)),
        (TruncatedNormal(0, 1, -1, 2), stats.truncnorm(-1, 2)),
        (Uniform(1, 3), stats.uniform(1, 2)),
    ],
)
def test_fixed_schemes_follow_their_distribution_within_its_bounds(scheme, distribution):
    weights = drawn(scheme).flatten().numpy()
    low, high = distribution.support()
    assert low <= weights.min() < weights.max() <= high
    assert stats.kstest(weights, distribution.cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns_times_its_gain(shape):
    w = drawn(Orthogonal(gain=2.0), shape, dtype=torch.float64)
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    torch.testing.assert_close(gram, 4 * torch.eye(min(shape), dtype=torch.float64))


@pytest.mark.parametrize("shape", [(40, 30), (8, 3, 5, 5)], ids=["linear", "convolution"])
@pytest.mark.parametrize(
    ("scheme", "torchs", "params"),
    [
        (Xavier("uniform"), init.xavier_uniform_, {}),
        (Xavier("uniform", gain=2.0), init.xavier_uniform_, {"gain": 2.0}),
        (Xavier("normal"), init.xavier_normal_, {}),
        (He("uniform"), init.kaiming_uniform_, {"nonlinearity": "relu"}),
        (He("uniform", negative_slope=0.2), init.kaiming_uniform_, {"a": 0.2}),
        (He("uniform", fan="fan_out"), init.kaiming_uniform_, {"mode": "fan_out"}),
        (He("normal"), init.kaiming_normal_, {"nonlinearity": "relu"}),
        (He("normal", fan="fan_out"), init.kaiming_normal_, {"mode": "fan_out"}),
        (LeCun("normal"), init.kaiming_normal_, {"nonlinearity": "linear"}),
        (Orthogonal(gain=2.0), init.orthogonal_, {"gain": 2.0}),
        (TruncatedNormal(0.1, 0.2, -0.3, 0.4), init.trunc_normal_,
         {"mean": 0.1, "std": 0.2, "a": -0.3, "b": 0.4}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Initializer) else "",
)  # fmt: skip
def test_the_same_generator_gives_torchs_weights(scheme, torchs, params, shape):
    expected = torchs(torch.empty(shape), generator=seeded(), **params)
    assert torch.equal(drawn(scheme, shape), expected)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 3), (3, 8)), ((8, 3, 5, 5), (75, 200)), ((8, 3, 4), (12, 32)), ((8,), (8, 8))],
)
def test_fans_count_inputs_and_units_times_the_receptive_field(shape, expected):
    assert fans(torch.empty(shape)) == expected


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_scheme_fills_in_place_outside_of_autograd(name):
    for tensor in (torch.full((6, 4), 9.0), nn.Parameter(torch.full((6, 4), 9.0))):
        place, is_parameter = tensor.data_ptr(), tensor.requires_grad
        assert resolve_init("init", name, "relu").fill_(tensor, seeded()) is tensor
        assert tensor.data_ptr() == place
        assert tensor.requires_grad == is_parameter
        assert tensor.is_leaf
        assert (tensor != 9.0).all()


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_alone_decides_the_weights(name):
    scheme = INITIALIZERS[name]
    before = torch.get_rng_state()
    first, again, other = (drawn(scheme, (6, 4), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_generator_the_global_one_decides(name):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        weights = INITIALIZERS[name].fill_(torch.empty(6, 4))
    assert torch.equal(weights, drawn(INITIALIZERS[name], (6, 4), seed=3))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", [nn.Linear, lambda i, o, bias: nn.Conv2d(i, o, 3, bias=bias)])
def test_initialize_fills_weight_and_bias_of_a_layer(layer, bias):
    layer = layer(3, 8, bias=bias)
    assert initialize_(layer, He(), Constant(0.5), seeded()) is layer
    assert torch.equal(layer.weight, drawn(He(), layer.weight.shape))
    assert not bias or torch.equal(layer.bias, torch.full((8,), 0.5))


def test_linear_and_convolution_layers_are_weighted():
    layers = [nn.Linear(2, 2), nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv3d(2, 2, 1)]
    assert all(map(is_weighted_layer, layers))
    assert not any(map(is_weighted_layer, [nn.ReLU(), nn.BatchNorm1d(2), nn.Sequential(*layers)]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_auto_is_he_for_the_relu_family_xavier_for_sigmoids_and_lecun_for_selu(activation):
    others = {"tanh": Xavier, "logistic": Xavier, "identity": Xavier, "selu": LeCun}
    assert type(resolve_init("init", "auto", activation)) is others.get(activation, He)


def test_auto_knows_the_slope_of_a_leaky_relu():
    scheme = resolve_init("init", "auto", "leaky_relu")
    assert scheme.negative_slope == nn.LeakyReLU().negative_slope


@pytest.mark.parametrize(
    ("value", "expected"),
    [("zeros", 0.0), (0, 0.0), (0.1, 0.1), (np.float32(0.5), 0.5), (Zeros(), 0.0),
     (Constant(-0.2), -0.2)],
)  # fmt: skip
def test_a_bias_is_zero_or_a_constant(value, expected):
    bias = resolve_bias_init("bias_init", value).fill_(torch.empty(5))
    assert torch.equal(bias, torch.full((5,), expected))


@pytest.mark.parametrize("value", ["normal", None, True, He(), Orthogonal(), Zeros, [0.1]])
def test_any_other_bias_is_refused(value):
    with pytest.raises(
        ValueError, match=r"^bias_init=.*'zeros', a number, Zeros\(\), Constant\(\)"
    ):
        resolve_bias_init("bias_init", value)


@pytest.mark.parametrize("scheme", [Normal(std=2.0), Uniform(-3, 3), TruncatedNormal(std=2.0)])
def test_a_bias_may_be_drawn_by_a_scheme_without_fans(scheme):
    assert resolve_bias_init("bias_init", scheme) is scheme
    layer = initialize_(nn.Linear(3, 2000), He(), scheme, seeded())
    assert float(layer.bias.detach().std()) == pytest.approx(float(drawn(scheme).std()), rel=0.1)
    again = initialize_(nn.Linear(3, 2000), He(), scheme, seeded())
    assert torch.equal(layer.bias, again.bias)


@pytest.mark.parametrize(
    ("value", "parameter", "allowed", "error"),
    [
        ("glorot", "init='glorot'", "'auto', 'zeros'", ValueError),
        (He, "init=<class", "a scheme's name or an object", TypeError),
        (None, "init=None", "a scheme's name or an object", TypeError),
        (Constant("1"), "value='1'", "a number", TypeError),
        (Uniform(low=1, high=0), "high=0", "a number >= 1", ValueError),
        (Normal(std=-1), "std=-1", "a number >= 0", ValueError),
        (TruncatedNormal(std=0), "std=0", "a number > 0", ValueError),
        (TruncatedNormal(low=1, high=1), "high=1", "a number > 1", ValueError),
        (VarianceScaling(scale=0), "scale=0", "a number > 0", ValueError),
        (VarianceScaling(fan="fan_max"), "fan='fan_max'", "'fan_in', 'fan_out'", ValueError),
        (Xavier("cauchy"), "distribution='cauchy'", "'uniform', 'normal'", ValueError),
        (Xavier(gain=math.nan), "gain=nan", "a number > 0", ValueError),
        (He(fan="fan_avg"), "fan='fan_avg'", "'fan_in', 'fan_out'", ValueError),
        (He(negative_slope=None), "negative_slope=None", "a number", TypeError),
        (LeCun(1), "distribution=1", "'uniform', 'normal'", ValueError),
        (Orthogonal(gain=-1), "gain=-1", "a number > 0", ValueError),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" in value else "",
)
def test_bad_values_are_refused_with_name_value_and_what_is_allowed(
    value, parameter, allowed, error
):
    with pytest.raises(error) as refusal:
        resolve_init("init", value, "relu")
    assert parameter in str(refusal.value)
    assert allowed in str(refusal.value)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_schemes_follow_scikit_learns_protocol_and_pickle(name):
    scheme = INITIALIZERS[name]
    params = scheme.get_params()
    assert type(scheme)().set_params(**params).get_params() == params
    for copy in (clone(scheme), pickle.loads(pickle.dumps(scheme)), eval(repr(scheme))):
        assert copy is not scheme
        assert torch.equal(drawn(copy, (6, 4)), drawn(scheme, (6, 4)))


def test_a_scheme_without_fill_says_so():
    with pytest.raises(NotImplementedError, match="Initializer must define fill_"):
        Initializer().fill_(torch.empty(2))


def test_schemes_import_torch_only_to_fill_one():
    code = "import sys, skkd.initializers; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def train(mlp):
    rows = torch.randn(60, 4, generator=seeded(1))
    labels = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).long()
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(mlp(rows), labels).backward()
        optimizer.step()
    return mlp


def spread_of_units(layer):
    return float((layer.weight - layer.weight[0]).detach().abs().max())


def equal_hidden_layer(output_init):
    mlp = MLP(4, 2, hidden_layer_sizes=(8,), activation="tanh", init=Constant(0.1))
    initialize_(mlp[-1], output_init, Zeros(), seeded())
    return mlp


@pytest.mark.parametrize("scheme", ["zeros", "constant", Constant(0.3)])
@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
def test_units_that_start_equal_stay_equal_through_training(scheme, activation):
    mlp = train(MLP(4, 2, hidden_layer_sizes=(8, 8), activation=activation, init=scheme))
    assert spread_of_units(mlp[0]) < 1e-6
    assert spread_of_units(mlp[2]) < 1e-6


@pytest.mark.parametrize("name", RANDOM)
def test_units_that_start_at_random_differ_after_training(name):
    mlp = train(MLP(4, 2, hidden_layer_sizes=(8, 8), init=name, generator=seeded()))
    assert spread_of_units(mlp[0]) > 0.01
    assert spread_of_units(mlp[2]) > 0.01


def test_a_last_layer_of_zeros_does_no_harm():
    mlp = MLP(4, 2, hidden_layer_sizes=(8,), generator=seeded())
    initialize_(mlp[-1], Zeros(), Zeros())
    train(mlp)
    assert spread_of_units(mlp[0]) > 0.01
    assert spread_of_units(mlp[-1]) > 0.01


def test_equal_units_that_feed_different_weights_grow_apart():
    assert spread_of_units(train(equal_hidden_layer(Xavier()))[0]) > 0.01


@pytest.mark.parametrize("scheme", ["zeros", "constant"])
def test_equal_units_are_warned_of(scheme):
    with pytest.warns(UserWarning, match="the 8 units of hidden layer 1 .* will stay equal"):
        warn_of_equal_units(MLP(4, 2, hidden_layer_sizes=(8,), init=scheme))


@pytest.mark.parametrize(
    "mlp",
    [
        MLP(4, 2, hidden_layer_sizes=(8, 8)),
        MLP(4, 2, hidden_layer_sizes=(1,), init="zeros"),
        MLP(4, 2, hidden_layer_sizes=(), init="zeros"),
        equal_hidden_layer(Xavier()),
    ],
    ids=["random", "one unit", "no hidden layer", "different weights behind"],
)
def test_units_that_will_differ_are_not_warned_of(mlp):
    warn_of_equal_units(mlp)


def growth_of_signal(scheme, activation, scale=1.0, n_layers=10, width=256):
    """Mean square behind the layers, as a multiple of the one in front."""
    generator = seeded()
    x = start = scale * torch.randn(256, width, generator=generator)
    for _ in range(n_layers):
        x = activation(x @ scheme.fill_(torch.empty(width, width), generator).T)
    return float(x.square().mean() / start.square().mean())


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_xavier_keeps_a_signal_through_ten_tanh_layers_and_small_weights_do_not(distribution):
    assert 0.5 < growth_of_signal(Xavier(distribution), torch.tanh, scale=0.1) < 2
    assert growth_of_signal(Normal(std=0.01), torch.tanh, scale=0.1) < 1e-12


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_he_keeps_a_signal_through_ten_relu_layers_and_xavier_halves_it_each_time(distribution):
    kept = growth_of_signal(He(distribution), torch.relu)
    assert 0.3 < kept < 3
    assert growth_of_signal(Xavier(distribution), torch.relu) == pytest.approx(
        kept / 2**10, rel=1e-3
    )


def test_a_small_positive_bias_leaves_fewer_dead_relus_at_the_start():
    rows = torch.rand(20, 5, generator=seeded(1))

    def n_dead(bias):
        layer = initialize_(nn.Linear(5, 500), He(), resolve_bias_init("b", bias), seeded())
        return int((layer(rows) <= 0).all(dim=0).sum())

    assert n_dead(0.1) < n_dead(0.0) < n_dead(-0.1)
