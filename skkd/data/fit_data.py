"""The data of one fit: checked (`FitInput`), then encoded and split (`FitData`)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skkd.data.dataset import Dataset, hold_out
from skkd.data.validation import RowReader, class_weights

__all__ = ["FitData", "FitInput", "Seeds", "unwrapped_rows"]


class Seeds(NamedTuple):
    """The seeds of one fit, drawn from `random_state` in the order of these fields."""

    network: int
    split: int
    teacher: int


@dataclass(frozen=True)
class FitInput:
    """The checked arguments of one fit: rows, labels and sample weights, not yet encoded.

    Parameters
    ----------
    X : container of rows
        The caller's own object.
    rows : ndarray, sparse matrix, Table or container of the caller
        X in the form that the preprocessor takes; `reader` made it.
    y : ndarray of shape (n_rows,)
        Labels.
    sample_weight : ndarray of shape (n_rows,) or None
    reader : RowReader
        Reads other rows, such as `X_val`, and checks that they have the columns of X.
    seeds : Seeds
    classes : ndarray of shape (n_classes,), default=None
        The classes of an earlier fit or those passed to `partial_fit`. None: those in `y`.
    needs_all_classes : bool, default=False
        Whether `y` must contain every one of `classes`.
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
        """Return the dataset of all rows, weighted by class weight times sample weight.

        Parameters
        ----------
        targets : dict of str to ndarray
            The targets, among them "labels" (class codes).
        class_weight_factors : ndarray of shape (n_classes,)
            The weight of each class.

        Returns
        -------
        Dataset
        """
        codes, weight = targets["labels"], self._scaled_sample_weight()
        weights = class_weight_factors[codes] * (1.0 if weight is None else weight)
        return Dataset(self.rows, targets | {"weights": weights}, index=np.arange(len(codes)))

    def class_weights(
        self, class_weight: dict | str | None, classes: np.ndarray, codes: np.ndarray
    ) -> np.ndarray:
        """Return the weight of each class; see :func:`skkd.data.validation.class_weights`."""
        return class_weights(class_weight, classes, codes, self._scaled_sample_weight())

    def _scaled_sample_weight(self) -> np.ndarray | None:
        """Return the sample weights divided by their maximum; None if none were given."""
        # The sum of the weights themselves may be infinite.
        return None if self.sample_weight is None else self.sample_weight / self.sample_weight.max()


@dataclass(frozen=True)
class FitData:
    """The data of one fit, encoded and split into training and validation rows.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    class_weights : ndarray of shape (n_classes,)
    train : Dataset
        Training rows: the rows of X that have a weight above zero and are not in `valid`.
    valid : Dataset or None
        Validation rows for early stopping: `held_out` if given, else rows split off X. None if
        there are neither.
    held_out : Dataset or None
        The validation rows that the caller passed, if any.
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
        """Split the rows of X into training rows and validation rows for early stopping.

        Parameters
        ----------
        dataset : Dataset
            All rows of X.
        classes, factors : ndarray of shape (n_classes,)
            The classes and their weights.
        held_out : Dataset or None
            Validation rows that the caller passed. If given, no rows of X are split off.
        validation_fraction : float or None
            The share of the rows to split off; None splits off none.
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
    """Return the item of a tuple of length one; return any other value unchanged.

    scikit-learn's searches slice every fit parameter that is as long as X. Users pass
    validation rows in a tuple of length one to prevent this.
    """
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
