"""The formats by the endings of their files: how each is written and read."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from skkd.checks import refuse
from skkd.exporting import npz, safetensors, skops
from skkd.exporting.c import write as c
from skkd.exporting.c.compiler import compile_c
from skkd.exporting.content import pack, unpack
from skkd.exporting.onnx import reader as onnx_reader
from skkd.exporting.onnx import write as onnx
from skkd.exporting.runners import NetworkRunner, Runner
from skkd.inference.network import Network

__all__ = ["FORMATS", "Format", "format_of", "path_of", "resolve_format"]


@dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Parameters
    ----------
    write : callable
        ``(network, dtype) -> bytes``.
    read : callable or None
        ``bytes -> Runner``. A damaged or foreign file may raise any error. None: files of this
        format are not loaded.
    obstacle : callable, default=None
        ``(network, dtype) -> str or None``: what keeps a network from this format.
    beside : dict of str to callable, default={}
        By ending: how each file is written that stands beside the file, as `write`.
    run : callable, default=None
        ``{ending: bytes} -> Runner``: runs the file and those beside it, if `read` is None.
    run_module : callable, default=None
        ``bytes -> Runner``: runs a file with a custom module that was just written. None: a file
        cannot hold one.
    """

    write: Callable[[Network, str], bytes]
    read: Callable[[bytes], Runner] | None
    obstacle: Callable[[Network, str], str | None] = lambda network, dtype: None
    beside: Mapping[str, Callable[[Network, str], bytes]] = field(default_factory=dict)
    run: Callable[[dict[str, bytes]], Runner] | None = None

    def runner(self, files: dict[str, bytes]) -> Runner:
        """Return what the files answer; the first is the file itself."""
        if self.read is not None:
            return self.read(next(iter(files.values())))
        assert self.run is not None
        return self.run(files)

    run_module: Callable[[bytes], Runner] | None = None

    @property
    def holds_modules(self) -> bool:
        """Whether a file can hold a custom module."""
        return self.run_module is not None


def _of_arrays(container: Any) -> Format:
    """The format of a container of arrays and a header: a module with `read` and `write`."""

    def write(network: Network, dtype: str) -> bytes:
        return container.write(*pack(network, dtype))

    def read(data: bytes) -> Runner:
        return NetworkRunner(*unpack(*container.read(data)))

    return Format(write, read)


def _of_c(ending: str, prefix: str) -> Format:
    """C code: a file with a header beside it, or one header. Both have a schema beside them."""
    beside = {".h": c.write_header} if ending == ".c" else {}
    beside = {e: partial(f, prefix=prefix) for e, f in (beside | {".json": c.write_schema}).items()}
    write = partial(c.write if ending == ".c" else c.write_header_only, prefix=prefix)
    return Format(write, None, c.obstacle, beside=beside, run=compile_c)


FORMATS: dict[str, Format] = {
    ".onnx": Format(onnx.write, onnx_reader.read, onnx.obstacle, run_module=onnx_reader.run_module),
    ".npz": _of_arrays(npz),
    ".safetensors": _of_arrays(safetensors),
    ".skops": _of_arrays(skops),
    ".c": _of_c(".c", c.PREFIX),
    ".h": _of_c(".h", c.PREFIX),
}


def format_of(ending: str, prefix: str | None = None) -> Format:
    """Return the format of an ending.

    Parameters
    ----------
    ending : str
        A key of `FORMATS`.
    prefix : str, default=None
        The beginning of all names in C code.

    Returns
    -------
    Format
    """
    if prefix is None:
        return FORMATS[ending]
    if ending not in (".c", ".h"):
        refuse("prefix", prefix, f"None: {ending} has no names of C, only .c and .h have")
    return _of_c(ending, c.checked_prefix(prefix))


def path_of(path: Any) -> Path:
    """Check the parameter `path`.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Path
    """
    if not isinstance(path, (str, os.PathLike)):
        refuse("path", path, "a str or a path-like object", TypeError)
    return Path(os.fspath(path))


def resolve_format(path: Path, format: str | None, endings: Iterable[str] = FORMATS) -> str:
    """Return the ending that stands for the format of a file.

    Parameters
    ----------
    path : Path
    format : str or None
        The ending, with or without a dot; None takes that of `path`.
    endings : iterable of str, default=FORMATS
        Those that an error names.

    Returns
    -------
    str
        A key of `FORMATS`.
    """
    names = ", ".join(endings)
    allowed = f"a file that ends in {names}, or format= with one of these"
    if format is None:
        if path.suffix.lower() not in FORMATS:
            refuse("path", str(path), allowed)
        return path.suffix.lower()
    ending = "." + format.lower().removeprefix(".") if isinstance(format, str) else None
    if ending not in FORMATS:
        refuse("format", format, f"one of {names}")
    return ending
