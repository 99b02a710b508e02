"""Fitted classifiers as data: saved, loaded, copied, hashed and cloned."""

import copy
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import skkd
from skkd import DistilledClassifier, NeuralClassifier
from skkd.initializers import Constant, He
from skkd.schedules import CosineDecay, StepDecay, WarmUp

FAST = {
    "hidden_layer_sizes": (16,),
    "preset": "plain",
    "max_epochs": 6,
    "learning_rate": 0.03,
    "random_state": 0,
}


class TwoLayers(torch.nn.Module):
    def __init__(self, n_features, n_classes, n_units=8):
        super().__init__()
        self.hidden = torch.nn.Linear(n_features, n_units)
        self.output = torch.nn.Linear(n_units, n_classes)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


ESTIMATORS = {
    "defaults": NeuralClassifier(max_epochs=6, random_state=0),
    "defaults of a table": NeuralClassifier((16,), max_epochs=6, random_state=0),
    "defaults and warm start": NeuralClassifier(
        (16,), warm_start=True, batch_norm=True, max_epochs=6, random_state=0
    ),
    "batch norm and dropout": NeuralClassifier(batch_norm=True, dropout=0.2, **FAST),
    "early stopping": NeuralClassifier(early_stopping=True, **FAST),
    "warm start": NeuralClassifier(warm_start=True, **FAST),
    "objects": NeuralClassifier(
        init=He(), bias_init=Constant(0.1), lr_decay=WarmUp(StepDecay(2, gamma=0.5), 1), **FAST
    ),
    "transformer": NeuralClassifier(preprocessor=make_pipeline(StandardScaler(), PCA(3)), **FAST),
    "options": NeuralClassifier(optimizer=torch.optim.Adam, optimizer__betas=(0.8, 0.9), **FAST),
    "module": NeuralClassifier(
        module=TwoLayers, module__n_units=12, optimizer__betas=(0.8, 0.9), warm_start=True, **FAST
    ),
    "table": NeuralClassifier(**FAST),
}

ANSWERS_WITHOUT_TORCH = [name for name in ESTIMATORS if name not in ("options", "module")]


@pytest.fixture
def data(request, iris_like):
    """(X, y) of a case: rows of numbers, or a table with categories and gaps."""

    def of(case):
        return request.getfixturevalue("iris_like_table") if "table" in case else iris_like

    return of


@pytest.fixture
def fit(data):
    """Fit the estimator of a case: the estimator and its X."""

    def fit_case(case):
        X, y = data(case)
        return clone(ESTIMATORS[case]).fit(X, y), X

    return fit_case


def through_pickle(estimator, path):
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path)


def through_joblib_compressed(estimator, path):
    joblib.dump(estimator, path, compress=3)
    return joblib.load(path)


def through_joblib_memory_mapped(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path, mmap_mode="r")


def through_deepcopy(estimator, path):
    return copy.deepcopy(estimator)


ROUND_TRIPS = [
    through_pickle,
    through_joblib,
    through_joblib_compressed,
    through_joblib_memory_mapped,
    through_deepcopy,
]


def assert_same_answers(ours, theirs, X):
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(ours, method)(X), getattr(theirs, method)(X))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert getattr(ours, "history_", None) == getattr(theirs, "history_", None)
    assert repr(ours.get_params()) == repr(theirs.get_params())


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("case", ESTIMATORS)
def test_a_round_trip_keeps_every_bit(case, round_trip, fit, tmp_path):
    fitted, X = fit(case)
    assert_same_answers(fitted, round_trip(fitted, tmp_path / "clf"), X)


@pytest.mark.parametrize("case", [c for c in ESTIMATORS if c not in ("options", "module")])
def test_skops_asks_for_trust_in_our_own_types_alone(case, fit, tmp_path):
    skops_io = pytest.importorskip("skops.io")
    fitted, X = fit(case)
    skops_io.dump(fitted, tmp_path / "clf.skops")
    untrusted = skops_io.get_untrusted_types(file=tmp_path / "clf.skops")
    assert untrusted
    assert all(name.startswith("skkd.") for name in untrusted), untrusted
    loaded = skops_io.load(tmp_path / "clf.skops", trusted=untrusted)
    assert_same_answers(fitted, loaded, X)


def types_to_trust_in_the_guide():
    """The list of the guide, and what its table adds: a row's first words to types."""
    guide = Path(__file__).parents[2] / "docs" / "guide" / "serving.rst"
    section = guide.read_text(encoding="utf-8").partition("skops and MLflow\n")[2]
    section = section.partition("One row at a time\n")[0]
    always = re.findall(r'"([\w.]+)",$', section, flags=re.MULTILINE)
    rows = re.findall(r"\* - (.*)\n +- (.*)", section)
    return always, {first: re.findall(r"``([\w.]+)``", second) for first, second in rows[1:]}


