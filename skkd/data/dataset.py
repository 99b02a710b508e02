"""The dataset of one fit, and its split into training and held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import refuse, warn
from skkd.data.tables import Table
from skkd.data.validation import picked

__all__ = ["Dataset", "effective_rows", "hold_out", "hold_out_others", "stratified_split"]


def effective_rows(weights: np.ndarray) -> float:
    """Return the effective sample size of weighted rows (Kish 1965, "Survey sampling").

    It is the square of the sum of the weights, divided by the sum of their squares. If all weights
    are equal, it is the number of rows, else it is less.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> float(effective_rows(np.array([2.0, 2.0, 0.0])))
    2.0
    >>> round(float(effective_rows(np.array([9.0, 1.0]))), 2)
    1.22
    """
    return weights.sum() ** 2 / (weights**2).sum()


@dataclass
class Dataset:
    """The rows of one fit with their labels, weights and other targets.

    Parameters
    ----------
    rows : ndarray, sparse matrix, Table or container of the caller
        As :class:`skkd.data.validation.RowReader` returns them.
    targets : dict of str to ndarray of shape (n_rows, ...)
        "labels" (class codes), "weights" and more for the training loss, such as soft labels.
    index : ndarray of int of shape (n_labelled,), default=None
        For each row with a label, its index in the caller's X. None: the rows are not from X.
    n_labelled : int, default=None
        The first `n_labelled` rows have labels, the rest only soft labels. None: all have labels.
    fresh_rows : skkd.transfer.transfer_set.FreshRows, default=None
        Replaces the rows without labels by new ones before each epoch except the first.
    """

    rows: Any
    targets: dict[str, np.ndarray]
    index: np.ndarray | None = None
    n_labelled: int | None = None
    fresh_rows: Any = None

    def __len__(self) -> int:
        return len(self.targets["labels"])

    @property
    def n_transfer_rows(self) -> int:
        """Number of rows that have only soft labels.

        With `fresh_rows` this counts the rows of all epochs so far.
        """
        if self.fresh_rows is not None:
            return self.fresh_rows.n_rows
        return 0 if self.n_labelled is None else len(self) - self.n_labelled

    def take(self, index: np.ndarray) -> "Dataset":
        """Return the rows at the given positions, with their targets.

        Parameters
        ----------
        index : ndarray of int

        Returns
        -------
        Dataset
        """
        is_table = isinstance(self.rows, Table)
        rows = self.rows[index] if is_table else picked(self.rows, index)
        targets = {name: target[index] for name, target in self.targets.items()}
        return Dataset(rows, targets, None if self.index is None else self.index[index])

    def with_target(self, name: str, values: np.ndarray) -> "Dataset":
        """Return a dataset of these rows in which one target is replaced or added.

        Parameters
        ----------
        name : str
        values : ndarray of shape (n_rows, ...)

        Returns
        -------
        Dataset
        """
        return replace(self, targets=self.targets | {name: values})

    def followed_by(self, unlabelled: "Dataset") -> "Dataset":
        """Return a dataset of these rows, followed by rows that have only soft labels.

        Parameters
        ----------
        unlabelled : Dataset
            The rows to append. It has targets of the same names; the values of its target
            "labels" are the most probable classes by the soft labels.

        Returns
        -------
        Dataset
        """
        targets = {
            name: np.concatenate([target, unlabelled.targets[name]])
            for name, target in self.targets.items()
        }
        rows = _joined(self.rows, unlabelled.rows)
        return Dataset(rows, targets, self.index, len(self), unlabelled.fresh_rows)


def hold_out(
    dataset: Dataset,
    *,
    validation_fraction: float | None = None,
    seed: int | None = None,
    warns: bool = True,
) -> tuple[Dataset, Dataset | None]:
    """Split a dataset into training rows and held-out rows.

    Parameters
    ----------
    dataset : Dataset
        Rows of weight 0 are left out of both parts.
    validation_fraction : float, default=None
        Share of the rows to hold out; None holds out none.
    seed : int, default=None
        Seed of the split; None draws from NumPy's global generator.
    warns : bool, default=True
        Whether to warn if the split cannot be stratified.

    Returns
    -------
    train : Dataset
        Training rows, with weights scaled to mean 1.
    valid : Dataset or None
        Held-out rows; None if `validation_fraction` is None.

    Raises
    ------
    ValueError
        If no row has a weight above zero.
    """
    weights = dataset.targets["weights"]
    rows, valid = np.flatnonzero(weights > 0), None
    if len(rows) == 0:
        raise ValueError("class_weight leaves no row with a weight above zero.")
    if validation_fraction is not None:
        kept, held_out = stratified_split(
            dataset.targets["labels"][rows], validation_fraction, seed, warns
        )
        rows, valid = rows[kept], dataset.take(rows[held_out])
    train = dataset if len(rows) == len(weights) else dataset.take(rows)
    weights = train.targets["weights"]
    targets = train.targets | {"weights": weights / weights.mean()}
    return Dataset(train.rows, targets, train.index), valid


def hold_out_others(
    dataset: Dataset, splits: Sequence[tuple[Dataset, Dataset]], seed: int
) -> tuple[Dataset, Dataset] | None:
    """Split a dataset again: hold out rows that no earlier split of it has held out.

    The new split holds out as many rows as the first one. All other rows become training rows,
    even those that an earlier split has held out.

    Parameters
    ----------
    dataset : Dataset
        All weights are above zero.
    splits : list of (Dataset, Dataset)
        Training rows and held-out rows of the earlier splits of `dataset`.
    seed : int
        Seed of the new split.

    Returns
    -------
    (Dataset, Dataset) or None
        Training rows and held-out rows. None if the number of rows that no earlier split has
        held out is at most the number of rows that the first split has held out.
    """
    n_held_out = len(splits[0][1])
    is_left = np.ones(len(dataset), dtype=bool)
    for _, held_out in splits:
        is_left &= ~np.isin(_index_of(dataset), _index_of(held_out))
    left = np.flatnonzero(is_left)
    if len(left) <= n_held_out:
        return None
    _, valid = stratified_split(dataset.targets["labels"][left], n_held_out, seed, warns=False)
    is_train = np.ones(len(dataset), dtype=bool)
    is_train[left[valid]] = False
    train, _ = hold_out(dataset.take(np.flatnonzero(is_train)))
    return train, dataset.take(left[valid])


def _index_of(dataset: Dataset) -> np.ndarray:
    if dataset.index is None:
        raise ValueError("only rows of the caller's X can be held out.")
    return dataset.index


def _joined(above: Any, below: Any) -> Any:
    """Concatenate rows in the container type of `above`, or in a Table if either is a Table."""
    if isinstance(above, Table) or isinstance(below, Table):
        names = above.names if isinstance(above, Table) else below.names
        pairs = zip(_columns(above), _columns(below), strict=True)
        return Table([_joined_columns(*pair) for pair in pairs], names)
    if sparse.issparse(above):
        return sparse.vstack([above, below], format="csr")
    if isinstance(above, np.ndarray):
        return np.concatenate([above, below.toarray() if sparse.issparse(below) else below])
    if isinstance(above, (list, tuple)):
        return [*above, *(below.tolist() if isinstance(below, np.ndarray) else below)]
    if type(above) is not type(below):
        received = f"{type(below).__name__} below {type(above).__name__}"
        refuse("X_unlabeled or what augment makes", received, "rows in the container of X")
    if len(above.shape) == 1:  # such as a series of texts
        return np.concatenate([np.asarray(above, dtype=object), np.asarray(below, dtype=object)])
    from skkd.data.containers import container_of

    return container_of(above).join([above, below])


def _columns(rows: Table | np.ndarray) -> list[np.ndarray]:
    return rows.columns if isinstance(rows, Table) else list(rows.T)


def _joined_columns(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Concatenate two columns, as objects if one of them has dtype object."""
    is_mixed = (above.dtype == object) != (below.dtype == object)
    return np.concatenate([_as_objects(c) if is_mixed else c for c in (above, below)])


def _as_objects(column: np.ndarray) -> np.ndarray:
    if column.dtype == object:
        return column
    objects = column.astype(object)
    objects[np.isnan(column)] = None
    return objects


def stratified_split(
    codes: np.ndarray, fraction: float, random_state: int | None, warns: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows at random into training and validation rows, stratified by class if possible.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,)
        The class of each row, as a code.
    fraction : float or int
        A float is the share of the rows that become validation rows, an int their number.
    random_state : int or None
        Seed of the split; None draws from NumPy's global generator.
    warns : bool, default=True
        Whether to warn if the split cannot be stratified.

    Returns
    -------
    train, valid : ndarray of int
        Indices of the rows.
    """
    from sklearn.model_selection import train_test_split  # a tenth of a second

    rows = np.arange(len(codes))
    options = {"test_size": fraction, "random_state": random_state}
    try:
        return train_test_split(rows, stratify=codes, **options)
    except ValueError:
        if len(rows) < 2:
            raise
    if warns:
        warn(
            "the validation split is not stratified: a class has too few rows for "
            f"validation_fraction={fraction!r}."
        )
    try:
        return train_test_split(rows, **options)
    except ValueError:
        refuse("validation_fraction", fraction, f"a share that leaves some of the {len(rows)} rows")
