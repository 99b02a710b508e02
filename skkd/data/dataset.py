"""Rows with their targets, and how some of them are held out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from skkd.checks import refuse, warn
from skkd.data.tables import Table
from skkd.data.validation import picked

__all__ = ["Dataset", "effective_rows", "hold_out", "hold_out_others", "stratified_split"]


def effective_rows(weights):
    """How many rows of equal weight say as much (Kish 1965, "Survey sampling").

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
    """Rows with their targets.

    Parameters
    ----------
    rows : ndarray, sparse matrix or Table; for a transformer the caller's own X
    targets : dict of str to ndarray of shape (n_rows, ...)
        "labels" (codes), "weights" and whatever else the training loss reads.
    index : ndarray of int of shape (n_rows,), default=None
        Which of the caller's rows they are; None for synthetic and unlabelled rows.
    n_labelled : int, default=None
        The first so many have labels, the others soft labels alone; None: all have labels.
    fresh_rows : skkd.transfer.transfer_set.FreshRows, default=None
        Makes other rows in place of those without labels, for each pass but the first.
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
        """How many rows have soft labels alone; of fresh rows, how many were made so far."""
        if self.fresh_rows is not None:
            return self.fresh_rows.n_rows
        return 0 if self.n_labelled is None else len(self) - self.n_labelled

    def take(self, index: np.ndarray) -> "Dataset":
        """Some of the rows.

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
        """The same rows with another target, or one more.

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
        """These rows, and after them others that have soft labels alone.

        Parameters
        ----------
        unlabelled : Dataset
            With the same targets.

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


def hold_out(examples, *, validation_fraction=None, seed=None, warns=True):
    """Dataset to train on, and examples to watch.

    Parameters
    ----------
    examples : Dataset
        Those of weight 0 are left out.
    validation_fraction : float, default=None
        Share of the examples to watch; None watches none.
    seed : int, default=None
        Of the split.
    warns : bool, default=True
        Whether to warn where a split cannot be stratified.

    Returns
    -------
    train : Dataset
        Their weights have mean 1.
    valid : Dataset or None
    """
    weights = examples.targets["weights"]
    rows, valid = np.flatnonzero(weights > 0), None
    if len(rows) == 0:
        raise ValueError("class_weight leaves no row with a weight above zero.")
    if validation_fraction is not None:
        train, watched = stratified_split(
            examples.targets["labels"][rows], validation_fraction, seed, warns
        )
        rows, valid = rows[train], examples.take(rows[watched])
    train = examples if len(rows) == len(weights) else examples.take(rows)
    weights = train.targets["weights"]
    targets = train.targets | {"weights": weights / weights.mean()}
    return Dataset(train.rows, targets, train.index), valid


def hold_out_others(examples, splits, seed):
    """As many other rows to watch as in the first of some splits, and the rest to train on.

    Parameters
    ----------
    examples : Dataset
        All weights are above zero.
    splits : list of (Dataset, Dataset)
        (train, watched) of the same examples.
    seed : int

    Returns
    -------
    (Dataset, Dataset) or None
        None where too few are left that were never watched.
    """
    n_watched = len(splits[0][1])
    is_left = np.ones(len(examples), dtype=bool)
    for _, watched in splits:
        is_left &= ~np.isin(examples.index, watched.index)
    left = np.flatnonzero(is_left)
    if len(left) <= n_watched:
        return None
    _, valid = stratified_split(examples.targets["labels"][left], n_watched, seed, warns=False)
    is_train = np.ones(len(examples), dtype=bool)
    is_train[left[valid]] = False
    train, _ = hold_out(examples.take(np.flatnonzero(is_train)))
    return train, examples.take(left[valid])


def _joined(above, below):
    """Rows of the same kind below each other."""
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
    if len(above.shape) == 1:  # texts, say
        return np.concatenate([np.asarray(above, dtype=object), np.asarray(below, dtype=object)])
    from skkd.data.containers import container_of

    return container_of(above).join([above, below])


def _columns(rows):
    return rows.columns if isinstance(rows, Table) else list(rows.T)


def _joined_columns(above, below):
    """One column out of two; of categories if either is, as where all values of one are missing."""
    is_mixed = (above.dtype == object) != (below.dtype == object)
    return np.concatenate([_as_objects(c) if is_mixed else c for c in (above, below)])


def _as_objects(column):
    if column.dtype == object:
        return column
    objects = column.astype(object)
    objects[np.isnan(column)] = None
    return objects


def stratified_split(codes, fraction, random_state, warns=True):
    """Rows to train on and rows to validate on, stratified where that is possible.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,)
    fraction : float or int
        Share of the validation rows, or their number.
    random_state : int
    warns : bool, default=True
        Whether to warn where it is not.

    Returns
    -------
    train, valid : ndarray of int
    """
    from sklearn.model_selection import train_test_split  # a tenth of a second

    rows = np.arange(len(codes))
    settings = {"test_size": fraction, "random_state": random_state}
    try:
        return train_test_split(rows, stratify=codes, **settings)
    except ValueError:
        if len(rows) < 2:
            raise
    if warns:
        warn(
            "the validation split is not stratified: a class has too few rows for "
            f"validation_fraction={fraction!r}."
        )
    try:
        return train_test_split(rows, **settings)
    except ValueError:
        refuse("validation_fraction", fraction, f"a share that leaves some of the {len(rows)} rows")
