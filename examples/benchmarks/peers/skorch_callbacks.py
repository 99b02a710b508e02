"""Run skorch's own tests of its callbacks against skkd.

    python examples/benchmarks/peers/skorch_callbacks.py [-k EXPRESSION]

The tests are those of the installed skorch. This file is both the script and the pytest plugin of
the process that runs the tests. The plugin replaces skorch's nets by :class:`Net`, an adapter of
NeuralClassifier. The tests read attributes of nets. If a :class:`Net` does not have an attribute,
it is read from the skorch net that skkd trained last, called the inner net. skorch changes the
callbacks that it is given, while skkd changes copies of them. So the state of the copies is written
back.
"""

import copy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import skorch
import torch
from foreign_suite import main
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.dataset import Dataset, ValidSplit
from skorch.utils import data_from_dataset

import skkd.training.loop  # noqa: F401  (before the nets of skorch are replaced)
from skkd import NeuralClassifier

#: Pattern -> reason. A pattern is searched in "test: first line of the failure"; the first that
#: matches gives the reason.
NOT_APPLICABLE = {
    "skkd has no net before fit|test_subzero_at_fails|'initialize_module'": (
        "looks into a net, or loads into it, before it is trained: skkd builds it in fit"
    ),
    "test_train_end_with_load_init: .*NotFittedError": "predicts before it is trained",
    "TestInputShapeSetter": "skkd fills in the width of X itself, and builds a module once",
    r"_loss is (nan|inf) in epoch": "a loss that is not finite is an error in skkd",
    "test_save_custom_module": "a subclass of the net with another module",
    "Ctrl-C propagates": "Ctrl-C propagates in skkd",
    "'use_caching'": "a parameter of the net that skkd does not have",
    "y holds one class only": "labels of one class",
    "test_without_target_data_works": "rows without labels",
    r"TestEpochScoring.test_correct_(train|valid)_score|test_with_\w*accuracy_score": (
        "compares the numbers of a regression"
    ),
    "test_net_input_is_scoring_input": "callbacks get tensors, as the network sees the rows",
    "test_target_extractor_is_called": "counts batches: skkd validates in larger ones",
    "test_lr_callback_batch_steps_correctly_fallback": (
        "deletes entries of the net's history: skkd keeps its own"
    ),
    "BatchScoring": "compares the numbers of a regression, or counts batches",
}

if find_spec("safetensors") is None:  # without it these tests fail in skorch, too
    NOT_APPLICABLE[r"\[safetensors\]"] = "safetensors is not installed"

#: Forward hooks that turn the output of skorch's modules into logits. Modules of classifiers end in
#: a softmax, those of regressors give one number.
LOGITS = {
    "classifier": lambda module, inputs, probabilities: probabilities.log(),
    "regressor": lambda module, inputs, number: torch.cat([number, -number], dim=1),
}


class Build:
    """Builds a module that returns logits, from a class, a function or a module."""

    def __init__(self, factory, kind):
        self.factory, self.kind = factory, kind

    def __call__(self, **options):
        if isinstance(self.factory, torch.nn.Module):
            module = copy.deepcopy(self.factory)
            module = type(module)(**options) if options else module
        else:
            module = self.factory(**options)
        module.register_forward_hook(LOGITS[self.kind])
        return module


class Inside(Callback):
    """Gives a :class:`Net` its inner net, and the inner net a `score` that a test has set."""

    def __init__(self, outside):
        self.outside_ = outside  # with an underscore, so that it is not a parameter

    def on_train_begin(self, net, **kwargs):
        vars(self.outside_)["inside"] = net
        if "score" in vars(self.outside_):
            net.score = self.outside_.score


