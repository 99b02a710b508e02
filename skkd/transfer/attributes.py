"""The columns of a table as attributes, each of which can be drawn or swapped on its own.

A numeric column is *integral* if all observed numbers are whole, else *continuous*. All
other columns are *nominal*: strings, categories, dates, booleans, columns of at most two
values, whole numbers too big for a float64, and columns that the caller names. Columns of
0 and 1 of which exactly one is 1 in every row are one-hot codes of one nominal attribute,
a *group*.

A synthetic row is described by the observed rows that its attributes come from (the
*donors*), and by the numbers of its continuous and integral attributes. A number is
missing if its donor's is; nominal values are always those of their donors, so a missing
one is a value like any other.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import refuse
from skkd.data.containers import container_of
from skkd.data.tables import read_numbers, read_objects

__all__ = ["Attributes", "one_hot_groups"]

#: The names of numeric types begin with these, in all libraries.
NUMBERS = ("int", "uint", "float", "double", "halffloat", "bool")

#: A float64 holds every integer below this. Columns with larger ones are taken as nominal.
BIGGEST_INTEGER = 2**53

#: With more columns of 0 and 1, only neighbouring ones are tried as one-hot codes.
MOST_FLAGS = 1000


class Attributes:
    """The columns of X as attributes, and synthetic rows made from them.

    The continuous and integral attributes come first, then the nominal ones and groups.

    Parameters
    ----------
    X : 2-d ndarray, sparse matrix, DataFrame, pyarrow.Table or list of lists
        A reference to it is kept.
    categorical : sequence of int, default=()
        Indices of columns that are nominal in any case.

    Attributes
    ----------
    n_rows, n_numeric, n_nominal : int
    kinds : list of {"continuous", "integral", "nominal", "group"}
    columns : list of tuple of int
        Indices of the columns of X, by attribute.
    numbers : ndarray of float64 of shape (n_rows, n_numeric)
        NaN where missing.
    codes : ndarray of int32 of shape (n_rows, n_nominal)
        The values of each nominal attribute, numbered from 0.
    low, high : ndarray of float64 of shape (n_numeric,)
        The smallest and the largest observed number.

    Raises
    ------
    ValueError
        If X holds infinity; the message names the column.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.5, 1.0, 1, 0, 7], [0.1, 2.0, 0, 1, 7], [0.2, 9.0, 1, 0, 7]])
    >>> attributes = Attributes(X)
    >>> attributes.kinds, attributes.columns
    (['continuous', 'integral', 'group', 'nominal'], [(0,), (1,), (2, 3), (4,)])
    """

    def __init__(self, X: Any, categorical: Iterable = ()) -> None:
        self.container = container_of(X)
        self.n_rows, n_columns = self.container.shape
        requested = {_check_index(j, n_columns) for j in categorical}
        numeric: dict[int, tuple[np.ndarray, bool]] = {}
        codes: dict[int, np.ndarray] = {}
        flags: dict[int, np.ndarray] = {}
        for j, (name, column) in enumerate(self.container.columns()):
            numbers, is_integer = numbers_of(str(name), column)
            if numbers is not None and _are_flags(numbers):
                flags[j] = numbers == 1
            if numbers is not None and j not in requested and not self._are_nominal(numbers):
                numeric[j] = (numbers, is_integer)
            else:
                codes[j] = _codes_of(name, column) if numbers is None else _ranks_of(numbers)
        self._store_numeric(numeric)
        self._store_nominal(codes, flags)
        self.n_numeric, self.n_nominal = self.numbers.shape[1], self.codes.shape[1]
        self._attribute_of = np.empty(n_columns, dtype=np.intp)
        for a, columns in enumerate(self.columns):
            self._attribute_of[list(columns)] = a

    @property
    def n_attributes(self) -> int:
        return len(self.columns)

    def fit_in(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers as they may occur: whole if the attribute is integral, between low and high.

        Parameters
        ----------
        numbers : ndarray of float64 of shape (n, n_numeric)

        Returns
        -------
        ndarray of float64 of shape (n, n_numeric)
        """
        rounded = np.where(self.is_integral, np.rint(numbers), numbers)
        return np.clip(rounded, self.low, self.high)

    def numbers_at(self, donors: np.ndarray) -> np.ndarray:
        """The observed numbers of the donors.

        Parameters
        ----------
        donors : ndarray of int of shape (n, n_attributes)

        Returns
        -------
        ndarray of float64 of shape (n, n_numeric)
        """
        return self.numbers[donors[:, : self.n_numeric], np.arange(self.n_numeric)]

    def rows(self, donors: np.ndarray, numbers: np.ndarray) -> Any:
        """Synthetic rows in the container of X.

        Parameters
        ----------
        donors : ndarray of int of shape (n, n_attributes)
        numbers : ndarray of float64 of shape (n, n_numeric)

        Returns
        -------
        container of n rows
        """
        observed = self.numbers_at(donors)
        changes = {}
        for a in range(self.n_numeric):
            is_drawn = (numbers[:, a] != observed[:, a]) & ~np.isnan(numbers[:, a])
            at = np.flatnonzero(is_drawn)
            if len(at):
                drawn = numbers[at, a]
                drawn = drawn.astype(np.int64) if self.is_integer_type[a] else drawn
                changes[self.columns[a][0]] = (at, drawn)
        return self.container.rows(donors[:, self._attribute_of], changes)

    def _are_nominal(self, numbers: np.ndarray) -> bool:
        """Whether numbers are too large, or of at most two values, so that none lie between."""
        known = numbers[~np.isnan(numbers)]
        if self.container.zeros_are_gaps:
            known = known[known != 0]
        if len(known) == 0 or (np.abs(known).max() >= BIGGEST_INTEGER and _are_whole(known)):
            return True
        return bool(((known == known.min()) | (known == known.max())).all())

    def _store_numeric(self, numeric: dict[int, tuple[np.ndarray, bool]]) -> None:
        self.columns: list[tuple[int, ...]] = [(j,) for j in numeric]
        self.numbers = np.empty((self.n_rows, len(numeric)))
        for a, (numbers, _) in enumerate(numeric.values()):
            self.numbers[:, a] = numbers
        if self.container.zeros_are_gaps:
            self.numbers[self.numbers == 0] = np.nan
        self.is_integer_type = np.array([is_integer for _, is_integer in numeric.values()], bool)
        are_whole = [_are_whole(column[~np.isnan(column)]) for column in self.numbers.T]
        self.is_integral = np.array(are_whole, dtype=bool)
        self.kinds = ["integral" if whole else "continuous" for whole in are_whole]
        self.low = np.array([np.nanmin(column) for column in self.numbers.T])
        self.high = np.array([np.nanmax(column) for column in self.numbers.T])

    def _store_nominal(self, codes: dict[int, np.ndarray], flags: dict[int, np.ndarray]) -> None:
        """Append groups and the other nominal columns, in the order of columns."""
        groups = one_hot_groups(flags, self.n_rows)
        first_of = {group[0]: group for group in groups}
        in_groups = {j for group in groups for j in group}
        nominal: list[tuple[tuple[int, ...], str, np.ndarray]] = []
        for j in sorted(codes):
            if j in first_of:
                hot = np.column_stack([flags[i] for i in first_of[j]])
                nominal.append((first_of[j], "group", hot.argmax(axis=1)))
            elif j not in in_groups:
                nominal.append(((j,), "nominal", codes[j]))
        self.columns += [columns for columns, _, _ in nominal]
        self.kinds += [kind for _, kind, _ in nominal]
        self.codes = np.empty((self.n_rows, len(nominal)), dtype=np.int32)
        for k, (_, _, column) in enumerate(nominal):
            self.codes[:, k] = column


