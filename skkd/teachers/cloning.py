"""Clone a teacher, seed the clone, and fit it to the data that the student is fitted to."""

import copy
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skkd.checks import refuse, warn, with_note
from skkd.data.protected_data import call_protected, treat_alike
from skkd.progress import titled
from skkd.teachers.answers import Answer
from skkd.teachers.cache import remembered_teacher
from skkd.teachers.members import MemberLabels, members_of, unwrapped
from skkd.teachers.predict_proba import ask

__all__ = ["fit_and_ask", "part_that_stays_fitted", "seeded_clones", "sees_labels", "weights_for"]


def fit_and_ask(
    teacher: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    seed: int,
    asks: bool = True,
    remember: bool = True,
    memory: Any = None,
    name: str = "teacher",
    **settings: Any,
) -> tuple[Any, list[MemberLabels]]:
    """Fit a clone of a teacher, and return it with its soft labels of X.

    A FrozenEstimator inside a model (a step of a Pipeline, say) stays fitted in the clone.

    Parameters
    ----------
    teacher : estimator or list of (estimator, float)
        One model, or a list of (model, weight). A clone is fitted even if the model is fitted
        already, or is itself wrapped in a FrozenEstimator. The model is not changed.
    X, y : array-like
        The training rows, and their labels.
    sample_weight : array-like or None
        Passed to `fit` of the teacher if it takes weights; else there is a warning.
    seed : int
        Seed for each `random_state` of the teacher that is None.
    asks : bool, default=True
        Whether the fitted clone predicts X; if not, the soft labels have no rows.
    remember : bool, default=True
        Whether fitted clones are cached.
    memory : joblib.Memory, default=None
        Caches the fitted clones on disk, too, where all processes share them.
    name : {"teacher", "assistant"}, default="teacher"
        What error messages, warnings and progress bars call the model.
    **settings
        `batch_size` and `progress`; see :func:`skkd.teachers.predict_proba.ask`.

    Returns
    -------
    teacher : estimator, or list of (estimator, float)
        The fitted clone; a list if `teacher` is a list.
    soft_labels : list of MemberLabels
        One for each model.
    """
    random_state = np.random.RandomState(seed)
    fitted, soft_labels = [], []
    for member, member_weight in members_of(teacher):
        clones = seeded_clones(member, random_state)
        first = next(clones)
        weights = weights_for(first, sample_weight, name)
        clones = chain([first], clones)

        def fitted_clone(
            member: Any = member, clones: Iterator = clones, weights: dict = weights
        ) -> tuple[Any, Answer]:
            def attempt(rows: Any, targets: Any, *values: Any) -> tuple[Any, Answer]:
                one = next(clones)
                note = f"Raised by fit of {name}, a {type(one).__name__}."
                with with_note(note), titled(f"{name}: "):
                    one.fit(rows, targets, **dict(zip(weights, values, strict=True)))
                treat_alike(one, member)
                return one, (ask(one, X, **settings) if asks else (np.empty((0, 0)), None))

            return call_protected(attempt, X, y, *weights.values(), owner=member)

        if remember:
            one, answer = remembered_teacher(first, (X, y, weights, asks), fitted_clone, memory)
        else:
            one, answer = fitted_clone()
        probabilities, classes = answer
        fitted.append((one, member_weight))
        soft_labels.append(MemberLabels(probabilities, classes, member_weight))
    is_list = isinstance(unwrapped(teacher), (list, tuple))
    return (fitted if is_list else fitted[0][0]), soft_labels


def seeded_clones(
    teacher: Any, random_state: np.random.RandomState, otherwise: str = "fit_teacher=False"
) -> Iterator[Any]:
    """Unfitted copies of a teacher, all with the same seeds.

    Parameters
    ----------
    teacher, random_state, otherwise
        See :func:`seeded_clone`.

    Returns
    -------
    iterator of estimator
        Endless.
    """
    before = copy.deepcopy(random_state)
    first = seeded_clone(teacher, random_state, otherwise)
    others = (seeded_clone(teacher, copy.deepcopy(before), otherwise) for _ in count())
    return chain([first], others)


def seeded_clone(
    teacher: Any, random_state: np.random.RandomState, otherwise: str = "fit_teacher=False"
) -> Any:
    """An unfitted copy of a teacher in which each `random_state` that was None is a seed.

    Parameters
    ----------
    teacher : estimator
        Fitted or not; it is not changed.
    random_state : numpy.random.RandomState
        Source of the seeds.
    otherwise : str, default="fit_teacher=False"
        The setting that the error message suggests if the teacher cannot be cloned.

    Returns
    -------
    estimator
    """
    if not _can_be_cloned(teacher):
        refuse("teacher", teacher, f"a classifier that can be cloned and fitted, or {otherwise}")
    advice = "CatBoost's cat_features must be a tuple for it: clone cannot copy a list of them."
    with with_note(f"Raised by clone of teacher, a {type(teacher).__name__}. {advice}"):
        unfitted = clone(teacher)
    params = unfitted.get_params()
    unseeded = [
        name
        for name in sorted(params)
        if name.split("__")[-1] == "random_state" and params[name] is None
    ]
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(unseeded)).tolist()
    return unfitted.set_params(**dict(zip(unseeded, seeds, strict=True)))


