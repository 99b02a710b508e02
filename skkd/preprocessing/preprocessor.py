"""Preprocessors, which turn rows of X into the inputs of the network.

========================  ===========================================================
ColumnPreprocessor        numbers imputed, scaled and perhaps binned; categories one-hot
ChannelPreprocessor       each channel of images standardised
PassThrough               numbers not changed (for preprocessor=None)
TransformerPreprocessor   the user's own scikit-learn transformer
========================  ===========================================================

A preprocessor is fitted once, in float64 and with the sample weights. The built-in
preprocessors store plain arrays. Rows are scaled before they are converted to float32, because
float32 cannot distinguish large values that lie close together, such as time stamps.
"""

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples, has_fit_parameter

from skkd.checks import refuse, warn
from skkd.data.columns import by_column, distinct_values
from skkd.data.protected_data import call_protected, treat_alike
from skkd.data.tables import Table, as_numbers
from skkd.preprocessing.encodings import Bins, PiecewiseLinear
from skkd.preprocessing.heavy_tails import NormalScores
from skkd.preprocessing.meanings import codes_by_meaning, meaning_of
from skkd.preprocessing.scaling import fit_scaling, smooth_clip, standardise

__all__ = [
    "ChannelPreprocessor",
    "ColumnPreprocessor",
    "PassThrough",
    "Preprocessor",
    "TransformerPreprocessor",
    "categories_of",
    "fit_preprocessor",
    "transform_in_blocks",
    "warn_of_unknown",
]

#: The largest number of indicators of one column; the rare categories share the last indicator.
MAX_CATEGORIES = 256

#: The size in bytes of a block of rows as a dense float64 array.
BLOCK_BYTES = 2**23

#: By index of the column: thresholds and gains of the splits in a teacher's trees.
Thresholds = dict[int, tuple[np.ndarray, np.ndarray]]


def fit_preprocessor(
    preprocessor: Any,
    rows: Any,
    labels: np.ndarray | None,
    sample_weight: np.ndarray | None = None,
    categorical: Sequence[int] = (),
    encoding: PiecewiseLinear | None = None,
    thresholds: Thresholds | None = None,
) -> "Preprocessor":
    """Fit the preprocessor that the estimator's parameter `preprocessor` asks for.

    Parameters
    ----------
    preprocessor : "robust", "standard", None or a scikit-learn transformer
    rows : ndarray, sparse matrix or Table of n_rows rows
        The validated rows; for a transformer, the user's own X, of any type.
    labels : ndarray of shape (n_rows,) or None
        Passed to the `fit` of a transformer; not used otherwise.
    sample_weight : ndarray of shape (n_rows,), default=None
    categorical : sequence of int, default=()
        Indices of categorical columns; object columns of a Table are always categorical.
    encoding : skkd.preprocessing.encodings.PiecewiseLinear, default=None
        Adds bins of numeric columns as further inputs; None adds no bins.
    thresholds : dict of int to (ndarray, ndarray), default=None
        By index of the column: thresholds and gains of the teacher's splits of the column, for
        an `encoding` that uses them. None: there is no teacher with trees.

    Returns
    -------
    ColumnPreprocessor, ChannelPreprocessor, PassThrough or TransformerPreprocessor
        - For "robust" and "standard": a ColumnPreprocessor. But if `rows` has more than two
          dimensions: a ChannelPreprocessor, the same for both names.
        - For None: a PassThrough.
        - For a transformer: a TransformerPreprocessor.
    """
    if preprocessor is None:
        return PassThrough(n_features=_row_size(rows))
    if isinstance(preprocessor, str):
        if not isinstance(rows, Table) and rows.ndim > 2:
            if encoding is not None:
                refuse("numeric_encoding", encoding, "None for rows of more than two dimensions")
            return ChannelPreprocessor.fit(rows, sample_weight)
        fitted = ColumnPreprocessor.fit(rows, sample_weight, categorical, preprocessor)
        if encoding is not None:
            bins = _fit_bins(encoding, fitted, rows, sample_weight, thresholds)
            fitted.bins = bins if len(bins) else None
        return fitted
    return TransformerPreprocessor.fit(preprocessor, rows, labels, sample_weight)


