"""Teachers: who can teach, how each kind is asked, and whether it knows these rows.

A teacher is any object with `predict_proba`; where that is missing `decision_function`
serves. A torch module that gives logits, a function of X that returns probabilities and
a list of (teacher, weight) teach, too. A teacher is frozen: it is asked, never fitted
and never changed, and it sees the caller's own X.
"""

import inspect
import numbers
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from skkd.checks import LARGEST_NUMBER, noted, refuse, warn
from skkd.data.input_tags import TAKES_ALL, taken_by_all
from skkd.data.protected_data import call_protected
from skkd.data.tables import names_of
from skkd.data.validation import picked
from skkd.inference.network import softmax
from skkd.progress import bar_class
from skkd.teachers.answers import in_order_of, labels_of, read_answer
from skkd.teachers.cache import remembered_answer
from skkd.teachers.soft_labels import as_array, check_probabilities, check_shape

__all__ = [
    "MemberLabels",
    "TeacherMismatchWarning",
    "WeakTeacherWarning",
    "agreement_with",
    "ask",
    "ask_members",
    "freeze",
    "input_tags_of",
    "is_fitted",
    "members_of",
    "unwrapped",
]

#: Rows per forward pass of a torch module.
MODULE_ROWS = 4096

#: On fewer rows a teacher's agreement with the labels says nothing about it.
FEWEST_ROWS = 30


class TeacherMismatchWarning(UserWarning):
    """A teacher knows no more of these rows than chance does."""


class WeakTeacherWarning(UserWarning):
    """A teacher knows no more of these rows than a network learns by itself."""


@dataclass
class MemberLabels:
    """The soft labels of all rows by one member of a teacher, not aligned yet."""

    probabilities: np.ndarray  #: (n_rows, n_columns), float64
    classes: Any  #: what the columns mean, as far as the member says; or None
    weight: float = 1.0
    name: str = "teacher"  #: for messages


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
    for _, weight in teacher:
        if not isinstance(weight, numbers.Real) or isinstance(weight, bool):
            refuse("teacher", teacher, f"{allowed} (not of (name, teacher))", TypeError)
        if not 0 < weight <= LARGEST_NUMBER:
            refuse("teacher", teacher, allowed)
    return [(unwrapped(member), float(weight)) for member, weight in teacher]


def is_fitted(teacher):
    """Whether a teacher can answer now, as far as it can be told.

    Parameters
    ----------
    teacher : object
        One without `get_params` (a function, a wrapper of one's own) counts as fitted,
        and so does one that the user has frozen; a list if all its members do.

    Returns
    -------
    bool
    """
    if isinstance(teacher, (list, tuple)):
        pairs = [member for member in teacher if isinstance(member, (list, tuple))]
        return all(is_fitted(pair[0]) for pair in pairs if pair)
    is_estimator = hasattr(teacher, "get_params") and hasattr(teacher, "fit")
    if isinstance(teacher, FrozenEstimator) or not is_estimator:
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    except (TypeError, AttributeError):  # no scikit-learn estimator: it must know itself
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
    try:
        members = members_of(teacher)
    except (TypeError, ValueError):  # it is `fit` that complains
        return TAKES_ALL
    return taken_by_all([member for member, _ in members])


