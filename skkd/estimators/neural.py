"""NeuralClassifier: a torch network as a scikit-learn classifier."""

from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skkd.estimators.base import BaseNeuralEstimator, all_or_nothing, has_partial_fit
from skkd.estimators.options import set_options
from skkd.estimators.prediction import PredictionMixin, without_array_api

__all__ = ["NeuralClassifier"]


class NeuralClassifier(PredictionMixin, ClassifierMixin, BaseNeuralEstimator):
    """A neural network as a scikit-learn classifier.

    A multilayer perceptron with what scikit-learn's MLPClassifier lacks: dropout, BatchNorm,
    initialisation schemes, learning-rate schedules, label smoothing, class weights, your own
    validation set, any torch module, and tables with missing values and categories. torch
    trains it; the fitted built-in network predicts with NumPy alone.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int, "auto" or "smallest", default="auto"
        Units of each hidden layer. ``()`` is softmax regression. With a custom `module` this
        parameter, `activation`, `batch_norm` and `dropout` have no effect.

        "smallest" compares networks on held-out rows, from the layers of "auto" down to
        ``()``, and takes the smallest that is not clearly worse than the best: see the notes.
        It takes about twice as long. A warm start keeps the layers of the fit before it. With
        fewer than 200 rows (there is a warning) and for `partial_fit` it is "auto".
    activation : str, default="auto"
        "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu" (its
        tanh approximation), "silu" or "mish".
    preset : {"tabular", "plain"}, default="tabular"
        What "auto" means; the notes have a table of the values. "tabular" is a recipe for
        tables that needs no tuning. "plain" is the textbook network with the defaults of
        scikit-learn's MLPClassifier, except for the penalty. A custom `module` always gets
        the values of "plain".
    module : class or callable, default=None
        A torch module class, or a function that builds a module, to train in place of
        the multilayer perceptron. The module returns logits of shape (n_rows, n_classes).
        Its arguments are set as ``module__<name>``; if it takes `n_features` or
        `n_classes`, they are filled in. Rows may then have more than one dimension.
    init : str or skkd.initializers.Initializer, default="auto"
        Initial weights. "auto" is He for the ReLU family, Xavier for tanh and
        sigmoid, LeCun for SELU, and a custom module's own scheme. Any other value
        applies to every Linear and Conv layer, of a custom module too: "zeros",
        "constant", "uniform", "normal", "truncated_normal", "xavier", "he" and "lecun"
        (also with "_uniform" or "_normal"), "orthogonal", or an object with settings.
    bias_init : "zeros", float, initializer or "auto", default="auto"
        Initial biases, of the layers whose weights `init` sets. A small positive number keeps
        ReLU units active at the start.
    parametrization : {"standard", "ntk", "auto"}, default="auto"
        "ntk" gives each layer of the built-in network its own learning rate, which falls with
        the square root of the layer's number of inputs (see
        :func:`skkd.modules.rate_factors`). One `learning_rate` then suits networks of every
        width. It is meant for Adam.
    feature_scale : bool or "auto", default="auto"
        Whether the built-in network learns a scale for each feature, before its first layer.
    batch_norm : bool, default=False
        Whether a BatchNorm layer precedes each activation. The Linear layer before it then
        has no bias.
    dropout : float, sequence of float or "auto", default="auto"
        Probability that a hidden unit is dropped: one number for all hidden layers, or one
        for each.
    dropout_decay : str or skkd.schedules.Schedule, default="auto"
        How `dropout` falls during training: any schedule of `lr_decay` except "plateau".
    label_smoothing : float in [0, 1) or "auto", default="auto"
        Share of the uniform distribution that is mixed into the labels.
    optimizer : {"sgd", "adam", "adamw", "rmsprop"} or class, default="adam"
        A name, or a torch optimiser class. Its other arguments are set as
        ``optimizer__<name>``, for example ``optimizer__betas=(0.9, 0.95)``.
    learning_rate : float or "auto", default="auto"
        The learning rate before `lr_decay`. With ``parametrization="ntk"`` a layer with 256
        inputs has this rate; for other layers it is scaled.
    momentum : float in [0, 1), default=0.9
        Momentum of "sgd" and "rmsprop".
    nesterov : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    weight_decay : float or "auto", default="auto"
        L2 penalty on weights; biases and BatchNorm have none. It corresponds to
        MLPClassifier's `alpha` divided by the batch size. How it is applied depends on the
        optimiser class:

        - Most classes have an argument `weight_decay`, and get this value. "adamw" and some
          others decouple it from the gradient.
        - For a class without it, such as LBFGS and Rprop, ``weight_decay / 2 * sum w^2``, over
          all weights w, is added to the loss of each batch. Its gradient is not clipped.
    max_grad_norm : float, default=None
        Largest Euclidean norm of the gradient of a batch; a longer gradient is scaled down to
        it.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        Schedule of the learning rate: "constant", "step", "multi_step", "exponential",
        "cosine", "cosine_restarts", "linear", "flat_cosine", "coslog", "cyclic", "one_cycle",
        "plateau", or an object with settings. "plateau" lowers the rate when the loss stops
        improving, and ends training when the rate would fall below a floor. "auto" is
        "constant" for `partial_fit`.
    batch_size : int or "auto", default="auto"
        Rows per step, at most all rows. A last batch of one row is merged into the batch
        before it.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new order.
    max_epochs : int or "auto", default="auto"
        Number of epochs, at most. "auto" selects it on held-out rows if the learning rate
        falls to its minimum several times, as in the tabular preset:

        - The held-out rows are `X_val` if it is given, else a share of `validation_fraction` of
          the rows. Without `X_val`, a table of fewer than 3,000 rows is split twice, and one of
          fewer than 1,500 rows three times. Each of these folds has different held-out rows.
        - First, the network is fitted without the held-out rows, once per fold. On these rows
          the number of epochs and the temperature of the logits are selected.
        - A final fit then uses all rows of X.

        Nothing is selected for fewer than 200 rows, with `early_stopping`, or by `partial_fit`.
        A warm start runs as many epochs as the fit before it. If `max_epochs` is a number, there
        is only the final fit. The probabilities are then not calibrated, and label smoothing
        makes them less confident.
    early_stopping : bool, default=False
        Whether to stop when the log-loss of true labels on held-out rows stops improving. The
        weights of the best epoch are kept, or the initial weights if no epoch was better than
        these. The held-out rows are `X_val` or a stratified split.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out, for early stopping or to select `max_epochs` and
        `numeric_encoding`. Not used if `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
        Training stops after this many epochs in a row without an improvement by `tol`. None
        means never. Without early stopping the training loss is watched, and only if the
        learning rate is constant. Not used if `lr_decay` is "plateau", which has a
        patience of its own.
    tol : float, default=1e-4
        Smallest decrease of the watched loss that counts as an improvement.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied by `sample_weight`. The probabilities are those of
        a problem with these weights. (In :class:`DistilledClassifier` the teacher's
        probabilities are reweighted, too, unless the teacher has class weights of its own.)
    preprocessor : {"auto", "robust", "standard"}, None or transformer, default="auto"
        How X is prepared for the network. It is fitted on the training rows and is part of
        the fitted classifier. "robust" imputes numbers by their median, subtracts
        it, divides by the interquartile range (in float64) and clips smoothly to (-3, 3), so
        that neither units nor outliers matter; columns with heavy tails are replaced by the
        normal scores of their ranks. "standard" uses mean and standard deviation and does not
        clip. Both encode categories one-hot, and standardise images by channel. None passes
        numbers on as they are: use it behind your own scaler or encoder. A transformer is
        cloned and fitted; it gets X as it is, as a read-only view or a copy, so that it
        cannot change X.
    numeric_encoding : str, skkd.preprocessing.encodings.PiecewiseLinear or None, default="auto"
        Further inputs for numbers, beside the scaled number:

        - None: no further inputs.
        - "piecewise_linear": each number is spread over up to 12 bins between quantiles of its
          column. ``PiecewiseLinear(n_bins=24)`` uses more bins.
        - "selective": the same, but only for columns of codes or counts, and for columns in
          which one value fills three quarters of the rows.
        - "auto": None for sparse matrices, else "selective". Where `max_epochs` is selected,
          "auto" also tries "piecewise_linear" if no hidden layer has more than 64 units, and
          there are at least 2,000 rows and at most 100 columns.

        With a `preprocessor` that is None or a transformer, it must be "auto" or None, and
        there are no further inputs.
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        Columns that are encoded one-hot:

        - "from_dtype": columns of dtype object, string, category or bool. But an object column
          that holds only numbers is numeric. Digits in quotes are not numbers here.
        - Names, indices or a mask: these columns, beside those of "from_dtype".

        If a column has more than 256 categories, the rarest share one indicator. If a value to
        predict has another type than the categories in `fit` (1 for "1", "True" for True), it
        counts as the category with the same text, if there is exactly one. If all values of a
        column are unknown, there is a warning.
    warm_start : bool, default=False
        Whether `fit` continues from the previous fit, with its weights, preprocessor and
        optimiser state. The schedule starts again.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Callbacks that run during training, as shallow copies. A pair ``(name, callback)``
        gives a callback a name, so that a grid can search
        ``callbacks__<name>__<parameter>``. ``callbacks__<name>=None`` or "disable" disables
        one callback, ``callbacks="disable"`` all. The history that callbacks read covers the
        epochs of all calls of `partial_fit` and of warm starts. scikit-learn's own callbacks
        are set by `set_callbacks`.
    verbose : int, default=0
        1 shows a progress bar with losses and metrics, 2 also a line per epoch.
    device : str, default="cpu"
        Where to train. "auto" uses a GPU if there is one. The initial weights are the same as
        on the CPU; without dropout the order of the rows is the same, too. The fitted network
        is kept as NumPy arrays.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the training. Probabilities are always float64.
    n_threads : int, default=None
        torch's threads in `fit`, at most the logical cores of the machine
        (``os.cpu_count()``, even where the process may use fewer). The number decides
        the last bits of the result. None takes it from the sizes of network and batch: 1 except
        for very large ones. Two threads are up to twice as fast for large batches on idle
        cores. Small networks get slower: with other work on one of two cores, three layers of
        256 units took 5 times as long (batches of 200), one layer of 64 units 6 to 17 times.
    n_jobs : int, default=None
        Number of processes in which the networks of the selection are trained side by side:
        encodings, folds and, of a DistilledClassifier, candidates. The result is the same, bit
        for bit. None is 1, unless joblib.parallel_config sets another number; -1 is one process
        for each core. Starting the processes takes a few seconds, so it pays for fits that are
        longer than that. Inside a search with `n_jobs`, and while a fit in another thread uses the
        processes, it is 1.
    random_state : int, RandomState or None, default=None
        Seed of weights, shuffling, dropout and split. An int leaves all global generators
        untouched.
    **module__and_optimizer__
        ``module__*`` and ``optimizer__*``, the arguments of `module` and `optimizer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Text of NumPy's StringDType and of tables is of dtype object.
    n_features_in_ : int
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Only if X had names.
    n_iter_ : int
        Number of epochs, including those of earlier warm starts and partial fits.
    n_steps_ : int
        Number of optimiser steps in these epochs.
    history_ : list of dict of float
        One record per epoch: "epoch", "learning_rate" (of its first batch), "train_loss" and
        "seconds"; if there are held-out rows, also "valid_loss" and "valid_accuracy"; and the
        scores of skorch callbacks. "train_loss" is the mean loss of the training rows, each
        computed before the step of its batch, without the penalty of `weight_decay`.
    loss_curve_ : list of float
        The training loss of each epoch, without the penalty that MLPClassifier includes.
    best_epoch_ : int or None
        The epoch whose weights early stopping kept, as counted in `history_`; None without
        early stopping. 0 means the initial weights, which have no record. If a warm start
        brings no improvement, the weights of the fit before it are kept, and `best_epoch_`
        is the epoch that they come from.
    held_out_losses_ : dict of int to float, or None
        Log-loss on held-out rows, at its best temperature, for each number of epochs
        that was tried. The selected number is the largest whose loss is close to the lowest:
        the difference is at most its standard error, and the loss is at most
        ``1.05 * lowest + 0.005``. None if nothing was selected.
    numeric_encoding_ : skkd.preprocessing.encodings.PiecewiseLinear or None
        The encoding of numbers that was used.
    hidden_layer_sizes_ : tuple of int or None
        The units of each hidden layer; None with a custom `module`.
    size_losses_ : dict of tuple to float, or None
        With ``hidden_layer_sizes="smallest"``, the log-loss on held-out rows of each size. None if
        no sizes were compared.
    network_ : skkd.inference.network.Network or skkd.inference.module_network.ModuleNetwork
        The fitted network as plain data; its `temperature` divides the logits.
    module_ : torch.nn.Module
        A new module with the fitted weights, in eval mode.
    training_state_ : dict
        State of the optimiser and of the generators as arrays, and the number of epochs done;
        only after `partial_fit` or with `warm_start`.

    Notes
    -----
    The values of "auto" (:mod:`skkd.presets`):

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

    Narrow networks learn more slowly: `max_epochs` may also be 132 if no layer has more than
    128 units, and 132 or 269 if none has more than 64.

    Some values of the tabular preset change with other parameters:

    - Optimisers other than Adam and AdamW get the standard parametrisation.
    - The standard parametrisation gets the plain learning rate.
    - LBFGS gets all rows in a batch, no dropout, and the learning rate 1.
    - `partial_fit` gets a constant learning rate and dropout, "standard" scaling, and no bins.
    - `early_stopping` gets the `lr_decay` "cosine".
    - `lr_decay` "plateau", which ends training by itself, gets up to 200 epochs.

    With ``hidden_layer_sizes="smallest"`` these layers are compared: those of "auto", and (128,
    128), (64, 64), (32, 32), (16,) and () of "tabular", or (50,), (25,), (10,) and () of "plain".
    For each of them everything else is selected, too. Of the networks that are not clearly worse
    than the best, the one with the fewest weights is taken. Clearly worse means that the held-out
    log-loss is higher by more than the standard error of the difference, or above
    ``1.05 * lowest + 0.005``.

    The loss of a batch of ``B`` rows is ``sum_i w_i CE(y_i, z_i) / B``, where the sum goes over
    its rows i, CE is the cross-entropy, ``y_i`` the label, ``z_i`` the logits and ``w_i`` the
    weight of row i. The weights are scaled to mean 1 over all rows of `fit`: a row of weight 2
    counts like two equal rows. The penalty of `weight_decay` is added to this loss.

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
        n_jobs=None,
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
        self.n_jobs = n_jobs
        self.random_state = random_state
        set_options(self, module__and_optimizer__)

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit the network.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            Numbers of any dtype. pandas, polars and pyarrow tables may also have strings,
            categories and missing values. Masked entries of a masked array are missing values.
            With a custom `module` there may be more dimensions.
        y : array-like of shape (n_rows,)
            Labels of at least two classes, of any type that scikit-learn takes. Nullable
            integers and objects that are integers stay integers.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights >= 0; a row of weight 0 is left out.
        X_val, y_val : like X and y, default=None
            Held-out rows whose loss is recorded after each epoch. They replace the split of
            early stopping and of the selection of `max_epochs`. scikit-learn's searches slice
            every argument that has as many rows as X. To prevent that, wrap both in tuples:
            ``X_val=(X_val,), y_val=(y_val,)``. In a pipeline the earlier steps must transform
            `X_val` too: ``Pipeline(..., transform_input=["X_val"])``.

        Returns
        -------
        NeuralClassifier
            Itself.

        Raises
        ------
        ValueError
            If the input or a parameter cannot be used, or if the loss is no longer
            finite. The classifier is left as it was before.

        Warns
        -----
        UserWarning
            If the network is no better than the class frequencies, on held-out rows or on its
            training rows (after at least 100 steps, or five epochs that led to the same
            output for each row), if training has diverged
            (`learning_rate` is too high), if a column of text looks like numbers, if a
            categorical column of `X_val` holds no category of `X`, or if a `module` returns
            probabilities instead of logits.
        """
        from skkd.estimators.fitting import fit_labels

        with all_or_nothing(self) as working, without_array_api():
            fit_labels(working, X, y, sample_weight, X_val, y_val)
        return self

    @available_if(has_partial_fit)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on these rows, continuing from the last call.

        The preprocessor is fitted in the first call only, so the rows of that call should be
        many and varied: a category that they lack stays unknown, and a column that is constant
        in them is centred and clipped smoothly to (-3, 3), but not scaled. A schedule continues
        too: it counts the epochs of all calls, and ends after `max_epochs` of them. The
        method is not available if `early_stopping` is set.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        classes : array-like of shape (n_classes,), default=None
            All labels of all calls; required in the first call.
        sample_weight : array-like of shape (n_rows,), default=None

        Returns
        -------
        NeuralClassifier
            Itself.
        """
        from skkd.estimators.fitting import fit_labels_in_part

        with all_or_nothing(self) as working, without_array_api():
            fit_labels_in_part(working, X, y, classes, sample_weight)
        return self
