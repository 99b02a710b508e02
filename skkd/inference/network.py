"""A fitted network, stored as plain data, that predicts with NumPy.

Training returns a :class:`Network`. Prediction, export and pickling use it. A `Network` consists
of arrays and plain Python values, so a fitted classifier can predict in a process that never
imports torch.

Logits are computed in float64, whatever dtype the network was trained in. So a row has the same
logits whether it is predicted alone or with other rows (in float32 they would differ by 1e-6),
and no input overflows in the layers. There is one exception: if X is float32 and has at least
`MANY_ROWS` rows, logits are computed in float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skkd.activations import ACTIVATIONS
from skkd.data.tables import Table
from skkd.inference.schema import Described
from skkd.preprocessing.preprocessor import Preprocessor

__all__ = ["Dense", "Network", "log_softmax", "softmax"]

#: The number of rows that pass through the layers together. They fit into the processor's cache,
#: and are enough for NumPy's threads, which wait for each other in small matrix products.
BLOCK_ROWS = 4096

#: At most this many rows are not divided into blocks: that would take as long as the layers.
FEW_ROWS = 16

#: For at least this many rows of float32, logits are computed in float32.
MANY_ROWS = 1000

#: The smallest positive normal float64.
TINY = np.finfo(np.float64).tiny


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the logarithm of the softmax of each row; finite logits give finite results.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_classes)

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float64

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """
    shifted = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the softmax of each row.

    Each row sums to 1 within 1e-12. No probability is below the smallest positive normal
    float64, so all logarithms are finite.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_classes)

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float64

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[0.0, 0.0], [0.0, 5000.0]]))
    array([[5.00000000e-001, 5.00000000e-001],
           [2.22507386e-308, 1.00000000e+000]])
    """
    p = np.array(logits.T, dtype=np.float64, order="C")  # NumPy sums faster over axis 0
    p -= np.maximum.reduce(p, axis=0)
    np.exp(p, out=p)
    p /= np.add.reduce(p, axis=0)
    return np.maximum(p, TINY, out=p).T.copy()


@dataclass(frozen=True, eq=False)
class Dense:
    """One layer at inference: ``activation(x @ weight + bias)``.

    After training, BatchNorm is only a scale and a shift, so it is merged into `weight` and
    `bias`.
    """

    weight: np.ndarray  #: (n_inputs, n_units), float64
    bias: np.ndarray  #: (n_units,), float64
    activation: str

    def astype(self, dtype: Any) -> "Dense":
        """Return this layer with its weight and bias converted to a dtype."""
        return Dense(self.weight.astype(dtype), self.bias.astype(dtype), self.activation)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = x @ self.weight
        x += self.bias
        return ACTIVATIONS[self.activation].numpy(x)


@dataclass(frozen=True, eq=False)
class Network(Described):
    """A fitted multilayer perceptron with its preprocessor, stored as plain data.

    Parameters
    ----------
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
        Turns the user's rows into the inputs of the network.
    architecture : dict
        The arguments of :class:`skkd.modules.MLP` that decide which layers it has.
    state : dict of str to ndarray
        The state dict of the trained :class:`skkd.modules.MLP`, in the dtype of training.
    temperature : float, default=1.0
        Predicted logits are divided by it. Further training does not use it.
    classes : ndarray of shape (n_classes,), default=None
        The class of each logit. None while the network is trained.
    feature_names : tuple of str, default=None
        The names of the columns of X, if they have any.
    metadata : dict, default=None
        What is known about the training, by name: plain values that JSON can hold.
    """

    preprocessor: Preprocessor
    architecture: dict[str, Any]
    state: dict[str, np.ndarray]
    temperature: float = 1.0
    classes: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    layers: tuple[Dense, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Derived from `state`, so a pickle does not hold the weights twice.
        state = self._state_at_temperature()
        object.__setattr__(self, "layers", tuple(_dense_layers(self.architecture, state)))

    def logits(self, rows: Any) -> np.ndarray:
        """Preprocess rows, and compute their logits.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table
            Rows that the estimator has validated.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Computed in float32 if the rows are float32 and at least `MANY_ROWS`, else in float64.
        """
        is_single = getattr(rows, "dtype", None) == np.float32 and rows.shape[0] >= MANY_ROWS
        dtype = np.float32 if is_single else np.float64
        layers = [layer.astype(dtype) for layer in self.layers] if is_single else self.layers
        if type(rows) in (np.ndarray, Table) and len(rows) <= FEW_ROWS:
            return _forward(layers, self.preprocessor.transform(rows), dtype)
        logits = []
        for _, x in self.preprocessor.blocks(rows, most=BLOCK_ROWS):
            of_block = _forward(layers, x, dtype)
            if is_single and not np.isfinite(of_block).all():
                of_block = _forward(self.layers, x, np.float64)  # does not overflow
            logits.append(of_block)
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def at_temperature(self, temperature: float) -> "Network":
        """Return a new network that differs from this one only in its temperature.

        Parameters
        ----------
        temperature : float
            The temperature of the new network.

        Returns
        -------
        Network
        """
        return replace(self, temperature=temperature)

    def folded(self, dtype: str = "float64") -> "Network":
        """Return a network with the same logits that has neither BatchNorm nor a feature scale.

        They are merged into the weights and biases, and so is the temperature.

        Parameters
        ----------
        dtype : str, default="float64"
            The dtype of the weights. In float32 they are rounded.

        Returns
        -------
        Network
        """
        names = [f"linear{i}" for i in range(1, len(self.layers))] + ["output"]
        state = {}
        for name, layer in zip(names, self.layers, strict=True):
            state[f"{name}.weight"] = layer.weight.T.astype(dtype)
            state[f"{name}.bias"] = layer.bias.astype(dtype)
        architecture = self.architecture | {"batch_norm": False, "feature_scale": False}
        return replace(self, architecture=architecture, state=state, temperature=1.0)

    @property
    def dtype_of_weights(self) -> str:
        """The name of the dtype of the weights."""
        return next(iter(self.state.values())).dtype.name

    def _state_at_temperature(self) -> dict[str, np.ndarray]:
        if self.temperature == 1:
            return self.state
        output = {name: self.state[name] for name in ("output.weight", "output.bias")}
        scaled = {name: a / a.dtype.type(self.temperature) for name, a in output.items()}
        return self.state | scaled

    def module(self) -> Any:
        """Build a new torch module with the fitted weights, in eval mode."""
        import torch

        from skkd.modules import MLP

        first = next(iter(self.state.values()))
        mlp = MLP(**self.architecture, init="zeros", dtype=getattr(torch, first.dtype.name))
        state = self._state_at_temperature()
        mlp.load_state_dict({name: torch.tensor(a, device="cpu") for name, a in state.items()})
        return mlp.eval()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "preprocessor": self.preprocessor,
            "architecture": self.architecture,
            "state": self.state,
            "temperature": self.temperature,
            "classes": self.classes,
            "feature_names": self.feature_names,
            "metadata": self.metadata,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()


def _forward(layers: Sequence[Dense], x: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(dtype, copy=False)
        for layer in layers:
            x = layer(x)
    return x


def _dense_layers(architecture: dict[str, Any], state: dict[str, np.ndarray]) -> Iterator[Dense]:
    """Yield the layers of an MLP; `ScaledLinear.scale` and BatchNorm are merged into them."""
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in state.items()}
    n_hidden = len(architecture["hidden_layer_sizes"])
    first = "linear1" if n_hidden else "output"
    if f"{first}.scale" in arrays:
        arrays[f"{first}.weight"] = arrays[f"{first}.weight"] * arrays[f"{first}.scale"]
    for i in range(1, n_hidden + 1):
        weight = arrays[f"linear{i}.weight"].T
        bias = arrays.get(f"linear{i}.bias", np.zeros(weight.shape[1]))
        if architecture["batch_norm"]:
            norm = f"batch_norm{i}"
            scale = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + 1e-5)
            weight = weight * scale
            bias = (bias - arrays[f"{norm}.running_mean"]) * scale + arrays[f"{norm}.bias"]
        yield Dense(np.ascontiguousarray(weight), bias, architecture["activation"])
    weight = np.ascontiguousarray(arrays["output.weight"].T)
    yield Dense(weight, arrays["output.bias"], "identity")
