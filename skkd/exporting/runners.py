"""What an exported file answers: the predictions of a network that was read back."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skkd.inference.network import Network, softmax
from skkd.inference.schema import Schema

__all__ = ["NetworkRunner", "Runner"]


class Runner(Protocol):
    """Predicts from rows that were read by :func:`skkd.exporting.rows.read_rows`."""

    @property
    def schema(self) -> Schema:
        """The columns that the file reads, and the classes."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known about the training, by name."""

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""


@dataclass(frozen=True, eq=False)
class NetworkRunner:
    """Predictions of a network in NumPy.

    Parameters
    ----------
    network : Network
    schema : Schema
    """

    network: Network
    schema: Schema

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known about the training, by name."""
        return self.network.metadata or {}

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        logits = self.network.logits(rows)
        if not np.isfinite(logits).all():
            raise ValueError("the network gives numbers that are not finite for some rows.")
        return self.schema.classes[logits.argmax(axis=1)], softmax(logits)