class Net:
    """A NeuralClassifier with the interface and the defaults of a skorch net."""

    kind = "classifier"

    def __init__(
        self,
        module,
        *,
        lr=0.01,
        max_epochs=10,
        batch_size=128,
        callbacks=None,
        train_split=ValidSplit(5),  # noqa: B008
        warm_start=False,
        verbose=1,
        **options,
    ):
        self.callbacks = [] if callbacks is None else callbacks
        self.max_epochs, self.batch_size = max_epochs, batch_size
        self.train_split, self.warm_start = train_split, warm_start
        self.classifier = NeuralClassifier(
            preset="plain",
            module=Build(module, self.kind),
            optimizer="sgd",
            momentum=0.0,
            learning_rate=lr or 1e-30,  # skkd takes no 0
            weight_decay=0.0,
            shuffle=False,
            warm_start=True,
            n_iter_no_change=None,
            preprocessor=None,
            random_state=1,
            **options,
        )

    def set_params(self, **params):
        """Set parameters; named callbacks and their parameters are set on skkd."""
        self.classifier.set_params(callbacks=self.callbacks, **params)
        self.callbacks = self.classifier.callbacks
        return self

    def fit(self, X, y=None):
        """Fit from new weights, or with ``warm_start`` from those of the last fit."""
        return (self if self.warm_start else self.initialize()).partial_fit(X, y)

    def initialize(self):
        """Make the next fit start from new weights; skkd builds the net in that fit."""
        vars(self).pop("inside", None)
        self.classifier = clone(self.classifier.set_params(callbacks=None))
        return self

    def partial_fit(self, X, y=None):
        """Train for `max_epochs` further epochs."""
        arrays, held_out = self._split(X, y)
        given = self.callbacks if self.callbacks == "disable" else [*self.callbacks, Inside(self)]
        self.classifier.set_params(
            callbacks=given, max_epochs=max(1, self.max_epochs), batch_size=self.batch_size
        )
        try:
            self.classifier.fit(*arrays, **held_out)
        except KeyboardInterrupt as interrupt:  # it would end the run of all tests
            raise RuntimeError("Ctrl-C propagates") from interrupt
        finally:
            if "inside" in vars(self):
                self._write_back()
        return self

    def _write_back(self):
        names = [name for name, _ in self.inside.callbacks_[:-1]]
        running = [one for one in self.callbacks if not (isinstance(one, tuple) and one[1] is None)]
        originals = [one[1] if isinstance(one, tuple) else one for one in running]
        pairs = list(zip(originals, self.inside.callbacks_[:-1], strict=False))
        for original, (_, ran) in pairs:
            if not isinstance(original, type):
                learned = {k: v for k, v in vars(ran).items() if v is not self.inside}
                vars(original).update(learned)
        self.callbacks_ = list(zip(names, [original for original, _ in pairs], strict=True))

    def _split(self, X, y):
        dataset = X if isinstance(X, torch.utils.data.Dataset) else Dataset(X, self._labels(y))
        if self.train_split is None:
            return _arrays(dataset), {}
        train, valid = self.train_split(dataset, _arrays(dataset)[1])
        return _arrays(train), dict(zip(("X_val", "y_val"), _arrays(valid), strict=True))

    def _labels(self, y):
        return y

    def predict(self, X):
        return self.classifier.predict(_rows(X))

    def predict_proba(self, X):
        return self.classifier.predict_proba(_rows(X))

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k not in ("inside", "callbacks_")}

    def score(self, X, y):
        return self.classifier.score(_rows(X), y)

    def __getattr__(self, name):
        if "inside" not in vars(self):
            raise AttributeError(f"{name}: skkd has no net before fit")
        return getattr(self.inside, name)


class Regressor(Net):
    """A :class:`Net` for regression tests: rows get classes 0 and 1 in turn, logits z and -z."""

    kind = "regressor"

    def _labels(self, y):
        return np.arange(len(y)) % 2


def _rows(X):
    return _arrays(X)[0] if isinstance(X, torch.utils.data.Dataset) else X


def _arrays(dataset):
    if hasattr(dataset, "tensors"):
        return [np.asarray(tensor) for tensor in dataset.tensors]
    return [np.asarray(part) for part in data_from_dataset(dataset)]


def pytest_configure(config):
    """Replace skorch's nets by skkd before any test is collected.

    Only the names in the package are replaced: skkd itself needs the originals.
    """
    skorch.NeuralNetClassifier = Net
    skorch.NeuralNetRegressor = Regressor
    config.addinivalue_line("filterwarnings", "ignore:module gives .*probabilities")


if __name__ == "__main__":
    suite = Path(skorch.__file__).parent / "tests" / "callbacks"
    main(str(suite), __file__, NOT_APPLICABLE)
