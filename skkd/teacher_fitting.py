"""Teachers that are fitted inside of `fit`: a seeded clone, on the same rows and weights."""

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skkd.parameters import refuse, warn
from skkd.teacher_cache import remembered_teacher
from skkd.teachers import Opinion, ask, members_of, noted, unwrapped

__all__ = ["fit_and_hear"]


def fit_and_hear(teacher, X, y, sample_weight, *, seed, remember=True, memory=None, **settings):
    """A clone of a teacher, fitted, and its opinion of the rows it was fitted on.

    Parameters
    ----------
    teacher : estimator or list of (estimator, float)
        Frozen or not, fitted or not; it stays as it is.
    X, y : array-like
    sample_weight : array-like or None
        Handed on where the teacher takes it; else a warning says that it does not.
    seed : int
        Of the random states in it that are None, each of which gets one of its own.
    remember : bool, default=True
        Whether to fit the same teacher on the same rows only once.
    memory : joblib.Memory, default=None
        Shares the fitted teachers between processes.
    **settings
        See :func:`skkd.teachers.ask`.

    Returns
    -------
    teacher : estimator, or list of (estimator, float)
        Fitted.
    opinions : list of Opinion
    """
    random_state = np.random.RandomState(seed)
    fitted, opinions = [], []
    for member, weight in members_of(teacher):
        fresh = _seeded_clone(member, random_state)
        weights = _weights_for(fresh, sample_weight)

        def fit_and_ask(fresh=fresh, weights=weights):
            with noted(f"Raised by fit of teacher, a {type(fresh).__name__}."):
                fresh.fit(X, y, **weights)
            return fresh, ask(fresh, X, **settings)

        if remember:
            one, answer = remembered_teacher(fresh, (X, y, weights), fit_and_ask, memory)
        else:
            one, answer = fit_and_ask()
        fitted.append((one, weight))
        opinions.append(Opinion(*answer, weight))
    is_list = isinstance(unwrapped(teacher), (list, tuple))
    return (fitted if is_list else fitted[0][0]), opinions


def _seeded_clone(teacher, random_state):
    if not (hasattr(teacher, "fit") and hasattr(teacher, "get_params")):
        allowed = "a classifier that can be cloned and fitted, or fit_teacher=False"
        refuse("teacher", teacher, allowed)
    fresh = clone(teacher)
    params = fresh.get_params()
    unseeded = [
        name
        for name in sorted(params)
        if name.split("__")[-1] == "random_state" and params[name] is None
    ]
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(unseeded)).tolist()
    return fresh.set_params(**dict(zip(unseeded, seeds, strict=True)))


def _weights_for(teacher, sample_weight):
    """The arguments that bring weights to a teacher's `fit`."""
    if sample_weight is None:
        return {}
    name = _name_of_weights(teacher)
    if name is not None:
        return {name: sample_weight}
    warn(
        f"teacher, a {type(teacher).__name__}, takes no sample_weight: it is fitted without, and "
        "the weights act on the student alone."
    )
    return {}


def _name_of_weights(estimator):
    """What `fit` calls the weights: an estimator's own name, or that of one inside of it."""
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if get_config()["enable_metadata_routing"]:
        routes = getattr(estimator, "get_metadata_routing", lambda: None)()
        consumes = getattr(routes, "consumes", lambda method, params: ())
        return "sample_weight" if consumes("fit", ["sample_weight"]) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = _name_of_weights(last)
        return None if name is None else f"{step}__{name}"
    if hasattr(estimator, "estimator") and hasattr(estimator, "cv"):  # a search hands all on
        return _name_of_weights(estimator.estimator)
    return None
