"""The classifier that a file is loaded as."""

import json
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from skkd.exporting.content import repack, unpack
from skkd.exporting.rows import read_rows
from skkd.exporting.runners import NetworkRunner, Runner

__all__ = ["LoadedClassifier"]


class LoadedClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that was loaded from a file. It predicts, and cannot be fitted.

    :func:`skkd.load` makes it. It serves wherever scikit-learn wants a fitted classifier, also as
    the teacher of a :class:`skkd.DistilledClassifier`. A clone of it is the classifier itself.

    Parameters
    ----------
    runner : skkd.exporting.runners.Runner
        The content of the file.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if the rows of ``fit`` had names.
    schema : skkd.inference.schema.Schema
        The columns, their categories, and the classes.
    metadata : dict
        What the file says about the training: the estimator, the class of the teacher, metrics
        on held-out rows, and the argument `metadata` of :func:`skkd.export`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import skkd
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> clf = skkd.NeuralClassifier((8,), max_epochs=2).fit(X, ["no", "no", "yes", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = clf.export(f"{folder}/clf.npz", dtype="float64")
    ...     loaded = skkd.load(f"{folder}/clf.npz")
    >>> loaded.classes_.tolist(), loaded.n_features_in_
    (['no', 'yes'], 1)
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    @property
    def schema(self):
        """The columns, their categories, and the classes."""
        return self.runner.schema

    @property
    def metadata(self):
        """What the file says about the training, by name: a new dict each time."""
        return deepcopy(self.runner.metadata)

    @property
    def classes_(self):
        """The classes, in the order of the probabilities: a new array each time."""
        return self.runner.schema.classes.copy()

    @property
    def n_features_in_(self):
        """The number of columns of X."""
        return len(self.runner.schema.features)

    @property
    def feature_names_in_(self):
        """The names of the columns of X."""
        if not self.runner.schema.has_names:
            raise AttributeError("the rows of fit had no names of columns.")
        return np.array(self.runner.schema.names, dtype=object)

    def fit(self, X, y=None):
        """Raise a TypeError, because what was loaded from a file cannot be fitted.

        Parameters
        ----------
        X, y : object
            Not used.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            "a classifier that was loaded from a file cannot be fitted: fit a NeuralClassifier or "
            "a DistilledClassifier."
        )

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            Columns of a table are taken by name.

        Returns
        -------
        ndarray of shape (n_rows,), of the dtype of `classes_`
        """
        return self.runner.run(self._rows(X))[0]

    def predict_proba(self, X):
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            Columns of a table are taken by name.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            Rows sum to 1 within 1e-12; no entry is 0.
        """
        return self.runner.run(self._rows(X))[1]

    def _rows(self, X: Any) -> Any:
        return read_rows(self.schema, X, type(self).__name__)

    def __getstate__(self):
        """The header and the arrays, if the file held a network; skops writes them, too."""
        if not isinstance(self.runner, NetworkRunner):
            return super().__getstate__()
        arrays, header = repack(self.runner.network, self.runner.schema)
        return {"header": json.dumps(header), "arrays": arrays}

    def __setstate__(self, state):
        if "header" in state:
            self.runner = NetworkRunner(*unpack(state["arrays"], json.loads(state["header"])))
        else:
            super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        return self

    def __repr__(self):
        kind = type(self.runner).__name__.removesuffix("Runner")
        n_columns, n_classes = self.n_features_in_, len(self.classes_)
        return f"LoadedClassifier({kind}, {n_columns} columns, {n_classes} classes)"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.schema.allows_missing
        tags.input_tags.sparse = not self.schema.categorical
        tags.input_tags.string = tags.input_tags.categorical = bool(self.schema.categorical)
        return tags
