"""What a network learns from: candidates, of which held-out rows choose one.

Labels alone are one candidate. A teacher beside them is another, and rows that only it labels a
third (:mod:`skkd.distillation`). A teacher helps where it knows more than the network would
learn by itself, and hurts where it does not; unlabelled rows help most where the table is small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.fit_data import FitData, FitInput
from skkd.data.validation import check_same_classes, encode
from skkd.transfer.transfer_set import Labeller, TransferSet

__all__ = ["Candidate", "Fold", "LabelSupervision", "Supervision"]


@dataclass(frozen=True)
class Candidate:
    """One way to learn from a table.

    Parameters
    ----------
    name : str
        For the fitted attributes.
    criterion : skkd.training.criteria.LabelLoss or TaughtLoss
    alpha : float, default=0.0
        Weight of the teacher on rows with labels.
    transfer_set : TransferSet, default=None
        Rows without labels.
    is_calibrated : bool, default=True
        Whether its probabilities are to be those of the labels, not a teacher's.
    required_margin : float, default=1.0
        Its held-out log-loss is multiplied by this before it is compared: for a candidate
        whose teacher may have seen the held-out rows.
    required_margin_if_trusted : float, default=1.0
        The same where the best of the candidates without a margin uses the teacher, too.
    """

    name: str
    criterion: Any
    alpha: float = 0.0
    transfer_set: TransferSet | None = None
    is_calibrated: bool = True
    required_margin: float = 1.0
    required_margin_if_trusted: float = 1.0

    def dataset(self, labelled: Dataset, transfer_rows: Dataset | None = None) -> Dataset:
        """All rows that it learns from.

        Parameters
        ----------
        labelled : Dataset
        transfer_rows : Dataset, default=None
            Rows without labels that were made before; None makes them, if it has any.

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
        """The same, for held-out rows that its teacher cannot have seen.

        Returns
        -------
        Candidate
        """
        return replace(self, required_margin=1.0, required_margin_if_trusted=1.0)

    def sharing_seconds(self, n_sets: int) -> "Candidate":
        """The same, whose transfer set is made so many times within its seconds.

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

    def labelled_by(self, teacher: Labeller) -> "Candidate":
        """The same, whose transfer set is labelled by another teacher.

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
    """One split of the rows, with what there is to learn from in it.

    Parameters
    ----------
    train, held_out : Dataset
    candidates : list of Candidate
    thresholds : dict or None
        At which the teacher's trees split columns.
    """

    train: Dataset
    held_out: Dataset
    candidates: list[Candidate]
    thresholds: dict | None


class Supervision(Protocol):
    """What a fit asks about what the network learns from."""

    #: The sorted labels, of shape (n_classes,).
    classes: np.ndarray

    #: What the network learns about each row, by name: "labels" (codes) among them.
    targets: dict[str, np.ndarray]

    def criterion(self) -> Any:
        """The training loss where nothing is selected."""

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The candidates; the first is taken where nothing can be compared."""

    def thresholds(self, may_add_bins: bool) -> dict | None:
        """Where a teacher's trees split the columns, if a numeric encoding asks for it."""

    def without(
        self,
        splits: Sequence[tuple[Dataset, Dataset]],
        candidates: list[Candidate],
        data: FitData,
        thresholds: dict | None,
    ) -> list[Fold] | None:
        """Each split, taught by a teacher that has not seen its held-out rows.

        None where there is no teacher, or none that may be fitted anew.
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
        if data.needs_all_classes:
            check_same_classes(np.unique(data.y), data.classes)
        self.classes, codes = encode(data.y, data.classes)
        self.targets = {"labels": codes}

    def criterion(self) -> Any:
        """Cross-entropy of smoothed labels."""
        from skkd.training.criteria import LabelLoss

        return LabelLoss(self.config.label_smoothing)

    def candidates(self, data: FitData, can_select: bool) -> list[Candidate]:
        """The labels."""
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
