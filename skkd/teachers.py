"""A teacher's opinion of rows: probabilities, checked and in the order of the classes.

A teacher is any object with `predict_proba`; where that is missing `decision_function`
serves, and a plain function of X that returns probabilities does too. It is frozen: it
is asked, never fitted and never changed, and it sees the caller's own X.
"""

import inspect
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_is_fitted, has_fit_parameter

from skkd.network import softmax
from skkd.parameters import refuse

__all__ = [
    "TeacherMismatchWarning",
    "agreement_with",
    "align",
    "ask",
    "check_probabilities",
    "fit_clone",
    "freeze",
    "is_fitted",
]

#: How far a row of probabilities may sum from 1.
SUM_TOLERANCE = 1e-3


class TeacherMismatchWarning(UserWarning):
    """A teacher knows no more of these rows than chance does."""


def freeze(teacher):
    """A teacher that `clone` shares instead of unfitting it.

    Parameters
    ----------
    teacher : object
        A fitted classifier, or anything else that answers.

    Returns
    -------
    sklearn.frozen.FrozenEstimator
        The teacher itself if it is frozen already.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from sklearn.dummy import DummyClassifier
    >>> teacher = DummyClassifier().fit([[0], [1]], [0, 1])
    >>> clone(freeze(teacher)).estimator is teacher
    True
    """
    return teacher if isinstance(teacher, FrozenEstimator) else FrozenEstimator(teacher)


def is_fitted(teacher):
    """Whether a teacher can answer now.

    Parameters
    ----------
    teacher : object
        One without `get_params` (a function, a wrapper of one's own) counts as fitted.

    Returns
    -------
    bool
    """
    if isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    if not hasattr(teacher, "get_params") or not hasattr(teacher, "fit"):
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    except TypeError:  # no scikit-learn estimator: it must know itself
        return True
    return True


def fit_clone(teacher, X, y, sample_weight, seed):
    """A clone of a teacher, fitted.

    Parameters
    ----------
    teacher : estimator
        Frozen or not; it stays as it is.
    X, y : array-like
    sample_weight : array-like or None
        Handed on where the teacher takes it.
    seed : int
        For every random_state in it that is None.

    Returns
    -------
    estimator
    """
    fresh = clone(teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher)
    random_states = [k for k in fresh.get_params() if k.split("__")[-1] == "random_state"]
    fresh.set_params(**{k: seed for k in random_states if fresh.get_params()[k] is None})
    takes_weight = sample_weight is not None and has_fit_parameter(fresh, "sample_weight")
    return fresh.fit(X, y, **({"sample_weight": sample_weight} if takes_weight else {}))


def ask(teacher, X, batch_size=None):
    """A teacher's probabilities of rows, checked.

    Parameters
    ----------
    teacher : object with predict_proba or decision_function, or a function of X
    X : array-like or table of n_rows rows
        As the caller has it.
    batch_size : int, default=None
        Rows per question; None asks once.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), float64
    classes : ndarray of shape (n_columns,) or None
        What the columns mean, as far as the teacher says.
    """
    if isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    if inspect.isclass(teacher):
        refuse("teacher", teacher, "a fitted classifier, not its class", TypeError)
    if hasattr(teacher, "predict_proba"):
        answer = teacher.predict_proba
    elif hasattr(teacher, "decision_function"):
        answer = lambda rows: _probabilities_of_scores(teacher, rows)  # noqa: E731
    elif callable(teacher):
        answer = teacher
    else:
        refuse(
            "teacher",
            teacher,
            "a fitted classifier with predict_proba or decision_function, or a function of X",
            TypeError,
        )
    n_rows = _num_samples(X)
    size = batch_size or n_rows
    answers = [
        answer(X if size >= n_rows else _safe_indexing(X, np.arange(start, stop)))
        for start, stop in ((s, min(s + size, n_rows)) for s in range(0, n_rows, size))
    ]
    for given in answers:
        if isinstance(given, list):
            raise ValueError(
                "teacher answers with a list of arrays, one per output: a teacher must have one "
                "output."
            )
    probabilities = np.concatenate([np.asarray(given, dtype=np.float64) for given in answers])
    return check_probabilities(probabilities, n_rows), getattr(teacher, "classes_", None)


