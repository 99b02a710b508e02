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

``D`` is the distance between student and teacher, one of :data:`TEACHER_LOSSES`. With
``q = softmax(t/T)``, ``p = softmax(z/T)`` and ``m = (q + p) / 2`` it is, by name:

================  ===================================================
"kl"              T^2 KL(q || p)
"reverse_kl"      T^2 KL(p || q)
"jensen_shannon"  T^2 (KL(q || m) + KL(p || m)) / 2
"logit_mse"       sum_k (z_k - mean(z) - t_k + mean(t))^2 / (2 K)
"brier"           T^2 sum_k (p_k - q_k)^2
"dkd"             T^2 (KL of the likeliest class + 8 KL of the others)
"dist"            T^2 (1 - correlation in a row + 1 - correlation in a class)
================  ===================================================

Here ``p`` are probabilities, ``z`` and ``t`` the logits of the student and of the
teacher, ``K`` the number of classes, ``T`` the temperature and ``log`` the natural
logarithm. They are tied together by ``CE(p, z) = H(p) + KL(p, z)``.

The target always comes first; the prediction comes second, and is always logits,
because ``log softmax(z)`` is exact where the logarithm of a rounded probability is
not. Labels are distributions or codes; a teacher gives logits. To pass probabilities
``q``, pass ``log q``: they *are* logits, since softmax ignores shifts.

Every loss returns **one value per row**. The training loop averages and weights them.

The losses of a teacher are objects: subclasses of :class:`TeacherLoss` with the formula,
its derivative by hand (optional: autograd stands in for it) and its settings. Their
derivatives by the logits of the student are

================  ===============================  =======================
"kl"              T (p - q)
"reverse_kl"      T p (g - sum_j p_j g_j)          g = log p - log q
"jensen_shannon"  T p (g - sum_j p_j g_j)          g = (log p - log m) / 2
"brier"           T p (g - sum_j p_j g_j)          g = 2 (p - q)
"logit_mse"       (z - mean(z) - t + mean(t)) / K
"dkd", "dist"     by autograd
================  ===============================  =======================

where ``g`` is, up to a constant, the derivative of the loss by ``p``, divided by ``T^2``.

Importing this file does not import torch: the first call does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from skkd.checks import check_instance, check_number, check_option
from skkd.doc_links import DocLinkMixin

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "DIST",
    "DKD",
    "TEACHER_LOSSES",
    "BrierScore",
    "ForwardKL",
    "JensenShannon",
    "LogitMSE",
    "ReverseKL",
    "TeacherLoss",
    "brier",
    "cross_entropy",
    "distillation_loss",
    "entropy",
    "forward_kl",
    "jensen_shannon",
    "kl_divergence",
    "logit_mse",
    "one_hot",
    "resolve_teacher_loss",
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
    import torch

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
    log_q = logits.log_softmax(dim=-1)
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


