"""Folders for pickles: only the user may write there, because reading a pickle runs its code."""

import os
import stat

from skkd.checks import refuse

__all__ = ["make_private"]


def make_private(name: str, folder: str, instead: str) -> None:
    """Make a folder that only the user may enter.

    If the folder exists already, it must be one that no other user can write to.

    Parameters
    ----------
    name : str
        The name of the parameter that gives the folder, for the error message.
    folder : str
        The path.
    instead : str
        What the error message suggests in place of a folder that others may write to.

    Raises
    ------
    ValueError
        If `folder` is a file, or if users other than this one and root can write to it.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except FileExistsError:
        refuse(name, folder, "a folder, not a file")
    if not hasattr(os, "getuid"):  # no POSIX permissions, as on Windows
        return
    found = os.stat(folder)
    is_ours = found.st_uid in (os.getuid(), 0)
    if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        allowed = "a folder that is yours and that only you may write to (chmod go-w)"
        refuse(
            name, folder, f"{allowed}, because pickles run code when they are read; or {instead}"
        )
