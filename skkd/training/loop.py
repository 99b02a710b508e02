"""The training loop, which trains one network with skorch.

skorch runs the epochs, calls skorch callbacks and keeps the history that they read. Only
:func:`fit_network` uses skorch, and no skorch object outlives a call.

Two slow parts of skorch are avoided. Slices of the rows (:mod:`skkd.training.batches`) replace the
DataLoader, which fetches rows one by one. skorch's work around each batch is skipped unless a
callback needs it.
"""

import dis
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from skkd.losses import cross_entropy
from skkd.modules import MLP, Dropout
from skkd.runtime import seeded_global_generator
from skkd.schedules import Schedule
from skkd.training.backprop import Backprop
from skkd.training.batches import Batches, Rows
from skkd.training.optimizers import kind_of, load_state, penalty_of, quick_step_of, state_as_arrays
from skkd.training.result import TrainingResult

__all__ = ["Plateau", "Recipe", "fit_network"]

#: Names of entries in our records, and their different names in skorch's history.
SKORCH_NAMES = {"seconds": "dur", "learning_rate": "lr", "valid_accuracy": "valid_acc"}

#: Entries of skorch's history that exist only if rows are held out.
OF_HELD_OUT = ("valid_loss", "valid_acc")


@dataclass
class Recipe:
    """How to train: everything except the network and the rows."""

    criterion: Callable  #: (logits, targets) -> one loss per row
    as_network: Callable[[dict], Any]  #: state dict as arrays -> fitted network
    generator_states: Callable[[], dict]  #: states of the generators, for a later training
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Schedule  #: of the learning rate
    dropout_schedule: Schedule  #: of the probability of the built-in dropout
    learning_rate: float
    batch_size: int
    max_epochs: int
    schedule_epochs: int  #: epochs that the schedules span; one call may run fewer
    shuffle_generator: torch.Generator | None  #: None keeps the rows in order
    weight_decay: float = 0.0  #: L2 penalty, if the optimiser has no weight decay
    max_grad_norm: float | None = None
    plateau: "Plateau | None" = None  #: when to stop early
    goes_on: bool = False  #: whether the weights come from an earlier training
    keep_best: bool = False  #: whether to return the weights of the best validation epoch
    callbacks: list = field(default_factory=list)  #: skorch callbacks
    before_epoch: Callable[[], Any] | None = None  #: called when an epoch begins
    #: Each is called after an epoch: (record, result) -> whether to stop. `result` is a
    #: function that returns the current TrainingResult.
    after_epoch: list[Callable] = field(default_factory=list)


class Plateau:
    """Detects that a loss has stopped improving.

    Parameters
    ----------
    tol : float
        Smaller improvements do not count.
    patience : int or None
        `reached` is True after this many epochs in a row without improvement; None means never.
    """

    def __init__(self, tol: float, patience: int | None) -> None:
        self.tol = tol
        self.patience = patience
        self.best = float("inf")
        self.epochs_without_improvement = 0

    def update(self, loss: float) -> bool:
        """Record the loss of an epoch, and return whether it is the lowest so far."""
        improved = loss < self.best - self.tol
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        is_best = loss < self.best
        self.best = min(self.best, loss)
        return is_best

    @property
    def reached(self) -> bool:
        """Whether the loss has stopped improving."""
        return self.patience is not None and self.epochs_without_improvement >= self.patience


def fit_network(
    module: nn.Module,
    train: Rows,
    valid: Rows | None,
    recipe: Recipe,
    previous: dict | None = None,
) -> TrainingResult:
    """Train a module in place.

    Parameters
    ----------
    module : torch.nn.Module
        Returns logits of shape (n_rows, n_classes).
    train : skkd.training.batches.Rows
    valid : skkd.training.batches.Rows or None
        Held-out rows; their log-loss is computed after each epoch.
    recipe : Recipe
    previous : dict, default=None
        The training state of an earlier call, to continue from.

    Returns
    -------
    skkd.training.result.TrainingResult

    Raises
    ------
    ValueError
        At the end of the epoch in which the loss is no longer finite.
    KeyboardInterrupt
        On Ctrl-C. (skorch's own fit would catch it.)
    """
    train = _SkorchRows(train)
    split = None if valid is None else predefined_split(_SkorchRows(valid))
    net = _Net(module, recipe, train_split=split)
    net.initialize()
    net.rows = train
    if previous:
        net.epochs_done = previous["epochs_done"]
        train.n_passes, train.turn = previous.get("place", (0, 0))
        if previous["optimizer"] == kind_of(net.optimizer_):
            load_state(net.optimizer_, previous["moments"], net.trained)
        if net.decay:
            net.decay = previous.get("decay") or net.decay
        net.earlier_epochs = previous.get("history", [])
        if net.callbacks_:
            net.restore_changes_of_callbacks(previous)
    net.notify("on_train_begin", X=train, y=None)
    net.find_lowest_losses()
    if recipe.keep_best and valid is not None:
        net.keep_starting_weights(valid)
    with suppress(_TrainingEnds):
        net.fit_loop(train)
    net.notify("on_train_end", X=train, y=None)
    if net.best_state is not None:
        module.load_state_dict(net.best_state)
    return net.result()


