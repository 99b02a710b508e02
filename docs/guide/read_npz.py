"""Predict with an .npz file that skkd exported, in NumPy alone."""

import json

import numpy as np

ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: np.where(x > 0, 1.0507009873554805 * x, 1.7580993408473766 * np.expm1(x)),
    "silu": lambda x: x * 0.5 * (1 + np.tanh(x / 2)),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}


def inputs_of(header, arrays, rows):
    """Impute, scale, bin and encode rows: lists with a value per column, None if it is missing."""
    features, steps = header["schema"]["features"], header["preprocessing"]
    if steps is None:
        return np.array(rows, dtype=header["schema"]["dtype"]).astype(float)
    columns = list(zip(features, zip(*rows, strict=True), strict=True))
    numbers = [values for feature, values in columns if feature["kind"] == "number"]
    numbers = np.array(numbers, dtype=float).reshape(len(numbers), len(rows)).T
    scaled = np.nan_to_num((numbers - arrays["centre"]) / arrays["scale"])
    parts = [scaled.copy()]
    if steps["has_bins"]:
        distance = scaled[:, arrays["bins.column"]] - arrays["bins.left"]
        parts.append(np.clip(distance / arrays["bins.width"], 0, 1))
    for j in steps["normal_scores"]:
        values, scores = arrays[f"scores{j}.values"], arrays[f"scores{j}.scores"]
        parts[0][:, j] = np.nan_to_num(np.interp(numbers[:, j], values, scores))
    clipped = slice(None) if steps["clips"] else steps["of_no_width"]
    parts[0][:, clipped] /= np.sqrt(1 + (parts[0][:, clipped] / 3) ** 2)
    for feature, values in columns:
        if feature["kind"] == "category":
            one_hot = np.array([[v == c for c in feature["categories"]] for v in values], float)
            others = 1 - one_hot.sum(axis=1, keepdims=True)
            parts += [one_hot, others] if feature["others_share_an_input"] else [one_hot]
    return np.concatenate(parts, axis=1)


def predict_proba(path, rows):
    """Return the probability of each class in ``header["schema"]["classes"]``."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())
    x = inputs_of(header, arrays, rows)
    for i in range(1, header["n_layers"] + 1):
        x = x @ arrays[f"layer{i}.weight"].astype(float) + arrays[f"layer{i}.bias"]
        if i < header["n_layers"]:
            x = ACTIVATIONS[header["activation"]](x)
    exp = np.exp(x - x.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)
