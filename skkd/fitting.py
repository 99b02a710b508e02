"""From examples to a fitted network: view, module, recipe, training.

The steps that a classifier's `fit` and `partial_fit` share, as functions of the
estimator's settings and of the examples; nothing here writes to the estimator.
"""

import inspect
import math
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy import sparse

from skkd.batches import Rows
from skkd.initializers import (
    initialize_,
    is_weighted_layer,
    resolve_bias_init,
    resolve_init,
    warn_of_equal_units,
)
from skkd.isolation import (
    default_n_threads,
    gradients_on,
    resolve_device,
    seed_generator_of,
    seeded_global_generator,
    threads_of_fit,
)
from skkd.module_network import ModuleNetwork, build_module
from skkd.modules import MLP, Dropout, rate_factors
from skkd.network import Network
from skkd.optimizers import class_of, make_optimizer
from skkd.parameters import refuse, warn
from skkd.preprocessing import TransformerView, transform_in_blocks
from skkd.progress import ProgressBar
from skkd.schedules import resolve_schedule
from skkd.settings import (
    check_arguments,
    check_numbers_in,
    check_options_of,
    check_size_of_layers,
    copies_of_callbacks,
    layer_sizes,
    options_of,
)
from skkd.training import Plateau, Recipe, fit_network

__all__ = ["Fitted", "fit_examples", "warn_if_diverged"]

#: Sparse rows that need fewer bytes than this when dense are made dense at once.
DENSE_BYTES = 2**26

#: Epochs after which a training loss tells something, and how many times as high as that of
#: ignorance no noise is.
ENOUGH_TO_SETTLE, FAR_OUT = 5, 10


@dataclass
class Fitted:
    """What fitting leaves behind, as plain data."""

    network: object
    history: list  #: a record per epoch, from the beginning or of one call
    best_epoch: int | None  #: the same
    training_state: dict
    n_steps: int = 0  #: the same

    def preceded_by(self, earlier):
        """The same, together with the training that it went on from.

        Parameters
        ----------
        earlier : Fitted or None

        Returns
        -------
        Fitted
        """
        if earlier is None:
            return self
        n_before = len(earlier.history)
        later = ({**record, "epoch": n_before + record["epoch"]} for record in self.history)
        return replace(
            self,
            history=[*earlier.history, *later],
            best_epoch=None if self.best_epoch is None else n_before + self.best_epoch,
            n_steps=earlier.n_steps + self.n_steps,
        )


def fit_examples(
    settings,
    row_loss,
    view,
    train,
    valid,
    *,
    n_classes,
    n_epochs,
    seed,
    previous=None,
    before_epoch=None,
    on_epoch=None,
    title=None,
):
    """Fit a network to examples.

    Parameters
    ----------
    settings : NeuralClassifier
        Its parameters, checked, with the values of its preset.
    row_loss : skkd.criteria.LabelLoss or TaughtLoss
    view : skkd.preprocessing.View
        Fitted.
    train, valid : skkd.examples.Examples; `valid` may be None
    n_classes, n_epochs, seed : int
    previous : Fitted, default=None
        To go on from: its weights and, where it has one, its training state.
    before_epoch : callable, default=None
        Called without arguments when an epoch begins.
    on_epoch : callable, default=None
        (record, fitted) -> whether to stop; `fitted` is a function that returns what
        fitting has left behind as of now.
    title : str, default=None
        Of the progress bar.

    Returns
    -------
    Fitted
    """
    if settings.batch_norm and settings.module is None and len(train) == 1:
        refuse("batch_norm", True, "False for a single row (n_samples=1): it has none to compare")
    device = resolve_device(settings.device)
    dtype = getattr(torch, settings.dtype)
    generator = torch.Generator().manual_seed(seed)
    batch_size = _batch_size(settings.batch_size, train.n_labelled or len(train))
    with _surroundings(settings, device, seed, n_threads=1):
        module, as_network = _build(settings, view, n_classes, generator, dtype, batch_size)
        module.to(device)
        rows = _to_rows(train, view, dtype, device, row_loss.prepared)
        watched = None if valid is None else _to_rows(valid, view, dtype, device)
        _check_logits(module, rows, n_classes)
        _set_weights(module, settings, previous)
        recipe = _recipe(settings, row_loss, n_epochs, batch_size, generator, valid)

    def as_fitted(outcome):
        return Fitted(
            as_network(outcome.state),
            outcome.history,
            outcome.best_epoch,
            outcome.training_state | _generator_states(settings, generator),
            outcome.n_steps,
        )

    state = previous.training_state if previous else {}
    n_before = len(previous.history) if previous else 0
    n_threads = _n_threads(settings, module, batch_size)
    with (
        _surroundings(settings, device, seed + 1, n_threads),
        _listeners(settings, n_epochs, on_epoch, as_fitted, title, n_before) as listeners,
    ):
        _go_on_drawing(settings, state, generator, device)
        _give_dropout_a_generator(module, generator, device)
        recipe = replace(
            recipe,
            goes_on=previous is not None,
            before_epoch=before_epoch,
            listeners=listeners,
        )
        return as_fitted(fit_network(module, rows, watched, recipe, state))


