"""The graph of an ONNX file as part of a larger graph, which skl2onnx builds.

The nodes are those of :mod:`skkd.exporting.onnx.write`, under new names. skl2onnx's `container`
holds the nodes and constants of the larger graph, and its `scope` makes names that are unique.
"""

from typing import Any

import numpy as np

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import ML, PURPOSE
from skkd.exporting.onnx.inputs import OUTPUTS, has_text, is_text
from skkd.exporting.onnx.zipmap import without_zipmap
from skkd.inference.schema import Schema

__all__ = ["embed"]

#: The lowest version of operators in which all of ours mean the same.
LEAST_OPSET = 13

#: The version of operators on text. skl2onnx takes no later one than 3.
OPSET_ML = 2

#: From the logits of two classes to the scores of both, of which the second is the log-odds.
LOG_ODDS = np.array([[1.0, -1.0], [-1.0, 1.0]])


def embed(
    data: bytes,
    schema: Schema,
    scope: Any,
    container: Any,
    inputs: list[Any],
    outputs: list[Any],
    *,
    nocl: bool = False,
    raw_scores: bool = False,
) -> None:
    """Add the nodes of an ONNX file to the container of skl2onnx.

    Parameters
    ----------
    data : bytes
        The file.
    schema : Schema
        The columns that it reads.
    scope, container : object
        Of skl2onnx.
    inputs, outputs : list of skl2onnx's Variable
    nocl : bool, default=False
        Whether the label is the position of the class.
    raw_scores : bool, default=False
        Whether the second output is the logits and not the probabilities; for two classes, the
        negative log-odds of the second class, and the log-odds.

    Raises
    ------
    ValueError
        If the inputs are not those of the schema, or the operators are too old.
    """
    model = without_zipmap(library("onnx", PURPOSE).load_model_from_string(data))
    least = max(o.version for o in model.opset_import if not o.domain)
    least = LEAST_OPSET if least < 18 else least
    if container.target_opset_onnx < least:
        raise ValueError(
            f"target_opset={container.target_opset_onnx} is not allowed: give at least {least}."
        )
    part = _Part(model.graph, scope, container)
    given = _inputs(part, schema, inputs)
    part.names |= dict(zip((i.name for i in model.graph.input), given, strict=True))
    part.copy()
    maker = {node.output[0]: node for node in model.graph.node}
    logits, code = maker[OUTPUTS[1]].input[0], maker[OUTPUTS[0]].input[1]
    label = code if nocl else OUTPUTS[0]
    part.add("Identity", [part.names[label]], outputs[0].full_name)
    answer = part.names[logits if raw_scores else OUTPUTS[1]]
    if raw_scores and len(schema.classes) == 2:
        answer = part.add("Gemm", [answer, part.constant(LOG_ODDS)])
    part.add("Cast", [answer], outputs[1].full_name, to=_number_type(outputs[1]))


class _Part:
    """Nodes of a graph that are added to a container, under new names.

    Parameters
    ----------
    graph : onnx.GraphProto
    scope, container : object
        Of skl2onnx.
    """

    def __init__(self, graph: Any, scope: Any, container: Any) -> None:
        self.graph, self.scope, self.container = graph, scope, container
        self.helper = library("onnx.helper", PURPOSE)
        probabilities = next(o for o in graph.output if o.name == OUTPUTS[1])
        self.type = probabilities.type.tensor_type.elem_type
        self.names: dict[str, str] = {"": ""}

    def new_name(self, name: str) -> str:
        return self.scope.get_unique_variable_name(f"skkd_{name}")

    def add(
        self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node, and return the name of its output."""
        output = output or self.new_name(operator.lower())
        name = self.scope.get_unique_operator_name(f"skkd_{operator}")
        self._append(self.helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        """Add a constant in the dtype of the graph."""
        name = self.new_name("constant")
        cast = values.astype(self.helper.tensor_dtype_to_np_dtype(self.type))
        tensor = library("onnx.numpy_helper", PURPOSE).from_array(cast, name)
        self.container.initializers.append(tensor)
        return name

    def copy(self) -> None:
        """Add all constants and nodes of the graph. The names of its inputs are known."""
        for tensor in self.graph.initializer:
            copied = type(tensor)()
            copied.CopyFrom(tensor)
            self.names[tensor.name] = copied.name = self.new_name(tensor.name)
            self.container.initializers.append(copied)
        for node in self.graph.node:
            copied = type(node)()
            copied.CopyFrom(node)
            copied.name = self.scope.get_unique_operator_name(f"skkd_{node.op_type}")
            copied.input[:] = [self.names[name] for name in node.input]
            self.names |= {name: self.new_name(name) for name in node.output}
            copied.output[:] = [self.names[name] for name in node.output]
            self._append(copied)

    def _append(self, node: Any) -> None:
        version = OPSET_ML
        if node.domain != ML:
            version = self.container._get_op_version(node.domain, node.op_type)
        self.container.node_domain_version_pair_sets.add((node.domain, version))
        self.container.nodes.append(node)


def _inputs(part: _Part, schema: Schema, inputs: list[Any]) -> list[str]:
    """The names of the inputs of the classifier: one for each column, or one for all."""
    widths = [variable.type.shape[1] if len(variable.type.shape) > 1 else 1 for variable in inputs]
    n_columns = len(schema.features)
    if has_text(schema):
        if widths != [1] * n_columns:
            raise ValueError(
                f"the classifier reads text, and takes one input for each of its {n_columns} "
                f"columns, not inputs of {widths} columns."
            )
        return [
            _column(part, variable, is_text(feature))
            for variable, feature in zip(inputs, schema.features, strict=True)
        ]
    if None not in widths and sum(widths) != n_columns:
        raise ValueError(f"the classifier has {n_columns} columns, and gets {sum(widths)}.")
    columns = [_column(part, variable, False) for variable in inputs]
    return [columns[0] if len(columns) == 1 else part.add("Concat", columns, axis=1)]


def _column(part: _Part, variable: Any, is_text: bool) -> str:
    has_text = type(variable.type).__name__ == "StringTensorType"
    if has_text != is_text:
        kinds = ("text", "numbers") if is_text else ("numbers", "text")
        raise ValueError(
            f"the input {variable.raw_name!r} is {kinds[1]}, and the classifier reads {kinds[0]}."
        )
    return variable.full_name if is_text else part.add("Cast", [variable.full_name], to=part.type)


def _number_type(variable: Any) -> int:
    kinds = library("onnx", PURPOSE).TensorProto
    is_double = type(variable.type).__name__ == "DoubleTensorType"
    return kinds.DOUBLE if is_double else kinds.FLOAT
