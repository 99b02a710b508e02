"""Protection of the caller's data from teachers and transformers that write to their input.

A teacher or transformer is first called with read-only views, so that the data need not be copied.
This call fails if the teacher or transformer writes to the data, or if its compiled code takes only
writable arrays. The call is then repeated with copies. An object that uses torch gets copies at
once, because torch only warns about read-only memory and then writes to it.
"""

import copy
import functools
import inspect
import re
import sys
import types
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy import sparse

__all__ = ["call_protected", "copied", "is_about_writing", "read_only", "treat_alike"]

#: Matches the messages of errors about read-only memory.
READ_ONLY = re.compile(r"read[- ]?only|not writ(e)?able|writeable flag", re.IGNORECASE)

#: Libraries that do not use torch. The parts of their objects are searched for it anyway.
WITHOUT_TORCH = ("builtins", "numpy", "sklearn", "scipy", "pandas", "skkd")

#: The search for torch reads at most so many parts of an object, and entries of a list.
MOST_PARTS, MOST_ENTRIES = 200, 10


def call_protected(function: Callable, *data: Any, owner: Any) -> Any:
    """Call a function on data that it must not change, and return its result.

    The function first gets read-only data. If it fails because the data are read-only, it is called
    again with copies, and every later call for the same `owner` gets copies at once. Any other
    error is raised.

    Parameters
    ----------
    function : callable
        (*data) -> result.
    *data : containers
        Rows, labels, weights or None.
    owner : object
        The teacher or transformer that the function belongs to.

    Returns
    -------
    object
        The result of the function.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 2.0]])
    >>> def double(rows):
    ...     rows *= 2
    ...     return rows
    >>> call_protected(double, X, owner=double), X
    (array([[2., 4.]]), array([[1., 2.]]))
    """
    if not _needs_copies(owner):
        try:
            return function(*map(read_only, data))
        except Exception as error:
            if not is_about_writing(error):
                raise
        _remember(owner, True)
    return function(*map(copied, data))


def read_only(data: Any) -> Any:
    """Return a read-only view of the data, or a copy if the data cannot be read-only.

    Parameters
    ----------
    data : container
        An array, sparse matrix, DataFrame, list or tensor; anything else is returned unchanged.

    Returns
    -------
    container
        Of the same type and memory layout. Lists, tensors and extension arrays are copied.

    Examples
    --------
    >>> import numpy as np
    >>> read_only(np.zeros(3)).flags.writeable
    False
    """
    if type(data) in (np.ndarray, np.memmap):
        return _read_only_array(data)
    if sparse.issparse(data):
        return _read_only_sparse(data)
    if _is_pandas(data):
        return _read_only_pandas(data)
    return copied(data)


def copied(data: Any) -> Any:
    """Return a copy of the data.

    Parameters
    ----------
    data : container
        As for :func:`read_only`.

    Returns
    -------
    container
        Of the same type and memory layout.
    """
    if isinstance(data, np.ndarray):
        return data.copy(order="K")
    if sparse.issparse(data):
        return data.copy()
    if _is_pandas(data):
        return _with_own_axes(data.copy())
    if isinstance(data, (list, tuple)):
        return _copied_list(data)
    if hasattr(data, "clone"):  # torch; polars clones share memory that never changes
        return data.clone()
    return data


def _needs_copies(owner: Any) -> bool:
    """Whether an object needs copies: it uses torch, or a call of it failed on read-only data."""
    found = _gets_copies.get(id(owner))
    if found is not None and found[0]() is owner:
        return found[1]
    uses = _uses_torch(owner)
    _remember(owner, uses)
    return uses


def treat_alike(one: Any, owner: Any) -> Any:
    """If `owner` needs copies of the data, record that its clone `one` needs copies too.

    Parameters
    ----------
    one : object
        A clone of `owner`.
    owner : object
        The original.

    Returns
    -------
    object
        `one` itself.
    """
    if _needs_copies(owner):
        _remember(one, True)
    return one


#: id of an object -> (weak reference to the object, whether its calls get copies)
_gets_copies: dict[int, tuple[weakref.ref, bool]] = {}


def _remember(owner: Any, gets_copies: bool) -> None:
    key = id(owner)
    with suppress(TypeError):  # not every object allows weak references
        _gets_copies[key] = weakref.ref(owner, lambda _: _gets_copies.pop(key, None)), gets_copies


