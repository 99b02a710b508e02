"""The engine: one network fitted by skorch's loop.

skorch runs the epochs, keeps the history that its callbacks read, and takes any
callback of its own; it lives inside of :func:`fit_network` and nothing of it stays.
Its row-wise DataLoader is replaced by slices (:mod:`skkd.training.batches`), and what it does
around every batch is left out where nobody listens.
"""

import dis
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial

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
from skkd.training.backprop import Backprop
from skkd.training.batches import Batches, Rows
from skkd.training.optimizers import kind_of, load_state, penalty_of, quick_step_of, state_as_arrays
from skkd.training.result import TrainingResult

__all__ = ["Plateau", "Recipe", "fit_network"]

#: What skorch's history calls the entries of our records.
SKORCH_NAMES = {"seconds": "dur", "learning_rate": "lr", "valid_accuracy": "valid_acc"}

#: Entries that are there only where rows are held out.
OF_HELD_OUT = ("valid_loss", "valid_acc")


@dataclass
class Recipe:
    """How to train: everything but the network and the rows."""

    criterion: object  #: (logits, targets) -> one loss per row
    as_network: object  #: the module's state dict, as arrays -> fitted network
    generator_states: object  #: () -> dict of what random numbers go on from
    make_optimizer: object  #: module -> torch.optim.Optimizer
    schedule: object  #: skkd.schedules.Schedule
    dropout_schedule: object  #: the same, of the probability of the built-in dropout
    learning_rate: float
    batch_size: int
    max_epochs: int
    schedule_epochs: int  #: length of the schedule, also where calls run one epoch each
    shuffle_generator: torch.Generator | None  #: None keeps the rows in order
    weight_decay: float = 0.0  #: for an optimiser that has none of its own
    max_grad_norm: float | None = None
    plateau: "Plateau | None" = None  #: when to stop early
    goes_on: bool = False  #: whether the weights come from an earlier training
    keep_best: bool = False  #: give back the weights of the best validation epoch
    callbacks: list = field(default_factory=list)  #: skorch callbacks
    before_epoch: object = None  #: called without arguments when an epoch begins
    #: (record, result) -> stop? `result` is a function that returns that of now
    listeners: list = field(default_factory=list)


class Plateau:
    """Tells when a loss has stopped improving.

    Parameters
    ----------
    tol : float
        Smaller improvements do not count as any.
    patience : int or None
        Epochs in a row without improvement, after which `reached` is True. None
        never stops.
    """

    def __init__(self, tol, patience):
        self.tol = tol
        self.patience = patience
        self.best = float("inf")
        self.epochs_without_improvement = 0

    def update(self, loss):
        """Take note of an epoch's loss; True if it is the lowest so far."""
        improved = loss < self.best - self.tol
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        is_best = loss < self.best
        self.best = min(self.best, loss)
        return is_best

    @property
    def reached(self):
        return self.patience is not None and self.epochs_without_improvement >= self.patience


def fit_network(module, train, valid, recipe, previous=None):
    """Train a module in place.

    Parameters
    ----------
    module : torch.nn.Module
        Returns logits of shape (n_rows, n_classes).
    train : skkd.training.batches.Rows
    valid : skkd.training.batches.Rows or None
        Watched after each epoch; only its labels and weights matter.
    recipe : Recipe
    previous : dict, default=None
        The training state of an earlier call, to go on from.

    Returns
    -------
    skkd.training.result.TrainingResult

    Raises
    ------
    ValueError
        At the end of the epoch in which the loss is no longer finite.
    KeyboardInterrupt
        As the user asked; skorch would swallow it.
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
            net.go_on_as_callbacks_left_it(previous)
    net.notify("on_train_begin", X=train, y=None)
    net.find_lowest_losses()
    if recipe.keep_best:
        net.begin_with_weights_as_they_are(valid)
    with suppress(_TrainingEnds):
        net.fit_loop(train)
    net.notify("on_train_end", X=train, y=None)
    if net.best_state is not None:
        module.load_state_dict(net.best_state)
    return net.result()


def state_dict_as_arrays(module):
    """A module's state dict as NumPy arrays of their own."""
    return {name: t.detach().cpu().numpy().copy() for name, t in module.state_dict().items()}


