"""Checks of ONNX files of other programs, before ONNX Runtime gets them.

Allowed are the operators of :mod:`skkd.exporting.onnx.shapes`. The size of all values is computed
beforehand: the size of the file bounds the memory and the time that a row takes.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import ML, PURPOSE
from skkd.exporting.onnx.shapes import ROWS, RULES, STRINGS, TENSOR, Operation, Shape, labels_in

__all__ = ["CheckedGraph", "attributes_of", "check_foreign"]

#: The largest number of nodes.
MOST_NODES = 2**16

#: All values of a row together have at most this many numbers for each byte of the file; small
#: files may have `ENOUGH` numbers, and none more than `MOST`.
MOST_PER_BYTE, ENOUGH, MOST = 16, 2**20, 2**26

#: A value has at most this many axes.
MOST_AXES = 4

#: For each type of a constant: the bytes of a number, and the field that may hold it instead.
NUMBERS = {
    **{1: (4, "float_data"), 6: (4, "int32_data"), 7: (8, "int64_data"), 9: (1, "int32_data")},
    **{11: (8, "double_data")},
}

#: The type of texts.
TEXT = 8

#: Operators that hand on whole numbers that are not negative.
HAND_ON = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")


@dataclass
class CheckedGraph:
    """What is known about the values of a graph.

    Parameters
    ----------
    shapes : dict of str to Shape
    constants : dict of str to ndarray
    makers : dict of str to onnx.NodeProto
        The node of each computed value.
    maps : dict of str to list
        The classes of each sequence of maps.
    """

    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, list] = field(default_factory=dict)


def check_foreign(model: Any, n_bytes: int) -> CheckedGraph:
    """Refuse a model that could be dangerous to run, or is not understood.

    Parameters
    ----------
    model : onnx.ModelProto
    n_bytes : int
        The size of the file.

    Returns
    -------
    CheckedGraph

    Raises
    ------
    ValueError
        The message has the reason.
    """
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("the model has functions, training steps or sparse constants")
    if not 0 < len(graph.node) <= MOST_NODES:
        raise ValueError(f"the model has {len(graph.node)} nodes")
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx", ML):
            raise ValueError(f"the model has operators of {opset.domain!r}")
    checked = CheckedGraph()
    for tensor in graph.initializer:
        _add_constant(checked, tensor.name, tensor)
    for given in graph.input:
        if given.name not in checked.constants:
            _add(checked, given.name, _shape_of_input(given))
    for node in graph.node:
        _add_node(checked, node)
    size = sum(-math.prod(shape) for shape in checked.shapes.values() if ROWS in shape)
    if size > min(max(ENOUGH, MOST_PER_BYTE * n_bytes), MOST):
        raise ValueError(f"a row takes {size} numbers, which is too many for {n_bytes} bytes")
    return checked


def attributes_of(node: Any, beginning: str = "") -> dict[str, Any]:
    """Return the attributes of a node as Python values.

    Parameters
    ----------
    node : onnx.NodeProto
    beginning : str, default=""
        Only those whose name begins so: trees have long ones.

    Returns
    -------
    dict of str to object
    """
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if not attribute.name.startswith(beginning):
            continue
        if attribute.type == TENSOR:
            found[attribute.name] = _array(attribute.name, attribute.t)
            continue
        value = library("onnx.helper", PURPOSE).get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif attribute.type == STRINGS:
            value = [text.decode() for text in value]
        found[attribute.name] = value if isinstance(value, (str, int, float)) else list(value)
    return found


def _add(checked: CheckedGraph, name: str, shape: Shape) -> None:
    if not name or name in checked.shapes or name in checked.maps:
        raise ValueError(f"the value {name!r} is computed twice")
    sizes = [size for size in shape if size != ROWS]
    if len(shape) > MOST_AXES or len(sizes) < len(shape) - 1 or min(sizes, default=1) < 1:
        raise ValueError(f"the value {name!r} has shape {shape}")
    if math.prod(sizes) > 2**31:
        raise ValueError(f"the value {name!r} has shape {shape}")
    checked.shapes[name] = shape


def _array(name: str, tensor: Any) -> np.ndarray:
    """A constant, if its data is as large as its shape says."""
    shape = tuple(tensor.dims)
    if tensor.external_data or tensor.data_location:
        raise ValueError(f"the constant {name!r} is in another file")
    if len(shape) > MOST_AXES or min(shape, default=1) < 1:
        raise ValueError(f"the constant {name!r} has shape {shape[: MOST_AXES + 1]}")
    if tensor.data_type == TEXT:
        size: float = len(tensor.string_data)
    elif tensor.data_type in NUMBERS:
        n_bytes, other = NUMBERS[tensor.data_type]
        is_raw = tensor.HasField("raw_data")
        size = len(tensor.raw_data) / n_bytes if is_raw else len(getattr(tensor, other))
    else:
        raise ValueError(f"the constant {name!r} has type {tensor.data_type}")
    if size != math.prod(shape):
        raise ValueError(f"the constant {name!r} has shape {shape} and {size:g} values")
    return library("onnx.numpy_helper", PURPOSE).to_array(tensor)


def _add_constant(checked: CheckedGraph, name: str, tensor: Any) -> None:
    array = _array(name, tensor)
    _add(checked, name, array.shape)
    checked.constants[name] = array


def _shape_of_input(given: Any) -> Shape:
    dims = given.type.tensor_type.shape.dim
    if len(dims) != 2 or not 0 < dims[1].dim_value < 2**31:
        raise ValueError(f"the input {given.name!r} is no table of a known number of columns")
    if dims[0].dim_value > 0:
        raise ValueError(f"the input {given.name!r} takes {dims[0].dim_value} rows alone")
    return (ROWS, dims[1].dim_value)


def _add_node(checked: CheckedGraph, node: Any) -> None:
    key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
    is_constant, is_map = key == ("", "Constant"), key == (ML, "ZipMap")
    if key not in RULES and not is_constant and not is_map:
        raise ValueError(f"operator {node.op_type!r} of {node.domain!r} is not allowed")
    allowed = RULES[key][3] if key in RULES else {"value": TENSOR}
    for attribute in [] if is_map else node.attribute:
        if attribute.ref_attr_name or allowed.get(attribute.name) != attribute.type:
            raise ValueError(f"operator {node.op_type} has the attribute {attribute.name!r}")
    attributes = {} if is_constant else attributes_of(node)
    if is_constant:
        if len(node.attribute) != 1 or len(node.output) != 1:
            raise ValueError("a constant has not one value")
        _add_constant(checked, node.output[0], node.attribute[0].t)
    elif is_map:
        _add_maps(checked, node, attributes)
    else:
        _add_results(checked, node, key, attributes)


def _add_maps(checked: CheckedGraph, node: Any, attributes: dict[str, Any]) -> None:
    keys = labels_in(attributes)
    shape = checked.shapes.get(node.input[0]) if len(node.input) == 1 else None
    if shape != (ROWS, len(keys)) or len(attributes) != 1 or len(node.output) != 1:
        raise ValueError("operator ZipMap has other classes than columns")
    if node.output[0] in checked.shapes or node.output[0] in checked.maps:
        raise ValueError(f"the value {node.output[0]!r} is computed twice")
    checked.maps[node.output[0]] = keys


def _add_results(
    checked: CheckedGraph, node: Any, key: tuple[str, str], attributes: dict[str, Any]
) -> None:
    rule, least, most, _ = RULES[key]
    names = list(node.input)
    if not least <= len(names) <= most or not names[0]:
        raise ValueError(f"operator {node.op_type} has {len(names)} operands")
    if any(name not in checked.shapes for name in names if name or node.op_type != "Clip"):
        raise ValueError(f"operator {node.op_type} has operands that are not there")
    shapes = [checked.shapes[name] if name else () for name in names]
    values = [checked.constants.get(name) for name in names]
    if node.op_type == "ArrayFeatureExtractor" and values[1] is None:
        _check_positions(checked, names[1])
    try:
        results = rule(Operation(attributes, shapes, values))
    except (IndexError, KeyError) as error:
        raise ValueError(f"operator {node.op_type} lacks something: {error}") from error
    except ValueError as error:
        raise ValueError(f"operator {node.op_type}: {error}") from error
    if len(results) != len(node.output):
        raise ValueError(f"operator {node.op_type} has {len(node.output)} results")
    for name, shape in zip(node.output, results, strict=True):
        _add(checked, name, shape)
        checked.makers[name] = node


def _check_positions(checked: CheckedGraph, name: str) -> None:
    """Refuse computed positions that could be negative, which ONNX Runtime may not check."""
    node = checked.makers.get(name)
    while node is not None and node.op_type in HAND_ON:
        node = checked.makers.get(node.input[0])
    if node is None or node.op_type not in ("ArgMax", "ArgMin"):
        raise ValueError("entries are taken by a number that ArgMax has not computed")
