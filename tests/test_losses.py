"""Losses: worked numbers, identities, other libraries, limits and gradients."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn.base import clone
from sklearn.metrics import brier_score_loss

from skkd.losses import (
    DIST,
    DKD,
    TEACHER_LOSSES,
    JensenShannon,
    TeacherLoss,
    brier,
    cross_entropy,
    distillation_loss,
    entropy,
    forward_kl,
    jensen_shannon,
    kl_divergence,
    logit_mse,
    one_hot,
    resolve_teacher_loss,
    reverse_kl,
    smooth_labels,
    softmax_with_temperature,
    temper,
)

close = torch.testing.assert_close
quick = settings(deadline=None, max_examples=50)
TEMPERATURES = [0.5, 1.0, 3.0, 20.0]
ALPHAS = [0.0, 0.3, 1.0]


def random_logits(n_rows=6, n_classes=4, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n_rows, n_classes, dtype=torch.float64, generator=generator)


def random_probabilities(n_rows=6, n_classes=4, seed=1):
    return torch.softmax(random_logits(n_rows, n_classes, seed), dim=-1)


def random_labels(n_rows=6, n_classes=4, seed=2):
    return torch.randint(n_classes, (n_rows,), generator=torch.Generator().manual_seed(seed))


def centred(logits):
    return logits - logits.mean(dim=-1, keepdim=True)


def gradient(loss, logits):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits).sum(), logits)[0]


@st.composite
def batches(draw, n_tensors, zeros=True):
    """Logits, then rows of probabilities of the same shape, some of them exact zeros."""
    shape = (2, draw(st.integers(2, 4)))
    tensors = [torch.from_numpy(draw(arrays(float, shape, elements=st.floats(-50, 50))))]
    for _ in range(n_tensors - 1):
        weights = draw(arrays(float, shape, elements=st.integers(0 if zeros else 1, 100)))
        weights[:, 0] += weights.sum(axis=1) == 0
        tensors.append(torch.from_numpy(weights / weights.sum(axis=1, keepdims=True)))
    return tensors


@pytest.mark.parametrize(
    ("p", "expected"),
    [([0.5, 0.5], np.log(2)), ([1.0, 0.0], 0.0), ([0.25] * 4, np.log(4))],
)
def test_entropy_of_known_distributions(p, expected):
    close(entropy(torch.tensor([p])), torch.tensor([expected], dtype=torch.float32))


@quick
@given(batches(2))
def test_entropy_is_scipys(batch):
    _, p = batch
    np.testing.assert_allclose(entropy(p), stats.entropy(p.numpy(), axis=1), atol=1e-12)


@quick
@given(batches(2))
def test_kl_divergence_is_scipys(batch):
    logits, p = batch
    q = special.softmax(logits.numpy(), axis=1)
    expected = special.rel_entr(p.numpy(), q).sum(axis=1)
    np.testing.assert_allclose(kl_divergence(p, logits), expected, atol=1e-10)


def test_averaged_kl_divergence_is_torchs_batchmean():
    logits, p = random_logits(), random_probabilities()
    expected = F.kl_div(torch.log_softmax(logits, dim=-1), p, reduction="batchmean")
    close(kl_divergence(p, logits).mean(), expected)


@quick
@given(batches(2))
def test_cross_entropy_is_entropy_plus_kl_divergence(batch):
    logits, p = batch
    close(cross_entropy(p, logits), entropy(p) + kl_divergence(p, logits))


@quick
@given(batches(2))
def test_kl_divergence_is_never_negative(batch):
    logits, p = batch
    assert (kl_divergence(p, logits) >= 0).all()


@quick
@given(batches(2, zeros=False))
def test_kl_divergence_is_zero_at_equality(batch):
    logits, p = batch
    close(kl_divergence(p, p.log()), torch.zeros(len(p), dtype=p.dtype))
    close(kl_divergence(torch.softmax(logits, dim=-1), logits), p.new_zeros(len(p)))


def test_rounding_does_not_make_the_divergence_of_equals_negative():
    logits = random_logits(1000).float()
    assert (kl_divergence(torch.softmax(logits, dim=-1), logits) >= 0).all()


def test_kl_divergence_is_positive_when_the_two_differ():
    assert (kl_divergence(random_probabilities(), random_logits()) > 0.01).all()


def test_kl_divergence_is_not_symmetric():
    p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    close(kl_divergence(p, q.log()), torch.tensor([0.3681]), atol=1e-4, rtol=0)
    close(kl_divergence(q, p.log()), torch.tensor([0.5108]), atol=1e-4, rtol=0)


def test_kl_divergence_is_infinite_where_the_prediction_excludes_what_happens():
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert torch.isposinf(kl_divergence(p, q.log())).all()
    close(kl_divergence(q, p.log()), torch.tensor([np.log(2)], dtype=torch.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 20.0])
def test_logits_of_a_hundred_give_finite_losses_and_gradients(dtype, temperature):
    logits = torch.tensor([[100.0, -100.0], [-100.0, 100.0]], dtype=dtype)

    def loss(z):
        labels = torch.tensor([1, 1])
        return distillation_loss(labels, z, -logits, temperature=temperature, alpha=0.5)

    assert torch.isfinite(loss(logits)).all()
    assert torch.isfinite(gradient(loss, logits)).all()
    close(cross_entropy(torch.tensor([1, 1]), logits), torch.tensor([200.0, 0.0], dtype=dtype))


@pytest.mark.parametrize("loss", [cross_entropy, kl_divergence])
@pytest.mark.parametrize("logits", [[[0.0, 1.0, 2.0]], [[100.0, -100.0, 0.0]]])
def test_exact_zeros_in_a_target_give_no_nan(loss, logits):
    p, logits = torch.tensor([[0.0, 0.7, 0.3]]), torch.tensor(logits)
    assert torch.isfinite(loss(p, logits)).all()
    close(gradient(lambda z: loss(p, z), logits), torch.softmax(logits, dim=-1) - p)


def test_a_class_excluded_by_both_sides_costs_nothing():
    p = torch.tensor([[0.0, 0.7, 0.3]])
    close(kl_divergence(p, p.log()), torch.zeros(1))
    assert torch.isfinite(gradient(lambda z: kl_divergence(p, z), p.log())).all()


def test_hard_labels_are_one_hot_soft_labels():
    labels, logits = random_labels(), random_logits()
    soft = one_hot(labels, n_classes=4, dtype=torch.float64)
    close(cross_entropy(labels, logits), cross_entropy(soft, logits), rtol=0, atol=0)


def test_one_hot_puts_all_mass_on_the_label():
    labels = random_labels()
    rows = one_hot(labels, n_classes=4)
    assert rows.dtype == torch.float32
    assert torch.equal(rows.argmax(dim=-1), labels)
    assert torch.equal(rows.sum(dim=-1), torch.ones(len(rows)))


@pytest.mark.parametrize("target", [random_labels(), random_probabilities()], ids=["hard", "soft"])
def test_cross_entropy_is_torchs(target):
    logits = random_logits()
    close(cross_entropy(target, logits), F.cross_entropy(logits, target, reduction="none"))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 1.0])
def test_label_smoothing_is_torchs(epsilon):
    labels, logits = random_labels(), random_logits()
    p = smooth_labels(one_hot(labels, 4, torch.float64), epsilon)
    expected = F.cross_entropy(logits, labels, label_smoothing=epsilon, reduction="none")
    close(cross_entropy(p, logits), expected)


@quick
@given(batches(2), st.floats(0, 1))
def test_smoothing_runs_from_the_identity_to_the_uniform_distribution(batch, epsilon):
    _, p = batch
    assert torch.equal(smooth_labels(p, 0), p)
    assert torch.equal(smooth_labels(p, 1), torch.full_like(p, 1 / p.shape[1]))
    close(smooth_labels(p, epsilon).sum(dim=-1), torch.ones(len(p), dtype=p.dtype))


def test_temperature_one_is_the_ordinary_softmax():
    logits = random_logits()
    assert torch.equal(softmax_with_temperature(logits, 1), torch.softmax(logits, dim=-1))


def test_temperature_towards_zero_is_the_argmax():
    logits = random_logits()
    expected = one_hot(logits.argmax(dim=-1), 4, torch.float64)
    close(softmax_with_temperature(logits, 1e-6), expected)


def test_temperature_towards_infinity_is_uniform():
    logits = random_logits()
    expected = torch.full_like(logits, 1 / 4)
    close(softmax_with_temperature(logits, 1e9), expected, atol=1e-8, rtol=0)


@quick
@given(batches(2, zeros=False), st.floats(0.1, 100))
def test_tempering_probabilities_is_the_softmax_of_their_logarithms(batch, temperature):
    _, p = batch
    tempered = temper(p, temperature)
    close(tempered, softmax_with_temperature(p.log(), temperature))
    powers = p ** (1 / temperature)
    close(tempered, powers / powers.sum(dim=-1, keepdim=True))


@quick
@given(batches(2), st.floats(0.1, 100))
def test_tempered_rows_sum_to_one(batch, temperature):
    _, p = batch
    close(temper(p, temperature).sum(dim=-1), torch.ones(len(p), dtype=p.dtype))


@pytest.mark.parametrize("floor", [0.0, 1e-7, 0.01])
def test_the_floor_decides_what_tempering_makes_of_an_exact_zero(floor):
    tempered = temper(torch.tensor([[1.0, 0.0]]), temperature=2.0, floor=floor)
    odds = np.sqrt(floor)
    expected = torch.tensor([[1, odds]], dtype=torch.float32) / (1 + odds)
    close(tempered, expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradient_of_the_distillation_loss_is_the_closed_form(temperature, alpha):
    y, z, t = random_labels(), random_logits(), random_logits(seed=3)
    T = temperature
    found = gradient(lambda z: distillation_loss(y, z, t, temperature=T, alpha=alpha), z)
    hard = torch.softmax(z, dim=-1) - one_hot(y, 4, torch.float64)
    soft = torch.softmax(z / T, dim=-1) - torch.softmax(t / T, dim=-1)
    close(found, (1 - alpha) * hard + alpha * T * soft)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [100.0, 1000.0])
def test_squared_temperature_keeps_the_scale_of_the_gradient(dtype, temperature):
    # In float32 the divergence itself is below the rounding here; its gradient is not.
    y = random_labels(50, 10)
    z, t = (centred(random_logits(50, 10, seed, scale=0.1)).to(dtype) for seed in (0, 3))
    found = gradient(lambda z: distillation_loss(y, z, t, temperature=temperature, alpha=1.0), z)
    close(found, (z - t) / 10, atol=1e-4, rtol=0)


def test_high_temperature_approaches_half_the_mean_squared_logit_difference():
    y, z, t = random_labels(), centred(random_logits()), centred(random_logits(seed=3))
    loss = distillation_loss(y, z, t, temperature=1e4, alpha=1.0)
    close(loss, ((z - t) ** 2).sum(dim=-1) / (2 * 4), rtol=1e-2, atol=0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(temperature):
    y, z = random_labels(), random_logits()
    loss = distillation_loss(y, z, z, temperature=temperature, alpha=1.0)
    close(loss, torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("target", [random_labels(), random_probabilities()], ids=["hard", "soft"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_alpha_zero_is_cross_entropy_bit_for_bit(target, temperature):
    z, t = random_logits(), random_logits(seed=3)

    def loss(z):
        return distillation_loss(target, z, t, temperature=temperature, alpha=0.0)

    assert torch.equal(loss(z), cross_entropy(target, z))
    assert torch.equal(gradient(loss, z), gradient(lambda z: cross_entropy(target, z), z))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_alpha_one_is_the_teacher_alone(temperature):
    z, t = random_logits(), random_logits(seed=3)
    teacher = softmax_with_temperature(t, temperature)
    expected = temperature**2 * kl_divergence(teacher, z / temperature)
    for seed in range(2):
        y = random_labels(seed=seed)
        loss = distillation_loss(y, z, t, temperature=temperature, alpha=1.0)
        assert torch.equal(loss, expected)


def test_a_certain_teacher_at_temperature_one_is_plain_cross_entropy():
    y, z = random_labels(), random_logits()
    certain = one_hot(y, 4, torch.float64).log()
    loss = distillation_loss(torch.zeros_like(y), z, certain, temperature=1.0, alpha=1.0)
    close(loss, cross_entropy(y, z))


@quick
@given(batches(3), st.floats(0.5, 20), st.floats(0, 1), st.floats(-100, 100))
def test_shifts_of_logits_change_nothing(batch, temperature, alpha, shift):
    logits, p, other = batch
    teacher = other.clamp_min(1e-6).log()
    at = {"temperature": temperature, "alpha": alpha}
    plain = distillation_loss(p, logits, teacher, **at)
    close(distillation_loss(p, logits + shift, teacher, **at), plain, atol=1e-9, rtol=1e-7)
    close(distillation_loss(p, logits, teacher + shift, **at), plain, atol=1e-9, rtol=1e-7)


@quick
@given(batches(3), st.floats(0.5, 20), st.floats(0, 1))
def test_every_loss_gives_one_finite_value_per_row(batch, temperature, alpha):
    logits, p, other = batch
    distilled = distillation_loss(p, logits, other.log(), temperature=temperature, alpha=alpha)
    for loss in (entropy(p), cross_entropy(p, logits), kl_divergence(p, logits), distilled):
        assert loss.shape == (len(p),)
        assert torch.isfinite(loss).all()
        assert (loss >= 0).all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_pass_gradcheck(alpha):
    y, z, t = random_labels(), random_logits().requires_grad_(), random_logits(seed=3)
    p = torch.softmax(random_logits(seed=1, scale=0.5), dim=-1).requires_grad_()
    assert torch.autograd.gradcheck(entropy, p)
    assert torch.autograd.gradcheck(cross_entropy, (p, z))
    assert torch.autograd.gradcheck(kl_divergence, (p, z))
    assert torch.autograd.gradcheck(lambda z: temper(torch.softmax(z, dim=-1), 3.0), z)
    assert torch.autograd.gradcheck(
        lambda z: distillation_loss(y, z, t, temperature=3.0, alpha=alpha), z
    )


def binary_kl(p, q):
    return special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)


#: Of two classes with the probabilities p and 1 - p (student), q and 1 - q (teacher).
TWO_CLASSES = {
    "kl": lambda p, q: binary_kl(q, p),
    "reverse_kl": binary_kl,
    "jensen_shannon": lambda p, q: (binary_kl(q, (p + q) / 2) + binary_kl(p, (p + q) / 2)) / 2,
    "brier": lambda p, q: 2 * (p - q) ** 2,
}

#: At infinite temperature each is a multiple of the squared distance of the logits.
SHARE_OF_LOGIT_MSE = {
    "kl": lambda K: 1,
    "reverse_kl": lambda K: 1,
    "jensen_shannon": lambda K: 1 / 4,
    "logit_mse": lambda K: 1,
    "brier": lambda K: 2 / K,
}

every_teacher_loss = pytest.mark.parametrize("name", TEACHER_LOSSES)
every_loss_of_a_row = pytest.mark.parametrize("name", [n for n in TEACHER_LOSSES if n != "dist"])


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", TWO_CLASSES)
def test_two_classes_have_a_closed_form(name, temperature):
    z, t = random_logits(n_classes=2), random_logits(n_classes=2, seed=3)
    p, q = (special.expit((x[:, 0] - x[:, 1]).numpy() / temperature) for x in (z, t))
    found = TEACHER_LOSSES[name](t, z, temperature)
    np.testing.assert_allclose(found, temperature**2 * TWO_CLASSES[name](p, q), rtol=1e-9)


def test_logit_mse_of_two_classes_is_an_eighth_of_the_squared_difference_of_log_odds():
    z, t = random_logits(n_classes=2), random_logits(n_classes=2, seed=3)
    close(logit_mse(t, z), ((z - t)[:, 0] - (z - t)[:, 1]) ** 2 / 8)


@pytest.mark.parametrize("name", SHARE_OF_LOGIT_MSE)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_high_temperature_approaches_a_multiple_of_the_logit_mse(name, n_classes):
    z, t = random_logits(n_classes=n_classes), random_logits(n_classes=n_classes, seed=3)
    expected = SHARE_OF_LOGIT_MSE[name](n_classes) * logit_mse(t, z)
    close(TEACHER_LOSSES[name](t, z, 3e3), expected, rtol=1e-2, atol=0)
    found = gradient(lambda z: TEACHER_LOSSES[name](t, z, 3e3), z)
    slope = SHARE_OF_LOGIT_MSE[name](n_classes) / n_classes
    close(found, slope * (centred(z) - centred(t)), atol=1e-2, rtol=0)


@every_teacher_loss
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_equal_to_its_teacher_costs_nothing(name, temperature):
    t = random_logits()
    loss = TEACHER_LOSSES[name]
    close(loss(t, t + 7, temperature), torch.zeros(6).double(), atol=1e-12, rtol=0)
    slope = gradient(lambda z: loss(t, z, temperature), t)
    close(slope, torch.zeros_like(t), atol=1e-12, rtol=0)
    assert loss(t, random_logits(seed=9), temperature).mean() > 0.1


@every_teacher_loss
@quick
@given(batches(3), st.floats(0.5, 20), st.floats(-100, 100))
def test_a_teacher_loss_is_one_finite_value_per_row_and_ignores_shifts(name, batch, T, shift):
    z, q, _ = batch
    loss = TEACHER_LOSSES[name]
    plain = loss(q.log(), z, T)
    assert plain.shape == (len(z),)
    assert (plain >= 0).all()
    assert torch.isfinite(plain).all()
    close(loss(q.log() + shift, z - shift, T), plain, atol=1e-9, rtol=1e-7)
    slope = gradient(lambda z: loss(q.log(), z, T), z)
    close(slope.sum(dim=-1), torch.zeros_like(plain), atol=1e-10 * float(1 + plain.max()), rtol=0)


@every_teacher_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_zeros_and_huge_logits_have_finite_losses_and_gradients(name, dtype, temperature):
    huge = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 0.0]], dtype=dtype)
    certain = torch.eye(3, dtype=dtype).log()
    for t in (huge, -huge, certain, 0 * huge):
        for z in (huge, -huge, 0 * huge):
            loss = TEACHER_LOSSES[name](t, z, temperature)
            assert torch.isfinite(loss).all()
            assert (loss >= 0).all()
            slope = gradient(lambda z, t=t: TEACHER_LOSSES[name](t, z, temperature), z)
            assert torch.isfinite(slope).all()


@every_teacher_loss
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradients_of_a_teacher_loss_pass_gradcheck(name, temperature):
    z, t = random_logits(3, scale=1.0).requires_grad_(), random_logits(3, seed=3, scale=1.0)
    assert torch.autograd.gradcheck(lambda z: TEACHER_LOSSES[name](t, z, temperature), z)


@quick
@given(batches(3, zeros=False), st.floats(0.5, 20))
def test_reverse_kl_is_kl_with_the_sides_swapped(batch, temperature):
    _, p, q = batch
    close(reverse_kl(p.log(), q.log(), temperature), forward_kl(q.log(), p.log(), temperature))


def test_forward_kl_is_the_teacher_term_bit_for_bit():
    y, z, t = random_labels(), random_logits(), random_logits(seed=3)
    at = {"temperature": 3.0, "alpha": 1.0}
    assert torch.equal(forward_kl(t, z, 3.0), distillation_loss(y, z, t, **at))


def test_a_zero_of_the_teacher_costs_reverse_kl_a_lot_yet_no_less_than_any_other_probability():
    z = torch.zeros(1, 2)
    probabilities = torch.tensor([0.5, 1e-3, 1e-20, 1e-38, 1e-44, 0.0])
    for loss in (reverse_kl, logit_mse):
        costs = [float(loss(torch.tensor([[1.0, p]]).log(), z)) for p in probabilities]
        assert costs == sorted(costs)
        assert 20 < costs[-1] < 1e4


@quick
@given(batches(3))
def test_jensen_shannon_is_scipys(batch):
    _, p, q = batch
    expected = jensenshannon(p.numpy(), q.numpy(), axis=1) ** 2
    np.testing.assert_allclose(jensen_shannon(q.log(), p.log()), expected, atol=1e-12)


@quick
@given(batches(3), st.floats(0.5, 20))
def test_jensen_shannon_is_symmetric_and_bounded(batch, temperature):
    _, p, q = batch
    found = jensen_shannon(q.log(), p.log(), temperature)
    close(found, jensen_shannon(p.log(), q.log(), temperature))
    assert (found <= temperature**2 * np.log(2) * (1 + 1e-12)).all()


@quick
@given(batches(4))
def test_the_root_of_jensen_shannon_is_a_metric(batch):
    _, p, q, r = batch

    def distance(p, q):
        return jensen_shannon(p.log(), q.log()).sqrt()

    assert (distance(p, r) <= distance(p, q) + distance(q, r) + 1e-7).all()


@quick
@given(batches(3), st.floats(0.01, 0.99))
def test_jensen_shannon_with_a_share_is_what_the_mixture_leaves_of_the_entropy(batch, beta):
    _, p, q = batch
    mixed = entropy(beta * q + (1 - beta) * p)
    expected = mixed - beta * entropy(q) - (1 - beta) * entropy(p)
    found = jensen_shannon(q.log(), p.log(), beta=beta)
    close(found, expected, atol=1e-12, rtol=1e-9)
    assert (found <= np.log(2) + 1e-12).all()


def test_jensen_shannon_runs_from_kl_to_reverse_kl():
    z, t = random_logits(scale=1.0), random_logits(seed=3, scale=1.0)
    beta = 1e-6
    close(jensen_shannon(t, z, beta=beta) / beta, forward_kl(t, z), rtol=1e-3, atol=0)
    close(jensen_shannon(t, z, beta=1 - beta) / beta, reverse_kl(t, z), rtol=1e-3, atol=0)


@pytest.mark.parametrize("beta", [0, 1, -0.1, float("nan")])
def test_a_share_that_mixes_nothing_is_refused(beta):
    with pytest.raises(ValueError, match="beta=.* is not allowed: give a number in"):
        jensen_shannon(torch.zeros(1, 2), torch.zeros(1, 2), beta=beta)


def test_brier_against_certainty_is_scikit_learns_score():
    y, z = random_labels(50), random_logits(50)
    probabilities = torch.softmax(z, dim=-1).numpy()
    expected = brier_score_loss(y.numpy(), probabilities, labels=range(4), scale_by_half=False)
    found = brier(one_hot(y, 4, torch.float64).log(), z).mean()
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_logit_mse_ignores_the_temperature_and_has_the_gradient_of_its_name():
    z, t = random_logits(), random_logits(seed=3)
    assert torch.equal(logit_mse(t, z, 0.5), logit_mse(t, z, 20.0))
    close(gradient(lambda z: logit_mse(t, z), z), (centred(z) - centred(t)) / 4)
    expected = F.mse_loss(centred(z), centred(t), reduction="none").mean(dim=-1) / 2
    close(logit_mse(t, z), expected)


@every_teacher_loss
def test_the_distillation_loss_takes_any_teacher_loss(name):
    y, z, t = random_labels(), random_logits(), random_logits(seed=3)
    found = distillation_loss(y, z, t, temperature=2.0, alpha=0.3, teacher_loss=name)
    close(found, 0.7 * cross_entropy(y, z) + 0.3 * TEACHER_LOSSES[name](t, z, 2.0))


def test_an_unknown_teacher_loss_is_refused():
    z = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="teacher_loss='mse' is not allowed: give one of 'kl', "):
        distillation_loss(z, z, z, temperature=1.0, alpha=0.5, teacher_loss="mse")


@every_loss_of_a_row
def test_alpha_may_differ_between_rows(name):
    y, z, t = random_labels(), random_logits(), random_logits(seed=3)
    alpha = torch.tensor([0.0, 0.3, 1.0, 0.5, 1.0, 0.0], dtype=torch.float64)
    at = {"temperature": 2.0, "teacher_loss": name}
    found = distillation_loss(y, z, t, alpha=alpha, **at)
    for row, share in enumerate(alpha.tolist()):
        one = slice(row, row + 1)
        close(found[one], distillation_loss(y[one], z[one], t[one], alpha=share, **at))


# ---- losses as objects -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("kl", forward_kl),
        ("reverse_kl", reverse_kl),
        ("jensen_shannon", jensen_shannon),
        ("logit_mse", logit_mse),
        ("brier", brier),
    ],
)
def test_an_object_is_its_function_bit_for_bit(name, function):
    z, t = random_logits(), random_logits(seed=3)
    assert torch.equal(TEACHER_LOSSES[name](t, z, 3.0), function(t, z, 3.0))


@pytest.mark.parametrize(
    "loss",
    [*TEACHER_LOSSES.values(), JensenShannon(0.1), DKD(0.5, 2.0), DIST(2.0, 0.0)],
    ids=repr,
)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_losses_with_their_gradient_are_those_of_autograd(loss, temperature):
    z, t = random_logits(), random_logits(seed=3)
    alpha = torch.tensor([0.1, 0.3, 1.0, 0.5, 1.0, 0.7], dtype=torch.float64)
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5, 1.0, 3.0], dtype=torch.float64)
    at = {"temperature": temperature, "alpha": alpha, "sample_weight": weights}
    found, derivative = loss.with_gradient(t, z, **at)

    def weighted(z):
        labels = torch.zeros(6, dtype=torch.long)
        losses = distillation_loss(labels, z, t, teacher_loss=loss, **at)
        return weights * (losses - (1 - alpha) * cross_entropy(labels, z))

    close(weights * found, weighted(z))
    close(weights.unsqueeze(1) * derivative, gradient(weighted, z))


def test_without_a_derivative_by_hand_autograd_computes_it():
    z, t = random_logits(), random_logits(seed=3)
    by_hand = {name: loss.gradient(t, z, 2.0) for name, loss in TEACHER_LOSSES.items()}
    assert {name for name, found in by_hand.items() if found is None} == {"kl", "dkd", "dist"}

    class Plain(TeacherLoss):
        def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
            return brier(teacher_logits, logits, temperature)

    expected = TEACHER_LOSSES["brier"].with_gradient(t, z, 2.0, 0.3)
    with torch.no_grad():
        close(Plain().with_gradient(t, z, 2.0, 0.3), expected)


def test_a_loss_without_a_formula_names_what_is_missing():
    with pytest.raises(NotImplementedError, match="TeacherLoss must define __call__"):
        TeacherLoss()(torch.zeros(1, 2), torch.zeros(1, 2))


@every_teacher_loss
def test_losses_follow_scikit_learns_protocol_and_pickle(name):
    loss = TEACHER_LOSSES[name]
    z, t = random_logits(), random_logits(seed=3)
    for copied in (clone(loss), pickle.loads(pickle.dumps(loss))):
        assert copied.get_params() == loss.get_params()
        assert torch.equal(copied(t, z, 2.0), loss(t, z, 2.0))
    assert resolve_teacher_loss("teacher_loss", name) is loss
    assert resolve_teacher_loss("teacher_loss", loss) is loss


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("mse", ValueError, "teacher_loss='mse' is not allowed: give one of 'kl', "),
        (3, TypeError, "teacher_loss=3 is not allowed: give a loss's name or an object of"),
        (DKD, TypeError, "teacher_loss=.*DKD.* is not allowed: give a loss's name"),
        (JensenShannon(1.0), ValueError, r"beta=1.0 is not allowed: give a number in \(0, 1\)"),
        (DKD(alpha_dkd=-1), ValueError, "alpha_dkd=-1 is not allowed: give a number >= 0"),
        (DKD(beta="8"), TypeError, "beta='8' is not allowed: give a number >= 0"),
        (DIST(beta=-1), ValueError, "beta=-1 is not allowed"),
        (DIST(gamma=float("nan")), ValueError, "gamma=nan is not allowed"),
    ],
)
def test_bad_losses_and_settings_are_refused(value, error, message):
    with pytest.raises(error, match=message):
        resolve_teacher_loss("teacher_loss", value)


def test_the_names_of_the_losses_can_be_read_without_torch():
    code = "import sys, skkd.losses as l; print(*l.TEACHER_LOSSES, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*TEACHER_LOSSES, "False"]


# ---- decoupled knowledge distillation ------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_dkd_with_the_weights_of_kl_is_kl(temperature, n_classes):
    z, t = random_logits(n_classes=n_classes), random_logits(n_classes=n_classes, seed=3)
    likeliest = softmax_with_temperature(t, temperature).amax(dim=-1)
    for row in range(len(z)):
        loss = DKD(beta=float(1 - likeliest[row]))
        one = slice(row, row + 1)
        close(loss(t[one], z[one], temperature), forward_kl(t[one], z[one], temperature))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_dkd_is_the_formula_of_the_paper(temperature):
    z, t, T = random_logits(), random_logits(seed=3), temperature
    q, p = (special.softmax(x.numpy() / T, axis=1) for x in (t, z))
    expected = []
    for q_row, p_row in zip(q, p, strict=True):
        c = q_row.argmax()
        of_target = binary_kl(p=q_row[c], q=p_row[c])
        q_rest, p_rest = (np.delete(x, c) / (1 - x[c]) for x in (q_row, p_row))
        expected.append(T**2 * (0.7 * of_target + 3.0 * special.rel_entr(q_rest, p_rest).sum()))
    np.testing.assert_allclose(DKD(0.7, 3.0)(t, z, T), expected, rtol=1e-8)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_dkd_of_two_classes_is_kl_whatever_beta_is(temperature):
    z, t = random_logits(n_classes=2), random_logits(n_classes=2, seed=3)
    for beta in (0.0, 8.0):
        close(DKD(2.0, beta)(t, z, temperature), 2 * forward_kl(t, z, temperature))


@pytest.mark.parametrize("n_classes", [3, 10])
def test_dkd_at_high_temperature_is_quadratic_in_the_logits(n_classes):
    z, t = random_logits(n_classes=n_classes), random_logits(n_classes=n_classes, seed=3)
    target = t.argmax(dim=-1, keepdim=True)
    difference = (centred(z) - centred(t)).gather(1, target).squeeze(1)
    of_target = difference**2 / (2 * (n_classes - 1))
    rest = ~one_hot(target.squeeze(1), n_classes).bool()
    z_rest, t_rest = (x[rest].reshape(-1, n_classes - 1) for x in (z, t))
    expected = 0.7 * of_target + 3.0 * logit_mse(t_rest, z_rest)
    close(DKD(0.7, 3.0)(t, z, 3e3), expected, rtol=1e-2, atol=0)


def test_dkd_learns_nothing_about_the_others_from_a_certain_teacher():
    z = random_logits()
    certain = one_hot(random_labels(), 4, torch.float64).log()
    found = DKD(beta=8.0)(certain, z)
    close(found, forward_kl(certain, z))
    assert torch.equal(gradient(lambda z: DKD(alpha_dkd=0.0)(certain, z), z), torch.zeros_like(z))


# ---- correlation with a stronger teacher ----------------------------------------------------


def spread_probabilities(n_rows=40, n_classes=4, seed=0):
    """Probabilities so different that DIST's floor under deviations does not matter."""
    return torch.softmax(random_logits(n_rows, n_classes, seed, scale=4.0), dim=-1)


