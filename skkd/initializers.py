"""Initialisation schemes: they fill the starting weights of a network in place.

``fan_in`` is the number of inputs of a unit, ``fan_out`` the number of units that an input
feeds. In a convolution both are multiplied by the size of the receptive field. ``U`` is a uniform
and ``N`` a normal distribution. The other names are parameters of the schemes.

=================  ======================================================
Zeros              0
Constant           one value
Uniform            U(low, high)
Normal             N(mean, std^2)
TruncatedNormal    N(mean, std^2), redrawn outside of [low, high]
VarianceScaling    variance = scale / fan
Xavier             VarianceScaling: scale = gain^2, fan = (fan_in + fan_out) / 2
He                 VarianceScaling: scale = 2 / (1 + negative_slope^2), fan = fan_in or fan_out
LeCun              VarianceScaling: scale = 1, fan = fan_in
Orthogonal         a random (semi-)orthogonal matrix, times gain
=================  ======================================================

Where a scheme gives only a variance ``v`` and its `distribution` is "uniform", it draws from
``U(-sqrt(3 v), sqrt(3 v))``.

Weights must differ from unit to unit. Units that start with equal incoming and equal outgoing
weights receive equal gradients and stay equal. A network of zeros or of one constant therefore
works like a network with a single unit per hidden layer. Biases may start equal. A small
positive bias keeps a ReLU from being 0 for all rows.

The schemes are small objects that follow scikit-learn's parameter protocol. They hold
no tensors and import torch only when they fill a tensor. They draw from the generator that
`fill_` is given, or from torch's global generator if it is given none.
"""

import itertools
import math
import numbers
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator

from skkd.activations import ACTIVATIONS
from skkd.checks import check_instance, check_number, check_option, refuse, warn
from skkd.doc_links import DocLinkMixin

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "Constant",
    "He",
    "Initializer",
    "LeCun",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Xavier",
    "Zeros",
    "fans",
    "initialize_",
    "is_weighted_layer",
    "resolve_bias_init",
    "resolve_init",
    "warn_of_equal_units",
]


class Initializer(DocLinkMixin, BaseEstimator):
    """Base class of the initialisation schemes. Subclasses define `fill_`.

    Examples
    --------
    A scheme of one's own:

    >>> import torch
    >>> class RandomSigns(Initializer):
    ...     def fill_(self, tensor, generator=None):
    ...         return Uniform(-1, 1).fill_(tensor, generator).sign_()
    >>> bool((RandomSigns().fill_(torch.empty(9)).abs() == 1).all())
    True
    """

    def fill_(self, tensor, generator=None):
        """Fill a tensor in place.

        Parameters
        ----------
        tensor : torch.Tensor, floating
            The weights of a Linear layer, of shape (fan_out, fan_in), the weights of a
            convolution, of shape ``(out, in, *kernel)``, or a bias of shape (fan_out,).
        generator : torch.Generator, default=None
            Source of randomness. None is torch's global generator.

        Returns
        -------
        torch.Tensor
            The same tensor.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fill_(tensor, generator)")

    def check(self) -> None:
        """Raise ValueError or TypeError if a parameter is not usable."""


class Constant(Initializer):
    """Set all entries of a tensor to one value: suits biases, not the weights of hidden layers.

    Hidden units with equal weights receive equal gradients and never become different.

    Parameters
    ----------
    value : float, default=0.01

    Examples
    --------
    >>> import torch
    >>> Constant(0.5).fill_(torch.empty(3))
    tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(self, value=0.01):
        self.value = value

    def check(self) -> None:
        check_number("value", self.value)

    def fill_(self, tensor, generator=None):
        _without_grad(tensor).fill_(self.value)
        return tensor


class Zeros(Initializer):
    """Set all entries of a tensor to zero: suits biases, not the weights of hidden layers.

    Hidden units with equal weights receive equal gradients and never become different.

    Examples
    --------
    >>> import torch
    >>> Zeros().fill_(torch.empty(3))
    tensor([0., 0., 0.])
    """

    def fill_(self, tensor, generator=None):
        _without_grad(tensor).zero_()
        return tensor


class Uniform(Initializer):
    """Draw weights uniformly between two bounds that do not depend on the layer's size.

    Parameters
    ----------
    low, high : float, default=-0.05 and 0.05

    Examples
    --------
    >>> import torch
    >>> weights = Uniform(-1, 1).fill_(torch.empty(100), torch.Generator().manual_seed(0))
    >>> bool((weights.abs() <= 1).all())
    True
    """

    def __init__(self, low=-0.05, high=0.05):
        self.low = low
        self.high = high

    def check(self) -> None:
        check_number("low", self.low)
        check_number("high", self.high, low=self.low)

    def fill_(self, tensor, generator=None):
        _without_grad(tensor).uniform_(self.low, self.high, generator=generator)
        return tensor


