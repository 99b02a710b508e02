"""Threads, random generators, gradients and device of torch during a fit.

During `fit` torch runs with a fixed number of threads and with gradients on. If the network is
a custom module, the global generators of torch are seeded too. After `fit` all these settings
are restored.
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

#: Guards the next three variables, which all threads share.
_fits = threading.Condition()
_fits_running = 0
_threads_of_fits = 1
_threads_before = 1
#: `n_threads` of the fit that runs in the current thread.
_here = threading.local()

#: Held while a fit uses the global generators; reentrant, for a fit within a fit.
generator_lock = threading.RLock()


@contextmanager
def threads_of_fit(n_threads: int) -> Iterator[None]:
    """Run torch with `n_threads` threads inside the block, and restore the number afterwards.

    Fits in several Python threads run at the same time if they have the same `n_threads`. A fit
    with another `n_threads` waits until the running fits end. In a forked child torch always runs
    with one thread (:mod:`skkd.forks`).

    Parameters
    ----------
    n_threads : int
        Number of threads of torch.

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
    outer = getattr(_here, "n_threads", None)  # if this fit runs inside another fit
    with _fits:
        if outer is None:
            # torch shares part of this setting between all Python threads: another number would
            # change the results of the running fits in their last bits.
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
            _fits_running = max(0, _fits_running - 1)  # a child may be forked inside a fit
            if threads_are_lost():
                torch.set_num_threads(1)
            elif outer is not None:
                torch.set_num_threads(outer)
            elif _fits_running == 0:
                torch.set_num_threads(_threads_before)
            else:
                # Restore the OpenMP count of this Python thread alone: running fits share the rest.
                threadpool_limits(_threads_before, user_api="openmp")
            _fits.notify_all()


def _begin_forked_child() -> None:
    global _fits, _fits_running, _threads_of_fits, _threads_before, _here, generator_lock
    # Make new locks: another thread of the parent may have held the old ones.
    _fits, _fits_running = threading.Condition(), 0
    _threads_of_fits, _threads_before, _here = 1, 1, threading.local()
    generator_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked_child)


def default_n_threads(n_parameters: int, batch_size: int) -> int:
    """Return the number of threads to train a network with: two for much work per batch, else one.

    Two threads are used if the number of parameters times the batch size is at least 1e10. At
    this limit a batch takes about half a second. The number of threads changes the last bits of a
    fit's result. To get the same result on every machine, the number of cores is not used.

    Parameters
    ----------
    n_parameters : int
        Number of parameters of the network.
    batch_size : int
        Number of rows of a batch.

    Returns
    -------
    int

    Examples
    --------
    >>> default_n_threads(1_000_000, 256), default_n_threads(50_000_000, 256)
    (1, 2)
    """
    # On an idle machine two threads train large batches up to twice as fast. Where fits compete for
    # the cores, as in a grid search with `n_jobs`, they are far slower
    # (examples/benchmarks/threads.py).
    return 2 if n_parameters * batch_size >= 1e10 else 1


@contextmanager
def seeded_global_generator(
    seed: int | None = None, device: torch.device | str = "cpu"
) -> Iterator[None]:
    """Seed torch's global generators for the block, and restore their states afterwards.

    Custom modules draw weights and dropout masks from the global generators. Only one Python
    thread at a time may be inside the block; other threads wait.

    Parameters
    ----------
    seed : int, default=None
        None: the generators are not seeded, but their states are restored.
    device : torch.device or str, default="cpu"
        The device whose generator is seeded in addition to that of the CPU. The generators of
        the CPU and of a CUDA device are restored, those of other accelerators are not.
    """
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with generator_lock, torch.random.fork_rng(devices=others):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            seed_generator_of(device, seed)
        yield


def seed_generator_of(device: torch.device, seed: int) -> None:
    """Seed the global generator of an accelerator; do nothing if `device` is the CPU.

    Parameters
    ----------
    device : torch.device
    seed : int
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def gradients_on() -> Iterator[None]:
    """Turn gradients on for the block, even inside the caller's no_grad or inference_mode."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def resolve_device(device: str, fall_back: bool = False) -> torch.device:
    """Return the torch device for the estimator parameter `device`, and check that it works.

    Parameters
    ----------
    device : str
        A name of torch, such as "cuda:0". "auto" is a GPU or similar if available, else the CPU.
    fall_back : bool, default=False
        If the device is missing, True warns and returns the CPU, and False raises ValueError.

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
