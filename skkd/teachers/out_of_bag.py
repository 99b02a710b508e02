"""Out-of-bag labels: of each row, by the members of a bagged ensemble that were fitted without it.

A teacher's labels for the rows it was fitted on are hardly soft: a forest is almost
certain of each. But in bagging every member is fitted to a sample of the rows, and the
members whose sample lacks a row give it probabilities like those of a new row (Breiman
1996, "Out-of-bag estimation"),

    p(i) = mean over the members b whose sample lacks row i of p_b(x_i)

This costs one pass over the members and no fitting. It does not need ``oob_score=True``:
the sample of a member can be drawn again from its seed. The mean of a row is over about a
third of the members, so these probabilities are a little noisier, and the teacher a
little worse, than on new rows.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, validate_data

from skkd.checks import refuse, with_note
from skkd.data.labels import read_labels
from skkd.data.protected_data import call_protected
from skkd.teachers.answers import Answer
from skkd.teachers.cloning import part_that_stays_fitted, sees_labels

__all__ = ["has_out_of_bag", "out_of_bag"]

#: Trees that are checked: were they fitted on these rows?
TREES_CHECKED = 10

#: Share of rows that may be in another leaf, because steps before a forest round.
SHARE_MISPLACED = 0.01


def has_out_of_bag(teacher: Any) -> bool:
    """Whether a teacher can give out-of-bag labels of the rows it was fitted on.

    Parameters
    ----------
    teacher : object
        A fitted forest or `BaggingClassifier`, which may be frozen, refitted by a search,
        or the last step of a Pipeline. The steps before it must not be fitted with labels
        (a TargetEncoder, a feature selection) and must not resample: then no row is out of
        bag.

    Returns
    -------
    bool

    Examples
    --------
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
    >>> has_out_of_bag(ExtraTreesClassifier(random_state=0).fit(X, y))
    False
    >>> has_out_of_bag(ExtraTreesClassifier(bootstrap=True, random_state=0).fit(X, y))
    True
    """
    ensemble, steps = _ensemble_behind_steps(teacher)
    if not _is_bagged_classifier(ensemble):
        return False
    if any(hasattr(step, "fit_resample") or sees_labels(step) for step in steps):
        return False
    return any(_misses_a_row(ensemble, bag) for _, bag, _ in _members(ensemble))


def out_of_bag(teacher: Any, X: Any, y: Any = None) -> Answer:
    """A fitted bagged ensemble's probabilities of the rows it was fitted on, out of bag.

    Parameters
    ----------
    teacher : estimator
        See :func:`has_out_of_bag`.
    X : array-like, sparse matrix or table of n_rows rows
        The very rows the teacher was fitted on, in their order. Other rows are refused if
        their number differs, or if a tree does not fit them: each of its leaves stores
        its number of rows. Members that are not trees cannot be checked.
    y : array-like of shape (n_rows,), default=None
        Their labels. With them, a row is left all zero if its class is missing from the
        samples of all members that answer for it: they can only give it probability 0.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_classes), float64
        All zero if every member was fitted on the row. Otherwise those of
        ``oob_decision_function_``, bit for bit. Members without `predict_proba` vote.
    classes : ndarray of shape (n_classes,)
        The label of each column.

    Notes
    -----
    In a Pipeline the earlier steps transform the rows first. They were fitted on all of
    the rows, but without labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(50, random_state=0).fit(X, y)
    >>> probabilities, classes = out_of_bag(forest, X)
    >>> forest.predict_proba(X).max(axis=1).mean().round(2)
    np.float64(0.98)
    >>> probabilities.max(axis=1).mean().round(2)
    np.float64(0.97)
    """
    if not has_out_of_bag(teacher):
        refuse(
            "teacher",
            teacher,
            "a fitted forest or BaggingClassifier whose members were not fitted on all rows "
            "(bootstrap=True), behind steps that are fitted without labels, or "
            "soft_labels='out_of_fold'",
        )
    ensemble, steps = _ensemble_behind_steps(teacher)
    if getattr(ensemble, "n_outputs_", 1) > 1:
        raise ValueError("teacher has several outputs: it must have one.")
    _check_number_of_rows(ensemble, X)
    with with_note(f"Raised by teacher, a {type(teacher).__name__}, asked about its own rows."):
        for step in steps:
            X = call_protected(step.transform, X, owner=step)
        X = _as_members_get_it(ensemble, X)
    tolerance = SHARE_MISPLACED if steps else 0.0
    total, n_members, is_known = _sum_over_members(ensemble, X, y, tolerance)
    if _is_forest(ensemble):
        mass = n_members[:, None].astype(np.float64)
    else:  # members may know fewer classes, so the sum of a row may be less than their number
        mass = total.sum(axis=1, keepdims=True)
    probabilities = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
    probabilities[~is_known] = 0.0
    return probabilities, ensemble.classes_


def _sum_over_members(
    ensemble: Any, X: Any, y: Any, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row the sum of probabilities, the number of members in it, and is_known.

    `is_known` is whether one of these members was fitted on rows of the row's class.
    """
    n_rows = X.shape[0]
    codes = None if y is None else _codes(y, ensemble.classes_)
    total = np.zeros((n_rows, len(ensemble.classes_)))
    n_members = np.zeros(n_rows, dtype=np.int64)
    is_known = np.full(n_rows, y is None)
    for k, (member, bag, features) in enumerate(_members(ensemble)):
        times_drawn = np.bincount(bag, minlength=n_rows)
        if k < TREES_CHECKED and hasattr(member, "tree_"):
            _refuse_rows_it_was_not_fitted_on(member, X, times_drawn, features, tolerance)
        outside = np.flatnonzero(times_drawn == 0)
        if not len(outside):
            continue
        rows = _rows(X, outside, features)
        total[outside] += _probabilities_by(member, rows, total.shape[1])
        n_members[outside] += 1
        if codes is not None:
            is_known[outside] |= np.isin(codes[outside], np.unique(codes[bag]))
    return total, n_members, is_known


