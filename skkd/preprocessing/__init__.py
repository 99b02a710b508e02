"""Preprocessing of X for the network: imputing, scaling and encoding.

Numeric columns can also be encoded by bins, which helps small networks on tables: see
:mod:`skkd.preprocessing.encodings`.
"""

from skkd.preprocessing.encodings import (
    Bins,
    PiecewiseLinear,
    SelectiveBins,
    TeacherBins,
    resolve_encoding,
    without_teacher,
)

__all__ = [
    "Bins",
    "PiecewiseLinear",
    "SelectiveBins",
    "TeacherBins",
    "resolve_encoding",
    "without_teacher",
]
