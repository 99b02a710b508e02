"""The input view: what the network sees of the user's rows.

================  ===========================================================
ColumnView        numbers imputed, scaled and perhaps binned, categories one-hot
ChannelView       images: each channel standardised
PassThrough       preprocessor=None: the numbers as they are
TransformerView   the user's own scikit-learn transformer
================  ===========================================================

A view is fitted once, by scikit-learn's transformers in float64 and with the sample
weights, and then kept as plain arrays. Scaling comes before any cast to float32, which
would merge large values that lie close together, such as time stamps.
"""

import inspect
import math
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples, has_fit_parameter

from skkd.columns import by_column, distinct_values
from skkd.encodings import Bins
from skkd.parameters import refuse
from skkd.scaling import fit_scaling, smooth_clip, standardise
from skkd.tables import Table, as_numbers

__all__ = [
    "ChannelView",
    "ColumnView",
    "PassThrough",
    "TransformerView",
    "View",
    "fit_view",
    "transform_in_blocks",
]

#: Categories of one column beyond this many share a single indicator.
MAX_CATEGORIES = 256

#: Bytes of a block of rows while it is dense in float64.
BLOCK_BYTES = 2**23


def fit_view(
    preprocessor,
    rows,
    labels,
    sample_weight=None,
    categorical=(),
    encoding=None,
    thresholds=None,
):
    """Fit the view that the parameter `preprocessor` asks for.

    Parameters
    ----------
    preprocessor : "robust", "standard", None or a scikit-learn transformer
    rows : ndarray, sparse matrix or Table of n_rows rows
        For a transformer: the user's own X.
    labels : ndarray of shape (n_rows,)
        Only a transformer looks at them.
    sample_weight : ndarray of shape (n_rows,), default=None
    categorical : sequence of int, default=()
        Indices of categorical columns, besides the object columns of a Table.
    encoding : skkd.encodings.PiecewiseLinear, default=None
        Of numeric columns, beside their scaled numbers.
    thresholds : dict of int to (ndarray, ndarray), default=None
        Where a teacher's trees split columns, and their gains, by index of the column.

    Returns
    -------
    ColumnView, ChannelView, PassThrough or TransformerView
    """
    if preprocessor is None:
        return PassThrough(n_features=_n_columns(rows))
    if isinstance(preprocessor, str):
        if not isinstance(rows, Table) and rows.ndim > 2:
            if encoding is not None:
                refuse("numeric_encoding", encoding, "None for rows of more than two dimensions")
            return ChannelView.fit(rows, sample_weight)
        view = ColumnView.fit(rows, sample_weight, categorical, preprocessor)
        if encoding is not None:
            bins = _fit_bins(encoding, view, rows, sample_weight, thresholds)
            view.bins = bins if len(bins) else None
        return view
    return TransformerView.fit(preprocessor, rows, labels, sample_weight)


def transform_in_blocks(view, rows, dtype):
    """Pass all rows through a view, never holding more than a block in float64.

    Parameters
    ----------
    view : View
    rows : ndarray, sparse matrix or Table
    dtype : numpy dtype
        Of the result.

    Returns
    -------
    ndarray of shape (n_rows, ...)
    """
    result = None
    for block, seen in view.blocks(rows):
        if result is None:
            result = np.empty((_num_samples(rows), *seen.shape[1:]), dtype=dtype)
        with np.errstate(over="ignore"):  # told of below
            result[block] = seen
    if isinstance(view, TransformerView) and not np.isfinite(result).all():
        raise ValueError(f"preprocessor returns values too large for {result.dtype.name}.")
    return result


