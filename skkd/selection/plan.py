"""What is fitted to all rows in the end: selected on held-out rows, where that is possible."""

from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

from skkd.checks import warn
from skkd.config import Config
from skkd.data.dataset import Dataset, effective_rows
from skkd.data.fit_data import FitData, Seeds
from skkd.data.validation import RowReader
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.preprocessing.preprocessor import Preprocessor
from skkd.progress import ProgressBar
from skkd.schedules import resolve_schedule
from skkd.selection.encodings import competing_encodings, may_add_bins, preprocessor_for
from skkd.selection.epochs import FEWEST_HELD_OUT, FEWEST_ROWS
from skkd.selection.folds import FoldTrainer, held_out_splits
from skkd.selection.successive_halving import Choices, Trial, choose
from skkd.supervision import Candidate, Fold, Supervision

__all__ = ["Plan", "can_select", "make_plan"]


@dataclass
class Plan:
    """What is fitted to all rows.

    Parameters
    ----------
    candidate : Candidate
        What is learned from.
    encoding : skkd.preprocessing.PiecewiseLinear or None
        Of numbers.
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
        Fitted.
    n_epochs : int
        Of the whole training, at most.
    temperature : float, default=1.0
        That divides the logits, where nothing was selected.
    choice : Trial, default=None
        How it was selected; None: it was not.
    start : skkd.training.result.TrainingResult, default=None
        What the training goes on from; None: from the beginning.
    transfer_rows : Dataset, default=None
        Rows without labels that were made during selection; None: they are still to be made.
    """

    candidate: Candidate
    encoding: PiecewiseLinear | None
    preprocessor: Preprocessor
    n_epochs: int
    temperature: float = 1.0
    choice: Trial | None = None
    start: Any = None
    transfer_rows: Dataset | None = None

    @property
    def n_epochs_to_come(self) -> int:
        """The most that may come."""
        state = {} if self.start is None else self.start.training_state
        return self.n_epochs - state.get("epochs_done", 0)

    def temperature_for(self, n_epochs: int | None) -> float:
        """What divides the logits after so many epochs of the fit of all rows.

        The temperature that was selected belongs to the length that it was measured at: to no
        other length, nor to a training that kept its best epoch (`n_epochs` None).
        """
        if self.choice is None:
            return self.temperature
        suits = self.candidate.is_calibrated and n_epochs == self.choice.n_epochs
        return self.choice.temperature if suits else 1.0


def can_select(data: FitData) -> bool:
    """Whether enough rows can be held out to select anything by them.

    Parameters
    ----------
    data : FitData

    Returns
    -------
    bool
    """
    targets = data.train.targets
    # Whatever the weights of the classes are.
    return effective_rows(targets["weights"] / data.class_weights[targets["labels"]]) >= FEWEST_ROWS


def make_plan(
    config: Config,
    data: FitData,
    supervision: Supervision,
    reader: RowReader,
    seeds: Seeds,
    reports_epochs: bool = False,
) -> Plan:
    """The plan of a new fit.

    Parameters
    ----------
    config : Config
    data : FitData
    supervision : Supervision
    reader : RowReader
        That has read the rows.
    seeds : Seeds
    reports_epochs : bool, default=False
        Whether callbacks are called after each epoch: then all epochs of the last fit are
        trained, and none is taken over from the selection.

    Returns
    -------
    Plan
    """
    is_possible = can_select(data)
    candidates = supervision.candidates(data, is_possible)
    lengths = _lengths(config)
    compares_lengths = is_possible and len(lengths) > 1
    with_bins = compares_lengths and may_add_bins(config, reader, len(data.train))
    thresholds = supervision.thresholds(with_bins)
    encodings = competing_encodings(config, data.train.rows, thresholds, with_bins)
    choice, transfer_rows = None, None
    if compares_lengths or (is_possible and len(candidates) > 1):
        choices = Choices(candidates, encodings, lengths)
        choice, transfer_rows = _select(
            choices, thresholds, config, data, supervision, reader, seeds
        )
    candidate, encoding, n_epochs = candidates[0], encodings[0], config.max_epochs
    if choice is not None:
        candidate, encoding = choice.candidate, choice.encoding
        n_epochs = choice.n_epochs if len(lengths) > 1 else n_epochs
    preprocessor = preprocessor_for(config, reader, data.train, data.classes, encoding, thresholds)
    plan = Plan(
        candidate, encoding, preprocessor, n_epochs, choice=choice, transfer_rows=transfer_rows
    )
    if choice is not None and not reports_epochs and _may_go_on_from_selection(plan, data):
        plan.start = choice.start
    return plan


