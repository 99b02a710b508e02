"""The values of "auto": those of a preset, unless the user sets others."""

import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV

from skkd import DistilledClassifier, NeuralClassifier
from skkd.config import Config
from skkd.presets import NARROW, PRESETS, WIDE, with_preset
from skkd.schedules import resolve_schedule

PLAIN, TABULAR = PRESETS["plain"], PRESETS["tabular"]

both_presets = pytest.mark.parametrize("preset", PRESETS)
both_classifiers = pytest.mark.parametrize("kind", [NeuralClassifier, DistilledClassifier])


class TwoLayers(torch.nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(
            torch.nn.Linear(n_features, 8), torch.nn.ReLU(), torch.nn.Linear(8, n_classes)
        )


def resolved_by(estimator, **how):
    return with_preset(estimator.get_params(deep=False), **how)


def resolved(names, *args, **params):
    parameters = resolved_by(NeuralClassifier(*args, **params))
    return {name: parameters[name] for name in names}


def names_that_are_auto(parameters):
    return {name for name, value in parameters.items() if value == "auto"}


@both_classifiers
@both_presets
def test_auto_is_the_value_of_the_preset(preset, kind):
    parameters = resolved_by(kind(preset=preset))
    for name, value in PRESETS[preset].items():
        assert parameters[name] == value or name == "dropout", name
    assert parameters.keys() >= kind(preset=preset).get_params(deep=False).keys()


@both_classifiers
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("auto", (0.15, 0.15, 0.15)),
        ((WIDE, WIDE - 1, 1000, 3), (0.15, 0.0, 0.15, 0.0)),
        (WIDE, (0.15,)),
        (np.int64(32), (0.0,)),
        ((), ()),
    ],
    ids=str,
)
def test_the_tabular_preset_drops_units_of_wide_layers_alone(kind, sizes, expected):
    assert resolved_by(kind(hidden_layer_sizes=sizes))["dropout"] == expected
    assert resolved_by(kind(hidden_layer_sizes=sizes, preset="plain"))["dropout"] == 0.0
    assert resolved_by(kind(hidden_layer_sizes=sizes, dropout=0.15))["dropout"] == 0.15


@both_classifiers
@pytest.mark.parametrize(
    ("sizes", "n_epochs"),
    [("auto", 64), (NARROW, 269), ((NARROW, 3), 269), ((NARROW + 1, 3), 132), (129, 64), ((), 64)],
    ids=str,
)
def test_narrow_networks_of_the_tabular_preset_train_for_longer(kind, sizes, n_epochs):
    config = Config.from_parameters(kind(hidden_layer_sizes=sizes).get_params(deep=False))
    assert config.max_epochs == n_epochs
    ends = resolve_schedule("lr_decay", config.lr_decay).ends(n_epochs)
    assert ends[:4] == [4, 13, 30, 64]  # and more of the same, each twice as long
    assert ends[-1] == n_epochs
    assert config.is_narrow == (n_epochs == 269 or sizes == ())
    for given in ({"max_epochs": 64}, {"lr_decay": "coslog"}, {"preset": "plain"}):
        plain = resolved_by(kind(**{"hidden_layer_sizes": sizes, **given}))
        assert plain["max_epochs"] == (200 if "preset" in given else 64)
        assert plain["lr_decay"] in ("coslog", "constant")
    assert resolved_by(kind(hidden_layer_sizes=sizes), in_parts=True)["lr_decay"] == "constant"
    assert resolved_by(kind(hidden_layer_sizes=sizes, early_stopping=True))["lr_decay"] == "cosine"


def test_a_narrow_network_has_no_dropout_and_a_wide_one_has(iris_like):
    for width, drops in [(WIDE - 1, False), (WIDE, True)]:
        clf = NeuralClassifier((width,), max_epochs=2, random_state=0)
        found = clf.fit(*iris_like).loss_curve_
        assert (found != clone(clf).set_params(dropout=0.0).fit(*iris_like).loss_curve_) == drops


