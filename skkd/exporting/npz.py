"""The format ``.npz``: NumPy's own, without pickles.

The header is JSON in UTF-8, in the array "header". Members are not compressed: the size of the
file bounds the memory that reading takes.
"""

import io
import json
from typing import Any

import numpy as np

from skkd.exporting.archive import array_of, members_of
from skkd.exporting.content import Arrays, from_json

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
    members = members_of(data)
    arrays = {name.removesuffix(".npy"): array_of(member) for name, member in members.items()}
    header = from_json(arrays.pop("header").tobytes())
    return arrays, header
