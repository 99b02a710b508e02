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

#: A network gives each row the same output if no log-probability varies by more than this.
SAME_OUTPUT = 1e-4


def warn_if_nothing_learned(
    result: TrainingResult, criterion: Any, train: Dataset, learning_rate: float
) -> None:
    """Warn if a fitted network is no better than the class frequencies on its training rows.

    Weighted cross-entropies are compared. A network with a teacher must be better than the
    class frequencies of the labels, or than the mean of the soft labels: it may follow a teacher
    that contradicts the labels. Labels count with and without label smoothing.

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
    weights = train.targets["weights"]
    log_p = log_softmax(result.network.logits(train.rows))
    labels = np.eye(log_p.shape[1])[train.targets["labels"]]
    if (1 - np.average(labels, axis=0, weights=weights).max()) * len(labels) < 1:
        return  # practically a single class: nothing is better than its frequency
    if has_few_steps and np.ptp(log_p, axis=0).max() > SAME_OUTPUT:
        return
    if has_few_steps and result.best_epoch is not None:
        highest = max(record["train_loss"] for record in result.history)
        if highest <= UNSTABLE * criterion.of_ignorance(log_p.shape[1]):
            return
    epsilon = criterion.label_smoothing
    targets = [labels, (1 - epsilon) * labels + epsilon / labels.shape[1]]
    if getattr(criterion, "alpha", 0) > 0:
        targets.append(softmax(train.targets["teacher_logits"]))
    if any(_is_better_than_mean(log_p, target, weights) for target in targets):
        return
    warn(
        "on its training rows the network is no better than the class frequencies: "
        f"learning_rate={learning_rate!r} is too high or too low, max_epochs is too small, or "
        "the labels are noise."
    )


def _is_better_than_mean(log_p: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> bool:
    """Whether log-probabilities have a lower cross-entropy than the mean of the targets has."""
    loss = -np.average((targets * log_p).sum(axis=1), weights=weights)
    mean = np.average(targets, axis=0, weights=weights)
    mean = mean[mean > 0]
    return bool(loss < (1 - ROUNDING) * -(mean @ np.log(mean)))
