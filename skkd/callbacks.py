"""Functions for the estimator parameter `callbacks`, a list of skorch callbacks.

They find the enabled callbacks, get and set the parameters of named callbacks, and copy
callbacks.
"""

import copy
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

from skkd.checks import refuse

__all__ = [
    "PREFIX",
    "copies_of_callbacks",
    "link_as",
    "parameters_by_name",
    "running",
    "with_parameters",
]

#: Prefix of the parameters ``callbacks__<name>`` and ``callbacks__<name>__<parameter>``.
PREFIX = "callbacks__"


def is_named(entry: Any) -> bool:
    """Whether an entry of the list `callbacks` is a pair (name, callback)."""
    return isinstance(entry, tuple) and len(entry) == 2


def running(callbacks: Any) -> list:
    """Return the entries of `callbacks` that are enabled.

    An entry is disabled if it is the pair (name, None) or (name, "disable").

    Parameters
    ----------
    callbacks : "disable", None, or list of callbacks, callback classes or pairs (name, callback)
        "disable" and None disable all callbacks.

    Returns
    -------
    list

    Examples
    --------
    >>> running([("stopping", None), ("scores", "disable")]), running("disable"), running(None)
    ([], [], [])
    """
    if callbacks is None or _is_disabled(callbacks):
        return []
    if not isinstance(callbacks, (list, tuple)):
        allowed = "a list of skorch callbacks or None, or 'disable'"
        refuse("callbacks", callbacks, allowed, TypeError)
    names = [entry[0] for entry in callbacks if is_named(entry)]
    for name in names:
        if not isinstance(name, str) or "__" in name or names.count(name) > 1:
            refuse("callbacks", callbacks, f"other names than {name!r}: strings without '__', once")
    return [entry for entry in callbacks if not (is_named(entry) and _is_disabled(entry[1]))]


def _is_disabled(callback: Any) -> bool:
    return callback is None or (isinstance(callback, str) and callback == "disable")


def _named(callbacks: Any) -> dict[str, Any]:
    """Return the callbacks that have a name, as a dict from name to callback."""
    entries = callbacks if isinstance(callbacks, (list, tuple)) else ()
    return dict(entry for entry in entries if is_named(entry) and isinstance(entry[0], str))


def parameters_by_name(callbacks: Any) -> dict[str, Any]:
    """Return the named callbacks and their parameters, for an estimator's `get_params`.

    Parameters
    ----------
    callbacks : "disable", None, or list of callbacks, callback classes or pairs (name, callback)

    Returns
    -------
    dict of str to object
        The key of a callback is ``callbacks__<name>``, the key of a parameter is
        ``callbacks__<name>__<parameter>``.
    """
    found: dict[str, Any] = {}
    for name, callback in _named(callbacks).items():
        found[PREFIX + name] = callback
        if hasattr(callback, "get_params") and not inspect.isclass(callback):
            of_callback = callback.get_params(deep=True)
            found |= {f"{PREFIX}{name}__{key}": value for key, value in of_callback.items()}
    return found


def with_parameters(callbacks: Any, parameters: Mapping[str, Any]) -> list:
    """Replace named callbacks or change their parameters, for an estimator's `set_params`.

    A callback is disabled by replacing it with None or "disable". Parameters of a callback object
    are set in place, as `Pipeline.set_params` does. A callback class is replaced by an instance
    made with the parameters.

    Parameters
    ----------
    callbacks : "disable", None, or list of callbacks, callback classes or pairs (name, callback)
        This list itself is not changed.
    parameters : dict of str to object
        - ``callbacks__<name>``: the new callback of this name.
        - ``callbacks__<name>__<parameter>``: the new value of a parameter of this callback.

    Returns
    -------
    list
        A new list: `callbacks`, in the same order, with the new callbacks in place of the old.
    """
    named = _named(callbacks)
    settings: dict[str, dict[str, Any]] = {}
    for key, value in parameters.items():
        name, _, parameter = key.removeprefix(PREFIX).partition("__")
        if name not in named:
            refuse(key, value, _allowed_names(named))
        if parameter:
            settings.setdefault(name, {})[parameter] = value
        else:
            named[name] = value
    for name, values in settings.items():
        named[name] = _with_settings(name, named[name], values)
    return [(entry[0], named[entry[0]]) if is_named(entry) else entry for entry in callbacks]