def transform_in_blocks(preprocessor: "Preprocessor", rows: Any, dtype: Any) -> np.ndarray:
    """Transform all rows block by block, so that only one block at a time is in float64.

    Parameters
    ----------
    preprocessor : Preprocessor
    rows : ndarray, sparse matrix or Table
    dtype : numpy dtype
        The dtype of the result.

    Returns
    -------
    ndarray of shape (n_rows, ...)

    Raises
    ------
    ValueError
        If a user's transformer returns a value too large for `dtype`.
    """
    result: Any = None
    for block, transformed in preprocessor.blocks(rows):
        if result is None:
            result = np.empty((_num_samples(rows), *transformed.shape[1:]), dtype=dtype)
        with np.errstate(over="ignore"):  # values that overflow raise an error below
            result[block] = transformed
    if isinstance(preprocessor, TransformerPreprocessor) and not np.isfinite(result).all():
        raise ValueError(f"preprocessor returns values too large for {result.dtype.name}.")
    return result


def rows_per_block(n_features: int) -> int:
    """Return the number of rows of a block, if each row has `n_features` float64 numbers."""
    return max(1, BLOCK_BYTES // (8 * max(1, n_features)))


class Preprocessor:
    """Base class of all preprocessors. A subclass defines `n_features` and `transform`."""

    if TYPE_CHECKING:  # else dataclasses would take the property as the default of the field

        @property
        def n_features(self) -> int:
            """The number of inputs of the network for one row."""

    def transform(self, rows: Any) -> np.ndarray:
        """Turn rows into inputs of the network.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
            The validated rows; for a TransformerPreprocessor, the user's own X, of any type.

        Returns
        -------
        ndarray of shape (n_rows, ...)
        """
        raise NotImplementedError

    @property
    def reads_as(self) -> Any:
        """The argument `preprocessor` of :func:`skkd.data.validation.check_rows` for new X.

        The base class returns "auto": "robust" and "standard" are checked in the same way.
        """
        return "auto"

    @property
    def categorical(self) -> list[int]:
        """Indices of the columns that are one-hot encoded."""
        return []

    @property
    def inputs(self) -> Any:
        """A description of the network's inputs, for the comparison in `has_same_inputs_as`.

        The base class returns the number of inputs, a TransformerPreprocessor None (unknown).
        """
        return self.n_features

    def has_same_inputs_as(self, other: "Preprocessor") -> bool:
        """Whether two preprocessors give the network the same columns, bins and categories.

        Scales and the edges of bins may differ.

        Parameters
        ----------
        other : Preprocessor

        Returns
        -------
        bool
            False if the inputs of this preprocessor are unknown.
        """
        return self.inputs is not None and self.inputs == other.inputs

    def warn_of_unknown(self, rows: Any, names: Any = None, argument: str = "X") -> None:
        """Do nothing: only ColumnPreprocessor, which overrides this, has categories to check."""

    def blocks(self, rows: Any, most: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Transform rows in consecutive blocks.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
        most : int, default=None
            The largest number of rows of a block; `BLOCK_BYTES` limits blocks as well.

        Yields
        ------
        block : slice
            The range of rows in the block.
        transformed : ndarray of shape (n_block_rows, ...)
            The network's inputs for these rows.
        """
        size = min(rows_per_block(max(_row_size(rows), self.n_features)), most or rows.shape[0])
        for start in range(0, rows.shape[0], size):
            block = slice(start, start + size)
            yield block, self.transform(rows[block])


@dataclass(eq=False)
class PassThrough(Preprocessor):
    """The preprocessor for ``preprocessor=None``: it only makes sparse rows dense."""

    n_features: int
    reads_as = None

    def transform(self, rows: Any) -> np.ndarray:
        return rows.toarray() if sparse.issparse(rows) else rows


@dataclass(eq=False)
class ChannelPreprocessor(Preprocessor):
    """The preprocessor for images and other arrays of more than two dimensions.

    It standardises each channel (axis 1) by the mean and standard deviation of all its pixels.
    """

    centre: np.ndarray  #: (n_channels, 1, ...)
    scale: np.ndarray  #: (n_channels, 1, ...)
    n_features: int

    @classmethod
    def fit(
        cls, rows: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> "ChannelPreprocessor":
        shape = (rows.shape[1],) + (1,) * (rows.ndim - 2)
        scalers = [StandardScaler() for _ in range(rows.shape[1])]
        for values, weight in _blocks(rows, sample_weight):
            for channel, scaler in enumerate(scalers):
                pixels = values[:, channel].reshape(len(values), -1)
                repeated = None if weight is None else np.repeat(weight, pixels.shape[1])
                with np.errstate(invalid="ignore", divide="ignore"):  # if all pixels are missing
                    scaler.partial_fit(pixels.reshape(-1, 1), sample_weight=repeated)
        return cls(
            centre=np.array([scaler.mean_[0] for scaler in scalers]).reshape(shape),
            scale=np.array([scaler.scale_[0] for scaler in scalers]).reshape(shape),
            n_features=_row_size(rows),
        )

    def transform(self, rows: Any) -> np.ndarray:
        return standardise(rows, self.centre, self.scale)


@dataclass(eq=False)
class OneHot:
    """One-hot encoding of one categorical column.

    If the column had at most `MAX_CATEGORIES` categories in `fit`, an unknown category sets all
    indicators to 0. Otherwise rare and unknown categories share the last indicator.

    A value of another type matches a category if exactly one category stands for the same number:
    "1" matches 1, and a fraction in float32 matches the same fraction in float64
    (:mod:`skkd.preprocessing.meanings`).
    """

    column: int  #: index of the column
    categories: list  #: the categories with an indicator of their own; None stands for missing
    n_indicators: int
    rare: int  #: position of the indicator of rare and unknown categories; -1 if there is none

    def __post_init__(self) -> None:
        # Derived from `categories`, so a pickle does not hold them.
        self._code_of = {category: code for code, category in enumerate(self.categories)}
        self._texts = codes_by_meaning(self.categories, are_text=True)
        self._numbers = codes_by_meaning(self.categories, are_text=False)

    @classmethod
    def fit(cls, column: int, values: np.ndarray) -> "OneHot":
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES)
        encoder.fit(values.reshape(-1, 1))
        rare = encoder.infrequent_categories_[0]
        rare_set = set() if rare is None else set(rare.tolist())
        frequent = [c for c in encoder.categories_[0].tolist() if c not in rare_set]
        return cls(
            column=column,
            categories=frequent,
            n_indicators=len(frequent) + bool(rare_set),
            rare=len(frequent) if rare_set else -1,
        )

    def indicators(self, values: np.ndarray) -> list[int]:
        """Return the position of each value's indicator.

        Parameters
        ----------
        values : ndarray of object
            Values of the column; None stands for a missing value.

        Returns
        -------
        list of int
            -1 for a value without an indicator.
        """
        codes = self.codes(values)
        return codes if self.rare < 0 else [self.rare if code < 0 else code for code in codes]

    def knows_none(self, values: np.ndarray) -> bool:
        """Whether it is certain that `fit` saw none of the given values.

        Missing values are ignored. The result is

        - False, if a value matches one of `categories`;
        - False, if all values are missing;
        - False, if `fit` saw rare categories and a value could be one of them;
        - True otherwise.

        Rare categories are not stored, so the type of a value decides whether it could be one. A
        text could be one if `categories` contains a text. A value that is no text could be one if
        `categories` contains a value that is no text.

        Parameters
        ----------
        values : ndarray of object
            Values of the column; None stands for a missing value.

        Returns
        -------
        bool
        """
        if any(value in self._code_of for value in values if value is not None):
            return False
        distinct = [value for value in dict.fromkeys(values) if value is not None]
        if not distinct or max(self.codes(distinct)) >= 0:
            return False
        known_types = {isinstance(category, str) for category in self.categories}
        return self.rare < 0 or not any(isinstance(value, str) in known_types for value in distinct)

    def codes(self, values: list | np.ndarray) -> list[int]:
        """Return the position of each value in `categories`; -1 for an unknown value."""
        code_of = self._code_of
        codes = [code_of.get(value, -1) for value in values]
        if -1 in codes:
            for i, value in enumerate(values):
                if codes[i] < 0:
                    codes[i] = self._by_meaning(value)
        return codes

    def _by_meaning(self, value: Any) -> int:
        """Return the position of the only category that stands for the same number, or -1."""
        by_meaning = self._numbers if isinstance(value, str) else self._texts or self._numbers
        return by_meaning.get(meaning_of(value), -1) if by_meaning else -1

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()


@dataclass(eq=False)
class ColumnPreprocessor(Preprocessor):
    """The built-in preprocessor of tables: numeric columns are scaled, categories are one-hot.

    A missing number is replaced by the centre of its column (:mod:`skkd.preprocessing.scaling`). A
    missing category is a category of its own if `fit` saw missing values. The inputs of the
    network are the scaled numbers, then the bins of numeric columns, then the one-hot indicators.
    """

    numeric: np.ndarray  #: indices of the numeric columns
    centre: np.ndarray  #: mean or median of each numeric column; replaces missing numbers
    scale: np.ndarray  #: standard deviation or interquartile range of each numeric column
    normal_scores: dict[int, NormalScores]  #: for heavy-tailed columns, by position in `numeric`
    one_hot: list[OneHot]  #: one for each categorical column
    n_columns: int
    names: list[str]  #: the names of the columns, for error messages
    clips: bool  #: whether scaled numbers are clipped smoothly
    of_no_width: list[int]  #: positions in `numeric` of constant columns, which are always clipped
    bins: Bins | None = None  #: the bins of the numeric columns
    all_missing: tuple[int, ...] = ()  #: indices of numeric columns without a number in fit

    @property
    def n_features(self) -> int:
        """The number of inputs of the network for one row."""
        n_components = 0 if self.bins is None else len(self.bins)
        n_indicators = sum(encoder.n_indicators for encoder in self.one_hot)
        return len(self.numeric) + n_components + n_indicators

    @property
    def categorical(self) -> list[int]:
        """Indices of the columns that are one-hot encoded."""
        return [encoder.column for encoder in self.one_hot]

    @property
    def inputs(self) -> Any:
        """A tuple of four lists that describe the inputs of the network.

        They are the numeric columns, the numeric columns with normal scores, the column of each
        bin, and the categories of each categorical column.
        """
        bins = [] if self.bins is None else self.bins.column.tolist()
        categories = [(one.column, one.categories, one.rare) for one in self.one_hot]
        return self.numeric.tolist(), sorted(self.normal_scores), bins, categories

    @classmethod
    def fit(
        cls,
        rows: Any,
        sample_weight: np.ndarray | None = None,
        categorical: Sequence[int] = (),
        scaling: str = "standard",
    ) -> "ColumnPreprocessor":
        n_columns = rows.shape[1]
        columns = rows.columns if isinstance(rows, Table) else None
        if columns is not None:
            is_object = [j for j, column in enumerate(columns) if column.dtype == object]
            categorical = sorted({*categorical, *is_object})
        numeric = np.setdiff1d(np.arange(n_columns), np.asarray(categorical, dtype=np.intp))
        fitted = fit_scaling(scaling, _blocks, rows, numeric, sample_weight)
        return cls(
            numeric=numeric,
            centre=fitted.centre,
            scale=fitted.scale,
            normal_scores=fitted.normal_scores,
            one_hot=[_one_hot(rows, j) for j in categorical],
            n_columns=n_columns,
            names=rows.names if columns is not None else [],
            clips=scaling == "robust",
            of_no_width=fitted.of_no_width,
            all_missing=tuple(
                int(j)
                for j, centre in zip(numeric, fitted.centre, strict=True)
                if centre == 0 and _is_all_missing(rows, j)
            ),
        )

    def transform(self, rows: Any) -> np.ndarray:
        if isinstance(rows, Table):
            numbers = np.empty((len(rows), len(self.numeric)))
            for position, j in enumerate(self.numeric):
                numbers[:, position] = self._numbers(rows, j)
        else:
            rows = rows.toarray() if sparse.issparse(rows) else rows
            numbers = rows if not self.one_hot else rows[:, self.numeric]
        scaled = standardise(numbers, self.centre, self.scale)
        others = [] if self.bins is None else [self.bins.transform(scaled)]
        others += [self._indicators(rows)] if self.one_hot else []
        for position, scores in self.normal_scores.items():
            scaled[:, position] = scores.transform(numbers[:, position])
        if self.clips:
            scaled = smooth_clip(scaled)
        elif self.of_no_width:
            scaled[:, self.of_no_width] = smooth_clip(scaled[:, self.of_no_width])
        return np.concatenate([scaled, *others], axis=1) if others else scaled

    def _indicators(self, rows: Any) -> np.ndarray:
        """Return the indicators of all categorical columns."""
        sizes = [encoder.n_indicators for encoder in self.one_hot]
        starts = np.array([0, *accumulate(sizes)])
        columns = [e.indicators(categories_of(rows, e.column)) for e in self.one_hot]
        codes = np.array(columns, dtype=np.intp)
        has_indicator = codes >= 0
        codes += starts[:-1, np.newaxis]
        indicators = np.zeros((rows.shape[0], starts[-1]))
        indicators[has_indicator.nonzero()[1], codes[has_indicator]] = 1.0
        return indicators

    def _numbers(self, table: Table, j: int) -> np.ndarray:
        values = table.columns[j]
        numbers = as_numbers(values) if values.dtype == object else values
        if numbers is None:
            value = next(v for v in values if as_numbers([v]) is None)
            if j in self.all_missing:
                raise ValueError(
                    f"column {table.names[j]!r} was all missing in fit and holds {value!r} now, "
                    "of which nothing was learned: fit on rows where it has values, or leave the "
                    "column out."
                )
            raise ValueError(
                f"column {table.names[j]!r} held numbers in fit and holds others now: {value!r}."
            )
        return numbers

    def warn_of_unknown(self, rows: Any, names: Any = None, argument: str = "X") -> None:
        """Warn of each categorical column of `rows` in which no value is known from `fit`.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
            New rows, such as those to predict.
        names : ndarray of str, default=None
            Names of the columns.
        argument : str, default="X"
            Name of the argument that holds the rows, for the message.
        """
        warn_of_unknown(self.one_hot, rows, names, argument)


@dataclass(eq=False)
class TransformerPreprocessor(Preprocessor):
    """A preprocessor that applies a fitted clone of the user's own transformer."""

    transformer: Any  #: the fitted clone
    n_features: int = 0
    inputs = None

    @property
    def reads_as(self) -> Any:
        """The fitted transformer: X is validated as for ``preprocessor=transformer``."""
        return self.transformer

    @classmethod
    def fit(
        cls,
        transformer: Any,
        rows: Any,
        labels: np.ndarray | None,
        sample_weight: np.ndarray | None = None,
    ) -> "TransformerPreprocessor":
        if not (hasattr(transformer, "fit") and hasattr(transformer, "transform")):
            refuse(
                "preprocessor",
                transformer,
                "'auto', 'robust', 'standard', None or a transformer with fit and transform",
                TypeError,
            )
        if inspect.isclass(transformer):
            refuse("preprocessor", transformer, "a transformer itself, not its class", TypeError)
        takes_weight = sample_weight is not None and has_fit_parameter(transformer, "sample_weight")

        def fit(
            given: Any, labels: np.ndarray | None, weight: np.ndarray | None
        ) -> TransformerPreprocessor:
            fitted = clone(transformer)
            with _refused_if_too_large():
                fitted.fit(given, labels, **({"sample_weight": weight} if takes_weight else {}))
            preprocessor = cls(treat_alike(fitted, transformer))
            first = preprocessor.transform(_safe_indexing(rows, [0]))
            preprocessor.n_features = _row_size(first)
            return preprocessor

        weight = sample_weight if takes_weight else None
        return call_protected(fit, rows, labels, weight, owner=transformer)

    def blocks(self, rows: Any, most: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Transform all rows in one call of the transformer, and yield the result in blocks."""
        transformed = self.transform(rows)
        size = min(rows_per_block(self.n_features), most or len(transformed))
        for start in range(0, len(transformed), size):
            block = slice(start, start + size)
            yield block, transformed[block]

    def transform(self, rows: Any) -> np.ndarray:
        with _refused_if_too_large():
            result = call_protected(self.transformer.transform, rows, owner=self.transformer)
        result = result.toarray() if sparse.issparse(result) else result
        return check_array(
            result, allow_nd=True, dtype="numeric", input_name="what preprocessor returns"
        )


@contextmanager
def _refused_if_too_large() -> Iterator[None]:
    """Context in which an OverflowError of a transformer becomes a ValueError."""
    try:
        yield
    except OverflowError as error:
        raise ValueError(f"preprocessor cannot take X: {error}.") from error


def _fit_bins(
    encoding: PiecewiseLinear,
    fitted: ColumnPreprocessor,
    rows: Any,
    sample_weight: np.ndarray | None,
    thresholds: Thresholds | None,
) -> Bins:
    """Compute the bins of the numeric columns of a fitted preprocessor."""
    rows = by_column(rows)
    columns = {j: distinct_values(rows, j, sample_weight) for j in fitted.numeric.tolist()}
    edges = encoding.edges_of_table(columns, rows.shape[0], thresholds)
    return Bins.fit(edges, fitted.centre, fitted.scale)


def warn_of_unknown(
    encoders: Sequence[OneHot], rows: Any, names: Any = None, argument: str = "X"
) -> None:
    """Warn of each categorical column in which no value is a category known from `fit`.

    Parameters
    ----------
    encoders : sequence of OneHot
    rows : ndarray, sparse matrix or Table
    names : ndarray of str, default=None
        Names of the columns.
    argument : str, default="X"
        Name of the argument that holds the rows, for the message.
    """
    for encoder in encoders:
        values = categories_of(rows, encoder.column)
        if encoder.knows_none(values):
            value = next(value for value in values if value is not None)
            known = [c for c in encoder.categories if c is not None][:3]
            column = encoder.column if names is None else repr(names[encoder.column])
            warn(
                f"no value of column {column} of {argument} is a category that was in fit, so "
                f"all count as unknown: it holds {value!r}, fit had "
                f"{', '.join(map(repr, known)) or 'no value'}. Give it the values, and the "
                "type, that it had in fit."
            )


def _one_hot(rows: Any, j: int) -> OneHot:
    try:
        return OneHot.fit(j, categories_of(rows, j))
    except TypeError as error:
        name = repr(rows.names[j]) if isinstance(rows, Table) else j
        raise TypeError(f"column {name} holds values of several kinds: {error}") from error


def categories_of(rows: Any, j: int) -> np.ndarray:
    """Return column j as an object array of plain values, with None for missing values.

    Parameters
    ----------
    rows : ndarray, sparse matrix or Table
    j : int

    Returns
    -------
    ndarray of object of shape (n_rows,)
    """
    if sparse.issparse(rows):
        rows, j = rows[:, [j]].toarray(), 0
    values = rows.columns[j] if isinstance(rows, Table) else rows[:, j]
    if values.dtype == object:
        return values
    if values.dtype.kind != "f":
        return values.astype(object)
    # Fractions are rounded to float32, so that float32 and float64 X give equal categories.
    whole = values == np.rint(values)
    with np.errstate(over="ignore"):  # of whole numbers, which stay in float64
        as_objects = np.where(whole, values, values.astype(np.float32)).astype(object)
    as_objects[np.isnan(values)] = None
    return as_objects


def _is_all_missing(rows: Any, j: int) -> bool:
    """Whether all values of the numeric column j are missing."""
    if sparse.issparse(rows):
        return False
    return bool(np.isnan(rows.columns[j] if isinstance(rows, Table) else rows[:, j]).all())


def _blocks(rows: Any, sample_weight: np.ndarray | None) -> Iterator[tuple[Any, np.ndarray | None]]:
    """Yield consecutive blocks of rows with their sample weights."""
    size = rows_per_block(_row_size(rows))
    for start in range(0, rows.shape[0], size):
        block = slice(start, start + size)
        yield rows[block], None if sample_weight is None else sample_weight[block]


def _row_size(rows: Any) -> int:
    """Return the number of values in one row: the product of all dimensions but the first."""
    return math.prod(rows.shape[1:])
