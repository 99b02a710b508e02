"""The format ``.safetensors``: the arrays, and the header as JSON in the metadata."""

import json
from typing import Any

import numpy as np

from skkd.exporting.content import ARRAY_DTYPES, Arrays, from_json
from skkd.exporting.libraries import library

__all__ = ["read", "write"]

PURPOSE = "the format .safetensors"

#: The dtypes of ``ARRAY_DTYPES``, by their names in the format.
DTYPES = dict(zip(("F32", "F64", "I64"), ARRAY_DTYPES, strict=True))


def write(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Return the bytes of a ``.safetensors`` file.

    Parameters
    ----------
    arrays : dict of str to ndarray
    header : dict

    Returns
    -------
    bytes
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    numpy = library("safetensors.numpy", PURPOSE)
    return numpy.save(contiguous, metadata={"skkd": json.dumps(header)})


def read(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the header of a ``.safetensors`` file.

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
    tensors = library("safetensors", PURPOSE).deserialize(data)
    size = int.from_bytes(data[:8], "little")
    header = from_json(from_json(data[8 : 8 + size])["__metadata__"]["skkd"])
    return {name: _array(tensor) for name, tensor in tensors}, header


def _array(tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] not in DTYPES:
        raise ValueError(f"an array has dtype {tensor['dtype']}")
    values = np.frombuffer(tensor["data"], np.dtype(DTYPES[tensor["dtype"]]).newbyteorder("<"))
    return values.astype(values.dtype.newbyteorder("="), copy=False).reshape(tensor["shape"])
