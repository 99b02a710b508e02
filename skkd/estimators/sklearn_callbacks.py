"""scikit-learn's own callbacks (1.9 and later), called before and after every epoch."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has none: a mixin that adds nothing

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochCallbacks", "with_callbacks"]


class EpochCallbacks:
    """Calls the callbacks set by ``estimator.set_callbacks`` before and after every epoch.

    Parameters
    ----------
    estimator : estimator
    n_epochs : int
        The most that can come.
    given : dict
        "X", "y" and "metadata", which the hooks may ask for.
    """

    def __init__(self, estimator, n_epochs, given):
        self.estimator = estimator
        self.given = given
        self.root = estimator._init_callback_context(max_subtasks=n_epochs)
        self.root.call_on_fit_task_begin(estimator=estimator, **self.given)

    @classmethod
    def of(cls, estimator, n_epochs, given):
        """The callbacks of an estimator, or None where scikit-learn has none."""
        if not hasattr(estimator, "_init_callback_context"):
            return None
        return cls(estimator, n_epochs, given)

    def begin_epoch(self):
        """Begin an epoch."""
        self.epoch = self.root.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.given)

    def end_epoch(self, fitted_attributes):
        """End an epoch.

        Parameters
        ----------
        fitted_attributes : callable
            Returns what a copy of the estimator needs to predict as of now.

        Returns
        -------
        bool
            Whether a callback asks to stop.
        """
        return self.epoch.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.given
        )

    def end(self, fitted_attributes):
        """End the fit."""
        self.root.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.given
        )
