"""Writing a file so that a reader sees the old file or the new one, and never a part of it."""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["place_of", "write_atomically"]


def place_of(path: Path) -> Path:
    """Return where a file is written: the place itself, or where a link points to.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If there is something else than a regular file, such as a folder or a device.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(f"{str(path)!r} is no regular file, and is not replaced.")
    return place


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it to the disk, and move it there.

    Parameters
    ----------
    path : Path
        An existing file is replaced; if it is a link, the file that the link points to.
    data : bytes

    Raises
    ------
    OSError
        If `path` is no regular file, such as a folder or a device; or if writing fails.
    """
    place = place_of(path)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, beside)
        os.replace(beside, place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _flush_folder(place.parent)


def _flush_folder(folder: Path) -> None:
    """Make the new name last through a loss of power, where the system can do it.

    The file is in its place already, so nothing is raised.
    """
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
