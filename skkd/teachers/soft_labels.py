"""Soft labels: check a teacher's probabilities, align them by class, average over teachers."""

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skkd.data.labels import plain_values, read_labels
from skkd.data.masks import refuse_mask
from skkd.data.tables import names_of
from skkd.inference.network import log_softmax

if TYPE_CHECKING:
    from skkd.teachers.members import MemberLabels

__all__ = [
    "TeacherLogits",
    "align",
    "as_array",
    "check_probabilities",
    "check_shape",
    "in_order",
    "known_classes",
    "mix",
    "named_columns",
    "shortened",
]

#: How far the sum of a row of probabilities may be from 1.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TeacherLogits:
    """A function that turns soft labels p into logits: log(max(p, floor)) / temperature.

    Log-probabilities are logits, because softmax does not change if a constant is added.

    With class weights w the logits are those of the posterior under the weighted prior, p_k w_k
    divided by the sum of p_j w_j, where p is the softmax of the logits above. The cross-entropy
    with labels has its minimum there if each row has the weight of its class.

    Parameters
    ----------
    floor : float
        Smaller probabilities are raised to this, because forests give exact zeros.
    temperature : float, default=1.0
        The temperature that calibrates the teacher; 1 if the teacher is not calibrated.
    class_weights : ndarray of shape (n_classes,), default=None
        At least one is above zero. None leaves the probabilities as they are.

    Examples
    --------
    >>> import numpy as np
    >>> logits = TeacherLogits(1e-7, class_weights=np.array([1.0, 9.0]))
    >>> np.exp(logits(np.array([[0.9, 0.1]]))).round(3)
    array([[0.5, 0.5]])
    """

    floor: float
    temperature: float = 1.0
    class_weights: np.ndarray | None = None

    def __call__(self, soft_labels: np.ndarray) -> np.ndarray:
        """Turn soft labels into logits; both have the shape (n_rows, n_classes)."""
        logits = np.log(np.maximum(soft_labels, self.floor)) / self.temperature
        if self.class_weights is None:
            return logits
        with np.errstate(divide="ignore"):  # a class may have the weight 0
            log_weights = np.log(self.class_weights)
        lowest = np.log(self.floor) / min(self.temperature, 1.0)
        return np.maximum(log_softmax(logits + log_weights), lowest)


