"""What a network learns from: the training loss of each row, and its derivative.

Called, a criterion gives one loss per row, for autograd to differentiate. `gradient`
gives the same losses and, by hand, their derivative by the logits: with ``p`` the
softmax of the logits ``z``,

=======================================  ===========================
CE(y, z)                                 p - y
T^2 KL(softmax(t/T) || softmax(z/T))     T (softmax(z/T) - softmax(t/T))
=======================================  ===========================
"""

from dataclasses import dataclass

import torch

from skkd.losses import cross_entropy, distillation_loss, one_hot, smooth_labels

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

    def __call__(self, logits, targets):
        """One loss per row.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_rows, n_classes)
        targets : dict with "labels", codes of shape (n_rows,), and "teacher_logits"

        Returns
        -------
        torch.Tensor of shape (n_rows,)
        """
        return distillation_loss(
            LabelLoss(self.label_smoothing).labels(logits, targets),
            logits,
            targets["teacher_logits"],
            temperature=self.temperature,
            alpha=self.alpha,
        )

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
        T, alpha = self.temperature, self.alpha
        log_q = _log_softmax_by_class(targets["teacher_logits"] / T)
        log_p = _log_softmax_by_class(logits / T)
        q = log_q.exp()
        losses = (q * log_q.sub_(log_p)).sum(0).mul_(alpha * T**2)
        derivative = log_p.exp_().sub_(q).mul_(alpha * T).t()
        if alpha < 1:
            of_labels, by_labels = LabelLoss(self.label_smoothing).gradient(logits, targets)
            losses.add_(of_labels, alpha=1 - alpha)
            derivative.add_(by_labels, alpha=1 - alpha)
        return losses, derivative


def _log_softmax_by_class(logits):
    """Of shape (n_classes, n_rows): over the first axis torch is ten times faster."""
    return torch.log_softmax(logits.t(), 0)
