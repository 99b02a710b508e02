"""ONNX files with nodes of a custom module that are written by hand, without torch's exporter."""

import numpy as np
import onnx
from exported_cases import fitted
from onnx import helper, numpy_helper

from skkd.exporting.onnx import write as onnx_format


def constant(values):
    dtype = np.int64 if np.asarray(values).dtype.kind == "i" else np.float32
    return np.asarray(values, dtype=dtype)


def module_file(path, change):
    """Write a file with a module whose nodes a function adds between the logits and the end."""
    fitted("labels from 1")[0].export(path)
    model = onnx.load(path)
    graph = model.graph
    at = next(i for i, node in enumerate(graph.node) if node.op_type == "Softmax")
    logits, kept = graph.node[at].input[0], list(graph.node)
    nodes, tensors = change(logits)
    for i, node in enumerate(nodes):
        node.name = f"module.{i}"
    del graph.node[:]
    graph.node.extend([*kept[:at], *nodes, *kept[at:]])
    graph.node[at + len(nodes)].input[0] = nodes[-1].output[0]
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in tensors.items())
    model.opset_import[0].version = 18
    digest = next(entry for entry in model.metadata_props if entry.key == "skkd.digest")
    digest.value = onnx_format.digest_of(model)
    path.write_bytes(model.SerializeToString())
    return path


def there_and_back(logits):
    make = helper.make_node
    nodes = [
        make("Reshape", [logits, "shape"], ["image"]),
        make("Conv", ["image", "kernel"], ["doubled"]),
        make("Flatten", ["doubled"], ["flat"]),
    ]
    kernel = np.full((1, 1, 1, 1), 2, np.float32)
    return nodes, {"shape": constant([-1, 1, 1, 3]), "kernel": kernel}


def convolutions(logits):
    """Nodes of several kinds that give three logits."""
    make = helper.make_node
    nodes = [
        make("Reshape", [logits, "shape"], ["image"]),
        make("Conv", ["image", "kernel"], ["maps"], pads=[1, 1, 1, 1], strides=[1, 1]),
        make("Relu", ["maps"], ["positive"]),
        make("MaxPool", ["positive"], ["pool"], kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
        make("ReduceMean", ["pool", "axes"], ["mean"], keepdims=0),
        make("Transpose", ["mean"], ["turned"], perm=[0, 2, 1]),
        make("Flatten", ["turned"], ["flat"]),
        make("Gemm", ["flat", "weight"], ["result"], transB=1),
    ]
    rng = np.random.RandomState(0)
    kernel, weight = rng.standard_normal((4, 1, 3, 3)), rng.standard_normal((3, 12))
    tensors = {"shape": [-1, 1, 1, 3], "axes": [2], "kernel": kernel, "weight": weight}
    return nodes, {name: constant(values) for name, values in tensors.items()}
