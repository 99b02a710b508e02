"""The input view that a classifier asks for: which encodings of numbers, fitted to which rows."""

from scipy import sparse

from skkd.checks import is_auto
from skkd.data.validation import resolve_categorical
from skkd.preprocessing.encodings import PiecewiseLinear, TeacherBins, resolve_encoding
from skkd.preprocessing.preprocessor import fit_view
from skkd.presets import is_narrow, layer_sizes

__all__ = ["encodings_of", "may_spread", "view_of"]

#: Numbers of more columns are not spread for a try: thousands of inputs take their time. Nor
#: are those of fewer rows: a tenth of them tells too little.
MOST_SPREAD, FEWEST_SPREAD = 100, 2000


def may_spread(estimator, settings, n_rows):
    """Whether more inputs are worth a try: a wide network bends by itself.

    Parameters
    ----------
    estimator : NeuralClassifier
        That has seen the columns.
    settings : NeuralClassifier
        Its parameters, with the values of its preset.
    n_rows : int

    Returns
    -------
    bool
    """
    if not (is_auto(estimator.numeric_encoding) and is_narrow(settings)):
        return False
    if n_rows < FEWEST_SPREAD:
        return False
    if not layer_sizes(settings.hidden_layer_sizes):  # softmax regression stays linear
        return False
    return getattr(estimator, "n_features_in_", MOST_SPREAD + 1) <= MOST_SPREAD


def encodings_of(estimator, settings, rows, thresholds, can_spread=False):
    """The numeric encodings worth comparing; the first is taken if that cannot be.

    Parameters
    ----------
    estimator, settings : NeuralClassifier
    rows : ndarray, sparse matrix or Table
    thresholds : dict or None
        Of a teacher.
    can_spread : bool, default=False
        Whether bins for all numbers may be tried.

    Returns
    -------
    list of (skkd.preprocessing.encodings.PiecewiseLinear or None)
    """
    encoding = resolve_encoding("numeric_encoding", settings.numeric_encoding)
    if is_auto(estimator.numeric_encoding) and sparse.issparse(rows):
        return [None]
    if encoding is None or not can_spread:
        return [encoding]
    return [encoding, TeacherBins() if thresholds else PiecewiseLinear()]


def view_of(estimator, settings, train, classes, encoding, thresholds):
    """The input view, fitted to some rows.

    Parameters
    ----------
    estimator, settings : NeuralClassifier
    train : skkd.data.dataset.Examples
    classes : ndarray of shape (n_classes,)
    encoding : skkd.preprocessing.encodings.PiecewiseLinear or None
    thresholds : dict or None
        Of a teacher.

    Returns
    -------
    skkd.preprocessing.preprocessor.View
    """
    categorical = ()
    if isinstance(estimator.preprocessor, str):
        names = getattr(estimator, "feature_names_in_", None)
        categorical = resolve_categorical(estimator.categorical_features, train.rows, names)
    return fit_view(
        settings.preprocessor,
        train.rows,
        classes[train.targets["labels"]],
        train.targets["weights"],
        categorical,
        encoding=encoding,
        thresholds=thresholds,
    )