def one_hot(labels: Tensor, n_classes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Hard labels as rows of probability one.

    Parameters
    ----------
    labels : Tensor of shape (n_rows,), integer
        Codes ``0 .. n_classes - 1``.
    n_classes : int
        Number of columns.
    dtype : torch.dtype, default=None
        Floating type of the result; None is ``torch.float32``.

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
    import torch

    return torch.nn.functional.one_hot(labels.long(), n_classes).to(dtype or torch.float32)


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
    return (logits / temperature).softmax(dim=-1)


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
    return (p.clamp_min(floor).log() / temperature).softmax(dim=-1)


def forward_kl(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""KL divergence, Hinton's term: the student covers all that the teacher deems possible.

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
    log_m = (log_q + math.log(beta)).logaddexp(log_p + math.log1p(-beta))
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


class TeacherLoss(DocLinkMixin, BaseEstimator):
    """The distance between student and teacher: subclass it and write `__call__`.

    A subclass may also write `gradient`, which spares autograd. Its settings are the
    arguments of its constructor, as scikit-learn's parameter protocol wants them, so that
    they can be searched, for example as ``teacher_loss__beta``.

    Examples
    --------
    A loss of one's own:

    >>> import torch
    >>> class AbsoluteDifference(TeacherLoss):
    ...     def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
    ...         q, p = (softmax_with_temperature(x, temperature) for x in (teacher_logits, logits))
    ...         return (p - q).abs().sum(dim=-1)
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> AbsoluteDifference()(q.log(), p.log())
    tensor([0.8000])
    """

    #: Whether the loss of a row depends on the other rows of the batch.
    compares_rows = False

    def __call__(
        self,
        teacher_logits: Tensor,
        logits: Tensor,
        temperature: float = 1.0,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """One loss per row.

        Parameters
        ----------
        teacher_logits : Tensor of shape (n_rows, n_classes), floating
            ``t``, or the logarithm of probabilities; exact zeros are allowed.
        logits : Tensor of shape (n_rows, n_classes), floating
            ``z``: the student's, finite.
        temperature : float, positive, default=1.0
            ``T``.
        sample_weight : Tensor of shape (n_rows,), default=None
            How much each row counts when a loss compares rows (`compares_rows`); None is
            1 each. The losses are not multiplied by it.

        Returns
        -------
        Tensor of shape (n_rows,)
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define "
            "__call__(teacher_logits, logits, temperature, sample_weight)"
        )

    def gradient(
        self,
        teacher_logits: Tensor,
        logits: Tensor,
        temperature: float = 1.0,
        sample_weight: Tensor | None = None,
    ) -> Tensor | None:
        """The derivative by hand, or None: then autograd computes it.

        Parameters
        ----------
        teacher_logits, logits, temperature, sample_weight
            As in a call, but all logits are finite.

        Returns
        -------
        Tensor of shape (n_rows, n_classes) or None
            Of the loss of each row by its logits. If the loss compares rows: of the sum of
            ``sample_weight * loss`` by the logits of the row, divided by its weight.
        """
        return None

    def with_gradient(
        self,
        teacher_logits: Tensor,
        logits: Tensor,
        temperature: float = 1.0,
        alpha: float | Tensor = 1.0,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The losses and their derivatives, both times `alpha`.

        Parameters
        ----------
        teacher_logits, logits, temperature
            As in `gradient`.
        alpha : float or Tensor of shape (n_rows,), default=1.0
        sample_weight : Tensor of shape (n_rows,), default=None
            As in a call, without `alpha`.

        Returns
        -------
        losses : Tensor of shape (n_rows,)
        derivative : Tensor of shape (n_rows, n_classes)
        """
        weights = self._row_weights(alpha, sample_weight)
        by_hand = self.gradient(teacher_logits, logits, temperature, weights)
        if by_hand is None:
            losses, derivative = self._by_autograd(teacher_logits, logits, temperature, weights)
        else:
            losses, derivative = self(teacher_logits, logits, temperature, weights), by_hand
        return losses.mul_(alpha), derivative.t().mul_(alpha).t()

    def check(self) -> None:
        """Raise ValueError or TypeError if a setting is not usable."""

    def _row_weights(self, alpha: float | Tensor, sample_weight: Tensor | None) -> Tensor | None:
        """How much each row counts for a loss that compares rows: its weight times alpha."""
        import torch

        if not self.compares_rows:
            return None
        if not isinstance(alpha, torch.Tensor):
            return sample_weight
        return alpha if sample_weight is None else alpha * sample_weight

    def _by_autograd(
        self, teacher_logits: Tensor, logits: Tensor, temperature: float, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        import torch

        with torch.enable_grad():
            variable = logits.detach().requires_grad_()
            losses = self(teacher_logits, variable, temperature, weights)
            total = losses.sum() if weights is None else (weights * losses).sum()
            (derivative,) = torch.autograd.grad(total, variable)
        if weights is not None:
            shares = weights.unsqueeze(1)
            derivative = torch.where(shares == 0, 0.0, derivative / shares)
        return losses.detach().clone(), derivative


class ForwardKL(TeacherLoss):
    """The KL divergence of :func:`forward_kl`: the usual loss of distillation.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> ForwardKL()(q.log(), p.log())
    tensor([0.3681])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return forward_kl(teacher_logits, logits, temperature)

    def with_gradient(self, teacher_logits, logits, temperature=1.0, alpha=1.0, sample_weight=None):
        # Loss and derivative share their logarithms.
        T = temperature
        log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
        q = log_q.exp()
        losses = (q * log_q.sub_(log_p)).sum(0).mul_(alpha * T**2)
        return losses, log_p.exp_().sub_(q).mul_(alpha * T).t()


class ReverseKL(TeacherLoss):
    """The KL divergence with the sides swapped, :func:`reverse_kl`.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> ReverseKL()(q.log(), p.log())
    tensor([0.5108])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return reverse_kl(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        T = temperature
        log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
        return _through_softmax(log_p.exp(), log_p - log_q).mul_(T).t()


class JensenShannon(TeacherLoss):
    """The Jensen-Shannon divergence, :func:`jensen_shannon`.

    Parameters
    ----------
    beta : float in (0, 1), default=0.5
        Share of the teacher in the mixture.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> JensenShannon()(q.log(), p.log())
    tensor([0.1017])
    """

    def __init__(self, beta=0.5):
        self.beta = beta

    def check(self):
        check_number("beta", self.beta, low=0, high=1, low_open=True, high_open=True)

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return jensen_shannon(teacher_logits, logits, temperature, beta=self.beta)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        T = temperature
        log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
        if self.beta == 0.5:  # one addition less
            log_m = log_q.logaddexp(log_p).sub_(math.log(2))
        else:
            log_m = (log_q + math.log(self.beta)).logaddexp(log_p + math.log1p(-self.beta))
        return _through_softmax(log_p.exp(), log_p - log_m).mul_(T * (1 - self.beta)).t()


class LogitMSE(TeacherLoss):
    """Half the mean squared difference of centred logits, :func:`logit_mse`.

    Examples
    --------
    >>> import torch
    >>> LogitMSE()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
    tensor([4.5000])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return logit_mse(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        difference = (logits - teacher_logits).t()
        return (difference - difference.mean(0)).div_(len(difference)).t()


class BrierScore(TeacherLoss):
    """The squared distance of two distributions, :func:`brier`.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> BrierScore()(q.log(), p.log())
    tensor([0.3200])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return brier(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        q = _log_softmax_by_class(teacher_logits / temperature).exp_()
        p = _log_softmax_by_class(logits / temperature).exp_()
        return _through_softmax(p, p - q).mul_(2 * temperature).t()


class DKD(TeacherLoss):
    r"""Decoupled KL divergence: how likely the target class is, and what the others are like.

    .. math::
        T^2 \bigl(\alpha_{dkd}\, KL(b_q \,\|\, b_p) + \beta\, KL(\hat q \,\|\, \hat p)\bigr)

    with ``q = softmax(t/T)``, ``p = softmax(z/T)``, the target class ``c``, the two numbers
    ``b_q = (q_c, 1 - q_c)``, and :math:`\hat q`, the probabilities of the other classes,
    divided by their sum; ``b_p`` and :math:`\hat p` are the student's. Plain KL divergence
    is the same with ``alpha_dkd = 1`` and ``beta = 1 - q_c``: the surer the teacher is of the
    target, the less it says of the others. DKD gives both a weight of their own.

    The target of a row is the class that its teacher deems likeliest (the first of equals).
    The paper takes the true label. Here a row need not have one, and ``alpha=1`` of a
    distillation means the teacher alone.

    Parameters
    ----------
    alpha_dkd : float, default=1.0
        Weight of the target class. (Not `alpha`, the weight of the teacher.)
    beta : float, default=8.0
        Weight of the other classes. With two classes there is one other, and this term is 0.

    Notes
    -----
    Where the teacher gives all other classes exactly zero it says nothing about them: the
    second term of such a row is 0. A floor under its probabilities makes them equally likely
    instead.

    References
    ----------
    Zhao et al. (2022), "Decoupled knowledge distillation", arXiv:2203.08679, equation 7. The
    default weights are those of its authors' code.

    Examples
    --------
    >>> import torch
    >>> q, p = torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([[0.6, 0.2, 0.2]])
    >>> DKD()(q.log(), p.log()), DKD(beta=0.4)(q.log(), p.log()), forward_kl(q.log(), p.log())
    (tensor([1.0465]), tensor([0.0523]), tensor([0.0523]))
    """

    def __init__(self, alpha_dkd=1.0, beta=8.0):
        self.alpha_dkd = alpha_dkd
        self.beta = beta

    def check(self):
        check_number("alpha_dkd", self.alpha_dkd, low=0)
        check_number("beta", self.beta, low=0)

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        import torch

        T = temperature
        target = teacher_logits.argmax(dim=-1, keepdim=True)
        others = torch.arange(logits.shape[-1] - 1, device=logits.device)
        others = others + (others >= target)  # all classes but the target, in their order
        binary, rest = [], []
        for log_p in (_log_softmax(teacher_logits / T), _log_softmax(logits / T)):
            rest.append(log_p.gather(-1, others))
            parts = [log_p.gather(-1, target), rest[-1].logsumexp(dim=-1, keepdim=True)]
            binary.append(torch.cat(parts, dim=-1))
        is_certain = (rest[0] == -torch.inf).all(dim=-1)
        log_q = _log_softmax(rest[0].masked_fill(is_certain.unsqueeze(-1), 0.0))
        of_others = _relative_entropy(log_q, _log_softmax(rest[1])).masked_fill(is_certain, 0.0)
        of_target = _relative_entropy(*binary)
        return T**2 * (self.alpha_dkd * of_target + self.beta * of_others)


class DIST(TeacherLoss):
    r"""One minus correlation: of the classes in each row, and of the rows in each class.

    .. math::
        T^2 \Bigl(\beta\, \bigl(1 - \rho(p_{i \cdot}, q_{i \cdot})\bigr)
        + \gamma\, \frac{1}{K} \sum_k \bigl(1 - \rho(p_{\cdot k}, q_{\cdot k})\bigr)\Bigr)

    with ``q = softmax(t/T)``, ``p = softmax(z/T)`` and Pearson's correlation
    :math:`\rho`. The student need not match the teacher's probabilities, only their relations:
    between the classes of a row (the inter-class relation), and between the rows of a batch
    in each class (the intra-class relation). It is 0 where ``p`` is a rising linear function
    of ``q``, and never above ``2 T^2 (beta + gamma)`` on average.

    The intra-class relation belongs to a batch. It is divided among the rows by

    .. math:: 1 - \rho(x, y) = \frac{1}{2 n} \sum_i (\tilde x_i - \tilde y_i)^2

    where :math:`\tilde x` is ``x`` minus its mean, divided by its standard deviation: a row's
    loss is its summand, times ``n``, and the mean over the rows is the loss of the paper. With
    weights means and deviations are weighted ones, so that a row of weight 2 counts as two
    rows, and one of weight 0 not at all. The larger the batch, the better the correlations
    are known; a single row has none, and its intra-class term is 0.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the inter-class relation, the one within rows.
    gamma : float, default=1.0
        Weight of the intra-class relation, the one between rows.

    Notes
    -----
    Standard deviations are :math:`\sqrt{\mathrm{var} + (s / (K T))^2}` with ``s`` = 0.03:
    about the deviation of probabilities whose logits deviate by 0.03. So a network that
    starts with equal probabilities has a finite gradient, and a class to which a teacher
    gives the same probability in all rows does not divide 0 by 0.

    With two classes the inter-class relation only tells which class is the likelier one.

    References
    ----------
    Huang et al. (2022), "Knowledge distillation from a stronger teacher", arXiv:2205.10536,
    equations 8 to 10.

    Examples
    --------
    >>> import torch
    >>> q = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3]])
    >>> flatter = 0.5 * q + 0.5 / 3
    >>> DIST()(q.log(), q.log()), bool((DIST()(q.log(), flatter.log()) < 0.02).all())
    (tensor([0., 0.]), True)
    """

    compares_rows = True

    def __init__(self, beta=1.0, gamma=1.0):
        self.beta = beta
        self.gamma = gamma

    def check(self):
        check_number("beta", self.beta, low=0)
        check_number("gamma", self.gamma, low=0)

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        T = temperature
        q, p = _log_softmax(teacher_logits / T).exp(), _log_softmax(logits / T).exp()
        floor = (SMALL_SPREAD / (logits.shape[-1] * T)) ** 2
        in_row = _standardized(p, -1, floor) - _standardized(q, -1, floor)
        in_class = _standardized(p, 0, floor, sample_weight)
        in_class = in_class - _standardized(q, 0, floor, sample_weight)
        inter, intra = in_row.square().mean(dim=-1), in_class.square().mean(dim=-1)
        return T**2 / 2 * (self.beta * inter + self.gamma * intra)


#: Logits with a smaller standard deviation count as almost equal in DIST.
SMALL_SPREAD = 0.03

#: The distance between student and teacher, by name: called with (teacher_logits, logits,
#: temperature), each gives one loss per row.
TEACHER_LOSSES: dict[str, TeacherLoss] = {
    "kl": ForwardKL(),
    "reverse_kl": ReverseKL(),
    "jensen_shannon": JensenShannon(),
    "logit_mse": LogitMSE(),
    "brier": BrierScore(),
    "dkd": DKD(),
    "dist": DIST(),
}


def resolve_teacher_loss(name: str, value: str | TeacherLoss) -> TeacherLoss:
    """The loss that a parameter means, its settings checked.

    Parameters
    ----------
    name : str
        The parameter, for the error message.
    value : str or TeacherLoss
        A key of `TEACHER_LOSSES`, or a loss.

    Returns
    -------
    TeacherLoss

    Examples
    --------
    >>> resolve_teacher_loss("teacher_loss", "dkd")
    DKD()
    """
    if isinstance(value, str):
        check_option(name, value, TEACHER_LOSSES)
        return TEACHER_LOSSES[value]
    check_instance(name, value, TeacherLoss, "a loss's name or an object of skkd.losses")
    value.check()
    return value


def distillation_loss(
    target: Tensor,
    logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float,
    alpha: float | Tensor,
    teacher_loss: str | TeacherLoss = "kl",
    sample_weight: Tensor | None = None,
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
    teacher_loss : str or TeacherLoss, default="kl"
        A name in :data:`TEACHER_LOSSES`, or a loss with settings.
    sample_weight : Tensor of shape (n_rows,), default=None
        How much each row counts in a `teacher_loss` that compares rows, such as
        :class:`DIST`. The losses are not multiplied by it.

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
    loss = resolve_teacher_loss("teacher_loss", teacher_loss)
    label_term = cross_entropy(target, logits)
    weights = loss._row_weights(alpha, sample_weight)
    teacher_term = loss(teacher_logits, logits, temperature, weights)
    return (1 - alpha) * label_term + alpha * teacher_term


def _expectation(p: Tensor, log_q: Tensor) -> Tensor:
    import torch

    # 0 * log 0 counts as 0: a class of probability 0 costs nothing, whatever log q is.
    return torch.where(p == 0, 0.0, p * log_q).sum(dim=-1)


def _log_softmax(logits: Tensor) -> Tensor:
    # Over the first axis torch is several times faster than over a short last one.
    return logits.movedim(-1, 0).log_softmax(dim=0).movedim(0, -1)


def _log_softmax_by_class(logits: Tensor) -> Tensor:
    """Of shape (n_classes, n_rows), in memory too."""
    return logits.t().log_softmax(0)


def _through_softmax(p: Tensor, g: Tensor) -> Tensor:
    """The derivative by logits from ``g``, that by probabilities, both class by class."""
    return p * (g - (p * g).sum(0))


def _relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    # Unlike kl_divergence it has a gradient by the first argument, too, zeros included.
    return _not_negative(_expectation(log_p.exp(), log_p - log_q))


def _not_negative(divergence: Tensor) -> Tensor:
    # Rounding must not make it negative where both are equal. A plain clamp would also
    # remove the gradient there; at high temperatures that happens in many rows.
    return divergence + (-divergence.detach()).clamp_min(0)


def _without_zeros(logits: Tensor) -> Tensor:
    import torch

    # log 0 counts as the logarithm of the smallest number that is not 0.
    limits = torch.finfo(logits.dtype)
    lowest = logits.amax(dim=-1, keepdim=True) + math.log(limits.tiny) + math.log(limits.eps)
    return torch.where(logits == -torch.inf, lowest, logits)


def _standardized(x: Tensor, dim: int, floor: float, weights: Tensor | None = None) -> Tensor:
    """Mean 0 and standard deviation 1 along a dimension; `floor` is added to the variance."""
    if weights is None:
        centred = x - x.mean(dim=dim, keepdim=True)
        variance = centred.square().mean(dim=dim, keepdim=True)
    else:
        shares = (weights / weights.sum().clamp_min(1e-30)).to(x.dtype).unsqueeze(1)
        centred = x - (shares * x).sum(dim=dim, keepdim=True)
        variance = (shares * centred.square()).sum(dim=dim, keepdim=True)
    return centred / (variance + floor).sqrt()
