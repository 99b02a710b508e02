"""A fitted custom torch module, stored as plain data: a factory, its arguments, the weights."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skkd.inference.schema import Described
from skkd.preprocessing.preprocessor import Preprocessor

__all__ = ["ModuleNetwork", "build_module"]

#: The built torch module and device of each ModuleNetwork. Threads share them; a pickle of the
#: ModuleNetwork does not hold them.
_modules: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def build_module(factory: Callable, arguments: dict[str, Any], dtype: str) -> Any:
    """Build a torch module on the CPU with the user's factory, and convert it to a dtype.

    Parameters
    ----------
    factory : callable
        Returns a torch.nn.Module.
    arguments : dict
        Keyword arguments of the factory.
    dtype : str
        The name of the dtype, such as "float32".

    Returns
    -------
    torch.nn.Module
    """
    import torch

    before = torch.get_default_dtype()
    try:
        # The initial weights must not depend on the caller's default dtype and device.
        torch.set_default_dtype(torch.float32)
        with torch.device("cpu"):
            module = factory(**arguments)
    finally:
        torch.set_default_dtype(before)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module={factory!r} must build a torch.nn.Module, got {module!r}.")
    return module.to(getattr(torch, dtype))


@dataclass(frozen=True, eq=False)
class ModuleNetwork(Described):
    """A fitted custom torch module with its preprocessor, stored as plain data.

    Predicting needs torch. The torch module is built at the first prediction.

    Parameters
    ----------
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
    factory : callable
        The module's class, or a function that builds the module.
    arguments : dict
        Keyword arguments of the factory.
    state : dict of str to ndarray
        The module's state dict.
    dtype : str
        The dtype of the module's weights and inputs.
    device : str
        The estimator's parameter `device`. A machine without this device uses the CPU.
    batch_size : int
        Rows per forward pass.
    classes : ndarray of shape (n_classes,), default=None
        The class of each logit. None while the module is trained.
    feature_names : tuple of str, default=None
        The names of the columns of X, if they have any.
    metadata : dict, default=None
        What is known about the training: plain values.
    """

    preprocessor: Preprocessor
    factory: Callable
    arguments: dict[str, Any]
    state: dict[str, np.ndarray]
    dtype: str
    device: str
    batch_size: int
    classes: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None

    def logits(self, rows: Any) -> np.ndarray:
        """Preprocess rows, and compute their logits.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
            Rows that the estimator has validated.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
        """
        import torch

        module, device = self._shared_module()
        dtype = np.dtype(self.dtype)
        logits = []
        with torch.inference_mode():
            for _, block in self.preprocessor.blocks(rows, most=self.batch_size):
                x = torch.tensor(np.ascontiguousarray(block, dtype=dtype), device=device)
                logits.append(module(x).double().cpu().numpy())
        return np.concatenate(logits)

    @property
    def dtype_of_weights(self) -> str:
        """The name of the dtype of the weights."""
        return self.dtype

    def module(self) -> Any:
        """Build a new torch module with the fitted weights, in eval mode, on the CPU."""
        import torch

        from skkd.runtime import seeded_global_generator

        with seeded_global_generator():
            module = build_module(self.factory, self.arguments, self.dtype)
        module.load_state_dict(
            {name: torch.tensor(a, device="cpu") for name, a in self.state.items()}
        )
        return module.eval()

    def _shared_module(self) -> tuple[Any, Any]:
        found = _modules.get(self)
        if found is None:
            from skkd.runtime import generator_lock, resolve_device

            with generator_lock:  # building draws from torch's global generator
                found = _modules.get(self)  # another thread may have built it by now
                if found is None:
                    # The machine that predicts may lack the device of the one that trained.
                    device = resolve_device(self.device, fall_back=True)
                    found = _modules[self] = (self.module().to(device), device)
        return found
