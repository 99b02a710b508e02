"""The format ``.onnx``: the whole classifier as a graph, preprocessing included.

The outputs are `label`, of int64 or string, and `probabilities`, a tensor of shape (n_rows,
n_classes). The inputs are described in :mod:`skkd.exporting.onnx.inputs`. The number of rows is
free. The metadata holds the header of :mod:`skkd.exporting.content`, with the schema, as JSON.
"""

import hashlib
import json
from typing import Any

import numpy as np

from skkd.exporting.content import header_of
from skkd.exporting.libraries import library
from skkd.exporting.onnx.activations import ONNX_ACTIVATIONS
from skkd.exporting.onnx.graph import PURPOSE, Graph
from skkd.exporting.onnx.inputs import OUTPUTS, has_text, input_names, is_text, missing_text
from skkd.exporting.onnx.module import add_module
from skkd.exporting.onnx.preprocessing import add_category, add_numbers
from skkd.exporting.onnx.session import OnnxSession
from skkd.inference.module_network import ModuleNetwork
from skkd.inference.network import Network
from skkd.inference.schema import Feature, Schema
from skkd.preprocessing.preprocessor import ColumnPreprocessor

__all__ = ["digest_of", "obstacle", "write"]

LABEL, PROBABILITIES = OUTPUTS


def obstacle(network: Network, dtype: str) -> str | None:
    """Return what keeps a network from this format; None if nothing does.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}

    Returns
    -------
    str or None
    """
    schema = network.schema
    reasons = [_obstacle_of_numbers(feature, dtype) for feature in schema.features]
    reasons += [_obstacle_of_texts(schema), _obstacle_of_classes(schema.classes)]
    if isinstance(network, ModuleNetwork):
        reasons.append(_obstacle_of_module(network, dtype))
    return next((reason for reason in reasons if reason is not None), None)


def _obstacle_of_module(network: ModuleNetwork, dtype: str) -> str | None:
    """What keeps torch's exporter, or ONNX Runtime, from taking the module."""
    if dtype == "float64" and network.dtype != "float64":
        return (
            "module computes in float32, which is not exact enough for a file in float64: fit with "
            'dtype="float64", or export with dtype="float32"'
        )
    try:
        OnnxSession(write(network, dtype)).open()
    except ImportError:
        return None  # `write` names the library
    except ValueError as error:
        return str(error).rstrip(".")
    return None


def _obstacle_of_numbers(feature: Feature, dtype: str) -> str | None:
    numbers = [c for c in feature.categories or () if isinstance(c, (int, float))]
    if is_text(feature) or not numbers or _are_told_apart(numbers, dtype):
        return None
    larger = ' or dtype="float64"' if dtype == "float32" else ""
    return (
        f"column {feature.name!r} has categories that {dtype} does not tell apart: give them as "
        f"text{larger}"
    )


def _are_told_apart(numbers: list, dtype: str) -> bool:
    """Whether numbers differ in a dtype, and whole numbers are exact."""
    try:
        values = [float(c) if c == int(c) else np.float32(c) for c in numbers]
    except OverflowError:
        return False
    with np.errstate(over="ignore"):
        cast = np.array(values).astype(dtype)
    is_exact = all(float(a) == b for a, b in zip(cast, numbers, strict=True) if b == int(b))
    return is_exact and len(np.unique(cast)) == len(numbers)


def _obstacle_of_texts(schema: Schema) -> str | None:
    """What keeps texts from being encoded as UTF-8: a surrogate without its other half."""
    for feature in schema.features:
        if any(isinstance(c, str) and not _has_utf8(c) for c in feature.categories or ()):
            return f"column {feature.name!r} has a category that UTF-8 cannot encode"
        if has_text(schema) and not _has_utf8(feature.name):
            return f"UTF-8 cannot encode the name of column {feature.name!r}"
    if any(isinstance(label, str) and not _has_utf8(label) for label in schema.classes.tolist()):
        return "UTF-8 cannot encode a class"
    return None


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _obstacle_of_classes(classes: np.ndarray) -> str | None:
    labels = [label for label in classes.tolist() if not isinstance(label, str)]
    if any(isinstance(label, int) and not -(2**63) <= label < 2**63 for label in labels):
        return "labels are int64, and a class is larger"
    if any(isinstance(label, float) and not abs(label) < 2**53 for label in labels):
        return "labels are int64 or text, and a class is a float that is larger"
    return None


