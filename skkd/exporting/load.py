"""Loading an exported file as a classifier. Nothing in the file is executed."""

import os
import stat
from pathlib import Path
from typing import Any

from skkd.exporting.formats import FORMATS, path_of, resolve_format
from skkd.exporting.loaded import LoadedClassifier

__all__ = ["load"]

#: Larger files are refused before they are read.
MOST_BYTES = 2**30

#: Endings of files that are loaded.
LOADED = [ending for ending, format in FORMATS.items() if format.read is not None]

#: Endings of files that run code when they are loaded.
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def load(path: Any, format: str | None = None) -> LoadedClassifier:
    """Load a classifier from a file that :func:`skkd.export` wrote, or from an ONNX file.

    ONNX files of other programs need the outputs `label` (or `output_label`) and `probabilities`
    (or `output_probability`), as sklearn-onnx writes them: the probabilities as a tensor or as
    maps. The file must name its classes, and consist of operators that are known to be harmless.

    Parameters
    ----------
    path : str or path-like
    format : {"onnx", "npz", "safetensors", "skops"}, default=None
        The format of the file; None takes it from the ending of `path`.

    Returns
    -------
    LoadedClassifier
        With `predict`, `predict_proba`, `classes_`, `n_features_in_`, `schema`, `metadata` and,
        if the columns have names, `feature_names_in_`.

    Raises
    ------
    ValueError
        If the file is damaged, was changed, is too large, or is no classifier in this format; for
        a pickle (``.pkl``, ``.joblib``), because loading a pickle can run any code; and for C
        code. A ``.skops`` file may hold what :func:`skkd.export` writes, and no other types.
    ImportError
        If a library is missing that the format needs.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import skkd
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> clf = skkd.NeuralClassifier((8,), max_epochs=2).fit(X, [0, 0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = skkd.export(clf, f"{folder}/clf.npz")
    ...     loaded = skkd.load(f"{folder}/clf.npz")
    >>> bool(np.abs(loaded.predict_proba(X) - clf.predict_proba(X)).max() < 1e-5)
    True
    """
    path = path_of(path)
    if format is None and path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{path} is a pickle, and is not loaded: loading a pickle can run any code. Load it "
            "where it was written, and export the classifier to one of " + ", ".join(LOADED) + "."
        )
    ending = resolve_format(path, format, LOADED)
    read = FORMATS[ending].read
    if read is None:
        raise ValueError(
            f"{path} is not loaded: C code would have to be compiled and run, and nothing is run "
            "that a file holds. Export the classifier to .npz, too, and load that file."
        )
    try:
        return LoadedClassifier(read(_bytes_of(path)))
    except (ImportError, OSError):
        raise
    except Exception as error:  # a damaged file may raise any error, also of the libraries
        reason = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} cannot be loaded: it is damaged, was changed, or is not a classifier that "
            f"skkd loads in the format {ending} ({reason})."
        ) from error


def _bytes_of(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for a writer
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise ValueError(f"it has {size} bytes, and at most {MOST_BYTES} are read")
        return file.read(MOST_BYTES + 1)
