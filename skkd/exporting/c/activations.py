"""The activations of :mod:`skkd.activations` as C, of exp, tanh and sqrt alone."""

__all__ = ["C_ACTIVATIONS"]

ELU = """
static $real skkd_activation($real x)
{
    return x > 0 ? x : $exp(x) - 1;
}
"""

GELU = """
static $real skkd_activation($real x)
{
    $real bounded = x < -1000 ? -1000 : x > 1000 ? 1000 : x;
    $real inner = bounded + 0.044715$f * bounded * bounded * bounded;
    return 0.5$f * x * (1 + $tanh(0.7978845608028654$f * inner));
}
"""

LEAKY_RELU = """
static $real skkd_activation($real x)
{
    return x > 0 ? x : 0.01$f * x;
}
"""

LOGISTIC = """
static $real skkd_activation($real x)
{
    return 0.5$f * (1 + $tanh(0.5$f * x));
}
"""

# With u = exp(-|x|): tanh(log(1 + exp(x))) = (1 + 2u) / (1 + 2u + 2u^2) for x above 0, and
# (2u + u^2) / (2 + 2u + u^2) below. So no logarithm is needed, and nothing overflows.
MISH = """
static $real skkd_activation($real x)
{
    $real u = $exp(x > 0 ? -x : x);
    $real part = x > 0 ? 1 + 2 * u : u * (2 + u);
    return x * part / (part + (x > 0 ? 2 * u * u : 2));
}
"""

RELU = """
static $real skkd_activation($real x)
{
    return x > 0 ? x : 0;
}
"""

SELU = """
static $real skkd_activation($real x)
{
    $real bent = x > 0 ? x : 1.6732632423543772$f * ($exp(x) - 1);
    return 1.0507009873554805$f * bent;
}
"""

SILU = """
static $real skkd_activation($real x)
{
    return 0.5$f * x * (1 + $tanh(0.5$f * x));
}
"""

TANH = """
static $real skkd_activation($real x)
{
    return $tanh(x);
}
"""

#: By the name of the activation: the template of a function; the identity has none.
C_ACTIVATIONS: dict[str, str | None] = {
    "identity": None,
    "logistic": LOGISTIC,
    "tanh": TANH,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SILU,
    "mish": MISH,
}