class Normal(Initializer):
    """Draw Gaussian weights with a standard deviation that does not depend on the layer's size.

    Parameters
    ----------
    mean : float, default=0.0
    std : float, default=0.05

    Examples
    --------
    >>> import torch
    >>> weights = Normal(std=2.0).fill_(torch.empty(10_000), torch.Generator().manual_seed(0))
    >>> round(float(weights.std()), 1)
    2.0
    """

    def __init__(self, mean=0.0, std=0.05):
        self.mean = mean
        self.std = std

    def check(self) -> None:
        check_number("mean", self.mean)
        check_number("std", self.std, low=0)

    def fill_(self, tensor, generator=None):
        _without_grad(tensor).normal_(self.mean, self.std, generator=generator)
        return tensor


class TruncatedNormal(Initializer):
    """Draw Gaussian weights, and redraw those outside of ``[low, high]``.

    Parameters
    ----------
    mean : float, default=0.0
    std : float, default=0.05
    low, high : float, default=-0.1 and 0.1

    Examples
    --------
    >>> import torch
    >>> weights = TruncatedNormal().fill_(torch.empty(1000), torch.Generator().manual_seed(0))
    >>> bool((weights.abs() <= 0.1).all())
    True
    """

    def __init__(self, mean=0.0, std=0.05, low=-0.1, high=0.1):
        self.mean = mean
        self.std = std
        self.low = low
        self.high = high

    def check(self) -> None:
        check_number("mean", self.mean)
        check_number("std", self.std, low=0, low_open=True)
        check_number("low", self.low)
        check_number("high", self.high, low=self.low, low_open=True)

    def fill_(self, tensor, generator=None):
        from torch.nn.init import trunc_normal_

        return trunc_normal_(tensor, self.mean, self.std, self.low, self.high, generator=generator)


class VarianceScaling(Initializer):
    """Draw weights with variance ``scale / fan``, so that signals keep their size.

    Parameters
    ----------
    scale : float, default=1.0
        Numerator of the variance.
    fan : {"fan_in", "fan_out", "fan_avg"}, default="fan_in"
        "fan_in", the number of inputs of a unit, keeps the variance of activations from layer
        to layer. "fan_out", the number of units that an input feeds, keeps the variance of
        gradients. "fan_avg", the mean of the two, is a compromise.
    distribution : {"uniform", "normal"}, default="uniform"

    Examples
    --------
    >>> import torch
    >>> weights = VarianceScaling(scale=3.0).fill_(torch.empty(5, 100))
    >>> bool((weights.abs() <= 0.3).all())
    True
    """

    def __init__(self, scale=1.0, fan="fan_in", distribution="uniform"):
        self.scale = scale
        self.fan = fan
        self.distribution = distribution

    def check(self) -> None:
        check_number("scale", self.scale, low=0, low_open=True)
        check_option("fan", self.fan, ("fan_in", "fan_out", "fan_avg"))
        check_option("distribution", self.distribution, ("uniform", "normal"))

    def fill_(self, tensor, generator=None):
        fan_in, fan_out = fans(tensor)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.fan]
        std = math.sqrt(self.scale / fan)
        if self.distribution == "normal":
            return Normal(0.0, std).fill_(tensor, generator)
        bound = math.sqrt(3.0) * std
        return Uniform(-bound, bound).fill_(tensor, generator)


class Xavier(Initializer):
    """Draw weights with variance ``2 gain^2 / (fan_in + fan_out)``, for tanh and sigmoid.

    ``fan_in`` is the number of inputs of a unit, ``fan_out`` the number of units that an input
    feeds.

    Parameters
    ----------
    distribution : {"uniform", "normal"}, default="uniform"
    gain : float, default=1.0

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep
    feedforward neural networks", equation 16.

    Examples
    --------
    >>> import torch
    >>> weights = Xavier().fill_(torch.empty(400, 300))
    >>> bool((weights.abs() <= (6 / 700) ** 0.5).all())
    True
    """

    def __init__(self, distribution="uniform", gain=1.0):
        self.distribution = distribution
        self.gain = gain

    def check(self) -> None:
        check_option("distribution", self.distribution, ("uniform", "normal"))
        check_number("gain", self.gain, low=0, low_open=True)

    def fill_(self, tensor, generator=None):
        return VarianceScaling(self.gain**2, "fan_avg", self.distribution).fill_(tensor, generator)


