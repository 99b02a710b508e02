"""The format ``.skops``: a :class:`skkd.exporting.loaded.LoadedClassifier`, written by skops.

The state of the classifier is the header as JSON, and the arrays. So skops must trust one type
beside its own. ``skops.io.load`` returns the classifier; :func:`skkd.load` reads the file
itself, with a fixed list of types, and without skops.
"""

import io
import json
import zipfile
from typing import Any

from skkd.exporting.archive import array_of, members_of
from skkd.exporting.content import Arrays, from_json, unpack
from skkd.exporting.libraries import library
from skkd.exporting.loaded import LoadedClassifier
from skkd.exporting.runners import NetworkRunner

__all__ = ["TRUSTED", "read", "write"]

#: The types that skops must be told to trust.
TRUSTED = ("skkd.exporting.loaded.LoadedClassifier",)

#: All types that a file may hold, and how skops writes them.
TYPES = {*TRUSTED, "builtins.dict", "builtins.list", "builtins.str", "numpy.ndarray"}
LOADERS = {"ObjectNode", "DictNode", "ListNode", "TypeNode", "JsonNode", "NdArrayNode"}

#: The member that describes the object.
TREE = "schema.json"

#: The number of types that an error message names.
MOST_SHOWN = 3


def write(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Return the bytes of a ``.skops`` file.

    Parameters
    ----------
    arrays : dict of str to ndarray
    header : dict

    Returns
    -------
    bytes
        The same for the same content.
    """
    skops = library("skops.io", "the format .skops")
    classifier = LoadedClassifier(NetworkRunner(*unpack(arrays, header)))
    data = _renumbered(skops.dumps(classifier))
    skops.loads(data, trusted=list(TRUSTED))  # a proof that skops can read it
    return data


def read(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the header of a ``.skops`` file.

    A damaged file may raise any error: :func:`skkd.load` makes one clear
    ValueError of it.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict
    """
    members = members_of(data)
    tree = from_json(members.pop(TREE))
    _check_types(tree)
    state = tree["content"]["content"]
    files = {name: node["file"] for name, node in state["arrays"]["content"].items()}
    if sorted(files.values()) != sorted(members):
        raise ValueError("the members are not those that the description names")
    header = from_json(from_json(state["header"]["content"]))
    return {name: array_of(members[file]) for name, file in files.items()}, header


def _nodes(tree: Any) -> list[dict[str, Any]]:
    """The descriptions of all objects in a tree, from its root on."""
    found, rest = [], [tree]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            found.append(value)
            rest += reversed(value.values())
        elif isinstance(value, list):
            rest += reversed(value)
    return [node for node in found if "__loader__" in node or "__class__" in node]


def _check_types(tree: Any) -> None:
    others: list[str] = []
    for node in _nodes(tree):
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in TYPES:
            others.append(name)
        elif node.get("__loader__") not in LOADERS:
            others.append(f"{name} by {node.get('__loader__')}")
    if others:
        shown = ", ".join(list(dict.fromkeys(others))[:MOST_SHOWN])
        raise ValueError(
            f"it holds types that are not trusted: {shown}. Only what skkd.export wrote is loaded"
        )


def _renumbered(data: bytes) -> bytes:
    """Replace the addresses in memory, by which skops names objects, by numbers from 1 on."""
    members = members_of(data)
    tree = json.loads(members.pop(TREE))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    for node in _nodes(tree):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if "file" in node:
            files[node["file"]] = f"{node['__id__']}.npy"
            node["file"] = files[node["file"]]
    renamed = {files[name]: member for name, member in members.items()}
    renamed[TREE] = json.dumps(tree, indent=1).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in renamed.items():
            archive.writestr(zipfile.ZipInfo(name), member)  # dated 1980
    return file.getvalue()
