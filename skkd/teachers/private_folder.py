"""Folders of pickles, which run when they are read: private to the user, or refused."""

import os
import stat

from skkd.checks import refuse

__all__ = ["make_private"]


def make_private(name, folder, instead):
    """Make a folder that only the user may enter, or check one that is there.

    Parameters
    ----------
    name : str
        The parameter, for the error message.
    folder : str
    instead : str
        What to give if others may write there, for the error message.

    Raises
    ------
    ValueError
        If it is no folder, or if other users than this one and root can write to it. On
        systems without POSIX permissions that cannot be told.
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
        refuse(name, folder, f"{allowed}, because the pickles in it run; or {instead}")
