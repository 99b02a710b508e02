"""The plan of a fit: which candidate, encoding and number of epochs to use on all rows.

A candidate is something that the network learns from, such as the labels or a teacher. If there
are enough rows, the plan is selected on held-out rows.
"""

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from skkd.config import Config
from skkd.data.dataset import Dataset, effective_rows
from skkd.data.fit_data import FitData, Seeds
from skkd.data.validation import RowReader
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.preprocessing.preprocessor import Preprocessor
from skkd.progress import ProgressBar
from skkd.schedules import resolve_schedule
from skkd.selection.comparisons import losses_of_all
from skkd.selection.encodings import competing_encodings, may_add_bins, preprocessor_for
from skkd.selection.epochs import FEWEST_HELD_OUT, FEWEST_ROWS
from skkd.selection.folds import FoldTrainer, held_out_splits
from skkd.selection.successive_halving import Choices, Trial, choose
from skkd.supervision import Candidate, Fold, Supervision

__all__ = ["Plan", "can_select", "make_plan"]


@dataclass
class Plan:
    """How the network is fitted to all rows.

    Parameters
    ----------
    config : Config
        The parameters of the network.
    candidate : Candidate
        What the network learns from.
    encoding : skkd.preprocessing.PiecewiseLinear or None
        Encoding of numbers; None for plain numbers, without bins.
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
        Fitted.
    n_epochs : int
        Upper bound of the number of epochs, including those of `start`.
    temperature : float, default=1.0
        Divides the logits if nothing was selected; see :meth:`temperature_for`.
    choice : Trial, default=None
        The trial of the selected candidate; None if nothing was selected.
    start : skkd.training.result.TrainingResult, default=None
        The training to continue; None trains from the beginning.
    transfer_rows : Dataset, default=None
        The candidate's transfer set, if it was made during the selection.
    size_losses : dict of tuple to float, default=None
        Held-out log-loss by `hidden_layer_sizes`, if several were compared.
    """

    config: Config
    candidate: Candidate
    encoding: PiecewiseLinear | None
    preprocessor: Preprocessor
    n_epochs: int
    temperature: float = 1.0
    choice: Trial | None = None
    start: Any = None
    transfer_rows: Dataset | None = None
    size_losses: dict[tuple[int, ...], float] | None = None

    @property
    def n_epochs_to_come(self) -> int:
        """Upper bound of the number of epochs that are still to be trained."""
        state = {} if self.start is None else self.start.training_state
        return self.n_epochs - state.get("epochs_done", 0)

    def temperature_for(self, n_epochs: int | None) -> float:
        """Return the temperature by which to divide the logits after `n_epochs` epochs on all rows.

        - If nothing was selected: the attribute `temperature`.
        - If the candidate is calibrated, and `n_epochs` is the selected number of epochs: the
          temperature that was measured on the held-out rows after this number of epochs.
        - Otherwise: 1.

        Parameters
        ----------
        n_epochs : int or None
            The number of epochs of the final fit; None if early stopping chose the epoch to keep.

        Returns
        -------
        float
        """
        if self.choice is None:
            return self.temperature
        suits = self.candidate.is_calibrated and n_epochs == self.choice.n_epochs
        return self.choice.temperature if suits else 1.0


def can_select(data: FitData) -> bool:
    """Whether there are enough rows to hold some out for a selection.

    Parameters
    ----------
    data : FitData

    Returns
    -------
    bool
    """
    targets = data.train.targets
    # Without the factors of class weights: only the sample weights count.
    return effective_rows(targets["weights"] / data.class_weights[targets["labels"]]) >= FEWEST_ROWS


def make_plan(
    config: Config,
    data: FitData,
    supervision: Supervision,
    reader: RowReader,
    seeds: Seeds,
    reports_epochs: bool = False,
    *,
    n_plans: int = 1,
) -> Plan:
    """Make the plan of a new fit, by selection on held-out rows if possible.

    Parameters
    ----------
    config : Config
    data : FitData
    supervision : Supervision
    reader : RowReader
        It has read the rows.
    seeds : Seeds
    reports_epochs : bool, default=False
        Whether callbacks watch each epoch; the final fit then trains from the beginning.
    n_plans : int, default=1
        Number of plans that are made for this fit. Several plans are compared on held-out rows, so
        each needs a loss even if there is nothing else to choose, and they share the time limit for
        transfer sets.

    Returns
    -------
    Plan
    """
    is_possible = can_select(data)
    candidates = supervision.candidates(data, is_possible)
    candidates = [one.sharing_seconds(n_plans) for one in candidates]
    lengths = _lengths(config)
    compares_lengths = is_possible and len(lengths) > 1
    has_teacher = any(one.alpha > 0 for one in candidates)
    with_bins = compares_lengths and may_add_bins(config, reader, len(data.train), has_teacher)
    thresholds = supervision.thresholds(with_bins)
    encodings = competing_encodings(config, data.train.rows, thresholds, with_bins)
    choice, transfer_rows = None, None
    if compares_lengths or (is_possible and (len(candidates) > 1 or n_plans > 1)):
        choices = Choices(candidates, encodings, lengths, config.is_narrow)
        choice, transfer_rows = _select(
            choices, thresholds, config, data, supervision, reader, seeds
        )
    candidate, encoding, n_epochs = candidates[0], encodings[0], config.max_epochs
    if choice is not None:
        candidate, encoding = choice.candidate, choice.encoding
        n_epochs = choice.n_epochs if len(lengths) > 1 else n_epochs
    preprocessor = preprocessor_for(config, reader, data.train, data.classes, encoding, thresholds)
    plan = Plan(
        *(config, candidate, encoding, preprocessor, n_epochs),
        choice=choice,
        transfer_rows=transfer_rows,
    )
    if choice is not None and not reports_epochs and _may_go_on_from_selection(plan, data):
        plan.start = choice.start
    return plan


