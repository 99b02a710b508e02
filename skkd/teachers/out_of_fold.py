"""Out-of-fold labels: each row is labelled by a clone of the teacher fitted without that row.

A teacher has memorised the rows it was fitted on. If it merely stores them (nearest neighbours,
in-context learners), it returns their labels. So the rows are split into folds. The rows of each
fold are labelled by a clone that was fitted without this fold. This is cross-fitting (Dao,
Kamath, Syrgkanis and Mackey 2021, "Knowledge distillation as semiparametric inference",
arXiv:2104.09732). It costs one fit per fold.

scikit-learn's `cross_val_predict` is not used. It writes a probability of 0 for a class that
is missing from the training rows, encodes the labels again, and refuses a `cv` in which a row is
not exactly once among the test rows.
"""

import copy
import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_consistent_length

from skkd.checks import check_integer, refuse, with_note
from skkd.data.labels import read_labels
from skkd.data.protected_data import call_protected, copied, is_about_writing, treat_alike
from skkd.data.validation import encode, picked
from skkd.teachers.answers import Answer
from skkd.teachers.cache import remembered_teacher
from skkd.teachers.cloning import part_that_stays_fitted, seeded_clones, weights_for
from skkd.teachers.members import unwrapped
from skkd.teachers.predict_proba import ask
from skkd.teachers.soft_labels import align

__all__ = ["out_of_fold"]

#: The setting that error messages suggest instead of out-of-fold labels.
OTHERWISE = "soft_labels='in_sample'"


def out_of_fold(
    teacher,
    X,
    y,
    sample_weight=None,
    *,
    seed,
    n_folds=5,
    groups=None,
    cv=None,
    remember=True,
    memory=None,
    **settings,
):
    """Predict each row by a clone of the teacher that was fitted without that row.

    Parameters
    ----------
    teacher : estimator
        One model. Clones of it are fitted, even if it is fitted already, or frozen (in a
        FrozenEstimator). The model itself is not changed. An error is raised if the model
        contains a part that was fitted with labels and would stay fitted in the clones.
    X : array-like, sparse matrix or table of n_rows rows
        The rows in the form that the teacher takes.
    y : array-like of shape (n_rows,)
        The original labels, of at least two classes.
    sample_weight : array-like of shape (n_rows,), default=None
        Passed to `fit` of the teacher if it takes weights; else there is a warning.
    seed : int
        Seed for the folds, and for each `random_state` of the teacher that is None.
    n_folds : int, default=5
        The number of folds. It is reduced if there are fewer rows or fewer groups.
    groups : array-like of shape (n_rows,), default=None
        The group of each row. All rows of a group are put into the same fold. Use groups
        for rows that are near copies of each other.
    cv : splitter or iterable of (train, test), default=None
        Replaces the default of `n_folds` shuffled, stratified folds.
    remember : bool, default=True
        Whether the result is cached, so that the same arguments are computed only once.
    memory : joblib.Memory, default=None
        Caches the result on disk, too, where all processes share it.
    **settings
        `batch_size` and `progress`; see :func:`skkd.teachers.predict_proba.ask`.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_classes), float64
        For each row, the mean over the folds in which it is a test row and its class occurs
        among the training rows. A row without such a fold is all zero. (In a TimeSeriesSplit,
        for example, the first rows are never test rows.)
    classes : ndarray of shape (n_classes,)
        The sorted labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> neighbours = KNeighborsClassifier(weights="distance").fit(X, y)
    >>> neighbours.predict_proba(X).max(axis=1).mean()  # each row is its own neighbour
    np.float64(1.0)
    >>> probabilities, _ = out_of_fold(neighbours, X, y, seed=0)
    >>> bool(probabilities.max(axis=1).mean() < 0.99)
    True
    """
    y = read_labels(y)
    classes, codes = encode(y)
    check_consistent_length(X, y, sample_weight, groups)
    random_state = np.random.RandomState(seed)
    teacher = unwrapped(teacher)
    unfitted = next(seeded_clones(teacher, random_state, OTHERWISE))
    _refuse_parts_that_stay_fitted(unfitted, teacher)
    folds = _folds(classes, codes, random_state, n_folds, groups, cv)
    weights = weights_for(unfitted, sample_weight)
    X = X.tocsr() if sparse.issparse(X) else X  # once for all folds

    def label_all() -> tuple[Any, Answer]:
        total = np.zeros((len(codes), len(classes)))
        n_answers = np.zeros((len(codes), 1))
        for train, test in folds:
            clones = _Clones(teacher, seeded_clones(teacher, random_state, OTHERWISE))
            answer = _answer_of_fold(clones, X, y, (classes, codes), weights, train, test, settings)
            total[test] += answer
            n_answers[test] += answer.any(axis=1, keepdims=True)
        labels = np.divide(total, n_answers, out=np.zeros_like(total), where=n_answers > 0)
        return unfitted, (labels, classes)

    if not remember:
        return label_all()[1]
    arguments = ("out of fold", X, y, weights, folds, seed)
    return remembered_teacher(unfitted, arguments, label_all, memory)[1]


