"""``module__*`` and ``optimizer__*``: constructor parameters that are not in the signature."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from skkd.callbacks import PREFIX

__all__ = ["OBJECTS", "OPTION_PREFIXES", "set_options"]

#: Prefixes of the arguments of the classes `module` and `optimizer`, which the estimator stores.
OPTION_PREFIXES = ("module__", "optimizer__")

#: Names of parameters in MLPClassifier, skorch and the literature, and their names in skkd.
OTHER_NAMES: dict[str, str] = {
    "alpha": "weight_decay",
    "max_iter": "max_epochs",
    "solver": "optimizer",
    "learning_rate_init": "learning_rate",
    "power_t": "lr_decay",
    "nesterovs_momentum": "nesterov",
    "beta_1": "optimizer__betas",
    "beta_2": "optimizer__betas",
    "epsilon": "optimizer__eps",
    "lr": "learning_rate",
    "epochs": "max_epochs",
    "T": "temperature",
}

#: Parameters that take an object in place of a string, and the module of its class.
OBJECTS = {
    "lr_decay": "skkd.schedules",
    "dropout_decay": "skkd.schedules",
    "init": "skkd.initializers",
    "bias_init": "skkd.initializers",
    "teacher_loss": "skkd.losses",
    "numeric_encoding": "skkd.preprocessing",
    "augment": "skkd.transfer",
}


def set_options(estimator: Any, options: Mapping[str, Any]) -> None:
    """Store ``module__*`` and ``optimizer__*`` parameters in an estimator.

    Parameters
    ----------
    estimator : estimator
    options : dict of str to object

    Raises
    ------
    TypeError
        If a parameter has another prefix.
    """
    for name, value in options.items():
        if not name.startswith(OPTION_PREFIXES):
            raise TypeError(
                f"{type(estimator).__name__} got an unexpected keyword argument {name!r}"
                f"{_advice(name, estimator._get_param_names())} Beside its parameters it takes "
                "module__* and optimizer__*."
            )
        setattr(estimator, name, value)


def _advice(name: str, known: list[str]) -> str:
    owner, _, setting = name.partition("__")
    if setting and owner in OBJECTS:
        return f": give {owner} as an object of {OBJECTS[owner]}, with {setting}=... of its own."
    if name.startswith(PREFIX):
        return ": set it in the callback, or with set_params if the callback has a name."
    meant = [other for other in (OTHER_NAMES.get(name, ""),) if other in known or "__" in other]
    meant += get_close_matches(name, [*known, *OPTION_PREFIXES], n=1)
    return f"; did you mean {meant[0]}?" if meant else "."