def _select(
    choices: Choices,
    thresholds: dict | None,
    config: Config,
    data: FitData,
    supervision: Supervision,
    reader: RowReader,
    seeds: Seeds,
) -> tuple[Trial | None, Dataset | None]:
    """Train all candidates; return the best trial, and the rows of its transfer set for reuse."""
    splits = held_out_splits(config, data, seeds.split)
    n_rows = sum(effective_rows(held_out.targets["weights"]) for _, held_out in splits)
    if n_rows < FEWEST_HELD_OUT:
        return None, None
    folds_of_clones = supervision.without(splits, choices.candidates, data, thresholds)
    n_sets = len(splits) + (folds_of_clones is not None)
    candidates = [one.sharing_seconds(n_sets) for one in choices.candidates]
    is_seen = folds_of_clones is None and data.held_out is None
    if not is_seen:
        candidates = [one.without_margin() for one in candidates]
    folds = folds_of_clones or [Fold(*split, candidates, thresholds) for split in splits]
    encodings = choices.encodings
    with _bar(config) as bar:
        trainers = [
            FoldTrainer(config, fold, encodings, reader, data.classes, seeds, bar, where)
            for fold, where in zip(folds, _fold_titles(len(folds)), strict=True)
        ]
        encodings = _with_different_inputs(trainers[0].preprocessors)
        choices = replace(choices, candidates=candidates, encodings=encodings)
        choice = choose(choices, trainers, is_seen and len(folds) > 1, config.n_jobs)
        if bar is not None:
            bar.show(_summary(choice), losses_of_all(choice.comparisons))
    if folds_of_clones is not None:  # the final fit has another teacher, other thresholds
        choice.start = None
        return choice, None
    return choice, trainers[0].transfer_rows.get(choice.candidate.name)


def _bar(config: Config) -> AbstractContextManager[ProgressBar | None]:
    """Context with a progress bar for the selection, or with None if `verbose` is not set."""
    if not config.verbose:
        return nullcontext()
    return closing(ProgressBar(None, verbose=1, title="selecting"))


def _fold_titles(n_folds: int) -> list[str]:
    """Number the folds for the bar's title; the text for a single fold is empty."""
    return [f", fold {k + 1} of {n_folds}" if n_folds > 1 else "" for k in range(n_folds)]


def _summary(choice: Trial) -> str:
    """Tell in one line, for the progress bar, what was selected."""
    losses = choice.comparisons[-1].losses
    lowest = min(losses, key=losses.__getitem__)
    taken = f"selected {choice.candidate.name}, {choice.n_epochs} epochs"
    return taken if losses[lowest] == choice.loss else f"{taken} ({lowest} is not clearly better)"


def _with_different_inputs(
    preprocessors: dict[PiecewiseLinear | None, Preprocessor],
) -> list[PiecewiseLinear | None]:
    """List the first encoding, and all others with which the network has more or fewer inputs."""
    first, *others = preprocessors
    width = preprocessors[first].n_features
    return [first, *(other for other in others if preprocessors[other].n_features != width)]


def _may_go_on_from_selection(plan: Plan, data: FitData) -> bool:
    """Whether the final fit to all rows may continue a training of the selection."""
    choice, transfer_rows = plan.choice, plan.transfer_rows
    # A transfer set that is made anew for each epoch was not kept, and would be made twice. The
    # loss of validation rows (`data.valid`) must be recorded from the first epoch on.
    if choice is None or choice.start is None or transfer_rows is None or data.valid is not None:
        return False
    # The held-out rows are used in the later epochs only: these must be at least half of all.
    is_long = choice.n_epochs >= 2 * len(choice.start.history)
    are_few = 2 * len(choice.labels) <= len(transfer_rows)
    has_same_inputs = plan.preprocessor.has_same_inputs_as(choice.start.network.preprocessor)
    return is_long and are_few and has_same_inputs


def _lengths(config: Config) -> list[int]:
    """Return the numbers of epochs that the selection compares, in ascending order."""
    if config.early_stopping:
        return []
    if "max_epochs" not in config.left_auto:
        return [config.max_epochs]
    # The epochs at which the learning rate falls to its minimum.
    return resolve_schedule("lr_decay", config.lr_decay).ends(config.max_epochs)