#: Indices of the training rows and of the test rows, by fold.
Folds = list[tuple[np.ndarray, np.ndarray]]


class _Clones(NamedTuple):
    """A teacher, and an endless iterator of unfitted copies of it."""

    teacher: Any
    unfitted: Iterator[Any]  #: all with the same seeds


def _answer_of_fold(
    clones: _Clones,
    X: Any,
    y: np.ndarray,
    classes_and_codes: tuple[np.ndarray, np.ndarray],
    weights: dict[str, Any],
    train: np.ndarray,
    test: np.ndarray,
    settings: dict[str, Any],
) -> np.ndarray:
    """Predict the test rows of one fold by a clone fitted to the training rows.

    A row of the result is all zero if its class is missing from the training rows.
    """
    classes, codes = classes_and_codes
    known = np.unique(codes[train])
    if len(known) < 2:  # not enough to fit a teacher
        return np.zeros((len(test), len(classes)))
    labels = classes[known]
    codes_of_rows = None
    if len(labels) <= codes.max():  # a class is missing
        codes_of_rows = np.searchsorted(known, codes[train])

    def attempt(rows: Any, labels_of_rows: Any, *values: Any) -> tuple[bool, np.ndarray, Any]:
        arguments = dict(zip(weights, values, strict=True))
        fitted, knows_codes = _fitted_clone(clones, rows, labels_of_rows, codes_of_rows, arguments)
        return knows_codes, *ask(fitted, picked(X, test), **settings)

    data = [picked(values, train) for values in (X, y, *weights.values())]
    knows_codes, probabilities, columns = call_protected(attempt, *data, owner=clones.teacher)
    if columns is None:
        columns = labels
    elif knows_codes:
        columns = labels[np.asarray(columns).astype(np.intp)]
    answer = align(probabilities, columns, classes, on_class_mismatch="intersect")
    return answer * np.isin(codes[test], known)[:, None]


def _fitted_clone(
    clones: _Clones, rows: Any, labels: Any, codes: np.ndarray | None, arguments: dict[str, Any]
) -> tuple[Any, bool]:
    """Fit a clone to the labels or, if it refuses them, to class codes.

    The second result tells whether the clone was fitted to the codes.
    """
    one, given = next(clones.unfitted), (rows, labels, arguments)
    if codes is not None:  # a class is missing; the first fit must not change the rows of a second
        copies = {name: copied(values) for name, values in arguments.items()}
        given = copied(rows), copied(labels), copies
    with with_note(f"Raised by fit of teacher, a {type(one).__name__}, on the rows of a fold."):
        try:
            one.fit(*given[:2], **given[2])
        except ValueError as error:
            if codes is None or is_about_writing(error):
                raise
        else:
            return treat_alike(one, clones.teacher), False
        # XGBoost takes only the codes 0, 1, 2 ... without a gap, and here a class is missing.
        spare = treat_alike(next(clones.unfitted), clones.teacher)
        spare.fit(rows, codes, **arguments)
        return spare, True


