"""What is fitted to all rows in the end: chosen on held-out rows, where that is possible."""

import math
from dataclasses import dataclass, replace

from scipy import sparse

from skkd.candidates import Candidate
from skkd.encodings import PiecewiseLinear, TeacherBins, resolve_encoding
from skkd.epochs import FEWEST_HELD_OUT, effective_rows
from skkd.examples import split_examples
from skkd.inputs import resolve_categorical
from skkd.parameters import is_auto, warn
from skkd.preprocessing import fit_view
from skkd.presets import changed, is_narrow
from skkd.race import Choices, Fold, Trial, choose
from skkd.schedules import resolve_schedule
from skkd.settings import layer_sizes

__all__ = ["Plan", "encodings_of", "make_plan", "plan_to_go_on", "view_of"]

#: Numbers of more columns are not spread for a try: thousands of inputs take their time. Nor
#: are those of fewer rows: a tenth of them tells too little.
MOST_SPREAD, FEWEST_SPREAD = 100, 2000

#: Rows are held out again, others each time, until so many were, but no more than so often:
#: of 1,000 rows a tenth often asks for an epoch number that is far from the best.
ENOUGH_HELD_OUT, MOST_FOLDS = 300, 3


@dataclass
class Plan:
    """What is fitted to all rows.

    Parameters
    ----------
    candidate : skkd.candidates.Candidate
        What is learned from.
    encoding : skkd.encodings.PiecewiseLinear or None
        Of numbers.
    view : skkd.preprocessing.View
        Fitted.
    n_epochs : int
        The most that may come.
    temperature : float, default=1.0
        That divides the logits, where nothing was chosen.
    choice : skkd.race.Trial, default=None
        How it was chosen; None: it was not.
    """

    candidate: Candidate
    encoding: object
    view: object
    n_epochs: int
    temperature: float = 1.0
    choice: Trial | None = None

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
    task : skkd.task.Task

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
    )


def make_plan(estimator, settings, task):
    """The plan of a new fit.

    Parameters
    ----------
    estimator : NeuralClassifier
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    task : skkd.task.Task

    Returns
    -------
    Plan
    """
    candidates = estimator._candidates(settings, task)
    lengths = _lengths(estimator, settings)
    can_compare_lengths = task.can_choose and len(lengths) > 1
    can_spread = can_compare_lengths and _may_spread(estimator, settings, len(task.train))
    thresholds = estimator._thresholds(settings, task.X, can_spread)
    encodings = encodings_of(estimator, settings, task.train.rows, thresholds, can_spread)
    choices = Choices(candidates, encodings, lengths)
    choice = None
    if can_compare_lengths or (task.can_choose and len(candidates) > 1):
        choice = _choose(estimator, settings, task, choices, thresholds)
    candidate, encoding = candidates[0], encodings[0]
    n_epochs = settings.max_epochs
    if choice is not None:
        candidate, encoding = choice.candidate, choice.encoding
        n_epochs = choice.n_epochs if len(lengths) > 1 else n_epochs
    view = view_of(estimator, settings, task.train, task.classes, encoding, thresholds)
    return Plan(candidate, encoding, view, n_epochs, choice=choice)


def _lengths(estimator, settings):
    """Where a training may end: if `max_epochs` is "auto", wherever its rate is lowest."""
    if estimator.early_stopping:
        return []
    if not isinstance(estimator.max_epochs, str):
        return [settings.max_epochs]
    return resolve_schedule("lr_decay", settings.lr_decay).ends(settings.max_epochs)


def _may_spread(estimator, settings, n_rows):
    """Whether more inputs are worth a try: a wide network bends by itself."""
    if not (is_auto(estimator.numeric_encoding) and is_narrow(settings)):
        return False
    if n_rows < FEWEST_SPREAD:
        return False
    if not layer_sizes(settings.hidden_layer_sizes):  # softmax regression stays linear
        return False
    return getattr(estimator, "n_features_in_", MOST_SPREAD + 1) <= MOST_SPREAD


