"""What a fitted classifier says of rows: labels, probabilities, logits."""

from contextlib import nullcontext

import numpy as np
from sklearn import config_context, get_config
from sklearn.utils.validation import check_is_fitted

from skkd.labels import read_labels
from skkd.masks import refuse_mask
from skkd.network import log_softmax, softmax

__all__ = ["PredictionMixin", "without_array_api"]


class PredictionMixin:
    """The answers of a classifier with a fitted `network_`, `classes_` and `_read_rows`."""

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), of the dtype of `classes_`

        Warns
        -----
        UserWarning
            Where a categorical column holds no category that `fit` knew.

        Raises
        ------
        ValueError
            For no rows, as in all of scikit-learn.
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X):
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            Rows sum to 1 within 1e-12; no entry is 0.

        Raises
        ------
        ValueError
            For no rows, as in all of scikit-learn: skip an empty batch, or take
            ``np.empty((0, len(clf.classes_)))`` for its answer.
        """
        return softmax(self._logits(X))

    def predict_log_proba(self, X):
        """The logarithm of each class's probability, exact and always finite.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64

        Raises
        ------
        ValueError
            For no rows, as in all of scikit-learn.
        """
        return log_softmax(self._logits(X))

    def decision_function(self, X):
        """The logits; for two classes, the log-odds of the second.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) for two classes, float64

        Raises
        ------
        ValueError
            For no rows, as in all of scikit-learn.
        """
        logits = self._logits(X).astype(np.float64, copy=False)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def score(self, X, y, sample_weight=None):
        """The accuracy of `predict`.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
            Labels of any type that `fit` takes.
        sample_weight : array-like of shape (n_rows,), default=None

        Returns
        -------
        float
        """
        refuse_mask(sample_weight, "sample_weight")
        return super().score(X, read_labels(y, warns=False), sample_weight)

    def predictor(self):
        """The fitted network as a function of an array, without scikit-learn's validation.

        Returns
        -------
        skkd.predictor.Predictor
            For serving: several times as fast as `predict_proba` for a single row.

        Raises
        ------
        ValueError
            If the rows of `fit` were anything but numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from skkd import NeuralClassifier
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> clf = NeuralClassifier(max_epochs=2).fit(X, [0, 0, 1, 1])
        >>> bool((clf.predictor()(X) == clf.predict_proba(X)).all())
        True
        """
        from skkd.predictor import Predictor

        check_is_fitted(self)
        return Predictor(self.network_, self.classes_, self.n_features_in_, self.dtype)

    @property
    def module_(self):
        """A new torch module with the fitted weights, in eval mode."""
        check_is_fitted(self)
        return self.network_.module()

    def _logits(self, X):
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # raises; where it need not, it takes as long as the network
        with without_array_api():
            return self.network_.logits(self._read_rows(X, reset=False, as_fitted=True))

    def __sklearn_is_fitted__(self):
        return "network_" in vars(self)


def without_array_api():
    """scikit-learn reads rows as NumPy arrays, whatever its configuration says."""
    is_on = get_config()["array_api_dispatch"]
    return config_context(array_api_dispatch=False) if is_on else nullcontext()
