"""Fit a network to a dataset: build the module, choose how to train it, and train."""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from skkd.callbacks import copies_of_callbacks
from skkd.checks import refuse, warn
from skkd.config import (
    Config,
    check_arguments,
    check_numbers_in,
    check_options_of,
    check_size_of_layers,
)
from skkd.data.dataset import Dataset
from skkd.inference.module_network import ModuleNetwork, build_module
from skkd.inference.network import Network
from skkd.initializers import (
    initialize_,
    is_weighted_layer,
    resolve_bias_init,
    resolve_init,
    warn_of_equal_units,
)
from skkd.modules import MLP, Dropout, rate_factors
from skkd.preprocessing.preprocessor import (
    Preprocessor,
    TransformerPreprocessor,
    transform_in_blocks,
)
from skkd.progress import ProgressBar
from skkd.runtime import (
    default_n_threads,
    gradients_on,
    resolve_device,
    seed_generator_of,
    seeded_global_generator,
    threads_of_fit,
)
from skkd.schedules import resolve_schedule
from skkd.training.batches import Rows
from skkd.training.loop import Plateau, Recipe, fit_network
from skkd.training.optimizers import class_of, make_optimizer
from skkd.training.result import TrainingResult
from skkd.training.softmax_check import warn_of_probabilities

__all__ = ["fit_dataset", "warn_if_diverged"]

#: Sparse rows are converted to one dense array if it needs at most this many bytes.
DENSE_BYTES = 2**26

#: Number of rows on which the output of a custom module is checked.
CHECKED_ROWS = 64

#: Training has diverged if after at least `FEWEST_EPOCHS` epochs the loss is more than
#: `MOST_TIMES` times the loss of a network that deems all classes equally likely.
FEWEST_EPOCHS, MOST_TIMES = 5, 10


def fit_dataset(
    config: Config,
    criterion: Any,
    preprocessor: Preprocessor,
    train: Dataset,
    valid: Dataset | None,
    *,
    n_classes: int,
    n_epochs: int,
    seed: int,
    previous: TrainingResult | None = None,
    before_epoch: Callable[[], Any] | None = None,
    on_epoch: Callable | None = None,
    title: str | None = None,
) -> TrainingResult:
    """Fit a network to a dataset.

    Parameters
    ----------
    config : skkd.config.Config
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
        Fitted.
    train : skkd.data.dataset.Dataset
        The rows to train on.
    valid : skkd.data.dataset.Dataset or None
        Held-out rows; their loss is recorded after each epoch.
    n_classes : int
    n_epochs : int
        Number of epochs to train now, without those of `previous`.
    seed : int
    previous : TrainingResult, default=None
        The earlier training to continue.
    before_epoch : callable, default=None
        Called without arguments when an epoch begins.
    on_epoch : callable, default=None
        Called after each epoch with (record, result); returns whether to stop. `record` is the
        epoch's entry in the history. `result` is a function that returns the current
        TrainingResult.
    title : str, default=None
        Title of the progress bar, which is shown if `verbose` of the configuration is set.

    Returns
    -------
    skkd.training.result.TrainingResult
    """
    if config.batch_norm and config.module is None and len(train) == 1:
        refuse("batch_norm", True, "False for a single row (n_samples=1): it needs several rows")
    device = resolve_device(config.device)
    dtype = getattr(torch, config.dtype)
    generator = torch.Generator().manual_seed(seed)
    batch_size = _batch_size(config.batch_size, train.n_labelled or len(train))
    with _runtime(config, device, seed, n_threads=1):
        module, as_network = _build_module(
            config, preprocessor, n_classes, generator, dtype, batch_size
        )
        module.to(device)
        rows = _to_rows(train, preprocessor, dtype, device, criterion.prepared)
        valid_rows = None if valid is None else _to_rows(valid, preprocessor, dtype, device)
        _check_logits(module, rows, n_classes)
        _set_weights(module, config, previous)
        if previous is None and config.module is not None:
            warn_of_probabilities(module, rows.take(slice(0, CHECKED_ROWS))[0])
        recipe = _recipe(config, criterion, as_network, n_epochs, batch_size, generator, valid)

    state = previous.training_state if previous else {}
    n_before = len(previous.history) if previous else 0
    n_threads = _n_threads(config, module, batch_size)
    with (
        _runtime(config, device, seed + 1, n_threads),
        _after_epoch(config, n_epochs, on_epoch, title, n_before) as after_epoch,
    ):
        _restore_generators(config, state, generator, device)
        _give_dropout_a_generator(module, generator, device)
        recipe = replace(
            recipe,
            goes_on=previous is not None,
            before_epoch=before_epoch,
            after_epoch=after_epoch,
        )
        return fit_network(module, rows, valid_rows, recipe, state)


