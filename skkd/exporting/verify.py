"""The proof that a file answers like its network: both are run on the same rows."""

from typing import Any

import numpy as np

from skkd.data.tables import Table
from skkd.exporting.runners import NetworkRunner, Runner

__all__ = ["TOLERANCES", "VerificationError", "verify"]

#: The largest allowed difference between probabilities, by the dtype of the file.
TOLERANCES = {"float32": 1e-5, "float64": 1e-9}

#: The number of rows that are compared at once. In fewer rows than 1000 a network computes in
#: float64, whatever the dtype of the rows.
BLOCK = 500

#: The number of rows that the error shows.
MOST_SHOWN = 3


class VerificationError(ValueError):
    """The bytes of a file do not answer like the network. No file was written."""


def verify(expected: NetworkRunner, runner: Runner, rows: Any, dtype: str) -> float:
    """Compare the predictions of a file with those of the network.

    Parameters
    ----------
    expected : NetworkRunner
        The network that is exported.
    runner : Runner
        The file.
    rows : ndarray, sparse matrix or Table
    dtype : {"float32", "float64"}
        The dtype of the file, which decides the tolerance.

    Returns
    -------
    float
        The largest difference between two probabilities.

    Raises
    ------
    VerificationError
        If a probability differs by more than the tolerance, or a label differs where the two
        most probable classes are further apart than that.
    """
    tolerance, largest, wrong = TOLERANCES[dtype], 0.0, []
    for start in range(0, rows.shape[0], BLOCK):
        block = rows[start : start + BLOCK]
        labels, p = expected.run(block)
        try:
            their_labels, q = runner.run(block)
        except ValueError as error:
            raise VerificationError(f"the file was not written: {error}") from error
        if q.shape != p.shape or len(their_labels) != len(labels):
            raise VerificationError(
                f"the file gives probabilities of shape {q.shape}, not {p.shape}"
            )
        difference = np.abs(p - q).max(axis=1)
        difference[np.isnan(difference)] = np.inf
        second, first = np.sort(p, axis=1)[:, -2:].T
        is_wrong = (labels != their_labels) & (first - second > tolerance)
        is_wrong |= difference > tolerance
        largest = max(largest, float(difference.max()))
        for i in np.flatnonzero(is_wrong).tolist():
            shown = (
                (labels[[i]].tolist()[0], p[i].max()),
                (their_labels[[i]].tolist()[0], q[i].max()),
            )
            wrong.append((start + i, _row(block, i), shown))
    if wrong:
        raise VerificationError(_message(wrong, rows.shape[0], largest, tolerance, dtype))
    return largest


def _message(wrong: list, n_rows: int, largest: float, tolerance: float, dtype: str) -> str:
    lines = [
        f"the file does not answer like the classifier, so it was not written: {len(wrong)} of "
        f"{n_rows} rows differ, probabilities by up to {largest:.3g} ({tolerance:g} is allowed)."
    ]
    for i, row, (ours, theirs) in wrong[:MOST_SHOWN]:
        answers = "{!r} with {:.6f}".format(*ours), "{!r} with {:.6f}".format(*theirs)
        lines.append(f"  row {i}, {row}: classifier {answers[0]}, file {answers[1]}")
    if dtype == "float32":
        lines.append(
            'Numbers in the file are rounded to float32: give dtype="float64", or X with rows as '
            "they come in practice."
        )
    return "\n".join(lines)


def _row(rows: Any, i: int) -> str:
    """A row in words; its first values if it is long."""
    if isinstance(rows, Table):
        values = [column[i] for column in rows.columns]
    else:
        row = rows[i]
        values = (row.toarray()[0] if hasattr(row, "toarray") else row).tolist()
    shown = ", ".join(f"{v:.7g}" if isinstance(v, float) else repr(v) for v in values[:8])
    return f"[{shown}{', ...' if len(values) > 8 else ''}]"
