"""What to learn from: the labels, a teacher, a transfer set. Held-out labels decide.

A teacher helps where it knows more than the network would learn by itself, and hurts
where it does not; rows that only it has labelled help most where the table is small. So
each candidate is fitted to a part of the rows, and the one whose log-loss of true labels
is lowest on the others is fitted again, to all. A candidate that is behind the best one
by more than two standard errors, with half of the training to go, is given up.
"""

import math
from dataclasses import dataclass

import numpy as np

from skkd.epochs import EpochChoice

__all__ = ["Candidate", "Trial", "choose"]


@dataclass(frozen=True)
class Candidate:
    """One way to learn from a table.

    Parameters
    ----------
    name : str
        For the fitted attributes.
    row_loss : callable
        (logits, targets) -> one loss per row.
    alpha : float, default=0.0
        Weight of the teacher on rows with labels.
    transfer_set : callable, default=None
        Labelled examples -> examples that only the teacher has labelled.
    is_calibrated : bool, default=True
        Whether its probabilities are to be those of the labels, not a teacher's.
    handicap : float, default=1.0
        Its held-out log-loss counts as so many times as high: for one whose teacher may
        have seen the held-out rows.
    """

    name: str
    row_loss: object
    alpha: float = 0.0
    transfer_set: object = None
    is_calibrated: bool = True
    handicap: float = 1.0

    def examples(self, labelled):
        """All that it learns from.

        Parameters
        ----------
        labelled : skkd.examples.Examples

        Returns
        -------
        skkd.examples.Examples
        """
        if self.transfer_set is None:
            return labelled
        return labelled.with_target("alpha", np.full(len(labelled), self.alpha)).followed_by(
            self.transfer_set(labelled)
        )


class Trial(EpochChoice):
    """How one candidate did on the held-out rows, among others.

    Parameters
    ----------
    candidate : Candidate
    lengths, held_out, rival
        See :class:`skkd.epochs.EpochChoice`.

    handicap : float, default=1.0
        What its loss is multiplied by, before losses are compared at the end.

    Attributes
    ----------
    trials : dict of str to Trial
        Of all candidates, by name, as they were when they ended or were given up.
    """

    def __init__(self, candidate, lengths, held_out, rival=None, handicap=1.0):
        super().__init__(lengths, held_out, rival)
        self.candidate = candidate
        self.handicap = handicap
        self.trials = {}


def choose(candidates, lengths, train, held_out, fit, is_split_off=True):
    """Fit each candidate to some rows, and compare them on others.

    Parameters
    ----------
    candidates : list of Candidate
        Later ones are given up where they are behind.
    lengths : list of int
        Numbers of epochs to choose among; empty where only the end of training counts.
    train, held_out : skkd.examples.Examples
    fit : callable
        (candidate, examples, on_epoch or None) -> skkd.fitting.Fitted.
    is_split_off : bool, default=True
        Whether the held-out rows are rows of the table, which a teacher may have seen:
        then handicaps count.

    Returns
    -------
    Trial
        Of the best candidate.
    """
    best, lowest, trials = None, math.inf, {}
    for candidate in candidates:
        handicap = candidate.handicap if is_split_off else 1.0
        # Who is favoured by its teacher must not make others give up.
        is_fair = best is None or best.handicap <= handicap
        trial = Trial(candidate, lengths, held_out, best if is_fair else None, handicap)
        fitted = fit(candidate, candidate.examples(train), trial.hear if lengths else None)
        if not trial.losses:
            trial.judge(len(fitted.history), fitted.network)
        trials[candidate.name] = trial
        loss = trial.loss * handicap
        if loss < lowest and not trial.is_behind:
            best, lowest = trial, loss
    best.trials = trials
    return best
