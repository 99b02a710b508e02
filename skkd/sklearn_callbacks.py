"""scikit-learn's own callbacks (1.9 and later), told of every epoch."""

from skkd.callback_list import running

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has none: a mixin that adds nothing

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochCallbacks", "hears_epochs", "with_callbacks"]


def hears_epochs(estimator):
    """Whether somebody wants to be told of every epoch: scikit-learn's callbacks, or skorch's.

    Parameters
    ----------
    estimator : NeuralClassifier

    Returns
    -------
    bool
    """
    return bool(running(estimator.callbacks) or getattr(estimator, "_skl_callbacks", None))


class EpochCallbacks:
    """Tell the callbacks set by ``estimator.set_callbacks`` of every epoch.

    Parameters
    ----------
    estimator : estimator
    n_epochs : int
        The most that can come.
    task : skkd.task.Task
        Its rows, labels and weights are what the hooks may ask for.
    """

    def __init__(self, estimator, n_epochs, task):
        self.estimator = estimator
        self.task = {"X": task.X, "y": task.y, "metadata": {"sample_weight": task.sample_weight}}
        self.root = estimator._init_callback_context(max_subtasks=n_epochs)
        self.root.call_on_fit_task_begin(estimator=estimator, **self.task)

    @classmethod
    def of(cls, estimator, n_epochs, task):
        """The callbacks of an estimator, or None where nobody could be told."""
        if not hasattr(estimator, "_init_callback_context"):
            return None
        return cls(estimator, n_epochs, task)

    def begin_epoch(self):
        """Begin an epoch."""
        self.epoch = self.root.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.task)

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
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.task
        )

    def end(self, fitted_attributes):
        """End the fit."""
        self.root.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted_attributes, **self.task
        )
