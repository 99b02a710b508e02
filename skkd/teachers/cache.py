"""What teachers answered, remembered: they are slow, and a search asks the same again.

A grid of 50 candidates on 5 folds has 250 students, but only 5 sets of rows. This
process remembers, within bounds,

- the answers of a frozen teacher, as long as that very object lives and is unchanged:
  the teacher itself is held weakly;
- a teacher that was fitted on some rows, together with its answers about them.

With a `memory` (joblib's) both are shared between processes and sessions, too. It holds
pickles, which run when they are read: a folder is private to the user. What is
compared is content (:mod:`skkd.teachers.hashing`): two arrays with the same numbers are the
same rows. A teacher whose content cannot be read is asked each time.
"""

import os
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sklearn.utils.validation import check_memory

from skkd.checks import warn
from skkd.teachers.hashing import fingerprint, fingerprint_and_code, pickled_bytes
from skkd.teachers.private_folder import make_private

__all__ = [
    "as_memory",
    "forget",
    "questions_in_a_row",
    "remembered_answer",
    "remembered_teacher",
]

#: Most answers, and most bytes of them, that are kept.
MOST_ANSWERS = 256
ANSWER_BYTES = 2**27
#: Most bytes of fitted teachers, as pickled, that are kept.
TEACHER_BYTES = 2**29


@dataclass
class _Answer:
    """What a teacher answered, and under which key a memory has it."""

    value: tuple  # (probabilities, classes)
    key: str | None = None


@dataclass
class _Asked:
    """A frozen teacher, as it was after our last question, and its answers."""

    teacher: weakref.ref
    state: str | None = None
    answers: OrderedDict = field(default_factory=OrderedDict)  # of rows -> _Answer
    n_series: int = 0  # of questions that follow each other
    lasting_state: str | None = None  # that of other sessions, within such a series
    lock: object = field(default_factory=threading.RLock)


@dataclass
class _Fitted:
    """A teacher that we fitted, as it was after our question, and its answer."""

    teacher: object
    state: str
    answer: tuple
    n_bytes: int
    key: str | None = None


def remembered_answer(teacher, X, ask, memory=None):
    """What a frozen teacher says of rows: from memory, or asked now.

    Parameters
    ----------
    teacher : object
        Held weakly. If anything in it has changed since our last question, it is asked
        anew; what asking itself changes (a counter, say) is no such change.
    X : array-like or table
    ask : callable
        (teacher) -> (probabilities, classes).
    memory : joblib.Memory, default=None

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), read-only
    classes : ndarray of shape (n_columns,) or None
    """
    rows, asked = fingerprint(X), _asked_of(teacher)
    if rows is None or asked is None:
        return _unremembered(lambda: ask(teacher), teacher, memory)
    with asked.lock:  # who asks the same at the same time waits for the answer
        _look_for_changes(asked, teacher)
        if asked.state is None:
            return _unremembered(lambda: ask(teacher), teacher, memory)
        answer = asked.answers.pop(rows, None)
        key = None if answer is None else answer.key
        if memory is not None and key is None:
            key = fingerprint((_lasting_state(asked, teacher), rows))
        if answer is None:
            answer = _Answer(_read_only(_stored(memory, key, lambda: ask(teacher))))
            _note_state(asked, teacher)
        else:
            _store(memory, key, answer.value)
        answer.key = key
        asked.answers[rows] = answer  # at the end, as the one used last
    _keep_within_bounds()
    return answer.value


@contextmanager
def questions_in_a_row(teacher):
    """Questions between which nobody changes a frozen teacher.

    It is read before and after all of them, not each: reading a large forest takes longer than
    its answer. A change in between is not noticed.

    Parameters
    ----------
    teacher : object
    """
    asked = _asked_of(teacher)
    if asked is None:
        yield
        return
    with asked.lock:
        _look_for_changes(asked, teacher)
        asked.n_series += 1
        asked.lasting_state = None
    try:
        yield
    finally:
        with asked.lock:
            asked.n_series -= 1
            _note_state(asked, teacher)


def remembered_teacher(unfitted, data, fit_and_ask, memory=None):
    """A fitted teacher and what it says of the rows it was fitted on.

    Parameters
    ----------
    unfitted : estimator
        Its class and its parameters, seeds included, tell it from others. If the user's
        code in it has changed since our last fit, it is fitted anew; what fitting itself
        changes (a counter in a class, say) is no such change.
    data : tuple
        All that it is fitted on.
    fit_and_ask : callable
        () -> (fitted teacher, (probabilities, classes)).
    memory : joblib.Memory, default=None

    Returns
    -------
    teacher : estimator
        The same object for the same question, as long as nobody changes it.
    answer : (probabilities, classes)
    """
    data = fingerprint(data)
    question, code = fingerprint_and_code((unfitted, data))
    state_of_code = fingerprint(code)
    if data is None or question is None or state_of_code is None:
        return _unremembered(fit_and_ask, unfitted, memory)
    names = tuple(map(id, code))
    with _lock:
        if state_of_code != _state_of_code.get(names, state_of_code):
            for key in [key for key in _fitted if key[0] == names]:
                del _fitted[key]
        found = _fitted.get((names, question))
    if found is not None and fingerprint_and_code(found.teacher)[0] == found.state:
        if memory is not None:
            found.key = found.key or fingerprint((_state_in_any_session(unfitted), data))
            _store(memory, found.key, (found.teacher, found.answer))
        return found.teacher, found.answer
    key = None
    if memory is not None:
        key = fingerprint((_state_in_any_session(unfitted), data))
    teacher, answer = _stored(memory, key, fit_and_ask)
    with _lock:
        _state_of_code[names] = fingerprint(code)
    _keep_fitted((names, question), teacher, _read_only(answer), key)
    return teacher, answer


