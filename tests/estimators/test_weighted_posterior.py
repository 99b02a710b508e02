"""`class_weight` of a student reweights the probabilities of a teacher without class weights."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skkd.estimators.fitting as fitting
from skkd import DistilledClassifier, NeuralClassifier
from skkd.teachers.agreement import WeakTeacherWarning

W = np.array([1.0, 4.0, 0.25])
WEIGHTS = dict(enumerate(W))
X = np.random.RandomState(0).standard_normal((300, 3))
SMALL = {
    "hidden_layer_sizes": (4,),
    "preset": "plain",
    "max_epochs": 2,
    "learning_rate": 0.01,
    "alpha": 0.5,
    "augment": None,
    "numeric_encoding": None,
    "random_state": 0,
}


def truth(rows):
    p = np.exp(np.asarray(rows) @ np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [1.0, -1.0, 0.0]]))
    return p / p.sum(axis=1, keepdims=True)


Y = np.array([np.random.RandomState(i).choice(3, p=p) for i, p in enumerate(truth(X))])


@pytest.fixture
def seen(monkeypatch):
    """The datasets that networks are fitted to, and the trial of the selection."""
    datasets = []
    fit_dataset, make_plan = fitting.fit.fit_dataset, fitting.make_plan

    def spied_fit(config, criterion, preprocessor, train, valid, **kwargs):
        datasets.extend(one for one in (train, valid) if one is not None)
        return fit_dataset(config, criterion, preprocessor, train, valid, **kwargs)

    def spied_plan(*args, **kwargs):
        plan = make_plan(*args, **kwargs)
        if plan.choice is not None:
            datasets.append(plan.choice)
        return plan

    monkeypatch.setattr(fitting.fit, "fit_dataset", spied_fit)
    monkeypatch.setattr(fitting, "make_plan", spied_plan)
    return datasets


def logits_and_rows(one):
    if hasattr(one, "targets"):
        return one.targets["teacher_logits"], one.rows
    return one.teacher_logits, X[one.index]


def centred(logits):
    return logits - logits.mean(axis=1, keepdims=True)


def fit(**settings):
    return lambda: DistilledClassifier(truth, class_weight=WEIGHTS, **SMALL | settings).fit(X, Y)


PLACES = {
    "rows of fit": fit(),
    "held-out rows": fit(alpha="auto", max_epochs="auto"),
    "rows held out by early stopping": fit(early_stopping=True),
    "transfer set": fit(augment="munge", augment_size=50),
    "fresh rows": fit(augment="munge", augment_size="fresh"),
    "unlabelled rows": lambda: DistilledClassifier(truth, class_weight=WEIGHTS, **SMALL).fit(
        X[:200], Y[:200], X_unlabeled=X[200:]
    ),
    "teacher_proba": lambda: DistilledClassifier(class_weight=WEIGHTS, **SMALL).fit(
        X, Y, teacher_proba=truth(X)
    ),
    "list of teachers": lambda: DistilledClassifier(
        [(truth, 2.0), (truth, 1.0)], class_weight=WEIGHTS, **SMALL
    ).fit(X, Y),
    "partial_fit": lambda: DistilledClassifier(truth, class_weight=WEIGHTS, **SMALL).partial_fit(
        X[:150], Y[:150], classes=[0, 1, 2]
    ),
}


@pytest.mark.filterwarnings("ignore::skkd.teachers.WeakTeacherWarning")
@pytest.mark.parametrize("place", PLACES)
def test_the_targets_are_log_p_plus_log_w_up_to_a_constant(place, seen):
    PLACES[place]()
    assert seen
    for one in seen:
        logits, rows = logits_and_rows(one)
        assert len(logits) > 0
        p = truth(rows)
        np.testing.assert_allclose(centred(logits), centred(np.log(p) + np.log(W)), atol=1e-5)
        posterior = p * W / (p * W).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.exp(logits), posterior, atol=1e-6)


@pytest.mark.filterwarnings("ignore::skkd.teachers.WeakTeacherWarning")
def test_clones_without_the_held_out_rows_are_reweighted_too(seen):
    student = DistilledClassifier(LogisticRegression(), fit_teacher=True, class_weight=WEIGHTS)
    student.set_params(**SMALL | {"alpha": "auto", "max_epochs": "auto"}).fit(X, Y)
    (choice,) = [one for one in seen if not hasattr(one, "targets")]
    p = student.teacher_.predict_proba(X[choice.index])  # nearly that of the clones
    expected = centred(np.log(p) + np.log(W))
    assert abs(centred(choice.teacher_logits) - expected).mean() < 0.2
    assert abs(centred(choice.teacher_logits) - centred(np.log(p))).mean() > 0.5


def test_a_calibrated_teacher_is_reweighted_after_its_calibration(seen):
    sure = truth(X) ** 3 / (truth(X) ** 3).sum(axis=1, keepdims=True)
    student = DistilledClassifier(calibrate_teacher=True, class_weight=WEIGHTS, **SMALL)
    student.set_params(proba_floor=1e-30)
    student.fit(X, Y, teacher_proba=sure)
    temperature = student.teacher_temperature_
    assert 2 < temperature < 4
    logits = seen[-1].targets["teacher_logits"]
    np.testing.assert_allclose(
        centred(logits), centred(np.log(sure) / temperature + np.log(W)), atol=1e-5
    )


OWN_WEIGHTS = {
    "the same": LogisticRegression(class_weight=WEIGHTS),
    "others": LogisticRegression(class_weight="balanced"),
    "pipeline": make_pipeline(LogisticRegression(class_weight=WEIGHTS)),
    "network": NeuralClassifier(
        (), max_epochs=5, learning_rate=0.1, class_weight=WEIGHTS, random_state=0
    ),
}


@pytest.mark.parametrize("fits", [False, True])
@pytest.mark.parametrize("case", OWN_WEIGHTS)
def test_a_teacher_with_class_weights_of_its_own_is_taken_as_it_is(case, fits, seen):
    teacher = OWN_WEIGHTS[case].fit(X, Y)
    student = DistilledClassifier(teacher, fit_teacher=fits, class_weight=WEIGHTS, **SMALL)
    p = student.fit(X, Y).teacher_.predict_proba(X)
    expected = np.log(np.maximum(p, student.proba_floor))
    np.testing.assert_allclose(seen[-1].targets["teacher_logits"], expected, atol=1e-12)


def test_sample_weights_change_no_soft_label(seen):
    DistilledClassifier(truth, **SMALL).fit(X, Y, sample_weight=W[Y])
    np.testing.assert_allclose(seen[-1].targets["teacher_logits"], np.log(truth(X)), atol=1e-12)


@pytest.mark.parametrize("augment", [None, "munge"])
@pytest.mark.parametrize("scale", [1, 3])
def test_class_weights_that_are_all_equal_change_nothing(scale, augment):
    settings = SMALL | {"augment": augment, "augment_size": 50}
    plain = DistilledClassifier(truth, **settings).fit(X, Y)
    equal = DistilledClassifier(truth, class_weight=dict.fromkeys(range(3), scale), **settings)
    np.testing.assert_array_equal(equal.fit(X, Y).predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_labels_and_a_teacher_that_knows_the_truth_lead_to_the_weighted_posterior(alpha):
    counts = np.array([[8, 1, 1], [2, 6, 2], [5, 4, 1]])  # of each class in each of three cells
    cells, y = (a.repeat(counts.ravel()) for a in np.divmod(np.arange(9), 3))
    p = counts / counts.sum(axis=1, keepdims=True)
    student = DistilledClassifier(
        alpha=alpha, class_weight=WEIGHTS, hidden_layer_sizes=(), preset="plain", weight_decay=0.0,
        preprocessor=None, numeric_encoding=None, learning_rate=0.2, max_epochs=400,
        batch_size=len(y), n_iter_no_change=None, dtype="float64", random_state=0,
    )  # fmt: skip
    student.fit(np.eye(3)[cells], y, teacher_proba=p[cells])
    expected = p * W / (p * W).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(student.predict_proba(np.eye(3)), expected, atol=1e-3)


def test_a_class_of_weight_zero_has_the_floor(seen):
    student = DistilledClassifier(truth, class_weight={0: 1, 1: 0, 2: 3}, **SMALL)
    student.fit(X, Y)
    logits = seen[-1].targets["teacher_logits"]
    np.testing.assert_allclose(logits[:, 1], np.log(student.proba_floor))
    p = truth(seen[-1].rows)
    np.testing.assert_allclose(logits[:, 2] - logits[:, 0], np.log(3 * p[:, 2] / p[:, 0]))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_warning_of_a_weak_teacher_tells_whether_losses_are_weighted(class_weight):
    def wrong(rows):
        return truth(-np.asarray(rows))

    student = DistilledClassifier(wrong, class_weight=class_weight, **SMALL)
    student.set_params(alpha="auto", max_epochs="auto", learning_rate=0.05)
    with warnings.catch_warnings(record=True, action="always") as caught:
        student.fit(X, Y)
    (message,) = [str(w.message) for w in caught if w.category is WeakTeacherWarning]
    assert ("log-loss, weighted by class_weight, is" in message) == (class_weight is not None)
