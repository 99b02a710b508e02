"""Losses and soft labels, as pure functions of tensors.

``z`` and ``t`` are the logits of the student and of the teacher for one row, ``y`` is its label,
as probabilities, and ``u`` and ``v`` are any probabilities. ``K`` is the number of classes, ``k``
and ``j`` run over the classes, ``T`` is the temperature and ``log`` the natural logarithm. ``eps``
is the strength of the smoothing, ``alpha`` the weight of the teacher. The functions are

===================  =========================================================
entropy              H(u)      = -sum_k u_k log u_k
cross_entropy        CE(u, z)  = -sum_k u_k log softmax(z)_k
kl_divergence        KL(u || softmax(z))
smooth_labels        (1 - eps) u + eps / K
softmax_with_temp..  softmax(z / T)
temper               u^(1/T) / sum_k u_k^(1/T)
distillation_loss    (1 - alpha) CE(y, z) + alpha D(t, z)
===================  =========================================================

with the Kullback-Leibler divergence ``KL(u || v) = sum_k u_k (log u_k - log v_k)``. Therefore
``CE(u, z) = H(u) + KL(u || softmax(z))``.

``D`` is the distance between student and teacher: one of :data:`TEACHER_LOSSES`, chosen by
name. With the probabilities ``q = softmax(t/T)`` of the teacher and ``p = softmax(z/T)`` of the
student, and with ``m = (q + p) / 2``, the distances are

================  ===================================================
"kl"              T^2 KL(q || p)
"reverse_kl"      T^2 KL(p || q)
"jensen_shannon"  T^2 (KL(q || m) + KL(p || m)) / 2
"logit_mse"       sum_k (z_k - mean(z) - t_k + mean(t))^2 / (2 K)
"brier"           T^2 sum_k (p_k - q_k)^2
"dkd"             T^2 (KL of one class against the rest + 8 KL within the rest)
"dist"            T^2 (1 - correlation in a row + 1 - correlation in a class)
================  ===================================================

The one class of "dkd" is the teacher's likeliest: see :class:`DKD`. The second correlation of
"dist" is taken over all rows of the batch, for each class: see :class:`DIST`. All other formulas
are for one row.

The first argument of a loss is the target, the second the prediction. Predictions are always
logits, because ``log softmax(z)`` is more exact than the logarithm of a rounded probability.
Labels are class codes or probabilities. Teachers give logits. To pass probabilities ``q`` of a
teacher, pass ``log q``: it is a valid logit vector, since softmax ignores shifts.

Every loss returns **one value per row**. The training loop weights and averages the rows.

Each teacher loss is an object of a subclass of :class:`TeacherLoss`. The subclass holds the
formula, its settings and, optionally, a derivative written by hand. If it has none, autograd
computes the derivative. The derivatives with respect to the student's logits are

================  ===============================  =======================
"kl"              T (p - q)
"reverse_kl"      T p (g - sum_j p_j g_j)          g = log p - log q
"jensen_shannon"  T p (g - sum_j p_j g_j)          g = (log p - log m) / 2
"brier"           T p (g - sum_j p_j g_j)          g = 2 (p - q)
"logit_mse"       (z - mean(z) - t + mean(t)) / K
"dkd", "dist"     by autograd
================  ===============================  =======================

where ``g`` is the derivative of the loss with respect to ``p``, divided by ``T^2``. Terms of
``g`` that are equal for all classes are left out, because they cancel in
``g - sum_j p_j g_j``. Products of vectors are elementwise.

Importing this file does not import torch. The first call does.
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
        Entropy of each row in nats, between 0 (one-hot) and ``log(n_classes)`` (uniform).

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
    r"""Cross-entropy of each row, between a target and the softmax of logits.

    .. math:: CE(p, z) = -\sum_k p_k \log \mathrm{softmax}(z)_k

    Parameters
    ----------
    target : Tensor of shape (n_rows,) or (n_rows, n_classes)
        ``p``: soft labels as probabilities, or hard labels as integer codes
        ``0 .. n_classes - 1``, which stand for one-hot rows.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the prediction, before softmax.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row in nats.

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
    r"""Kullback-Leibler divergence of each row, KL(target || softmax(logits)).

    .. math:: KL(p, z) = \sum_k p_k (\log p_k - \log \mathrm{softmax}(z)_k)

    The divergence is never negative. It is 0 only if the target equals the softmax. It is not
    symmetric, as the example shows.

    Parameters
    ----------
    target : Tensor of shape (n_rows, n_classes), floating
        ``p``: probabilities; each row sums to 1. Exact zeros are allowed.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the prediction, before softmax.

    Returns
    -------
    Tensor of shape (n_rows,)
        Divergence of each row in nats.

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
    """One-hot encode hard labels: 1 in the column of the label, 0 elsewhere.

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
        One-hot or soft labels; ``K`` is the number of classes.
    epsilon : float in [0, 1]
        Share of the uniform distribution. 0 changes nothing.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)
        ``p'``: the smoothed labels. Each row sums to 1.

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
    r"""Softmax of each row of logits, which are first divided by a temperature.

    .. math:: \mathrm{softmax}(z / T)

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``, the input of the softmax.
    temperature : float, positive
        ``T``. 1 gives the ordinary softmax. For lower values the result tends to the argmax,
        for higher values to the uniform distribution.

    Returns
    -------
    Tensor of shape (n_rows, n_classes)
        Each row sums to 1.

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
    r"""Soften probabilities by a temperature.

    .. math:: p_k^{1/T} / \sum_j p_j^{1/T}

    This equals :func:`softmax_with_temperature` of ``log p``. A probability of exactly 0
    would stay 0 at every temperature, so probabilities below `floor` are first raised to
    `floor`. Forests often give exact zeros: with ``T > 1`` the floor decides how soft their
    probabilities become.

    Parameters
    ----------
    p : Tensor of shape (n_rows, n_classes), floating
        Probabilities.
    temperature : float, positive
        ``T``. Above 1 it softens the probabilities, below 1 it sharpens them.
    floor : float in [0, 1), default=1e-7
        Lower probabilities are raised to this value before the power is taken.

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
    r"""Forward KL divergence, KL(teacher || student): the loss of Hinton et al.

    .. math:: T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    The loss is high if the student gives little probability to a class that the teacher
    finds possible.

    Parameters
    ----------
    teacher_logits : Tensor of shape (n_rows, n_classes), floating
        ``t``: the teacher's logits, or the logarithm of its probabilities. ``-inf``, the
        logarithm of probability 0, is allowed.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the student's logits, finite.
    temperature : float, positive, default=1.0
        ``T``: softens both distributions.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row: nats times ``T^2``. It tends to :func:`logit_mse` as ``T`` grows.

    References
    ----------
    Hinton, Vinyals and Dean (2015), arXiv:1503.02531, section 2.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> forward_kl(teacher.log(), student.log())
    tensor([0.3681])
    """
    T = temperature
    return T**2 * kl_divergence(softmax_with_temperature(teacher_logits, T), logits / T)


