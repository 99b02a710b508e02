"""Held-out rows, and what is trained to be compared on them."""

import math
from contextlib import closing, nullcontext
from typing import NamedTuple

from skkd.checks import warn
from skkd.data.dataset import Examples, effective_rows, split_again, split_examples
from skkd.presets import changed
from skkd.selection.encodings import view_of
from skkd.selection.epochs import FEWEST_HELD_OUT
from skkd.selection.successive_halving import Choices, Fold, choose
from skkd.training.progress import ProgressBar

__all__ = ["Chooser", "Lesson"]

#: Rows are held out again, others each time, until so many were, but no more than so often:
#: of 1,000 rows a tenth often asks for an epoch number that is far from the best.
ENOUGH_HELD_OUT, MOST_FOLDS = 300, 3


class Lesson(NamedTuple):
    """What there is to learn in one split of the table."""

    train: Examples
    held_out: Examples
    candidates: list
    thresholds: dict | None


class Chooser:
    """Chooses on held-out rows among what a table may be learned with.

    Parameters
    ----------
    estimator : NeuralClassifier
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    task : skkd.selection.task.Task
    choices : skkd.selection.successive_halving.Choices
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
        skkd.selection.successive_halving.Trial or None
        """
        splits = self._splits()
        n_rows = sum(effective_rows(held_out.targets["weights"]) for _, held_out in splits)
        if n_rows < FEWEST_HELD_OUT:
            return None
        task, choices = self.task, self.choices
        unseen = self.estimator._lessons_of_unseen(
            task, splits, choices.candidates, self.thresholds
        )
        n_sets = len(splits) + (unseen is not None)
        candidates = [one.anew(n_sets=n_sets) for one in choices.candidates]
        lessons = unseen or self._lessons(splits, candidates)
        is_seen = unseen is None and task.held_out is None
        if not is_seen:
            candidates = [one.without_handicap() for one in candidates]
        is_shown = self.settings.verbose
        with (
            closing(ProgressBar(None, verbose=1, title="choosing"))
            if is_shown
            else nullcontext() as bar
        ):
            views = [self._views(lesson) for lesson in lessons]
            folds = [
                self._fold(lesson, views[k], bar, _numbered(k, len(splits)))
                for k, lesson in enumerate(lessons)
            ]
            choices = Choices(candidates, _different(views[0]), choices.lengths)
            choice = choose(choices, folds, is_seen and len(folds) > 1)
            if unseen is not None:  # another teacher is to be heard, with other thresholds
                choice.start = None
            if bar:
                taken = f"took {choice.candidate.name}, {choice.n_epochs} epochs"
                lowest = min(choice.losses_by_name, key=choice.losses_by_name.get)
                if lowest != choice.candidate.name and choice.trials[lowest].candidate.handicap > 1:
                    taken += f" ({lowest} is not clearly better)"
                bar.show(taken, choice.losses_by_name)
        if choice.learned_nothing:
            warn(
                "on held-out rows the network is no better than the class frequencies: the "
                f"labels are noise, learning_rate={self.settings.learning_rate!r} is too high, "
                "or a class has too few rows to be held out."
            )
        return choice

    def _splits(self):
        """(train, held out) of each fold: one where that holds out rows enough."""
        task = self.task
        if task.held_out is not None:
            return [(task.train, task.held_out)]
        fraction, seed = self.estimator.validation_fraction, task.seeds.split
        first = split_examples(task.train, validation_fraction=fraction, seed=seed, warns=False)
        splits = [first]
        for k in range(1, min(math.ceil(ENOUGH_HELD_OUT / len(first[1])), MOST_FOLDS)):
            split = split_again(task.train, splits, seed + k)
            if split is None:
                break
            splits.append(split)
        return splits

    def _lessons(self, splits, candidates):
        """The same teacher in each split, and a transfer set of its own."""
        # The rows that are made in the first fold serve the fit of all rows, too.
        return [
            Lesson(*split, [one.anew() for one in candidates] if k else candidates, self.thresholds)
            for k, split in enumerate(splits)
        ]

    def _views(self, lesson):
        """The input view with each of the encodings."""
        how = self.estimator, self.settings, lesson.train, self.task.classes
        return {
            encoding: view_of(*how, encoding, lesson.thresholds)
            for encoding in self.choices.encodings
        }

    def _fold(self, lesson, views, bar, where):
        valid = lesson.held_out if self.settings.early_stopping else None
        by_name = {candidate.name: candidate for candidate in lesson.candidates}
        fit = self._fitter(views, valid, bar, where)
        return Fold(lesson.train, lesson.held_out, fit, by_name)

    def _fitter(self, views, valid, bar, where):
        """What trains the candidates on the rows of a fold, and shows it."""
        from skkd.training.fit import fit_examples

        settings = changed(self.settings, callbacks=None, verbose=0)

        def with_inputs(encoding):
            return f", {encoding or 'plain numbers'}" if len(views) > 1 else ""

        def fit(candidate, encoding, examples, n_epochs, previous, on_epoch):
            def show(record, fitted):
                bar.on_epoch_end(record, f"trying {candidate.name}{with_inputs(encoding)}{where}")
                return on_epoch is not None and on_epoch(record, fitted)

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


def _numbered(k, n_folds):
    """Which fold it is, for a title; nothing if there is one only."""
    return f", fold {k + 1} of {n_folds}" if n_folds > 1 else ""


def _different(views):
    """The first encoding, and those of the others that make other inputs of the rows."""
    first, *others = views
    width = views[first].n_features
    return [first, *(encoding for encoding in others if views[encoding].n_features != width)]