def _allowed_names(named: Mapping[str, Any]) -> str:
    if not named:
        return "it for a callback with a name: callbacks=[(name, callback), ...]"
    return "it for one of the named callbacks, " + ", ".join(map(repr, named))


def _with_settings(name: str, callback: Any, values: Mapping[str, Any]) -> Any:
    if inspect.isclass(callback):
        return callback(**values)
    if _is_disabled(callback):
        key, value = next(iter(values.items()))
        allowed = f"it after {PREFIX}{name} is set to a callback; it is {callback!r}"
        refuse(f"{PREFIX}{name}__{key}", value, allowed)
    callback.set_params(**values)
    return callback


def copies_of_callbacks(callbacks: Any) -> list:
    """Return shallow copies of the enabled skorch callbacks.

    `fit` uses copies, because callbacks change their own attributes during training. Objects that
    the user gave to a callback, such as writers and lists, are shared with the copy. If a callback
    refers to another callback of the list, its copy refers to the copy of that callback.

    Parameters
    ----------
    callbacks : "disable", None, or list of callbacks, callback classes or pairs (name, callback)

    Returns
    -------
    list
        In the order of `callbacks`. Pairs keep their names, and classes are not copied.
    """
    entries = running(callbacks)
    originals = [entry[1] if is_named(entry) else entry for entry in entries]
    for entry, callback in zip(entries, originals, strict=True):
        if not hasattr(callback, "on_epoch_end"):
            refuse("callbacks", entry, "skorch callbacks, or (name, callback) pairs", TypeError)
    copies = [one if inspect.isclass(one) else copy.copy(one) for one in originals]
    link_as(originals, copies)
    return [
        (entry[0], copied) if is_named(entry) else copied
        for entry, copied in zip(entries, copies, strict=True)
    ]


def link_as(callbacks: Any, copies: Any) -> None:
    """Make copies of callbacks refer to each other as the originals do.

    In each attribute of a copy, the originals are replaced by their copies.

    Parameters
    ----------
    callbacks : list of callbacks, callback classes or pairs (name, callback)
        The originals. Nothing is done if this is not a list.
    copies : list of callbacks, callback classes or pairs (name, callback)
        One copy of each original, in the same order; changed in place.
    """
    if not isinstance(callbacks, (list, tuple)):
        return
    pairs = [
        (entry[1], copied[1]) if is_named(entry) else (entry, copied)
        for entry, copied in zip(callbacks, copies, strict=True)
    ]
    # id of an original -> its copy
    copy_of = {id(original): copied for original, copied in pairs if original is not copied}
    for original, copied in pairs:
        if id(original) in copy_of:
            for name, value in getattr(original, "__dict__", {}).items():
                linked = _linked(value, copy_of)
                if linked is not value:
                    setattr(copied, name, linked)


def _linked(value: Any, copy_of: Mapping[int, Any]) -> Any:
    """Return `value` with original callbacks replaced by copies; change nothing in place."""
    if id(value) in copy_of:
        return copy_of[id(value)]
    if type(value) not in _CONTAINERS:
        return value
    take_apart, put_together = _CONTAINERS[type(value)]
    parts = list(take_apart(value))
    linked = [_linked(part, copy_of) for part in parts]
    is_same = all(new is old for new, old in zip(linked, parts, strict=True))
    return value if is_same else put_together(value, linked)  # never changes the user's object


#: For each type that may hold a callback: a function that takes a value apart, and a function
#: that builds a new value from the original and new parts.
_CONTAINERS: dict[type, tuple[Callable, Callable]] = {
    list: (list, lambda value, parts: parts),
    tuple: (list, lambda value, parts: tuple(parts)),
    dict: (dict.values, lambda value, parts: dict(zip(value, parts, strict=True))),
    types.MethodType: (
        lambda value: [value.__self__],
        lambda value, parts: types.MethodType(value.__func__, *parts),
    ),
    functools.partial: (
        lambda value: [value.func, value.args, value.keywords],
        lambda value, parts: functools.partial(parts[0], *parts[1], **parts[2]),
    ),
}
