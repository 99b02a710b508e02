"""Rows in memory as batches of tensors.

Each batch is one slice of the rows. For data in memory this is up to fifty times faster than
torch's DataLoader, which fetches rows one by one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset

from skkd.preprocessing.preprocessor import transform_in_blocks

__all__ = ["Batches", "Rows", "batch_bounds"]

#: Shuffled batches are gathered several at a time, up to this many bytes.
GATHERED_BYTES = 2**21


class Rows(Dataset):
    """Rows to train on and their targets, as tensors on a device.

    Labelled rows come first; rows of a transfer set, labelled only by a teacher, may follow. Each
    epoch visits all labelled rows, and the same number of rows of the transfer set, or all of them
    if there are fewer. A position in the transfer set is kept, so that the next epoch continues
    there; after the last row the first one follows again.

    Parameters
    ----------
    X : ndarray of shape (n_rows, ...) or sparse matrix of shape (n_rows, n_columns)
        Dense rows are preprocessed already; sparse rows are preprocessed batch by batch.
    targets : dict of str to ndarray of shape (n_rows, ...)
        "labels" (codes), "weights" and further targets of the loss.
    preprocessor : Preprocessor, default=None
        Preprocesses the batches of sparse rows.
    dtype : torch.dtype
        The dtype of the batches and of all floating-point targets.
    device : torch.device
    n_labelled : int, default=None
        Number of labelled rows; None means that there is no transfer set.
    fresh_rows : callable, default=None
        Called before every epoch except the first. It returns a new transfer set as Rows, with as
        many rows as the old one, or None to keep the old one.
    prepare : callable, default=None
        Converts the dict of target tensors to the form that the loss needs.
    """

    def __init__(
        self,
        X: Any,
        targets: dict[str, np.ndarray],
        *,
        preprocessor: Any = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        n_labelled: int | None = None,
        fresh_rows: Callable[[], "Rows | None"] | None = None,
        prepare: Callable[[dict], dict] | None = None,
    ) -> None:
        self.n_labelled = n_labelled
        self.fresh_rows = fresh_rows
        self.n_passes = 0
        self.turn = 0  #: position in the transfer set where the next pass begins
        self.dtype = dtype
        self.device = device
        self.preprocessor = preprocessor
        self.X: Any = X if sparse.issparse(X) else self._tensor(X)
        self.targets = {name: self._tensor(target) for name, target in targets.items()}
        if fresh_rows is not None:  # a copy, because fresh rows will overwrite it
            self.X = X.copy() if sparse.issparse(X) else self.X.clone()
            self.targets = {name: target.clone() for name, target in self.targets.items()}
        if prepare is not None:
            self.targets = prepare(self.targets)

    @property
    def y(self) -> torch.Tensor:
        """Codes of the labels, for skorch callbacks that compute scores."""
        return self.targets["labels"]

    def __len__(self) -> int:
        return self.X.shape[0]

    @property
    def n_per_pass(self) -> int:
        """Number of rows that one epoch visits."""
        n_labelled = len(self) if self.n_labelled is None else self.n_labelled
        return n_labelled + min(len(self) - n_labelled, n_labelled)

    def begin_pass(self) -> None:
        """Begin an epoch; from the second on, replace the transfer set if `fresh_rows` is set."""
        if self.fresh_rows is not None and self.n_passes > 0:
            self._replace_transfer_set(self.fresh_rows())

    def next_pass(self) -> torch.Tensor:
        """Return the indices of the rows that the next epoch visits.

        Labelled rows and rows of the transfer set are mixed evenly. The latter begin at the kept
        position in the transfer set, see :class:`Rows`.

        Returns
        -------
        torch.Tensor of int64 of shape (n_per_pass,)
        """
        self.n_passes += 1
        n_labelled = len(self) if self.n_labelled is None else self.n_labelled
        n_others = len(self) - n_labelled
        n_new = self.n_per_pass - n_labelled
        others = n_labelled + (self.turn + torch.arange(n_new)) % n_others
        self.turn = (self.turn + n_new) % n_others
        labelled = torch.arange(n_labelled)
        # The even mixture gives every batch labelled rows, even without shuffling.
        places = torch.cat([labelled / n_labelled, torch.arange(n_new) / max(n_new, 1)])
        return torch.cat([labelled, others])[places.argsort(stable=True)]

    def _replace_transfer_set(self, others: "Rows | None") -> None:
        if others is None:
            return
        if sparse.issparse(self.X):
            self.X = sparse.vstack([self.X[: self.n_labelled], others.X], format="csr")
        else:
            self.X[self.n_labelled :] = others.X
        for name, target in self.targets.items():
            target[self.n_labelled :] = others.targets[name]

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        X, targets = self.take(torch.tensor([row]))
        return X[0], targets["labels"][0]

    def take(self, rows: slice | torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return X and the targets of the rows with given indices: a slice or a tensor."""
        targets = {name: _pick(target, rows) for name, target in self.targets.items()}
        if sparse.issparse(self.X):
            picked = self.X[rows if isinstance(rows, slice) else rows.cpu().numpy()]
            dtype = np.dtype(str(self.dtype).removeprefix("torch."))
            return self._tensor(transform_in_blocks(self.preprocessor, picked, dtype)), targets
        return _pick(self.X, rows), targets

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        if not array.flags.writeable:  # torch would warn about a read-only array
            array = array.copy()
        dtype = self.dtype if array.dtype.kind == "f" else None
        return torch.from_numpy(array).to(device=self.device, dtype=dtype)


