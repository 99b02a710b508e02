"""What to learn from, with which inputs and for how long: held-out labels decide.

Each candidate is fitted to a part of the rows, and the one whose log-loss of true labels is
lowest on the others is fitted again, to all.

Most of the training would be spent on losers, so the candidates race (Jamieson and Talwalkar
2016, "Non-stochastic best arm identification and hyperparameter optimization",
arXiv:1502.07943): at the last but two of the lengths that a training may have, two of them
stay, at the last but one the better of these; or both, if which is better depends on a
handicap, for a transfer set gains most in the end. Nobody stays who would not catch up if its
loss fell once more by as much as since the length before.

Before that the candidate that hears the teacher least is trained as far as the first of these
lengths with each of the numeric encodings: the less a teacher tells of held-out rows, the less
it speaks for its own thresholds. Another encoding than the first must be better by more than
`CLEARLY` standard errors, for it makes the network larger. The best one goes to all candidates.
"""

from dataclasses import dataclass

import numpy as np

from skkd.data.dataset import Examples
from skkd.selection.candidates import Candidate
from skkd.selection.epochs import EpochChoice, is_worse

__all__ = ["Choices", "Fold", "Trial", "choose"]

#: Standard errors by which more inputs must be better. Where they help small networks in the
#: end they lead early by 1.8 or more, where not by less than 1.
CLEARLY = 1.5


@dataclass(frozen=True)
class Choices:
    """What there is to choose among.

    Parameters
    ----------
    candidates : list of Candidate
        The first is taken where nothing can be compared.
    encodings : list of (skkd.preprocessing.encodings.PiecewiseLinear or None)
        Of numbers; the first, unless another is clearly better.
    lengths : list of int
        Numbers of epochs; empty where only the end of training counts.
    """

    candidates: list[Candidate]
    encodings: list
    lengths: list[int]


@dataclass(frozen=True)
class Fold:
    """One split of the table: rows to learn from, and others to compare on.

    Parameters
    ----------
    train, held_out : skkd.data.dataset.Examples
    fit : callable
        (candidate, encoding, examples, n_epochs, previous, on_epoch) ->
        skkd.training.fit.Fitted. With `n_epochs` None it trains as long as it likes; `previous`
        is the Fitted to go on from, or None; `on_epoch` (record, fitted) says whether to
        stop, and may be None.
    candidates : dict of str to Candidate
        By name, as they learn here: a transfer set resembles the rows of one fold.
    """

    train: Examples
    held_out: Examples
    fit: object
    candidates: dict


class Training:
    """One candidate on the rows of one fold, trained leg by leg."""

    def __init__(self, name, encoding, fold):
        self.candidate = fold.candidates[name]
        self.encoding = encoding
        self.fold = fold
        self.examples = self.fitted = None

    def go_on(self, n_epochs, on_epoch):
        """Train on: see `Fold.fit`."""
        if self.examples is None:
            self.examples = self.candidate.examples(self.fold.train)
        earlier = self.fitted

        def tell(record, fitted):
            return on_epoch(record, lambda: fitted().preceded_by(earlier))

        fitted = self.fold.fit(
            self.candidate, self.encoding, self.examples, n_epochs, earlier, on_epoch and tell
        )
        self.fitted = fitted.preceded_by(earlier)


class Trial(EpochChoice):
    """How one candidate does on the held-out rows, while it is trained.

    Parameters
    ----------
    candidate : Candidate
    encoding : skkd.preprocessing.encodings.PiecewiseLinear or None
        Of numbers.
    lengths : list of int
        See :class:`Choices`.
    folds : list of Fold
        The held-out rows of all of them count together. With one fold each length is judged
        as soon as it is reached, else when all trainings have reached it.

    Attributes
    ----------
    n_done : int
        Epochs so far.
    is_over : bool
        Whether there is nothing more to hear of it: all epochs are done, or going on was no
        use.
    start : skkd.training.fit.Fitted or None
        The training as it was at the length before the one chosen, to go on from. None if
        that was the first, with several folds, and for all but the best in the end.
    teacher_logits : ndarray of shape (n_rows, n_classes) or None
        What the teacher says of the held-out rows.
    trials : dict of str to Trial
        Of all candidates, by name, as they were when they dropped out.
    """

    def __init__(self, candidate, encoding, lengths, folds):
        targets = [fold.held_out.targets for fold in folds]
        super().__init__(*(np.concatenate([t[k] for t in targets]) for k in ("labels", "weights")))
        self.candidate = candidate
        self.encoding = encoding
        self.lengths = lengths
        self.trainings = [Training(candidate.name, encoding, fold) for fold in folds]
        answers = [target.get("teacher_logits") for target in targets]
        is_taught = all(answer is not None for answer in answers)
        self.teacher_logits = np.concatenate(answers) if is_taught else None
        self.n_done = 0
        self.is_over = False
        self.start = self._latest = None
        self.trials = {}

    def go_on_until(self, end):
        """Train until so many epochs are done.

        Parameters
        ----------
        end : int or None
            None: until the training ends by itself, which is judged alone.
        """
        legs = [end]
        if len(self.trainings) > 1 and end is not None:
            legs = [length for length in self.lengths if length <= end]
        for leg in legs:
            if not self.is_over and (leg is None or self.n_done < leg):
                self._go_on_until(leg)

    def _go_on_until(self, end):
        n_before = self.n_done
        is_alone = end is not None and len(self.trainings) == 1

        def on_epoch(record, fitted):
            self.n_done = n_before + record["epoch"]
            if self.n_done in self.lengths:
                self._judge_alone(fitted())
            return self.is_over

        for training in self.trainings:
            n_epochs = None if end is None else end - n_before
            training.go_on(n_epochs, on_epoch if is_alone else None)
        if not is_alone:
            lengths = [len(training.fitted.history) for training in self.trainings]
            self.n_done = round(np.mean(lengths)) if end is None else end
        if not (is_alone and self.losses):  # else each length was judged when it was reached
            self.is_over = self._judge([training.fitted.network for training in self.trainings])
        self.is_over |= end is None or end == self.lengths[-1]

    @property
    def hoped_for(self):
        """Its loss if that falls once more by as much as since the length before."""
        *earlier, last = self.losses.values()
        return 2 * last - earlier[-1] if earlier else 0.0

    @property
    def losses_by_name(self):
        """The held-out log-losses of all candidates, by name."""
        return {name: trial.loss for name, trial in self.trials.items()}

    def _judge_alone(self, fitted):
        self.is_over = self._judge([fitted.network])
        if self.n_epochs == self.n_done:
            self.start = self._latest
        self._latest = fitted

    def _judge(self, networks):
        logits = [
            network.logits(training.fold.held_out.rows)
            for network, training in zip(networks, self.trainings, strict=True)
        ]
        return self.judge(self.n_done, np.concatenate(logits))

    def let_go(self, keeps_start=False):
        """Keep the losses, not the rows nor the networks: it will not be trained any more."""
        self.trainings, self._latest = [], None
        self.start = self.start if keeps_start else None

    def is_better_than(self, rival):
        """Whether its loss is clearly lower, each at its own length."""
        ours, theirs = (trial.row_losses[trial.n_epochs] for trial in (self, rival))
        return is_worse(theirs - ours, self.weights, errors=CLEARLY)


