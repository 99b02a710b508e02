"""What a network learns from: the training loss of each row, read from its targets."""

from skkd.losses import cross_entropy, one_hot, smooth_labels

__all__ = ["label_loss"]


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
    labels = targets["labels"]
    if label_smoothing == 0:
        return cross_entropy(labels, logits)
    hard = one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return cross_entropy(smooth_labels(hard, label_smoothing), logits)
