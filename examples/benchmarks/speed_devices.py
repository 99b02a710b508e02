"""
Devices: speed of a GPU
=======================

This benchmark prints the seconds of an epoch of the default preset on the CPU and, if there is one,
on the GPU. The data are 40,000 rows of 50 columns with four classes. Wider layers and larger
batches use more of a GPU.
"""

import time

import numpy as np
import torch

from skkd import NeuralClassifier

SETTINGS = [
    # layers, batch size
    ((256, 256, 256), "auto"),
    ((256, 256, 256), 4096),
    ((2048, 2048, 2048), 4096),
]


def seconds_per_epoch(X, y, layers, batch_size, device):
    """Return a quarter of the seconds of a fit of four epochs."""
    clf = NeuralClassifier(
        layers, batch_size=batch_size, max_epochs=4, device=device, random_state=0
    )
    start = time.perf_counter()
    clf.fit(X, y)
    return (time.perf_counter() - start) / 4


def main():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 50)).astype(np.float32)
    y = (X[:, :2] > 0) @ [1, 2]
    gpu = torch.accelerator.current_accelerator(check_available=True)
    devices = ["cpu"] if gpu is None else ["cpu", str(gpu)]
    for device in devices:
        seconds_per_epoch(X[:1000], y[:1000], (8,), 200, device)  # the first fit takes longer
    print("seconds per epoch")
    print(f"{'layers':>16} {'batch':>6}", *(f"{device:>8}" for device in devices))
    for layers, batch_size in SETTINGS:
        seconds = [seconds_per_epoch(X, y, layers, batch_size, device) for device in devices]
        name = "-".join(map(str, layers))
        print(f"{name:>16} {batch_size:>6}", *(f"{s:8.3f}" for s in seconds))


if __name__ == "__main__":
    main()
