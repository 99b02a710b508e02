"""Hashes of the content of rows, parameters and fitted teachers, for the cache.

The hash of an object is the hash of its pickle, with two exceptions:

- The pickle of a function or class holds only its name. If the user may edit the function or
  class while Python runs (in a script, a notebook or a module of their own), its code is
  hashed instead.
- For a torch tensor, its dtype, shape and numbers are hashed.
"""

import dis
import functools
import hashlib
import pickle
import sys
import types
from pathlib import Path
from typing import Any

__all__ = ["fingerprint", "fingerprint_and_code", "pickled_bytes"]


def fingerprint(content: Any) -> str | None:
    """A hash of the content of any object, or None if the object cannot be pickled.

    Different content gives different hashes. Code that a function uses from other modules, and
    code written in C, are not part of the content.

    Parameters
    ----------
    content : object

    Returns
    -------
    str or None
        Equal content usually gives equal hashes, but not always.

    Examples
    --------
    >>> fingerprint([1.0, 2.0]) == fingerprint([1.0, 2.0])
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    sink = _Sink(hashlib.sha1(usedforsecurity=False))
    return sink.digest.hexdigest() if _dump(content, sink) else None


def fingerprint_and_code(content: Any) -> tuple[str | None, list]:
    """Hash an object without the user's code, and list that code.

    The user's code means the functions and classes inside the object that the user may edit.
    Only their names are part of the hash. To hash the code, pass the returned list to
    :func:`fingerprint`.

    Parameters
    ----------
    content : object

    Returns
    -------
    digest : str or None
        The hash; None if the object cannot be pickled.
    code : list of functions and classes
        The user's code inside the object.
    """
    sink = _Sink(hashlib.sha1(usedforsecurity=False))
    code: list[Any] = []
    return (sink.digest.hexdigest() if _dump(content, sink, code) else None), code


def pickled_bytes(content: Any) -> int | None:
    """The size of an object's pickle in bytes, or None if the object cannot be pickled."""
    sink = _Sink()
    return sink.n_bytes if _dump(content, sink) else None


def _dump(content: Any, sink: "_Sink", code: list | None = None) -> bool:
    """Pickle an object into a sink, and return whether that worked."""
    try:
        _ContentPickler(sink, code).dump(content)
    except Exception:  # the pickling of a foreign object may raise any error
        return False
    return True


class _Sink:
    """A file object that counts and hashes the bytes written to it, and does not store them."""

    def __init__(self, digest: Any = None) -> None:
        self.digest = digest  # a hash object of `hashlib`; None hashes nothing
        self.n_bytes = 0

    def write(self, data: Any) -> None:
        self.n_bytes += memoryview(data).nbytes
        if self.digest is not None:
            self.digest.update(data)

    def write_buffer(self, buffer: pickle.PickleBuffer) -> None:
        self.write(buffer.raw())


class _ContentPickler(pickle.Pickler):
    """A pickler that writes the user's functions and classes by content, not by name."""

    def __init__(self, sink: _Sink, code: list | None = None) -> None:
        super().__init__(sink, protocol=5, buffer_callback=sink.write_buffer)
        self.code = code  # if a list, the user's code is appended here, and its name is written

    def reducer_override(self, thing: Any) -> Any:
        content = _content_of(thing)
        is_code = isinstance(thing, (types.FunctionType, type))
        if is_code and content is not None and self.code is not None:
            self.code.append(thing)
            content = (thing.__module__, thing.__qualname__)
        # The content is written as the state of an empty list. A pickle holds the state last,
        # so the content may refer to `thing` itself.
        return NotImplemented if content is None else (list, (), content)


def _content_of(thing: Any) -> tuple | None:
    """The content to hash in place of an object's pickle, or None to hash the pickle."""
    if isinstance(thing, types.FunctionType):
        return _content_of_function(thing) if _may_be_edited(thing) else None
    if isinstance(thing, type):
        return _content_of_class(thing) if _may_be_edited(thing) else None
    if isinstance(thing, types.CodeType):
        return (thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames)
    if isinstance(thing, types.ModuleType):
        return (thing.__name__,)
    if isinstance(thing, property):
        return (thing.fget, thing.fset, thing.fdel)
    if isinstance(thing, (staticmethod, classmethod)):
        return (type(thing).__name__, thing.__func__)
    if isinstance(thing, functools.cached_property):
        return (thing.func,)
    if isinstance(thing, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return (thing.__name__,)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor):
        bits = thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return (str(thing.dtype), tuple(thing.shape), bits.numpy())
    return None


def _content_of_function(function: types.FunctionType) -> tuple:
    cells = [_content_of_cell(cell) for cell in function.__closure__ or ()]
    reads = {} if _is_library(function.__module__) else _globals_read_by(function)
    defaults = (function.__defaults__, function.__kwdefaults__, vars(function))
    return (function.__qualname__, function.__code__, defaults, cells, reads)


def _content_of_cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def _globals_read_by(function: types.FunctionType) -> dict[str, Any]:
    names: set[str] = set()
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        steps = dis.get_instructions(code)
        names |= {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    found = function.__globals__
    return {name: found[name] for name in sorted(names) if name in found}


def _content_of_class(cls: type) -> tuple:
    left_out = ("__dict__", "__weakref__", "__doc__", "__module__", "_abc_impl")
    attributes = {name: value for name, value in vars(cls).items() if name not in left_out}
    return (cls.__qualname__, cls.__bases__, attributes)


def _may_be_edited(thing: Any) -> bool:
    """Whether the user may edit a function or class while Python runs."""
    # "<" is in the names of lambdas, and of functions and classes inside a function.
    return "<" in thing.__qualname__ or not _is_library(thing.__module__)


@functools.cache
def _is_library(module: str | None) -> bool:
    package = str(module).partition(".")[0]
    if package == "__main__":  # under Jupyter or pytest, __main__ has a file of theirs
        return False
    if package == "skkd" or package in sys.stdlib_module_names:
        return True
    path = getattr(sys.modules.get(package), "__file__", None)
    if path is None:
        return False
    return "site-packages" in path or "dist-packages" in path or _is_on_record(package, path)


def _is_on_record(package: str, path: str) -> bool:
    """Whether the file at `path` is listed in the RECORD file of an installed package."""
    module = Path(path)
    folder = module.parent.parent if module.stem == "__init__" else module.parent
    starts = (f"{package}/", f"{package}.")
    return any(
        line.startswith(starts)
        for record in folder.glob("*.dist-info/RECORD")
        for line in record.read_text(encoding="utf-8").splitlines()
    )
