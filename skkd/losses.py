"""Losses and soft labels, as pure functions of tensors.

===================  =========================================================
entropy              H(p)      = -sum_k p_k log p_k
cross_entropy        CE(p, z)  = -sum_k p_k log softmax(z)_k
kl_divergence        KL(p, z)  =  sum_k p_k (log p_k - log softmax(z)_k)
smooth_labels        p'        = (1 - eps) p + eps / K
softmax_with_temp..  softmax(z / T)
temper               p^(1/T) / sum_k p_k^(1/T)
distillation_loss    (1 - alpha) CE(y, z) + alpha T^2 KL(softmax(t/T), z/T)
===================  =========================================================

Here ``p`` are probabilities, ``z`` and ``t`` the logits of the student and of the
teacher, ``K`` the number of classes, ``T`` the temperature and ``log`` the natural
logarithm. They are tied together by ``CE(p, z) = H(p) + KL(p, z)``.

The target always comes first, and is a distribution; the prediction comes second,
and is always logits, because ``log softmax(z)`` is exact where the logarithm of a
rounded probability is not. To hand over probabilities ``q``, pass ``log q``: they
*are* logits, since softmax ignores shifts.

Every loss returns **one value per row**, in nats. Averaging and weighting live
elsewhere, in one place.
"""

import torch
from torch import Tensor

__all__ = [
    "cross_entropy",
    "distillation_loss",
    "entropy",
    "kl_divergence",
    "one_hot",
    "smooth_labels",
    "softmax_with_temperature",
    "temper",
]


def entropy(p: Tensor) -> Tensor:
    r"""Shannon entropy of each row.

    .. math:: H(p) = -\sum_k p_k \log p_k, \qquad 0 \log 0 = 0

    Parameters
    ----------
    p : Tensor of shape (n_rows, n_classes), floating
        Probabilities; each row sums to 1.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats, between 0 (one-hot) and ``log(n_classes)`` (uniform).

    References
    ----------
    Shannon (1948), "A mathematical theory of communication".

    Examples
    --------
    >>> import torch
    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    return torch.special.entr(p).sum(dim=-1)


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    r"""Cross-entropy between a target and the softmax of logits.

    .. math:: CE(p, z) = -\sum_k p_k \log \mathrm{softmax}(z)_k

    Parameters
    ----------
    target : Tensor of shape (n_rows,) or (n_rows, n_classes)
        Hard labels as integer codes ``0 .. n_classes - 1``, or soft labels as
        probabilities.
    logits : Tensor of shape (n_rows, n_classes), floating
        The prediction, before softmax.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> cross_entropy(torch.tensor([0]), logits)
    tensor([0.1269])
    >>> cross_entropy(torch.tensor([[0.5, 0.5]]), logits)
    tensor([1.1269])
    """
    log_q = torch.log_softmax(logits, dim=-1)
    if target.ndim == logits.ndim:
        return -_expectation(target, log_q)
    return -log_q.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)


def kl_divergence(target: Tensor, logits: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence from the softmax of logits to a target.

    .. math:: KL(p, z) = \sum_k p_k (\log p_k - \log \mathrm{softmax}(z)_k)

    It is never negative, zero only where both are equal, and not symmetric.

    Parameters
    ----------
    target : Tensor of shape (n_rows, n_classes), floating
        Probabilities; each row sums to 1. Exact zeros are allowed.
    logits : Tensor of shape (n_rows, n_classes), floating
        The prediction, before softmax.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats.

    References
    ----------
    Kullback and Leibler (1951), "On information and sufficiency".

    Examples
    --------
    >>> import torch
    >>> p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> kl_divergence(p, q.log()), kl_divergence(q, p.log())
    (tensor([0.3681]), tensor([0.5108]))
    """
    divergence = cross_entropy(target, logits) - entropy(target)
    # Rounding must not make it negative where both are equal; a plain clamp would also
    # cut off the gradient there, which at high temperatures is many a row's.
    return divergence + (-divergence.detach()).clamp_min(0)


