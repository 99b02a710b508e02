"""Turn the value of the parameter `augment` into a sampler of synthetic rows."""

import inspect
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from skkd.checks import check_integer, refuse
from skkd.data.protected_data import call_protected, copied, is_about_writing
from skkd.doc_links import DocLinkMixin
from skkd.transfer.gibbs import Gibbs
from skkd.transfer.munge import Munge
from skkd.transfer.sampler import BLOCK_ROWS, Sampler
from skkd.transfer.spunge import Spunge

__all__ = ["SAMPLERS", "Foreign", "resolve_augment"]

SAMPLERS: dict[str, type[Sampler]] = {"munge": Munge, "spunge": Spunge, "gibbs": Gibbs}


def resolve_augment(augment: Any, besides: tuple = ()) -> Any:
    """Return an unfitted sampler of synthetic rows for a value of the parameter `augment`.

    Parameters
    ----------
    augment : {"munge", "spunge", "gibbs"}, Sampler, object or callable
        One of these:

        - The name of a sampler of `skkd.transfer`, or such a sampler.
        - An object with methods ``fit(X)`` and ``sample(n_rows, random_state)``.
        - A callable that is called as ``augment(X, n_rows, random_state)`` and returns
          n_rows rows of the type of X.
    besides : tuple, default=()
        Values, such as None, that the error message lists as allowed, too. They are not
        accepted here: the caller handles them before the call.

    Returns
    -------
    object
        An unfitted sampler with methods ``fit(X, categorical=())``,
        ``sample(n_rows, random_state)`` and ``batches(n_rows, random_state, batch_rows)``.
        Fitting the sampler does not change `augment`.

    Raises
    ------
    ValueError or TypeError
        If `augment` has none of the forms above.

    Examples
    --------
    >>> resolve_augment("munge")
    Munge()
    >>> sampler = resolve_augment(lambda X, n_rows, random_state: X[:n_rows])
    >>> sampler.fit([[1], [2], [3]]).sample(2, random_state=0)
    [[1], [2]]
    """
    allowed = ", ".join(map(repr, (*besides, *SAMPLERS))) + (
        ", a sampler of skkd.transfer, a callable (X, n_rows, random_state) -> rows, or an "
        "object with fit(X) and sample(n_rows, random_state)"
    )
    if isinstance(augment, str):
        if augment not in SAMPLERS:
            refuse("augment", augment, allowed)
        return SAMPLERS[augment]()
    if isinstance(augment, Sampler):
        return clone(augment)
    has_both = hasattr(augment, "fit") and hasattr(augment, "sample")
    if inspect.isclass(augment) or not (has_both or callable(augment)):
        refuse("augment", augment, allowed, TypeError)
    if not has_both and not _takes_three_arguments(augment):
        refuse("augment", augment, allowed, TypeError)
    return Foreign(augment)


def _takes_three_arguments(function):
    """Whether a callable takes three positional arguments."""
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # the signature is unknown, as for some functions in C
        pass
    return True


class Foreign(DocLinkMixin, BaseEstimator):
    """An adapter that gives a user's callable or object the interface of a sampler.

    Parameters
    ----------
    augment : callable or object
        A callable ``augment(X, n_rows, random_state)`` that returns rows, or an object with
        methods ``fit(X)`` and ``sample(n_rows, random_state)``.

    Attributes
    ----------
    sampler_ : object
        A fitted clone of `augment`; it does not exist if `augment` is a callable.

    Examples
    --------
    >>> repeat = lambda X, n_rows, random_state: X * n_rows  # X is a list of one row
    >>> Foreign(repeat).fit([7]).sample(n_rows=2)
    [7, 7]
    """

    def __init__(self, augment):
        self.augment = augment

    def fit(self, X, categorical=()):
        """Fit a clone of the user's object; for a callable, only keep X for later calls.

        Parameters
        ----------
        X : container of rows
        categorical : sequence of int, default=()
            Indices of categorical columns; passed on if the object's `fit` takes `categorical`.

        Returns
        -------
        self
        """
        self._X, self._categorical = X, categorical
        if hasattr(self.augment, "sample"):
            self.sampler_ = call_protected(self._fitted, X, owner=self.augment)
        return self

    def _fitted(self, X):
        fitted = clone(self.augment, safe=False)
        takes_it = "categorical" in inspect.signature(fitted.fit).parameters
        # The return value of `fit` is ignored, because not every library returns self.
        fitted.fit(X, categorical=self._categorical) if takes_it else fitted.fit(X)
        return fitted

    def _sampled(self, n_rows, random_state):
        """Sample from the fitted object; if it fails because X is read-only, refit it to a copy."""
        try:
            return self.sampler_.sample(n_rows, random_state)
        except Exception as error:
            if not is_about_writing(error):
                raise
        # The object kept the read-only view of X that it was fitted to, and now writes to it.
        self.sampler_ = self._fitted(copied(self._X))
        return self.sampler_.sample(n_rows, random_state)

    def sample(self, n_rows, random_state=None):
        """Return synthetic rows.

        Parameters
        ----------
        n_rows : int
        random_state : int, RandomState or None, default=None

        Returns
        -------
        container of n_rows rows

        Raises
        ------
        ValueError
            If the user's callable or object returns another number of rows.
        """
        check_integer("n_rows", n_rows, low=1)
        if hasattr(self, "sampler_"):
            rows = self._sampled(n_rows, random_state)
        else:

            def make(X: Any) -> Any:
                return self.augment(X, n_rows, random_state)

            rows = call_protected(make, self._X, owner=self.augment)
        n_found = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        if n_found != n_rows:
            raise ValueError(
                f"augment={self.augment!r} must return n_rows={n_rows} rows; it returned {n_found}."
            )
        return rows

    def batches(self, n_rows, random_state=None, batch_rows=BLOCK_ROWS):
        """Yield synthetic rows in batches, with one call of the user's code per batch.

        Parameters
        ----------
        n_rows : int
            The number of rows of all batches together.
        random_state : int, RandomState or None, default=None
            A seed becomes one RandomState object, the same for every call.
        batch_rows : int, default=10_000
            The largest number of rows of a batch.

        Yields
        ------
        container of at most batch_rows rows
        """
        check_integer("n_rows", n_rows, low=1)
        check_integer("batch_rows", batch_rows, low=1)
        random_state = check_random_state(random_state)
        for start in range(0, n_rows, batch_rows):
            yield self.sample(min(batch_rows, n_rows - start), random_state)
