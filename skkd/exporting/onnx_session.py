"""Checks of an ONNX model, and its run by ONNX Runtime.

A model is checked before ONNX Runtime gets it: it must hold all its data itself, and no operator
may loop without end or make a tensor of any size.
"""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from skkd.exporting.libraries import library
from skkd.exporting.onnx_graph import ML, PURPOSE

__all__ = ["OnnxSession", "checked_model"]

#: Operators that loop, or whose output has a size that is a value and not a shape. A classifier
#: of a table does without them.
UNBOUNDED = (
    *("Loop", "Scan", "ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample"),
    *("OneHot", "EyeLike", "RandomNormal", "RandomUniform", "NonMaxSuppression", "ImageDecoder"),
    *("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "SequenceMap"),
)

#: The largest number of dimensions of a constant.
MOST_RANK = 16


def checked_model(data: bytes) -> Any:
    """Parse a model, and refuse one that is not complete or could take any time or memory.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError
        The message has the reason.
    """
    onnx = library("onnx", PURPOSE)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf, whose class differs between its versions
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not model.graph.node or not model.graph.output:
        raise ValueError("the model has no nodes or no outputs")
    if model.functions:
        raise ValueError("the model defines functions")
    for graph in _graphs(onnx, model.graph):
        for tensor in _tensors(onnx, graph):
            _check_tensor(onnx, tensor)
        for node in graph.node:
            if node.domain not in ("", "ai.onnx", ML):
                raise ValueError(f"operator {node.op_type} is of the domain {node.domain!r}")
            if node.op_type in UNBOUNDED:
                raise ValueError(f"operator {node.op_type} can take any time or memory")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    return model


class OnnxSession:
    """A model in ONNX Runtime, with one thread. It can be pickled, and shared between threads.

    Parameters
    ----------
    data : bytes
        A model that :func:`checked_model` accepts.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._lock = threading.Lock()
        self._session: Any = None

    @property
    def inputs(self) -> list[Any]:
        """The inputs, each with `name`, `type` and `shape`."""
        return self.open().get_inputs()

    @property
    def outputs(self) -> list[Any]:
        """The outputs, each with `name`, `type` and `shape`."""
        return self.open().get_outputs()

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[Any]:
        """Compute outputs.

        Parameters
        ----------
        names : list of str
            The names of the outputs.
        feeds : dict of str to ndarray
            By the name of the input.

        Returns
        -------
        list of object

        Raises
        ------
        ValueError
            If ONNX Runtime cannot run the model.
        """
        session = self.open()
        try:
            return session.run(names, feeds)
        except Exception as error:  # its classes are not public
            raise ValueError(f"ONNX Runtime cannot run the model: {error}") from error

    def open(self) -> Any:
        """Return the session of ONNX Runtime, opened at the first call.

        Returns
        -------
        onnxruntime.InferenceSession

        Raises
        ------
        ValueError
            If ONNX Runtime cannot open the model.
        """
        with self._lock:
            if self._session is None:
                self._session = _open(self.data)
            return self._session

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["data"])  # type: ignore[misc]


def _open(data: bytes) -> Any:
    runtime = library("onnxruntime", PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are not public
        raise ValueError(f"ONNX Runtime cannot open the model: {error}") from error


def _graphs(onnx: Any, graph: Any) -> Iterator[Any]:
    """The graph, and the graphs in the attributes of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from _graphs(onnx, inner)


def _tensors(onnx: Any, graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    if graph.sparse_initializer:
        raise ValueError("the model has sparse constants")
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ValueError("the model has sparse constants")


def _check_tensor(onnx: Any, tensor: Any) -> None:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError(f"the constant {tensor.name!r} is in another file")
    if len(tensor.dims) > MOST_RANK or any(length < 0 for length in tensor.dims):
        raise ValueError(f"the constant {tensor.name!r} has shape {tuple(tensor.dims)[:MOST_RANK]}")
    size = 1
    for length in tensor.dims:
        size *= length
    if size > 8 * max(tensor.ByteSize(), 1):  # the smallest types take four bits a number
        raise ValueError(f"the constant {tensor.name!r} has {size} numbers, and fewer bytes")
