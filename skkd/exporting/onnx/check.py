"""Checks of an ONNX model of skkd before ONNX Runtime gets it.

Only what :mod:`skkd.exporting.onnx.write` writes is allowed: its operators with their attributes,
and constants that the file holds itself. No value may have more columns than the file has constants
and inputs. So the size of the file bounds the memory that a row takes. The nodes of a custom
module are checked by :mod:`skkd.exporting.onnx.module_check`.
"""

import math
from typing import Any

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import ML, OPSET, OPSET_ML, PURPOSE
from skkd.exporting.onnx.module import NODES, OPSET_MODULE
from skkd.exporting.onnx.module_check import MOST_NUMBERS, shape_and_size

__all__ = ["check_form", "check_own", "is_of_skkd", "parsed_model"]

#: The versions of operators by domain.
OPSETS = {"": (OPSET, OPSET_MODULE), ML: (OPSET_ML,)}

#: The largest number of dimensions of a constant, which only custom modules have.
MOST_DIMENSIONS = 5

#: The largest number of nodes. A column takes eight at most.
MOST_NODES = 2**18

#: Operators on numbers, whose result has as many columns as the widest operand.
ELEMENTWISE = (
    *("Abs", "Add", "Clip", "Div", "Equal", "Exp", "Floor", "IsNaN", "Log", "Max", "Min", "Mul"),
    *("Neg", "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh", "Where"),
)

#: Operators of a file with layers in 8-bit integers: :mod:`skkd.exporting.onnx.quantize`.
QUANTISED = ("DynamicQuantizeLinear", "MatMulInteger")

#: The attributes of an operator, each with its allowed values; None allows all.
ATTRIBUTES: dict[tuple[str, str], dict[str, tuple | None]] = {
    **{("", name): {} for name in (*ELEMENTWISE, "Gemm", *QUANTISED)},
    ("", "ArgMax"): {"axis": (1,), "keepdims": (0,)},
    ("", "Cast"): {"to": (1, 11)},  # float, double
    ("", "Concat"): {"axis": (1,)},
    ("", "Gather"): {"axis": (0, 1)},
    ("", "ReduceSum"): {"keepdims": (1,)},
    ("", "Softmax"): {"axis": (1,)},
    (ML, "LabelEncoder"): dict.fromkeys(("default_int64", "keys_strings", "values_int64s")),
}

#: The attributes of ZipMap, of which a node has one: the classes.
KEYS_OF_MAPS = ("classlabels_int64s", "classlabels_strings")

#: The types of attributes: a whole number, whole numbers, texts.
ATTRIBUTE_TYPES = (2, 7, 8)

#: The bytes of a number by the type of a constant: float, uint8, int64, bool, double.
ITEM_SIZES = {1: 4, 2: 1, 7: 8, 9: 1, 11: 8}

#: The type of a constant of texts.
STRING = 8


def parsed_model(data: bytes) -> Any:
    """Parse a model.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError
        If it is no model.
    """
    if data[4:8] == b"ORTM":
        raise ValueError("it is in ONNX Runtime's own format")
    onnx = library("onnx", PURPOSE)
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf, whose class differs between its versions
        raise ValueError(f"{type(error).__name__}: {error}") from error


def is_of_skkd(model: Any) -> bool:
    """Whether anything in a model names skkd: then it must be as skkd wrote it.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    bool
    """
    names = [model.producer_name, model.graph.name, *(e.key for e in model.metadata_props)]
    return any(name.partition(".")[0] == "skkd" for name in names)


def check_own(model: Any) -> None:
    """Refuse a model that names skkd, and that skkd does not write.

    Parameters
    ----------
    model : onnx.ModelProto

    Raises
    ------
    ValueError
        The message has the reason.
    """
    if not any(entry.key == "skkd.digest" for entry in model.metadata_props):
        raise ValueError("it has no digest, so skkd did not write it as it is")
    _check_model(model)
    check_form(model)


