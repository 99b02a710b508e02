"""Where the trees of a teacher split the columns of X.

Each split says that something happens at a threshold, and its gain how much. Read are the
trees of scikit-learn, XGBoost, LightGBM and CatBoost, also inside of ensembles, searches,
calibration and lists of teachers.

Behind other steps of a pipeline a tree splits transformed columns. Which column of X one
comes from, and which value a threshold was, is found by probing with rows whose cells come
from many. First each column is at its lowest or at its highest value, in a pattern of its
own, and an output that moves in the pattern of a column belongs to that. Then the columns
run through their values, once all of them rising and once each in an order of its own: if
an output is the same function of its column both times, and never turns back, its
thresholds are interpolated between these values. That needs to know nothing of the steps;
columns that mix others, as those of PCA and products do, are left out.
"""

import json
from dataclasses import dataclass

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

#: Observed values that a column takes while it is probed.
MOST_PROBES = 256

#: Rows that steps inside of steps are probed with.
MOST_ROWS = 2000


def thresholds_of(teacher, X):
    """Thresholds of the numeric columns of X, and their gains.

    Parameters
    ----------
    teacher : object or list of (object, float)
        Fitted. A list weights the gains of its members, each scaled to a sum of 1.
    X : array-like, sparse matrix or table of shape (n_rows, n_columns)
        Rows as the teacher takes them.

    Returns
    -------
    dict of int to (ndarray, ndarray)
        By index of the column: thresholds in any order, with ties, and the gain of each
        (1 where the teacher keeps none). Empty for a teacher without trees.

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
        X = X.tocsr()  # not every format has columns to pick
    elif not is_table(X):
        X = np.asarray(X)
    splits = _joined(_shares(_splits(m, X), weight) for m, weight in members_of(teacher))
    found = {}
    for j in np.unique(splits.column).tolist():
        of_column = splits.column == j
        found[j] = splits.threshold[of_column], splits.gain[of_column]
    return found


@dataclass
class Splits:
    """Splits of trees, as arrays of equal length."""

    column: np.ndarray
    threshold: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, column=(), threshold=(), gain=()):
        """Splits from anything that converts."""
        column, threshold = np.asarray(column, dtype=np.intp), np.asarray(threshold, dtype=float)
        return cls(column, threshold, np.maximum(np.asarray(gain, dtype=float), 0.0))

    def __getitem__(self, which):
        return Splits(self.column[which], self.threshold[which], self.gain[which])

    def __len__(self):
        return len(self.column)

    def on(self, columns):
        """The same splits where column i is another one's name for `columns[i]`."""
        return Splits(np.asarray(columns, dtype=np.intp)[self.column], self.threshold, self.gain)

    def times(self, factor):
        """The same splits with other gains."""
        return Splits(self.column, self.threshold, self.gain * factor)


def _joined(parts):
    parts = list(parts)
    if not parts:
        return Splits.of()
    names = ("column", "threshold", "gain")
    return Splits(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _shares(splits, weight=1.0):
    """The same splits with gains of a given sum: units differ between kinds of trees."""
    total = splits.gain.sum()
    return splits.times(weight / total) if total > 0 else splits


def _splits(model, X):
    """The splits of a fitted model in the columns of X, whatever kind it is."""
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


def _of_members(model, members, X):
    """Of an ensemble."""
    if hasattr(model, "named_estimators_"):  # of several kinds
        weights = getattr(model, "_weights_not_none", None) or [1.0] * len(members)
        parts = zip(members, weights, strict=True)
        found = [_shares(_splits(member, X), weight) for member, weight in parts]
        if getattr(model, "passthrough", False):
            found.append(_shares(_of_final_estimator(model, X)))
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
            seen = _safe_indexing(X, columns, axis=1)
            found.append(_splits(member, seen).on(columns))
    return _joined(found)


def _of_final_estimator(stacking, X):
    """Splits of columns of X that a stack hands on behind its members' answers."""
    answers_and_rows = stacking.transform(_some_rows(X))
    n_columns = X.shape[1]
    own = np.append(np.full(answers_and_rows.shape[1] - n_columns, -1), np.arange(n_columns))
    splits = _splits(stacking.final_estimator_, answers_and_rows).on(own)
    return splits[splits.column >= 0]


def _without_names(X, member):
    """X as an ensemble hands it to a member that knows no names."""
    return np.asarray(X) if is_table(X) and not hasattr(member, "feature_names_in_") else X


def _of_tree(tree):
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left != right)
    impurity = tree.weighted_n_node_samples * tree.impurity
    gain = impurity[inner] - impurity[left[inner]] - impurity[right[inner]]
    return Splits.of(tree.feature[inner], tree.threshold[inner], gain)


