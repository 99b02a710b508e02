"""The format ``.c``: the whole classifier as C99, preprocessing included.

=================  ===============================================================
file               holds
=================  ===============================================================
``student.c``      the function ``skkd_predict``, and tables of its inputs and classes
``student.h``      its declaration, and the numbers of inputs and classes
``student.json``   the schema, in which codes of categories are their positions
=================  ===============================================================

The format ``.h`` is one header with all of this, in which everything is static.

The code needs no heap, and of the C library exp, tanh and sqrt alone. It is generated here, because
what emx-onnx-cgen 1.4.0 makes of our ONNX files is right for tables of numbers, but for text does
not compile with -Werror, and takes 256 bytes for each text where a code is enough.
"""

import hashlib
import json
import re
from typing import Any

from skkd.checks import refuse
from skkd.exporting.c.activations import C_ACTIVATIONS
from skkd.exporting.c.comment import comment_of
from skkd.exporting.c.preprocessing import add_preprocessing
from skkd.exporting.c.source import PREFIX, Source
from skkd.exporting.content import header_of
from skkd.inference.network import Network

__all__ = [
    "PREFIX",
    "checked_prefix",
    "obstacle",
    "write",
    "write_header",
    "write_header_only",
    "write_schema",
]

#: Larger networks are refused: compilers take seconds, and 300 bytes for each weight.
MOST_WEIGHTS = 10**6

PROTOTYPE = "int skkd_predict(const $real *x, $real *probabilities)"

DENSE = """
static void skkd_dense(const $real *x, int n_inputs, const $real *weight, const $real *bias,
                       int n_units, $real *result)
{
    for (int j = 0; j < n_units; j++)
        result[j] = bias[j];
    for (int i = 0; i < n_inputs; i++) {
        const $real *row = weight + (size_t)i * (size_t)n_units;
        if (x[i] != 0)
            for (int j = 0; j < n_units; j++)
                result[j] += x[i] * row[j];
    }
}
"""

ACTIVATE = """
static void skkd_activate($real *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = skkd_activation(x[i]);
}
"""

SOFTMAX = """
static int skkd_softmax($real *x, int n)
{
    int first = 0;
    $real sum = 0;
    for (int i = 1; i < n; i++)
        first = x[i] > x[first] ? i : first;
    $real largest = x[first];
    for (int i = 0; i < n; i++) {
        x[i] = $exp(x[i] - largest);
        sum += x[i];
    }
    for (int i = 0; i < n; i++)
        x[i] /= sum;
    return sum == sum ? first : -1;
}
"""

INCLUDES = """
#include <math.h>
#include <stddef.h>

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "compile without -ffast-math, which ignores NAN"
#endif
"""

SIZES = """
#define ${macro}N_FEATURES $n_features
#define ${macro}N_CLASSES $n_classes
"""

HEADER = """
/* A classifier, exported by skkd $version: the function is in the .c file beside this one. */
#ifndef $guard
#define $guard

$sizes

#ifdef __cplusplus
extern "C" {
#endif

$prototype;

#ifdef __cplusplus
}
#endif

#endif
"""


