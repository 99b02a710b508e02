"""What a file of skkd holds: arrays, and a header of plain values that JSON can hold.

=====================  =====================================================================
array                  holds
=====================  =====================================================================
layer1.weight, .bias   the first layer, ``activation(x @ weight + bias)``, and so on; the last
                       layer has no activation
centre, scale          for each numeric column
bins.column, .left,    the bins of numeric columns, if there are any
.width
scores<j>.values,      the normal scores of the numeric column at position j, if its tails are
.scores                heavy
=====================  =====================================================================

The header has the schema (:class:`skkd.inference.schema.Schema`), the activation, the steps of
the preprocessing, what is known about the training, and a digest of everything, by which a
damaged file is recognised.

Nothing in a file is executed. All values are checked before a network is made of them.
"""

import hashlib
import json
from typing import Any

import numpy as np

from skkd.activations import ACTIVATIONS
from skkd.exporting.metadata import metadata_from
from skkd.inference.module_network import ModuleNetwork
from skkd.inference.network import Network
from skkd.inference.schema import Schema
from skkd.preprocessing.encodings import Bins
from skkd.preprocessing.heavy_tails import NormalScores
from skkd.preprocessing.preprocessor import ColumnPreprocessor, PassThrough, Preprocessor

__all__ = [
    *("ARRAY_DTYPES", "VERSION", "check_number_of_classes", "digest_of", "from_json"),
    *("header_of", "pack", "repack", "unpack"),
]

#: The version of the format. A file of a later version is refused.
VERSION = 1

#: The dtypes of arrays in a file.
ARRAY_DTYPES = ("float32", "float64", "int64")

#: Longer JSON is refused: as Python values it takes many times its length.
MOST_JSON = 2**23

Arrays = dict[str, np.ndarray]


def pack(network: Network, dtype: str) -> tuple[Arrays, dict[str, Any]]:
    """Return a fitted network as arrays and a header.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
        The dtype of the weights.

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict
        Plain Python values.
    """
    folded = network.folded(dtype)
    arrays: Arrays = {}
    for i, layer in enumerate(folded.layers, start=1):
        arrays[f"layer{i}.weight"] = layer.weight.astype(dtype)
        arrays[f"layer{i}.bias"] = layer.bias.astype(dtype)
    header = header_of(network) | {
        "activation": network.architecture["activation"],
        "n_layers": len(folded.layers),
        "preprocessing": None,
    }
    if isinstance(network.preprocessor, ColumnPreprocessor):
        header["preprocessing"] = _pack_columns(network.preprocessor, arrays)
    header["digest"] = digest_of(arrays, header)
    return arrays, header


def repack(network: Network, schema: Schema) -> tuple[Arrays, dict[str, Any]]:
    """Return what :func:`unpack` returned as arrays and a header again, of the same values.

    Parameters
    ----------
    network : Network
    schema : Schema

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict
    """
    dtype = next(iter(network.state.values())).dtype.name
    arrays, header = pack(network, dtype)
    header["schema"] = schema.to_dict()  # that of a rounded network has another dtype
    header["digest"] = digest_of(arrays, header)
    return arrays, header


def header_of(network: Network | ModuleNetwork) -> dict[str, Any]:
    """Return what all formats say of a network: the format, versions, schema and metadata.

    Parameters
    ----------
    network : Network or ModuleNetwork

    Returns
    -------
    dict
    """
    from skkd import __version__

    return {
        "format": "skkd",
        "version": VERSION,
        "skkd": __version__,
        "schema": network.schema.to_dict(),
        "metadata": network.metadata or {},
    }


def unpack(arrays: Arrays, header: dict[str, Any]) -> tuple[Network, Schema]:
    """Make a network from arrays and a header.

    Parameters
    ----------
    arrays : dict of str to ndarray
    header : dict

    Returns
    -------
    network : Network
    schema : Schema

    Raises
    ------
    ValueError
        If the content is not that of a file of skkd, or was changed. Damaged content may raise
        any other error, too.
    """
    if not isinstance(header, dict) or header["format"] != "skkd":
        raise ValueError("the header is not that of a file of skkd")
    if header["version"] != VERSION:
        raise ValueError(f"the format has version {header['version']!r}, this skkd reads {VERSION}")
    if header["digest"] != digest_of(arrays, header):
        raise ValueError("the content does not match its digest: the file was changed")
    _check_numbers(arrays)
    state, sizes = _unpack_layers(arrays, header["n_layers"])
    check_number_of_classes(header["schema"], sizes[-1])
    schema = Schema.from_dict(header["schema"])
    preprocessor = _unpack_preprocessor(arrays, header["preprocessing"], schema)
    if sizes[0] != preprocessor.n_features:
        raise ValueError(
            f"the layers have {sizes[0]} inputs, and the schema has {preprocessor.n_features}"
        )
    if header["activation"] not in ACTIVATIONS:
        raise ValueError(f"there is no activation {header['activation']!r}")
    architecture = {
        "n_features": sizes[0],
        "n_classes": sizes[-1],
        "hidden_layer_sizes": tuple(sizes[1:-1]),
        "activation": header["activation"],
        "batch_norm": False,
        "dropout": 0.0,
        "feature_scale": False,
    }
    network = Network(preprocessor, architecture, state, metadata=metadata_from(header))
    return network.described(schema.classes, schema.names if schema.has_names else None), schema


def check_number_of_classes(schema: dict[str, Any], n_outputs: int) -> None:
    """Compare the classes with the last layer, before an array is made of them.

    Parameters
    ----------
    schema : dict
        What :meth:`skkd.inference.schema.Schema.to_dict` returned.
    n_outputs : int
        The number of outputs of the last layer.

    Raises
    ------
    ValueError
        If there are more or fewer classes than outputs.
    """
    n_classes = len(schema["classes"])
    if n_classes != n_outputs:
        raise ValueError(f"the layers have {n_outputs} outputs, and the schema {n_classes} classes")


