"""Teachers: who can teach, how each kind is asked, and whether it knows these rows.

A teacher is any object with `predict_proba`; where that is missing `decision_function`
serves. A torch module that gives logits, a function of X that returns probabilities and
a list of (teacher, weight) teach, too. A teacher is frozen: it is asked, never fitted
and never changed, and it sees the caller's own X.
"""

import inspect
import sys
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils import InputTags, _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples, check_is_fitted, has_fit_parameter

from skkd.network import softmax
from skkd.parameters import refuse
from skkd.soft_labels import as_array, check_probabilities
from skkd.teacher_cache import remembered_answer, remembered_teacher

__all__ = [
    "Opinion",
    "TeacherMismatchWarning",
    "agreement_with",
    "ask",
    "fit_and_hear",
    "freeze",
    "hear",
    "input_tags_of",
    "is_fitted",
    "members_of",
    "unwrapped",
]

#: Rows per forward pass of a torch module.
MODULE_ROWS = 4096

_modes_lock = threading.RLock()


class TeacherMismatchWarning(UserWarning):
    """A teacher knows no more of these rows than chance does."""


@dataclass
class Opinion:
    """What one teacher says of all rows."""

    probabilities: np.ndarray  #: (n_rows, n_columns), float64
    classes: object  #: what the columns mean, as far as the teacher says; or None
    weight: float = 1.0


def freeze(teacher):
    """A teacher that `clone` shares instead of unfitting or copying it.

    Parameters
    ----------
    teacher : object
        A fitted classifier, a list of them, or anything else that answers.

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


def unwrapped(teacher):
    """The teacher inside of a FrozenEstimator, or itself."""
    while isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    return teacher


def members_of(teacher):
    """A teacher as a list of (teacher, weight), unwrapped.

    Parameters
    ----------
    teacher : object or list of (object, float)

    Returns
    -------
    list of (object, float)
    """
    teacher = unwrapped(teacher)
    if not isinstance(teacher, (list, tuple)):
        return [(teacher, 1.0)]
    allowed = "a list of (teacher, weight) pairs, of weights above zero"
    if not teacher or not all(isinstance(m, (list, tuple)) and len(m) == 2 for m in teacher):
        refuse("teacher", teacher, allowed, TypeError)
    weights = np.array([weight for _, weight in teacher], dtype=np.float64)
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        refuse("teacher", teacher, allowed)
    return [(unwrapped(member), float(weight)) for member, weight in teacher]


def is_fitted(teacher):
    """Whether a teacher can answer now.

    Parameters
    ----------
    teacher : object
        One without `get_params` (a function, a wrapper of one's own) counts as fitted,
        a list if all its members are.

    Returns
    -------
    bool
    """
    teacher = unwrapped(teacher)
    if isinstance(teacher, (list, tuple)):
        return all(is_fitted(member) for member, _ in members_of(teacher))
    if not hasattr(teacher, "get_params") or not hasattr(teacher, "fit"):
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    except TypeError:  # no scikit-learn estimator: it must know itself
        return True
    return True


def input_tags_of(teacher):
    """What rows a teacher takes, as far as it says so.

    Parameters
    ----------
    teacher : object or list of (object, float)

    Returns
    -------
    sklearn.utils.InputTags
    """
    found = InputTags(sparse=True, allow_nan=True)
    for member, _ in members_of(teacher):
        try:
            tags = get_tags(member).input_tags
        except (AttributeError, TypeError, ValueError):  # no scikit-learn estimator
            continue
        found.sparse &= tags.sparse
        found.allow_nan &= tags.allow_nan
    return found


def hear(teacher, X, *, batch_size=None, progress=False, memory=None):
    """The opinion of each member of a frozen teacher; each is asked once about the rows.

    Parameters
    ----------
    teacher : object or list of (object, float)
    X : array-like or table of n_rows rows
        As the caller has it.
    batch_size, progress
        See :func:`ask`.
    memory : joblib.Memory, default=None
        Shares the answers between processes.

    Returns
    -------
    list of Opinion
    """
    settings = {"batch_size": batch_size, "progress": progress}
    return [
        Opinion(*remembered_answer(member, X, lambda t: ask(t, X, **settings), memory), weight)
        for member, weight in members_of(teacher)
    ]


def fit_and_hear(teacher, X, y, sample_weight, *, seed, memory=None, **settings):
    """A clone of a teacher, fitted, and its opinion of the rows it was fitted on.

    Parameters
    ----------
    teacher : estimator or list of (estimator, float)
        Frozen or not, fitted or not; it stays as it is.
    X, y : array-like
    sample_weight : array-like or None
        Handed on where the teacher, or the last step of a pipeline, takes it; else a
        warning says that it does not.
    seed : int
        For every random_state in it that is None.
    memory : joblib.Memory, default=None
    **settings
        See :func:`ask`.

    Returns
    -------
    teacher : estimator, or list of (estimator, float)
        Fitted.
    opinions : list of Opinion
    """
    fitted, opinions = [], []
    for member, weight in members_of(teacher):
        fresh = _seeded_clone(member, seed)
        weights = _weights_for(fresh, sample_weight)

        def fit_and_ask(fresh=fresh, weights=weights):
            fresh.fit(X, y, **weights)
            return fresh, ask(fresh, X, **settings)

        one, answer = remembered_teacher(fresh, (X, y, weights), fit_and_ask, memory)
        fitted.append((one, weight))
        opinions.append(Opinion(*answer, weight))
    is_list = isinstance(unwrapped(teacher), (list, tuple))
    return (fitted if is_list else fitted[0][0]), opinions


def _seeded_clone(teacher, seed):
    if not (hasattr(teacher, "fit") and hasattr(teacher, "get_params")):
        allowed = "a classifier that can be cloned and fitted, or fit_teacher=False"
        refuse("teacher", teacher, allowed)
    fresh = clone(teacher)
    params = fresh.get_params()
    seeds = [name for name in params if name.split("__")[-1] == "random_state"]
    return fresh.set_params(**{name: seed for name in seeds if params[name] is None})


def _weights_for(teacher, sample_weight):
    """The arguments that bring weights to a teacher's `fit`."""
    if sample_weight is None:
        return {}
    if has_fit_parameter(teacher, "sample_weight"):
        return {"sample_weight": sample_weight}
    routed = get_config()["enable_metadata_routing"]
    if isinstance(teacher, Pipeline) and not routed:
        name, last = teacher.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return {f"{name}__sample_weight": sample_weight}
    warnings.warn(
        f"teacher, a {type(teacher).__name__}, takes no sample_weight: it is fitted without, and "
        "the weights act on the student alone.",
        stacklevel=2,
    )
    return {}


def ask(teacher, X, *, batch_size=None, progress=False):
    """A teacher's probabilities of rows, checked.

    Parameters
    ----------
    teacher : object with predict_proba or decision_function, torch module, or function of X
    X : array-like or table of n_rows rows
        As the caller has it.
    batch_size : int, default=None
        Rows per question; None asks once.
    progress : bool, default=False
        Whether to show a bar of the rows asked about.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), float64
    classes : ndarray of shape (n_columns,) or None
        What the columns mean, as far as the teacher says.
    """
    answer = _way_to_ask(teacher)
    _refuse_other_columns(teacher, X)
    n_rows = _num_samples(X)
    size = min(batch_size or n_rows, n_rows)
    answers = []
    with _modes_kept(teacher), _bar(n_rows, progress) as bar:
        for start in range(0, n_rows, size):
            stop = min(start + size, n_rows)
            batch = X if size == n_rows else _safe_indexing(X, np.arange(start, stop))
            answers.append(as_array(answer(batch)))
            bar.update(stop - start)
    probabilities = answers[0] if len(answers) == 1 else np.concatenate(answers)
    return check_probabilities(probabilities, n_rows), getattr(teacher, "classes_", None)


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


def _way_to_ask(teacher):
    """The function of X that gives a teacher's probabilities."""
    if inspect.isclass(teacher):
        refuse("teacher", teacher, "a fitted classifier, not its class", TypeError)
    if hasattr(teacher, "predict_proba"):
        return teacher.predict_proba
    if hasattr(teacher, "decision_function"):
        return lambda rows: _probabilities_of_scores(teacher, rows)
    if _is_module(teacher):
        return lambda rows: _probabilities_of_module(teacher, rows)
    if callable(teacher):
        return teacher
    return refuse(
        "teacher",
        teacher,
        "a fitted classifier with predict_proba or decision_function, a torch module that gives "
        "logits, a function of X, or a list of (teacher, weight)",
        TypeError,
    )


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


def _is_module(thing):
    torch = sys.modules.get("torch")  # without torch there are no modules of it
    return torch is not None and isinstance(thing, torch.nn.Module)


def _probabilities_of_module(module, X):
    """Softmax of a torch module's logits, in its own dtype and on its own device."""
    import torch

    first = next(module.parameters(), torch.zeros(()))
    dense = X.toarray() if sparse.issparse(X) else X
    rows = torch.tensor(np.asarray(dense, dtype=np.float64), dtype=first.dtype, device=first.device)
    with torch.inference_mode():
        answers = [module(part).double().cpu().numpy() for part in rows.split(MODULE_ROWS)]
    logits = np.concatenate(answers)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "teacher, a torch module, must give one logit per class, an array of shape (n_rows, "
            f"n_classes); it gave shape {logits.shape}. Two classes need two logits: 0 and z."
        )
    return softmax(logits)


