"""Input tags: which rows an estimator accepts, derived from the tags of its parts.

The tags that scikit-learn gives a meta-estimator are incomplete. A pipeline takes `allow_nan`
from its first step alone and has no `categorical` tag. A search has neither tag.

The tag `string` means raw text. An estimator that accepts strings as categories has the tag
`categorical`, like OneHotEncoder.
"""

import inspect
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from sklearn.utils import InputTags, get_tags

__all__ = ["TAKES_ALL", "tags_of_preprocessor", "taken_by_all", "taken_by_both"]

#: The tags that an object without tags gets: it may accept anything.
TAKES_ALL = InputTags(
    three_d_array=True, sparse=True, categorical=True, string=True, allow_nan=True
)

#: Tags that mean "X must be so"; every other tag means "X may be so".
NEEDS = ("positive_only", "pairwise")

#: Classes that pass X unchanged to their parameter `estimator`, or to all of `estimators`.
HAND_ON = {"FrozenEstimator", "BaseSearchCV", "CalibratedClassifierCV", "BaseThresholdClassifier"}
HAND_ON_TO_ALL = {"VotingClassifier", "StackingClassifier"}

#: Base classes of transformers that leave missing values in their output.
KEEP_MISSING = {"OneToOneFeatureMixin", "SelectorMixin"}


def tags_of_preprocessor(preprocessor: Any, categorical_features: Any = "from_dtype") -> InputTags:
    """Return the input tags of a network classifier with the given preprocessor.

    With a transformer, missing values are allowed only if it accepts them and fills them.
    Without a preprocessor (None) they are not allowed.

    Parameters
    ----------
    preprocessor : str, None or transformer
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        If it declares columns categorical, sparse matrices are not accepted.

    Returns
    -------
    sklearn.utils.InputTags
    """
    if preprocessor is None:
        return InputTags(sparse=True)
    if isinstance(preprocessor, str):
        names_columns = not isinstance(categorical_features, str) and np.size(categorical_features)
        return InputTags(sparse=not names_columns, categorical=True, allow_nan=True)
    tags = _tags_of(preprocessor)
    return replace(tags, allow_nan=tags.allow_nan and _fills_missing(preprocessor))


def taken_by_both(one: InputTags, other: InputTags) -> InputTags:
    """Combine the input tags of two estimators into tags for the rows that both accept.

    A permission, such as `allow_nan`, holds if both estimators give it. A requirement, such as
    `positive_only`, holds if one of them has it.

    Parameters
    ----------
    one, other : sklearn.utils.InputTags
        The tags of the two estimators.

    Returns
    -------
    sklearn.utils.InputTags
    """
    combined = {}
    for name in (field.name for field in fields(InputTags)):
        values = getattr(one, name), getattr(other, name)
        combined[name] = any(values) if name in NEEDS else all(values)
    return InputTags(**combined)


def taken_by_all(estimators: Sequence[Any]) -> InputTags:
    """Combine the input tags of several estimators into tags for the rows that all accept.

    Parameters
    ----------
    estimators : list of object
        At least one. An object without tags counts as one that accepts all rows.

    Returns
    -------
    sklearn.utils.InputTags

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.model_selection import GridSearchCV
    >>> taken_by_all([GridSearchCV(HistGradientBoostingClassifier(), {})]).allow_nan
    True
    """
    first, *others = map(_tags_of, estimators)
    for tags in others:
        first = taken_by_both(first, tags)
    return first


def _tags_of(model: Any) -> InputTags:
    if inspect.isclass(model) or not hasattr(model, "__sklearn_tags__"):
        return TAKES_ALL
    kinds = _kinds(model)
    if kinds & HAND_ON and model.estimator is not None:
        return _tags_of(model.estimator)
    if kinds & HAND_ON_TO_ALL:
        return taken_by_all([one for _, one in model.estimators if one != "drop"])
    tags = getattr(get_tags(model), "input_tags", None)
    if not isinstance(tags, InputTags):  # an object may have anything under these names
        return TAKES_ALL
    if "Pipeline" in kinds:
        steps = _steps(model)
        first = _tags_of(steps[0]) if steps else TAKES_ALL
        return replace(first, sparse=tags.sparse, allow_nan=_accept_missing(steps))
    if "FeatureUnion" in kinds:
        parts = [part for _, part in model.transformer_list if not isinstance(part, str)]
        return taken_by_all(parts) if parts else tags
    if "ColumnTransformer" in kinds:
        parts = [_tags_of(part) for part in _parts(model) if not isinstance(part, str)]
        takes_missing = all(part.allow_nan for part in parts)
        any_encodes = any(part.categorical for part in parts)
        return replace(tags, allow_nan=takes_missing, categorical=any_encodes)
    return tags


def _kinds(model: Any) -> set[str]:
    """Return the names of a model's class and of all its base classes."""
    return {kind.__name__ for kind in type(model).__mro__}


def _steps(pipeline: Any) -> list:
    return [step for _, step in pipeline.steps if step is not None and step != "passthrough"]


def _parts(transformer: Any) -> list:
    """Return the transformers of a ColumnTransformer, with its remainder as the last."""
    return [*(part for _, part, _ in transformer.transformers), transformer.remainder]


def _accept_missing(steps: list) -> bool:
    """Whether missing values are accepted by every step, until one step has filled them."""
    for step in steps:
        if not _tags_of(step).allow_nan:
            return False
        if _fills_missing(step):
            return True
    return True


def _fills_missing(transformer: Any) -> bool:
    """Whether a transformer never outputs missing values, judged by its class."""
    if isinstance(transformer, str):
        return transformer == "drop"
    kinds = _kinds(transformer)
    if "Pipeline" in kinds:
        return any(_fills_missing(step) for step in _steps(transformer))
    if "ColumnTransformer" in kinds:
        return all(_fills_missing(part) for part in _parts(transformer))
    if "FeatureUnion" in kinds:
        return all(_fills_missing(part) for _, part in transformer.transformer_list)
    if "OrdinalEncoder" in kinds:
        return not np.isnan(transformer.encoded_missing_value)
    return "TargetEncoder" in kinds or not kinds & KEEP_MISSING