def test_dist_is_one_minus_correlation_within_rows_and_within_classes():
    q, p = spread_probabilities(), spread_probabilities(seed=3)
    inter = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    intra = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    for beta, gamma in [(1, 1), (1, 0), (0, 1), (0.5, 2)]:
        found = DIST(beta, gamma)(q.log(), p.log()).mean()
        assert float(found) == pytest.approx(beta * inter + gamma * intra, rel=1e-2)
        assert 0 <= float(found) <= 2 * (beta + gamma)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_is_scaled_by_the_squared_temperature(temperature):
    t, z, T = 4 * random_logits(), 4 * random_logits(seed=3), temperature
    found = DIST()(t, z, T)
    assert float(found.mean() / DIST()(t / T, z / T).mean()) == pytest.approx(T**2, rel=0.01)


@pytest.mark.parametrize("slope", [0.5, 0.9])
def test_dist_is_zero_for_linearly_related_probabilities(slope):
    q = spread_probabilities()
    flatter = slope * q + (1 - slope) / 4
    assert float(DIST()(q.log(), flatter.log()).max()) < 1e-4
    assert float(DIST()(flatter.log(), q.log()).max()) < 1e-4
    assert float(forward_kl(q.log(), flatter.log()).mean()) > 1e-3


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_weight_in_dist_is_a_number_of_copies(beta):
    t, z = random_logits(), random_logits(seed=3)
    counts = torch.tensor([1, 3, 0, 2, 1, 1])
    found = DIST(beta)(t, z, 2.0, counts.double())
    copies = [x.repeat_interleave(counts, dim=0) for x in (t, z)]
    close(found.repeat_interleave(counts), DIST(beta)(*copies, 2.0))


