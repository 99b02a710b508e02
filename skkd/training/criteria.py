"""What a network learns from: the training loss of each row, and its derivative.

Called, a criterion gives one loss per row, for autograd to differentiate. `gradient`
gives the same losses and, by hand, their derivative by the logits. That of the
cross-entropy ``CE(y, z)`` is ``softmax(z) - y``; those of the losses of a teacher are,
with ``p = softmax(z/T)``, ``q = softmax(t/T)`` and ``m = (q + p) / 2``,

================  ===========================  =========================
"kl"              T (p - q)
"reverse_kl"      T p (g - sum_j p_j g_j)      g = log p - log q
"jensen_shannon"  T p (g - sum_j p_j g_j)      g = (log p - log m) / 2
"brier"           T p (g - sum_j p_j g_j)      g = 2 (p - q)
"logit_mse"       (z - mean(z) - t + mean(t)) / K
================  ===========================  =========================

where ``g`` is, up to a constant, the derivative of the loss by ``p``, divided by ``T^2``.
"""

import math
from dataclasses import dataclass

import torch

from skkd.losses import (
    TEACHER_LOSSES,
    cross_entropy,
    distillation_loss,
    one_hot,
    smooth_labels,
)

__all__ = ["LabelLoss", "TaughtLoss"]


@dataclass(frozen=True)
class LabelLoss:
    """Cross-entropy with the labels, smoothed.

    Parameters
    ----------
    label_smoothing : float, default=0.0

    Examples
    --------
    >>> import torch
    >>> loss = LabelLoss(label_smoothing=0.1)
    >>> loss(torch.zeros(1, 2), {"labels": torch.tensor([0])})
    tensor([0.6931])
    >>> loss.gradient(torch.zeros(1, 2), {"labels": torch.tensor([0])})
    (tensor([0.6931]), tensor([[-0.4500,  0.4500]]))
    """

    label_smoothing: float = 0.0

    def __call__(self, logits, targets):
        """One loss per row.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_rows, n_classes)
        targets : dict with "labels", integer codes of shape (n_rows,)

        Returns
        -------
        torch.Tensor of shape (n_rows,)
        """
        return cross_entropy(self.labels(logits, targets), logits)

    def prepared(self, targets):
        """Targets of all rows, with what is the same in each pass; here they are as they were."""
        return targets

    def of_ignorance(self, n_classes):
        """What a network that says the same of each row need not exceed: ``log K``."""
        return math.log(n_classes)

    def gradient(self, logits, targets):
        """The losses, and their derivative by the logits.

        Parameters
        ----------
        logits, targets
            As in a call.

        Returns
        -------
        losses : torch.Tensor of shape (n_rows,)
        derivative : torch.Tensor of shape (n_rows, n_classes)
        """
        epsilon = self.label_smoothing
        log_p = _log_softmax_by_class(logits)
        index = targets["labels"].unsqueeze(0)
        losses = log_p.gather(0, index).squeeze(0).mul_(epsilon - 1)
        if epsilon > 0:
            losses.sub_(log_p.mean(0), alpha=epsilon)
        derivative = log_p.exp_()
        if epsilon > 0:
            derivative.sub_(epsilon / len(derivative))
        share = derivative.new_full((1, 1), epsilon - 1).expand(index.shape)
        return losses, derivative.scatter_add_(0, index, share).t()

    def labels(self, logits, targets):
        """The labels as codes, or smoothed as probabilities."""
        if self.label_smoothing == 0:
            return targets["labels"]
        hard = one_hot(targets["labels"], logits.shape[1], dtype=logits.dtype)
        return smooth_labels(hard, self.label_smoothing)


