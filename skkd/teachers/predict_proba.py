"""Get the probabilities of rows from each kind of teacher.

A teacher is one of these:

- an object with `predict_proba`, or else with `decision_function`;
- a torch module that returns logits;
- a function of X that returns probabilities;
- a list of (teacher, weight).

This module never fits or changes a teacher. It passes the caller's own X to the teacher.
"""

import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples

from skkd.checks import refuse, with_note
from skkd.data.protected_data import call_protected
from skkd.data.tables import names_of
from skkd.data.validation import picked
from skkd.inference.network import softmax
from skkd.progress import bar_class
from skkd.teachers.answers import Answer, in_order_of, labels_of, read_answer
from skkd.teachers.cache import remembered_answer
from skkd.teachers.members import MemberLabels, members_of, unwrapped
from skkd.teachers.soft_labels import as_array, check_probabilities, check_shape

__all__ = ["ask", "ask_members"]

#: Rows per forward pass of a torch module.
MODULE_ROWS = 4096


def ask_members(
    teacher: Any, X: Any, *, remember: bool = True, memory: Any = None, **settings: Any
) -> list[MemberLabels]:
    """The soft labels that each member of a teacher gives to some rows.

    Parameters
    ----------
    teacher : object or list of (object, float)
        Fitted.
    X : array-like or table of n_rows rows
        The rows in the form that the teacher takes.
    remember : bool, default=True
        Whether predictions are cached, so that the same rows are predicted only once.
    memory : joblib.Memory, default=None
        Caches the predictions on disk, too, where all processes share them.
    **settings
        `batch_size` and `progress`; see :func:`ask`.

    Returns
    -------
    list of MemberLabels
        One for each member.
    """

    def answer_of(member: Any) -> Answer:
        return ask(member, X, **settings)

    soft_labels = []
    for member, weight in members_of(teacher):
        answer = remembered_answer(member, X, answer_of, memory) if remember else answer_of(member)
        probabilities, classes = answer
        soft_labels.append(MemberLabels(probabilities, classes, weight))
    return soft_labels


def ask(teacher: Any, X: Any, *, batch_size: int | None = None, progress: bool = False) -> Answer:
    """Call a teacher for the probabilities of rows, and check what it returns.

    Parameters
    ----------
    teacher : object with predict_proba or decision_function, torch module, or function of X
    X : array-like or table of n_rows rows
        The rows in the form that the teacher takes.
    batch_size : int, default=None
        Rows per call; None means all rows in one call.
    progress : bool, default=False
        Whether to show a progress bar over the rows.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_columns), float64
    classes : ndarray of shape (n_columns,) or None
        The class label of each column; None if the teacher does not give it.
    """
    predict = _predicting_function(teacher)
    classes = labels_of(teacher)
    _refuse_other_columns(teacher, X)
    n_rows = _num_samples(X)
    size = min(batch_size or n_rows, n_rows)
    batches = [X] if size == n_rows else _batches(X, n_rows, size)
    answers = []
    with _modes_restored(teacher), _bar(n_rows, progress) as advance:
        for batch in batches:
            shape = getattr(batch, "shape", (n_rows,))
            rows = f"a {type(batch).__name__} of shape {shape}, as the caller has them"
            with with_note(f"Raised by teacher, a {type(teacher).__name__}, asked about {rows}."):
                if _is_module(teacher):  # it gets tensors, which are copies
                    answer = predict(batch)
                else:
                    answer = call_protected(predict, batch, owner=teacher)
            probabilities, classes = read_answer(answer, classes, _num_samples(batch))
            answers.append(probabilities)
            advance(len(probabilities))
    probabilities = answers[0] if len(answers) == 1 else _joined(answers)
    return check_probabilities(probabilities, n_rows), classes


def _joined(answers: list[np.ndarray]) -> np.ndarray:
    widths = sorted({answer.shape[1] for answer in answers})
    if len(widths) > 1:
        raise ValueError(
            f"teacher gives {widths[0]} columns for some rows and {widths[-1]} for others: it must "
            "give one probability per class for each row."
        )
    return np.concatenate(answers)


def _predicting_function(teacher: Any) -> Callable[[Any], Any]:
    """The function that maps X to a teacher's probabilities."""
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


