"""A cache of teachers' predictions, because teachers are slow and searches repeat their calls.

A grid search over 50 settings on 5 folds fits 250 students, but calls the teacher for only
5 different sets of rows. Each process caches, up to a limit of memory,

- the predictions of a frozen teacher, which the user has fitted, until the teacher changes or
  is deleted (the cache holds it by a weak reference);
- each teacher that skkd has fitted on some rows, with its predictions for these rows.

With a joblib `memory`, predictions and fitted teachers are also kept on disk, where all
processes and later sessions find them. The files are pickles, which run code when they are
read. So their folder is private to the user.

Teachers and rows are compared by a hash of their content (:mod:`skkd.teachers.hashing`): two
arrays with equal numbers count as the same rows. A teacher that cannot be hashed is called
each time.
"""

import os
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils.validation import check_memory

from skkd.checks import warn
from skkd.teachers.answers import Answer
from skkd.teachers.hashing import fingerprint, fingerprint_and_code, pickled_bytes
from skkd.teachers.private_folder import make_private

__all__ = [
    "as_memory",
    "forget",
    "remembered_answer",
    "remembered_teacher",
    "series_of_calls",
]

#: Bounds on the cached predictions of frozen teachers: number of arrays, and total bytes.
MOST_ANSWERS = 256
ANSWER_BYTES = 2**27
#: Bound on the cached fitted teachers: total bytes of their pickles and predictions.
TEACHER_BYTES = 2**29


@dataclass
class _Answer:
    """A teacher's predictions for some rows."""

    value: Answer
    key: str | None = None  # in a joblib memory, if known


@dataclass
class _Record:
    """The cache entry of one frozen teacher, with its predictions for all sets of rows."""

    teacher: weakref.ref
    state: str | None = None  # fingerprint of the teacher after the last call
    answers: OrderedDict[str, _Answer] = field(default_factory=OrderedDict)  # by hash of rows
    n_series: int = 0  # number of `series_of_calls` contexts that are open now
    lasting_state: str | None = None  # fingerprint for a memory, computed once per series
    lock: Any = field(default_factory=threading.RLock)


@dataclass
class _Fitted:
    """The cache entry of one fitted teacher, with its predictions for the rows of its fit."""

    teacher: Any
    state: str  # fingerprint of the teacher after fitting and predicting
    answer: Answer
    n_bytes: int  # of the teacher's pickle and of the predictions
    key: str | None = None  # in a joblib memory, if known


def remembered_answer(
    teacher: Any, X: Any, ask: Callable[[Any], Answer], memory: Any = None
) -> Answer:
    """A frozen teacher's predictions for some rows, from the cache or else from a new call.

    The result of a new call is cached. If the teacher has changed since its last call here, its
    cached predictions are dropped. A change that the call itself makes (to a counter, say) does
    not count.

    Parameters
    ----------
    teacher : object
        The cache holds it by a weak reference.
    X : array-like or table
        The rows.
    ask : callable
        (teacher) -> (probabilities, classes). Makes a new call.
    memory : joblib.Memory, default=None
        Caches the predictions on disk, too.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns)
        Read-only if they are cached.
    classes : ndarray of shape (n_columns,) or None
        The label of each column; None if the teacher does not give it.
    """
    rows, record = fingerprint(X), _record_of(teacher)
    if rows is None or record is None:
        return _unremembered(lambda: ask(teacher), teacher, memory)
    with record.lock:  # a second thread with the same rows waits for the answer
        _look_for_changes(record, teacher)
        if record.state is None:
            return _unremembered(lambda: ask(teacher), teacher, memory)
        answer = record.answers.pop(rows, None)
        key = None if answer is None else answer.key
        if memory is not None and key is None:
            key = fingerprint((_lasting_state(record, teacher), rows))
        if answer is None:
            answer = _Answer(_read_only(_stored(memory, key, lambda: ask(teacher))))
            _note_state(record, teacher)
        else:
            _store(memory, key, answer.value)
        answer.key = key
        record.answers[rows] = answer  # at the end, as the most recently used one
    _keep_within_bounds()
    return answer.value


@contextmanager
def series_of_calls(teacher: Any) -> Iterator[None]:
    """A context for several calls of a frozen teacher that does not change between them.

    Inside it, :func:`remembered_answer` does not check the teacher for changes. This saves time,
    because hashing a large forest takes longer than predicting with it.

    Parameters
    ----------
    teacher : object
    """
    record = _record_of(teacher)
    if record is None:
        yield
        return
    with record.lock:
        _look_for_changes(record, teacher)
        record.n_series += 1
        record.lasting_state = None
    try:
        yield
    finally:
        with record.lock:
            record.n_series -= 1
            _note_state(record, teacher)


