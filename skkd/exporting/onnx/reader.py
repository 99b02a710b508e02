"""Reading ``.onnx`` files: those of skkd here, others in :mod:`skkd.exporting.onnx.foreign`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.exporting.content import VERSION, check_number_of_classes, from_json
from skkd.exporting.libraries import library
from skkd.exporting.metadata import metadata_from
from skkd.exporting.onnx.check import check_own, is_of_skkd, parsed_model
from skkd.exporting.onnx.foreign import read_foreign
from skkd.exporting.onnx.graph import PURPOSE
from skkd.exporting.onnx.inputs import (
    OUTPUTS,
    as_probabilities,
    feeds_of,
    has_text,
    input_names,
)
from skkd.exporting.onnx.session import OnnxSession
from skkd.exporting.onnx.write import digest_of
from skkd.exporting.onnx.zipmap import from_maps, keys_of, labels_of
from skkd.exporting.runners import Runner
from skkd.inference.schema import Schema

__all__ = ["OnnxRunner", "read", "run_module"]

#: The dtypes of numbers by their types in ONNX.
DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


@dataclass(frozen=True, eq=False)
class OnnxRunner:
    """Predictions of an ONNX file of skkd.

    Parameters
    ----------
    session : OnnxSession
    schema : Schema
    metadata : dict
    """

    session: OnnxSession
    schema: Schema
    metadata: dict[str, Any]

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        names = [given.name for given in self.session.inputs]
        types = {o.name: o.type for o in self.session.outputs}
        dtype = DTYPES.get(types[OUTPUTS[1]], np.float32)  # maps hold float32
        feeds = dict(zip(names, feeds_of(self.schema, rows, dtype), strict=True))
        label, answer = self.session.run(list(OUTPUTS), feeds)
        if isinstance(answer, list):
            answer = from_maps(answer, labels_of(self.schema.classes))
        label = np.asarray(label).astype(self.schema.classes.dtype)
        return label, as_probabilities(answer, len(self.schema.classes))


def read(data: bytes) -> Runner:
    """Return what an ``.onnx`` file answers.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Runner

    Raises
    ------
    ValueError
        If the file was changed, or is not allowed. A damaged file may raise any other error,
        too.
    """
    model = parsed_model(data)
    if not is_of_skkd(model):
        return read_foreign(model, data)
    check_own(model)
    return _runner(model, data)


def run_module(data: bytes) -> Runner:
    """Return what an ``.onnx`` file with a custom module answers, which was just written.

    torch may write operators that :func:`skkd.load` does not take, so they are not checked.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Runner
    """
    return _runner(library("onnx", PURPOSE).load_model_from_string(data), data)


def _runner(model: Any, data: bytes) -> Runner:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if properties["skkd.digest"] != digest_of(model):
        raise ValueError("the content does not match its digest: the file was changed")
    header = from_json(properties["skkd.header"])
    if header["version"] != VERSION:
        raise ValueError(f"the format has version {header['version']!r}, this skkd reads {VERSION}")
    outputs = {output.name: output for output in model.graph.output}
    if set(outputs) != set(OUTPUTS):
        raise ValueError(f"the outputs are {sorted(outputs)}, not label and probabilities")
    keys = keys_of(model.graph, OUTPUTS[1])
    dims = outputs[OUTPUTS[1]].type.tensor_type.shape.dim
    check_number_of_classes(header["schema"], len(keys or ()) or dims[1].dim_value)
    schema = Schema.from_dict(header["schema"])
    if keys not in (None, labels_of(schema.classes)):
        raise ValueError("the maps have other classes than the schema")
    _check_inputs(model.graph, schema)
    session = OnnxSession(data)
    session.open()
    return OnnxRunner(session, schema, metadata_from(header))


def _check_inputs(graph: Any, schema: Schema) -> None:
    width = 1 if has_text(schema) else len(schema.features)
    given = [(i.name, i.type.tensor_type.shape.dim[1].dim_value) for i in graph.input]
    if given != [(name, width) for name in input_names(schema)]:
        raise ValueError("the inputs are not those of the schema")
