"""A teacher's opinion of rows, asked for in the way that a student's parameters say."""

import numbers
import os

import numpy as np
from sklearn.exceptions import NotFittedError

from skkd.out_of_bag import out_of_bag
from skkd.out_of_fold import out_of_fold
from skkd.parameters import check_flag, check_integer, check_number, check_option, is_auto, refuse
from skkd.soft_labels import check_probabilities, in_order, named_columns, shortened
from skkd.teacher_cache import as_memory
from skkd.teacher_fitting import fit_and_hear
from skkd.teachers import Opinion, hear, is_fitted, members_of, unwrapped
from skkd.transfer import resolve_augment

__all__ = [
    "asks_out_of_sample",
    "check_teaching",
    "classes_of",
    "hear_teacher",
    "opinions_of",
    "read_answers",
]

#: The names in `skkd.losses.TEACHER_LOSSES`, which is not read before torch is needed.
LOSSES = ("kl", "reverse_kl", "jensen_shannon", "logit_mse", "brier")

SOFT_LABELS = ("auto", "in_sample", "out_of_bag", "out_of_fold")


def check_teaching(student, teacher_proba, X_unlabeled):
    """Refuse parameters, and arguments of `fit`, that a teacher cannot teach with.

    Parameters
    ----------
    student : DistilledClassifier
    teacher_proba, X_unlabeled : object
        As `fit` got them.
    """
    check_number("temperature", student.temperature, low=0, high=1e15, low_open=True)
    _check_or_auto(check_number, "alpha", student.alpha, "a number in [0, 1]", low=0, high=1)
    check_option("teacher_loss", student.teacher_loss, LOSSES)
    check_option("soft_labels", student.soft_labels, SOFT_LABELS)
    check_flag("calibrate_teacher", student.calibrate_teacher)
    if student.calibrate_teacher and not asks_out_of_sample(student) and teacher_proba is None:
        allowed = "False, or soft_labels 'out_of_bag' or 'out_of_fold': rows it has not seen"
        refuse("calibrate_teacher", True, allowed)
    check_number("proba_floor", student.proba_floor, low=0, high=1, low_open=True, high_open=True)
    check_flag("fit_teacher", student.fit_teacher)
    options = ("raise", "teacher", "intersect")
    check_option("on_class_mismatch", student.on_class_mismatch, options)
    if student.teacher_batch_size is not None:
        check_integer("teacher_batch_size", student.teacher_batch_size, low=1)
    is_place = isinstance(student.memory, (str, os.PathLike)) and student.memory != ""
    if not (student.memory is None or is_place or hasattr(student.memory, "cache")):
        refuse("memory", student.memory, "a folder, a joblib.Memory or None")
    _check_augment(student, X_unlabeled)
    if teacher_proba is not None:
        _check_without_teacher(student, X_unlabeled)


def _check_or_auto(check, name, value, allowed, **bounds):
    if is_auto(value):
        return
    try:
        check(name, value, **bounds)
    except (TypeError, ValueError) as error:
        refuse(name, value, f"'auto' or {allowed}", type(error))


def _check_augment(student, X_unlabeled):
    if not (student.augment is None or is_auto(student.augment)):
        resolve_augment(student.augment, besides=("auto", None))
    size = student.augment_size
    if isinstance(size, str) and size == "fresh":
        if X_unlabeled is not None:
            refuse("augment_size", size, "'auto' or an integer >= 1 together with X_unlabeled")
        if student.module is not None:
            refuse("augment_size", size, "'auto' or an integer >= 1 for a module of your own")
    else:
        allowed = "an integer >= 1 or 'fresh'"
        _check_or_auto(check_integer, "augment_size", size, allowed, low=1)
    if student.augment_seconds is not None:
        check_number("augment_seconds", student.augment_seconds, low=0, low_open=True)


def _check_without_teacher(student, X_unlabeled):
    """Refuse what only a teacher could answer, beside answers that replace it."""
    if asks_out_of_sample(student):
        refuse("soft_labels", student.soft_labels, "'auto' or 'in_sample' beside teacher_proba")
    if not (student.augment is None or is_auto(student.augment)):
        refuse("augment", student.augment, "'auto' or None together with teacher_proba")
    if X_unlabeled is not None:
        raise ValueError(
            "X_unlabeled is labelled by the teacher, and teacher_proba replaces it: give one of "
            "them, or the unlabelled rows their answers and a y of their own."
        )


