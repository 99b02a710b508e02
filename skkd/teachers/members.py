"""A teacher as a list of its members: one model, or several with weights; frozen or fitted."""

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import InputTags
from sklearn.utils.validation import check_is_fitted

from skkd.checks import LARGEST_NUMBER, refuse
from skkd.data.input_tags import TAKES_ALL, taken_by_all

__all__ = ["MemberLabels", "freeze", "input_tags_of", "is_fitted", "members_of", "unwrapped"]


@dataclass
class MemberLabels:
    """The soft labels of all rows by one member of a teacher, not aligned by class yet."""

    probabilities: np.ndarray  #: (n_rows, n_columns), float64
    classes: Any  #: the label of each column; None if it is not known
    weight: float = 1.0
    name: str = "teacher"  #: for messages


def freeze(teacher):
    """A teacher that `clone` shares instead of unfitting or copying it.

    Parameters
    ----------
    teacher : object
        A fitted classifier, a list of them, or any other object that can teach.

    Returns
    -------
    sklearn.frozen.FrozenEstimator
        The teacher itself if it is frozen already.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from sklearn.dummy import DummyClassifier
    >>> teacher = DummyClassifier().fit([[0], [1]], [0, 1])
    >>> clone(freeze(teacher)).estimator is teacher
    True
    """
    return teacher if isinstance(teacher, FrozenEstimator) else FrozenEstimator(teacher)


def unwrapped(teacher: Any) -> Any:
    """The teacher inside of a FrozenEstimator; any other object itself."""
    while isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    return teacher


def members_of(teacher: Any) -> list[tuple[Any, float]]:
    """A teacher as a list of (teacher, weight), unwrapped.

    Parameters
    ----------
    teacher : object or list of (object, float)

    Returns
    -------
    list of (object, float)
    """
    teacher = unwrapped(teacher)
    if not isinstance(teacher, (list, tuple)):
        return [(teacher, 1.0)]
    allowed = "a list of (teacher, weight) pairs, of weights above zero"
    if not teacher or not all(isinstance(m, (list, tuple)) and len(m) == 2 for m in teacher):
        refuse("teacher", teacher, allowed, TypeError)
    for _, weight in teacher:
        if not isinstance(weight, numbers.Real) or isinstance(weight, bool):
            refuse("teacher", teacher, f"{allowed} (not of (name, teacher))", TypeError)
        number: Any = weight  # the abstract classes of `numbers` do not compare with int
        if not 0 < number <= LARGEST_NUMBER:
            refuse("teacher", teacher, allowed)
    return [(unwrapped(member), float(weight)) for member, weight in teacher]


def is_fitted(teacher: Any) -> bool:
    """Whether a teacher can predict now. If that cannot be found out, it counts as fitted.

    Parameters
    ----------
    teacher : object
        An object without `get_params` (a function, a class of the user's) counts as
        fitted, and so does one that the user has frozen; a list if all its members do.

    Returns
    -------
    bool
    """
    if isinstance(teacher, (list, tuple)):
        pairs = [member for member in teacher if isinstance(member, (list, tuple))]
        return all(is_fitted(pair[0]) for pair in pairs if pair)
    is_estimator = hasattr(teacher, "get_params") and hasattr(teacher, "fit")
    if isinstance(teacher, FrozenEstimator) or not is_estimator:
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    except (TypeError, AttributeError):  # not an estimator of scikit-learn: it raises by itself
        return True
    return True


def input_tags_of(teacher: Any) -> InputTags:
    """The tags of the rows that a teacher takes.

    Parameters
    ----------
    teacher : object or list of (object, float)

    Returns
    -------
    sklearn.utils.InputTags
        All kinds of rows for a teacher without tags.
    """
    try:
        members = members_of(teacher)
    except (TypeError, ValueError):  # `fit` raises this error
        return TAKES_ALL
    return taken_by_all([member for member, _ in members])