def rows_per_block(n_features):
    """How many rows of so many float64 numbers make a block."""
    return max(1, BLOCK_BYTES // (8 * max(1, n_features)))


class View:
    """What all views share: rows pass in blocks."""

    #: How X is read, whatever the parameter says by now: as for any string, None or a
    #: transformer.
    preprocessor: object = "auto"

    @property
    def inputs(self):
        """What each input is, comparable; None where nobody knows."""
        return self.n_features

    def sees_the_same(self, other):
        """Whether each input comes of the same column, bin or category as another view's.

        Its unit may be another, and the edges of bins.

        Parameters
        ----------
        other : View

        Returns
        -------
        bool
        """
        return self.inputs is not None and self.inputs == other.inputs

    def blocks(self, rows, most=None):
        """Consecutive blocks of rows, transformed.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
        most : int, default=None
            No block has more rows than this, nor more than `BLOCK_BYTES` allow.

        Yields
        ------
        (slice, ndarray of shape (n_block_rows, ...))
        """
        size = min(rows_per_block(max(_n_columns(rows), self.n_features)), most or rows.shape[0])
        for start in range(0, rows.shape[0], size):
            block = slice(start, start + size)
            yield block, self.transform(rows[block])


@dataclass(eq=False)
class PassThrough(View):
    """The numbers as they are, dense."""

    n_features: int
    preprocessor = None

    def transform(self, rows):
        return rows.toarray() if sparse.issparse(rows) else rows


@dataclass(eq=False)
class ChannelView(View):
    """Arrays of more than two dimensions: channels (axis 1) standardised."""

    centre: np.ndarray  #: (n_channels, 1, ...)
    scale: np.ndarray  #: (n_channels, 1, ...)
    n_features: int

    @classmethod
    def fit(cls, rows, sample_weight=None):
        shape = (rows.shape[1],) + (1,) * (rows.ndim - 2)
        scalers = [StandardScaler() for _ in range(rows.shape[1])]
        for values, weight in _blocks(rows, sample_weight):
            for channel, scaler in enumerate(scalers):
                pixels = values[:, channel].reshape(len(values), -1)
                repeated = None if weight is None else np.repeat(weight, pixels.shape[1])
                with np.errstate(invalid="ignore", divide="ignore"):  # where all is missing
                    scaler.partial_fit(pixels.reshape(-1, 1), sample_weight=repeated)
        return cls(
            centre=np.array([scaler.mean_[0] for scaler in scalers]).reshape(shape),
            scale=np.array([scaler.scale_[0] for scaler in scalers]).reshape(shape),
            n_features=_n_columns(rows),
        )

    def transform(self, rows):
        return standardise(rows, self.centre, self.scale)


@dataclass(eq=False)
class OneHot:
    """One categorical column as indicators; an unknown category is all zeros.

    Where a column had more than `MAX_CATEGORIES`, the rare ones, and any unknown one,
    share the last indicator.
    """

    column: int
    categories: list  #: those with an indicator of their own, in order; None is missing
    n_indicators: int
    rare: int  #: indicator of rare and unknown categories, or -1

    @classmethod
    def fit(cls, column, values):
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

    def transform(self, values):
        indicators = np.zeros((len(values), self.n_indicators))
        code_of = {category: code for code, category in enumerate(self.categories)}
        codes = np.array([code_of.get(value, self.rare) for value in values], dtype=np.intp)
        known = np.flatnonzero(codes >= 0)
        indicators[known, codes[known]] = 1.0
        return indicators


@dataclass(eq=False)
class ColumnView(View):
    """Numeric columns imputed by their centre and scaled, their bins, then one-hot columns.

    Centre and scale (:mod:`skkd.scaling`) are weighted by the sample weights; a missing
    number becomes the centre. Categories are encoded by :class:`OneHot`, where missing
    is a category of its own if the fit saw it.
    """

    numeric: np.ndarray  #: indices of the numeric columns
    centre: np.ndarray  #: their means or medians, also the fill value of missing numbers
    scale: np.ndarray  #: their standard deviations, or distances between quartiles
    normal_scores: dict  #: by position among the numeric ones, of those with heavy tails
    one_hot: list  #: OneHot per categorical column
    n_columns: int
    names: list  #: of the columns, for error messages
    clips: bool  #: whether scaled numbers are clipped, smoothly
    of_no_width: list  #: those that are clipped even if `clips` is False
    bins: Bins | None = None  #: components of the numeric columns

    @property
    def n_features(self):
        """Width of what the network sees."""
        n_components = 0 if self.bins is None else len(self.bins)
        n_indicators = sum(encoder.n_indicators for encoder in self.one_hot)
        return len(self.numeric) + n_components + n_indicators

    @property
    def inputs(self):
        """Columns, those with other scales, those of the bins, and categories."""
        bins = [] if self.bins is None else self.bins.column.tolist()
        categories = [(one.column, one.categories, one.rare) for one in self.one_hot]
        return self.numeric.tolist(), sorted(self.normal_scores), bins, categories

    @classmethod
    def fit(cls, rows, sample_weight=None, categorical=(), scaling="standard"):
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
        )

    def transform(self, rows):
        if isinstance(rows, Table):
            numbers = np.empty((len(rows), len(self.numeric)))
            for position, j in enumerate(self.numeric):
                numbers[:, position] = self._numbers(rows, j)
        else:
            rows = rows.toarray() if sparse.issparse(rows) else rows
            numbers = rows if not self.one_hot else rows[:, self.numeric]
        scaled = standardise(numbers, self.centre, self.scale)
        others = [] if self.bins is None else [self.bins.transform(scaled)]
        others += [e.transform(_categories(rows, e.column)) for e in self.one_hot]
        for position, scores in self.normal_scores.items():
            scaled[:, position] = scores.transform(numbers[:, position])
        if self.clips:
            scaled = smooth_clip(scaled)
        elif self.of_no_width:
            scaled[:, self.of_no_width] = smooth_clip(scaled[:, self.of_no_width])
        return np.concatenate([scaled, *others], axis=1) if others else scaled

    def _numbers(self, table, j):
        values = table.columns[j]
        if values.dtype == object:
            values = as_numbers(values)
        if values is None:
            raise ValueError(
                f"column {table.names[j]!r} held numbers in fit and holds others now: "
                f"{next(v for v in table.columns[j] if as_numbers([v]) is None)!r}."
            )
        return values


