"""The constructor parameters of the classifiers: checked, and turned into parts."""

import copy
import inspect
import numbers
import os
from difflib import get_close_matches
from itertools import pairwise

import numpy as np

from skkd.encodings import resolve_encoding
from skkd.initializers import resolve_bias_init, resolve_init
from skkd.network import ACTIVATIONS
from skkd.parameters import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    is_listed,
    refuse,
)
from skkd.scaling import SCALINGS
from skkd.schedules import resolve_schedule

__all__ = [
    "check_arguments",
    "check_numbers_in",
    "check_options_of",
    "check_settings",
    "check_size_of_layers",
    "copies_of_callbacks",
    "layer_sizes",
    "options_of",
    "set_options",
]

#: Nested parameters that are kept by the estimator itself: a class has no set_params.
OPTION_PREFIXES = ("module__", "optimizer__")

#: What the parameters of MLPClassifier, skorch and the literature are called here.
OTHER_NAMES = {
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
    "n_jobs": "n_threads",
    "T": "temperature",
}

#: Where the objects are that may stand for a string.
OBJECTS = {
    "lr_decay": "skkd.schedules",
    "dropout_decay": "skkd.schedules",
    "init": "skkd.initializers",
    "bias_init": "skkd.initializers",
    "numeric_encoding": "skkd.encodings",
    "augment": "skkd.transfer",
}

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


def set_options(estimator, options):
    """Store ``module__*`` and ``optimizer__*`` parameters; TypeError for any other.

    Parameters
    ----------
    estimator : estimator
    options : dict of str to object
    """
    for name, value in options.items():
        if not name.startswith(OPTION_PREFIXES):
            raise TypeError(
                f"{type(estimator).__name__} got an unexpected keyword argument {name!r}"
                f"{_advice(name, estimator._get_param_names())} Beside its parameters it takes "
                "module__* and optimizer__*."
            )
        setattr(estimator, name, value)


def _advice(name, known):
    owner, _, setting = name.partition("__")
    if setting and owner in OBJECTS:
        return f": give {owner} as an object of {OBJECTS[owner]}, with {setting}=... of its own."
    meant = [other for other in (OTHER_NAMES.get(name),) if other in known or "__" in str(other)]
    meant += get_close_matches(name, [*known, *OPTION_PREFIXES], n=1)
    return f"; did you mean {meant[0]}?" if meant else "."


def options_of(estimator, prefix):
    """The stored options behind a prefix, by their bare names.

    Parameters
    ----------
    estimator : estimator
    prefix : {"module__", "optimizer__"}

    Returns
    -------
    dict of str to object
    """
    found = vars(estimator).items()
    return {name.removeprefix(prefix): v for name, v in found if name.startswith(prefix)}


def check_options_of(function, options, prefix):
    """Refuse options that a function or class has no argument for.

    Parameters
    ----------
    function : callable
    options : dict of str to object
    prefix : {"module__", "optimizer__"}
    """
    arguments = _arguments_of(function, prefix.removesuffix("__")).parameters
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values()):
        return
    for name, value in options.items():
        if name not in arguments:
            refuse(
                f"{prefix}{name}", value, f"one of {', '.join(arguments)} as {prefix}*", TypeError
            )


def check_numbers_in(options, prefix):
    """Refuse integers that torch cannot count with, and arrays in the place of numbers.

    Parameters
    ----------
    options : dict of str to object
    prefix : {"module__", "optimizer__"}
    """
    for name, value in options.items():
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, np.ndarray):
                refuse(f"{prefix}{name}", value, "numbers, not an array", TypeError)
            is_float = isinstance(number, (bool, float, np.floating))  # infinity may be meant
            if isinstance(number, numbers.Real) and not is_float:
                check_number(f"{prefix}{name}", number)


def check_arguments(module, arguments):
    """Refuse a module that cannot be called with its arguments.

    Parameters
    ----------
    module : callable
    arguments : dict of str to object
    """
    try:
        _arguments_of(module, "module").bind(**arguments)
    except TypeError as error:
        refuse("module", module, f"it with its arguments, as module__* ({error})", TypeError)


