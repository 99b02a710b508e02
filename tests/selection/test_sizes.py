"""``hidden_layer_sizes="smallest"`` takes the smallest network that is not clearly worse."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skkd import DistilledClassifier, NeuralClassifier
from skkd.config import Config, DistilledConfig
from skkd.presets import SMALLER_SIZES
from skkd.selection import sizes as sizes_module
from skkd.selection.comparisons import Comparison
from skkd.selection.plan import Plan
from skkd.selection.sizes import Rival, make_plan_of_smallest
from skkd.teachers.cache import forget
from skkd.transfer.transfer_set import TransferSet

random = np.random.default_rng(0)
X = random.standard_normal((600, 3))
LINEAR = (X[:, 0] + random.logistic(scale=0.5, size=len(X)) > 0).astype(int)
PRODUCT = (X[:, 0] * X[:, 1] > 0).astype(int)
QUICK = {"preset": "plain", "learning_rate": 0.01, "max_epochs": 30, "random_state": 0}
SMALLER = ((16,), (8,), ())


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch):
    for preset in SMALLER_SIZES:
        monkeypatch.setitem(SMALLER_SIZES, preset, SMALLER)


class Knows:
    """A teacher that gives the true probabilities, and records how many rows it was asked for."""

    classes_ = np.array([0, 1])

    def __init__(self):
        self.asked = []

    def predict_proba(self, X):
        self.asked.append(len(X))
        p = 1 / (1 + np.exp(-20 * X[:, 0] * X[:, 1]))
        return np.column_stack([1 - p, p])


def smallest(y, kind=NeuralClassifier, **settings):
    return kind(hidden_layer_sizes="smallest", **QUICK | settings).fit(X, y)


def test_softmax_regression_is_enough_for_a_linear_problem():
    clf = smallest(LINEAR)
    assert clf.hidden_layer_sizes_ == clf.network_.architecture["hidden_layer_sizes"] == ()
    assert [*clf.size_losses_] == [(100,), *SMALLER]


def test_a_problem_that_is_not_linear_keeps_a_hidden_layer():
    clf = smallest(PRODUCT)
    assert clf.hidden_layer_sizes_ in {(100,), (16,), (8,)}
    assert max(clf.size_losses_, key=clf.size_losses_.get) == ()


@pytest.mark.filterwarnings("ignore::skkd.teachers.agreement.WeakTeacherWarning")
@pytest.mark.filterwarnings("ignore::skkd.teachers.TeacherMismatchWarning")
@pytest.mark.parametrize("kind", [NeuralClassifier, DistilledClassifier])
@pytest.mark.parametrize("y", [LINEAR, PRODUCT], ids=["linear", "product"])
def test_the_network_is_the_one_of_the_selected_sizes(kind, y, monkeypatch):
    monkeypatch.setattr("skkd.selection.plan._lengths", lambda config: [4, 13, 30])
    settings = {"max_epochs": "auto"}
    if kind is DistilledClassifier:
        settings |= {"teacher": Knows(), "augment_size": 600}
    clf = smallest(y, kind, **settings)
    sizes = {"hidden_layer_sizes": clf.hidden_layer_sizes_}
    same = kind(**QUICK | settings | sizes).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), same.predict_proba(X))
    assert clf.held_out_losses_ == same.held_out_losses_
    assert same.size_losses_ is None


def trial(losses, margin=1.0, learned_nothing=False):
    losses = np.array(losses)
    return SimpleNamespace(
        n_epochs=5,
        row_losses={5: losses},
        loss=losses.mean(),
        weights=np.ones(len(losses)),
        margin=margin,
        learned_nothing=learned_nothing,
    )


@pytest.mark.parametrize(
    ("ours", "best", "is_worse"),
    [
        (trial([0.50] * 4), trial([0.50] * 4), False),
        (trial([0.51] * 4), trial([0.50] * 4), True),  # a small difference, but no error
        (trial([0.42, 0.62] * 2), trial([0.50] * 4), False),  # an error of 0.05, mean 0.02
        (trial([0.10, 1.10] * 2), trial([0.50] * 4), True),  # beyond the tolerance
        (trial([0.50] * 4, margin=4 / 3), trial([0.50] * 4), True),
        (trial([0.50] * 4, margin=4 / 3), trial([0.50] * 4, margin=4 / 3), False),
        (trial([0.50] * 4), trial([0.50] * 4, margin=4 / 3), False),
        (trial([0.42, 0.62] * 2, learned_nothing=True), trial([0.50] * 4), True),
    ],
)
def test_clearly_worse_is_a_standard_error_or_beyond_the_tolerance(ours, best, is_worse):
    rivals = [Rival(None, one, one.margin) for one in (ours, best)]
    assert sizes_module._is_clearly_worse(*rivals) == is_worse


def selected(losses_by_name, n_features=3, selects=lambda sizes: "labels"):
    """The size that is taken, if the candidates have these losses on all rows.

    `n_features` is the number of inputs: of all networks, or a dict with that of each size.
    `selects` tells which candidate is selected for a size.
    """
    parameters = NeuralClassifier("smallest", preset="plain").get_params(deep=False)

    def make(config, supervision, n_plans):
        assert n_plans == 4
        sizes = config.layer_sizes
        losses = {name: by_size[sizes] for name, by_size in losses_by_name.items()}
        trials = {name: trial([loss] * 4) for name, loss in losses.items()}
        name = selects(sizes)
        choice = trials[name]
        choice.trials = trials
        choice.comparisons = [Comparison(5, losses, dict.fromkeys(losses, 1.0))]
        width = n_features[sizes] if isinstance(n_features, dict) else n_features
        return Plan(
            config,
            candidate=SimpleNamespace(name=name),
            encoding=None,
            preprocessor=SimpleNamespace(n_features=width),
            n_epochs=5,
            choice=choice,
        )

    supervision = SimpleNamespace(with_config=lambda config: None, classes=[0, 1])
    plan = make_plan_of_smallest(Config.from_parameters(parameters), supervision, make)
    assert plan.size_losses == pytest.approx(losses_by_name[selects((100,))])
    return plan.config.layer_sizes


def test_all_sizes_are_compared_with_the_best():
    assert selected({"labels": {(100,): 0.50, (16,): 0.40, (8,): 0.45, (): 0.60}}) == (16,)
    assert selected({"labels": {(100,): 0.50, (16,): 0.60, (8,): 0.50, (): 0.60}}) == (8,)


def test_the_smallest_network_has_the_fewest_weights():
    losses = {"labels": {(100,): 0.50, (16,): 0.50, (8,): 0.50, (): 0.60}}
    n_features = {(100,): 3, (16,): 3, (8,): 90, (): 90}  # with bins for the small ones
    assert selected(losses) == (8,)
    assert selected(losses, n_features) == (16,)


def test_sizes_are_compared_by_the_candidate_of_the_largest():
    losses = {
        "labels": {(100,): 0.50, (16,): 0.60, (8,): 0.50, (): 0.60},
        "transfer set": {(100,): 0.70, (16,): 0.30, (8,): 0.70, (): 0.70},  # too low
    }
    assert selected(
        losses, selects=lambda sizes: "transfer set" if sizes == (16,) else "labels"
    ) == (8,)


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"class_weight": "balanced"}])
def test_sizes_are_compared_where_nothing_else_is_selected(settings):
    clf = smallest(LINEAR, **settings)
    assert [*clf.size_losses_] == [(100,), *SMALLER]
    assert clf.hidden_layer_sizes_ in clf.size_losses_


def test_few_rows_get_the_layers_of_auto():
    clf = NeuralClassifier("smallest", **QUICK)
    with pytest.warns(UserWarning, match="'smallest' .* needs 200 rows .* layers of 'auto', .100,"):
        clf.fit(X[:150], LINEAR[:150])
    assert clf.hidden_layer_sizes_ == (100,)
    assert clf.size_losses_ is None


def test_partial_fit_gets_the_layers_of_auto_or_keeps_the_selected_ones():
    clf = NeuralClassifier("smallest", **QUICK)
    assert clf.partial_fit(X, LINEAR, classes=[0, 1]).hidden_layer_sizes_ == (100,)
    assert clf.fit(X, LINEAR).partial_fit(X, LINEAR).hidden_layer_sizes_ == ()


def test_a_warm_start_keeps_the_selected_layers():
    clf = smallest(LINEAR, warm_start=True, max_epochs=5)
    taken = clf.hidden_layer_sizes_
    assert clf.fit(X, PRODUCT).hidden_layer_sizes_ == taken
    assert clf.n_iter_ == 10


@pytest.mark.parametrize("seed", [int, np.random.RandomState])
def test_the_teacher_is_asked_once_for_all_sizes(seed):
    asked = {}
    for sizes in ["smallest", (100,)]:
        forget()
        teacher = Knows()
        clf = DistilledClassifier(teacher, hidden_layer_sizes=sizes, **QUICK)
        clf.set_params(random_state=seed(0)).fit(X, PRODUCT)
        asked[sizes] = teacher.asked
    assert asked["smallest"] == asked[100,]


def test_the_student_keeps_the_selected_layers():
    clf = smallest(LINEAR, DistilledClassifier, teacher=LogisticRegression().fit(X, LINEAR))
    student = clf.student_
    assert student.hidden_layer_sizes_ == clf.hidden_layer_sizes_
    assert student.hidden_layer_sizes == "smallest"
    assert student.partial_fit(X, LINEAR).hidden_layer_sizes_ == clf.hidden_layer_sizes_


def test_smallest_can_be_searched():
    grid = {"hidden_layer_sizes": ["smallest", (300,)]}
    search = GridSearchCV(NeuralClassifier(**QUICK), grid, cv=2).fit(X, LINEAR)
    assert search.best_params_ == {"hidden_layer_sizes": "smallest"}
    assert search.best_estimator_.hidden_layer_sizes_ == smallest(LINEAR).hidden_layer_sizes_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module": torch.nn.Linear}, "hidden_layer_sizes='smallest' is not allowed: give 'auto'"),
        ({"dropout": [0.1]}, "dropout=.* is not allowed: give a number or 'auto'"),
    ],
)
def test_what_depends_on_the_layers_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        smallest(LINEAR, **settings)
    with pytest.raises(ValueError, match=message):
        NeuralClassifier("smallest", **settings).partial_fit(X, LINEAR, classes=[0, 1])


def test_sizes_share_the_seconds_for_synthetic_rows(monkeypatch):
    seconds = []
    shared_by = TransferSet.shared_by

    def recorded(transfer_set, n_sets):
        shared = shared_by(transfer_set, n_sets)
        seconds.append(shared.seconds)
        return shared

    monkeypatch.setattr(TransferSet, "shared_by", recorded)
    settings = {"augment_seconds": 12.0, "augment_size": 600, "alpha": 0.5, "augment": "munge"}
    smallest(PRODUCT, DistilledClassifier, teacher=Knows(), max_epochs=2, **settings)
    assert seconds[:2] == [12 / 4, 12 / 4 / 3]  # four sizes, three folds


def test_the_bar_of_the_last_training_names_the_layers(capsys):
    smallest(LINEAR, verbose=1, max_epochs=2)
    shown = capsys.readouterr().err
    assert "layers 100: " in shown
    assert "layers none: " in shown
    assert "fitting all rows, layers " in shown


def test_a_custom_module_has_no_hidden_layer_sizes():
    clf = NeuralClassifier(module=lambda: torch.nn.Linear(3, 2), max_epochs=2).fit(X, LINEAR)
    assert clf.hidden_layer_sizes_ is None


@pytest.mark.parametrize(
    ("kind", "config"), [(NeuralClassifier, Config), (DistilledClassifier, DistilledConfig)]
)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.LBFGS])
def test_a_config_with_other_sizes_is_that_of_an_estimator_with_these_sizes(
    kind, config, optimizer
):
    settings = {"optimizer": optimizer, "batch_norm": True, "weight_decay": 0.01}
    if optimizer == "sgd":
        settings |= {"max_epochs": 7, "optimizer__dampening": 0.0}

    def config_of(sizes):
        estimator = kind(hidden_layer_sizes=sizes, **settings)
        return config.from_parameters(estimator.get_params(deep=False))

    for sizes in [(32, 32), (100,), ()]:
        ours, expected = config_of("smallest").with_sizes(sizes), config_of(sizes)
        for name in vars(expected):
            assert repr(getattr(ours, name)) == repr(getattr(expected, name)) or (
                getattr(ours, name) == getattr(expected, name)
            ), name
        assert ours.smaller_sizes == ()