def is_about_writing(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, is about read-only memory."""
    while error is not None:
        if READ_ONLY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _read_only_array(array: np.ndarray) -> np.ndarray:
    """Return a read-only view of an array, if possible one that cannot be made writable."""
    try:
        return as_strided(array, subok=True, writeable=False)
    except TypeError:  # as_strided does not take StringDType
        view = array.view()
        view.flags.writeable = False
        return view


def _read_only_sparse(matrix: Any) -> Any:
    if matrix.format in ("lil", "dok"):  # Python lists and dicts cannot be read-only
        return matrix.copy()
    view = copy.copy(matrix)
    for name, value in vars(matrix).items():
        if isinstance(value, np.ndarray):
            setattr(view, name, _read_only_array(value))
        elif name == "coords":
            view.coords = tuple(map(_read_only_array, value))
    return view


def _is_pandas(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "copy")


def _read_only_pandas(data: Any) -> Any:
    """Return a new pandas object whose arrays are read-only views of the arrays of `data`."""
    try:
        view = data.copy(deep=False)
        # The copy-on-write of pandas is not enough: scikit-learn makes the arrays writable again.
        for block in view._mgr.blocks:
            values = block.values
            is_array = type(values) is np.ndarray
            block.values = _read_only_array(values) if is_array else values.copy()
    except AttributeError:  # a library like pandas, or other private names in another version
        view = data.copy()
    return _with_own_axes(view)


def _with_own_axes(data: Any) -> Any:
    """Replace index and columns of `data`, a copy of a pandas object, by views; return `data`."""
    # Before pandas 3 a copy shares these two objects with its original.
    with suppress(AttributeError):  # raised by a library like pandas
        data.index = data.index.view()
        if hasattr(data, "columns"):
            data.columns = data.columns.view()
    return data


def _copied_list(rows: list | tuple) -> Any:
    if type(rows) not in (list, tuple):
        return copy.deepcopy(rows)
    return type(rows)([_copied_entry(entry) for entry in rows])


def _copied_entry(entry: Any) -> Any:
    if isinstance(entry, (list, tuple)):
        return _copied_list(entry)
    return entry.copy() if isinstance(entry, (np.ndarray, dict, set)) else entry


def _uses_torch(thing: Any) -> bool:
    """Whether an object or one of its parts is from torch, or from a module that imports torch."""
    waiting = [thing]
    seen: dict[int, Any] = {}
    while waiting and len(seen) < MOST_PARTS:
        part = waiting.pop(0)
        if id(part) in seen or isinstance(part, (str, bytes, np.ndarray, np.generic)):
            continue
        seen[id(part)] = part
        if _is_of_torch(part):
            return True
        waiting += _parts_of(part)
    return False


def _is_of_torch(thing: Any) -> bool:
    if isinstance(thing, types.ModuleType):
        return _is_torch(thing.__name__)
    if isinstance(thing, types.FunctionType):
        return _imports_torch(thing.__module__, thing.__globals__)
    kinds = (thing if isinstance(thing, type) else type(thing)).__mro__
    modules = {str(kind.__module__) for kind in kinds}
    return any(
        _imports_torch(name, getattr(sys.modules.get(name), "__dict__", {})) for name in modules
    )


def _imports_torch(module: Any, content: dict[str, Any]) -> bool:
    """Whether a module is part of torch, or has something from torch among its globals."""
    if _is_torch(module):
        return True
    if _is_without_torch(module):
        return False
    return any(
        _is_torch(value.__name__ if isinstance(value, types.ModuleType) else value.__module__)
        for value in list(content.values())
        if isinstance(value, (types.ModuleType, type, types.FunctionType))
    )


def _is_torch(module: Any) -> bool:
    return str(module).partition(".")[0] == "torch"


def _is_without_torch(module: Any) -> bool:
    return str(module).partition(".")[0] in WITHOUT_TORCH


def _parts_of(thing: Any) -> list:
    """Return the attributes or entries of an object, or the variables that a function reads."""
    if isinstance(thing, (list, tuple)):
        return list(thing[:MOST_ENTRIES])
    if isinstance(thing, dict):
        return list(thing.values())[:MOST_ENTRIES]
    if isinstance(thing, types.MethodType):
        return [thing.__self__]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.FunctionType) and not _is_without_torch(thing.__module__):
        read = [thing.__globals__.get(name) for name in thing.__code__.co_names]
        cells: list = []
        with suppress(ValueError):  # if a cell is empty
            cells = list(inspect.getclosurevars(thing).nonlocals.values())
        return [*read, *cells, *(thing.__defaults__ or ())]
    if isinstance(thing, (type, types.ModuleType, types.FunctionType)):
        return []
    return list(getattr(thing, "__dict__", {}).values())
