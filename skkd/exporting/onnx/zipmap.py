"""Probabilities of an ONNX file as maps from class to probability, one for each row.

So sklearn-onnx writes them by default, and some programs want them.
"""

from typing import Any

import numpy as np

from skkd.checks import check_instance, refuse
from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import ML, OPSET_ML, PURPOSE
from skkd.exporting.onnx.inputs import OUTPUTS
from skkd.exporting.onnx.write import digest_of

__all__ = ["check_zipmap", "from_maps", "keys_of", "labels_of", "with_zipmap", "without_zipmap"]

PROBABILITIES = OUTPUTS[1]


def check_zipmap(zipmap: Any, ending: str, dtype: str) -> None:
    """Check the parameter `zipmap`.

    Parameters
    ----------
    zipmap : bool
    ending : str
        The format.
    dtype : {"float32", "float64"}
    """
    check_instance("zipmap", zipmap, bool, "True or False")
    if zipmap and ending != ".onnx":
        refuse("zipmap", zipmap, f"False: {ending} has no maps, only .onnx has")
    if zipmap and dtype != "float32":
        refuse("zipmap", zipmap, 'False, or dtype="float32": maps of ONNX hold float32 alone')


def with_zipmap(data: bytes, classes: np.ndarray) -> bytes:
    """Return an ONNX file of skkd whose output `probabilities` is a sequence of maps.

    Parameters
    ----------
    data : bytes
        A file of which that output is a tensor.
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    bytes
    """
    onnx = library("onnx", PURPOSE)
    model = onnx.load_model_from_string(data)
    graph = model.graph
    tensor = _free_name(graph)
    for node in graph.node:
        _rename(node, PROBABILITIES, tensor)
    keys = labels_of(classes)
    name, key_type = "classlabels_int64s", onnx.TensorProto.INT64
    if isinstance(keys[0], str):
        name, key_type = "classlabels_strings", onnx.TensorProto.STRING
    make = onnx.helper.make_node
    node = make("ZipMap", [tensor], [PROBABILITIES], "ZipMap", domain=ML, **{name: keys})
    graph.node.append(node)
    value_type = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    maps = onnx.helper.make_map_type_proto(key_type, value_type)
    output = next(output for output in graph.output if output.name == PROBABILITIES)
    output.type.CopyFrom(onnx.helper.make_sequence_type_proto(maps))
    if not any(opset.domain == ML for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(ML, OPSET_ML))
    digest = next(entry for entry in model.metadata_props if entry.key == "skkd.digest")
    digest.value = digest_of(model)
    return model.SerializeToString(deterministic=True)


def without_zipmap(model: Any) -> Any:
    """Return a model whose output `probabilities` is a tensor. Its digest is left as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        A file of skkd that was parsed, with or without maps.

    Returns
    -------
    onnx.ModelProto
    """
    copy = type(model)()
    copy.CopyFrom(model)
    zipmap = next((node for node in copy.graph.node if node.op_type == "ZipMap"), None)
    if zipmap is None:
        return copy
    make = library("onnx.helper", PURPOSE).make_tensor_value_info
    tensor, kinds = zipmap.input[0], library("onnx", PURPOSE).TensorProto
    copy.graph.node.remove(zipmap)
    for node in copy.graph.node:
        _rename(node, tensor, PROBABILITIES)
    output = next(output for output in copy.graph.output if output.name == PROBABILITIES)
    output.CopyFrom(make(PROBABILITIES, kinds.FLOAT, None))
    return copy


def from_maps(maps: Any, keys: list) -> np.ndarray:
    """Return the probabilities of a sequence of maps as a table.

    Parameters
    ----------
    maps : list of dict
        One for each row.
    keys : list
        The classes, in the order of the columns.

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float32
    """
    rows = [[row[key] for key in keys] for row in maps]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(keys))


def labels_of(classes: np.ndarray) -> list:
    """Return classes as labels of ONNX: text, or whole numbers.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    list of (int or str)
    """
    return [label if isinstance(label, str) else int(label) for label in classes.tolist()]


def keys_of(graph: Any, output: str) -> list | None:
    """Return the classes of the maps that an output has; None if it is a tensor.

    Parameters
    ----------
    graph : onnx.GraphProto
        One that was checked.
    output : str

    Returns
    -------
    list of (int or str), or None
    """
    for node in graph.node:
        if node.op_type == "ZipMap" and node.output[0] == output:
            keys = node.attribute[0]
            return list(keys.ints) or [key.decode() for key in keys.strings]
    return None


def _rename(node: Any, name: str, new: str) -> None:
    """Rename a value where a node takes it or makes it."""
    for names in (node.input, node.output):
        names[:] = [new if other == name else other for other in names]


def _free_name(graph: Any) -> str:
    """A name that no value has."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken.update(value.name for value in (*graph.input, *graph.initializer))
    name = "probability_tensor"
    while name in taken:
        name += "_"
    return name
