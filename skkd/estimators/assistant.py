"""The assistant: a wide network that teaches the student beside its teacher.

A strong teacher that is no network, such as a forest, is hard to imitate for a narrow network. A
wide network lies between them (Mirzadeh et al. 2020, "Improved knowledge distillation via teacher
assistant", arXiv:1902.03393). There the assistant replaces the teacher; here the student learns
from the mean of both.
"""

import numbers
from dataclasses import replace
from typing import Any

from skkd.config import DistilledConfig
from skkd.data.fit_data import FitInput
from skkd.estimators.neural import NeuralClassifier
from skkd.progress import titled
from skkd.teachers.cache import as_memory
from skkd.teachers.class_weight import has_class_weight
from skkd.teachers.cloning import fit_and_ask
from skkd.teachers.members import is_fitted, members_of
from skkd.teachers.teacher import Clock

__all__ = ["split_from_teacher", "with_assistant"]

#: The parameters that an assistant of "auto" shares with its student.
SHARED = ("preprocessor", "categorical_features", "device", "dtype", "n_threads", "n_jobs")


def with_assistant(config: DistilledConfig, given: FitInput, clock: Clock) -> DistilledConfig:
    """Fit the assistant, and make it a further teacher.

    Parameters
    ----------
    config : DistilledConfig
    given : FitInput
    clock : Clock
        Measures the seconds of the fit.

    Returns
    -------
    DistilledConfig
        Its teacher is a list in which the assistant is the last member, with half of the total
        weight. With `fit_teacher` the assistant is not fitted yet: it is fitted with the teacher.
        Without an assistant it is `config` itself.
    """
    # A teacher that is missing or not fitted is refused later.
    if config.assistant is None or config.teacher is None:
        return config
    if not (config.fit_teacher or is_fitted(config.teacher)):
        return config
    assistant = _unfitted(config)
    if not config.fit_teacher:
        with clock.running(), titled("assistant: "):
            assistant, _ = fit_and_ask(
                assistant,
                given.X,
                given.y,
                given.sample_weight,
                seed=given.seeds.teacher,
                asks=False,
                remember=isinstance(config.random_state, numbers.Integral),
                memory=as_memory(config.memory),
            )
    members = members_of(config.teacher)
    weight = sum(weight for _, weight in members)
    return replace(config, teacher=[*members, (assistant, weight)])


def split_from_teacher(teacher: Any, model: list) -> tuple[Any, Any]:
    """Divide the fitted list of :func:`with_assistant` into teacher and assistant.

    Parameters
    ----------
    teacher : object or list of (object, float)
        The parameter `teacher`.
    model : list of (object, float)
        The fitted models, the assistant last.

    Returns
    -------
    teacher : object or list of (object, float)
        A list if the parameter is a list.
    assistant : estimator
    """
    *members, (assistant, _) = model
    return members if isinstance(teacher, (list, tuple)) else members[0][0], assistant


def _unfitted(config: DistilledConfig) -> Any:
    if not isinstance(config.assistant, str):
        return config.assistant
    shared = {name: getattr(config, name) for name in SHARED}
    # Both members of a list must have class weights, or none.
    weighted = config.class_weight is not None and has_class_weight(config.teacher)
    return NeuralClassifier(
        class_weight=config.class_weight if weighted else None,
        verbose=min(int(config.verbose), 1),
        **shared,
    )
