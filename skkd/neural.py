"""NeuralClassifier: a torch network as a scikit-learn classifier."""

from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from skkd import __version__
from skkd.candidates import Candidate
from skkd.examples import Examples, split_examples
from skkd.inputs import (
    check_labels,
    check_rows,
    check_weights,
    class_weights,
    count_rows,
    encode,
)
from skkd.parameters import refuse, warn
from skkd.planning import make_plan, plan_to_go_on
from skkd.predictions import PredictionMixin, without_array_api
from skkd.presets import with_preset
from skkd.settings import OBJECTS, OPTION_PREFIXES, check_settings, set_options
from skkd.sklearn_callbacks import CallbackSupportMixin, EpochCallbacks, with_callbacks
from skkd.task import Seeds, Task, unwrapped_rows
from skkd.views import encodings_of, view_of

__all__ = ["NeuralClassifier", "all_or_nothing", "runs_one_epoch_at_a_time"]


def runs_one_epoch_at_a_time(estimator):
    """Whether `partial_fit` makes sense."""
    if estimator.early_stopping:
        refuse(
            "early_stopping",
            estimator.early_stopping,
            "False for partial_fit, which runs one epoch a call and has nothing to stop",
            AttributeError,
        )
    return True


class NeuralClassifier(PredictionMixin, CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """A neural network as a scikit-learn classifier.

    The multilayer perceptron that scikit-learn's users ask for: with dropout,
    BatchNorm, initialisation schemes, learning-rate schedules, label smoothing, class
    weights, a validation set of one's own, any torch module, tables with missing
    values and categories. Training is torch's; the fitted built-in network predicts in
    NumPy alone.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or "auto", default="auto"
        Units of each hidden layer. ``()`` is softmax regression.
    activation : str, default="auto"
        "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu" (its
        tanh approximation), "silu" or "mish".
    preset : {"tabular", "plain"}, default="tabular"
        What "auto" means, for the parameters of the table in the notes: a recipe for
        tables that needs no tuning, or the network of the textbooks with the numbers of
        scikit-learn's MLPClassifier, but for the penalty. A custom `module` has the plain
        numbers.
    module : class or callable, default=None
        A torch module class, or a function that builds a module, to train in place of
        the multilayer perceptron; it returns logits of shape (n_rows, n_classes). Its
        arguments are set as ``module__<name>``; if it takes `n_features` or
        `n_classes`, they are filled in. Rows may then have more than one dimension.
        `hidden_layer_sizes`, `activation`, `batch_norm` and `dropout` are the built-in
        network's alone.
    init : str or skkd.initializers.Initializer, default="auto"
        How weights start. "auto" is He for the ReLU family, Xavier for tanh and
        sigmoid, LeCun for SELU, and a custom module's own scheme. Any other choice
        applies to every Linear and Conv layer, of a custom module too: "zeros",
        "constant", "uniform", "normal", "truncated_normal", "xavier", "he" and "lecun"
        (also with "_uniform" or "_normal"), "orthogonal", or an object with settings.
    bias_init : "zeros", float, initializer or "auto", default="auto"
        How biases start, wherever `init` acts. A small positive number keeps ReLUs alive.
    parametrization : {"standard", "ntk", "auto"}, default="auto"
        "ntk" gives each layer of the built-in network a learning rate that falls with the
        root of its number of inputs (see :func:`skkd.modules.rate_factors`): a good rate
        is good for every width. It is made for Adam.
    feature_scale : bool or "auto", default="auto"
        Whether the built-in network learns a scale of each feature, in front of its
        first layer.
    batch_norm : bool, default=False
        BatchNorm in front of each activation; the Linear before it has no bias.
    dropout : float, sequence of float or "auto", default="auto"
        Probability that a hidden unit is dropped, for all hidden layers or for each.
    dropout_decay : str or skkd.schedules.Schedule, default="auto"
        How that probability falls during training; schedules as for `lr_decay`.
    label_smoothing : float in [0, 1) or "auto", default="auto"
        Share of the uniform distribution that is mixed into the labels.
    optimizer : {"sgd", "adam", "adamw", "rmsprop"} or class, default="adam"
        Or a torch optimiser class. Further arguments are set as
        ``optimizer__<name>``, for example ``optimizer__betas=(0.9, 0.95)``.
    learning_rate : float or "auto", default="auto"
        The size of a step; with "ntk" that of a layer of 256 inputs.
    momentum : float in [0, 1), default=0.9
        Of "sgd" and "rmsprop".
    nesterov : bool, default=True
        Nesterov's momentum, of "sgd".
    weight_decay : float or "auto", default="auto"
        L2 penalty (decoupled decay with "adamw") of weights, not of biases nor
        BatchNorm; without effect where the optimiser's class has none.
        MLPClassifier's `alpha` divided by the batch size.
    max_grad_norm : float, default=None
        Gradients longer than this are shortened to it.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        "constant", "step", "multi_step", "exponential", "cosine", "cosine_restarts",
        "linear", "flat_cosine", "coslog", "cyclic", "one_cycle", or an object with
        settings of its own. "auto" is "constant" for `partial_fit`.
    batch_size : int or "auto", default="auto"
        Rows per step, at most all. A last batch of one row joins the one before.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new order.
    max_epochs : int or "auto", default="auto"
        With a schedule that has several ends, as that of the tabular preset, "auto"
        chooses among them: a first fit without a `validation_fraction` of the rows (or
        watching `X_val`) finds the number of epochs and the temperature of the logits
        that held-out rows ask for; the last fit has all rows. Of fewer than 3,000 rows
        others are held out of a second, of fewer than 1,500 of a third first fit. Not so
        with fewer than 200 rows, with `early_stopping` and for `partial_fit`; a warm start
        goes on for as many epochs as the last fit had. A number saves the first fit;
        probabilities are then as cautious as label smoothing makes them.
    early_stopping : bool, default=False
        Stop when the log-loss of true labels on held-out rows stops improving, and keep
        the weights of its best epoch. The rows are `X_val` or a stratified split.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out, by early stopping or to choose `max_epochs` and
        `numeric_encoding` by, unless `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
        Epochs without an improvement of `tol` after which training stops. Without
        early stopping the training loss is watched, and only at a constant learning
        rate. None never stops.
    tol : float, default=1e-4
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into `sample_weight`.
    preprocessor : {"auto", "robust", "standard"}, None or transformer, default="auto"
        What the network sees of X. "robust" imputes numbers by their median, takes that
        from them, divides by the distance between the quartiles (in float64) and clips
        smoothly to (-3, 3): neither units nor outliers matter. Columns with heavy tails
        are seen as the normal scores of their ranks. "standard" takes mean and standard
        deviation and does not clip. Both encode categories one-hot, and standardise images
        by channel. None takes numbers as they are: right behind a scaler or an encoder of
        one's own. A transformer is cloned and fitted on the training rows. It sees X as it is
        and cannot change it: it gets a read-only view, or a copy. Whatever it is, it is part of
        the fitted classifier.
    numeric_encoding : str, skkd.encodings.PiecewiseLinear or None, default="auto"
        "piecewise_linear" spreads each number over up to 12 bins between quantiles of
        its column, beside the scaled number; ``PiecewiseLinear(n_bins=24)`` over more;
        "selective" does so for codes, counts and columns of which one value fills three
        quarters: that is "auto", but for sparse matrices. Where `max_epochs` is chosen and no
        layer has more than 64 units, "auto" tries "piecewise_linear" as well, on 2,000 rows
        or more of up to 100 columns. For a `preprocessor` named by a string.
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        Columns that are encoded: those of dtype object, string, category or bool
        (an object column of numbers is numeric, one of digits in quotes is not), or,
        besides them, the named, the indexed or the masked ones. Of more than 256
        categories the rarest share one indicator.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit: its weights, input view and optimiser.
        The schedule begins anew.
    callbacks : list of skorch callbacks, default=None
        Shallow copies of them run. scikit-learn's own are set by `set_callbacks`.
    verbose : int, default=0
        1 shows a progress bar with losses and metrics, 2 also a line per epoch.
    device : str, default="cpu"
        "auto" takes a GPU where there is one. Weights begin as on the CPU and, without
        dropout, rows come in the same order. What was fitted is kept as NumPy arrays.
    dtype : {"float32", "float64"}, default="float32"
        Of the training. Probabilities are float64 always.
    n_threads : int, default=None
        torch's threads in `fit`; None is chosen from the network and the batch.
    random_state : int, RandomState or None, default=None
        Weights, shuffling, dropout, split. No global generator is touched if it is an
        int.
    **module__and_optimizer__
        ``module__*`` and ``optimizer__*``, the arguments of `module` and `optimizer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Only if X had names.
    n_iter_ : int
        Epochs run, those of earlier warm starts and partial fits included.
    n_steps_ : int
        Steps of the optimiser in these epochs.
    history_ : list of dict of float
        Per epoch: "epoch", "learning_rate" (of its first batch), "train_loss",
        "seconds", with held-out rows "valid_loss" and "valid_accuracy", and what skorch
        callbacks score.
    loss_curve_ : list of float
        The training loss of each epoch.
    best_epoch_ : int or None
        The epoch whose weights early stopping kept.
    held_out_losses_ : dict of int to float, or None
        Number of epochs to log-loss of held-out rows, at its best temperature, as far as
        lengths were tried: the longest was taken that is not worse than the lowest by
        more than the standard error, nor by a twentieth and .005. None where nothing was
        chosen.
    numeric_encoding_ : skkd.encodings.PiecewiseLinear or None
        How numbers are spread.
    network_ : skkd.network.Network or skkd.module_network.ModuleNetwork
        The fitted network as plain data; its `temperature` divides the logits.
    module_ : torch.nn.Module
        A new module with the fitted weights, in eval mode.
    training_state_ : dict
        The optimiser's moments and the generators' states as arrays, and how far the
        training went, after `partial_fit` or with `warm_start`.

    Notes
    -----
    What "auto" means (:mod:`skkd.presets`):

    ====================  ===============================  =====================
    parameter             tabular                          plain
    ====================  ===============================  =====================
    hidden_layer_sizes    (256, 256, 256)                  (100,)
    activation            "selu"                           "relu"
    init                  as `activation`; last layer 0    as `activation`
    bias_init             Normal(std=1.0)                  "zeros"
    parametrization       "ntk"                            "standard"
    feature_scale         True                             False
    dropout               0.15 in layers of 256 or more    0.0
    dropout_decay         "flat_cosine"                    "constant"
    label_smoothing       0.1                              0.0
    optimizer__betas      (0.9, 0.95)                      (0.9, 0.999)
    learning_rate         0.0025                           0.001
    weight_decay          0.0                              0.0001
    lr_decay              "coslog"                         "constant"
    batch_size            n_rows / 32, from 32 to 256      200
    max_epochs            of 4, 13, 30 and 64, see below   200
    preprocessor          "robust"                         "standard"
    numeric_encoding      "selective", see above           None
    ====================  ===============================  =====================

    Narrow networks learn more slowly: `max_epochs` may be 132, too, where no layer is wider
    than 128 units, and 269 where none is wider than 64.

    Where other parameters do not suit them, these values give way: another optimiser than
    Adam has the standard parametrisation, which has the plain learning rate; LBFGS all
    rows in a batch, no dropout and the learning rate 1; `partial_fit`, which has no end,
    a constant rate, "standard" scaling and no bins; `early_stopping` a "cosine".

    The loss of a batch of ``B`` rows is ``sum_i w_i CE(y_i, z_i) / B``, with ``z`` the
    logits and weights ``w`` scaled to mean 1 over all rows; a row of weight 2 counts
    as the same row twice.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skkd import NeuralClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = NeuralClassifier((16,), learning_rate=0.02, lr_decay="cosine", random_state=0)
    >>> clf.fit(X, y).score(X, y) > 0.95
    True
    >>> clf.predict_proba(X[:2]).shape
    (2, 3)
    """

    def __init__(
        self,
        hidden_layer_sizes="auto",
        activation="auto",
        *,
        preset="tabular",
        module=None,
        init="auto",
        bias_init="auto",
        parametrization="auto",
        feature_scale="auto",
        batch_norm=False,
        dropout="auto",
        dropout_decay="auto",
        label_smoothing="auto",
        optimizer="adam",
        learning_rate="auto",
        momentum=0.9,
        nesterov=True,
        weight_decay="auto",
        max_grad_norm=None,
        lr_decay="auto",
        batch_size="auto",
        shuffle=True,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        preprocessor="auto",
        numeric_encoding="auto",
        categorical_features="from_dtype",
        warm_start=False,
        callbacks=None,
        verbose=0,
        device="cpu",
        dtype="float32",
        n_threads=None,
        random_state=None,
        **module__and_optimizer__,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.preset = preset
        self.module = module
        self.init = init
        self.bias_init = bias_init
        self.parametrization = parametrization
        self.feature_scale = feature_scale
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.dropout_decay = dropout_decay
        self.label_smoothing = label_smoothing
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.preprocessor = preprocessor
        self.numeric_encoding = numeric_encoding
        self.categorical_features = categorical_features
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.verbose = verbose
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        set_options(self, module__and_optimizer__)

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit the network.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            Numbers of any dtype; pandas, polars and pyarrow tables also with strings,
            categories and missing values. A custom `module` takes more dimensions.
        y : array-like of shape (n_rows,)
            Labels of any type that scikit-learn takes, of at least two classes.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights >= 0; a row of weight 0 is left out.
        X_val, y_val : like X and y, default=None
            Held-out rows, watched after each epoch; with early stopping they replace
            the split. scikit-learn's searches slice every argument with as many rows
            as X: give ``(X_val,)`` and ``(y_val,)`` if that may be so. Behind other steps
            of a pipeline `X_val` must have passed them too:
            ``Pipeline(..., transform_input=["X_val"])``.

        Returns
        -------
        NeuralClassifier
            Itself.

        Raises
        ------
        ValueError
            For input or parameters that cannot be used, and when the loss is no longer
            finite. The classifier is then as it was before.

        Warns
        -----
        UserWarning
            Where the network is no better than the class frequencies, its loss is far above
            theirs (`learning_rate` is too high), or a column of text reads as numbers.
        """
        with all_or_nothing(self), without_array_api():
            return self._fit(X, y, sample_weight, X_val, y_val)

    @with_callbacks
    def _fit(self, X, y, sample_weight, X_val, y_val, **taught):
        settings = self._settings()
        task = self._read_task(X, y, sample_weight, X_val, y_val, **taught)
        plan = (plan_to_go_on if task.goes_on else make_plan)(self, settings, task)
        callbacks = EpochCallbacks.of(self, plan.n_epochs_to_come, task)
        fitted = self._fit_as_planned(settings, task, plan, callbacks)
        self._publish(fitted, task.classes, task.goes_on, keeps_training_state=self.warm_start)
        self._publish_plan(plan)
        if callbacks:
            callbacks.end({"network_": self.network_, "classes_": task.classes})
        return self

    def _read_task(self, X, y, sample_weight, X_val, y_val, *, X_unlabeled=None, **taught):
        """What `fit` is about, from what the caller gave."""
        goes_on = bool(self.warm_start) and self.__sklearn_is_fitted__()
        classes = self.classes_ if goes_on else None
        seeds = self._draw_seeds()
        if X_unlabeled is not None:
            taught["X_unlabeled"] = X_unlabeled
        examples, classes, of_classes = self._read(
            X, y, sample_weight, classes, reset=not goes_on, seed=seeds.teacher, **taught
        )
        held_out = self._read_held_out(X_val, y_val, classes, of_classes, as_fitted=goes_on)
        splits = self.early_stopping and held_out is None
        fraction = self.validation_fraction if splits else None
        train, split_off = split_examples(examples, validation_fraction=fraction, seed=seeds.split)
        return Task(
            X,
            y,
            sample_weight,
            classes,
            of_classes,
            train=train,
            valid=split_off if splits else held_out,
            held_out=held_out,
            seeds=seeds,
            goes_on=goes_on,
            X_unlabeled=X_unlabeled,
        )

    def _fit_as_planned(self, settings, task, plan, callbacks):
        """All rows, in the way that was chosen."""
        from skkd.fitting import fit_examples, warn_if_diverged

        def end_epoch(record, fitted):
            def fitted_attributes():
                return {"network_": fitted().network, "classes_": task.classes}

            return callbacks.end_epoch(fitted_attributes)

        fitted = fit_examples(
            settings,
            plan.candidate.row_loss,
            plan.view,
            plan.candidate.examples(task.train),
            task.valid,
            n_classes=len(task.classes),
            n_epochs=plan.n_epochs_to_come,
            seed=task.seeds.network,
            previous=plan.start,
            before_epoch=callbacks.begin_epoch if callbacks else None,
            on_epoch=end_epoch if callbacks else None,
            title=None if plan.choice is None else "fitting all rows",
        )
        is_told = plan.choice is not None and plan.choice.learned_nothing
        keeps_old_weights = self.early_stopping and fitted.best_epoch is None
        if not (is_told or keeps_old_weights):
            n_classes = len(task.classes)
            warn_if_diverged(fitted, plan.candidate.row_loss, n_classes, settings.learning_rate)
        fitted = fitted.preceded_by(plan.start)
        temperature = plan.temperature_for(None if self.early_stopping else len(fitted.history))
        if temperature != 1:
            fitted.network = fitted.network.at_temperature(temperature)
        fitted.training_state["n_epochs"] = plan.n_epochs
        return fitted

    @available_if(runs_one_epoch_at_a_time)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on some rows, going on from the last call.

        The input view is fitted in the first call only, so let its rows be many and mixed:
        a category that they lack is never seen, and a number that is constant there has no
        unit but its own, of which it is clipped, smoothly, to 3. With `early_stopping` there
        is no such method. A schedule goes on as well: it counts the epochs of all calls, and
        `max_epochs` is its length.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; required in the first call.
        sample_weight : array-like of shape (n_rows,), default=None

        Returns
        -------
        NeuralClassifier
            Itself.
        """
        with all_or_nothing(self), without_array_api():
            return self._partial_fit(X, y, classes, sample_weight)

    def _partial_fit(self, X, y, classes, sample_weight, **taught):
        from skkd.fitting import fit_examples

        settings = self._settings(in_parts=True)
        if isinstance(self.class_weight, str):
            refuse("class_weight", self.class_weight, "a dict or None for partial_fit")
        goes_on = self.__sklearn_is_fitted__()
        classes = self._classes_of_all_calls(classes, goes_on)
        seeds = self._draw_seeds()
        examples, classes, _ = self._read(
            X, y, sample_weight, classes, reset=not goes_on, seed=seeds.teacher, **taught
        )
        train, _ = split_examples(examples)
        if goes_on:
            view = self.network_.input_view
        else:
            thresholds = self._thresholds(settings, X, can_spread=False)
            encoding, *_ = encodings_of(self, settings, train.rows, thresholds)
            view = view_of(self, settings, train, classes, encoding, thresholds)
            self.numeric_encoding_ = encoding
        previous = self._last_fit() if goes_on else None
        fitted = fit_examples(
            settings,
            self._make_criterion(settings),
            view,
            train,
            None,
            n_classes=len(classes),
            n_epochs=1,
            seed=seeds.network,
            previous=previous,
        ).preceded_by(previous)
        self._publish(fitted, classes, goes_on, keeps_training_state=True)
        return self

    def get_params(self, deep=True):
        """The constructor's parameters, ``module__*`` and ``optimizer__*`` included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of nested objects.

        Returns
        -------
        dict of str to object
        """
        params = super().get_params(deep=deep)
        options = {k: v for k, v in vars(self).items() if k.startswith(OPTION_PREFIXES)}
        return params | options

    def set_params(self, **params):
        """Set parameters, of nested objects too.

        Parameters
        ----------
        **params : object

        Returns
        -------
        NeuralClassifier
            Itself.
        """
        options = {k: params.pop(k) for k in list(params) if k.startswith(OPTION_PREFIXES)}
        for name, value in params.items():
            owner, _, setting = name.partition("__")
            current = params.get(owner, getattr(self, owner, None))
            if setting and (isinstance(current, str) or (current is None and owner in OBJECTS)):
                where = f", of {OBJECTS[owner]}" if owner in OBJECTS else ""
                allowed = f"{owner} as an object with that setting{where}, not {current!r}"
                refuse(name, value, allowed)
        super().set_params(**params)
        set_options(self, options)
        return self

    def _make_targets(self, X, y, classes, sample_weight, seed):
        """The classes, and what the network learns about each row, as arrays by name."""
        classes, codes = encode(y, classes)
        return classes, {"labels": codes}

    def _make_criterion(self, settings):
        """The training loss: (logits, targets) -> one value per row."""
        from skkd.criteria import LabelLoss

        return LabelLoss(settings.label_smoothing)

    def _settings(self, in_parts=False):
        """The parameters, checked, with the preset's values for those that are "auto"."""
        settings = with_preset(self, in_parts)
        check_settings(settings)
        return settings

    def _draw_seeds(self):
        try:
            random_state = check_random_state(self.random_state)
        except ValueError:
            refuse("random_state", self.random_state, "an int, a numpy RandomState or None")
        return Seeds(*random_state.randint(np.iinfo(np.int32).max, size=3).tolist())

    def _read(self, X, y, sample_weight, classes, *, reset, seed, **taught):
        """The caller's rows, labels and weights as examples; the classes and their weights."""
        rows = self._read_rows(X, reset=reset, as_fitted=not reset)
        n_rows = count_rows(X)
        y = check_labels(self, y, n_rows)
        sample_weight = check_weights(sample_weight, n_rows)
        classes, targets = self._make_targets(X, y, classes, sample_weight, seed, **taught)
        codes = targets["labels"]
        if sample_weight is not None:  # their ratios count, and their sum must be finite
            sample_weight = sample_weight / sample_weight.max()
        of_classes = class_weights(self.class_weight, classes, codes, sample_weight)
        weights = of_classes[codes] * (1.0 if sample_weight is None else sample_weight)
        examples = Examples(rows, targets | {"weights": weights}, index=np.arange(n_rows))
        return examples, classes, of_classes

    def _read_rows(self, X, *, reset, as_fitted):
        """X as the input view takes it: the fitted one, or the one to be fitted."""
        return check_rows(
            self,
            X,
            reset=reset,
            preprocessor=self.network_.input_view.preprocessor if as_fitted else self.preprocessor,
            dtype=self.dtype,
            allow_nd=self.module is not None,
        )

    def _read_held_out(self, X_val, y_val, classes, of_classes, as_fitted):
        """The caller's own validation set as examples, or None."""
        if (X_val is None) != (y_val is None):
            missing = "y_val" if y_val is None else "X_val"
            raise ValueError(f"{missing}=None is not allowed: X_val and y_val go together.")
        if X_val is None:
            return None
        X_val, y_val = unwrapped_rows(X_val), unwrapped_rows(y_val)
        rows = self._read_rows(X_val, reset=False, as_fitted=as_fitted)
        _, codes = encode(check_labels(self, y_val, count_rows(X_val)), classes, name="y_val")
        weights = of_classes[codes]
        if not weights.any():
            raise ValueError("class_weight leaves no row of X_val with a weight above zero.")
        return Examples(rows, {"labels": codes, "weights": weights})

    def _thresholds(self, settings, X, can_spread):
        """Where a teacher's trees split the columns of X, if a numeric encoding asks."""
        return None

    def _candidates(self, settings, task):
        """The ways to learn that are worth comparing; the first is taken if that cannot be."""
        row_loss = self._make_criterion(settings)
        return [Candidate("labels", row_loss, is_calibrated=self.module is None)]

    def _lessons_of_unseen(self, task, splits, candidates, thresholds):
        """What there is to learn in each split for who has not seen its held-out rows.

        None: there is nobody who teaches, or who taught may have seen them.
        """
        return None

    def _publish_plan(self, plan):
        """Set what was chosen."""
        self.held_out_losses_ = None if plan.choice is None else plan.choice.losses
        self.numeric_encoding_ = plan.encoding

    def _last_fit(self, schedule_begins_anew=False):
        """The last fit, as `fit_examples` goes on from it."""
        from skkd.fitting import Fitted

        state = getattr(self, "training_state_", {})
        if state and schedule_begins_anew:
            state = state | {"epochs_done": 0}
        return Fitted(self.network_, self.history_, self.best_epoch_, state, self.n_steps_)

    def _classes_of_all_calls(self, classes, goes_on):
        if classes is None:
            if not goes_on:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return self.classes_
        classes = np.unique(classes)
        if goes_on and not np.array_equal(classes, self.classes_):
            refuse("classes", classes, f"the classes of the first call, {self.classes_!r}")
        return classes

    def _publish(self, fitted, classes, goes_on, keeps_training_state):
        """Set the fitted attributes, all at the end."""
        self.classes_ = classes
        self.network_ = fitted.network
        self.history_ = fitted.history
        self.loss_curve_ = [record["train_loss"] for record in fitted.history]
        self.n_iter_ = len(fitted.history)
        self.n_steps_ = fitted.n_steps
        self.held_out_losses_ = None
        an_earlier_epoch_was_better = goes_on and self.early_stopping and fitted.best_epoch is None
        if not an_earlier_epoch_was_better:
            self.best_epoch_ = fitted.best_epoch
        vars(self).pop("training_state_", None)
        if keeps_training_state:
            self.training_state_ = fitted.training_state

    def __getstate__(self):
        return {**super().__getstate__(), "_skkd_version": __version__}

    def __setstate__(self, state):
        version = state.pop("_skkd_version", __version__)
        if version != __version__ and "network_" in state:
            warn(
                f"this {type(self).__name__} was fitted by skkd {version}, this is {__version__}: "
                "its answers may differ. Fit it again, or install that version."
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        numbers_only = self.preprocessor is None
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = not numbers_only
        tags.input_tags.categorical = not numbers_only
        tags.input_tags.three_d_array = self.module is not None
        return tags


@contextmanager
def all_or_nothing(estimator):
    """After an error the estimator is as it was before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
