"""The candidates labels, teacher and transfer set are compared on held-out rows."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.dataset import Dataset
from skkd.inference.network import softmax
from skkd.selection.epochs import FEWEST_ROWS
from skkd.selection.successive_halving import Choices, choose
from skkd.supervision import Candidate
from skkd.teachers.agreement import WeakTeacherWarning
from skkd.training.result import TrainingResult

SMALL = {"hidden_layer_sizes": (150,), "random_state": 3}
QUICK = SMALL | {"max_epochs": 4}

no_mismatch_warning = pytest.mark.filterwarnings("ignore::skkd.teachers.TeacherMismatchWarning")
no_warning_of_ours = pytest.mark.filterwarnings("ignore::UserWarning")


def truth(X):
    """The probability of class 1."""
    return 1 / (1 + np.exp(-4 * X[:, 0] * X[:, 1]))


class Knows:
    """A teacher that gives the true probabilities."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        p = truth(np.asarray(X))
        return np.column_stack([1 - p, p])


class Contradicts(Knows):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


class Guesses(Knows):
    """A teacher whose probabilities are independent of the labels."""

    def predict_proba(self, X):
        p = np.modf(np.abs(np.asarray(X)[:, 2]) * 1000)[0]
        return np.column_stack([1 - p, p])


class NeverAsked(Knows):
    """A teacher that may only be called with the rows of `fit`."""

    def __init__(self, n_rows):
        self.n_rows = n_rows

    def predict_proba(self, X):
        assert len(X) == self.n_rows
        return super().predict_proba(X)


class NeverMakes:
    """A sampler that must not be used."""

    def fit(self, X):
        raise AssertionError("made a transfer set")

    sample = fit


