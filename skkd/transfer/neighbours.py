"""The nearest other row: Euclidean distance of numbers, Hamming distance of names.

Numbers are scaled to [0, 1] by the smallest and the largest. The squared distance of
two rows is

    d^2 = sum over numbers (u - v)^2 + sum over nominal attributes [u != v]

which is a Euclidean distance once each nominal value is a vector of length sqrt(1/2),
at right angles to the others. scikit-learn then searches by matrix products: in many
dimensions no tree is faster. Where an attribute has very many values, their vectors are
random ones, which are nearly at right angles.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

__all__ = ["embed", "nearest_others"]

#: More values than this get random vectors, of as many dimensions.
MOST_DIMENSIONS = 64


def embed(attributes, rows):
    """Rows as points, whose distances are those of the attributes.

    A missing number is as far from any known one as two names are, or a little farther.

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
    nowhere = np.zeros((len(rows), 1))  # where all columns are constant
    parts = [nowhere, np.where(gaps, 0.5, scaled), gaps[:, has_gaps]]
    for a, codes in enumerate(attributes.codes.T):
        n_values, codes = int(codes.max()) + 1, codes[rows]
        if n_values > MOST_DIMENSIONS:  # no more vectors than rows
            values, codes = np.unique(codes, return_inverse=True)
            n_values = len(values)
        if n_values == 2:  # one dimension does
            parts.append(codes[:, None])
        elif n_values > 2:
            parts.append(_vectors(n_values, seed=a)[codes])
    return np.hstack(parts, dtype=np.float32, casting="unsafe")


def nearest_others(points):
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
    # Among copies a point may not be the first that is found for itself.
    is_itself = found[:, 0] == np.arange(len(points))
    second = np.where(is_itself, 1, 0)
    at = np.arange(len(points))
    return found[at, second].astype(np.intp), distances[at, second].astype(np.float64)


def _vectors(n_values, seed):
    if n_values <= MOST_DIMENSIONS:
        return np.eye(n_values, dtype=np.float32) * np.float32(np.sqrt(0.5))
    random_state = np.random.RandomState(seed)
    vectors = random_state.standard_normal((n_values, MOST_DIMENSIONS)).astype(np.float32)
    return vectors * np.sqrt(0.5 / (vectors**2).sum(axis=1, keepdims=True))
