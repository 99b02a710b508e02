"""Threads, random states and devices of torch during a fit, and their restoration after it.

Inside `fit` torch runs with a fixed number of threads, with gradients on, and, for a custom
module, with the global generator seeded. Afterwards all of it is as it was before.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from skkd.checks import warn
from skkd.forks import threads_are_lost

__all__ = [
    "default_n_threads",
    "generator_lock",
    "gradients_on",
    "resolve_device",
    "seed_generator_of",
    "seeded_global_generator",
    "threads_of_fit",
]

_fits = threading.Condition()
_fits_running = 0
_threads_of_fits = 1
_threads_before = 1
_here = threading.local()

#: Held while a fit uses the global generators; reentrant, for a fit within a fit.
generator_lock = threading.RLock()


@contextmanager
def threads_of_fit(n_threads: int) -> Iterator[None]:
    """Run torch with `n_threads` in this thread, and restore the count afterwards.

    Several fits may run at the same time in threads of one process. The first to start
    stores the count, the last to end restores it, so that no fit changes the count of
    another or stores it as the original. A fit that needs another count waits until the
    running ones end, because torch shares part of this setting between all threads, and
    the count decides the last bits of a matrix product.

    In a forked child a single thread does the work (:mod:`skkd.forks`).

    Parameters
    ----------
    n_threads : int

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with threads_of_fit(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    global _fits_running, _threads_of_fits, _threads_before
    n_threads = 1 if threads_are_lost() else n_threads
    outer = getattr(_here, "n_threads", None)  # of a fit around this one
    with _fits:
        if outer is None:
            _fits.wait_for(lambda: _fits_running == 0 or _threads_of_fits == n_threads)
        if _fits_running == 0:
            _threads_before = torch.get_num_threads()
            _threads_of_fits = n_threads
        _fits_running += 1
    _here.n_threads = n_threads  # read by a fit inside this one
    try:
        torch.set_num_threads(n_threads)
        yield
    finally:
        _here.n_threads = outer
        with _fits:
            _fits_running = max(0, _fits_running - 1)  # a forked child may end a parent's fit
            if threads_are_lost():
                torch.set_num_threads(1)
            elif outer is not None:
                torch.set_num_threads(outer)
            elif _fits_running == 0:
                torch.set_num_threads(_threads_before)
            else:
                # Restore this thread's count alone: the rest of the setting is shared.
                threadpool_limits(_threads_before, user_api="openmp")
            _fits.notify_all()


def _begin_forked_child() -> None:
    global _fits, _fits_running, _threads_of_fits, _threads_before, _here, generator_lock
    # Other threads of the parent may have held the locks.
    _fits, _fits_running = threading.Condition(), 0
    _threads_of_fits, _threads_before, _here = 1, 1, threading.local()
    generator_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


def default_n_threads(n_parameters: int, batch_size: int) -> int:
    """Return the number of threads to train a network of this size with, on any machine.

    The number depends on the work in a batch alone: it decides the last bits of the
    result, so it must not depend on the machine. On an idle machine two threads are up to
    twice as fast, with large batches; where fits compete for the cores, as in a grid
    search with n_jobs, they are far slower. The default is therefore one thread, and two
    for batches of half a second and more (examples/benchmarks/threads.py).

    Parameters
    ----------
    n_parameters, batch_size : int

    Returns
    -------
    int

    Examples
    --------
    >>> default_n_threads(1_000_000, 256), default_n_threads(50_000_000, 256)
    (1, 2)
    """
    return 2 if n_parameters * batch_size >= 1e10 else 1


@contextmanager
def seeded_global_generator(
    seed: int | None = None, device: torch.device | str = "cpu"
) -> Iterator[None]:
    """Seed torch's global generators, and restore their states afterwards.

    Custom modules draw their weights and their dropout from the global generators alone.
    One thread at a time may be inside.

    Parameters
    ----------
    seed : int, default=None
        None does not seed.
    device : torch.device or str, default="cpu"
        The generators of the CPU and of this device are seeded and restored; those of other
        devices are not touched.
    """
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with generator_lock, torch.random.fork_rng(devices=others):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            seed_generator_of(device, seed)
        yield


def seed_generator_of(device: torch.device, seed: int) -> None:
    """Seed the global generator of a device other than the CPU.

    Parameters
    ----------
    device : torch.device
        The CPU is left alone.
    seed : int
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def gradients_on() -> Iterator[None]:
    """Turn gradients on, also inside the caller's no_grad or inference_mode."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def resolve_device(device: str, fall_back: bool = False) -> torch.device:
    """Return the torch device for the parameter `device` on this machine.

    Parameters
    ----------
    device : str
        "auto" is a GPU if there is one, else the CPU.
    fall_back : bool, default=False
        Whether a missing device gives a warning and the CPU (for predicting) or an error
        (for fitting).

    Returns
    -------
    torch.device

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        resolved = torch.device(device)
        float(torch.zeros(1, device=resolved))
    except (RuntimeError, AssertionError, TypeError) as error:
        if not fall_back:
            raise ValueError(
                f"device={device!r} is not allowed: give 'cpu', 'auto' or a device that "
                f"torch finds here ({error})."
            ) from error
        warn(f"device={device!r} is not available: predicting on the CPU.")
        return torch.device("cpu")
    return resolved
