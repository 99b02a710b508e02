"""A builder of ONNX graphs: nodes and constants, with names that are unique."""

from typing import Any

import numpy as np

from skkd.exporting import constants
from skkd.exporting.libraries import library

__all__ = ["ML", "PURPOSE", "Graph"]

PURPOSE = "the format .onnx"

#: The domain of operators for tables.
ML = "ai.onnx.ml"

#: Versions of the operators and of the file that onnxruntime has read since 2022.
OPSET, OPSET_ML, IR_VERSION = 17, 3, 8


class Graph:
    """The nodes and constants of an ONNX graph.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The dtype of all numbers.
    taken : list of str
        Names of inputs and outputs, which no other value may have.
    """

    def __init__(self, dtype: str, taken: list[str]) -> None:
        self.dtype = np.dtype(dtype)
        self.helper = library("onnx.helper", PURPOSE)
        self.type = self.type_of(self.dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opset = OPSET
        self.taken = set(taken)
        self._counts: dict[str, int] = {}

    def type_of(self, dtype: Any) -> int:
        """Return the number that stands for a dtype in ONNX."""
        return self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def add(
        self,
        operator: str,
        *inputs: str,
        to: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node with one output.

        Parameters
        ----------
        operator : str
        *inputs : str
            Names of the operands.
        to : str, default=None
            The name of the output; None makes a new name.
        domain : str, default=""
        **attributes : object
            The attribute `to` of Cast is given as `to_type`.

        Returns
        -------
        str
            The name of the output.
        """
        output = to or self._new_name(operator.lower())
        attributes = {"to" if k == "to_type" else k: v for k, v in attributes.items()}
        node = self.helper.make_node(
            operator,
            inputs,
            [output],
            name=f"{operator}_{len(self.nodes)}",
            domain=domain,
            **attributes,
        )
        self.nodes.append(node)
        return output

    def numbers(self, name: str, values: Any) -> str:
        """Add a constant of numbers in the dtype of the graph.

        Parameters
        ----------
        name : str
            A name to begin with.
        values : array-like

        Returns
        -------
        str
            The name of the constant.

        Raises
        ------
        PrecisionError
            If a finite number is infinite in this dtype.
        """
        return self._constant(name, constants.finite(name, values, self.dtype))

    def factors(self, name: str, values: Any) -> str:
        """Add a constant of factors, of which none but 0 itself may become 0 in this dtype.

        Parameters
        ----------
        name : str
        values : array-like

        Returns
        -------
        str
            The name of the constant.

        Raises
        ------
        PrecisionError
            If a factor is infinite or 0 in this dtype, and is neither in float64.
        """
        return self._constant(name, constants.factors(name, values, self.dtype))

    def split(self, name: str, values: np.ndarray, rest: Any = 0.0) -> tuple[str, str]:
        """Add numbers as two constants whose sum is more precise than one.

        Parameters
        ----------
        name : str
        values : ndarray
        rest : ndarray, default=0.0
            Small numbers to add to `values`.

        Returns
        -------
        high, low : str
            The names of the constants.
        """
        high, low = constants.split(name, values, rest, self.dtype)
        return self._constant(name, high), self._constant(f"{name}_rest", low)

    def integers(self, name: str, values: Any) -> str:
        """Add a constant of int64."""
        return self._constant(name, np.asarray(values, dtype=np.int64))

    def flags(self, name: str, values: Any) -> str:
        """Add a constant of bool."""
        return self._constant(name, np.asarray(values, dtype=bool))

    def texts(self, name: str, values: list[str]) -> str:
        """Add a constant of strings."""
        onnx = library("onnx", PURPOSE)
        name = self._new_name(name)
        encoded = [value.encode() for value in values]
        self.constants.append(
            self.helper.make_tensor(name, onnx.TensorProto.STRING, [len(values)], encoded)
        )
        return name

    def model(self, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
        """Return the model of all nodes and constants.

        Parameters
        ----------
        name : str
        inputs, outputs : list of onnx.ValueInfoProto

        Returns
        -------
        onnx.ModelProto
        """
        make_opset = self.helper.make_opsetid
        opsets = [make_opset("", self.opset)]
        if any(node.domain == ML for node in self.nodes):
            opsets.append(make_opset(ML, OPSET_ML))
        graph = self.helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        return self.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _constant(self, name: str, values: np.ndarray) -> str:
        name = self._new_name(name)
        numpy_helper = library("onnx.numpy_helper", PURPOSE)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _new_name(self, stem: str) -> str:
        count = self._counts.get(stem, 0)
        name = stem if count == 0 else f"{stem}_{count}"
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self._counts[stem] = count + 1
        self.taken.add(name)
        return name
