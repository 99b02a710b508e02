"""Zip archives of arrays, read without trust: what is read is no larger than the file."""

import io
import math
import zipfile

import numpy as np

from skkd.exporting.content import ARRAY_DTYPES

__all__ = ["array_of", "members_of"]


def members_of(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip archive.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    ValueError
        If members are compressed, or are larger than the archive, or two have the same name.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("members are compressed, and could be of any size")
        if sum(member.file_size for member in members) > len(data):
            raise ValueError("members are larger than the file")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two members have the same name")
        return {member.filename: archive.read(member) for member in members}


def array_of(member: bytes) -> np.ndarray:
    """Read an array in NumPy's format.

    Parameters
    ----------
    member : bytes

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If its dtype is none that skkd writes, or its size is not that of the bytes that follow
        its description.
    """
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
