"""What to learn from: the labels, a teacher, a transfer set. Held-out labels decide.

A teacher helps where it knows more than the network would learn by itself, and hurts
where it does not; rows that only it has labelled help most where the table is small. So
each candidate is fitted to a part of the rows, and the one whose log-loss of true labels
is lowest on the others is fitted again, to all.

Most of the training would be spent on losers, so the candidates race (Jamieson and Talwalkar
2016, "Non-stochastic best arm identification and hyperparameter optimization",
arXiv:1502.07943): at the last but two of the lengths that a training may have, two of them
stay, at the last but one the better of these; or both, if which is better depends on a
handicap, for a transfer set gains most in the end.

Before that the candidate that hears the teacher least is trained as far as the first of these
lengths with each of the numeric encodings: the less a teacher tells of held-out rows, the less
it speaks for its own thresholds. Another encoding than the first must be better by more than
`CLEARLY` standard errors, for it makes the network larger. The best one goes to all candidates.
"""

from dataclasses import dataclass

import numpy as np

from skkd.epochs import EpochChoice, is_worse

__all__ = ["Candidate", "Trial", "choose"]

#: Standard errors by which more inputs must be better. Where they help small networks in the
#: end they lead early by 1.8 or more, where not by less than 1.
CLEARLY = 1.5


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
    """How one candidate does on the held-out rows, while it is trained.

    Parameters
    ----------
    candidate : Candidate
    encoding : skkd.encodings.PiecewiseLinear or None
        Of numbers.
    train : skkd.examples.Examples
        Labelled.
    lengths, held_out
        See :class:`skkd.epochs.EpochChoice`.

    Attributes
    ----------
    n_done : int
        Epochs so far.
    is_over : bool
        Whether there is nothing more to hear of it: all epochs are done, or going on was no
        use.
    trials : dict of str to Trial
        Of all candidates, by name, as they were when they dropped out.
    """

    def __init__(self, candidate, encoding, train, lengths, held_out):
        super().__init__(lengths, held_out)
        self.candidate = candidate
        self.encoding = encoding
        self.train, self.examples = train, None
        self.fitted = None
        self.n_done = 0
        self.is_over = False
        self.trials = {}

    def go_on_until(self, end, fit):
        """Train until so many epochs are done.

        Parameters
        ----------
        end : int or None
            None: until the training ends by itself, which is judged alone.
        fit : callable
            See `choose`.
        """
        if self.is_over or self.n_done == end:
            return
        if self.examples is None:
            self.examples = self.candidate.examples(self.train)
        n_before = self.n_done

        def on_epoch(record, network):
            self.n_done = n_before + record["epoch"]
            self.is_over = self.hear({**record, "epoch": self.n_done}, network)
            return self.is_over

        n_epochs, listener = (None, None) if end is None else (end - n_before, on_epoch)
        self.fitted = fit(
            self.candidate, self.encoding, self.examples, n_epochs, self.fitted, listener
        )
        if not self.losses:
            self.judge(len(self.fitted.history), self.fitted.network)
        self.is_over |= end is None or end == self.lengths[-1]

    def let_go(self):
        """Keep the losses, not the rows nor the network: it will not be trained any more."""
        self.train = self.examples = self.fitted = None

    def is_better_than(self, rival):
        """Whether its loss is clearly lower, each at its own length."""
        ours, theirs = (trial.row_losses[trial.n_epochs] for trial in (self, rival))
        return is_worse(theirs - ours, self.weights, errors=CLEARLY)


def choose(candidates, encodings, lengths, train, held_out, fit, is_split_off=True):
    """Fit each candidate to some rows, and compare them on others.

    Parameters
    ----------
    candidates : list of Candidate
    encodings : list of (skkd.encodings.PiecewiseLinear or None)
        Of numbers; the first, unless another is clearly better.
    lengths : list of int
        Numbers of epochs to choose among; empty where only the end of training counts.
    train, held_out : skkd.examples.Examples
    fit : callable
        (candidate, encoding, examples, n_epochs, previous, on_epoch) ->
        skkd.fitting.Fitted. With `n_epochs` None it trains as long as it likes; `previous`
        is the Fitted to go on from, or None; `on_epoch` (record, network) says whether to
        stop, and may be None.
    is_split_off : bool, default=True
        Whether the held-out rows are rows of the table, which a teacher may have seen:
        then handicaps count.

    Returns
    -------
    Trial
        Of the best candidate.
    """
    marks = lengths[-3:] or [None]

    def trial_of(candidate, encoding):
        return Trial(candidate, encoding, train, lengths, held_out)

    first = min(candidates, key=lambda candidate: candidate.alpha)
    leader = _best_encoded([trial_of(first, encoding) for encoding in encodings], marks[0], fit)
    rest = [candidate for candidate in candidates if candidate is not first]
    racers = [leader, *(trial_of(candidate, leader.encoding) for candidate in rest)]
    trials = {trial.candidate.name: trial for trial in racers}
    best = _winner(racers, marks, fit, is_split_off)
    best.trials = trials
    return best


def _best_encoded(trials, mark, fit):
    """The first trial, or another that is clearly better after a few epochs."""
    leader, *others = trials
    if others:
        leader.go_on_until(mark, fit)
    for trial in others:
        trial.go_on_until(mark, fit)
        loser = leader if trial.is_better_than(leader) else trial
        leader = trial if loser is leader else leader
        loser.let_go()
    return leader


def _winner(racers, marks, fit, is_split_off):
    """The best trial in the end: at each mark but the last so many stay as marks are to come."""
    for n_marks_to_come, mark in zip(reversed(range(len(marks))), marks, strict=True):
        if len(racers) == 1:
            mark = marks[-1]
        for trial in racers:
            trial.go_on_until(mark, fit)
        best = _best(racers, is_split_off)
        stay = [best, *sorted(racers, key=lambda trial: trial.loss)[:n_marks_to_come]]
        for trial in racers:
            if trial not in stay:
                trial.let_go()
        racers = [trial for trial in racers if trial in stay]
    best.let_go()
    return best


def _best(trials, is_split_off):
    """The trial of the lowest loss, with their handicaps where these count."""

    def loss_that_counts(trial):
        if not is_split_off:
            return trial.loss
        candidate = trial.candidate
        return trial.loss * (candidate.handicap_if_trusted if is_trusted else candidate.handicap)

    fair = [trial for trial in trials if trial.candidate.handicap <= 1]
    best_of_fair = min(fair, key=lambda trial: trial.loss, default=None)
    is_trusted = best_of_fair is not None and best_of_fair.candidate.alpha > 0
    return min(trials, key=loss_that_counts)
