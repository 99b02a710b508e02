"""What teachers answered, remembered: they are slow, and a search asks the same again.

A grid of 50 candidates on 5 folds has 250 students, but only 5 sets of rows. Two small
caches of this process, bounded in bytes, keep

- the answers of a frozen teacher, as long as that very object lives and is unchanged:
  the teacher itself is held weakly;
- a teacher that was fitted on some rows, together with its answers about them.

With a `memory` (joblib's) both are shared between processes and sessions, too.

What is compared is content: two arrays with the same numbers are the same rows. A
teacher that cannot be read that way is asked again each time.
"""

import dis
import os
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType

from joblib.hashing import NumpyHasher
from sklearn.utils.validation import check_memory

__all__ = ["as_memory", "fingerprint", "remembered_answer", "remembered_teacher"]

#: Most bytes of all answers, and of all fitted teachers, that are kept.
ANSWER_BYTES = 2**27
TEACHER_BYTES = 2**29


def remembered_answer(teacher, X, ask, memory=None):
    """What a frozen teacher says of rows: from memory, or asked now.

    Parameters
    ----------
    teacher : object
        Held weakly. Attributes that change by being asked (a counter, say) are not
        compared; a change of any other, such as by a new `fit`, makes it asked anew.
    X : array-like or table
    ask : callable
        (teacher) -> (probabilities, classes).
    memory : joblib.Memory, default=None

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), read-only
    classes : ndarray of shape (n_columns,) or None
    """
    rows = fingerprint(X)
    if rows is None or not _can_be_weak(teacher):
        return ask(teacher)
    key = (id(teacher), rows)
    entry = _answers.get(key)
    if entry is not None and entry.teacher() is teacher and entry.holds_for(teacher):
        return entry.answer
    before = state_of(teacher)
    answer = _read_only(_stored(memory, (teacher, rows), lambda: ask(teacher)))
    _answers.put(key, _Entry(weakref.ref(teacher), _settled(before, teacher), answer))
    return answer


def remembered_teacher(unfitted, data, fit_and_ask, memory=None):
    """A fitted teacher and what it says of the rows it was fitted on.

    Parameters
    ----------
    unfitted : estimator
        Its class and its parameters, seeds included, tell it from others.
    data : tuple
        All that it is fitted on.
    fit_and_ask : callable
        () -> (fitted teacher, (probabilities, classes)).
    memory : joblib.Memory, default=None

    Returns
    -------
    teacher : estimator
    answer : (probabilities, classes)
    """
    key = fingerprint((unfitted, data))
    entry = None if key is None else _fitted.get(key)
    if entry is not None and entry.holds_for(entry.teacher):
        return entry.teacher, entry.answer
    teacher, answer = _stored(memory, (unfitted, data), fit_and_ask)
    answer = _read_only(answer)
    if key is not None:
        _fitted.put(key, _Entry(teacher, state_of(teacher), answer))
    return teacher, answer


def as_memory(memory):
    """A joblib Memory of the parameter `memory`.

    Parameters
    ----------
    memory : None, str, path-like or object with a `cache` method

    Returns
    -------
    object with a `cache` method, or None
    """
    if memory is None:
        return None
    return check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)