def choose(choices, folds, is_seen=False):
    """Fit each candidate to some rows, and compare them on others.

    Parameters
    ----------
    choices : Choices
    folds : list of Fold
    is_seen : bool, default=False
        Whether the teacher may have seen the held-out rows of a small table. What it says of rows
        beside them betrays their labels, the more the longer one listens: nobody is then
        trained for longer than is good for labels alone.

    Returns
    -------
    Trial
        Of the best candidate.
    """
    candidates, lengths = choices.candidates, choices.lengths
    marks = lengths[-3:] or [None]
    first = min(candidates, key=lambda candidate: candidate.alpha)
    leader = _best_encoded([Trial(first, e, lengths, folds) for e in choices.encodings], marks[0])
    rest = [candidate for candidate in candidates if candidate is not first]
    racers = [leader, *(Trial(one, leader.encoding, lengths, folds) for one in rest)]
    trials = {trial.candidate.name: trial for trial in racers}
    sets_the_pace = is_seen and first.alpha == 0 and len(lengths) > 1
    best = _winner(racers, marks, leader if sets_the_pace else None)
    best.trials = trials
    return best


def _best_encoded(trials, mark):
    """The first trial, or another that is clearly better after a few epochs."""
    leader, *others = trials
    if others:
        leader.go_on_until(mark)
    for trial in others:
        trial.go_on_until(mark)
        loser = leader if trial.is_better_than(leader) else trial
        leader = trial if loser is leader else leader
        loser.let_go()
    return leader


def _winner(racers, marks, pacemaker):
    """The best trial in the end: at each mark but the last so many stay as marks are to come.

    Nobody goes on where the pacemaker has found that to be no use, which runs ahead even if it
    has dropped out.
    """
    for n_marks_to_come, mark in zip(reversed(range(len(marks))), marks, strict=True):
        if len(racers) == 1:
            mark = marks[-1]
        if pacemaker is not None:
            pacemaker.go_on_until(mark)
            mark = pacemaker.n_epochs if pacemaker.is_over else mark
        for trial in racers:
            trial.go_on_until(mark)
        best, others = _best_and_hopeful(racers, n_marks_to_come)
        stay = [best, *others]
        for trial in racers:
            if trial not in stay and trial is not pacemaker:
                trial.let_go()
        racers = [trial for trial in racers if trial in stay]
    if pacemaker is not None:
        pacemaker.let_go()
    best.let_go(keeps_start=True)
    return best


def _best_and_hopeful(trials, n_most):
    """The trial of the lowest loss, handicaps included; who of those with low ones may catch up."""
    handicap = _handicaps(trials)
    best = min(trials, key=lambda trial: trial.loss * handicap[trial])
    first = sorted(trials, key=lambda trial: trial.loss)[:n_most]
    return best, [
        trial for trial in first if trial.hoped_for * handicap[trial] < best.loss * handicap[best]
    ]


def _handicaps(trials):
    """By trial, how many times as high its loss counts."""
    fair = [trial for trial in trials if trial.candidate.handicap <= 1]
    best_of_fair = min(fair, key=lambda trial: trial.loss, default=None)
    is_trusted = best_of_fair is not None and best_of_fair.candidate.alpha > 0
    name = "handicap_if_trusted" if is_trusted else "handicap"
    return {trial: getattr(trial.candidate, name) for trial in trials}
