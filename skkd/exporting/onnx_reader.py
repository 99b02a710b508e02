"""Reading ``.onnx`` files that skkd wrote."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.exporting.content import VERSION, check_number_of_classes
from skkd.exporting.libraries import library
from skkd.exporting.onnx import digest_of
from skkd.exporting.onnx_check import checked_model
from skkd.exporting.onnx_graph import PURPOSE
from skkd.exporting.onnx_inputs import OUTPUTS, feeds_of, has_text, input_names
from skkd.exporting.onnx_session import OnnxSession
from skkd.exporting.runners import Runner
from skkd.inference.network import TINY
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
    """

    session: OnnxSession
    schema: Schema

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        names = [given.name for given in self.session.inputs]
        dtype = DTYPES[next(o.type for o in self.session.outputs if o.name == OUTPUTS[1])]
        feeds = dict(zip(names, feeds_of(self.schema, rows, dtype), strict=True))
        label, answer = self.session.run(list(OUTPUTS), feeds)
        label = np.asarray(label).astype(self.schema.classes.dtype)
        return label, _as_probabilities(answer, len(self.schema.classes))


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
        If the file was changed, or was not written by skkd. A damaged file may raise any other
        error, too.
    """
    return _runner(checked_model(data), data)


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
    header = json.loads(properties["skkd.header"])
    if header["version"] != VERSION:
        raise ValueError(f"the format has version {header['version']!r}, this skkd reads {VERSION}")
    outputs = {output.name: output for output in model.graph.output}
    if set(outputs) != set(OUTPUTS):
        raise ValueError(f"the outputs are {sorted(outputs)}, not label and probabilities")
    n_classes = outputs[OUTPUTS[1]].type.tensor_type.shape.dim[1].dim_value
    check_number_of_classes(header["schema"], n_classes)
    schema = Schema.from_dict(header["schema"])
    _check_inputs(model.graph, schema)
    session = OnnxSession(data)
    session.open()
    return OnnxRunner(session, schema)


def _check_inputs(graph: Any, schema: Schema) -> None:
    width = 1 if has_text(schema) else len(schema.features)
    given = [(i.name, i.type.tensor_type.shape.dim[1].dim_value) for i in graph.input]
    if given != [(name, width) for name in input_names(schema)]:
        raise ValueError("the inputs are not those of the schema")


def _as_probabilities(answer: Any, n_classes: int) -> np.ndarray:
    """Return what a file gives as probabilities of float64 whose rows sum to 1."""
    p = np.asarray(answer)
    if p.ndim != 2 or p.shape[1] != n_classes or p.dtype.kind != "f":
        raise ValueError(f"the file gives probabilities of shape {p.shape} for {n_classes} classes")
    p = p.astype(np.float64)
    total = p.sum(axis=1, keepdims=True)
    if not (np.abs(total - 1) < 1e-3).all() or (p < 0).any():
        raise ValueError("the file gives numbers that are no probabilities")
    return np.maximum(p / total, TINY)
