"""Checks of the nodes of a custom module in an ONNX file, before ONNX Runtime gets them.

A value of the module has the shape (n_rows, d1, d2, ...). The checks follow (d1, d2, ...), the
shape of one row, through the nodes, and bound the numbers that a row takes in all of them.
Operators are allowed if their result follows from the shapes of the operands and from constants,
and if they keep rows apart. So dense and convolutional networks are allowed, and attention and
recurrent layers, whose graphs compute shapes, are not.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["MOST_NUMBERS", "shape_and_size"]

#: The largest number of numbers that a row may take in all values of the module together.
MOST_NUMBERS = 2**24

#: A larger integer in an attribute or a constant is refused.
MOST = 2**31 - 1

#: Operators on one operand whose result has its shape.
UNARY = (
    *("Abs", "BatchNormalization", "Celu", "Cos", "Elu", "Erf", "Exp", "HardSigmoid"),
    *("HardSwish", "Identity", "InstanceNormalization", "LeakyRelu", "Log", "Mish", "Neg"),
    *("Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh"),
    "ThresholdedRelu",
)

#: Operators that broadcast their operands against each other.
BROADCASTING = ("Add", "Clip", "Div", "Max", "Min", "Mul", "Pow", "PRelu", "Sub")

#: Operators that reduce axes.
REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")

#: The types of attributes, as ONNX numbers them.
FLOAT, INT, STRING, INTS = 1, 2, 3, 7

#: Allowed attributes by operator, besides those of numbers such as `alpha`, which are free.
FREE = ("alpha", "beta", "gamma", "epsilon", "momentum")

Shape = tuple[int, ...]


class Operands:
    """The operands and attributes of a node.

    Parameters
    ----------
    node : onnx.NodeProto
    shapes : dict of str to tuple
        The shape of one row of each value.
    constants : dict of str to onnx.TensorProto
    """

    def __init__(self, node: Any, shapes: dict[str, Shape], constants: dict[str, Any]) -> None:
        self.node, self.shapes, self.constants = node, shapes, constants
        self.attributes = {a.name: _attribute(node, a) for a in node.attribute}

    def refuse(self) -> ValueError:
        kind = self.node.op_type
        return ValueError(
            f"operator {kind} is used in the module as skkd does not load it: run the file in ONNX "
            "Runtime"
        )

    def take(self, name: str, default: Any) -> Any:
        """Take an attribute out; those that are left in the end are refused."""
        return self.attributes.pop(name, default)

    def value(self, i: int = 0) -> Shape:
        """The shape of one row of an operand that is no constant."""
        if i >= len(self.node.input) or self.node.input[i] not in self.shapes:
            raise self.refuse()
        return self.shapes[self.node.input[i]]

    def constant(self, i: int) -> Any:
        """A constant operand, or None if the operand is left out."""
        if i >= len(self.node.input) or not self.node.input[i]:
            return None
        if self.node.input[i] not in self.constants:
            raise self.refuse()
        return self.constants[self.node.input[i]]

    def integers(self, i: int) -> list[int]:
        """The values of a constant operand of integers."""
        tensor = self.constant(i)
        if tensor is None or tensor.data_type != 7 or len(tensor.dims) > 1:
            raise self.refuse()
        return np.frombuffer(tensor.raw_data, "<i8").tolist()

    def only_constants_after(self, first: int) -> None:
        for i in range(first, len(self.node.input)):
            self.constant(i)

    def axis(self, axis: int, rank: int) -> int:
        """A position in the shape of one row; the axis of the rows is refused."""
        axis = axis + rank if axis < 0 else axis
        if not 1 <= axis < rank:
            raise self.refuse()
        return axis - 1


def shape_and_size(
    node: Any, shapes: dict[str, Shape], constants: dict[str, Any]
) -> tuple[Shape, int]:
    """Return the shape of one row of a node's result, and the numbers that it takes.

    Parameters
    ----------
    node : onnx.NodeProto
    shapes : dict of str to tuple
        The shape of one row of each value that was computed before.
    constants : dict of str to onnx.TensorProto
        Their sizes were checked.

    Returns
    -------
    shape : tuple of int
    size : int
        With the memory that the operator needs meanwhile.

    Raises
    ------
    ValueError
        If the operator is none of those allowed, or is not used as they are.
    """
    rule = RULES.get(node.op_type) if not node.domain else None
    if rule is None:
        raise ValueError(
            f"operator {node.op_type!r} of {node.domain!r} in the module is none that skkd loads: "
            "run the file in ONNX Runtime"
        )
    operands = Operands(node, shapes, constants)
    if len(node.output) != 1 or not node.input:
        raise operands.refuse()
    shape, meanwhile = rule(operands)
    if set(operands.attributes) - set(FREE) or min(shape, default=0) < 0 or not shape:
        raise operands.refuse()
    return shape, math.prod(shape) + meanwhile


def _attribute(node: Any, attribute: Any) -> Any:
    if attribute.ref_attr_name or attribute.type not in (FLOAT, INT, STRING, INTS):
        raise ValueError(f"operator {node.op_type} has another {attribute.name}")
    if attribute.type == FLOAT:
        return attribute.f
    if attribute.type == STRING:
        return attribute.s
    values = [attribute.i] if attribute.type == INT else list(attribute.ints)
    if any(abs(value) > MOST for value in values):
        raise ValueError(f"operator {node.op_type} has another {attribute.name}")
    return values[0] if attribute.type == INT else values


def _same(operands: Operands) -> tuple[Shape, int]:
    operands.only_constants_after(1)
    if operands.take("training_mode", 0) != 0:
        raise operands.refuse()
    return operands.value(), 0


def _broadcast(operands: Operands) -> tuple[Shape, int]:
    rank = max(
        len(operands.shapes[name]) for name in operands.node.input if name in operands.shapes
    )
    result = [1] * rank
    for i, name in enumerate(operands.node.input):
        if name in operands.shapes:
            shape = list(operands.value(i))
            if len(shape) != rank:  # rows would be broadcast against another axis
                raise operands.refuse()
        else:
            tensor = operands.constant(i)
            shape = [] if tensor is None else list(tensor.dims)
            if len(shape) == rank + 1 and shape[0] == 1:
                shape = shape[1:]
            if len(shape) > rank:
                raise operands.refuse()
            shape = [1] * (rank - len(shape)) + shape
        for j, size in enumerate(shape):
            if size != 1 and result[j] not in (1, size):
                raise operands.refuse()
            result[j] = size if result[j] == 1 else result[j]
    return tuple(result), 0


def _gemm(operands: Operands) -> tuple[Shape, int]:
    weight, bias = operands.constant(1), operands.constant(2)
    is_transposed = operands.take("transB", 0)
    if operands.take("transA", 0) != 0 or len(operands.value()) != 1 or weight is None:
        raise operands.refuse()
    if len(weight.dims) != 2 or is_transposed not in (0, 1):
        raise operands.refuse()
    if bias is not None and len(bias.dims) > 1 and (len(bias.dims) > 2 or bias.dims[0] != 1):
        raise operands.refuse()
    return (weight.dims[0 if is_transposed else 1],), 0


def _matmul(operands: Operands) -> tuple[Shape, int]:
    weight = operands.constant(1)
    if weight is None or len(weight.dims) != 2 or not operands.value():
        raise operands.refuse()
    return (*operands.value()[:-1], weight.dims[1]), 0


def _positions(operands: Operands, sizes: Shape, kernel: list[int]) -> Shape:
    """The number of positions of a kernel along each axis."""
    n = len(sizes)
    strides = operands.take("strides", [1] * n)
    dilations = operands.take("dilations", [1] * n)
    pads = operands.take("pads", [0] * 2 * n)
    rounds_up = operands.take("ceil_mode", 0)
    if operands.take("auto_pad", b"NOTSET") != b"NOTSET" or rounds_up not in (0, 1):
        raise operands.refuse()
    lists = (strides, dilations, kernel)
    if any(len(values) != n or min(values, default=0) < 1 for values in lists) or not n:
        raise operands.refuse()
    if len(pads) != 2 * n or min(pads) < 0:
        raise operands.refuse()
    found = []
    for i, size in enumerate(sizes):
        room = size + pads[i] + pads[n + i] - dilations[i] * (kernel[i] - 1) - 1
        if room < 0:
            raise operands.refuse()
        found.append((room + (strides[i] - 1) * rounds_up) // strides[i] + 1)
    return tuple(found)


def _convolution(operands: Operands) -> tuple[Shape, int]:
    weight, (channels, *sizes) = operands.constant(1), operands.value()
    group = operands.take("group", 1)
    operands.only_constants_after(2)
    if weight is None or len(weight.dims) != 2 + len(sizes) or group < 1:
        raise operands.refuse()
    kernel = list(weight.dims[2:])
    if operands.take("kernel_shape", kernel) != kernel or channels != weight.dims[1] * group:
        raise operands.refuse()
    positions = _positions(operands, tuple(sizes), kernel)
    copied = channels * math.prod(kernel) * math.prod(positions)
    return (weight.dims[0], *positions), copied


def _pool(operands: Operands) -> tuple[Shape, int]:
    channels, *sizes = operands.value()
    kernel = operands.take("kernel_shape", [])
    counts_pads = operands.take("count_include_pad", 0)
    if operands.take("storage_order", 0) != 0 or counts_pads not in (0, 1):
        raise operands.refuse()
    return (channels, *_positions(operands, tuple(sizes), kernel)), 0


def _global_pool(operands: Operands) -> tuple[Shape, int]:
    shape = operands.value()
    return (shape[0], *[1] * (len(shape) - 1)), 0


def _reduction(operands: Operands) -> tuple[Shape, int]:
    shape, axes = operands.value(), operands.integers(1)
    reduced = {operands.axis(axis, len(shape) + 1) for axis in axes}
    keeps, _ = operands.take("keepdims", 1), operands.take("noop_with_empty_axes", 0)
    if not reduced or keeps not in (0, 1):
        raise operands.refuse()
    kept = [(1 if i in reduced else n) for i, n in enumerate(shape) if keeps or i not in reduced]
    return tuple(kept), 0


def _along_an_axis(operands: Operands) -> tuple[Shape, int]:
    """Softmax, and LayerNormalization."""
    shape = operands.value()
    operands.only_constants_after(1)
    operands.axis(operands.take("axis", -1), len(shape) + 1)
    if operands.take("stash_type", 1) != 1:
        raise operands.refuse()
    return shape, 0


def _flatten(operands: Operands) -> tuple[Shape, int]:
    if operands.take("axis", 1) != 1:
        raise operands.refuse()
    return (math.prod(operands.value()),), 0


def _reshape(operands: Operands) -> tuple[Shape, int]:
    (first, *shape), given = operands.integers(1), operands.value()
    zero_keeps = operands.take("allowzero", 0) == 0
    if zero_keeps:
        shape = [given[i] if n == 0 and i < len(given) else n for i, n in enumerate(shape)]
    known = math.prod(n for n in shape if n != -1)
    if zero_keeps and first == 0 and shape.count(-1) == 1 and known > 0:
        shape[shape.index(-1)] = math.prod(given) // known
        first = -1
    # Either -1 or 0 in front keeps the number of rows, if the rest is as large as it was.
    is_whole = min(shape, default=0) >= 1 and math.prod(shape) == math.prod(given)
    if not is_whole or not (first == -1 or (first == 0 and zero_keeps)):
        raise operands.refuse()
    return tuple(shape), 0


def _transpose(operands: Operands) -> tuple[Shape, int]:
    shape, order = operands.value(), operands.take("perm", [])
    if sorted(order) != list(range(len(shape) + 1)) or order[0] != 0:
        raise operands.refuse()
    return tuple(shape[axis - 1] for axis in order[1:]), 0


def _squeeze(operands: Operands) -> tuple[Shape, int]:
    shape, axes = operands.value(), operands.integers(1)
    gone = {operands.axis(axis, len(shape) + 1) for axis in axes}
    if any(shape[i] != 1 for i in gone):
        raise operands.refuse()
    return tuple(n for i, n in enumerate(shape) if i not in gone), 0


def _unsqueeze(operands: Operands) -> tuple[Shape, int]:
    shape, axes = list(operands.value()), operands.integers(1)
    rank = len(shape) + len(axes) + 1
    new = sorted({operands.axis(axis, rank) for axis in axes})
    if len(new) != len(axes) or rank > 8:
        raise operands.refuse()
    for i in new:
        shape.insert(i, 1)
    return tuple(shape), 0


def _concat(operands: Operands) -> tuple[Shape, int]:
    shapes = [operands.value(i) for i in range(len(operands.node.input))]
    rank = len(shapes[0]) + 1
    at = operands.axis(operands.take("axis", 0), rank)
    others = {(*shape[:at], *shape[at + 1 :]) for shape in shapes}
    if len(others) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise operands.refuse()
    first = shapes[0]
    return (*first[:at], sum(shape[at] for shape in shapes), *first[at + 1 :]), 0


def _gather(operands: Operands) -> tuple[Shape, int]:
    shape, index = operands.value(), operands.constant(1)
    at = operands.axis(operands.take("axis", 0), len(shape) + 1)
    if index is None or len(index.dims) > 1:
        raise operands.refuse()
    return (*shape[:at], *index.dims, *shape[at + 1 :]), 0


def _slice(operands: Operands) -> tuple[Shape, int]:
    shape, (starts, ends, axes) = list(operands.value()), map(operands.integers, (1, 2, 3))
    steps = operands.integers(4) if operands.constant(4) is not None else [1] * len(axes)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise operands.refuse()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        i = operands.axis(axis, len(shape) + 1)
        shape[i] = len(range(shape[i])[start:end:step])
    return tuple(shape), 0


def _cast(operands: Operands) -> tuple[Shape, int]:
    if operands.take("to", 0) not in (1, 11):  # float, double
        raise operands.refuse()
    return operands.value(), 0


RULES: dict[str, Callable[[Operands], tuple[Shape, int]]] = {
    **dict.fromkeys(UNARY, _same),
    **dict.fromkeys(BROADCASTING, _broadcast),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), _global_pool),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization"), _along_an_axis),
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _convolution,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
