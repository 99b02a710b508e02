"""A teacher's answer: an array whose columns are in the order of its classes."""

from contextlib import suppress

import numpy as np

from skkd.checks import refuse
from skkd.data.labels import plain_values
from skkd.data.tables import names_of
from skkd.teachers.soft_labels import as_array, check_shape, named_columns, shortened

__all__ = ["in_order_of", "labels_of", "read_answer"]


def labels_of(teacher):
    """The `classes_` of a teacher, checked.

    Parameters
    ----------
    teacher : object

    Returns
    -------
    ndarray of shape (n_classes,), or None
        None where it has none, or where they are None.
    """
    classes = getattr(teacher, "classes_", None)
    if classes is None:
        return None
    is_array_like = isinstance(classes, (list, tuple)) or hasattr(classes, "__array__")
    labels = None
    if is_array_like and not callable(classes):
        with suppress(Exception):  # whatever an object's conversion may raise
            labels = _as_array(classes)
    if labels is None or labels.ndim != 1:
        allowed = "an array of labels of shape (n_classes,): a teacher has one output"
        refuse("teacher.classes_", classes, allowed)
    return labels


def _as_array(classes):
    """Classes as an array of their own values: numbers beside text stay numbers."""
    if str(getattr(classes, "dtype", "")) in ("Int128", "UInt128"):  # NumPy has no such type
        return np.array(plain_values(classes), dtype=object)
    labels = np.asarray(classes)
    if isinstance(classes, (list, tuple)) and labels.tolist() != list(classes):
        return np.array(classes, dtype=object)
    return labels


def read_answer(answer, classes, n_rows):
    """An answer as an array, and what its columns mean.

    Parameters
    ----------
    answer : array-like or table of shape (n_rows, n_columns)
    classes : ndarray of shape (n_columns,), list of names or None
        What the columns mean. None goes by the names of a table.
    n_rows : int

    Returns
    -------
    array : ndarray of shape (n_rows, n_columns), float64
    classes : ndarray of shape (n_columns,), list of names or None

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


def in_order_of(answer, array, classes):
    """The columns of an answer in the order of the classes, where it names them.

    Parameters
    ----------
    answer : array-like or table of shape (n_rows, n_columns)
    array : ndarray of shape (n_rows, n_columns)
        Its numbers.
    classes : ndarray of shape (n_columns,), or list of names

    Returns
    -------
    ndarray of shape (n_rows, n_columns)

    Raises
    ------
    ValueError
        If there are names, and they are not those of the classes.
    """
    is_array = isinstance(classes, np.ndarray)  # not the names of an earlier answer
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
