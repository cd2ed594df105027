"""The Ladder: a board that cannot be climbed by trying often.

Blum and Hardt, The Ladder: A Reliable Leaderboard for Machine Learning Competitions, ICML 2015. Who submits many
blind variations and keeps those that the board likes better fits the board's sample, not the task. So the board shows
a new value only where it beats the shown one by more than a step; else it repeats the shown one, and the try has
taught nothing.

- With a step η: a new score is shown if it exceeds the shown one by more than η, rounded to a multiple of η.
- Without a parameter: the step is the standard error of the difference to the run that set the shown value, paired, and
  the shown score is rounded to 1/n.

The paper's sample is of n independent items. Ours are sentences, whose tokens depend on each other: with d_s the
tokens of sentence s that the new run has right and the old one wrong, less those the other way round, over N
sentences of T tokens in all, the difference of accuracies is Σ d_s / T and its standard error sd(d) √N / T, which is
the paper's sd/√n where every sentence is one token long. Scores are rounded to 1/T.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

SLACK = 1e-12  # of floating-point sums, where a score equals the bar


class Attempt(NamedTuple):
    """A score (0 to 1), and of each sentence the tokens right and the tokens: of the same run, from which the standard
    error is taken."""

    score: float
    correct: Num[np.ndarray, " sentences"]
    tokens: Num[np.ndarray, " sentences"]


def standard_error(new: Attempt, old: Attempt) -> float:
    """Of the difference of two accuracies on the same sentences."""
    difference = new.correct - old.correct
    if len(difference) < 2:
        return 0.0
    return float(np.std(difference, ddof=1) * math.sqrt(len(difference)) / new.tokens.sum())


def ladder(attempts: Sequence[Attempt], eta: float | None = None) -> list[tuple[float, int]]:
    """What is shown after each attempt, and the number (from 0) of the attempt that set it.

    Args:
        attempts: one handle's, in order of time, all on the same sentences.
        eta: the step, between 0 and 1; None: the paired version without a parameter.
    """
    history: list[tuple[float, int]] = []
    for number, attempt in enumerate(attempts):
        step = 1 / float(attempt.tokens.sum()) if eta is None else eta
        rounded = round(attempt.score / step) * step
        if not history:
            history.append((rounded, number))
            continue
        shown, setter = history[-1]
        bar = standard_error(attempt, attempts[setter]) if eta is None else eta
        history.append((rounded, number) if attempt.score > shown + bar + SLACK else (shown, setter))
    return history
