"""The schema of a fitted network: which columns it reads, and which classes it predicts.

A schema consists of NumPy arrays and plain Python values, and can be written as JSON. Exported
files hold it, so that a reader of the file knows how to make the inputs of the network.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from skkd.preprocessing.preprocessor import ColumnPreprocessor, OneHot, PassThrough, Preprocessor

__all__ = ["Described", "Feature", "Schema", "schema_of"]

#: The dtypes of classes that are numbers.
NUMBERS = (
    *("|b1", "|i1", "|u1"),
    *(f"{order}{kind}" for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8")),
    *(f"{order}{kind}" for order in "<>" for kind in ("f2", "f4", "f8")),
)

#: The largest number of bytes of an array of classes.
MOST_BYTES = 2**28


@dataclass(frozen=True)
class Feature:
    """One column of X.

    Parameters
    ----------
    name : str
    categories : tuple or None
        The categories that have an input of their own; None among them stands for a missing
        value. None instead of a tuple: the column holds numbers.
    others_share_an_input : bool, default=False
        Whether all other values share one input, as rare categories do. Otherwise another
        value counts as unknown, and has no input.
    """

    name: str
    categories: tuple | None = None
    others_share_an_input: bool = False

    @property
    def kind(self) -> str:
        """How the column is read: "number" or "category"."""
        return "number" if self.categories is None else "category"

    def one_hot(self, column: int) -> OneHot:
        """Return the encoder of a category at a position in the table."""
        categories = list(self.categories or ())
        rare = len(categories) if self.others_share_an_input else -1
        return OneHot(column, categories, len(categories) + self.others_share_an_input, rare)


@dataclass(frozen=True, eq=False)
class Schema:
    """The columns that a network reads, and the classes that it predicts.

    Parameters
    ----------
    features : tuple of Feature
        One for each column of X, in order.
    classes : ndarray of shape (n_classes,)
    has_names : bool
        Whether the names of `features` are those of the table of `fit`. Otherwise they are made
        from the positions of the columns.
    dtype : str
        The dtype in which numbers are read.
    allows_missing : bool
        Whether a number may be missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from skkd import NeuralClassifier
    >>> X = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "job": ["cook", "smith"] * 2})
    >>> clf = NeuralClassifier((8,), max_epochs=2).fit(X, ["no", "yes"] * 2)
    >>> schema = clf.network_.schema
    >>> [(feature.name, feature.kind, feature.categories) for feature in schema.features]
    [('age', 'number', None), ('job', 'category', ('cook', 'smith'))]
    >>> schema.classes.tolist()
    ['no', 'yes']
    """

    features: tuple[Feature, ...]
    classes: np.ndarray
    has_names: bool
    dtype: str
    allows_missing: bool

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [feature.name for feature in self.features]

    @property
    def categorical(self) -> list[int]:
        """Positions of the columns that hold categories."""
        return [j for j, feature in enumerate(self.features) if feature.categories is not None]

    @property
    def encoders(self) -> list[OneHot]:
        """The encoder of each column that holds categories."""
        return [self.features[j].one_hot(j) for j in self.categorical]

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain Python values, which JSON can hold."""
        return {
            "features": [
                {"name": feature.name, "kind": feature.kind}
                | ({} if feature.categories is None else _categories_to_dict(feature))
                for feature in self.features
            ],
            "classes": self.classes.tolist(),
            "classes_dtype": _name_of_dtype(self.classes),
            "has_names": self.has_names,
            "dtype": self.dtype,
            "allows_missing": self.allows_missing,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Schema":
        """Make a schema from what :meth:`to_dict` returned.

        Parameters
        ----------
        values : dict

        Returns
        -------
        Schema

        Raises
        ------
        ValueError, TypeError or KeyError
            If `values` is not the description of a schema.
        """
        labels = list(values["classes"])
        classes = np.array(labels, dtype=_dtype_of_classes(values["classes_dtype"], labels))
        if classes.tolist() != labels or not 2 <= len(set(labels)) == len(labels):
            raise ValueError("the classes are not at least two different values of one type")
        if values["dtype"] not in ("float32", "float64"):
            raise ValueError(f"numbers of dtype {values['dtype']!r}")
        return cls(
            features=tuple(map(_feature_from_dict, values["features"])),
            classes=classes,
            has_names=bool(values["has_names"]),
            dtype=values["dtype"],
            allows_missing=bool(values["allows_missing"]),
        )


def schema_of(
    preprocessor: Preprocessor, classes: np.ndarray, names: tuple[str, ...] | None, dtype: str
) -> Schema:
    """Describe the columns that a preprocessor reads.

    Parameters
    ----------
    preprocessor : ColumnPreprocessor or PassThrough
    classes : ndarray of shape (n_classes,)
    names : tuple of str or None
        The names of the columns in `fit`, if they had any.
    dtype : str
        The dtype of the network's weights. It is the dtype of X, too, if nothing is scaled.

    Returns
    -------
    Schema

    Raises
    ------
    ValueError
        For a user's transformer and for images, whose columns are not known.
    """
    if isinstance(preprocessor, PassThrough):
        columns = names or tuple(f"x{j}" for j in range(preprocessor.n_features))
        features = tuple(map(Feature, columns))
        return Schema(features, classes, names is not None, dtype, allows_missing=False)
    if not isinstance(preprocessor, ColumnPreprocessor):
        raise ValueError(f"the columns of a {type(preprocessor).__name__} are not known.")
    columns = names or tuple(preprocessor.names or map("x{}".format, range(preprocessor.n_columns)))
    by_column = {encoder.column: encoder for encoder in preprocessor.one_hot}
    described = tuple(_feature_of(name, by_column.get(j)) for j, name in enumerate(columns))
    return Schema(described, classes, names is not None, "float64", allows_missing=True)


def _feature_of(name: str, encoder: OneHot | None) -> Feature:
    if encoder is None:
        return Feature(name)
    plain = (c.item() if isinstance(c, np.generic) else c for c in encoder.categories)
    return Feature(name, tuple(plain), encoder.rare >= 0)


def _categories_to_dict(feature: Feature) -> dict[str, Any]:
    return {
        "categories": list(feature.categories or ()),
        "others_share_an_input": feature.others_share_an_input,
    }


def _feature_from_dict(values: dict[str, Any]) -> Feature:
    name, kind = values["name"], values["kind"]
    if not isinstance(name, str) or kind not in ("number", "category"):
        raise ValueError(f"a column {name!r} of kind {kind!r}")
    if kind == "number":
        return Feature(name)
    categories = tuple(values["categories"])
    if not all(isinstance(c, (str, int, float, type(None))) for c in categories):
        raise ValueError(f"column {name!r} has categories that are neither text nor numbers")
    return Feature(name, categories, bool(values["others_share_an_input"]))


def _name_of_dtype(classes: np.ndarray) -> str:
    """The dtype as a text; that of texts is as long as the longest label."""
    if classes.dtype == object:
        return "object"
    if classes.dtype.kind == "U":
        return f"{classes.dtype.str[0]}U{max(map(len, classes.tolist()))}"
    return classes.dtype.str


def _dtype_of_classes(name: Any, labels: list) -> Any:
    """The dtype of a name that :func:`_name_of_dtype` returned; labels must fit to it."""
    if not all(isinstance(label, (str, bool, int, float)) for label in labels):
        raise ValueError("the classes are neither text nor numbers")
    if name == "object":
        return np.dtype(object)
    if name in NUMBERS:
        return np.dtype(name)
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"classes of dtype {name!r}")
    length = max(map(len, labels))
    if name not in (f"<U{length}", f">U{length}") or 4 * length * len(labels) > MOST_BYTES:
        raise ValueError(f"classes of dtype {name!r}, and texts of up to {length} characters")
    return np.dtype(name)


class Described:
    """A fitted network that knows its classes and the names of its columns: it has a schema.

    A subclass is a dataclass with the fields `preprocessor`, `classes` and `feature_names`, and
    has `dtype_of_weights`.
    """

    preprocessor: Preprocessor
    classes: np.ndarray | None
    feature_names: tuple[str, ...] | None
    dtype_of_weights: Any

    def described(self, classes: np.ndarray, feature_names: Any = None) -> Self:
        """Return this network with its classes and the names of its columns.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)
        feature_names : array-like of str, default=None

        Returns
        -------
        Network or ModuleNetwork
        """
        names = None if feature_names is None else tuple(map(str, feature_names))
        network: Any = self  # for mypy: a dataclass
        return replace(network, classes=classes, feature_names=names)

    @property
    def schema(self) -> Schema:
        """The columns that the network reads, and the classes that it predicts.

        It raises a ValueError for images and for a user's transformer, whose columns are not
        known, and for a network without classes.
        """
        if self.classes is None:
            raise ValueError("this network has no classes: give them with described(classes).")
        names, dtype = self.feature_names, self.dtype_of_weights
        return schema_of(self.preprocessor, self.classes, names, dtype)