class He(Initializer):
    """Draw weights with variance ``2 / ((1 + negative_slope^2) fan)``, for the ReLU family.

    Parameters
    ----------
    distribution : {"uniform", "normal"}, default="uniform"
    fan : {"fan_in", "fan_out"}, default="fan_in"
        The number of inputs of a unit, or the number of units that an input feeds; see
        :class:`VarianceScaling`.
    negative_slope : float, default=0.0
        Slope of a leaky ReLU below 0. A plain ReLU has slope 0.

    References
    ----------
    He et al. (2015), "Delving deep into rectifiers", arXiv:1502.01852, equation 15.

    Examples
    --------
    >>> import torch
    >>> weights = He().fill_(torch.empty(400, 300))
    >>> bool((weights.abs() <= (6 / 300) ** 0.5).all())
    True
    """

    def __init__(self, distribution="uniform", fan="fan_in", negative_slope=0.0):
        self.distribution = distribution
        self.fan = fan
        self.negative_slope = negative_slope

    def check(self) -> None:
        check_option("distribution", self.distribution, ("uniform", "normal"))
        check_option("fan", self.fan, ("fan_in", "fan_out"))
        check_number("negative_slope", self.negative_slope)

    def fill_(self, tensor, generator=None):
        scale = 2 / (1 + self.negative_slope**2)
        return VarianceScaling(scale, self.fan, self.distribution).fill_(tensor, generator)


class LeCun(Initializer):
    """Draw weights with variance ``1 / fan_in``, for SELU and linear units.

    ``fan_in`` is the number of inputs of a unit.

    Parameters
    ----------
    distribution : {"uniform", "normal"}, default="normal"

    References
    ----------
    LeCun et al. (1998), "Efficient BackProp", section 4.6; Klambauer et al. (2017),
    "Self-normalizing neural networks", arXiv:1706.02515.

    Examples
    --------
    >>> import torch
    >>> weights = LeCun("uniform").fill_(torch.empty(400, 300))
    >>> bool((weights.abs() <= (3 / 300) ** 0.5).all())
    True
    """

    def __init__(self, distribution="normal"):
        self.distribution = distribution

    def check(self) -> None:
        check_option("distribution", self.distribution, ("uniform", "normal"))

    def fill_(self, tensor, generator=None):
        return VarianceScaling(1.0, "fan_in", self.distribution).fill_(tensor, generator)