def hear_teacher(student, X, y, sample_weight, seed, remember):
    """The teacher that was asked, and what it says of the rows of `fit`.

    Parameters
    ----------
    student : DistilledClassifier
    X, y, sample_weight : as `fit` got them, checked
    seed : int
        Of teachers that are fitted.
    remember : bool
        Whether to ask about the same rows only once.

    Returns
    -------
    teacher : object
    opinions : list of Opinion
    """
    if student.teacher is None:
        refuse("teacher", None, "a fitted classifier, or teacher_proba in fit")
    settings = _ways_to_ask(student)
    if student.fit_teacher:
        # Without an integer seed no two fits ask for the same teacher.
        remember = isinstance(student.random_state, numbers.Integral)
        settings |= {"remember": remember, "seed": seed}
        asks = not asks_out_of_sample(student)
        teacher, opinions = fit_and_hear(
            student.teacher, X, y, sample_weight, asks=asks, **settings
        )
        return teacher, _as_asked(student, teacher, opinions, X, y, sample_weight, settings)
    not_fitted = ValueError(
        "teacher is not fitted. Fit it first; inside of a grid over teachers, which "
        "unfits them, wrap each fitted one in sklearn.frozen.FrozenEstimator; or set "
        "fit_teacher=True to have a clone of it fitted on the rows of each fit."
    )
    if not is_fitted(student.teacher):
        raise not_fitted
    teacher = unwrapped(student.teacher)
    settings |= {"remember": remember}
    try:
        opinions = [] if asks_out_of_sample(student) else hear(teacher, X, **settings)
    except NotFittedError as error:
        raise not_fitted from error
    settings |= {"seed": seed}
    return teacher, _as_asked(student, teacher, opinions, X, y, sample_weight, settings)


def opinions_of(student, teacher, rows, are_made):
    """What a teacher of this fit says of rows of a transfer set.

    Parameters
    ----------
    student : DistilledClassifier
    teacher : object
        Fitted: the one of all rows, or of a part of them.
    rows : container of rows, as the teacher takes them
    are_made : bool
        Whether they are synthetic.

    Returns
    -------
    list of Opinion
    """
    remember = is_remembered(student, teacher, are_made)
    return hear(teacher, rows, remember=remember, **_ways_to_ask(student))


def is_remembered(student, teacher, are_made):
    """Whether another fit may ask the same about the rows of a transfer set.

    Parameters
    ----------
    student : DistilledClassifier
    teacher : object
    are_made : bool
        Whether the rows are synthetic: fits with the same seed make the same rows. Where the
        clock decides how many, answers that come at once would make room for more; and
        fresh rows are too many.

    Returns
    -------
    bool
    """
    remember = isinstance(student.random_state, numbers.Integral)  # else all is drawn anew
    if are_made:
        remember &= student.augment_seconds is None and student.augment_size != "fresh"
    elif teacher is student.teacher_:  # nobody finds again what was fitted for this fit alone
        remember |= not student.fit_teacher
    return remember


def read_answers(teacher_proba, classes, n_rows):
    """The caller's own soft labels, as an opinion.

    Parameters
    ----------
    teacher_proba : array-like or DataFrame of shape (n_rows, n_classes)
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    n_rows : int

    Returns
    -------
    Opinion
    """
    probabilities = check_probabilities(teacher_proba, n_rows, "teacher_proba", may_be_silent=True)
    return Opinion(probabilities, named_columns(teacher_proba, classes), whose="teacher_proba")


def classes_of(opinions, own_classes):
    """The classes that teachers know, for a student that takes them over.

    Parameters
    ----------
    opinions : list of Opinion
    own_classes : ndarray
        Those of y, sorted.

    Returns
    -------
    ndarray
        Sorted.
    """
    named = [np.asarray(o.classes).tolist() for o in opinions if o.classes is not None]
    known = {label for labels in named for label in labels}
    own = set(own_classes.tolist())
    if not known or known == own:
        return own_classes
    if not own <= known:
        raise ValueError(
            f"y holds {shortened(in_order(own - known))}, which no teacher knows "
            f"({shortened(in_order(known))}): "
            "on_class_mismatch='teacher' wants labels that a teacher knows, 'intersect' those of y."
        )
    try:
        return np.unique(np.asarray(list(known)))
    except TypeError as error:
        raise ValueError(f"teachers know labels of several types: {known}.") from error


def _ways_to_ask(student):
    return {
        "batch_size": student.teacher_batch_size,
        "progress": bool(student.verbose),
        "memory": as_memory(student.memory),
    }


def asks_out_of_sample(student):
    """Whether `soft_labels` are to come from who has not seen the rows."""
    return student.soft_labels in ("out_of_bag", "out_of_fold")


def _as_asked(student, teacher, opinions, X, y, sample_weight, settings):
    """The opinions, or those of members that did not see the rows, as `soft_labels` asks."""
    if not asks_out_of_sample(student):
        return opinions
    members = members_of(teacher)
    if student.soft_labels == "out_of_bag":
        return [Opinion(*out_of_bag(member, X, y), weight) for member, weight in members]
    seeds = np.random.RandomState(settings.pop("seed")).randint(2**31 - 1, size=len(members))
    return [
        Opinion(*out_of_fold(member, X, y, sample_weight, seed=int(seed), **settings), weight)
        for (member, weight), seed in zip(members, seeds, strict=True)
    ]
