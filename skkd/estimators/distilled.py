"""DistilledClassifier: a neural network taught by a frozen teacher."""

from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skkd.checks import is_auto, refuse, warn
from skkd.config import DistilledConfig
from skkd.data.fit_data import unwrapped_rows
from skkd.data.input_tags import taken_by_both
from skkd.data.masks import fill_mask
from skkd.distillation import TeacherSupervision, check_arguments_of_fit
from skkd.estimators.base import all_or_nothing, runs_one_epoch_at_a_time
from skkd.estimators.neural import NeuralClassifier
from skkd.estimators.prediction import without_array_api
from skkd.preprocessing.encodings import without_teacher
from skkd.teachers.predict_proba import WeakTeacherWarning, freeze, input_tags_of, is_fitted

__all__ = ["DistilledClassifier"]


def _learns_in_parts(estimator):
    """Whether `partial_fit` makes sense."""
    if estimator.fit_teacher:
        allowed = "False for partial_fit, whose batches teach no teacher"
        refuse("fit_teacher", estimator.fit_teacher, allowed, AttributeError)
    if estimator.soft_labels in ("out_of_bag", "out_of_fold"):
        allowed = "'auto' or 'in_sample' for partial_fit, whose batches are but parts of the rows"
        refuse("soft_labels", estimator.soft_labels, allowed, AttributeError)
    return runs_one_epoch_at_a_time(estimator)