def _probabilities_by(member: Any, rows: Any, n_classes: int) -> np.ndarray:
    """A member's probabilities, or its votes. Members are fitted on the codes of classes."""
    probabilities = np.zeros((rows.shape[0], n_classes))
    if hasattr(member, "predict_proba"):
        known = np.asarray(member.classes_).astype(np.intp)
        probabilities[:, known] = member.predict_proba(rows)
    else:
        probabilities[
            np.arange(len(probabilities)), np.asarray(member.predict(rows)).astype(np.intp)
        ] = 1.0
    return probabilities


def _rows(X: Any, rows: np.ndarray, features: np.ndarray | None) -> Any:
    return X[rows] if features is None else X[rows][:, features]


def _codes(y: Any, classes: np.ndarray) -> np.ndarray:
    position = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([position.get(label, -1) for label in read_labels(y, warns=False).tolist()])


def _ensemble_behind_steps(teacher: Any) -> tuple[Any, list[Any]]:
    """The final estimator, and the transformers before it."""
    steps: list[Any] = []
    while True:
        if isinstance(teacher, FrozenEstimator):
            teacher = teacher.estimator
        elif _has(teacher, "best_estimator_"):
            teacher = teacher.best_estimator_
        elif isinstance(teacher, Pipeline):
            steps += [step for _, step in teacher.steps[:-1] if step not in (None, "passthrough")]
            teacher = teacher.steps[-1][1]
        else:
            return teacher, steps


def _has(thing: Any, name: str) -> bool:
    """Whether an object really has an attribute: some objects have `hasattr` true for any name."""
    return name in getattr(thing, "__dict__", ()) or hasattr(type(thing), name)


def _is_forest(ensemble: Any) -> bool:
    """Whether a bagged ensemble is of trees that get all features."""
    return not hasattr(ensemble, "estimators_features_")


def _is_bagged_classifier(ensemble: Any) -> bool:
    if not all(hasattr(ensemble, name) for name in ("estimators_", "classes_", "_n_samples")):
        return False
    if not hasattr(type(ensemble), "estimators_samples_"):
        return False
    member = ensemble.estimators_[0]
    if _is_forest(ensemble):
        return hasattr(member, "tree_")
    return not isinstance(member, FrozenEstimator) and part_that_stays_fitted(member) is None


def _members(ensemble: Any) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
    """Each fitted member, the indices of its rows, and those of its features or None."""
    if not _is_forest(ensemble):
        yield from zip(
            ensemble.estimators_,
            ensemble.estimators_samples_,
            ensemble.estimators_features_,
            strict=True,
        )
        return
    # One tree at a time: the samples of all trees need as much memory as a column of X each.
    part = copy.copy(ensemble)
    for tree in ensemble.estimators_:
        part.estimators_ = [tree]
        yield tree, part.estimators_samples_[0], None


def _misses_a_row(ensemble: Any, bag: np.ndarray) -> bool:
    return len(bag) < ensemble._n_samples or (
        bool(ensemble.bootstrap) and len(np.unique(bag)) < ensemble._n_samples
    )


def _check_number_of_rows(ensemble: Any, X: Any) -> None:
    n_rows, n_fitted = _num_samples(X), ensemble._n_samples
    if n_rows != n_fitted:
        raise ValueError(
            f"X has {n_rows} rows, teacher, a {type(ensemble).__name__}, was fitted on {n_fitted}: "
            "out-of-bag labels are those of the very rows it was fitted on, in their order. For "
            "others set soft_labels='in_sample', for a part of them 'out_of_fold'."
        )


def _as_members_get_it(ensemble: Any, X: Any) -> Any:
    """An array of the dtype that the ensemble passes to its members."""
    dtype = np.float32 if _is_forest(ensemble) else None
    options = {"dtype": dtype, "accept_sparse": "csr", "ensure_all_finite": False}
    return validate_data(ensemble, X, reset=False, **options)


def _refuse_rows_it_was_not_fitted_on(
    tree: Any, X: Any, times_drawn: np.ndarray, features: np.ndarray | None, tolerance: float
) -> None:
    """Refuse X if the leaves of a tree do not get as many rows as when it was fitted."""
    drawn = np.flatnonzero(times_drawn)
    rows = _rows(X, drawn, features)
    leaves = tree.apply(rows)
    n_when_fitted = tree.tree_.n_node_samples
    is_leaf = tree.tree_.children_left == -1

    def share_misplaced(weights: np.ndarray | None) -> float:
        found = np.bincount(leaves, weights, minlength=len(n_when_fitted))
        return abs(found - n_when_fitted)[is_leaf].sum() / 2 / n_when_fitted[0]

    # A row that was drawn twice counts once if it was one row of weight 2, else twice.
    if min(share_misplaced(None), share_misplaced(times_drawn[drawn])) > tolerance:
        raise ValueError(
            "X is not what teacher was fitted on: the rows reach other leaves of its trees than "
            "when these were fitted. Out-of-bag labels are those of the very rows it was fitted "
            "on, in their order and unscaled. For other rows set soft_labels='in_sample', for a "
            "part of them 'out_of_fold'."
        )
