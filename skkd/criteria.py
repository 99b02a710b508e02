"""What a network learns from: the training loss of each row, read from its targets."""

from skkd.losses import cross_entropy, distillation_loss, one_hot, smooth_labels

__all__ = ["label_loss", "taught_loss"]


def label_loss(logits, targets, *, label_smoothing=0.0):
    """Cross-entropy with the labels, smoothed.

    Parameters
    ----------
    logits : torch.Tensor of shape (n_rows, n_classes)
    targets : dict with "labels", integer codes of shape (n_rows,)
    label_smoothing : float, default=0.0

    Returns
    -------
    torch.Tensor of shape (n_rows,)

    Examples
    --------
    >>> import torch
    >>> label_loss(torch.zeros(1, 2), {"labels": torch.tensor([0])}, label_smoothing=0.1)
    tensor([0.6931])
    """
    return cross_entropy(_labels(logits, targets, label_smoothing), logits)


def taught_loss(logits, targets, *, temperature, alpha, label_smoothing=0.0):
    """The distillation loss; label smoothing acts on its label term only.

    Parameters
    ----------
    logits : torch.Tensor of shape (n_rows, n_classes)
    targets : dict with "labels", codes of shape (n_rows,), and "teacher_logits"
    temperature, alpha : float
    label_smoothing : float, default=0.0

    Returns
    -------
    torch.Tensor of shape (n_rows,)

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]])
    >>> targets = {"labels": torch.tensor([0]), "teacher_logits": z}
    >>> taught_loss(z, targets, temperature=2.0, alpha=1.0)
    tensor([0.])
    """
    return distillation_loss(
        _labels(logits, targets, label_smoothing),
        logits,
        targets["teacher_logits"],
        temperature=temperature,
        alpha=alpha,
    )


def _labels(logits, targets, label_smoothing):
    labels = targets["labels"]
    if label_smoothing == 0:
        return labels
    hard = one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return smooth_labels(hard, label_smoothing)