@both_presets
def test_a_preset_decides_about_parameters_that_are_auto_and_about_options_alone(preset):
    known = {name for name in PRESETS[preset] if "__" not in name}
    are_auto = names_that_are_auto(NeuralClassifier().get_params(deep=False))
    assert known <= are_auto
    undecided = names_that_are_auto(resolved_by(NeuralClassifier(preset=preset)))
    assert undecided == are_auto - known
    assert undecided <= {"init", "batch_size"}  # they depend on layers and rows


def test_the_tabular_preset_is_the_default():
    assert NeuralClassifier().preset == DistilledClassifier().preset == "tabular"


EXPLICIT = {
    "hidden_layer_sizes": (7,),
    "activation": "tanh",
    "bias_init": 0.3,
    "parametrization": "ntk",
    "feature_scale": True,
    "dropout": 0.4,
    "label_smoothing": 0.2,
    "learning_rate": 0.123,
    "weight_decay": 0.5,
    "lr_decay": "step",
    "batch_size": 17,
    "max_epochs": 3,
    "preprocessor": None,
    "optimizer__betas": (0.5, 0.6),
}


@both_presets
@pytest.mark.parametrize("name", EXPLICIT)
def test_explicit_values_win(name, preset):
    for params in ({}, {"optimizer": "sgd"}, {"module": TwoLayers}, {"early_stopping": True}):
        clf = NeuralClassifier(preset=preset, **params, **{name: EXPLICIT[name]})
        assert resolved_by(clf)[name] == EXPLICIT[name]


@pytest.mark.parametrize("value", [False, 0, 0.0, None, ()], ids=repr)
def test_explicit_values_that_are_false_win_too(value):
    assert resolved(["feature_scale"], feature_scale=value) == {"feature_scale": value}


@both_presets
def test_a_preset_is_what_its_values_are_when_they_are_spelt_out(preset, iris_like):
    X, y = iris_like
    (other,) = set(PRESETS) - {preset}
    small = {"hidden_layer_sizes": (WIDE,), "max_epochs": 3, "batch_size": 30, "random_state": 0}
    by_name = NeuralClassifier(preset=preset, **small).fit(X, y)
    # The betas: the plain preset has torch's.
    spelt_out = {"optimizer__betas": (0.9, 0.999)} | PRESETS[preset] | small
    by_value = NeuralClassifier(preset=other, **spelt_out).fit(X, y)
    assert by_name.loss_curve_ == by_value.loss_curve_
    np.testing.assert_array_equal(by_name.predict_proba(X), by_value.predict_proba(X))


def test_a_custom_module_takes_the_plain_numbers():
    assert resolved(PLAIN, module=TwoLayers) == PLAIN