def fingerprint(content):
    """A hash of anything's content, or None where it cannot be read.

    Functions, and classes of the running script or notebook, count with their code,
    not by their names alone: they change while one works.

    Parameters
    ----------
    content : object

    Returns
    -------
    str or None

    Examples
    --------
    >>> fingerprint([1.0, 2.0]) == fingerprint([1.0, 2.0])
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    try:
        return _ContentHasher(hash_name="md5").hash(content)
    except Exception:  # whatever a stranger's pickling may raise
        return None


def state_of(teacher):
    """A fingerprint of each attribute of a teacher.

    Parameters
    ----------
    teacher : object

    Returns
    -------
    dict of str to (str or None)
    """
    if isinstance(teacher, FunctionType):
        return {"code": fingerprint(teacher)}
    try:
        state = teacher.__getstate__()
    except Exception:  # whatever a stranger's pickling may raise
        state = vars(teacher) if hasattr(teacher, "__dict__") else {}
    attributes = state if isinstance(state, dict) else {"state": state}
    return {name: fingerprint(value) for name, value in attributes.items()}


def _settled(before, teacher):
    """What asking did not change: only that tells whether somebody else changed it."""
    after = state_of(teacher)
    return {name: value for name, value in before.items() if after.get(name) == value}


def _can_be_weak(teacher):
    try:
        weakref.ref(teacher)
    except TypeError:
        return False
    return True


def _read_only(answer):
    answer[0].flags.writeable = False
    return answer


def _stored(memory, question, compute):
    """The outcome of `compute`, from disk where the same question was stored before."""
    if memory is None:
        return compute()
    try:
        # What is pickled once may hash differently, but then no more: in workers it was.
        question = pickle.loads(pickle.dumps(question))
    except Exception:  # whatever a stranger's pickling may raise
        return compute()
    key = fingerprint(question)
    return compute() if key is None else memory.cache(_computed, ignore=["compute"])(key, compute)


def _computed(key, compute):
    return compute()


@dataclass
class _Entry:
    """One thing remembered: a teacher (or a weak reference), its state, its answer."""

    teacher: object
    state: dict
    answer: tuple

    def holds_for(self, teacher):
        now = state_of(teacher)
        return all(now.get(name) == value for name, value in self.state.items())

    @property
    def n_bytes(self):
        held = 0 if isinstance(self.teacher, weakref.ref) else _pickled_bytes(self.teacher)
        return held + self.answer[0].nbytes

    @property
    def is_alive(self):
        return not isinstance(self.teacher, weakref.ref) or self.teacher() is not None


class _Recent:
    """The entries used last, of at most so many bytes in all."""

    def __init__(self, most_bytes):
        self.most_bytes = most_bytes
        self.clear()

    def clear(self):
        self.entries = OrderedDict()  # key -> (entry, its bytes)
        self.lock = threading.Lock()

    def get(self, key):
        with self.lock:
            if key not in self.entries:
                return None
            self.entries.move_to_end(key)
            return self.entries[key][0]

    def put(self, key, entry):
        n_bytes = entry.n_bytes
        with self.lock:
            alive = {k: held for k, held in self.entries.items() if held[0].is_alive}
            self.entries = OrderedDict(alive)
            self.entries.pop(key, None)
            self.entries[key] = (entry, n_bytes)
            while sum(held for _, held in self.entries.values()) > self.most_bytes:
                self.entries.popitem(last=False)


_answers = _Recent(ANSWER_BYTES)
_fitted = _Recent(TEACHER_BYTES)

if hasattr(os, "register_at_fork"):  # another thread may have held a lock
    os.register_at_fork(after_in_child=lambda: (_answers.clear(), _fitted.clear()))


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self):
        self.n_bytes = 0

    def write(self, data):
        self.n_bytes += memoryview(data).nbytes


def _pickled_bytes(teacher):
    counter = _Counter()
    try:
        pickle.Pickler(counter, protocol=5).dump(teacher)
    except Exception:  # whatever a stranger's pickling may raise
        return TEACHER_BYTES  # more than fits beside its answer: it is not kept
    return counter.n_bytes


class _ContentHasher(NumpyHasher):
    """joblib's hash, by content also where pickle goes by name or by address."""

    def __init__(self, hash_name):
        self.contents = {}  # of a function met before: the same list, which may hold itself
        super().__init__(hash_name)

    def save(self, obj):
        if isinstance(obj, FunctionType):
            obj = self._content_of_function(obj)
        elif isinstance(obj, CodeType):
            obj = (obj.co_code, obj.co_consts, obj.co_names)
        elif isinstance(obj, ModuleType):
            obj = obj.__name__
        elif isinstance(obj, type) and obj.__module__ == "__main__":
            functions = {k: v for k, v in vars(obj).items() if isinstance(v, FunctionType)}
            obj = (obj.__qualname__, functions)
        elif "torch" in sys.modules and isinstance(obj, sys.modules["torch"].Tensor):
            obj = _content_of_tensor(obj)
        super().save(obj)

    def _content_of_function(self, function):
        """Code, defaults, what it closes over and, in a notebook, the globals it reads."""
        content = self.contents.get(function)
        if content is None:
            content = self.contents[function] = [function.__qualname__, function.__code__]
            closed_over = [cell.cell_contents for cell in function.__closure__ or ()]
            content += [function.__defaults__, closed_over, _globals_read_by(function)]
        return content


def _globals_read_by(function):
    if function.__module__ != "__main__":
        return {}
    steps = dis.get_instructions(function.__code__)
    names = {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}
    return {name: function.__globals__[name] for name in names & set(function.__globals__)}


def _content_of_tensor(tensor):
    import torch

    bits = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return (str(tensor.dtype), tuple(tensor.shape), bits.numpy())
