"""Predictions of fitted classifiers: labels, probabilities and logits."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skkd.checks import check_option
from skkd.data.labels import read_labels
from skkd.data.masks import refuse_mask
from skkd.data.validation import check_rows
from skkd.inference.network import log_softmax, softmax

__all__ = ["PredictionMixin", "without_array_api"]


class PredictionMixin:
    """Predictions of a classifier with a fitted `network_` and `classes_`."""

    network_: Any
    classes_: np.ndarray
    n_features_in_: int

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
            If a categorical column holds no category of the rows of `fit`.

        Raises
        ------
        ValueError
            If X has no rows, as everywhere in scikit-learn.
        """
        fitted = snapshot_of(self)
        logits = fitted._logits(X)
        return fitted.classes_[logits.argmax(axis=1)]

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
            If X has no rows, as everywhere in scikit-learn: skip an empty batch, or use
            ``np.empty((0, len(clf.classes_)))`` as its result.
        """
        return softmax(self._logits(X))

    def predict_log_proba(self, X):
        """The natural logarithm of the probability of each class, in the order of `classes_`.

        It is computed from the logits, so it is finite and accurate even for a probability that
        is too small for float64.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64

        Raises
        ------
        ValueError
            If X has no rows, as everywhere in scikit-learn.
        """
        return log_softmax(self._logits(X))

    def decision_function(self, X):
        """The logit of each class; for two classes, only the log-odds of the second class.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) for two classes, float64

        Raises
        ------
        ValueError
            If X has no rows, as everywhere in scikit-learn.
        """
        logits = self._logits(X).astype(np.float64, copy=False)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

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
        y = read_labels(y, warns=False)
        return ClassifierMixin.score(self, X, y, sample_weight)

    def predictor(self):
        """The fitted network as a function of rows, without scikit-learn's validation.

        Call it with one of these:

        - an array of floating dtype;
        - one row: a dict (name of the column -> value), or a tuple or list of values;
        - a list of rows of these forms.

        Values may be numbers, text, booleans, and None or NaN for missing values.

        Returns
        -------
        skkd.inference.predictor.Predictor
            For serving: several times as fast as `predict_proba` on a single row.

        Raises
        ------
        ValueError
            If the classifier was fitted on images, or with a transformer as `preprocessor`.

        Examples
        --------
        >>> import pandas as pd
        >>> from skkd import NeuralClassifier
        >>> X = pd.DataFrame({"age": [31, 25, 58, 60], "job": ["cook", "cook", "smith", None]})
        >>> clf = NeuralClassifier(max_epochs=2).fit(X, [0, 0, 1, 1])
        >>> predict = clf.predictor()
        >>> probabilities = predict({"age": 44, "job": "smith"})
        >>> bool((probabilities == predict((44, "smith"))).all())
        True
        """
        from skkd.inference.predictor import Predictor

        check_is_fitted(self)
        fitted = snapshot_of(self)
        names = getattr(fitted, "feature_names_in_", None)
        return Predictor(
            fitted.network_,
            fitted.classes_,
            fitted.n_features_in_,
            fitted.dtype,
            None if names is None else tuple(names.tolist()),
        )

    def export(
        self,
        path,
        *,
        format=None,
        X=None,
        dtype="float32",
        prefix=None,
        zipmap=False,
        metadata=None,
        quantize=None,
        y=None,
        min_agreement=None,
    ):
        """Write the fitted network to one file, preprocessing included.

        The bytes are run before they are written, and compared with this classifier: see
        :func:`skkd.export`.

        Parameters
        ----------
        path : str or path-like
            The ending names the format: ``.onnx``, ``.npz``, ``.safetensors``, ``.skops``, ``.c``
            or ``.h``. Beside C code, files of the same name that end in ``.h`` and ``.json`` are
            written, too.
        format : str, default=None
            The format, if `path` has another ending.
        X : array-like, sparse matrix or table of shape (n_rows, n_features), default=None
            Rows to compare on. None draws rows.
        dtype : {"float32", "float64"}, default="float32"
            The dtype of the weights; in ONNX and C also that of the input and of all arithmetic.
        prefix : str, default=None
            Only for ``.c`` and ``.h``: the beginning of all names in the code; None stands for
            ``skkd_``.
        zipmap : bool, default=False
            Only for ONNX: whether `probabilities` is a sequence of maps, one for each row.
        metadata : dict of str to plain value, default=None
            Written into the file, and read back as ``skkd.load(path).metadata``.
        quantize : {"int8"}, default=None
            "int8" rounds the layers of an ``.onnx`` file to 8-bit integers, by ONNX Runtime's own
            tool. What that costs on X is printed, and the limit of 1e-5 does not apply.
        y : array-like of shape (n_rows,), default=None
            The true labels of X, for the accuracy before and after `quantize`.
        min_agreement : float, default=None
            With `quantize`, the smallest share of rows of X whose labels must stay the same; None
            means 0.99.

        Returns
        -------
        float
            The largest difference between a probability of the file and of this classifier.

        Raises
        ------
        ValueError
            If the file would answer otherwise, or the format cannot hold this classifier. Then
            no file is written.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> import skkd
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> clf = skkd.NeuralClassifier((8,), max_epochs=2).fit(X, [0, 0, 1, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     difference = clf.export(f"{folder}/clf.npz")
        ...     loaded = skkd.load(f"{folder}/clf.npz")
        >>> difference < 1e-5, loaded.classes_.tolist()
        (True, [0, 1])
        """
        from skkd.estimators.export import export

        options = {"dtype": dtype, "prefix": prefix, "zipmap": zipmap, "metadata": metadata}
        options |= {"quantize": quantize, "y": y, "min_agreement": min_agreement}
        return export(snapshot_of(self), path, format=format, X=X, **options)

    def to_mlp_classifier(self):
        """The fitted network as scikit-learn's own `MLPClassifier`, for compilers that take one.

        The scaling is merged into its first layer. It takes no missing values. With
        ``preprocessor=None`` this classifier rounds numbers to its `dtype` first, by default
        float32, and the `MLPClassifier` does not.

        Returns
        -------
        sklearn.neural_network.MLPClassifier
            Fitted, with the same probabilities. It cannot be trained further: `partial_fit`
            raises, and `fit` starts anew.

        Raises
        ------
        ValueError
            If X has categories, numbers are clipped or binned, or the activation is not one of
            `MLPClassifier`. The default preset clips: fit with ``preprocessor="standard"``.
            If probabilities on drawn rows would differ by more than 1e-9, as for columns whose
            numbers are large and differ little.

        Examples
        --------
        >>> import numpy as np
        >>> from skkd import NeuralClassifier
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> clf = NeuralClassifier((8,), preset="plain", max_epochs=2).fit(X, [0, 0, 1, 1])
        >>> mlp = clf.to_mlp_classifier()
        >>> bool(np.allclose(mlp.predict_proba(X), clf.predict_proba(X)))
        True
        """
        from skkd.estimators.export import fitted_network
        from skkd.exporting.mlp_classifier import mlp_classifier

        return mlp_classifier(fitted_network(snapshot_of(self)))

    def exports_to(self, dtype="float32"):
        """The formats of :meth:`export`, and what keeps this classifier from each.

        Before `fit` only the parameters are known: `fit` may find more, such as categories that
        are neither text nor numbers. A fitted `module` is converted by torch, which takes seconds
        at the first call.

        Parameters
        ----------
        dtype : {"float32", "float64"}, default="float32"
            The dtype that `export` is to get.

        Returns
        -------
        dict of str to (str or None)
            By the ending of the file. None: the format can hold this classifier.

        Examples
        --------
        >>> from skkd import NeuralClassifier
        >>> NeuralClassifier().exports_to()
        {'.onnx': None, '.npz': None, '.safetensors': None, '.skops': None, '.c': None, '.h': None}
        """
        from skkd.estimators.export import fitted_network
        from skkd.exporting.formats import FORMATS
        from skkd.exporting.obstacles import obstacle_of_parameters
        from skkd.exporting.verify import TOLERANCES
        from skkd.exporting.write import obstacles

        check_option("dtype", dtype, TOLERANCES)
        fitted: Any = snapshot_of(self)
        if fitted.__sklearn_is_fitted__():
            return obstacles(fitted_network(fitted), dtype)
        return {
            ending: obstacle_of_parameters(fitted.module, fitted.preprocessor, f.holds_modules)
            for ending, f in FORMATS.items()
        }

    @property
    def module_(self):
        """A new torch module with the fitted weights, in eval mode."""
        check_is_fitted(self)
        return self.network_.module()

    def _logits(self, X: Any) -> np.ndarray:
        fitted = snapshot_of(self)
        if not fitted.__sklearn_is_fitted__():
            check_is_fitted(fitted)  # raises; not always called, as it is as slow as the network
        preprocessor = fitted.network_.preprocessor
        with without_array_api():
            rows = check_rows(
                fitted,
                X,
                reset=False,
                preprocessor=preprocessor.reads_as,
                dtype=fitted.dtype,
                categorical=preprocessor.categorical,
                allow_nd=fitted.module is not None,
            )
            preprocessor.warn_of_unknown(rows, getattr(fitted, "feature_names_in_", None))
            return fitted.network_.logits(rows)


def snapshot_of(estimator: Any) -> Any:
    """Return a copy of the estimator that a fit in another thread does not change.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    estimator
        A new object with the same `__dict__`. When a fit ends, it gives the estimator a new
        `__dict__`; the copy keeps the old one.
    """
    cls: Any = type(estimator)
    same = cls.__new__(cls)
    same.__dict__ = vars(estimator)
    return same


def without_array_api() -> AbstractContextManager:
    """Context in which scikit-learn reads rows as NumPy arrays, without array API dispatch."""
    is_on = get_config()["array_api_dispatch"]
    return config_context(array_api_dispatch=False) if is_on else nullcontext()