def reverse_kl(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Reverse KL divergence, KL(student || teacher).

    .. math:: T^2\, KL(\mathrm{softmax}(z/T) \,\|\, \mathrm{softmax}(t/T))

    The loss is high if the student gives probability to a class that the teacher excludes.
    A teacher's probability of exactly 0 (a logit of ``-inf``) would make the loss infinite. Before
    the logits are divided by ``T``, each zero is therefore replaced by the largest probability of
    its row, times the smallest positive number of the logits' dtype (1e-45 in float32).

    Parameters
    ----------
    teacher_logits, logits, temperature
        ``t``, ``z`` and ``T``, as in :func:`forward_kl`.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row: nats times ``T^2``. It tends to :func:`logit_mse` as ``T`` grows.

    References
    ----------
    Gu et al. (2023), "MiniLLM", arXiv:2306.08543; Agarwal et al. (2023), "On-policy
    distillation of language models", arXiv:2306.13649.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> reverse_kl(teacher.log(), student.log())
    tensor([0.5108])
    """
    T = temperature
    log_q = _log_softmax(_without_zeros(teacher_logits) / T)
    return T**2 * _relative_entropy(_log_softmax(logits / T), log_q)


def jensen_shannon(
    teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0, *, beta: float = 0.5
) -> Tensor:
    r"""Jensen-Shannon divergence: how far two distributions are from their mixture.

    .. math::
        T^2 \bigl(\beta\, KL(q \,\|\, m) + (1 - \beta)\, KL(p \,\|\, m)\bigr), \qquad
        m = \beta q + (1 - \beta) p

    with ``q = softmax(t/T)`` of the teacher, ``p = softmax(z/T)`` of the student and their
    mixture ``m``. With ``beta = 1/2`` the divergence is symmetric, and its square root is a
    metric. As `beta` tends to 0, the divergence divided by `beta` tends to :func:`forward_kl`.
    As `beta` tends to 1, the divergence divided by ``1 - beta`` tends to :func:`reverse_kl`.

    Parameters
    ----------
    teacher_logits, logits, temperature
        ``t``, ``z`` and ``T``, as in :func:`forward_kl`.
    beta : float in (0, 1), default=0.5
        Share of the teacher's probabilities in the mixture.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row: nats times ``T^2``, never above ``T^2 log 2``. As ``T`` grows it
        tends to ``beta (1 - beta)`` times :func:`logit_mse`: a quarter of it by default.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy"; with `beta`: Agarwal
    et al. (2023), arXiv:2306.13649.

    Examples
    --------
    >>> import torch
    >>> teacher = torch.tensor([[1.0, 0.0], [0.9, 0.1]])
    >>> student = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    >>> jensen_shannon(teacher.log(), student.log())
    tensor([0.6931, 0.1017])
    """
    check_number("beta", beta, low=0, high=1, low_open=True, high_open=True)
    T = temperature
    log_q, log_p = _log_softmax(teacher_logits / T), _log_softmax(logits / T)
    log_m = (log_q + math.log(beta)).logaddexp(log_p + math.log1p(-beta))
    of_teacher, of_student = _relative_entropy(log_q, log_m), _relative_entropy(log_p, log_m)
    return T**2 * (beta * of_teacher + (1 - beta) * of_student)


def logit_mse(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Half the mean squared difference between the centred logits of student and teacher.

    .. math:: \frac{1}{2K} \sum_k (z_k - \bar z - t_k + \bar t)^2

    ``K`` is the number of classes; the bars are means over the classes. This is the limit of
    :func:`forward_kl` at infinite temperature. If ``z`` and ``t`` have mean 0, the gradient is
    ``(z - t) / K``.

    The logit of a tiny probability weighs as much as any other logit. If ``t`` is the logarithm
    of probabilities, first replace those below a floor by the floor, for example with
    ``p.clamp_min(1e-7).log()``. A ``t_k`` of ``-inf`` is replaced as in :func:`reverse_kl`.

    Parameters
    ----------
    teacher_logits, logits
        ``t`` and ``z``, as in :func:`forward_kl`.
    temperature : float, positive, default=1.0
        Ignored, because the logits are compared as they are. It is here because every teacher
        loss takes it.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row.

    References
    ----------
    Ba and Caruana (2014), "Do deep nets really need to be deep?", arXiv:1312.6184; Kim et
    al. (2021), arXiv:2105.08919.

    Examples
    --------
    >>> import torch
    >>> teacher_logits, logits = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    >>> logit_mse(teacher_logits, logits)
    tensor([4.5000])
    """
    difference = logits - _without_zeros(teacher_logits)
    centred = difference - difference.mean(dim=-1, keepdim=True)
    return centred.square().mean(dim=-1) / 2


def brier(teacher_logits: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Brier score of the student with the teacher's probabilities as target.

    .. math:: T^2 \sum_k \bigl(\mathrm{softmax}(z/T)_k - \mathrm{softmax}(t/T)_k\bigr)^2

    The loss is bounded. Unlike a KL divergence it hardly depends on whether a small
    probability is 1e-3 or 1e-9.

    Parameters
    ----------
    teacher_logits, logits, temperature
        ``t``, ``z`` and ``T``, as in :func:`forward_kl`.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row, between 0 and ``2 T^2``. As ``T`` grows it tends to ``2 / K``
        times :func:`logit_mse`, where ``K`` is the number of classes.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".

    Examples
    --------
    >>> import torch
    >>> teacher = torch.tensor([[1.0, 0.0], [0.9, 0.1]])
    >>> student = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    >>> brier(teacher.log(), student.log())
    tensor([2.0000, 0.3200])
    """
    T = temperature
    q, p = _log_softmax(teacher_logits / T).exp(), _log_softmax(logits / T).exp()
    return T**2 * (p - q).square().sum(dim=-1)


class TeacherLoss(DocLinkMixin, BaseEstimator):
    """Base class of the distances between student and teacher. Subclasses define `__call__`.

    A loss object is called with the logits of both and returns one loss per row. A subclass
    may also define `gradient`, so that training needs no autograd. The settings of a loss are
    its constructor arguments, as in any scikit-learn estimator. GridSearchCV can therefore
    search them, for example as ``teacher_loss__beta``.

    The class attribute `compares_rows` says whether the loss of a row depends on the other rows
    of the batch. It is False unless a subclass sets it to True, as :class:`DIST` does.

    Examples
    --------
    A loss of one's own:

    >>> import torch
    >>> class AbsoluteDifference(TeacherLoss):
    ...     def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
    ...         q, p = (softmax_with_temperature(x, temperature) for x in (teacher_logits, logits))
    ...         return (p - q).abs().sum(dim=-1)
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> AbsoluteDifference()(teacher.log(), student.log())
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
        """Compute one loss per row.

        Parameters
        ----------
        teacher_logits : Tensor of shape (n_rows, n_classes), floating
            ``t``: the teacher's logits, or the logarithm of its probabilities. ``-inf``, the
            logarithm of probability 0, is allowed.
        logits : Tensor of shape (n_rows, n_classes), floating
            ``z``: the student's logits, finite.
        temperature : float, positive, default=1.0
            ``T``: softens both distributions.
        sample_weight : Tensor of shape (n_rows,), default=None
            Weights of the rows; None weights all rows equally. A loss with
            ``compares_rows=True`` uses them in its means over the batch; any other loss ignores
            them. The returned losses are not multiplied by the weights.

        Returns
        -------
        Tensor of shape (n_rows,)
            Loss of each row.
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
        """Compute the derivative with respect to the student's logits, without autograd.

        A subclass need not define this method. The base class returns None, and `with_gradient`
        then uses autograd.

        Parameters
        ----------
        teacher_logits, logits, temperature, sample_weight
            As in `__call__`, but all logits must be finite.

        Returns
        -------
        Tensor of shape (n_rows, n_classes) or None
            Row i is a derivative with respect to the student's logits of row i:

            - If `compares_rows` is False: the derivative of the loss of row i.
            - If `compares_rows` is True: the derivative of ``sum(sample_weight * loss)`` over
              all rows, divided by ``sample_weight[i]``. The sum is needed because the logits of
              row i also change the losses of other rows. For a row of weight 0 the result is 0.
              If `sample_weight` is None, all weights are 1.

            None, if the loss has no derivative written by hand.
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
        """Compute the losses and their derivatives, and multiply both by `alpha`.

        Parameters
        ----------
        teacher_logits, logits, temperature
            As in `__call__`, but all logits must be finite.
        alpha : float or Tensor of shape (n_rows,), default=1.0
            Weight of the teacher: one for all rows, or one per row.
        sample_weight : Tensor of shape (n_rows,), default=None
            Weights of the rows, used only if `compares_rows` is True:

            - If `alpha` is a float: as in `__call__`.
            - If `alpha` is a tensor, these weights are multiplied by `alpha`. Without
              `sample_weight` they are `alpha` itself.

            This does not replace the multiplication of the losses by `alpha`.

        Returns
        -------
        losses : Tensor of shape (n_rows,)
            ``alpha`` times the loss of each row.
        derivative : Tensor of shape (n_rows, n_classes)
            ``alpha`` times the derivatives with respect to the student's logits, as `gradient`
            defines them. Autograd computes them if `gradient` returns None.
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
        """Return `sample_weight`, multiplied by `alpha` if `alpha` is a tensor.

        Return None if the loss does not compare rows.
        """
        import torch

        if not self.compares_rows:
            return None
        if not isinstance(alpha, torch.Tensor):
            return sample_weight  # one alpha for all rows changes no weighted mean
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
    """KL(teacher || student), :func:`forward_kl`: the usual loss of distillation.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> ForwardKL()(teacher.log(), student.log())
    tensor([0.3681])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return forward_kl(teacher_logits, logits, temperature)

    def with_gradient(self, teacher_logits, logits, temperature=1.0, alpha=1.0, sample_weight=None):
        # Loss and derivative are computed together, because both need the same logarithms.
        T = temperature
        log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
        q = log_q.exp()
        losses = (q * log_q.sub_(log_p)).sum(0).mul_(alpha * T**2)
        return losses, log_p.exp_().sub_(q).mul_(alpha * T).t()


class ReverseKL(TeacherLoss):
    """KL(student || teacher), :func:`reverse_kl`.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> ReverseKL()(teacher.log(), student.log())
    tensor([0.5108])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return reverse_kl(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        T = temperature
        log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
        return _logits_gradient(log_p.exp(), log_p - log_q).mul_(T).t()


class JensenShannon(TeacherLoss):
    """The Jensen-Shannon divergence of teacher and student, :func:`jensen_shannon`.

    Parameters
    ----------
    beta : float in (0, 1), default=0.5
        Share of the teacher's probabilities in the mixture with the student's.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> JensenShannon()(teacher.log(), student.log())
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
        if self.beta == 0.5:  # saves one addition
            log_m = log_q.logaddexp(log_p).sub_(math.log(2))
        else:
            log_m = (log_q + math.log(self.beta)).logaddexp(log_p + math.log1p(-self.beta))
        return _logits_gradient(log_p.exp(), log_p - log_m).mul_(T * (1 - self.beta)).t()


class LogitMSE(TeacherLoss):
    """Half the mean squared difference between centred logits, :func:`logit_mse`.

    Examples
    --------
    >>> import torch
    >>> teacher_logits, logits = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    >>> LogitMSE()(teacher_logits, logits)
    tensor([4.5000])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return logit_mse(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        difference = (logits - teacher_logits).t()
        return (difference - difference.mean(0)).div_(len(difference)).t()


class BrierScore(TeacherLoss):
    """Squared distance between the student's and the teacher's probabilities, :func:`brier`.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    >>> BrierScore()(teacher.log(), student.log())
    tensor([0.3200])
    """

    def __call__(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        return brier(teacher_logits, logits, temperature)

    def gradient(self, teacher_logits, logits, temperature=1.0, sample_weight=None):
        q = _log_softmax_by_class(teacher_logits / temperature).exp_()
        p = _log_softmax_by_class(logits / temperature).exp_()
        return _logits_gradient(p, p - q).mul_(2 * temperature).t()


class DKD(TeacherLoss):
    r"""Decoupled KL divergence: one term for the target class, one for the other classes.

    .. math::
        T^2 \bigl(\alpha_{dkd}\, KL(b_q \,\|\, b_p) + \beta\, KL(\hat q \,\|\, \hat p)\bigr)

    The probabilities of a row are ``q = softmax(t/T)`` of the teacher and ``p = softmax(z/T)``
    of the student, with the logits ``t`` and ``z`` and the temperature ``T``. ``c`` is the
    target class. ``b_q`` is the pair ``(q_c, 1 - q_c)``. :math:`\hat q` are the entries of
    ``q`` for all classes but ``c``, divided by their sum. ``b_p`` and :math:`\hat p` are
    defined from ``p`` in the same way.

    The first term compares how likely student and teacher find the target class. The second
    compares how they divide the rest among the other classes.
    The plain KL divergence is the case ``alpha_dkd = 1`` and ``beta = 1 - q_c``: the second
    term then nearly vanishes if the teacher is sure of the target. DKD weights the two terms
    independently of ``q_c``.

    The target class of a row is the teacher's most likely class (the first one in a tie). The
    paper uses the true label instead. Here a row may have no true label, and with ``alpha=1``
    the student must learn from the teacher alone.

    Parameters
    ----------
    alpha_dkd : float, default=1.0
        Weight of the term for the target class. It is not `alpha`, the weight of the teacher.
    beta : float, default=8.0
        Weight of the term for the other classes. With two classes this term is always 0.

    Notes
    -----
    If the teacher gives probability 0 to all classes but the target, :math:`\hat q` is
    undefined, and the second term of the row counts as 0. :class:`skkd.DistilledClassifier`
    first raises such zeros to its `proba_floor`: then :math:`\hat q` is uniform.

    References
    ----------
    Zhao et al. (2022), "Decoupled knowledge distillation", arXiv:2203.08679, equation 7. The
    default weights are those of its authors' code.

    Examples
    --------
    >>> import torch
    >>> t, z = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.6, 0.2, 0.2]]).log()
    >>> DKD()(t, z)
    tensor([1.0465])
    >>> DKD(beta=0.4)(t, z), forward_kl(t, z)  # equal, because 1 - q_c = 0.4
    (tensor([0.0523]), tensor([0.0523]))
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
        others = others + (others >= target)  # all classes but the target, in ascending order
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
    r"""One minus the correlation of student and teacher, within rows and within classes.

    .. math::
        T^2 \Bigl(\beta\, \bigl(1 - \rho(p_{i \cdot}, q_{i \cdot})\bigr)
        + \gamma\, \frac{1}{K} \sum_k \bigl(1 - \rho(p_{\cdot k}, q_{\cdot k})\bigr)\Bigr)

    The loss of a batch is the mean of this expression over its rows i. The matrices
    ``p = softmax(z/T)`` of the student and ``q = softmax(t/T)`` of the teacher have one row per
    row of the batch and one column for each of the ``K`` classes. ``z`` and ``t`` are the logits,
    ``T`` is the temperature and :math:`\rho` is Pearson's correlation of two vectors.

    - The inter-class term, weighted by `beta`, compares row i of ``p`` with row i of ``q``.
    - The intra-class term, weighted by `gamma`, compares each column k of ``p`` with column k
      of ``q``, and takes the mean over the columns.

    The student need not match the teacher's probabilities, only how they compare from class to
    class within a row, and from row to row within a class. The loss is 0 if ``p`` is a rising
    linear function of ``q``. The mean of the loss over a batch is never above
    ``2 T^2 (beta + gamma)``.

    A loss object returns one loss per row, but the intra-class term above is one number for a
    whole batch of ``n`` rows. To divide this term among the rows, the correlation of two columns
    ``x`` and ``y`` is written as a mean over the rows,

    .. math:: 1 - \rho(x, y) = \frac{1}{n} \sum_i \frac{(\tilde x_i - \tilde y_i)^2}{2}

    where :math:`\tilde x` is ``x`` minus its mean, divided by its standard deviation. The
    returned loss of row i is the expression at the top with the summand of row i,
    :math:`(\tilde x_i - \tilde y_i)^2 / 2`, in place of :math:`1 - \rho(x, y)`. The mean of the
    returned losses is therefore the loss of the batch, as in the paper.

    With `sample_weight`, means and standard deviations over the rows are weighted: a row of
    weight 2 counts as two rows, a row of weight 0 not at all. Larger batches give better
    estimates of the correlations. In a batch of one row the intra-class term is 0.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the inter-class term, which correlates the classes of a row.
    gamma : float, default=1.0
        Weight of the intra-class term, which correlates the rows of a batch.

    Notes
    -----
    To avoid a division by 0, standard deviations are computed as
    :math:`\sqrt{\mathrm{var} + (s / (K T))^2}` with the variance ``var`` and ``s`` = 0.03. This
    keeps the gradient finite for a network that starts with equal probabilities, and for a class
    to which the teacher gives the same probability in all rows. The added number is small: if
    the logits of a row are nearly equal, with standard deviation ``s``, then ``s / (K T)`` is
    about the standard deviation of the row's probabilities.

    With two classes the inter-class term depends almost only on which class is more likely.

    References
    ----------
    Huang et al. (2022), "Knowledge distillation from a stronger teacher", arXiv:2205.10536,
    equations 8 to 10.

    Examples
    --------
    >>> import torch
    >>> teacher = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3]])
    >>> DIST()(teacher.log(), teacher.log())
    tensor([0., 0.])
    >>> student = 0.5 * teacher + 0.5 / 3  # flatter, but a rising linear function
    >>> bool((DIST()(teacher.log(), student.log()) < 0.02).all())
    True
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


#: DIST treats logits with a smaller standard deviation than this as almost equal.
SMALL_SPREAD = 0.03

#: The distances between student and teacher, by name. Each is called with (teacher_logits,
#: logits, temperature) and returns one loss per row.
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
    """Return the teacher loss that the value of a parameter stands for, and check its settings.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : str or TeacherLoss
        A key of `TEACHER_LOSSES`, or a loss object.

    Returns
    -------
    TeacherLoss
        The entry of `TEACHER_LOSSES`, or the loss object itself.

    Examples
    --------
    >>> resolve_teacher_loss("teacher_loss", value="dkd")
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
    r"""Compute each row's weighted sum of the cross-entropy with labels and a teacher loss.

    .. math::
        L = (1 - \alpha)\, CE(y, z)
            + \alpha\, T^2\, KL(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(z/T))

    This is the loss of Hinton et al. The gradient of the KL divergence shrinks as ``1/T^2``.
    The factor ``T^2`` compensates for that, so that `alpha` means the same at every
    temperature. For large ``T`` and logits with mean 0 the gradient of ``T^2 KL`` with respect
    to ``z`` tends to ``(z - t) / K``, where ``K`` is the number of classes.

    The formula is for ``teacher_loss="kl"``. Any other `teacher_loss` stands in place of
    ``T^2 KL``.

    Parameters
    ----------
    target : Tensor of shape (n_rows,) or (n_rows, n_classes)
        ``y``: hard labels as integer codes, or soft (for example smoothed) labels as
        probabilities.
    logits : Tensor of shape (n_rows, n_classes), floating
        ``z``: the student's logits.
    teacher_logits : Tensor of shape (n_rows, n_classes), floating
        ``t``: the teacher's logits, or the logarithm of its probabilities.
    temperature : float, positive
        ``T``: softens student and teacher in the teacher loss.
    alpha : float in [0, 1], or Tensor of shape (n_rows,)
        Weight of the **teacher**: 0 learns from labels alone, 1 from the teacher alone.
    teacher_loss : str or TeacherLoss, default="kl"
        A name in :data:`TEACHER_LOSSES`, or a loss object such as ``DKD(beta=4)``.
    sample_weight : Tensor of shape (n_rows,), default=None
        Weights of the rows inside a `teacher_loss` that compares rows, such as
        :class:`DIST`. The returned losses are not multiplied by the weights.

    Returns
    -------
    Tensor of shape (n_rows,)
        Loss of each row in nats.

    Raises
    ------
    ValueError
        If `teacher_loss` is a string that is not in :data:`TEACHER_LOSSES`.

    References
    ----------
    Hinton, Vinyals and Dean (2015), arXiv:1503.02531, section 2.

    Examples
    --------
    >>> import torch
    >>> y, z, t = torch.tensor([0]), torch.tensor([[2.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> distillation_loss(y, z, t, temperature=2.0, alpha=1.0)  # 0, because z equals t
    tensor([0.])
    """
    loss = resolve_teacher_loss("teacher_loss", teacher_loss)
    label_term = cross_entropy(target, logits)
    weights = loss._row_weights(alpha, sample_weight)
    teacher_term = loss(teacher_logits, logits, temperature, weights)
    return (1 - alpha) * label_term + alpha * teacher_term


