"""A warning for modules that end with a softmax, and for no other modules."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from skkd import DistilledClassifier, NeuralClassifier

PROBABILITIES = "module gives probabilities where logits are wanted: drop "
LOGARITHMS = "module gives log-probabilities where logits are wanted: drop "
LAYER, FORWARD = "its last layer, {}. ", "the softmax at the end of its forward. "


def neural(module, **settings):
    defaults = {"max_epochs": 2, "random_state": 0}
    return NeuralClassifier(module=module, **defaults | settings)


def distilled(module, **settings):
    teacher = LogisticRegression()
    defaults = {"max_epochs": 2, "random_state": 0, "alpha": 0.5, "augment": None}
    return DistilledClassifier(teacher, fit_teacher=True, module=module, **defaults | settings)


class Net(nn.Module):
    """A layer, attention among its units perhaps, and what the outputs are made by."""

    def __init__(self, n_features, n_classes, last=None, attends=False):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        self.gate = nn.Softmax(dim=-1) if attends else None
        self.last = last

    def forward(self, x):
        z = self.layer(x)
        if self.gate is not None:
            z = z * self.gate(z)
        return z if self.last is None else self.last(z)


def sequence(*last, start=None):
    """A factory of a Linear, which may start at a constant, and other layers."""

    def build(n_features, n_classes):
        linear = nn.Linear(n_features, n_classes)
        if start is not None:
            nn.init.zeros_(linear.weight)
            nn.init.constant_(linear.bias, start)
        return nn.Sequential(linear, *(layer() for layer in last))

    return build


def softmax():
    return nn.Softmax(dim=-1)


def log_softmax():
    return nn.LogSoftmax(dim=-1)


def normalised_sigmoid(z):
    p = torch.sigmoid(z)
    return p / p.sum(dim=-1, keepdim=True)


def net(last, **options):
    return lambda n_features, n_classes: Net(n_features, n_classes, last, **options)


class Nested(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(sequence(softmax)(n_features, n_classes))


THE_SOFTMAX = {
    "layer": (sequence(softmax), PROBABILITIES + LAYER.format(r"Softmax \('1'\)")),
    "logarithm": (sequence(log_softmax), LOGARITHMS + LAYER.format(r"LogSoftmax \('1'\)")),
    "nested": (Nested, PROBABILITIES + LAYER.format(r"Softmax \('0.1'\)")),
    "named": (net(softmax()), PROBABILITIES + LAYER.format(r"Softmax \('last'\)")),
    "functional": (net(lambda z: z.softmax(-1)), PROBABILITIES + FORWARD),
    "functional logarithm": (net(lambda z: z.log_softmax(-1)), LOGARITHMS + FORWARD),
    "beside attention": (net(lambda z: z.softmax(-1), attends=True), PROBABILITIES + FORWARD),
    "of its own": (net(normalised_sigmoid), PROBABILITIES + FORWARD),
    "all rows alike": (sequence(softmax, start=0.0), PROBABILITIES + LAYER.format(".*")),
    "logarithm, rows alike": (sequence(log_softmax, start=0.0), LOGARITHMS + LAYER.format(".*")),
}  # fmt: skip


@pytest.mark.parametrize("make", [neural, distilled])
@pytest.mark.parametrize("kind", THE_SOFTMAX)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_outputs_that_are_probabilities_warn_and_name_the_layer_to_drop(
    make, kind, n_classes, iris_like
):
    module, message = THE_SOFTMAX[kind]
    X, y = iris_like
    with pytest.warns(UserWarning, match=f"^{message}") as caught:
        make(module).fit(X, y % n_classes)
    assert sum("where logits are wanted" in str(w.message) for w in caught) == 1
    assert caught[0].filename == __file__


LOGITS = {
    "linear": sequence(),
    "attention": net(None, attends=True),
    "zeros": sequence(start=0.0),
    "a half": sequence(start=0.5),  # two of them sum to one
    "a third": sequence(start=1 / 3),
    "their logarithms": sequence(start=float(np.log(0.5))),
    "sigmoid": sequence(nn.Sigmoid),
    "log-sigmoid": sequence(nn.LogSigmoid),
    "softmax of a part": net(lambda z: 2 * z.softmax(-1)),
}


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logits_do_not_warn_whatever_they_start_at(kind, n_classes, iris_like):
    X, y = iris_like
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*units.*equal")
        neural(LOGITS[kind]).fit(X, y % n_classes)


def test_logits_that_sum_to_one_but_leave_zero_to_one_do_not_warn(iris_like):
    X, y = iris_like
    neural(net(lambda z: z / z.sum(dim=-1, keepdim=True))).fit(X, y)


@pytest.mark.parametrize("n_rows", [2, 7])
def test_few_rows_do_not_warn(n_rows):
    X = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    neural(sequence(softmax)).fit(X, np.arange(n_rows) % 2)


def test_the_warning_comes_once_and_not_in_calls_that_continue(iris_like):
    clf = neural(sequence(softmax), warm_start=True)
    with pytest.warns(UserWarning, match=PROBABILITIES):
        clf.fit(*iris_like)
    clf.fit(*iris_like).partial_fit(*iris_like)
    with pytest.warns(UserWarning, match=PROBABILITIES):
        clf = neural(sequence(softmax)).partial_fit(*iris_like, classes=[0, 1, 2])
    clf.partial_fit(*iris_like)


def test_the_check_changes_neither_the_module_nor_its_random_numbers(iris_like, monkeypatch):
    def noisy(n_features, n_classes):
        return Net(n_features, n_classes, last=lambda z: nn.functional.dropout(z, 0.3))

    looked = neural(noisy).fit(*iris_like)
    monkeypatch.setattr("skkd.training.fit.warn_of_probabilities", lambda module, X: None)
    unlooked = neural(noisy).fit(*iris_like)
    assert looked.loss_curve_ == unlooked.loss_curve_
    assert not any(layer._forward_hooks for layer in looked.module_.modules())