def one_hot(labels: Tensor, n_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Hard labels as rows of probability one.

    Parameters
    ----------
    labels : Tensor of shape (n_rows,), integer
        Codes ``0 .. n_classes - 1``.
    n_classes : int
        Number of columns.
    dtype : torch.dtype, default=torch.float32
        Floating type of the result.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)

    Examples
    --------
    >>> import torch
    >>> one_hot(torch.tensor([1, 0]), n_classes=2)
    tensor([[0., 1.],
            [1., 0.]])
    """
    return torch.nn.functional.one_hot(labels.long(), n_classes).to(dtype)


def smooth_labels(p: Tensor, epsilon: float) -> Tensor:
    r"""Label smoothing: mix each target with the uniform distribution.

    .. math:: p' = (1 - \epsilon) p + \epsilon / K

    Parameters
    ----------
    p : Tensor of shape (n_rows, n_classes), floating
        One-hot or soft labels.
    epsilon : float in [0, 1]
        Share of the uniform distribution. 0 changes nothing.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)

    References
    ----------
    Szegedy et al. (2016), "Rethinking the Inception architecture", section 7.

    Examples
    --------
    >>> import torch
    >>> smooth_labels(torch.tensor([[1.0, 0.0]]), epsilon=0.1)
    tensor([[0.9500, 0.0500]])
    """
    return (1 - epsilon) * p + epsilon / p.shape[-1]


def softmax_with_temperature(logits: Tensor, temperature: float) -> Tensor:
    r"""Probabilities from logits, softened by a temperature.

    .. math:: \mathrm{softmax}(z / T)

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_classes), floating
    temperature : float, positive
        1 is the ordinary softmax, towards 0 the argmax, towards infinity uniform.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)

    References
    ----------
    Hinton, Vinyals and Dean (2015), arXiv:1503.02531, equation 1.

    Examples
    --------
    >>> import torch
    >>> softmax_with_temperature(torch.tensor([[2.0, 0.0]]), temperature=2.0)
    tensor([[0.7311, 0.2689]])
    """
    return torch.softmax(logits / temperature, dim=-1)


def temper(p: Tensor, temperature: float, floor: float = 1e-7) -> Tensor:
    r"""Probabilities from probabilities, softened by a temperature.

    .. math:: p_k^{1/T} / \sum_j p_j^{1/T}

    The same as :func:`softmax_with_temperature` of ``log p``. Because an exact zero
    would stay zero at every temperature, `p` is first raised to at least `floor`;
    with ``T > 1`` this floor decides how soft the targets of a forest are.

    Parameters
    ----------
    p : Tensor of shape (n_rows, n_classes), floating
        Probabilities.
    temperature : float, positive
    floor : float in [0, 1), default=1e-7
        Smallest probability before tempering.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)
        Each row sums to 1.

    Examples
    --------
    >>> import torch
    >>> temper(torch.tensor([[0.9, 0.1]]), temperature=2.0)
    tensor([[0.7500, 0.2500]])
    """
    return torch.softmax(p.clamp_min(floor).log() / temperature, dim=-1)


def distillation_loss(
    target: Tensor,
    logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float,
    alpha: float,
) -> Tensor:
    r"""Hinton's loss: learn from labels and from a teacher.

    .. math::
        L = (1 - \alpha)\, CE(y, z)
            + \alpha\, T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    The gradient of the second term shrinks as ``1/T^2``; the factor ``T^2`` keeps its
    scale, so that `alpha` means the same at every temperature. For large ``T`` and
    centred logits that gradient tends to ``(z - t) / K``.

    Parameters
    ----------
    target : Tensor of shape (n_rows,) or (n_rows, n_classes)
        ``y``: hard labels as codes, or soft (for example smoothed) labels.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the student's.
    teacher_logits : Tensor of shape (n_rows, n_classes), floating
        ``t``: the teacher's, or the logarithm of its probabilities.
    temperature : float, positive
        ``T``.
    alpha : float in [0, 1]
        Weight of the **teacher**: 0 learns from labels alone, 1 from the teacher alone.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats.

    References
    ----------
    Hinton, Vinyals and Dean (2015), arXiv:1503.02531, section 2.

    Examples
    --------
    >>> import torch
    >>> y, z = torch.tensor([0]), torch.tensor([[2.0, 0.0]])
    >>> distillation_loss(y, z, z, temperature=2.0, alpha=1.0)
    tensor([0.])
    """
    T = temperature
    label_term = cross_entropy(target, logits)
    teacher_term = T**2 * kl_divergence(softmax_with_temperature(teacher_logits, T), logits / T)
    return (1 - alpha) * label_term + alpha * teacher_term


def _expectation(p: Tensor, log_q: Tensor) -> Tensor:
    # 0 * log 0 counts as 0: a class without mass costs nothing, whatever log q says.
    return torch.where(p == 0, 0.0, p * log_q).sum(dim=-1)
