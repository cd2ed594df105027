"""Every quantity of chain.py by its definition: list all k**n taggings of a sentence, score each, sum.

One sentence at a time, in float64 numpy, with nothing of the code under test. Slow and plainly right; k**n up to a few
thousand. Potentials are in nats, -inf where forbidden.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Tagging = tuple[int, ...]
UNOBSERVED = -1


class Sentence(NamedTuple):
    """The potentials of one sentence of n words and k tags, without padding."""

    start: Array  # [k]
    emit: Array  # [n, k]
    trans: Array  # [n-1, k, k]
    stop: Array  # [k]


def sentences(
    start: ArrayLike, emit: ArrayLike, trans: ArrayLike, stop: ArrayLike, lengths: ArrayLike
) -> list[Sentence]:
    """The sentences of a padded batch; `trans` is [k, k] or [B, n-1, k, k]."""
    start, emit, trans, stop = (np.asarray(part, dtype=np.float64) for part in (start, emit, trans, stop))
    cut = []
    for b, n in enumerate(np.asarray(lengths).tolist()):
        bigrams = np.broadcast_to(trans, (n - 1, *trans.shape)) if trans.ndim == 2 else trans[b, : n - 1]
        cut.append(Sentence(start[b], emit[b, :n], bigrams, stop[b]))
    return cut


def taggings(sentence: Sentence) -> NDArray[np.int64]:
    """[k**n, n]: all of them, in lexicographic order."""
    n, k = sentence.emit.shape
    return np.array(list(itertools.product(range(k), repeat=n)), dtype=np.int64).reshape(k**n, n)


def scores(sentence: Sentence) -> Array:
    """[k**n]: the score of each of `taggings`."""
    tags = taggings(sentence)
    total = sentence.start[tags[:, 0]] + sentence.stop[tags[:, -1]]
    for i in range(tags.shape[1]):
        total = total + sentence.emit[i, tags[:, i]]
        if i > 0:
            total = total + sentence.trans[i - 1, tags[:, i - 1], tags[:, i]]
    return total


def log_sum(x: Array) -> float:
    """log sum exp x; -inf of nothing and of nothing but -inf."""
    top = float(x.max(initial=-math.inf))
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(np.exp(x - top).tolist()))


def log_partition(sentence: Sentence) -> float:
    return log_sum(scores(sentence))


def possible(sentence: Sentence) -> bool:
    return log_partition(sentence) > -math.inf


def probabilities(sentence: Sentence) -> Array:
    """[k**n]: p of each of `taggings`; ValueError where all are impossible."""
    if not possible(sentence):
        raise ValueError("no possible tagging")
    return np.exp(scores(sentence) - log_partition(sentence))


def marginals(sentence: Sentence) -> Array:
    """[n, k]: p(t_i = t)."""
    tags, p = taggings(sentence), probabilities(sentence)
    result = np.zeros_like(sentence.emit)
    for i in range(len(result)):
        np.add.at(result[i], tags[:, i], p)
    return result


def pair_marginals(sentence: Sentence) -> Array:
    """[n-1, k, k]: p(t_i = s, t_{i+1} = t)."""
    tags, p = taggings(sentence), probabilities(sentence)
    result = np.zeros(sentence.trans.shape)
    for i in range(len(result)):
        np.add.at(result[i], (tags[:, i], tags[:, i + 1]), p)
    return result


def transition_counts(sentence: Sentence) -> Array:
    """[k, k]: the expected number of each tag bigram, the ends not included."""
    return pair_marginals(sentence).sum(axis=0)


def entropy(sentence: Sentence) -> float:
    p = probabilities(sentence)
    p = p[p > 0]
    return math.fsum((-p * np.log(p)).tolist())


def argmax(sentence: Sentence, tolerance: float = 0.0) -> set[Tagging]:
    """All taggings whose score is the highest, or below it by no more than `tolerance` nats."""
    every = scores(sentence)
    best = every >= every.max() - tolerance
    return {tuple(tagging) for tagging in taggings(sentence)[best].tolist()} if possible(sentence) else set()


def kbest(sentence: Sentence, K: int) -> list[tuple[float, Tagging]]:
    """The K best taggings of finite score with their scores, best first; fewer where there are fewer."""
    listed = zip(scores(sentence).tolist(), map(tuple, taggings(sentence).tolist()))
    return sorted((pair for pair in listed if pair[0] > -math.inf), reverse=True)[:K]


def score(sentence: Sentence, tagging: ArrayLike) -> float:
    """The score of one tagging, term by term; -inf where it uses a forbidden potential."""
    tags = np.asarray(tagging).tolist()
    total = sentence.start[tags[0]] + sentence.stop[tags[-1]]
    total += sum(sentence.emit[i, t] for i, t in enumerate(tags))
    total += sum(sentence.trans[i, s, t] for i, (s, t) in enumerate(zip(tags, tags[1:])))
    return float(total)


def agreeing(sentence: Sentence, observed: ArrayLike) -> NDArray[np.bool_]:
    """[k**n]: which of `taggings` have the observed tag wherever `observed` is not -1."""
    wanted = np.asarray(observed)
    return ((taggings(sentence) == wanted) | (wanted == UNOBSERVED)).all(axis=1)


def partial_score(sentence: Sentence, observed: ArrayLike) -> float:
    """The log-sum of the scores of the taggings that agree with the observed tags."""
    return log_sum(scores(sentence)[agreeing(sentence, observed)])


def prefix_log_sums(sentence: Sentence) -> Array:
    """[n, k]: log alpha, the log-sum of start, emissions and transitions over all t_1 ... t_i = t."""
    zero = np.zeros_like(sentence.stop)
    result = np.empty_like(sentence.emit)
    for i, t in np.ndindex(*result.shape):
        prefix = Sentence(sentence.start, sentence.emit[: i + 1], sentence.trans[:i], zero)
        result[i, t] = log_sum(scores(prefix)[taggings(prefix)[:, i] == t])
    return result


def suffix_log_sums(sentence: Sentence) -> Array:
    """[n, k]: log beta, the log-sum of what follows tag s at position i: transitions, later emissions, stop."""
    zero = np.zeros_like(sentence.start)
    result = np.empty_like(sentence.emit)
    for i, s in np.ndindex(*result.shape):
        later = np.concatenate([np.zeros_like(sentence.emit[:1]), sentence.emit[i + 1 :]])  # not the emission at i
        suffix = Sentence(zero, later, sentence.trans[i:], sentence.stop)
        result[i, s] = log_sum(scores(suffix)[taggings(suffix)[:, 0] == s])
    return result


def weighted(q: Array, x: Array) -> float:
    """Sum of q * x where 0 times -inf is 0 and a positive weight times -inf is -inf."""
    return float(np.sum(q[q > 0] * x[q > 0]))


def energy(sentence: Sentence, q: ArrayLike) -> float:
    """Minus the expected score of a tagging whose tags are drawn independently, tag i from q[i]; q is [n, k]."""
    q = np.asarray(q, dtype=np.float64)
    total = weighted(q[0], sentence.start) + weighted(q, sentence.emit) + weighted(q[-1], sentence.stop)
    for i in range(len(q) - 1):
        total += weighted(np.outer(q[i], q[i + 1]), sentence.trans[i])
    return -total
