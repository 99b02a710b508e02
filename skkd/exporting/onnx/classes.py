"""The classes of a classifier in an ONNX file of another program, found in its graph."""

from typing import Any

from skkd.exporting.onnx.foreign_check import CheckedGraph, attributes_of
from skkd.exporting.onnx.shapes import CLASSIFIERS, labels_in

__all__ = ["classes_of"]

#: Operators that leave labels as they are.
HAND_ON = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def classes_of(checked: CheckedGraph, label: str, probabilities: str) -> list:
    """Return the class of each column of the probabilities.

    Parameters
    ----------
    checked : CheckedGraph
    label, probabilities : str
        The names of the outputs.

    Returns
    -------
    list of (int or str)

    Raises
    ------
    ValueError
        If the file does not say it, or contradicts itself.
    """
    of_maps, of_labels = checked.maps.get(probabilities), _labels(checked, label)
    if of_maps and of_labels and of_maps != of_labels:
        raise ValueError("the label and the maps have different classes")
    classes = of_maps or of_labels
    if classes is None:
        raise ValueError("it does not say which class each column of the probabilities is of")
    if not 2 <= len(set(classes)) == len(classes):
        raise ValueError("the classes are not at least two different ones")
    return classes


def _labels(checked: CheckedGraph, name: str) -> list | None:
    """The labels that a value may have, by the column of the probabilities; None if unknown."""
    node = checked.makers.get(name)
    later: list[Any] = []  # from the label back to the node where it is a position
    while node is not None and node.op_type not in (*CLASSIFIERS, "ArgMax"):
        later.append(node)
        position = 1 if node.op_type in ("Gather", "ArrayFeatureExtractor") else 0
        node = checked.makers.get(node.input[position])
    if node is None:
        return None
    if node.op_type == "ArgMax":
        axis = attributes_of(node).get("axis", 0)
        labels: list | None = list(range(checked.shapes[node.input[0]][axis]))
    else:
        labels = labels_in(attributes_of(node, "classlabels"))
    for node in reversed(later):
        labels = None if labels is None else _after(checked, node, labels)
    return labels


def _after(checked: CheckedGraph, node: Any, labels: list) -> list | None:
    """Labels after one more operator; None if it is not known what it does."""
    if node.op_type in HAND_ON:
        is_text_made = node.op_type == "Cast" and attributes_of(node)["to"] == 8
        return None if is_text_made and not isinstance(labels[0], str) else labels
    if node.op_type in ("Gather", "ArrayFeatureExtractor"):
        values = checked.constants[node.input[0]].reshape(-1).tolist()
        is_within = all(isinstance(k, int) and 0 <= k < len(values) for k in labels)
        return [_plain(values[k]) for k in labels] if is_within else None
    if node.op_type == "LabelEncoder":
        attributes = attributes_of(node)
        keys = next(value for key, value in attributes.items() if key.startswith("keys_"))
        values = next(value for key, value in attributes.items() if key.startswith("values_"))
        mapping = dict(zip(keys, values, strict=True))
        return [mapping[k] for k in labels] if all(k in mapping for k in labels) else None
    return None


def _plain(label: Any) -> Any:
    """A text that ONNX holds as bytes, or a whole number."""
    if isinstance(label, bytes):
        return label.decode()
    return label if isinstance(label, str) else int(label)
