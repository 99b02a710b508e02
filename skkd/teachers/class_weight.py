"""Whether a teacher was fitted with class weights: then its probabilities are weighted already."""

import numbers
from typing import Any

import numpy as np
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline

from skkd.checks import warn
from skkd.teachers.members import members_of, unwrapped

__all__ = ["has_class_weight", "row_weights"]

#: The parameters for class weights: of scikit-learn and LightGBM, CatBoost, and XGBoost.
PARAMETERS = (
    "class_weight",
    "is_unbalance",
    "class_weights",
    "auto_class_weights",
    "scale_pos_weight",
)

#: Models whose probabilities are those of the models in `estimator`, or their mean. A
#: CalibratedClassifierCV is none: calibration undoes class weights.
WRAPPERS = (
    BaggingClassifier,
    FixedThresholdClassifier,
    OneVsRestClassifier,
    TunedThresholdClassifierCV,
)


def has_class_weight(teacher: Any) -> bool:
    """Whether a fitted teacher has class weights of its own, by its parameters.

    Parameters
    ----------
    teacher : object or list of (object, float)
        Of a pipeline the last step counts, of a search the best estimator, of a vote all members,
        and of bagging, one-versus-rest and a tuned threshold the model inside. A list has class
        weights if all its members have them; there is a warning if only some do.

    Returns
    -------
    bool

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> has_class_weight(LogisticRegression(class_weight="balanced"))
    True
    >>> has_class_weight(LogisticRegression())
    False
    """
    are_weighted = [_is_weighted(member) for member, _ in members_of(teacher)]
    if any(are_weighted) and not all(are_weighted):
        warn(
            "some teachers or assistants have a class_weight, others have none: the probabilities "
            "of all are multiplied by the class_weight of the student. Fit all without."
        )
    return all(are_weighted)


def row_weights(
    soft_labels: np.ndarray, class_weights: np.ndarray, is_weighted: bool
) -> np.ndarray:
    """Return the expected class weight of each row, by the teacher's probabilities.

    With the probabilities ``p`` of a teacher without class weights it is ``sum_k p_k w_k``. The
    probabilities of a teacher with class weights are proportional to ``p_k w_k``, so they are
    divided by ``w_k`` first.

    Parameters
    ----------
    soft_labels : ndarray of shape (n_rows, n_classes)
        The rows sum to 1, or to 0 for a row without a soft label, whose weight is 0.
    class_weights : ndarray of shape (n_classes,)
    is_weighted : bool
        Whether the teacher has class weights of its own.

    Returns
    -------
    ndarray of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([1.0, 3.0])
    >>> row_weights(np.array([[0.75, 0.25]]), w, is_weighted=False)
    array([1.5])
    >>> row_weights(np.array([[0.5, 0.5]]), w, is_weighted=True)  # of the same row
    array([1.5])
    """
    if not is_weighted:
        return soft_labels @ class_weights
    inverse = np.divide(1, class_weights, out=np.zeros(len(class_weights)), where=class_weights > 0)
    unweighted = soft_labels @ inverse
    return np.divide(
        soft_labels.sum(axis=1), unweighted, out=np.zeros(len(unweighted)), where=unweighted > 0
    )


def _is_weighted(model: Any) -> bool:
    """Whether a parameter for class weights is set in one model, or in the models it wraps."""
    model = unwrapped(model)
    if isinstance(model, Pipeline):
        return _is_weighted(model.steps[-1][1])
    if hasattr(model, "best_estimator_"):
        return _is_weighted(model.best_estimator_)
    if isinstance(model, VotingClassifier):
        members = [member for _, member in model.estimators if not isinstance(member, str)]
        return bool(members) and all(map(_is_weighted, members))
    if isinstance(model, WRAPPERS):
        return _is_weighted(model.estimator)
    return any(_is_set(value) for value in _parameters(model))


def _parameters(model: Any) -> list[Any]:
    """Return the values of the parameters for class weights; none of a model without parameters."""
    if isinstance(model, type) or not hasattr(model, "get_params"):
        return []
    try:
        params = model.get_params(deep=False)
    except TypeError:  # an object that is like an estimator, but takes no `deep`
        return []
    return [params.get(name) for name in PARAMETERS] if isinstance(params, dict) else []


def _is_set(value: Any) -> bool:
    """Whether the value of a parameter in `PARAMETERS` gives classes different weights."""
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        return value != 1
    if isinstance(value, (dict, list, tuple, np.ndarray)):
        weights = list(value.values()) if isinstance(value, dict) else list(value)
        if len(weights) == 1:  # the other classes have the weight 1
            weights.append(1)
        return len(set(weights)) > 1
    return not (value is None or value is False or (isinstance(value, str) and value == "None"))