def _can_be_cloned(teacher: Any) -> bool:
    """Whether a teacher has `fit`, and a `get_params` that returns a dict."""
    if isinstance(teacher, type) or not (
        hasattr(teacher, "fit") and hasattr(teacher, "get_params")
    ):
        return False
    return isinstance(teacher.get_params(deep=False), dict)  # `hasattr` may be true of any name


def part_that_stays_fitted(model: Any) -> str | None:
    """Find a part of a model that was fitted with labels and stays fitted in a clone.

    This part may have learned the labels of held-out rows. Two kinds of parts are found:

    - a FrozenEstimator around an estimator that was fitted with labels;
    - the estimator in a model with ``cv="prefit"``.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    str or None
        A key of ``model.get_params()``: the name of the FrozenEstimator, or of the parameter
        `cv` that is "prefit". None if there is no such part.
    """
    for name, part in sorted(model.get_params().items()):
        is_prefit = name.split("__")[-1] == "cv" and isinstance(part, str) and part == "prefit"
        if is_prefit or (
            isinstance(part, FrozenEstimator) and _was_fitted_with_labels(unwrapped(part))
        ):
            return name
    return None


def sees_labels(transformer: Any) -> bool:
    """Whether a transformer, or an estimator among its parameters, is fitted with the labels.

    This is read from scikit-learn's tag `target_tags.required`, and from the attribute
    `score_func` of a feature selection.

    Parameters
    ----------
    transformer : object

    Returns
    -------
    bool
    """
    parts = [transformer]
    if hasattr(transformer, "get_params"):
        parts += transformer.get_params().values()
    return any(
        get_tags(part).target_tags.required or hasattr(part, "score_func")
        for part in parts
        if hasattr(part, "__sklearn_tags__") and not isinstance(part, type)
    )


def _was_fitted_with_labels(part: Any) -> bool:
    return hasattr(part, "predict") or not hasattr(part, "transform") or sees_labels(part)


def weights_for(teacher: Any, sample_weight: Any, name: str = "teacher") -> dict[str, Any]:
    """The keyword arguments that pass sample weights to a teacher's `fit`.

    Parameters
    ----------
    teacher : estimator
    sample_weight : array-like of shape (n_rows,) or None
    name : str, default="teacher"
        What the warning calls the model.

    Returns
    -------
    dict of str to array-like
        Empty if there are no weights; also empty, with a warning, if the teacher takes none.
    """
    if sample_weight is None:
        return {}
    keyword = _name_of_weights(teacher)
    if keyword is not None:
        return {keyword: sample_weight}
    warn(
        f"{name}, a {type(teacher).__name__}, takes no sample_weight{_part_without(teacher)}: it "
        "is fitted without, and the weights act on the student alone."
    )
    return {}


def _part_without(model: Any) -> str:
    """Text for a warning, to name the member that takes no sample weights; may be empty."""
    if get_config()["enable_metadata_routing"]:  # then the user's requests decide
        return ""
    if isinstance(model, Pipeline):
        return _part_without(model.steps[-1][1])
    for name, part in _members_to_weigh(model):
        if _name_of_weights(part) != "sample_weight":
            advice = f": put its other steps in front of the {type(model).__name__}"
            in_front = advice if isinstance(part, Pipeline) else ""
            return f" (nor does its {name}, a {type(part).__name__}{in_front})"
    return ""


def _members_to_weigh(model: Any) -> list[tuple[str, Any]]:
    """The (name, estimator) pairs of a voting or stacking model; empty for other models."""
    if not isinstance(model, (VotingClassifier, StackingClassifier)):
        return []
    members = [
        *model.estimators,
        ("final_estimator", getattr(model, "final_estimator", None)),
    ]
    return [(name, part) for name, part in members if part not in ("drop", None)]


def _name_of_weights(model: Any) -> str | None:
    """The keyword for sample weights in a model's `fit`, or None if it takes no weights."""
    members = _members_to_weigh(model)
    if not members and has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    if get_config()["enable_metadata_routing"]:
        routes = getattr(model, "get_metadata_routing", lambda: None)()
        consumes = getattr(routes, "consumes", lambda method, params: ())
        return "sample_weight" if consumes("fit", ["sample_weight"]) else None
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        name = _name_of_weights(last)
        return None if name is None else f"{step}__{name}"  # as "svc__sample_weight"
    is_search = hasattr(model, "estimator") and hasattr(model, "error_score")
    if is_search:  # its `fit` passes all arguments on
        return _name_of_weights(model.estimator)
    # A voting or stacking model takes weights only if all its members do.
    if members and all(_name_of_weights(part) == "sample_weight" for _, part in members):
        return "sample_weight"
    return None