@contextmanager
def _modes_kept(teacher):
    """Torch modules of a teacher in eval mode, and afterwards each as it was."""
    held = [teacher, *getattr(teacher, "__dict__", {}).values()]
    modules = [module for module in held if _is_module(module)]
    if not modules:
        yield
        return
    with _modes_lock:  # another thread would put back the mode of ours
        parts = [part for module in modules for part in module.modules()]
        modes = [part.training for part in parts]
        try:
            for module in modules:
                module.eval()
            yield
        finally:
            for part, training in zip(parts, modes, strict=True):
                part.training = training


@contextmanager
def _bar(n_rows, progress):
    """A progress bar of the rows that a teacher is asked about."""
    from tqdm.auto import tqdm

    bar = tqdm(total=n_rows, unit="row", desc="teacher", disable=not progress)
    try:
        yield bar
    finally:
        bar.close()


def _refuse_other_columns(teacher, X):
    """LightGBM goes by position, whatever the columns are called: hold it to the names."""
    names = getattr(X, "columns", None)
    if names is None:
        return
    names = [str(name).replace(" ", "_") for name in names]  # as LightGBM writes them
    for member in _seeing_the_same_columns(teacher):
        fitted_on = list(getattr(member, "feature_name_", names))
        if fitted_on != names and not all(n.startswith("Column_") for n in fitted_on):
            raise ValueError(
                f"teacher, a {type(member).__name__}, was fitted on the columns {fitted_on}, and "
                f"X has {names}. It goes by their position: put them in its order."
            )


def _seeing_the_same_columns(teacher):
    """A teacher and those inside of it that are handed its X as it is."""
    yield teacher
    for name in ("estimator", "estimators_", "calibrated_classifiers_"):
        inner = getattr(teacher, "__dict__", {}).get(name, ())
        for member in inner if isinstance(inner, list) else (inner,):
            if hasattr(member, "__dict__"):
                yield from _seeing_the_same_columns(member)
