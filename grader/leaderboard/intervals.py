"""How far an accuracy may be from what it would be on other sentences: the bootstrap over sentences.

N sentences are drawn with replacement from the N that there are, the accuracy is computed on the draw, and this 2,000
times: the middle 95 % of the accuracies are the interval. Sentences are drawn, not tokens, for errors come in
clusters. The draws are seeded and the same for every run, so that an interval is a property of the run, and that two
runs are compared on the same draws.

- Tie band of a board: half the width of the reference's interval (without a reference, of the best run's).
- Gap: the accuracy on one set less that on another, e.g. endev less entest. The two are drawn independently, unless
  they are the same sentences (entest and its twin): then a draw takes the same sentences of both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

DRAWS = 2000
LEVEL, GAP_LEVEL = 0.95, 0.99


class Interval(NamedTuple):
    low: float
    high: float


@lru_cache(maxsize=8)
def draws(sentences: int, seed: int) -> Float[np.ndarray, "draws sentences"]:
    """How often each draw takes each sentence."""
    times = np.random.default_rng(seed).multinomial(sentences, np.full(sentences, 1 / sentences), size=DRAWS)
    return times.astype(float)  # for fast products


def resampled(
    correct: Num[np.ndarray, " sentences"], tokens: Num[np.ndarray, " sentences"], seed: int = 0
) -> Float[np.ndarray, " draws"]:
    """The accuracy on each draw."""
    times = draws(len(tokens), seed)
    return (times @ correct.astype(float)) / np.maximum(times @ tokens.astype(float), 1e-300)


def middle(values: Float[np.ndarray, " draws"], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def accuracy_interval(
    correct: Num[np.ndarray, " sentences"], tokens: Num[np.ndarray, " sentences"], score: float | None = None,
    level: float = LEVEL,
) -> Interval:  # fmt: skip
    """The interval of an accuracy (fractions).

    Args:
        score: the accuracy, where it is a mean over seeds and the sentences are of one of them: the interval is moved
            to it. None: the accuracy of these sentences.
    """
    values = resampled(correct, tokens)
    return middle(values if score is None else values + score - correct.sum() / tokens.sum(), level)


def gap_interval(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], gap: float, paired: bool,
    level: float = GAP_LEVEL,
) -> Interval:  # fmt: skip
    """The interval of a gap of accuracies, one's less the other's, each given as tokens right and tokens of each
    sentence; `gap` is its value, `paired` says that they are the same sentences."""
    values = resampled(*one, seed=0) - resampled(*other, seed=0 if paired else 1)
    of_sentences = one[0].sum() / one[1].sum() - other[0].sum() / other[1].sum()
    return middle(values + gap - of_sentences, level)