def _select(choices, thresholds, config, data, supervision, reader, seeds):
    """What held-out rows select, and the rows without labels that serve the last fit, too.

    (None, None) where too few rows are held out.
    """
    splits = held_out_splits(config, data, seeds.split)
    n_rows = sum(effective_rows(held_out.targets["weights"]) for _, held_out in splits)
    if n_rows < FEWEST_HELD_OUT:
        return None, None
    unseen = supervision.without(splits, choices.candidates, data, thresholds)
    n_sets = len(splits) + (unseen is not None)
    candidates = [one.sharing_seconds(n_sets) for one in choices.candidates]
    is_seen = unseen is None and data.held_out is None
    if not is_seen:
        candidates = [one.without_margin() for one in candidates]
    folds = unseen or [Fold(*split, candidates, thresholds) for split in splits]
    encodings = choices.encodings
    with _bar(config) as bar:
        trainers = [
            FoldTrainer(config, fold, encodings, reader, data.classes, seeds, bar, where)
            for fold, where in zip(folds, _numbered(len(folds)), strict=True)
        ]
        encodings = _with_different_inputs(trainers[0].preprocessors)
        choices = Choices(candidates, encodings, choices.lengths)
        choice = choose(choices, trainers, is_seen and len(folds) > 1)
        if bar:
            bar.show(_summary(choice), choice.losses_by_name)
    if choice.learned_nothing:
        warn(
            "on held-out rows the network is no better than the class frequencies: the "
            f"labels are noise, learning_rate={config.learning_rate!r} is too high, "
            "or a class has too few rows to be held out."
        )
    if unseen is not None:  # all rows are taught by another teacher, with other thresholds
        choice.start = None
        return choice, None
    return choice, trainers[0].transfer_rows.get(choice.candidate.name)


def _bar(config):
    """A progress bar of the selection, if one is wanted."""
    if not config.verbose:
        return nullcontext()
    return closing(ProgressBar(None, verbose=1, title="choosing"))


def _numbered(n_folds):
    """Which fold each is, for a title; nothing if there is one only."""
    return [f", fold {k + 1} of {n_folds}" if n_folds > 1 else "" for k in range(n_folds)]


def _summary(choice):
    """What was selected, for the bar."""
    lowest = min(choice.losses_by_name, key=choice.losses_by_name.get)
    taken = f"took {choice.candidate.name}, {choice.n_epochs} epochs"
    if lowest != choice.candidate.name and choice.trials[lowest].candidate.required_margin > 1:
        taken += f" ({lowest} is not clearly better)"
    return taken


def _with_different_inputs(preprocessors):
    """The first encoding, and those that give the network another number of inputs."""
    first, *others = preprocessors
    width = preprocessors[first].n_features
    return [first, *(other for other in others if preprocessors[other].n_features != width)]


def _may_go_on_from_selection(plan, data):
    """Whether the last training may begin in the middle of the one that was selected.

    Rows that were held out are then learned from in the last part alone. With a transfer set
    they are few of many, and that part is half of the training or more; without one each of
    them counts. Fresh rows would come a second time, and a validation set of the caller's own
    is watched from the beginning.
    """
    choice, transfer_rows = plan.choice, plan.transfer_rows
    if choice.start is None or transfer_rows is None or data.valid is not None:
        return False
    is_long = choice.n_epochs >= 2 * len(choice.start.history)
    are_few = 2 * len(choice.labels) <= len(transfer_rows)
    has_same_inputs = plan.preprocessor.has_same_inputs_as(choice.start.network.preprocessor)
    return is_long and are_few and has_same_inputs


def _lengths(config):
    """Where a training may end: if `max_epochs` is "auto", wherever its rate is lowest."""
    if config.early_stopping:
        return []
    if "max_epochs" not in config.left_auto:
        return [config.max_epochs]
    return resolve_schedule("lr_decay", config.lr_decay).ends(config.max_epochs)
