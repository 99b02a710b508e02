"""Losses and soft labels, as pure functions of tensors.

===================  =========================================================
entropy              H(p)      = -sum_k p_k log p_k
cross_entropy        CE(p, z)  = -sum_k p_k log softmax(z)_k
kl_divergence        KL(p, z)  =  sum_k p_k (log p_k - log softmax(z)_k)
smooth_labels        p'        = (1 - eps) p + eps / K
softmax_with_temp..  softmax(z / T)
temper               p^(1/T) / sum_k p_k^(1/T)
distillation_loss    (1 - alpha) CE(y, z) + alpha D(t, z)
===================  =========================================================

``D``, how far a student is from its teacher, is one of :data:`TEACHER_LOSSES`. With
``q = softmax(t/T)``, ``p = softmax(z/T)`` and ``m = (q + p) / 2`` it is, by name:

================  ===================================================
"kl"              T^2 KL(q || p)
"reverse_kl"      T^2 KL(p || q)
"jensen_shannon"  T^2 (KL(q || m) + KL(p || m)) / 2
"logit_mse"       sum_k (z_k - mean(z) - t_k + mean(t))^2 / (2 K)
"brier"           T^2 sum_k (p_k - q_k)^2
================  ===================================================

Here ``p`` are probabilities, ``z`` and ``t`` the logits of the student and of the
teacher, ``K`` the number of classes, ``T`` the temperature and ``log`` the natural
logarithm. They are tied together by ``CE(p, z) = H(p) + KL(p, z)``.

The target always comes first; the prediction comes second, and is always logits,
because ``log softmax(z)`` is exact where the logarithm of a rounded probability is
not. Labels are distributions or codes, a teacher gives logits. To hand over
probabilities ``q``, pass ``log q``: they *are* logits, since softmax ignores shifts.

Every loss returns **one value per row**, in nats but for the two squared ones.
Averaging and weighting live elsewhere, in one place.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skkd.checks import check_number, check_option

__all__ = [
    "TEACHER_LOSSES",
    "brier",
    "cross_entropy",
    "distillation_loss",
    "entropy",
    "forward_kl",
    "jensen_shannon",
    "kl_divergence",
    "logit_mse",
    "one_hot",
    "reverse_kl",
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
    return _not_negative(cross_entropy(target, logits) - entropy(target))


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


def forward_kl(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Hinton's teacher term: the student covers all that the teacher deems possible.

    .. math:: T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    Parameters
    ----------
    teacher_logits : Tensor of shape (n_rows, n_classes), floating
        ``t``, or the logarithm of probabilities; exact zeros are allowed.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the student's, finite.
    temperature : float, positive, default=1.0
        ``T``.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats times ``T^2``. Towards infinite ``T`` it is :func:`logit_mse`.

    References
    ----------
    Hinton, Vinyals and Dean (2015), arXiv:1503.02531, section 2.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> forward_kl(q.log(), p.log())
    tensor([0.3681])
    """
    T = temperature
    return T**2 * kl_divergence(softmax_with_temperature(teacher_logits, T), logits / T)


