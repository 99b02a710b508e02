"""What a file says about the training: plain values by name."""

import json
from dataclasses import replace
from typing import Any

from skkd.checks import refuse
from skkd.inference.network import Network

__all__ = ["metadata_from", "with_metadata"]


#: The largest length of the metadata as JSON.
MOST_CHARACTERS = 2**20


def with_metadata(network: Network, metadata: Any) -> Network:
    """Return a network with further metadata.

    Parameters
    ----------
    network : Network
    metadata : dict of str to plain value, or None
        Replaces what the network has under the same name.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        If JSON cannot hold it.
    ValueError
        If it is longer than `MOST_CHARACTERS`.
    """
    if metadata is None:
        return network
    if not _is_plain(metadata) or not isinstance(metadata, dict):
        allowed = "a dict of str to str, numbers, bool, None, or lists and dicts of these"
        refuse("metadata", metadata, allowed, TypeError)
    length = len(json.dumps(metadata))
    if length > MOST_CHARACTERS:
        raise ValueError(f"metadata has {length} characters: give at most {MOST_CHARACTERS}.")
    return replace(network, metadata=(network.metadata or {}) | metadata)


def metadata_from(header: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata in the header of a file.

    Parameters
    ----------
    header : dict

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If it is no dict.
    """
    metadata = header.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is no dict")
    return metadata


def _is_plain(value: Any) -> bool:
    """Whether JSON holds a value as it is."""
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        return False
