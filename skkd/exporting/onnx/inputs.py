"""The inputs of an ONNX file: one tensor for a table of numbers, one per column for others.

==========================  ==========================  ====================================
column                      input                       a missing value is
==========================  ==========================  ====================================
numbers                     float, or double            NaN
categories that are         float, or double: True is   NaN
numbers or booleans         1, False is 0
categories that are text    string                      the empty text; "<missing>" if the
                                                        empty text is a category
==========================  ==========================  ====================================

A table without text has one input, `X`, of all columns. Otherwise each column has an input of
its own, of the column's name and of shape (n_rows, 1).
"""

from typing import Any

import numpy as np
from scipy import sparse

from skkd.data.tables import Table
from skkd.exporting.rows import numbers_of, one_of_no
from skkd.inference.network import TINY
from skkd.inference.schema import Feature, Schema
from skkd.preprocessing.preprocessor import OneHot, categories_of

__all__ = [*("as_probabilities", "feeds_of", "has_text", "input_names", "is_text", "missing_text")]

#: The names of the outputs.
OUTPUTS = ("label", "probabilities")


#: Sums of trees are negative by less than this where the probability is 0.
ROUNDED = 1e-5


def is_text(feature: Feature) -> bool:
    """Whether a column holds categories that are text."""
    return any(isinstance(category, str) for category in feature.categories or ())


def has_text(schema: Schema) -> bool:
    """Whether a column of the table is text, so that each column has an input of its own."""
    return any(map(is_text, schema.features))


def missing_text(feature: Feature) -> str:
    """Return the text that stands for a missing value in a column of text."""
    text = ""
    while text in (feature.categories or ()):
        text = f"{text}<missing>"
    return text


def input_names(schema: Schema) -> list[str]:
    """Return the names of the inputs: those of the columns, made unique by underscores.

    Parameters
    ----------
    schema : Schema

    Returns
    -------
    list of str
    """
    if not has_text(schema):
        return ["X"]
    names: list[str] = []
    for feature in schema.features:
        name = feature.name or "_"
        while name in names or name in OUTPUTS:
            name += "_"
        names.append(name)
    return names


def feeds_of(schema: Schema, rows: Any, dtype: Any) -> list[np.ndarray]:
    """Convert rows to the inputs of an ONNX file.

    Parameters
    ----------
    schema : Schema
    rows : ndarray, sparse matrix or Table
        Rows from :func:`skkd.exporting.rows.read_rows`.
    dtype : numpy dtype
        The dtype of numbers in the file.

    Returns
    -------
    list of ndarray
        One for each input.
    """
    rows = rows.toarray() if sparse.issparse(rows) else rows
    with np.errstate(over="ignore"):  # the file gets infinity, and clips it
        if not isinstance(rows, Table) and not has_text(schema):
            return [rows.astype(dtype)]
        encoders = dict(zip(schema.categorical, schema.encoders, strict=True))
        columns = [
            _column(feature, encoders.get(j), rows, j, dtype)
            for j, feature in enumerate(schema.features)
        ]
    if has_text(schema):
        return [column.reshape(-1, 1) for column in columns]
    return [np.column_stack(columns)]


def _column(feature: Feature, encoder: OneHot | None, rows: Any, j: int, dtype: Any) -> np.ndarray:
    if encoder is None:
        return numbers_of(feature, rows, j).astype(dtype)
    values = categories_of(rows, j)
    known = encoder.codes(values)
    unknown = one_of_no(feature)
    gap = missing_text(feature) if is_text(feature) else np.nan
    filled = [
        gap if value is None else unknown if code < 0 else encoder.categories[code]
        for value, code in zip(values, known, strict=True)
    ]
    return np.array(filled, dtype=object if is_text(feature) else dtype)


def as_probabilities(answer: Any, n_classes: int) -> np.ndarray:
    """Return what a file gives as probabilities whose rows sum to 1.

    Parameters
    ----------
    answer : array-like
    n_classes : int

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float64

    Raises
    ------
    ValueError
        If it is no table of `n_classes` columns, or holds no probabilities.
    """
    p = np.asarray(answer)
    if p.ndim != 2 or p.shape[1] != n_classes or p.dtype.kind != "f":
        raise ValueError(f"the file gives probabilities of shape {p.shape} for {n_classes} classes")
    is_negative = (p < -ROUNDED).any()
    p = np.maximum(p, 0, dtype=np.float64)
    total = p.sum(axis=1, keepdims=True)
    if not (np.abs(total - 1) < 1e-3).all() or is_negative:
        raise ValueError("the file gives numbers that are no probabilities")
    return np.maximum(p / total, TINY)