def _refuse_parts_that_stay_fitted(unfitted: Any, teacher: Any) -> None:
    name = part_that_stays_fitted(unfitted)
    if name is not None:
        refuse(
            "teacher",
            teacher,
            f"one without fitted parts: a clone keeps its {name}, which was fitted on rows that "
            "are to be held out. Give that part unfitted (no FrozenEstimator, no cv='prefit'), "
            f"or set {OTHERWISE}",
        )


def _folds(
    classes: np.ndarray,
    codes: np.ndarray,
    random_state: np.random.RandomState,
    n_folds: int,
    groups: Any,
    cv: Any,
) -> Folds:
    """The indices of the training rows and of the test rows of each fold."""
    if cv is None:
        check_integer("n_folds", n_folds, low=2)
        if groups is not None:
            return _folds_of_groups(codes, random_state, n_folds, np.asarray(groups))
        return _folds_by_class(codes, random_state, min(n_folds, len(codes)))
    folds = []
    for train, test in _splits(classes[codes], random_state, groups, cv):
        train, test = _indices(train, len(codes)), np.unique(_indices(test, len(codes)))
        if len(np.intersect1d(train, test)):
            refuse("cv", cv, "a splitter whose test rows are not among its training rows")
        if len(test):
            folds.append((train, test))
    return folds


def _indices(part: Any, n_rows: int) -> np.ndarray:
    part = np.asarray(part)
    if part.dtype == bool and len(part) == n_rows:
        return np.flatnonzero(part)
    if len(part) and not (part.dtype.kind in "iu" and part.min() >= 0 and part.max() < n_rows):
        refuse("cv", part, f"one that gives indices of the {n_rows} rows")
    return part.astype(np.intp)


def _splits(
    labels: np.ndarray, random_state: np.random.RandomState, groups: Any, cv: Any
) -> Iterator[tuple[Any, Any]]:
    from sklearn.model_selection import check_cv

    if isinstance(cv, numbers.Number):
        refuse("cv", cv, "a splitter or an iterable of (train, test); n_folds is the number")
    splitter = check_cv(copy.deepcopy(cv) if hasattr(cv, "split") else cv)
    if getattr(splitter, "random_state", 0) is None:  # None draws from NumPy's global state
        splitter.random_state = random_state.randint(np.iinfo(np.int32).max)
    return splitter.split(np.zeros((len(labels), 1)), labels, groups)


def _folds_by_class(codes: np.ndarray, random_state: np.random.RandomState, n_folds: int) -> Folds:
    """Random stratified folds."""
    # The rows are shuffled, sorted by class, and assigned to the folds in turn. StratifiedKFold
    # is not used, because it warns of classes with fewer rows than folds.
    shuffled = random_state.permutation(len(codes))
    in_classes = shuffled[np.argsort(codes[shuffled], kind="stable")]
    fold = np.empty(len(codes), dtype=np.intp)
    fold[in_classes] = np.arange(len(codes)) % n_folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]


def _folds_of_groups(
    codes: np.ndarray, random_state: np.random.RandomState, n_folds: int, groups: np.ndarray
) -> Folds:
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(groups))
    if n_groups < 2:
        refuse("groups", groups, "two groups or more: the rows of a group are in the same fold")
    n_folds = min(n_folds, n_groups)
    counts = np.bincount(codes)
    # StratifiedGroupKFold warns of classes with fewer rows than folds, or refuses them. So the
    # rows of these classes count as rows of the most frequent class.
    balanced = np.where(counts[codes] < n_folds, counts.argmax(), codes)
    seed = random_state.randint(np.iinfo(np.int32).max)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = splitter.split(np.zeros((len(codes), 1)), balanced, groups)
    return [(train, test) for train, test in folds if len(test)]
