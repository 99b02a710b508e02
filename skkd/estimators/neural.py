"""NeuralClassifier: a torch network as a scikit-learn classifier."""

from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skkd.config import Config
from skkd.estimators.base import BaseNeuralEstimator, all_or_nothing, runs_one_epoch_at_a_time
from skkd.estimators.options import set_options
from skkd.estimators.prediction import PredictionMixin, without_array_api
from skkd.supervision import LabelSupervision

__all__ = ["NeuralClassifier"]


class NeuralClassifier(PredictionMixin, ClassifierMixin, BaseNeuralEstimator):
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
        How that probability falls during training; schedules as for `lr_decay`, but for
        "plateau".
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
        L2 penalty of weights, not of biases nor BatchNorm: MLPClassifier's `alpha` divided
        by the batch size. It is the `weight_decay` of the optimiser's class (decoupled from
        the gradient with "adamw" and other classes that do so). With a class that has none,
        such as LBFGS and Rprop, ``weight_decay / 2 * sum w^2`` is added to the loss of each
        batch, after gradients are shortened.
    max_grad_norm : float, default=None
        Gradients longer than this are shortened to it.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        "constant", "step", "multi_step", "exponential", "cosine", "cosine_restarts",
        "linear", "flat_cosine", "coslog", "cyclic", "one_cycle", "plateau", or an object
        with settings of its own. "plateau" lowers the rate when the loss stands still, and
        ends training when it would fall under a floor. "auto" is "constant" for `partial_fit`.
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
        the weights of its best epoch, or those that training began with if no epoch was
        better. The rows are `X_val` or a stratified split.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out, by early stopping or to choose `max_epochs` and
        `numeric_encoding` by, unless `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
        Epochs without an improvement of `tol` after which training stops. Without
        early stopping the training loss is watched, and only at a constant learning
        rate. None never stops. Without effect if `lr_decay` is "plateau", which has a
        patience of its own.
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
    numeric_encoding : str, skkd.preprocessing.encodings.PiecewiseLinear or None, default="auto"
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
        categories the rarest share one indicator. A value of another type than in `fit` (1
        for "1", "True" for True) is the category that reads the same, if only one does; a
        column without a known category is warned of.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit: its weights, preprocessor and optimiser.
        The schedule begins anew.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Shallow copies of them run. A pair ``(name, callback)`` has a name, so that a grid can
        search ``callbacks__<name>__<parameter>``; ``callbacks__<name>=None`` or "disable"
        leaves it out, ``callbacks="disable"`` all of them. They see the epochs of all calls of
        `partial_fit` and of warm starts. scikit-learn's own are set by `set_callbacks`.
    verbose : int, default=0
        1 shows a progress bar with losses and metrics, 2 also a line per epoch.
    device : str, default="cpu"
        "auto" takes a GPU where there is one. Weights begin as on the CPU and, without
        dropout, rows come in the same order. What was fitted is kept as NumPy arrays.
    dtype : {"float32", "float64"}, default="float32"
        Of the training. Probabilities are float64 always.
    n_threads : int, default=None
        torch's threads in `fit`, at most as many as the machine has logical cores
        (``os.cpu_count()``, also where the process may use fewer of them: the count decides
        the last bits). None is chosen from the network and the batch, and is 1 for all but
        very large ones. Two threads are up to twice as fast for large batches on idle cores.
        Small networks lose: with other work on one of two cores three layers of 256 units
        took 5 times as long (batches of 200), one of 64 units 6 to 17 times.
    random_state : int, RandomState or None, default=None
        Weights, shuffling, dropout, split. No global generator is touched if it is an
        int.
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
        Epochs run, those of earlier warm starts and partial fits included.
    n_steps_ : int
        Steps of the optimiser in these epochs.
    history_ : list of dict of float
        Per epoch: "epoch", "learning_rate" (of its first batch), "train_loss",
        "seconds", with held-out rows "valid_loss" and "valid_accuracy", and what skorch
        callbacks score. "train_loss" is the mean loss of the rows as they were trained on,
        each before its batch's step, without the penalty of `weight_decay`.
    loss_curve_ : list of float
        The training loss of each epoch: without the penalty, which MLPClassifier includes.
    best_epoch_ : int or None
        The epoch whose weights early stopping kept, as `history_` counts: 0 if that are
        the initial ones, which have no record. After a warm start without a better epoch,
        the one that it began with.
    held_out_losses_ : dict of int to float, or None
        Number of epochs to log-loss of held-out rows, at its best temperature, as far as
        lengths were tried: the longest was taken that is not worse than the lowest by
        more than the standard error, nor by a twentieth and .005. None where nothing was
        chosen.
    numeric_encoding_ : skkd.preprocessing.encodings.PiecewiseLinear or None
        How numbers are spread.
    network_ : skkd.inference.network.Network or skkd.inference.module_network.ModuleNetwork
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
    a constant rate, "standard" scaling and no bins; `early_stopping` a "cosine";
    `lr_decay` "plateau", which ends training itself, up to 200 epochs.

    The loss of a batch of ``B`` rows is ``sum_i w_i CE(y_i, z_i) / B``, with ``z`` the
    logits and weights ``w`` scaled to mean 1 over all rows; a row of weight 2 counts
    as the same row twice. To it comes the penalty of `weight_decay`.

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
            categories and missing values, as which masked entries of a masked array count. A
            custom `module` takes more dimensions.
        y : array-like of shape (n_rows,)
            Labels of any type that scikit-learn takes, of at least two classes. They keep
            their values: nullable integers and objects that are integers stay integers.
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
            theirs (`learning_rate` is too high), a column of text reads as numbers, a
            categorical column of `X_val` holds no category of `X`, or a `module` gives
            probabilities in place of logits.
        """
        with all_or_nothing(self) as working, without_array_api():
            working._fit(X, y, sample_weight, X_val, y_val)
        return self

    def _fit(self, X, y, sample_weight, X_val, y_val):
        config = Config.from_parameters(self.get_params(deep=False))
        given = self._read_all(X, y, sample_weight)
        supervision = LabelSupervision(config, given)
        data = self._fit_data(config, given, supervision, X_val, y_val)
        self._fit_supervised(config, given, data, supervision, y=y, sample_weight=sample_weight)

    @available_if(runs_one_epoch_at_a_time)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on some rows, going on from the last call.

        The preprocessor is fitted in the first call only, so let its rows be many and mixed:
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
        with all_or_nothing(self) as working, without_array_api():
            working._partial_fit(X, y, classes, sample_weight)
        return self

    def _partial_fit(self, X, y, classes, sample_weight):
        config = Config.from_parameters(self.get_params(deep=False), in_parts=True)
        given = self._read_part(X, y, classes, sample_weight)
        self._train_one_epoch(config, given, LabelSupervision(config, given))
