"""Exporting a network: write its bytes, run them, and only then put the file in its place."""

from typing import Any

from skkd.checks import check_option
from skkd.exporting.atomic import write_atomically
from skkd.exporting.formats import FORMATS, Format, path_of, resolve_format
from skkd.exporting.obstacles import obstacle_of_network
from skkd.exporting.rows import draw_rows, read_rows
from skkd.exporting.runners import NetworkRunner, Runner
from skkd.exporting.verify import TOLERANCES, verify
from skkd.inference.module_network import ModuleNetwork
from skkd.inference.network import Network

__all__ = ["export_network", "obstacles", "written"]


def export_network(
    network: Network, path: Any, *, format: str | None = None, X: Any = None, dtype: str = "float32"
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

    Returns
    -------
    float
        The largest difference between two probabilities.
    """
    path = path_of(path)
    ending = resolve_format(path, format)
    check_option("dtype", dtype, TOLERANCES)
    _refuse_obstacle(network, ending, dtype)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r}.")
    schema = network.schema
    rows = draw_rows(network.preprocessor, schema)
    if X is not None:
        rows = read_rows(schema, X, "export")
    data = FORMATS[ending].write(network, dtype)
    largest = verify(
        NetworkRunner(network, schema), _run(FORMATS[ending], network, data), rows, dtype
    )
    write_atomically(path, data)
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


def _run(format: Format, network: Network, data: bytes) -> Runner:
    """Run a file before it is written."""
    if isinstance(network, ModuleNetwork) and format.run_module is not None:
        return format.run_module(data)
    return format.read(data)
