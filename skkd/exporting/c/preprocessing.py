"""Preprocessing as C: imputing, scaling, bins, normal scores, one-hot indicators.

In float the difference of a large value and the centre of its column would lose digits, if the
centre were rounded. So each constant that is subtracted is two constants, whose sum is precise:
``(x - high) - low``. A missing value is NAN, the only number that differs from itself.
"""

from itertools import accumulate

import numpy as np

from skkd.exporting.c.source import Source
from skkd.exporting.ramps import of_bins, of_scores
from skkd.inference.schema import Schema
from skkd.preprocessing.encodings import Bins
from skkd.preprocessing.heavy_tails import NormalScores
from skkd.preprocessing.preprocessor import ColumnPreprocessor, OneHot, PassThrough, Preprocessor
from skkd.preprocessing.scaling import CLIP, MOST_DEVIATIONS

__all__ = ["add_preprocessing"]

#: Larger scaled values are set to this before they are squared, which must not overflow.
MOST_BEFORE_SQUARE = {"float32": "1e15f", "float64": "1e30"}

CLIP_FUNCTION = """
static $real skkd_clip($real x, $real low, $real high)
{
    return x < low ? low : x > high ? high : x;
}
"""

SMOOTH_CLIP = """
static $real skkd_smooth_clip($real x)
{
    $real bounded = skkd_clip(x, -$most, $most);
    $real length = bounded * $inverse_clip$f;
    return bounded / $sqrt(1 + length * length);
}
"""

SCALE = """
static void skkd_scale(const $real *x, $real *inputs)
{
    for (int i = 0; i < $n; i++) {
        $real value = x[skkd_column[i]];
        $real centred = skkd_clip((value - skkd_centre[i]) - skkd_centre_rest[i],
                                  -$largest$f, $largest$f);
        $real scaled = skkd_clip(centred * skkd_inverse_scale[i], -$most$f, $most$f);
        inputs[i] = value != value ? 0 : scaled;
    }
}
"""

SCORE = """
static void skkd_score(const $real *x, $real *inputs)
{
    for (int i = 0; i < $n; i++) {
        $real value = x[skkd_scored_column[i]];
        $real score = skkd_first_score[i];
        for (int k = skkd_step_start[i]; k < skkd_step_start[i + 1]; k++) {
            $real distance = (value - skkd_step_left[k]) - skkd_step_left_rest[k];
            score += skkd_step[k] * skkd_clip(distance * skkd_step_inverse_width[k], 0, 1);
        }
        inputs[skkd_scored_input[i]] = value != value ? 0 : score;
    }
}
"""

CLIP_ALL = """
static void skkd_clip_all($real *inputs)
{
    for (int i = 0; i < $n; i++)
        inputs[i] = skkd_smooth_clip(inputs[i]);
}
"""

CLIP_SOME = """
static void skkd_clip_some($real *inputs)
{
    for (int i = 0; i < $n; i++)
        inputs[skkd_clipped[i]] = skkd_smooth_clip(inputs[skkd_clipped[i]]);
}
"""

BINS = """
static void skkd_bins(const $real *x, $real *inputs)
{
    for (int i = 0; i < $n; i++) {
        $real value = x[skkd_bin_column[i]];
        $real distance = (value - skkd_bin_left[i]) - skkd_bin_left_rest[i];
        $real component = skkd_clip(distance * skkd_bin_inverse_width[i], 0, 1);
        inputs[i] = value != value ? skkd_bin_of_missing[i] : component;
    }
}
"""

CATEGORIES = """
static void skkd_categories(const $real *x, $real *inputs)
{
    for (int i = 0; i < $n; i++) {
        $real code = x[skkd_category_column[i]];
        int is_known = 0;
        if (code != code)
            code = ($real)skkd_code_of_missing[i];
        for (int k = 0; k < skkd_n_categories[i]; k++) {
            int is_equal = code == ($real)k;
            is_known |= is_equal;
            *inputs++ = is_equal ? 1 : 0;
        }
        if (skkd_has_others[i])
            *inputs++ = is_known ? 0 : 1;
    }
}
"""

ROUND = """
static void skkd_inputs(const $real *x, $real *inputs)
{
    for (int i = 0; i < $n; i++)
        inputs[i] = ($real)(float)x[i];
}
"""

INPUTS = """
static void skkd_inputs(const $real *x, $real *inputs)
{
$calls
}
"""


