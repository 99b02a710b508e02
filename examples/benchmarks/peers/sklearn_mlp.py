"""Run scikit-learn's own tests of MLPClassifier against skkd.

    python examples/benchmarks/peers/sklearn_mlp.py [-k EXPRESSION]

The tests are those of the installed scikit-learn. This file is both the script and the pytest
plugin of the process that runs the tests. The plugin replaces MLPClassifier by an adapter. The
adapter translates its parameters to those of a NeuralClassifier by the table of
docs/guide/from_mlp.rst, and reads its fitted attributes from the NeuralClassifier.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import sklearn.neural_network
import torch
from foreign_suite import main
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from skkd import NeuralClassifier

#: Pattern -> reason. A pattern is searched in "test: first line of the failure"; the first that
#: matches gives the reason.
NOT_APPLICABLE = {
    "regressors do not exist yet": "regressors do not exist yet",
    "multilabel|'multilabel-indicator'": "several labels per row do not exist yet",
    "test_fit: ": "sets the weights and private names of MLPClassifier before it is fitted",
    "test_gradient: ": (
        "calls private functions of MLPClassifier; see tests/training/test_backprop.py"
    ),
    "'_no_improvement_count'": "reads a private name of MLPClassifier",
    "no counterpart of learning_rate='invscaling'": "documented: skkd has no such schedule",
    r"test_partial_fit_errors: .*assert not (True|hasattr)": "LBFGS has a partial_fit in skkd",
    r"test_mlp_param_dtypes\[.*float32\]": (
        "documented: the dtype of the weights is a parameter, not the one of X"
    ),
    "test_mlp_partial_fit_after_fit.*: AttributeError: .* has no attribute 'partial_fit'": (
        "documented: with early_stopping there is no method partial_fit (an AttributeError)"
    ),
    "test_verbose_sgd: ": "documented: verbose shows a progress bar on the error stream",
    "test_early_stopping_stratified: ": (
        "documented: a split that cannot be stratified is made all the same, with a warning"
    ),
    "test_preserve_feature_names.*: ValueError: y holds one class only": (
        "documented: labels of one class are refused"
    ),
}

OPTIMIZERS = {"sgd": "sgd", "adam": "adam", "lbfgs": torch.optim.LBFGS}


class MLPClassifier(ClassifierMixin, BaseEstimator):
    """A NeuralClassifier with the parameters of scikit-learn's MLPClassifier."""

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
    ):
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        vars(self).update(arguments)

    def fit(self, X, y, sample_weight=None):
        before = self.n_of_all if self.warm_start and "network" in vars(self) else 0
        network = self.network if before else NeuralClassifier(preset="plain")
        network.set_params(**self.translated(X)).fit(X, y, sample_weight)
        self.network = network
        self.n_iter_ = self.n_of_all - before
        if self.is_cut_off:
            warnings.warn("a limit was reached", ConvergenceWarning, stacklevel=2)
        return self

    def partial_fit(self, X, y, classes=None):
        if "network" not in vars(self):
            self.network = NeuralClassifier(preset="plain")
        self.network.set_params(**self.translated(X)).partial_fit(X, y, classes)
        return self

    def translated(self, X):
        """Return the parameters of the equivalent NeuralClassifier, by the table of the guide."""
        is_lbfgs = self.solver == "lbfgs"
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if self.early_stopping:
            n_rows -= int(np.ceil(self.validation_fraction * n_rows))
        batch_size = 200 if self.batch_size == "auto" else self.batch_size
        batch_size = n_rows if is_lbfgs else min(batch_size, n_rows)
        params = {
            "hidden_layer_sizes": self.hidden_layer_sizes,
            "activation": self.activation,
            "optimizer": OPTIMIZERS[self.solver],
            "weight_decay": float(self.alpha) / batch_size,
            "batch_size": batch_size,
            "learning_rate": 1.0 if is_lbfgs else self.learning_rate_init,
            "lr_decay": "constant" if is_lbfgs else self.schedule(),
            "max_epochs": self.max_iter,
            "shuffle": self.shuffle,
            "random_state": self.random_state,
            "tol": self.tol,
            "verbose": int(self.verbose),
            "warm_start": True,  # a warm start stores the optimiser's state, which is read below
            "momentum": self.momentum,
            "nesterov": self.nesterovs_momentum,
            "early_stopping": self.early_stopping,
            "validation_fraction": self.validation_fraction,
            "n_iter_no_change": (
                None if self.n_iter_no_change == np.inf else self.n_iter_no_change
            ),
            "preprocessor": None,
            "dtype": "float64",
        }
        if self.solver == "adam":
            params["optimizer__betas"] = (self.beta_1, self.beta_2)
            params["optimizer__eps"] = self.epsilon
        if is_lbfgs:  # one epoch, so its limits are those of the whole fit
            params |= {
                "max_epochs": 1,
                "optimizer__line_search_fn": "strong_wolfe",
                "optimizer__max_iter": self.max_iter,
                "optimizer__max_eval": self.max_fun,
                "optimizer__tolerance_grad": self.tol,
            }
        return params

    def schedule(self):
        if self.learning_rate == "adaptive":
            from skkd.schedules import PlateauDecay

            return PlateauDecay(
                gamma=0.2,
                patience=self.n_iter_no_change,
                threshold=self.tol,
                threshold_mode="abs",
                min_factor=9e-7 / self.learning_rate_init,
            )
        if self.learning_rate == "constant":
            return "constant"
        raise NotImplementedError(f"no counterpart of learning_rate={self.learning_rate!r}")

    @property
    def n_of_all(self):
        """Number of epochs, or of iterations of L-BFGS, of all fits so far."""
        return self.of_lbfgs("n_iter") if self.solver == "lbfgs" else self.network.n_iter_

    def of_lbfgs(self, count):
        (state,) = self.network.training_state_["moments"].values()
        return state[count]

    @property
    def is_cut_off(self):
        """Whether a limit ended the fit: then MLPClassifier warns, and skkd does not."""
        if self.n_iter_ >= self.max_iter:
            return True
        return self.solver == "lbfgs" and self.of_lbfgs("func_evals") >= self.max_fun

    def predict(self, X):
        return self.network.predict(X)

    def predict_proba(self, X):
        return self.network.predict_proba(X)

    def predict_log_proba(self, X):
        return self.network.predict_log_proba(X)

    @property
    def coefs_(self):
        return [layer.weight.detach().numpy().T for layer in self.layers]

    @property
    def intercepts_(self):
        return [layer.bias.detach().numpy() for layer in self.layers]

    @property
    def layers(self):
        return [m for m in self.network.module_ if isinstance(m, torch.nn.Linear)]

    @property
    def classes_(self):
        return self.network.classes_

    @property
    def loss_curve_(self):
        return self.network.loss_curve_

    @property
    def best_loss_(self):
        return None if self.early_stopping else min(self.loss_curve_)

    @property
    def validation_scores_(self):
        if not self.early_stopping:
            return None
        return [record["valid_accuracy"] for record in self.network.history_]

    @property
    def best_validation_score_(self):
        return max(self.validation_scores_) if self.early_stopping else None

    @property
    def _optimizer(self):
        return SimpleNamespace(learning_rate=self.network.history_[-1]["learning_rate"])


class MLPRegressor(BaseEstimator):
    """A placeholder, so that scikit-learn's own class is not tested."""

    def __init__(self, **params):
        raise NotImplementedError("regressors do not exist yet")


def pytest_configure(config):
    """Replace MLPClassifier by the adapter before any test is collected."""
    sklearn.neural_network.MLPClassifier = MLPClassifier
    sklearn.neural_network.MLPRegressor = MLPRegressor


if __name__ == "__main__":
    main("sklearn.neural_network.tests.test_mlp", __file__, NOT_APPLICABLE)
