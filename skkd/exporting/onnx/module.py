"""A custom torch module as nodes of ONNX: torch's own exporter converts it."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any
from weakref import WeakKeyDictionary

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import PURPOSE, Graph
from skkd.inference.module_network import ModuleNetwork

__all__ = ["NODES", "OPSET_MODULE", "ModuleConversionError", "add_module"]

#: The version of the operators in a file with a custom module: torch writes no earlier one.
OPSET_MODULE = 18

#: The names of the nodes of a custom module start with this, and those of no other nodes do.
NODES = "module."

#: The largest number of characters of torch's reason in an error.
MOST_CHARACTERS = 400

#: torch's loggers that the exporter writes to.
LOGGERS = (
    *("onnx._internal.exporter._registration", "fx.experimental.symbolic_shapes"),
    "export._trace",
)

#: The converted modules: by the network, and by the dtype of the graph.
_graphs: WeakKeyDictionary = WeakKeyDictionary()


class ModuleConversionError(ValueError):
    """A custom module cannot be converted to ONNX. The message has torch's reason."""


def add_module(graph: Graph, network: ModuleNetwork, x: str) -> str:
    """Add the nodes of a custom module.

    Parameters
    ----------
    graph : Graph
        Its operators become those of version `OPSET_MODULE`.
    network : ModuleNetwork
    x : str
        The name of the module's input, of shape (n_rows, n_inputs).

    Returns
    -------
    str
        The name of the logits, of shape (n_rows, n_classes).

    Raises
    ------
    ModuleConversionError
        If torch cannot convert the module, or not for every number of rows.
    ImportError
        If a library is missing that torch's exporter needs.
    """
    by_dtype = _graphs.setdefault(network, {})
    dtype = graph.dtype.name
    if dtype not in by_dtype:
        by_dtype[dtype] = _converted(network, dtype)
    part, prefix = by_dtype[dtype], NODES
    while any(name.startswith(prefix) for name in graph.taken):
        prefix = f"_{prefix}"
    compose = library("onnx.compose", PURPOSE)
    part = compose.add_prefix_graph(part, prefix)
    graph.opset = OPSET_MODULE
    graph.add("Identity", x, to=part.input[0].name)
    graph.nodes[-1].name = f"{NODES}input"
    for i, node in enumerate(part.node):
        node.name = f"{NODES}{i}"
    graph.nodes += part.node
    graph.constants += part.initializer
    graph.taken.update(output for node in part.node for output in node.output)
    graph.taken.update(tensor.name for tensor in part.initializer)
    return part.output[0].name


def _converted(network: ModuleNetwork, dtype: str) -> Any:
    """The graph of the module, without what torch notes about its source code."""
    model = _exported_by_torch(network, dtype)
    if model.functions:
        model = library("onnx.inliner", PURPOSE).inline_local_functions(model)
    _check_conversion(model)
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]
    return graph


def _exported_by_torch(network: ModuleNetwork, dtype: str) -> Any:
    library("onnx", PURPOSE)
    library("onnxscript", "a custom module in the format .onnx")
    import torch

    from skkd.runtime import seeded_global_generator

    kind = getattr(torch, dtype)
    module = network.module().to(kind)
    rows = torch.zeros((2, network.preprocessor.n_features), dtype=kind)
    with seeded_global_generator(), _quiet():
        try:
            program = torch.onnx.export(
                module,
                (rows,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n_rows")},),
                opset_version=OPSET_MODULE,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch has no common class of these errors
            raise ModuleConversionError(
                f"torch cannot convert module to ONNX ({_reason(error)})"
            ) from error
    assert program is not None
    return program.model_proto


def _check_conversion(model: Any) -> None:
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ModuleConversionError(
            f"module has {len(graph.input)} inputs and {len(graph.output)} outputs in ONNX, not one"
        )
    rows = [v.type.tensor_type.shape.dim[0] for v in (graph.input[0], graph.output[0])]
    if any(dim.HasField("dim_value") for dim in rows):
        raise ModuleConversionError("module has a fixed number of rows in ONNX")


def _reason(error: BaseException) -> str:
    """The first line of what torch gives as the first cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line for line in str(error).splitlines() if line.strip()), "").strip()
    return f"{type(error).__name__}: {line[:MOST_CHARACTERS]}".rstrip(". ")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch prints: the error has the reason, and the rest is not ours."""
    loggers = [logging.getLogger(f"torch.{name}") for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, was_disabled in zip(loggers, before, strict=True):
                logger.disabled = was_disabled
