"""Preprocessing as nodes of ONNX: imputing, scaling, bins, normal scores, one-hot indicators.

In float32 the difference of a large value and the centre of its column would lose digits, if the
centre were rounded. So each constant that is subtracted is two constants, whose sum is precise:
``(x - high) - low``. The inputs of the network are then as precise as x itself.
"""

import numpy as np

from skkd.exporting.onnx.graph import ML, Graph
from skkd.exporting.onnx.inputs import is_text, missing_text
from skkd.exporting.ramps import Ramps, of_bins, of_scores
from skkd.inference.schema import Feature
from skkd.preprocessing.encodings import Bins
from skkd.preprocessing.preprocessor import ColumnPreprocessor, OneHot
from skkd.preprocessing.scaling import CLIP, MOST_DEVIATIONS

__all__ = ["add_category", "add_numbers"]

#: Larger scaled values are set to this before they are squared, which is exact in float32.
MOST_BEFORE_SQUARE = {"float32": 1e15, "float64": MOST_DEVIATIONS}


def add_numbers(graph: Graph, preprocessor: ColumnPreprocessor, x: str) -> list[str]:
    """Add the preprocessing of the numeric columns.

    Parameters
    ----------
    graph : Graph
    preprocessor : ColumnPreprocessor
    x : str
        The name of the numbers, of shape (n_rows, n_numeric).

    Returns
    -------
    list of str
        The scaled numbers and, if there are any, the components of the bins.
    """
    is_missing = graph.add("IsNaN", x)
    inputs = [_add_scaling(graph, preprocessor, x, is_missing)]
    if preprocessor.bins is not None:
        inputs.append(_add_bins(graph, preprocessor, x, is_missing))
    return inputs


def _add_scaling(graph: Graph, preprocessor: ColumnPreprocessor, x: str, is_missing: str) -> str:
    high, low = graph.split("centre", preprocessor.centre)
    centred = graph.add("Sub", graph.add("Sub", x, high), low)
    largest = float(np.finfo(graph.dtype).max)  # infinity * 0 would be NaN
    bounds = graph.numbers("least", -largest), graph.numbers("most", largest)
    centred = graph.add("Clip", centred, *bounds)
    inverse = graph.factors("inverse_scale", 1 / preprocessor.scale)  # 0 for a constant column
    scaled = graph.add("Mul", centred, inverse)
    scaled = graph.add("Where", is_missing, graph.numbers("zero", 0.0), scaled)
    if preprocessor.normal_scores:
        scaled = _add_normal_scores(graph, preprocessor, x, is_missing, scaled)
    if preprocessor.clips:
        return _add_smooth_clip(graph, scaled)
    most = graph.numbers("most", MOST_DEVIATIONS), graph.numbers("least", -MOST_DEVIATIONS)
    bounded = graph.add("Clip", scaled, most[1], most[0])
    if not preprocessor.of_no_width:
        return bounded
    is_clipped = np.isin(np.arange(len(preprocessor.numeric)), preprocessor.of_no_width)
    clipped = _add_smooth_clip(graph, scaled)
    return graph.add("Where", graph.flags("has_no_width", is_clipped), clipped, bounded)


def _add_smooth_clip(graph: Graph, scaled: str) -> str:
    """``x / sqrt(1 + (x / 3)^2)``."""
    bound = MOST_BEFORE_SQUARE[graph.dtype.name]
    bounded = graph.add(
        "Clip", scaled, graph.numbers("least", -bound), graph.numbers("most", bound)
    )
    length = graph.add("Mul", bounded, graph.numbers("inverse_clip", 1 / CLIP))
    square = graph.add("Mul", length, length)
    root = graph.add("Sqrt", graph.add("Add", square, graph.numbers("one", 1.0)))
    return graph.add("Div", bounded, root)


def _add_ramps(graph: Graph, x: str, ramps: Ramps) -> str:
    """The ramps of all rows; NaN for a missing number."""
    own = graph.add("Gather", x, graph.integers("bin_column", ramps.column), axis=1)
    high, low = graph.split("bin_left", ramps.left, ramps.rest)
    distance = graph.add("Sub", graph.add("Sub", own, high), low)
    ratio = graph.add("Mul", distance, graph.factors("inverse_width", 1 / ramps.width))
    return graph.add("Clip", ratio, graph.numbers("zero", 0.0), graph.numbers("one", 1.0))


