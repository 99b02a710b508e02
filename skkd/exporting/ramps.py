"""Bins and normal scores as ramps, in units of the column x: ``clip((x - left) / width, 0, 1)``.

ONNX and C compute them from x itself: scaled numbers of a file in float32 would be rounded.
"""

from dataclasses import dataclass

import numpy as np

from skkd.preprocessing.encodings import Bins
from skkd.preprocessing.heavy_tails import NormalScores
from skkd.preprocessing.preprocessor import ColumnPreprocessor

__all__ = ["Ramps", "of_bins", "of_scores"]


@dataclass(frozen=True, eq=False)
class Ramps:
    """Ramps of numeric columns.

    Parameters
    ----------
    column : ndarray of int of shape (n_ramps,)
        The position among the numeric columns.
    left, rest : ndarray of shape (n_ramps,)
        Where a ramp begins, as a sum of two numbers: the second is what the first was rounded by.
    width : ndarray of shape (n_ramps,)
    """

    column: np.ndarray
    left: np.ndarray
    rest: np.ndarray
    width: np.ndarray


def of_bins(preprocessor: ColumnPreprocessor, bins: Bins) -> tuple[Ramps, np.ndarray]:
    """Return the ramps of bins, and the component of each for a missing number.

    Parameters
    ----------
    preprocessor : ColumnPreprocessor
    bins : Bins

    Returns
    -------
    ramps : Ramps
    of_missing : ndarray of shape (n_ramps,)
    """
    centre, scale = preprocessor.centre[bins.column], preprocessor.scale[bins.column]
    left = centre + scale * bins.left
    rest = (centre - left) + scale * bins.left
    of_missing = np.clip(-bins.left / bins.width, 0.0, 1.0)
    return Ramps(bins.column, left, rest, scale * bins.width), of_missing


def of_scores(scores: dict[int, NormalScores]) -> tuple[Ramps, np.ndarray]:
    """Return the ramps of normal scores, and what each adds to the first score of its column.

    Parameters
    ----------
    scores : dict of int to NormalScores
        By the position among the numeric columns.

    Returns
    -------
    ramps : Ramps
        Those of a column stand together.
    step : ndarray of shape (n_ramps,)
    """
    column = np.repeat(list(scores), [len(s.values) - 1 for s in scores.values()])
    left = np.concatenate([s.values[:-1] for s in scores.values()])
    width = np.concatenate([np.diff(s.values) for s in scores.values()])
    step = np.concatenate([np.diff(s.scores) for s in scores.values()])
    return Ramps(column, left, np.zeros(len(left)), width), step
