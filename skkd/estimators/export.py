"""`skkd.export`: a fitted classifier, or its network, as one file."""

from typing import Any

from sklearn.utils.validation import check_is_fitted

__all__ = ["export"]


def export(model: Any, path: Any, *, format: str | None = None, X: Any = None, dtype="float32"):
    """Write a fitted classifier to one file, preprocessing included.

    The bytes are run before they are written, and compared with the classifier: probabilities
    must agree within 1e-5 (with ``dtype="float64"``, 1e-9), and labels must be equal wherever
    the two most probable classes are further apart than that. Otherwise no file is written, and
    an existing one stays as it is.

    Parameters
    ----------
    model : NeuralClassifier, DistilledClassifier or skkd.inference.network.Network
        Fitted. The teacher of a DistilledClassifier is not written.
    path : str or path-like
        The ending names the format: ``.onnx``, ``.npz`` or ``.safetensors``.
    format : str, default=None
        The format, if `path` has another ending.
    X : array-like, sparse matrix or table of shape (n_rows, n_features), default=None
        Rows to compare on. None draws rows with usual numbers, extremes, missing values, known
        and unknown categories.
    dtype : {"float32", "float64"}, default="float32"
        The dtype of the weights; in ONNX also that of the input and of all arithmetic.

    Returns
    -------
    float
        The largest difference between a probability of the file and of the classifier.

    Raises
    ------
    skkd.exporting.verify.VerificationError
        A ValueError, if the file would answer otherwise. It shows the first rows that differ.
    ValueError
        If the classifier cannot be exported to the format. The message names the reason;
        ``model.exports_to()`` lists it for all formats.
    ImportError
        If a library is missing: ``pip install 'skkd[export]'``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import skkd
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> clf = skkd.NeuralClassifier((8,), max_epochs=2).fit(X, [0, 0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     difference = skkd.export(clf, f"{folder}/clf.npz", X=X)
    >>> difference < 1e-5
    True
    """
    from skkd.exporting.write import export_network

    if hasattr(model, "get_params"):
        check_is_fitted(model)
    return export_network(getattr(model, "network_", model), path, format=format, X=X, dtype=dtype)
