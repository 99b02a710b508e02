"""Attributes: the columns of a table as units that samplers draw or swap.

An attribute is one column, or one group of one-hot columns. There are four kinds:

==========  ===========================================================================
continuous  a column of numbers
integral    a column of whole numbers
nominal     a column of strings, categories, dates, booleans, at most two values, or
            integers too large for a float64; also each column that the caller lists
group       columns of 0 and 1, exactly one of them 1 in every row (a one-hot code)
==========  ===========================================================================

Samplers describe a synthetic row by its *donors* and its *numbers*:

- Each attribute has a donor: the row of the table that the value of the attribute is copied from.
- Each continuous or integral attribute also has a number, which replaces the copied value. It is
  NaN if the copied value is missing.

A missing nominal value is treated as one more category.
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

#: Prefixes of the names of numeric types in NumPy, pandas, polars and pyarrow.
NUMBERS = ("int", "uint", "float", "double", "halffloat", "bool")

#: A float64 holds every integer below this. A column with larger integers is nominal.
BIGGEST_INTEGER = 2**53

#: One-hot groups of non-adjacent columns are searched only among at most this many columns.
MOST_FLAGS = 1000


class Attributes:
    """Read the columns of X as attributes, and make synthetic rows from attributes.

    An attribute is one column, or one group of one-hot columns. The numeric (continuous and
    integral) attributes come first, then the nominal attributes and the groups.

    Parameters
    ----------
    X : 2-d ndarray, sparse matrix, DataFrame, pyarrow.Table or list of lists
        The table. It is not copied: a reference to it is kept.
    categorical : sequence of int, default=()
        Indices of columns to treat as nominal, whatever values they hold.

    Attributes
    ----------
    n_rows : int
        The number of rows of X.
    n_numeric : int
        The number of numeric (continuous and integral) attributes.
    n_nominal : int
        The number of nominal attributes and groups, counted together.
    n_attributes : int
        The number of all attributes: n_numeric + n_nominal.
    kinds : list of {"continuous", "integral", "nominal", "group"}
        The kind of each attribute.
    columns : list of tuple of int
        The indices in X of the columns of each attribute.
    numbers : ndarray of float64 of shape (n_rows, n_numeric)
        The values of the numeric attributes in X; NaN where missing.
    codes : ndarray of int32 of shape (n_rows, n_nominal)
        The values of the nominal attributes and groups in X, as codes 0, 1, 2, ...
    low, high : ndarray of float64 of shape (n_numeric,)
        The smallest and the largest number of each numeric attribute in X.

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
        """Round and clip numbers to values that the numeric attributes can have.

        Numbers of integral attributes are rounded. Then each number is clipped to the range of
        its attribute, from `low` to `high`. NaN remains NaN.

        Parameters
        ----------
        numbers : ndarray of float64 of shape (n, n_numeric)
            One column per numeric attribute.

        Returns
        -------
        ndarray of float64 of shape (n, n_numeric)
            A new array.
        """
        rounded = np.where(self.is_integral, np.rint(numbers), numbers)
        return np.clip(rounded, self.low, self.high)

    def numbers_at(self, donors: np.ndarray) -> np.ndarray:
        """Look up the number that each numeric attribute has in its donor row.

        Parameters
        ----------
        donors : ndarray of int of shape (n, n_attributes)
            The index of the row of X that each attribute is copied from.

        Returns
        -------
        ndarray of float64 of shape (n, n_numeric)
        """
        return self.numbers[donors[:, : self.n_numeric], np.arange(self.n_numeric)]

    def rows(self, donors: np.ndarray, numbers: np.ndarray) -> Any:
        """Make synthetic rows: copy each attribute from its donor, then write new numbers.

        Parameters
        ----------
        donors : ndarray of int of shape (n, n_attributes)
            The index of the row of X that each attribute is copied from.
        numbers : ndarray of float64 of shape (n, n_numeric)
            The values of the numeric attributes; NaN keeps the donor's value.

        Returns
        -------
        container of n rows
            It has the type of X.
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
        """Whether a column of numbers is read as a nominal attribute."""
        known = numbers[~np.isnan(numbers)]
        if self.container.zeros_are_gaps:
            known = known[known != 0]
        if len(known) == 0 or (np.abs(known).max() >= BIGGEST_INTEGER and _are_whole(known)):
            return True
        # Nominal if there are at most two different values.
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
        """Store the nominal attributes and groups, in the order of their first columns."""
        # Both dicts are keyed by column. `flags` holds only the columns of 0 and 1.
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
    """Convert a numeric column to float64, and tell whether it holds integers.

    Parameters
    ----------
    name : str
        Name of the column, for error messages.
    column : 1-d ndarray, or a column of a table

    Returns
    -------
    numbers : ndarray of float64 of shape (n_rows,), or None if the column is not numeric
        NaN where missing.
    is_integer : bool
        Whether the column, or every number of an object column, has an integer type.
    """
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    kind = kind.removeprefix("sparse[")
    if kind.startswith("complex"):
        refuse("X", f"complex numbers in column {name!r}", "real numbers", TypeError)
    if kind == "object":
        return _numbers_of_objects(name, read_objects(column))
    if not kind.startswith(NUMBERS) or kind.startswith("interval"):
        return None, False
    return _checked_for_infinity(name, read_numbers(column)), kind.startswith(("int", "uint"))


def one_hot_groups(flags: dict[int, np.ndarray], n_rows: int) -> list[tuple[int, ...]]:
    """Find groups of one-hot columns: exactly one column of a group is true in every row.

    Groups of adjacent columns are found first. If at most `MOST_FLAGS` columns remain, groups of
    non-adjacent columns are then built greedily.

    Parameters
    ----------
    flags : dict of int to ndarray of bool of shape (n_rows,)
        The boolean columns, by index of the column.
    n_rows : int

    Returns
    -------
    list of tuple of int
        The column indices of each group.

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
    groups = _adjacent_groups(hot)
    free = [i for i in range(len(columns)) if not any(i in group for group in groups)]
    groups += _scattered_groups(hot, free, n_rows)
    return [tuple(columns[i] for i in group) for group in groups]


