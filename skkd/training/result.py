"""What a training results in."""

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["TrainingResult"]


@dataclass
class TrainingResult:
    """A fitted network, how it was trained, and what a later training goes on from.

    Parameters
    ----------
    network : skkd.inference.network.Network or ModuleNetwork
    history : list of dict of float
        A record per epoch, from the beginning or of one call.
    best_epoch : int or None
        The epoch whose weights were kept, counted as in `history`; 0 for the weights that
        training began with.
    training_state : dict
        "optimizer", "moments", "epochs_done", "place" and the states of generators.
    n_steps : int, default=0
        Of the optimiser, from the beginning or in one call.
    """

    network: Any
    history: list[dict]
    best_epoch: int | None
    training_state: dict[str, Any]
    n_steps: int = 0

    def preceded_by(self, earlier: "TrainingResult | None") -> "TrainingResult":
        """The same, together with the training that it went on from.

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