def numbers_of(name: str, column: Any) -> tuple[np.ndarray | None, bool]:
    """The numbers of a column, if it is numeric, and whether its type is one of integers.

    Parameters
    ----------
    name : str
    column : 1-d ndarray, or a column of a table

    Returns
    -------
    numbers : ndarray of float64 of shape (n_rows,), or None if the column is not numeric
        NaN where missing.
    is_integer : bool
        Synthetic numbers are written into the column as integers.
    """
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    kind = kind.removeprefix("sparse[")
    if kind.startswith("complex"):
        refuse("X", f"complex numbers in column {name!r}", "real numbers", TypeError)
    if kind == "object":
        return _numbers_of_objects(name, read_objects(column))
    if not kind.startswith(NUMBERS) or kind.startswith("interval"):
        return None, False
    return _finite(name, read_numbers(column)), kind.startswith(("int", "uint"))


def one_hot_groups(flags: dict[int, np.ndarray], n_rows: int) -> list[tuple[int, ...]]:
    """Sets of columns of which exactly one is true in every row.

    Columns are a group if no two of them are true in the same row, and if their counts add
    up to the number of rows. Neighbouring columns are tried first, then columns that lie
    apart, unless very many are left.

    Parameters
    ----------
    flags : dict of int to ndarray of bool of shape (n_rows,)
    n_rows : int

    Returns
    -------
    list of tuple of int

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 0, 1], bool)
    >>> one_hot_groups({0: a, 1: b, 2: ~a, 5: ~b}, 4)
    [(0, 2), (1, 5)]
    """
    if len(flags) < 2:
        return []
    columns, hot = list(flags), list(flags.values())
    groups = _neighbouring_groups(hot)
    free = [i for i in range(len(columns)) if not any(i in group for group in groups)]
    groups += _scattered_groups(hot, free, n_rows)
    return [tuple(columns[i] for i in group) for group in groups]


