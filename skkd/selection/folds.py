"""Folds: how rows are held out, and how candidates are trained on the remaining rows.

A candidate is something that a network learns from, such as the labels or a teacher.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from skkd.config import Config
from skkd.data.dataset import Dataset, hold_out, hold_out_others
from skkd.data.fit_data import FitData, Seeds
from skkd.data.validation import RowReader
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.progress import ProgressBar
from skkd.selection.encodings import preprocessor_for
from skkd.supervision import Candidate, Fold

__all__ = ["FoldTrainer", "held_out_splits"]

#: Small tables get several folds with different held-out rows: until `ENOUGH_HELD_OUT` rows are
#: held out in all, but at most `MOST_FOLDS` folds. If only 100 rows are held out, a tenth of
#: 1,000, the selected number of epochs is often far from the best.
ENOUGH_HELD_OUT, MOST_FOLDS = 300, 3


def held_out_splits(config: Config, data: FitData, seed: int) -> list[tuple[Dataset, Dataset]]:
    """Split the rows of each fold into training rows and held-out rows.

    There is a single fold if it holds out enough rows, or if the user gave the held-out rows.

    Parameters
    ----------
    config : Config
    data : FitData
    seed : int

    Returns
    -------
    list of (Dataset, Dataset)
        Training rows and held-out rows of each fold.
    """
    if data.held_out is not None:
        return [(data.train, data.held_out)]
    fraction = config.validation_fraction
    first = hold_out(data.train, validation_fraction=fraction, seed=seed, warns=False)
    splits: list[Any] = [first]
    for k in range(1, min(math.ceil(ENOUGH_HELD_OUT / len(splits[0][1])), MOST_FOLDS)):
        split = hold_out_others(data.train, splits, seed + k)
        if split is None:
            break
        splits.append(split)
    return splits


class FoldTrainer:
    """Trains candidates on the training rows of one fold.

    Parameters
    ----------
    config : Config
    fold : Fold
    encodings : list of (PiecewiseLinear or None)
        Encodings of numbers; None stands for plain numbers, without bins.
    reader : RowReader
        It has read the rows.
    classes : ndarray of shape (n_classes,)
    seeds : Seeds
    bar : ProgressBar, default=None
        The bar that shows each epoch; None for no bar.
    where : str, default=""
        The end of the bar's title, for example ", fold 1 of 3".

    Attributes
    ----------
    transfer_rows : dict of str to Dataset
        The rows of the transfer sets that were made for this fold, by name of the candidate.
    """

    def __init__(
        self,
        config: Config,
        fold: Fold,
        encodings: list[PiecewiseLinear | None],
        reader: RowReader,
        classes: np.ndarray,
        seeds: Seeds,
        bar: ProgressBar | None = None,
        where: str = "",
    ) -> None:
        self.config = replace(config, callbacks=None, verbose=0)
        self.train, self.held_out = fold.train, fold.held_out
        self.candidates = {candidate.name: candidate for candidate in fold.candidates}
        self.preprocessors = {
            encoding: preprocessor_for(
                config, reader, fold.train, classes, encoding, fold.thresholds
            )
            for encoding in encodings
        }
        self.n_classes, self.seed = len(classes), seeds.network
        self.bar, self.where = bar, where
        self.transfer_rows: dict[str, Dataset] = {}

    def dataset(self, name: str) -> Dataset:
        """Return all rows that a candidate is trained on, including those of its transfer set.

        Parameters
        ----------
        name : str
            Name of the candidate.

        Returns
        -------
        Dataset
        """
        candidate = self.candidates[name]
        if candidate.transfer_set is None:
            return candidate.dataset(self.train)
        rows = self.transfer_rows.get(name) or candidate.transfer_set.rows_beside(self.train)
        if rows.fresh_rows is None:  # else they are made anew for each epoch
            self.transfer_rows[name] = rows
        return candidate.dataset(self.train, rows)

    def fit(
        self,
        candidate: Candidate,
        encoding: PiecewiseLinear | None,
        dataset: Dataset,
        n_epochs: int | None,
        previous: Any,
        on_epoch: Callable | None,
    ) -> Any:
        """Train a candidate, or continue its training.

        Parameters
        ----------
        candidate : Candidate
        encoding : PiecewiseLinear or None
            One of the `encodings` of the constructor.
        dataset : Dataset
            The rows to train on, from :meth:`dataset`.
        n_epochs : int or None
            Number of epochs, without those of `previous`; None means the configured `max_epochs`.
        previous : TrainingResult or None
            The training to continue; None trains from the beginning.
        on_epoch : callable or None
            Called after each epoch, see :func:`skkd.training.fit.fit_dataset`.

        Returns
        -------
        skkd.training.result.TrainingResult
        """
        from skkd.training import fit  # imports torch, only when it is needed

        if self.bar:
            on_epoch = self._with_bar(self.bar, candidate, encoding, on_epoch)
        return fit.fit_dataset(
            self.config,
            candidate.criterion,
            self.preprocessors[encoding],
            dataset,
            self.held_out if self.config.early_stopping else None,
            n_classes=self.n_classes,
            n_epochs=self.config.max_epochs if n_epochs is None else n_epochs,
            seed=self.seed,
            previous=previous,
            on_epoch=on_epoch,
        )

    def for_another_process(self, encoding: PiecewiseLinear | None) -> "FoldTrainer":
        """A copy that trains with one encoding, and has no teacher and no progress bar.

        Parameters
        ----------
        encoding : PiecewiseLinear or None

        Returns
        -------
        FoldTrainer
        """
        copied = copy.copy(self)
        copied.config = self.config.without_teacher()
        copied.preprocessors = {encoding: self.preprocessors[encoding]}
        copied.candidates, copied.transfer_rows, copied.bar = {}, {}, None
        return copied

    def _with_bar(
        self,
        bar: ProgressBar,
        candidate: Candidate,
        encoding: PiecewiseLinear | None,
        on_epoch: Callable | None,
    ) -> Callable:
        """Return a function to call after each epoch: it updates the bar and calls `on_epoch`."""
        title = self._title(candidate, encoding)

        def update(record: dict, result: Callable) -> bool:
            bar.on_epoch_end(record, title)
            return on_epoch is not None and on_epoch(record, result)

        return update

    def show(
        self, candidate: Candidate, encoding: PiecewiseLinear | None, records: list[dict]
    ) -> None:
        """Show epochs in the bar, if there is one, that another process has trained.

        Parameters
        ----------
        candidate : Candidate
        encoding : PiecewiseLinear or None
        records : list of dict
            The entries of the history.
        """
        if self.bar is None:
            return
        for record in records:
            self.bar.on_epoch_end(record, self._title(candidate, encoding))

    def _title(self, candidate: Candidate, encoding: PiecewiseLinear | None) -> str:
        inputs = f", {encoding or 'plain numbers'}" if len(self.preprocessors) > 1 else ""
        return f"trying {candidate.name}{inputs}{self.where}"
