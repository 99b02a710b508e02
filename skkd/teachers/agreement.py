"""A check that a teacher predicts the labels better than chance."""

import numpy as np

from skkd.checks import warn

__all__ = ["TeacherMismatchWarning", "WeakTeacherWarning", "agreement_with"]

#: On fewer rows than this, agreement at chance level is no evidence against a teacher.
FEWEST_ROWS = 30


class TeacherMismatchWarning(UserWarning):
    """The teacher predicts the labels y of `fit` no better than chance."""


class WeakTeacherWarning(UserWarning):
    """A teacher predicts held-out rows no better than a network that learned from labels alone."""


def agreement_with(
    probabilities: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray | None = None,
    was_fitted_on_rows: bool = False,
) -> float:
    """Balanced accuracy of a teacher's most likely classes, with a warning at chance level.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        The teacher's soft labels.
    codes : ndarray of int of shape (n_rows,)
        The labels, as column indices of `probabilities`.
    weights : ndarray of shape (n_rows,), default=None
        Sample weights.
    was_fitted_on_rows : bool, default=False
        Whether the teacher was fitted on these rows; the advice in the warning depends on it.

    Returns
    -------
    float
        The balanced accuracy; NaN if all weights are zero.
    """
    weights = np.ones(len(codes)) if weights is None else weights
    if not weights.any():
        return float("nan")
    # Balanced, because if some classes are rare, even a good teacher may be less accurate than
    # a model that always predicts the most frequent class.
    agreement = _balanced_accuracy(codes, probabilities.argmax(axis=1), weights)
    if len(codes) >= FEWEST_ROWS and _is_chance(agreement, probabilities, codes, weights):
        advice = (
            "it was fitted on these rows: is it too simple for them, or are the labels noise?"
            if was_fitted_on_rows
            else "are these rows as it was fitted on, unscaled and with their columns in order?"
        )
        warn(
            f"teacher agrees with y no more than chance does (balanced accuracy {agreement:.3f}): "
            f"{advice}",
            TeacherMismatchWarning,
        )
    return agreement


def _is_chance(
    agreement: float, probabilities: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> bool:
    """Whether a teacher with the balanced accuracy `agreement` is no better than chance."""
    shares = np.bincount(codes, weights)
    shares = shares[shares > 0] / shares.sum()
    chance = 1 / len(shares) + 0.05
    if len(shares) == 1 or agreement > chance:
        return False
    if shares.min() >= 0.5 / len(shares):
        return True
    # Even a good teacher may never give a rare class the highest probability. But it gives
    # the class a higher probability in rows of that class than in other rows. So each
    # probability is divided by its mean over all rows, and the highest ratio predicts the class.
    usual = np.maximum(probabilities.mean(axis=0), np.finfo(np.float64).tiny)
    by_ratio = (probabilities / usual).argmax(axis=1)
    return _balanced_accuracy(codes, by_ratio, weights) <= chance


def _balanced_accuracy(codes: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """The mean recall over the classes that occur in the labels, with sample weights."""
    rows = np.bincount(codes, weights)
    hits = np.bincount(codes, weights * (predicted == codes))
    return float((hits[rows > 0] / rows[rows > 0]).mean())
