"""A builder of C source: arrays of constants and functions, whose names share a prefix."""

from string import Template
from typing import Any

import numpy as np

from skkd.exporting import constants

__all__ = ["PREFIX", "Source"]

#: The words in templates that differ between float and double.
WORDS = {
    "float32": {"real": "float", "f": "f", "exp": "expf", "sqrt": "sqrtf", "tanh": "tanhf"},
    "float64": {"real": "double", "f": "", "exp": "exp", "sqrt": "sqrt", "tanh": "tanh"},
}

#: The prefix in templates.
PREFIX = "skkd_"

#: The number of constants in a line.
PER_LINE = 8


class Source:
    """C source in one dtype.

    Parts are templates: `skkd_` stands for the prefix, ``$real`` for float or double, ``$exp`` for
    expf or exp, and ``$f`` for the suffix of a constant.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The dtype of all numbers.
    prefix : str
        The beginning of all names.
    """

    def __init__(self, dtype: str, prefix: str) -> None:
        self.dtype = np.dtype(dtype)
        self.prefix = prefix
        self.parts: list[str] = []

    def filled(self, template: str, **words: Any) -> str:
        """Return a template with its words filled in.

        Parameters
        ----------
        template : str
        **words : object
            Further words.

        Returns
        -------
        str
        """
        text = Template(template.replace(PREFIX, self.prefix))
        return text.substitute(WORDS[self.dtype.name] | words)

    def add(self, template: str, **words: Any) -> None:
        """Add a part, such as a function.

        Parameters
        ----------
        template : str
        **words : object
            Further words of the template.
        """
        self.parts.append(self.filled(template, **words).strip("\n"))

    def numbers(self, name: str, values: Any) -> None:
        """Add an array of numbers in the dtype of the source.

        Parameters
        ----------
        name : str
            Without the prefix.
        values : array-like

        Raises
        ------
        PrecisionError
            If a finite number is infinite in this dtype.
        """
        self._constants(name, constants.finite(name, values, self.dtype))

    def factors(self, name: str, values: Any) -> None:
        """Add an array of factors, of which none but 0 itself may become 0 in this dtype.

        Parameters
        ----------
        name : str
        values : array-like

        Raises
        ------
        PrecisionError
            If a factor is infinite or 0 in this dtype, and is neither in float64.
        """
        self._constants(name, constants.factors(name, values, self.dtype))

    def split(self, name: str, values: np.ndarray, rest: Any = 0.0) -> None:
        """Add numbers as two arrays whose sum is more precise than one.

        Parameters
        ----------
        name : str
            The second array is `name` and "_rest".
        values : ndarray
        rest : ndarray, default=0.0
            Small numbers to add to `values`.
        """
        high, low = constants.split(name, values, rest, self.dtype)
        self._constants(name, high)
        self._constants(f"{name}_rest", low)

    def integers(self, name: str, values: Any) -> None:
        """Add an array of int."""
        self._array("int", name, [str(int(value)) for value in values])

    def text(self) -> str:
        """Return all parts, with an empty line between two."""
        return "\n\n".join(self.parts) + "\n"

    def _array(self, kind: str, name: str, values: list[str]) -> None:
        values = values or ["0"]  # C has no empty arrays
        lines = [
            "    " + ", ".join(values[start : start + PER_LINE])
            for start in range(0, len(values), PER_LINE)
        ]
        head = self.filled(f"static const {kind} skkd_{name}[{len(values)}] = {{\n")
        self.parts.append(head + ",\n".join(lines) + "\n};")

    def _constants(self, name: str, values: np.ndarray) -> None:
        suffix = WORDS[self.dtype.name]["f"]
        self._array("$real", name, [text + suffix for text in values.ravel().astype(str).tolist()])
