"""Right answers by listing all taggings, in float64, a sentence at a time; nothing here is code that students write.

A sentence is four tables of log-potentials in nats (eqs. 1, 30, 44): start [k], emit [n, k], trans [n-1, k, k] and
stop [k].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_sum(x: Array, axis: int | None = None) -> Array:
    """log of the summed exp x; -inf where all are."""
    high = np.max(x, axis=axis, keepdims=True)
    high = np.where(np.isfinite(high), high, 0.0)
    with np.errstate(divide="ignore"):
        return np.squeeze(np.log(np.sum(np.exp(x - high), axis=axis, keepdims=True)) + high, axis=axis)


@dataclass(frozen=True)
class Counts:
    """Expected numbers of first tags [k], tag bigrams [k, k], last tags [k], and of tags at each position [n, k]."""

    start: Array
    trans: Array
    stop: Array
    tags: Array


@dataclass(frozen=True)
class Tables:
    """Of one sentence."""

    start: Array
    emit: Array
    trans: Array
    stop: Array

    @property
    def k(self) -> int:
        return len(self.start)

    @property
    def n(self) -> int:
        return len(self.emit)

    def taggings(self, n: int) -> NDArray[np.int64]:
        """All taggings of n words [k**n, n]."""
        return np.array(list(itertools.product(range(self.k), repeat=n)))

    def path(self, tags: NDArray[np.int64], first: int = 0) -> Array:
        """The summed emissions and transitions of taggings [N, m] of m words from position `first` on."""
        total = np.zeros(len(tags))
        for i in range(tags.shape[1]):
            total = total + self.emit[first + i, tags[:, i]]
            if i:
                total = total + self.trans[first + i - 1, tags[:, i - 1], tags[:, i]]
        return total

    def scores(self) -> tuple[NDArray[np.int64], Array]:
        """All taggings and their scores."""
        tags = self.taggings(self.n)
        return tags, self.start[tags[:, 0]] + self.path(tags) + self.stop[tags[:, -1]]

    def agreeing(self, observed: Sequence[int]) -> tuple[NDArray[np.int64], Array]:
        """Those that agree with what is observed (-1: nothing)."""
        tags, scores = self.scores()
        seen = np.array(observed)
        keep = ((seen < 0) | (tags == seen)).all(axis=1)
        return tags[keep], scores[keep]

    def alpha(self) -> Array:
        """[n, k] log-sum over the ways to tag the words before, up to each tag."""
        rows = []
        for i in range(self.n):
            tags = self.taggings(i + 1)
            scores = self.start[tags[:, 0]] + self.path(tags)
            rows.append([log_sum(scores[tags[:, -1] == t]) for t in range(self.k)])
        return np.array(rows)

    def beta(self) -> Array:
        """[n, k] log-sum over the ways to go on after each tag, to the end."""
        rows = [self.stop]
        for i in reversed(range(self.n - 1)):
            tags = self.taggings(self.n - 1 - i)
            onward = self.path(tags, first=i + 1) + self.stop[tags[:, -1]]
            rows.append([log_sum(self.trans[i, s, tags[:, 0]] + onward) for s in range(self.k)])
        return np.array(rows[::-1])

    def counts(self, observed: Sequence[int]) -> Counts:
        """Expected counts among the taggings that agree with what is observed."""
        tags, scores = self.agreeing(observed)
        p = np.exp(scores - log_sum(scores))
        one_hot = np.eye(self.k)[tags] * p[:, None, None]
        trans = np.zeros((self.k, self.k))
        for i in range(1, self.n):
            np.add.at(trans, (tags[:, i - 1], tags[:, i]), p)
        return Counts(one_hot[:, 0].sum(axis=0), trans, one_hot[:, -1].sum(axis=0), one_hot.sum(axis=0))

    def log_conditional(self, observed: Sequence[int]) -> float:
        """log p(what is observed of the tags)."""
        return float(log_sum(self.agreeing(observed)[1]) - log_sum(self.scores()[1]))
