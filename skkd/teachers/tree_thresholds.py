"""Thresholds at which the trees of a teacher split the columns of X, and the gain of each split.

A student can use the thresholds as bin edges of its numeric encoding. Trees of scikit-learn,
XGBoost, LightGBM and CatBoost are read, also inside ensembles, searches, calibrated
classifiers and lists of teachers.

In a pipeline, the trees split columns that the earlier steps return. Such a column is called an
output here. A threshold of an output has to be turned into a threshold of a column of X. For
this, the steps transform two sets of synthetic rows:

1. The first set finds the column of X that an output depends on. In each row, some columns of X
   have their highest value, and the rest have their lowest value. The set of rows in which a
   column has its highest value is different for each column. If an output changes in exactly the
   rows in which a column changes, it depends on this column alone.
2. The second set finds the function that maps the column to the output. In its first half, each
   column of X is in ascending order. In its second half, each column is in a random order of its
   own. If the output is the same monotone function of the column in both halves, its thresholds
   are turned into thresholds of the column by interpolation.

This works for steps of any kind. Outputs that depend on several columns (of PCA, of products)
are left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skkd.data.containers import container_of
from skkd.data.protected_data import copied
from skkd.data.tables import is_table, read_table
from skkd.data.validation import picked
from skkd.teachers.members import members_of, unwrapped

__all__ = ["thresholds_of"]

#: The largest number of values of a column that are tried.
MOST_PROBES = 256

#: The largest number of rows of X that pass through the steps of a pipeline.
MOST_ROWS = 2000


def thresholds_of(teacher: Any, X: Any) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Thresholds at which a teacher's trees split the numeric columns of X, with their gains.

    If the teacher does not store gains, they are all equal.

    Parameters
    ----------
    teacher : object or list of (object, float)
        One fitted model, or a list of (model, weight). The gains of each model in a list are
        scaled so that their sum is the weight of the model.
    X : array-like, sparse matrix or table of shape (n_rows, n_columns)
        Rows as the teacher takes them.

    Returns
    -------
    dict of int to (ndarray, ndarray)
        Column index -> (thresholds, gains), unsorted and with repetitions; empty without trees.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = [[0.0, 0.0], [1.0, 0.0], [8.0, 1.0], [9.0, 0.0]], [0, 0, 1, 1]
    >>> tree = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(X, y)
    >>> {j: thresholds.round(3).tolist() for j, (thresholds, _) in thresholds_of(tree, X).items()}
    {0: [4.5]}
    """
    if sparse.issparse(X):
        X = X.tocsr()  # columns cannot be taken from every format
    elif not is_table(X):
        X = np.asarray(X)
    splits = _joined(_with_sum(_splits(m, X), weight) for m, weight in members_of(teacher))
    found = {}
    for j in np.unique(splits.column).tolist():
        of_column = splits.column == j
        found[j] = splits.threshold[of_column], splits.gain[of_column]
    return found


@dataclass
class Splits:
    """Splits of trees, as arrays with one entry per split."""

    column: np.ndarray  #: the index of the column that is split
    threshold: np.ndarray
    gain: np.ndarray  #: by how much the split lowers the impurity or loss; never negative

    @classmethod
    def of(cls, column: Any = (), threshold: Any = (), gain: Any = ()) -> "Splits":
        """Make splits from array-likes; negative gains become 0."""
        column, threshold = np.asarray(column, dtype=np.intp), np.asarray(threshold, dtype=float)
        return cls(column, threshold, np.maximum(np.asarray(gain, dtype=float), 0.0))

    def __getitem__(self, which: np.ndarray) -> "Splits":
        return Splits(self.column[which], self.threshold[which], self.gain[which])

    def __len__(self) -> int:
        return len(self.column)

    def on(self, columns: Any) -> "Splits":
        """A copy in which each column index i is replaced by `columns[i]`."""
        return Splits(np.asarray(columns, dtype=np.intp)[self.column], self.threshold, self.gain)

    def times(self, factor: float) -> "Splits":
        """A copy in which all gains are multiplied by a factor."""
        return Splits(self.column, self.threshold, self.gain * factor)


