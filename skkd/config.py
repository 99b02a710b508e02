"""The parameters of an estimator: resolved, checked and frozen.

Resolved means that the preset's values replace "auto". Internal functions take a
:class:`Config`, never an estimator.
"""

import inspect
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

from skkd.activations import ACTIVATIONS
from skkd.callbacks import copies_of_callbacks
from skkd.checks import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    is_auto,
    is_listed,
    refuse,
)
from skkd.initializers import resolve_bias_init, resolve_init
from skkd.losses import resolve_teacher_loss
from skkd.optimizers import OPTIMIZERS
from skkd.preprocessing.encodings import resolve_encoding
from skkd.preprocessing.scaling import SCALINGS
from skkd.presets import NARROW, SMALLER_SIZES, asks_for_smallest, layer_sizes, with_preset
from skkd.schedules import resolve_schedule

__all__ = [
    "Config",
    "DistilledConfig",
    "check_arguments",
    "check_numbers_in",
    "check_options_of",
    "check_size_of_layers",
    "count_weights",
]

#: The fields of a Config that are no parameters.
DERIVED = ("module_options", "optimizer_options", "left_auto", "smaller_sizes")

SOFT_LABELS = ("auto", "in_sample", "out_of_bag", "out_of_fold")


@dataclass(frozen=True)
class Config:
    """The checked parameters of an estimator, with the preset's values in place of "auto".

    The fields are the parameters of :class:`skkd.NeuralClassifier`, with the same defaults, and
    four more:

    - `module_options`: the parameters ``module__*``, by their names without the prefix;
    - `optimizer_options`: the parameters ``optimizer__*``, by their names without the prefix;
    - `left_auto`: the names of the parameters that the user left at "auto";
    - `smaller_sizes`: the further `hidden_layer_sizes` to try, if the user asked for "smallest".
    """

    hidden_layer_sizes: Any = "auto"
    activation: str = "auto"
    preset: str = "tabular"
    module: Any = None
    init: Any = "auto"
    bias_init: Any = "auto"
    parametrization: str = "auto"
    feature_scale: bool | str = "auto"
    batch_norm: bool = False
    dropout: Any = "auto"
    dropout_decay: Any = "auto"
    label_smoothing: Any = "auto"
    optimizer: Any = "adam"
    learning_rate: Any = "auto"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: Any = "auto"
    max_grad_norm: float | None = None
    lr_decay: Any = "auto"
    batch_size: int | str = "auto"
    shuffle: bool = True
    max_epochs: Any = "auto"
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int | None = 10
    tol: float = 1e-4
    class_weight: dict | str | None = None
    preprocessor: Any = "auto"
    numeric_encoding: Any = "auto"
    categorical_features: Any = "from_dtype"
    warm_start: bool = False
    callbacks: list | str | None = None
    verbose: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    n_threads: int | None = None
    n_jobs: int | None = None
    random_state: Any = None
    #: The values of the parameters ``module__*``, by their names without the prefix.
    module_options: Mapping[str, Any] = field(default_factory=dict)
    #: The values of the parameters ``optimizer__*``, by their names without the prefix.
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    #: The names of the parameters that the user left at "auto".
    left_auto: frozenset[str] = frozenset()
    #: The further `hidden_layer_sizes` to try, from large to small, if "smallest" was asked for.
    smaller_sizes: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], in_parts: bool = False) -> Self:
        """Resolve and check the parameters of an estimator.

        Parameters
        ----------
        parameters : dict of str to object
            The result of ``get_params(deep=False)``.
        in_parts : bool, default=False
            Whether the parameters are for `partial_fit`: see :func:`skkd.presets.with_preset`.

        Returns
        -------
        Config

        Raises
        ------
        ValueError or TypeError
            If a value is not allowed. The message names the parameter and what it allows.
        """
        resolved = with_preset(parameters, in_parts)
        names = cls._parameters()
        smaller_sizes: tuple[tuple[int, ...], ...] = ()
        if asks_for_smallest(parameters["hidden_layer_sizes"]):
            _check_smallest(parameters)
            smaller_sizes = () if in_parts else SMALLER_SIZES[resolved["preset"]]
        config = cls(
            **{name: value for name, value in resolved.items() if name in names},
            module_options=_options(resolved, "module__"),
            optimizer_options=_options(resolved, "optimizer__"),
            left_auto=frozenset(name for name, value in parameters.items() if is_auto(value)),
            smaller_sizes=smaller_sizes,
        )
        config.check()
        return config

    @classmethod
    def _parameters(cls) -> set[str]:
        """The names of the fields that are parameters of the estimator."""
        return {one.name for one in fields(cls)} - set(DERIVED)

    def check(self) -> None:
        """Raise ValueError or TypeError if a value is not allowed."""
        _check_network(self)
        _check_optimization(self)
        _check_stopping(self)
        _check_runtime(self)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The number of units of each hidden layer of the built-in network."""
        return layer_sizes(self.hidden_layer_sizes)

    @property
    def is_narrow(self) -> bool:
        """Whether the network is the built-in one with at most 64 units in each hidden layer."""
        return self.module is None and max(self.layer_sizes, default=0) <= NARROW

    def with_sizes(self, hidden_layer_sizes: Sequence[int]) -> Self:
        """Return a copy with other layers; what was "auto" gets the values that suit them.

        Parameters
        ----------
        hidden_layer_sizes : sequence of int

        Returns
        -------
        Config
        """
        given = {name: getattr(self, name) for name in self._parameters()}
        given |= {f"module__{name}": value for name, value in self.module_options.items()}
        given |= {f"optimizer__{name}": value for name, value in self.optimizer_options.items()}
        given |= dict.fromkeys(self.left_auto, "auto")
        return self.from_parameters(given | {"hidden_layer_sizes": hidden_layer_sizes})

    def without_teacher(self) -> Self:
        """Return a copy without the teacher, if there is one."""
        return self


@dataclass(frozen=True)
class DistilledConfig(Config):
    """The checked parameters of a :class:`skkd.DistilledClassifier`.

    It has the fields of :class:`Config` and one field for each parameter that only
    DistilledClassifier has.
    """

    teacher: Any = None
    temperature: float = 1.0
    alpha: float | str = "auto"
    teacher_loss: Any = "kl"
    augment: Any = "auto"
    augment_size: int | str = "auto"
    augment_seconds: float | None = None
    soft_labels: str = "auto"
    calibrate_teacher: bool = False
    proba_floor: float = 1e-7
    fit_teacher: bool = False
    assistant: Any = None
    on_class_mismatch: str = "raise"
    teacher_batch_size: int | None = None
    memory: Any = None

    def check(self) -> None:
        """Raise ValueError or TypeError if a value is not allowed."""
        super().check()
        _check_teaching(self)
        _check_augment(self)

    def without_teacher(self) -> Self:
        return replace(self, teacher=None, assistant=None, memory=None)

    @property
    def asks_out_of_sample(self) -> bool:
        """Whether the user demands out-of-sample soft labels.

        The soft label of a training row is out of sample if it comes from models that were not
        fitted to this row.
        """
        return self.soft_labels in ("out_of_bag", "out_of_fold")


def _options(parameters: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the parameters that start with `prefix`, by their names without the prefix."""
    return {k.removeprefix(prefix): v for k, v in parameters.items() if k.startswith(prefix)}


