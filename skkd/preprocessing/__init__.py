"""What the network sees of X: imputed, scaled and encoded.

Numbers can be spread over bins, which helps small networks on tables: see
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
