"""The sampler for the parameter `augment`: a name, a sampler, or an object of the user's."""

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
    """The sampler that makes the rows of a transfer set.

    Parameters
    ----------
    augment : {"munge", "spunge", "gibbs"}, Sampler, callable or object
        A callable is called as ``augment(X, n_rows, random_state)`` and returns n_rows
        rows in the container of X; any other object has ``fit(X)`` and
        ``sample(n_rows, random_state)``.
    besides : tuple, default=()
        Other values that the caller allows, for the message.

    Returns
    -------
    object
        Not fitted, with ``fit(X, categorical=())``, ``sample(n_rows, random_state)`` and
        ``batches(n_rows, random_state, batch_rows)``. It is a clone or a deep copy, so that
        `fit` does not change the object given.

    Raises
    ------
    ValueError or TypeError
        If `augment` is none of these.

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
    if not has_both and not _takes_three(augment):
        refuse("augment", augment, allowed, TypeError)
    return Foreign(augment)


def _takes_three(function):
    """Whether a function may be called with X, n_rows and random_state, as far as it tells."""
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # it does not tell
        pass
    return True


class Foreign(DocLinkMixin, BaseEstimator):
    """A callable, or an object with `fit` and `sample`, used as a sampler.

    Parameters
    ----------
    augment : callable or object

    Attributes
    ----------
    sampler_ : object
        The fitted copy of an object.

    Examples
    --------
    >>> Foreign(lambda X, n_rows, random_state: X * n_rows).fit([7]).sample(2)
    [7, 7]
    """

    def __init__(self, augment):
        self.augment = augment

    def fit(self, X, categorical=()):
        """Fit a copy of the object, or keep X for the callable.

        Parameters
        ----------
        X : container of rows
        categorical : sequence of int, default=()
            Passed on if the object's `fit` has a parameter of that name.

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
        # What `fit` returns is not relied on: not every library returns itself.
        fitted.fit(X, categorical=self._categorical) if takes_it else fitted.fit(X)
        return fitted

    def _sampled(self, n_rows, random_state):
        """Rows of the object; it is fitted again if it cannot use the read-only rows it keeps."""
        try:
            return self.sampler_.sample(n_rows, random_state)
        except Exception as error:
            if not is_about_writing(error):
                raise
        self.sampler_ = self._fitted(copied(self._X))
        return self.sampler_.sample(n_rows, random_state)

    def sample(self, n_rows, random_state=None):
        """Synthetic rows.

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
            If the number of rows is not `n_rows`.
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
        """Synthetic rows in batches, each made by one call.

        Parameters
        ----------
        n_rows : int
            The number of rows of all batches together.
        random_state : int, RandomState or None, default=None
            All calls get the same RandomState object.
        batch_rows : int, default=10_000

        Yields
        ------
        container of at most batch_rows rows
        """
        check_integer("n_rows", n_rows, low=1)
        check_integer("batch_rows", batch_rows, low=1)
        random_state = check_random_state(random_state)
        for start in range(0, n_rows, batch_rows):
            yield self.sample(min(batch_rows, n_rows - start), random_state)
