"""Checks of trees in ONNX: a wrong number in them would lead ONNX Runtime out of its memory."""

from typing import Any

import numpy as np

__all__ = ["check_trees"]

#: ONNX Runtime follows a tree by recursion, so its depth is limited.
MOST_DEPTH = 1000

#: Numbers of trees and nodes are smaller.
MOST_IDS = 2**31

BRANCHES = tuple(f"BRANCH_{kind}" for kind in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ"))


def check_trees(attributes: dict[str, Any], kind: str, n_features: int, n_outputs: int) -> None:
    """Check the trees of a TreeEnsembleClassifier or TreeEnsembleRegressor.

    Parameters
    ----------
    attributes : dict of str to object
        The attributes of the node.
    kind : {"class", "target"}
        How the names of the attributes of leaves begin.
    n_features : int
        The number of columns of the input.
    n_outputs : int
        The number of classes or targets.

    Raises
    ------
    ValueError
        If the nodes are no trees, or a number points to a column, node or output that is not
        there.
    """
    tree, node = _ids(attributes, "nodes_treeids"), _ids(attributes, "nodes_nodeids")
    modes = np.array(attributes.get("nodes_modes", []), dtype=object)
    is_leaf = modes == "LEAF"
    if not (is_leaf | np.isin(modes, BRANCHES)).all():
        raise ValueError("a tree has nodes of another mode")
    features = _ids(attributes, "nodes_featureids")
    n_nodes = len(tree)
    columns = [node, modes, features, _numbers(attributes, "nodes_values")]
    optional = [_numbers(attributes, "nodes_hitrates")]
    optional.append(attributes.get("nodes_missing_value_tracks_true", []))
    if n_nodes == 0 or any(len(column) != n_nodes for column in columns):
        raise ValueError("nodes of trees lack some of their values")
    if any(len(column) not in (0, n_nodes) for column in optional):
        raise ValueError("nodes of trees lack some of their values")
    if (features[~is_leaf] >= n_features).any():
        raise ValueError(f"a tree reads a column beyond the {n_features} of its input")
    keys = tree * MOST_IDS + node
    order = np.argsort(keys)
    ordered = keys[order]
    if (np.diff(ordered) == 0).any():
        raise ValueError("two nodes of a tree have the same number")
    _check_children(attributes, tree, is_leaf, ordered, order)
    _check_leaves(attributes, kind, is_leaf, ordered, order, n_outputs)


def _ids(attributes: dict[str, Any], name: str) -> np.ndarray:
    values = np.array(attributes.get(name, []), dtype=np.int64)
    if not ((values >= 0) & (values < MOST_IDS)).all():
        raise ValueError(f"{name} has numbers that are negative or too large")
    return values


def _numbers(attributes: dict[str, Any], name: str) -> Any:
    """Numbers that are a list, or a tensor under a name of its own."""
    given = [attributes[n] for n in (name, f"{name}_as_tensor") if n in attributes]
    if len(given) > 1 and len(given[0]) and len(given[1]):
        raise ValueError(f"{name} is given twice")
    return max(given, key=len, default=[])


def _found(ordered: np.ndarray, order: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The positions of nodes with some keys."""
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    if not (ordered[at] == keys).all():
        raise ValueError("a tree points to a node that is not there")
    return order[at]


def _check_children(
    attributes: dict[str, Any],
    tree: np.ndarray,
    is_leaf: np.ndarray,
    ordered: np.ndarray,
    order: np.ndarray,
) -> None:
    """Each node but the first of its tree is the child of one node; no path is a circle."""
    branches = np.flatnonzero(~is_leaf)
    parent = np.arange(len(tree))
    n_parents = np.zeros(len(tree), dtype=np.int64)
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        ids = _ids(attributes, name)
        if len(ids) != len(tree):
            raise ValueError("nodes of trees lack some of their values")
        children = _found(ordered, order, tree[branches] * MOST_IDS + ids[branches])
        parent[children] = branches
        np.add.at(n_parents, children, 1)
    is_first = np.r_[True, np.diff(tree) != 0]
    if is_first.sum() != len(np.unique(tree)) or not (n_parents == ~is_first).all():
        raise ValueError("the nodes are no trees")
    depth = (~is_first).astype(np.int64)
    for _ in range(MOST_DEPTH.bit_length()):
        depth, parent = depth + depth[parent], parent[parent]
    if not is_first[parent].all() or depth.max() > MOST_DEPTH:
        raise ValueError(f"the nodes are no trees of a depth of at most {MOST_DEPTH}")


def _check_leaves(
    attributes: dict[str, Any],
    kind: str,
    is_leaf: np.ndarray,
    ordered: np.ndarray,
    order: np.ndarray,
    n_outputs: int,
) -> None:
    """Weights belong to leaves, and to outputs that are there."""
    tree, node, output = (_ids(attributes, f"{kind}_{what}ids") for what in ("tree", "node", ""))
    weights = _numbers(attributes, f"{kind}_weights")
    if not 0 < len(tree) == len(node) == len(output) == len(weights):
        raise ValueError("weights of leaves lack some of their values")
    if not is_leaf[_found(ordered, order, tree * MOST_IDS + node)].all():
        raise ValueError("a node that is no leaf has a weight")
    if (output >= n_outputs).any():
        raise ValueError(f"a leaf gives an output beyond the {n_outputs}")
    n_bases = len(_numbers(attributes, "base_values"))
    if n_bases not in (0, n_outputs) and (kind, n_bases, n_outputs) != ("class", 1, 2):
        raise ValueError(f"{n_bases} base values for {n_outputs} outputs")