def check_options_of(function: Callable, options: Mapping[str, Any], prefix: str) -> None:
    """Raise TypeError if `options` contains a name that is no argument of `function`.

    A function with ``**kwargs`` takes every name.

    Parameters
    ----------
    function : callable
        The value of the parameter `module`, or the class of the optimiser.
    options : dict of str to object
        The parameters ``module__*`` or ``optimizer__*``, by their names without the prefix.
    prefix : {"module__", "optimizer__"}
        Prefix of the names in the error message.
    """
    arguments = _arguments_of(function, prefix.removesuffix("__")).parameters
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values()):
        return
    for name, value in options.items():
        if name not in arguments:
            refuse(
                f"{prefix}{name}", value, f"one of {', '.join(arguments)} as {prefix}*", TypeError
            )


def check_numbers_in(options: Mapping[str, Any], prefix: str) -> None:
    """Raise an error if an option contains an array, or an integer that is too large.

    An array raises TypeError, an integer that does not fit into 64 bits ValueError. The items of
    lists and tuples are checked, too.

    Parameters
    ----------
    options : dict of str to object
        The parameters ``module__*`` or ``optimizer__*``, by their names without the prefix.
    prefix : {"module__", "optimizer__"}
        Prefix of the names in the error message.
    """
    for name, value in options.items():
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, np.ndarray):
                refuse(f"{prefix}{name}", value, "numbers, not an array", TypeError)
            is_float = isinstance(number, (bool, float, np.floating))  # infinity may be meant
            if isinstance(number, numbers.Real) and not is_float:
                check_number(f"{prefix}{name}", number)


