"""Masked arrays of NumPy: what is masked in X is missing; elsewhere it is refused."""

import numpy as np

__all__ = ["fill_mask", "refuse_mask"]


def fill_mask(X):
    """Rows with their masked entries as missing values.

    Parameters
    ----------
    X : container of rows

    Returns
    -------
    container of rows
        The argument, if it is no masked array. Otherwise its data: masked numbers are NaN,
        and anything else that is masked is None in an array of objects.

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


def refuse_mask(values, name):
    """Raise ValueError where a value is masked that cannot be missing.

    Parameters
    ----------
    values : array-like
        One value per row, such as labels or weights.
    name : str
        For the message.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        n_masked = int(np.ma.getmaskarray(values).sum())
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked values, and every row needs its "
            "value: leave these rows out, or fill them with .filled(value)."
        )
