"""The statistics of the study: stratified means and paired differences over tasks, exact McNemar, Holm."""

from __future__ import annotations

import math

import numpy as np

Z95 = 1.959964


def mean_over_tasks(by_task: list[np.ndarray]) -> tuple[float, float]:
    """Mean of the tasks' means and the half-width of its 95 % interval; one array of values a task.  The tasks are
    fixed, the problems sampled."""
    mean = float(np.mean([values.mean() for values in by_task]))
    variance = sum(values.var(ddof=1) / len(values) for values in by_task) / len(by_task) ** 2
    return mean, Z95 * math.sqrt(variance)


def paired_difference(arm: list[np.ndarray], base: list[np.ndarray]) -> tuple[float, float]:
    """Mean over tasks of arm - base on the same problems, and the half-width of its 95 % interval."""
    return mean_over_tasks([a.astype(float) - b for a, b in zip(arm, base, strict=True)])


def mcnemar(arm: list[np.ndarray], base: list[np.ndarray]) -> float:
    """Two-sided exact p of the discordant pairs, all tasks together."""
    gained = sum(int((a & ~b).sum()) for a, b in zip(arm, base, strict=True))
    lost = sum(int((~a & b).sum()) for a, b in zip(arm, base, strict=True))
    n, k = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    terms = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    peak = max(terms)
    return min(1.0, 2 * math.exp(peak) * sum(math.exp(t - peak) for t in terms))


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Adjusted p of a family of declared comparisons."""
    adjusted, worst = {}, 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for i, (name, p) in enumerate(ordered):
        worst = max(worst, min(1.0, p * (len(ordered) - i)))
        adjusted[name] = worst
    return adjusted
