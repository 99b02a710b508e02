"""Successive halving: candidates compete on held-out rows, and the poor ones stop early.

Each candidate is fitted to a part of the rows. The one whose log-loss of true labels is lowest
on the others is fitted again, to all rows.

Most of the training would be spent on candidates that lose. So they are compared at several
rungs, which are the last three of the lengths that a training may have (Jamieson and Talwalkar
2016, "Non-stochastic best arm identification and hyperparameter optimization",
arXiv:1502.07943). At the first rung two of them stay, at the second the better of these; or
both, if which is better depends on a required margin, for a transfer set gains most in the end.
A candidate is stopped if repeating its last improvement would still leave it behind the best.

Encodings of numbers are compared first, by the candidate with the lowest weight of the teacher,
at the first rung: a teacher that has seen the held-out rows would favour its own thresholds.
Another encoding than the first must be better by more than `CLEARLY` standard errors, for it
makes the network larger. All candidates take the best one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.data.dataset import Dataset
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.selection.epochs import EpochChoice, is_worse
from skkd.selection.folds import FoldTrainer
from skkd.supervision import Candidate

__all__ = ["Choices", "Trial", "choose"]

#: Standard errors by which more inputs must be better. Where they help small networks in the
#: end they lead early by 1.8 or more, where not by less than 1.
CLEARLY = 1.5


@dataclass(frozen=True)
class Choices:
    """What competes.

    Parameters
    ----------
    candidates : list of Candidate
        The first is taken where nothing can be compared.
    encodings : list of (skkd.preprocessing.PiecewiseLinear or None)
        Of numbers; the first, unless another is clearly better.
    lengths : list of int
        Numbers of epochs; empty where only the end of training counts.
    """

    candidates: list[Candidate]
    encodings: list[PiecewiseLinear | None]
    lengths: list[int]


class Training:
    """One candidate on the training rows of one fold, trained in several parts.

    Parameters
    ----------
    name : str
        Of the candidate.
    encoding : skkd.preprocessing.PiecewiseLinear or None
    fold : FoldTrainer
    """

    def __init__(self, name: str, encoding: PiecewiseLinear | None, fold: FoldTrainer) -> None:
        self.candidate = fold.candidates[name]
        self.encoding = encoding
        self.fold = fold
        self.dataset: Dataset | None = None
        self.result: Any = None

    def go_on(self, n_epochs: int | None, on_epoch: Callable | None) -> None:
        """Train on: see :meth:`FoldTrainer.fit`."""
        if self.dataset is None:
            self.dataset = self.fold.dataset(self.candidate.name)
        earlier = self.result

        def with_earlier_epochs(record, result):
            return on_epoch(record, lambda: result().preceded_by(earlier))

        result = self.fold.fit(
            self.candidate,
            self.encoding,
            self.dataset,
            n_epochs,
            earlier,
            on_epoch and with_earlier_epochs,
        )
        self.result = result.preceded_by(earlier)


class Trial(EpochChoice):
    """How one candidate does on the held-out rows, while it is trained.

    Parameters
    ----------
    candidate : Candidate
    encoding : skkd.preprocessing.PiecewiseLinear or None
        Of numbers.
    lengths : list of int
        See :class:`Choices`.
    folds : list of FoldTrainer
        The held-out rows of all folds count together. With one fold each length is judged
        as soon as it is reached, else when all trainings have reached it.

    Attributes
    ----------
    n_done : int
        Epochs so far.
    is_over : bool
        Whether training has ended: all epochs are done, or going on was no use.
    start : skkd.training.result.TrainingResult or None
        The training as it was at the length before the one chosen, to go on from. None if
        that was the first, with several folds, and for all but the best in the end.
    teacher_logits : ndarray of shape (n_rows, n_classes) or None
        The teacher's, of the held-out rows.
    trials : dict of str to Trial
        Of all candidates, by name, as they were when they stopped.
    """

    def __init__(
        self,
        candidate: Candidate,
        encoding: PiecewiseLinear | None,
        lengths: list[int],
        folds: list[FoldTrainer],
    ) -> None:
        targets = [fold.held_out.targets for fold in folds]
        super().__init__(*(np.concatenate([t[k] for t in targets]) for k in ("labels", "weights")))
        self.candidate = candidate
        self.encoding = encoding
        self.lengths = lengths
        self.trainings = [Training(candidate.name, encoding, fold) for fold in folds]
        answers = [target["teacher_logits"] for target in targets if "teacher_logits" in target]
        is_taught = len(answers) == len(targets)
        self.teacher_logits = np.concatenate(answers) if is_taught else None
        self.n_done = 0
        self.is_over = False
        self.start: Any = None
        self._latest: Any = None
        self.trials: dict[str, Trial] = {}

    def go_on_until(self, end: int | None) -> None:
        """Train until so many epochs are done.

        Parameters
        ----------
        end : int or None
            None: until the training ends by itself; only that end is judged.
        """
        parts = [end]
        if len(self.trainings) > 1 and end is not None:
            parts = [length for length in self.lengths if length <= end]
        for part in parts:
            if not self.is_over and (part is None or self.n_done < part):
                self._go_on_until(part)

    def _go_on_until(self, end):
        n_before = self.n_done
        is_alone = end is not None and len(self.trainings) == 1

        def on_epoch(record, result):
            self.n_done = n_before + record["epoch"]
            if self.n_done in self.lengths:
                self._judge_alone(result())
            return self.is_over

        for training in self.trainings:
            n_epochs = None if end is None else end - n_before
            training.go_on(n_epochs, on_epoch if is_alone else None)
        if not is_alone:
            lengths = [len(training.result.history) for training in self.trainings]
            self.n_done = round(np.mean(lengths)) if end is None else end
        if not (is_alone and self.losses):  # else each length was judged when it was reached
            self.is_over = self._judge([training.result.network for training in self.trainings])
        self.is_over |= end is None or end == self.lengths[-1]

    @property
    def projected_loss(self) -> float:
        """Its loss if the last improvement, from one length to the next, is repeated."""
        *earlier, last = self.losses.values()
        return 2 * last - earlier[-1] if earlier else 0.0

    @property
    def losses_by_name(self) -> dict[str, float]:
        """The held-out log-losses of all candidates, by name."""
        return {name: trial.loss for name, trial in self.trials.items()}

    def _judge_alone(self, result):
        self.is_over = self._judge([result.network])
        if self.n_epochs == self.n_done:
            self.start = self._latest
        self._latest = result

    def _judge(self, networks):
        logits = [
            network.logits(training.fold.held_out.rows)
            for network, training in zip(networks, self.trainings, strict=True)
        ]
        return self.judge(self.n_done, np.concatenate(logits))

    def release(self, keeps_start: bool = False) -> None:
        """Keep the losses, but neither rows nor networks: it is not trained any more."""
        self.trainings, self._latest = [], None
        self.start = self.start if keeps_start else None

    def is_better_than(self, rival: "Trial") -> bool:
        """Whether its loss is clearly lower, each at its own length."""
        ours, theirs = (trial.row_losses[trial.n_epochs] for trial in (self, rival))
        return is_worse(theirs - ours, self.weights, errors=CLEARLY)


def choose(choices: Choices, folds: list[FoldTrainer], is_seen: bool = False) -> Trial:
    """Fit each candidate to some rows, and compare them on others.

    Parameters
    ----------
    choices : Choices
    folds : list of FoldTrainer
    is_seen : bool, default=False
        Whether the teacher may have seen the held-out rows of a small table. Its soft labels
        of rows beside them then reveal their labels, the more the longer a network is trained
        on them: no candidate is trained for longer than suits labels alone.

    Returns
    -------
    Trial
        Of the best candidate.
    """
    candidates, lengths = choices.candidates, choices.lengths
    rungs: list[int | None] = [*lengths[-3:]] or [None]
    first = min(candidates, key=lambda candidate: candidate.alpha)
    encoded = [Trial(first, e, lengths, folds) for e in choices.encodings]
    leader = _best_encoded(encoded, rungs[0])
    rest = [candidate for candidate in candidates if candidate is not first]
    running = [leader, *(Trial(one, leader.encoding, lengths, folds) for one in rest)]
    trials = {trial.candidate.name: trial for trial in running}
    limits_length = is_seen and first.alpha == 0 and len(lengths) > 1
    best = _best_of(running, rungs, leader if limits_length else None)
    best.trials = trials
    return best


def _best_encoded(trials, rung):
    """The first trial, or another that is clearly better after a few epochs."""
    leader, *others = trials
    if others:
        leader.go_on_until(rung)
    for trial in others:
        trial.go_on_until(rung)
        loser = leader if trial.is_better_than(leader) else trial
        leader = trial if loser is leader else leader
        loser.release()
    return leader


def _best_of(running, rungs, reference):
    """The best trial in the end: at each rung but the last as many stay as rungs are to come.

    The reference, labels alone, limits the length of the others: it is trained first, even
    after it has lost, and no trial goes on where going on was no use for the reference.
    """
    for n_rungs_to_come, rung in zip(reversed(range(len(rungs))), rungs, strict=True):
        if len(running) == 1:
            rung = rungs[-1]
        if reference is not None:
            reference.go_on_until(rung)
            rung = reference.n_epochs if reference.is_over else rung
        for trial in running:
            trial.go_on_until(rung)
        best, others = _best_and_hopeful(running, n_rungs_to_come)
        stay = [best, *others]
        for trial in running:
            if trial not in stay and trial is not reference:
                trial.release()
        running = [trial for trial in running if trial in stay]
    if reference is not None:
        reference.release()
    best.release(keeps_start=True)
    return best


def _best_and_hopeful(trials, n_most):
    """The trial of the lowest loss, margins included, and those that may still catch up."""
    margin = _required_margins(trials)
    best = min(trials, key=lambda trial: trial.loss * margin[trial])
    lowest = sorted(trials, key=lambda trial: trial.loss)[:n_most]
    to_beat = best.loss * margin[best]
    return best, [trial for trial in lowest if trial.projected_loss * margin[trial] < to_beat]


def _required_margins(trials):
    """By trial, the number that its loss is multiplied by."""
    fair = [trial for trial in trials if trial.candidate.required_margin <= 1]
    best_of_fair = min(fair, key=lambda trial: trial.loss, default=None)
    is_trusted = best_of_fair is not None and best_of_fair.candidate.alpha > 0
    name = "required_margin_if_trusted" if is_trusted else "required_margin"
    return {trial: getattr(trial.candidate, name) for trial in trials}