@dataclass(eq=False)
class TransformerView(View):
    """The user's own transformer, fitted and called as it is."""

    transformer: object
    n_features: int = 0
    inputs = None

    @property
    def preprocessor(self):
        """The transformer."""
        return self.transformer

    @classmethod
    def fit(cls, transformer, rows, labels, sample_weight=None):
        if not (hasattr(transformer, "fit") and hasattr(transformer, "transform")):
            refuse(
                "preprocessor",
                transformer,
                "'auto', 'robust', 'standard', None or a transformer with fit and transform",
                TypeError,
            )
        if inspect.isclass(transformer):
            refuse("preprocessor", transformer, "a transformer itself, not its class", TypeError)
        transformer = clone(transformer)
        takes_weight = sample_weight is not None and has_fit_parameter(transformer, "sample_weight")
        weight = {"sample_weight": sample_weight} if takes_weight else {}
        with _refused_if_too_large():
            transformer.fit(rows, labels, **weight)
        view = cls(transformer)
        view.n_features = _n_columns(view.transform(_safe_indexing(rows, [0])))
        return view

    def blocks(self, rows, most=None):
        """All rows pass the transformer together, as it may expect."""
        seen = self.transform(rows)
        size = min(rows_per_block(self.n_features), most or len(seen))
        for start in range(0, len(seen), size):
            block = slice(start, start + size)
            yield block, seen[block]

    def transform(self, rows):
        with _refused_if_too_large():
            seen = self.transformer.transform(rows)
        seen = seen.toarray() if sparse.issparse(seen) else seen
        return check_array(
            seen, allow_nd=True, dtype="numeric", input_name="what preprocessor returns"
        )


@contextmanager
def _refused_if_too_large():
    """A clear error where a transformer meets an integer that no float holds."""
    try:
        yield
    except OverflowError as error:
        raise ValueError(f"preprocessor cannot take X: {error}.") from error


def _fit_bins(encoding, view, rows, sample_weight, thresholds):
    """The bins of a view's numeric columns; a column without thresholds has none."""
    rows = by_column(rows)
    columns = {j: distinct_values(rows, j, sample_weight) for j in view.numeric.tolist()}
    edges = encoding.edges_of_table(columns, rows.shape[0], thresholds)
    return Bins.fit(edges, view.centre, view.scale)


def _one_hot(rows, j):
    try:
        return OneHot.fit(j, _categories(rows, j))
    except TypeError as error:
        name = repr(rows.names[j]) if isinstance(rows, Table) else j
        raise TypeError(f"column {name} holds values of several kinds: {error}") from error


def _categories(rows, j):
    """One column as an object array of plain values, None where missing."""
    values = rows.columns[j] if isinstance(rows, Table) else rows[:, j]
    if values.dtype == object:
        return values
    if values.dtype.kind != "f":
        return values.astype(object)
    # Fractions as float32 has them, so that X may come in either type.
    whole = values == np.rint(values)
    as_objects = np.where(whole, values, values.astype(np.float32)).astype(object)
    as_objects[np.isnan(values)] = None
    return as_objects


def _blocks(rows, sample_weight):
    """Consecutive blocks of rows with their weights."""
    size = rows_per_block(_n_columns(rows))
    for start in range(0, rows.shape[0], size):
        block = slice(start, start + size)
        yield rows[block], None if sample_weight is None else sample_weight[block]


def _n_columns(rows):
    """Numbers in one row."""
    return math.prod(rows.shape[1:])
