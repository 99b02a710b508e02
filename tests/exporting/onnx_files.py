"""ONNX files as other programs write them, built by hand; the answers are known formulas."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
COEFFICIENTS = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.0]], dtype=np.float32)
INTERCEPTS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
CLASSES = {"classlabels_strings": ["ham", "jam", "spam"]}

info, node = helper.make_tensor_value_info, helper.make_node


def model(nodes, inputs, outputs=None, constants=(), opset=17, **others):
    """A model whose outputs are, if none are given, three texts and a tensor."""
    outputs = outputs or [
        info("label", TensorProto.STRING, [None]),
        info("probabilities", TensorProto.FLOAT, [None, 3]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    others = {"producer_name": "another"} | others
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **others)


def table(n_columns=2, kind=TensorProto.FLOAT, name="X"):
    return info(name, kind, [None, n_columns])


def linear_node(given="X", scores="probabilities", label="label", **attributes):
    attributes = {
        "coefficients": COEFFICIENTS.reshape(-1).tolist(),
        "intercepts": INTERCEPTS.tolist(),
        "post_transform": "SOFTMAX",
    } | (attributes or CLASSES)
    return node("LinearClassifier", [given], [label, scores], domain=ML, **attributes)


def linear_answers(X):
    z = np.exp(X @ COEFFICIENTS.T + INTERCEPTS)
    return z / z.sum(axis=1, keepdims=True)


def maps(key=TensorProto.STRING):
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    of_row = helper.make_map_type_proto(key, value)
    return helper.make_value_info("output_probability", helper.make_sequence_type_proto(of_row))


def linear():
    return model([linear_node()], [table()])


def linear_with_maps():
    """As sklearn-onnx writes a LogisticRegression without options."""
    nodes = [
        linear_node(scores="p"),
        node("Identity", ["label"], ["output_label"]),
        node("Normalizer", ["p"], ["q"], domain=ML, norm="L1"),
        node("ZipMap", ["q"], ["output_probability"], domain=ML, **CLASSES),
    ]
    return model(nodes, [table()], [info("output_label", TensorProto.STRING, [None]), maps()])


TREES = {
    "nodes_treeids": [0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 0, 1, 2],
    "nodes_featureids": [0, 0, 0, 1, 0, 0],
    "nodes_values": [0.0] * 6,
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
    "nodes_truenodeids": [1, 0, 0] * 2,
    "nodes_falsenodeids": [2, 0, 0] * 2,
    "class_treeids": [0, 0, 1, 1, 1],
    "class_nodeids": [1, 2, 1, 2, 2],
    "class_ids": [0, 1, 0, 0, 2],
    "class_weights": [0.5, 0.5, 0.5, 0.25, 0.25],
    "post_transform": "NONE",
}


def forest(**changed):
    """Two trees with one threshold each."""
    attributes = TREES | {"classlabels_int64s": [3, 5, 9]} | changed
    trees = node(
        "TreeEnsembleClassifier", ["X"], ["label", "probabilities"], domain=ML, **attributes
    )
    outputs = [
        info("label", TensorProto.INT64, [None]),
        info("probabilities", TensorProto.FLOAT, [None, 3]),
    ]
    return model([trees], [table()], outputs)


def forest_answers(X):
    left, low = X[:, 0] <= 0, X[:, 1] <= 0
    return np.column_stack([0.5 * left + np.where(low, 0.5, 0.25), 0.5 * ~left, 0.25 * ~low])


def network():
    """Two layers; the label is taken from a constant, as sklearn-onnx does for MLPClassifier."""
    nodes = [
        node("MatMul", ["X", "w1"], ["a"]),
        node("Add", ["a", "b1"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Gemm", ["c", "w2", "b2"], ["d"], transB=1),
        node("Softmax", ["d"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["k"], axis=1),
        node("ArrayFeatureExtractor", ["classes", "k"], ["e"], domain=ML),
        node("Reshape", ["e", "flat"], ["label"]),
    ]
    constants = {
        "w1": np.eye(2, dtype=np.float32),
        "b1": np.zeros(2, dtype=np.float32),
        "w2": COEFFICIENTS,
        "b2": INTERCEPTS,
        "classes": np.array(["ham", "jam", "spam"], dtype=object),
        "flat": np.array([-1], dtype=np.int64),
    }
    return model(nodes, [table()], constants=constants)


def network_answers(X):
    return linear_answers(np.maximum(X, 0))


def mixed():
    """A scaled number, a whole number and a text of two categories, each with its input."""
    nodes = [
        node("Scaler", ["age"], ["scaled"], domain=ML, offset=[40.0], scale=[0.1]),
        node("Cast", ["n"], ["count"], to=TensorProto.FLOAT),
        node("OneHotEncoder", ["job"], ["hot"], domain=ML, cats_strings=["cook", "smith"], zeros=1),
        node("Reshape", ["hot", "shape"], ["jobs"]),
        node("Concat", ["scaled", "count", "jobs"], ["all"], axis=1),
        node("MatMul", ["all", "chosen"], ["two"]),
        linear_node("two"),
    ]
    inputs = [table(1, name="age"), table(1, TensorProto.INT64, "n")]
    inputs.append(table(1, TensorProto.STRING, "job"))
    constants = {
        "shape": np.array([-1, 2], dtype=np.int64),
        "chosen": np.array([[1, 0], [0, 1], [2, 0], [0, 2]], dtype=np.float32),
    }
    return model(nodes, inputs, constants=constants)


def mixed_answers(X):
    first = (X["age"] - 40) / 10 + 2 * (X["job"] == "cook")
    return linear_answers(np.column_stack([first, X["n"] + 2 * (X["job"] == "smith")]))


MADE = {
    "linear": (linear, linear_answers),
    "linear with maps": (linear_with_maps, linear_answers),
    "forest": (forest, forest_answers),
    "network": (network, network_answers),
}
