"""Out-of-bag labels: ensemble members label the rows that they were not fitted on.

A teacher is almost certain of the rows it was fitted on, so its soft labels of them are hardly
soft. But in bagging, each member is fitted to a random sample of the rows. A row is new to the
members whose sample lacks it (Breiman 1996, "Out-of-bag estimation"):

    p(i) = mean of p_b(x_i) over the members b whose sample lacks row i

where x_i is row i, and p_b(x_i) are the class probabilities that member b predicts for it.

This costs one prediction per member, and no fitting. It does not need ``oob_score=True``,
because the sample of a member can be drawn again from its seed. The mean is over only about
a third of the members. So these probabilities are a little noisier and less accurate than the
probabilities of new rows, which all members predict.
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

#: Number of trees of an ensemble that are checked for whether they were fitted on the rows.
TREES_CHECKED = 10

#: Share of rows that may reach another leaf than in the fit, because steps before it round.
SHARE_MISPLACED = 0.01


def has_out_of_bag(teacher: Any) -> bool:
    """Whether a teacher can give out-of-bag labels for the rows it was fitted on.

    It can if it is a forest or BaggingClassifier with a member that was not fitted on all rows.
    A Pipeline can if its last step can, and no earlier step resamples rows or uses the labels.

    Parameters
    ----------
    teacher : object
        The fitted model, which may be frozen, in a search, or in a Pipeline.

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
    # After such a step no row is out of bag: it has used the labels of all rows.
    if any(hasattr(step, "fit_resample") or sees_labels(step) for step in steps):
        return False
    return any(_misses_a_row(ensemble, bag) for _, bag, _ in _members(ensemble))


def out_of_bag(teacher: Any, X: Any, y: Any = None) -> Answer:
    """Out-of-bag probabilities of a bagged ensemble for the rows it was fitted on.

    A row has no out-of-bag probabilities if every member was fitted on it. If `y` is given, a
    row also has none if its class is missing from the samples of all its out-of-bag members.

    Parameters
    ----------
    teacher : estimator
        A fitted model for which :func:`has_out_of_bag` is true.
    X : array-like, sparse matrix or table of n_rows rows
        The same rows that the teacher was fitted on, in the same order.
    y : array-like of shape (n_rows,), default=None
        The labels of the rows.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_classes), float64
        A row without out-of-bag probabilities is all zero. Every other row equals the same row
        of ``oob_decision_function_``, bit for bit.
    classes : ndarray of shape (n_classes,)
        The label of each column.

    Raises
    ------
    ValueError
        If X is not the table that the teacher was fitted on: X has another number of rows, or
        the leaves of a tree hold other numbers of rows than in the fit.

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
    else:  # BaggingClassifier divides by the sum of each row, too
        mass = total.sum(axis=1, keepdims=True)
    probabilities = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
    probabilities[~is_known] = 0.0
    return probabilities, ensemble.classes_


def _sum_over_members(
    ensemble: Any, X: Any, y: Any, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the probabilities of each row over its out-of-bag members, and count these members."""
    # is_known: whether one of these members was fitted on rows of the row's class. Members can
    # only predict a probability of 0 for a class that is missing from their sample.
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
    """The probabilities of rows by one member of an ensemble, of shape (n_rows, n_classes)."""
    probabilities = np.zeros((rows.shape[0], n_classes))
    if hasattr(member, "predict_proba"):
        # Members are fitted to class codes, so their classes are columns of the result.
        known = np.asarray(member.classes_).astype(np.intp)
        probabilities[:, known] = member.predict_proba(rows)
    else:  # probability 1 for the class that it predicts
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
    """The final estimator inside a teacher, and the transformers that are applied before it."""
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
    """Whether an attribute exists, even for objects whose `hasattr` is true of any name."""
    return name in getattr(thing, "__dict__", ()) or hasattr(type(thing), name)


def _is_forest(ensemble: Any) -> bool:
    """Whether a bagged ensemble is a forest, and not a BaggingClassifier."""
    return not hasattr(ensemble, "estimators_features_")  # the features of Bagging's members


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
    """Yield each member with the indices of its rows, and of its columns (None: all columns)."""
    if not _is_forest(ensemble):
        yield from zip(
            ensemble.estimators_,
            ensemble.estimators_samples_,
            ensemble.estimators_features_,
            strict=True,
        )
        return
    # One tree at a time, because the sample of each tree needs as much memory as a column of X.
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
    """X as an array of the dtype that the ensemble passes to its members."""
    dtype = np.float32 if _is_forest(ensemble) else None
    options = {"dtype": dtype, "accept_sparse": "csr", "ensure_all_finite": False}
    return validate_data(ensemble, X, reset=False, **options)


def _refuse_rows_it_was_not_fitted_on(
    tree: Any, X: Any, times_drawn: np.ndarray, features: np.ndarray | None, tolerance: float
) -> None:
    """Raise an error if the leaves of a tree get other numbers of rows than when it was fitted."""
    drawn = np.flatnonzero(times_drawn)
    rows = _rows(X, drawn, features)
    leaves = tree.apply(rows)
    n_when_fitted = tree.tree_.n_node_samples
    is_leaf = tree.tree_.children_left == -1

    def share_misplaced(weights: np.ndarray | None) -> float:
        found = np.bincount(leaves, weights, minlength=len(n_when_fitted))
        return abs(found - n_when_fitted)[is_leaf].sum() / 2 / n_when_fitted[0]

    # If a row was drawn twice, its leaf counts one row (of weight 2) or two. Either is right.
    if min(share_misplaced(None), share_misplaced(times_drawn[drawn])) > tolerance:
        raise ValueError(
            "X is not what teacher was fitted on: the rows reach other leaves of its trees than "
            "when these were fitted. Out-of-bag labels are those of the very rows it was fitted "
            "on, in their order and unscaled. For other rows set soft_labels='in_sample', for a "
            "part of them 'out_of_fold'."
        )
