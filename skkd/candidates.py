"""What to learn from: the labels, a teacher, a transfer set. Held-out labels decide.

A teacher helps where it knows more than the network would learn by itself, and hurts
where it does not; rows that only it has labelled help most where the table is small. So
each candidate is fitted to a part of the rows, and the one whose log-loss of true labels
is lowest on the others is fitted again, to all. A candidate that is behind the best one
by more than two standard errors, with half of the training to go, is given up.

Before that the candidate that hears the teacher least is fitted with each of the numeric
encodings: what a teacher tells of held-out rows must not speak for its thresholds. Another
encoding than the first must lead early, or is given up, and in the end be better by more than
two standard errors, for it makes the network larger. The best one goes to all candidates.
"""

from dataclasses import dataclass

import numpy as np

from skkd.epochs import EpochChoice, is_worse

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
    handicap_if_trusted : float, default=1.0
        The same where another one that listens to the teacher is the best so far.
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
    encoding : skkd.encodings.PiecewiseLinear or None
        Of numbers.
    lengths, held_out, rival
        See :class:`skkd.epochs.EpochChoice`.

    handicap : float, default=1.0
        What its loss is multiplied by, before losses are compared at the end.

    Attributes
    ----------
    trials : dict of str to Trial
        Of all candidates, by name, as they were when they ended or were given up.
    """

    def __init__(self, candidate, encoding, lengths, held_out, rival=None, handicap=1.0):
        super().__init__(lengths, held_out, rival)
        self.candidate = candidate
        self.encoding = encoding
        self.handicap = handicap
        self.trials = {}

    def _is_behind(self, epoch):
        if self._is_of_another_encoding and list(self.lengths[-3:-2]) == [epoch]:
            return not self.leads_at(epoch)
        return super()._is_behind(epoch)

    @property
    def _is_of_another_encoding(self):
        return self.rival is not None and self.rival.candidate is self.candidate

    def leads_at(self, epoch):
        """Whether the rival is worse after as many epochs, by more than a standard error."""
        rival = self.rival.row_losses.get(epoch)
        return rival is not None and is_worse(rival - self.row_losses[epoch], self.weights)

    @property
    def is_better_encoded(self):
        """Whether its encoding is better than the rival's, each at its own length."""
        ours, theirs = (t.row_losses[t.n_epochs] for t in (self, self.rival))
        return not self.is_behind and is_worse(theirs - ours, self.weights, errors=2.0)


def choose(candidates, encodings, lengths, train, held_out, fit, is_split_off=True):
    """Fit each candidate to some rows, and compare them on others.

    Parameters
    ----------
    candidates : list of Candidate
        Others than the first that is fitted are given up where they are behind.
    encodings : list of (skkd.encodings.PiecewiseLinear or None)
        Of numbers; later ones, too.
    lengths : list of int
        Numbers of epochs to choose among; empty where only the end of training counts.
    train, held_out : skkd.examples.Examples
    fit : callable
        (candidate, encoding, examples, on_epoch or None) -> skkd.fitting.Fitted.
    is_split_off : bool, default=True
        Whether the held-out rows are rows of the table, which a teacher may have seen:
        then handicaps count.

    Returns
    -------
    Trial
        Of the best candidate.
    """

    def handicap_of(candidate, rival):
        if not is_split_off:
            return 1.0
        is_trusted = rival is not None and rival.candidate.alpha > 0
        return candidate.handicap_if_trusted if is_trusted else candidate.handicap

    def run(candidate, encoding, rival):
        handicap = handicap_of(candidate, rival)
        # Who is favoured by its teacher must not make others give up.
        rival = None if rival is None or rival.handicap > handicap else rival
        trial = Trial(candidate, encoding, lengths, held_out, rival, handicap)
        examples = candidate.examples(train)
        fitted = fit(candidate, encoding, examples, trial.hear if lengths else None)
        if not trial.losses:
            trial.judge(len(fitted.history), fitted.network)
        return trial

    first = min(candidates, key=lambda candidate: candidate.alpha)
    others = [candidate for candidate in candidates if candidate is not first]
    best = run(first, encodings[0], None)
    for encoding in encodings[1:]:
        trial = run(first, encoding, best)
        best = trial if trial.is_better_encoded else best
    trials = {first.name: best}
    for candidate in others:
        trial = trials[candidate.name] = run(candidate, best.encoding, best)
        if trial.loss * trial.handicap < best.loss * best.handicap and not trial.is_behind:
            best = trial
    best.trials = trials
    return best
