"""A fork handler that restricts torch to one thread in the child process.

A fork copies only the thread that calls it. If torch had started more threads in the parent, they
do not exist in the child, and torch would wait for them for ever. A child cannot find out whether
torch had started threads in the parent. So torch gets one thread in every child of a process that
had loaded torch.

Importing :mod:`skkd` registers the handler, without importing torch.
"""

import os
import sys

__all__ = ["threads_are_lost"]

_threads_are_lost = False


def threads_are_lost() -> bool:
    """Whether this process was forked from a process that had loaded torch.

    If so, the threads that torch had started there do not exist here.

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
    # The attribute is missing if torch was being imported in another thread during the fork.
    set_num_threads = getattr(sys.modules.get("torch"), "set_num_threads", None)
    if set_num_threads is not None:
        _threads_are_lost = True
        set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)