def _of_histograms(model):
    """Of HistGradientBoosting, which puts categorical columns first."""
    trees = [tree.nodes for trees in model._predictors for tree in trees]
    nodes = np.concatenate(trees) if trees else np.empty(0)
    if len(nodes) == 0:
        return Splits.of()
    nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
    nodes = nodes[np.isfinite(nodes["num_threshold"])]  # else missing values from all others
    splits = Splits.of(nodes["feature_idx"], nodes["num_threshold"], nodes["gain"])
    if getattr(model, "_preprocessor", None) is None:
        return splits
    is_categorical = np.asarray(model.is_categorical_)
    return splits.on(np.r_[np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)])


def _of_xgboost(model):
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    names = booster.feature_names or [f"f{j}" for j in range(booster.num_features())]
    index = {name: j for j, name in enumerate(names)}
    nodes = _nodes(map(json.loads, booster.get_dump(dump_format="json", with_stats=True)))
    found = [
        (index[node["split"]], node["split_condition"], node.get("gain", 1.0))
        for node in nodes
        if isinstance(node.get("split_condition"), (int, float))  # a list is of categories
    ]
    return Splits.of(*zip(*found, strict=True))


def _of_lightgbm(model):
    booster = getattr(model, "booster_", model)
    nodes = _nodes(tree["tree_structure"] for tree in booster.dump_model()["tree_info"])
    found = [
        (node["split_feature"], node["threshold"], node["split_gain"])
        for node in nodes
        if node.get("decision_type") == "<="
    ]
    return Splits.of(*zip(*found, strict=True))


def _of_catboost(model):
    borders = {j: found for j, found in model.get_borders().items() if len(found)}
    column = np.repeat(list(borders), [len(found) for found in borders.values()])
    threshold = np.concatenate([np.empty(0), *borders.values()])
    return Splits.of(column, threshold, np.ones(len(threshold)))


OF_LIBRARY = {"xgboost": _of_xgboost, "lightgbm": _of_lightgbm, "catboost": _of_catboost}


def _nodes(roots):
    """All nodes of nested trees."""
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        yield node
        children = [node[side] for side in ("left_child", "right_child") if side in node]
        waiting += node.get("children", children)


def _of_pipeline(pipeline, X):
    """Splits of what comes out of the steps, in the columns of X."""
    steps, last = pipeline[:-1], pipeline[-1]
    if len(steps) == 0:
        return _splits(last, X)
    try:
        seen = steps.transform(_some_rows(X))
    except Exception:  # whatever stands around the pipeline hands it something else than X
        return Splits.of()
    splits = _splits(last, seen)
    if len(splits) == 0:
        return splits
    outputs = np.unique(splits.column)

    def answer(donors):
        try:
            with np.errstate(all="ignore"):
                rows = copied(_put_together(X, donors))  # which may share the names of columns
                seen = _safe_indexing(steps.transform(rows), outputs, axis=1)
            return np.asarray(seen.toarray() if sparse.issparse(seen) else seen, dtype=float)
        except Exception:  # the user's steps may refuse rows that nobody has seen before
            return np.full((len(donors), len(outputs)), np.nan)

    return _joined(
        _inverted(splits[splits.column == outputs[i]], j, values, curve)
        for i, j, values, curve in _curves(X, answer)
    )


