"""The comparisons of a selection, and in words why the selected candidate was selected."""

from dataclasses import dataclass

__all__ = ["Comparison", "last_comparison_of", "losses_of_all", "reason_for"]


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


def last_comparison_of(name: str, comparisons: list[Comparison]) -> Comparison:
    """Return the last comparison that a candidate took part in.

    Parameters
    ----------
    name : str
    comparisons : list of Comparison
        In the order of the numbers of epochs.

    Returns
    -------
    Comparison
    """
    *_, last = (one for one in comparisons if name in one.losses)
    return last


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
    'teacher was selected: its log-loss on 500 held-out rows is 0.4700. labels was stopped after \
64 epochs, when it had 0.5200 and teacher 0.4900.'
    """
    last = comparisons[-1]
    sentences = [
        f"{winner} was selected: its log-loss on {n_held_out} held-out rows is "
        f"{last.losses[winner]:.4f}."
    ]
    for rival in comparisons[0].losses:
        if rival != winner:
            sentences.append(_reason_against(rival, winner, comparisons))
    return " ".join(sentences)


def _reason_against(rival: str, winner: str, comparisons: list[Comparison]) -> str:
    """Tell why a rival was not selected."""
    last = last_comparison_of(rival, comparisons)
    theirs, ours = last.losses[rival], last.losses[winner]
    is_final = last is comparisons[-1]
    end = f"after {last.n_epochs} epoch{'s' if last.n_epochs > 1 else ''}"
    end = "at the end" if is_final else end
    if theirs >= ours:
        if is_final:
            return f"{rival} had {theirs:.4f} {end}."
        return f"{rival} was stopped {end}, when it had {theirs:.4f} and {winner} {ours:.4f}."
    needed = ours * last.margins[winner] / last.margins[rival]
    return (
        f"{rival} had {theirs:.4f} {end}, which is not low enough: below {needed:.4f} was "
        "required, because the teacher may have seen the held-out rows."
    )