def as_array(answer: Any, name: str = "teacher") -> np.ndarray:
    """The output of a teacher as an array of float64.

    Parameters
    ----------
    answer : array-like
        The object that the teacher returned.
    name : str, default="teacher"
        Where the output comes from, for the error message.

    Returns
    -------
    ndarray, float64

    Raises
    ------
    ValueError
        If `answer` does not hold numbers, or is a list of arrays (of several target columns).
    """
    if isinstance(answer, list) and any(getattr(part, "ndim", 0) == 2 for part in answer):
        raise ValueError(
            f"{name} answers with a list of arrays, one per output: it must have one output."
        )
    refuse_mask(answer, name)
    if hasattr(answer, "detach"):  # a torch tensor, on any device
        answer = answer.detach().cpu()
    try:
        return np.asarray(answer, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must give numbers, one per row and class: {error}.") from error


def check_probabilities(
    probabilities: Any, n_rows: int, name: str = "teacher", may_be_unanswered: bool = False
) -> np.ndarray:
    """Check that an array holds probabilities, and return it with each row divided by its sum.

    Parameters
    ----------
    probabilities : array-like of shape (n_rows, n_columns)
    n_rows : int
        Number of rows that the array must have.
    name : str, default="teacher"
        Where the probabilities come from, for the error message.
    may_be_unanswered : bool, default=False
        Whether a row may be all zero, which means that it has no soft label.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), float64

    Raises
    ------
    ValueError
        If a number is missing, infinite or negative, or a sum is more than 0.001 away from 1.

    Examples
    --------
    >>> check_probabilities([[0.5, 0.7]], n_rows=1)
    Traceback (most recent call last):
        ...
    ValueError: teacher gives no probabilities in row 0: [0.5, 0.7] sums to 1.2, not to 1 (are \
these logits?).
    """
    p = as_array(probabilities, name)
    check_shape(p, n_rows, name, probabilities)
    is_unanswered = ~p.any(axis=1) & may_be_unanswered
    faults = (
        (~np.isfinite(p).all(axis=1), "is not finite"),
        ((p < -1e-6).any(axis=1), "has a negative entry"),
        (
            ~is_unanswered & (abs(p.sum(axis=1) - 1) > SUM_TOLERANCE),
            "sums to {total:.6g}, not to 1",
        ),
    )
    for is_faulty, fault in faults:
        if is_faulty.any():
            row = int(np.flatnonzero(is_faulty)[0])
            values = ", ".join(f"{value:.6g}" for value in p[row][:6])
            more = ", ..." if p.shape[1] > 6 else ""
            raise ValueError(
                f"{name} gives no probabilities in row {row}: [{values}{more}] "
                f"{fault.format(total=p[row].sum())} (are these logits?)."
            )
    p = np.maximum(p, 0.0)
    return p / np.where(is_unanswered, 1.0, p.sum(axis=1))[:, None]


def check_shape(p: np.ndarray, n_rows: int, name: str = "teacher", answer: Any = None) -> None:
    """Raise an error if an array does not hold one number per row and class.

    Parameters
    ----------
    p : ndarray
        An array that should have the shape (n_rows, n_classes).
    n_rows : int
    name : str, default="teacher"
        Where the array comes from, for the error message.
    answer : object, default=None
        The object that the array was made from, for the error message.
    """
    if p.ndim != 2 or p.shape[1] < 2:
        received = f"shape {p.shape}"
        if answer is None or isinstance(answer, numbers.Number):
            received = "None" if answer is None else f"a {type(answer).__name__}"
        raise ValueError(
            f"{name} must give one probability per row and class, an array of shape (n_rows, "
            f"n_classes); it gave {received}. Two classes need two columns: 1 - p and p."
        )
    if len(p) != n_rows:
        raise ValueError(
            f"{name} gives {len(p)} rows for the {n_rows} rows of X: a meta-estimator may have "
            "sliced one of them and not the other."
        )


def named_columns(probabilities: Any, classes: np.ndarray) -> list | None:
    """The class label of each column of a table of probabilities, read from the column names.

    A column name may be the text of a label, as in a table read from a file: "1" for the label 1.
    The result then holds the label itself.

    Parameters
    ----------
    probabilities : array-like or DataFrame of shape (n_rows, n_columns)
    classes : ndarray of shape (n_classes,)
        The sorted labels.

    Returns
    -------
    list or None
        None if the columns have no names, or default names such as 0, 1, 2 that are not labels.
        The caller then takes the columns to be in the order of `classes`.

    Examples
    --------
    >>> import pandas as pd
    >>> import numpy as np
    >>> named_columns(pd.DataFrame([[0.9, 0.1]], columns=["1", "0"]), np.array([0, 1]))
    [1, 0]
    """
    names = names_of(probabilities)
    if names is None:
        return None
    labels = {str(label): label for label in classes.tolist()}
    if not set(names) & set(labels.values()):
        if set(map(str, names)) & set(labels):
            return [labels.get(str(name), name) for name in names]
        # The default names of pandas, and those of polars.
        defaults = (range(len(names)), [f"column_{j}" for j in range(len(names))])
        return None if any(names == list(default) for default in defaults) else names
    is_unnamed = type(probabilities.columns).__name__ == "RangeIndex"
    if is_unnamed and len(names) == len(labels) and set(names) != set(labels.values()):
        return None
    return names


def in_order(labels: Iterable) -> list:
    """Labels sorted for a message, as text if their types do not compare."""
    labels = list(labels)
    try:
        return sorted(labels)
    except TypeError:
        return sorted(labels, key=str)


def shortened(labels: list) -> str:
    """A list as text for a message, cut off after ten entries."""
    more = f", ... {len(labels) - 10} more" if len(labels) > 10 else ""
    return f"{str(labels[:10])[:-1]}{more}]"


def align(
    probabilities: np.ndarray,
    known: Any,
    classes: np.ndarray,
    on_class_mismatch: str = "raise",
    name: str = "teacher",
) -> np.ndarray:
    """Put the columns of a teacher's probabilities into the order of the student's classes.

    A class that only the student knows gets probability 0. The column of a class that only the
    teacher knows is dropped, and each row is scaled to a sum of 1 again. A row in which only
    zeros are left stays all zero.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_columns)
    known : array-like of shape (n_columns,) or None
        The class of each column; None means that the columns are in the order of `classes`.
    classes : ndarray of shape (n_classes,)
        The classes of the student.
    on_class_mismatch : {"raise", "teacher", "intersect"}, default="raise"
        "raise" raises an error if the classes of teacher and student differ. The other two
        values have the same effect here: no error, as long as one class is common to both.
    name : str, default="teacher"
        Where the probabilities come from, for the error message.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> align(np.array([[0.9, 0.1]]), ["b", "a"], np.array(["a", "b"]))
    array([[0.1, 0.9]])
    """
    columns = plain_values(classes if known is None else known)
    if len(columns) != probabilities.shape[1]:
        raise ValueError(
            f"{name} gives {probabilities.shape[1]} columns for {len(columns)} classes: where they "
            "are not named (by classes_, or as those of a table) they must be the sorted labels "
            "of y."
        )
    position = {label: j for j, label in enumerate(columns)}
    if len(position) < len(columns):
        raise ValueError(f"{name} names a class twice: {columns}.")
    wanted = classes.tolist()
    complaint = f"{name} knows the classes {shortened(in_order(position))}, y holds "
    complaint += shortened(wanted)
    re_encoded = (
        "a meta-estimator has re-encoded it: encode the labels to 0..K-1 before fitting the "
        "teacher."
    )
    if not set(position) & set(wanted):
        raise ValueError(
            f"{complaint}. They have no class in common: {_advice(name, columns)}if y is not "
            f"yours, {re_encoded}"
        )
    if on_class_mismatch == "raise" and set(position) != set(wanted):
        raise ValueError(
            f"{complaint}. If y is yours, set on_class_mismatch to 'teacher' or 'intersect'. If "
            f"not, {re_encoded}"
        )
    aligned = np.zeros((len(probabilities), len(wanted)))
    for j, label in enumerate(wanted):
        if label in position:
            aligned[:, j] = probabilities[:, position[label]]
    mass = aligned.sum(axis=1, keepdims=True)
    return np.divide(aligned, mass, out=aligned, where=mass > 0)


def _advice(name: str, columns: list) -> str:
    """Advice, possibly empty, for the error that teacher and y have no class in common."""
    if name == "teacher_proba":
        return "name its columns after the labels, or give an array in their order; or, "
    if columns == list(range(len(columns))):
        return (
            "the teacher was fitted to codes, then give its predict_proba as the teacher if column "
            "k is that of the k-th sorted label; or, "
        )
    return ""


def mix(soft_labels: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """The weighted mean of several teachers' soft labels.

    A teacher whose row is all zero is left out of the mean of that row.

    Parameters
    ----------
    soft_labels : list of ndarray of shape (n_rows, n_classes)
        One array per teacher, with the same classes in the same order.
    weights : list of float, positive
        One weight per teacher.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        Each row sums to 1, or is all zero if it is all zero in every array.

    Examples
    --------
    >>> import numpy as np
    >>> mix([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], [3, 1])
    array([[0.75, 0.25]])
    """
    if len(soft_labels) == 1:
        return soft_labels[0]
    parts = zip(weights, soft_labels, strict=True)
    total = np.asarray(sum(weight * p for weight, p in parts))
    mass = total.sum(axis=1, keepdims=True)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)


def known_classes(answers: "list[MemberLabels]", own_classes: np.ndarray) -> np.ndarray:
    """The classes that at least one member of a teacher knows.

    With ``on_class_mismatch="teacher"`` they become the classes of the student.

    Parameters
    ----------
    answers : list of MemberLabels
        The soft labels of each member.
    own_classes : ndarray
        The classes of y, sorted.

    Returns
    -------
    ndarray
        Sorted; `own_classes` if no member gives its classes.

    Raises
    ------
    ValueError
        If y holds a class that no member knows.
    """
    named = [plain_values(one.classes) for one in answers if one.classes is not None]
    known = {label for labels in named for label in labels}
    own = set(own_classes.tolist())
    if not known or known == own:
        return own_classes
    if not own <= known:
        raise ValueError(
            f"y holds {shortened(in_order(own - known))}, which no teacher knows "
            f"({shortened(in_order(known))}): "
            "on_class_mismatch='teacher' needs labels that a teacher knows, 'intersect' those of y."
        )
    found = np.unique(read_labels(list(known), "the teachers' classes_"))
    as_own = found.astype(own_classes.dtype) if own_classes.dtype.kind in "iuf" else found
    return as_own if as_own.tolist() == found.tolist() else found  # a teacher may have 1.0 for 1