def _curves(X, answer):
    """For outputs that are functions of one numeric column: which, of which, and the curve.

    `answer` gives the outputs for rows of which it is told, by column, from what rows of X
    the cells are.
    """
    columns = _columns(X)
    ends = np.array([_lowest_and_highest(columns(j)) for j in range(X.shape[1])])
    sources = _sources(ends, answer)
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
    risen, shuffled = np.split(answer(np.concatenate([rising, mixed])), 2)
    for i, j in enumerate(sources.tolist()):
        if j in values and _are_close(risen[orders[j], i], shuffled[:, i]):
            yield i, j, values[j], risen[: len(values[j]), i]


def _sources(ends, answer):
    """The only column that each output moves with, or -1.

    Column j is at its highest value in row b, and at its lowest in row b of the second
    half, if bit b of the number j is 1; if it is 0, the other way round. An output that is
    a function of it alone moves in those rows where the column does.
    """
    numbers = np.arange(len(ends))
    places = np.arange(max(1, int(numbers[-1]).bit_length()))[:, None]
    bits = numbers >> places & 1
    is_high = np.concatenate([np.zeros_like(bits[:1]), bits, 1 - bits])
    lowest, *answers = answer(np.where(is_high, ends[:, 1], ends[:, 0]))
    moves, moves_otherwise = np.split(~_equal(np.array(answers), lowest), 2)
    found = (moves << places).sum(axis=0)
    is_clear = (moves != moves_otherwise).all(axis=0) & (found < len(ends))
    return np.where(is_clear, found, -1)


def _equal(a, b):
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _are_close(a, b):
    """Whether two series are finite, and the same but for rounding."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return np.allclose(a, b, rtol=0.0, atol=1e-9 * np.abs(a).max())


def _some_rows(X):
    """Copies: all rows of a table, picked, may be the table itself."""
    return copied(picked(X, _spread(_num_samples(X), MOST_ROWS)))


def _spread(n, most):
    """Indices from 0 to n - 1, at most so many, the first and the last among them."""
    return np.linspace(0, n - 1, min(n, most)).astype(int)


def _inverted(splits, j, values, answers):
    """Splits of a monotone function of column j, as splits of column j."""
    if answers[-1] < answers[0]:
        values, answers = values[::-1], answers[::-1]
    if not (np.diff(answers) >= 0).all():
        return Splits.of()
    splits = splits[(splits.threshold >= answers[0]) & (splits.threshold <= answers[-1])]
    rises = np.append(True, np.diff(answers) > 0)
    threshold = np.interp(splits.threshold, answers[rises], values[rises])
    return Splits(np.full(len(splits), j), threshold, splits.gain)


def _columns(X):
    """A function that gives a column of X as an array, by its index."""
    if is_table(X) or (isinstance(X, np.ndarray) and X.dtype.kind not in "fiu"):
        return read_table(X).columns.__getitem__
    if sparse.issparse(X):
        by_column = X.tocsc()
        return lambda j: by_column[:, [j]].toarray().ravel()
    return lambda j: X[:, j]


def _lowest_and_highest(values):
    """Rows with the lowest and with the highest value; of no numbers, with any two."""
    is_numeric = values.dtype.kind in "fiu"
    is_gap = ~np.isfinite(values.astype(float)) if is_numeric else np.equal(values, None)
    known = np.flatnonzero(~is_gap.astype(bool))
    if len(known) == 0:
        return [0, 0]
    if is_numeric:
        return [known[values[known].argmin()], known[values[known].argmax()]]
    return [known[0], known[(values[known] != values[known[0]]).argmax()]]


def _distinct(values):
    """Some of the distinct values of a column, in ascending order, and rows that have them."""
    values, first = np.unique(values.astype(float), return_index=True)
    first, values = first[np.isfinite(values)], values[np.isfinite(values)]
    some = _spread(len(values), MOST_PROBES)
    return values[some], first[some]


def _put_together(X, donors):
    """Rows in the container of X; `donors` says for each cell from which row it is."""
    if not sparse.issparse(X):
        return container_of(X).rows(donors, {})
    rows, columns = np.empty(donors.shape, dtype=X.dtype), _columns(X)
    for j in range(X.shape[1]):
        rows[:, j] = columns(j)[donors[:, j]]
    return type(X)(rows)