def check_probabilities(probabilities, n_rows, name="teacher"):
    """Probabilities as float64 whose rows sum to 1; what is no probability is refused.

    Parameters
    ----------
    probabilities : array-like of shape (n_rows, n_columns)
    n_rows : int
    name : str, default="teacher"
        Whose they are, for the message.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), float64

    Examples
    --------
    >>> check_probabilities([[0.5, 0.7]], n_rows=1)
    Traceback (most recent call last):
        ...
    ValueError: teacher gives no probabilities in row 0: [0.5, 0.7] sums to 1.2, not to 1 (are \
these logits?).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(
            f"{name} must give one probability per row and class, an array of shape (n_rows, "
            f"n_classes); it gave shape {p.shape}."
        )
    if len(p) != n_rows:
        raise ValueError(
            f"{name} gives {len(p)} rows for the {n_rows} rows of X: a meta-estimator may have "
            "sliced one of them and not the other."
        )
    faults = (
        (~np.isfinite(p).all(axis=1), "is not finite"),
        ((p < -1e-6).any(axis=1), "has a negative entry"),
        (abs(p.sum(axis=1) - 1) > SUM_TOLERANCE, "sums to {total:.6g}, not to 1"),
    )
    for is_faulty, fault in faults:
        if is_faulty.any():
            row = int(np.flatnonzero(is_faulty)[0])
            values = ", ".join(f"{value:.6g}" for value in p[row][:6])
            more = ", ..." if p.shape[1] > 6 else ""
            raise ValueError(
                f"{name} gives no probabilities in row {row}: [{values}{more}] "
                f"{fault.format(total=p[row].sum())} (are these logits?)."
            )
    p = np.maximum(p, 0.0)
    return p / p.sum(axis=1, keepdims=True)


def align(probabilities, teacher_classes, classes, on_class_mismatch="raise"):
    """Columns in the order of `classes`.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_columns)
    teacher_classes : array-like of shape (n_columns,) or None
        None means the classes themselves, in their order.
    classes : ndarray of shape (n_classes,)
        The student's.
    on_class_mismatch : {"raise", "teacher", "intersect"}, default="raise"
        "raise" wants both sets equal; otherwise a class that the teacher does not know
        has probability 0, and the mass of one that only the teacher knows is spread
        over the others (a row without any is left all zero).

    Returns
    -------
    ndarray of shape (n_rows, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> align(np.array([[0.9, 0.1]]), ["b", "a"], np.array(["a", "b"]))
    array([[0.1, 0.9]])
    """
    columns = classes if teacher_classes is None else np.asarray(teacher_classes)
    if len(columns) != probabilities.shape[1]:
        raise ValueError(
            f"teacher gives {probabilities.shape[1]} columns for {len(columns)} classes: without "
            "classes_ of its own its columns must be the sorted labels of y."
        )
    position = {label: j for j, label in enumerate(columns.tolist())}
    wanted = classes.tolist()
    if on_class_mismatch == "raise" and set(position) != set(wanted):
        raise ValueError(
            f"teacher knows the classes {sorted(position, key=str)}, y holds {wanted}. If y is "
            "yours, set on_class_mismatch to 'teacher' or 'intersect'. If not, a meta-estimator "
            "has re-encoded it: encode the labels to 0..K-1 before fitting the teacher."
        )
    if not set(position) & set(wanted):
        raise ValueError(
            f"teacher knows the classes {sorted(position, key=str)}, y holds {wanted}: they have "
            "none in common."
        )
    aligned = np.zeros((len(probabilities), len(wanted)))
    for j, label in enumerate(wanted):
        if label in position:
            aligned[:, j] = probabilities[:, position[label]]
    mass = aligned.sum(axis=1, keepdims=True)
    return np.divide(aligned, mass, out=aligned, where=mass > 0)


def agreement_with(probabilities, codes):
    """Balanced accuracy of a teacher's first choices, with a warning at chance level.

    Balanced, because a good teacher of rare classes may be less accurate than always
    naming the most frequent one.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
    codes : ndarray of int of shape (n_rows,)

    Returns
    -------
    float
    """
    if len(codes) == 0:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that only the teacher names
        agreement = float(balanced_accuracy_score(codes, probabilities.argmax(axis=1)))
    n_present = len(np.unique(codes))
    if n_present > 1 and agreement <= 1 / n_present + 0.05:
        warnings.warn(
            f"teacher agrees with y no more than chance does (balanced accuracy {agreement:.3f}): "
            "are these the rows it was fitted on, unscaled and with their columns in order?",
            TeacherMismatchWarning,
            stacklevel=2,
        )
    return agreement


def _probabilities_of_scores(teacher, X):
    """Softmax of a decision function; for two classes its scores are log-odds."""
    scores = np.asarray(teacher.decision_function(X), dtype=np.float64)
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    n_classes = len(teacher.classes_)
    if scores.shape[1] != n_classes:
        raise ValueError(
            f"decision_function of teacher gives {scores.shape[1]} scores for {n_classes} classes "
            "(one-vs-one?): calibrate it with CalibratedClassifierCV, or set "
            "decision_function_shape='ovr'."
        )
    return softmax(scores)