TRUSTED, BESIDES = types_to_trust_in_the_guide()


def types_besides(*words):
    """The types of those rows of the guide's table that begin so."""
    found = [next(BESIDES[row] for row in BESIDES if row.startswith(word)) for word in words]
    return [name for names in found for name in names]


def taught(teacher, **settings):
    return DistilledClassifier(
        teacher, fit_teacher=True, augment=None, max_epochs=2, random_state=0, **settings
    )


OF_THE_GUIDE = {
    "defaults": (NeuralClassifier(), ()),
    "taught": (taught(LogisticRegression(max_iter=1000)), ["a ``Distilled"]),
    "teacher bins": (
        taught(DecisionTreeClassifier(max_depth=3), numeric_encoding="teacher_bins"),
        ['``numeric_encoding="teacher'],
    ),
    "table": (NeuralClassifier((8,), max_epochs=2), ["categories"]),
    "piecewise": (
        NeuralClassifier(max_epochs=2, numeric_encoding="piecewise_linear"),
        ['``numeric_encoding="piece'],
    ),
    "no preprocessor": (
        NeuralClassifier((8,), max_epochs=2, preprocessor=None),
        ["``preprocessor=None"],
    ),
    "transformer": (
        NeuralClassifier((8,), max_epochs=2, preprocessor=StandardScaler()),
        ["a transformer"],
    ),
    "schedule": (NeuralClassifier((8,), max_epochs=2, lr_decay=CosineDecay()), ["an object"]),
    "optimizer": (NeuralClassifier((8,), max_epochs=2, optimizer=torch.optim.SGD), ["a class"]),
    "module": (NeuralClassifier(module=TwoLayers, max_epochs=2), ["a ``module``"]),
}


@pytest.mark.parametrize("case", OF_THE_GUIDE)
def test_the_types_that_the_guide_lists_are_all_that_skops_must_trust(case, data, tmp_path):
    skops_io = pytest.importorskip("skops.io")
    X, y = data(case)
    estimator, rows_of_the_guide = OF_THE_GUIDE[case]
    fitted = clone(estimator).fit(X, y)
    fitted = fitted.student_ if case == "teacher bins" else fitted
    besides = set(types_besides(*rows_of_the_guide))
    if case == "module":
        besides.add(f"{__name__}.TwoLayers")
    trusted = besides.union(TRUSTED)
    skops_io.dump(fitted, tmp_path / "clf.skops")
    needed = set(skops_io.get_untrusted_types(file=tmp_path / "clf.skops"))
    assert besides <= needed <= trusted
    if case == "defaults":
        assert needed == set(TRUSTED)
    loaded = skops_io.load(tmp_path / "clf.skops", trusted=sorted(trusted))
    assert_same_answers(fitted, loaded, X)


@pytest.mark.parametrize("case", ESTIMATORS)
def test_a_loaded_classifier_can_be_fitted_again_and_gives_the_same(case, data, fit):
    fitted, X = fit(case)
    _, y = data(case)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        fitted.fit(X, y).predict_proba(X), loaded.fit(X, y).predict_proba(X)
    )


def leaves(value, path):
    """(path, plain value) of everything that a pickle of `value` would hold."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple, set)):
        for position, item in enumerate(value):
            yield from leaves(item, f"{path}[{position}]")
    elif type(value).__module__.startswith(("skkd.", "sklearn.")):
        yield from leaves(value.__getstate__(), path)
    else:
        yield path, value


@pytest.mark.parametrize("case", ESTIMATORS)
def test_fitted_state_is_numpy_and_plain_python(case, fit):
    fitted, _ = fit(case)
    plain = (np.ndarray, np.generic, str, int, float, type, FunctionType, type(None))
    found = list(leaves(fitted, case))
    assert len(found) > 20
    strange = [(path, type(leaf)) for path, leaf in found if not isinstance(leaf, plain)]
    assert strange == []
    assert ("training_state_" in vars(fitted)) == fitted.warm_start


@pytest.mark.parametrize("case", ESTIMATORS)
def test_fitted_state_holds_no_rows_of_X(case, fit):
    fitted, X = fit(case)
    numbers = np.asarray(X if "table" not in case else X[["length", "width", "depth", "noise"]])
    numbers = np.concatenate([numbers.ravel(), numbers.astype(np.float32).ravel()])
    for path, leaf in leaves(fitted, case):
        if isinstance(leaf, (np.ndarray, np.generic, float)) and np.size(leaf):
            assert len(X) not in np.shape(leaf), path
            if "defaults" in case and path.endswith("['centre']"):
                assert len(leaf) == 4  # a median is a value of X, but of each column one
            elif np.asarray(leaf).dtype.kind == "f":
                assert not np.isin(numbers, leaf).any(), path


@pytest.mark.parametrize("case", ESTIMATORS)
def test_the_hash_survives_pickling_copying_and_predicting(case, fit):
    fitted, X = fit(case)
    before = joblib.hash(fitted)
    fitted.predict_proba(X)
    assert joblib.hash(fitted) == before
    assert joblib.hash(through_pickle(fitted, None)) == before
    assert joblib.hash(copy.deepcopy(fitted)) == before


@pytest.mark.parametrize("case", ESTIMATORS)
def test_loading_touches_no_random_state(case, fit):
    fitted, _ = fit(case)
    pickled = pickle.dumps(fitted)
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    pickle.loads(pickled)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (repr(np.random.get_state()), random.getstate())


WITHOUT_TORCH = """
import pickle, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "skorch"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
with open(sys.argv[1], "rb") as file:
    cases = pickle.load(file)
