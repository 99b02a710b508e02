"""Successive halving: candidates compete on held-out rows, and the poor ones stop early.

A candidate is something to learn from: labels alone, a teacher, or a teacher and a transfer set.
Each candidate is trained on the training rows of each fold. The one with the lowest log-loss of
true labels on the held-out rows is then trained again on all rows.

A rung is a number of epochs at which the candidates are compared. The rungs are the last three of
the numbers of epochs that may be selected, or all of them if there are fewer. After each rung some
candidates are stopped; the others stay, and are trained until the next rung (Jamieson and Talwalkar
2016, "Non-stochastic best arm identification and hyperparameter optimization", arXiv:1502.07943).

If the teacher of a candidate may have seen the held-out rows, the candidate's loss is multiplied
by a factor above 1, its required margin, before it is compared. Two kinds of candidates stay
after a rung:

- The best one, which has the lowest loss after this multiplication.
- Those with the lowest losses before the multiplication: two after the first of three rungs, one
  after the second. The reason is that a transfer set gains most in the last epochs, and its margin
  should not stop it earlier. But a candidate without a chance is stopped. Suppose that its loss
  falls once more, by as much as it fell last. It has a chance if the new loss, multiplied by the
  margin, is lower than the multiplied loss that the best candidate has now.

On a noisy table the first rung is late. So one length before it, candidates without a chance are
stopped, too, if the best one has overfitted.

Another encoding of numbers is tried at the first rung. Because it makes the network larger, it must
be clearly better: the loss must be lower by a number of standard errors of the difference. Then all
candidates are trained with it. A candidate that overfits by the first rung is left out: it has
enough inputs.

- A narrow network is tried with two candidates: the one in which the teacher has the lowest weight
  (labels alone, if they compete), and the one that is the best so far. It must be clearly better
  for one of the two. Labels alone would not do: bins let a network learn noise in the labels by
  heart, and soft labels prevent that.
- A wider network is tried with the best candidate only, and only if this uses the teacher. More
  standard errors are required, because with bins wide networks learn faster, but often not better.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skkd.data.dataset import Dataset
from skkd.preprocessing.encodings import PiecewiseLinear
from skkd.selection.comparisons import Comparison
from skkd.selection.epochs import EpochChoice, is_worse
from skkd.selection.folds import FoldTrainer
from skkd.selection.side_by_side import go_on_until
from skkd.supervision import Candidate

__all__ = ["Choices", "Trial", "choose"]

#: An encoding with more inputs must be better by this many standard errors, in narrow networks and
#: in others. At the first rung, encodings that help narrow networks in the end are better by 1.8 or
#: more with labels alone, others by less than 1. In wider networks those that help are better by
#: 3.1 or more with the best candidate, those that clearly hurt by up to 2.
CLEARLY_IF_NARROW, CLEARLY = 1.5, 3.0

#: The attributes of a Trial that a training changes, apart from the results of its folds.
CHANGED_BY_TRAINING = (
    *("row_losses", "predicted", "losses", "n_epochs", "temperature", "n_done", "is_over"),
    *("start", "_latest"),
)


@dataclass(frozen=True)
class Choices:
    """The alternatives that a selection compares.

    Parameters
    ----------
    candidates : list of Candidate
        The first is used if they cannot be compared.
    encodings : list of (skkd.preprocessing.PiecewiseLinear or None)
        Encodings of numbers; None stands for plain numbers, without bins. The first is used
        unless another is clearly better.
    lengths : list of int
        The numbers of epochs to choose from, in ascending order; empty with early stopping.
    is_narrow : bool, default=False
        Whether the network is narrow, so that further inputs help it more.
    """

    candidates: list[Candidate]
    encodings: list[PiecewiseLinear | None]
    lengths: list[int]
    is_narrow: bool = False


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

    def go_on(self, n_epochs: int | None, on_epoch: Callable | None = None) -> None:
        """Train for `n_epochs` more epochs (None: `max_epochs`), and call `on_epoch` after each."""
        earlier = self.result
        after_epoch = None
        if on_epoch is not None:
            after_epoch = _with_earlier_epochs(on_epoch, earlier)
        result = self.fold.fit(
            self.candidate,
            self.encoding,
            self._prepared_dataset(),
            n_epochs,
            earlier,
            after_epoch,
        )
        self.result = result.preceded_by(earlier)

    @property
    def may_leave(self) -> bool:
        """Whether another process can train: not if the teacher labels new rows in each epoch."""
        transfer_set = self.candidate.transfer_set
        return transfer_set is None or not transfer_set.is_fresh

    def for_another_process(self) -> "Training":
        """A copy that holds what the training needs, but no teacher and no progress bar."""
        copied = copy.copy(self)
        copied.dataset = self._prepared_dataset()
        copied.candidate = replace(self.candidate, transfer_set=None)  # its rows are made already
        copied.fold = self.fold.for_another_process(self.encoding)
        return copied

    def take_over(self, result: Any) -> None:
        """Go on from the result of a copy that another process has trained."""
        n_before = 0 if self.result is None else len(self.result.history)
        self.result = result
        self.fold.show(self.candidate, self.encoding, result.history[n_before:])

    def _prepared_dataset(self) -> Dataset:
        if self.dataset is None:
            self.dataset = self.fold.dataset(self.candidate.name)
        return self.dataset


def _with_earlier_epochs(on_epoch: Callable, earlier: Any) -> Callable:
    """Wrap `on_epoch`, so that the results it gets include the epochs of an earlier training."""

    def after_epoch(record: dict, result: Callable) -> bool:
        return on_epoch(record, lambda: result().preceded_by(earlier))

    return after_epoch


class Trial(EpochChoice):
    """The training of one candidate, and its losses on the held-out rows.

    The candidate is trained on each fold, and the held-out rows of all folds are pooled.

    Parameters
    ----------
    candidate : Candidate
    encoding : skkd.preprocessing.PiecewiseLinear or None
        Encoding of numbers.
    lengths : list of int
        Numbers of epochs to choose from, in ascending order; see :class:`Choices`.
    folds : list of FoldTrainer

    Attributes
    ----------
    n_done : int
        Number of epochs so far.
    is_over : bool
        Whether training has ended: all epochs are done, or the loss rose clearly.
    start : skkd.training.result.TrainingResult or None
        The state of the training one entry of `lengths` before the selected number of epochs: if
        this number is ``lengths[i]``, the state after ``lengths[i - 1]`` epochs. The final fit may
        continue from there. None for ``i = 0``, or if there are several folds.
    teacher_logits : ndarray of shape (n_rows, n_classes) or None
        The teacher's logits for the held-out rows; None without a teacher.
    index : ndarray of int of shape (n_rows,) or None
        Indices of the held-out rows in X; None if they do not come from X.
    trials : dict of str to Trial
        The trials of all candidates, by name. Only the best trial gets them, after the selection.
    comparisons : list of Comparison
        The candidates at each rung. Only the best trial gets them, too.
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
        indices = [fold.held_out.index for fold in folds if fold.held_out.index is not None]
        self.index = np.concatenate(indices) if indices else None
        self.n_done = 0
        self.is_over = False
        self.start: Any = None
        self._latest: Any = None
        self.trials: dict[str, Trial] = {}
        self.comparisons: list[Comparison] = []

    def go_on_until(self, end: int | None) -> None:
        """Train until `end` epochs are done.

        Parameters
        ----------
        end : int or None
            None trains until early stopping or `max_epochs` ends the training.
        """
        for part in self.parts_until(end):
            if self.is_over:
                break
            if part is not None and len(self.trainings) == 1:
                self._train_single_fold(part)
            else:
                for training in self.trainings:
                    training.go_on(self.n_epochs_until(part))
                self.judge_folds(part)

    def n_epochs_until(self, part: int | None) -> int | None:
        """The number of epochs to come until `part` epochs are done; None for None."""
        return None if part is None else part - self.n_done

    def parts_until(self, end: int | None) -> list[int | None]:
        """List the numbers of epochs up to `end` at which the training is interrupted.

        Parameters
        ----------
        end : int or None

        Returns
        -------
        list of (int or None)
            Empty if the training is over, or `end` is reached.
        """
        parts = [end]
        # With several folds, all must reach a number of epochs before it can be judged.
        if len(self.trainings) > 1 and end is not None:
            parts = [length for length in self.lengths if length <= end]
        return [p for p in parts if not self.is_over and (p is None or self.n_done < p)]

    def judge_folds(self, part: int | None) -> None:
        """Judge the trainings when all folds have done the epochs of a part.

        Parameters
        ----------
        part : int or None
            The number of epochs that are done; None if early stopping has ended the trainings.
        """
        lengths = [len(training.result.history) for training in self.trainings]
        self.n_done = round(np.mean(lengths)) if part is None else part
        self.is_over = self._judge([training.result.network for training in self.trainings])
        self.is_over |= part is None or part == self.lengths[-1]

    def _train_single_fold(self, part: int) -> None:
        """Train until `part` epochs are done; judge at each of `lengths`, and maybe stop there."""
        n_before = self.n_done

        def on_epoch(record: dict, result: Callable) -> bool:
            self.n_done = n_before + record["epoch"]
            if self.n_done in self.lengths:
                self._judge_single_fold(result())
            return self.is_over

        (training,) = self.trainings
        training.go_on(part - n_before, on_epoch)
        if not self.losses:  # the training has ended before the first of `lengths`
            self.is_over = self._judge([training.result.network])
        self.is_over |= part == self.lengths[-1]

    @property
    def may_leave(self) -> bool:
        """Whether another process can train."""
        return all(training.may_leave for training in self.trainings)

    def for_another_process(self) -> "Trial":
        """A copy that holds what the training needs, but no teacher and no progress bar."""
        copied = copy.copy(self)
        copied.trainings = [training.for_another_process() for training in self.trainings]
        copied.candidate = copied.trainings[0].candidate
        return copied

    def state(self) -> dict[str, Any]:
        """What a training changes: the judgements, and the result of each fold."""
        changed = {name: getattr(self, name) for name in CHANGED_BY_TRAINING}
        return changed | {"results": [training.result for training in self.trainings]}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from the state of a copy that another process has trained.

        Parameters
        ----------
        state : dict
            What :meth:`state` of the copy returned.
        """
        for training, result in zip(self.trainings, state["results"], strict=True):
            training.take_over(result)
        for name in CHANGED_BY_TRAINING:
            setattr(self, name, state[name])

    @property
    def has_overfitted(self) -> bool:
        """Whether the training has ended because the loss rose clearly."""
        return self.is_over and self.n_done not in self.lengths[-1:]

    @property
    def projected_loss(self) -> float:
        """The next loss if it falls by as much as the last time; 0 if there is only one loss."""
        *earlier, last = self.losses.values()
        # With only one loss no fall is known: 0 lets the trial go on.
        return 2 * last - earlier[-1] if earlier else 0.0

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

    def with_encoding(self, encoding: PiecewiseLinear | None) -> "Trial":
        """A new trial of the same candidate, with another encoding of numbers."""
        folds = [training.fold for training in self.trainings]
        return Trial(self.candidate, encoding, self.lengths, folds)

    def release(self, keeps_start: bool = False) -> None:
        """Free rows and networks, after which the trial cannot be trained further.

        The losses are kept and, with `keeps_start`, also `start`.
        """
        self.trainings, self._latest = [], None
        self.start = self.start if keeps_start else None

    def is_better_than(self, rival: "Trial", errors: float) -> bool:
        """Whether this trial's loss is lower than a rival's by more than `errors` standard errors.

        Each trial is judged by its loss after its own selected number of epochs.
        """
        ours, theirs = (trial.row_losses[trial.n_epochs] for trial in (self, rival))
        return is_worse(theirs - ours, self.weights, errors)


def choose(
    choices: Choices, folds: list[FoldTrainer], is_seen: bool = False, n_jobs: int | None = None
) -> Trial:
    """Train the candidates on the folds, and select the best on the held-out rows.

    Parameters
    ----------
    choices : Choices
    folds : list of FoldTrainer
    is_seen : bool, default=False
        Whether the table is small and the teacher may have seen the held-out rows. If True, no
        candidate is trained for more epochs than are best for labels alone.
    n_jobs : int or None, default=None
        Number of processes that train candidates and folds side by side.

    Returns
    -------
    Trial
        The trial of the best candidate.
    """
    candidates, lengths = choices.candidates, choices.lengths
    rungs: list[int | None] = [*lengths[-3:]] or [None]
    first = min(candidates, key=lambda candidate: candidate.alpha)
    ordered = [first, *(candidate for candidate in candidates if candidate is not first)]
    encoding, *others = choices.encodings
    trials = [Trial(candidate, encoding, lengths, folds) for candidate in ordered]
    # The teacher's soft labels of similar rows reveal some of the labels of held-out rows that it
    # has seen, and longer training exploits this.
    is_limited = is_seen and first.alpha == 0 and len(lengths) > 1
    # None can have overfitted after the first length, so there must be two before the first rung.
    if len(trials) > 1 and not is_limited and len(lengths) >= len(rungs) + 2:
        _stop_hopeless(trials, lengths[-len(rungs) - 1], n_jobs)
    for encoding in others:
        trials = _with_better_encoding(
            trials, encoding, rungs[0], choices.is_narrow, is_limited, n_jobs
        )
    best, comparisons = _best_of(trials, rungs, is_limited, n_jobs)
    best.trials = {trial.candidate.name: trial for trial in trials}
    best.comparisons = comparisons
    return best


def _with_better_encoding(
    trials: list[Trial],
    encoding: PiecewiseLinear | None,
    rung: int | None,
    is_narrow: bool,
    is_limited: bool,
    n_jobs: int | None,
) -> list[Trial]:
    """Train until `rung`; return the trials, or others with `encoding` if it is clearly better."""
    _train(trials, rung, trials[0] if is_limited else None, n_jobs)
    best = _best(trials, _required_margins(trials))
    tried, errors = [trials[0], best], CLEARLY_IF_NARROW
    if not is_narrow:
        tried, errors = [best] if best.candidate.alpha > 0 else [], CLEARLY
    # A network that overfits already needs no further inputs.
    tried = [trial for trial in tried if not trial.has_overfitted]
    if not tried:
        return trials
    rivals = {trial: trial.with_encoding(encoding) for trial in tried}
    reference = rivals.get(trials[0], trials[0])
    _train([*rivals.values()], rung, reference if is_limited else None, n_jobs)
    losers = [*rivals.values()]
    if any(rival.is_better_than(trial, errors) for trial, rival in rivals.items()):
        losers = trials
        trials = [rivals.get(trial) or trial.with_encoding(encoding) for trial in trials]
    for trial in losers:
        trial.release()
    return trials


def _train(
    trials: list[Trial], rung: int | None, reference: Trial | None, n_jobs: int | None
) -> None:
    """Train until `rung`, but for no more epochs than are best for `reference`, if there is one.

    The reference is the trial of labels alone. It is trained even after it has lost.
    """
    if reference is not None:
        go_on_until([reference], rung, n_jobs)
        rung = reference.n_epochs if reference.is_over else rung
    go_on_until(trials, rung, n_jobs)


def _stop_hopeless(trials: list[Trial], length: int, n_jobs: int | None) -> None:
    """Train until `length`; if the best has overfitted, stop those without a chance."""
    go_on_until(trials, length, n_jobs)
    best, hopeful = _best_and_hopeful(trials, _required_margins(trials), len(trials))
    if best.has_overfitted:
        for trial in trials:
            trial.is_over |= trial not in hopeful


def _best_of(
    trials: list[Trial], rungs: Sequence[int | None], is_limited: bool, n_jobs: int | None
) -> tuple[Trial, list[Comparison]]:
    """Run successive halving, and return the best trial and the comparison at each rung."""
    comparisons = []
    running, reference = trials, trials[0] if is_limited else None
    for n_rungs_to_come, rung in zip(reversed(range(len(rungs))), rungs, strict=True):
        if len(running) == 1:
            rung = rungs[-1]
        _train(running, rung, reference, n_jobs)
        margin = _required_margins(running)
        comparisons.append(_comparison(running, margin))
        best, others = _best_and_hopeful(running, margin, n_rungs_to_come)
        stay = [best, *others]
        for trial in running:
            if trial not in stay and trial is not reference:
                trial.release()
        running = [trial for trial in running if trial in stay]
    if reference is not None:
        reference.release()
    best.release(keeps_start=True)
    return best, comparisons


def _comparison(trials: list[Trial], margin: dict[Trial, float]) -> Comparison:
    return Comparison(
        max(trial.n_done for trial in trials),
        {trial.candidate.name: trial.loss for trial in trials},
        {trial.candidate.name: margin[trial] for trial in trials},
    )


def _best_and_hopeful(
    trials: list[Trial], margin: dict[Trial, float], n_most: int
) -> tuple[Trial, list[Trial]]:
    """Return the best trial, and up to `n_most` trials that may still overtake it."""
    best = _best(trials, margin)
    lowest = sorted(trials, key=lambda trial: trial.loss)[:n_most]
    to_beat = best.loss * margin[best]
    return best, [trial for trial in lowest if trial.projected_loss * margin[trial] < to_beat]


def _best(trials: list[Trial], margin: dict[Trial, float]) -> Trial:
    return min(trials, key=lambda trial: trial.loss * margin[trial])


def _required_margins(trials: list[Trial]) -> dict[Trial, float]:
    """Return the factor by which each trial's loss is multiplied before it is compared."""
    without_margin = [trial for trial in trials if trial.candidate.required_margin <= 1]
    best = min(without_margin, key=lambda trial: trial.loss, default=None)
    # The teacher is trusted, and factors are smaller, if the best of these candidates uses it.
    is_trusted = best is not None and best.candidate.alpha > 0
    name = "required_margin_if_trusted" if is_trusted else "required_margin"
    return {trial: getattr(trial.candidate, name) for trial in trials}
