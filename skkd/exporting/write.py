"""Exporting a network: write its bytes, run them, and only then put the file in its place."""

from typing import Any

from skkd.checks import check_option
from skkd.exporting.atomic import write_atomically
from skkd.exporting.formats import FORMATS, path_of, resolve_format
from skkd.exporting.obstacles import obstacle_of_network
from skkd.exporting.onnx_quantize import quantize as quantized
from skkd.exporting.quantization import check_cost, check_quantize, measure_cost
from skkd.exporting.rows import draw_rows, read_rows
from skkd.exporting.runners import NetworkRunner
from skkd.exporting.verify import TOLERANCES, verify
from skkd.inference.network import Network

__all__ = ["export_network", "obstacles"]


def export_network(
    network: Network,
    path: Any,
    *,
    format: str | None = None,
    X: Any = None,
    dtype: str = "float32",
    quantize: str | None = None,
    y: Any = None,
    min_agreement: float = 0.99,
) -> float:
    """Write a fitted network to a file, if the file answers like the network.

    Parameters
    ----------
    network : Network
    path : str or path-like
    format : str or None
        The ending that stands for the format; None takes that of `path`.
    X : array-like, sparse matrix or table, default=None
        Rows to compare on; None draws rows.
    dtype : {"float32", "float64"}, default="float32"
    quantize : {"int8"} or None
    y : array-like of shape (n_rows,), default=None
    min_agreement : float, default=0.99

    Returns
    -------
    float
        The largest difference between two probabilities.
    """
    path = path_of(path)
    ending = resolve_format(path, format)
    check_option("dtype", dtype, TOLERANCES)
    check_quantize(quantize, ending, dtype, X, y, min_agreement)
    reason = _obstacle(network, ending, dtype)
    if reason is not None:
        raise ValueError(f"this classifier cannot be exported to {ending}: {reason}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r}.")
    schema = network.schema
    rows = draw_rows(network.preprocessor, schema)
    if X is not None:
        rows = read_rows(schema, X, "export")
    data = FORMATS[ending].write(network, dtype)
    expected = NetworkRunner(network, schema)
    largest = verify(expected, FORMATS[ending].read(data), rows, dtype)
    if quantize is None:
        write_atomically(path, data)
        return largest
    small = quantized(data)
    cost = measure_cost(
        expected, FORMATS[ending].read(small), rows, y, sizes=(len(data), len(small))
    )
    check_cost(cost, min_agreement)
    write_atomically(path, small)
    print(cost)
    return cost.largest


def obstacles(network: Any, dtype: str) -> dict[str, str | None]:
    """Return what keeps a network from each format.

    Parameters
    ----------
    network : object
    dtype : {"float32", "float64"}

    Returns
    -------
    dict of str to (str or None)
        By ending; None stands for nothing.
    """
    return {ending: _obstacle(network, ending, dtype) for ending in FORMATS}


def _obstacle(network: Any, ending: str, dtype: str) -> str | None:
    return obstacle_of_network(network) or FORMATS[ending].obstacle(network, dtype)