class DistilledClassifier(NeuralClassifier):
    r"""A neural network taught by a fitted classifier.

    .. math::
        L = (1 - \alpha)\, CE(y, z)
            + \alpha\, T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    `alpha` weights the **teacher**: with ``alpha=0`` the network learns from the labels
    ``y`` alone, and is bit for bit a :class:`NeuralClassifier` of the same seed; with
    ``alpha=1`` it learns from the teacher alone. ``z`` are its logits, ``t`` the
    teacher's: the logarithm of its probabilities, which is a logit vector because
    softmax ignores shifts.

    .. warning::
        A frozen teacher that was fitted on all rows has seen the held-out rows of every
        cross-validation fold, and tells the student about them: the scores are too
        good. Only ``fit_teacher=True``, which fits a clone of the teacher on the rows
        of each `fit`, gives an honest score (the epoch of `early_stopping` is still
        chosen on rows that the teacher saw, unless they come as `X_val`).

    Parameters
    ----------
    teacher : object, default=None
        A fitted classifier with `predict_proba` (or `decision_function`), a torch module
        that gives logits, a function of X that returns probabilities, or a list of
        (teacher, weight). It sees the caller's own X, which it cannot change: it gets a
        read-only view or, where it needs to write or uses torch, a copy. It is never fitted
        nor changed, and is shared by `clone`, not unfitted. In a grid over teachers wrap each
        in ``sklearn.frozen.FrozenEstimator``. None needs `teacher_proba` in `fit`.
    temperature : float, default=1.0
        ``T``: above 1 the teacher's small probabilities weigh more.
    alpha : float in [0, 1] or "auto", default="auto"
        Weight of the teacher. It never means L2: that is `weight_decay`. "auto" holds out
        rows of a table of at least 200, fits to the others with labels alone, with
        ``alpha=0.5``, and with a transfer set; the one with the lowest log-loss of true
        labels is fitted again, to all rows, and its probabilities are calibrated on the
        held-out ones (not with `early_stopping`). Without `X_val`, a transfer set that was not
        asked for must be better by a quarter than labels alone, or, where the teacher was
        better than these, by a twentieth than the teacher: one that was fitted on the held-out
        rows tells of them. On fewer than 3,000 rows nobody is trained for longer than suits labels
        alone, either. Not so where clones of the teacher may be fitted without these rows
        (`fit_teacher`, or `soft_labels` out of fold): they answer in the choice. For fewer
        than 200 rows it is .5.
    teacher_loss : str or object of skkd.losses, default="kl"
        The distance between student and teacher: "kl", "reverse_kl", "jensen_shannon",
        "logit_mse", "brier", "dkd" (decoupled KL divergence) or "dist" (correlation), see
        :data:`skkd.losses.TEACHER_LOSSES`; or an object with settings, such as
        ``skkd.losses.DKD(beta=2.0)``, which can be searched as ``teacher_loss__beta``. They
        differ in size, so another loss needs another `alpha`.
    augment : "auto", "munge", "spunge", "gibbs", sampler, callable or None, default="auto"
        How synthetic rows are made, which the teacher labels: see :mod:`skkd.transfer`. In
        each epoch come as many of them as there are rows with labels. "auto" takes MUNGE
        for tables of at least 200 rows if that helps on held-out rows, and none where
        the teacher cannot be asked, for sparse matrices and for custom modules.
    augment_size : int, "auto" or "fresh", default="auto"
        Synthetic rows; "auto" makes ten for each row, but at most 100,000, or as many as
        there are rows. "fresh" makes others for each epoch, which are not kept: no more
        memory than for one epoch, but the teacher is asked in each. Not with `X_unlabeled`
        or `module`.
    augment_seconds : float, default=None
        No more rows are made and labelled after so many seconds (with "fresh" the last ones
        serve again), which the transfer sets that are compared share. The clock then
        decides what is learned, not the seed alone.
    soft_labels : {"auto", "in_sample", "out_of_bag", "out_of_fold"}, default="auto"
        What the teacher says of the rows of `fit`: "in_sample" asks it, "out_of_bag" those
        members of a fitted forest that did not see the row (these must be the rows it was
        fitted on), "out_of_fold" clones of it, each fitted to four fifths of the rows. A
        teacher that keeps its rows in memory, such as TabPFN, needs "out_of_fold". "auto"
        is "in_sample".
    calibrate_teacher : bool, default=False
        Whether its logits are divided by the temperature at which its log-loss of the
        labels is lowest. Wants soft labels of rows that it has not seen.
    proba_floor : float in (0, 1), default=1e-7
        Smallest probability of the teacher before its logarithm. Forests give exact
        zeros; with ``temperature > 1`` the floor decides how soft they become. It acts on
        the softmax of a decision function, too.
    fit_teacher : bool, default=False
        Fit a clone of the teacher (fitted, frozen or not) on the rows of each `fit`,
        with the sample weights; `class_weight` acts on the student alone. Further clones,
        one to three, are fitted without the rows that something is chosen by. The random
        states in it that are None are seeded from `random_state`.
    on_class_mismatch : {"raise", "teacher", "intersect"}, default="raise"
        What to do where teacher and `y` know different classes: refuse, take the
        teacher's classes, or those of `y`.
    teacher_batch_size : int, default=None
        Rows per question to the teacher; None asks once. With `verbose` a bar shows how
        far it is.
    memory : str, path, joblib.Memory or None, default=None
        Where answers (with `fit_teacher` also the fitted teachers) are kept between
        processes and sessions: for searches with `n_jobs`. They are pickles, and **a pickle
        that is planted there runs**: a folder is made for you alone, and refused if others can
        write to it; a joblib.Memory is taken as it is. Without it this process
        remembers the last ones: a search asks a teacher once for each set of rows, and
        with ``fit_teacher=True`` and an integer `random_state` fits one for each.
    hidden_layer_sizes : int, sequence of int or "auto", default="auto"
        Units of each hidden layer. This and what follows: see :class:`NeuralClassifier`.
    activation : str, default="auto"
    preset : {"tabular", "plain"}, default="tabular"
        What "auto" means.
    module : class or callable, default=None
        A torch module, or what builds one, in place of the built-in network.
    init : str or skkd.initializers.Initializer, default="auto"
        How weights start; "auto" suits the activation.
    bias_init : "zeros", float, initializer or "auto", default="auto"
    parametrization : {"standard", "ntk", "auto"}, default="auto"
        "ntk" has a learning rate for each layer.
    feature_scale : bool or "auto", default="auto"
        Whether a scale of each feature is learned.
    batch_norm : bool, default=False
        BatchNorm in front of each activation.
    dropout : float, sequence of float or "auto", default="auto"
        Probability that a hidden unit is dropped.
    dropout_decay : str or skkd.schedules.Schedule, default="auto"
        How that probability falls during training; schedules as for `lr_decay`, but for
        "plateau".
    label_smoothing : float in [0, 1) or "auto", default="auto"
        Acts on the label term only. "auto" is 0 where a network of layers up to 64
        units has a teacher.
    optimizer : {"sgd", "adam", "adamw", "rmsprop"} or class, default="adam"
    learning_rate : float or "auto", default="auto"
    momentum : float in [0, 1), default=0.9
        Of "sgd" and "rmsprop".
    nesterov : bool, default=True
        Nesterov's momentum, of "sgd".
    weight_decay : float or "auto", default="auto"
        L2 penalty of weights, also for an optimiser without a weight decay of its own.
    max_grad_norm : float, default=None
        Gradients longer than this are shortened to it.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        How the learning rate falls: "cosine", "step" and others, or an object. "plateau"
        lowers it when the loss stands still, and ends training at a floor.
    batch_size : int or "auto", default="auto"
        No more than there are rows.
    shuffle : bool, default=True
    max_epochs : int or "auto", default="auto"
    early_stopping : bool, default=False
        Watches the log-loss of true labels, whatever `alpha`, and keeps the best epoch, of
        which the initial weights are one.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out, by early stopping or to choose `alpha`,
        `max_epochs` and `numeric_encoding` by, unless `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
    tol : float, default=1e-4
        Training stops after `n_iter_no_change` epochs that gain less than `tol`, but not if
        `lr_decay` is "plateau", which has a patience of its own.
    class_weight : dict, "balanced" or None, default=None
        Times `sample_weight`; weights act on both terms. They do not change what the teacher
        says: a teacher that was fitted without them pulls the student back, and with
        ``alpha=1`` they hardly matter. Give them to the teacher, too.
    preprocessor : {"auto", "robust", "standard"}, None or transformer, default="auto"
        What the student sees of X; the teacher sees X as it is. A transformer cannot change X
        either.
    numeric_encoding : str, skkd.preprocessing.encodings.PiecewiseLinear or None, default="auto"
        As for :class:`NeuralClassifier`; "teacher_bins" spreads numbers over bins between the
        thresholds at which the teacher's trees split them. "auto" tries that in place of
        "piecewise_linear" where the teacher is made of trees.
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        Columns that are encoded one-hot. A value of another type than in `fit` (1 for "1",
        "True" for True) is the category that reads the same, if only one does; a column
        without a known category is warned of.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit, with the same classes: with
        ``on_class_mismatch="teacher"`` those of the teacher.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        As for :class:`NeuralClassifier`; pairs ``(name, callback)`` can be searched.
    verbose : int, default=0
        1 shows progress, the teacher's too; 2 also a line per epoch.
    device : str, default="cpu"
        Of the student's training; "auto" takes a GPU where there is one.
    dtype : {"float32", "float64"}, default="float32"
    n_threads : int, default=None
        torch's threads in `fit`, at most the machine's logical cores. More than one slows
        small networks down.
    random_state : int, RandomState or None, default=None
        With `fit_teacher` it also seeds the teacher; only an int lets teachers be remembered.
    **module__and_optimizer__
        ``module__*`` and ``optimizer__*``, the arguments of `module` and `optimizer`.

    Attributes
    ----------
    teacher_ : object
        The teacher that was asked; None with `teacher_proba`. Treat it as read-only: a
        teacher fitted here is remembered, and may be the very object that other
        estimators of a search hold.
    alpha_ : float
        The weight that the teacher had; 0 where labels alone were better.
    candidate_ : str
        What was learned from: "labels", "teacher" or "transfer set" (and labels, but for
        ``alpha=1``).
    candidate_losses_ : dict of str to float, or None
        Log-loss on held-out rows of what was compared: "labels", "teacher" and "transfer
        set", as of when it dropped out. Not always was the lowest taken: see `alpha`. None
        where nothing was compared.
    held_out_losses_ : dict of int to float, or None
        The same of what was taken, by number of epochs.
    n_transfer_rows_ : int
        Rows that the teacher alone has labelled, synthetic or from `X_unlabeled`.
    teacher_temperature_ : float
        1 without `calibrate_teacher`.
    teacher_seconds_ : float
        What the teacher took, to be fitted and asked.
    teacher_agreement_ : float
        The balanced accuracy of its soft labels on the rows of `fit`.
    student_ : NeuralClassifier
        The network alone, fitted, without any reference to the teacher: what to ship.
    classes_, n_features_in_, n_iter_, n_steps_, history_, network_, module_, ...
        See :class:`NeuralClassifier`. Where a transfer set was chosen, the first half of the
        epochs may be those of the choice, without the rows that were held out.

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
        """Ask the teacher about the rows, and fit the network.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            The teacher sees it as it is, but for masked entries of a masked array, which
            are missing values.
        y : array-like of shape (n_rows,)
            Labels as of :meth:`NeuralClassifier.fit`.
        sample_weight : array-like of shape (n_rows,), default=None
        teacher_proba : array-like or DataFrame of shape (n_rows, n_classes), default=None
            Answers that the teacher gave earlier, in the order of the sorted labels, or
            in columns that are named after them; they win over `teacher`. A row of zeros
            says nothing, and is learned from its label. Pipelines and searches hand them on
            and slice them, as they do weights.
        X_unlabeled : like X, default=None
            Rows without labels, of any number: the teacher labels them. They are worth
            several times as many synthetic ones. In a search give ``(X_unlabeled,)``. With
            ``alpha="auto"`` they are left out where held-out rows speak against them (see
            `candidate_`), with ``alpha=0`` always.
        X_val, y_val : like X and y, default=None
            See :meth:`NeuralClassifier.fit`.

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        with all_or_nothing(self) as working, without_array_api():
            X_unlabeled = fill_mask(unwrapped_rows(X_unlabeled))
            working._fit(X, y, sample_weight, X_val, y_val, teacher_proba, X_unlabeled)
        return self

    def _fit(self, X, y, sample_weight, X_val, y_val, teacher_proba, X_unlabeled):
        config = DistilledConfig.from_parameters(self.get_params(deep=False))
        check_arguments_of_fit(config, teacher_proba, X_unlabeled)
        goes_on = self._goes_on()
        given = self._read_all(X, y, sample_weight)
        supervision = TeacherSupervision(
            config,
            given,
            teacher_proba,
            X_unlabeled,
            alpha=self._alpha_of_last_fit() if goes_on else None,
            goes_on=goes_on,
        )
        data = self._fit_data(config, given, supervision, X_val, y_val)
        plan, dataset = self._fit_supervised(
            config, given, data, supervision, y=y, sample_weight=sample_weight
        )
        self._publish_teacher(supervision)
        self._publish_candidate(plan, dataset)

    @available_if(_learns_in_parts)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, teacher_proba=None):
        """Train for one epoch on some rows, going on from the last call.

        With `early_stopping`, `fit_teacher` or out-of-sample `soft_labels` there is no such
        method. No rows are made, whatever `augment` says.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; required in the first call.
        sample_weight : array-like of shape (n_rows,), default=None
        teacher_proba : array-like of shape (n_rows, n_classes), default=None

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        with all_or_nothing(self) as working, without_array_api():
            working._partial_fit(X, y, classes, sample_weight, teacher_proba)
        return self

    def _partial_fit(self, X, y, classes, sample_weight, teacher_proba):
        config = DistilledConfig.from_parameters(self.get_params(deep=False), in_parts=True)
        check_arguments_of_fit(config, teacher_proba, None)
        goes_on = self.__sklearn_is_fitted__()
        given = self._read_part(X, y, classes, sample_weight)
        alpha = self._alpha_of_last_fit() if goes_on else None
        supervision = TeacherSupervision(
            config, given, teacher_proba, alpha=alpha, goes_on=goes_on, remember=False
        )
        self._train_one_epoch(config, given, supervision)
        self._publish_teacher(supervision)
        self.alpha_ = supervision.alpha
        self.candidate_ = "teacher" if self.alpha_ > 0 else "labels"
        self.candidate_losses_, self.n_transfer_rows_ = None, 0

    @property
    def student_(self):
        """The network alone, as a plain fitted NeuralClassifier."""
        check_is_fitted(self)
        own = set(self._get_param_names()) - set(NeuralClassifier._get_param_names())
        params = self.get_params(deep=False)
        params["numeric_encoding"] = without_teacher(self.numeric_encoding)
        student = NeuralClassifier(**{k: v for k, v in params.items() if k not in own})
        left_behind = (
            "teacher_",
            "teacher_agreement_",
            "teacher_temperature_",
            "teacher_seconds_",
            "alpha_",
            "candidate_",
            "candidate_losses_",
            "n_transfer_rows_",
            "training_state_",
        )
        fitted = {k: v for k, v in vars(self).items() if k.endswith("_")}
        vars(student).update({k: v for k, v in fitted.items() if k not in left_behind})
        student.history_ = list(self.history_)
        return student

    def set_params(self, **params):
        """Set parameters, of nested objects too; not of a teacher that is frozen.

        Parameters
        ----------
        **params : object

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        teacher = params.get("teacher", self.teacher)
        fits = params.get("fit_teacher", self.fit_teacher)
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

    def _alpha_of_last_fit(self):
        """The weight of the teacher in the last fit, if it was left open; else None."""
        return getattr(self, "alpha_", None) if is_auto(self.alpha) else None

    def _publish_teacher(self, supervision):
        """Set the fitted attributes about the teacher."""
        self.teacher_ = None if supervision.teacher is None else supervision.teacher.model
        self.teacher_agreement_ = supervision.agreement
        self.teacher_temperature_ = supervision.temperature
        self.teacher_seconds_ = supervision.clock.seconds

    def _publish_candidate(self, plan, dataset):
        """Set what was selected."""
        self.alpha_ = plan.candidate.alpha
        self.candidate_ = plan.candidate.name
        self.n_transfer_rows_ = dataset.n_transfer_rows
        self.candidate_losses_ = None
        if plan.choice is not None and len(plan.choice.trials) > 1:
            self.candidate_losses_ = plan.choice.losses_by_name
            self._warn_of_weak_teacher(plan.choice)

    def _warn_of_weak_teacher(self, choice):
        """Warn where a teacher knows no more of held-out rows than a network by itself."""
        by_itself = choice.trials.get("labels")
        if not is_auto(self.alpha) or by_itself is None or choice.teacher_logits is None:
            return
        loss, is_worse = by_itself.against(choice.teacher_logits)
        if is_worse:
            advice = "A better teacher may help, or more rows for it to label (X_unlabeled)."
            if choice.candidate.alpha > 0:
                advice = f"The student that listens has {choice.loss:.4g} all the same."
            warn(
                "on held-out rows the teacher is no better than the network by itself: its "
                f"log-loss is {loss:.4g}, that of the labels alone {by_itself.loss:.4g}. {advice}",
                WeakTeacherWarning,
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.teacher is None:
            return tags
        own = tags.input_tags
        tags.input_tags = taken_by_both(own, input_tags_of(self.teacher))  # both see X in fit
        if self.__sklearn_is_fitted__():  # what predicts is the network, which asks no teacher
            for name in ("sparse", "allow_nan", "positive_only"):
                setattr(tags.input_tags, name, getattr(own, name))
        return tags

    def __sklearn_clone__(self):
        # scikit-learn's clone would unfit a fitted teacher: share it instead.
        shares = not self.fit_teacher and self.teacher is not None
        if not shares or isinstance(self.teacher, FrozenEstimator) or not is_fitted(self.teacher):
            return super().__sklearn_clone__()
        frozen = self.__class__.__new__(self.__class__)
        vars(frozen).update(vars(self) | {"teacher": freeze(self.teacher)})
        return super(DistilledClassifier, frozen).__sklearn_clone__()
