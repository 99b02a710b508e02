"""Reading ``.onnx`` files: of skkd, or of any program whose outputs are label and probabilities."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.exporting.content import VERSION
from skkd.exporting.onnx import digest_of
from skkd.exporting.onnx_foreign import ForeignOnnxRunner, as_probabilities, schema_of_foreign
from skkd.exporting.onnx_inputs import OUTPUTS, feeds_of
from skkd.exporting.onnx_session import OnnxSession, checked_model
from skkd.exporting.runners import Runner
from skkd.inference.schema import Schema

__all__ = ["OnnxRunner", "read"]

#: The dtypes of numbers by their types in ONNX.
DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


@dataclass(frozen=True, eq=False)
class OnnxRunner:
    """Predictions of an ONNX file of skkd.

    Parameters
    ----------
    session : OnnxSession
    schema : Schema
    """

    session: OnnxSession
    schema: Schema

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        names = [given.name for given in self.session.inputs]
        dtype = DTYPES[next(o.type for o in self.session.outputs if o.name == OUTPUTS[1])]
        feeds = dict(zip(names, feeds_of(self.schema, rows, dtype), strict=True))
        label, answer = self.session.run(list(OUTPUTS), feeds)
        label = np.asarray(label).astype(self.schema.classes.dtype)
        return label, as_probabilities(answer, len(self.schema.classes))


def read(data: bytes) -> Runner:
    """Return what an ``.onnx`` file answers.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Runner

    Raises
    ------
    ValueError
        If the file is damaged, or is no classifier of the rows of a table.
    """
    try:
        return _read(data)
    # In a damaged file, texts may be bytes, and numbers may have any size.
    except (ArithmeticError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read(data: bytes) -> Runner:
    model = checked_model(data)
    session = OnnxSession(data)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if not any(key.startswith("skkd.") for key in properties) and model.producer_name != "skkd":
        return ForeignOnnxRunner(session, schema_of_foreign(model, session))
    if properties.get("skkd.digest") != digest_of(model):
        raise ValueError("the content does not match its digest: the file was changed")
    header = json.loads(properties["skkd.header"])
    if header["version"] != VERSION:
        raise ValueError(f"the format has version {header['version']!r}, this skkd reads {VERSION}")
    schema = Schema.from_dict(header["schema"])
    session.open()
    return OnnxRunner(session, schema)
