"""Exporting a network: write its bytes, run them, and only then put the file in its place."""

from typing import Any

from skkd.checks import check_option
from skkd.exporting.atomic import place_of, write_atomically
from skkd.exporting.beside import places_of
from skkd.exporting.formats import FORMATS, Format, format_of, path_of, resolve_format
from skkd.exporting.metadata import with_metadata
from skkd.exporting.obstacles import obstacle_of_network
from skkd.exporting.onnx.cost import check_cost, check_quantize, measure_cost
from skkd.exporting.onnx.quantize import quantize as quantized
from skkd.exporting.onnx.zipmap import check_zipmap, with_zipmap
from skkd.exporting.rows import draw_rows, read_rows
from skkd.exporting.runners import NetworkRunner, Runner
from skkd.exporting.verify import TOLERANCES, verify
from skkd.inference.module_network import ModuleNetwork
from skkd.inference.network import Network

__all__ = ["export_network", "obstacles", "written"]


def export_network(
    network: Network,
    path: Any,
    *,
    format: str | None = None,
    X: Any = None,
    dtype: str = "float32",
    prefix: str | None = None,
    zipmap: Any = False,
    metadata: Any = None,
    quantize: str | None = None,
    y: Any = None,
    min_agreement: float | None = None,
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
    prefix : str, default=None
        The beginning of all names in C code.
    zipmap : bool, default=False
        Whether the probabilities in an ONNX file are maps.
    metadata : dict of str to plain value, default=None
        Written beside that of the network.
    quantize : {"int8"} or None
    y : array-like of shape (n_rows,), default=None
    min_agreement : float, default=None

    Returns
    -------
    float
        The largest difference between two probabilities.
    """
    path = path_of(path)
    ending = resolve_format(path, format)
    check_option("dtype", dtype, TOLERANCES)
    kind = format_of(ending, prefix)
    check_zipmap(zipmap, ending, dtype)
    check_quantize(quantize, ending, dtype, X, y, min_agreement)
    _refuse_obstacle(network, ending, dtype)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r}.")
    place_of(path)  # refuses a folder, before the work
    places = places_of(path, kind.beside)
    network = with_metadata(network, metadata)
    rows = draw_rows(network.preprocessor, network.schema)
    if X is not None:
        rows = read_rows(network.schema, X, "export")
    data = kind.write(network, dtype)
    data = with_zipmap(data, network.schema.classes) if zipmap else data
    beside = {end: write(network, dtype) for end, write in kind.beside.items()}
    expected = NetworkRunner(network, network.schema)
    largest = verify(expected, _runner(kind, network, {ending: data} | beside), rows, dtype)
    cost = None
    if quantize is not None:
        small = quantized(data)
        sizes = len(data), len(small)
        cost = measure_cost(expected, _runner(kind, network, {ending: small}), rows, y, sizes=sizes)
        check_cost(cost, min_agreement)
        data, largest = small, cost.largest
    for end, content in beside.items():
        write_atomically(places[end], content)
    write_atomically(path, data)
    if cost is not None:
        print(cost)
    return largest


def written(network: Network, ending: str, dtype: str) -> bytes:
    """Return the bytes of a file, which are not compared with the network.

    Parameters
    ----------
    network : Network
    ending : str
        A key of `FORMATS`.
    dtype : {"float32", "float64"}

    Returns
    -------
    bytes
    """
    _refuse_obstacle(network, ending, dtype)
    return FORMATS[ending].write(network, dtype)


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


def _refuse_obstacle(network: Any, ending: str, dtype: str) -> None:
    reason = _obstacle(network, ending, dtype)
    if reason is not None:
        raise ValueError(f"this classifier cannot be exported to {ending}: {reason}.")


def _obstacle(network: Any, ending: str, dtype: str) -> str | None:
    format = FORMATS[ending]
    return obstacle_of_network(network, format.holds_modules) or format.obstacle(network, dtype)


def _runner(kind: Format, network: Network, files: dict[str, bytes]) -> Runner:
    """Return what the files answer that were not written yet."""
    if isinstance(network, ModuleNetwork) and kind.run_module is not None:
        return kind.run_module(next(iter(files.values())))
    return kind.runner(files)
