"""The derivatives by hand are those of autograd; rows may have a teacher and no label."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skkd import DistilledClassifier
from skkd.losses import (
    DIST,
    DKD,
    TEACHER_LOSSES,
    ForwardKL,
    JensenShannon,
    distillation_loss,
    softmax_with_temperature,
)
from skkd.training.batches import Batches, Rows
from skkd.training.criteria import LabelLoss, TaughtLoss

close = torch.testing.assert_close

#: At 1 the default loss has a way of its own.
at_one_and_above = pytest.mark.parametrize("T", [1.0, 2.0])
every_teacher_loss = pytest.mark.parametrize("name", TEACHER_LOSSES)
every_loss_of_a_row = pytest.mark.parametrize("name", [n for n in TEACHER_LOSSES if n != "dist"])
N_ROWS = 11


def drawn(n_classes=4, dtype=torch.float64, seed=0, scale=3.0):
    """Logits class by class in memory, as the built-in network gives them, and targets."""
    draw = torch.Generator().manual_seed(seed)
    shape = (n_classes, N_ROWS)
    logits = scale * torch.randn(shape, generator=draw, dtype=dtype).t()
    targets = {
        "labels": torch.randint(n_classes, (N_ROWS,), generator=draw),
        "teacher_logits": scale * torch.randn(N_ROWS, n_classes, generator=draw, dtype=dtype),
    }
    return logits, targets


def mixed_alpha(dtype=torch.float64):
    """Half the rows have a label, the others none."""
    return torch.where(torch.arange(N_ROWS) % 2 == 0, 0.3, 1.0).to(dtype)


def by_autograd(criterion, logits, targets):
    logits = logits.clone().requires_grad_()
    losses = criterion(logits, targets)
    return losses.detach(), torch.autograd.grad(losses.sum(), logits)[0]


def by_hand(criterion, logits, targets):
    return criterion.gradient(logits.clone(), targets)


def outcomes(criterion, logits, targets):
    return by_autograd(criterion, logits, targets), by_hand(criterion, logits, targets)


def same_bits(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@every_teacher_loss
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("n_classes", [2, 3, 26])
def test_derivatives_by_hand_are_those_of_autograd(name, temperature, n_classes):
    logits, targets = drawn(n_classes)
    for alpha, epsilon in [(1.0, 0.0), (0.7, 0.0), (0.4, 0.2), (0.0, 0.1)]:
        criterion = TaughtLoss(temperature, alpha, epsilon, name)
        for each_row in ({}, {"alpha": mixed_alpha()}):
            autograd, hand = outcomes(criterion, logits, targets | each_row)
            close(hand, autograd, rtol=1e-10, atol=1e-10)
            close(hand[1].sum(dim=1), torch.zeros(N_ROWS).double(), rtol=0, atol=1e-10)


@every_teacher_loss
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(name):
    logits, targets = drawn()
    criterion = TaughtLoss(2.0, 1.0, teacher_loss=name)
    for losses, derivative in outcomes(criterion, logits, targets | {"teacher_logits": logits}):
        close(losses, torch.zeros_like(losses), rtol=0, atol=1e-12)
        close(derivative, torch.zeros_like(derivative), rtol=0, atol=1e-12)


@every_teacher_loss
@pytest.mark.parametrize("scale", [1e2, 1e4])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_huge_logits_have_finite_losses_and_derivatives(name, scale, temperature):
    logits, targets = drawn(dtype=torch.float32, scale=scale)
    targets["alpha"] = mixed_alpha(torch.float32)
    for found in outcomes(TaughtLoss(temperature, 0.5, 0.1, name), logits, targets):
        assert all(torch.isfinite(part).all() for part in found)


@at_one_and_above
@every_teacher_loss
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_an_alpha_of_each_row_that_is_constant_is_the_one_alpha(T, name, share, epsilon):
    logits, targets = drawn()
    wanted = outcomes(TaughtLoss(T, share, epsilon, name), logits, targets)
    each_row = targets | {"alpha": torch.full((N_ROWS,), share, dtype=torch.float64)}
    overridden = TaughtLoss(T, 0.123, epsilon, name)
    close(outcomes(overridden, logits, each_row), wanted, rtol=1e-12, atol=1e-12)


@at_one_and_above
@every_teacher_loss
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_prepared_targets_give_the_losses_of_the_others(T, name, epsilon):
    logits, targets = drawn()
    for alpha in (None, mixed_alpha()):
        targets = targets if alpha is None else targets | {"alpha": alpha}
        criterion = TaughtLoss(T, 0.3, epsilon, name)
        prepared = criterion.prepared(targets | {"weights": torch.ones(N_ROWS)})
        assert criterion.prepared(prepared) is prepared
        assert ("mixture" in prepared) == (T == 1 and name == "kl")
        close(outcomes(criterion, logits, prepared), outcomes(criterion, logits, targets))


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_a_network_that_deems_all_classes_equally_likely_stays_below_the_bound(T, alpha):
    logits, targets = drawn()
    criterion = TaughtLoss(T, alpha, label_smoothing=0.1)
    losses = criterion(torch.zeros_like(logits), targets)
    assert float(losses.max()) <= criterion.of_ignorance(logits.shape[1]) + 1e-12
    assert LabelLoss().of_ignorance(3) == pytest.approx(math.log(3))
    assert TaughtLoss(T, 1.0, teacher_loss="logit_mse").of_ignorance(3) == math.inf


@at_one_and_above
@every_loss_of_a_row
def test_each_row_has_the_loss_of_its_own_alpha(T, name):
    logits, targets = drawn()
    alpha = torch.linspace(0, 1, N_ROWS, dtype=torch.float64)
    for found in outcomes(TaughtLoss(T, 0.5, 0.1, name), logits, targets | {"alpha": alpha}):
        for row in range(N_ROWS):
            one = slice(row, row + 1)
            alone = {key: target[one] for key, target in targets.items()}
            criterion = TaughtLoss(T, float(alpha[row]), 0.1, name)
            close(tuple(part[one] for part in found), by_hand(criterion, logits[one], alone))


@at_one_and_above
@every_teacher_loss
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_rows_without_alpha_learn_from_their_label_alone(T, name, epsilon):
    logits, targets = drawn()
    without = torch.arange(N_ROWS) % 3 == 0
    alpha = torch.where(without, 0.0, 0.8).double()
    found = outcomes(TaughtLoss(T, 0.5, epsilon, name), logits, targets | {"alpha": alpha})
    wanted = outcomes(LabelLoss(epsilon), logits, targets)
    for (losses, derivative), (label_losses, by_labels) in zip(found, wanted, strict=True):
        pairs = (losses, label_losses), (derivative, by_labels)
        for ours, alone in [(one[without], other[without]) for one, other in pairs]:
            if T == 1 and name == "kl":  # one sum in place of a sum of two
                close(ours, alone, rtol=1e-12, atol=1e-12)
            else:
                assert torch.equal(ours, alone)


@at_one_and_above
@every_teacher_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_label_of_a_row_that_only_a_teacher_knows_changes_no_bit(
    T, name, dtype, epsilon, scale
):
    logits, targets = drawn(dtype=dtype, scale=scale)
    targets["alpha"] = mixed_alpha(dtype)
    criterion = TaughtLoss(T, 0.3, epsilon, name)
    before = outcomes(criterion, logits, targets)
    is_synthetic = targets["alpha"] == 1
    for shift in (1, 2, 3):
        others = torch.where(is_synthetic, (targets["labels"] + shift) % 4, targets["labels"])
        after = outcomes(criterion, logits, targets | {"labels": others})
        assert all(same_bits(*pair) for pair in zip(before, after, strict=True))
    changed = outcomes(criterion, logits, targets | {"labels": (targets["labels"] + 1) % 4})
    assert not any(same_bits(*pair) for pair in zip(before, changed, strict=True))


def test_where_no_row_has_a_label_no_label_term_is_computed(monkeypatch):
    logits, targets = drawn()
    targets["alpha"] = torch.ones(N_ROWS, dtype=torch.float64)
    wanted = by_hand(TaughtLoss(2.0, 1.0), logits, targets)

    def complain(*args):
        raise AssertionError("the label term was computed")

    monkeypatch.setattr(LabelLoss, "gradient", complain)
    assert same_bits(by_hand(TaughtLoss(2.0, 0.5), logits, targets), wanted)


@at_one_and_above
def test_smoothing_acts_on_the_labels_alone(T):
    logits, targets = drawn()
    targets["alpha"] = mixed_alpha()
    is_synthetic = targets["alpha"] == 1
    plain = outcomes(TaughtLoss(T, 0.5), logits, targets)
    smoothed = outcomes(TaughtLoss(T, 0.5, label_smoothing=0.3), logits, targets)
    for one, other in zip(plain, smoothed, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a[is_synthetic], b[is_synthetic])
            assert not torch.equal(a[~is_synthetic], b[~is_synthetic])


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_kl_is_hintons_loss_and_the_default(alpha):
    logits, targets = drawn()
    T, criterion = 2.0, TaughtLoss(2.0, alpha)
    assert criterion == TaughtLoss(T, alpha, teacher_loss="kl")
    y, t = targets["labels"], targets["teacher_logits"]
    hinton = distillation_loss(y, logits, t, temperature=T, alpha=alpha)
    assert torch.equal(criterion(logits, targets), hinton)
    soft = softmax_with_temperature(logits, T) - softmax_with_temperature(t, T)
    hard = by_hand(LabelLoss(), logits, targets)[1]
    close(by_hand(criterion, logits, targets)[1], alpha * T * soft + (1 - alpha) * hard)


@every_teacher_loss
def test_a_criterion_pickles(name):
    criterion = TaughtLoss(2.0, 0.5, 0.1, name)
    logits, targets = drawn()
    again = pickle.loads(pickle.dumps(criterion))
    assert again == criterion
    assert same_bits(by_hand(again, logits, targets), by_hand(criterion, logits, targets))


@every_teacher_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_criterion_is_handed_stays_as_it_is(name, dtype):
    logits, targets = drawn(dtype=dtype)
    targets["alpha"] = mixed_alpha(dtype)
    before = [logits.clone(), *(target.clone() for target in targets.values())]
    losses, derivative = TaughtLoss(2.0, 0.5, 0.1, name).gradient(logits, targets)
    assert same_bits(before, [logits, *targets.values()])
    assert losses.dtype == derivative.dtype == dtype
    assert losses.shape == (N_ROWS,)
    assert derivative.shape == logits.shape


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_alpha_of_each_row_goes_through_batches(shuffled):
    logits, targets = drawn(dtype=torch.float32)
    targets["alpha"] = mixed_alpha()  # NumPy gives float64; batches have the network's dtype
    arrays = {name: target.numpy() for name, target in targets.items()}
    generator = torch.Generator().manual_seed(0) if shuffled else None
    batches = Batches(Rows(logits.numpy(), arrays), 4, generator)
    criterion = TaughtLoss(2.0, 0.5)
    total = 0.0
    for batch_logits, batch_targets in batches:
        assert batch_targets["alpha"].dtype == torch.float32
        total += float(criterion.gradient(batch_logits, batch_targets)[0].sum())
    targets["alpha"] = targets["alpha"].float()
    assert total == pytest.approx(float(criterion(logits, targets).sum()), rel=1e-5)


def test_an_object_of_a_loss_is_its_name_settings_included():
    logits, targets = drawn()
    for T in (1.0, 2.0):
        named = TaughtLoss(T, 0.4, 0.1, "kl")
        given = TaughtLoss(T, 0.4, 0.1, ForwardKL())
        assert same_bits(by_hand(named, logits, targets), by_hand(given, logits, targets))
        assert ("mixture" in given.prepared(targets)) == (T == 1)
        assert given.of_ignorance(3) == named.of_ignorance(3)
    changed = by_hand(TaughtLoss(2.0, 0.4, 0.1, DKD(beta=1.0)), logits, targets)
    assert not same_bits(changed, by_hand(TaughtLoss(2.0, 0.4, 0.1, "dkd"), logits, targets))
    for loss in (JensenShannon(0.2), DKD(2.0, 0.5), DIST(0.0, 3.0)):
        close(*outcomes(TaughtLoss(2.0, 0.4, 0.1, loss), logits, targets))


@every_teacher_loss
@pytest.mark.parametrize("each_row", [False, True])
def test_weighted_derivatives_are_those_of_the_weighted_losses(name, each_row):
    logits, targets = drawn()
    targets["weights"] = (torch.arange(N_ROWS) % 4).double()
    if each_row:
        targets["alpha"] = mixed_alpha()
    criterion, weights = TaughtLoss(2.0, 0.6, 0.1, name), targets["weights"]
    losses, derivative = by_hand(criterion, logits, targets)
    autograd = by_autograd(lambda *args: weights * criterion(*args), logits, targets)
    close((weights * losses, weights.unsqueeze(1) * derivative), autograd)


# ---- a student of each loss ------------------------------------------------------------------


def table(n_classes=3, n_rows=240):
    """Rows of separate classes, and a teacher that knows them."""
    random_state = np.random.RandomState(0)
    y = np.arange(n_rows) % n_classes
    X = random_state.standard_normal((n_rows, 4))
    X[:, 0] += 3 * y
    return X, y, LogisticRegression().fit(X, y)


def student(teacher, loss, **settings):
    settings = {"alpha": 1.0, "augment": None, "max_epochs": 40, "random_state": 0} | settings
    return DistilledClassifier(teacher, teacher_loss=loss, hidden_layer_sizes=(16,), **settings)


@pytest.mark.parametrize("loss", ["dkd", "dist", DKD(beta=1.0), DIST(gamma=2.0)], ids=repr)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_student_learns_with_dkd_and_dist(loss, n_classes, temperature):
    X, y, teacher = table(n_classes)
    found = student(teacher, loss, temperature=temperature).fit(X, y)
    assert found.score(X, teacher.predict(X)) > 0.9
    assert found.loss_curve_[-1] < found.loss_curve_[0] / 2


@pytest.mark.parametrize("loss", ["dkd", "dist"])
def test_weights_are_copies_in_a_fit_of_full_batches(loss):
    X, y, teacher = table(n_rows=60)
    weights = np.arange(len(X)) // 3 % 3
    exact = {"dtype": "float64", "batch_size": 1000, "preprocessor": None, "optimizer": "sgd"}
    exact |= {"numeric_encoding": None, "dropout": 0.0, "learning_rate": 0.05, "alpha": 0.6}
    weighted = student(teacher, loss, **exact).fit(X, y, sample_weight=weights)
    copied = student(teacher, loss, **exact).fit(X.repeat(weights, 0), y.repeat(weights))
    np.testing.assert_allclose(
        weighted.predict_proba(X), copied.predict_proba(X), rtol=1e-6, atol=1e-8
    )


def test_a_grid_searches_the_settings_of_a_loss():
    X, y, teacher = table(n_rows=90)
    grid = GridSearchCV(student(teacher, DKD(), max_epochs=2), {"teacher_loss__beta": [1, 8]}, cv=2)
    assert grid.fit(X, y).best_params_["teacher_loss__beta"] in (1, 8)
    with pytest.raises(ValueError, match="teacher_loss as an object with that setting, of skkd.l"):
        student(teacher, "dkd").set_params(teacher_loss__beta=1)