answers = {name: (clf.predict(X), clf.predict_proba(X)) for name, (clf, X) in cases.items()}
assert not {"torch", "skorch"} & set(sys.modules)
with open(sys.argv[2], "wb") as file:
    pickle.dump(answers, file)
"""


def test_a_loaded_classifier_predicts_where_torch_cannot_be_imported(fit, tmp_path):
    cases = {name: fit(name) for name in ANSWERS_WITHOUT_TORCH}
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, "cases", "answers"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = pickle.loads((tmp_path / "answers").read_bytes())
    for name, (fitted, X) in cases.items():
        np.testing.assert_array_equal(answers[name][0], fitted.predict(X), name)
        np.testing.assert_array_equal(answers[name][1], fitted.predict_proba(X), name)


def test_a_pickle_holds_each_weight_once(iris_like):
    clf = NeuralClassifier((64, 64), max_epochs=1, random_state=0).fit(*iris_like)
    n_weights = sum(parameter.numel() for parameter in clf.module_.parameters())
    assert 0 < len(pickle.dumps(clf)) - 4 * n_weights < 5_000


def test_the_size_of_a_pickle_does_not_depend_on_the_rows(iris_like):
    X, y = iris_like
    clf = NeuralClassifier(warm_start=True, **FAST)
    small = len(pickle.dumps(clf.fit(X, y)))
    large = len(pickle.dumps(clone(clf).fit(np.tile(X, (10, 1)), np.tile(y, 10))))
    assert abs(large - small) < 200


@pytest.mark.parametrize("case", ESTIMATORS)
def test_a_clone_has_the_parameters_and_nothing_that_was_fitted(case, fit):
    fitted, X = fit(case)
    cloned = clone(fitted)
    assert repr(cloned.get_params()) == repr(fitted.get_params())
    assert not [name for name in vars(cloned) if name.endswith("_") and not name.startswith("_")]
    with pytest.raises(NotFittedError):
        cloned.predict(X)


def test_a_clone_keeps_the_options_of_module_and_optimizer():
    cloned = clone(ESTIMATORS["module"])
    assert cloned.get_params()["module__n_units"] == 12
    assert cloned.get_params()["optimizer__betas"] == (0.8, 0.9)


@pytest.mark.parametrize("case", ESTIMATORS)
def test_set_params_takes_what_get_params_gives(case):
    params = ESTIMATORS[case].get_params(deep=False)
    again = NeuralClassifier().set_params(**params)
    assert again.get_params(deep=False) == params
    assert NeuralClassifier(**params).get_params(deep=False) == params


def test_set_params_reaches_into_nested_objects():
    clf = NeuralClassifier(lr_decay=StepDecay(), init=He())
    clf.set_params(lr_decay__gamma=0.3, init__distribution="uniform", module__n_units=3)
    assert clf.lr_decay.gamma == 0.3
    assert clf.init.distribution == "uniform"
    assert clf.get_params()["module__n_units"] == 3


@pytest.mark.parametrize("case", [c for c in ESTIMATORS if c != "transformer"])
def test_repr_is_an_expression_of_what_differs_from_the_defaults(case):
    estimator = ESTIMATORS[case]
    text = repr(estimator).replace("<class 'torch.optim.adam.Adam'>", "torch.optim.Adam")
    text = text.replace(f"<class '{__name__}.TwoLayers'>", "TwoLayers")
    assert repr(eval(text)) == repr(estimator)
    assert repr(NeuralClassifier()) == "NeuralClassifier()"


def test_a_classifier_of_another_version_warns_when_it_is_loaded(iris_like):
    clf = NeuralClassifier((4,), max_epochs=1).fit(*iris_like)
    state = clf.__getstate__()
    assert state["_skkd_version"] == skkd.__version__
    with pytest.warns(UserWarning, match="was fitted by skkd 0.0.1"):
        NeuralClassifier().__setstate__({**state, "_skkd_version": "0.0.1"})
    assert not hasattr(pickle.loads(pickle.dumps(clf)), "_skkd_version")
