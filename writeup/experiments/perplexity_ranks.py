"""Spearman's rank correlations of several quantities at once, and how they vary over draws of sentences.

Of a sample with multiplicities (how often a draw of sentences has each of them) the midrank of a value is the mean of
the places that its copies take in sorted order, and rho is Pearson's correlation of the midranks; so ties are counted
as they should be. The sample itself has all multiplicities 1. Partial correlations follow from the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval import Interval

AT_A_TIME = 250  # draws


def midranks(values: Float[np.ndarray, "N"], copies: Int[np.ndarray, "draws N"]) -> Float[np.ndarray, "draws N"]:
    """The rank of each value, from 1, in each draw; arbitrary where a draw has no copy of it."""
    order = values.argsort(kind="stable")
    _, code = np.unique(values, return_inverse=True)
    _, first = np.unique(values[order], return_index=True)
    alike = np.add.reduceat(copies[:, order], first, axis=1)
    return (alike.cumsum(axis=1) - alike + (alike + 1) / 2)[:, code]


def correlations(
    quantities: Float[np.ndarray, "m N"], copies: Int[np.ndarray, "draws N"]
) -> Float[np.ndarray, "draws m m"]:
    """rho of each pair of quantities in each draw; nan where one of them is the same for all sentences.

    Args:
        copies: the multiplicities; those of each draw add up to the same number.
    """
    ranks = np.stack([midranks(values, copies) for values in quantities], axis=1)
    ranks -= (copies[0].sum() + 1) / 2  # their mean, ties or not
    covariance = (ranks * copies[:, None]) @ ranks.transpose(0, 2, 1)
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    deviation = np.where(deviation > 0, deviation, np.nan)
    return covariance / deviation[:, :, None] / deviation[:, None, :]


@dataclass(frozen=True)
class Spearman:
    """Rank correlations between named quantities, with those of bootstrap draws.

    Attributes:
        names: of the m quantities.
        sample: [1, m, m] the correlations that were measured.
        draws: [draws, m, m] those of as many sentences drawn with replacement.
    """

    names: list[str]
    sample: Float[np.ndarray, "1 m m"]
    draws: Float[np.ndarray, "draws m m"]

    @classmethod
    def of(cls, quantities: dict[str, Float[np.ndarray, "N"]], draws: int = 10_000, seed: int = 0) -> Spearman:
        values = np.stack(list(quantities.values()))
        N = values.shape[1]
        generator = np.random.default_rng(seed)
        sizes = [min(AT_A_TIME, draws - begin) for begin in range(0, draws, AT_A_TIME)]
        parts = [correlations(values, generator.multinomial(N, np.full(N, 1 / N), size=size)) for size in sizes]
        sample = correlations(values, np.ones((1, N), dtype=int))
        return cls(list(quantities), sample, np.concatenate(parts))

    def rho(self, a: str, b: str, given: str | None = None) -> Interval | None:
        """Of two quantities, or the partial one where a third is held fixed; None where it is not defined."""
        return interval(*(self._rho(matrices, a, b, given) for matrices in (self.sample, self.draws)))

    def difference(self, a: str, b: str, other: str) -> Interval | None:
        """rho of a and b minus rho of a and another quantity."""
        return interval(*(self._rho(of, a, b) - self._rho(of, a, other) for of in (self.sample, self.draws)))

    def _rho(
        self, matrices: Float[np.ndarray, "draws m m"], a: str, b: str, given: str | None = None
    ) -> Float[np.ndarray, "draws"]:
        x, y = self.names.index(a), self.names.index(b)
        xy = matrices[:, x, y]
        if given is None:
            return xy
        z = self.names.index(given)
        xz, yz = matrices[:, x, z], matrices[:, y, z]
        left = (1 - xz**2) * (1 - yz**2)
        return (xy - xz * yz) / np.sqrt(np.where(left > 1e-12, left, np.nan))


def interval(sample: Float[np.ndarray, "1"], draws: Float[np.ndarray, "draws"]) -> Interval | None:
    """The value with its 95 % percentile interval over the draws in which it is defined; None where it is not."""
    if np.isnan(sample[0]):
        return None
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(sample[0]), float(low), float(high))
