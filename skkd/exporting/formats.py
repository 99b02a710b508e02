"""The formats by the endings of their files: how each is written and read."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skkd.checks import refuse
from skkd.exporting import npz, onnx, onnx_reader, safetensors
from skkd.exporting.content import pack, unpack
from skkd.exporting.runners import NetworkRunner, Runner
from skkd.inference.network import Network

__all__ = ["FORMATS", "Format", "path_of", "resolve_format"]


@dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Parameters
    ----------
    write : callable
        ``(network, dtype) -> bytes``.
    read : callable
        ``bytes -> Runner``. A damaged or foreign file may raise any error.
    obstacle : callable, default=None
        ``(network, dtype) -> str or None``: what keeps a network from this format.
    run_module : callable, default=None
        ``bytes -> Runner``: runs a file with a custom module that was just written. None: a file
        cannot hold one.
    """

    write: Callable[[Network, str], bytes]
    read: Callable[[bytes], Runner]
    obstacle: Callable[[Network, str], str | None] = lambda network, dtype: None
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


FORMATS: dict[str, Format] = {
    ".onnx": Format(onnx.write, onnx_reader.read, onnx.obstacle, run_module=onnx_reader.run_module),
    ".npz": _of_arrays(npz),
    ".safetensors": _of_arrays(safetensors),
}


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


def resolve_format(path: Path, format: str | None) -> str:
    """Return the ending that stands for the format of a file.

    Parameters
    ----------
    path : Path
    format : str or None
        The ending, with or without a dot; None takes that of `path`.

    Returns
    -------
    str
        A key of `FORMATS`.
    """
    allowed = f"a file that ends in {', '.join(FORMATS)}, or format= with one of these"
    if format is None:
        if path.suffix.lower() not in FORMATS:
            refuse("path", str(path), allowed)
        return path.suffix.lower()
    ending = "." + format.lower().removeprefix(".") if isinstance(format, str) else None
    if ending not in FORMATS:
        refuse("format", format, "one of " + ", ".join(FORMATS))
    return ending