def test_a_custom_module_is_trained_alike_with_both_presets(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(module=TwoLayers, max_epochs=3, random_state=0)
    default = clf.fit(X, y).predict_proba(X)
    plain = clf.set_params(preset="plain").fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(default, plain)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", torch.optim.NAdam])
def test_another_optimizer_gets_the_plain_learning_rate_and_no_betas(optimizer):
    parameters = resolved_by(NeuralClassifier(optimizer=optimizer))
    assert parameters["parametrization"] == "standard"
    assert parameters["learning_rate"] == PLAIN["learning_rate"]
    assert "optimizer__betas" not in parameters
    assert parameters["hidden_layer_sizes"] == TABULAR["hidden_layer_sizes"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", torch.optim.Adam, torch.optim.AdamW])
def test_adam_gets_the_rate_and_the_betas_of_the_preset(optimizer):
    names = ["learning_rate", "parametrization", "optimizer__betas"]
    assert resolved(names, optimizer=optimizer) == {name: TABULAR[name] for name in names}


def test_the_standard_parametrization_gets_the_plain_learning_rate():
    found = resolved(["learning_rate", "activation"], parametrization="standard")
    assert found == {
        "learning_rate": PLAIN["learning_rate"],
        "activation": TABULAR["activation"],
    }


def test_early_stopping_has_a_schedule_that_does_not_rise_again():
    assert resolved(["lr_decay"], early_stopping=True) == {"lr_decay": "cosine"}
    assert resolved(["lr_decay"], early_stopping=True, preset="plain") == {"lr_decay": "constant"}
    assert resolved(["lr_decay"], early_stopping=True, lr_decay="coslog") == {"lr_decay": "coslog"}


def test_partial_fit_has_a_constant_rate_by_default(iris_like):
    X, y = iris_like
    clf = NeuralClassifier((4,), max_epochs=3, random_state=0)
    for _ in range(3):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    rates = [record["learning_rate"] for record in clf.history_]
    np.testing.assert_allclose(rates, TABULAR["learning_rate"])
    falling = clone(clf).set_params(lr_decay="linear")
    for _ in range(3):
        falling.partial_fit(X, y, classes=[0, 1, 2])
    assert falling.history_[2]["learning_rate"] < falling.history_[0]["learning_rate"]


@both_presets
@pytest.mark.parametrize(
    "params", [{}, {"module": TwoLayers}, {"optimizer": "sgd"}, {"early_stopping": True}], ids=str
)
def test_resolving_never_changes_the_estimator(preset, params):
    clf = NeuralClassifier(preset=preset, **params)
    before = dict(vars(clf))
    parameters = clf.get_params()
    assert with_preset(parameters) is not parameters
    assert parameters == clf.get_params()
    assert vars(clf) == before
    assert list(vars(clf)) == list(before)


@both_classifiers
def test_fitting_leaves_auto_in_the_parameters(kind, iris_like):
    X, y = iris_like
    clf = kind((4,), max_epochs=2) if kind is NeuralClassifier else kind(max_epochs=2)
    fit_params = {} if kind is NeuralClassifier else {"teacher_proba": np.eye(3)[y]}
    before = clf.get_params()
    clf.fit(X, y, **fit_params)
    assert clf.get_params() == before
    assert clf.learning_rate == clf.lr_decay == clf.preprocessor == "auto"
    assert not hasattr(clf, "optimizer__betas")
    assert clone(clf).get_params() == before


def test_a_preset_may_change_between_fits(iris_like):
    clf = NeuralClassifier((4,), max_epochs=2, random_state=0)
    default = clf.fit(*iris_like).loss_curve_
    assert clf.set_params(preset="plain").fit(*iris_like).loss_curve_ != default
    assert clf.set_params(preset="tabular").fit(*iris_like).loss_curve_ == default


@both_classifiers
def test_a_grid_over_presets(kind, iris_like):
    X, y = iris_like
    params = {"hidden_layer_sizes": (8,), "max_epochs": 10, "random_state": 0}
    if kind is DistilledClassifier:
        params |= {"fit_teacher": True, "teacher": NeuralClassifier(**params)}
    search = GridSearchCV(
        kind(**params), {"preset": list(PRESETS)}, scoring="neg_log_loss", cv=2, error_score="raise"
    ).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == len(PRESETS)
    assert search.best_params_["preset"] in PRESETS


@both_classifiers
@pytest.mark.parametrize("preset", ["fancy", None, 1, ["plain"], "auto"], ids=repr)
def test_an_unknown_preset_is_refused_with_the_known_ones(preset, kind, iris_like):
    allowed = re.escape(f"preset={preset!r} is not allowed: give one of 'tabular', 'plain'")
    for params in ({}, {"module": TwoLayers}):
        clf = kind(preset=preset, **params)
        before = dict(vars(clf))
        with pytest.raises(ValueError, match=allowed):
            clf.fit(*iris_like)
        with pytest.raises(ValueError, match=allowed):
            clf.partial_fit(*iris_like, classes=[0, 1, 2])
        assert vars(clf) == before


def test_lbfgs_has_all_rows_at_once_no_dropout_and_its_own_rate():
    names = ["dropout", "learning_rate"]
    lbfgs = {"optimizer": torch.optim.LBFGS}
    assert resolved(names, **lbfgs) == {"dropout": 0.0, "learning_rate": 1.0}
    X, y = load_wine(return_X_y=True)
    clf = NeuralClassifier(max_epochs=10, random_state=0, **lbfgs).fit(X, y)
    assert clf.score(X, y) > 0.95
