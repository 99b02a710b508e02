"""The format ``.npz``: NumPy's own, without pickles.

The header is JSON in UTF-8, in the array "header". Members are not compressed: the size of the
file bounds the memory that reading takes.
"""

import io
import json
import math
import zipfile
from typing import Any

import numpy as np

from skkd.exporting.content import ARRAY_DTYPES, Arrays

__all__ = ["read", "write"]


def write(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Return the bytes of an ``.npz`` file.

    Parameters
    ----------
    arrays : dict of str to ndarray
    header : dict

    Returns
    -------
    bytes
    """
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    file = io.BytesIO()
    np.savez(file, header=text, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def read(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the header of an ``.npz`` file.

    A damaged file may raise any error: :func:`skkd.load` makes one clear
    ValueError of it.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict
    """
    arrays = _members(data)
    header = json.loads(arrays.pop("header").tobytes())
    return arrays, header


def _members(data: bytes) -> Arrays:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("members are compressed, and could be of any size")
        if sum(member.file_size for member in members) > len(data):
            raise ValueError("members are larger than the file")
        return {
            member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members
        }


def _array(member: bytes) -> np.ndarray:
    """Read an array; its size must be that of the bytes that follow its description."""
    file = io.BytesIO(member)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array has another version of NumPy's format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.name not in (*ARRAY_DTYPES, "uint8") or not dtype.isnative:
        raise ValueError(f"an array has dtype {dtype}")
    n_bytes = len(member) - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != n_bytes:
        raise ValueError(f"an array of shape {shape} has {n_bytes} bytes")
    values = np.frombuffer(member, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")
