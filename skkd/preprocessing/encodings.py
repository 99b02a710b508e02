r"""How a number is spread over several inputs, so that a small network can bend it often.

=================  ================================================================
PiecewiseLinear    bins between quantiles of the column
SelectiveBins      the same, of the few columns that their scaled number serves badly
TeacherBins        bins between the thresholds at which a teacher's trees split it
=================  ================================================================

With the edges :math:`b_0 < \dots < b_T` of a column, component t of a value x is

.. math:: \min\{1, \max\{0, (x - b_{t-1}) / (b_t - b_{t-1})\}\}

which is 0 below its bin, 1 above it and a straight ramp within. A layer behind it is
linear in each bin, and may have another slope in each: what a tree says with a threshold
takes one weight. The components stand beside the scaled number, which alone goes on
outside of the outermost edges. They lie between 0 and 1, as the indicators of categories do.

Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular
deep learning", arXiv:2203.05556, take quantiles, or the thresholds of one small tree for
each column. The outer bins are open there; here they end, for nothing must explode.
"""

from dataclasses import dataclass

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
        At most. A column of no more than `n_bins` + 1 different values has its edges at
        them. So has any value that weighs as much as a bin; the others share the bins
        that are left.

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
        """Edges of the bins of all columns; none where a column has no bins.

        Parameters
        ----------
        columns : dict of int to (ndarray, ndarray)
            Different values and their weights, by index of the column.
        n_rows : int
        thresholds : dict of int to (ndarray, ndarray), default=None
            Where a teacher's trees split columns, and their gains.

        Returns
        -------
        list of ndarray
        """
        if thresholds is None:
            return [self.edges(*column) for column in columns.values()]
        nowhere = (), ()
        return [self.edges(*c, thresholds.get(j, nowhere)) for j, c in columns.items()]


class SelectiveBins(PiecewiseLinear):
    """Bins for those columns alone that their scaled number serves badly.

    ================================  ==================================================
    whole numbers, three to eight     codes or counts: an edge at each of them
    one value in three quarters of    the others, which crowd in a corner of the scale,
    the rows or more                  share `n_bins` bins
    ================================  ==================================================

    Any other column has none. Neither has one where the table has fewer than 25 rows for
    each bin, for each kind of column: then there is nothing to learn about a bin.

    Parameters
    ----------
    n_bins : int, default=32
        At most, of a column of the second kind.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.arange(3.0), np.array([300.0, 60.0, 40.0])
    >>> lengths = np.arange(1.0, 201.0), np.full(200, 2.0)
    >>> SelectiveBins().edges_of_table({0: counts, 1: lengths}, n_rows=400)
    [array([0., 1., 2.]), array([], dtype=float64)]
    """

    #: Different values of a column of codes or counts.
    FEWEST_CODES, MOST_CODES = 3, 8

    #: Of the weight of a column, that one value has.
    HEAP = 0.75

    #: Of the table, for each bin.
    ROWS_PER_BIN = 25

    #: Fewer say no more than the number.
    FEWEST_BINS = 8

    def __init__(self, n_bins=32):
        self.n_bins = n_bins

    def edges_of_table(self, columns, n_rows, thresholds=None):
        most = n_rows // self.ROWS_PER_BIN
        of_codes = {j: c[0] for j, c in columns.items() if self._are_codes(*c, n_rows)}
        if sum(len(values) - 1 for values in of_codes.values()) > most:
            of_codes = {}
        heaped = [j for j, c in columns.items() if self._are_heaped(*c)]
        bins = PiecewiseLinear(min(self.n_bins, most // max(len(heaped), 1)))
        heaped = heaped if bins.n_bins >= self.FEWEST_BINS else []
        edges = of_codes | {j: bins.edges(*columns[j]) for j in heaped}
        return [edges.get(j, np.empty(0)) for j in columns]

    def _are_codes(self, values, weight, n_rows):
        if not self.FEWEST_CODES <= len(values) <= self.MOST_CODES:
            return False
        rarest = n_rows * weight.min() / weight.sum()
        return rarest >= self.ROWS_PER_BIN / 2 and bool((values == np.rint(values)).all())

    def _are_heaped(self, values, weight):
        return len(values) > self.MOST_CODES and weight.max() >= self.HEAP * weight.sum()


class TeacherBins(PiecewiseLinear):
    """Bins between the thresholds at which the teacher's trees split the column.

    The network then bends where the teacher jumps. A column that no tree splits has no
    bins: the network sees its scaled number alone. With a teacher without trees the bins
    are those of :class:`PiecewiseLinear`, and a warning says so.

    Parameters
    ----------
    n_bins : int, default=12
        At most: between the lowest value, `n_bins` - 1 quantiles of the thresholds
        (weighted by gain) and the highest value.

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
            Thresholds of the teacher's trees, which may be none, and their gains. Where
            no gain is above zero all count alike. None has bins of equal weight.

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


def resolve_encoding(name, value, has_teacher=True):
    """The encoding that a parameter means, its own parameters checked.

    Parameters
    ----------
    name : str
        The parameter, for the error message.
    value : str, PiecewiseLinear or None
        A key of `ENCODINGS`, or an encoding.
    has_teacher : bool, default=True
        Whether there may be a teacher to ask.

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


def without_teacher(value):
    """The encoding nearest to a parameter's that needs no teacher.

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
    """The bins of all columns, as arrays: one component each.

    Parameters
    ----------
    column : ndarray of int of shape (n_components,)
        Which of the scaled columns.
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
    def fit(cls, edges, centre, scale):
        """Bins of columns that are scaled.

        Parameters
        ----------
        edges : sequence of ndarray
            Of each column, in its own unit.
        centre, scale : ndarray of shape (n_columns,)

        Returns
        -------
        Bins
        """
        scaled = [
            np.unique(standardise(of_column, c, s))
            for of_column, c, s in zip(edges, centre, scale, strict=True)
        ]
        n_bins = [max(len(of_column) - 1, 0) for of_column in scaled]
        return cls(
            column=np.repeat(np.arange(len(scaled)), n_bins),
            left=np.concatenate([np.empty(0), *(of_column[:-1] for of_column in scaled)]),
            width=np.concatenate([np.empty(0), *(np.diff(of_column) for of_column in scaled)]),
        )

    def __len__(self):
        return len(self.column)

    def transform(self, scaled):
        """The components of rows.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_columns), float64
            Finite.

        Returns
        -------
        ndarray of shape (n_rows, n_components), float64
            From 0 to 1.
        """
        components = np.take(scaled, self.column, axis=1)
        components -= self.left
        with np.errstate(over="ignore"):  # bins may be narrow
            components /= self.width
        np.maximum(components, 0.0, out=components)
        return np.minimum(components, 1.0, out=components)


def _refuse_teacher_bins(name, value):
    others = ", ".join(repr(key) for key, kind in ENCODINGS.items() if not kind.asks_teacher)
    refuse(
        name,
        value,
        f"None, {others} or a PiecewiseLinear, for only a DistilledClassifier has a teacher "
        "whose trees could be asked",
    )
