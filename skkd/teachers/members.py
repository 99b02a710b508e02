"""A teacher as a list of (model, weight); freeze a teacher, and check whether it is fitted."""

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
    """The soft labels that one member of a teacher gives to all rows.

    The columns are in the member's own order, not yet in the order of the student's classes.
    """

    probabilities: np.ndarray  #: (n_rows, n_columns), float64
    classes: Any  #: the class label of each column; None if it is not known
    weight: float = 1.0  #: of the member in the mean over all members
    name: str = "teacher"  #: of the member in error messages


def freeze(teacher):
    """Wrap a teacher so that `sklearn.base.clone` keeps it fitted and does not copy it.

    Parameters
    ----------
    teacher : object
        A fitted classifier, a list of (classifier, weight), or any other kind of teacher.

    Returns
    -------
    sklearn.frozen.FrozenEstimator
        `teacher` itself if it is frozen already.

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
    """The teacher inside a FrozenEstimator; any other object is returned as it is."""
    while isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    return teacher


def members_of(teacher: Any) -> list[tuple[Any, float]]:
    """A teacher as a list of (model, weight), without any FrozenEstimator around the models.

    Parameters
    ----------
    teacher : object or list of (object, float)
        A single model gets the weight 1.

    Returns
    -------
    list of (object, float)

    Raises
    ------
    TypeError, ValueError
        If `teacher` is a list, and its entries are not pairs (model, positive weight).
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
    """Whether a teacher is fitted; it counts as fitted if this cannot be found out.

    Frozen objects count as fitted, and so do objects without `fit` or `get_params`, such as
    functions. A list counts as fitted if all its members do.

    Parameters
    ----------
    teacher : object

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
    except (TypeError, AttributeError):  # no scikit-learn estimator: `predict` will raise
        return True
    return True


def input_tags_of(teacher: Any) -> InputTags:
    """scikit-learn's input tags of a teacher: which kinds of X it accepts.

    Parameters
    ----------
    teacher : object or list of (object, float)

    Returns
    -------
    sklearn.utils.InputTags
        For a list, the tags of an X that all its members accept. A teacher without tags counts
        as one that accepts any X.
    """
    try:
        members = members_of(teacher)
    except (TypeError, ValueError):  # `fit` will raise this error
        return TAKES_ALL
    return taken_by_all([member for member, _ in members])
