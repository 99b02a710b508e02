"""Answers of teachers are kept: teachers are slow, and a search needs the same answers often.

A grid of 50 candidates on 5 folds has 250 students, but only 5 sets of rows. This
process keeps, within bounds,

- the answers of a frozen teacher, as long as that object exists and is unchanged: the
  teacher itself is held by a weak reference;
- a teacher that was fitted on some rows, together with its answers for them.

With a `memory` (joblib's) both are shared between processes and sessions, too. It holds
pickles, which run code when they are read, so its folder is private to the user.
Content is compared (:mod:`skkd.teachers.hashing`): two arrays with the same numbers are
the same rows. A teacher whose content cannot be read is called each time.
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

#: Bounds of the answers that are kept: their number, and their bytes.
MOST_ANSWERS = 256
ANSWER_BYTES = 2**27
#: Bound of the fitted teachers that are kept: the bytes of their pickles.
TEACHER_BYTES = 2**29


@dataclass
class _Answer:
    """A teacher's answer, and its key in a joblib memory."""

    value: Answer
    key: str | None = None


@dataclass
class _Record:
    """A frozen teacher, its fingerprint after the last call, and its answers."""

    teacher: weakref.ref
    state: str | None = None
    answers: OrderedDict[str, _Answer] = field(default_factory=OrderedDict)  # by rows
    n_series: int = 0  # series of calls that are running now
    lasting_state: str | None = None  # the fingerprint on disk, found once per series
    lock: Any = field(default_factory=threading.RLock)


@dataclass
class _Fitted:
    """A teacher that this process fitted, its fingerprint after the call, and its answer."""

    teacher: Any
    state: str
    answer: Answer
    n_bytes: int
    key: str | None = None


def remembered_answer(
    teacher: Any, X: Any, ask: Callable[[Any], Answer], memory: Any = None
) -> Answer:
    """A frozen teacher's answer for rows: the one that was kept, or that of a call now.

    Parameters
    ----------
    teacher : object
        Held by a weak reference. If anything in it has changed since the last call here,
        it is called again. A change by that call itself (of a counter, say) does not count.
    X : array-like or table
    ask : callable
        (teacher) -> (probabilities, classes).
    memory : joblib.Memory, default=None

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), read-only
    classes : ndarray of shape (n_columns,) or None
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

    Changes are looked for before and after the whole series, not at each call: to hash a
    large forest takes longer than its prediction. A change in between is not found.

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
    """A fitted teacher and its answer for the rows it was fitted on: kept, or made now.

    Parameters
    ----------
    unfitted : estimator
        Identified by its class and its parameters, seeds included. If the user's code in
        it has changed since the last fit here, it is fitted again. A change by that fit
        itself (of a counter in a class, say) does not count.
    data : tuple
        Everything that it is fitted on.
    fit_and_ask : callable
        () -> (fitted teacher, (probabilities, classes)).
    memory : joblib.Memory, default=None

    Returns
    -------
    teacher : estimator
        The same object for the same arguments, as long as it is unchanged.
    answer : (probabilities, classes)
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
        _state_of_code[code_ids] = fingerprint(code)
    _keep_fitted((code_ids, unfitted_hash), teacher, _read_only(answer), key)
    return teacher, answer


def forget():
    """Drop all answers and fitted teachers that this process keeps.

    A `memory` on disk stays as it is: call its own `clear`.
    """
    with _lock:
        _records.clear()
        _fitted.clear()
        _state_of_code.clear()


def as_memory(memory: Any) -> Any:
    """The parameter `memory` as a joblib Memory.

    Parameters
    ----------
    memory : None, str, path-like or object with a `cache` method
        A folder that does not exist is made, with access for the user alone.

    Returns
    -------
    object with a `cache` method, or None

    Raises
    ------
    ValueError
        If others than the user can write to the folder.
    """
    if not isinstance(memory, (str, os.PathLike)):
        return None if memory is None else check_memory(memory)
    folder = os.fspath(memory)
    for made in (folder, os.path.join(folder, "joblib")):  # joblib uses the second one
        make_private("memory", made, f"joblib.Memory({folder!r}) if you trust it all the same")
    return check_memory(folder)


