"""Preprocessing of X for the network: imputing, scaling and encoding.

A numeric column can also be divided into bins, with one more network input for each bin. This
helps small networks on tables: see :mod:`skkd.preprocessing.encodings`.
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
