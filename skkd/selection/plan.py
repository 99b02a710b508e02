"""What is fitted to all rows in the end: chosen on held-out rows, where that is possible."""

from dataclasses import dataclass

from skkd.schedules import resolve_schedule
from skkd.selection.candidates import Candidate
from skkd.selection.encodings import encodings_of, may_spread, view_of
from skkd.selection.folds import Chooser
from skkd.selection.successive_halving import Choices, Trial

__all__ = ["Plan", "make_plan", "plan_to_go_on"]


@dataclass
class Plan:
    """What is fitted to all rows.

    Parameters
    ----------
    candidate : skkd.selection.candidates.Candidate
        What is learned from.
    encoding : skkd.preprocessing.encodings.PiecewiseLinear or None
        Of numbers.
    view : skkd.preprocessing.preprocessor.View
        Fitted.
    n_epochs : int
        Of the whole training, at most.
    temperature : float, default=1.0
        That divides the logits, where nothing was chosen.
    choice : skkd.selection.successive_halving.Trial, default=None
        How it was chosen; None: it was not.
    start : skkd.training.fit.Fitted, default=None
        What the training goes on from; None: from the beginning.
    """

    candidate: Candidate
    encoding: object
    view: object
    n_epochs: int
    temperature: float = 1.0
    choice: Trial | None = None
    start: object = None

    @property
    def n_epochs_to_come(self):
        """The most that may come."""
        state = {} if self.start is None else self.start.training_state
        return self.n_epochs - state.get("epochs_done", 0)

    def temperature_for(self, n_epochs):
        """What divides the logits after so many epochs of the fit of all rows.

        That of the choice belongs to the training that it was measured at: to no other
        length, nor to one that kept its best epoch (`n_epochs` None).
        """
        if self.choice is None:
            return self.temperature
        suits = self.candidate.is_calibrated and n_epochs == self.choice.n_epochs
        return self.choice.temperature if suits else 1.0


def plan_to_go_on(estimator, settings, task):
    """The plan of a warm start: all as in the last fit.

    Parameters
    ----------
    estimator : NeuralClassifier
        Fitted.
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    task : skkd.selection.task.Task

    Returns
    -------
    Plan
    """
    n_epochs = settings.max_epochs
    if isinstance(estimator.max_epochs, str):
        n_epochs = getattr(estimator, "training_state_", {}).get("n_epochs", n_epochs)
    return Plan(
        candidate=estimator._candidates(settings, task)[0],
        encoding=getattr(estimator, "numeric_encoding_", None),
        view=estimator.network_.input_view,
        n_epochs=n_epochs,
        temperature=getattr(estimator.network_, "temperature", 1.0),
        start=estimator._last_fit(schedule_begins_anew=True),
    )


def make_plan(estimator, settings, task):
    """The plan of a new fit.

    Parameters
    ----------
    estimator : NeuralClassifier
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    task : skkd.selection.task.Task

    Returns
    -------
    Plan
    """
    candidates = estimator._candidates(settings, task)
    lengths = _lengths(estimator, settings)
    can_compare_lengths = task.can_choose and len(lengths) > 1
    can_spread = can_compare_lengths and may_spread(estimator, settings, len(task.train))
    thresholds = estimator._thresholds(settings, task.X, can_spread)
    encodings = encodings_of(estimator, settings, task.train.rows, thresholds, can_spread)
    choices = Choices(candidates, encodings, lengths)
    choice = None
    if can_compare_lengths or (task.can_choose and len(candidates) > 1):
        choice = Chooser(estimator, settings, task, choices, thresholds).choose()
    candidate, encoding = candidates[0], encodings[0]
    n_epochs = settings.max_epochs
    if choice is not None:
        candidate, encoding = choice.candidate, choice.encoding
        n_epochs = choice.n_epochs if len(lengths) > 1 else n_epochs
    view = view_of(estimator, settings, task.train, task.classes, encoding, thresholds)
    start = None
    if choice is not None and not _hears_epochs(estimator) and _may_go_on_from(choice, task, view):
        start = choice.start
    return Plan(candidate, encoding, view, n_epochs, choice=choice, start=start)


def _may_go_on_from(choice, task, view):
    """Whether the last training may begin in the middle of the one that was chosen.

    Rows that were held out are then learned from in the last part alone. With a transfer set
    they are few of many, and that part is half of the training or more; without one each of them
    counts. Fresh rows would come a second time, and a validation set of one's own is to be
    watched from the beginning.
    """
    start, transfer_set = choice.start, choice.candidate.transfer_set
    if start is None or transfer_set is None or transfer_set.size == "fresh":
        return False
    is_long = choice.n_epochs >= 2 * len(start.history)
    are_few = 2 * len(choice.labels) <= transfer_set.n_rows
    is_watched = task.valid is not None
    return is_long and are_few and not is_watched and view.sees_the_same(start.network.input_view)


def _lengths(estimator, settings):
    """Where a training may end: if `max_epochs` is "auto", wherever its rate is lowest."""
    if estimator.early_stopping:
        return []
    if not isinstance(estimator.max_epochs, str):
        return [settings.max_epochs]
    return resolve_schedule("lr_decay", settings.lr_decay).ends(settings.max_epochs)


def _hears_epochs(estimator):
    """Whether callbacks are called at the end of each epoch: scikit-learn's or skorch's."""
    return bool(estimator.callbacks or getattr(estimator, "_skl_callbacks", None))