def forget():
    """Drop all answers and teachers that this process remembers.

    A `memory` stays: it is cleared with its own `clear`.
    """
    with _lock:
        _asked.clear()
        _fitted.clear()
        _state_of_code.clear()


def as_memory(memory):
    """A joblib Memory of the parameter `memory`.

    Parameters
    ----------
    memory : None, str, path-like or object with a `cache` method
        A folder that is not there is made for the user alone.

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
    for made in (folder, os.path.join(folder, "joblib")):  # the second one by joblib
        make_private("memory", made, f"joblib.Memory({folder!r}) if you trust it all the same")
    return check_memory(folder)


_lock = threading.Lock()
_asked: OrderedDict = OrderedDict()  # id of a teacher -> _Asked, the last used at the end
_fitted: OrderedDict = OrderedDict()  # (ids of the user's code in it, question) -> _Fitted
_state_of_code: dict = {}  # ids of the user's code -> its fingerprint after our last fit


def _begin_forked_child():
    global _lock
    _lock = threading.Lock()  # another thread may have held it, or that of a teacher
    forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


def _asked_of(teacher):
    """The record of a teacher, a new one if need be; None if it cannot be held weakly."""
    with _lock:
        found = _asked.get(id(teacher))
        if found is None or found.teacher() is not teacher:
            try:
                found = _asked[id(teacher)] = _Asked(weakref.ref(teacher))
            except TypeError:
                return None
        _asked.move_to_end(id(teacher))
        return found


def _look_for_changes(asked, teacher):
    """Drop the answers of a teacher that has changed since our last question."""
    if asked.n_series:
        return
    state = fingerprint(teacher)
    if state != asked.state:
        asked.answers.clear()
        asked.state = state


def _note_state(asked, teacher):
    """What asking itself changes (a counter, say) is no change."""
    if not asked.n_series and asked.state is not None:
        asked.state = fingerprint(teacher)


def _keep_within_bounds():
    with _lock:
        for key in [key for key, asked in _asked.items() if asked.teacher() is None]:
            del _asked[key]
        while _asked:
            answers = [a for asked in _asked.values() for a in list(asked.answers.values())]
            n_bytes = sum(answer.value[0].nbytes for answer in answers)
            if len(answers) <= MOST_ANSWERS and n_bytes <= ANSWER_BYTES:
                return
            oldest_key, oldest = next(iter(_asked.items()))
            if oldest.answers:
                oldest.answers.popitem(last=False)
            else:
                del _asked[oldest_key]


def _keep_fitted(question, teacher, answer, key):
    (state, _), n_bytes = fingerprint_and_code(teacher), pickled_bytes(teacher)
    if state is None or n_bytes + answer[0].nbytes > TEACHER_BYTES:
        return
    with _lock:
        _fitted.pop(question, None)
        _fitted[question] = _Fitted(teacher, state, answer, n_bytes + answer[0].nbytes, key)
        while sum(held.n_bytes for held in _fitted.values()) > TEACHER_BYTES:
            _fitted.popitem(last=False)


def _read_only(answer):
    answer[0].flags.writeable = False
    return answer


def _unremembered(compute, teacher, memory):
    if memory is not None:
        warn(
            f"memory keeps no answers of teacher, a {type(teacher).__name__}: it or the rows hold "
            "something whose content cannot be read."
        )
    return compute()


def _lasting_state(asked, teacher):
    """What a teacher is known by on disk; in a series of questions it is found out once."""
    if not asked.n_series:
        return _state_in_any_session(teacher)
    if asked.lasting_state is None:
        asked.lasting_state = _state_in_any_session(teacher)
    return asked.lasting_state


def _state_in_any_session(teacher):
    with suppress(Exception):  # whatever a stranger's pickling may raise
        # In a worker it was pickled, and what was pickled once may be pickled otherwise
        # the second time, but not the third.
        teacher = pickle.loads(pickle.dumps(teacher))
    return fingerprint((teacher, _versions(teacher)))


def _stored(memory, key, compute):
    """The outcome of `compute`, from disk where it was stored before."""
    return compute() if memory is None else _on_disk(memory)(key, compute)


def _store(memory, key, outcome):
    """Store what this process remembers, unless it is stored."""
    if memory is None:
        return
    is_stored = getattr(_on_disk(memory), "check_call_in_cache", None)
    if is_stored is None or not is_stored(key, None):
        _on_disk(memory)(key, lambda: outcome)


def _on_disk(memory):
    return memory.cache(_computed, ignore=["compute"])


def _computed(key, compute):
    """What joblib stores under `key`; it leaves `compute` out of account."""
    return compute()


def _versions(teacher):
    packages = ("numpy", "sklearn", type(teacher).__module__.partition(".")[0])
    return [getattr(sys.modules.get(name), "__version__", None) for name in packages]
