"""scikit-learn's own callbacks (1.9 and later), called before and after every epoch."""

from collections.abc import Callable
from typing import Any, Self

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has none: a mixin that adds nothing

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An empty mixin, for a scikit-learn without callbacks."""

    def with_callbacks(method):
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "EpochCallbacks", "with_callbacks"]


class EpochCallbacks:
    """Calls the callbacks set by ``estimator.set_callbacks`` before and after every epoch.

    Parameters
    ----------
    estimator : estimator
    n_epochs : int
        Upper bound of the number of epochs.
    given : dict
        "X", "y" and "metadata", for callbacks that need them.
    """

    def __init__(self, estimator: Any, n_epochs: int, given: dict[str, Any]) -> None:
        self.estimator = estimator
        self.given = given
        self.root = estimator._init_callback_context(max_subtasks=n_epochs)
        self.root.call_on_fit_task_begin(estimator=estimator, **self.given)

    @classmethod
    def of(cls, estimator: Any, n_epochs: int, given: dict[str, Any]) -> Self | None:
        """Make an instance for an estimator; None if this scikit-learn has no callbacks."""
        if not hasattr(estimator, "_init_callback_context"):
            return None
        return cls(estimator, n_epochs, given)

    def begin_epoch(self) -> None:
        """Call the callbacks before an epoch."""
        self.epoch = self.root.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.given)

    def end_epoch(self, fitted_attributes: Callable[[], dict[str, Any]]) -> bool:
        """Call the callbacks after an epoch.

        Parameters
        ----------
        fitted_attributes : callable
            Returns the attributes that a copy of the estimator needs to predict.

        Returns
        -------
        bool
            Whether a callback asks to stop.
        """
        return self.epoch.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.given
        )

    def end(self, fitted_attributes: dict[str, Any]) -> None:
        """Call the callbacks after the last epoch.

        Parameters
        ----------
        fitted_attributes : dict
            The attributes that a copy of the estimator needs to predict.
        """
        self.root.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.given
        )
