"""Probabilities at once: a fitted network behind a few checks of a NumPy array.

scikit-learn's validation takes several times as long as a small network. Who serves one
row at a time, from arrays of a known kind, can leave it out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.inference.network import softmax
from skkd.preprocessing.preprocessor import ColumnPreprocessor, PassThrough

__all__ = ["Predictor"]


@dataclass(frozen=True)
class Predictor:
    """A function of a floating array that gives what `predict_proba` gives.

    It holds plain data, never changes, pickles, and may be called from any number of
    threads. For the built-in network it needs no torch.

    Parameters
    ----------
    network : skkd.inference.network.Network or skkd.inference.module_network.ModuleNetwork
    classes : ndarray of shape (n_classes,)
        What the columns of an answer mean.
    n_features : int
        Columns of an array.
    dtype : str
        What rows are rounded to where no scaling comes before.

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

    def __post_init__(self):
        preprocessor = self.network.preprocessor
        has_categories = isinstance(preprocessor, ColumnPreprocessor) and preprocessor.one_hot
        if not isinstance(preprocessor, (PassThrough, ColumnPreprocessor)) or has_categories:
            raise ValueError(
                "a predictor takes arrays of numbers, and this classifier was fitted on something "
                "else (categories, images, rows for a transformer of its own): use predict_proba."
            )

    def __repr__(self):
        kind, n_classes = type(self.network).__name__, len(self.classes)
        return f"Predictor({kind}, {self.n_features} columns, {n_classes} classes)"

    def __call__(self, X):
        """Probabilities of rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), floating
            NaN is a missing value where the network fills them.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64

        Raises
        ------
        ValueError
            For anything else.
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

    def _refuse_infinities(self, X):
        takes_gaps = isinstance(self.network.preprocessor, ColumnPreprocessor)
        refused = np.isinf(X) if takes_gaps else ~np.isfinite(X)
        if refused.any():
            row, column = np.argwhere(refused)[0]
            raise ValueError(f"X holds {X[row, column]} in row {row}, column {column}.")
