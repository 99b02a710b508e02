"""torch in a forked child process: one thread, because the others are lost in the fork.

After a fork torch would wait for ever for threads that exist only in the parent. Whether the
parent had started any cannot be found out, so torch gets one thread in every child of a
process that had loaded it. :mod:`skkd` registers this on import, without importing torch.
"""

import os
import sys
from typing import Any

__all__ = ["threads_are_lost"]

_threads_are_lost = False


def threads_are_lost() -> bool:
    """Whether this process was forked from one that had torch loaded.

    Returns
    -------
    bool

    Examples
    --------
    >>> threads_are_lost()
    False
    """
    return _threads_are_lost


def _begin_forked_child() -> None:
    global _threads_are_lost
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):  # not if another thread was importing it
        _threads_are_lost = True
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)