def check_form(model: Any) -> None:
    """Check a model by the rules of ONNX.

    Parameters
    ----------
    model : onnx.ModelProto

    Raises
    ------
    ValueError
        The message has the first line of the error.
    """
    checker = library("onnx.checker", PURPOSE)
    try:
        checker.check_model(model)
    except (checker.ValidationError, RuntimeError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def _check_model(model: Any) -> None:
    graph = model.graph
    if not graph.node or not graph.output or len(graph.node) > MOST_NODES:
        raise ValueError(f"the model has {len(graph.node)} nodes and {len(graph.output)} outputs")
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("the model has functions, training steps or sparse constants")
    for opset in model.opset_import:
        if opset.version not in OPSETS.get(opset.domain, ()):
            raise ValueError(f"operators of {opset.domain!r}, version {opset.version}")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        if not node.name.startswith(NODES):
            _check_node(node)
    _check_widths(graph)


def _check_tensor(tensor: Any) -> None:
    """Refuse a constant whose data is not as large as its shape says."""
    name, shape = tensor.name, tuple(tensor.dims)
    if tensor.external_data or tensor.data_location:
        raise ValueError(f"the constant {name!r} is in another file")
    if len(shape) > MOST_DIMENSIONS or min(shape, default=0) < 0:
        raise ValueError(f"the constant {name!r} has shape {shape[:3]}")
    if tensor.data_type == STRING:
        size: float = len(tensor.string_data)
    elif tensor.data_type in ITEM_SIZES:
        size = len(tensor.raw_data) / ITEM_SIZES[tensor.data_type]
    else:
        raise ValueError(f"the constant {name!r} has type {tensor.data_type}")
    if size != math.prod(shape):
        raise ValueError(f"the constant {name!r} has shape {shape} and {size:g} values")


def _check_node(node: Any) -> None:
    allowed = ATTRIBUTES.get((node.domain, node.op_type))
    if (node.domain, node.op_type) == (ML, "ZipMap"):
        allowed = {attribute.name: None for attribute in node.attribute[:1]}
        allowed = allowed if set(allowed) <= set(KEYS_OF_MAPS) else None
    if allowed is None:
        raise ValueError(f"operator {node.op_type!r} of {node.domain!r} is none that skkd writes")
    names = sorted(attribute.name for attribute in node.attribute)
    n_outputs = 3 if node.op_type == "DynamicQuantizeLinear" else 1
    if names != sorted(allowed) or len(node.output) != n_outputs or not node.input:
        raise ValueError(f"operator {node.op_type} has other attributes, inputs or outputs")
    for attribute in node.attribute:
        values = allowed[attribute.name]
        is_plain = attribute.type in ATTRIBUTE_TYPES and not attribute.ref_attr_name
        if not is_plain or (values is not None and attribute.i not in values):
            raise ValueError(f"operator {node.op_type} has another {attribute.name}")


def _check_widths(graph: Any) -> None:
    """Follow the number of columns of each value through the graph."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    constants = {name: tuple(t.dims) for name, t in tensors.items() if len(t.dims) <= 2}
    widths = {given.name: _width_of_input(given) for given in graph.input}
    most = sum(widths.values()) + sum(math.prod(t.dims) for t in graph.initializer)
    shapes: dict[str, tuple[int, ...]] = {}  # of one row, within a custom module
    taken = 0  # numbers that one row takes in the module
    labels: set[str] = set()  # values of one dimension, which only the end of the graph has
    maps: set[str] = set()
    for node in graph.node:
        for name in node.output:
            if name in widths or name in tensors or name in shapes or name in labels | maps:
                raise ValueError(f"the value {name!r} is computed twice")
        name = node.output[0]
        if node.op_type == "ZipMap":
            _check_maps(node, widths)
            maps.add(name)
            continue
        if node.name.startswith(NODES):
            known = shapes | {given: (widths[given],) for given in node.input if given in widths}
            shapes[name], size = shape_and_size(node, known, tensors)
            taken += size
            if taken > MOST_NUMBERS:
                raise ValueError(f"a row takes more than {MOST_NUMBERS} numbers in the module")
            if len(shapes[name]) == 1:
                widths[name] = shapes[name][0]
            continue
        width = _width(node, widths, constants, labels)
        for name in node.output:
            if width is None:
                labels.add(name)
                continue
            if width > most:
                raise ValueError(f"a value has {width} columns, and the constants {most} numbers")
            widths[name] = width
            width = 1  # of further outputs: the scale and the zero of a quantised value
    for output in graph.output:
        if output.name in maps and output.type.WhichOneof("value") == "sequence_type":
            continue
        shape = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
        if shape != ([0] if output.name in labels else [0, widths.get(output.name)]):
            raise ValueError(f"the output {output.name!r} has shape {shape}")


def _check_maps(node: Any, widths: dict) -> None:
    keys = node.attribute[0] if node.attribute else None
    n_keys = 0 if keys is None else len(keys.ints) + len(keys.strings)
    if len(node.input) != 1 or n_keys == 0 or widths.get(node.input[0]) != n_keys:
        raise ValueError("operator ZipMap has other classes than columns")


def _width_of_input(given: Any) -> int:
    dims = given.type.tensor_type.shape.dim
    if len(dims) != 2 or dims[0].HasField("dim_value") or not 0 < dims[1].dim_value < 2**31:
        raise ValueError(f"the input {given.name!r} is no table")
    return dims[1].dim_value


def _width(node: Any, widths: dict, constants: dict, labels: set) -> int | None:
    """The number of columns of a node's result; None if the result has one dimension."""
    kind, (first, *rest) = node.op_type, list(node.input)
    if kind == "ArgMax" and first in widths and not rest:
        return None
    if kind == "Gather" and node.attribute[0].i == 0:
        if len(constants.get(first, ())) == 1 and len(rest) == 1 and rest[0] in labels:
            return None
    elif kind == "Gather" and first in widths and len(rest) == 1:
        if len(constants.get(rest[0], ())) == 1:
            return constants[rest[0]][0]
    elif kind == "Gemm" and first in widths and 1 <= len(rest) <= 2:
        if all(name in constants for name in rest) and len(constants[rest[0]]) == 2:
            bias = (1, *constants[rest[-1]])[-2:] if len(rest) == 2 else (1, 1)
            if bias[0] == 1:
                return constants[rest[0]][1]
    elif kind == "DynamicQuantizeLinear" and first in widths and not rest:
        return widths[first]
    elif kind == "MatMulInteger" and first in widths and len(rest) == 3:
        shape, zero = constants.get(rest[0], ()), constants.get(rest[2])
        if len(shape) == 2 and rest[1] in widths and zero == ():
            return shape[1]
    elif kind == "ReduceSum" and first in widths and len(rest) == 1 and rest[0] in constants:
        return widths[first]  # an upper bound
    elif kind == "Concat":
        return sum(_operands(node, widths, constants))
    elif kind in (*ELEMENTWISE, "Cast", "LabelEncoder", "Softmax"):
        return max(_operands(node, widths, constants))
    raise ValueError(f"operator {kind} has operands that skkd does not write")


def _operands(node: Any, widths: dict, constants: dict) -> list[int]:
    """The numbers of columns of the operands. A constant has one row."""
    found = []
    for name in node.input:
        shape = (1, 1, *constants[name])[-2:] if name in constants else (1, widths.get(name))
        if shape[0] != 1 or shape[1] is None:
            raise ValueError(f"operator {node.op_type} has operands that skkd does not write")
        found.append(shape[1])
    return found