def test_rows_without_weight_change_no_other_row_in_dist():
    t, z = random_logits(), random_logits(seed=3)
    weights = torch.tensor([1.0, 2.0, 0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    others = torch.where(weights.unsqueeze(1) == 0, -5 * t, t)
    counted = weights > 0
    found, changed = (DIST()(x, z, 1.0, weights)[counted] for x in (t, others))
    close(found, changed)
    assert torch.isfinite(DIST()(t, z, 1.0, torch.zeros(6, dtype=torch.float64))).all()


def test_an_alpha_of_zero_takes_a_row_out_of_the_correlations_of_dist():
    y, z, t = random_labels(), random_logits(), random_logits(seed=3)
    alpha = torch.tensor([0.0, 0.3, 1.0, 0.5, 1.0, 0.0], dtype=torch.float64)
    at = {"temperature": 2.0, "alpha": alpha, "teacher_loss": "dist"}
    found = distillation_loss(y, z, t, **at)
    changed = distillation_loss(y, z, torch.where(alpha.unsqueeze(1) == 0, -t, t), **at)
    close(found, changed)
    close(found[alpha == 0], cross_entropy(y, z)[alpha == 0])


def test_a_single_row_has_no_correlation_between_rows():
    t, z = random_logits(1), random_logits(1, seed=3)
    close(DIST(beta=0.0)(t, z), torch.zeros(1).double())
    close(DIST()(t, z), DIST(gamma=0.0)(t, z))


def test_equal_probabilities_have_a_finite_gradient_in_dist():
    t = random_logits()
    slope = gradient(lambda z: DIST()(t, z), torch.zeros_like(t))
    assert 0.01 < float(slope.abs().max()) < 100
    flat = torch.zeros_like(t)
    close(DIST()(flat, flat), torch.zeros(6).double())


def test_two_classes_correlate_in_a_row_by_their_order_alone():
    q = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    p = torch.tensor([[0.7, 0.3], [0.8, 0.2]], dtype=torch.float64)
    close(DIST(gamma=0.0)(q.log(), p.log()), torch.tensor([0.0, 2.0]).double(), atol=0.01, rtol=0)
