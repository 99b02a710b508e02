"""Input tags: which rows an estimator accepts, derived from the tags of its parts.

The tags that scikit-learn gives a meta-estimator are incomplete. For missing values those of
a pipeline are the tags of its first step, and they leave out categories; those of a search
leave out both. `string` is scikit-learn's tag for raw text; categories that are strings
belong to `categorical`, as for OneHotEncoder.
"""

import inspect
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from sklearn.utils import InputTags, get_tags

__all__ = ["TAKES_ALL", "tags_of_preprocessor", "taken_by_all", "taken_by_both"]

#: The tags of an object that has none: it may accept anything.
TAKES_ALL = InputTags(
    three_d_array=True, sparse=True, categorical=True, string=True, allow_nan=True
)

#: Tags that name a requirement; all others name what is allowed.
NEEDS = ("positive_only", "pairwise")

#: Classes that pass X unchanged to their parameter `estimator`, or to all of `estimators`.
HAND_ON = {"FrozenEstimator", "BaseSearchCV", "CalibratedClassifierCV", "BaseThresholdClassifier"}
HAND_ON_TO_ALL = {"VotingClassifier", "StackingClassifier"}

#: Base classes of transformers that leave missing values in their output.
KEEP_GAPS = {"OneToOneFeatureMixin", "SelectorMixin"}


def tags_of_preprocessor(preprocessor: Any, categorical_features: Any = "from_dtype") -> InputTags:
    """Return the input tags of a classifier with a preprocessor.

    Parameters
    ----------
    preprocessor : str, None or transformer
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        If it names columns, sparse matrices are not accepted.

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
    return replace(tags, allow_nan=tags.allow_nan and _fills_gaps(preprocessor))


def taken_by_both(one: InputTags, other: InputTags) -> InputTags:
    """Return the tags of the rows that two estimators both accept.

    Parameters
    ----------
    one, other : sklearn.utils.InputTags

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
    """Return the tags of the rows that all of some estimators accept.

    Parameters
    ----------
    estimators : list of object
        At least one. An object without tags is taken to accept all rows.

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
        return replace(first, sparse=tags.sparse, allow_nan=_take_gaps(steps))
    if "FeatureUnion" in kinds:
        parts = [part for _, part in model.transformer_list if not isinstance(part, str)]
        return taken_by_all(parts) if parts else tags
    if "ColumnTransformer" in kinds:
        parts = [_tags_of(part) for part in _parts(model) if not isinstance(part, str)]
        takes_gaps = all(part.allow_nan for part in parts)
        any_encodes = any(part.categorical for part in parts)
        return replace(tags, allow_nan=takes_gaps, categorical=any_encodes)
    return tags


def _kinds(model: Any) -> set[str]:
    """The names of the class of a model and of all its base classes."""
    return {kind.__name__ for kind in type(model).__mro__}


def _steps(pipeline: Any) -> list:
    return [step for _, step in pipeline.steps if step is not None and step != "passthrough"]


def _parts(transformer: Any) -> list:
    """The transformers of a ColumnTransformer, with "drop", "passthrough" and the remainder."""
    return [*(part for _, part, _ in transformer.transformers), transformer.remainder]


def _take_gaps(steps: list) -> bool:
    """Whether all steps up to the first that fills missing values accept them."""
    for step in steps:
        if not _tags_of(step).allow_nan:
            return False
        if _fills_gaps(step):
            return True
    return True


def _fills_gaps(transformer: Any) -> bool:
    """Whether the output of a transformer has no missing values, judged by its class."""
    if isinstance(transformer, str):
        return transformer == "drop"
    kinds = _kinds(transformer)
    if "Pipeline" in kinds:
        return any(_fills_gaps(step) for step in _steps(transformer))
    if "ColumnTransformer" in kinds:
        return all(_fills_gaps(part) for part in _parts(transformer))
    if "FeatureUnion" in kinds:
        return all(_fills_gaps(part) for _, part in transformer.transformer_list)
    if "OrdinalEncoder" in kinds:
        return not np.isnan(transformer.encoded_missing_value)
    return "TargetEncoder" in kinds or not kinds & KEEP_GAPS