class Orthogonal(Initializer):
    """Draw a random matrix with orthonormal rows or columns, multiplied by `gain`.

    A matrix with more rows than columns gets orthonormal columns, any other matrix orthonormal
    rows. The weights of a convolution, of shape ``(out, in, *kernel)``, are filled as a matrix
    with one row per output. A bias cannot be filled.

    Parameters
    ----------
    gain : float, default=1.0

    References
    ----------
    Saxe, McClelland and Ganguli (2014), arXiv:1312.6120.

    Examples
    --------
    >>> import torch
    >>> w = Orthogonal().fill_(torch.empty(2, 5), torch.Generator().manual_seed(0))
    >>> torch.allclose(w @ w.T, torch.eye(2), atol=1e-6)
    True
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def check(self) -> None:
        check_number("gain", self.gain, low=0, low_open=True)

    def fill_(self, tensor, generator=None):
        from torch.nn.init import orthogonal_

        return orthogonal_(tensor, self.gain, generator=generator)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "constant": Constant(),
    "uniform": Uniform(),
    "normal": Normal(),
    "truncated_normal": TruncatedNormal(),
    "xavier": Xavier(),
    "xavier_uniform": Xavier("uniform"),
    "xavier_normal": Xavier("normal"),
    "he": He(),
    "he_uniform": He("uniform"),
    "he_normal": He("normal"),
    "lecun": LeCun(),
    "lecun_uniform": LeCun("uniform"),
    "lecun_normal": LeCun("normal"),
    "orthogonal": Orthogonal(),
}


def fans(tensor: "Tensor") -> tuple[int, int]:
    """Return fan_in and fan_out of a tensor of weights or biases.

    Parameters
    ----------
    tensor : torch.Tensor of shape (out, in, ...) or (out,)
        Weights or biases.

    Returns
    -------
    fan_in : int
        Number of inputs of a unit. For biases both results are ``out``.
    fan_out : int
        Number of units that an input feeds.

    Examples
    --------
    >>> import torch
    >>> fans(torch.empty(8, 3, 5, 5))
    (75, 200)
    """
    if tensor.ndim < 2:
        return tensor.numel(), tensor.numel()
    receptive_field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive_field, tensor.shape[0] * receptive_field


def initialize_(layer, weight_init, bias_init, generator=None):
    """Fill the weight and the bias of a Linear or Conv layer in place.

    Parameters
    ----------
    layer : torch.nn.Module
        A module with a `weight` and a `bias`. The `bias` may be None.
    weight_init, bias_init : Initializer
    generator : torch.Generator, default=None
        Source of randomness. None is torch's global generator.

    Returns
    -------
    torch.nn.Module
        The same layer.

    Examples
    --------
    >>> import torch
    >>> initialize_(torch.nn.Linear(3, 2), He(), Zeros()).bias.tolist()
    [0.0, 0.0]
    """
    weight_init.fill_(layer.weight, generator)
    if layer.bias is not None:
        bias_init.fill_(layer.bias, generator)
    return layer


def is_weighted_layer(layer: "nn.Module") -> bool:
    """Whether a torch module is a Linear or a convolutional layer.

    Parameters
    ----------
    layer : torch.nn.Module

    Returns
    -------
    bool

    Examples
    --------
    >>> import torch
    >>> is_weighted_layer(torch.nn.Linear(1, 1)), is_weighted_layer(torch.nn.ReLU())
    (True, False)
    """
    from torch import nn

    return isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))


def warn_of_equal_units(module):
    """Warn if all units of a hidden layer start equal, because they would stay equal.

    Units start equal if they have the same incoming weights, outgoing weights and biases. The
    units of the last layer may start equal, because they receive different gradients.

    Parameters
    ----------
    module : torch.nn.Module

    Examples
    --------
    >>> import warnings
    >>> from skkd.modules import MLP
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     warn_of_equal_units(MLP(4, 3, hidden_layer_sizes=(8,), init="constant"))
    >>> "the 8 units of hidden layer 1" in str(caught[0].message)
    True
    """
    layers = [layer for layer in module.modules() if is_weighted_layer(layer)]
    for position, (layer, following) in enumerate(itertools.pairwise(layers), start=1):
        incoming, outgoing = layer.weight.detach(), following.weight.detach()
        bias = incoming.new_zeros(1) if layer.bias is None else layer.bias.detach()
        equal_inside = bool((incoming == incoming[0]).all() and (bias == bias[0]).all())
        equal_outside = bool((outgoing == outgoing[:, :1]).all())
        if len(incoming) > 1 and equal_inside and equal_outside:
            warn(
                f"the {len(incoming)} units of hidden layer {position} start with equal weights: "
                "they cannot tell themselves apart and will stay equal. Choose a random init."
            )


def resolve_init(name: str, value: Any, activation: str) -> Initializer:
    """Return the scheme for the weights of a layer, given the value of the parameter `init`.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : str or Initializer
        Value of the parameter: "auto", a key of `INITIALIZERS`, or a scheme.
    activation : str
        Name of the activation that follows the layer. It decides what "auto" is: He for the
        ReLU family, Xavier for tanh, sigmoid and linear units, LeCun for SELU.

    Returns
    -------
    Initializer
        The scheme, with checked settings.

    Examples
    --------
    >>> resolve_init("init", value="auto", activation="tanh")
    Xavier()
    """
    if isinstance(value, str):
        check_option(name, value, ("auto", *INITIALIZERS))
        return _auto_init(activation) if value == "auto" else INITIALIZERS[value]
    check_instance(name, value, Initializer, "a scheme's name or an object of skkd.initializers")
    value.check()
    return value


def _auto_init(activation: str) -> Initializer:
    """Return the scheme that ``init="auto"`` chooses if `activation` follows the layer."""
    known = ACTIVATIONS[activation]
    if known.init == "he":
        return He(negative_slope=known.negative_slope)
    return INITIALIZERS[known.init]


def resolve_bias_init(name: str, value: Any) -> Initializer:
    """Return the scheme for the biases of a layer, given the value of the parameter `bias_init`.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : {"zeros"}, float or Initializer
        Value of the parameter. A number is the start value of every bias. A scheme must be a
        Zeros, Constant, Uniform, Normal or TruncatedNormal. All other schemes are made for
        matrices of weights and raise ValueError.

    Returns
    -------
    Initializer
        The scheme, with checked settings.

    Examples
    --------
    >>> resolve_bias_init("bias_init", value=0.1)
    Constant(value=0.1)
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        check_number(name, value)
        value = Constant(float(value))
    elif isinstance(value, str) and value == "zeros":
        value = Zeros()
    if not isinstance(value, (Zeros, Constant, Uniform, Normal, TruncatedNormal)):
        refuse(name, value, "'zeros', a number, Zeros(), Constant(), Uniform() or Normal()")
    value.check()
    return value


def _without_grad(tensor: "Tensor") -> "Tensor":
    # The result shares the tensor's memory, but autograd does not record changes of it.
    return tensor.detach()
