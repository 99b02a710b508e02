"""The comparisons of a selection, and in words why the selected candidate was selected."""

from dataclasses import dataclass

__all__ = ["Comparison", "losses_of_all", "reason_for"]


@dataclass(frozen=True)
class Comparison:
    """The candidates that were trained for a number of epochs, compared on held-out rows.

    Parameters
    ----------
    n_epochs : int
        The number of epochs so far.
    losses : dict of str to float
        Log-loss on the held-out rows, by name of the candidate. It is the loss after the best
        number of epochs so far.
    margins : dict of str to float
        The factor by which each loss is multiplied before it is compared.
    """

    n_epochs: int
    losses: dict[str, float]
    margins: dict[str, float]


def losses_of_all(comparisons: list[Comparison]) -> dict[str, float]:
    """Return the held-out losses after the largest number of epochs that all candidates reached.

    Parameters
    ----------
    comparisons : list of Comparison
        In the order of the numbers of epochs. Candidates leave, none is added.

    Returns
    -------
    dict of str to float
        By name of the candidate.
    """
    n_candidates = len(comparisons[0].losses)
    *_, last = (one for one in comparisons if len(one.losses) == n_candidates)
    return dict(last.losses)


def reason_for(winner: str, n_held_out: int, comparisons: list[Comparison]) -> str:
    """Tell why a candidate was selected: a sentence for it, and one for each other candidate.

    Parameters
    ----------
    winner : str
        Name of the selected candidate.
    n_held_out : int
        Number of held-out rows.
    comparisons : list of Comparison
        In the order of the numbers of epochs; `winner` takes part in all of them.

    Returns
    -------
    str

    Examples
    --------
    >>> first = Comparison(64, {"labels": 0.52, "teacher": 0.49}, {"labels": 1, "teacher": 1})
    >>> last = Comparison(132, {"teacher": 0.47}, {"teacher": 1})
    >>> reason_for("teacher", 500, [first, last])
    'teacher has the log-loss 0.4700 on 500 held-out rows, after at most 132 epochs. labels was \
stopped after at most 64 epochs: 0.5200, when teacher had 0.4900.'
    """
    last = comparisons[-1]
    sentences = [
        f"{winner} has the log-loss {last.losses[winner]:.4f} on {n_held_out} held-out rows, "
        f"{_after(last)}."
    ]
    for rival in comparisons[0].losses:
        if rival != winner:
            sentences.append(_reason_against(rival, winner, comparisons))
    return " ".join(sentences)


def _reason_against(rival: str, winner: str, comparisons: list[Comparison]) -> str:
    """Tell why a rival was not selected."""
    *_, last = (one for one in comparisons if rival in one.losses)
    theirs, ours = last.losses[rival], last.losses[winner]
    is_final = last is comparisons[-1]
    ended = f"{rival} has" if is_final else f"{rival} was stopped {_after(last)}:"
    if theirs >= ours:
        when = "" if is_final else f", when {winner} had {ours:.4f}"
        return f"{ended} {theirs:.4f}{when}."
    needed = ours * last.margins[winner] / last.margins[rival]
    return (
        f"{ended} {theirs:.4f}, which is not low enough: below {needed:.4f} was required, because "
        "the teacher may have seen the held-out rows."
    )


def _after(comparison: Comparison) -> str:
    return f"after at most {comparison.n_epochs} epoch{'s' if comparison.n_epochs > 1 else ''}"