_lock = threading.Lock()
#: By id of a teacher; the most recently used one at the end.
_records: OrderedDict[int, _Record] = OrderedDict()
#: By the ids of the user's code in a teacher, and the hash of the unfitted teacher with its data.
_fitted: OrderedDict[tuple[tuple[int, ...], str], _Fitted] = OrderedDict()
#: Fingerprints of the user's code after the last fit, by ids of the code.
_state_of_code: dict[tuple[int, ...], str | None] = {}


def _begin_forked_child() -> None:
    global _lock
    _lock = (
        threading.Lock()
    )  # another thread of the parent may have held the old one, or that of a teacher
    forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


def _record_of(teacher: Any) -> _Record | None:
    """The record of a teacher; None if no weak reference to it is possible."""
    with _lock:
        found = _records.get(id(teacher))
        if found is None or found.teacher() is not teacher:
            try:
                found = _records[id(teacher)] = _Record(weakref.ref(teacher))
            except TypeError:
                return None
        _records.move_to_end(id(teacher))
        return found


def _look_for_changes(record: _Record, teacher: Any) -> None:
    """Drop the answers of a teacher that has changed since the last call."""
    if record.n_series:
        return
    state = fingerprint(teacher)
    if state != record.state:
        record.answers.clear()
        record.state = state


def _note_state(record: _Record, teacher: Any) -> None:
    """Take the state after a call as unchanged: the call itself may change a counter."""
    if not record.n_series and record.state is not None:
        record.state = fingerprint(teacher)


def _keep_within_bounds() -> None:
    """Drop the answers that were used least recently."""
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
    if memory is not None:
        warn(
            f"memory keeps no answers of teacher, a {type(teacher).__name__}: it or the rows hold "
            "something whose content cannot be read."
        )
    return compute()


def _lasting_state(record: _Record, teacher: Any) -> str | None:
    """The fingerprint of a teacher on disk; in a series of calls it is computed once."""
    if not record.n_series:
        return _state_in_any_session(teacher)
    if record.lasting_state is None:
        record.lasting_state = _state_in_any_session(teacher)
    return record.lasting_state


def _state_in_any_session(teacher: Any) -> str | None:
    """A fingerprint that is the same in other processes, with the versions of libraries."""
    with suppress(Exception):  # the pickling of a foreign object may raise any error
        # A second pickle may differ from the first, but a third does not differ from the
        # second. In a worker process the teacher has been pickled once already.
        teacher = pickle.loads(pickle.dumps(teacher))
    return fingerprint((teacher, _versions(teacher)))


def _stored(memory: Any, key: str | None, compute: Callable[[], Any]) -> Any:
    """The result of `compute`, read from disk if it was stored before."""
    return compute() if memory is None else _on_disk(memory)(key, compute)


def _store(memory: Any, key: str | None, result: Any) -> None:
    """Write a result that this process keeps to disk, unless it is there."""
    if memory is None:
        return
    is_stored = getattr(_on_disk(memory), "check_call_in_cache", None)
    if is_stored is None or not is_stored(key, None):
        _on_disk(memory)(key, lambda: result)


def _on_disk(memory: Any) -> Any:
    return memory.cache(_computed, ignore=["compute"])


def _computed(key: str | None, compute: Callable[[], Any]) -> Any:
    """The function that joblib stores the results of, by `key` alone."""
    return compute()


def _versions(teacher: Any) -> list[str | None]:
    packages = ("numpy", "sklearn", type(teacher).__module__.partition(".")[0])
    return [getattr(sys.modules.get(name), "__version__", None) for name in packages]
