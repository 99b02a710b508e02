"""What a selection publishes of its comparisons."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import RandomForestClassifier

from skkd import DistilledClassifier
from skkd.selection.comparisons import Comparison, losses_of_all, reason_for

EVEN = {"labels": 1.0, "teacher": 1.0, "transfer set": 1.0}
WITH_MARGIN = EVEN | {"transfer set": 1.05}


def comparison(n_epochs, margins=EVEN, **losses):
    losses = {name.replace("_", " "): loss for name, loss in losses.items()}
    return Comparison(n_epochs, losses, {name: margins[name] for name in losses})


def test_published_losses_are_those_after_the_epochs_that_all_candidates_reached():
    comparisons = [
        comparison(1, labels=0.6, teacher=0.7),
        comparison(2, labels=0.5, teacher=0.4),
        comparison(3, teacher=0.3),
    ]
    assert losses_of_all(comparisons) == {"labels": 0.5, "teacher": 0.4}


def test_the_reason_tells_that_a_lower_loss_was_not_low_enough_and_what_was_required():
    comparisons = [comparison(8, WITH_MARGIN, labels=0.9, teacher=0.42, transfer_set=0.41)]
    reason = reason_for("teacher", 100, comparisons)
    required = float(re.search(r"below (\S+) was required", reason)[1])
    assert required == pytest.approx(0.42 / 1.05)
    assert "transfer set had 0.4100 at the end, which is not low enough" in reason
    assert "labels had 0.9000 at the end." in reason


def test_one_epoch_is_no_plural():
    comparisons = [comparison(1, labels=0.6, teacher=0.5), comparison(2, teacher=0.4)]
    assert "labels was stopped after 1 epoch, when" in reason_for("teacher", 100, comparisons)


def test_the_reason_names_the_epochs_after_which_a_candidate_was_stopped_and_both_losses():
    comparisons = [comparison(4, labels=0.6, teacher=0.5), comparison(8, teacher=0.4)]
    assert reason_for("teacher", 100, comparisons) == (
        "teacher was selected: its log-loss on 100 held-out rows is 0.4000. labels was stopped "
        "after 4 epochs, when it had 0.6000 and teacher 0.5000."
    )


@pytest.mark.parametrize("load", [load_digits, make_classification])
def test_a_fit_explains_each_candidate_and_the_winner_first(load):
    data = load(return_X_y=True) if load is load_digits else load(400, random_state=0)
    forest = RandomForestClassifier(20, random_state=0).fit(*data)
    student = DistilledClassifier(
        forest, hidden_layer_sizes=(16,), max_epochs=4, random_state=0
    ).fit(*data)
    reason, losses = student.candidate_reason_, student.candidate_losses_
    assert reason.startswith(f"{student.candidate_} was selected")
    assert all(name in reason for name in ("labels", "teacher", "transfer set"))
    assert set(losses) == {"labels", "teacher", "transfer set"}
    assert all(np.isfinite(list(losses.values())))


def test_nothing_is_explained_where_nothing_was_compared():
    X, y = make_classification(60, random_state=0)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    student = DistilledClassifier(forest, hidden_layer_sizes=(4,), max_epochs=2).fit(X, y)
    assert student.candidate_reason_ is None
    assert student.candidate_losses_ is None