def _add_bins(graph: Graph, preprocessor: ColumnPreprocessor, x: str, is_missing: str) -> str:
    assert isinstance(preprocessor.bins, Bins)
    ramps, of_missing = of_bins(preprocessor, preprocessor.bins)
    components = _add_ramps(graph, x, ramps)
    column = graph.integers("bin_column", ramps.column)
    return graph.add(
        "Where",
        graph.add("Gather", is_missing, column, axis=1),
        graph.numbers("bin_of_missing", of_missing),
        components,
    )


def _add_normal_scores(
    graph: Graph, preprocessor: ColumnPreprocessor, x: str, is_missing: str, scaled: str
) -> str:
    """Replace heavy-tailed columns by their scores: the first score, and a step for each bin."""
    n_numeric = len(preprocessor.numeric)
    scores = preprocessor.normal_scores
    ramps, step = of_scores(scores)
    steps = np.zeros((len(step), n_numeric))
    steps[np.arange(len(step)), ramps.column] = step
    first = np.zeros(n_numeric)
    first[list(scores)] = [s.scores[0] for s in scores.values()]
    components = _add_ramps(graph, x, ramps)
    # A NaN would spread to the other columns in the product.
    gap = graph.add("Gather", is_missing, graph.integers("bin_column", ramps.column), axis=1)
    components = graph.add("Where", gap, graph.numbers("zero", 0.0), components)
    found = graph.add(
        "Gemm", components, graph.numbers("steps", steps), graph.numbers("first", first)
    )
    found = graph.add("Where", is_missing, graph.numbers("zero", 0.0), found)
    has_scores = graph.flags("has_scores", np.isin(np.arange(n_numeric), list(scores)))
    return graph.add("Where", has_scores, found, scaled)


def add_category(graph: Graph, feature: Feature, encoder: OneHot, x: str) -> str:
    """Add the one-hot encoding of a column.

    Parameters
    ----------
    graph : Graph
    feature : Feature
    encoder : OneHot
    x : str
        The name of the column, of shape (n_rows, 1).

    Returns
    -------
    str
        The indicators, of shape (n_rows, n_indicators).
    """
    if is_text(feature):
        return _add_texts(graph, feature, encoder, x)
    indicators = _add_matches(graph, encoder, x)
    if encoder.rare < 0:
        return indicators
    known = graph.add("ReduceSum", indicators, graph.integers("axis", [1]), keepdims=1)
    rare = graph.add("Sub", graph.numbers("one", 1.0), known)
    return graph.add("Concat", indicators, rare, axis=1)


def _add_texts(graph: Graph, feature: Feature, encoder: OneHot, x: str) -> str:
    gap = missing_text(feature)
    code = graph.add(
        "LabelEncoder",
        x,
        domain=ML,
        keys_strings=[gap if category is None else category for category in encoder.categories],
        values_int64s=list(range(len(encoder.categories))),
        default_int64=encoder.rare,
    )
    codes = graph.integers("codes", [range(encoder.n_indicators)])
    return graph.add("Cast", graph.add("Equal", code, codes), to_type=graph.type)


def _add_matches(graph: Graph, encoder: OneHot, x: str) -> str:
    """Compare numbers with each category. Fractions are rounded to float32, as in fit."""
    categories = [0.0 if c is None else float(c) for c in encoder.categories]
    values = [c if c.is_integer() else float(np.float32(c)) for c in categories]
    is_gap = graph.add("IsNaN", x) if None in encoder.categories else ""
    if graph.dtype == np.float64:
        x = _add_rounding(graph, x)
    is_equal = graph.add("Equal", x, graph.numbers("categories", [values]))
    indicators = graph.add("Cast", is_equal, to_type=graph.type)
    if None not in encoder.categories:
        return indicators
    of_missing = graph.flags("of_missing", [[c is None for c in encoder.categories]])
    gap = graph.add("Cast", is_gap, to_type=graph.type)
    return graph.add("Where", of_missing, gap, indicators)


def _add_rounding(graph: Graph, x: str) -> str:
    """Round numbers that are not whole to float32."""
    single = graph.add("Cast", x, to_type=graph.type_of(np.float32))
    rounded = graph.add("Cast", single, to_type=graph.type)
    is_whole = graph.add("Equal", graph.add("Floor", x), x)
    return graph.add("Where", is_whole, x, rounded)
