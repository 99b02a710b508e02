"""A sampler out of what a user may give: a name, a sampler, or a function of theirs."""

import inspect

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

SAMPLERS = {"munge": Munge, "spunge": Spunge, "gibbs": Gibbs}


def resolve_augment(augment, besides=()):
    """The sampler that makes the rows of a transfer set.

    Parameters
    ----------
    augment : {"munge", "spunge", "gibbs"}, Sampler, callable or object
        A callable is called as ``augment(X, n_rows, random_state)`` and returns n_rows
        rows in the container of X; any other object has ``fit(X)`` and
        ``sample(n_rows, random_state)``.
    besides : tuple, default=()
        What else the caller allows, for the message.

    Returns
    -------
    object
        Not fitted, with ``fit(X, categorical=())``, ``sample(n_rows, random_state)`` and
        ``batches(n_rows, random_state, batch_rows)``. What was given is not changed by
        fitting it: it is a clone, or a deep copy.

    Raises
    ------
    ValueError or TypeError
        Naming what is allowed.

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
    return Foreign(augment)


class Foreign(DocLinkMixin, BaseEstimator):
    """A callable, or an object with `fit` and `sample`, in the role of a sampler.

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
            Handed on if the object's `fit` has a parameter of that name.

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
            If there are more or fewer rows than asked for.
        """
        check_integer("n_rows", n_rows, low=1)
        if hasattr(self, "sampler_"):
            rows = self._sampled(n_rows, random_state)
        else:

            def make(X):
                return self.augment(X, n_rows, random_state)

            rows = call_protected(make, self._X, owner=self.augment)
        n_found = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        if n_found != n_rows:
            raise ValueError(
                f"augment={self.augment!r} returned {n_found} rows where n_rows={n_rows} were "
                "asked for."
            )
        return rows

    def batches(self, n_rows, random_state=None, batch_rows=BLOCK_ROWS):
        """Batch after batch, each from a call of its own.

        Parameters
        ----------
        n_rows : int
            Of all batches together.
        random_state : int, RandomState or None, default=None
            The calls get one RandomState, in turn.
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
