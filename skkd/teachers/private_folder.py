"""Folders of pickles. A pickle runs code when it is read: only the user may write there."""

import os
import stat

from skkd.checks import refuse

__all__ = ["make_private"]


def make_private(name: str, folder: str, instead: str) -> None:
    """Make a folder that only the user may enter, or check one that exists.

    Parameters
    ----------
    name : str
        The parameter, for the error message.
    folder : str
    instead : str
        What to give in place of a folder that others may write to, for the error message.

    Raises
    ------
    ValueError
        If it is not a folder, or if users other than this one and root can write to it.
        On systems without POSIX permissions the second is not checked.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except FileExistsError:
        refuse(name, folder, "a folder, not a file")
    if not hasattr(os, "getuid"):
        return
    found = os.stat(folder)
    is_ours = found.st_uid in (os.getuid(), 0)
    if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        allowed = "a folder that is yours and that only you may write to (chmod go-w)"
        refuse(
            name, folder, f"{allowed}, because pickles run code when they are read; or {instead}"
        )