def warn_if_diverged(fitted, row_loss, n_classes, learning_rate):
    """Warn where a training has ended far above what a network loses that knows nothing.

    Parameters
    ----------
    fitted : Fitted
        If it kept its best epoch, that one's loss of held-out labels counts. Of few epochs
        nothing is said, nor of a `row_loss` that knows no bound.
    row_loss : criterion
        As in :func:`fit_examples`.
    n_classes : int
    learning_rate : float
    """
    name, record, of_ignorance = "train_loss", fitted.history[-1], row_loss.of_ignorance(n_classes)
    if fitted.best_epoch is not None:
        name, record = "valid_loss", fitted.history[fitted.best_epoch - 1]
        of_ignorance = math.log(n_classes)
    if len(fitted.history) >= ENOUGH_TO_SETTLE and record[name] > FAR_OUT * of_ignorance:
        warn(  # without the loss, which would make it another warning in each fold
            f"training has diverged, or is far from its end: {name} is over {FAR_OUT} times as "
            "high as that of a network that says the same of each row. Lower "
            f"learning_rate={learning_rate!r}, clip with max_grad_norm, scale the input if it is "
            "not, or train for longer."
        )


@contextmanager
def _surroundings(settings, device, seed, n_threads):
    """Threads fixed, gradients on and, for a custom module, the global generator its own.

    In this order: whoever holds the generator must not wait for threads, because a fit
    that has them may ask for the generator, to predict in a callback.
    """
    with ExitStack() as stack:
        stack.enter_context(threads_of_fit(n_threads))
        stack.enter_context(gradients_on())
        if settings.module is not None:
            stack.enter_context(seeded_global_generator(seed, device))
        yield


@contextmanager
def _listeners(settings, n_epochs, on_epoch, as_fitted, title, n_before):
    """Who is told of every epoch: (record, outcome) -> whether to stop."""
    listeners = []
    with ExitStack() as stack:
        if settings.verbose:
            bar = ProgressBar(n_epochs, int(settings.verbose), title, n_before)
            stack.enter_context(closing(bar))
            listeners.append(lambda record, outcome: bar.on_epoch_end(record))
        if on_epoch is not None:
            listeners.append(lambda record, outcome: on_epoch(record, lambda: as_fitted(outcome())))
        yield listeners


def _set_weights(module, settings, previous):
    """Weights of an earlier training, or a custom module's as `init` asks."""
    if previous is not None:
        _load_weights(module, previous.network.state)
        return
    if settings.module is not None and settings.init != "auto":
        _initialize_layers_(module, settings)
    warn_of_equal_units(module)


def _go_on_drawing(settings, state, generator, device):
    """Let the generators go on from where an earlier training left them."""
    if "generator" in state:
        generator.set_state(torch.tensor(state["generator"], device="cpu"))
    if settings.module is not None and "global_generator" in state:
        torch.set_rng_state(torch.tensor(state["global_generator"], device="cpu"))
        if device.type != "cpu":  # other masks than in the training before
            seed_generator_of(device, int(torch.randint(2**62, (), device="cpu")))


