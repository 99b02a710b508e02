"""What a network may learn from: the labels, a teacher, a transfer set.

A teacher helps where it knows more than the network would learn by itself, and hurts
where it does not; rows that only it has labelled help most where the table is small. Which
is the case, held-out rows tell (:mod:`skkd.selection.successive_halving`).
"""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """One way to learn from a table.

    Parameters
    ----------
    name : str
        For the fitted attributes.
    row_loss : skkd.training.criteria.LabelLoss or TaughtLoss
    alpha : float, default=0.0
        Weight of the teacher on rows with labels.
    transfer_set : callable, default=None
        Labelled examples -> examples that only the teacher has labelled.
    is_calibrated : bool, default=True
        Whether its probabilities are to be those of the labels, not a teacher's.
    handicap : float, default=1.0
        Its held-out log-loss counts as so many times as high: for one whose teacher may
        have seen the held-out rows.
    handicap_if_trusted : float, default=1.0
        The same where the best of those without a handicap listens to the teacher, too.
    """

    name: str
    row_loss: object
    alpha: float = 0.0
    transfer_set: object = None
    is_calibrated: bool = True
    handicap: float = 1.0
    handicap_if_trusted: float = 1.0

    def examples(self, labelled):
        """All that it learns from.

        Parameters
        ----------
        labelled : skkd.data.dataset.Examples

        Returns
        -------
        skkd.data.dataset.Examples
        """
        if self.transfer_set is None:
            return labelled
        return labelled.with_target("alpha", np.full(len(labelled), self.alpha)).followed_by(
            self.transfer_set(labelled)
        )

    def without_handicap(self):
        """The same, where no teacher can have seen the held-out rows.

        Returns
        -------
        Candidate
        """
        return replace(self, handicap=1.0, handicap_if_trusted=1.0)

    def anew(self, **changes):
        """The same for other rows: its transfer set is made anew.

        Parameters
        ----------
        **changes : object
            What else is different about the transfer set: see
            :meth:`skkd.transfer.transfer_set.TransferSet.anew`.

        Returns
        -------
        Candidate
        """
        if self.transfer_set is None:
            return self
        return replace(self, transfer_set=self.transfer_set.anew(**changes))
