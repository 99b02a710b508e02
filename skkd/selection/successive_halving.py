"""Successive halving: candidates compete on held-out rows, and the poor ones stop early.

Each candidate is fitted to the training rows of each fold. The one with the lowest log-loss of
true labels on the held-out rows is fitted again to all rows.

To spend little training on candidates that lose, they are compared at several rungs: the last
three lengths at which a training may end (Jamieson and Talwalkar 2016, "Non-stochastic best arm
identification and hyperparameter optimization", arXiv:1502.07943). The two candidates with the
lowest losses stay after the first rung, the one with the lowest after the second. The candidate
that is best with required margins stays too, because a transfer set, which may have the lower
loss but a margin, gains most in the end. A candidate is stopped if repeating its last improvement
would still leave it behind the best.

Encodings of numbers are compared before, at the first rung, with the candidate that has the
lowest weight of the teacher: a teacher that has seen the held-out rows would favour its own
thresholds. An encoding replaces the first one only if it is better by more than `CLEARLY`
standard errors, because it makes the network larger. All candidates use the best encoding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.data.dataset import Dataset
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.selection.epochs import EpochChoice, is_worse
from skkd.selection.folds import FoldTrainer
from skkd.supervision import Candidate

__all__ = ["Choices", "Trial", "choose"]

#: An encoding with more inputs must be better by so many standard errors. Encodings that help
#: small networks in the end lead early by 1.8 or more, others by less than 1.
CLEARLY = 1.5


@dataclass(frozen=True)
class Choices:
    """The alternatives of a selection.

    Parameters
    ----------
    candidates : list of Candidate
        The first is used if they cannot be compared.
    encodings : list of (skkd.preprocessing.PiecewiseLinear or None)
        Encodings of numbers; the first is used unless another is clearly better.
    lengths : list of int
        Numbers of epochs; empty if only the end of training counts.
    """

    candidates: list[Candidate]
    encodings: list[PiecewiseLinear | None]
    lengths: list[int]


class Training:
    """The training of one candidate on one fold, in several parts.

    Parameters
    ----------
    name : str
        Name of the candidate.
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
        """Continue the training: see :meth:`FoldTrainer.fit`."""
        if self.dataset is None:
            self.dataset = self.fold.dataset(self.candidate.name)
        earlier = self.result
        after_epoch = None
        if on_epoch is not None:
            after_epoch = _with_earlier_epochs(on_epoch, earlier)
        result = self.fold.fit(
            self.candidate,
            self.encoding,
            self.dataset,
            n_epochs,
            earlier,
            after_epoch,
        )
        self.result = result.preceded_by(earlier)


def _with_earlier_epochs(on_epoch: Callable, earlier: Any) -> Callable:
    """`on_epoch`, called with a result that includes the epochs of an earlier training."""

    def after_epoch(record: dict, result: Callable) -> bool:
        return on_epoch(record, lambda: result().preceded_by(earlier))

    return after_epoch


