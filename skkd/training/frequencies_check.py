"""A check that a fitted network is better than the class frequencies."""

from typing import Any

import numpy as np

from skkd.checks import warn
from skkd.data.dataset import Dataset
from skkd.inference.network import log_softmax, softmax
from skkd.training.result import TrainingResult

__all__ = ["warn_if_nothing_learned"]

#: After fewer epochs and fewer steps than this there is no warning.
FEWEST_EPOCHS, FEWEST_STEPS = 5, 100

#: Large tables are compared on this number of their rows.
MOST_ROWS = 10_000

#: Rounding may let a network with the same output for each row look better by this share.
ROUNDING = 1e-5

#: Training is unstable if an epoch has a loss of more than this times that of a network that deems
#: all classes equally likely.
UNSTABLE = 2

#: A network whose logits are shifted must be better by this share: a single odd row is not enough.
LEAST_GAIN = 2e-3

#: Number of steps in which logits are shifted, and the largest shift of a step.
SHIFTS, LARGEST_SHIFT = 20, 20.0

#: A network gives each row the same output if no log-probability varies by more than this.
SAME_OUTPUT = 1e-4


def warn_if_nothing_learned(
    result: TrainingResult, criterion: Any, train: Dataset, learning_rate: float
) -> None:
    """Warn if a fitted network is no better than the class frequencies on its training rows.

    Weighted cross-entropies are compared. A network with a teacher must be better than the
    class frequencies of the labels, or than the mean of the soft labels: it may follow a teacher
    that contradicts the labels. What label smoothing costs does not count.

    Parameters
    ----------
    result : TrainingResult
        There is no warning after fewer than `FEWEST_EPOCHS` epochs with fewer than
        `FEWEST_STEPS` steps. If only the steps are that few, there is a warning only for a
        network with the same output for each row, because any other may still be learning. And
        if early stopping has kept the weights of such a network, only if training was unstable.
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
    train : Dataset
        The training rows that have labels.
    learning_rate : float
    """
    has_few_steps = result.n_steps < FEWEST_STEPS
    if has_few_steps and len(result.history) < FEWEST_EPOCHS:
        return
    if len(train) > MOST_ROWS:
        train = train.take(np.linspace(0, len(train) - 1, MOST_ROWS).astype(int))
    weights, codes = train.targets["weights"], train.targets["labels"]
    log_p = log_softmax(result.network.logits(train.rows))
    shares = np.bincount(codes, weights=weights, minlength=log_p.shape[1]) / weights.sum()
    if (1 - shares.max()) * len(codes) < 1:
        return  # practically a single class: nothing is better than its frequency
    if has_few_steps and np.ptp(log_p, axis=0).max() > SAME_OUTPUT:
        return
    if has_few_steps and result.best_epoch is not None:
        highest = max(record["train_loss"] for record in result.history)
        if highest <= UNSTABLE * criterion.of_ignorance(log_p.shape[1]):
            return
    if _is_better(_loss_of_labels(log_p, codes, weights), shares):
        return
    epsilon = criterion.label_smoothing
    if epsilon > 0 and _is_better_but_smooth(log_p, codes, weights, shares, epsilon):
        return
    if getattr(criterion, "alpha", 0) > 0:
        soft_labels = softmax(train.targets["teacher_logits"])
        loss = -np.average((soft_labels * log_p).sum(axis=1), weights=weights)
        if _is_better(loss, np.average(soft_labels, axis=0, weights=weights)):
            return
    warn(
        "on its training rows the network is no better than the class frequencies: "
        f"learning_rate={learning_rate!r} is too high or too low, max_epochs is too small, or "
        "X says nothing about the labels."
    )


def _loss_of_labels(log_p: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted cross-entropy of labels."""
    return float(-np.average(log_p[np.arange(len(codes)), codes], weights=weights))


def _is_better(loss: float, shares: np.ndarray, gain: float = ROUNDING) -> bool:
    """Whether a cross-entropy is lower by a share `gain` than that of `shares`, its mean target."""
    shares = shares[shares > 0]
    return bool(loss < (1 - gain) * -(shares @ np.log(shares)))


def _is_better_but_smooth(
    log_p: np.ndarray, codes: np.ndarray, weights: np.ndarray, shares: np.ndarray, epsilon: float
) -> bool:
    """Whether a network is better than the class frequencies apart from its label smoothing.

    Label smoothing raises the probabilities of rare classes, which can cost more than the network
    has learned. So two comparisons are made: with smoothed labels, and with logits that are
    shifted, one number for each class, until the mean probabilities are the frequencies.
    """
    n_classes = len(shares)
    of_labels = _loss_of_labels(log_p, codes, weights)
    smooth = (1 - epsilon) * of_labels - epsilon * np.average(log_p.mean(axis=1), weights=weights)
    if _is_better(float(smooth), (1 - epsilon) * shares + epsilon / n_classes):
        return True
    with np.errstate(divide="ignore"):  # of a class without rows
        log_shares = np.log(shares)
    for _ in range(SHIFTS):
        means = np.average(np.exp(log_p), axis=0, weights=weights)
        log_p = log_softmax(log_p + np.maximum(log_shares - np.log(means), -LARGEST_SHIFT))
    return _is_better(_loss_of_labels(log_p, codes, weights), shares, LEAST_GAIN)