def _joined(parts: Iterable[Splits]) -> Splits:
    parts = list(parts)
    if not parts:
        return Splits.of()
    names = ("column", "threshold", "gain")
    return Splits(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _with_sum(splits: Splits, weight: float = 1.0) -> Splits:
    """Scale the gains of splits to the sum `weight`."""
    # Each kind of tree has gains in a unit of its own.
    total = splits.gain.sum()
    return splits.times(weight / total) if total > 0 else splits


def _splits(model: Any, X: Any) -> Splits:
    """The splits in the trees of a fitted model; empty if it has no trees."""
    model = unwrapped(model)
    for kind in type(model).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in OF_LIBRARY:
            return OF_LIBRARY[library](model)
    if isinstance(model, Pipeline):
        return _of_pipeline(model, X)
    if hasattr(model, "tree_"):
        return _of_tree(model.tree_)
    if hasattr(model, "_predictors"):
        return _of_histograms(model)
    if hasattr(model, "calibrated_classifiers_"):
        return _joined(_splits(one.estimator, X) for one in model.calibrated_classifiers_)
    for attribute in ("best_estimator_", "estimators_", "estimator_"):
        inside = getattr(model, attribute, None)
        if isinstance(inside, (np.ndarray, list, tuple)):
            members = inside.ravel().tolist() if isinstance(inside, np.ndarray) else inside
            return _of_members(model, members, X)
        if inside is not None:
            return _splits(inside, X)
    return Splits.of()


def _of_members(model: Any, members: Sequence[Any], X: Any) -> Splits:
    """The splits of all members of an ensemble, with gains multiplied by the members' weights."""
    if hasattr(model, "named_estimators_"):  # members of several kinds
        weights = getattr(model, "_weights_not_none", None) or [1.0] * len(members)
        parts = zip(members, weights, strict=True)
        found = [_with_sum(_splits(member, X), weight) for member, weight in parts]
        if getattr(model, "passthrough", False):
            found.append(_with_sum(_of_final_estimator(model, X)))
        return _joined(found)
    n = len(members)
    weights = getattr(model, "estimator_weights_", np.ones(n))  # AdaBoost's
    subsets = getattr(model, "estimators_features_", None)  # Bagging's
    X = _without_names(X, members[0]) if members else X
    found = []
    for member, weight, columns in zip(members, weights, subsets or [None] * n, strict=False):
        if columns is None:
            found.append(_splits(member, X).times(weight))
        else:
            part = _safe_indexing(X, columns, axis=1)
            found.append(_splits(member, part).on(columns))
    return _joined(found)


def _of_final_estimator(stacking: Any, X: Any) -> Splits:
    """The splits of columns of X in the final estimator of a StackingClassifier."""
    # With passthrough=True it gets the predictions of the members, then the columns of X.
    answers_and_rows = stacking.transform(_some_rows(X))
    n_columns = X.shape[1]
    own = np.append(np.full(answers_and_rows.shape[1] - n_columns, -1), np.arange(n_columns))
    splits = _splits(stacking.final_estimator_, answers_and_rows).on(own)
    return splits[splits.column >= 0]


def _without_names(X: Any, member: Any) -> Any:
    """X as an ensemble passes it to a member: an array if the member was fitted without names."""
    return np.asarray(X) if is_table(X) and not hasattr(member, "feature_names_in_") else X


def _of_tree(tree: Any) -> Splits:
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left != right)
    impurity = tree.weighted_n_node_samples * tree.impurity
    gain = impurity[inner] - impurity[left[inner]] - impurity[right[inner]]
    return Splits.of(tree.feature[inner], tree.threshold[inner], gain)


def _of_histograms(model: Any) -> Splits:
    """The splits in the trees of HistGradientBoosting."""
    trees = [tree.nodes for trees in model._predictors for tree in trees]
    nodes: Any = np.concatenate(trees) if trees else np.empty(0)
    if len(nodes) == 0:
        return Splits.of()
    nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
    nodes = nodes[np.isfinite(nodes["num_threshold"])]  # the others split off missing values
    splits = Splits.of(nodes["feature_idx"], nodes["num_threshold"], nodes["gain"])
    if getattr(model, "_preprocessor", None) is None:
        return splits
    # Its trees get the categorical columns first.
    is_categorical = np.asarray(model.is_categorical_)
    return splits.on(np.r_[np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)])