def _expectation(p: Tensor, log_q: Tensor) -> Tensor:
    import torch

    # A class with p = 0 adds 0 to the sum, even if log q is -inf.
    return torch.where(p == 0, 0.0, p * log_q).sum(dim=-1)


def _log_softmax(logits: Tensor) -> Tensor:
    # torch's log_softmax is several times faster over the first axis than over a short last one.
    return logits.movedim(-1, 0).log_softmax(dim=0).movedim(0, -1)


def _log_softmax_by_class(logits: Tensor) -> Tensor:
    """Return the log-softmax of each row, as a contiguous (n_classes, n_rows) tensor."""
    return logits.t().log_softmax(0)


def _logits_gradient(p: Tensor, g: Tensor) -> Tensor:
    """Return the gradient for the logits, given the gradient `g` for ``p = softmax(logits)``.

    `p`, `g` and the result have shape (n_classes, n_rows).
    """
    return p * (g - (p * g).sum(0))


def _relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    # Unlike kl_divergence, this has a finite gradient by the first argument, too, even where
    # exp(log_p) is rounded to 0.
    return _not_negative(_expectation(log_p.exp(), log_p - log_q))


def _not_negative(divergence: Tensor) -> Tensor:
    # Rounding can make the divergence of two equal distributions negative. A plain clamp would
    # also set the gradient of such rows to 0; at high temperatures there are many of them.
    return divergence + (-divergence.detach()).clamp_min(0)


def _without_zeros(logits: Tensor) -> Tensor:
    import torch

    # Replace log 0 by the logarithm of the smallest positive number of the dtype, plus the
    # largest logit of the row.
    limits = torch.finfo(logits.dtype)
    lowest = logits.amax(dim=-1, keepdim=True) + math.log(limits.tiny) + math.log(limits.eps)
    return torch.where(logits == -torch.inf, lowest, logits)


def _standardized(x: Tensor, dim: int, floor: float, weights: Tensor | None = None) -> Tensor:
    """Shift and scale `x` to mean 0 and standard deviation 1 along the dimension `dim`.

    `floor` is added to the variance, to avoid a division by 0.
    """
    if weights is None:
        centred = x - x.mean(dim=dim, keepdim=True)
        variance = centred.square().mean(dim=dim, keepdim=True)
    else:  # one weight per row, and dim is 0
        shares = (weights / weights.sum().clamp_min(1e-30)).to(x.dtype).unsqueeze(1)
        centred = x - (shares * x).sum(dim=dim, keepdim=True)
        variance = (shares * centred.square()).sum(dim=dim, keepdim=True)
    return centred / (variance + floor).sqrt()  # the floor avoids a division by 0
