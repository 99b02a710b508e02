"""A progress bar for long fits."""

import os
import threading
from contextlib import suppress
from functools import cache, wraps

__all__ = ["ProgressBar", "bar_class"]


@cache
def bar_class():
    """The bar of tqdm with a lock of our own, which is free again after any error.

    The lock of tqdm itself is one for all bars of the process, and stays taken where Ctrl-C
    or an error of the output comes while a bar is drawn: the next bar of another thread
    would wait for ever.

    Returns
    -------
    subclass of tqdm.auto.tqdm
    """
    from tqdm.auto import tqdm

    class Bar(tqdm):
        _lock = threading.RLock()

        __new__ = _gives_back_the_lock(tqdm.__new__)
        begin = _gives_back_the_lock(tqdm.__init__)
        update = _gives_back_the_lock(tqdm.update)
        end = _gives_back_the_lock(tqdm.close)
        write = classmethod(_gives_back_the_lock(tqdm.write.__func__))

        def __init__(self, *args, **kwargs):
            try:
                self.begin(*args, **kwargs)
            except BaseException:
                self.disable = True  # there is nothing to close
                self._instances.discard(self)
                raise

        def close(self):
            try:
                self.end()
            finally:
                self._instances.discard(self)  # else its line would stay reserved

    if hasattr(os, "register_at_fork"):  # another thread may have held it
        os.register_at_fork(after_in_child=lambda: Bar.set_lock(threading.RLock()))
    return Bar


def _gives_back_the_lock(method):
    """The method; after an error in it, this thread does not hold the lock of the bars."""

    @wraps(method)
    def guarded(bar, *args, **kwargs):
        try:
            return method(bar, *args, **kwargs)
        except BaseException:
            with suppress(RuntimeError):  # raised where this thread does not hold it
                while True:
                    bar._lock.release()
            raise

    return guarded


class ProgressBar:
    """A bar with the losses and metrics of the last epoch.

    Parameters
    ----------
    n_epochs : int or None
        That come; None: nobody knows how many.
    verbose : int
        1 shows the bar, 2 and more also write one line per epoch above it.
    title : str, default=None
        Stands in front of the bar.
    n_before : int, default=0
        Epochs that lie behind.
    """

    def __init__(self, n_epochs, verbose, title=None, n_before=0):
        total = None if n_epochs is None else n_before + n_epochs
        self.bar = bar_class()(total=total, initial=n_before, unit="epoch", desc=title)
        self.verbose = verbose
        self.n_before = n_before

    def on_epoch_end(self, record, title=None):
        """Show an epoch's record: a dict of plain floats; and another title."""
        metrics = {k: value for k, value in record.items() if k not in ("epoch", "seconds")}
        if self.verbose > 1:
            described = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self.bar.write(f"epoch {self.n_before + record['epoch']}: {described}")
        self.bar.update()
        self.show(title, metrics)

    def show(self, title, metrics):
        """Put a title in front, unless it is None, and numbers behind."""
        if title is not None:
            self.bar.set_description_str(title, refresh=False)
        self.bar.set_postfix({k: f"{value:.4g}" for k, value in metrics.items()}, refresh=False)

    def close(self):
        self.bar.close()