def _arguments_of(function, name):
    """The signature of a parameter's value; refused if it does not tell any."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return refuse(name, function, "a class or a function whose arguments are known", TypeError)


def copies_of_callbacks(callbacks):
    """Shallow copies of skorch callbacks, which write into themselves.

    Shallow, so that the writers and the lists that a callback was given stay the
    user's.

    Parameters
    ----------
    callbacks : list of callbacks, of (name, callback) or of classes; or None

    Returns
    -------
    list
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        refuse("callbacks", callbacks, "a list of skorch callbacks or None", TypeError)
    copies = []
    for entry in callbacks:
        callback = entry[1] if isinstance(entry, tuple) else entry
        if not hasattr(callback, "on_epoch_end"):
            refuse("callbacks", entry, "skorch callbacks, or (name, callback) pairs", TypeError)
        copied = callback if inspect.isclass(callback) else copy.copy(callback)
        copies.append((entry[0], copied) if isinstance(entry, tuple) else copied)
    return copies


def layer_sizes(hidden_layer_sizes):
    """Units of each hidden layer, from one number for a single layer or a sequence.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int

    Returns
    -------
    tuple

    Examples
    --------
    >>> layer_sizes(100), layer_sizes([64, 64]), layer_sizes(())
    ((100,), (64, 64), ())
    """
    return tuple(hidden_layer_sizes) if is_listed(hidden_layer_sizes) else (hidden_layer_sizes,)


def check_size_of_layers(hidden_layer_sizes, n_features=1, n_classes=2):
    """Refuse layers whose weights and gradients are larger than the memory of this machine.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
    n_features, n_classes : int
        The fewest, where they are not known yet.
    """
    widths = [n_features, *map(int, hidden_layer_sizes), n_classes]
    n_weights = sum((inputs + 1) * units for inputs, units in pairwise(widths))
    needed = 2 * 4 * n_weights  # in float32
    if needed > _bytes_of_memory():
        allowed = f"layers that fit into memory: these need {needed:.2g} bytes in training"
        refuse("hidden_layer_sizes", hidden_layer_sizes, allowed)