def remembered_teacher(
    unfitted: Any, data: tuple, fit_and_ask: Callable[[], tuple[Any, Answer]], memory: Any = None
) -> tuple[Any, Answer]:
    """A fitted teacher and its predictions, from the cache or else from a new fit.

    The result of a new fit is cached. If the teacher contains functions or classes that the user
    wrote, and their code has changed since the last fit, the cached results are dropped.

    Parameters
    ----------
    unfitted : estimator
        The teacher before fitting; its class and parameters, seeds included, are in the cache key.
    data : tuple
        The rest of the cache key: rows, labels, weights, and other arguments of the fit.
    fit_and_ask : callable
        () -> (fitted teacher, (probabilities, classes)). Makes a new fit.
    memory : joblib.Memory, default=None
        Caches the result on disk, too.

    Returns
    -------
    teacher : estimator
        The fitted teacher; while it is cached, each call returns the same object.
    answer : (probabilities, classes)
        Its predictions, as `fit_and_ask` returned them.
    """
    data_hash = fingerprint(data)
    unfitted_hash, code = fingerprint_and_code((unfitted, data_hash))
    state_of_code = fingerprint(code)
    if data_hash is None or unfitted_hash is None or state_of_code is None:
        return _unremembered(fit_and_ask, unfitted, memory)
    code_ids = tuple(map(id, code))
    with _lock:
        if state_of_code != _state_of_code.get(code_ids, state_of_code):
            for outdated in [key for key in _fitted if key[0] == code_ids]:
                del _fitted[outdated]
        found = _fitted.get((code_ids, unfitted_hash))
    if found is not None and fingerprint_and_code(found.teacher)[0] == found.state:
        if memory is not None:
            found.key = found.key or fingerprint((_state_in_any_session(unfitted), data_hash))
            _store(memory, found.key, (found.teacher, found.answer))
        return found.teacher, found.answer
    key = None
    if memory is not None:
        key = fingerprint((_state_in_any_session(unfitted), data_hash))
    teacher, answer = _stored(memory, key, fit_and_ask)
    with _lock:
        # After the fit, so that a change by the fit itself (of a counter, say) does not count.
        _state_of_code[code_ids] = fingerprint(code)
    _keep_fitted((code_ids, unfitted_hash), teacher, _read_only(answer), key)
    return teacher, answer


def forget():
    """Drop all predictions and fitted teachers that this process has cached.

    A `memory` on disk is not cleared: call its own method `clear` for that.
    """
    with _lock:
        _records.clear()
        _fitted.clear()
        _state_of_code.clear()


def as_memory(memory: Any) -> Any:
    """Turn the value of the parameter `memory` into a joblib Memory.

    If the folder does not exist, it is made so that only the user can enter it.

    Parameters
    ----------
    memory : None, str, path-like or object with a `cache` method

    Returns
    -------
    object with a `cache` method, or None
        `memory` itself or, for a path, a new joblib Memory in this folder.

    Raises
    ------
    ValueError
        If other users can write to the folder, or if `memory` is none of these objects.
    """
    if not isinstance(memory, (str, os.PathLike)):
        return None if memory is None else check_memory(memory)
    folder = os.fspath(memory)
    for made in (folder, os.path.join(folder, "joblib")):  # joblib uses the second one
        make_private("memory", made, f"joblib.Memory({folder!r}) if you trust it all the same")
    return check_memory(folder)


_lock = threading.Lock()
#: The cache entry of each frozen teacher, by id of the teacher; the most recently used last.
_records: OrderedDict[int, _Record] = OrderedDict()
#: The cache entry of each fitted teacher. The key consists of the ids of the user's functions
#: and classes in the teacher, and of the hash of the unfitted teacher with its data.
_fitted: OrderedDict[tuple[tuple[int, ...], str], _Fitted] = OrderedDict()
#: Fingerprints of the user's functions and classes after the last fit, by their ids.
_state_of_code: dict[tuple[int, ...], str | None] = {}


def _begin_forked_child() -> None:
    global _lock
    # Another thread of the parent may have held the old lock, or the lock of a record.
    _lock = threading.Lock()
    forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


