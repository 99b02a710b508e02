"""Held-out rows, and what is trained to be compared on them."""

import math
from contextlib import closing, nullcontext
from dataclasses import replace

from skkd.epochs import FEWEST_HELD_OUT, effective_rows
from skkd.examples import split_examples
from skkd.parameters import warn
from skkd.presets import changed
from skkd.progress import ProgressBar
from skkd.race import Fold, choose
from skkd.views import view_of

__all__ = ["Chooser"]

#: Rows are held out again, others each time, until so many were, but no more than so often:
#: of 1,000 rows a tenth often asks for an epoch number that is far from the best.
ENOUGH_HELD_OUT, MOST_FOLDS = 300, 3


class Chooser:
    """Chooses on held-out rows among what a table may be learned with.

    Parameters
    ----------
    estimator : NeuralClassifier
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    task : skkd.task.Task
    choices : skkd.race.Choices
    thresholds : dict or None
        Of a teacher, for encodings.
    """

    def __init__(self, estimator, settings, task, choices, thresholds):
        self.estimator, self.settings, self.task = estimator, settings, task
        self.choices, self.thresholds = choices, thresholds

    def choose(self):
        """The trial that held-out rows ask for; None where they are too few.

        Returns
        -------
        skkd.race.Trial or None
        """
        splits = self._splits()
        if effective_rows(splits[0][1].targets["weights"]) < FEWEST_HELD_OUT:
            return None
        is_shown = self.settings.verbose
        with closing(ProgressBar(None, verbose=1)) if is_shown else nullcontext() as bar:
            folds = [self._fold(k, len(splits), *split, bar) for k, split in enumerate(splits)]
            choice = choose(replace(self.choices, encodings=self._encodings()), folds)
        if choice.learned_nothing:
            warn(
                "on held-out rows the network is no better than the class frequencies: the "
                f"labels are noise, learning_rate={self.settings.learning_rate!r} is too high, "
                "or a class has too few rows to be held out."
            )
        return choice

    def _splits(self):
        """(train, held out) of each fold: one where that holds out rows enough."""
        task, fraction = self.task, self.estimator.validation_fraction
        if task.held_out is not None:
            return [(task.train, task.held_out)]

        def split(k):
            seed = task.seeds.split + k
            return split_examples(task.train, validation_fraction=fraction, seed=seed, warns=False)

        first = split(0)
        n_folds = min(math.ceil(ENOUGH_HELD_OUT / len(first[1])), MOST_FOLDS)
        return [first, *(split(k) for k in range(1, n_folds))]

    def _fold(self, k, n_folds, train, held_out, bar):
        # The rows that are made for the first fold serve the fit of all rows, too.
        candidates = [one.anew() if k else one for one in self.choices.candidates]
        train, held_out, candidates = self.estimator._unseen(self.task, train, held_out, candidates)
        fit = self._fitter(
            views={encoding: self._view(train, encoding) for encoding in self.choices.encodings},
            valid=held_out if self.settings.early_stopping else None,
            bar=bar,
            where=f", fold {k + 1} of {n_folds}" if n_folds > 1 else "",
        )
        return Fold(train, held_out, fit, {one.name: one for one in candidates})

    def _view(self, train, encoding):
        classes = self.task.classes
        return view_of(self.estimator, self.settings, train, classes, encoding, self.thresholds)

    def _fitter(self, views, valid, bar, where):
        """What trains the candidates on the rows of a fold, and shows it."""
        from skkd.fitting import fit_examples

        settings = changed(self.settings, callbacks=None, verbose=0)

        def fit(candidate, encoding, examples, n_epochs, previous, on_epoch):
            def show(record, network):
                bar.show(f"trying {candidate.name}, {encoding or 'plain numbers'}{where}")
                bar.on_epoch_end(record)
                return on_epoch is not None and on_epoch(record, network)

            return fit_examples(
                settings,
                candidate.row_loss,
                views[encoding],
                examples,
                valid,
                n_classes=len(self.task.classes),
                n_epochs=settings.max_epochs if n_epochs is None else n_epochs,
                seed=self.task.seeds.network,
                previous=previous,
                on_epoch=show if bar else on_epoch,
            )

        return fit

    def _encodings(self):
        """The first encoding, and those of the others that make other inputs of the rows."""
        first, *others = self.choices.encodings
        if not others:
            return [first]
        width = self._view(self.task.train, first).n_features
        differ = [e for e in others if self._view(self.task.train, e).n_features != width]
        return [first, *differ]