def state_dict_as_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Copy a module's state dict as NumPy arrays."""
    return {name: t.detach().cpu().numpy().copy() for name, t in module.state_dict().items()}


def plain_history(history: Any) -> list[dict]:
    """Copy skorch's history as plain data.

    Durations are left out. Of the batches of an epoch only the last is kept.
    """
    return [
        {**_plain_items(epoch), "batches": [_plain_items(b) for b in epoch["batches"][-1:]]}
        for epoch in history
    ]


def _plain_items(row: dict) -> dict:
    values = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    return {k: v for k, v in values.items() if isinstance(v, (int, float, str)) and k != "dur"}


class _TrainingEnds(Exception):
    """Raised after the last callback of an epoch, to leave skorch's loop early."""


class _SkorchRows(Rows, Dataset):
    """Rows that skorch and its callbacks accept as a skorch Dataset."""

    def __init__(self, rows: Rows) -> None:
        self.__dict__.update(vars(rows))


class _WeightedLoss(nn.Module):
    """The loss of each row in a batch, times the row's weight."""

    def __init__(self, row_loss: Callable) -> None:
        super().__init__()
        self.row_loss = row_loss

    def forward(self, logits: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
        # Training lowers the mean of these products over the rows of the batch. Divided by the
        # batch's sum of weights instead, batches of small weights would make too large steps.
        return targets["weights"] * self.row_loss(logits, targets)


class _Net(NeuralNetClassifier):
    """skorch's net with our batches, learning rates and records."""

    def __init__(self, module: nn.Module, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(
            module,
            criterion=_WeightedLoss(recipe.criterion),
            batch_size=recipe.batch_size,
            max_epochs=recipe.max_epochs,
            callbacks=recipe.callbacks,
            predict_nonlinearity=partial(torch.softmax, dim=-1),
            device=str(next((p.device for p in module.parameters()), "cpu")),
            verbose=1,  # lets callbacks print, such as PrintLog; skorch itself prints nothing
            **kwargs,
        )
        self.recipe = recipe

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize(self) -> "_Net":
        super().initialize()
        self.epochs_done = 0
        self.n_steps = 0
        plateau = self.recipe.schedule.plateau
        self.decay = plateau and plateau.begin()
        self.records: list[dict] = []
        self.epochs_of_skorch: list[dict] = []  # for each record, the epoch in skorch's history
        self.earlier_epochs: list[dict] = []  # epochs of earlier calls, not in skorch's history
        self.best_state: dict[str, torch.Tensor] | None = None
        self.best_epoch: int | None = None
        self.stop_requested = False
        self.differentiate: Callable | None = None
        self.quick_step: Callable[[], None] | None = None
        batch_hooks = ("on_batch_begin", "on_batch_end", "on_grad_computed")
        self.trained = list(self.module_.parameters())
        self.dropouts = [(m, m.p) for m in self.module_.modules() if isinstance(m, Dropout)]
        self.callbacks_watch_batches = any(
            getattr(type(callback), name, None) is not getattr(Callback, name)
            for _, callback in self.callbacks_
            for name in batch_hooks
        )
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "_Net":
        self.optimizer_ = self.recipe.make_optimizer(self.module_)
        self.penalty = penalty_of(self.optimizer_, self.recipe.weight_decay)
        self.options_made = [dict(group) for group in self.optimizer_.param_groups]
        return self

    def restore_changes_of_callbacks(self, previous: dict) -> None:
        """Take over the history of an earlier call, and what callbacks had changed at its end."""
        self.history.extend({**e, "batches": list(e["batches"])} for e in self.earlier_epochs)
        self.earlier_epochs = []  # they are in self.history now, which callbacks may change
        if "frozen" in previous:
            for name, parameter in self.module_.named_parameters():
                parameter.requires_grad_(name not in previous["frozen"])
        changed = previous.get("optimizer_options", ())
        if len(changed) == len(self.optimizer_.param_groups):
            for group, options in zip(self.optimizer_.param_groups, changed, strict=True):
                group.update(options)

    def find_lowest_losses(self) -> None:
        """Set `lowest` to the lowest training and validation loss in skorch's history."""
        # A new history is empty, but a callback may have loaded an earlier one.
        self.lowest = {
            name: min((epoch[name] for epoch in self.history if name in epoch), default=np.inf)
            for name in ("train_loss", "valid_loss")
        }

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        if not isinstance(dataset, Rows):  # a callback scores a data set of its own
            return super().get_iterator(dataset, training)
        if training:
            return Batches(dataset, self.recipe.batch_size, self.recipe.shuffle_generator)
        return Batches(dataset, max(self.recipe.batch_size, 1024), takes_turns=False)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a hook of the net, then the same hook of each callback."""
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as interrupt:
                if not _raised_by(callback, interrupt):
                    raise
                self.stop_requested = True  # after the epoch, without an error
            except (KeyError, ValueError) as error:
                self._explain_missing_entry(callback, error)
                raise
        if method_name == "on_epoch_end" and self.stop_requested:
            raise _TrainingEnds

    def _explain_missing_entry(self, callback: Any, error: Exception) -> None:
        """Raise a clearer error if a callback watches an entry that the history lacks."""
        monitor = str(getattr(callback, "monitor", "")).removesuffix("_best")
        watches = f"callbacks: {type(callback).__name__} watches {monitor!r}, "
        if monitor in SKORCH_NAMES:
            name = SKORCH_NAMES[monitor]
            raise ValueError(f"{watches}which skorch's callbacks know as {name!r}.") from error
        if monitor in OF_HELD_OUT and self.train_split is None:
            raise ValueError(
                f"{watches}but no rows are held out: let it monitor 'train_loss', set "
                "early_stopping=True, or pass X_val and y_val to fit."
            ) from error

    def keep_starting_weights(self, valid: Rows) -> None:
        """Compute the validation loss of the initial weights, and keep them as epoch 0."""
        self.best_epoch = 0
        self._keep_weights()
        module, was_training = self.module_, self.module_.training
        draws = type(module) is not MLP  # a custom module may draw random numbers
        with seeded_global_generator(device=self.device) if draws else nullcontext():
            self.loss_at_start, _ = self._validate(self.get_iterator(valid), calls_hooks=False)
        module.train(was_training)
        module.load_state_dict(self.best_state)  # restores buffers
        if self.recipe.goes_on and self.recipe.plateau is not None:
            self.recipe.plateau.update(self.loss_at_start)  # later epochs must improve on it

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_epoch_begin(net, **kwargs)
        if self.recipe.before_epoch is not None:
            self.recipe.before_epoch()
        self.epoch_began = time.perf_counter()
        self.epoch_record: dict[str, Any] = {"epoch": len(self.records) + 1}

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Train on all batches or, if `training` is False, compute their validation loss."""
        if iterator is None:
            return
        self.history.record(f"{prefix}_batch_count", len(iterator))
        if training:
            self._train_epoch(iterator)
        else:
            loss, accuracy = self._validate(iterator, calls_hooks=self.callbacks_watch_batches)
            self.epoch_record |= {"valid_loss": loss, "valid_accuracy": accuracy}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        super().on_epoch_end(net, **kwargs)
        record = self.epoch_record
        record["seconds"] = time.perf_counter() - self.epoch_began
        self._refuse_infinite_loss(record)
        self.records.append(record)
        self.epochs_of_skorch.append(self.history[-1])
        self._record_for_skorch(record)
        self._watch_plateau(record)
        self._lower_rate(record)
        for after_epoch in self.recipe.after_epoch:
            self.stop_requested |= bool(after_epoch(record, self.result))

    def _train_epoch(self, batches: Batches) -> None:
        self.module_.train()
        batches.rows.begin_pass()  # may call the teacher, so before a batch is drawn
        self._choose_how_to_differentiate(batches.rows)
        step = self._step_with_hooks if self.callbacks_watch_batches else self._step
        losses = []
        for number, (X, targets) in enumerate(batches):
            self._follow_schedules(number, len(batches))
            if number == 0:
                group = self.optimizer_.param_groups[0]
                rate = group["lr"] / group.get("rate_factor", 1.0)
                self.epoch_record["learning_rate"] = float(rate)
            losses.append(step(X, targets)[0])
        if not self.callbacks_watch_batches:
            self.history.new_batch()  # skorch's Checkpoint reads the last one
        self.epochs_done += 1
        self.n_steps += len(batches)
        total = torch.cat(losses).double().sum()
        self.epoch_record["train_loss"] = float(total) / batches.rows.n_per_pass  # waits for a GPU

    def _choose_how_to_differentiate(self, rows: Rows) -> None:
        """Choose how gradients are computed: without autograd if possible."""
        if self.differentiate is not None and not self.callbacks_:
            return  # a callback may freeze or replace a layer after any epoch
        gradient = getattr(self.recipe.criterion, "gradient", None)
        self.differentiate, self.quick_step = self._autograd, None
        if gradient is not None and Backprop.is_possible(self.module_):
            weighted = rows.fresh_rows is not None or bool((rows.targets["weights"] != 1).any())
            self.differentiate = Backprop(self.module_, gradient, weighted)

    def _follow_schedules(self, batch: int, n_batches: int) -> None:
        """Set the learning rate and the dropout probabilities for a batch."""
        done = self.epochs_done * n_batches + batch
        recipe = self.recipe
        if not recipe.schedule.is_constant:  # else callbacks such as LRScheduler may set it
            factor = recipe.schedule.at_batch(done, n_batches, recipe.schedule_epochs)
            factor *= self.decay["factor"] if self.decay else 1.0
            for group in self.optimizer_.param_groups:
                group["lr"] = recipe.learning_rate * factor * group.get("rate_factor", 1.0)
        if self.dropouts and not recipe.dropout_schedule.is_constant:
            factor = recipe.dropout_schedule.at_batch(done, n_batches, recipe.schedule_epochs)
            for layer, probability in self.dropouts:
                layer.p = probability * factor

    def _step(
        self, X: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one step of the optimiser; return the losses and logits from before the step."""
        if self.quick_step is not None:
            losses_and_logits = self._losses_and_gradients(X, targets)
            self.quick_step()
            return losses_and_logits
        results = []

        def closure() -> Any:
            results.append(self._losses_and_gradients(X, targets))
            loss = results[-1][0].mean()
            return loss if self.penalty is None else loss + self._penalize()

        self.optimizer_.step(closure)
        if not self.callbacks_watch_batches:
            self.quick_step = quick_step_of(self.optimizer_)
        return results[0]  # of the first closure call; optimisers such as LBFGS make several

    def _losses_and_gradients(
        self, X: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Set the gradients of a batch, clip them, and return its losses and logits."""
        assert self.differentiate is not None
        losses, logits = self.differentiate(X, targets)
        if self.callbacks_watch_batches:
            self.notify(
                "on_grad_computed",
                named_parameters=list(self.module_.named_parameters()),
                batch=(X, targets["labels"]),
                training=True,
            )
        if self.recipe.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.recipe.max_grad_norm)
        return losses, logits

    def _penalize(self) -> torch.Tensor:
        """Add the gradient of the L2 penalty, and return the value of the penalty."""
        assert self.penalty is not None
        self.penalty.add_gradient()  # after clipping, like SGD's weight decay
        return self.penalty.value()

    def _autograd(
        self, X: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Set the gradients of a batch by autograd, and return its losses and logits."""
        for parameter in self.trained:
            parameter.grad = None
        logits = self.module_(X)
        losses = self.criterion_(logits, targets)
        losses.mean().backward()
        return losses.detach(), logits.detach()

    def _step_with_hooks(
        self, X: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one step like `_step`, and call the hooks of callbacks before and after it."""
        batch = (X, targets["labels"])
        self.notify("on_batch_begin", batch=batch, training=True)
        losses, logits = self._step(X, targets)
        loss = losses.mean()
        self.history.record_batch("train_loss", float(loss))
        self.history.record_batch("train_batch_size", len(X))
        self.notify("on_batch_end", batch=batch, training=True, loss=loss, y_pred=logits)
        return losses, logits

    def _validate(self, batches: Batches, calls_hooks: bool) -> tuple[float, float]:
        """Return the weighted log-loss and accuracy on rows with true labels."""
        self.module_.eval()
        loss, hits, weight = 0.0, 0.0, 0.0
        for X, targets in batches:
            batch = (X, targets["labels"])
            if calls_hooks:
                self.notify("on_batch_begin", batch=batch, training=False)
            with torch.no_grad():
                logits = self.module_(X)
                row_loss = cross_entropy(targets["labels"], logits)
                is_hit = logits.argmax(dim=1) == targets["labels"]
            weights = targets["weights"]
            loss += float((weights * row_loss).sum())
            hits += float((weights * is_hit).sum())
            weight += float(weights.sum())
            if calls_hooks:
                self.history.record_batch("valid_loss", float(row_loss.mean()))
                self.history.record_batch("valid_batch_size", len(X))
                self.notify(
                    "on_batch_end", batch=batch, training=False, loss=row_loss.mean(), y_pred=logits
                )
        return loss / weight, hits / weight

    def _refuse_infinite_loss(self, record: dict) -> None:
        for name in ("train_loss", "valid_loss"):
            value = record.get(name, 0.0)
            if not abs(value) < float("inf"):
                raise ValueError(
                    f"{name} is {value} in epoch {record['epoch']}, with "
                    f"learning_rate={self.recipe.learning_rate!r}: lower learning_rate, "
                    "clip with max_grad_norm, or scale the input."
                )

    def _record_for_skorch(self, record: dict) -> None:
        """Write into the net's history the entries that skorch's callbacks expect there."""
        for name, value in record.items():
            if name != "epoch":  # skorch itself numbers the epochs, over all calls
                self.history.record(SKORCH_NAMES.get(name, name), value)
        for name in ("train_loss", "valid_loss"):
            if name in record:
                self.history.record(f"{name}_best", record[name] < self.lowest[name])
                self.lowest[name] = min(record[name], self.lowest[name])

    def result(self) -> TrainingResult:
        """The result of the training up to now."""
        return TrainingResult(
            network=self.recipe.as_network(state_dict_as_arrays(self.module_)),
            history=list(self.records_with_scores()),
            best_epoch=self.best_epoch,
            training_state={
                "optimizer": kind_of(self.optimizer_),
                "moments": state_as_arrays(self.optimizer_, self.trained),
                "epochs_done": self.epochs_done,
                "place": (self.rows.n_passes, self.rows.turn),  # in the transfer set
                **self.recipe.generator_states(),
                "decay": self.decay,
                "history": [*self.earlier_epochs, *plain_history(self.history)],
                "frozen": [n for n, p in self.module_.named_parameters() if not p.requires_grad],
                "optimizer_options": self._options_that_callbacks_changed(),
            },
            n_steps=self.n_steps,
        )

    def _options_that_callbacks_changed(self) -> list[dict]:
        """For each parameter group, return the settings that callbacks changed."""
        # A schedule that is not constant sets the learning rate itself.
        is_ours = {"params"} if self.recipe.schedule.is_constant else {"params", "lr"}
        return [
            {
                name: value
                for name, value in group.items()
                if name not in is_ours
                and isinstance(value, (int, float, tuple))
                and (name not in made or made[name] != value)
            }
            for group, made in zip(self.optimizer_.param_groups, self.options_made, strict=True)
        ]

    def records_with_scores(self) -> list[dict]:
        """Add the scores of callbacks such as EpochScoring to `records`, and return `records`."""
        ours = {"epoch", "train_loss", "valid_loss", *SKORCH_NAMES.values()}
        for record, row in zip(self.records, self.epochs_of_skorch, strict=True):
            for name, value in row.items():
                if name not in ours and isinstance(value, float):
                    record[name] = float(value)
        return self.records

    def _watch_plateau(self, record: dict) -> None:
        """Keep the weights if they are the best, and stop if the loss has stopped improving."""
        plateau = self.recipe.plateau
        if plateau is None:
            return
        loss = record["valid_loss" if self.recipe.keep_best else "train_loss"]
        is_best = plateau.update(loss)
        if self.recipe.keep_best and is_best and not loss > self.loss_at_start:
            self.best_epoch = record["epoch"]
            self._keep_weights()
        self.stop_requested |= plateau.reached

    def _lower_rate(self, record: dict) -> None:
        """Let a schedule that watches the loss lower the rate or end the training."""
        plateau: Any = self.recipe.schedule.plateau
        if self.decay:
            loss = record.get("valid_loss", record["train_loss"])
            self.decay = plateau.after_epoch(self.decay, loss)
            self.stop_requested |= self.decay["is_over"]

    def _keep_weights(self) -> None:
        self.best_state = {k: v.detach().clone() for k, v in self.module_.state_dict().items()}


def _raised_by(callback: Any, interrupt: KeyboardInterrupt) -> bool:
    """Whether the callback raised the interrupt itself; otherwise the user pressed Ctrl-C."""
    # skorch's callbacks stop training by such a statement. An interrupt from anywhere else comes
    # from the user's Ctrl-C.
    traceback: Any = interrupt.__traceback__
    depth = 0
    while traceback.tb_next is not None:
        traceback, depth = traceback.tb_next, depth + 1
    frame = traceback.tb_frame
    raises = frame.f_code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return depth > 0 and raises and frame.f_locals.get("self") is callback
