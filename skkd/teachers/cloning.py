"""Teachers that are fitted inside of `fit`: a seeded clone, on the same rows and weights."""

import copy
from itertools import chain, count

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skkd.checks import noted, refuse, warn
from skkd.data.protected_data import call_protected, treat_alike
from skkd.teachers.cache import remembered_teacher
from skkd.teachers.members import MemberLabels, members_of, unwrapped
from skkd.teachers.predict_proba import ask

__all__ = ["fit_and_ask", "part_that_stays_fitted", "seeded_clones", "sees_labels", "weights_for"]


def fit_and_ask(
    teacher, X, y, sample_weight, *, seed, asks=True, remember=True, memory=None, **settings
):
    """A clone of a teacher, fitted, and its soft labels of the rows it was fitted on.

    Parameters
    ----------
    teacher : estimator or list of (estimator, float)
        Frozen or not, fitted or not; it stays as it is.
    X, y : array-like
    sample_weight : array-like or None
        Handed on where the teacher takes it; else a warning says that it does not.
    seed : int
        Of the random states in it that are None, each of which gets one of its own.
    asks : bool, default=True
        Whether to ask; else the soft labels are of no rows.
    remember : bool, default=True
        Whether to fit the same teacher on the same rows only once.
    memory : joblib.Memory, default=None
        Shares the fitted teachers between processes.
    **settings
        See :func:`skkd.teachers.predict_proba.ask`.

    Returns
    -------
    teacher : estimator, or list of (estimator, float)
        Fitted.
    soft_labels : list of MemberLabels
    """
    random_state = np.random.RandomState(seed)
    fitted, soft_labels = [], []
    for member, weight in members_of(teacher):
        clones = seeded_clones(member, random_state)
        fresh = next(clones)
        weights = weights_for(fresh, sample_weight)
        clones = chain([fresh], clones)

        def answer(member=member, clones=clones, weights=weights):
            def attempt(rows, targets, *values):
                one = next(clones)
                with noted(f"Raised by fit of teacher, a {type(one).__name__}."):
                    one.fit(rows, targets, **dict(zip(weights, values, strict=True)))
                treat_alike(one, member)
                return one, (ask(one, X, **settings) if asks else (np.empty((0, 0)), None))

            return call_protected(attempt, X, y, *weights.values(), owner=member)

        if remember:
            one, labels = remembered_teacher(fresh, (X, y, weights, asks), answer, memory)
        else:
            one, labels = answer()
        fitted.append((one, weight))
        soft_labels.append(MemberLabels(*labels, weight))
    is_list = isinstance(unwrapped(teacher), (list, tuple))
    return (fitted if is_list else fitted[0][0]), soft_labels


def seeded_clones(teacher, random_state, otherwise="fit_teacher=False"):
    """Unfitted copies of a teacher, all with the same seeds.

    Parameters
    ----------
    teacher, random_state, otherwise
        See :func:`seeded_clone`.

    Returns
    -------
    iterator of estimator
        The first one is made at once, the others when they are asked for.
    """
    before = copy.deepcopy(random_state)
    first = seeded_clone(teacher, random_state, otherwise)
    others = (seeded_clone(teacher, copy.deepcopy(before), otherwise) for _ in count())
    return chain([first], others)


def seeded_clone(teacher, random_state, otherwise="fit_teacher=False"):
    """An unfitted copy of a teacher, whose random states are all settled.

    Parameters
    ----------
    teacher : estimator
        Fitted or not; it stays as it is.
    random_state : numpy.random.RandomState
        Each random state in the teacher that is None gets a seed drawn from it.
    otherwise : str, default="fit_teacher=False"
        What the user may set instead, for the message where there is nothing to clone.

    Returns
    -------
    estimator
    """
    if not _can_be_cloned(teacher):
        refuse("teacher", teacher, f"a classifier that can be cloned and fitted, or {otherwise}")
    advice = "CatBoost's cat_features must be a tuple for it: clone cannot copy a list of them."
    with noted(f"Raised by clone of teacher, a {type(teacher).__name__}. {advice}"):
        fresh = clone(teacher)
    params = fresh.get_params()
    unseeded = [
        name
        for name in sorted(params)
        if name.split("__")[-1] == "random_state" and params[name] is None
    ]
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(unseeded)).tolist()
    return fresh.set_params(**dict(zip(unseeded, seeds, strict=True)))


def _can_be_cloned(teacher):
    """Whether it has `fit` and parameters; an object may answer any attribute with anything."""
    if isinstance(teacher, type) or not (
        hasattr(teacher, "fit") and hasattr(teacher, "get_params")
    ):
        return False
    return isinstance(teacher.get_params(deep=False), dict)


def part_that_stays_fitted(model):
    """The name of a parameter that a clone keeps as it was fitted, with the labels it saw.

    A frozen classifier inside of a stack, say, or the teacher of a student. Transformers
    that were fitted without labels are none.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    str or None
    """
    for name, part in sorted(model.get_params().items()):
        is_prefit = name.split("__")[-1] == "cv" and isinstance(part, str) and part == "prefit"
        if is_prefit or (isinstance(part, FrozenEstimator) and _knows_labels(unwrapped(part))):
            return name
    return None


def sees_labels(transformer):
    """Whether a transformer, or a part of it, is fitted with labels, as far as it says so.

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


def _knows_labels(part):
    return hasattr(part, "predict") or not hasattr(part, "transform") or sees_labels(part)


def weights_for(teacher, sample_weight):
    """The arguments that bring weights to a teacher's `fit`.

    Parameters
    ----------
    teacher : estimator
    sample_weight : array-like of shape (n_rows,) or None

    Returns
    -------
    dict of str to array-like
        Empty where there are no weights, or where the teacher takes none: then with a
        warning.
    """
    if sample_weight is None:
        return {}
    name = _name_of_weights(teacher)
    if name is not None:
        return {name: sample_weight}
    warn(
        f"teacher, a {type(teacher).__name__}, takes no sample_weight{_because_of(teacher)}: it is "
        "fitted without, and the weights act on the student alone."
    )
    return {}


def _because_of(model):
    """Which part of an ensemble takes none, for a message."""
    if get_config()["enable_metadata_routing"]:  # then requests decide
        return ""
    if isinstance(model, Pipeline):
        return _because_of(model.steps[-1][1])
    for name, part in _members_to_weigh(model):
        if _name_of_weights(part) != "sample_weight":
            advice = f": put its other steps in front of the {type(model).__name__}"
            in_front = advice if isinstance(part, Pipeline) else ""
            return f" (nor does its {name}, a {type(part).__name__}{in_front})"
    return ""


def _members_to_weigh(model):
    """(name, estimator) of those in a vote or a stack; each of them must take the weights."""
    if not isinstance(model, (VotingClassifier, StackingClassifier)):
        return []
    members = [
        *model.estimators,
        ("final_estimator", getattr(model, "final_estimator", None)),
    ]
    return [(name, part) for name, part in members if part not in ("drop", None)]


def _name_of_weights(model):
    """What `fit` calls the weights: an estimator's own name, or that of one inside of it."""
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
        return None if name is None else f"{step}__{name}"
    is_search = hasattr(model, "estimator") and hasattr(model, "error_score")
    if is_search:  # it hands all on
        return _name_of_weights(model.estimator)
    if members and all(_name_of_weights(part) == "sample_weight" for _, part in members):
        return "sample_weight"
    return None
