"""Assistants: wide networks that teach the student beside its teacher.

A strong teacher that is no network, such as a forest, is hard to imitate for a narrow network. A
wide network lies between them (Mirzadeh et al. 2020, "Improved knowledge distillation via teacher
assistant", arXiv:1902.03393). There the assistant replaces the teacher; here the student learns
from the mean of all.
"""

import numbers
from dataclasses import replace
from typing import Any

from scipy import sparse

from skkd.checks import is_auto, refuse
from skkd.config import DistilledConfig
from skkd.data.fit_data import FitInput
from skkd.estimators.distilled import DistilledClassifier
from skkd.estimators.neural import NeuralClassifier
from skkd.teachers.cache import as_memory
from skkd.teachers.class_weight import has_class_weight
from skkd.teachers.cloning import fit_and_ask
from skkd.teachers.members import is_fitted, members_of
from skkd.teachers.teacher import Clock

__all__ = ["split_from_teacher", "with_assistants"]

#: The parameters that assistants of "auto" share with the student.
SHARED = ("preprocessor", "categorical_features", "device", "dtype", "n_threads", "n_jobs")


def with_assistants(config: DistilledConfig, given: FitInput, clock: Clock) -> DistilledConfig:
    """Fit the assistants, and make them further teachers.

    Parameters
    ----------
    config : DistilledConfig
    given : FitInput
    clock : Clock
        Measures the seconds of the fits.

    Returns
    -------
    DistilledConfig
        Its teacher is a list that ends with the assistants. Each has the weight of all teachers
        together. With `fit_teacher` the assistants are not fitted yet: they are fitted with the
        teacher. Without assistants it is `config` itself.
    """
    if config.alpha == 0:  # the student learns from the labels alone
        return replace(config, assistant=None)
    # A teacher that is missing or not fitted is refused later.
    if config.assistant is None or config.teacher is None:
        return config
    if not (config.fit_teacher or is_fitted(config.teacher)):
        return config
    members = members_of(config.teacher)
    weight = sum(weight for _, weight in members)
    assistants: Any = [(assistant, weight) for assistant in _unfitted(config, given.X)]
    if not config.fit_teacher:
        with clock.running():
            assistants, _ = fit_and_ask(
                assistants,
                given.X,
                given.y,
                given.sample_weight,
                seed=given.seeds.teacher,
                asks=False,
                remember=isinstance(config.random_state, numbers.Integral),
                memory=as_memory(config.memory),
                name="assistant",
            )
        for assistant, _ in assistants:
            if not (hasattr(assistant, "predict_proba") or hasattr(assistant, "decision_function")):
                allowed = "a classifier with predict_proba or decision_function"
                refuse("assistant", assistant, allowed, TypeError)
    return replace(config, teacher=[*members, *assistants])


def split_from_teacher(teacher: Any, assistant: Any, model: list) -> tuple[Any, Any]:
    """Divide the fitted list of :func:`with_assistants` into teacher and assistants.

    Parameters
    ----------
    teacher : object or list of (object, float)
        The parameter `teacher`.
    assistant : estimator, list of estimator or "auto"
        The parameter `assistant`.
    model : list of (object, float)
        The fitted models, the assistants last.

    Returns
    -------
    teacher : object or list of (object, float)
        A list if the parameter is a list.
    assistants : estimator or list of estimator
        A list if the parameter is a list or "auto".
    """
    n_teachers = len(members_of(teacher))
    members, assistants = model[:n_teachers], [fitted for fitted, _ in model[n_teachers:]]
    is_one = not isinstance(assistant, (str, list, tuple))
    return (
        members if isinstance(teacher, (list, tuple)) else members[0][0],
        assistants[0] if is_one else assistants,
    )


def _unfitted(config: DistilledConfig, X: Any) -> list[Any]:
    if isinstance(config.assistant, (list, tuple)):
        return list(config.assistant)
    if not is_auto(config.assistant):
        return [config.assistant]
    settings = {name: getattr(config, name) for name in SHARED}
    settings["verbose"] = min(int(config.verbose), 1)
    # All members of a list must have class weights, or none.
    weighted = config.class_weight is not None and has_class_weight(config.teacher)
    settings["class_weight"] = config.class_weight if weighted else None
    has_encoding = isinstance(config.preprocessor, str) and not sparse.issparse(X)
    taught = DistilledClassifier(
        config.teacher,
        # No bins for all numbers: a narrow network imitates what is smooth. (A student of 32-32 on
        # covertype, one split: accuracy .848 without bins, .844 with them.)
        numeric_encoding="selective" if has_encoding else "auto",
        fit_teacher=config.fit_teacher,
        soft_labels=config.soft_labels,
        on_class_mismatch=config.on_class_mismatch,
        teacher_batch_size=config.teacher_batch_size,
        memory=config.memory,
        **settings,
    )
    return [taught, NeuralClassifier(**settings)]
