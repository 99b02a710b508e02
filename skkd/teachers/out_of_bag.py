"""Out-of-bag labels: what a fitted bagged ensemble says of its rows without having seen them.

A teacher's labels for the rows it was fitted on are hardly soft: a forest is near certain
of each. But in bagging every member sees a sample of the rows only, and the others make
up an honest opinion of a row (Breiman 1996, "Out-of-bag estimation"),

    p(i) = mean over the members b whose sample lacks row i of p_b(x_i)

It costs one pass over the members and no fitting, and needs no ``oob_score=True``: which
rows a member saw can be drawn again from its seed. About a third of the members speak of
a row, so these probabilities are a little noisier, and the teacher a little worse, than
on new rows.
"""

import copy

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, validate_data

from skkd.checks import noted, refuse
from skkd.data.labels import read_labels
from skkd.data.protected_data import call_protected
from skkd.teachers.cloning import part_that_stays_fitted, sees_labels

__all__ = ["has_out_of_bag", "out_of_bag"]

#: Trees that are asked whether these are their rows.
TREES_CHECKED = 10

#: Share of rows that rounding in the steps before a forest may lead to another leaf.
LED_ASTRAY = 0.01


def has_out_of_bag(teacher):
    """Whether a teacher can give out-of-bag labels of the rows it was fitted on.

    Parameters
    ----------
    teacher : object
        A fitted forest or `BaggingClassifier`, itself, frozen, refitted by a search, or
        as the last step of a Pipeline. The steps before it must neither see labels (a
        TargetEncoder, a feature selection) nor resample: then no row is out of bag.

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


def out_of_bag(teacher, X, y=None):
    """A fitted bagged ensemble's probabilities of the rows it was fitted on, out of bag.

    Parameters
    ----------
    teacher : estimator
        See :func:`has_out_of_bag`.
    X : array-like, sparse matrix or table of n_rows rows
        The very rows the teacher was fitted on, in their order. Other rows are refused
        where their number shows it, or a tree: each of its leaves knows how many rows
        it got. Members that are no trees cannot tell.
    y : array-like of shape (n_rows,), default=None
        Their labels. With them a row is left all zero, too, whose class none of the
        members that did not see it has seen: they cannot but say 0.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_classes), float64
        All zero where every member has seen the row. Otherwise those of
        ``oob_decision_function_``, bit for bit. Members without `predict_proba` vote.
    classes : ndarray of shape (n_classes,)
        Of the columns.

    Notes
    -----
    In a Pipeline the rows pass the earlier steps first, which were fitted on all of
    them, though without labels.

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
            "a fitted forest or BaggingClassifier whose members did not see all rows "
            "(bootstrap=True), behind steps that see no labels, or soft_labels='out_of_fold'",
        )
    ensemble, steps = _ensemble_behind_steps(teacher)
    if getattr(ensemble, "n_outputs_", 1) > 1:
        raise ValueError("teacher has several outputs: it must have one.")
    _check_number_of_rows(ensemble, X)
    with noted(f"Raised by teacher, a {type(teacher).__name__}, asked about its own rows."):
        for step in steps:
            X = call_protected(step.transform, X, owner=step)
        X = _as_its_members_see(ensemble, X)
    tolerance = LED_ASTRAY if steps else 0.0
    total, n_voices, is_known = _sum_of_voices(ensemble, X, y, tolerance)
    if _is_forest(ensemble):
        mass = n_voices[:, None].astype(np.float64)
    else:  # members may know fewer classes, so that their rows sum to less
        mass = total.sum(axis=1, keepdims=True)
    probabilities = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
    probabilities[~is_known] = 0.0
    return probabilities, ensemble.classes_


def _sum_of_voices(ensemble, X, y, tolerance):
    """Sum of probabilities per row, its number of terms, and whether its class was known."""
    n_rows = X.shape[0]
    codes = None if y is None else _codes(y, ensemble.classes_)
    total = np.zeros((n_rows, len(ensemble.classes_)))
    n_voices = np.zeros(n_rows, dtype=np.int64)
    is_known = np.full(n_rows, y is None)
    for k, (member, bag, features) in enumerate(_members(ensemble)):
        times_drawn = np.bincount(bag, minlength=n_rows)
        if k < TREES_CHECKED and hasattr(member, "tree_"):
            _refuse_rows_it_was_not_fitted_on(member, X, times_drawn, features, tolerance)
        outside = np.flatnonzero(times_drawn == 0)
        if not len(outside):
            continue
        total[outside] += _voice(member, _rows(X, outside, features), total.shape[1])
        n_voices[outside] += 1
        if codes is not None:
            is_known[outside] |= np.isin(codes[outside], np.unique(codes[bag]))
    return total, n_voices, is_known