def add_preprocessing(source: Source, preprocessor: Preprocessor, schema: Schema) -> bool:
    """Add the function ``skkd_inputs(x, inputs)``, if the inputs are not x itself.

    Parameters
    ----------
    source : Source
    preprocessor : ColumnPreprocessor or PassThrough
    schema : Schema

    Returns
    -------
    bool
        Whether there is the function.
    """
    if isinstance(preprocessor, PassThrough):
        is_rounded = source.dtype == np.float64 and schema.dtype == "float32"
        if is_rounded:
            source.add(ROUND, n=preprocessor.n_features)
        return is_rounded
    assert isinstance(preprocessor, ColumnPreprocessor)
    calls = _add_numbers(source, preprocessor) if len(preprocessor.numeric) else []
    n_inputs = len(preprocessor.numeric)
    if preprocessor.bins is not None:
        _add_bins(source, preprocessor, preprocessor.bins)
        calls.append(f"skkd_bins(x, inputs + {n_inputs});")
        n_inputs += len(preprocessor.bins)
    if preprocessor.one_hot:
        _add_categories(source, preprocessor.one_hot)
        calls.append(f"skkd_categories(x, inputs + {n_inputs});")
    source.add(INPUTS, calls=source.filled("\n".join(f"    {call}" for call in calls)))
    return True


def _add_numbers(source: Source, preprocessor: ColumnPreprocessor) -> list[str]:
    """Add the scaling of numbers, and return the calls."""
    n_numeric = len(preprocessor.numeric)
    source.add(CLIP_FUNCTION)
    source.integers("column", preprocessor.numeric)
    source.split("centre", preprocessor.centre)
    source.factors("inverse_scale", 1 / preprocessor.scale)  # 0 for a constant column
    largest = str(np.finfo(source.dtype).max)
    source.add(SCALE, n=n_numeric, largest=largest, most=MOST_DEVIATIONS)
    calls = ["skkd_scale(x, inputs);"]
    if preprocessor.normal_scores:
        _add_scores(source, preprocessor)
        calls.append("skkd_score(x, inputs);")
    if preprocessor.clips or preprocessor.of_no_width:
        most = MOST_BEFORE_SQUARE[source.dtype.name]
        source.add(SMOOTH_CLIP, most=most, inverse_clip=1 / CLIP)
    if preprocessor.clips:
        source.add(CLIP_ALL, n=n_numeric)
        calls.append("skkd_clip_all(inputs);")
    elif preprocessor.of_no_width:
        source.integers("clipped", preprocessor.of_no_width)
        source.add(CLIP_SOME, n=len(preprocessor.of_no_width))
        calls.append("skkd_clip_some(inputs);")
    return calls


def _add_scores(source: Source, preprocessor: ColumnPreprocessor) -> None:
    """Add the scores of heavy-tailed columns: the first score, and a step for each bin."""
    scores: dict[int, NormalScores] = preprocessor.normal_scores
    ramps, step = of_scores(scores)
    n_steps = [len(s.values) - 1 for s in scores.values()]
    source.integers("scored_column", preprocessor.numeric[list(scores)])
    source.integers("scored_input", scores)
    source.integers("step_start", [0, *accumulate(n_steps)])
    source.numbers("first_score", [s.scores[0] for s in scores.values()])
    source.split("step_left", ramps.left)
    source.factors("step_inverse_width", 1 / ramps.width)
    source.numbers("step", step)
    source.add(SCORE, n=len(scores))


def _add_bins(source: Source, preprocessor: ColumnPreprocessor, bins: Bins) -> None:
    ramps, of_missing = of_bins(preprocessor, bins)
    source.integers("bin_column", preprocessor.numeric[ramps.column])
    source.split("bin_left", ramps.left, ramps.rest)
    source.factors("bin_inverse_width", 1 / ramps.width)
    source.numbers("bin_of_missing", of_missing)
    source.add(BINS, n=len(bins))


def _add_categories(source: Source, encoders: list[OneHot]) -> None:
    source.integers("category_column", [encoder.column for encoder in encoders])
    source.integers("n_categories", [len(encoder.categories) for encoder in encoders])
    source.integers("has_others", [encoder.rare >= 0 for encoder in encoders])
    missing = [e.categories.index(None) if None in e.categories else -1 for e in encoders]
    source.integers("code_of_missing", missing)
    source.add(CATEGORIES, n=len(encoders))