def _neighbouring_groups(hot: list[np.ndarray]) -> list[Sequence[int]]:
    """Ranges of columns over which the running sum grows by one in every row."""
    total = np.zeros(len(hot[0]), dtype=np.int64)
    sums = [_up_to_a_constant(total)]
    for column in hot:
        total += column
        sums.append(_up_to_a_constant(total))
    first: dict[tuple[bytes, int], int] = {}
    for i, key in enumerate(sums):
        first.setdefault(key, i)
    groups: list[Sequence[int]] = []
    end = 0
    for start, (digest, constant) in enumerate(sums):
        stop = first.get((digest, constant + 1), 0)
        if start >= end and stop - start > 1:
            groups.append(range(start, stop))
            end = stop
    return groups


def _up_to_a_constant(total: np.ndarray) -> tuple[bytes, int]:
    """A hash of an array minus its first entry, and that entry."""
    digest = hashlib.sha1((total - total[0]).tobytes(), usedforsecurity=False).digest()
    return digest, int(total[0])


def _scattered_groups(hot: list[np.ndarray], free: list[int], n_rows: int) -> list[list[int]]:
    """Groups of columns that lie apart, among those that are in no group yet."""
    if not 1 < len(free) <= MOST_FLAGS:
        return []
    together = _counts_together(np.column_stack([hot[i] for i in free]))
    groups, left = [], list(range(len(free)))
    for start in range(len(free)):
        group = _group_from(start, left, together, n_rows)
        if group:
            groups.append([free[i] for i in group])
            left = [i for i in left if i not in group]
    return groups


def _counts_together(hot: np.ndarray) -> np.ndarray:
    """The number of rows in which both columns are true, for each pair.

    float32 counts exactly up to 2^24.
    """
    if hot.mean() < 0.05:
        matrix = sparse.csr_matrix(hot, dtype=np.int64)
        return (matrix.T @ matrix).toarray()
    counts = np.zeros((hot.shape[1],) * 2)
    for start in range(0, len(hot), 10_000):
        block = hot[start : start + 10_000].astype(np.float32)
        counts += block.T @ block
    return counts


def _group_from(start: int, left: list[int], together: np.ndarray, n_rows: int) -> list[int] | None:
    """The group that begins at a column, or None."""
    if start not in left:
        return None
    group, total, overlaps = [start], together[start, start], together[start] > 0
    for i in left[left.index(start) + 1 :]:
        if total == n_rows:
            break
        if not overlaps[i]:
            group.append(i)
            total += together[i, i]
            overlaps |= together[i] > 0
    return group if total == n_rows and len(group) > 1 else None


def _check_index(j: Any, n_columns: int) -> int:
    if isinstance(j, (bool, np.bool_, str)) or not 0 <= int(j) < n_columns:
        refuse("categorical", j, f"indices of columns, from 0 to {n_columns - 1}")
    return int(j)


def _finite(name: str, numbers: np.ndarray) -> np.ndarray:
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise ValueError(
            f"X holds infinity in column {name!r} (row {row}): replace it by a number or a gap."
        )
    return numbers


def _numbers_of_objects(name: str, values: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """The numbers of an object column that holds only numbers and gaps, else None."""
    kinds = {type(value) for value in values if value is not None}
    if not all(issubclass(kind, (bool, int, float, np.number, np.bool_)) for kind in kinds):
        return None, False
    is_integer = all(issubclass(kind, (int, np.integer)) for kind in kinds)
    try:
        return _finite(name, values.astype(np.float64)), is_integer
    except OverflowError:  # integers that no float holds are names
        return None, False


def _are_flags(numbers: np.ndarray) -> bool:
    return bool(((numbers == 0) | (numbers == 1)).all())


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((numbers == np.rint(numbers)).all())


def _ranks_of(numbers: np.ndarray) -> np.ndarray:
    return np.unique(numbers, return_inverse=True)[1].reshape(-1)


def _codes_of(name: str, column: Any) -> np.ndarray:
    """Codes of the values of a column, in ascending order if the values can be sorted."""
    values = read_objects(column)
    try:
        levels = set(values.tolist())
    except TypeError:
        kind = next(type(v).__name__ for v in values if getattr(v, "__hash__", None) is None)
        refuse("X", f"{kind} in column {name!r}", "strings, numbers, dates", TypeError)
    known = [level for level in levels if level is not None]
    try:
        known.sort()
    except TypeError:  # several types; the order of a set is another one in each process
        known = [level for level in dict.fromkeys(values.tolist()) if level is not None]
    code_of = {level: code for code, level in enumerate([*known, None])}
    return np.array([code_of[value] for value in values.tolist()], dtype=np.int32)
