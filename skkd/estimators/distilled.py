"""DistilledClassifier: a neural network taught by a frozen teacher."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skkd.checks import is_true, refuse
from skkd.data.input_tags import taken_by_both
from skkd.data.validation import COLUMN_ATTRIBUTES
from skkd.estimators.base import all_or_nothing, has_partial_fit
from skkd.estimators.neural import NeuralClassifier
from skkd.estimators.prediction import without_array_api
from skkd.preprocessing.encodings import without_teacher
from skkd.teachers.members import freeze, input_tags_of, is_fitted

__all__ = ["DistilledClassifier"]

#: The fitted attributes of `student_`: all that predicting needs, and a few numbers and names.
SHIPPED = (
    *COLUMN_ATTRIBUTES,
    "classes_",
    "hidden_layer_sizes_",
    "network_",
    "n_iter_",
    "n_steps_",
    "numeric_encoding_",
)


def _has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise an AttributeError if a parameter rules `partial_fit` out."""
    if estimator.fit_teacher:
        allowed = "False for partial_fit, which has too few rows to fit a teacher"
        refuse("fit_teacher", estimator.fit_teacher, allowed, AttributeError)
    if estimator.assistant is not None:
        allowed = "None for partial_fit, which has too few rows to fit an assistant"
        refuse("assistant", estimator.assistant, allowed, AttributeError)
    if estimator.soft_labels in ("out_of_bag", "out_of_fold"):
        allowed = "'auto' or 'in_sample' for partial_fit, which gets only a part of the rows"
        refuse("soft_labels", estimator.soft_labels, allowed, AttributeError)
    return has_partial_fit(estimator)