def encodings_of(estimator, settings, rows, thresholds, can_spread=False):
    """The numeric encodings worth comparing; the first is taken if that cannot be.

    Parameters
    ----------
    estimator, settings : NeuralClassifier
    rows : ndarray, sparse matrix or Table
    thresholds : dict or None
        Of a teacher.
    can_spread : bool, default=False
        Whether bins for all numbers may be tried.

    Returns
    -------
    list of (skkd.encodings.PiecewiseLinear or None)
    """
    encoding = resolve_encoding("numeric_encoding", settings.numeric_encoding)
    if is_auto(estimator.numeric_encoding) and sparse.issparse(rows):
        return [None]
    if encoding is None or not can_spread:
        return [encoding]
    return [encoding, TeacherBins() if thresholds else PiecewiseLinear()]


def view_of(estimator, settings, train, classes, encoding, thresholds):
    """The input view, fitted to some rows.

    Parameters
    ----------
    estimator, settings : NeuralClassifier
    train : skkd.examples.Examples
    classes : ndarray of shape (n_classes,)
    encoding : skkd.encodings.PiecewiseLinear or None
    thresholds : dict or None
        Of a teacher.

    Returns
    -------
    skkd.preprocessing.View
    """
    categorical = ()
    if isinstance(estimator.preprocessor, str):
        names = getattr(estimator, "feature_names_in_", None)
        categorical = resolve_categorical(estimator.categorical_features, train.rows, names)
    return fit_view(
        settings.preprocessor,
        train.rows,
        classes[train.targets["labels"]],
        train.targets["weights"],
        categorical,
        encoding=encoding,
        thresholds=thresholds,
    )


def _choose(estimator, settings, task, choices, thresholds):
    """The trial that held-out rows ask for; None where they are too few."""
    splits = _splits(estimator, task)
    if effective_rows(splits[0][1].targets["weights"]) < FEWEST_HELD_OUT:
        return None
    folds = []
    for k, (train, held_out) in enumerate(splits):
        # The rows that are made for the first fold serve the fit of all rows, too.
        candidates = [one.anew() if k else one for one in choices.candidates]
        train, held_out, candidates = estimator._unseen(task, train, held_out, candidates)
        views = {
            encoding: view_of(estimator, settings, train, task.classes, encoding, thresholds)
            for encoding in choices.encodings
        }
        title = f", fold {k + 1} of {len(splits)}" if len(splits) > 1 else ""
        fit = _fitter(settings, task, held_out, views, title)
        folds.append(Fold(train, held_out, fit, {one.name: one for one in candidates}))
    choices = replace(choices, encodings=_different(choices.encodings, views))
    choice = choose(choices, folds)
    if choice.learned_nothing:
        warn(
            "on held-out rows the network is no better than the class frequencies: the "
            f"labels are noise, learning_rate={settings.learning_rate!r} is too high, or a "
            "class has too few rows to be held out."
        )
    return choice


def _splits(estimator, task):
    """(train, held out) of each fold: one where that holds out rows enough."""
    if task.held_out is not None:
        return [(task.train, task.held_out)]

    def split(k):
        fraction, seed = estimator.validation_fraction, task.seeds.split + k
        return split_examples(task.train, validation_fraction=fraction, seed=seed, warns=False)

    first = split(0)
    n_folds = math.ceil(ENOUGH_HELD_OUT / len(first[1]))
    return [first, *(split(k) for k in range(1, min(n_folds, MOST_FOLDS)))]


def _fitter(settings, task, held_out, views, title):
    """What trains the candidates on the rows of a fold."""
    from skkd.fitting import fit_examples

    quiet = changed(settings, callbacks=None, verbose=min(int(settings.verbose), 1))
    valid = held_out if settings.early_stopping else None

    def fit(candidate, encoding, examples, n_epochs, previous, on_epoch):
        return fit_examples(
            quiet,
            candidate.row_loss,
            views[encoding],
            examples,
            valid,
            n_classes=len(task.classes),
            n_epochs=settings.max_epochs if n_epochs is None else n_epochs,
            seed=task.seeds.network,
            previous=previous,
            on_epoch=on_epoch,
            title=f"trying {candidate.name}, {encoding or 'plain numbers'}{title}",
        )

    return fit


def _different(encodings, views):
    """The first encoding, and those of the others that make other inputs of the rows."""
    first, *others = encodings
    width = views[first].n_features
    return [first, *(encoding for encoding in others if views[encoding].n_features != width)]
