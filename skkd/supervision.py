"""Supervision: what a network learns from.

There are up to three kinds of supervision for a fit:

- labels alone;
- labels and a teacher;
- labels, a teacher and a transfer set: further rows that only the teacher labels.

They are candidates: the network is trained with each, and the best one on held-out rows is
selected. A teacher helps if its probabilities are better than those of a network trained on
labels alone, and hurts if they are worse. A transfer set helps most on small tables.

This module holds the interface, and supervision by labels alone. Supervision by a teacher is in
:mod:`skkd.distillation`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput
from skkd.data.validation import check_same_classes, encode

if TYPE_CHECKING:  # samplers take a while to import
    from skkd.transfer.transfer_set import Labeller, TransferSet

__all__ = ["Candidate", "Fold", "LabelSupervision", "Supervision"]


@dataclass(frozen=True)
class Candidate:
    """One kind of supervision, to be compared with others on held-out rows.

    The candidate with the lowest held-out log-loss is selected. Before the comparison, each loss
    is multiplied by a factor, the margin, because the loss of a candidate may be too low if the
    teacher has seen the held-out rows. First only the candidates without a margin are compared,
    whose `required_margin` is 1. If the best of them uses the teacher, the teacher is trusted: then
    the margin of each candidate is its `required_margin_if_trusted`, else its `required_margin`.

    Parameters
    ----------
    name : str
        "labels", "teacher" or "transfer set".
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
        The training loss.
    alpha : float, default=0.0
        Weight of the teacher in the loss of rows with labels.
    transfer_set : TransferSet, default=None
        Rows that only the teacher labels.
    is_calibrated : bool, default=True
        Whether the probabilities of the trained network are calibrated on held-out labels.
    required_margin : float, default=1.0
        The margin if the teacher is not trusted. A value above 1 is a disadvantage.
    required_margin_if_trusted : float, default=1.0
        The margin if the teacher is trusted.
    """

    name: str
    criterion: Any
    alpha: float = 0.0
    transfer_set: "TransferSet | None" = None
    is_calibrated: bool = True
    required_margin: float = 1.0
    required_margin_if_trusted: float = 1.0

    def dataset(self, labelled: Dataset, transfer_rows: Dataset | None = None) -> Dataset:
        """All rows that the network is trained on: rows with labels, and the transfer set.

        Parameters
        ----------
        labelled : Dataset
            The rows with labels.
        transfer_rows : Dataset, default=None
            The rows of the transfer set; if None, they are made now.

        Returns
        -------
        Dataset
        """
        if self.transfer_set is None:
            return labelled
        if transfer_rows is None:
            transfer_rows = self.transfer_set.rows_beside(labelled)
        alphas = np.full(len(labelled), self.alpha)
        return labelled.with_target("alpha", alphas).followed_by(transfer_rows)

    def without_margin(self) -> "Candidate":
        """A copy with the required margin 1, for held-out rows that the teacher has not seen.

        Returns
        -------
        Candidate
        """
        return replace(self, required_margin=1.0, required_margin_if_trusted=1.0)

    def sharing_seconds(self, n_sets: int) -> "Candidate":
        """A copy in which the time limit of the transfer set is divided by `n_sets`.

        Parameters
        ----------
        n_sets : int
            The number of transfer sets that share the time limit.

        Returns
        -------
        Candidate
        """
        if self.transfer_set is None:
            return self
        return replace(self, transfer_set=self.transfer_set.shared_by(n_sets))

    def labelled_by(self, teacher: "Labeller") -> "Candidate":
        """A copy whose transfer set is labelled by another teacher.

        Parameters
        ----------
        teacher : Labeller

        Returns
        -------
        Candidate
        """
        if self.transfer_set is None:
            return self
        return replace(self, transfer_set=self.transfer_set.labelled_by(teacher))


class Fold(NamedTuple):
    """One split into training rows and held-out rows, and the candidates to compare on it.

    Parameters
    ----------
    train, held_out : Dataset
        The training rows and the held-out rows, with their targets.
    candidates : list of Candidate
    thresholds : dict or None
        The thresholds of the teacher's trees, by column index; None if there are none.
    """

    train: Dataset
    held_out: Dataset
    candidates: list[Candidate]
    thresholds: dict | None


class Supervision(Protocol):
    """The interface through which `fit` gets what a network learns from."""

    #: The sorted class labels, of shape (n_classes,).
    classes: np.ndarray

    #: Arrays of training targets for all rows, by name. "labels" holds the class codes.
    targets: dict[str, np.ndarray]

    def with_config(self, config: Any) -> Self:
        """A copy for a network with other parameters, with the same labels and teacher."""

    def criterion(self) -> Any:
        """The training loss if no candidates are compared, as in `partial_fit`."""

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The candidates to compare on held-out rows.

        If `can_select` is false, no rows can be held out, and the first candidate is used.
        """

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """The thresholds of the teacher's trees, by index of the column of X.

        A numeric encoding can use them as bin edges. `may_add_bins` tells whether such an encoding
        may be tried even if the user has not asked for one. If there are no thresholds, or if they
        are not to be used, the result is None.
        """

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """If possible, fit a clone of the teacher without the held-out rows of each split.

        `splits` are pairs (training rows, held-out rows). The result is one Fold for each
        pair. Each Fold holds the tree thresholds of its clone or, if the argument `thresholds` is
        None, no thresholds. If there is no teacher, or if no clones are fitted, the result is None.
        """


class LabelSupervision:
    """Supervision by labels alone, without a teacher.

    Parameters
    ----------
    config : Config
    data : FitInput
    """

    def __init__(self, config: Config, data: FitInput) -> None:
        self.config = config
        if data.needs_all_classes and data.classes is not None:
            check_same_classes(np.unique(data.y), data.classes)
        self.classes, codes = encode(data.y, data.classes)
        self.targets = {"labels": codes}

    def with_config(self, config: Config) -> "LabelSupervision":
        """A copy for a network with other parameters, with the same labels."""
        copied = copy.copy(self)
        copied.config = config
        return copied

    def criterion(self) -> Any:
        """The cross-entropy loss, with label smoothing."""
        from skkd.training.criteria import LabelLoss

        return LabelLoss(self.config.label_smoothing)

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """A list with labels alone as its only candidate."""
        is_calibrated = self.config.module is None
        return [Candidate("labels", self.criterion(), is_calibrated=is_calibrated)]

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """Return None, because there is no teacher with trees."""
        return None

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """Return None, because there is no teacher to fit again."""
        return None