def _record_of(teacher: Any) -> _Record | None:
    """Find or make the cache entry of a frozen teacher; None if it allows no weak reference."""
    with _lock:
        found = _records.get(id(teacher))
        if found is None or found.teacher() is not teacher:
            try:
                found = _records[id(teacher)] = _Record(weakref.ref(teacher))
            except TypeError:  # Python allows no weak reference to it
                return None
        _records.move_to_end(id(teacher))
        return found


def _look_for_changes(record: _Record, teacher: Any) -> None:
    """Drop the cached predictions of a teacher that has changed since its last call."""
    if record.n_series:  # within `series_of_calls` the teacher does not change
        return
    state = fingerprint(teacher)
    if state != record.state:
        record.answers.clear()
        record.state = state


def _note_state(record: _Record, teacher: Any) -> None:
    """Store the teacher's fingerprint after a call, to find later changes of the teacher."""
    # The call itself may change the teacher (by counting its calls, say). That does not count.
    if not record.n_series and record.state is not None:
        record.state = fingerprint(teacher)


def _keep_within_bounds() -> None:
    """Drop the least recently used predictions until the cache is within its bounds."""
    with _lock:
        for key in [key for key, record in _records.items() if record.teacher() is None]:
            del _records[key]
        while _records:
            answers = [a for record in _records.values() for a in list(record.answers.values())]
            n_bytes = sum(answer.value[0].nbytes for answer in answers)
            if len(answers) <= MOST_ANSWERS and n_bytes <= ANSWER_BYTES:
                return
            oldest_key, oldest = next(iter(_records.items()))
            if oldest.answers:
                oldest.answers.popitem(last=False)
            else:
                del _records[oldest_key]


def _keep_fitted(
    identity: tuple[tuple[int, ...], str], teacher: Any, answer: Answer, key: str | None
) -> None:
    (state, _), n_bytes = fingerprint_and_code(teacher), pickled_bytes(teacher)
    if state is None or n_bytes is None or n_bytes + answer[0].nbytes > TEACHER_BYTES:
        return
    with _lock:
        _fitted.pop(identity, None)
        _fitted[identity] = _Fitted(teacher, state, answer, n_bytes + answer[0].nbytes, key)
        while sum(held.n_bytes for held in _fitted.values()) > TEACHER_BYTES:
            _fitted.popitem(last=False)


def _read_only(answer: Answer) -> Answer:
    answer[0].flags.writeable = False
    return answer


def _unremembered(compute: Callable[[], Any], teacher: Any, memory: Any) -> Any:
    """Compute a result that cannot be cached, with a warning if the user has set a `memory`."""
    if memory is not None:
        warn(
            f"memory keeps no answers of teacher, a {type(teacher).__name__}: it or the rows hold "
            "something whose content cannot be read."
        )
    return compute()


def _lasting_state(record: _Record, teacher: Any) -> str | None:
    """The teacher's fingerprint for a joblib memory; a `series_of_calls` computes it only once."""
    if not record.n_series:
        return _state_in_any_session(teacher)
    if record.lasting_state is None:
        record.lasting_state = _state_in_any_session(teacher)
    return record.lasting_state


def _state_in_any_session(teacher: Any) -> str | None:
    """A fingerprint of a teacher that is equal in all processes with the same library versions."""
    with suppress(Exception):  # the pickling of a foreign object may raise any error
        # The pickle of an unpickled object may differ from the first pickle. Later pickles do
        # not change any more. A worker process already holds an unpickled teacher, so the
        # teacher is unpickled here, too.
        teacher = pickle.loads(pickle.dumps(teacher))
    return fingerprint((teacher, _versions(teacher)))


def _stored(memory: Any, key: str | None, compute: Callable[[], Any]) -> Any:
    """Read the result of `compute` from disk or, if it is not there, compute and store it."""
    return compute() if memory is None else _on_disk(memory)(key, compute)


def _store(memory: Any, key: str | None, result: Any) -> None:
    """Write a result to disk, unless there is one with this key already."""
    if memory is None:
        return
    is_stored = getattr(_on_disk(memory), "check_call_in_cache", None)
    if is_stored is None or not is_stored(key, None):
        _on_disk(memory)(key, lambda: result)


def _on_disk(memory: Any) -> Any:
    return memory.cache(_computed, ignore=["compute"])


def _computed(key: str | None, compute: Callable[[], Any]) -> Any:
    """Return `compute()`; joblib stores the result under the key."""
    return compute()


def _versions(teacher: Any) -> list[str | None]:
    packages = ("numpy", "sklearn", type(teacher).__module__.partition(".")[0])
    return [getattr(sys.modules.get(name), "__version__", None) for name in packages]
