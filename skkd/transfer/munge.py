"""MUNGE: rows between a row and its nearest neighbour.

Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD.
The algorithm goes through a copy of the table row by row. With e' the nearest other row of
e, each attribute a is changed with probability p, in both rows:

    continuous   e_a ~ N(e'_a, sd),  e'_a ~ N(e_a, sd),  sd = |e_a - e'_a| / s
    nominal      e_a and e'_a are swapped

Differences here:

- The neighbours are found once, among the observed rows. The published algorithm finds
  them among the rows as changed so far.
- Beyond `block_rows` rows the table is split at random into blocks of equal size, and a
  row's neighbour is the nearest one of its block.
- The order of the rows of a copy is random.
- Numbers are rounded if all observed ones are whole, and clipped to the observed range. A
  missing number is swapped like a nominal value.

To treat one pair after another would be slow. Pairs without a common row do not affect
each other, so pairs are treated together as soon as all earlier pairs of their rows are
done. The result is exactly that of the random order, not an approximation of it.
"""

import numpy as np

from skkd.checks import check_integer, check_number
from skkd.transfer.neighbours import embed, nearest_others
from skkd.transfer.sampler import BLOCK_ROWS, Sampler

__all__ = ["Munge", "layers_of"]


class Munge(Sampler):
    """Attributes exchanged between nearest neighbours (MUNGE).

    Parameters
    ----------
    p : float in [0, 1], default=0.5
        Probability that an attribute of a pair of neighbours is changed.
    s : float > 0, default=1.0
        Numbers are drawn with standard deviation ``|e_a - e'_a| / s``: the larger s,
        the closer to a swap.
    block_rows : int >= 2, default=10_000
        The neighbour of a row is searched among at most so many rows. Time and memory of
        `fit` grow with it: the search needs `n_rows * block_rows` distances.

    Attributes
    ----------
    attributes_ : skkd.transfer.attributes.Attributes
    blocks_ : list of ndarray of int
        Rows, by block.
    neighbours_ : list of ndarray of int
        The position within the block of each row's neighbour.

    Notes
    -----
    Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD. The
    published values of p and s are not known; these are AutoGluon's.

    The neighbours are found among the observed rows (published: among the rows as changed
    so far), and within a random block if there are more than `block_rows` rows. Everything
    else is the published algorithm, in a random order of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1], [0.1, 1], [0.9, 0], [1.0, 0]])
    >>> rows = Munge().fit(X).sample(100, random_state=0)
    >>> rows.shape, rows.min(), rows.max()
    ((100, 2), np.float64(0.0), np.float64(1.0))
    >>> bool((rows[rows[:, 1] == 1, 0] < 0.5).all())  # not far from what was observed
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
                block, neighbours = _copies(self.blocks_[b], self.neighbours_[b], n_rows)
                donors, numbers = self._munge(block, neighbours, random_state)
                chosen = random_state.permutation(len(block))[:n_rows]
                yield donors[chosen], numbers[chosen]
                n_rows -= len(chosen)
                if n_rows == 0:
                    return

    def _munge(
        self, block: np.ndarray, neighbours: np.ndarray, random_state: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Donors and numbers of a copy of the block, after all of its pairs."""
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
        """Change attributes of pairs of rows, in place; no row is in two pairs."""
        is_changed = random_state.random_sample((len(rows), donors.shape[1])) < self.p
        of_row, of_other = donors[rows], donors[others]
        donors[rows] = np.where(is_changed, of_other, of_row)
        donors[others] = np.where(is_changed, of_row, of_other)
        is_changed = is_changed[:, : numbers.shape[1]]
        of_row, of_other = numbers[rows], numbers[others]
        sd = np.abs(of_row - of_other) / self.s
        numbers[rows] = np.where(is_changed, self._near(of_other, sd, random_state), of_row)
        numbers[others] = np.where(is_changed, self._near(of_row, sd, random_state), of_other)

    def _near(
        self, centre: np.ndarray, sd: np.ndarray, random_state: np.random.RandomState
    ) -> np.ndarray:
        noise = random_state.standard_normal(sd.shape)
        # If one of the two numbers is missing, sd is NaN: they are swapped.
        drawn = centre + np.where(np.isnan(sd), 0.0, sd * noise)
        return self.attributes_.fit_in(drawn)


def _copies(
    block: np.ndarray, neighbours: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Several copies of a small block, which are changed together."""
    n_copies = max(1, min(BLOCK_ROWS, n_rows) // len(block))
    shifts = np.arange(n_copies)[:, None] * len(block)
    return np.tile(block, n_copies), (neighbours + shifts).reshape(-1)


def layers_of(order: np.ndarray, neighbours: np.ndarray) -> list[np.ndarray]:
    """Rows whose pairs can be treated together, with the same result as one by one.

    The pair of a row is in the layer after the last one with one of its two rows. So no
    row is twice in a layer, and the pairs of every row are in order.

    Parameters
    ----------
    order : ndarray of int of shape (n,)
        A permutation of the rows.
    neighbours : ndarray of int of shape (n,)
        The other row of each row's pair.

    Returns
    -------
    list of ndarray of int
        The rows of each layer.

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
