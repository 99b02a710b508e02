"""Rows for an exported network: the caller's, and drawn ones to try a file on."""

from typing import Any

import numpy as np

from skkd.data.tables import Table, as_numbers, is_table, names_of
from skkd.data.validation import RowReader
from skkd.inference.schema import Feature, Schema
from skkd.preprocessing.preprocessor import ColumnPreprocessor, Preprocessor, warn_of_unknown

__all__ = ["draw_rows", "numbers_of", "one_of_no", "read_rows"]

#: The number of drawn rows.
N_DRAWN = 256

#: The distance from the centre of drawn extremes, in units of the scale: columns are clipped if
#: they are scaled by quartiles, and not if they are scaled by the standard deviation.
FAR, FAR_IF_CLIPPED = 10.0, 1e4

#: A drawn extreme of columns that were constant in fit.
BEYOND_FLOAT32 = 1e39


def read_rows(schema: Schema, X: Any, owner: str) -> Any:
    """Check the caller's rows and convert them to the form that a preprocessor takes.

    Parameters
    ----------
    schema : Schema
    X : array-like, sparse matrix or table
        The columns of a table are taken by name, in any order, if the schema has names. Other
        columns are left out.
    owner : str
        The name of the class that takes the rows, for error messages.

    Returns
    -------
    ndarray, csr matrix or Table

    Raises
    ------
    ValueError
        If a table lacks columns. The message names them.
    """
    columns: dict[str, Any] = {"n_features_in_": len(schema.features)}
    if schema.has_names:
        columns["feature_names_in_"] = np.array(schema.names, dtype=object)
        X = _columns_by_name(schema, X)
    reader = RowReader(
        owner,
        preprocessor="auto" if schema.allows_missing else None,
        dtype=schema.dtype,
        categorical=schema.categorical,
        columns=columns,
    )
    rows = reader(X)
    encoders = [encoder for encoder in schema.encoders if encoder.categories]
    warn_of_unknown(encoders, rows, columns.get("feature_names_in_"))
    return rows


def _columns_by_name(schema: Schema, X: Any) -> Any:
    if not is_table(X):
        return X
    given = names_of(X) or []
    if not all(isinstance(name, str) for name in given):
        return X  # no names in the sense of scikit-learn
    missing = [name for name in schema.names if name not in given]
    if missing:
        raise ValueError(f"X lacks the columns {missing}: give all columns of fit.")
    if given == schema.names:
        return X
    return X.select(schema.names) if hasattr(X, "itercolumns") else X[schema.names]


def draw_rows(preprocessor: Preprocessor, schema: Schema, seed: int = 0) -> Any:
    """Draw rows on which a file can be compared with its network.

    They hold usual numbers, numbers at the edges of bins, extremes, missing values, known and
    unknown categories. In the first row all columns are at their centre; in the second row all
    are missing, if that is allowed.

    Parameters
    ----------
    preprocessor : ColumnPreprocessor or PassThrough
    schema : Schema
    seed : int, default=0

    Returns
    -------
    ndarray or Table
    """
    rng = np.random.default_rng(seed)
    if not isinstance(preprocessor, ColumnPreprocessor):
        rows = rng.standard_normal((N_DRAWN, len(schema.features)))
        rows[0], rows[1::16] = 0.0, rows[1::16] * FAR
        return rows.astype(schema.dtype)
    columns: list[Any] = [None] * len(schema.features)
    for position, j in enumerate(preprocessor.numeric):
        with np.errstate(over="ignore"):  # clipped
            columns[j] = _numbers(preprocessor, position, rng)
    for j in schema.categorical:
        columns[j] = _categories(schema.features[j], rng)
    if preprocessor.names:
        return Table(columns, schema.names)
    return np.column_stack([column.astype(np.float64) for column in columns])


def _numbers(
    preprocessor: ColumnPreprocessor, position: int, rng: np.random.Generator
) -> np.ndarray:
    centre, scale = preprocessor.centre[position], preprocessor.scale[position]
    far = BEYOND_FLOAT32  # of a constant column
    if np.isfinite(scale):
        far = scale * (FAR_IF_CLIPPED if preprocessor.clips else FAR)
    scale = scale if np.isfinite(scale) else 1.0
    values = centre + scale * rng.standard_normal(N_DRAWN)
    knots = _knots(preprocessor, position, centre, scale)
    if len(knots):
        values[2::4] = rng.choice(knots, len(values[2::4]))
    values[3::16] = centre + far * rng.choice([-1.0, 1.0], len(values[3::16]))
    values[5::16] = centre + scale * 3 * rng.standard_normal(len(values[5::16]))
    values[rng.random(N_DRAWN) < 0.1] = np.nan
    values[0], values[1] = centre, np.nan
    most = np.finfo(np.float64).max
    return np.clip(values, -most, most)


def _knots(
    preprocessor: ColumnPreprocessor, position: int, centre: float, scale: float
) -> np.ndarray:
    """The values at which the slope of the encoding of a column changes."""
    knots = np.empty(0)
    if preprocessor.bins is not None:
        is_own = preprocessor.bins.column == position
        left, width = preprocessor.bins.left[is_own], preprocessor.bins.width[is_own]
        knots = centre + scale * np.concatenate([left, left + width])
    if position in preprocessor.normal_scores:
        knots = np.concatenate([knots, preprocessor.normal_scores[position].values])
    return knots


def _categories(feature: Feature, rng: np.random.Generator) -> np.ndarray:
    choices = np.empty(len(feature.categories or ()) + 2, dtype=object)
    choices[:] = [None, one_of_no(feature), *(feature.categories or ())]
    values = choices[rng.integers(len(choices), size=N_DRAWN)]
    values[0], values[1] = choices[-1], None
    return values


def one_of_no(feature: Feature) -> str | float:
    """Return a text, or a number, that is none of the categories of a column.

    Parameters
    ----------
    feature : Feature

    Returns
    -------
    str or float
    """
    categories = [category for category in feature.categories or () if category is not None]
    if any(isinstance(category, str) for category in categories):
        text = "unknown"
        while text in categories:
            text += "?"
        return text
    return float(next(n for n in range(2, len(categories) + 3) if n not in categories))


def numbers_of(feature: Feature, rows: Any, j: int) -> np.ndarray:
    """Return the numbers of a column; NaN stands for a missing one.

    Parameters
    ----------
    feature : Feature
    rows : ndarray or Table
    j : int
        The position of the column.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If the column holds something else.
    """
    values = rows.columns[j] if isinstance(rows, Table) else rows[:, j]
    numbers = as_numbers(values) if values.dtype == object else values
    if numbers is None:
        raise ValueError(f"column {feature.name!r} held numbers in fit and holds others now.")
    return numbers