def ask_members(teacher, X, *, remember=True, memory=None, **settings):
    """The soft labels by each member of a frozen teacher.

    Parameters
    ----------
    teacher : object or list of (object, float)
    X : array-like or table of n_rows rows
        As the caller has it.
    remember : bool, default=True
        Whether to ask about the same rows only once.
    memory : joblib.Memory, default=None
        Shares the answers between processes.
    **settings
        See :func:`ask`.

    Returns
    -------
    list of MemberLabels
    """

    def answer(member):
        return ask(member, X, **settings)

    return [
        MemberLabels(
            *(remembered_answer(member, X, answer, memory) if remember else answer(member)), w
        )
        for member, w in members_of(teacher)
    ]


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
    way = _way_to_ask(teacher)
    classes = labels_of(teacher)
    _refuse_other_columns(teacher, X)
    n_rows = _num_samples(X)
    size = min(batch_size or n_rows, n_rows)
    batches = [X] if size == n_rows else _batches(X, n_rows, size)
    answers = []
    with _modes_kept(teacher), _bar(n_rows, progress) as advance:
        for batch in batches:
            shape = getattr(batch, "shape", (n_rows,))
            rows = f"a {type(batch).__name__} of shape {shape}, as the caller has them"
            with noted(f"Raised by teacher, a {type(teacher).__name__}, asked about {rows}."):
                # A module gets tensors, which are copies.
                is_safe = _is_module(teacher)
                answer = way(batch) if is_safe else call_protected(way, batch, owner=teacher)
            answer, classes = read_answer(answer, classes, _num_samples(batch))
            answers.append(answer)
            advance(len(answer))
    probabilities = answers[0] if len(answers) == 1 else _joined(answers)
    return check_probabilities(probabilities, n_rows), classes


def _joined(answers):
    widths = sorted({answer.shape[1] for answer in answers})
    if len(widths) > 1:
        raise ValueError(
            f"teacher gives {widths[0]} columns for some rows and {widths[-1]} for others: it must "
            "give one probability per class for each row."
        )
    return np.concatenate(answers)


def agreement_with(probabilities, codes, weights=None, fitted_here=False):
    """Balanced accuracy of a teacher's first choices, with a warning at chance level.

    Balanced, because a good teacher of rare classes may be less accurate than always
    naming the most frequent one.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
    codes : ndarray of int of shape (n_rows,)
    weights : ndarray of shape (n_rows,), default=None
    fitted_here : bool, default=False
        Whether the teacher was fitted on these very rows, for the warning.

    Returns
    -------
    float
    """
    weights = np.ones(len(codes)) if weights is None else weights
    if not weights.any():
        return float("nan")
    agreement = _balanced_accuracy(codes, probabilities.argmax(axis=1), weights)
    if len(codes) >= FEWEST_ROWS and _is_chance(agreement, probabilities, codes, weights):
        advice = (
            "it was fitted on these rows: is it too simple for them, or are the labels noise?"
            if fitted_here
            else "are these rows as it was fitted on, unscaled and with their columns in order?"
        )
        warn(
            f"teacher agrees with y no more than chance does (balanced accuracy {agreement:.3f}): "
            f"{advice}",
            TeacherMismatchWarning,
        )
    return agreement


def _is_chance(agreement, probabilities, codes, weights):
    shares = np.bincount(codes, weights)
    shares = shares[shares > 0] / shares.sum()
    chance = 1 / len(shares) + 0.05
    if len(shares) == 1 or agreement > chance:
        return False
    if shares.min() >= 0.5 / len(shares):
        return True
    # A good teacher may never name a rare class first: it gives its rows more than others.
    usual = np.maximum(probabilities.mean(axis=0), np.finfo(np.float64).tiny)
    return _balanced_accuracy(codes, (probabilities / usual).argmax(axis=1), weights) <= chance


def _balanced_accuracy(codes, chosen, weights):
    """Mean over the classes that are there of the share of their rows that is right."""
    rows = np.bincount(codes, weights)
    hits = np.bincount(codes, weights * (chosen == codes))
    return float((hits[rows > 0] / rows[rows > 0]).mean())


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
    answer = teacher.decision_function(X)
    classes, scores = labels_of(teacher), as_array(answer)
    if classes is None:
        raise ValueError(
            f"teacher, a {type(teacher).__name__}, has decision_function and no classes_: give it "
            "classes_, the label of each column, or predict_proba."
        )
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    elif scores.ndim == 2:
        scores = in_order_of(answer, scores, classes)
    else:
        check_shape(scores, _num_samples(X), answer=answer)
    n_classes = len(classes)
    if scores.shape[1] != n_classes or (n_classes == 3 and _scores_pairs(teacher)):
        raise ValueError(
            f"decision_function of teacher gives {scores.shape[1]} scores for {n_classes} classes "
            "(one-vs-one): calibrate it with CalibratedClassifierCV, or set "
            "decision_function_shape='ovr'."
        )
    return softmax(scores)


