"""Read what a teacher returns: an array of probabilities, and the class of each column."""

from contextlib import suppress
from typing import Any

import numpy as np

from skkd.checks import refuse
from skkd.data.labels import plain_values
from skkd.data.tables import names_of
from skkd.teachers.soft_labels import as_array, check_shape, named_columns, shortened

__all__ = ["Answer", "in_order_of", "labels_of", "read_answer"]

#: What a teacher returns for some rows, as read: probabilities of shape (n_rows, n_columns),
#: and the class label of each column (None if the teacher does not give it).
Answer = tuple[np.ndarray, Any]


def labels_of(teacher: Any) -> np.ndarray | None:
    """The `classes_` of a teacher, checked to be a one-dimensional array.

    Parameters
    ----------
    teacher : object

    Returns
    -------
    ndarray of shape (n_classes,), or None
        None if the teacher has no `classes_`, or if `classes_` is None.
    """
    classes = getattr(teacher, "classes_", None)
    if classes is None:
        return None
    is_array_like = isinstance(classes, (list, tuple)) or hasattr(classes, "__array__")
    labels = None
    if is_array_like and not callable(classes):
        with suppress(Exception):  # the conversion of a foreign object may raise any error
            labels = _as_array(classes)
    if labels is None or labels.ndim != 1:
        allowed = "an array of labels of shape (n_classes,): a teacher has one output"
        refuse("teacher.classes_", classes, allowed)
    return labels


def _as_array(classes: Any) -> np.ndarray:
    """Class labels as an array, in which numbers stay numbers even if other labels are text."""
    if str(getattr(classes, "dtype", "")) in ("Int128", "UInt128"):  # NumPy has no such type
        return np.array(plain_values(classes), dtype=object)
    labels = np.asarray(classes)
    if isinstance(classes, (list, tuple)) and labels.tolist() != list(classes):
        return np.array(classes, dtype=object)
    return labels


def read_answer(answer: Any, classes: Any, n_rows: int) -> Answer:
    """Read the output of a teacher: its numbers, and the class of each column.

    Columns with names are sorted into the order of `classes`. Columns without names must be in
    this order already. If `classes` is None, the columns keep their order.

    Parameters
    ----------
    answer : array-like or table of shape (n_rows, n_columns)
        The object that the teacher returned.
    classes : ndarray of shape (n_columns,), list of shape (n_columns,) or None
        Class labels, or a list of the column names of an earlier output; None if not known.
    n_rows : int
        Number of rows that the output must have.

    Returns
    -------
    array : ndarray of shape (n_rows, n_columns), float64
    classes : ndarray of shape (n_columns,), list of shape (n_columns,) or None
        The argument `classes`. If it is None: the column names of `answer`, or None if the
        columns have no names.

    Examples
    --------
    >>> import pandas as pd
    >>> answer = pd.DataFrame({"b": [0.9], "a": [0.1]})
    >>> read_answer(answer, ["a", "b"], n_rows=1)
    (array([[0.1, 0.9]]), ['a', 'b'])
    """
    array = as_array(answer)
    check_shape(array, n_rows, answer=answer)
    if classes is None:
        return array, names_of(answer)
    return in_order_of(answer, array, classes), classes


def in_order_of(answer: Any, array: np.ndarray, classes: Any) -> np.ndarray:
    """The output of a teacher, with its columns sorted into the order of the classes.

    Columns without names are left as they are.

    Parameters
    ----------
    answer : array-like or table of shape (n_rows, n_columns)
        The object that the teacher returned, with or without column names.
    array : ndarray of shape (n_rows, n_columns)
        The numbers in `answer`.
    classes : ndarray of shape (n_columns,), or list of names
        Class labels, or a list of the column names of an earlier output of the teacher.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)

    Raises
    ------
    ValueError
        If the columns have names that are not the classes.
    """
    is_array = isinstance(classes, np.ndarray)  # a list holds the names of an earlier answer
    names = named_columns(answer, classes) if is_array else names_of(answer)
    labels = classes.tolist() if is_array else classes
    if names is None or names == labels:
        return array
    if len(names) != len(labels) or set(names) != set(labels):
        raise ValueError(
            f"teacher gives columns named {shortened(names)}, and its classes are "
            f"{shortened(labels)}: name each column after its class, or give an array with the "
            "columns in their order."
        )
    position = {name: j for j, name in enumerate(names)}
    return array[:, [position[label] for label in labels]]