def warn_if_diverged(
    result: TrainingResult, criterion: Any, n_classes: int, learning_rate: float
) -> bool:
    """Warn if a network is much worse than one that deems all classes equally likely.

    Much worse means that its loss is more than `MOST_TIMES` times as high. The loss of the network
    is its lowest validation loss if the weights of the best epoch were kept, and its last training
    loss otherwise.

    Parameters
    ----------
    result : TrainingResult
        With fewer than `FEWEST_EPOCHS` epochs there is no warning.
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
        The training loss.
    n_classes : int
    learning_rate : float
        Named in the warning.

    Returns
    -------
    bool
        Whether there was a warning.
    """
    if len(result.history) < FEWEST_EPOCHS:
        return False
    name, record = "train_loss", result.history[-1]
    of_ignorance = criterion.of_ignorance(n_classes)
    if result.best_epoch is not None:
        name, of_ignorance = "valid_loss", math.log(n_classes)
        record = min(result.history, key=lambda record: record["valid_loss"])
    has_diverged = record[name] > MOST_TIMES * of_ignorance
    if has_diverged:
        kept = " The weights are those it began with." if result.best_epoch == 0 else ""
        warn(  # without the loss in the text, so that Python shows it only once for all folds
            f"training has diverged, or is far from its end: {name} is over {MOST_TIMES} times "
            f"that of a network with the same output for each row.{kept} Lower "
            f"learning_rate={learning_rate!r}, clip with max_grad_norm, scale the input if it is "
            "not, or train for longer."
        )
    return has_diverged


@contextmanager
def _runtime(config: Config, device: torch.device, seed: int, n_threads: int) -> Iterator[None]:
    """Context in which torch can train: its threads are set and its gradients are enabled."""
    with ExitStack() as stack:
        # The lock on the threads is taken before the lock on the global generator. The reverse
        # order could deadlock: a fit that holds the threads may have a callback that predicts
        # with a custom module, and so waits for the generator.
        stack.enter_context(threads_of_fit(n_threads))
        stack.enter_context(gradients_on())
        if config.module is not None:
            stack.enter_context(seeded_global_generator(seed, device))
        yield


@contextmanager
def _after_epoch(
    config: Config, n_epochs: int, on_epoch: Callable | None, title: str | None, n_before: int
) -> Iterator[list[Callable]]:
    """Context with a list of the functions to call after each epoch: progress bar, `on_epoch`."""
    functions: list[Callable] = []
    with ExitStack() as stack:
        if config.verbose:
            bar = ProgressBar(n_epochs, int(config.verbose), title, n_before)
            stack.enter_context(closing(bar))
            functions.append(lambda record, result: bar.on_epoch_end(record))
        if on_epoch is not None:
            functions.append(on_epoch)
        yield functions


def _set_weights(module: nn.Module, config: Config, previous: TrainingResult | None) -> None:
    """Load the weights of an earlier training or, without one, initialise a custom module."""
    if previous is not None:
        _load_weights(module, previous.network.state)
        return
    if config.module is not None and config.init != "auto":
        _initialize_layers_(module, config)
    warn_of_equal_units(module)


