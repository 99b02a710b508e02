"""Reading ``.onnx`` files of other programs, such as sklearn-onnx.

They need two outputs: the label of each row, and the probabilities of the classes, as a tensor or
as a sequence of maps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from skkd.exporting.onnx.check import check_form
from skkd.exporting.onnx.classes import classes_of
from skkd.exporting.onnx.foreign_check import CheckedGraph, check_foreign
from skkd.exporting.onnx.inputs import as_probabilities
from skkd.exporting.onnx.session import OnnxSession
from skkd.exporting.onnx.shapes import ROWS
from skkd.exporting.onnx.zipmap import from_maps
from skkd.exporting.rows import numbers_of
from skkd.exporting.runners import Runner
from skkd.inference.schema import Feature, Schema
from skkd.preprocessing.preprocessor import categories_of

__all__ = ["ForeignOnnxRunner", "read_foreign"]

#: The names of the outputs.
LABELS = ("label", "output_label")
PROBABILITIES = ("probabilities", "output_probability")

#: The types of inputs: the dtype of numbers, None for text.
DTYPES: dict[int, type | None] = {
    **{1: np.float32, 6: np.int32, 7: np.int64, 8: None, 9: np.bool_, 11: np.float64}
}

#: The dtypes that hold a missing number.
FLOATS = (np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class ForeignOnnxRunner:
    """Predictions of an ONNX file of another program.

    Parameters
    ----------
    session : OnnxSession
    schema : Schema
    metadata : dict
    inputs : tuple of (str, int, dtype or None)
        Of each input the name, the number of columns and the dtype; None for text.
    outputs : tuple of (str, str)
        The names of the label and of the probabilities.
    """

    session: OnnxSession
    schema: Schema
    metadata: dict[str, Any]
    inputs: tuple[tuple[str, int, Any], ...]
    outputs: tuple[str, str]

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        label, answer = self.session.run(list(self.outputs), self._feeds(rows))
        classes = self.schema.classes
        if isinstance(answer, list):
            answer = from_maps(answer, classes.tolist())
        label = np.asarray(label).reshape(-1)
        if not np.isin(label, classes.astype(label.dtype)).all():
            raise ValueError("the file gives a label that is none of its classes")
        return label.astype(classes.dtype), as_probabilities(answer, len(classes))

    def _feeds(self, rows: Any) -> dict[str, np.ndarray]:
        rows = rows.toarray() if sparse.issparse(rows) else rows
        feeds, start = {}, 0
        for name, width, dtype in self.inputs:
            columns = [_column(self.schema, rows, start + j, dtype) for j in range(width)]
            feeds[name] = np.column_stack(columns)
            start += width
        return feeds


def read_foreign(model: Any, data: bytes) -> Runner:
    """Return what an ONNX file of another program answers.

    Parameters
    ----------
    model : onnx.ModelProto
        The parsed file.
    data : bytes
        The file.

    Returns
    -------
    Runner

    Raises
    ------
    ValueError
        If the file is no classifier that is understood, or could be dangerous to run.
    """
    outputs = _outputs(model.graph)
    checked = check_foreign(model, len(data))
    check_form(model)
    _check_outputs(checked, *outputs)
    classes = np.array(classes_of(checked, *outputs))
    if outputs[1] not in checked.maps and checked.shapes[outputs[1]][1] != len(classes):
        raise ValueError(f"the probabilities have not one column for each class: {len(classes)}")
    given = [value for value in model.graph.input if value.name not in checked.constants]
    inputs = tuple(_input(value, checked) for value in given)
    session = OnnxSession(_without_shapes(model))
    session.open()
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return ForeignOnnxRunner(session, _schema(inputs, classes), metadata, inputs, outputs)


def _outputs(graph: Any) -> tuple[str, str]:
    names = [output.name for output in graph.output]
    label = [name for name in names if name in LABELS]
    probabilities = [name for name in names if name in PROBABILITIES]
    if len(names) != 2 or len(label) != 1 or len(probabilities) != 1:
        raise ValueError(
            f"its outputs are {names[:4]}, and not {' or '.join(LABELS)}, and "
            f"{' or '.join(PROBABILITIES)}"
        )
    return label[0], probabilities[0]


def _check_outputs(checked: CheckedGraph, label: str, probabilities: str) -> None:
    shape = checked.shapes.get(label)
    if shape not in ((ROWS,), (ROWS, 1)):
        raise ValueError(f"the output {label!r} has shape {shape}")
    shape = checked.shapes.get(probabilities)
    if probabilities not in checked.maps and (shape is None or len(shape) != 2):
        raise ValueError(f"the output {probabilities!r} has shape {shape}")
    if shape is not None and shape[0] != ROWS:
        raise ValueError(f"the output {probabilities!r} has shape {shape}")


def _input(value: Any, checked: CheckedGraph) -> tuple[str, int, Any]:
    kind = value.type.tensor_type.elem_type
    if kind not in DTYPES:
        raise ValueError(f"the input {value.name!r} has type {kind}")
    return value.name, checked.shapes[value.name][1], DTYPES[kind]


def _schema(inputs: tuple[tuple[str, int, Any], ...], classes: np.ndarray) -> Schema:
    """One column for each input, by name; or all columns of a single input, by position."""
    has_names = len(inputs) > 1
    if has_names and any(width != 1 for _, width, _ in inputs):
        raise ValueError("it has several inputs, of which one has several columns")
    if not inputs:
        raise ValueError("it has no inputs")
    columns = inputs if has_names else [(f"x{j}", 1, inputs[0][2]) for j in range(inputs[0][1])]
    features = tuple(Feature(name, () if kind is None else None) for name, _, kind in columns)
    allows_missing = any(kind is None or kind in FLOATS for _, _, kind in columns)
    return Schema(features, classes, has_names, "float64", allows_missing)


def _without_shapes(model: Any) -> bytes:
    """The model without shapes that it claims, by which ONNX Runtime would plan its memory."""
    copy = type(model)()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for output in copy.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return copy.SerializeToString()


def _column(schema: Schema, rows: Any, j: int, dtype: Any) -> np.ndarray:
    feature = schema.features[j]
    if dtype is None:
        values = categories_of(rows, j)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"column {feature.name!r} must be text, and lacks no value.")
        return np.asarray(values, dtype=object)
    numbers = numbers_of(feature, rows, j).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = numbers.astype(dtype)
        if dtype not in FLOATS and not (cast.astype(np.float64) == numbers).all():
            name = np.dtype(dtype).name
            raise ValueError(f"column {feature.name!r} must hold {name}, and lacks no value.")
    return cast