def _of_xgboost(model: Any) -> Splits:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    names = booster.feature_names or [f"f{j}" for j in range(booster.num_features())]
    index = {name: j for j, name in enumerate(names)}
    nodes = _nodes(map(json.loads, booster.get_dump(dump_format="json", with_stats=True)))
    found = [
        (index[node["split"]], node["split_condition"], node.get("gain", 1.0))
        for node in nodes
        if isinstance(node.get("split_condition"), (int, float))  # a list holds categories
    ]
    return Splits.of(*zip(*found, strict=True))


def _of_lightgbm(model: Any) -> Splits:
    booster = getattr(model, "booster_", model)
    nodes = _nodes(tree["tree_structure"] for tree in booster.dump_model()["tree_info"])
    found = [
        (node["split_feature"], node["threshold"], node["split_gain"])
        for node in nodes
        if node.get("decision_type") == "<="
    ]
    return Splits.of(*zip(*found, strict=True))


def _of_catboost(model: Any) -> Splits:
    borders = {j: found for j, found in model.get_borders().items() if len(found)}
    column = np.repeat(list(borders), [len(found) for found in borders.values()])
    threshold = np.concatenate([np.empty(0), *borders.values()])
    return Splits.of(column, threshold, np.ones(len(threshold)))


OF_LIBRARY = {"xgboost": _of_xgboost, "lightgbm": _of_lightgbm, "catboost": _of_catboost}


def _nodes(roots: Iterable[dict]) -> Iterator[dict]:
    """Yield all nodes of trees that are given as nested dicts."""
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        yield node
        children = [node[side] for side in ("left_child", "right_child") if side in node]
        waiting += node.get("children", children)


def _of_pipeline(pipeline: Pipeline, X: Any) -> Splits:
    """The splits in the trees of a pipeline's last step, turned into splits of columns of X."""
    steps, last = pipeline[:-1], pipeline[-1]
    if len(steps) == 0:
        return _splits(last, X)
    try:
        transformed = steps.transform(_some_rows(X))
    except Exception:  # inside an ensemble, the pipeline may take other columns than X has
        return Splits.of()
    splits = _splits(last, transformed)
    if len(splits) == 0:
        return splits
    outputs = np.unique(splits.column)

    def outputs_of(donors: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):
                # Copied because the steps may change the column names, which X may share.
                rows = copied(_put_together(X, donors))
                found = _safe_indexing(steps.transform(rows), outputs, axis=1)
            return np.asarray(found.toarray() if sparse.issparse(found) else found, dtype=float)
        except Exception:  # the user's steps may refuse synthetic rows
            return np.full((len(donors), len(outputs)), np.nan)

    return _joined(
        _inverted(splits[splits.column == outputs[i]], j, values, curve)
        for i, j, values, curve in _curves(X, outputs_of)
    )


#: A function that returns the outputs of a pipeline's steps for n synthetic rows, as an array of
#: shape (n, n_outputs). Its argument `donors`, of shape (n, n_columns), describes these rows: the
#: value in row i and column j is copied from row donors[i, j] of X.
OutputsOf = Callable[[np.ndarray], np.ndarray]


