"""Agreement of teachers with labels, and the warning at chance level."""

import warnings

import numpy as np
import pytest

from skkd.teachers.agreement import TeacherMismatchWarning, agreement_with


def test_a_good_teacher_that_never_predicts_a_rare_class_does_not_warn():
    codes = np.r_[np.zeros(970, int), np.ones(30, int)]
    p = 0.02 + 0.3 * codes
    assert agreement_with(np.c_[1 - p, p], codes) == pytest.approx(0.5)


def test_a_teacher_that_predicts_one_of_balanced_classes_warns():
    draw = np.random.default_rng(0)
    codes = np.arange(300) % 3
    p = np.full((300, 3), [0.8, 0.15, 0.05])
    p[np.arange(300), codes] += 0.01 * draw.random(300)
    with pytest.warns(TeacherMismatchWarning):
        agreement_with(p, codes)


def test_agreement_counts_rows_by_their_weights():
    codes = np.r_[np.arange(60) % 2, np.arange(60) % 2]
    p = np.eye(2)[np.r_[codes[:60], 1 - codes[60:]]]
    assert agreement_with(p, codes, np.repeat([1.0, 0.0], 60)) == 1
    assert agreement_with(p, codes, np.repeat([3.0, 1.0], 60)) == pytest.approx(0.75)
    assert np.isnan(agreement_with(p, codes, np.zeros(120)))


def test_few_rows_never_warn():
    assert agreement_with(np.full((20, 2), 0.5), np.arange(20) % 2) == pytest.approx(0.5)


def test_the_warning_gives_other_advice_if_the_teacher_was_fitted_on_these_rows():
    with pytest.warns(TeacherMismatchWarning, match="fitted on these rows"):
        agreement_with(np.full((300, 2), 0.5), np.arange(300) % 2, was_fitted_on_rows=True)


@pytest.mark.parametrize("missing", [False, True])
def test_agreement_is_scikit_learns_balanced_accuracy(missing):
    from sklearn.metrics import balanced_accuracy_score

    draw = np.random.default_rng(0)
    codes = draw.integers(0, 4, 200) + missing
    p = draw.dirichlet(np.ones(5), 200) + np.eye(5)[codes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(codes, p.argmax(axis=1))
    assert agreement_with(p, codes) == pytest.approx(expected)


def test_a_teacher_at_chance_level_warns():
    chance = np.full((300, 3), 1 / 3)
    with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
        assert agreement_with(chance, np.arange(300) % 3) == pytest.approx(1 / 3)


def test_balanced_accuracy_does_not_warn_of_a_teacher_of_rare_classes():
    codes = np.r_[np.zeros(95, int), np.ones(5, int)]
    first_choice = np.r_[np.ones(30, int), np.zeros(65, int), np.ones(5, int)]
    assert agreement_with(np.eye(2)[first_choice], codes) > 0.8
