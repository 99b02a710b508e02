"""Whether a teacher was fitted with class weights: then its probabilities are weighted already."""

import numbers
from typing import Any

from sklearn.pipeline import Pipeline

from skkd.checks import warn
from skkd.teachers.members import members_of, unwrapped

__all__ = ["has_class_weight"]

#: The parameters for class weights: of scikit-learn and LightGBM, CatBoost, and XGBoost.
PARAMETERS = (
    "class_weight",
    "is_unbalance",
    "class_weights",
    "auto_class_weights",
    "scale_pos_weight",
)


def has_class_weight(teacher: Any) -> bool:
    """Whether a fitted teacher has class weights of its own, by its parameters.

    Parameters
    ----------
    teacher : object or list of (object, float)
        Of a pipeline the last step counts, and of a search the best estimator. A list has
        class weights if all its members have them; there is a warning if only some do.

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
            "some teachers of the list have a class_weight, others have none: the probabilities "
            "of all are multiplied by the class_weight of the student. Fit all teachers without."
        )
    return all(are_weighted)


def _is_weighted(model: Any) -> bool:
    """Whether a parameter for class weights is set in one model."""
    model = unwrapped(model)
    if isinstance(model, Pipeline):
        return _is_weighted(model.steps[-1][1])
    if hasattr(model, "best_estimator_"):
        return _is_weighted(model.best_estimator_)
    if isinstance(model, type) or not hasattr(model, "get_params"):
        return False
    params = model.get_params(deep=False)
    return any(_is_set(params.get(name)) for name in PARAMETERS)


def _is_set(value: Any) -> bool:
    """Whether the value of a parameter in `PARAMETERS` gives classes different weights."""
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        return value != 1
    return not (value is None or value is False or (isinstance(value, str) and value == "None"))
