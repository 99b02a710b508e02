r"""Encodings of a numeric column as several inputs: one for each bin of its values.

=================  ================================================================
PiecewiseLinear    bins between quantiles of the column
SelectiveBins      the same, for codes, counts and columns with one very frequent value
TeacherBins        bins between the thresholds at which a teacher's trees split it
=================  ================================================================

With the edges :math:`b_0 < \dots < b_T` of a column, component t of a value x is

.. math:: \min\{1, \max\{0, (x - b_{t-1}) / (b_t - b_{t-1})\}\}

which is 0 below its bin, 1 above it and rises linearly within. A linear layer of the
components is linear in each bin and may have another slope in each, so that one weight is
enough for the step of a tree at a threshold. The components are added to the scaled number,
which alone still changes outside of the outermost edges. They lie between 0 and 1, as the
indicators of categories do.

Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular
deep learning", arXiv:2203.05556, take quantiles, or the thresholds of one small tree for
each column. Their outer bins are open; those here are closed, so that all components are
bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator

from skkd.checks import check_integer, refuse
from skkd.data.columns import quantiles
from skkd.doc_links import DocLinkMixin
from skkd.preprocessing.scaling import standardise

__all__ = [
    "Bins",
    "PiecewiseLinear",
    "SelectiveBins",
    "TeacherBins",
    "resolve_encoding",
    "without_teacher",
]


class PiecewiseLinear(DocLinkMixin, BaseEstimator):
    """Bins of equal weight, between quantiles of the column.

    Parameters
    ----------
    n_bins : int, default=12
        The largest number of bins of a column. If a column has at most `n_bins` + 1
        different values, each is an edge. Otherwise each value with at least the weight
        of a bin is an edge, and quantiles of the other values divide the remaining bins.

    Examples
    --------
    >>> import numpy as np
    >>> PiecewiseLinear(n_bins=2).edges(np.arange(9.0), np.ones(9))
    array([0., 4., 8.])
    >>> PiecewiseLinear().edges(np.array([0.0, 1.0]), np.ones(2))
    array([0., 1.])
    >>> mostly_zero = np.array([100.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    >>> PiecewiseLinear(n_bins=3).edges(np.arange(6.0), mostly_zero)
    array([0., 1., 3., 5.])
    """

    #: Whether the edges come from a teacher's trees.
    asks_teacher = False

    def __init__(self, n_bins=12):
        self.n_bins = n_bins

    def check(self):
        """Raise ValueError or TypeError if a parameter is not usable."""
        check_integer("n_bins", self.n_bins, low=1)

    def edges(self, values, weight, splits=None):
        """Edges of the bins of one column.

        Parameters
        ----------
        values : ndarray of shape (n_values,), float64
            The different values of the column, in ascending order.
        weight : ndarray of shape (n_values,)
            Above zero.
        splits : (ndarray, ndarray), default=None
            Thresholds of the teacher's trees and their gains. Not used here.

        Returns
        -------
        ndarray, float64
            In ascending order, without ties.
        """
        if len(values) <= self.n_bins + 1:
            return values
        is_heavy = weight >= weight.sum() / self.n_bins
        n_left = max(self.n_bins - int(is_heavy.sum()), 1)
        shares = np.arange(n_left + 1) / n_left
        light = quantiles(values[~is_heavy], weight[~is_heavy], shares)
        return np.union1d(values[is_heavy], light)

    def edges_of_table(self, columns, n_rows, thresholds=None):
        """Edges of the bins of all columns; an empty array for a column without bins.

        Parameters
        ----------
        columns : dict of int to (ndarray, ndarray)
            Different values and their weights, by index of the column.
        n_rows : int
        thresholds : dict of int to (ndarray, ndarray), default=None
            Thresholds of a teacher's trees and their gains, by index of the column.

        Returns
        -------
        list of ndarray
        """
        if thresholds is None:
            return [self.edges(values, weight) for values, weight in columns.values()]
        no_splits = (), ()
        return [
            self.edges(values, weight, thresholds.get(j, no_splits))
            for j, (values, weight) in columns.items()
        ]


class SelectiveBins(PiecewiseLinear):
    """Bins for two kinds of columns alone, for which a scaled number is not enough.

    ===============================================  =======================================
    column                                           bins
    ===============================================  =======================================
    three to eight different values, all whole       an edge at each value, which is a code
                                                     or a count
    one value in three quarters of the rows or more  at most `n_bins`, for the other values,
                                                     which share a small part of the range
    ===============================================  =======================================

    All other columns have no bins. For each kind, its columns have none either if the table
    has fewer than 25 rows for each of their bins: these are too few to learn from.

    Parameters
    ----------
    n_bins : int, default=32
        The largest number of bins of a column of the second kind.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.arange(3.0), np.array([300.0, 60.0, 40.0])
    >>> lengths = np.arange(1.0, 201.0), np.full(200, 2.0)
    >>> SelectiveBins().edges_of_table({0: counts, 1: lengths}, n_rows=400)
    [array([0., 1., 2.]), array([], dtype=float64)]
    """

    #: The smallest and the largest number of different values of codes or counts.
    FEWEST_CODES, MOST_CODES = 3, 8

    #: Share of the weight that makes a value very frequent.
    HEAP = 0.75

    #: Rows of the table that are needed for each bin.
    ROWS_PER_BIN = 25

    #: Columns with a very frequent value have at least so many bins, or none.
    FEWEST_BINS = 8

    def __init__(self, n_bins=32):
        self.n_bins = n_bins

    def edges_of_table(self, columns, n_rows, thresholds=None):
        max_bins = n_rows // self.ROWS_PER_BIN
        codes = {
            j: values
            for j, (values, weight) in columns.items()
            if self._are_codes(values, weight, n_rows)
        }
        if sum(len(values) - 1 for values in codes.values()) > max_bins:
            codes = {}
        heaped = [j for j, column in columns.items() if self._are_heaped(*column)]
        bins = PiecewiseLinear(min(self.n_bins, max_bins // max(len(heaped), 1)))
        heaped = heaped if bins.n_bins >= self.FEWEST_BINS else []
        edges = codes | {j: bins.edges(*columns[j]) for j in heaped}
        return [edges.get(j, np.empty(0)) for j in columns]

    def _are_codes(self, values: np.ndarray, weight: np.ndarray, n_rows: int) -> bool:
        if not self.FEWEST_CODES <= len(values) <= self.MOST_CODES:
            return False
        rarest = n_rows * weight.min() / weight.sum()
        return rarest >= self.ROWS_PER_BIN / 2 and bool((values == np.rint(values)).all())

    def _are_heaped(self, values: np.ndarray, weight: np.ndarray) -> bool:
        return len(values) > self.MOST_CODES and weight.max() >= self.HEAP * weight.sum()


class TeacherBins(PiecewiseLinear):
    """Bins between the thresholds at which the teacher's trees split the column.

    The slope of the network can then change where the teacher's answer jumps. A column that
    no tree splits has no bins: the network gets its scaled number alone. For a teacher
    without trees the bins are those of :class:`PiecewiseLinear`, with a warning.

    Parameters
    ----------
    n_bins : int, default=12
        The largest number of bins of a column. Their edges are the lowest value, at most
        `n_bins` - 1 quantiles of the thresholds (weighted by gain) and the highest value.

    Examples
    --------
    >>> import numpy as np
    >>> thresholds, gains = np.array([2.5, 7.5]), np.array([0.3, 0.1])
    >>> TeacherBins().edges(np.arange(9.0), np.ones(9), (thresholds, gains))
    array([0. , 2.5, 7.5, 8. ])
    >>> TeacherBins(n_bins=2).edges(np.arange(9.0), np.ones(9), (thresholds, gains))
    array([0. , 2.5, 8. ])
    """

    asks_teacher = True

    def edges(self, values, weight, splits=None):
        """Edges of the bins of one column.

        Parameters
        ----------
        values : ndarray of shape (n_values,), float64
            The different values of the column, in ascending order.
        weight : ndarray of shape (n_values,)
        splits : (ndarray, ndarray), default=None
            Thresholds of the teacher's trees, possibly none, and their gains. If no gain
            is above zero, all thresholds count alike. None: the bins have equal weight.

        Returns
        -------
        ndarray, float64
            In ascending order, without ties.
        """
        if splits is None:
            return super().edges(values, weight)
        thresholds, gains = (np.asarray(numbers, dtype=np.float64) for numbers in splits)
        gains = gains if (gains > 0).any() else np.ones(len(thresholds))
        parts = (thresholds >= values.min(initial=np.inf)) & (gains > 0)
        parts &= thresholds < values.max(initial=-np.inf)
        if not parts.any():
            return np.empty(0)
        thresholds, gains = thresholds[parts], gains[parts]
        if len(np.unique(thresholds)) >= self.n_bins:
            thresholds = quantiles(thresholds, gains, np.arange(1, self.n_bins) / self.n_bins)
        return np.unique([values[0], *thresholds, values[-1]])


ENCODINGS = {
    "piecewise_linear": PiecewiseLinear,
    "selective": SelectiveBins,
    "teacher_bins": TeacherBins,
}


def resolve_encoding(name: str, value: Any, has_teacher: bool = True) -> PiecewiseLinear | None:
    """Return the encoding for the value of a parameter, after a check of its own parameters.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : str, PiecewiseLinear or None
        A key of `ENCODINGS`, or an encoding.
    has_teacher : bool, default=True
        Whether encodings that need a teacher's trees are allowed.

    Returns
    -------
    PiecewiseLinear or None

    Examples
    --------
    >>> resolve_encoding("numeric_encoding", "piecewise_linear")
    PiecewiseLinear()
    """
    if value is None:
        return None
    if isinstance(value, str):
        options = [key for key, kind in ENCODINGS.items() if has_teacher or not kind.asks_teacher]
        if value in ENCODINGS and value not in options:
            _refuse_teacher_bins(name, value)
        if value not in options:
            names = ", ".join(map(repr, options))
            refuse(name, value, f"'auto', None, {names} or an object of skkd.preprocessing")
        return ENCODINGS[value]()
    if not isinstance(value, PiecewiseLinear):
        allowed = "'auto', None, an encoding's name or an object of skkd.preprocessing"
        refuse(name, value, allowed, TypeError)
    if value.asks_teacher and not has_teacher:
        _refuse_teacher_bins(name, value)
    value.check()
    return value


def without_teacher(value: Any) -> Any:
    """Return an encoding that needs no teacher: the same one, or quantiles for thresholds.

    Parameters
    ----------
    value : str, PiecewiseLinear or None

    Returns
    -------
    str, PiecewiseLinear or None

    Examples
    --------
    >>> without_teacher("teacher_bins"), without_teacher(TeacherBins(n_bins=8))
    ('piecewise_linear', PiecewiseLinear(n_bins=8))
    """
    if value == "teacher_bins":
        return "piecewise_linear"
    return PiecewiseLinear(value.n_bins) if getattr(value, "asks_teacher", False) else value


@dataclass(eq=False)
class Bins:
    """The bins of all columns, as arrays with one entry for each bin.

    Parameters
    ----------
    column : ndarray of int of shape (n_components,)
        Position of the bin's column among the scaled columns.
    left : ndarray of float64 of shape (n_components,)
        The lower edge, in units of the scaled column.
    width : ndarray of float64 of shape (n_components,)
        In the same units, above zero.

    Examples
    --------
    >>> bins = Bins.fit([np.array([0.0, 1.0, 3.0])], np.zeros(1), np.ones(1))
    >>> bins.transform(np.array([[2.0]]))
    array([[1. , 0.5]])
    """

    column: np.ndarray
    left: np.ndarray
    width: np.ndarray

    @classmethod
    def fit(cls, edges: Sequence[np.ndarray], centre: np.ndarray, scale: np.ndarray) -> "Bins":
        """Convert edges to the units of scaled columns.

        Parameters
        ----------
        edges : sequence of ndarray
            Edges of each column, in its own unit.
        centre, scale : ndarray of shape (n_columns,)

        Returns
        -------
        Bins
        """
        scaled = [
            np.unique(standardise(column_edges, c, s))
            for column_edges, c, s in zip(edges, centre, scale, strict=True)
        ]
        n_bins = [max(len(column_edges) - 1, 0) for column_edges in scaled]
        widths = [np.diff(column_edges) for column_edges in scaled]
        return cls(
            column=np.repeat(np.arange(len(scaled)), n_bins),
            left=np.concatenate([np.empty(0), *(column_edges[:-1] for column_edges in scaled)]),
            width=np.concatenate([np.empty(0), *widths]),
        )

    def __len__(self) -> int:
        return len(self.column)

    def transform(self, scaled: np.ndarray) -> np.ndarray:
        """Compute the components of rows.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_columns), float64
            Finite values.

        Returns
        -------
        ndarray of shape (n_rows, n_components), float64
            Values from 0 to 1.
        """
        components = np.take(scaled, self.column, axis=1)
        components -= self.left
        with np.errstate(over="ignore"):  # a narrow bin may overflow; the result is clipped
            components /= self.width
        np.maximum(components, 0.0, out=components)
        return np.minimum(components, 1.0, out=components)


def _refuse_teacher_bins(name: str, value: Any) -> NoReturn:
    others = ", ".join(repr(key) for key, kind in ENCODINGS.items() if not kind.asks_teacher)
    refuse(
        name,
        value,
        f"None, {others} or a PiecewiseLinear, because only a DistilledClassifier has a teacher "
        "with trees",
    )