def from_json(text: str | bytes) -> Any:
    """Return the values of JSON in a file.

    Parameters
    ----------
    text : str or bytes

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If it is no JSON, or is longer than any header.
    """
    if len(text) > MOST_JSON:
        raise ValueError(f"it has JSON of length {len(text)}, and at most {MOST_JSON} is read")
    return json.loads(text)


def digest_of(arrays: Arrays, header: dict[str, Any]) -> str:
    """Return the digest of the content of a file, by which a change is recognised.

    Parameters
    ----------
    arrays : dict of str to ndarray
    header : dict
        Its own digest is left out.

    Returns
    -------
    str
    """
    described = {name: value for name, value in header.items() if name != "digest"}
    sha = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.name} {array.shape} ".encode())
        sha.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return sha.hexdigest()


def _check_numbers(arrays: Arrays) -> None:
    """Refuse numbers that are not finite, and scales and widths that are not above 0."""
    for name, array in arrays.items():
        finite = np.isfinite(array) | (name == "scale") & (array == np.inf)  # of constant columns
        if not finite.all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if name in ("scale", "bins.width") and not (array > 0).all():
            raise ValueError(f"{name} holds numbers that are not above 0")


def _pack_columns(preprocessor: ColumnPreprocessor, arrays: Arrays) -> dict[str, Any]:
    arrays["centre"], arrays["scale"] = preprocessor.centre, preprocessor.scale
    if preprocessor.bins is not None:
        arrays["bins.column"] = preprocessor.bins.column.astype(np.int64)
        arrays["bins.left"] = preprocessor.bins.left
        arrays["bins.width"] = preprocessor.bins.width
    for position, scores in preprocessor.normal_scores.items():
        arrays[f"scores{position}.values"] = scores.values
        arrays[f"scores{position}.scores"] = scores.scores
    return {
        "clips": preprocessor.clips,
        "of_no_width": [int(position) for position in preprocessor.of_no_width],
        "all_missing": list(preprocessor.all_missing),
        "has_bins": preprocessor.bins is not None,
        "normal_scores": [int(position) for position in preprocessor.normal_scores],
        "is_table": bool(preprocessor.names),
    }


def _unpack_preprocessor(arrays: Arrays, steps: Any, schema: Schema) -> Preprocessor:
    if steps is None:
        return PassThrough(n_features=len(schema.features))
    numeric = np.setdiff1d(np.arange(len(schema.features)), schema.categorical)
    n_numeric = len(numeric)
    for name in ("centre", "scale"):
        if arrays[name].shape != (n_numeric,):
            raise ValueError(f"{name} has shape {arrays[name].shape}, not ({n_numeric},)")
    positions = [*steps["of_no_width"], *steps["normal_scores"]]
    if not all(type(p) is int and 0 <= p < n_numeric for p in positions):
        raise ValueError("there is no numeric column at a position of the header")
    return ColumnPreprocessor(
        numeric=numeric,
        centre=arrays["centre"],
        scale=arrays["scale"],
        normal_scores={p: _unpack_scores(arrays, p) for p in steps["normal_scores"]},
        one_hot=schema.encoders,
        n_columns=len(schema.features),
        names=schema.names if steps["is_table"] else [],
        clips=bool(steps["clips"]),
        of_no_width=list(steps["of_no_width"]),
        bins=_unpack_bins(arrays, n_numeric) if steps["has_bins"] else None,
        all_missing=tuple(steps["all_missing"]),
    )


def _unpack_bins(arrays: Arrays, n_numeric: int) -> Bins:
    column, left, width = (arrays[f"bins.{name}"] for name in ("column", "left", "width"))
    if not (column.ndim == 1 and column.shape == left.shape == width.shape):
        raise ValueError("the bins do not have one column, edge and width each")
    if column.dtype != np.int64 or not ((column >= 0) & (column < n_numeric)).all():
        raise ValueError("a bin belongs to a column that is not there")
    return Bins(column, left, width)


def _unpack_scores(arrays: Arrays, position: int) -> NormalScores:
    values, scores = arrays[f"scores{position}.values"], arrays[f"scores{position}.scores"]
    if values.ndim != 1 or values.shape != scores.shape or len(values) == 0:
        raise ValueError("normal scores do not have one score for each value")
    return NormalScores(values, scores)


def _unpack_layers(arrays: Arrays, n_layers: Any) -> tuple[Arrays, list[int]]:
    """Return the layers as the state of a network, and the numbers of inputs and units."""
    if type(n_layers) is not int or not 1 <= n_layers <= len(arrays):
        raise ValueError(f"{n_layers!r} layers")
    state: Arrays = {}
    sizes: list[int] = []
    for i in range(1, n_layers + 1):
        weight, bias = arrays[f"layer{i}.weight"], arrays[f"layer{i}.bias"]
        if weight.ndim != 2 or bias.shape != weight.shape[1:] or weight.dtype.kind != "f":
            raise ValueError(f"layer {i} has weights {weight.shape} and biases {bias.shape}")
        if sizes and weight.shape[0] != sizes[-1]:
            raise ValueError(f"layer {i} takes {weight.shape[0]} inputs, and gets {sizes[-1]}")
        sizes += weight.shape if not sizes else weight.shape[1:]
        name = "output" if i == n_layers else f"linear{i}"
        state[f"{name}.weight"], state[f"{name}.bias"] = weight.T, bias
    return state, sizes
