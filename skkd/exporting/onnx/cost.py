"""What a quantised file costs: its answers beside those of the network, on given rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score

from skkd.checks import check_number, refuse
from skkd.exporting.runners import Runner
from skkd.exporting.verify import BLOCK, VerificationError

__all__ = ["Cost", "check_cost", "check_quantize", "measure_cost"]

#: The smallest share of rows with the same label if `min_agreement` is None.
SMALLEST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Cost:
    """What changes if a file is quantised. Its text is one line.

    Parameters
    ----------
    n_rows : int
    agreement : float
        The share of rows with the same label.
    largest : float
        The largest difference between two probabilities.
    accuracies : tuple of float or None
        Before and after; None without true labels.
    sizes : tuple of int
        The bytes of the file, before and after.
    """

    n_rows: int
    agreement: float
    largest: float
    accuracies: tuple[float, float] | None
    sizes: tuple[int, int]

    def __str__(self) -> str:
        line = (
            f"int8: labels agree on {self.agreement:.2%} of {self.n_rows} rows, probabilities "
            f"differ by up to {self.largest:.2g}; "
        )
        if self.accuracies is not None:
            line += "accuracy {:.4f} before, {:.4f} after; ".format(*self.accuracies)
        return line + "{} bytes before, {} after.".format(*self.sizes)


def check_quantize(
    quantize: str | None, ending: str, dtype: str, X: Any, y: Any, min_agreement: float | None
) -> None:
    """Check the parameters of :func:`skkd.export` that belong to quantisation.

    Parameters
    ----------
    quantize : {"int8"} or None
    ending : str
        That of the format.
    dtype : str
    X, y : object
    min_agreement : float or None
    """
    if quantize is not None and quantize != "int8":
        refuse("quantize", quantize, "'int8' or None")
    if quantize is None:
        for name, value in (("y", y), ("min_agreement", min_agreement)):
            if value is not None:
                raise ValueError(f'{name} is used with quantize="int8" only: leave it out.')
        return
    if min_agreement is not None:
        check_number("min_agreement", min_agreement, low=0, high=1)
    if ending != ".onnx":
        refuse("quantize", quantize, f"None: {ending} has no 8-bit integers, only .onnx has")
    if dtype != "float32":
        refuse("quantize", quantize, 'None, or dtype="float32"')
    if X is None:
        raise ValueError(
            'quantize="int8" needs X: give rows as they come in practice, on which its cost is '
            "measured."
        )


def measure_cost(
    expected: Runner, runner: Runner, rows: Any, y: Any, sizes: tuple[int, int]
) -> Cost:
    """Compare a quantised file with its network.

    Parameters
    ----------
    expected : Runner
        The network.
    runner : Runner
        The file.
    rows : ndarray, sparse matrix or Table
    y : array-like of shape (n_rows,) or None
        The true labels.
    sizes : tuple of int
        The bytes of the file, before and after.

    Returns
    -------
    Cost

    Raises
    ------
    VerificationError
        If the file cannot be run.
    """
    labels, p = _answers(expected, rows)
    try:
        their_labels, q = _answers(runner, rows)
    except ValueError as error:
        raise VerificationError(f"the file was not written: {error}") from error
    accuracies = None
    if y is not None:
        accuracies = (
            float(accuracy_score(y, labels)),
            float(accuracy_score(y, their_labels)),
        )
    agreement, largest = float(np.mean(labels == their_labels)), float(np.abs(p - q).max())
    return Cost(len(labels), agreement, largest, accuracies, sizes)


def check_cost(cost: Cost, min_agreement: float | None) -> None:
    """Raise a VerificationError if labels agree too seldom.

    Parameters
    ----------
    cost : Cost
    min_agreement : float or None
        The smallest allowed share of rows with the same label; None for `SMALLEST_AGREEMENT`.
    """
    min_agreement = SMALLEST_AGREEMENT if min_agreement is None else min_agreement
    if cost.agreement < min_agreement:
        raise VerificationError(
            f"the file was not written, because min_agreement={min_agreement:g}. {cost} Give a "
            "smaller min_agreement if that is good enough, or leave out quantize."
        )


def _answers(runner: Runner, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """The labels and probabilities of all rows, asked for block by block."""
    blocks = range(0, rows.shape[0], BLOCK)
    labels, probabilities = zip(*(runner.run(rows[at : at + BLOCK]) for at in blocks), strict=True)
    return np.concatenate(labels), np.concatenate(probabilities)