def check_arguments(module: Callable, arguments: Mapping[str, Any]) -> None:
    """Raise TypeError if the signature of `module` does not fit the arguments.

    Parameters
    ----------
    module : callable
        A torch module class, or a function that builds a module.
    arguments : dict of str to object
        All keyword arguments of the call, by name.
    """
    try:
        _arguments_of(module, "module").bind(**arguments)
    except TypeError as error:
        refuse("module", module, f"it with its arguments, as module__* ({error})", TypeError)


def _arguments_of(function: Callable, name: str) -> inspect.Signature:
    """Return the signature of `function`. Error messages call the function `name`."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return refuse(name, function, "a class or a function whose arguments are known", TypeError)


def count_weights(hidden_layer_sizes: Sequence[int], n_features: int, n_classes: int) -> int:
    """Count the weights and biases of the layers of an MLP.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
    n_features, n_classes : int
        Widths of the input and of the output.

    Returns
    -------
    int

    Examples
    --------
    >>> count_weights((8,), n_features=4, n_classes=3)
    67
    """
    widths = [n_features, *map(int, hidden_layer_sizes), n_classes]
    return sum((inputs + 1) * units for inputs, units in pairwise(widths))


def check_size_of_layers(
    hidden_layer_sizes: Sequence[int], n_features: int = 1, n_classes: int = 2
) -> None:
    """Raise ValueError if the weights and gradients of an MLP do not fit into memory.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
    n_features, n_classes : int, default=1 and 2
        Widths of the input and of the output. The defaults are the smallest possible ones.
    """
    needed = 2 * 4 * count_weights(hidden_layer_sizes, n_features, n_classes)  # in float32
    if needed > _bytes_of_memory():
        allowed = f"layers that fit into memory: these need {needed:.2g} bytes in training"
        refuse("hidden_layer_sizes", hidden_layer_sizes, allowed)


def _bytes_of_memory() -> int:
    """Return the memory of this machine in bytes, or 2**44 if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**44


