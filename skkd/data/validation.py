"""Validation of X, y and weights, with scikit-learn's error messages where they exist."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, assert_all_finite
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, validate_data

from skkd.checks import LARGEST_NUMBER, refuse
from skkd.data.labels import read_labels
from skkd.data.masks import fill_mask, refuse_mask
from skkd.data.tables import (
    Table,
    is_table,
    keep_wide_integers,
    read_table,
    warn_of_numbers_in_quotes,
)

__all__ = [
    "RowReader",
    "check_labels",
    "check_rows",
    "check_same_classes",
    "check_weights",
    "class_weights",
    "count_rows",
    "encode",
    "is_plain_table",
    "nominal_columns",
    "picked",
    "resolve_categorical",
]

#: The attributes in which scikit-learn keeps the number and the names of the columns of X.
COLUMN_ATTRIBUTES = ("n_features_in_", "feature_names_in_")

#: The largest number of columns that :func:`is_plain_table` accepts.
MOST_COLUMNS = 1000


class RowReader:
    """Callable that checks rows and converts them to the form that the preprocessor takes.

    X must have the same number of columns, with the same names, in every call.

    Parameters
    ----------
    name : str
        Class name of the estimator, for error messages.
    preprocessor : "auto", None or transformer
    dtype : str
        The dtype to convert rows to; only read if `preprocessor` is None.
    allow_nd : bool, default=False
        Whether X may have more than two dimensions.
    categorical : "from_dtype" or array-like, default="from_dtype"
        The estimator parameter `categorical_features`.
    columns : dict, default=None
        The attribute `columns` of the reader of an earlier fit. None: taken from the first X.

    Attributes
    ----------
    columns : dict
        "n_features_in_" -> the number of columns; "feature_names_in_" -> their names, if any.
    """

    def __init__(
        self,
        name: str,
        *,
        preprocessor: Any,
        dtype: str,
        allow_nd: bool = False,
        categorical: Any = "from_dtype",
        columns: dict[str, Any] | None = None,
    ) -> None:
        # validate_data stores the number and the names of columns in an estimator.
        self._keeper = type(name, (BaseEstimator,), {})()
        vars(self._keeper).update(columns or {})
        self._is_first = columns is None
        self._options = {
            "preprocessor": preprocessor,
            "dtype": dtype,
            "allow_nd": allow_nd,
            "categorical": categorical,
        }

    def __call__(self, X: Any) -> Any:
        """Check rows and convert them, as :func:`check_rows` does."""
        rows = check_rows(self._keeper, X, reset=self._is_first, **self._options)
        self._is_first = False
        return rows

    @property
    def columns(self) -> dict[str, Any]:
        """Number and names of the columns, under the names of scikit-learn's attributes.

        The dict is empty before the first call, unless the columns of an earlier fit were given.
        """
        kept = vars(self._keeper)
        return {name: kept[name] for name in COLUMN_ATTRIBUTES if name in kept}

    @property
    def names(self) -> np.ndarray | None:
        """The names of the columns; None if the columns have no names."""
        return self.columns.get("feature_names_in_")


def check_rows(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    preprocessor: Any,
    dtype: str,
    categorical: Any = "from_dtype",
    allow_nd: bool = False,
) -> Any:
    """Check the caller's rows and convert them to the form that a preprocessor takes.

    Parameters
    ----------
    estimator : estimator
        Its attributes `n_features_in_` and `feature_names_in_` describe the columns.
    X : array-like, sparse matrix or table
    reset : bool
        True sets the two attributes of `estimator` from X. False raises an error if X does not
        match them.
    preprocessor : "auto", None or transformer
    dtype : str
        The dtype to convert rows to; only read if `preprocessor` is None.
    categorical : "from_dtype", or array-like, default="from_dtype"
        The estimator parameter `categorical_features`.
    allow_nd : bool, default=False
        Whether X may have more than two dimensions.

    Returns
    -------
    ndarray, csr matrix or Table
        The first of these cases that applies:

        - If X is sparse: a csr matrix.
        - If `preprocessor` is None: an ndarray.
        - If `preprocessor` is "auto": an ndarray if all columns are numeric, else a Table.
        - If `preprocessor` is a transformer: X itself.

        If `preprocessor` is None, the csr matrix or ndarray has the dtype `dtype`.
    """
    X = fill_mask(X)
    if not (preprocessor is None or isinstance(preprocessor, str)):
        if count_rows(X) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={getattr(X, 'shape', (0,))}) while a minimum "
                f"of 1 is required by {type(estimator).__name__}."
            )
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X.tocsr() if sparse.issparse(X) else X  # not every format can select rows
    try:
        return _read_rows(estimator, X, reset, preprocessor, dtype, categorical, allow_nd)
    except OverflowError as error:  # a Python integer or Fraction beyond float64
        problem = "Input X contains infinity or a value too large for dtype('float64')."
        raise ValueError(problem) from error


def _read_rows(
    estimator: Any,
    X: Any,
    reset: bool,
    preprocessor: Any,
    dtype: str,
    categorical: Any,
    allow_nd: bool,
) -> Any:
    arrays: dict[str, Any] = {"reset": reset, "accept_sparse": "csr", "allow_nd": allow_nd}
    if preprocessor is None:
        if getattr(getattr(X, "dtype", None), "kind", "") in ("m", "M"):
            refuse("X", X.dtype.name, "numbers, not dates or times", TypeError)
        with np.errstate(over="ignore"):  # a value too large for the dtype is refused anyway
            return _validated(estimator, X, dtype=np.dtype(dtype), **arrays)
    # The preprocessor sets the dtype later, after it has scaled the rows.
    as_numbers = {"dtype": "numeric", "ensure_all_finite": "allow-nan"} | arrays
    if type(X) is np.ndarray and X.dtype.kind in "fiu":  # the usual case first, for speed
        return _validated(estimator, X, **as_numbers)
    if is_table(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return _numeric_if_possible(_read_table(estimator, X, categorical, is_new=reset))
    if not sparse.issparse(X):
        X = _keep_types(X)
        if X.ndim == 1 and len(X) and all(isinstance(text, str) for text in X):
            raise ValueError(
                f"X holds {len(X)} texts, not rows of columns: give a preprocessor that makes "
                "them, such as TfidfVectorizer()."
            )
        if X.dtype.kind in "OUSTbMm" and X.ndim == 2:
            X = validate_data(estimator, X, dtype=None, ensure_all_finite=False, **arrays)
            return _numeric_if_possible(_read_table(estimator, X, categorical, is_new=reset))
    return validate_data(estimator, X, **as_numbers)


def _read_table(estimator: Any, X: Any, categorical: Any, is_new: bool) -> Table:
    table = read_table(X)
    has_objects = any(column.dtype == object for column in table.columns)
    names = getattr(estimator, "feature_names_in_", None)
    declared = resolve_categorical(categorical, table, names)
    keep_wide_integers(table, X, declared)
    if is_new and has_objects:
        warn_of_numbers_in_quotes(X, table, declared)
    return table


def _validated(estimator: Any, X: Any, ensure_all_finite: bool | str = True, **options: Any) -> Any:
    """Call `validate_data` with a faster check of dense arrays for NaN and infinity."""
    if sparse.issparse(X):
        return validate_data(estimator, X, ensure_all_finite=ensure_all_finite, **options)
    X = validate_data(estimator, X, ensure_all_finite=False, **options)
    with np.errstate(over="ignore", invalid="ignore"):
        is_finite = np.isfinite(np.add.reduce(X, axis=None))
    if not is_finite:
        allow_nan = ensure_all_finite == "allow-nan"
        name = type(estimator).__name__
        assert_all_finite(X, allow_nan=allow_nan, estimator_name=name, input_name="X")
    return X


def check_labels(owner: str, y: Any, n_rows: int, name: str = "y") -> np.ndarray:
    """Check labels and return them as a 1-d array of a type that scikit-learn accepts.

    Parameters
    ----------
    owner : str
        Class name of the estimator that needs labels, for the error message.
    y : array-like of shape (n_rows,)
    n_rows : int
        Number of rows of X.
    name : str, default="y"
        Name of the argument, for the error message.

    Returns
    -------
    ndarray of shape (n_rows,)
        See :func:`skkd.data.labels.read_labels`.
    """
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None")
    y = read_labels(y, name)
    assert_all_finite(y, input_name=name)
    check_classification_targets(y)
    if len(y) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_rows} rows, "
            f"{name} has {len(y)} labels."
        )
    return y


def check_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Check sample weights and convert them to a float64 array.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
        A float is the weight of every row.
    n_rows : int
        Number of rows of X.

    Returns
    -------
    ndarray of shape (n_rows,) or None
        None if `sample_weight` is None.
    """
    if sample_weight is None:
        return None
    refuse_mask(sample_weight, "sample_weight")
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        refuse("sample_weight", sample_weight, "one number >= 0 per row")
    if weight.ndim == 0:
        weight = np.full(n_rows, weight)
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got shape {weight.shape}.")
    if len(weight) != n_rows:
        raise ValueError(f"sample_weight has {len(weight)} values, X has {n_rows} rows.")
    assert_all_finite(weight, input_name="sample_weight")
    if (weight < 0).any():
        row = int(np.flatnonzero(weight < 0)[0])
        raise ValueError(
            f"Negative values in sample_weight (row {row}: {weight[row]}): weights must be >= 0."
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def class_weights(
    class_weight: Any,
    classes: np.ndarray,
    codes: np.ndarray,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    """Compute the weight of each class from the parameter `class_weight`.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        - A dict maps classes to weights; a class that it lacks has weight 1.
        - "balanced": the weight of a class is inversely proportional to the total sample weight of
          its rows, or to their number if `sample_weight` is None. A class without rows has
          weight 1.
        - None: all weights are 1.
    classes : ndarray of shape (n_classes,)
    codes : ndarray of shape (n_rows,)
        For each training row, the index of its class in `classes`.
    sample_weight : ndarray of shape (n_rows,) or None

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            refuse("class_weight", class_weight, "a dict, 'balanced' or None")
        counts = np.bincount(codes, weights=sample_weight, minlength=len(classes))
        present = counts > 0
        factors = np.ones(len(counts))  # a class of the teacher may have no row
        factors[present] = counts.sum() / (present.sum() * counts[present])
    elif class_weight is None or isinstance(class_weight, dict):
        for weight in (class_weight or {}).values():
            number: Any = weight  # for mypy: `numbers.Real` has no comparison with int
            if not isinstance(weight, numbers.Real) or not 0 <= number <= LARGEST_NUMBER:
                refuse("class_weight", class_weight, "finite weights >= 0")
        factors = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    else:
        refuse("class_weight", class_weight, "a dict, 'balanced' or None", TypeError)
    if not (np.isfinite(factors) & (factors >= 0)).all():
        refuse("class_weight", class_weight, "finite weights >= 0")
    return factors


def encode(
    y: np.ndarray, classes: np.ndarray | None = None, name: str = "y"
) -> tuple[np.ndarray, np.ndarray]:
    """Encode each label as the index of its class.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
    classes : ndarray of shape (n_classes,), default=None
        Sorted classes, which must include all labels in `y`. None: the distinct labels in `y`.
    name : str, default="y"
        Name of the argument, for the error message.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    codes : ndarray of int64 of shape (n_rows,)
        The index in `classes` of each label.

    Examples
    --------
    >>> import numpy as np
    >>> encode(np.array(["b", "a", "b"]))
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]))
    """
    found, codes = np.unique(y, return_inverse=True)
    if classes is None:
        classes = found
    if len(classes) < 2:
        raise ValueError(
            f"{name} holds one class only, {classes.tolist()[0]!r}: a classifier needs at least "
            "two classes."
        )
    position = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in found.tolist() if label not in position]
    if unknown:
        refuse(name, unknown, f"labels among the classes {classes.tolist()}")
    return classes, np.array([position[label] for label in found.tolist()], dtype=np.int64)[codes]


def check_same_classes(found: np.ndarray, classes: np.ndarray) -> None:
    """Raise ValueError if a fit with `warm_start` has other classes than the previous fit.

    Parameters
    ----------
    found : ndarray
        The classes of the new fit.
    classes : ndarray
        The classes of the previous fit.
    """
    if set(found.tolist()) != set(classes.tolist()):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous call "
            f"to fit. Previously got {classes}, `y` has {found}. Set warm_start=False to fit "
            "from new initial weights."
        )


def resolve_categorical(
    categorical_features: Any, rows: Any, names: Sequence[str] | np.ndarray | None
) -> list[int]:
    """Return the indices of the columns that the user declared categorical.

    Columns that are categorical by their dtype alone are not included.

    Parameters
    ----------
    categorical_features : "from_dtype", or array-like of str, int or bool
        Names, indices or a mask of the declared columns. "from_dtype" declares none.
    rows : ndarray, sparse matrix or Table
        Only its number of columns is read. Sparse rows with declared columns raise ValueError.
    names : ndarray of str or None
        Names of the columns; None if they have no names.

    Returns
    -------
    list of int
        In ascending order; empty for "from_dtype".
    """
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        return []
    allowed = "'from_dtype', names, indices or a mask of the columns of X"
    if categorical_features is None or isinstance(categorical_features, (str, int)):
        refuse("categorical_features", categorical_features, allowed)
    requested = np.asarray(categorical_features)
    n_columns = rows.shape[1]
    if requested.size == 0:
        return []
    if requested.ndim != 1:
        refuse("categorical_features", categorical_features, allowed)
    if sparse.issparse(rows):
        refuse("categorical_features", categorical_features, "'from_dtype' for a sparse X")
    if requested.dtype.kind == "b" and requested.shape == (n_columns,):
        return np.flatnonzero(requested).tolist()
    if requested.dtype.kind in "iu" and ((requested >= 0) & (requested < n_columns)).all():
        return sorted(set(requested.tolist()))
    known = {} if names is None else {name: j for j, name in enumerate(names)}
    if requested.dtype.kind in "OUS" and all(name in known for name in requested.tolist()):
        return sorted({known[name] for name in requested.tolist()})
    refuse("categorical_features", categorical_features, allowed)


def nominal_columns(
    categorical_features: Any, X: Any, names: Sequence[str] | np.ndarray | None
) -> list[int]:
    """Return the indices of the columns of the caller's X that the user declared categorical.

    Unlike :func:`resolve_categorical`, this function accepts a nested list. For a sparse X it
    returns an empty list and raises no error.

    Parameters
    ----------
    categorical_features : "from_dtype", or array-like of str, int or bool
        Names, indices or a mask of the declared columns. "from_dtype" declares none.
    X : container with a shape, or nested list
        The caller's own object. Only its number of columns is read.
    names : ndarray of str or None
        Names of the columns; None if they have no names.

    Returns
    -------
    list of int
        In ascending order; empty for "from_dtype" and for a sparse matrix.
    """
    if sparse.issparse(X):
        return []
    rows = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
    return resolve_categorical(categorical_features, rows, names)


def is_plain_table(X: Any) -> bool:
    """Whether X is dense and 2-d with at most 1000 columns.

    Sparse or wider X may be texts, and X with more dimensions may be images.
    """
    if sparse.issparse(X):
        return False
    first = X[:1] if isinstance(X, (list, tuple)) else X
    shape = X.shape if hasattr(X, "shape") else np.asarray(first, dtype=object).shape
    return len(shape) == 2 and shape[1] <= MOST_COLUMNS


def _keep_types(X: Any) -> np.ndarray:
    """Convert a nested list to an array in which numbers next to strings stay numbers."""
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.dtype.kind in "US" and array is not X and not hasattr(X, "dtype"):
        array = np.array(X, dtype=object)
    return array


def _numeric_if_possible(table: Table) -> Any:
    """Check a table, and return it as a float64 array if all columns are numeric."""
    numbers = [column for column in table.columns if column.dtype != object]
    for column in numbers:
        assert_all_finite(column, allow_nan=True, input_name="X")
    if len(table) == 0 or table.shape[1] == 0:
        raise ValueError(
            f"Found array with {table.shape[0]} sample(s) and {table.shape[1]} feature(s) "
            f"(shape={table.shape}) while a minimum of 1 is required."
        )
    if len(numbers) < table.shape[1]:
        return table
    return np.column_stack(numbers)


def count_rows(X: Any) -> int:
    """Return the number of rows of any container that scikit-learn accepts."""
    return _num_samples(X)


def picked(X: Any, index: np.ndarray) -> Any:
    """Return the rows at the positions `index` of any container of rows.

    Parameters
    ----------
    X : container of rows
    index : ndarray of int

    Returns
    -------
    container of rows
    """
    if sparse.issparse(X):
        X = X.tocsr()
    elif hasattr(X, "itercolumns"):  # pyarrow, which scikit-learn 1.6 cannot index
        return X.take(index)
    elif not hasattr(X, "__getitem__"):
        X = np.asarray(X)
    return _safe_indexing(X, index)
