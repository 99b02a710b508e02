"""The part of ``speed.py`` about predictions: probabilities of few and of many rows."""

from importlib.util import find_spec
from statistics import median

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier
from speed_parts import WORKS, Rows, mlp_fit, ratio, rounds_of, skkd_fit, skorch_fit
from torch import nn
from tqdm import tqdm

from skkd import NeuralClassifier

#: Number of rows of a call -> number of calls in a round.
SIZES = {1: 50, 100: 20, 100_000: 1}
#: A contender is left out for a number of rows if its call would take more seconds than this.
LONGEST_CALL = 5


def predict_times(n_rounds):
    """Yield the rows of a table: microseconds for 1, 100 and 100,000 rows, and ratios."""
    rows = Rows(WORKS["a"])
    contenders = networks(WORKS["a"], rows) | forests(rows)
    many = np.resize(rows.X, (max(SIZES), rows.X.shape[1]))
    per_row = dict.fromkeys(contenders, 0.0)
    for n_rows, repeats in tqdm(SIZES.items(), "predictions", unit="size"):
        X = many[:n_rows]
        for contender in [
            contender for contender in contenders if n_rows * per_row[contender] > LONGEST_CALL
        ]:
            del contenders[contender]
            tqdm.write(f"{contender} is left out for {n_rows:,} rows, which take too long")
        calls = {
            contender: (lambda predict=predict, X=X: predict(X))
            for contender, predict in contenders.items()
        }
        with torch.inference_mode():
            times = rounds_of(calls, n_rounds, repeats)
        for contender in contenders:
            per_row[contender] = median(times[contender]) / n_rows
            yield {
                "rows": n_rows,
                "contender": contender,
                "time, us": 1e6 * median(times[contender]),
                "skkd's": ratio(times["skkd"], times[contender]),
                "predictor's": ratio(times["skkd predictor"], times[contender]),
            }


def text_times(n_rounds):
    """Yield the rows of a table: microseconds for one row of 6 numbers and 8 columns of text."""
    draw = np.random.default_rng(0)
    X = pd.DataFrame({f"number {j}": draw.standard_normal(2_000) for j in range(6)})
    for j in range(8):
        X[f"text {j}"] = draw.choice([f"value {i}" for i in range(2 + 5 * j)], len(X))
    settings = {"max_epochs": 1, "numeric_encoding": "piecewise_linear", "random_state": 0}
    clf = NeuralClassifier((32, 32), **settings).fit(X, draw.integers(2, size=len(X)))
    predictor = clf.predictor()
    frame = X.iloc[[0]]
    (row,) = frame.to_dict("records")
    values = tuple(row.values())
    calls = {
        "skkd, DataFrame": lambda: clf.predict_proba(frame),
        "skkd predictor, dict": lambda: predictor(row),
        "skkd predictor, tuple": lambda: predictor(values),
    }
    for call in calls.values():
        np.testing.assert_array_equal(call(), clf.predict_proba(frame))
    times = rounds_of(calls, n_rounds, repeats=200)
    for contender in calls:
        yield {
            "contender": contender,
            "time, us": 1e6 * median(times[contender]),
            "DataFrame's": ratio(times["skkd, DataFrame"], times[contender]),
        }


def networks(work, rows):
    """Return name -> function from rows to probabilities, for the networks."""
    ours = skkd_fit(work, rows, 1)()
    raw = ours.module_
    contenders = {
        "skkd": ours.predict_proba,
        "skkd, scaled": skkd_fit(work, rows, 1, preprocessor="auto")().predict_proba,
        "skkd predictor": ours.predictor(),
        "MLPClassifier": mlp_fit(work, rows, 1)().predict_proba,
        "MLPClassifier, scaled": mlp_fit(work, rows, 1, scaled=True)().predict_proba,
        "skorch": skorch_fit(work, rows, 1)().predict_proba,
        "raw module": lambda X: torch.softmax(raw(torch.from_numpy(X)), 1).numpy(),
    }
    if has("ONNX Runtime", "onnx", "onnxruntime"):
        predict = in_onnx_runtime(onnx_model(raw), "probabilities")
        np.testing.assert_allclose(predict(rows.X), ours.predict_proba(rows.X), atol=1e-5)
        contenders["ONNX Runtime"] = predict
    return contenders


def forests(rows):
    """Return name -> function from rows to probabilities, for a forest, the usual teacher."""
    forest = RandomForestClassifier(500, n_jobs=2, random_state=0).fit(rows.X, rows.y)
    forest.set_params(n_jobs=1)
    contenders = {"forest of 500": forest.predict_proba}
    if has("forest in ONNX Runtime", "skl2onnx", "onnxruntime"):
        from skl2onnx import to_onnx

        model = to_onnx(forest, rows.X[:1], options={"zipmap": False})
        contenders["forest in ONNX Runtime"] = in_onnx_runtime(model, "probabilities")
    return contenders


def has(contender, *packages):
    """Return whether the packages are installed, and print those that are not."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        tqdm.write(f"{contender} is left out: {' and '.join(missing)} missing")
    return not missing


def onnx_model(module):
    """Return a network of Linear and ReLU as ONNX; torch's exporter takes seconds and warns."""
    from onnx import TensorProto, helper, numpy_helper

    linears = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    nodes, arrays, seen = [], [], "X"
    for i, linear in enumerate(linears):
        for name, tensor in linear.named_parameters():
            arrays.append(numpy_helper.from_array(tensor.detach().numpy(), f"{name}{i}"))
        inputs = [seen, f"weight{i}", f"bias{i}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"linear{i}"], transB=1))
        nodes.append(helper.make_node("Relu", [f"linear{i}"], [f"relu{i}"]))
        seen = f"relu{i}"
    nodes[-1] = helper.make_node("Softmax", [f"linear{i}"], ["probabilities"], axis=1)
    ends = [("X", linears[0].in_features), ("probabilities", linears[-1].out_features)]
    begin, end = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in ends
    )
    graph = helper.make_graph(nodes, "network", [begin], [end], arrays)
    opset = helper.make_opsetid("", 17)  # a common version, which any recent runtime reads
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def in_onnx_runtime(model, output):
    """Return a function that predicts in ONNX Runtime, with as many threads as torch has."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait by spinning would slow down the next contender.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda X: session.run([output], {"X": X})[0]
