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
        One record per epoch of this training, or of all since the beginning.
    best_epoch : int or None
        The epoch whose weights were kept, as counted in `history`; 0 for the initial weights.
    training_state : dict
        "optimizer", "moments", "epochs_done", "place" and the states of generators.
    n_steps : int, default=0
        Number of optimiser steps in these epochs.
    """

    network: Any
    history: list[dict]
    best_epoch: int | None
    training_state: dict[str, Any]
    n_steps: int = 0

    def preceded_by(self, earlier: "TrainingResult | None") -> "TrainingResult":
        """The result of two trainings, of which this one continued the earlier one.

        Parameters
        ----------
        earlier : TrainingResult or None

        Returns
        -------
        TrainingResult
        """
        if earlier is None:
            return self
        n_before = len(earlier.history)
        best_epoch = None if self.best_epoch is None else n_before + self.best_epoch
        if self.best_epoch == 0 and earlier.best_epoch is not None:
            best_epoch = earlier.best_epoch  # whose weights this training began with
        later = ({**record, "epoch": n_before + record["epoch"]} for record in self.history)
        return replace(
            self,
            history=[*earlier.history, *later],
            best_epoch=best_epoch,
            n_steps=earlier.n_steps + self.n_steps,
        )
