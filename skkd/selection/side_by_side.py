"""Train candidates and folds side by side, in several processes.

Each training has seeds of its own, so the results are the same as one after another, bit for bit.

With one fold a whole trial goes to another process, because it is judged while it is trained. With
several folds each training goes alone, and the trial is judged when all its folds are back.
Teachers stay here: the rows of a transfer set are made before its training leaves, while the
trainings without one are under way in the other processes.

Where processes cannot be started safely, trainings run one after another: inside a parallel loop of
joblib, such as a search with `n_jobs`, and while another thread uses the processes.
"""

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from skkd.checks import with_note

__all__ = ["go_on_until"]

#: Held by the thread that uses the processes. All threads share joblib's pool of processes, and
#: joblib waits for ever if one thread changes its size while another thread submits tasks.
_pool_lock = threading.Lock()


def go_on_until(trials: Sequence[Any], end: int | None, n_jobs: int | None = None) -> None:
    """Train several trials until `end` epochs are done.

    Parameters
    ----------
    trials : list of skkd.selection.successive_halving.Trial
        They have the same folds.
    end : int or None
        See ``Trial.go_on_until``.
    n_jobs : int or None, default=None
        Number of processes; None and 1 train one after another, in this process.
    """
    n_folds = len(trials[0].trainings)
    n_jobs = min(effective_n_jobs(n_jobs), len(trials) * n_folds)
    is_nested = (get_active_backend()[0].nesting_level or 0) > 0
    if is_nested or n_jobs == 1 or not _pool_lock.acquire(blocking=False):
        for trial in trials:
            trial.go_on_until(end)
        return
    try:
        advance = _advance_trials if n_folds == 1 else _advance_trainings
        advance(trials, end, n_jobs)
    finally:
        _pool_lock.release()


def _advance_trials(trials: Sequence[Any], end: int | None, n_jobs: int) -> None:
    going = [trial for trial in trials if trial.parts_until(end)]
    leaving = [trial for trial in going if trial.may_leave]
    tasks = ((trial.for_another_process(), end) for trial in leaving)
    states = iter(_run(_state_at, tasks, min(n_jobs, len(leaving))))
    for trial in going:
        if trial.may_leave:
            trial.take_over(next(states))
        else:
            trial.go_on_until(end)


def _advance_trainings(trials: Sequence[Any], end: int | None, n_jobs: int) -> None:
    # Trials may stop in the middle, so each part is planned after the last one was judged.
    for part in _parts_of_all(trials, end):
        going = [trial for trial in trials if part in trial.parts_until(end)]
        legs = [(one, trial.n_epochs_until(part)) for trial in going for one in trial.trainings]
        leaving = [leg for leg in legs if leg[0].may_leave]
        tasks = ((training.for_another_process(), n_epochs) for training, n_epochs in leaving)
        results = iter(_run(_result_after, tasks, min(n_jobs, len(leaving))))
        for training, n_epochs in legs:
            if training.may_leave:
                training.take_over(next(results))
            else:
                training.go_on(n_epochs)
        for trial in going:
            trial.judge_folds(part)


def _parts_of_all(trials: Sequence[Any], end: int | None) -> list[int | None]:
    parts = {part for trial in trials for part in trial.parts_until(end)}
    return sorted(parts, key=lambda part: (part is None, part))


def _state_at(trial: Any, end: int | None) -> dict[str, Any]:
    trial.go_on_until(end)
    return trial.state()


def _result_after(training: Any, n_epochs: int | None) -> Any:
    training.go_on(n_epochs)
    return training.result


def _run(function: Callable, tasks: Iterable[tuple], n_jobs: int) -> list[Any]:
    """Call a function once for each task, in `n_jobs` processes, and repeat its warnings here.

    If `tasks` is a generator, the first `n_jobs` tasks are under way while the next ones are made.
    """
    # Arrays are copied to the processes: those that joblib maps into memory are read-only, of which
    # torch warns.
    how = {"backend": "loky", "max_nbytes": None, "batch_size": 1, "pre_dispatch": "all"}
    parallel = Parallel(n_jobs=max(n_jobs, 1), **how)
    results, errors = [], []

    def made() -> Iterator[tuple]:
        # If a generator raised an error, joblib would kill its processes in the middle of a task.
        try:
            yield from tasks
        except Exception as error:
            errors.append(error)

    with with_note(f"Raised in {n_jobs} processes. n_jobs=1 trains in this process."):
        returned = parallel(delayed(_recorded)(function, task) for task in made())
    if errors:
        raise errors[0]
    for result, caught in returned:
        for message, category in caught:
            warnings.warn(message, category, stacklevel=2)
        results.append(result)
    return results


def _recorded(function: Callable, task: tuple) -> tuple[Any, list[tuple]]:
    """Return the result of a function, and its warnings as pairs (message, category)."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        result = function(*task)
    return result, [(str(one.message), one.category) for one in caught]
