"""The comment at the top of exported C: how the function is called, and which code means what."""

import json
from collections.abc import Iterator
from typing import Any

from skkd.inference.schema import Schema

__all__ = ["comment_of"]

GIVEN = """
A missing number is NAN. A category is given as its code: NAN if it is missing, and -1, or any
other number that is no code, if it is unknown.
"""

RULES = """
C99. No heap and no state, so threads may share it. A call takes {n_bytes} bytes of the stack for
arrays. Of the C library it needs exp, sqrt and tanh at most (-lm). NAN must be NAN: compile it
without -ffast-math.
"""


def comment_of(schema: Schema, prototype: str, n_bytes: int) -> str:
    """Return the comment.

    Parameters
    ----------
    schema : Schema
    prototype : str
        The declaration of the function.
    n_bytes : int
        The size of the arrays of a call.

    Returns
    -------
    str
    """
    from skkd import __version__

    lines = [
        f"A classifier, exported by skkd {__version__}.",
        "",
        prototype,
        "",
        f"x: a row of {len(schema.features)} numbers.",
        f"probabilities: gets {len(schema.classes)} numbers, in the order of the classes.",
        "Returns the index of the most probable class; -1 if a probability is not a number.",
        "",
        *(GIVEN if schema.allows_missing else "No number may be missing.").strip().splitlines(),
        "",
        *RULES.format(n_bytes=n_bytes).strip().splitlines(),
        "",
        *_inputs(schema),
        "",
        *(f"class {i}: {_quoted(label)}" for i, label in enumerate(schema.classes.tolist())),
    ]
    return "/*\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */"


def _inputs(schema: Schema) -> Iterator[str]:
    for j, feature in enumerate(schema.features):
        yield f"x[{j}]: {_quoted(feature.name)}, a {feature.kind}"
        for code, category in enumerate(feature.categories or ()):
            yield f"    {code}: {'missing' if category is None else _quoted(category)}"


def _quoted(value: Any) -> str:
    """A value as JSON in ASCII, in which no comment begins or ends, and no trigraph is."""
    text = json.dumps(value).replace("*/", "*\\/").replace("/*", "/\\u002a")
    return text.replace("??/", "??\\/")
