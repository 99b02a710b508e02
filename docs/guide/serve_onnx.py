"""Predict with an .onnx file that skkd exported, in ONNX Runtime and NumPy alone."""

import json

import numpy as np
import onnxruntime


class Model:
    """The classifier in a file."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers)
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.classes = json.loads(metadata["skkd.classes"])
        self.features = json.loads(metadata["skkd.features"])
        self.types = {given.name: given.type for given in self.session.get_inputs()}

    def predict(self, rows):
        """Return the labels and probabilities of a list of dicts, such as JSON objects."""
        names = [feature["name"] for feature in self.features]
        return self.run({name: [row[name] for row in rows] for name in names})

    def run(self, columns):
        """Return the labels and probabilities of a DataFrame, or of a dict of columns."""
        return self.session.run(["label", "probabilities"], self.tensors(columns))

    def tensors(self, columns):
        """Return the inputs of the session by name; None and NaN are missing values."""
        parts = {name: [] for name in self.types}
        for feature in self.features:
            name, values = feature["input"], columns[feature["name"]]
            parts[name].append(self._column(feature, self.types[name], values))
        return {name: np.column_stack(columns) for name, columns in parts.items()}

    def _column(self, feature, kind, values):
        if kind == "tensor(string)":
            gap = feature["missing"]
            values = [gap if value is None or value != value else value for value in values]
            return np.array(values, dtype=object)
        return np.array(values, dtype=np.float64 if kind == "tensor(double)" else np.float32)