def _give_dropout_a_generator(module, generator, device):
    """On a GPU, one of the GPU.

    Its seed is drawn only where there is dropout: else the rows come in the CPU's order.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    if device.type == "cpu" or not layers:
        return
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    of_device = torch.Generator(device).manual_seed(seed)
    for layer in layers:
        layer.generator = of_device


def _generator_states(settings, generator):
    """What `_go_on_drawing` goes on from, as arrays."""
    states = {"generator": generator.get_state().numpy().copy()}
    if settings.module is not None:
        states["global_generator"] = torch.get_rng_state().numpy().copy()
    return states


def _batch_size(batch_size, n_rows):
    """No more than there are rows; "auto" takes at least 32 batches of an epoch, if it can."""
    if batch_size == "auto":
        batch_size = min(max(n_rows // 32, 32), 256)
    return min(int(batch_size), n_rows)


def _n_threads(settings, module, batch_size):
    if settings.n_threads is not None:
        return int(settings.n_threads)
    return default_n_threads(sum(p.numel() for p in module.parameters()), batch_size)


def _build(settings, view, n_classes, generator, dtype, batch_size):
    """A module to train, and what makes a network of its state dict."""
    if settings.module is None:
        sizes = tuple(map(int, layer_sizes(settings.hidden_layer_sizes)))
        check_size_of_layers(sizes, view.n_features, n_classes)
        architecture = {
            "n_features": view.n_features,
            "n_classes": n_classes,
            "hidden_layer_sizes": sizes,
            "activation": settings.activation,
            "batch_norm": bool(settings.batch_norm),
            "dropout": settings.dropout,
            "feature_scale": bool(settings.feature_scale),
        }
        module = MLP(
            **architecture,
            init=settings.init,
            bias_init=settings.bias_init,
            zero_output=settings.parametrization == "ntk" and settings.init == "auto",
            generator=generator,
            dtype=dtype,
        )
        return module, partial(Network, view, architecture)
    arguments = _module_arguments(settings, view, n_classes)
    module = build_module(settings.module, arguments, settings.dtype)
    return module, lambda state: ModuleNetwork(
        view, settings.module, arguments, state, settings.dtype, settings.device, batch_size
    )


def _module_arguments(settings, view, n_classes):
    """module__* and, where the factory takes them, the widths of input and output."""
    arguments = options_of(settings, "module__")
    check_options_of(settings.module, arguments, "module__")
    takes = inspect.signature(settings.module).parameters
    for name, value in (("n_features", view.n_features), ("n_classes", n_classes)):
        if name in takes:
            arguments.setdefault(name, value)
    check_arguments(settings.module, arguments)
    return arguments


def _initialize_layers_(module, settings):
    weight_init = resolve_init("init", settings.init, settings.activation)
    bias_init = resolve_bias_init("bias_init", settings.bias_init)
    for layer in module.modules():
        if is_weighted_layer(layer):
            initialize_(layer, weight_init, bias_init)


def _load_weights(module, state):
    shapes = {name: tuple(array.shape) for name, array in state.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if shapes != wanted:
        raise ValueError(
            "the network to go on from has other layers than the parameters ask for: set "
            "warm_start=False, or keep hidden_layer_sizes, batch_norm, feature_scale, module "
            "and preset as they were."
        )
    tensors = {name: torch.tensor(array, device="cpu") for name, array in state.items()}
    module.load_state_dict(tensors)


def _to_rows(examples, view, dtype, device, prepare=None, stays_sparse=None):
    """The examples as tensors; large sparse rows stay sparse until their batch."""
    numpy_dtype = np.dtype(str(dtype).removeprefix("torch."))
    if stays_sparse is None:
        stays_sparse = (
            sparse.issparse(examples.rows)
            and not isinstance(view, TransformerView)
            and len(examples) * view.n_features * numpy_dtype.itemsize > DENSE_BYTES
        )

    def renew():
        others = examples.renew()
        return (
            None if others is None else _to_rows(others, view, dtype, device, prepare, stays_sparse)
        )

    X = examples.rows if stays_sparse else transform_in_blocks(view, examples.rows, numpy_dtype)
    return Rows(
        X,
        examples.targets,
        view=view,
        dtype=dtype,
        device=device,
        n_labelled=examples.n_labelled,
        renew=None if examples.renew is None else renew,
        prepare=prepare,
    )


def _check_logits(module, rows, n_classes):
    """Refuse a module whose output is not one logit per class."""
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


def _recipe(settings, row_loss, n_epochs, batch_size, generator, valid):
    schedule = resolve_schedule("lr_decay", settings.lr_decay)
    stops_on_validation = bool(settings.early_stopping and valid is not None)
    stops_on_training = not settings.early_stopping and schedule.is_constant
    watches = stops_on_validation or stops_on_training
    return Recipe(
        row_loss=row_loss,
        make_optimizer=partial(_make_optimizer, settings),
        schedule=schedule,
        dropout_schedule=resolve_schedule("dropout_decay", settings.dropout_decay),
        learning_rate=settings.learning_rate,
        batch_size=batch_size,
        max_epochs=n_epochs,
        schedule_epochs=settings.max_epochs,
        shuffle_generator=generator if settings.shuffle else None,
        max_grad_norm=settings.max_grad_norm,
        plateau=Plateau(settings.tol, settings.n_iter_no_change) if watches else None,
        keep_best=stops_on_validation,
        callbacks=copies_of_callbacks(settings.callbacks),
    )


def _make_optimizer(settings, module):
    options = options_of(settings, "optimizer__")
    check_options_of(class_of(settings.optimizer), options, "optimizer__")
    check_numbers_in(options, "optimizer__")
    return make_optimizer(
        settings.optimizer,
        module,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        rate_factors=rate_factors(module) if settings.parametrization == "ntk" else None,
        options=options,
    )
