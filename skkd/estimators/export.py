"""`skkd.export`: a fitted classifier, or its network, as one file."""

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skkd.checks import refuse

__all__ = ["export", "fitted_network"]

ALLOWED = (
    "a fitted NeuralClassifier or DistilledClassifier, its network_, or what skkd.load returned. "
    "Of a search, give best_estimator_; skl2onnx converts a Pipeline after skkd.register_skl2onnx()"
)


def export(
    model: Any,
    path: Any,
    *,
    format: str | None = None,
    X: Any = None,
    dtype="float32",
    prefix: str | None = None,
    zipmap=False,
    metadata=None,
    quantize: str | None = None,
    y: Any = None,
    min_agreement: float | None = None,
):
    """Write a fitted classifier to one file, preprocessing included.

    The bytes are run before they are written, and compared with the classifier: probabilities
    must agree within 1e-5 (with ``dtype="float64"``, 1e-9), and labels must be equal wherever
    the two most probable classes are further apart than that. Otherwise no file is written, and
    an existing one stays as it is.

    Parameters
    ----------
    model : NeuralClassifier, DistilledClassifier, LoadedClassifier or Network
        Fitted. The teacher of a DistilledClassifier is not written. What :func:`skkd.load`
        returns can be exported again, unless the file was an ONNX file.
    path : str or path-like
        The ending names the format: ``.onnx``, ``.npz``, ``.safetensors``, ``.skops``, ``.c`` or
        ``.h``. Beside C code, files of the same name that end in ``.h`` and ``.json`` are written,
        too.
    format : str, default=None
        The format, if `path` has another ending.
    X : array-like, sparse matrix or table of shape (n_rows, n_features), default=None
        Rows to compare on. None draws rows with usual numbers, extremes, missing values, known
        and unknown categories.
    dtype : {"float32", "float64"}, default="float32"
        The dtype of the weights; in ONNX and C also that of the input and of all arithmetic.
    prefix : str, default=None
        Only for ``.c`` and ``.h``: the beginning of all names in the code. None stands for
        ``skkd_``. Two classifiers in one program need two prefixes.
    zipmap : bool, default=False
        Only for ONNX in float32: whether the output `probabilities` is a sequence of maps, one
        from class to probability for each row, instead of a tensor.
    metadata : dict of str to plain value, default=None
        Written into the file beside what `fit` has left there, such as the class of the teacher
        and the date; read back as ``skkd.load(path).metadata``. It replaces entries of the same
        name.
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
        The largest difference between a probability of the file and of the classifier.

    Raises
    ------
    skkd.exporting.verify.VerificationError
        A ValueError, if the file would answer otherwise. It shows the first rows that differ.
        With `quantize`, if labels agree on fewer rows than `min_agreement`.
    TypeError
        If `model` is something else, `path` is no path, or `metadata` no dict of plain values.
    ValueError
        If the classifier cannot be exported to the format. The message names the reason;
        ``model.exports_to(dtype="float32")`` lists it for all formats.
    RuntimeError
        For ``.c`` and ``.h``, if there is no C compiler to check the file with.
    OSError
        If the file cannot be written. Then an existing file stays as it is.
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

    network = fitted_network(model)
    options = {"dtype": dtype, "prefix": prefix, "zipmap": zipmap, "metadata": metadata}
    options |= {"quantize": quantize, "y": y, "min_agreement": min_agreement}
    return export_network(network, path, format=format, X=X, **options)


def fitted_network(model: Any) -> Any:
    """Return the network of a fitted classifier.

    Parameters
    ----------
    model : NeuralClassifier, DistilledClassifier, LoadedClassifier, Network or ModuleNetwork

    Returns
    -------
    Network or ModuleNetwork
        With classes, also if the classifier comes from a pickle of a version in which networks
        had none.

    Raises
    ------
    TypeError
        If `model` is something else.
    ValueError
        If `model` was loaded from a file that does not hold its network.
    """
    from skkd.estimators.prediction import PredictionMixin
    from skkd.exporting.loaded import LoadedClassifier
    from skkd.inference.module_network import ModuleNetwork
    from skkd.inference.network import Network

    if isinstance(model, (Network, ModuleNetwork)):
        return model
    if isinstance(model, LoadedClassifier):
        return _loaded_network(model)
    if not isinstance(model, PredictionMixin):
        refuse("model", model, ALLOWED, TypeError)
    check_is_fitted(model)
    network = model.network_
    if network.classes is None:
        return network.described(model.classes_, getattr(model, "feature_names_in_", None))
    return network


def _loaded_network(model: Any) -> Any:
    """The network of a classifier that was loaded from a file."""
    from skkd.exporting.runners import NetworkRunner

    if not isinstance(model.runner, NetworkRunner):
        raise ValueError(
            "a classifier that was loaded from an ONNX file cannot be exported again: copy the "
            "file, or export the classifier that it was made from."
        )
    network, schema = model.runner.network, model.schema
    if network.schema.dtype != schema.dtype:
        raise ValueError(
            f"the file holds weights of {network.schema.dtype}, and reads rows of {schema.dtype}: "
            "export the classifier that it was made from."
        )
    return network
