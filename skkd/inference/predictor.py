"""Fast predictions for NumPy arrays and rows of plain values, without scikit-learn's validation.

scikit-learn's validation takes several times as long as a small network. A :class:`Predictor`
makes only a few checks. It is for programs that predict one or a few rows at a time.
"""

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from skkd.data.plain_rows import ROW_TYPES, read_plain_rows
from skkd.inference.network import softmax
from skkd.preprocessing.preprocessor import ColumnPreprocessor, PassThrough

__all__ = ["Predictor"]


@dataclass(frozen=True)
class Predictor:
    """A fast form of a fitted classifier's `predict_proba`, for arrays and rows of plain values.

    Call the predictor like a function. It takes a floating array, one row of plain values (a
    dict, a tuple or a list) or a list of such rows. It returns the same probabilities as
    `predict_proba`. A predictor is immutable, can be pickled, and can be called from several
    threads at once. It needs torch only if the network is a custom module.

    Parameters
    ----------
    network : skkd.inference.network.Network or skkd.inference.module_network.ModuleNetwork
    classes : ndarray of shape (n_classes,)
        The class of each column of the probabilities.
    n_features : int
        The number of columns of X.
    dtype : str
        X is converted to this dtype if the network has no preprocessing
        (``preprocessor=None``).
    names : tuple of str, default=None
        The names of the columns; None if they have no names. Then a row cannot be a dict.

    Examples
    --------
    >>> import numpy as np
    >>> from skkd import NeuralClassifier
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> predictor = NeuralClassifier(max_epochs=2).fit(X, [0, 0, 1, 1]).predictor()
    >>> predictor(X[:1]).shape
    (1, 2)

    Rows of plain values are taken as well. Here a table had text and a missing value in `fit`:

    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [31, None, 58, 60], "job": ["cook", "cook", "smith", None]})
    >>> clf = NeuralClassifier(max_epochs=2).fit(X, [0, 0, 1, 1])
    >>> predictor = clf.predictor()
    >>> row = {"age": 44, "job": "smith"}
    >>> bool((predictor(row) == clf.predict_proba(pd.DataFrame([row]))).all())
    True
    >>> predictor([(44, "smith"), (None, "cook")]).shape
    (2, 2)
    """

    network: Any
    classes: np.ndarray
    n_features: int
    dtype: str
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.network.preprocessor, (PassThrough, ColumnPreprocessor)):
            raise ValueError(
                "a predictor takes rows of a table, and this classifier was fitted on images, or "
                "with a transformer as preprocessor: use predict_proba."
            )

    def __repr__(self) -> str:
        kind, n_classes = type(self.network).__name__, len(self.classes)
        return f"Predictor({kind}, {self.n_features} columns, {n_classes} classes)"

    def __call__(self, X: Any) -> np.ndarray:
        """Compute the class probabilities of rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), dict, tuple or list
            An array must be floating. One row of plain values is a dict from the names of the
            columns to the values, or a tuple or list of the values in the order of the columns.
            Several rows are a list of such rows. A missing value is NaN, or among plain values
            also None or pandas' NA.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            A single row of plain values gives an array of shape (1, n_classes).

        Warns
        -----
        UserWarning
            If a categorical column of X holds none of the categories that it had in `fit`.

        Raises
        ------
        ValueError
            - If X has another type or shape, or no rows.
            - If X holds infinity, or text in a numeric column.
            - If a value is missing and the classifier has ``preprocessor=None``.
            - If a dict lacks a column or has an unknown one.
        TypeError
            If a value is a date or a time, or is not hashable, such as a list.
        """
        rows = self._array(X) if type(X) is np.ndarray else self._plain_rows(X)
        return softmax(self.network.logits(rows))

    def _array(self, X: np.ndarray) -> np.ndarray:
        """Check an array, and convert it to the form that the network takes."""
        if X.ndim != 2 or X.dtype.kind != "f" or X.shape[1] != self.n_features or len(X) == 0:
            self._refuse(f"{X.dtype} of shape {X.shape}")
        preprocessor = self.network.preprocessor
        is_passed = isinstance(preprocessor, PassThrough)
        with np.errstate(over="ignore", invalid="ignore"):
            rows = X.astype(self.dtype, copy=False) if is_passed else X
            is_finite = np.isfinite(np.add.reduce(rows, axis=None))
        if not is_finite:
            refused = ~np.isfinite(rows) if is_passed else np.isinf(rows)
            if refused.any():
                row, column = np.argwhere(refused)[0]
                raise ValueError(f"X holds {X[row, column]} in row {row}, column {column}.")
        if not is_passed and preprocessor.one_hot:
            preprocessor.warn_of_unknown(rows, self.names)
        return rows

    def _plain_rows(self, X: Any) -> Any:
        """Read rows of plain values, and convert them to the form that the network takes."""
        if not isinstance(X, ROW_TYPES):
            self._refuse(type(X).__name__)
        if len(X) == 0:
            self._refuse(repr(X))
        preprocessor = self.network.preprocessor
        if isinstance(preprocessor, PassThrough):
            rows = read_plain_rows(X, self.n_features, self.names, range(self.n_features))
            if isinstance(rows, np.ndarray):
                return self._array(rows)
            raise ValueError(
                "X holds a value that is not a number, which preprocessor=None does not allow."
            )
        numeric = preprocessor.numeric.tolist()
        rows = read_plain_rows(X, self.n_features, self.names, numeric)
        preprocessor.warn_of_unknown(rows, self.names)
        return rows

    def _refuse(self, received: str) -> NoReturn:
        raise ValueError(
            f"X={received} is not allowed: give a floating ndarray of shape (n_rows, "
            f"{self.n_features}), a dict, a tuple of {self.n_features} values, or a list of dicts "
            "or tuples."
        )