def _curves(X: Any, outputs_of: OutputsOf) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield each output of a pipeline's steps that is a function of one numeric column of X.

    It comes as (output index, column index, ascending column values, output at these values).
    """
    columns = _columns(X)
    ends = np.array([_lowest_and_highest(columns(j)) for j in range(X.shape[1])])
    sources = _sources(ends, outputs_of)
    values, orders, random_state = {}, {}, np.random.RandomState(0)
    rising = np.tile(ends[:, 0], (MOST_PROBES, 1))
    mixed = random_state.randint(_num_samples(X), size=rising.shape)
    for j in np.unique(sources[sources >= 0]).tolist():
        if columns(j).dtype.kind not in "fiu":
            continue
        values[j], donors = _distinct(columns(j))
        order = np.minimum(np.arange(MOST_PROBES), len(donors) - 1)
        rising[:, j] = donors[order]
        orders[j] = random_state.permutation(order)
        mixed[:, j] = donors[orders[j]]
    if not values:
        return
    in_order, shuffled = np.split(outputs_of(np.concatenate([rising, mixed])), 2)
    for i, j in enumerate(sources.tolist()):
        if j in values and _are_close(in_order[orders[j], i], shuffled[:, i]):
            yield i, j, values[j], in_order[: len(values[j]), i]


def _sources(ends: np.ndarray, outputs_of: OutputsOf) -> np.ndarray:
    """For each output, the index of the column of X it depends on; -1 if not exactly one.

    `ends[j]` holds the indices of the rows of X with the lowest and the highest value of column j.
    """
    # The column indices j are written as binary numbers. The synthetic rows for three columns
    # are, with 0 for the lowest and 1 for the highest value of a column:
    #
    #     column j                   0  1  2
    #     first row                  0  0  0
    #     bit 0 of j                 0  1  0
    #     bit 1 of j                 0  0  1
    #     bit 0 of j, inverted       1  0  1
    #     bit 1 of j, inverted       1  1  0
    #
    # An output that depends on column j alone differs from its value in the first row exactly
    # where column j has its highest value. So the rows in which it differs spell the bits of j.
    numbers = np.arange(len(ends))
    places = np.arange(max(1, int(numbers[-1]).bit_length()))[:, None]
    bits = numbers >> places & 1
    is_high = np.concatenate([np.zeros_like(bits[:1]), bits, 1 - bits])
    lowest, *others = outputs_of(np.where(is_high, ends[:, 1], ends[:, 0]))
    changes, changes_opposite = np.split(~_equal(np.array(others), lowest), 2)
    found = (changes << places).sum(axis=0)
    is_clear = (changes != changes_opposite).all(axis=0) & (found < len(ends))
    return np.where(is_clear, found, -1)


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _are_close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two series are finite, and equal up to rounding."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return np.allclose(a, b, rtol=0.0, atol=1e-9 * np.abs(a).max())


def _some_rows(X: Any) -> Any:
    """Copy at most `MOST_ROWS` rows of X, so that steps of a pipeline do not change X itself."""
    return copied(picked(X, _spread(_num_samples(X), MOST_ROWS)))


def _spread(n: int, most: int) -> np.ndarray:
    """At most `most` evenly spaced indices, from 0 to n - 1."""
    return np.linspace(0, n - 1, min(n, most)).astype(int)


def _inverted(splits: Splits, j: int, values: np.ndarray, curve: np.ndarray) -> Splits:
    """Turn splits of a monotone function of column j into splits of column j itself.

    `curve` holds the function at ascending `values` of the column.
    """
    if curve[-1] < curve[0]:
        values, curve = values[::-1], curve[::-1]
    if not (np.diff(curve) >= 0).all():
        return Splits.of()
    splits = splits[(splits.threshold >= curve[0]) & (splits.threshold <= curve[-1])]
    rises = np.append(True, np.diff(curve) > 0)
    threshold = np.interp(splits.threshold, curve[rises], values[rises])
    return Splits(np.full(len(splits), j), threshold, splits.gain)


def _columns(X: Any) -> Callable[[int], np.ndarray]:
    """A function that maps a column index to this column of X as an array."""
    if is_table(X) or (isinstance(X, np.ndarray) and X.dtype.kind not in "fiu"):
        return read_table(X).columns.__getitem__
    if sparse.issparse(X):
        by_column = X.tocsc()
        return lambda j: by_column[:, [j]].toarray().ravel()
    return lambda j: X[:, j]


def _lowest_and_highest(values: np.ndarray) -> list[int]:
    """The row indices of the lowest and of the highest value of a column.

    If the column does not hold numbers, they are the indices of two different values.
    """
    is_numeric = values.dtype.kind in "fiu"
    nothing: Any = None
    is_gap = ~np.isfinite(values.astype(float)) if is_numeric else np.equal(values, nothing)
    known = np.flatnonzero(~is_gap.astype(bool))
    if len(known) == 0:
        return [0, 0]
    if is_numeric:
        return [known[values[known].argmin()], known[values[known].argmax()]]
    return [known[0], known[(values[known] != values[known[0]]).argmax()]]


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_PROBES` distinct values of a column, ascending, and a row index for each."""
    values, first = np.unique(values.astype(float), return_index=True)
    first, values = first[np.isfinite(values)], values[np.isfinite(values)]
    some = _spread(len(values), MOST_PROBES)
    return values[some], first[some]


def _put_together(X: Any, donors: np.ndarray) -> Any:
    """Make rows in which the value in row i and column j comes from row `donors[i, j]` of X."""
    if not sparse.issparse(X):
        return container_of(X).rows(donors, {})
    rows, columns = np.empty(donors.shape, dtype=X.dtype), _columns(X)
    for j in range(X.shape[1]):
        rows[:, j] = columns(j)[donors[:, j]]
    return type(X)(rows)
