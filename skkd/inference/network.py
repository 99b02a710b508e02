"""A fitted network as plain data that answers in NumPy.

This is where the parts meet: training makes a :class:`Network`, predicting reads it,
export writes it, a pickle holds it. It knows arrays and nothing else, so a fitted
classifier predicts in a process that never imports torch.

Answers are computed in float64 whatever the network was trained in: then a row gets
the same answer alone and among others, where float32 would differ by 1e-6, and no
input overflows on its way through the layers. Only many rows that come in float32 are
answered in float32.
"""

from dataclasses import dataclass, field

import numpy as np

from skkd.activations import ACTIVATIONS

__all__ = ["Dense", "Network", "log_softmax", "softmax"]

#: Rows that pass through the layers together: few enough for the cache, and enough for
#: threads of NumPy's, which small products keep waiting for each other.
BLOCK_ROWS = 4096


#: Up to so many rows, making blocks takes as long as answering.
FEW_ROWS = 16

#: From so many rows of float32 on, arithmetic is in float32.
MANY_ROWS = 1000

#: The smallest normal number.
TINY = np.finfo(np.float64).tiny


def log_softmax(logits):
    """Logarithm of the softmax of each row, finite for finite logits.

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


def softmax(logits):
    """Softmax of each row: positive, and sums to 1 within 1e-12.

    An underflow stops at the smallest normal number, so that its logarithm is finite.

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
    p = np.array(logits.T, dtype=np.float64, order="C")  # over its first axis NumPy is faster
    p -= np.maximum.reduce(p, axis=0)
    np.exp(p, out=p)
    p /= np.add.reduce(p, axis=0)
    return np.maximum(p, TINY, out=p).T.copy()


@dataclass(frozen=True, eq=False)
class Dense:
    """One layer ready for inference: ``activation(x @ weight + bias)``.

    What is a scale and a shift once training is over, as BatchNorm is, is folded in.
    """

    weight: np.ndarray  #: (n_inputs, n_units), float64
    bias: np.ndarray  #: (n_units,), float64
    activation: str

    def astype(self, dtype):
        """The same layer in another precision."""
        return Dense(self.weight.astype(dtype), self.bias.astype(dtype), self.activation)

    def __call__(self, x):
        x = x @ self.weight
        x += self.bias
        return ACTIVATIONS[self.activation].numpy(x)


@dataclass(frozen=True, eq=False)
class Network:
    """A fitted multilayer perceptron with its preprocessor, as plain data.

    Parameters
    ----------
    preprocessor : skkd.preprocessing.preprocessor.Preprocessor
        What the network sees of the user's rows.
    architecture : dict
        Arguments of :class:`skkd.modules.MLP`: n_features, n_classes,
        hidden_layer_sizes, activation, batch_norm, dropout, feature_scale.
    state : dict of str to ndarray
        The module's state dict, in the dtype it was trained in.
    temperature : float, default=1.0
        Logits are divided by it. A training that goes on goes on without it.
    """

    preprocessor: object
    architecture: dict
    state: dict
    temperature: float = 1.0
    layers: tuple = field(init=False, repr=False)

    def __post_init__(self):
        # Derived from `state`, so a pickle does not hold the weights twice.
        state = self._state_at_temperature()
        object.__setattr__(self, "layers", tuple(_dense_layers(self.architecture, state)))

    def logits(self, rows):
        """Logits of rows as the user has them.

        In float64, so that a row gets the same answer alone and among others; but many
        rows of float32 (`MANY_ROWS`) in float32, where an answer may differ by 1e-6.

        Parameters
        ----------
        rows : ndarray, sparse matrix or Table, checked by the estimator

        Returns
        -------
        ndarray of shape (n_rows, n_classes), floating
        """
        is_single = getattr(rows, "dtype", None) == np.float32 and rows.shape[0] >= MANY_ROWS
        dtype = np.float32 if is_single else np.float64
        layers = [layer.astype(dtype) for layer in self.layers] if is_single else self.layers
        if type(rows) is np.ndarray and len(rows) <= FEW_ROWS:
            return _forward(layers, self.preprocessor.transform(rows), dtype)
        answers = []
        for _, x in self.preprocessor.blocks(rows, most=BLOCK_ROWS):
            answer = _forward(layers, x, dtype)
            if is_single and not np.isfinite(answer).all():
                answer = _forward(self.layers, x, np.float64)  # which nothing overflows
            answers.append(answer)
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def at_temperature(self, temperature):
        """The same network at another temperature.

        Parameters
        ----------
        temperature : float

        Returns
        -------
        Network
        """
        return Network(self.preprocessor, self.architecture, self.state, temperature)

    def _state_at_temperature(self):
        if self.temperature == 1:
            return self.state
        output = {name: self.state[name] for name in ("output.weight", "output.bias")}
        scaled = {name: a / a.dtype.type(self.temperature) for name, a in output.items()}
        return self.state | scaled

    def module(self):
        """A new torch module with the fitted weights, in eval mode."""
        import torch

        from skkd.modules import MLP

        first = next(iter(self.state.values()))
        mlp = MLP(**self.architecture, init="zeros", dtype=getattr(torch, first.dtype.name))
        state = self._state_at_temperature()
        mlp.load_state_dict({name: torch.tensor(a, device="cpu") for name, a in state.items()})
        return mlp.eval()

    def __getstate__(self):
        return {
            "preprocessor": self.preprocessor,
            "architecture": self.architecture,
            "state": self.state,
            "temperature": self.temperature,
        }

    def __setstate__(self, state):
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()


def _forward(layers, x, dtype):
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(dtype, copy=False)
        for layer in layers:
            x = layer(x)
    return x


def _dense_layers(architecture, state):
    """The layers of an MLP's state dict, in their order, scales and BatchNorm folded in."""
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