class DistilledClassifier(NeuralClassifier):
    r"""A neural network taught by a fitted classifier.

    .. math::
        L = (1 - \alpha)\, CE(y, z)
            + \alpha\, T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    is the loss of a row: a weighted sum of the cross-entropy with its label ``y`` and the
    Kullback-Leibler divergence from the teacher. `alpha` weights the **teacher**: with
    ``alpha=0`` the network learns from the labels alone, and is bit for bit a
    :class:`NeuralClassifier` of the same seed; with ``alpha=1`` it learns from the teacher
    alone. ``T`` is the `temperature`. ``z`` are the logits of the network, ``t`` those of the
    teacher: the logarithm of its probabilities, which is a logit vector because softmax ignores
    shifts.

    .. warning::
        A frozen teacher that was fitted on all rows has seen the held-out rows of every
        cross-validation fold, and its soft labels tell the student about them: the scores are
        too good. Only ``fit_teacher=True``, which fits a clone of the teacher on the rows of
        each `fit`, gives an honest score. (Even then `early_stopping` chooses the epoch on rows
        that the teacher has seen, unless `X_val` is given.)

    Parameters
    ----------
    teacher : object, default=None
        A fitted classifier with `predict_proba` (or `decision_function`), a torch module
        that gives logits, a function of X that returns probabilities, or a list of
        (teacher, weight). None is allowed only if `fit` gets `teacher_proba`. The teacher
        gets your own X and cannot change it: X is passed as a read-only view, or as a copy if
        the teacher writes into its input or uses torch. Without `fit_teacher` the teacher is
        never fitted nor changed, and `clone` shares it instead of unfitting it. In a grid over
        teachers wrap each in ``sklearn.frozen.FrozenEstimator``.
    temperature : float, default=1.0
        ``T``: above 1 the small probabilities of the teacher weigh more.
    alpha : float in [0, 1] or "auto", default="auto"
        Weight of the teacher. (The L2 penalty is `weight_decay`.) "auto" compares on held-out
        rows what to learn from, if there are at least 200 rows: labels alone, the teacher with
        ``alpha=0.5``, and the teacher with a transfer set, if `augment` or `X_unlabeled`
        gives one. The candidate with the lowest log-loss of true labels is fitted again
        to all rows. Its probabilities are calibrated by what was measured on the held-out rows
        before (not with `early_stopping` or `module`). With fewer than 200 rows, and for
        `partial_fit`, "auto" is 0.5. See the notes for teachers that have seen the held-out rows.
    teacher_loss : str or object of skkd.losses, default="kl"
        Loss between student and teacher: "kl", "reverse_kl", "jensen_shannon", "logit_mse",
        "brier", "dkd" (decoupled KL divergence) or "dist" (correlation), see
        :data:`skkd.losses.TEACHER_LOSSES`; or an object with settings, such as
        ``skkd.losses.DKD(beta=2.0)``, which can be searched as ``teacher_loss__beta``. The
        losses differ in size, so each needs its own `alpha`.
    augment : "auto", "munge", "spunge", "gibbs", sampler, callable or None, default="auto"
        How to make synthetic rows, which the teacher labels: see :mod:`skkd.transfer`. Each
        epoch uses as many of them as there are labelled rows. None makes none. "auto" makes
        rows by MUNGE, and compares on held-out rows whether the network is better with or
        without them. In these cases "auto" makes no rows: fewer than 200 rows, sparse
        matrices, images, more than 1,000 columns, `teacher_proba`, or a `module` or
        `preprocessor` of your own.
    augment_size : int, "auto" or "fresh", default="auto"
        Number of synthetic rows. "auto" makes ten for each row, but at most 100,000 in all;
        for more than 100,000 rows it makes one for each. "fresh" makes new rows for each epoch
        and keeps none: it needs memory for one epoch only, but the teacher is called in
        each epoch. "fresh" is not possible with `X_unlabeled` or `module`.
    augment_seconds : float, default=None
        Time limit for making and labelling synthetic rows, in seconds. If several transfer
        sets are made, it is divided equally among them, also among the sizes of
        ``hidden_layer_sizes="smallest"``. With ``augment_size="fresh"``, epochs that begin after
        the limit reuse the rows that were made last. None means no limit. With a limit the result
        depends on the speed of the machine, not on the seed alone.
    soft_labels : {"auto", "in_sample", "out_of_bag", "out_of_fold"}, default="auto"
        Where the soft labels of the rows of `fit` come from:

        - "in_sample" or "auto": the teacher itself predicts them.
        - "out_of_bag": the teacher is a fitted forest, and X the rows that it was fitted to. Each
          row is predicted only by the trees that were not fitted to it.
        - "out_of_fold": five clones of the teacher are fitted, each to four fifths of the rows,
          and predict the rest. Use it for a teacher that keeps its training rows in memory,
          such as TabPFN.
    calibrate_teacher : bool, default=False
        Whether to divide the teacher's logits by the temperature at which its log-loss of the
        labels is lowest. It needs soft labels of rows that the teacher has not seen:
        "out_of_bag", "out_of_fold" or `teacher_proba`.
    proba_floor : float in (0, 1), default=1e-7
        Smallest probability of the teacher: smaller ones are raised to it before the logarithm
        is taken. Forests give exact zeros; with ``temperature > 1`` the floor decides how
        soft they become. It also applies to the softmax of a decision function.
    fit_teacher : bool, default=False
        Whether to fit a clone of the teacher (fitted, frozen or not) on the rows of each
        `fit`, with the sample weights, but without `class_weight` (see there). If something
        is selected on held-out rows, one to three further clones are fitted without these.
        Random states of the teacher that are None are seeded from `random_state`.
    assistant : None, "auto", classifier or list of classifiers, default=None
        Classifiers that are fitted in `fit`, and then teach beside the teacher: soft labels are
        the mean of the teacher's and of each assistant's. They help narrow students of a teacher
        that is no network, such as a forest, and take longer than the student. "auto" stands for
        two networks with the default layers, one of which learns from the teacher, and one from
        the labels. Classifiers that you give are cloned and fitted, even frozen ones; a fitted one
        can be a member of the list `teacher`. They learn from X and y alone, without `X_val` and
        `X_unlabeled`. A search fits assistants only once for each set of rows, if `random_state`
        is an integer. Not possible with `teacher_proba` and ``soft_labels="out_of_bag"``. With
        ``soft_labels="out_of_fold"``, "auto" needs ``fit_teacher=True``, and takes very long.
    on_class_mismatch : {"raise", "teacher", "intersect"}, default="raise"
        What to do if the teacher and `y` have different classes:

        - "raise": raise an error.
        - "teacher": the network gets the classes of the teacher.
        - "intersect": the network gets the classes of `y`. The teacher's probabilities of
          other classes are dropped, and the rest is scaled to a sum of 1.
    teacher_batch_size : int, default=None
        Rows per call of the teacher; None passes all rows in one call. With `verbose` a bar
        shows the progress.
    memory : str, path, joblib.Memory or None, default=None
        Where the teacher's predictions (with `fit_teacher` also the fitted teachers) are kept
        between processes and sessions, for example for searches with `n_jobs`. They are
        pickles, and **loading a pickle that another user put there runs their code**: a new
        folder is accessible to you alone, and a folder that others can write to is refused; a
        joblib.Memory is used as it is. With None this process remembers the latest
        predictions, so that a search calls a teacher only once for each set of rows. If
        `fit_teacher` is True and `random_state` is an integer, it remembers fitted teachers
        too, so that a search fits a teacher only once for each set of rows.
    hidden_layer_sizes : int, sequence of int, "auto" or "smallest", default="auto"
        Units of each hidden layer. "smallest" selects them on held-out rows. This and the
        parameters below are those of :class:`NeuralClassifier`, which describes them in full.
    activation : str, default="auto"
    preset : {"tabular", "plain"}, default="tabular"
        What "auto" means.
    module : class or callable, default=None
        A torch module class, or a function that builds a module, in place of the built-in
        network.
    init : str or skkd.initializers.Initializer, default="auto"
        Initial weights; "auto" suits the activation.
    bias_init : "zeros", float, initializer or "auto", default="auto"
        Initial biases.
    parametrization : {"standard", "ntk", "auto"}, default="auto"
        "ntk" gives each layer its own learning rate.
    feature_scale : bool or "auto", default="auto"
        Whether the network learns a scale for each feature.
    batch_norm : bool, default=False
        Whether a BatchNorm layer precedes each activation.
    dropout : float, sequence of float or "auto", default="auto"
        Probability that a hidden unit is dropped.
    dropout_decay : str or skkd.schedules.Schedule, default="auto"
        How `dropout` falls during training: any schedule of `lr_decay` except "plateau".
    label_smoothing : float in [0, 1) or "auto", default="auto"
        Share of the uniform distribution that is mixed into the labels of the label term; soft
        labels are not smoothed. "auto" is 0 if the network has a teacher and no layer of more
        than 64 units.
    optimizer : {"sgd", "adam", "adamw", "rmsprop"} or class, default="adam"
    learning_rate : float or "auto", default="auto"
    momentum : float in [0, 1), default=0.9
        Momentum of "sgd" and "rmsprop".
    nesterov : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    weight_decay : float or "auto", default="auto"
        L2 penalty on weights.
    max_grad_norm : float, default=None
        Largest norm of the gradient of a batch.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        Schedule of the learning rate: "cosine", "step" and others, or an object. "plateau"
        lowers the rate when the loss stops improving, and ends training at a floor.
    batch_size : int or "auto", default="auto"
        Labelled rows per step, at most all rows. Rows of a transfer set are added to them.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new order.
    max_epochs : int or "auto", default="auto"
        Number of epochs, at most. "auto" selects it on held-out rows.
    early_stopping : bool, default=False
        Whether to stop when the log-loss of true labels on held-out rows, whatever `alpha`
        is, stops improving. The weights of the best epoch are kept, or the initial weights if
        no epoch was better than they are.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out, for early stopping or to select `alpha`,
        `max_epochs` and `numeric_encoding`. Not used if `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
        Training stops after this many epochs in a row without an improvement by `tol`. None
        means never. Not used if `lr_decay` is "plateau".
    tol : float, default=1e-4
        Smallest decrease of the watched loss that counts as an improvement.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied by `sample_weight`; weights apply to both terms of the
        loss. The teacher's probabilities ``p`` are reweighted, too: they become ``p_k w_k``
        divided by the sum of all ``p_j w_j``, which is what labels with these weights lead to.

        They are not reweighted if the teacher has class weights of its own: if its parameter
        `class_weight` is set (or `class_weights`, `auto_class_weights`, `is_unbalance`,
        `scale_pos_weight`). In a pipeline the last step counts, in a search the best estimator,
        in a vote all members. Weights that a teacher got in another way, for example as
        `sample_weight`, are not found, and `teacher_proba` is always reweighted. In these cases
        pass `sample_weight` instead of `class_weight`: it changes no soft label.
    preprocessor : {"auto", "robust", "standard"}, None or transformer, default="auto"
        How X is prepared for the student; the teacher gets X as it is.
    numeric_encoding : str, skkd.preprocessing.encodings.PiecewiseLinear or None, default="auto"
        Further inputs for numbers, as for :class:`NeuralClassifier`. "teacher_bins" spreads
        numbers over bins between the thresholds of the teacher's trees. Where "auto" would try
        "piecewise_linear", it tries "teacher_bins" instead if the teacher consists of trees. With
        more than 64 units in a layer it tries them, too, if the network with a teacher is the best
        one until then.
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        Columns that are encoded one-hot.
    warm_start : bool, default=False
        Whether `fit` continues from the previous fit. The classes of `y` must be the same as
        before; with ``on_class_mismatch="teacher"``, the classes of the teacher.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Callbacks that run during training. Parameters of pairs ``(name, callback)`` can be
        searched.
    verbose : int, default=0
        1 shows the progress of teacher and student, 2 also a line per epoch.
    device : str, default="cpu"
        Where to train the student. "auto" uses a GPU if there is one.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the training.
    n_threads : int, default=None
        torch's threads in `fit`, at most the logical cores of the machine. More than one slows
        small networks down.
    n_jobs : int, default=None
        Number of processes in which candidates, encodings and folds of the selection are trained
        side by side, with the same result. None is 1. The teacher is called in this process.
        Starting the processes takes a few seconds, so it does not pay for short fits.
    random_state : int, RandomState or None, default=None
        Seed of the fit; with `fit_teacher` also of the teacher. Fitted teachers are
        remembered only if it is an int.
    **module__and_optimizer__
        ``module__*`` and ``optimizer__*``, the arguments of `module` and `optimizer`.

    Attributes
    ----------
    teacher_ : object
        The teacher that gave the soft labels; None with `teacher_proba`. Do not change it: a
        teacher fitted in `fit` is remembered, and other estimators of a search may hold the
        same object.
    alpha_ : float
        The weight of the teacher that was used; 0 if labels alone were better.
    candidate_ : str
        What the network learned from: "labels", "teacher" (with labels, unless
        ``alpha=1``) or "transfer set" (with the teacher).
    candidate_losses_ : dict of str to float, or None
        Log-loss on held-out rows of each candidate that was compared ("labels", "teacher",
        "transfer set"). All are measured on the same rows, and after the largest number of
        epochs that all candidates were trained for: poor candidates are stopped early. So the
        lowest loss here need not be the winner's, see `candidate_reason_`. None if nothing was
        compared.
    candidate_reason_ : str or None
        Why `candidate_` was selected: its loss, and for each other candidate the loss, the number
        of epochs after which it was stopped, and how low its loss should have been if it was not
        low enough. None if nothing was compared.
    held_out_losses_ : dict of int to float, or None
        Log-loss on held-out rows of the selected candidate, by number of epochs.
    n_transfer_rows_ : int
        Number of rows that only the teacher labelled, synthetic or from `X_unlabeled`.
    teacher_temperature_ : float
        The temperature that the teacher's logits were divided by; 1 without
        `calibrate_teacher`.
    teacher_seconds_ : float
        Seconds that fitting and calling the teacher took; also those of calling assistants.
    assistant_ : classifier, list of classifiers or None
        The fitted assistants; a list if the parameter is a list or "auto".
    assistant_seconds_ : float
        Seconds that fitting the assistants took; 0 if a search has fitted it before. With
        `fit_teacher` they are part of `teacher_seconds_`.
    teacher_balanced_accuracy_ : float
        Balanced accuracy of the teacher on the rows of `fit`, without `class_weight`. With
        assistants this is that of the mean of all, here and in `agreement_`.
    agreement_ : float or None
        The weighted share of held-out rows on which network and teacher predict the same class.
        The network is the selected candidate after the selected number of epochs, before the
        final fit. If nothing was selected, but `early_stopping` held out rows, it is the fitted
        network. None if no rows of X with soft labels were held out, and with `X_val`, which the
        teacher does not predict.
    student_ : NeuralClassifier
        The fitted network alone, without any reference to the teacher: ship this one. Its
        fitted attributes are `network_`, `classes_`, `n_features_in_`, `feature_names_in_`,
        `n_iter_`, `n_steps_`, `hidden_layer_sizes_` and `numeric_encoding_`. It has no records of
        the training, such as `history_`. If it is trained further, epochs and steps are counted
        from 0.
    classes_, n_features_in_, n_iter_, n_steps_, history_, network_, module_, ...
        See :class:`NeuralClassifier`. With a transfer set, the final fit may start from
        a network that was trained during the selection. Then up to half of its epochs did not
        use the held-out rows.

    Notes
    -----
    A teacher that was fitted on the held-out rows gives information about their labels to its
    students. Without `X_val` a lower loss is therefore not enough:

    - With ``augment="auto"`` and no `X_unlabeled`, "transfer set" needs a loss that is lower
      than the loss of the best other candidate by a margin. If this other candidate is
      "labels", the margin is a quarter of its loss; if it is "teacher", a twentieth.
    - With ``alpha="auto"`` and fewer than 3,000 rows no candidate is trained for more epochs
      than are best for labels alone.
    - With ``hidden_layer_sizes="smallest"`` all sizes are compared by the candidate that is
      selected for the largest; `size_losses_` has its losses. Where the margin of a size is above
      that of the best, its loss is multiplied by the ratio.

    With `fit_teacher` or ``soft_labels="out_of_fold"``, clones of the teacher are fitted without
    the held-out rows if possible. The selection then uses the soft labels of these clones, and
    none of these rules applies.

    References
    ----------
    Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network",
    arXiv:1503.02531.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skkd import DistilledClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X, y)
    >>> clf = DistilledClassifier(forest, learning_rate=0.02, random_state=0).fit(X, y)
    >>> clf.student_.score(X, y) > 0.9
    True
    """

    candidate_losses_: dict[str, float] | None
    candidate_reason_: str | None

    def __init__(
        self,
        teacher=None,
        *,
        temperature=1.0,
        alpha="auto",
        teacher_loss="kl",
        augment="auto",
        augment_size="auto",
        augment_seconds=None,
        soft_labels="auto",
        calibrate_teacher=False,
        proba_floor=1e-7,
        fit_teacher=False,
        assistant=None,
        on_class_mismatch="raise",
        teacher_batch_size=None,
        memory=None,
        hidden_layer_sizes="auto",
        activation="auto",
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
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            preset=preset,
            module=module,
            init=init,
            bias_init=bias_init,
            parametrization=parametrization,
            feature_scale=feature_scale,
            batch_norm=batch_norm,
            dropout=dropout,
            dropout_decay=dropout_decay,
            label_smoothing=label_smoothing,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            max_grad_norm=max_grad_norm,
            lr_decay=lr_decay,
            batch_size=batch_size,
            shuffle=shuffle,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            class_weight=class_weight,
            preprocessor=preprocessor,
            numeric_encoding=numeric_encoding,
            categorical_features=categorical_features,
            warm_start=warm_start,
            callbacks=callbacks,
            verbose=verbose,
            device=device,
            dtype=dtype,
            n_threads=n_threads,
            n_jobs=n_jobs,
            random_state=random_state,
            **module__and_optimizer__,
        )
        self.teacher = teacher
        self.temperature = temperature
        self.alpha = alpha
        self.teacher_loss = teacher_loss
        self.augment = augment
        self.augment_size = augment_size
        self.augment_seconds = augment_seconds
        self.soft_labels = soft_labels
        self.calibrate_teacher = calibrate_teacher
        self.proba_floor = proba_floor
        self.fit_teacher = fit_teacher
        self.assistant = assistant
        self.on_class_mismatch = on_class_mismatch
        self.teacher_batch_size = teacher_batch_size
        self.memory = memory

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        teacher_proba=None,
        X_unlabeled=None,
        X_val=None,
        y_val=None,
    ):
        """Get the teacher's soft labels of the rows, and fit the network.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            The teacher gets it as it is, except that masked entries of a masked array become
            missing values.
        y : array-like of shape (n_rows,)
            Labels, as for :meth:`NeuralClassifier.fit`.
        sample_weight : array-like of shape (n_rows,), default=None
        teacher_proba : array-like or DataFrame of shape (n_rows, n_classes), default=None
            Soft labels that were computed earlier, used instead of `teacher`. Their columns
            are in the order of the sorted labels, or named after them. A row of zeros means
            that there is no soft label: the network learns this row from `y` alone. Pipelines
            and searches pass `teacher_proba` on, and slice it like weights.
        X_unlabeled : like X, default=None
            Any number of rows without labels; the teacher labels them. One of them helps as
            much as several synthetic rows. With ``alpha="auto"`` they are used only if
            that is better on held-out rows (see `candidate_`), with ``alpha=0`` never. In a
            search such as GridSearchCV, wrap them in a tuple, so that the search does not slice
            them: ``X_unlabeled=(X_unlabeled,)``.
        X_val, y_val : like X and y, default=None
            See :meth:`NeuralClassifier.fit`.

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        from skkd.estimators.fitting_with_teacher import fit_taught

        with all_or_nothing(self) as working, without_array_api():
            fit_taught(working, X, y, sample_weight, X_val, y_val, teacher_proba, X_unlabeled)
        return self

    @available_if(_has_partial_fit)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, teacher_proba=None):
        """Train for one epoch on these rows, continuing from the last call.

        No synthetic rows are made, whatever `augment` is. The method is not available if
        `early_stopping` or `fit_teacher` is set, or if `soft_labels` is "out_of_bag" or
        "out_of_fold".

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        classes : array-like of shape (n_classes,), default=None
            All labels of all calls; required in the first call.
        sample_weight : array-like of shape (n_rows,), default=None
        teacher_proba : array-like of shape (n_rows, n_classes), default=None

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        from skkd.estimators.fitting_with_teacher import fit_taught_in_part

        with all_or_nothing(self) as working, without_array_api():
            fit_taught_in_part(working, X, y, classes, sample_weight, teacher_proba)
        return self

    @property
    def student_(self):
        """The network alone, as a plain fitted NeuralClassifier.

        It has what predicting needs, and what was selected, such as `hidden_layer_sizes_`. The
        records of the training, such as `history_` and `held_out_losses_`, stay here.
        """
        check_is_fitted(self)
        own = set(self._get_param_names()) - set(NeuralClassifier._get_param_names())
        params = self.get_params(deep=False)
        params["numeric_encoding"] = without_teacher(self.numeric_encoding)
        student = NeuralClassifier(**{k: v for k, v in params.items() if k not in own})
        fitted = vars(self)
        student.__dict__.update({name: fitted[name] for name in SHIPPED if name in fitted})
        return student

    def set_params(self, **params):
        """Set parameters, also those of nested objects.

        The parameters of a fitted teacher can be set only with ``fit_teacher=True``.

        Parameters
        ----------
        **params : object

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        teacher = params.get("teacher", self.teacher)
        fits = is_true(params.get("fit_teacher", self.fit_teacher))
        for name, value in params.items():
            if (
                name.startswith("teacher__")
                and not fits
                and teacher is not None
                and is_fitted(teacher)
            ):
                allowed = "it together with fit_teacher=True, for a frozen teacher never changes"
                refuse(name, value, allowed)
        return super().set_params(**params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.teacher is None:
            return tags
        own = tags.input_tags
        tags.input_tags = taken_by_both(own, input_tags_of(self.teacher))  # both see X in fit
        if self.__sklearn_is_fitted__():  # the network predicts without the teacher
            for name in ("sparse", "allow_nan", "positive_only"):
                setattr(tags.input_tags, name, getattr(own, name))
        return tags

    def __sklearn_clone__(self):
        # scikit-learn's clone would unfit a fitted teacher, so it is shared instead.
        shares = not is_true(self.fit_teacher) and self.teacher is not None
        if not shares or isinstance(self.teacher, FrozenEstimator) or not is_fitted(self.teacher):
            return super().__sklearn_clone__()
        frozen = self.__class__.__new__(self.__class__)
        frozen.__dict__.update(vars(self) | {"teacher": freeze(self.teacher)})
        return super(DistilledClassifier, frozen).__sklearn_clone__()
