"""The base class of the estimators: parameters, tags, copies, pickles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skkd import __version__
from skkd.callbacks import PREFIX, link_as, parameters_by_name, with_parameters
from skkd.checks import refuse, warn
from skkd.data.input_tags import tags_of_preprocessor
from skkd.doc_links import DocLinkMixin
from skkd.estimators.options import OBJECTS, OPTION_PREFIXES, set_options
from skkd.estimators.sklearn_callbacks import CallbackSupportMixin

__all__ = ["BaseNeuralEstimator", "all_or_nothing", "has_partial_fit"]


def has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise an AttributeError if a parameter rules `partial_fit` out.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    bool
    """
    if estimator.early_stopping:
        refuse(
            "early_stopping",
            estimator.early_stopping,
            "False for partial_fit, which runs one epoch per call",
            AttributeError,
        )
    return True


class BaseNeuralEstimator(CallbackSupportMixin, DocLinkMixin, BaseEstimator):
    """Base class of neural networks as scikit-learn estimators, with or without a teacher."""

    module: Any
    preprocessor: Any
    categorical_features: Any
    class_weight: Any
    dtype: Any
    early_stopping: Any
    warm_start: Any
    callbacks: Any
    random_state: Any

    network_: Any
    classes_: np.ndarray
    history_: list[dict]
    best_epoch_: int | None
    n_steps_: int

    def get_params(self, deep=True):
        """The parameters of the constructor, including ``module__*`` and ``optimizer__*``.

        With ``deep=True`` the result also has the named callbacks, as ``callbacks__<name>``, and
        their parameters, as ``callbacks__<name>__<parameter>``.

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
        return params | options | (parameters_by_name(self.callbacks) if deep else {})

    def set_params(self, **params):
        """Set parameters, also those of nested objects.

        ``callbacks__<name>`` sets a named callback (None or "disable" disables it), and
        ``callbacks__<name>__<parameter>`` sets one parameter of a named callback.

        Parameters
        ----------
        **params : object

        Returns
        -------
        NeuralClassifier
            Itself.
        """
        options = {k: params.pop(k) for k in list(params) if k.startswith(OPTION_PREFIXES)}
        of_callbacks = {k: params.pop(k) for k in list(params) if k.startswith(PREFIX)}
        for name, value in params.items():
            owner, _, setting = name.partition("__")
            current = params.get(owner, getattr(self, owner, None))
            if setting and (isinstance(current, str) or (current is None and owner in OBJECTS)):
                where = f", of {OBJECTS[owner]}" if owner in OBJECTS else ""
                allowed = f"{owner} as an object with that setting{where}, not {current!r}"
                refuse(name, value, allowed)
        super().set_params(**params)
        set_options(self, options)
        if of_callbacks:
            self.callbacks = with_parameters(self.callbacks, of_callbacks)
        return self

    def __sklearn_is_fitted__(self):
        return "network_" in vars(self)

    def __sklearn_clone__(self):
        cloned = super().__sklearn_clone__()
        link_as(self.callbacks, cloned.callbacks)
        return cloned

    def __getstate__(self):
        return {**super().__getstate__(), "_skkd_version": __version__}

    def __setstate__(self, state):
        version = state.pop("_skkd_version", __version__)
        if version != __version__ and "network_" in state:
            warn(
                f"this {type(self).__name__} was fitted by skkd {version}, this is {__version__}: "
                "its predictions may differ. Fit it again, or install that version."
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.__sklearn_is_fitted__():  # predict reads X as the fitted preprocessor needs it
            tags.input_tags = tags_of_preprocessor(self.network_.preprocessor.reads_as)
        else:
            tags.input_tags = tags_of_preprocessor(self.preprocessor, self.categorical_features)
        if isinstance(self.preprocessor, (str, type(None))):
            tags.input_tags.three_d_array = self.module is not None
        return tags


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[Any]:
    """Context with a working copy of an estimator, to fit in place of the estimator itself.

    At the end of the context the estimator gets all changed attributes of the copy at once. Until
    then, and after an error, it is unchanged, so that other threads can predict with it.

    Parameters
    ----------
    estimator : estimator

    Yields
    ------
    estimator
        The working copy.
    """
    cls: Any = type(estimator)
    working = cls.__new__(cls)
    vars(working).update(vars(estimator))
    before, after = dict(vars(working)), vars(working)
    yield working
    new = {k: v for k, v in after.items() if k not in before or before[k] is not v}
    kept = {k: v for k, v in vars(estimator).items() if k not in before or k in after}
    estimator.__dict__ = kept | new  # a single assignment: other threads see all or nothing