def _scores_pairs(teacher):
    """Whether scores are of pairs of classes, of which three classes have as many."""
    if isinstance(teacher, Pipeline):
        return _scores_pairs(teacher.steps[-1][1])
    inside = unwrapped(getattr(teacher, "best_estimator_", teacher))
    if inside is not teacher:
        return _scores_pairs(inside)
    return getattr(teacher, "decision_function_shape", None) == "ovo"


def _is_module(thing):
    torch = sys.modules.get("torch")  # without torch there are no modules of it
    return torch is not None and isinstance(thing, torch.nn.Module)


def _probabilities_of_module(module, X):
    """Softmax of a torch module's logits, in its own dtype and on its own device."""
    import torch

    first = next(module.parameters(), torch.zeros(()))
    dense = np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
    answers = []
    with torch.inference_mode():
        for start in range(0, len(dense), MODULE_ROWS):
            rows = torch.tensor(dense[start : start + MODULE_ROWS], dtype=first.dtype)
            answers.append(module(rows.to(first.device)).double().cpu().numpy())
    logits = np.concatenate(answers)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "teacher, a torch module, must give one logit per class, an array of shape (n_rows, "
            f"n_classes); it gave shape {logits.shape}. Two classes need two logits: 0 and z."
        )
    if len(logits) > 1 and (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "teacher, a torch module, gives probabilities where logits are wanted: leave its last "
            "softmax out, or give a function of X that returns them as an array."
        )
    return softmax(logits)


def _batches(X, n_rows, size):
    X = X.tocsr() if sparse.issparse(X) else X  # once for all of them
    for start in range(0, n_rows, size):
        yield picked(X, np.arange(start, min(start + size, n_rows)))


@contextmanager
def _modes_kept(teacher):
    """A torch module in eval mode; afterwards it, and those of a skorch net, as they were."""
    held = [teacher, *getattr(teacher, "__dict__", {}).values()]
    modules = [module for module in held if _is_module(module)]
    if not modules:
        yield
        return
    with _modes_lock:  # another thread would put back the mode of ours
        modes = [(part, part.training) for module in modules for part in module.modules()]
        try:
            if _is_module(teacher):
                teacher.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training


_modes_lock = threading.RLock()


def _begin_forked_child():
    global _modes_lock
    _modes_lock = threading.RLock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


@contextmanager
def _bar(n_rows, progress):
    """A progress bar of the rows that a teacher is asked about; a function that advances it."""
    if not progress:
        yield lambda n_rows: None
        return
    with bar_class()(total=n_rows, unit="row", desc="teacher") as bar:
        yield bar.update


def _refuse_other_columns(teacher, X):
    """LightGBM goes by position, whatever the columns are called: hold it to the names."""
    names = names_of(X)
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


def _seeing_the_same_columns(teacher, seen=()):
    """A teacher and those inside of it that are handed its X as it is."""
    if id(teacher) in seen or not hasattr(teacher, "__dict__"):
        return
    yield teacher
    inner = []
    if isinstance(teacher, Pipeline):
        steps = [step for _, step in teacher.steps if step not in (None, "passthrough")]
        inner = steps[:1]  # those behind it see what it made of the columns
    for name in ("estimator", "estimator_", "best_estimator_", "estimators_"):
        held = vars(teacher).get(name)
        inner += held if isinstance(held, list) else [held]
    inner += vars(teacher).get("calibrated_classifiers_", [])
    for member in inner:
        yield from _seeing_the_same_columns(member, (*seen, id(teacher)))