def write(network: Network | ModuleNetwork, dtype: str) -> bytes:
    """Return the bytes of an ``.onnx`` file.

    Parameters
    ----------
    network : Network or ModuleNetwork
    dtype : {"float32", "float64"}
        The dtype of the input and of all arithmetic.

    Returns
    -------
    bytes
    """
    schema, names = network.schema, input_names(network.schema)
    graph = Graph(dtype, [*names, *OUTPUTS])
    x = _add_preprocessing(graph, network, schema, names)
    if isinstance(network, ModuleNetwork):
        logits = add_module(graph, network, x)
    else:
        logits = _add_layers(graph, network, x)
    graph.add("Softmax", logits, to=PROBABILITIES, axis=1)
    code = graph.add("ArgMax", PROBABILITIES, axis=1, keepdims=0)
    label_type, classes = _add_classes(graph, schema.classes)
    graph.add("Gather", classes, code, to=LABEL, axis=0)

    make = graph.helper.make_tensor_value_info
    outputs = [
        make(LABEL, label_type, ["n_rows"]),
        make(PROBABILITIES, graph.type, ["n_rows", len(schema.classes)]),
    ]
    model = graph.model("skkd", _inputs(graph, schema, names), outputs)
    _add_metadata(graph, model, network, schema, names)
    return model.SerializeToString(deterministic=True)


def _add_layers(graph: Graph, network: Network, x: str) -> str:
    for i, layer in enumerate(network.layers, start=1):
        weight, bias = (
            graph.numbers(f"weight{i}", layer.weight),
            graph.numbers(f"bias{i}", layer.bias),
        )
        x = graph.add("Gemm", x, weight, bias)
        x = ONNX_ACTIVATIONS[layer.activation](graph, x)
    return x


def digest_of(model: Any) -> str:
    """Return the digest of a model, its own digest left out.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    str
    """
    copy = type(model)()
    copy.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != "skkd.digest"]
    del copy.metadata_props[:]
    copy.metadata_props.extend(kept)
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


def _inputs(graph: Graph, schema: Schema, names: list[str]) -> list[Any]:
    make = graph.helper.make_tensor_value_info
    if not has_text(schema):
        return [make(names[0], graph.type, ["n_rows", len(schema.features)])]
    string = library("onnx", PURPOSE).TensorProto.STRING
    return [
        make(name, string if is_text(feature) else graph.type, ["n_rows", 1])
        for name, feature in zip(names, schema.features, strict=True)
    ]


def _add_preprocessing(
    graph: Graph, network: Network | ModuleNetwork, schema: Schema, names: list[str]
) -> str:
    preprocessor = network.preprocessor
    if not isinstance(preprocessor, ColumnPreprocessor):
        if graph.dtype == np.float64 and schema.dtype == "float32":
            single = graph.add("Cast", names[0], to_type=graph.type_of(np.float32))
            return graph.add("Cast", single, to_type=graph.type)
        return names[0]
    numeric = preprocessor.numeric.tolist()
    parts = []
    if numeric:
        parts += add_numbers(graph, preprocessor, _columns(graph, schema, names, numeric))
    for encoder in preprocessor.one_hot:
        column = _columns(graph, schema, names, [encoder.column])
        parts.append(add_category(graph, schema.features[encoder.column], encoder, column))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _columns(graph: Graph, schema: Schema, names: list[str], columns: list[int]) -> str:
    """The name of a tensor with some columns of the table."""
    if has_text(schema):
        chosen = [names[j] for j in columns]
        return chosen[0] if len(chosen) == 1 else graph.add("Concat", *chosen, axis=1)
    if columns == list(range(len(schema.features))):
        return names[0]
    return graph.add("Gather", names[0], graph.integers("columns", columns), axis=1)


def _add_classes(graph: Graph, classes: np.ndarray) -> tuple[int, str]:
    """Add the classes as a constant. Booleans and whole floats become int64."""
    kinds = library("onnx", PURPOSE).TensorProto
    if classes.dtype.kind in "OU" and isinstance(classes[0], str):
        return kinds.STRING, graph.texts("classes", classes.tolist())
    return kinds.INT64, graph.integers("classes", [int(label) for label in classes.tolist()])


def _add_metadata(
    graph: Graph, model: Any, network: Network | ModuleNetwork, schema: Schema, names: list[str]
) -> None:
    header = header_of(network)
    model.producer_name, model.producer_version = "skkd", header["skkd"]
    features = [
        {"name": feature.name, "kind": feature.kind, "input": names[j if has_text(schema) else 0]}
        | ({"missing": missing_text(feature)} if is_text(feature) else {})
        for j, feature in enumerate(schema.features)
    ]
    metadata = {
        "skkd.header": json.dumps(header),
        "skkd.classes": json.dumps(schema.classes.tolist()),
        "skkd.features": json.dumps(features),
        "skkd.metadata": json.dumps(header["metadata"]),
    }
    graph.helper.set_model_props(model, metadata)
    model.metadata_props.add(key="skkd.digest", value=digest_of(model))
