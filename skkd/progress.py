"""A progress bar for long fits."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

__all__ = ["ProgressBar", "bar_class", "titled"]

#: Text in front of the titles of bars, see :func:`titled`.
_prefix: ContextVar[str] = ContextVar("prefix", default="")


@contextmanager
def titled(prefix: str) -> Iterator[None]:
    """Context in which the titles of all progress bars begin with `prefix`."""
    token = _prefix.set(prefix)
    try:
        yield
    finally:
        _prefix.reset(token)


@cache
def bar_class() -> Any:
    """Return a subclass of tqdm with a lock of its own, which is released after any error.

    All bars of tqdm share one lock. If an error or Ctrl-C interrupts the drawing of a bar, tqdm
    does not release the lock, and bars in other threads wait for ever.

    Returns
    -------
    subclass of tqdm.auto.tqdm
    """
    from tqdm.auto import tqdm

    class Bar(tqdm):
        _lock = threading.RLock()

        __new__ = _releases_the_lock(tqdm.__new__)
        begin = _releases_the_lock(tqdm.__init__)
        update = _releases_the_lock(tqdm.update)
        end = _releases_the_lock(tqdm.close)
        write: Any = classmethod(_releases_the_lock(tqdm.write.__func__))

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            try:
                self.begin(*args, **kwargs)
            except BaseException:
                self.disable = True  # there is nothing to close
                self._instances.discard(self)
                raise

        def close(self) -> None:
            try:
                self.end()
            finally:
                self._instances.discard(self)  # else tqdm would keep the line of the bar reserved

    if hasattr(os, "register_at_fork"):  # another thread may have held the lock
        os.register_at_fork(after_in_child=lambda: Bar.set_lock(threading.RLock()))
    return Bar


def _releases_the_lock(method: Callable) -> Callable:
    """Wrap a method of a bar so that the lock is released if the method raises an error."""

    @wraps(method)
    def guarded(bar: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(bar, *args, **kwargs)
        except BaseException:
            with suppress(RuntimeError):  # raised once this thread no longer holds the lock
                while True:
                    bar._lock.release()
            raise

    return guarded


class ProgressBar:
    """A progress bar over epochs that shows the losses and metrics of the latest epoch.

    Parameters
    ----------
    n_epochs : int or None
        Number of epochs to come; None if it is unknown.
    verbose : int
        1 or less shows only the bar; 2 or more also writes one line per epoch above it.
    title : str, default=None
        Text in front of the bar.
    n_before : int, default=0
        Number of epochs that are done already.
    """

    def __init__(
        self, n_epochs: int | None, verbose: int, title: str | None = None, n_before: int = 0
    ) -> None:
        total = None if n_epochs is None else n_before + n_epochs
        title = _prefix.get().removesuffix(": ") if title is None else _prefix.get() + title
        self.bar = bar_class()(total=total, initial=n_before, unit="epoch", desc=title)
        self.verbose = verbose
        self.n_before = n_before

    def on_epoch_end(self, record: Mapping[str, Any], title: str | None = None) -> None:
        """Advance the bar by one epoch and show the losses and metrics of this epoch.

        `record` maps the names of losses and metrics to numbers. Its entry "epoch" is 1
        for the first epoch of this bar, whatever `n_before` is. Its entry "seconds" is not shown.
        `title` replaces the text in front of the bar; None keeps the old text.
        """
        metrics = {k: value for k, value in record.items() if k not in ("epoch", "seconds")}
        if self.verbose > 1:
            described = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self.bar.write(f"epoch {self.n_before + record['epoch']}: {described}")
        self.bar.update()
        self.show(title, metrics)

    def show(self, title: str | None, metrics: Mapping[str, float]) -> None:
        """Show metrics behind the bar, and a title in front of it; None keeps the old title."""
        if title is not None:
            self.bar.set_description_str(_prefix.get() + title, refresh=False)
        self.bar.set_postfix({k: f"{value:.4g}" for k, value in metrics.items()}, refresh=False)

    def close(self) -> None:
        self.bar.close()
