"""A model in ONNX Runtime."""

import threading
from typing import Any

import numpy as np

from skkd.exporting.libraries import library
from skkd.exporting.onnx.graph import PURPOSE

__all__ = ["OnnxSession"]


class OnnxSession:
    """A model in ONNX Runtime, with one thread. It can be pickled, and shared between threads.

    Parameters
    ----------
    data : bytes
        A model that was checked by :mod:`skkd.exporting.onnx.check`, or
        :mod:`skkd.exporting.onnx.foreign_check`.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._lock = threading.Lock()
        self._session: Any = None

    @property
    def inputs(self) -> list[Any]:
        """The inputs, each with `name`, `type` and `shape`."""
        return self.open().get_inputs()

    @property
    def outputs(self) -> list[Any]:
        """The outputs, each with `name`, `type` and `shape`."""
        return self.open().get_outputs()

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[Any]:
        """Compute outputs.

        Parameters
        ----------
        names : list of str
            The names of the outputs.
        feeds : dict of str to ndarray
            By the name of the input.

        Returns
        -------
        list of object

        Raises
        ------
        ValueError
            If ONNX Runtime cannot run the model.
        """
        session = self.open()
        try:
            return session.run(names, feeds)
        except Exception as error:  # its classes are not public
            raise ValueError(f"ONNX Runtime cannot run the model: {error}") from error

    def open(self) -> Any:
        """Return the session of ONNX Runtime, opened at the first call.

        Returns
        -------
        onnxruntime.InferenceSession

        Raises
        ------
        ValueError
            If ONNX Runtime cannot open the model.
        """
        with self._lock:
            if self._session is None:
                self._session = _open(self.data)
            return self._session

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["data"])  # type: ignore[misc]


def _open(data: bytes) -> Any:
    runtime = library("onnxruntime", PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    # The nodes run as they were checked: none is computed before, or merged with another.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Otherwise ONNX Runtime guesses, and reads some bytes in a format of its own.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are not public
        raise ValueError(f"ONNX Runtime cannot open the model: {error}") from error
