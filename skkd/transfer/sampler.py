"""The base class of samplers. A sampler is fitted to a table and makes similar synthetic rows.

Rows are made block by block, so that batches need little memory. With the same seed,
`sample` and `batches` give the same rows.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skkd.checks import check_integer
from skkd.data.masks import fill_mask
from skkd.doc_links import DocLinkMixin
from skkd.transfer.attributes import Attributes

__all__ = ["BLOCK_ROWS", "Sampler", "shuffled_copies"]

#: The number of synthetic rows that are made at a time.
BLOCK_ROWS = 10_000


class Sampler(DocLinkMixin, BaseEstimator):
    """Base class of samplers, which make synthetic rows that resemble the rows of a table.

    A sampler makes rows for a *transfer set*: rows without labels, for which a student learns
    the teacher's soft labels. To write a new sampler, subclass `Sampler` and define `draw`.

    The samplers of `skkd.transfer` copy nominal values and missing values from the rows of the
    fitted table, the *observed* rows. Integer columns keep integers, and one-hot columns stay
    one-hot. Numbers stay within the range of the column in the observed rows.

    In a sparse matrix a zero is treated like a missing value: it is copied, and no number is drawn
    in its place. So the synthetic rows are about as sparse as the observed rows. A sampler
    converts a sparse matrix to a dense array, and refuses a matrix of more than 10^8 cells.

    Attributes
    ----------
    attributes_ : skkd.transfer.attributes.Attributes
        The columns of the fitted table as attributes, with a reference to the table.

    Examples
    --------
    A sampler that copies each attribute from a random row:

    >>> import numpy as np
    >>> class Marginals(Sampler):
    ...     def draw(self, n_rows, random_state):
    ...         attributes = self.attributes_
    ...         shape = (n_rows, attributes.n_attributes)
    ...         donors = random_state.randint(attributes.n_rows, size=shape)
    ...         yield donors, attributes.numbers_at(donors)
    >>> X = np.array([[0, 10, 5], [1, 20, 6], [2, 30, 7]])
    >>> Marginals().fit(X).sample(4, random_state=0)
    array([[ 0, 20,  5],
           [ 1, 20,  7],
           [ 0, 30,  5],
           [ 0, 10,  7]])
    """

    def fit(self, X, categorical=()):
        """Fit the sampler to the rows of a table.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_rows, n_columns)
            The sampler keeps a reference to X and never changes X.
        categorical : sequence of int, default=()
            Indices of columns to treat as nominal. Columns of strings, categories, dates or
            booleans, columns of at most two values, and one-hot columns are recognised and
            need not be listed.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X holds infinity (the message names the column), or if a parameter is out
            of bounds.
        """
        self.check()
        self.attributes_ = Attributes(fill_mask(X), categorical)
        self.learn()
        return self

    def check(self):
        """Raise ValueError or TypeError if a parameter is not allowed.

        `fit` calls it first. The method of the base class never raises an error. Override it in
        a sampler with parameters.
        """

    def learn(self):
        """Prepare what `draw` needs in addition to `attributes_`.

        `fit` calls it last, when `attributes_` exists. The method of the base class does nothing.
        Override it in a sampler whose `draw` needs more, such as fitted trees.
        """

    def draw(self, n_rows, random_state):
        """Yield donors and numbers of synthetic rows, block by block.

        Parameters
        ----------
        n_rows : int
            The number of rows of all blocks together.
        random_state : numpy.random.RandomState

        Yields
        ------
        donors : ndarray of int of shape (n, n_attributes)
            The index of the row of the fitted table (the donor) that each attribute is copied
            from.
        numbers : ndarray of float64 of shape (n, n_numeric)
            The values of the numeric attributes; NaN where the donor's value is missing.
        """
        raise NotImplementedError(f"{type(self).__name__} must define draw(n_rows, random_state)")

    def sample(self, n_rows, random_state=None):
        """Return synthetic rows.

        Parameters
        ----------
        n_rows : int
        random_state : int, RandomState or None, default=None

        Returns
        -------
        container of n_rows rows
            They have the container type, the columns and the dtypes of the fitted X. If X was
            a list, they are an ndarray.

        Examples
        --------
        >>> from skkd.transfer import Munge
        >>> Munge().fit([[0.1, 3], [0.2, 4], [0.9, 9]]).sample(2, random_state=0).shape
        (2, 2)
        """
        parts = list(self.batches(n_rows, random_state, BLOCK_ROWS))
        return parts[0] if len(parts) == 1 else self.attributes_.container.join(parts)

    def batches(self, n_rows, random_state=None, batch_rows=BLOCK_ROWS):
        """Yield the same rows as `sample`, in batches that are made one at a time.

        Parameters
        ----------
        n_rows : int
            The number of rows of all batches together.
        random_state : int, RandomState or None, default=None
        batch_rows : int, default=10_000
            The number of rows of each batch; the last one may be smaller.

        Yields
        ------
        container of at most batch_rows rows

        Examples
        --------
        >>> from skkd.transfer import Munge
        >>> sampler = Munge().fit([[0.1, 3], [0.2, 4], [0.9, 9]])
        >>> [len(batch) for batch in sampler.batches(5, random_state=0, batch_rows=2)]
        [2, 2, 1]
        """
        check_integer("n_rows", n_rows, low=1)
        check_integer("batch_rows", batch_rows, low=1)
        blocks = self.draw(n_rows, check_random_state(random_state))
        for donors, numbers in _rebatched(blocks, batch_rows):
            yield self.attributes_.rows(donors, numbers)


def shuffled_copies(
    n_observed: int, n_rows: int, random_state: np.random.RandomState
) -> Iterator[np.ndarray]:
    """Yield `n_rows` row indices in blocks: one random permutation of all rows after another.

    Only the last permutation may be incomplete.

    Parameters
    ----------
    n_observed : int
        The number of rows of the fitted table.
    n_rows : int
        The number of indices of all blocks together.
    random_state : numpy.random.RandomState

    Yields
    ------
    ndarray of int
        A block of at most `BLOCK_ROWS` indices.

    Examples
    --------
    >>> import numpy as np
    >>> [rows] = shuffled_copies(3, 7, np.random.RandomState(0))
    >>> np.bincount(rows[:6]), len(rows)
    (array([2, 2, 2]), 7)
    """
    waiting = np.empty(0, dtype=np.intp)
    while n_rows > 0:
        while len(waiting) < min(n_rows, BLOCK_ROWS):
            waiting = np.concatenate([waiting, random_state.permutation(n_observed)])
        block, waiting = np.split(waiting, [min(n_rows, BLOCK_ROWS)])
        n_rows -= len(block)
        yield block


def _rebatched(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], batch_rows: int
) -> Iterator[tuple[Any, ...]]:
    """Cut and join blocks of (donors, numbers) to batches; only the last batch may be smaller."""
    waiting: list[list[np.ndarray]] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(list(block))
        n_waiting += len(block[0])
        if n_waiting >= batch_rows:
            joined = [np.concatenate(arrays) for arrays in zip(*waiting, strict=True)]
            n_whole = n_waiting // batch_rows * batch_rows
            for start in range(0, n_whole, batch_rows):
                yield tuple(array[start : start + batch_rows] for array in joined)
            waiting, n_waiting = [[a[n_whole:] for a in joined]], n_waiting - n_whole
    if n_waiting:
        yield tuple(np.concatenate(arrays) for arrays in zip(*waiting, strict=True))
