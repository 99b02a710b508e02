"""Search for the nearest other row of each row, for tables of numbers and nominal values.

Numbers are scaled to [0, 1] by their minimum and maximum. The squared distance of
two rows is

    d^2 = sum over numbers (u - v)^2 + sum over nominal attributes [u != v]

where u and v are the values of an attribute in the two rows, and [u != v] is 1 if they differ and
0 if not.

To make d a Euclidean distance, each nominal value becomes a vector of length sqrt(1/2), and
the vectors of different values are orthogonal. scikit-learn can then search by brute force
with matrix products, which in many dimensions is faster than a search tree. For an attribute
with very many values the vectors are random, and only nearly orthogonal.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skkd.transfer.attributes import Attributes

__all__ = ["embed", "nearest_others"]

#: A nominal attribute with at most this many values gets orthogonal vectors. With more values
#: it gets random vectors of this many dimensions.
MOST_DIMENSIONS = 64


def embed(attributes: Attributes, rows: np.ndarray) -> np.ndarray:
    """Map rows of a table to points, so that Euclidean distances measure how rows differ.

    Numbers are scaled to [0, 1]. Two different values of a nominal attribute have distance 1, or
    nearly 1 if the attribute has more than `MOST_DIMENSIONS` values. A missing number becomes 0.5,
    and a further coordinate of the attribute is 1 if the number is missing, else 0.

    Parameters
    ----------
    attributes : Attributes
        The table.
    rows : ndarray of int of shape (n,)
        Indices of the rows to map.

    Returns
    -------
    ndarray of float32 of shape (n, n_dimensions)
    """
    scaled = (attributes.numbers[rows] - attributes.low) / (attributes.high - attributes.low)
    has_gaps = np.isnan(attributes.numbers).any(axis=0)
    gaps = np.isnan(scaled)
    origin = np.zeros((len(rows), 1))  # for tables in which all columns are constant
    # The squared distance of a missing number and a known number is between 1 and 1.25.
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
    """Find the nearest other point of each point; it may be an exact copy, at distance 0.

    Parameters
    ----------
    points : ndarray of float32 of shape (n, n_dimensions)
        At least two points.

    Returns
    -------
    neighbours : ndarray of intp of shape (n,)
        The index of the nearest other point.
    distances : ndarray of float64 of shape (n,)
        The distance to the nearest other point.

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
