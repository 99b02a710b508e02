"""List the encodings of numeric columns that a selection compares, and fit a preprocessor.

An encoding adds inputs to the network: it spreads the numbers of a column over bins.
"""

from typing import Any

import numpy as np
from scipy import sparse

from skkd.config import Config
from skkd.data.dataset import Dataset
from skkd.data.validation import RowReader, resolve_categorical
from skkd.preprocessing.encodings import PiecewiseLinear, TeacherBins, resolve_encoding
from skkd.preprocessing.preprocessor import Preprocessor, fit_preprocessor

__all__ = ["competing_encodings", "may_add_bins", "preprocessor_for"]

#: An encoding that bins all numbers is tried only for tables of at most `MOST_COLUMNS` columns,
#: because thousands of network inputs are slow, and of at least `FEWEST_ROWS` rows, because a
#: tenth of fewer rows is not enough to compare encodings on.
MOST_COLUMNS, FEWEST_ROWS = 100, 2000


def may_add_bins(config: Config, reader: RowReader, n_rows: int, has_teacher: bool) -> bool:
    """Whether to try an encoding that spreads every numeric column over bins.

    It is tried only if `numeric_encoding` is "auto". The network must be the built-in one, with
    hidden layers, and be narrow or have a teacher: on labels alone wide networks with bins learn
    faster, but not better. The table must keep to the limits `FEWEST_ROWS` and `MOST_COLUMNS`.

    Parameters
    ----------
    config : Config
    reader : RowReader
        It has read the rows, so that it knows their columns.
    n_rows : int
    has_teacher : bool
        Whether a candidate learns from a teacher.

    Returns
    -------
    bool
    """
    may_gain = config.is_narrow or (config.module is None and has_teacher)
    may_choose = "numeric_encoding" in config.left_auto and may_gain
    has_hidden_layer = bool(config.layer_sizes)  # softmax regression stays linear
    n_columns = reader.columns.get("n_features_in_", MOST_COLUMNS + 1)
    return may_choose and has_hidden_layer and n_rows >= FEWEST_ROWS and n_columns <= MOST_COLUMNS


def competing_encodings(
    config: Config, rows: Any, thresholds: dict | None, with_bins: bool = False
) -> list[PiecewiseLinear | None]:
    """List the encodings of numeric columns that a selection compares on held-out rows.

    Parameters
    ----------
    config : Config
    rows : ndarray, sparse matrix or Table
    thresholds : dict or None
        Thresholds of the teacher's trees, by column; None if there are none.
    with_bins : bool, default=False
        Whether to add an encoding that spreads every numeric column over bins.

    Returns
    -------
    list of (skkd.preprocessing.PiecewiseLinear or None)
        The configured encoding first. None stands for plain numbers, without bins.
    """
    encoding = resolve_encoding("numeric_encoding", config.numeric_encoding)
    if "numeric_encoding" in config.left_auto and sparse.issparse(rows):
        return [None]
    if encoding is None or not with_bins:
        return [encoding]
    # The bins lie between the thresholds or, without any, between quantiles.
    return [encoding, TeacherBins() if thresholds else PiecewiseLinear()]


def preprocessor_for(
    config: Config,
    reader: RowReader,
    train: Dataset,
    classes: np.ndarray,
    encoding: PiecewiseLinear | None,
    thresholds: dict | None,
) -> Preprocessor:
    """Fit the configured preprocessor to the training rows, with one encoding of numbers.

    Parameters
    ----------
    config : Config
    reader : RowReader
        It has read the rows.
    train : Dataset
    classes : ndarray of shape (n_classes,)
    encoding : skkd.preprocessing.PiecewiseLinear or None
        None for plain numbers, without bins.
    thresholds : dict or None
        Thresholds of the teacher's trees, by column; None if there are none.

    Returns
    -------
    skkd.preprocessing.preprocessor.Preprocessor
    """
    categorical: Any = ()
    if isinstance(config.preprocessor, str):
        categorical = resolve_categorical(config.categorical_features, train.rows, reader.names)
    return fit_preprocessor(
        config.preprocessor,
        train.rows,
        classes[train.targets["labels"]],
        train.targets["weights"],
        categorical,
        encoding=encoding,
        thresholds=thresholds,
    )
