"""Fits the scale that makes confidences honest: how the log-odds of a confidence become those of being right.

In: confidences, and whether each answer was right. Out: a slope and a shift for a `Tuning`. Pure functions.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cot.errors import DataError
from cot.planner.tuning import log_odds, logit
from cot.step import Source

MIN_ANSWERS: Final = 30
"""With fewer answers a scale would fit chance."""

UNCHANGED: Final = (1.0, 0.0)
"""Slope and shift that leave confidences as they are."""

_CLEARLY: Final = 5.991
"""The 95% quantile of chi-squared with the two degrees of freedom of a slope and a shift."""
_STEPS: Final = 100
_RIDGE: Final = 1e-6


def fit_scale(confidences: Sequence[float], right: Sequence[bool], source: Source = "direct") -> tuple[float, float]:
    """Slope >= 0 and shift of the likeliest logistic curve over the log-odds of the confidences.

    Platt (1999), "Probabilistic outputs for support vector machines", with its smoothed targets, by Newton's method
    with halved steps (Lin, Lin and Weng 2007). Without a curve that rises, the slope is 0: the share of right answers.
    Where the curve is not clearly likelier than to leave the confidences as they are, it is (1, 0): a likelihood-ratio
    test, at 5%. Raises DataError for fewer than `MIN_ANSWERS` answers.
    """
    if len(confidences) < MIN_ANSWERS or len(confidences) != len(right):
        raise DataError(
            f"got {len(confidences)} confidences and {len(right)} outcomes; expected as many, and at least"
            f" {MIN_ANSWERS}"
        )
    x, target = _points(confidences, right, source)
    slope, shift = _curve(x, target)
    clearly = 2 * (_loss(x, target) - _loss(slope * x + shift, target)) > _CLEARLY
    return (slope, shift) if clearly else UNCHANGED


def likeliest_scale(confidences: Sequence[float], right: Sequence[bool], source: Source) -> tuple[float, float]:
    """The same curve, however few the answers are, at least one, and however little likelier it is than none."""
    return _curve(*_points(confidences, right, source))


def misfit(confidences: Sequence[float], right: Sequence[bool], source: Source) -> float:
    """Negative log-likelihood of the same curve, >= 0."""
    x, target = _points(confidences, right, source)
    slope, shift = _curve(x, target)
    return _loss(slope * x + shift, target)


def _points(
    confidences: Sequence[float], right: Sequence[bool], source: Source
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds, and the smoothed targets. Each: (answers,)."""
    x = np.array([log_odds(confidence, source) for confidence in confidences])
    hits = np.array(right, bool)
    return x, np.where(hits, (hits.sum() + 1) / (hits.sum() + 2), 1 / ((~hits).sum() + 2))


def _curve(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    slope, shift = _newton(x, target)
    return (slope, shift) if slope > 0 else (0.0, logit(float(target.mean())))


def _loss(log_odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Negative log-likelihood."""
    return float(np.sum(np.logaddexp(0, log_odds) - target * log_odds))


def _newton(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Weights of `x` and of a constant, for log-odds of the targets. x, target: (answers,)."""
    columns = np.stack([x, np.ones_like(x)], axis=1)

    def loss(weights: NDArray[np.float64]) -> float:
        return _loss(columns @ weights, target) + float(_RIDGE * weights @ weights)

    weights = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(columns @ weights)))
        gradient = columns.T @ (p - target) + 2 * _RIDGE * weights
        hessian = (columns * (p * (1 - p))[:, None]).T @ columns + 2 * _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and loss(weights - size * step) > loss(weights):
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])