def _adjacent_groups(hot: list[np.ndarray]) -> list[Sequence[int]]:
    """Find ranges of adjacent columns with exactly one true value in every row."""
    # Let S_k be the sum of the first k columns. The columns i, ..., j - 1 form a group if all
    # entries of S_j - S_i are 1. S_i and S_j then have the same hash, so that groups are found in
    # a dict of hashes, without comparing every pair.
    total = np.zeros(len(hot[0]), dtype=np.int64)
    sums = [_hash_and_offset(total)]
    for column in hot:
        total += column
        sums.append(_hash_and_offset(total))
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


def _hash_and_offset(total: np.ndarray) -> tuple[bytes, int]:
    """Return a hash of ``total - total[0]``, and ``total[0]`` itself."""
    digest = hashlib.sha1((total - total[0]).tobytes(), usedforsecurity=False).digest()
    return digest, int(total[0])


def _scattered_groups(hot: list[np.ndarray], free: list[int], n_rows: int) -> list[list[int]]:
    """Find one-hot groups among the columns with the indices `free`, adjacent or not."""
    if not 1 < len(free) <= MOST_FLAGS:
        return []
    together = _pair_counts(np.column_stack([hot[i] for i in free]))
    groups, left = [], list(range(len(free)))
    for start in range(len(free)):
        group = _group_from(start, left, together, n_rows)
        if group:
            groups.append([free[i] for i in group])
            left = [i for i in left if i not in group]
    return groups


def _pair_counts(hot: np.ndarray) -> np.ndarray:
    """Count, for each pair of columns, the rows in which both columns are true."""
    if hot.mean() < 0.05:
        matrix = sparse.csr_matrix(hot, dtype=np.int64)
        return (matrix.T @ matrix).toarray()
    counts = np.zeros((hot.shape[1],) * 2)
    # float32 counts exactly up to 2^24, so the rows are counted in blocks.
    for start in range(0, len(hot), 10_000):
        block = hot[start : start + 10_000].astype(np.float32)
        counts += block.T @ block
    return counts


def _group_from(start: int, left: list[int], together: np.ndarray, n_rows: int) -> list[int] | None:
    """Return the one-hot group whose first column is `start`, or None if there is none."""
    # `left`: the columns without a group. together[i, j]: rows in which i and j are both true.
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


def _checked_for_infinity(name: str, numbers: np.ndarray) -> np.ndarray:
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise ValueError(
            f"X holds infinity in column {name!r} (row {row}): replace it by a number or a gap."
        )
    return numbers


def _numbers_of_objects(name: str, values: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """Do what `numbers_of` does, for an object column."""
    kinds = {type(value) for value in values if value is not None}
    if not all(issubclass(kind, (bool, int, float, np.number, np.bool_)) for kind in kinds):
        return None, False
    is_integer = all(issubclass(kind, (int, np.integer)) for kind in kinds)
    try:
        return _checked_for_infinity(name, values.astype(np.float64)), is_integer
    except OverflowError:  # an integer is too large for a float: the column is nominal
        return None, False


def _are_flags(numbers: np.ndarray) -> bool:
    return bool(((numbers == 0) | (numbers == 1)).all())


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((numbers == np.rint(numbers)).all())


def _ranks_of(numbers: np.ndarray) -> np.ndarray:
    return np.unique(numbers, return_inverse=True)[1].reshape(-1)


def _codes_of(name: str, column: Any) -> np.ndarray:
    """Return an integer code for each row of a column; equal values have equal codes."""
    values = read_objects(column)
    try:
        levels = set(values.tolist())
    except TypeError:
        kind = next(type(v).__name__ for v in values if getattr(v, "__hash__", None) is None)
        refuse("X", f"{kind} in column {name!r}", "strings, numbers, dates", TypeError)
    known = [level for level in levels if level is not None]
    try:
        known.sort()
    except TypeError:  # mixed types: number by first occurrence, because a set has no fixed order
        known = [level for level in dict.fromkeys(values.tolist()) if level is not None]
    code_of = {level: code for code, level in enumerate([*known, None])}
    return np.array([code_of[value] for value in values.tolist()], dtype=np.int32)
