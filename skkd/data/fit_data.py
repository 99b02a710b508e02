"""The data of one fit: first as the caller gave them, then encoded and split."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skkd.data.dataset import Dataset, hold_out
from skkd.data.validation import RowReader, class_weights

__all__ = ["FitData", "FitInput", "Seeds", "unwrapped_rows"]


class Seeds(NamedTuple):
    """Seeds that are drawn from `random_state`, in this order."""

    network: int
    split: int
    teacher: int


@dataclass(frozen=True)
class FitInput:
    """Rows, labels and weights as the caller gave them, checked.

    Parameters
    ----------
    X : container of rows
        As the caller has it.
    rows : ndarray, sparse matrix or Table
        As the preprocessor takes them.
    y : ndarray of shape (n_rows,)
        Labels.
    sample_weight : ndarray of shape (n_rows,) or None
    reader : RowReader
        Reads further rows with the same columns.
    seeds : Seeds
    classes : ndarray of shape (n_classes,), default=None
        Classes that were given or fitted before; None takes the classes in `y`.
    needs_all_classes : bool, default=False
        Whether `y` must hold all of them.
    """

    X: Any
    rows: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    reader: RowReader
    seeds: Seeds
    classes: np.ndarray | None = None
    needs_all_classes: bool = False

    def dataset(self, targets: dict[str, np.ndarray], class_weight_factors: np.ndarray) -> Dataset:
        """Return all rows with their targets and weights.

        Parameters
        ----------
        targets : dict of str to ndarray
            They include "labels" (codes).
        class_weight_factors : ndarray of shape (n_classes,)

        Returns
        -------
        Dataset
        """
        codes, weight = targets["labels"], self._ratios_of_weights()
        weights = class_weight_factors[codes] * (1.0 if weight is None else weight)
        return Dataset(self.rows, targets | {"weights": weights}, index=np.arange(len(codes)))

    def class_weights(
        self, class_weight: dict | str | None, classes: np.ndarray, codes: np.ndarray
    ) -> np.ndarray:
        """Return the weight of each class; see :func:`skkd.data.validation.class_weights`."""
        return class_weights(class_weight, classes, codes, self._ratios_of_weights())

    def _ratios_of_weights(self) -> np.ndarray | None:
        """Sample weights, scaled to a largest weight of 1 so that their sum is finite."""
        return None if self.sample_weight is None else self.sample_weight / self.sample_weight.max()


@dataclass(frozen=True)
class FitData:
    """The rows of one fit, encoded and split.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    class_weights : ndarray of shape (n_classes,)
    train : Dataset
        All rows without those of `valid`.
    valid : Dataset or None
        The validation rows of early stopping.
    held_out : Dataset or None
        The caller's own validation rows.
    """

    classes: np.ndarray
    class_weights: np.ndarray
    train: Dataset
    valid: Dataset | None = None
    held_out: Dataset | None = None

    @classmethod
    def divided(
        cls,
        dataset: Dataset,
        classes: np.ndarray,
        factors: np.ndarray,
        held_out: Dataset | None,
        validation_fraction: float | None,
        seed: int,
    ) -> "FitData":
        """Split all rows into training rows and validation rows for early stopping.

        Parameters
        ----------
        dataset : Dataset
        classes, factors : ndarray of shape (n_classes,)
            The classes and their weights.
        held_out : Dataset or None
            The caller's own validation rows; then no rows are split off.
        validation_fraction : float or None
            The share of the rows to split off; None for none.
        seed : int
            Seed of the split.

        Returns
        -------
        FitData
        """
        fraction = validation_fraction if held_out is None else None
        train, valid = hold_out(dataset, validation_fraction=fraction, seed=seed)
        return cls(classes, factors, train, held_out if fraction is None else valid, held_out)


def unwrapped_rows(value: Any) -> Any:
    """Return the content of a tuple of length one.

    scikit-learn's searches slice fit parameters of the length of X; in a tuple they do not.
    """
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
