"""MUNGE: synthetic rows by exchanging attributes between nearest neighbours.

Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD.
The algorithm goes through a copy of the table row by row. Let e' be the nearest other row of
row e. Then, with probability p, each attribute a is changed in the two rows:

    continuous   e_a ~ N(e'_a, sd),  e'_a ~ N(e_a, sd),  sd = |e_a - e'_a| / s
    nominal      e_a and e'_a are swapped

Here e_a and e'_a are the values of attribute a in the two rows, and N(mean, sd) is the normal
distribution with that mean and standard deviation. Both values are changed at once: the right
sides hold the old values. p and s are parameters.

The notes of :class:`Munge` list how this implementation differs from the published algorithm.

A loop over single pairs (e, e') would be slow. Pairs without a common row do not affect each
other, so many pairs are changed at once: see :func:`layers_of`. The result is exactly the
result of the loop.
"""

import numpy as np

from skkd.checks import check_integer, check_number
from skkd.transfer.neighbours import embed, nearest_others
from skkd.transfer.sampler import BLOCK_ROWS, Sampler

__all__ = ["Munge", "layers_of"]


class Munge(Sampler):
    """Attributes exchanged between nearest neighbours (MUNGE).

    Each row e is paired with its nearest other row e'. With probability `p` an attribute is
    changed in the two rows: nominal values are swapped, and the new number of each row is
    drawn from a normal distribution around the old number of the other row.

    Parameters
    ----------
    p : float in [0, 1], default=0.5
        Probability that an attribute of a pair of neighbours is changed.
    s : float > 0, default=1.0
        The new numbers of a pair of neighbours are drawn with the standard deviation
        ``|u - v| / s``, where u and v are the old numbers of the two rows. With a large s, the
        two numbers are nearly swapped.
    block_rows : int >= 2, default=10_000
        The neighbour of a row is searched among at most this many rows. A larger value makes
        `fit` slower and needs more memory: for a table of n_rows rows, the search computes up
        to ``n_rows * block_rows`` distances.

    Attributes
    ----------
    attributes_ : skkd.transfer.attributes.Attributes
        The columns of the fitted table as attributes.
    blocks_ : list of ndarray of int
        The row indices of each block.
    neighbours_ : list of ndarray of int
        One array for each block: for each of its rows, the neighbour's position in the block.

    Notes
    -----
    Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD. The
    published values of p and s are not known; the defaults here are AutoGluon's.

    This sampler differs from the published algorithm:

    - The neighbours are found once, among the rows of the fitted table. The published algorithm
      finds neighbours among the rows as changed so far.
    - A table of more than `block_rows` rows is split at random into blocks of about equal size.
      The neighbour of a row is the nearest other row in the same block.
    - The rows are visited in random order.
    - New numbers are clipped to the range of the attribute in the table. If all numbers of the
      attribute in the table are whole, new numbers are also rounded. If one of the two old
      numbers is missing, the two are swapped.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1], [0.1, 1], [0.9, 0], [1.0, 0]])
    >>> rows = Munge().fit(X).sample(100, random_state=0)
    >>> rows.shape, rows.min(), rows.max()
    ((100, 2), np.float64(0.0), np.float64(1.0))
    >>> bool((rows[rows[:, 1] == 1, 0] < 0.5).all())  # observed: 0.0 and 0.1
    True
    """

    def __init__(self, p=0.5, s=1.0, block_rows=BLOCK_ROWS):
        self.p = p
        self.s = s
        self.block_rows = block_rows

    def check(self):
        check_number("p", self.p, low=0, high=1)
        check_number("s", self.s, low=0, low_open=True)
        check_integer("block_rows", self.block_rows, low=2)

    def learn(self):
        n_rows = self.attributes_.n_rows
        order = np.random.RandomState(0).permutation(n_rows)  # tables are often sorted
        n_blocks = -(-n_rows // self.block_rows)
        self.blocks_ = np.array_split(order, n_blocks)
        self.neighbours_ = [self._neighbours(block) for block in self.blocks_]

    def _neighbours(self, block: np.ndarray) -> np.ndarray:
        if len(block) < 2:
            return np.zeros(len(block), dtype=np.intp)
        return nearest_others(embed(self.attributes_, block))[0]

    def draw(self, n_rows, random_state):
        while n_rows > 0:
            for b in random_state.permutation(len(self.blocks_)):
                block, neighbours = _repeated(self.blocks_[b], self.neighbours_[b], n_rows)
                donors, numbers = self._munge(block, neighbours, random_state)
                chosen = random_state.permutation(len(block))[:n_rows]
                yield donors[chosen], numbers[chosen]
                n_rows -= len(chosen)
                if n_rows == 0:
                    return

    def _munge(
        self, block: np.ndarray, neighbours: np.ndarray, random_state: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exchange attributes in all pairs of a block, and return donors and numbers."""
        donors = np.tile(block[:, None], self.attributes_.n_attributes)
        numbers = self.attributes_.numbers[block]
        if self.attributes_.n_rows > 1:
            order = random_state.permutation(len(block))
            for rows in layers_of(order, neighbours):
                self._exchange(donors, numbers, rows, neighbours[rows], random_state)
        return donors, numbers

    def _exchange(
        self,
        donors: np.ndarray,
        numbers: np.ndarray,
        rows: np.ndarray,
        others: np.ndarray,
        random_state: np.random.RandomState,
    ) -> None:
        """Exchange attributes, in place, in each pair of rows (rows[i], others[i])."""
        # No row occurs in two pairs: otherwise one change would overwrite the other.
        is_changed = random_state.random_sample((len(rows), donors.shape[1])) < self.p
        of_row, of_other = donors[rows], donors[others]
        donors[rows] = np.where(is_changed, of_other, of_row)
        donors[others] = np.where(is_changed, of_row, of_other)
        is_changed = is_changed[:, : numbers.shape[1]]
        of_row, of_other = numbers[rows], numbers[others]
        sd = np.abs(of_row - of_other) / self.s
        numbers[rows] = np.where(is_changed, self._draw_near(of_other, sd, random_state), of_row)
        numbers[others] = np.where(is_changed, self._draw_near(of_row, sd, random_state), of_other)

    def _draw_near(
        self, centre: np.ndarray, sd: np.ndarray, random_state: np.random.RandomState
    ) -> np.ndarray:
        noise = random_state.standard_normal(sd.shape)
        # If one of the two numbers is missing, sd is NaN. The numbers are then just swapped.
        drawn = centre + np.where(np.isnan(sd), 0.0, sd * noise)
        return self.attributes_.fit_in(drawn)


def _repeated(
    block: np.ndarray, neighbours: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat a small block and its neighbours, so that many rows are changed at once."""
    n_copies = max(1, min(BLOCK_ROWS, n_rows) // len(block))
    # The neighbour of a row is in the same copy of the block as the row.
    shifts = np.arange(n_copies)[:, None] * len(block)
    return np.tile(block, n_copies), (neighbours + shifts).reshape(-1)


def layers_of(order: np.ndarray, neighbours: np.ndarray) -> list[np.ndarray]:
    """Divide pairs of rows into layers, so that all pairs of a layer can be changed at once.

    Each row forms a pair with its neighbour. The pairs of a layer share no row. If two pairs share
    a row, the pair that comes first in `order` is in an earlier layer, so the result is the same
    as if the pairs were changed one by one.

    Parameters
    ----------
    order : ndarray of int of shape (n,)
        All rows. Their pairs are to be changed in this order.
    neighbours : ndarray of int of shape (n,)
        The index of the neighbour of each row.

    Returns
    -------
    list of ndarray of int
        For each layer, the rows whose pairs belong to it.

    Examples
    --------
    >>> import numpy as np
    >>> layers_of(np.array([0, 1, 2, 3]), np.array([1, 0, 3, 0]))
    [array([0, 2]), array([1]), array([3])]
    """
    done = [0] * len(order)
    layers: list[list[int]] = []
    for row, other in zip(order.tolist(), neighbours[order].tolist(), strict=True):
        layer = max(done[row], done[other])
        done[row] = done[other] = layer + 1
        if layer == len(layers):
            layers.append([])
        layers[layer].append(row)
    return [np.array(rows) for rows in layers]