def _voice(member, rows, n_classes):
    """A member's probabilities, or votes: it was fitted on the codes of the classes."""
    voice = np.zeros((rows.shape[0], n_classes))
    if hasattr(member, "predict_proba"):
        known = np.asarray(member.classes_).astype(np.intp)
        voice[:, known] = member.predict_proba(rows)
    else:
        voice[np.arange(len(voice)), np.asarray(member.predict(rows)).astype(np.intp)] = 1.0
    return voice


def _rows(X, rows, features):
    return X[rows] if features is None else X[rows][:, features]


def _codes(y, classes):
    position = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([position.get(label, -1) for label in read_labels(y, warns=False).tolist()])


def _ensemble_behind_steps(teacher):
    """The estimator that answers in the end, and the transformers before it."""
    steps = []
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


def _has(thing, name):
    """Whether it has an attribute, where `hasattr` believes an object that answers any name."""
    return name in getattr(thing, "__dict__", ()) or hasattr(type(thing), name)


def _is_forest(ensemble):
    """Of trees that get all features; otherwise it is bagging of anything."""
    return not hasattr(ensemble, "estimators_features_")


def _is_bagged_classifier(ensemble):
    if not all(hasattr(ensemble, name) for name in ("estimators_", "classes_", "_n_samples")):
        return False
    if not hasattr(type(ensemble), "estimators_samples_"):
        return False
    member = ensemble.estimators_[0]
    if _is_forest(ensemble):
        return hasattr(member, "tree_")
    return not isinstance(member, FrozenEstimator) and part_that_stays_fitted(member) is None


def _members(ensemble):
    """(fitted member, indices of the rows it saw, of its features or None) of each."""
    if not _is_forest(ensemble):
        yield from zip(
            ensemble.estimators_,
            ensemble.estimators_samples_,
            ensemble.estimators_features_,
            strict=True,
        )
        return
    # All samples at once would weigh as much as a column of X for each tree.
    part = copy.copy(ensemble)
    for tree in ensemble.estimators_:
        part.estimators_ = [tree]
        yield tree, part.estimators_samples_[0], None


def _misses_a_row(ensemble, bag):
    return len(bag) < ensemble._n_samples or (
        bool(ensemble.bootstrap) and len(np.unique(bag)) < ensemble._n_samples
    )


def _check_number_of_rows(ensemble, X):
    n_rows, n_fitted = _num_samples(X), ensemble._n_samples
    if n_rows != n_fitted:
        raise ValueError(
            f"X has {n_rows} rows, teacher, a {type(ensemble).__name__}, was fitted on {n_fitted}: "
            "out-of-bag labels are those of the very rows it was fitted on, in their order. For "
            "others set soft_labels='in_sample', for a part of them 'out_of_fold'."
        )


def _as_its_members_see(ensemble, X):
    """An array of the dtype that the ensemble hands on to its members."""
    dtype = np.float32 if _is_forest(ensemble) else None
    settings = {"dtype": dtype, "accept_sparse": "csr", "ensure_all_finite": False}
    return validate_data(ensemble, X, reset=False, **settings)


def _refuse_rows_it_was_not_fitted_on(tree, X, times_drawn, features, tolerance):
    """Lead the rows a tree saw to its leaves: each must get as many as when it grew."""
    drawn = np.flatnonzero(times_drawn)
    rows = _rows(X, drawn, features)
    leaves = tree.apply(rows)
    grown = tree.tree_.n_node_samples
    is_leaf = tree.tree_.children_left == -1

    def astray(weights):
        found = np.bincount(leaves, weights, minlength=len(grown))
        return abs(found - grown)[is_leaf].sum() / 2 / grown[0]

    # A row that was drawn twice is one row of weight 2, or two rows.
    if min(astray(None), astray(times_drawn[drawn])) > tolerance:
        raise ValueError(
            "X is not what teacher was fitted on: its trees lead the rows to other leaves than "
            "when they grew. Out-of-bag labels are those of the very rows it was fitted on, in "
            "their order and unscaled. For other rows set soft_labels='in_sample', for a part of "
            "them 'out_of_fold'."
        )
