"""Supervision: what a network learns from, as candidates that are compared on held-out rows.

There are up to three candidates: labels alone; labels and a teacher; and a transfer set beside
them, whose rows only the teacher labels (:mod:`skkd.distillation`). A teacher helps if its
probabilities are better than those of a network trained on labels alone, and hurts if they are
worse; a transfer set helps most on small tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
    """One kind of supervision that is compared with others.

    Parameters
    ----------
    name : str
        "labels", "teacher" or "transfer set".
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
    alpha : float, default=0.0
        Weight of the teacher on rows with labels.
    transfer_set : TransferSet, default=None
        Rows that only the teacher labels.
    is_calibrated : bool, default=True
        Whether its probabilities are calibrated on held-out labels.
    required_margin : float, default=1.0
        The held-out log-loss is multiplied by this before it is compared. Above 1 for a
        candidate whose teacher may have seen the held-out rows.
    required_margin_if_trusted : float, default=1.0
        The same, if the best candidate without a margin uses the teacher.
    """

    name: str
    criterion: Any
    alpha: float = 0.0
    transfer_set: "TransferSet | None" = None
    is_calibrated: bool = True
    required_margin: float = 1.0
    required_margin_if_trusted: float = 1.0

    def dataset(self, labelled: Dataset, transfer_rows: Dataset | None = None) -> Dataset:
        """All rows that the network is trained on.

        Parameters
        ----------
        labelled : Dataset
        transfer_rows : Dataset, default=None
            Rows of the transfer set that were made before; None makes them.

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
        """The same, for held-out rows that the teacher has not seen.

        Returns
        -------
        Candidate
        """
        return replace(self, required_margin=1.0, required_margin_if_trusted=1.0)

    def sharing_seconds(self, n_sets: int) -> "Candidate":
        """The same, with the time limit of its transfer set divided among several sets.

        Parameters
        ----------
        n_sets : int

        Returns
        -------
        Candidate
        """
        if self.transfer_set is None:
            return self
        return replace(self, transfer_set=self.transfer_set.shared_by(n_sets))

    def labelled_by(self, teacher: "Labeller") -> "Candidate":
        """The same, with a transfer set that another teacher labels.

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
    """One split of the rows, and the candidates that are compared on it.

    Parameters
    ----------
    train, held_out : Dataset
    candidates : list of Candidate
    thresholds : dict or None
        Thresholds of the teacher's trees, by column.
    """

    train: Dataset
    held_out: Dataset
    candidates: list[Candidate]
    thresholds: dict | None


class Supervision(Protocol):
    """What a network learns from: the interface that `fit` uses."""

    #: The sorted labels, of shape (n_classes,).
    classes: np.ndarray

    #: Targets of each row, by name; "labels" (codes) is one of them.
    targets: dict[str, np.ndarray]

    def criterion(self) -> Any:
        """The training loss if nothing is selected."""

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The candidates; the first is used if they cannot be compared."""

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """Thresholds of the teacher's trees by column, if a numeric encoding needs them."""

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """Each split with a teacher that was fitted without its held-out rows.

        None if there is no teacher, or none that may be fitted again.
        """


class LabelSupervision:
    """Learning from labels alone.

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

    def criterion(self) -> Any:
        """Cross-entropy of smoothed labels."""
        from skkd.training.criteria import LabelLoss

        return LabelLoss(self.config.label_smoothing)

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """One candidate: the labels."""
        is_calibrated = self.config.module is None
        return [Candidate("labels", self.criterion(), is_calibrated=is_calibrated)]

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """None: there is no teacher."""
        return None

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """None: there is no teacher."""
        return None
