"""The result of a training."""

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["TrainingResult"]


@dataclass
class TrainingResult:
    """A fitted network, the history of its training, and the state for continuing it.

    Parameters
    ----------
    network : skkd.inference.network.Network or ModuleNetwork
    history : list of dict of float
        One record per epoch.
    best_epoch : int or None
        Number of the epoch whose weights were kept, 0 for the initial weights. None if the weights
        are simply those of the last epoch.
    training_state : dict
        What a later training needs to continue this one, such as the moments of the optimiser.
    n_steps : int, default=0
        Number of optimiser steps in the epochs of `history`.
    """

    network: Any
    history: list[dict]
    best_epoch: int | None
    training_state: dict[str, Any]
    n_steps: int = 0

    def preceded_by(self, earlier: "TrainingResult | None") -> "TrainingResult":
        """Return a copy of this result that also covers the earlier training that it continued.

        Parameters
        ----------
        earlier : TrainingResult or None
            Result of the earlier training. If None, this result itself is returned.

        Returns
        -------
        TrainingResult
            The network and the training state are those of this result. `history` and `n_steps`
            cover both trainings; the epochs are numbered from the first of the earlier training.
        """
        if earlier is None:
            return self
        n_before = len(earlier.history)
        best_epoch = None if self.best_epoch is None else n_before + self.best_epoch
        if self.best_epoch == 0 and earlier.best_epoch is not None:
            best_epoch = earlier.best_epoch  # this training began with its weights
        later = ({**record, "epoch": n_before + record["epoch"]} for record in self.history)
        return replace(
            self,
            history=[*earlier.history, *later],
            best_epoch=best_epoch,
            n_steps=earlier.n_steps + self.n_steps,
        )