def checked_prefix(prefix: Any) -> str:
    """Check the parameter `prefix`.

    Parameters
    ----------
    prefix : str

    Returns
    -------
    str
    """
    if not isinstance(prefix, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", prefix):
        refuse("prefix", prefix, "a str of ASCII letters, digits and _ that begins with a letter")
    return prefix


def obstacle(network: Network, dtype: str) -> str | None:
    """Return what keeps a network from this format; None if nothing does.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}

    Returns
    -------
    str or None
    """
    n_weights = sum(layer.weight.size for layer in network.layers)
    if n_weights > MOST_WEIGHTS:
        return f"the network has {n_weights} weights, and C code can have {MOST_WEIGHTS}"
    return None


def write(network: Network, dtype: str, prefix: str = PREFIX) -> bytes:
    """Return the bytes of a ``.c`` file.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
        The dtype of the row, of the probabilities and of all arithmetic.
    prefix : str, default="skkd_"
        The beginning of all names.

    Returns
    -------
    bytes
    """
    source, body, n_bytes = _functions(network, dtype, prefix)
    prototype = source.filled(PROTOTYPE)
    source.parts.insert(0, f"{prototype};")
    source.add(f"{PROTOTYPE}\n{body}")
    top = comment_of(network.schema, prototype, n_bytes)
    return f"{top}{INCLUDES}\n{source.text()}".encode()


def write_header_only(network: Network, dtype: str, prefix: str = PREFIX) -> bytes:
    """Return the bytes of a ``.h`` file that holds the whole classifier.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
    prefix : str, default="skkd_"

    Returns
    -------
    bytes
    """
    source, body, n_bytes = _functions(network, dtype, prefix)
    source.add(f"static inline {PROTOTYPE}\n{body}")
    source.parts.insert(0, source.filled(SIZES, **_words(network, prefix)).strip("\n"))
    top = comment_of(network.schema, source.filled(PROTOTYPE), n_bytes)
    text = f"{top}{INCLUDES}\n{source.text()}"
    # The guard is of the content: two classifiers of one prefix are an error of the compiler.
    guard = f"{prefix}{hashlib.sha256(text.encode()).hexdigest()[:16]}_H".upper()
    return f"#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n".encode()


def write_header(network: Network, dtype: str, prefix: str = PREFIX) -> bytes:
    """Return the bytes of the ``.h`` file beside a ``.c`` file.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
    prefix : str, default="skkd_"

    Returns
    -------
    bytes
    """
    source = Source(dtype, prefix)
    words = _words(network, prefix)
    sizes = source.filled(SIZES, **words).strip("\n")
    source.add(HEADER, sizes=sizes, prototype=source.filled(PROTOTYPE), **words)
    return source.text().encode()


def write_schema(network: Network, dtype: str, prefix: str = PREFIX) -> bytes:
    """Return the bytes of the ``.json`` file beside a ``.c`` file.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64"}
    prefix : str, default="skkd_"

    Returns
    -------
    bytes
    """
    described = {"function": f"{prefix}predict", "dtype": dtype, "unknown_category": -1}
    return json.dumps(header_of(network) | described, indent=1).encode() + b"\n"


def _words(network: Network, prefix: str) -> dict[str, Any]:
    from skkd import __version__

    macro = prefix.upper()
    return {
        "guard": f"{macro}PREDICT_H",
        "macro": macro,
        "n_features": len(network.schema.features),
        "n_classes": len(network.schema.classes),
        "version": __version__,
    }


def _functions(network: Network, dtype: str, prefix: str) -> tuple[Source, str, int]:
    """The source of all functions but the last, the body of the last, and the size of its arrays.

    The size is in bytes. The layers of the body alternate between two arrays.
    """
    source = Source(dtype, prefix)
    for i, layer in enumerate(network.layers, start=1):
        source.numbers(f"weight{i}", layer.weight)
        source.numbers(f"bias{i}", layer.bias)
    source.add(DENSE)
    activation = C_ACTIVATIONS[network.architecture["activation"]]
    if activation is not None and len(network.layers) > 1:
        source.add(activation)
        source.add(ACTIVATE)
    source.add(SOFTMAX)
    has_inputs = add_preprocessing(source, network.preprocessor, network.schema)
    widths = [layer.weight.shape[0] for layer in network.layers]
    sizes = [max(widths[0 if has_inputs else 2 :: 2], default=0), max(widths[1::2], default=0)]
    lines = [f"$real values{i}[{size}];" for i, size in enumerate(sizes) if size]
    lines += ["skkd_inputs(x, values0);"] if has_inputs else []
    lines += _calls(network, "values0" if has_inputs else "x")
    body = "{\n" + "\n".join(f"    {line}" for line in lines) + "\n}\n"
    return source, body, sum(sizes) * source.dtype.itemsize


def _calls(network: Network, x: str) -> list[str]:
    """The lines that compute the layers from the array `x`."""
    lines = []
    for i, layer in enumerate(network.layers, start=1):
        n_inputs, n_units = layer.weight.shape
        is_last = i == len(network.layers)
        result = "probabilities" if is_last else f"values{i % 2}"
        arguments = f"{x}, {n_inputs}, skkd_weight{i}, skkd_bias{i}, {n_units}, {result}"
        lines.append(f"skkd_dense({arguments});")
        if not is_last and C_ACTIVATIONS[layer.activation] is not None:
            lines.append(f"skkd_activate({result}, {n_units});")
        x = result
    return [*lines, f"return skkd_softmax(probabilities, {n_units});"]
