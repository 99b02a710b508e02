"""DistilledClassifier: a neural network taught by a frozen teacher."""

import numbers
import os

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skkd.inputs import count_rows, encode
from skkd.neural import (
    NeuralClassifier,
    all_or_nothing,
    runs_one_epoch_at_a_time,
    without_array_api,
)
from skkd.parameters import check_flag, check_integer, check_number, check_option, refuse
from skkd.soft_labels import align, check_probabilities, in_order, mix, named_columns
from skkd.teacher_cache import as_memory
from skkd.teacher_fitting import fit_and_hear
from skkd.teachers import (
    Opinion,
    agreement_with,
    freeze,
    hear,
    input_tags_of,
    is_fitted,
    unwrapped,
)

__all__ = ["DistilledClassifier"]


def _learns_in_parts(estimator):
    """Whether `partial_fit` makes sense."""
    if estimator.fit_teacher:
        allowed = "False for partial_fit, whose batches teach no teacher"
        refuse("fit_teacher", estimator.fit_teacher, allowed, AttributeError)
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
        of each `fit`, gives an honest score (early stopping then still watches rows
        that the teacher saw, unless they come as `X_val`).

    Parameters
    ----------
    teacher : object, default=None
        A fitted classifier with `predict_proba` (or `decision_function`), a torch module
        that gives logits, a function of X that returns probabilities, or a list of
        (teacher, weight). It sees the caller's own X, is never fitted nor changed, and
        is shared by `clone`, not unfitted. In a grid over teachers wrap each in
        ``sklearn.frozen.FrozenEstimator``. None needs `teacher_proba` in `fit`.
    temperature : float, default=1.0
        ``T``: above 1 the teacher's small probabilities weigh more.
    alpha : float in [0, 1], default=0.5
        Weight of the teacher. It never means L2: that is `weight_decay`.
    proba_floor : float in (0, 1), default=1e-7
        Smallest probability of the teacher before its logarithm. Forests give exact
        zeros; with ``temperature > 1`` the floor decides how soft they become. It acts on
        the softmax of a decision function, too.
    fit_teacher : bool, default=False
        Fit a clone of the teacher (fitted, frozen or not) on the rows of each `fit`,
        with the sample weights; `class_weight` acts on the student alone. The random
        states in it that are None are seeded from `random_state`.
    on_class_mismatch : {"raise", "teacher", "intersect"}, default="raise"
        What to do where teacher and `y` know different classes: refuse, take the
        teacher's classes, or those of `y`.
    teacher_batch_size : int, default=None
        Rows per question to the teacher; None asks once. With `verbose` a bar shows how
        far it is.
    memory : str, path, joblib.Memory or None, default=None
        Where answers (with `fit_teacher` also the fitted teachers) are kept between
        processes and sessions: for searches with `n_jobs`. Without it this process
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
        How that probability falls during training; schedules as for `lr_decay`.
    label_smoothing : float in [0, 1) or "auto", default="auto"
        Acts on the label term only.
    optimizer : {"sgd", "adam", "adamw", "rmsprop"} or class, default="adam"
    learning_rate : float or "auto", default="auto"
    momentum : float in [0, 1), default=0.9
        Of "sgd" and "rmsprop".
    nesterov : bool, default=True
        Nesterov's momentum, of "sgd".
    weight_decay : float or "auto", default="auto"
        L2 penalty of weights.
    max_grad_norm : float, default=None
        Gradients longer than this are shortened to it.
    lr_decay : str or skkd.schedules.Schedule, default="auto"
        How the learning rate falls: "cosine", "step" and others, or an object.
    batch_size : int or "auto", default="auto"
        No more than there are rows.
    shuffle : bool, default=True
    max_epochs : int or "auto", default="auto"
    early_stopping : bool, default=False
        Watches the log-loss of true labels, whatever `alpha`, and keeps the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Rows that early stopping holds out, unless `fit` gets `X_val`.
    n_iter_no_change : int or None, default=10
    tol : float, default=1e-4
        Training stops after `n_iter_no_change` epochs that gain less than `tol`.
    class_weight : dict, "balanced" or None, default=None
        Times `sample_weight`; weights act on both terms.
    preprocessor : {"auto", "robust", "standard"}, None or transformer, default="auto"
        What the student sees of X; the teacher sees X as it is.
    categorical_features : "from_dtype", or array-like, default="from_dtype"
        Columns that are encoded one-hot.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit.
    callbacks : list of skorch callbacks, default=None
    verbose : int, default=0
        1 shows progress, the teacher's too; 2 also a line per epoch.
    device : str, default="cpu"
        Of the student's training; "auto" takes a GPU where there is one.
    dtype : {"float32", "float64"}, default="float32"
    n_threads : int, default=None
        torch's threads in `fit`.
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
    teacher_agreement_ : float
        The balanced accuracy of its soft labels on the rows of `fit`.
    student_ : NeuralClassifier
        The network alone, fitted, without any reference to the teacher: what to ship.
    classes_, n_features_in_, n_iter_, history_, network_, module_, ...
        See :class:`NeuralClassifier`.

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
        alpha=0.5,
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
        self.proba_floor = proba_floor
        self.fit_teacher = fit_teacher
        self.on_class_mismatch = on_class_mismatch
        self.teacher_batch_size = teacher_batch_size
        self.memory = memory

    def fit(self, X, y, sample_weight=None, *, teacher_proba=None, X_val=None, y_val=None):
        """Ask the teacher about the rows, and fit the network.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_features)
            The teacher sees it as it is.
        y : array-like of shape (n_rows,)
        sample_weight : array-like of shape (n_rows,), default=None
        teacher_proba : array-like or DataFrame of shape (n_rows, n_classes), default=None
            Answers that the teacher gave earlier, in the order of the sorted labels, or
            in columns that are named after them; they win over `teacher`. Pipelines and
            searches hand them on and slice them, as they do weights.
        X_val, y_val : like X and y, default=None
            See :meth:`NeuralClassifier.fit`.

        Returns
        -------
        DistilledClassifier
            Itself.
        """
        with all_or_nothing(self), without_array_api():
            return self._fit(X, y, sample_weight, X_val, y_val, teacher_proba=teacher_proba)

    @available_if(_learns_in_parts)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, teacher_proba=None):
        """Train for one epoch on some rows, going on from the last call.

        With `early_stopping` or `fit_teacher` there is no such method.

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
        with all_or_nothing(self), without_array_api():
            taught = {"teacher_proba": teacher_proba, "remember": False}
            return self._partial_fit(X, y, classes, sample_weight, **taught)

    @property
    def student_(self):
        """The network alone, as a plain fitted NeuralClassifier."""
        check_is_fitted(self)
        own = set(self._get_param_names()) - set(NeuralClassifier._get_param_names())
        params = self.get_params(deep=False)
        student = NeuralClassifier(**{k: v for k, v in params.items() if k not in own})
        left_behind = ("teacher_", "teacher_agreement_", "training_state_")
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

    def _make_targets(self, X, y, classes, sample_weight, seed, teacher_proba=None, remember=True):
        self._check_own_settings()
        own_classes, _ = encode(y, classes)  # complains before a teacher costs anything
        if teacher_proba is None:
            teacher, opinions = self._hear_teacher(X, y, sample_weight, seed, remember)
        else:
            teacher, opinions = None, [_read_answers(teacher_proba, own_classes, count_rows(X))]
        if self.on_class_mismatch == "teacher" and classes is None:
            classes = _classes_of(opinions, own_classes)
        classes, codes = encode(y, classes)
        soft_labels = mix(
            [
                align(o.probabilities, o.classes, classes, self.on_class_mismatch, o.whose)
                for o in opinions
            ],
            [o.weight for o in opinions],
        )
        silent = soft_labels.sum(axis=1) == 0
        weights = ~silent * (1.0 if sample_weight is None else sample_weight)
        fitted_here = teacher is not None and self.fit_teacher
        self.teacher_ = teacher
        self.teacher_agreement_ = agreement_with(soft_labels, codes, weights, fitted_here)
        soft_labels[silent, codes[silent]] = 1.0  # nothing to say of these but their label
        teacher_logits = np.log(np.maximum(soft_labels, self.proba_floor))
        return classes, {"labels": codes, "teacher_logits": teacher_logits}

    def _make_criterion(self, settings):
        from skkd.criteria import TaughtLoss

        if self.alpha == 0:
            return super()._make_criterion(settings)
        return TaughtLoss(self.temperature, self.alpha, settings.label_smoothing)

    def _is_calibrated(self):
        return self.alpha == 0 and super()._is_calibrated()

    def _hear_teacher(self, X, y, sample_weight, seed, remember):
        """The teacher that was asked, and what it says of the rows."""
        if self.teacher is None:
            refuse("teacher", None, "a fitted classifier, or teacher_proba in fit")
        settings = {
            "batch_size": self.teacher_batch_size,
            "progress": bool(self.verbose),
            "memory": as_memory(self.memory),
        }
        if self.fit_teacher:
            # Without an integer seed no two fits ask for the same teacher.
            remember = isinstance(self.random_state, numbers.Integral)
            settings |= {"remember": remember, "seed": seed}
            return fit_and_hear(self.teacher, X, y, sample_weight, **settings)
        not_fitted = ValueError(
            "teacher is not fitted. Fit it first; inside of a grid over teachers, which "
            "unfits them, wrap each fitted one in sklearn.frozen.FrozenEstimator; or set "
            "fit_teacher=True to have a clone of it fitted on the rows of each fit."
        )
        if not is_fitted(self.teacher):
            raise not_fitted
        try:
            return unwrapped(self.teacher), hear(self.teacher, X, remember=remember, **settings)
        except NotFittedError as error:
            raise not_fitted from error

    def _check_own_settings(self):
        check_number("temperature", self.temperature, low=0, low_open=True)
        check_number("alpha", self.alpha, low=0, high=1)
        check_number("proba_floor", self.proba_floor, low=0, high=1, low_open=True, high_open=True)
        check_flag("fit_teacher", self.fit_teacher)
        options = ("raise", "teacher", "intersect")
        check_option("on_class_mismatch", self.on_class_mismatch, options)
        if self.teacher_batch_size is not None:
            check_integer("teacher_batch_size", self.teacher_batch_size, low=1)
        is_place = isinstance(self.memory, (str, os.PathLike)) and self.memory != ""
        if not (self.memory is None or is_place or hasattr(self.memory, "cache")):
            refuse("memory", self.memory, "a folder, a joblib.Memory or None")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.teacher is not None:  # in fit it sees the same X
            of_teacher = input_tags_of(self.teacher)
            tags.input_tags.sparse &= of_teacher.sparse
            tags.input_tags.allow_nan &= of_teacher.allow_nan
            tags.input_tags.categorical &= of_teacher.categorical
        return tags

    def __sklearn_clone__(self):
        # scikit-learn's clone would unfit a fitted teacher: share it instead.
        shares = not self.fit_teacher and self.teacher is not None
        if not shares or isinstance(self.teacher, FrozenEstimator) or not is_fitted(self.teacher):
            return super().__sklearn_clone__()
        frozen = self.__class__.__new__(self.__class__)
        vars(frozen).update(vars(self) | {"teacher": freeze(self.teacher)})
        return super(DistilledClassifier, frozen).__sklearn_clone__()


def _read_answers(teacher_proba, classes, n_rows):
    """The caller's own soft labels, as an opinion."""
    probabilities = check_probabilities(teacher_proba, n_rows, name="teacher_proba")
    return Opinion(probabilities, named_columns(teacher_proba, classes), whose="teacher_proba")


def _classes_of(opinions, own_classes):
    """The classes that teachers know, for a student that takes them over."""
    named = [np.asarray(o.classes).tolist() for o in opinions if o.classes is not None]
    known = {label for labels in named for label in labels}
    own = set(own_classes.tolist())
    if not known or known == own:
        return own_classes
    if not own <= known:
        raise ValueError(
            f"y holds {in_order(own - known)}, which no teacher knows ({in_order(known)}): "
            "on_class_mismatch='teacher' wants labels that a teacher knows, 'intersect' those of y."
        )
    try:
        return np.unique(np.asarray(list(known)))
    except TypeError as error:
        raise ValueError(f"teachers know labels of several types: {known}.") from error
