"""Fast predictions for NumPy arrays, without scikit-learn's validation of X.

scikit-learn's validation takes several times as long as a small network. A :class:`Predictor`
makes only a few checks. It is for programs that predict one or a few rows at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.inference.network import softmax
from skkd.preprocessing.preprocessor import ColumnPreprocessor, PassThrough

__all__ = ["Predictor"]


@dataclass(frozen=True)
class Predictor:
    """A fast form of a fitted classifier's `predict_proba`, which takes only floating arrays.

    Call the predictor like a function. It returns the same probabilities as `predict_proba`.
    A predictor is immutable, can be pickled, and can be called from several threads at once. It
    needs torch only if the network is a custom module.

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

    Examples
    --------
    >>> import numpy as np
    >>> from skkd import NeuralClassifier
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> predictor = NeuralClassifier(max_epochs=2).fit(X, [0, 0, 1, 1]).predictor()
    >>> predictor(X[:1]).shape
    (1, 2)
    """

    network: Any
    classes: np.ndarray
    n_features: int
    dtype: str

    def __post_init__(self) -> None:
        preprocessor = self.network.preprocessor
        has_categories = isinstance(preprocessor, ColumnPreprocessor) and preprocessor.one_hot
        if not isinstance(preprocessor, (PassThrough, ColumnPreprocessor)) or has_categories:
            raise ValueError(
                "a predictor takes arrays of numbers, and this classifier was fitted on something "
                "else (categories, images, rows for a transformer of its own): use predict_proba."
            )

    def __repr__(self) -> str:
        kind, n_classes = type(self.network).__name__, len(self.classes)
        return f"Predictor({kind}, {self.n_features} columns, {n_classes} classes)"

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Compute the class probabilities of rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), floating
            NaN stands for a missing value. It is refused if ``preprocessor=None``.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64

        Raises
        ------
        ValueError
            If X is not a floating ndarray of this shape, has no rows, or holds infinity (or
            NaN, with ``preprocessor=None``).
        """
        is_array = type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind == "f"
        if not is_array or X.shape[1] != self.n_features or len(X) == 0:
            received = (
                f"{X.dtype} of shape {X.shape}" if type(X) is np.ndarray else type(X).__name__
            )
            raise ValueError(
                f"X={received} is not allowed: give a floating ndarray of shape (n_rows, "
                f"{self.n_features})."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(np.add.reduce(X, axis=None))
        if not is_finite:
            self._refuse_infinities(X)
        if isinstance(self.network.preprocessor, PassThrough):
            X = X.astype(self.dtype, copy=False)
        return softmax(self.network.logits(X))

    def _refuse_infinities(self, X: np.ndarray) -> None:
        allows_nan = isinstance(self.network.preprocessor, ColumnPreprocessor)
        refused = np.isinf(X) if allows_nan else ~np.isfinite(X)
        if refused.any():
            row, column = np.argwhere(refused)[0]
            raise ValueError(f"X holds {X[row, column]} in row {row}, column {column}.")
