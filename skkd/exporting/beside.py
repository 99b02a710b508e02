"""The places of files that stand beside an exported file, under its name with other endings."""

from collections.abc import Iterable
from pathlib import Path

from skkd.checks import refuse

__all__ = ["places_of"]

#: What a file of skkd holds, in any format that stands beside another file.
MARK = b"skkd"


def places_of(path: Path, beside: Iterable[str]) -> dict[str, Path]:
    """Return the path of each file beside an exported file.

    Parameters
    ----------
    path : Path
        The path of the file itself.
    beside : iterable of str
        The endings of the files beside it.

    Returns
    -------
    dict of str to Path
        By ending.

    Raises
    ------
    ValueError
        If `path` has the ending of a file beside it.
    OSError
        If there is another file at such a place that skkd did not write.
    """
    places = {end: path.with_suffix(end) for end in beside}
    if path in places.values():
        refuse("path", str(path), f"a file that does not end in {' or '.join(places)}")
    for place in places.values():
        _check(place, path)
    return places


def _check(place: Path, path: Path) -> None:
    """Refuse to replace a file that skkd did not write."""
    if place.exists() and not (place.is_file() and MARK in place.read_bytes()):
        raise FileExistsError(
            f"{str(place)!r} would stand beside {str(path)!r}, is there already, and was not "
            "written by skkd: export to another name."
        )