def _check_smallest(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if a parameter does not go together with layers that are selected."""
    if parameters["module"] is not None:
        allowed = "'auto' together with module, whose layers are its own"
        refuse("hidden_layer_sizes", "smallest", allowed)
    if is_listed(parameters["dropout"]):
        allowed = "a number or 'auto' together with hidden_layer_sizes='smallest'"
        refuse("dropout", parameters["dropout"], allowed)


def _check_network(config: Config) -> None:
    if isinstance(config.hidden_layer_sizes, str) or config.hidden_layer_sizes is None:
        allowed = "an integer >= 1, a sequence of them, 'auto' or 'smallest'"
        refuse("hidden_layer_sizes", config.hidden_layer_sizes, allowed, TypeError)
    sizes = layer_sizes(config.hidden_layer_sizes)
    for size in sizes:
        check_integer("hidden_layer_sizes", size, low=1)
    if config.module is None:
        check_size_of_layers(sizes)
    check_option("activation", config.activation, tuple(ACTIVATIONS))
    if config.module is not None and not callable(config.module):
        refuse("module", config.module, "a torch module class, a function that builds one, or None")
    if hasattr(config.module, "state_dict") and not inspect.isclass(config.module):
        allowed = "its class (with its arguments as module__*): a module would be trained in place"
        refuse("module", config.module, allowed, TypeError)
    if config.module is not None:
        _arguments_of(config.module, "module")
    if config.module is None and config.module_options:
        name, value = next(iter(config.module_options.items()))
        refuse(f"module__{name}", value, "it only together with module")
    resolve_init("init", config.init, config.activation)
    resolve_bias_init("bias_init", config.bias_init)
    check_option("parametrization", config.parametrization, ("standard", "ntk"))
    check_flag("feature_scale", config.feature_scale)
    if config.module is not None and (config.parametrization == "ntk" or config.feature_scale):
        name = "feature_scale" if config.feature_scale else "parametrization"
        allowed = "'auto' together with module: it applies to the built-in network only"
        refuse(name, getattr(config, name), allowed)
    check_flag("batch_norm", config.batch_norm)
    rates = list(config.dropout) if is_listed(config.dropout) else [config.dropout]
    for rate in rates:
        check_number("dropout", rate, low=0, high=1, high_open=True)
    if is_listed(config.dropout) and len(rates) != len(sizes):
        refuse(
            "dropout",
            config.dropout,
            f"a number, or one for each of {len(sizes)} layers",
        )
    if resolve_schedule("dropout_decay", config.dropout_decay).plateau:
        allowed = "a schedule that does not depend on the loss"
        refuse("dropout_decay", config.dropout_decay, allowed)
    check_number("label_smoothing", config.label_smoothing, low=0, high=1, high_open=True)


def _check_optimization(config: Config) -> None:
    is_class = inspect.isclass(config.optimizer) and hasattr(config.optimizer, "step")
    if not is_class and not (isinstance(config.optimizer, str) and config.optimizer in OPTIMIZERS):
        names = ", ".join(map(repr, OPTIMIZERS))
        refuse("optimizer", config.optimizer, f"one of {names}, or a torch optimiser class")
    if is_class and any(kind.__name__ == "SparseAdam" for kind in config.optimizer.__mro__):
        allowed = "an optimiser of dense gradients, such as 'adam'"
        refuse("optimizer", config.optimizer, allowed)
    if is_class and "weight_decay" not in _arguments_of(config.optimizer, "optimizer").parameters:
        # Such an optimiser has one learning rate for all weights.
        check_option("parametrization", config.parametrization, ("standard",))
    for option, parameter in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
        if option in config.optimizer_options:
            value = config.optimizer_options[option]
            refuse(f"optimizer__{option}", value, f"{parameter} instead")
    check_number("learning_rate", config.learning_rate, low=0, low_open=True)
    check_number("momentum", config.momentum, low=0, high=1, high_open=True)
    check_flag("nesterov", config.nesterov)
    check_number("weight_decay", config.weight_decay, low=0)
    if config.max_grad_norm is not None:
        check_number("max_grad_norm", config.max_grad_norm, low=0, low_open=True)
    resolve_schedule("lr_decay", config.lr_decay)
    if isinstance(config.batch_size, str):
        if config.batch_size != "auto":
            refuse("batch_size", config.batch_size, "an integer >= 1 or 'auto'")
    else:
        check_integer("batch_size", config.batch_size, low=1)
    if config.batch_norm and config.batch_size == 1:
        refuse("batch_size", 1, "at least 2, because batch_norm=True needs several rows per batch")
    check_flag("shuffle", config.shuffle)
    check_integer("max_epochs", config.max_epochs, low=1)


def _check_stopping(config: Config) -> None:
    check_flag("early_stopping", config.early_stopping)
    check_number(
        "validation_fraction",
        config.validation_fraction,
        low=0,
        high=1,
        low_open=True,
        high_open=True,
    )
    if config.n_iter_no_change is not None:
        check_integer("n_iter_no_change", config.n_iter_no_change, low=1)
    check_number("tol", config.tol, low=0)


def _check_runtime(config: Config) -> None:
    if isinstance(config.preprocessor, str) and config.preprocessor not in SCALINGS:
        refuse(
            "preprocessor",
            config.preprocessor,
            "'auto', 'robust', 'standard', None or a transformer",
        )
    encoding = config.numeric_encoding
    resolve_encoding("numeric_encoding", encoding, has_teacher=isinstance(config, DistilledConfig))
    if encoding is not None and not isinstance(config.preprocessor, str):
        allowed = "None together with a preprocessor that is None or a transformer"
        refuse("numeric_encoding", encoding, allowed)
    check_flag("warm_start", config.warm_start)
    copies_of_callbacks(config.callbacks)
    verbose = int(config.verbose) if isinstance(config.verbose, bool) else config.verbose
    check_integer("verbose", verbose, low=0)
    if not isinstance(config.device, str):
        refuse("device", config.device, "'cpu', 'auto' or the name of a torch device", TypeError)
    check_option("dtype", config.dtype, ("float32", "float64"))
    if config.n_threads is not None:
        check_integer("n_threads", config.n_threads, low=1)
        most = os.cpu_count() or 1
        if config.n_threads > most:  # more threads are no faster, and very many crash the process
            allowed = f"at most {most}, the logical cores of this machine, or None"
            refuse("n_threads", config.n_threads, allowed)
    if config.n_jobs is not None:
        check_integer("n_jobs", config.n_jobs)
        if config.n_jobs == 0:
            refuse("n_jobs", 0, "a number of processes, -1 for one per core, or None")


def _check_teaching(config: "DistilledConfig") -> None:
    check_number("temperature", config.temperature, low=0, high=1e15, low_open=True)
    _check_or_auto(check_number, "alpha", config.alpha, "a number in [0, 1]", low=0, high=1)
    resolve_teacher_loss("teacher_loss", config.teacher_loss)
    check_option("soft_labels", config.soft_labels, SOFT_LABELS)
    check_flag("calibrate_teacher", config.calibrate_teacher)
    check_number("proba_floor", config.proba_floor, low=0, high=1, low_open=True, high_open=True)
    check_flag("fit_teacher", config.fit_teacher)
    _check_assistant(config)
    options = ("raise", "teacher", "intersect")
    check_option("on_class_mismatch", config.on_class_mismatch, options)
    if config.teacher_batch_size is not None:
        check_integer("teacher_batch_size", config.teacher_batch_size, low=1)
    is_folder = isinstance(config.memory, (str, os.PathLike)) and config.memory != ""
    if not (config.memory is None or is_folder or hasattr(config.memory, "cache")):
        refuse("memory", config.memory, "a folder, a joblib.Memory or None")


def _check_assistant(config: "DistilledConfig") -> None:
    assistant = config.assistant
    if assistant is None:
        return
    assistants = assistant if isinstance(assistant, (list, tuple)) else [assistant]
    for one in [] if is_auto(assistant) else assistants or [assistant]:
        is_estimator = hasattr(one, "fit") and hasattr(one, "get_params")
        if inspect.isclass(one) or not is_estimator:
            allowed = "'auto', a classifier, a list of them, or None"
            refuse("assistant", assistant, allowed, TypeError)
    if config.soft_labels == "out_of_bag":
        allowed = "None together with soft_labels='out_of_bag', which only forests have"
        refuse("assistant", assistant, allowed)
    if config.soft_labels == "out_of_fold" and is_auto(assistant) and not config.fit_teacher:
        allowed = (
            "None or classifiers without a teacher together with soft_labels='out_of_fold': the "
            "assistant of a frozen teacher learns from it, and it has seen all rows"
        )
        refuse("assistant", assistant, allowed)


def _check_or_auto(check: Callable, name: str, value: Any, allowed: str, **bounds: float) -> None:
    """Check a value unless it is "auto"; an error says that "auto" or `allowed` is allowed."""
    if is_auto(value):
        return
    try:
        check(name, value, **bounds)
    except (TypeError, ValueError) as error:
        refuse(name, value, f"'auto' or {allowed}", type(error))


def _check_augment(config: "DistilledConfig") -> None:
    if not (config.augment is None or is_auto(config.augment)):
        from skkd.transfer import resolve_augment  # slow to import

        resolve_augment(config.augment, besides=("auto", None))
    size = config.augment_size
    if isinstance(size, str) and size == "fresh":
        if config.module is not None:
            refuse("augment_size", size, "'auto' or an integer >= 1 for a module of your own")
    else:
        allowed = "an integer >= 1 or 'fresh'"
        _check_or_auto(check_integer, "augment_size", size, allowed, low=1)
    if config.augment_seconds is not None:
        check_number("augment_seconds", config.augment_seconds, low=0, low_open=True)