def reverse_kl(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""KL divergence with the sides swapped: the student avoids what the teacher excludes.

    .. math:: T^2\, KL(\mathrm{softmax}(z/T) \,\|\, \mathrm{softmax}(t/T))

    A probability that the teacher puts at exactly zero would make it infinite. It counts
    as the smallest positive number of its dtype, relative to the row's largest.

    Parameters
    ----------
    teacher_logits, logits, temperature
        As in :func:`forward_kl`.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats times ``T^2``. Towards infinite ``T`` it is :func:`logit_mse`.

    References
    ----------
    Gu et al. (2023), "MiniLLM", arXiv:2306.08543; Agarwal et al. (2023), "On-policy
    distillation of language models", arXiv:2306.13649.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> reverse_kl(q.log(), p.log())
    tensor([0.5108])
    """
    T = temperature
    log_q = _log_softmax(_without_zeros(teacher_logits) / T)
    return T**2 * _relative_entropy(_log_softmax(logits / T), log_q)


def jensen_shannon(
    teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0, *, beta: float = 0.5
) -> Tensor:
    r"""Jensen-Shannon divergence: how far both are from their mixture.

    .. math::
        T^2 \bigl(\beta\, KL(q \,\|\, m) + (1 - \beta)\, KL(p \,\|\, m)\bigr), \qquad
        m = \beta q + (1 - \beta) p

    with ``q = softmax(t/T)`` and ``p = softmax(z/T)``. With ``beta = 1/2`` it is
    symmetric, and its square root a metric. Divided by `beta` it tends to the KL
    divergence as `beta` tends to 0; divided by ``1 - beta``, to the reverse one as
    `beta` tends to 1.

    Parameters
    ----------
    teacher_logits, logits, temperature
        As in :func:`forward_kl`.
    beta : float in (0, 1), default=0.5
        Share of the teacher in the mixture.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats times ``T^2``; never above ``T^2 log 2``. Towards infinite ``T`` it is
        ``beta (1 - beta)`` of :func:`logit_mse`, so a quarter.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy"; with `beta`: Agarwal
    et al. (2023), arXiv:2306.13649.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    >>> jensen_shannon(q.log(), p.log())
    tensor([0.6931, 0.1017])
    """
    check_number("beta", beta, low=0, high=1, low_open=True, high_open=True)
    T = temperature
    log_q, log_p = _log_softmax(teacher_logits / T), _log_softmax(logits / T)
    log_m = torch.logaddexp(log_q + math.log(beta), log_p + math.log1p(-beta))
    of_teacher, of_student = _relative_entropy(log_q, log_m), _relative_entropy(log_p, log_m)
    return T**2 * (beta * of_teacher + (1 - beta) * of_student)


def logit_mse(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Half the mean squared difference of centred logits.

    .. math:: \frac{1}{2K} \sum_k (z_k - \bar z - t_k + \bar t)^2

    The limit of :func:`forward_kl` at infinite temperature; its gradient is
    ``(z - t) / K`` for centred logits. Logits of small probabilities weigh as much as
    all others, so a teacher's zeros, which count as in :func:`reverse_kl`, want a floor.

    Parameters
    ----------
    teacher_logits, logits
        As in :func:`forward_kl`.
    temperature : float, positive, default=1.0
        Of no effect: the logits are compared as they are.

    Returns
    -------
    Tensor of shape (n_rows,)

    References
    ----------
    Ba and Caruana (2014), "Do deep nets really need to be deep?", arXiv:1312.6184; Kim et
    al. (2021), arXiv:2105.08919.

    Examples
    --------
    >>> import torch
    >>> logit_mse(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
    tensor([4.5000])
    """
    difference = logits - _without_zeros(teacher_logits)
    centred = difference - difference.mean(dim=-1, keepdim=True)
    return centred.square().mean(dim=-1) / 2


def brier(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Squared distance of two distributions: Brier's score, against a teacher.

    .. math:: T^2 \sum_k \bigl(\mathrm{softmax}(z/T)_k - \mathrm{softmax}(t/T)_k\bigr)^2

    Bounded, and indifferent to how small a small probability is.

    Parameters
    ----------
    teacher_logits, logits, temperature
        As in :func:`forward_kl`.

    Returns
    -------
    Tensor of shape (n_rows,)
        Between 0 and ``2 T^2``. Towards infinite ``T`` it is ``2 / K`` of
        :func:`logit_mse`.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    >>> brier(q.log(), p.log())
    tensor([2.0000, 0.3200])
    """
    T = temperature
    q, p = _log_softmax(teacher_logits / T).exp(), _log_softmax(logits / T).exp()
    return T**2 * (p - q).square().sum(dim=-1)


#: How far a student is from its teacher, by name: functions of (teacher_logits, logits,
#: temperature) that give one loss per row.
TEACHER_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "logit_mse": logit_mse,
    "brier": brier,
}


def distillation_loss(
    target: Tensor,
    logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float,
    alpha: float | Tensor,
    teacher_loss: str = "kl",
) -> Tensor:
    r"""Hinton's loss: learn from labels and from a teacher.

    .. math::
        L = (1 - \alpha)\, CE(y, z)
            + \alpha\, T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    The gradient of the second term shrinks as ``1/T^2``; the factor ``T^2`` keeps its
    scale, so that `alpha` means the same at every temperature. For large ``T`` and
    centred logits that gradient tends to ``(z - t) / K``.

    With another `teacher_loss` the second term is ``alpha`` times that one.

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
    alpha : float in [0, 1], or Tensor of shape (n_rows,)
        Weight of the **teacher**: 0 learns from labels alone, 1 from the teacher alone.
    teacher_loss : str, default="kl"
        A name in :data:`TEACHER_LOSSES`.

    Returns
    -------
    Tensor of shape (n_rows,)
        Nats.

    Raises
    ------
    ValueError
        Where no loss has the name `teacher_loss`.

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
    check_option("teacher_loss", teacher_loss, TEACHER_LOSSES)
    label_term = cross_entropy(target, logits)
    teacher_term = TEACHER_LOSSES[teacher_loss](teacher_logits, logits, temperature)
    return (1 - alpha) * label_term + alpha * teacher_term


def _expectation(p: Tensor, log_q: Tensor) -> Tensor:
    # 0 * log 0 counts as 0: a class without mass costs nothing, whatever log q says.
    return torch.where(p == 0, 0.0, p * log_q).sum(dim=-1)


def _log_softmax(logits: Tensor) -> Tensor:
    # Over the first axis torch is several times faster than over a short last one.
    return torch.log_softmax(logits.movedim(-1, 0), dim=0).movedim(0, -1)


def _relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    # Unlike kl_divergence it has a gradient by the first argument, too, zeros included.
    return _not_negative(_expectation(log_p.exp(), log_p - log_q))


def _not_negative(divergence: Tensor) -> Tensor:
    # Rounding must not make it negative where both are equal; a plain clamp would also
    # cut off the gradient there, which at high temperatures is many a row's.
    return divergence + (-divergence.detach()).clamp_min(0)


def _without_zeros(logits: Tensor) -> Tensor:
    # log 0 counts as the logarithm of the smallest number that is not 0.
    limits = torch.finfo(logits.dtype)
    lowest = logits.amax(dim=-1, keepdim=True) + math.log(limits.tiny) + math.log(limits.eps)
    return torch.where(logits == -torch.inf, lowest, logits)
