"""The nearest other row, by Euclidean distance of numbers and Hamming distance of nominal values.

Numbers are scaled to [0, 1] by their minimum and maximum. The squared distance of
two rows is

    d^2 = sum over numbers (u - v)^2 + sum over nominal attributes [u != v]

which is a Euclidean distance if each nominal value is a vector of length sqrt(1/2) that is
orthogonal to the others. scikit-learn then searches by matrix products: in many dimensions
no tree is faster. If an attribute has very many values, their vectors are random, and nearly
orthogonal.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skkd.transfer.attributes import Attributes

__all__ = ["embed", "nearest_others"]

#: Most values of an attribute with orthogonal vectors. More values get random vectors of
#: so many dimensions.
MOST_DIMENSIONS = 64


def embed(attributes: Attributes, rows: np.ndarray) -> np.ndarray:
    """Rows as points with the distances of the rows.

    A missing number is as far from a known one as two nominal values are, or a little
    farther.

    Parameters
    ----------
    attributes : Attributes
    rows : ndarray of int of shape (n,)

    Returns
    -------
    ndarray of float32 of shape (n, n_dimensions)
    """
    scaled = (attributes.numbers[rows] - attributes.low) / (attributes.high - attributes.low)
    has_gaps = np.isnan(attributes.numbers).any(axis=0)
    gaps = np.isnan(scaled)
    origin = np.zeros((len(rows), 1))  # for tables in which all columns are constant
    parts = [origin, np.where(gaps, 0.5, scaled), gaps[:, has_gaps]]
    for a, codes in enumerate(attributes.codes.T):
        n_values, codes = int(codes.max()) + 1, codes[rows]
        if n_values > MOST_DIMENSIONS:  # only vectors of values that occur in these rows
            values, codes = np.unique(codes, return_inverse=True)
            n_values = len(values)
        if n_values == 2:  # one dimension is enough
            parts.append(codes[:, None])
        elif n_values > 2:
            parts.append(_vectors(n_values, seed=a)[codes])
    return np.hstack(parts, dtype=np.float32, casting="unsafe")


def nearest_others(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other point of each, a copy at distance 0 included.

    Parameters
    ----------
    points : ndarray of float32 of shape (n, n_dimensions)
        At least two.

    Returns
    -------
    neighbours : ndarray of intp of shape (n,)
    distances : ndarray of float64 of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> nearest_others(np.array([[0.0], [0.5], [2.0]]))
    (array([1, 0, 1]), array([0.5, 0.5, 1.5]))
    """
    search = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(points)
    distances, found = search.kneighbors(points)
    # If there are copies of a point, the first one found may not be the point itself.
    is_itself = found[:, 0] == np.arange(len(points))
    second = np.where(is_itself, 1, 0)
    at = np.arange(len(points))
    return found[at, second].astype(np.intp), distances[at, second].astype(np.float64)


def _vectors(n_values: int, seed: int) -> np.ndarray:
    if n_values <= MOST_DIMENSIONS:
        return np.eye(n_values, dtype=np.float32) * np.float32(np.sqrt(0.5))
    random_state = np.random.RandomState(seed)
    vectors = random_state.standard_normal((n_values, MOST_DIMENSIONS)).astype(np.float32)
    return vectors * np.sqrt(0.5 / (vectors**2).sum(axis=1, keepdims=True))
