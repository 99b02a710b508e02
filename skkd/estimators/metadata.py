"""What a fitted network keeps about its training: plain values that exported files hold, too."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy
import sklearn

import skkd
from skkd.selection.plan import Plan
from skkd.teachers.members import members_of

__all__ = ["keep_metadata"]


def keep_metadata(estimator: Any, plan: Plan | None = None) -> None:
    """Store in the network of a fitted estimator what is known about its training.

    The date is that of the day, so two equal fits of the same day are equal.

    Parameters
    ----------
    estimator : estimator
        Its attribute `network_` is replaced.
    plan : Plan, default=None
        The plan of the fit, if there was one.
    """
    metadata: dict[str, Any] = {
        "estimator": type(estimator).__name__,
        "trained": datetime.now(UTC).date().isoformat(),
        "versions": _versions(),
    }
    teacher = getattr(estimator, "teacher_", None)
    if teacher is not None and estimator.alpha_ > 0:
        metadata["teacher"] = ", ".join(_name_of(model) for model, _ in members_of(teacher))
        assistants = getattr(estimator, "assistant_", None) or []
        assistants = assistants if isinstance(assistants, list) else [assistants]
        if assistants:
            metadata["assistant"] = ", ".join(map(_name_of, assistants))
    loss = _held_out_loss(estimator, plan)
    metrics = {"held_out_log_loss": loss, "agreement": getattr(estimator, "agreement_", None)}
    known = {name: value for name, value in metrics.items() if value is not None}
    estimator.network_ = replace(estimator.network_, metadata=metadata | known)


def _versions() -> dict[str, str]:
    """The versions of the libraries that a fit depends on."""
    import torch

    libraries = (("skkd", skkd), ("numpy", numpy), ("scikit-learn", sklearn), ("torch", torch))
    return {name: str(library.__version__) for name, library in libraries}


def _name_of(model: Any) -> str:
    """The name of a teacher's class; of a function, its own."""
    return getattr(model, "__name__", type(model).__name__)


def _held_out_loss(estimator: Any, plan: Plan | None) -> float | None:
    """The log-loss on held-out rows; None if none were held out."""
    if plan is not None and plan.choice is not None:
        return float(plan.choice.loss)
    losses = [record["valid_loss"] for record in estimator.history_ if "valid_loss" in record]
    return float(min(losses)) if losses else None
