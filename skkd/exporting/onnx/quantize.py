"""The layers of an ``.onnx`` file in 8-bit integers, by ONNX Runtime's own tool.

A `Gemm` becomes a `MatMulInteger` of integers, whose result is scaled back to float32. The inputs
of a layer are rounded when the file runs: their range is that of all rows of a call, so the answer
for a row depends a little on the rows beside it. The preprocessing stays in float32.

The integers are unsigned. ONNX Runtime computes with signed ones faster, but on processors without
VNNI instructions their sums overflow, and the file would answer otherwise there.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import PURPOSE
from skkd.exporting.onnx.write import digest_of

__all__ = ["quantize"]

#: Told to the tool, which otherwise logs the advice to merge nodes first.
PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")

#: The type of a constant of texts.
STRING = 8


def quantize(data: bytes) -> bytes:
    """Return the bytes of an ``.onnx`` file with layers in 8-bit integers.

    Parameters
    ----------
    data : bytes
        From :func:`skkd.exporting.onnx.write.write`, in float32.

    Returns
    -------
    bytes
        The same inputs, outputs and metadata, `skkd.quantize` and another digest in addition.

    Raises
    ------
    ValueError
        If a column has a name that a value of the quantised graph gets.
    """
    onnx = library("onnx", PURPOSE)
    tool = library("onnxruntime.quantization", 'quantize="int8"')
    model = onnx.load_model_from_string(data)
    model.metadata_props.add(key=PREPARED[0], value=PREPARED[1])
    with tempfile.TemporaryDirectory() as folder, _logging_left_as_it_is():
        path = Path(folder) / "quantized.onnx"
        kind = tool.QuantType.QUInt8
        tool.quantize_dynamic(model, path, op_types_to_quantize=["MatMul"], weight_type=kind)
        quantized = onnx.load_model(path)
    _check_names(quantized.graph)
    _make_plain(quantized.graph)
    _describe(quantized, onnx.load_model_from_string(data))
    return quantized.SerializeToString(deterministic=True)


@contextmanager
def _logging_left_as_it_is() -> Iterator[None]:
    """Keep the tool's messages from installing a handler, if there is none."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


def _check_names(graph: Any) -> None:
    """Refuse a graph in which two values have one name: the tool does not look at the inputs."""
    made = {tensor.name for tensor in graph.initializer}
    made.update(name for node in graph.node for name in node.output)
    for given in graph.input:
        if given.name in made:
            raise ValueError(
                f'quantize="int8" does not take a column of the name {given.name!r}, which a value '
                "of the quantised graph has: rename the column."
            )


def _make_plain(graph: Any) -> None:
    """Write all constants as bytes, and leave out what the tool found out about shapes."""
    helper = library("onnx.numpy_helper", PURPOSE)
    for tensor in graph.initializer:
        if tensor.data_type != STRING and not tensor.raw_data:
            tensor.CopyFrom(helper.from_array(helper.to_array(tensor), tensor.name))
    del graph.value_info[:]


def _describe(model: Any, original: Any) -> None:
    """Give a model the metadata of another, and a digest of its own."""
    model.producer_name = original.producer_name
    model.producer_version = original.producer_version
    del model.metadata_props[:]
    kept = [entry for entry in original.metadata_props if entry.key != "skkd.digest"]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key="skkd.quantize", value="int8")
    model.metadata_props.add(key="skkd.digest", value=digest_of(model))