def plain_history(history):
    """The epochs of skorch's history as plain data, without seconds and without most batches."""
    return [
        {**_plain_items(epoch), "batches": [_plain_items(b) for b in epoch["batches"][-1:]]}
        for epoch in history
    ]


def _plain_items(row):
    values = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    return {k: v for k, v in values.items() if isinstance(v, (int, float, str)) and k != "dur"}


class _TrainingEnds(Exception):
    """Raised after the last callback of an epoch, to leave skorch's loop early."""


class _SkorchRows(Rows, Dataset):
    """Rows that skorch's callbacks recognise as a data set of theirs."""

    def __init__(self, rows):
        vars(self).update(vars(rows))


class _WeightedLoss(nn.Module):
    """The weighted losses of a batch's rows; a step lowers their mean.

    The weights have mean 1 over all rows, and a batch divides by its number of rows:
    dividing by its own sum of weights would blow up batches of light rows.
    """

    def __init__(self, row_loss):
        super().__init__()
        self.row_loss = row_loss

    def forward(self, logits, targets):
        return targets["weights"] * self.row_loss(logits, targets)


class _Net(NeuralNetClassifier):
    """skorch's net: our batches, our rates, our records."""

    def __init__(self, module, recipe, **kwargs):
        super().__init__(
            module,
            criterion=_WeightedLoss(recipe.criterion),
            batch_size=recipe.batch_size,
            max_epochs=recipe.max_epochs,
            callbacks=recipe.callbacks,
            predict_nonlinearity=partial(torch.softmax, dim=-1),
            device=str(next((p.device for p in module.parameters()), "cpu")),
            verbose=1,  # only callbacks speak: PrintLog, EarlyStopping
            **kwargs,
        )
        self.recipe = recipe

    @property
    def _default_callbacks(self):
        return []

    def initialize(self):
        super().initialize()
        self.epochs_done = 0
        self.n_steps = 0
        plateau = self.recipe.schedule.plateau
        self.decay = plateau and plateau.begin()
        self.records = []
        self.epochs_of_skorch = []  # the same, as its history has them
        self.earlier_epochs = []  # of its history, as far as they are not in it
        self.best_state = None
        self.best_epoch = None
        self.stop_requested = False
        self.differentiate = self.quick_step = None
        heard = ("on_batch_begin", "on_batch_end", "on_grad_computed")
        self.trained = list(self.module_.parameters())
        self.dropouts = [(m, m.p) for m in self.module_.modules() if isinstance(m, Dropout)]
        self.somebody_hears_batches = any(
            getattr(type(callback), name, None) is not getattr(Callback, name)
            for _, callback in self.callbacks_
            for name in heard
        )
        return self

    def initialize_optimizer(self, *args, **kwargs):
        self.optimizer_ = self.recipe.make_optimizer(self.module_)
        self.penalty = penalty_of(self.optimizer_, self.recipe.weight_decay)
        self.options_made = [dict(group) for group in self.optimizer_.param_groups]
        return self

    def go_on_as_callbacks_left_it(self, previous):
        """Take up the history of an earlier call, and what its callbacks have changed."""
        self.history.extend({**e, "batches": list(e["batches"])} for e in self.earlier_epochs)
        self.earlier_epochs = []  # a callback may shorten or change them
        if "frozen" in previous:
            for name, parameter in self.module_.named_parameters():
                parameter.requires_grad_(name not in previous["frozen"])
        changed = previous.get("optimizer_options", ())
        if len(changed) == len(self.optimizer_.param_groups):
            for group, options in zip(self.optimizer_.param_groups, changed, strict=True):
                group.update(options)

    def find_lowest_losses(self):
        """The lowest losses of the epochs in skorch's history, which a callback may have loaded."""
        self.lowest = {
            name: min((epoch[name] for epoch in self.history if name in epoch), default=np.inf)
            for name in ("train_loss", "valid_loss")
        }

    def get_iterator(self, dataset, training=False):
        if not isinstance(dataset, Rows):  # of a callback's own
            return super().get_iterator(dataset, training)
        if training:
            return Batches(dataset, self.recipe.batch_size, self.recipe.shuffle_generator)
        return Batches(dataset, max(self.recipe.batch_size, 1024), takes_turns=False)

    def notify(self, method_name, **cb_kwargs):
        """Call our own hook, then the callbacks', in which stopping is no Ctrl-C."""
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as interrupt:
                if not _raised_by(callback, interrupt):
                    raise
                self.stop_requested = True
            except (KeyError, ValueError) as error:
                self._refuse_to_watch_nothing(callback, error)
                raise
        if method_name == "on_epoch_end" and self.stop_requested:
            raise _TrainingEnds

    def _refuse_to_watch_nothing(self, callback, error):
        """Say why what a callback watches is not there."""
        monitor = str(getattr(callback, "monitor", "")).removesuffix("_best")
        watches = f"callbacks: {type(callback).__name__} watches {monitor!r}, "
        if monitor in SKORCH_NAMES:
            known_as = SKORCH_NAMES[monitor]
            raise ValueError(f"{watches}which skorch's callbacks know as {known_as!r}.") from error
        if monitor in OF_HELD_OUT and self.train_split is None:
            raise ValueError(
                f"{watches}but no rows are held out: have it monitor 'train_loss', or in fit set "
                "early_stopping=True, or give X_val and y_val."
            ) from error

    def begin_with_weights_as_they_are(self, valid):
        """Let the weights that training begins with be those of epoch 0, the best so far.

        Nothing else changes: no generator, no buffer, no mode. The patience of a first fit
        counts from its first epoch.
        """
        self.best_epoch = 0
        self._keep_weights()
        module, was_training = self.module_, self.module_.training
        draws = type(module) is not MLP  # a module of one's own may draw or write anything
        with seeded_global_generator(device=self.device) if draws else nullcontext():
            self.loss_at_start, _ = self._validate(self.get_iterator(valid), announced=False)
        module.train(was_training)
        module.load_state_dict(self.best_state)
        if self.recipe.goes_on:
            self.recipe.plateau.update(self.loss_at_start)

    def on_epoch_begin(self, net, **kwargs):
        super().on_epoch_begin(net, **kwargs)
        if self.recipe.before_epoch is not None:
            self.recipe.before_epoch()
        self.epoch_began = time.perf_counter()
        self.epoch_record = {"epoch": len(self.records) + 1}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One pass over the batches; with `training`, one step for each."""
        if iterator is None:
            return
        self.history.record(f"{prefix}_batch_count", len(iterator))
        if training:
            self._train_epoch(iterator)
        else:
            loss, accuracy = self._validate(iterator, announced=self.somebody_hears_batches)
            self.epoch_record |= {"valid_loss": loss, "valid_accuracy": accuracy}

    def on_epoch_end(self, net, **kwargs):
        super().on_epoch_end(net, **kwargs)
        record = self.epoch_record
        record["seconds"] = time.perf_counter() - self.epoch_began
        self._refuse_infinite_loss(record)
        self.records.append(record)
        self.epochs_of_skorch.append(self.history[-1])
        self._record_for_skorch(record)
        self._watch_plateau(record)
        self._lower_rate(record)
        for listener in self.recipe.listeners:
            self.stop_requested |= bool(listener(record, self.result))

    def _train_epoch(self, batches):
        self.module_.train()
        batches.rows.begin_pass()  # before a batch is drawn: it may ask the teacher
        self._choose_how_to_differentiate(batches.rows)
        step = self._announced_step if self.somebody_hears_batches else self._step
        losses = []
        for number, (X, targets) in enumerate(batches):
            self._follow_schedules(number, len(batches))
            if number == 0:
                group = self.optimizer_.param_groups[0]
                rate = group["lr"] / group.get("rate_factor", 1.0)
                self.epoch_record["learning_rate"] = float(rate)
            losses.append(step(X, targets)[0])
        if not self.somebody_hears_batches:
            self.history.new_batch()  # skorch's Checkpoint looks at the last one
        self.epochs_done += 1
        self.n_steps += len(batches)
        total = torch.cat(losses).double().sum()
        self.epoch_record["train_loss"] = float(total) / batches.rows.n_per_pass  # waits for a GPU

    def _choose_how_to_differentiate(self, rows):
        """How gradients come about: by hand where that is possible, else by autograd.

        With callbacks it is chosen anew in each epoch: one may have frozen or replaced
        something.
        """
        if self.differentiate is not None and not self.callbacks_:
            return
        gradient = getattr(self.recipe.criterion, "gradient", None)
        self.differentiate, self.quick_step = self._autograd, None
        if gradient is not None and Backprop.is_possible(self.module_):
            weighted = rows.fresh_rows is not None or bool((rows.targets["weights"] != 1).any())
            self.differentiate = Backprop(self.module_, gradient, weighted)

    def _follow_schedules(self, batch, n_batches):
        """Set the learning rate, and the probabilities of dropout, for a batch."""
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

    def _step(self, X, targets):
        """One step of the optimiser; the losses before it, and the logits."""
        if self.quick_step is not None:
            outcome = self._losses_and_gradients(X, targets)
            self.quick_step()
            return outcome
        outcomes = []

        def closure():
            outcomes.append(self._losses_and_gradients(X, targets))
            loss = outcomes[-1][0].mean()
            return loss if self.penalty is None else loss + self._penalize()

        self.optimizer_.step(closure)
        if not self.somebody_hears_batches:
            self.quick_step = quick_step_of(self.optimizer_)
        return outcomes[0]  # some optimisers, such as LBFGS, ask more than once

    def _losses_and_gradients(self, X, targets):
        """Losses and logits of a batch; the gradients are left in the parameters, clipped."""
        losses, logits = self.differentiate(X, targets)
        if self.somebody_hears_batches:
            self.notify(
                "on_grad_computed",
                named_parameters=list(self.module_.named_parameters()),
                batch=(X, targets["labels"]),
                training=True,
            )
        if self.recipe.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.recipe.max_grad_norm)
        return losses, logits

    def _penalize(self):
        """Add the gradients of the L2 penalty, after clipping, as SGD does; its value."""
        self.penalty.add_gradient()
        return self.penalty.value()

    def _autograd(self, X, targets):
        """Losses and logits of a batch; the gradients are left in the parameters."""
        for parameter in self.trained:
            parameter.grad = None
        logits = self.module_(X)
        losses = self.criterion_(logits, targets)
        losses.mean().backward()
        return losses.detach(), logits.detach()

    def _announced_step(self, X, targets):
        batch = (X, targets["labels"])
        self.notify("on_batch_begin", batch=batch, training=True)
        losses, logits = self._step(X, targets)
        loss = losses.mean()
        self.history.record_batch("train_loss", float(loss))
        self.history.record_batch("train_batch_size", len(X))
        self.notify("on_batch_end", batch=batch, training=True, loss=loss, y_pred=logits)
        return losses, logits

    def _validate(self, batches, announced):
        """Weighted log-loss and accuracy of true labels, whatever is trained on."""
        self.module_.eval()
        loss = hits = weight = 0.0
        for X, targets in batches:
            batch = (X, targets["labels"])
            if announced:
                self.notify("on_batch_begin", batch=batch, training=False)
            with torch.no_grad():
                logits = self.module_(X)
                row_loss = cross_entropy(targets["labels"], logits)
                is_hit = logits.argmax(dim=1) == targets["labels"]
            weights = targets["weights"]
            loss += float((weights * row_loss).sum())
            hits += float((weights * is_hit).sum())
            weight += float(weights.sum())
            if announced:
                self.history.record_batch("valid_loss", float(row_loss.mean()))
                self.history.record_batch("valid_batch_size", len(X))
                self.notify(
                    "on_batch_end", batch=batch, training=False, loss=row_loss.mean(), y_pred=logits
                )
        return loss / weight, hits / weight

    def _refuse_infinite_loss(self, record):
        for name in ("train_loss", "valid_loss"):
            value = record.get(name, 0.0)
            if not abs(value) < float("inf"):
                raise ValueError(
                    f"{name} is {value} in epoch {record['epoch']}, with "
                    f"learning_rate={self.recipe.learning_rate!r}: lower learning_rate, "
                    "clip with max_grad_norm, or scale the input."
                )

    def _record_for_skorch(self, record):
        """What skorch's callbacks expect to find in the net's history."""
        for name, value in record.items():
            if name != "epoch":  # which skorch counts over all calls
                self.history.record(SKORCH_NAMES.get(name, name), value)
        for name in ("train_loss", "valid_loss"):
            if name in record:
                self.history.record(f"{name}_best", record[name] < self.lowest[name])
                self.lowest[name] = min(record[name], self.lowest[name])

    def result(self):
        """What training results in as of now."""
        return TrainingResult(
            network=self.recipe.as_network(state_dict_as_arrays(self.module_)),
            history=list(self.records_with_scores()),
            best_epoch=self.best_epoch,
            training_state={
                "optimizer": kind_of(self.optimizer_),
                "moments": state_as_arrays(self.optimizer_, self.trained),
                "epochs_done": self.epochs_done,
                "place": (self.rows.n_passes, self.rows.turn),
                **self.recipe.generator_states(),
                "decay": self.decay,
                "history": [*self.earlier_epochs, *plain_history(self.history)],
                "frozen": [n for n, p in self.module_.named_parameters() if not p.requires_grad],
                "optimizer_options": self._options_that_callbacks_changed(),
            },
            n_steps=self.n_steps,
        )

    def _options_that_callbacks_changed(self):
        """Of each of the optimiser's groups of parameters: rates, for example."""
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

    def records_with_scores(self):
        """Our records, with the numbers that callbacks such as EpochScoring added."""
        ours = {"epoch", "train_loss", "valid_loss", *SKORCH_NAMES.values()}
        for record, row in zip(self.records, self.epochs_of_skorch, strict=True):
            for name, value in row.items():
                if name not in ours and isinstance(value, float):
                    record[name] = float(value)
        return self.records

    def _watch_plateau(self, record):
        plateau = self.recipe.plateau
        if plateau is None:
            return
        loss = record["valid_loss" if self.recipe.keep_best else "train_loss"]
        is_best = plateau.update(loss)
        if self.recipe.keep_best and is_best and not loss > self.loss_at_start:
            self.best_epoch = record["epoch"]
            self._keep_weights()
        self.stop_requested |= plateau.reached

    def _lower_rate(self, record):
        """Where a schedule watches the loss: lower the rate, or stop, if that stands still."""
        if self.decay:
            loss = record.get("valid_loss", record["train_loss"])
            self.decay = self.recipe.schedule.plateau.after_epoch(self.decay, loss)
            self.stop_requested |= self.decay["is_over"]

    def _keep_weights(self):
        self.best_state = {k: v.detach().clone() for k, v in self.module_.state_dict().items()}


def _raised_by(callback, interrupt):
    """Whether a callback itself raised KeyboardInterrupt, which is how skorch's stop.

    A real Ctrl-C arrives somewhere below it, or at an instruction that raises nothing.
    """
    traceback = interrupt.__traceback__
    depth = 0
    while traceback.tb_next is not None:
        traceback, depth = traceback.tb_next, depth + 1
    frame = traceback.tb_frame
    raises = frame.f_code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return depth > 0 and raises and frame.f_locals.get("self") is callback
