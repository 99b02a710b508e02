"""What rows an estimator takes: scikit-learn's tags, and what follows from those of its parts.

A pipeline's own tags are those of its first step for missing values, and say nothing of
categories; those of a search say nothing of either. `string` is scikit-learn's tag of raw
text. Categories that are written as strings come under `categorical`, as those of a
OneHotEncoder do.
"""

import inspect
from dataclasses import fields, replace

import numpy as np
from sklearn.utils import InputTags, get_tags

__all__ = ["TAKES_ALL", "tags_of_preprocessor", "taken_by_all", "taken_by_both"]

#: Of what has no tags.
TAKES_ALL = InputTags(
    three_d_array=True, sparse=True, categorical=True, string=True, allow_nan=True
)

#: What rows must be; the others are what they may be.
NEEDS = ("positive_only", "pairwise")

#: They hand X to what they were given as `estimator`, or as `estimators`, as it is.
HAND_ON = {"FrozenEstimator", "BaseSearchCV", "CalibratedClassifierCV", "BaseThresholdClassifier"}
HAND_ON_TO_ALL = {"VotingClassifier", "StackingClassifier"}

#: Transformers of these kinds leave each number where it is, a missing one too.
KEEP_GAPS = {"OneToOneFeatureMixin", "SelectorMixin"}


def tags_of_preprocessor(preprocessor, categorical_features="from_dtype"):
    """What rows a classifier takes with a preprocessor.

    Parameters
    ----------
    preprocessor : str, None or transformer
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        A sparse matrix has no columns to name.

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


def taken_by_both(one, other):
    """What rows two estimators both take.

    Parameters
    ----------
    one, other : sklearn.utils.InputTags

    Returns
    -------
    sklearn.utils.InputTags
    """
    found = {}
    for name in (field.name for field in fields(InputTags)):
        of_both = getattr(one, name), getattr(other, name)
        found[name] = any(of_both) if name in NEEDS else all(of_both)
    return InputTags(**found)


def taken_by_all(estimators):
    """What rows all of some estimators take, as far as they tell.

    Parameters
    ----------
    estimators : list of object
        At least one; what has no tags takes all.

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


def _tags_of(model):
    if inspect.isclass(model) or not hasattr(model, "__sklearn_tags__"):
        return TAKES_ALL
    kinds = _kinds(model)
    if kinds & HAND_ON and model.estimator is not None:
        return _tags_of(model.estimator)
    if kinds & HAND_ON_TO_ALL:
        return taken_by_all([one for _, one in model.estimators if one != "drop"])
    tags = getattr(get_tags(model), "input_tags", None)
    if not isinstance(tags, InputTags):  # an object may answer any attribute with anything
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
        some_encode = any(part.categorical for part in parts)
        return replace(tags, allow_nan=takes_gaps, categorical=some_encode)
    return tags


def _kinds(model):
    """The names of its class and of those that it descends from."""
    return {kind.__name__ for kind in type(model).__mro__}


def _steps(pipeline):
    return [step for _, step in pipeline.steps if step is not None and step != "passthrough"]


def _parts(transformer):
    """What the columns of a table are given to, "drop" and "passthrough" included."""
    return [*(part for _, part, _ in transformer.transformers), transformer.remainder]


def _take_gaps(steps):
    """Whether each step that a missing value comes to takes it."""
    for step in steps:
        if not _tags_of(step).allow_nan:
            return False
        if _fills_gaps(step):
            return True
    return True


def _fills_gaps(transformer):
    """Whether no missing value leaves a transformer, as far as its kind tells."""
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