def table(n_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    return X, (rng.random(n_rows) < truth(X)).astype(int)


X, y = table()
SIMPLE = (X[:, 0] > 0).astype(int)  # labels without noise, easily learned


# ---- choose, with networks whose logits are known ----------------------------------------


@dataclass
class Answers:
    """A network whose logits are noise about a shift towards class 1, which most rows have."""

    p: float  #: of class 1, without the noise

    def logits(self, rows):
        right = np.log(self.p / (1 - self.p))
        noise = np.random.RandomState(len(rows)).standard_normal(len(rows))
        return np.column_stack([np.zeros(len(rows)), np.full(len(rows), right) + noise])


def dataset_of(n_rows):
    targets = {"labels": np.arange(n_rows) % 5 > 0, "weights": np.ones(n_rows)}
    targets["labels"] = targets["labels"].astype(int)
    return Dataset(np.zeros((n_rows, 1)), targets, index=np.arange(n_rows))


def trainer(p_of, calls):
    """What `choose` trains with: a network that gives the right class p after each epoch."""

    def fit(candidate, encoding, train, n_epochs, previous, on_epoch):
        values = p_of(candidate.name, encoding)
        n_before = 0 if previous is None else len(previous.history)
        history = []

        def fitted():
            return TrainingResult(Answers(p), list(history), None, {}, n_steps=10 * len(history))

        for epoch, p in enumerate(values[n_before:][:n_epochs], start=1):  # noqa: B007
            history.append({"epoch": epoch})
            if on_epoch is not None and on_epoch(history[-1], fitted):
                break
        calls.append((candidate.name, encoding, n_before + len(history)))
        return fitted()

    return fit


@dataclass
class KnownFold:
    """A fold whose trainings are known, in place of a `FoldTrainer`."""

    fit: Callable
    candidates: dict
    held_out: Dataset

    def dataset(self, name):
        return dataset_of(50)


def folds(fit, candidates, n_folds=1):
    by_name = {candidate.name: candidate for candidate in candidates}
    return [KnownFold(fit, by_name, dataset_of(400)) for _ in range(n_folds)]


def chosen(p_by_name, lengths=(), n_folds=1, is_seen=False, **candidate_settings):
    """The choice among candidates that give the right class p at each length, and the calls."""
    calls = []
    fit = trainer(lambda name, encoding: p_by_name[name], calls)
    candidates = [Candidate(name, None, **candidate_settings.get(name, {})) for name in p_by_name]
    choices = Choices(candidates, [None], list(lengths))
    choice = choose(choices, folds(fit, candidates, n_folds), is_seen)
    return choice, [(name, n_epochs) for name, _, n_epochs in calls]


def encoded(p_by_encoding, n_candidates=1):
    """The choice among encodings that give the right class p at each length, and the calls."""
    calls = []
    fit = trainer(lambda name, encoding: p_by_encoding[encoding], calls)
    candidates = [Candidate(f"candidate {i}", None) for i in range(n_candidates)]
    choices = Choices(candidates, list(p_by_encoding), [1, 2, 3, 4], is_narrow=True)
    choice = choose(choices, folds(fit, candidates))
    return choice.encoding, calls


def test_all_candidates_get_an_encoding_that_is_clearly_better_for_the_best():
    choice, calls = encoded({"line": [0.02] * 4, "bins": [0.3, 0.6, 0.8, 0.8]}, n_candidates=2)
    assert choice == "bins"
    assert calls == [
        ("candidate 0", "line", 2),
        ("candidate 1", "line", 2),
        ("candidate 0", "bins", 2),  # of equals the first is the best
        ("candidate 1", "bins", 2),
        ("candidate 0", "bins", 3),
        ("candidate 1", "bins", 3),
        ("candidate 0", "bins", 4),
    ]


@pytest.mark.parametrize("n_folds", [1, 2])
@pytest.mark.parametrize("is_narrow", [False, True])
def test_another_encoding_is_tried_with_the_best_candidate_and_in_narrow_networks_with_labels(
    is_narrow, n_folds
):
    p_of = {
        ("labels", "line"): [0.3] * 4,
        ("labels", "bins"): [0.02] * 4,  # worse with bins
        ("teacher", "line"): [0.5] * 4,
        ("teacher", "bins"): [0.6, 0.7, 0.8, 0.9],
    }
    calls = []
    fit = trainer(lambda name, encoding: p_of[name, encoding], calls)
    candidates = [Candidate("labels", None), Candidate("teacher", None, alpha=0.5)]
    choices = Choices(candidates, ["line", "bins"], [1, 2, 3, 4], is_narrow)
    choice = choose(choices, folds(fit, candidates, n_folds))
    assert (choice.candidate.name, choice.encoding) == ("teacher", "bins")
    tried = list(dict.fromkeys((name, encoding) for name, encoding, _ in calls))
    assert tried[:2] == [("labels", "line"), ("teacher", "line")]
    assert tried.index(("labels", "bins")) == (2 if is_narrow else 3)
    assert tried.index(("teacher", "bins")) == (3 if is_narrow else 2)
    assert set(choice.trials) == {"labels", "teacher"}
    assert choice.comparisons[0].losses["teacher"] == choice.trials["teacher"].losses[2]


def test_in_a_wide_network_another_encoding_is_not_tried_with_labels_alone():
    p_of = {("labels", "line"): [0.5] * 4, ("teacher", "line"): [0.3] * 4}
    calls = []
    fit = trainer(lambda name, encoding: p_of[name, encoding], calls)
    candidates = [Candidate("labels", None), Candidate("teacher", None, alpha=0.5)]
    choice = choose(Choices(candidates, ["line", "bins"], [1, 2, 3, 4]), folds(fit, candidates))
    assert (choice.candidate.name, choice.encoding) == ("labels", "line")


def test_all_candidates_get_an_encoding_that_is_clearly_better_with_labels_alone():
    p_of = {
        ("labels", "line"): [0.3] * 4,
        ("labels", "bins"): [0.5] * 4,
        ("teacher", "line"): [0.7] * 4,
        ("teacher", "bins"): [0.7, 0.7, 0.8, 0.9],  # better only later
        ("transfer set", "line"): [0.6] * 4,
        ("transfer set", "bins"): [0.6] * 4,
    }
    calls = []
    fit = trainer(lambda name, encoding: p_of[name, encoding], calls)
    alphas = {"labels": 0.0, "teacher": 0.5, "transfer set": 0.5}
    candidates = [Candidate(name, None, alpha=alpha) for name, alpha in alphas.items()]
    choices = Choices(candidates, ["line", "bins"], [1, 2, 3, 4], is_narrow=True)
    choice = choose(choices, folds(fit, candidates))
    assert (choice.candidate.name, choice.encoding) == ("teacher", "bins")
    assert ("transfer set", "bins", 2) in calls
    assert {trial.encoding for trial in choice.trials.values()} == {"bins"}


def test_if_held_out_rows_were_seen_bins_are_not_trained_longer_than_is_best_for_labels():
    p_of = {
        ("labels", "line"): [0.8, 0.02],  # best after one epoch
        ("teacher", "line"): [0.85, 0.85],
        ("teacher", "bins"): [0.85, 0.85],
    }
    calls = []
    fit = trainer(lambda name, encoding: p_of[name, encoding], calls)
    candidates = [Candidate("labels", None), Candidate("teacher", None, alpha=0.5)]
    choice = choose(
        Choices(candidates, ["line", "bins"], [1, 2, 3, 4]), folds(fit, candidates), is_seen=True
    )
    assert choice.n_epochs == 1
    assert calls == [
        ("labels", "line", 2),
        ("teacher", "line", 1),
        ("teacher", "bins", 1),
    ]


def test_another_encoding_is_not_tried_with_a_candidate_that_overfits():
    choice, calls = encoded({"line": [0.8, 0.02], "bins": [0.9] * 4}, n_candidates=2)
    assert choice == "line"
    assert {encoding for _, encoding, _ in calls} == {"line"}


@pytest.mark.parametrize("early", [0.6, 0.7])
def test_another_encoding_that_does_not_lead_clearly_and_early_is_given_up(early):
    choice, calls = encoded({"line": [0.7] * 4, "bins": [0.02, early, 0.9, 0.9]})
    assert choice == "line"
    assert calls == [("candidate 0", e, n) for e, n in (("line", 2), ("bins", 2), ("line", 4))]


def test_the_lowest_loss_wins_in_any_position():
    for order in (["bad", "good"], ["good", "bad"]):
        values = {"bad": [0.02], "good": [0.9]}
        choice, calls = chosen({name: values[name] for name in order})
        assert choice.candidate.name == "good"
        assert calls == [(name, 1) for name in order]
        assert choice.trials["good"].loss < choice.trials["bad"].loss
        assert choice.loss == choice.trials["good"].loss


def test_of_equals_the_first_is_kept():
    choice, _ = chosen({"one": [0.9], "two": [0.9]})
    assert choice.candidate.name == "one"
    assert len({one.loss for one in choice.trials.values()}) == 1


def test_a_required_margin_decides_between_equals_and_near_equals():
    values = {"one": [0.9], "two": [0.9]}
    choice, _ = chosen(values, one={"required_margin": 1.1})
    assert choice.candidate.name == "two"
    choice, _ = chosen(values, two={"required_margin": 1.1})
    assert choice.candidate.name == "one"
    choice, _ = chosen({"one": [0.02], "two": [0.9]}, two={"required_margin": 1.1})
    assert choice.candidate.name == "two"


def test_a_smaller_required_margin_counts_if_the_best_other_candidate_uses_the_teacher():
    margins = {"alpha": 0.5, "required_margin": 100.0, "required_margin_if_trusted": 1.1}
    values = {"first": [0.5], "better": [0.9]}
    choice, _ = chosen(values, better=margins)
    assert choice.candidate.name == "first"
    choice, _ = chosen(values, first={"alpha": 0.5}, better=margins)
    assert choice.candidate.name == "better"


def test_a_required_margin_counts_in_the_end():
    values = {"one": [0.6, 0.65, 0.9], "two": [0.02, 0.5, 0.5]}
    for required_margin, best in [(1.1, "one"), (1e6, "two")]:
        choice, calls = chosen(values, lengths=(1, 2, 3), one={"required_margin": required_margin})
        assert choice.candidate.name == best
        assert choice.n_epochs == 3
        assert (best, 3) in calls
        assert (("one", 3) in calls) == (best == "one")


def test_a_candidate_that_is_behind_without_a_margin_is_stopped():
    values = {"one": [0.5, 0.5, 0.9], "two": [0.02, 0.6, 0.6]}
    choice, calls = chosen(values, lengths=(1, 2, 3), one={"required_margin": 1.1})
    assert choice.candidate.name == "two"
    assert ("one", 3) not in calls


def recorded_choices(monkeypatch):
    """The arguments (choices, folds, is_seen) of later calls of `choose`."""
    recorded_calls = []

    def recorded(choices, folds, is_seen, n_jobs):
        recorded_calls.append((choices, folds, is_seen))
        return choose(choices, folds, is_seen, n_jobs)

    monkeypatch.setattr("skkd.selection.plan.choose", recorded)
    return recorded_calls


@pytest.mark.parametrize(
    "settings",
    [{}, {"early_stopping": True}, {"lr_decay": "coslog", "max_epochs": "auto"}],
    ids=str,
)
@pytest.mark.parametrize("own_rows", [False, True])
def test_a_transfer_set_needs_a_margin_only_if_the_teacher_may_have_seen_the_rows(
    settings, own_rows, monkeypatch
):
    recorded_calls = recorded_choices(monkeypatch)
    rows = {"X_val": X[:50], "y_val": y[:50]} if own_rows else {}
    DistilledClassifier(Knows(), **QUICK | settings).fit(X, y, **rows)
    ((choices, folds, is_seen),) = recorded_calls
    assert len(folds) == (1 if own_rows else 3)
    assert is_seen != own_rows
    margins = {one.name: one.required_margin for one in choices.candidates}
    assert margins == {"teacher": 1, "labels": 1, "transfer set": 1 if own_rows else 4 / 3}


def test_the_bar_shows_that_a_transfer_set_was_not_clearly_better(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a bar leaves out what does not fit
    monkeypatch.setattr("skkd.distillation.REQUIRED_MARGIN_IF_TRUSTED", 1e6)
    monkeypatch.setattr("skkd.distillation.REQUIRED_MARGIN", 1e6)
    clf = DistilledClassifier(Knows(), verbose=1, **QUICK).fit(X, y)
    assert min(clf.candidate_losses_, key=clf.candidate_losses_.get) == "transfer set"
    assert clf.candidate_ == "teacher"
    shown = capsys.readouterr().err
    assert "selected teacher, 4 epochs (transfer set is not clearly better)" in shown


@pytest.mark.parametrize("n_folds", [1, 2])
def test_a_teacher_that_has_seen_the_rows_is_used_no_longer_than_suits_labels(n_folds):
    values = {"taught": [0.6, 0.7, 0.8, 0.9], "labels": [0.5, 0.6, 0.02, 0.02]}
    how = {"lengths": (1, 2, 3, 4), "n_folds": n_folds, "taught": {"alpha": 0.5}}
    seen, calls = chosen(values, is_seen=True, **how)
    assert (seen.candidate.name, seen.n_epochs) == ("taught", 2)
    assert max(n_epochs for name, n_epochs in calls if name == "taught") == 2
    unseen, _ = chosen(values, **how)
    assert (unseen.candidate.name, unseen.n_epochs) == ("taught", 4)


def test_labels_limit_the_length_even_after_they_have_lost():
    values = {"labels": [0.6, 0.6, 0.02], "one": [0.7, 0.8, 0.9], "two": [0.65, 0.7, 0.8]}
    how = {"lengths": (1, 2, 3), "is_seen": True, "one": {"alpha": 0.5}, "two": {"alpha": 0.5}}
    choice, calls = chosen(values, **how)
    assert (choice.candidate.name, choice.n_epochs) == ("one", 2)
    assert ("labels", 3) in calls
    assert all(trial.trainings == [] for trial in choice.trials.values())


def test_the_others_train_on_while_labels_improve():
    values = {"taught": [0.6, 0.7, 0.8, 0.9], "labels": [0.5, 0.6, 0.6, 0.6]}
    choice, _ = chosen(values, lengths=(1, 2, 3, 4), is_seen=True, taught={"alpha": 0.5})
    assert (choice.candidate.name, choice.n_epochs) == ("taught", 4)


def test_all_folds_reach_a_length_before_it_is_judged():
    values = {"one": [0.6, 0.7, 0.8], "two": [0.5, 0.4, 0.4]}
    choice, calls = chosen(values, lengths=(1, 2, 3), n_folds=2)
    legs = [("one", 1), ("two", 1), ("one", 2), ("two", 2), ("one", 3)]
    assert calls == [call for call in legs for _ in range(2)]
    assert choice.candidate.name == "one"
    assert len(choice.row_losses[3]) == 800
    alone, _ = chosen(values, lengths=(1, 2, 3))
    assert choice.losses == pytest.approx(alone.losses, rel=1e-3)  # the same rows twice
    assert choice.temperature == pytest.approx(alone.temperature, rel=0.01)


def test_without_lengths_the_end_of_training_counts():
    choice, _ = chosen({"one": [0.02, 0.02, 0.9], "two": [0.9, 0.02]})
    assert choice.candidate.name == "one"
    assert choice.n_epochs == 3
    assert set(choice.losses) == {3}


def test_two_candidates_stay_after_the_first_rung_and_the_better_one_after_the_second():
    values = {"one": [0.02] * 5, "two": [0.02, 0.02, 0.7, 0.7, 0.7], "three": [0.75] * 5}
    choice, calls = chosen(values, lengths=(1, 2, 3, 4, 5))
    assert choice.candidate.name == "three"
    first_legs = [(name, length) for length in (2, 3) for name in values]
    assert calls == [*first_legs, ("two", 4), ("three", 4), ("three", 5)]
    assert {name: len(trial.losses) for name, trial in choice.trials.items()} == {
        "one": 3,
        "two": 4,
        "three": 5,
    }
    rungs = [(comparison.n_epochs, set(comparison.losses)) for comparison in choice.comparisons]
    assert rungs == [(3, {"one", "two", "three"}), (4, {"two", "three"}), (5, {"three"})]
    assert choice.comparisons[0].losses["three"] == choice.losses[3]  # not that after 5 epochs


def test_a_candidate_that_would_stay_behind_with_its_last_improvement_again_is_stopped():
    leader = [0.02, 0.02, 0.75, 0.75, 0.75]
    for before, stays in [(0.02, True), (0.6, True), (0.67, False), (0.7, False)]:
        values = {"behind": [0.02, before, 0.7, 0.7, 0.7], "leader": leader}
        choice, calls = chosen(values, lengths=(1, 2, 3, 4, 5))
        assert choice.candidate.name == "leader"
        assert ("behind", 3) in calls
        assert (("behind", 4) in calls) == stays


def test_a_choice_keeps_its_training_at_the_length_before():
    values = {"one": [0.6, 0.6, 0.7, 0.7, 0.9, 0.1], "two": [0.5] * 6}
    choice, _ = chosen(values, lengths=(2, 4, 5, 6))
    assert choice.n_epochs == 5
    assert choice.start.network == Answers(0.7)
    assert [record["epoch"] for record in choice.start.history] == [1, 2, 3, 4]
    assert choice.start.n_steps == 40
    assert all(trial.trainings == [] for trial in choice.trials.values())


def test_no_training_is_kept_before_the_first_length_nor_with_several_folds():
    first, _ = chosen({"one": [0.9, 0.1, 0.1]}, lengths=(1, 2, 3))
    assert (first.n_epochs, first.start) == (1, None)
    several, _ = chosen({"one": [0.6, 0.7, 0.8]}, lengths=(1, 2, 3), n_folds=2)
    assert (several.n_epochs, several.start) == (3, None)
    only_the_end, _ = chosen({"one": [0.6, 0.7, 0.8]})
    assert (only_the_end.n_epochs, only_the_end.start) == (3, None)


def test_a_candidate_that_learns_slowly_but_leads_at_half_time_runs_to_the_end():
    values = {"one": [0.5, 0.6, 0.6], "two": [0.02, 0.7, 0.9], "three": [0.01] * 3}
    choice, calls = chosen(values, lengths=(1, 2, 3))
    assert choice.candidate.name == "two"
    assert choice.n_epochs == 3
    assert calls[-1] == ("two", 3)


def test_a_candidate_whose_loss_rose_is_not_trained_on():
    values = {"one": [0.6, 0.02, 0.9], "two": [0.5, 0.5, 0.5]}
    choice, calls = chosen(values, lengths=(1, 2, 3))
    assert (choice.candidate.name, choice.n_epochs) == ("one", 1)
    assert calls == [("one", 1), ("two", 1), ("one", 2), ("two", 2)]
    assert choice.is_over


def test_if_the_best_overfits_before_the_first_rung_others_without_a_chance_stop_there_too():
    values = {
        "labels": [0.6, 0.8, 0.02, 0.02, 0.02, 0.02],  # the best after two epochs
        "falls": [0.5, 0.5, 0.7, 0.7, 0.7, 0.7],
        "hopeless": [0.5, 0.5, 0.5, 0.9, 0.9, 0.9],
    }
    choice, calls = chosen(values, lengths=(1, 2, 3, 4, 5, 6))
    assert choice.candidate.name == "labels"
    assert calls == [*((name, 3) for name in values), ("falls", 4)]
    values["labels"] = [0.6, 0.8, 0.8, 0.8, 0.8, 0.8]  # does not overfit
    _, calls = chosen(values, lengths=(1, 2, 3, 4, 5, 6))
    assert ("hopeless", 4) in calls


def test_a_single_candidate_is_trained_in_one_part():
    _, calls = chosen({"one": [0.5, 0.6, 0.7, 0.8, 0.8, 0.8]}, lengths=(1, 2, 3, 4, 5, 6))
    assert calls == [("one", 6)]


def test_without_a_transfer_set_the_dataset_is_the_labelled_one():
    labelled = dataset_of(7)
    assert Candidate("labels", None).dataset(labelled) is labelled


def test_with_a_transfer_set_labelled_rows_come_first_and_have_the_weight_of_the_teacher():
    labelled, others = dataset_of(7), dataset_of(5)
    others.rows = others.rows + 1
    others = others.with_target("alpha", np.ones(5))
    candidate = Candidate("transfer set", None, alpha=0.3, transfer_set="not made again")
    joined = candidate.dataset(labelled, others)
    assert joined.n_labelled == 7
    assert len(joined) == 12
    np.testing.assert_array_equal(joined.targets["alpha"], [0.3] * 7 + [1.0] * 5)
    np.testing.assert_array_equal(joined.rows[:, 0], [0.0] * 7 + [1.0] * 5)
    assert "alpha" not in labelled.targets


@pytest.mark.parametrize("size", [900, "fresh"])
def test_a_continued_training_equals_one_without_interruption(size, monkeypatch):
    """For each candidate: labels, a teacher, a transfer set (in parts, or fresh)."""
    differences = {}

    def compared(choices, folds, is_seen, n_jobs):
        for candidate in choices.candidates:
            fits = []
            for legs in ([5], [2, 3]):
                dataset, fitted = folds[0].dataset(candidate.name), None
                for n_epochs in legs:
                    how = (choices.encodings[0], dataset, n_epochs, fitted, None)
                    fitted = folds[0].fit(candidate, *how)
                fits.append(fitted.network.state)
            one, other = fits
            differences[candidate.name] = max(np.abs(one[k] - other[k]).max() for k in one)
        return choose(choices, folds, is_seen, n_jobs)

    monkeypatch.setattr("skkd.selection.plan.choose", compared)
    settings = SMALL | {"dropout": 0.2, "augment_size": size}
    DistilledClassifier(Knows(), max_epochs=8, lr_decay="coslog", **settings).fit(X, y)
    assert differences == {"labels": 0, "teacher": 0, "transfer set": 0}


def test_losers_and_the_winner_keep_no_rows():
    choice, _ = chosen({"one": [0.5] * 3, "two": [0.6] * 3, "three": [0.7] * 3}, lengths=(1, 2, 3))
    for trial in choice.trials.values():
        assert trial.trainings == []
        assert trial._latest is None
        assert (trial.start is not None) == (trial is choice)


# ---- alpha="auto" ------------------------------------------------------------------------


@no_mismatch_warning
@pytest.mark.parametrize("teacher", [Contradicts(), Guesses()], ids=["contradicts", "guesses"])
def test_where_the_teacher_is_wrong_the_network_is_the_one_of_the_labels_bit_for_bit(teacher):
    with pytest.warns(WeakTeacherWarning) as caught:
        taught = DistilledClassifier(teacher, **SMALL).fit(X, SIMPLE)
    assert taught.alpha_ == 0
    assert taught.n_transfer_rows_ == 0
    losses = taught.candidate_losses_
    assert set(losses) == {"labels", "teacher", "transfer set"}
    assert losses["labels"] < losses["teacher"]
    alone = NeuralClassifier(**SMALL).fit(X, SIMPLE)
    np.testing.assert_array_equal(taught.predict_proba(X), alone.predict_proba(X))
    assert taught.held_out_losses_ == alone.held_out_losses_
    (message,) = [str(w.message) for w in caught if w.category is WeakTeacherWarning]
    assert message.endswith("more rows for it to label (X_unlabeled).")
    of_teacher, of_labels = map(float, re.findall(r"\d+\.?\d*(?:e[+-]\d+)?", message))
    assert of_labels == pytest.approx(taught.held_out_losses_[taught.n_iter_], rel=1e-3)
    assert of_teacher > of_labels


@no_mismatch_warning
@no_warning_of_ours
def test_with_a_number_of_epochs_the_labels_alone_are_calibrated_besides():
    taught = DistilledClassifier(Contradicts(), max_epochs=20, **SMALL).fit(X, SIMPLE)
    alone = NeuralClassifier(max_epochs=20, **SMALL).fit(X, SIMPLE)
    assert taught.alpha_ == 0
    np.testing.assert_allclose(
        taught.decision_function(X) * taught.network_.temperature,
        alone.decision_function(X),
        rtol=1e-3,
        atol=1e-5,
    )


def test_a_better_teacher_is_used_without_a_warning():
    X_test, _ = table(1000, seed=1)
    settings = SMALL | {"random_state": 0}
    with warnings.catch_warnings(action="error"):
        taught = DistilledClassifier(Knows(), **settings).fit(X, y)
    assert taught.alpha_ > 0
    alone = NeuralClassifier(**settings).fit(X, y)

    def distance(clf):  # from the true probabilities
        return np.abs(clf.predict_proba(X_test)[:, 1] - truth(X_test)).mean()

    assert distance(taught) < 0.7 * distance(alone)


def test_the_fit_is_that_of_the_selected_candidate():
    auto = DistilledClassifier(Knows(), **QUICK).fit(X, y)
    losses = auto.candidate_losses_
    by_hand = DistilledClassifier(Knows(), alpha=auto.alpha_, **QUICK)
    by_hand.set_params(augment="auto" if auto.n_transfer_rows_ else None)
    assert auto.alpha_ == 0.5, losses
    by_hand.fit(X, y)
    np.testing.assert_allclose(
        auto.decision_function(X) * auto.network_.temperature,
        by_hand.decision_function(X),
        rtol=1e-3,
        atol=1e-5,
    )
    assert (
        by_hand.network_.temperature == 1.0
    )  # with a number the temperature of the teacher is kept
    assert auto.network_.temperature != 1.0


@no_warning_of_ours
@pytest.mark.parametrize(
    ("n_rows", "n_folds"), [(200, 3), (1490, 3), (1500, 2), (2990, 2), (3000, 1)]
)
def test_the_smaller_the_table_the_more_often_rows_are_held_out(n_rows, n_folds, monkeypatch):
    recorded_calls = recorded_choices(monkeypatch)
    X, y = table(n_rows)
    clf = DistilledClassifier(Knows(), hidden_layer_sizes=(2,), max_epochs=1, random_state=0)
    clf.fit(X, y)
    ((_, folds, is_seen),) = recorded_calls
    assert len(folds) == n_folds
    assert is_seen == (n_folds > 1)
    for fold in folds:
        train, held_out = fold.train.index, fold.held_out.index
        assert len(held_out) == np.ceil(0.1 * n_rows)
        assert not set(train) & set(held_out)
        assert sorted([*train, *held_out]) == list(range(len(X)))
    assert len({tuple(sorted(fold.held_out.index)) for fold in folds}) == n_folds


@pytest.mark.parametrize("alpha", [0, 0.0])
def test_alpha_zero_makes_no_transfer_set_and_calls_the_teacher_for_no_other_rows(alpha):
    settings = {"augment": NeverMakes(), "random_state": 0, "max_epochs": 2}
    taught = DistilledClassifier(NeverAsked(len(X)), alpha=alpha, **settings)
    taught.fit(X, y, X_unlabeled=X[:9])
    assert taught.alpha_ == taught.n_transfer_rows_ == 0
    assert taught.candidate_losses_ is None
    alone = NeuralClassifier(random_state=0, max_epochs=2).fit(X, y)
    np.testing.assert_array_equal(taught.predict_proba(X), alone.predict_proba(X))


@no_mismatch_warning
@pytest.mark.parametrize("augment", [None, "munge"])
def test_with_alpha_one_labels_do_not_matter(augment):
    shuffled = np.random.default_rng(0).permutation(y)
    clf = DistilledClassifier(Knows(), alpha=1, augment=augment, augment_size=900, **QUICK)
    of_labels = clf.fit(X, y).predict_proba(X)
    assert clf.n_transfer_rows_ == (0 if augment is None else 900)
    np.testing.assert_array_equal(clf.fit(X, shuffled).predict_proba(X), of_labels)


@pytest.mark.parametrize("n_rows", [20, FEWEST_ROWS - 1])
def test_few_rows_have_the_plain_loss_of_both(n_rows):
    auto = DistilledClassifier(NeverAsked(n_rows), **QUICK).fit(X[:n_rows], y[:n_rows])
    assert auto.alpha_ == 0.5
    assert auto.candidate_losses_ is None
    assert auto.n_transfer_rows_ == 0
    plain = DistilledClassifier(Knows(), alpha=0.5, augment=None, **QUICK)
    plain.fit(X[:n_rows], y[:n_rows])
    np.testing.assert_array_equal(auto.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("augment", ["munge", "auto"])
def test_few_rows_have_a_requested_transfer_set(augment):
    auto = DistilledClassifier(Knows(), augment=augment, augment_size=77, **QUICK)
    auto.fit(X[:100], y[:100], X_unlabeled=X[100:])
    assert auto.alpha_ == 0.5
    assert auto.candidate_losses_ is None
    assert auto.n_transfer_rows_ == 300 + (77 if augment == "munge" else 0)


def test_nothing_is_selected_on_too_few_held_out_rows():
    kept = {"X_val": X[:3], "y_val": y[:3]}
    for augment, n_rows in (("auto", 0), ("munge", 50)):
        auto = DistilledClassifier(Knows(), augment=augment, augment_size=50, **QUICK)
        auto.fit(X, y, **kept)
        assert (auto.alpha_, auto.n_transfer_rows_) == (0.5, n_rows)
        assert auto.candidate_losses_ is None


def test_validation_rows_of_the_caller_replace_the_split_of_the_selection():
    X_val, y_val = table(300, seed=2)
    auto = DistilledClassifier(Knows(), **QUICK).fit(X, y, X_val=X_val, y_val=y_val)
    assert set(auto.candidate_losses_) == {"labels", "teacher", "transfer set"}
    logits = auto.network_.logits(X_val)
    at_best = min(log_loss(y_val, softmax(logits / t)) for t in np.geomspace(0.1, 10, 99))
    assert auto.candidate_losses_["teacher"] == pytest.approx(at_best, rel=0.2)


def test_the_same_seed_gives_the_same_student():
    first = DistilledClassifier(Knows(), **QUICK).fit(X, y)
    second = DistilledClassifier(Knows(), **QUICK).fit(X, y)
    assert first.candidate_losses_ == second.candidate_losses_
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    other = DistilledClassifier(Knows(), **QUICK | {"random_state": 4}).fit(X, y)
    assert other.candidate_losses_ != first.candidate_losses_


@no_mismatch_warning
@no_warning_of_ours
def test_a_warm_start_keeps_the_weight_that_was_selected():
    clf = DistilledClassifier(Contradicts(), warm_start=True, **QUICK).fit(X, SIMPLE)
    assert clf.alpha_ == 0
    clf.fit(X, SIMPLE)
    assert clf.alpha_ == 0
    assert clf.candidate_losses_ is None
    alone = NeuralClassifier(warm_start=True, **QUICK).fit(X, SIMPLE).fit(X, SIMPLE)
    np.testing.assert_array_equal(clf.predict(X), alone.predict(X))
    assert clf.n_iter_ == 8
    assert clf.n_steps_ == alone.n_steps_
    clf.set_params(warm_start=False, teacher=Knows()).fit(X, y)
    assert clf.alpha_ == 0.5  # a new fit selects again


@no_mismatch_warning
@no_warning_of_ours
def test_partial_fit_has_the_plain_loss_or_keeps_the_weight_that_was_selected():
    auto = DistilledClassifier(Knows(), **SMALL).partial_fit(X, y, classes=[0, 1])
    fixed = DistilledClassifier(Knows(), alpha=0.5, **SMALL).partial_fit(X, y, classes=[0, 1])
    np.testing.assert_array_equal(auto.predict_proba(X), fixed.predict_proba(X))
    assert (auto.alpha_, auto.n_transfer_rows_, auto.candidate_losses_) == (0.5, 0, None)
    chosen = DistilledClassifier(Contradicts(), **QUICK).fit(X, SIMPLE)
    assert chosen.alpha_ == chosen.partial_fit(X, SIMPLE).alpha_ == 0
    assert chosen.score(X, SIMPLE) > 0.9


@pytest.mark.parametrize("augment", ["auto", None])
def test_early_stopping_and_selection_use_the_same_rows(augment):
    settings = SMALL | {"max_epochs": 30, "early_stopping": True, "augment": augment}
    clf = DistilledClassifier(Knows(), n_iter_no_change=3, **settings).fit(X, y)
    assert set(clf.candidate_losses_) >= {"labels", "teacher"}
    assert 0 < clf.best_epoch_ <= clf.n_iter_ <= 30
    assert clf.held_out_losses_ is not None


def linear(n_features, n_classes):
    return torch.nn.Linear(n_features, n_classes)


def test_a_custom_module_selects_too_but_gets_synthetic_rows_only_on_request():
    settings = {"module": linear, "max_epochs": 2, "random_state": 0, "learning_rate": 0.01}
    with warnings.catch_warnings(action="ignore"):  # a line cannot learn these labels
        auto = DistilledClassifier(Knows(), **settings).fit(X, y)
        requested = DistilledClassifier(Knows(), augment="munge", augment_size=40, **settings)
        requested.set_params(alpha=0.5).fit(X, y)
    assert set(auto.candidate_losses_) == {"labels", "teacher"}
    assert requested.n_transfer_rows_ == 40


def test_teacher_proba_is_selected_or_not_without_a_teacher():
    proba = Knows().predict_proba(X)
    clf = DistilledClassifier(**QUICK).fit(X, y, teacher_proba=proba)
    assert set(clf.candidate_losses_) == {"labels", "teacher"}
    asked = DistilledClassifier(Knows(), augment=None, **QUICK).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), asked.predict_proba(X))


@no_mismatch_warning
@no_warning_of_ours
def test_labels_that_are_noise_and_a_teacher_that_guesses_are_no_error():
    noise = np.random.default_rng(5).integers(0, 2, len(X))
    clf = DistilledClassifier(Guesses(), **QUICK).fit(X, noise)
    assert np.isfinite(list(clf.candidate_losses_.values())).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("best", "alpha='best' is not allowed: give 'auto' or a number"),
        (1.5, "alpha=1.5"),
        (-0.1, "alpha=-0.1"),
        (None, "alpha=None"),
        (np.nan, "alpha=nan"),
    ],
)
def test_other_weights_are_refused(value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DistilledClassifier(Knows(), alpha=value, **QUICK).fit(X, y)


@pytest.mark.parametrize("how", [{"augment": "munge"}, {"augment": None}])
def test_a_transfer_set_that_is_asked_for_competes_with_the_teacher_without_a_required_margin(how):
    rows = {} if how["augment"] else {"X_unlabeled": table(300, seed=5)[0]}
    clf = DistilledClassifier(Knows(), **QUICK | how).fit(X, y, **rows)
    assert set(clf.candidate_losses_) == {"transfer set", "teacher", "labels"}
    assert clf.candidate_ == min(clf.candidate_losses_, key=clf.candidate_losses_.get)