def _bytes_of_memory():
    """Those of this machine, as far as it tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**44


def check_settings(estimator):
    """Refuse what the estimator cannot be fitted with.

    Parameters
    ----------
    estimator : NeuralClassifier
        Without any "auto" that a preset knows.

    Raises
    ------
    ValueError or TypeError
        Naming the parameter, the value received and the values allowed.
    """
    _check_network(estimator)
    _check_optimization(estimator)
    _check_stopping(estimator)
    _check_surroundings(estimator)


def _check_network(est):
    if isinstance(est.hidden_layer_sizes, str) or est.hidden_layer_sizes is None:
        allowed = "an integer >= 1 or a sequence of them"
        refuse("hidden_layer_sizes", est.hidden_layer_sizes, allowed, TypeError)
    sizes = layer_sizes(est.hidden_layer_sizes)
    for size in sizes:
        check_integer("hidden_layer_sizes", size, low=1)
    if est.module is None:
        check_size_of_layers(sizes)
    check_option("activation", est.activation, tuple(ACTIVATIONS))
    if est.module is not None and not callable(est.module):
        refuse("module", est.module, "a torch module class, a function that builds one, or None")
    if hasattr(est.module, "state_dict") and not inspect.isclass(est.module):
        allowed = "its class (with its arguments as module__*), for a module would be trained twice"
        refuse("module", est.module, allowed, TypeError)
    if est.module is not None:
        _arguments_of(est.module, "module")
    if est.module is None and options_of(est, "module__"):
        name, value = next(iter(options_of(est, "module__").items()))
        refuse(f"module__{name}", value, "it together with module, whose argument it is")
    resolve_init("init", est.init, est.activation)
    resolve_bias_init("bias_init", est.bias_init)
    check_option("parametrization", est.parametrization, ("standard", "ntk"))
    check_flag("feature_scale", est.feature_scale)
    if est.module is not None and (est.parametrization == "ntk" or est.feature_scale):
        name = "feature_scale" if est.feature_scale else "parametrization"
        allowed = "'auto' together with module, for it is the built-in network's alone"
        refuse(name, getattr(est, name), allowed)
    check_flag("batch_norm", est.batch_norm)
    rates = list(est.dropout) if is_listed(est.dropout) else [est.dropout]
    for rate in rates:
        check_number("dropout", rate, low=0, high=1, high_open=True)
    if is_listed(est.dropout) and len(rates) != len(sizes):
        refuse("dropout", est.dropout, f"a number, or one for each of {len(sizes)} layers")
    resolve_schedule("dropout_decay", est.dropout_decay)
    check_number("label_smoothing", est.label_smoothing, low=0, high=1, high_open=True)


def _check_optimization(est):
    is_class = inspect.isclass(est.optimizer) and hasattr(est.optimizer, "step")
    if not is_class and not (isinstance(est.optimizer, str) and est.optimizer in OPTIMIZERS):
        names = ", ".join(map(repr, OPTIMIZERS))
        refuse("optimizer", est.optimizer, f"one of {names}, or a torch optimiser class")
    if is_class and any(kind.__name__ == "SparseAdam" for kind in est.optimizer.__mro__):
        refuse("optimizer", est.optimizer, "an optimiser of dense gradients, such as 'adam'")
    if is_class and "weight_decay" not in _arguments_of(est.optimizer, "optimizer").parameters:
        check_option("parametrization", est.parametrization, ("standard",))  # one rate for all
    for option, parameter in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
        if hasattr(est, f"optimizer__{option}"):
            refuse(
                f"optimizer__{option}", getattr(est, f"optimizer__{option}"), f"{parameter} instead"
            )
    check_number("learning_rate", est.learning_rate, low=0, low_open=True)
    check_number("momentum", est.momentum, low=0, high=1, high_open=True)
    check_flag("nesterov", est.nesterov)
    check_number("weight_decay", est.weight_decay, low=0)
    if est.max_grad_norm is not None:
        check_number("max_grad_norm", est.max_grad_norm, low=0, low_open=True)
    resolve_schedule("lr_decay", est.lr_decay)
    if isinstance(est.batch_size, str):
        if est.batch_size != "auto":
            refuse("batch_size", est.batch_size, "an integer >= 1 or 'auto'")
    else:
        check_integer("batch_size", est.batch_size, low=1)
    if est.batch_norm and est.batch_size == 1:
        refuse("batch_size", 1, "at least 2, because batch_norm=True needs rows to compare")
    check_flag("shuffle", est.shuffle)
    check_integer("max_epochs", est.max_epochs, low=1)


def _check_stopping(est):
    check_flag("early_stopping", est.early_stopping)
    check_number(
        "validation_fraction", est.validation_fraction, low=0, high=1, low_open=True, high_open=True
    )
    if est.n_iter_no_change is not None:
        check_integer("n_iter_no_change", est.n_iter_no_change, low=1)
    check_number("tol", est.tol, low=0)


def _check_surroundings(est):
    if isinstance(est.preprocessor, str) and est.preprocessor not in SCALINGS:
        refuse(
            "preprocessor", est.preprocessor, "'auto', 'robust', 'standard', None or a transformer"
        )
    encoding = est.numeric_encoding
    resolve_encoding("numeric_encoding", encoding, has_teacher=hasattr(est, "teacher"))
    if encoding is not None and not isinstance(est.preprocessor, str):
        allowed = "None together with a preprocessor that is None or a transformer"
        refuse("numeric_encoding", encoding, allowed)
    check_flag("warm_start", est.warm_start)
    copies_of_callbacks(est.callbacks)
    verbose = int(est.verbose) if isinstance(est.verbose, bool) else est.verbose
    check_integer("verbose", verbose, low=0)
    if not isinstance(est.device, str):
        refuse("device", est.device, "'cpu', 'auto' or the name of a torch device", TypeError)
    check_option("dtype", est.dtype, ("float32", "float64"))
    if est.n_threads is not None:
        check_integer("n_threads", est.n_threads, low=1)
