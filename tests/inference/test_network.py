"""A fitted network gives with NumPy the same logits as its torch module."""

import pickle

import numpy as np
import pytest
import torch
from scipy import special

from skkd import NeuralClassifier
from skkd.activations import ACTIVATIONS as NUMPY_ACTIVATIONS
from skkd.inference.network import Network, log_softmax, softmax
from skkd.modules import ACTIVATIONS, MLP
from skkd.preprocessing.preprocessor import ColumnPreprocessor, PassThrough, fit_preprocessor
from skkd.preprocessing.scaling import SCALINGS

close = np.testing.assert_allclose


def network(
    hidden=(5, 4),
    activation="relu",
    batch_norm=False,
    dropout=0.0,
    feature_scale=False,
    n_features=3,
    preprocessor=None,
):
    """A network whose BatchNorm layers were trained on some rows."""
    generator = torch.Generator().manual_seed(0)
    architecture = {
        "n_features": n_features,
        "n_classes": 3,
        "hidden_layer_sizes": hidden,
        "activation": activation,
        "batch_norm": batch_norm,
        "dropout": dropout,
        "feature_scale": feature_scale,
    }
    mlp = MLP(**architecture, bias_init=0.1, generator=generator, dtype=torch.float64)
    for name, tensor in mlp.state_dict().items():
        if "running" in name or tensor.ndim == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    state = {name: tensor.numpy().copy() for name, tensor in mlp.state_dict().items()}
    return Network(preprocessor or PassThrough(n_features), architecture, state)


def some_rows(n_rows=20, n_features=3, scale=2.0):
    return np.random.RandomState(0).standard_normal((n_rows, n_features)) * scale


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)], ids=str)
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_gives_the_logits_of_the_torch_module(activation, batch_norm, hidden):
    net, rows = network(hidden, activation, batch_norm, dropout=0.3), some_rows()
    module = net.module()
    assert not module.training
    with torch.no_grad():
        expected = module(torch.tensor(rows)).numpy()
    close(net.logits(rows), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)], ids=str)
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
def test_a_learned_scale_of_the_features_is_folded_into_the_first_layer(batch_norm, hidden):
    net, rows = network(hidden, "selu", batch_norm, feature_scale=True), some_rows()
    scale = net.state["linear1.scale" if hidden else "output.scale"]
    assert scale.shape == (3,) and (scale != 1).all()
    with torch.no_grad():
        expected = net.module()(torch.tensor(rows)).numpy()
    close(net.logits(rows), expected, rtol=1e-10, atol=1e-12)
    state = {name: array for name, array in net.state.items() if "scale" not in name}
    unscaled = Network(net.preprocessor, net.architecture | {"feature_scale": False}, state)
    close(unscaled.logits(rows * scale), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_torchs_even_where_they_saturate(name):
    x = np.concatenate([np.linspace(-800, 800, 1001), [-1e300, -1e-300, 0.0, 1e-300, 1e300]])
    if name in ("gelu", "mish", "silu"):  # torch itself overflows or loses the sign further out
        x = x[np.abs(x) < 1e100]
    expected = ACTIVATIONS[name]()(torch.tensor(x)).numpy()
    close(NUMPY_ACTIVATIONS[name].numpy(x), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_finite_for_the_largest_numbers(name):
    assert np.isfinite(NUMPY_ACTIVATIONS[name].numpy(np.array([-1e300, 1e300]))).all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e6])
def test_softmax_is_scipys(scale):
    logits = some_rows(50, 4, scale)
    close(log_softmax(logits), special.log_softmax(logits, axis=1), rtol=1e-12, atol=1e-15)
    close(softmax(logits), special.softmax(logits, axis=1), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("shift", [-1e6, 0.0, 1e6])
def test_probabilities_sum_to_one_and_have_finite_logarithms(shift):
    extremes = np.array([[1e6, -1e6, 0], [-1e6, 1e6, 1e6], [0, 0, 0], [1e6, 1e6 + 1, -1e6]])
    probabilities = softmax(extremes + shift)
    assert probabilities.dtype == np.float64
    close(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (probabilities > 0).all()
    assert np.isfinite(np.log(probabilities)).all()
    assert np.isfinite(log_softmax(extremes + shift)).all()


@pytest.mark.parametrize("hidden", [(), (8,), (256, 256)], ids=str)
def test_a_row_gets_the_same_logits_alone_and_among_others(hidden):
    net, rows = network(hidden, n_features=20), some_rows(600, 20)
    together = softmax(net.logits(rows))
    alone = np.concatenate([softmax(net.logits(rows[[i]])) for i in range(0, 600, 50)])
    close(alone, together[::50], rtol=0, atol=1e-12)


def test_many_rows_pass_in_blocks_and_keep_their_order():
    net, rows = network(), some_rows(3000)
    close(
        net.logits(rows), np.concatenate([net.logits(rows[:5]), net.logits(rows[5:])]), atol=1e-12
    )


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_inputs_of_1e300_do_not_overflow(scaling, activation, batch_norm):
    preprocessor = fit_preprocessor(scaling, some_rows(), None)
    assert isinstance(preprocessor, ColumnPreprocessor)
    net = network((6, 6, 6), activation, batch_norm, preprocessor=preprocessor)
    logits = net.logits(np.array([[1e300, -1e300, 1e300], [-1e300, 1e300, 0.0]]))
    assert np.isfinite(logits).all()
    close(softmax(logits).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_float64_and_weights_keep_their_dtype(iris_like, dtype):
    clf = NeuralClassifier((4,), max_epochs=1, dtype=dtype, random_state=0).fit(*iris_like)
    assert {array.dtype.name for array in clf.network_.state.values()} == {dtype}
    assert {p.dtype for p in clf.module_.parameters()} == {getattr(torch, dtype)}
    assert clf.predict_proba(iris_like[0]).dtype == np.float64
    assert clf.predict_log_proba(iris_like[0]).dtype == np.float64


def test_a_pickle_holds_the_weights_once_and_gives_the_same_logits():
    net, rows = network((300, 300)), some_rows()
    n_bytes = sum(array.nbytes for array in net.state.values())
    pickled = pickle.dumps(net)
    assert n_bytes < len(pickled) < 1.05 * n_bytes
    np.testing.assert_array_equal(pickle.loads(pickled).logits(rows), net.logits(rows))


def test_a_network_does_not_share_memory_with_its_module():
    net, rows = network(), some_rows()
    before = net.logits(rows)
    module = net.module()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(net.logits(rows), before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).logits(rows), before)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_building_the_module_touches_no_global_generator(dropout):
    net = network(batch_norm=True, dropout=dropout)
    of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    net.module()
    pickle.loads(pickle.dumps(net)).module()
    assert torch.equal(torch.get_rng_state(), of_torch)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)


def test_networks_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        network().state = {}
