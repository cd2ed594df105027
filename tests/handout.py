"""The handout's models, one sentence at a time, as its formulas stand: loops, concatenations, float64, no batch.

A model gives a sentence its factors, log phi_A(s, t, w, i) for i = 1 ... n+1 and log phi_B(t, w_i, w, i) for
i = 1 ... n (eq. 44; eq. 30 where they do not look at i, eq. 1 where they are probabilities). Tags are 0 ... k-1; BOS is
k, EOS is k+1. Sums over taggings list them all. Nothing of the code under test is used.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import enumeration as brute

Array = NDArray[np.float64]
Tags = Sequence[int]  # -1 where unobserved


@dataclass(frozen=True)
class Factors:
    """Of one sentence of n words: log_phi_A(s, t, i) and log_phi_B(t, i), in nats."""

    n: int
    k: int
    log_phi_A: Callable[[int, int, int], float]
    log_phi_B: Callable[[int, int], float]

    def score(self, tags: Tags) -> float:
        """The log of eq. 44's right side: one factor of each bigram from BOS to EOS, one of each tag."""
        t = [self.k, *tags, self.k + 1]
        bigrams = [self.log_phi_A(t[i - 1], t[i], i) for i in range(1, self.n + 2)]
        return math.fsum(bigrams + [self.log_phi_B(t[i], i) for i in range(1, self.n + 1)])

    def taggings(self, observed: Tags | None = None) -> Iterator[tuple[int, ...]]:
        """All k**n, or those that agree with what is observed."""
        for tags in itertools.product(range(self.k), repeat=self.n):
            if observed is None or all(o in (-1, t) for o, t in zip(observed, tags)):
                yield tags

    def log_sum(self, observed: Tags | None = None) -> float:
        """log of the summed exp(score) of `taggings(observed)`: log Z where nothing is observed."""
        return brute.log_sum(np.array([self.score(tags) for tags in self.taggings(observed)]))

    def log_conditional(self, observed: Tags) -> float:
        """log p(observed tags | words)."""
        return self.log_sum(observed) - self.log_sum()

    def tables(self) -> brute.Sentence:
        """The factors as arrays, in the order of chain.LinearChain."""
        n, k, tags = self.n, self.k, range(self.k)
        return brute.Sentence(
            start=np.array([self.log_phi_A(k, t, 1) for t in tags]),
            emit=np.array([[self.log_phi_B(t, i) for t in tags] for i in range(1, n + 1)]),
            trans=np.array([[[self.log_phi_A(s, t, i) for t in tags] for s in tags] for i in range(2, n + 1)]).reshape(
                n - 1, k, k
            ),
            stop=np.array([self.log_phi_A(s, k + 1, n + 1) for s in tags]),
        )


# Word vectors


def one_hot_vector(word: str, vocabulary: Sequence[str]) -> Array:
    """OOV, BOS, EOS, then the training words, each a dimension; by the look-up rule as it is, lower-cased, else OOV."""
    names = ["<OOV>", "<BOS>", "<EOS>", *vocabulary]
    for spelling in (word, word.lower()):
        if spelling in names:
            return np.eye(len(names))[names.index(spelling)]
    return np.eye(len(names))[0]


def pretrained_vector(word: str, rows: Mapping[str, Sequence[float]], oov: Array, known: bool) -> Array:
    """The row of the word as it is, or lower-cased; else OOL's if it is known from training, else the trained OOV."""
    names = {"<BOS>": "BOS", "<EOS>": "EOS"}
    ordinary = {row: vector for row, vector in rows.items() if row not in ("BOS", "EOS", "OOL")}
    if word in names:
        return np.array(rows[names[word]], dtype=np.float64)
    for spelling in (word, word.lower()):
        if spelling in ordinary:
            return np.array(ordinary[spelling], dtype=np.float64)
    return np.array(rows["OOL"], dtype=np.float64) if known else oov


# Models


def hmm(start: Array, trans: Array, stop: Array, emission: Array, vectors: Sequence[Array]) -> Factors:
    """Eq. 1: p(t_i | t_{i-1}) and p(w_i | t_i), given as logs; `vectors` are one-hot: each picks a row of emission."""
    k = len(start)

    def log_p_transition(s: int, t: int, i: int) -> float:
        return start[t] if s == k else stop[s] if t == k + 1 else trans[s, t]

    def log_p_emission(t: int, i: int) -> float:
        return emission[int(np.argmax(vectors[i - 1])), t]

    return Factors(len(vectors), k, log_p_transition, log_p_emission)


def stationary_crf(start: Array, trans: Array, stop: Array, emission: Array, vectors: Sequence[Array]) -> Factors:
    """Eqs. 30-31 with W^B[t, w] = theta_t . w (eq. 42); row t of Theta^B (eq. 43) is column t of `emission` [e, k]."""
    k = len(start)
    Theta_B = emission.T

    def log_phi_A(s: int, t: int, i: int) -> float:
        return start[t] if s == k else stop[s] if t == k + 1 else trans[s, t]

    def log_phi_B(t: int, i: int) -> float:
        return math.fsum(Theta_B[t, f] * vectors[i - 1][f] for f in range(len(vectors[i - 1])))

    return Factors(len(vectors), k, log_phi_A, log_phi_B)


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def prefixes(M: Array, vectors: Sequence[Array]) -> dict[int, Array]:
    """h_{-1} = 0 and h_j = sigma(M [1; h_{j-1}; w_j]) for j = 0 ... n+1; `vectors` of w_0 ... w_{n+1} (eq. 46)."""
    h = {-1: np.zeros(len(M))}
    for j, w in enumerate(vectors):
        h[j] = sigma(M @ np.concatenate([[1.0], h[j - 1], w]))
    return h


def suffixes(M_: Array, vectors: Sequence[Array]) -> dict[int, Array]:
    """h'_{n+1} = 0 and h'_{j-1} = sigma(M' [1; w_j; h'_j]) for j = n+1 ... 0 (eq. 46)."""
    h_ = {len(vectors) - 1: np.zeros(len(M_))}
    for j in reversed(range(len(vectors))):
        h_[j - 1] = sigma(M_ @ np.concatenate([[1.0], vectors[j], h_[j]]))
    return h_


def birnn_crf(
    parameters: Mapping[str, Array], vectors: Sequence[Array], h: Mapping[int, Array], h_: Mapping[int, Array]
) -> Factors:
    """Eqs. 44, 45, 47, 48, given the states of eq. 46.

    Args:
        parameters: U_A, U_B, theta_A, theta_B, and `tags` [k + 2, tag_dim], whose last two rows are BOS and EOS.
        vectors: those of w_0 = BOS, w_1 ... w_n, w_{n+1} = EOS.
        h, h_: prefix and suffix embeddings h_j and h'_j by j.
    """
    U_A, U_B, theta_A, theta_B, tags = (parameters[name] for name in ("U_A", "U_B", "theta_A", "theta_B", "tags"))

    @functools.cache
    def log_phi_A(s: int, t: int, i: int) -> float:
        f_A = sigma(U_A @ np.concatenate([[1.0], h[i - 2], tags[s], tags[t], h_[i]]))
        return float(theta_A @ f_A)

    @functools.cache
    def log_phi_B(t: int, i: int) -> float:
        f_B = sigma(U_B @ np.concatenate([[1.0], h[i - 1], tags[t], vectors[i], h_[i]]))
        return float(theta_B @ f_B)

    return Factors(len(vectors) - 2, len(tags) - 2, log_phi_A, log_phi_B)
