"""torch in a forked child: one thread, because the others are lost in the fork.

After a fork torch waits for ever for threads that exist in the parent alone. It does not tell
whether it has started any, so a child of each process that had torch loaded has one thread.
:mod:`skkd` registers this when it is imported, and does not import torch for it.
"""

import os
import sys

__all__ = ["threads_are_lost"]

_threads_are_lost = False


def threads_are_lost():
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


def _begin_forked_child():
    global _threads_are_lost
    torch = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):  # not if another thread was importing it
        _threads_are_lost = True
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)