def _probabilities_of_scores(teacher: Any, X: Any) -> np.ndarray:
    """Softmax of the scores of `decision_function`."""
    answer = teacher.decision_function(X)
    classes, scores = labels_of(teacher), as_array(answer)
    if classes is None:
        raise ValueError(
            f"teacher, a {type(teacher).__name__}, has decision_function and no classes_: give it "
            "classes_, the label of each column, or predict_proba."
        )
    if scores.ndim == 1:  # of two classes: the log-odds of the second one
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    elif scores.ndim == 2:
        scores = in_order_of(answer, scores, classes)
    else:
        check_shape(scores, _num_samples(X), answer=answer)
    n_classes = len(classes)
    # For three classes the number of scores does not tell, because there are three pairs, too.
    if scores.shape[1] != n_classes or (n_classes == 3 and _is_one_vs_one(teacher)):
        raise ValueError(
            f"decision_function of teacher gives {scores.shape[1]} scores for {n_classes} classes "
            "(one-vs-one): calibrate it with CalibratedClassifierCV, or set "
            "decision_function_shape='ovr'."
        )
    return softmax(scores)


def _is_one_vs_one(teacher: Any) -> bool:
    """Whether a teacher scores pairs of classes (``decision_function_shape="ovo"``)."""
    if isinstance(teacher, Pipeline):
        return _is_one_vs_one(teacher.steps[-1][1])
    inside = unwrapped(getattr(teacher, "best_estimator_", teacher))
    if inside is not teacher:
        return _is_one_vs_one(inside)
    return getattr(teacher, "decision_function_shape", None) == "ovo"


def _is_module(thing: Any) -> bool:
    torch = sys.modules.get("torch")  # if nothing has imported torch, `thing` is no module
    return torch is not None and isinstance(thing, torch.nn.Module)


def _probabilities_of_module(module: Any, X: Any) -> np.ndarray:
    """Softmax of a torch module's logits."""
    import torch

    first = next(module.parameters(), torch.zeros(()))  # for its dtype and device
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


def _batches(X: Any, n_rows: int, size: int) -> Iterator[Any]:
    X = X.tocsr() if sparse.issparse(X) else X  # once for all batches
    for start in range(0, n_rows, size):
        yield picked(X, np.arange(start, min(start + size, n_rows)))


@contextmanager
def _modes_restored(teacher: Any) -> Iterator[None]:
    """A context that puts a torch module into eval mode, and at its end restores the old mode."""
    # A teacher that holds a module (as a skorch net does) may change its mode in a call.
    held = [teacher, *getattr(teacher, "__dict__", {}).values()]
    modules = [module for module in held if _is_module(module)]
    if not modules:
        yield
        return
    with _modes_lock:  # without it, another thread could restore the mode too early
        modes = [(part, part.training) for module in modules for part in module.modules()]
        try:
            if _is_module(teacher):
                teacher.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training


_modes_lock = threading.RLock()


def _begin_forked_child() -> None:
    global _modes_lock
    _modes_lock = threading.RLock()  # another thread of the parent may have held the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


@contextmanager
def _bar(n_rows: int, progress: bool) -> Iterator[Callable[[int], Any]]:
    """A context with a progress bar over the rows; yields the function that advances the bar."""
    if not progress:
        yield lambda n_rows: None
        return
    with bar_class()(total=n_rows, unit="row", desc="teacher") as bar:
        yield bar.update


def _refuse_other_columns(teacher: Any, X: Any) -> None:
    """Raise an error if a LightGBM teacher was fitted on other column names than those of X."""
    # LightGBM itself ignores the column names and takes the columns by position.
    names = names_of(X)
    if names is None:
        return
    names = [str(name).replace(" ", "_") for name in names]  # as LightGBM writes them
    for member in _parts_that_get_x(teacher):
        fitted_on = list(getattr(member, "feature_name_", names))
        if fitted_on != names and not all(n.startswith("Column_") for n in fitted_on):
            raise ValueError(
                f"teacher, a {type(member).__name__}, was fitted on the columns {fitted_on}, and "
                f"X has {names}. It takes columns by their position: put them in its order."
            )


def _parts_that_get_x(teacher: Any, seen: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield a teacher and the estimators inside it to which it passes X unchanged."""
    # `seen` holds the ids of the estimators that contain the teacher. It ends the recursion if
    # estimators contain each other.
    if id(teacher) in seen or not hasattr(teacher, "__dict__"):
        return
    yield teacher
    inner: list[Any] = []
    if isinstance(teacher, Pipeline):
        steps = [step for _, step in teacher.steps if step not in (None, "passthrough")]
        inner = steps[:1]  # later steps get transformed columns
    for name in ("estimator", "estimator_", "best_estimator_", "estimators_"):
        held = vars(teacher).get(name)
        inner += held if isinstance(held, list) else [held]
    inner += vars(teacher).get("calibrated_classifiers_", [])
    for member in inner:
        yield from _parts_that_get_x(member, (*seen, id(teacher)))