def _pick(tensor: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
    """Return the rows of a tensor with given indices."""
    # For a tensor of indices, index_select is twice as fast as tensor[rows].
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


class Batches:
    """Divides rows into batches; iterating yields each batch once, as ``(X, targets)``.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Labelled rows per batch; the last may have fewer, or one more. Rows of a transfer set are
        divided evenly among these batches.
    generator : torch.Generator, default=None
        Shuffles the rows in each iteration; None keeps their order.
    takes_turns : bool, default=True
        True, for training: an iteration visits the rows of :meth:`Rows.next_pass`, and so only a
        part of a large transfer set. False, for validation: it visits all rows.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        generator: torch.Generator | None = None,
        takes_turns: bool = True,
    ) -> None:
        self.rows = rows
        self.dataset = rows
        self.generator = generator
        self.takes_turns = takes_turns and rows.n_labelled is not None
        self.n_rows = rows.n_per_pass if self.takes_turns else len(rows)
        n_counted = len(rows)
        if self.takes_turns and rows.n_labelled is not None:
            n_counted = rows.n_labelled
        self.bounds = [
            (start * self.n_rows // n_counted, stop * self.n_rows // n_counted)
            for start, stop in batch_bounds(n_counted, batch_size)
        ]
        self.batch_size = max(stop - start for start, stop in self.bounds)

    def __len__(self):
        return len(self.bounds)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        # The order of the rows within a single batch has no effect.
        is_shuffled = self.generator is not None and len(self.bounds) > 1
        if not self.takes_turns and not is_shuffled:
            for start, stop in self.bounds:
                yield self.rows.take(slice(start, stop))
            return
        order = torch.arange(self.n_rows)
        if is_shuffled:
            order = torch.randperm(len(order), generator=self.generator, device="cpu")
        if self.takes_turns:
            order = self.rows.next_pass()[order]
        order = order.to(self.rows.device)
        for bounds in self._groups():
            X, targets = self.rows.take(order[bounds[0][0] : bounds[-1][1]])
            sizes = [stop - start for start, stop in bounds]
            parts = zip(*(target.split(sizes) for target in targets.values()), strict=True)
            for part, of_targets in zip(X.split(sizes), parts, strict=True):
                yield part, dict(zip(targets, of_targets, strict=True))

    def _groups(self) -> Iterator[list[tuple[int, int]]]:
        """Yield lists of (start, stop), one per batch; rows of a list are fetched in one call."""
        n_batches = 1  # one call for several batches is faster than one call per batch
        if not sparse.issparse(self.rows.X):
            row_bytes = self.rows.X[0].numel() * self.rows.X.element_size()
            n_batches = max(1, GATHERED_BYTES // (row_bytes * self.batch_size))
        for i in range(0, len(self.bounds), n_batches):
            yield self.bounds[i : i + n_batches]


def batch_bounds(n_rows: int, batch_size: int) -> list[tuple[int, int]]:
    """Compute the start and stop of each batch.

    A last batch of one row is merged into the one before: BatchNorm cannot train on a single row.

    Parameters
    ----------
    n_rows, batch_size : int

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> batch_bounds(7, 3)
    [(0, 3), (3, 7)]
    """
    starts = list(range(0, n_rows, batch_size))
    if len(starts) > 1 and batch_size > 1 and n_rows - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_rows], strict=True))