class Trial(EpochChoice):
    """The training of one candidate, and its losses on the held-out rows.

    Parameters
    ----------
    candidate : Candidate
    encoding : skkd.preprocessing.PiecewiseLinear or None
        Encoding of numbers.
    lengths : list of int
        See :class:`Choices`.
    folds : list of FoldTrainer
        The held-out rows of all folds are pooled. With one fold each length is judged
        as soon as it is reached, otherwise when the trainings of all folds have reached it.

    Attributes
    ----------
    n_done : int
        Number of epochs so far.
    is_over : bool
        Whether training has ended: all epochs are done, or the loss rose clearly.
    start : skkd.training.result.TrainingResult or None
        The training at the length before the selected one, to continue from. None if the
        selected length is the first, with several folds, and in the end for all trials but the
        best.
    teacher_logits : ndarray of shape (n_rows, n_classes) or None
        The teacher's logits of the held-out rows.
    trials : dict of str to Trial
        The trials of all candidates, by name; set for the best one in the end.
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
        logits = [target["teacher_logits"] for target in targets if "teacher_logits" in target]
        has_teacher = len(logits) == len(targets)
        self.teacher_logits = np.concatenate(logits) if has_teacher else None
        self.n_done = 0
        self.is_over = False
        self.start: Any = None
        self._latest: Any = None
        self.trials: dict[str, Trial] = {}

    def go_on_until(self, end: int | None) -> None:
        """Train until `end` epochs are done.

        Parameters
        ----------
        end : int or None
            None trains until the training ends by itself, and judges only that end.
        """
        parts = [end]
        if len(self.trainings) > 1 and end is not None:
            parts = [length for length in self.lengths if length <= end]
        for part in parts:
            if not self.is_over and (part is None or self.n_done < part):
                self._go_on_until(part)

    def _go_on_until(self, end: int | None) -> None:
        n_before = self.n_done
        has_one_fold = end is not None and len(self.trainings) == 1

        def on_epoch(record: dict, result: Callable) -> bool:
            self.n_done = n_before + record["epoch"]
            if self.n_done in self.lengths:
                self._judge_single_fold(result())
            return self.is_over

        for training in self.trainings:
            n_epochs = None if end is None else end - n_before
            training.go_on(n_epochs, on_epoch if has_one_fold else None)
        if not has_one_fold:
            lengths = [len(training.result.history) for training in self.trainings]
            self.n_done = round(np.mean(lengths)) if end is None else end
        if not (has_one_fold and self.losses):  # else each length was judged when reached
            self.is_over = self._judge([training.result.network for training in self.trainings])
        self.is_over |= end is None or end == self.lengths[-1]

    @property
    def projected_loss(self) -> float:
        """The loss if the last improvement, from one length to the next, is repeated."""
        *earlier, last = self.losses.values()
        return 2 * last - earlier[-1] if earlier else 0.0

    @property
    def losses_by_name(self) -> dict[str, float]:
        """The held-out log-losses of all candidates, by name."""
        return {name: trial.loss for name, trial in self.trials.items()}

    def _judge_single_fold(self, result: Any) -> None:
        self.is_over = self._judge([result.network])
        if self.n_epochs == self.n_done:
            self.start = self._latest
        self._latest = result

    def _judge(self, networks: list) -> bool:
        logits = [
            network.logits(training.fold.held_out.rows)
            for network, training in zip(networks, self.trainings, strict=True)
        ]
        return self.judge(self.n_done, np.concatenate(logits))

    def release(self, keeps_start: bool = False) -> None:
        """Keep the losses, but neither rows nor networks: the trial is not trained again."""
        self.trainings, self._latest = [], None
        self.start = self.start if keeps_start else None

    def is_better_than(self, rival: "Trial") -> bool:
        """Whether its loss is clearly lower than that of another, each at its own length."""
        ours, theirs = (trial.row_losses[trial.n_epochs] for trial in (self, rival))
        return is_worse(theirs - ours, self.weights, errors=CLEARLY)


def choose(choices: Choices, folds: list[FoldTrainer], is_seen: bool = False) -> Trial:
    """Train the candidates on the folds, and select the best on the held-out rows.

    Parameters
    ----------
    choices : Choices
    folds : list of FoldTrainer
    is_seen : bool, default=False
        Whether the teacher may have seen the held-out rows of a small table. Its soft labels
        of rows near them then give information about their labels, and a longer training uses
        more of it. No candidate is therefore trained for more epochs than suit labels alone.

    Returns
    -------
    Trial
        The trial of the best candidate.
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


def _best_encoded(trials: list[Trial], rung: int | None) -> Trial:
    """The first trial, or one that is clearly better at the first rung."""
    leader, *others = trials
    if others:
        leader.go_on_until(rung)
    for trial in others:
        trial.go_on_until(rung)
        loser = leader if trial.is_better_than(leader) else trial
        leader = trial if loser is leader else leader
        loser.release()
    return leader


def _best_of(running: list[Trial], rungs: Sequence[int | None], reference: Trial | None) -> Trial:
    """The best trial: after each rung it stays, with as many of the lowest as rungs are to come.

    The reference, labels alone, limits the length of the others: it is trained first, even
    after it has lost, and no trial is trained for longer than the reference.
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


def _best_and_hopeful(trials: list[Trial], n_most: int) -> tuple[Trial, list[Trial]]:
    """The trial of the lowest loss, margins included, and those that may still overtake it."""
    margin = _required_margins(trials)
    best = min(trials, key=lambda trial: trial.loss * margin[trial])
    lowest = sorted(trials, key=lambda trial: trial.loss)[:n_most]
    to_beat = best.loss * margin[best]
    return best, [trial for trial in lowest if trial.projected_loss * margin[trial] < to_beat]


def _required_margins(trials: list[Trial]) -> dict[Trial, float]:
    """The factor of the loss of each trial."""
    without_margin = [trial for trial in trials if trial.candidate.required_margin <= 1]
    best = min(without_margin, key=lambda trial: trial.loss, default=None)
    is_trusted = best is not None and best.candidate.alpha > 0
    name = "required_margin_if_trusted" if is_trusted else "required_margin"
    return {trial: getattr(trial.candidate, name) for trial in trials}
