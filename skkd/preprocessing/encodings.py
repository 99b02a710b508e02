r"""Encodings that add several network inputs for a numeric column: one for each bin of values.

=================  ==================================================================
PiecewiseLinear    bins between quantiles of the column
SelectiveBins      bins only for codes, counts and columns with one very frequent value
TeacherBins        bins between the thresholds at which a teacher's trees split the column
=================  ==================================================================

With the edges :math:`b_0 < \dots < b_T` of a column, component t of a value x is

.. math:: \min\{1, \max\{0, (x - b_{t-1}) / (b_t - b_{t-1})\}\}

which is 0 below bin t, rises linearly from 0 to 1 within bin t, and is 1 above it. A linear
layer of the components is a piecewise linear function of x, and the weight of component t alone
decides the slope in bin t. So one large weight is enough to make the function rise steeply in one
bin, much as the prediction of a tree jumps at a threshold. The network gets the components in
addition to the scaled number, because only the scaled number changes below :math:`b_0` and above
:math:`b_T`. The components lie between 0 and 1, like one-hot indicators.

The encoding is due to Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical
features in tabular deep learning", arXiv:2203.05556. Their edges are quantiles, or the
thresholds of one small tree per column. In their encoding the first component is unbounded
below and the last one unbounded above. Here all components are bounded.
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
    """Bins between weighted quantiles of a numeric column.

    Parameters
    ----------
    n_bins : int, default=12
        The largest number of bins of a column. If a column has at most `n_bins` + 1
        different values, each value is an edge of a bin. Otherwise each value that has at least
        1 / `n_bins` of the total weight is an edge, and the other edges are quantiles of the
        remaining values.

    Examples
    --------
    >>> import numpy as np
    >>> PiecewiseLinear(n_bins=2).edges(values=np.arange(9.0), weight=np.ones(9))
    array([0., 4., 8.])
    >>> PiecewiseLinear().edges(values=np.array([0.0, 1.0]), weight=np.ones(2))
    array([0., 1.])

    If 100 of 105 rows have the value 0, this value is an edge, and the other edges are quantiles
    of the values 1 to 5:

    >>> n_rows_of_value = np.array([100.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    >>> PiecewiseLinear(n_bins=3).edges(values=np.arange(6.0), weight=n_rows_of_value)
    array([0., 1., 3., 5.])
    """

    #: Whether the encoding takes its edges from a teacher's trees.
    asks_teacher = False

    def __init__(self, n_bins=12):
        self.n_bins = n_bins

    def check(self):
        """Raise ValueError or TypeError if a parameter is not usable."""
        check_integer("n_bins", self.n_bins, low=1)

    def edges(self, values, weight, splits=None):
        """Return the edges of the bins of one column.

        Parameters
        ----------
        values : ndarray of shape (n_values,), float64
            The different values of the column, in ascending order.
        weight : ndarray of shape (n_values,)
            The total sample weight of each value, above 0.
        splits : (ndarray, ndarray), default=None
            Thresholds and gains of the teacher's splits of this column. Not used here.

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
        """Return the edges of the bins of all numeric columns.

        Parameters
        ----------
        columns : dict of int to (ndarray, ndarray)
            By index of the column: its different values in ascending order, and the total
            sample weight of each value.
        n_rows : int
            The number of rows of the table.
        thresholds : dict of int to (ndarray, ndarray), default=None
            By index of the column: thresholds and gains of the teacher's splits of the column.
            A column that is not in the dict is split by no tree. None stands for a teacher
            without trees, or no teacher.

        Returns
        -------
        list of ndarray
            One array of edges for each column, in the order of `columns`. The array is empty if
            the column has no bins.
        """
        if thresholds is None:
            return [self.edges(values, weight) for values, weight in columns.values()]
        no_splits = (), ()
        return [
            self.edges(values, weight, thresholds.get(j, no_splits))
            for j, (values, weight) in columns.items()
        ]


class SelectiveBins(PiecewiseLinear):
    """Bins only for columns that a scaled number does not represent well.

    There are two kinds of such columns:

    - codes or counts: the column has 3 to 8 different values, all of them whole numbers. Each
      value is an edge.
    - columns with one very frequent value: this value fills at least three quarters of the rows,
      and there are more than 8 different values. After scaling, all other values would share a
      small part of the range. There are at most `n_bins` bins, between quantiles.

    All other columns have no bins.

    Each bin needs enough rows to learn from. So for a table of n rows, all columns of one kind
    together have at most n / 25 bins:

    - Codes or counts: a column is left out if one of its values has less than 12.5 / n of the
      total sample weight. If the other columns of this kind need more than n / 25 bins in total,
      none of them has bins.
    - One very frequent value: the n / 25 bins are divided equally among the columns of this kind.
      If this gives fewer than 8 bins per column, none of them has bins.

    Parameters
    ----------
    n_bins : int, default=32
        The largest number of bins of a column with a very frequent value.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.arange(3.0), np.array([300.0, 60.0, 40.0])
    >>> lengths = np.arange(1.0, 201.0), np.full(200, 2.0)
    >>> SelectiveBins().edges_of_table({0: counts, 1: lengths}, n_rows=400)
    [array([0., 1., 2.]), array([], dtype=float64)]
    """

    #: The smallest and the largest number of different values of a column of codes or counts.
    FEWEST_CODES, MOST_CODES = 3, 8

    #: A value with at least this share of the total weight is very frequent.
    HEAP = 0.75

    #: The smallest number of rows of the table per bin.
    ROWS_PER_BIN = 25

    #: A column with a very frequent value has at least this many bins, or no bins.
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

    The slope of the network can then change where the teacher's prediction jumps. A column
    that no tree splits has no bins, so the network gets only its scaled number. If the teacher
    has no trees, a warning is issued and the bins of :class:`PiecewiseLinear` are used.

    Parameters
    ----------
    n_bins : int, default=12
        The largest number of bins of a column. The first and the last edge are the lowest and
        the highest value of the column. The inner edges are

        - all thresholds, if there are no more than `n_bins` - 1 of them;
        - otherwise `n_bins` - 1 quantiles of the thresholds, weighted by gain.

    Examples
    --------
    >>> import numpy as np
    >>> thresholds, gains = np.array([2.5, 7.5]), np.array([0.3, 0.1])
    >>> values, weight = np.arange(9.0), np.ones(9)
    >>> TeacherBins().edges(values, weight, splits=(thresholds, gains))
    array([0. , 2.5, 7.5, 8. ])
    >>> TeacherBins(n_bins=2).edges(values, weight, splits=(thresholds, gains))
    array([0. , 2.5, 8. ])
    """

    asks_teacher = True

    def edges(self, values, weight, splits=None):
        """Return the edges of the bins of one column.

        Parameters
        ----------
        values : ndarray of shape (n_values,), float64
            The different values of the column, in ascending order.
        weight : ndarray of shape (n_values,)
            The total sample weight of each value. Used only if `splits` is None.
        splits : (ndarray, ndarray), default=None
            Thresholds and gains of the teacher's splits of this column; empty if no tree splits
            it. If no gain is above 0, all thresholds count equally. None stands for a teacher
            without trees: the edges are those of :class:`PiecewiseLinear`.

        Returns
        -------
        ndarray, float64
            In ascending order, without ties. Empty if there is no threshold in the range of
            the column.
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
    """Turn the value of a parameter such as `numeric_encoding` into a checked encoding.

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
        None if `value` is None.

    Raises
    ------
    ValueError or TypeError
        If `value`, or a parameter of the encoding, is not allowed.

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
    """Replace an encoding that needs a teacher's trees by :class:`PiecewiseLinear`.

    Parameters
    ----------
    value : str, PiecewiseLinear or None
        The name of an encoding, an encoding, or None.

    Returns
    -------
    str, PiecewiseLinear or None
        - The name "piecewise_linear" for the name "teacher_bins".
        - A :class:`PiecewiseLinear` with the same `n_bins` for a :class:`TeacherBins`.
        - `value` itself for all other values: they need no teacher.

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
    """The bins of all numeric columns, and the encoding of rows by these bins.

    The bins are stored as arrays with one entry for each bin. Each bin gives one component, a
    network input from 0 (value below the bin) to 1 (value above the bin).

    Parameters
    ----------
    column : ndarray of int of shape (n_components,)
        Position of the bin's column among the scaled columns.
    left : ndarray of float64 of shape (n_components,)
        The lower edge of the bin, in units of the scaled column.
    width : ndarray of float64 of shape (n_components,)
        The width of the bin, in units of the scaled column; above 0.

    Examples
    --------
    >>> edges = [np.array([0.0, 1.0, 3.0])]  # of a single column, with two bins
    >>> bins = Bins.fit(edges, centre=np.zeros(1), scale=np.ones(1))
    >>> bins.transform(np.array([[2.0]]))
    array([[1. , 0.5]])
    """

    column: np.ndarray
    left: np.ndarray
    width: np.ndarray

    @classmethod
    def fit(cls, edges: Sequence[np.ndarray], centre: np.ndarray, scale: np.ndarray) -> "Bins":
        """Make the bins from their edges.

        Parameters
        ----------
        edges : sequence of ndarray
            The edges for each column, in the original units of the column.
        centre, scale : ndarray of shape (n_columns,)
            Centre and scale of each column, which convert edges to units of scaled columns.

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
        """Compute the components of rows, one for each bin.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_columns), float64
            The scaled numeric columns, all finite.

        Returns
        -------
        ndarray of shape (n_rows, n_components), float64
            Values from 0 to 1.
        """
        components = np.take(scaled, self.column, axis=1)
        components -= self.left
        with np.errstate(over="ignore"):  # an overflow at a small width is clipped below
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
