"""NumPy masked arrays: masked entries of X become missing; masked labels or weights are refused."""

from typing import Any

import numpy as np

__all__ = ["fill_mask", "refuse_mask"]


def fill_mask(X: Any) -> Any:
    """Replace the masked entries of X by missing values.

    Parameters
    ----------
    X : container of rows

    Returns
    -------
    container of rows
        X itself if it is not a masked array, otherwise an ordinary array. Masked numbers become
        NaN. Other masked entries become None, in an array of objects.

    Examples
    --------
    >>> import numpy as np
    >>> fill_mask(np.ma.array([[1, 2]], mask=[[False, True]]))
    array([[ 1., nan]])
    """
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.is_masked(X):
        return X.data
    if X.dtype.kind in "iu":
        X = X.astype(np.float64)
    if X.dtype.kind in "fc":
        return X.filled(np.nan)
    objects = np.array(X.data, dtype=object)  # a copy
    objects[np.ma.getmaskarray(X)] = None  # .filled(None) would fill in a question mark
    return objects


def refuse_mask(values: Any, name: str) -> None:
    """Raise ValueError if any value is masked.

    Parameters
    ----------
    values : array-like
        One value per row, such as labels or weights.
    name : str
        Name of the argument, for the error message.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        n_masked = int(np.ma.getmaskarray(values).sum())
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked values, and every row needs its "
            "value: leave these rows out, or fill them with .filled(value)."
        )
