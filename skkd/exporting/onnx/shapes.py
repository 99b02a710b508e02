"""The shapes of values in ONNX files of other programs, by which their size is bounded.

A shape is a tuple; the number of rows, which is free, is `ROWS` in it. Each operator that is
allowed has a rule here, and none has a result whose size depends on more than shapes: so none
repeats, pads or expands by a number that is computed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.exporting.onnx.graph import ML
from skkd.exporting.onnx.trees import check_trees

__all__ = ["CLASSIFIERS", "ROWS", "RULES", "Operation", "Shape", "labels_in"]

Shape = tuple[int, ...]

#: Stands for the number of rows.
ROWS = -1

#: The types of attributes.
FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 6, 7, 8

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

#: Operators that return the label of each row, and a score for each class.
CLASSIFIERS = ("LinearClassifier", "TreeEnsembleClassifier")


@dataclass(frozen=True)
class Operation:
    """One node, with what is known about its operands.

    Parameters
    ----------
    attributes : dict of str to object
    shapes : list of Shape
        Of the operands; an operand that is left out has the shape ().
    values : list of (ndarray or None)
        Of the operands that are constants.
    """

    attributes: dict[str, Any]
    shapes: list[Shape]
    values: list[np.ndarray | None]

    @property
    def width(self) -> int:
        """The number of columns of the first operand, a table."""
        if len(self.shapes[0]) != 2 or self.shapes[0][0] != ROWS:
            raise ValueError("an operator on tables gets another value")
        return self.shapes[0][1]

    def axis(self, default: int, rank: int | None = None) -> int:
        """The attribute `axis`, counted from the first axis."""
        rank = len(self.shapes[0]) if rank is None else rank
        axis = self.attributes.get("axis", default)
        if not -rank <= axis < rank:
            raise ValueError(f"there is no axis {axis}")
        return axis % rank

    def numbers(self, position: int) -> list[int]:
        """A constant operand of whole numbers, as a list."""
        value = self.values[position] if position < len(self.values) else None
        if value is None or value.dtype != np.int64:
            raise ValueError("an operand is computed that must be a constant")
        return value.reshape(-1).tolist()


def _same(operation: Operation) -> list[Shape]:
    return [operation.shapes[0]]


def _clip(operation: Operation) -> list[Shape]:
    if any(math.prod(shape) != 1 for shape in operation.shapes[1:]):
        raise ValueError("a limit is no number")
    return [operation.shapes[0]]


def _broadcast(operation: Operation) -> list[Shape]:
    rank = max(map(len, operation.shapes))
    result = [1] * rank
    for shape in operation.shapes:
        for axis, size in enumerate((1,) * (rank - len(shape)) + shape):
            if size != 1 and result[axis] not in (1, size):
                raise ValueError(f"shapes {operation.shapes} do not fit together")
            result[axis] = size if result[axis] == 1 else result[axis]
    return [tuple(result)]


def _matmul(operation: Operation) -> list[Shape]:
    width, weight = operation.width, operation.shapes[1]
    if operation.values[1] is None or len(weight) != 2 or weight[0] != width:
        raise ValueError("a table is multiplied with no constant that fits")
    return [(ROWS, weight[1])]


def _gemm(operation: Operation) -> list[Shape]:
    weight = operation.shapes[1]
    if operation.attributes.get("transA", 0) != 0 or len(weight) != 2:
        raise ValueError("a table is multiplied with no constant that fits")
    weight = weight[::-1] if operation.attributes.get("transB", 0) else weight
    if operation.values[1] is None or weight[0] != operation.width:
        raise ValueError("a table is multiplied with no constant that fits")
    if len(operation.shapes) > 2 and math.prod(operation.shapes[2]) not in (1, weight[1]):
        raise ValueError("a constant is added that does not fit")
    return [(ROWS, weight[1])]


def _concat(operation: Operation) -> list[Shape]:
    axis, first = operation.axis(1), operation.shapes[0]
    for shape in operation.shapes:
        if len(shape) != len(first) or shape[axis] == ROWS:
            raise ValueError("values are joined that do not fit together")
        if shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ValueError("values are joined that do not fit together")
    return [(*first[:axis], sum(s[axis] for s in operation.shapes), *first[axis + 1 :])]


def _axes(operation: Operation, rank: int) -> set[int]:
    """Axes that an attribute, or a constant, lists."""
    axes = operation.attributes.get("axes")
    axes = operation.numbers(1) if axes is None else axes
    if not axes or not all(-rank <= axis < rank for axis in axes):
        raise ValueError(f"there are no axes {axes}")
    return {axis % rank for axis in axes}


def _without(operation: Operation, axes: set[int], keeps: Any) -> list[Shape]:
    shape = operation.shapes[0]
    if any(shape[axis] == ROWS for axis in axes):
        raise ValueError("an operator joins rows")
    kept = ((1 if axis in axes else size) for axis, size in enumerate(shape))
    return [tuple(size for axis, size in enumerate(kept) if keeps or axis not in axes)]


def _reduce(operation: Operation) -> list[Shape]:
    axes = _axes(operation, len(operation.shapes[0]))
    return _without(operation, axes, operation.attributes.get("keepdims", 1))


def _arg(operation: Operation) -> list[Shape]:
    return _without(operation, {operation.axis(0)}, operation.attributes.get("keepdims", 1))


def _squeeze(operation: Operation) -> list[Shape]:
    axes = _axes(operation, len(operation.shapes[0]))
    if any(operation.shapes[0][axis] != 1 for axis in axes):
        raise ValueError("an axis is removed that has several entries")
    return _without(operation, axes, keeps=False)


def _unsqueeze(operation: Operation) -> list[Shape]:
    n_axes = len(operation.attributes.get("axes") or operation.numbers(1))
    rank = len(operation.shapes[0]) + n_axes
    axes, sizes = _axes(operation, rank), iter(operation.shapes[0])
    if len(axes) != n_axes:
        raise ValueError("an axis is added twice")
    return [tuple(1 if axis in axes else next(sizes) for axis in range(rank))]


def _flatten(operation: Operation) -> list[Shape]:
    first, *rest = operation.shapes[0]
    if operation.axis(1) != 1 or ROWS in rest:
        raise ValueError("rows are made columns")
    return [(first, math.prod(rest))]


def _transpose(operation: Operation) -> list[Shape]:
    shape = operation.shapes[0]
    order = operation.attributes.get("perm", list(range(len(shape)))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"there are no axes {order}")
    return [tuple(shape[axis] for axis in order)]


def _reshape(operation: Operation) -> list[Shape]:
    """Rows stay rows: the number that is not given is theirs, or that of columns."""
    shape, target = operation.shapes[0], operation.numbers(1)
    if shape.count(ROWS) != 1 or min(target, default=0) < -1 or target.count(-1) > 1:
        raise ValueError(f"a value of shape {shape} gets the shape {target}")
    if any(size == 0 and axis >= len(shape) for axis, size in enumerate(target)):
        raise ValueError(f"a value of shape {shape} gets the shape {target}")
    result = [shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    per_row = -math.prod(shape)
    if -1 in target and ROWS in [shape[a] for a, size in enumerate(target) if size == 0]:
        known = math.prod(abs(size) for size in result)
        result[target.index(-1)] = per_row // max(known, 1)
    if result.count(ROWS) != 1 or -math.prod(result) != per_row:
        raise ValueError(f"a value of shape {shape} gets the shape {target}")
    return [tuple(result)]


def _gather(operation: Operation) -> list[Shape]:
    shape, axis = operation.shapes[0], operation.axis(0)
    if operation.values[1] is not None:
        indices = operation.numbers(1)
        if shape[axis] == ROWS or not all(-shape[axis] <= i < shape[axis] for i in indices):
            raise ValueError("entries are taken that are not there")
    elif operation.values[0] is None or len(shape) != 1:
        raise ValueError("entries are taken by a computed number")
    return [shape[:axis] + operation.shapes[1] + shape[axis + 1 :]]


def _extract(operation: Operation) -> list[Shape]:
    shape, (x, y) = operation.shapes[0], operation.values
    if not shape:
        raise ValueError("entries are taken of a single number")
    if y is not None:
        indices = operation.numbers(1)
        if shape[-1] == ROWS or not all(0 <= i < shape[-1] for i in indices):
            raise ValueError("entries are taken that are not there")
        return [(*(shape[:-1] or (1,)), len(indices))]
    given = operation.shapes[1]
    if x is None or len(shape) != 1 or math.prod(given) != ROWS:
        raise ValueError("entries are taken by a computed number")
    return [(1, ROWS)]


def _scaler(operation: Operation) -> list[Shape]:
    offset, scale = (operation.attributes.get(name, []) for name in ("offset", "scale"))
    if len(offset) != len(scale) or len(offset) not in (1, operation.width):
        raise ValueError("a scaler has another number of columns")
    return [operation.shapes[0]]


def _imputer(operation: Operation) -> list[Shape]:
    names = ("imputed_value_floats", "imputed_value_int64s")
    if sum(len(operation.attributes.get(name, [])) for name in names) not in (1, operation.width):
        raise ValueError("an imputer has another number of columns")
    return [operation.shapes[0]]


def _normalizer(operation: Operation) -> list[Shape]:
    _check_choice(operation, "norm", ("MAX", "L1", "L2"))
    return [(ROWS, operation.width)]


def _one_hot(operation: Operation) -> list[Shape]:
    names = ("cats_int64s", "cats_strings")
    categories = [operation.attributes[name] for name in names if name in operation.attributes]
    if len(categories) != 1 or not categories[0]:
        raise ValueError("an encoder has no list of categories")
    return [(*operation.shapes[0], len(categories[0]))]


def _label_encoder(operation: Operation) -> list[Shape]:
    kinds = ("strings", "int64s", "floats")
    sizes = [
        [len(operation.attributes[f"{what}_{kind}"]) for kind in kinds if f"{what}_{kind}" in
         operation.attributes]
        for what in ("keys", "values")
    ]  # fmt: skip
    if len(sizes[0]) != 1 or sizes[0] != sizes[1] or sizes[0] == [0]:
        raise ValueError("an encoder has not one value for each key")
    return [operation.shapes[0]]


def _vectorizer(operation: Operation) -> list[Shape]:
    widths = [shape[1] for shape in operation.shapes if len(shape) == 2 and shape[0] == ROWS]
    if len(widths) < len(operation.shapes) or widths != operation.attributes["inputdimensions"]:
        raise ValueError("columns are joined that are not there")
    return [(ROWS, sum(widths))]


def _check_choice(operation: Operation, name: str, choices: tuple[str, ...]) -> None:
    if operation.attributes.get(name, choices[0]) not in choices:
        raise ValueError(f"{name} is {operation.attributes[name]!r}")


def labels_in(attributes: dict[str, Any]) -> list:
    """Return the classes in the attributes of a classifier or of ZipMap.

    Parameters
    ----------
    attributes : dict of str to object

    Returns
    -------
    list of (int or str)

    Raises
    ------
    ValueError
        If there is not one list of them.
    """
    names = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
    given = [attributes[name] for name in names if attributes.get(name)]
    if len(given) != 1:
        raise ValueError("a classifier has not one list of classes")
    return given[0]


def _linear(operation: Operation, n_outputs: int) -> None:
    _check_choice(operation, "post_transform", TRANSFORMS)
    attributes = operation.attributes
    if len(attributes.get("coefficients", [])) != n_outputs * operation.width:
        raise ValueError("a linear model has another number of coefficients")
    if len(attributes.get("intercepts", [])) != n_outputs:
        raise ValueError("a linear model has another number of intercepts")


def _linear_classifier(operation: Operation) -> list[Shape]:
    n_classes = len(labels_in(operation.attributes))
    _linear(operation, n_classes)
    return [(ROWS,), (ROWS, n_classes)]


def _trees(operation: Operation, kind: str, n_outputs: int) -> None:
    _check_choice(operation, "post_transform", TRANSFORMS)
    _check_choice(operation, "aggregate_function", ("SUM", "AVERAGE", "MIN", "MAX"))
    check_trees(operation.attributes, kind, operation.width, n_outputs)


def _tree_classifier(operation: Operation) -> list[Shape]:
    n_classes = len(labels_in(operation.attributes))
    _trees(operation, "class", n_classes)
    return [(ROWS,), (ROWS, n_classes)]


def _n_targets(operation: Operation, default: int) -> int:
    n_targets = operation.attributes.get("n_targets", operation.attributes.get("targets", default))
    if n_targets < 1:
        raise ValueError(f"a regressor has {n_targets} outputs")
    return n_targets


def _linear_regressor(operation: Operation) -> list[Shape]:
    n_targets = _n_targets(operation, 1)
    _linear(operation, n_targets)
    return [(ROWS, n_targets)]


def _tree_regressor(operation: Operation) -> list[Shape]:
    n_targets = _n_targets(operation, 1)
    most = len(operation.attributes.get("nodes_treeids", []))
    if n_targets > most:
        raise ValueError(f"a regressor has {n_targets} outputs and {most} nodes")
    _trees(operation, "target", n_targets)
    return [(ROWS, n_targets)]


Rule = tuple[Callable[[Operation], list[Shape]], int, int, dict[str, int]]

_KEEPS = {"axis": INT, "keepdims": INT, "select_last_index": INT}
_NODES = {
    **{f"nodes_{name}ids": INTS for name in ("tree", "node", "feature", "truenode", "falsenode")},
    **{"nodes_modes": STRINGS, "nodes_missing_value_tracks_true": INTS},
    **{"nodes_values": FLOATS, "nodes_hitrates": FLOATS, "base_values": FLOATS},
    **{"nodes_values_as_tensor": TENSOR, "nodes_hitrates_as_tensor": TENSOR},
    **{"base_values_as_tensor": TENSOR, "post_transform": STRING},
}
_LINEAR = {"coefficients": FLOATS, "intercepts": FLOATS, "post_transform": STRING}
_MAP = {
    f"{what}_{kind}": type_
    for kind, type_ in (("strings", STRINGS), ("int64s", INTS), ("floats", FLOATS))
    for what in ("keys", "values")
}


def _leaves(kind: str) -> dict[str, int]:
    names = ("ids", "treeids", "nodeids")
    return {f"{kind}_{name}": INTS for name in names} | {
        f"{kind}_weights": FLOATS,
        f"{kind}_weights_as_tensor": TENSOR,
    }


def _rules(names: str, rule: Callable, least: int, most: int, **attributes: int) -> dict[Any, Rule]:
    return {("", name): (rule, least, most, attributes) for name in names.split()}


#: By domain and operator: the rule, the least and largest number of operands, the attributes.
RULES: dict[tuple[str, str], Rule] = {
    **_rules(
        "Abs Ceil Erf Exp Floor Identity IsNaN Log Neg Not Reciprocal Relu Round Sigmoid Sign "
        "Softplus Sqrt Tanh",
        *(_same, 1, 1),
    ),
    **_rules("Elu LeakyRelu Selu", _same, 1, 1, alpha=FLOAT, gamma=FLOAT),
    **_rules("Cast", _same, 1, 1, to=INT),
    **_rules("Softmax LogSoftmax", _same, 1, 1, axis=INT),
    **_rules("Clip", _clip, 1, 3, min=FLOAT, max=FLOAT),
    **_rules(
        "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Mul Or Pow Sub Xor",
        *(_broadcast, 2, 2),
    ),
    **_rules("Max Mean Min Sum", _broadcast, 1, 2**10),
    **_rules("Where", _broadcast, 3, 3),
    **_rules("MatMul", _matmul, 2, 2),
    **_rules("Gemm", _gemm, 2, 3, alpha=FLOAT, beta=FLOAT, transA=INT, transB=INT),
    **_rules("Concat", _concat, 1, 2**18, axis=INT),
    **_rules(
        "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare",
        *(_reduce, 1, 2),
        axes=INTS,
        keepdims=INT,
    ),
    **_rules("ArgMax ArgMin", _arg, 1, 1, **_KEEPS),
    **_rules("Squeeze", _squeeze, 1, 2, axes=INTS),
    **_rules("Unsqueeze", _unsqueeze, 1, 2, axes=INTS),
    **_rules("Flatten", _flatten, 1, 1, axis=INT),
    **_rules("Transpose", _transpose, 1, 1, perm=INTS),
    **_rules("Reshape", _reshape, 2, 2),
    **_rules("Gather", _gather, 2, 2, axis=INT),
    (ML, "ArrayFeatureExtractor"): (_extract, 2, 2, {}),
    (ML, "Binarizer"): (_same, 1, 1, {"threshold": FLOAT}),
    (ML, "FeatureVectorizer"): (_vectorizer, 1, 2**18, {"inputdimensions": INTS}),
    (ML, "Imputer"): (
        *(_imputer, 1, 1),
        {"imputed_value_floats": FLOATS, "imputed_value_int64s": INTS}
        | {"replaced_value_float": FLOAT, "replaced_value_int64": INT},
    ),
    (ML, "LabelEncoder"): (
        *(_label_encoder, 1, 1),
        _MAP | {"default_string": STRING, "default_int64": INT, "default_float": FLOAT},
    ),
    (ML, "LinearClassifier"): (
        *(_linear_classifier, 1, 1),
        _LINEAR | {"classlabels_strings": STRINGS, "classlabels_ints": INTS, "multi_class": INT},
    ),
    (ML, "LinearRegressor"): (_linear_regressor, 1, 1, _LINEAR | {"targets": INT}),
    (ML, "Normalizer"): (_normalizer, 1, 1, {"norm": STRING}),
    (ML, "OneHotEncoder"): (
        *(_one_hot, 1, 1),
        {"cats_int64s": INTS, "cats_strings": STRINGS, "zeros": INT},
    ),
    (ML, "Scaler"): (_scaler, 1, 1, {"offset": FLOATS, "scale": FLOATS}),
    (ML, "TreeEnsembleClassifier"): (
        *(_tree_classifier, 1, 1),
        _NODES
        | _leaves("class")
        | {"classlabels_strings": STRINGS, "classlabels_int64s": INTS},
    ),
    (ML, "TreeEnsembleRegressor"): (
        *(_tree_regressor, 1, 1),
        _NODES | _leaves("target") | {"n_targets": INT, "aggregate_function": STRING},
    ),
}  # fmt: skip