def _restore_generators(
    config: Config, state: dict, generator: torch.Generator, device: torch.device
) -> None:
    """Set the generators to their states at the end of an earlier training."""
    if "generator" in state:
        generator.set_state(torch.tensor(state["generator"], device="cpu"))
    if config.module is not None and "global_generator" in state:
        torch.set_rng_state(torch.tensor(state["global_generator"], device="cpu"))
        if device.type != "cpu":  # so that dropout masks differ from the earlier ones
            seed_generator_of(device, int(torch.randint(2**62, (), device="cpu")))


def _give_dropout_a_generator(
    module: nn.Module, generator: torch.Generator, device: torch.device
) -> None:
    """On a GPU, give the dropout layers a generator of the GPU."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    if device.type == "cpu" or not layers:
        return
    # `generator` also shuffles the rows. Without dropout no seed is drawn from it, so that the rows
    # have the same order as on the CPU.
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    of_device = torch.Generator(device).manual_seed(seed)
    for layer in layers:
        layer.generator = of_device


def _generator_states(config: Config, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Return the states of the generators, for `_restore_generators`."""
    states = {"generator": generator.get_state().numpy().copy()}
    if config.module is not None:
        states["global_generator"] = torch.get_rng_state().numpy().copy()
    return states


def _batch_size(batch_size: int | str, n_rows: int) -> int:
    """Replace "auto" by a number, and limit the batch size to the number of rows."""
    if batch_size == "auto":
        batch_size = min(max(n_rows // 32, 32), 256)
    return min(int(batch_size), n_rows)


def _n_threads(config: Config, module: nn.Module, batch_size: int) -> int:
    if config.n_threads is not None:
        return int(config.n_threads)
    return default_n_threads(sum(p.numel() for p in module.parameters()), batch_size)


def _build_module(
    config: Config,
    preprocessor: Any,
    n_classes: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    batch_size: int,
) -> tuple[nn.Module, Callable[[dict], Any]]:
    """Build the module, and a function from its trained state dict to the fitted network."""
    if config.module is None:
        sizes = tuple(map(int, config.layer_sizes))
        check_size_of_layers(sizes, preprocessor.n_features, n_classes)
        architecture: dict[str, Any] = {
            "n_features": preprocessor.n_features,
            "n_classes": n_classes,
            "hidden_layer_sizes": sizes,
            "activation": config.activation,
            "batch_norm": bool(config.batch_norm),
            "dropout": config.dropout,
            "feature_scale": bool(config.feature_scale),
        }
        module = MLP(
            **architecture,
            init=config.init,
            bias_init=config.bias_init,
            zero_output=config.parametrization == "ntk" and config.init == "auto",
            generator=generator,
            dtype=dtype,
        )
        return module, partial(Network, preprocessor, architecture)
    arguments = _module_arguments(config, preprocessor, n_classes)
    custom = build_module(config.module, arguments, config.dtype)
    return custom, lambda state: ModuleNetwork(
        preprocessor, config.module, arguments, state, config.dtype, config.device, batch_size
    )


def _module_arguments(config: Config, preprocessor: Any, n_classes: int) -> dict[str, Any]:
    """Collect the keyword arguments for building a custom module."""
    arguments = dict(config.module_options)
    check_options_of(config.module, arguments, "module__")
    takes = inspect.signature(config.module).parameters
    for name, value in (("n_features", preprocessor.n_features), ("n_classes", n_classes)):
        if name in takes:
            arguments.setdefault(name, value)
    check_arguments(config.module, arguments)
    return arguments


def _initialize_layers_(module: nn.Module, config: Config) -> None:
    weight_init = resolve_init("init", config.init, config.activation)
    bias_init = resolve_bias_init("bias_init", config.bias_init)
    for layer in module.modules():
        if is_weighted_layer(layer):
            initialize_(layer, weight_init, bias_init)


def _load_weights(module: nn.Module, state: dict[str, np.ndarray]) -> None:
    shapes = {name: tuple(array.shape) for name, array in state.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if shapes != wanted:
        raise ValueError(
            "the network of the last fit has other layers than the parameters ask for: set "
            "warm_start=False, or keep hidden_layer_sizes, batch_norm, feature_scale, module "
            "and preset as they were."
        )
    tensors = {name: torch.tensor(array, device="cpu") for name, array in state.items()}
    module.load_state_dict(tensors)


def _to_rows(
    dataset: Dataset,
    preprocessor: Any,
    dtype: torch.dtype,
    device: torch.device,
    prepare: Callable[[dict], dict] | None = None,
    stays_sparse: bool | None = None,
) -> Rows:
    """Convert a dataset to Rows, preprocessed now or, for large sparse data, batch by batch."""
    numpy_dtype = np.dtype(str(dtype).removeprefix("torch."))
    if stays_sparse is None:
        stays_sparse = (
            sparse.issparse(dataset.rows)
            and not isinstance(preprocessor, TransformerPreprocessor)
            and len(dataset) * preprocessor.n_features * numpy_dtype.itemsize > DENSE_BYTES
        )

    def fresh_rows() -> Rows | None:
        others = dataset.fresh_rows.next()
        if others is None:
            return None
        return _to_rows(others, preprocessor, dtype, device, prepare, stays_sparse)

    X = (
        dataset.rows
        if stays_sparse
        else transform_in_blocks(preprocessor, dataset.rows, numpy_dtype)
    )
    return Rows(
        X,
        dataset.targets,
        preprocessor=preprocessor,
        dtype=dtype,
        device=device,
        n_labelled=dataset.n_labelled,
        fresh_rows=None if dataset.fresh_rows is None else fresh_rows,
        prepare=prepare,
    )


def _check_logits(module: nn.Module, rows: Rows, n_classes: int) -> None:
    """Raise an error if the output of a custom module is not one logit per class."""
    if isinstance(module, MLP):
        return
    X, _ = rows.take(slice(0, 2))
    try:
        with torch.no_grad():
            logits = module.eval()(X)
    except (RuntimeError, ValueError, IndexError) as error:
        hint = " Images need an axis of channels: X[:, None]." if X.ndim == 3 else ""
        raise ValueError(
            f"module cannot take a batch of rows of shape {tuple(X.shape[1:])}: {error}.{hint}"
        ) from error
    expected = (len(X), n_classes)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        received = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits)
        raise ValueError(
            f"module must return logits of shape (n_rows, n_classes), here {expected}; "
            f"it returned {received}. Two classes need two logits."
        )


def _recipe(
    config: Config,
    criterion: Any,
    as_network: Callable[[dict], Any],
    n_epochs: int,
    batch_size: int,
    generator: torch.Generator,
    valid: Dataset | None,
) -> Recipe:
    """Translate the configuration into a recipe for the training loop."""
    schedule = resolve_schedule("lr_decay", config.lr_decay)
    stops_on_validation = bool(config.early_stopping and valid is not None)
    stops_on_training = not config.early_stopping and schedule.is_constant
    watches = stops_on_validation or stops_on_training
    # A schedule that watches the loss lowers the rate instead of stopping.
    patience = None if schedule.plateau else config.n_iter_no_change
    return Recipe(
        criterion=criterion,
        as_network=as_network,
        generator_states=partial(_generator_states, config, generator),
        make_optimizer=partial(_make_optimizer, config),
        schedule=schedule,
        dropout_schedule=resolve_schedule("dropout_decay", config.dropout_decay),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        batch_size=batch_size,
        max_epochs=n_epochs,
        schedule_epochs=config.max_epochs,
        shuffle_generator=generator if config.shuffle else None,
        max_grad_norm=config.max_grad_norm,
        plateau=Plateau(config.tol, patience) if watches else None,
        keep_best=stops_on_validation,
        callbacks=copies_of_callbacks(config.callbacks),
    )


def _make_optimizer(config: Config, module: Any) -> torch.optim.Optimizer:
    options = config.optimizer_options
    check_options_of(class_of(config.optimizer), options, "optimizer__")
    check_numbers_in(options, "optimizer__")
    return make_optimizer(
        config.optimizer,
        module,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        nesterov=config.nesterov,
        rate_factors=rate_factors(module) if config.parametrization == "ntk" else None,
        options=options,
    )
