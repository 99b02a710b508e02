"""Training losses: one value per row, and its derivative with respect to the logits.

A criterion is called with logits and targets. It returns one loss per row, which autograd can
differentiate. Its method `gradient` computes losses and derivatives without autograd.

The derivative of the cross-entropy is ``softmax(z) - y``. Here ``z`` are the logits of a row, and
``y`` the probabilities of its classes (one-hot for a hard label). The classes of teacher losses
in :mod:`skkd.losses` have a method for their own derivative.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skkd.losses import (
    ForwardKL,
    TeacherLoss,
    cross_entropy,
    distillation_loss,
    one_hot,
    resolve_teacher_loss,
    smooth_labels,
)

__all__ = ["LabelLoss", "TaughtLoss"]


@dataclass(frozen=True)
class LabelLoss:
    """Cross-entropy with labels, which may be smoothed.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the uniform distribution that is mixed into the labels.

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

    def __call__(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Compute the loss of each row; ``targets["labels"]`` are the class codes of the rows."""
        return cross_entropy(self.labels(logits, targets), logits)

    def prepared(self, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the targets unchanged: for this loss there is nothing to compute in advance."""
        return targets

    def of_ignorance(self, n_classes: int) -> float:
        """The loss of a network that deems all classes equally likely: ``log(n_classes)``."""
        return math.log(n_classes)

    def gradient(self, logits: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the loss of each row, and its derivative with respect to the row's logits.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_rows, n_classes)
        targets : dict of str to torch.Tensor
            As for a call of the loss.

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

    def labels(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the labels as codes or, with label smoothing, as probabilities of the classes."""
        if self.label_smoothing == 0:
            return targets["labels"]
        hard = one_hot(targets["labels"], logits.shape[1], dtype=logits.dtype)
        return smooth_labels(hard, self.label_smoothing)


@dataclass(frozen=True)
class TaughtLoss:
    """The distillation loss: a weighted sum of a label term and a teacher term.

    See :func:`skkd.losses.distillation_loss` for the formula. The targets of a call are "labels",
    "teacher_logits" and, optionally, "weights" and "alpha" with one value per row. If "alpha" is
    given, it replaces the parameter `alpha`; a row whose alpha is 1 may have any label.

    Parameters
    ----------
    temperature : float
        Softens teacher and student in the teacher term.
    alpha : float
        Weight of the teacher term; the label term has the weight ``1 - alpha``.
    label_smoothing : float, default=0.0
        Acts on the label term only.
    teacher_loss : str or skkd.losses.TeacherLoss, default="kl"
        A name in :data:`skkd.losses.TEACHER_LOSSES`, or a loss with settings.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]])  # student and teacher agree
    >>> targets = {"labels": torch.tensor([0]), "teacher_logits": logits}
    >>> TaughtLoss(temperature=2.0, alpha=1.0)(logits, targets)
    tensor([0.])
    """

    temperature: float
    alpha: float
    label_smoothing: float = 0.0
    teacher_loss: str | TeacherLoss = "kl"
    #: `teacher_loss` as an object.
    distance: TeacherLoss = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        loss = resolve_teacher_loss("teacher_loss", self.teacher_loss)
        object.__setattr__(self, "distance", loss)

    def __call__(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Compute the loss of each row; `targets` may be the result of :meth:`prepared`."""
        if "mixture" in targets:
            log_p = torch.log_softmax(logits, 1)
            return targets["constant"] - (targets["mixture"] * log_p).sum(1)
        return distillation_loss(
            LabelLoss(self.label_smoothing).labels(logits, targets),
            logits,
            targets["teacher_logits"],
            temperature=self.temperature,
            alpha=targets.get("alpha", self.alpha),
            teacher_loss=self.distance,
            sample_weight=targets.get("weights"),
        )

    def of_ignorance(self, n_classes: int) -> float:
        """Upper bound of the loss of a network that deems all classes equally likely.

        With `alpha` above 0, a bound is computed for the teacher loss "kl" only; for any other
        teacher loss the result is infinity.
        """
        if self.alpha > 0 and type(self.distance) is not ForwardKL:
            return math.inf
        return max(1.0, self.temperature**2) * math.log(n_classes)

    def prepared(self, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Compute in advance the parts of the loss that do not depend on the student.

        - If the teacher loss is "kl" and the temperature 1: the loss of a row is a constant plus
          one cross-entropy. Its target is a mixture of the label and the teacher's probabilities.
          The constants and the mixtures are computed in advance.
        - Otherwise: nothing is computed in advance.

        Parameters
        ----------
        targets : dict of str to torch.Tensor
            As for a call of the loss.

        Returns
        -------
        dict
            In the first case a copy of `targets`, with "mixture" and "constant" in place of
            "teacher_logits" and "alpha"; otherwise `targets` itself.
        """
        is_one_term = self.temperature == 1 and type(self.distance) is ForwardKL
        if "mixture" in targets or not is_one_term:
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

    def gradient(self, logits: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the loss of each row, and its derivative with respect to the row's logits.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_rows, n_classes)
        targets : dict of str to torch.Tensor
            As for a call of the loss.

        Returns
        -------
        losses : torch.Tensor of shape (n_rows,)
        derivative : torch.Tensor of shape (n_rows, n_classes)
        """
        targets = self.prepared(targets)
        if "mixture" in targets:
            return _by_mixture(logits, targets)
        alpha = targets.get("alpha", self.alpha)
        losses, derivative = self.distance.with_gradient(
            targets["teacher_logits"], logits, self.temperature, alpha, targets.get("weights")
        )
        has_labels = (alpha < 1).any() if isinstance(alpha, Tensor) else alpha < 1
        if has_labels:
            of_labels, by_labels = LabelLoss(self.label_smoothing).gradient(logits, targets)
            if isinstance(alpha, Tensor):
                losses.addcmul_(of_labels, 1 - alpha)
                derivative.addcmul_(by_labels, (1 - alpha).unsqueeze(1))
            else:
                losses.add_(of_labels, alpha=1 - alpha)
                derivative.add_(by_labels, alpha=1 - alpha)
        return losses, derivative


def _by_mixture(logits: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compute losses and their derivatives for prepared targets."""
    log_p = _log_softmax_by_class(logits)
    mixture = targets["mixture"].t()
    losses = targets["constant"] - (mixture * log_p).sum(0)
    return losses, log_p.exp_().sub_(mixture).t()


def _log_softmax_by_class(logits: Tensor) -> Tensor:
    """Compute the log-softmax of logits, transposed to the shape (n_classes, n_rows)."""
    return torch.log_softmax(logits.t(), 0)  # ten times faster than over axis 1
