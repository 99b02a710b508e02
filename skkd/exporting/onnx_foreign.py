"""ONNX files of other programs whose outputs are `label` and `probabilities`.

The names are those of sklearn-onnx; with its ZipMap they are `output_label` and
`output_probability`, a list of dicts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from skkd.data.tables import Table
from skkd.exporting.onnx_session import OnnxSession
from skkd.inference.network import TINY
from skkd.inference.schema import Feature, Schema

__all__ = ["ForeignOnnxRunner", "as_probabilities", "schema_of_foreign"]

#: The dtype of an input by its type in ONNX.
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}

#: Pairs of names of the outputs.
NAMES = (("label", "probabilities"), ("output_label", "output_probability"))

#: Attributes of nodes that list the classes.
CLASS_LISTS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")


@dataclass(frozen=True, eq=False)
class ForeignOnnxRunner:
    """Predictions of an ONNX file of another program.

    Parameters
    ----------
    session : OnnxSession
    schema : Schema
    """

    session: OnnxSession
    schema: Schema

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        inputs = self.session.inputs
        if len(inputs) == 1 and len(self.schema.features) > 1:
            feeds = {inputs[0].name: _together(rows, DTYPES[inputs[0].type])}
        else:
            feeds = {
                given.name: _column(rows, j, DTYPES[given.type]) for j, given in enumerate(inputs)
            }
        label, answer = self.session.run(_names_of_outputs(self.session), feeds)
        if isinstance(answer, list):  # of ZipMap
            answer = np.array([[row[c] for c in self.schema.classes.tolist()] for row in answer])
        label = np.asarray(label).astype(self.schema.classes.dtype)
        return label, as_probabilities(answer, len(self.schema.classes))


def as_probabilities(answer: Any, n_classes: int) -> np.ndarray:
    """Return what a file gives as probabilities of float64 whose rows sum to 1.

    Parameters
    ----------
    answer : ndarray
    n_classes : int

    Returns
    -------
    ndarray of shape (n_rows, n_classes)

    Raises
    ------
    ValueError
        If the answer has another shape, or holds something other than probabilities.
    """
    p = np.asarray(answer)
    if p.ndim != 2 or p.shape[1] != n_classes or p.dtype.kind != "f":
        raise ValueError(f"the file gives probabilities of shape {p.shape} for {n_classes} classes")
    p = p.astype(np.float64)
    total = p.sum(axis=1, keepdims=True)
    if not (np.abs(total - 1) < 1e-3).all() or (p < 0).any():
        raise ValueError("the file gives numbers that are no probabilities")
    return np.maximum(p / total, TINY)


def schema_of_foreign(model: Any, session: OnnxSession) -> Schema:
    """Return the schema of an ONNX file of another program.

    Parameters
    ----------
    model : onnx.ModelProto
    session : OnnxSession

    Returns
    -------
    Schema

    Raises
    ------
    ValueError
        If the file is no classifier of the rows of a table.
    """
    _names_of_outputs(session)
    inputs = session.inputs
    for given in inputs:
        if given.type not in DTYPES or len(given.shape) != 2:
            raise ValueError(f"the input {given.name!r} is no table: {given.type} {given.shape}")
    widths = [given.shape[1] for given in inputs]
    if not all(isinstance(width, int) and 0 < width < 10**6 for width in widths):
        raise ValueError(f"the inputs have {widths} columns")
    if len(inputs) > 1 and set(widths) != {1}:
        raise ValueError(f"the inputs have {widths} columns: one input, or one column each")
    if len(inputs) == 1:
        names = [f"x{j}" for j in range(widths[0])]
        features = [_feature(name, inputs[0].type) for name in names]
    else:
        features = [_feature(given.name, given.type) for given in inputs]
    classes = np.array(_classes(model))
    return Schema(tuple(features), classes, len(inputs) > 1, "float64", allows_missing=True)


def _names_of_outputs(session: OnnxSession) -> list[str]:
    found = {output.name for output in session.outputs}
    for names in NAMES:
        if set(names) <= found:
            return list(names)
    raise ValueError(f"the outputs are {sorted(found)}, not label and probabilities")


def _feature(name: str, kind: str) -> Feature:
    return Feature(name, () if kind in ("tensor(string)", "tensor(bool)") else None)


def _classes(model: Any) -> list:
    """The classes, from the attribute of a node, or from the constant that labels are taken of."""
    for node in reversed(model.graph.node):
        for attribute in node.attribute:
            if attribute.name in CLASS_LISTS and (attribute.ints or attribute.strings):
                return [*attribute.ints] or [text.decode() for text in attribute.strings]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in reversed(model.graph.node):
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            tensor = constants[node.input[0]]
            return _values_of(tensor)
    raise ValueError("the file does not list its classes")


def _values_of(tensor: Any) -> list:
    if tensor.string_data:
        return [text.decode() for text in tensor.string_data]
    raw = np.frombuffer(tensor.raw_data, np.int64).tolist() if tensor.raw_data else []
    return [*tensor.int64_data] or [*tensor.int32_data] or raw


def _together(rows: Any, dtype: Any) -> np.ndarray:
    if isinstance(rows, Table):
        return np.column_stack([_column(rows, j, dtype)[:, 0] for j in range(rows.shape[1])])
    return (rows.toarray() if sparse.issparse(rows) else rows).astype(dtype)


def _column(rows: Any, j: int, dtype: Any) -> np.ndarray:
    if isinstance(rows, Table):
        values = rows.columns[j]
    else:
        values = (rows[:, [j]].toarray()[:, 0]) if sparse.issparse(rows) else rows[:, j]
    if dtype is np.object_:
        texts = ["" if v is None else v if isinstance(v, str) else str(v) for v in values.tolist()]
        values = np.array(texts, dtype=object)
    return values.astype(dtype).reshape(-1, 1)