@dataclass(frozen=True)
class TaughtLoss:
    """The distillation loss; label smoothing acts on its label term only.

    Parameters
    ----------
    temperature, alpha : float
    label_smoothing : float, default=0.0
    teacher_loss : str, default="kl"
        A name in :data:`skkd.losses.TEACHER_LOSSES`.

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]])
    >>> targets = {"labels": torch.tensor([0]), "teacher_logits": z}
    >>> TaughtLoss(temperature=2.0, alpha=1.0)(z, targets)
    tensor([0.])
    """

    temperature: float
    alpha: float
    label_smoothing: float = 0.0
    teacher_loss: str = "kl"

    def __call__(self, logits, targets):
        """One loss per row.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_rows, n_classes)
        targets : dict
            "labels", codes of shape (n_rows,); "teacher_logits", finite; and, where the
            weight of the teacher differs between rows, "alpha", of shape (n_rows,). Where
            it is 1 the label is any code: it does not matter. Or :meth:`prepared`.

        Returns
        -------
        torch.Tensor of shape (n_rows,)
        """
        if "mixture" in targets:
            log_p = torch.log_softmax(logits, 1)
            return targets["constant"] - (targets["mixture"] * log_p).sum(1)
        return distillation_loss(
            LabelLoss(self.label_smoothing).labels(logits, targets),
            logits,
            targets["teacher_logits"],
            temperature=self.temperature,
            alpha=targets.get("alpha", self.alpha),
            teacher_loss=self.teacher_loss,
        )

    def of_ignorance(self, n_classes):
        """What a network that says the same of each row need not exceed, inf if unknown."""
        if self.alpha > 0 and self.teacher_loss != "kl":
            return math.inf
        return max(1.0, self.temperature**2) * math.log(n_classes)

    def prepared(self, targets):
        """Targets of all rows, with what is the same in each pass computed once.

        At T = 1 that is all but the student: both terms are the cross-entropy with one
        mixture of label and soft label, up to a constant.

        Parameters
        ----------
        targets : dict
            As in a call.

        Returns
        -------
        dict
            With "mixture", of shape (n_rows, n_classes), and "constant", of shape (n_rows,),
            in place of the teacher's; or the same, where they are no mixture.
        """
        if "mixture" in targets or self.temperature != 1 or self.teacher_loss != "kl":
            return targets
        others = {k: v for k, v in targets.items() if k not in ("alpha", "teacher_logits")}
        alpha = targets.get("alpha", self.alpha)
        log_q = _log_softmax_by_class(targets["teacher_logits"])
        mixture = log_q.exp().mul_(alpha)
        constant = (mixture * log_q).sum(0)
        index = targets["labels"].unsqueeze(0)
        share = torch.as_tensor(1 - alpha, dtype=log_q.dtype, device=log_q.device)
        of_label = share * (1 - self.label_smoothing)
        mixture.scatter_add_(0, index, of_label.expand(index.shape))
        if self.label_smoothing > 0:
            mixture.add_(share, alpha=self.label_smoothing / len(mixture))
        return {**others, "mixture": mixture.t().contiguous(), "constant": constant}

    def gradient(self, logits, targets):
        """The losses, and their derivative by the logits.

        Parameters
        ----------
        logits, targets
            As in a call.

        Returns
        -------
        losses : torch.Tensor of shape (n_rows,)
        derivative : torch.Tensor of shape (n_rows, n_classes)
        """
        targets = self.prepared(targets)
        if "mixture" in targets:
            return _by_mixture(logits, targets)
        alpha = targets.get("alpha", self.alpha)
        losses, derivative = self._of_teacher(logits, targets["teacher_logits"], alpha)
        varies = isinstance(alpha, torch.Tensor)
        if bool((alpha < 1).any()) if varies else alpha < 1:
            of_labels, by_labels = LabelLoss(self.label_smoothing).gradient(logits, targets)
            if varies:
                losses.addcmul_(of_labels, 1 - alpha)
                derivative.addcmul_(by_labels, (1 - alpha).unsqueeze(1))
            else:
                losses.add_(of_labels, alpha=1 - alpha)
                derivative.add_(by_labels, alpha=1 - alpha)
        return losses, derivative

    def _of_teacher(self, logits, teacher_logits, alpha):
        """The term of the teacher, alpha times, and its derivative."""
        T = self.temperature
        if self.teacher_loss != "kl":
            losses = TEACHER_LOSSES[self.teacher_loss](teacher_logits, logits, T).mul_(alpha)
            derivative = DERIVATIVES[self.teacher_loss](teacher_logits, logits, T)
            return losses, derivative.mul_(alpha).t()
        log_q = _log_softmax_by_class(teacher_logits / T)
        log_p = _log_softmax_by_class(logits / T)
        q = log_q.exp()
        losses = (q * log_q.sub_(log_p)).sum(0).mul_(alpha * T**2)
        return losses, log_p.exp_().sub_(q).mul_(alpha * T).t()


def _by_mixture(logits, targets):
    """Both terms at once: the derivative is p minus a mixture of the labels and q."""
    log_p = _log_softmax_by_class(logits)
    mixture = targets["mixture"].t()
    losses = targets["constant"] - (mixture * log_p).sum(0)
    return losses, log_p.exp_().sub_(mixture).t()


def _by_reverse_kl(teacher_logits, logits, T):
    log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
    return _through_softmax(log_p.exp(), log_p - log_q).mul_(T)


def _by_jensen_shannon(teacher_logits, logits, T):
    log_q, log_p = _log_softmax_by_class(teacher_logits / T), _log_softmax_by_class(logits / T)
    log_m = torch.logaddexp(log_q, log_p).sub_(math.log(2))
    return _through_softmax(log_p.exp(), log_p - log_m).mul_(T / 2)


def _by_brier(teacher_logits, logits, T):
    q = _log_softmax_by_class(teacher_logits / T).exp_()
    p = _log_softmax_by_class(logits / T).exp_()
    return _through_softmax(p, p - q).mul_(2 * T)


def _by_logit_mse(teacher_logits, logits, T):
    difference = (logits - teacher_logits).t()
    return (difference - difference.mean(0)).div_(len(difference))


#: Derivatives by the logits, of shape (n_classes, n_rows).
DERIVATIVES = {
    "reverse_kl": _by_reverse_kl,
    "jensen_shannon": _by_jensen_shannon,
    "logit_mse": _by_logit_mse,
    "brier": _by_brier,
}


def _through_softmax(p, g):
    return p * (g - (p * g).sum(0))


def _log_softmax_by_class(logits):
    """Of shape (n_classes, n_rows): over the first axis torch is ten times faster."""
    return torch.log_softmax(logits.t(), 0)
