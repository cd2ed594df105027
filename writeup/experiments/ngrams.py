"""N-gram language models with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999).

    p(w | h) = (max(c(h w) - d, 0) + d N(h) p(w | h')) / c(h)

N(h) is the number of different words that followed the history h, and h' is h without its first word. For the longest
histories c counts occurrences, for shorter ones the different words before. Below the unigrams lies 1 / V.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

BOS, EOS = "\0BOS", "\0EOS"
DISCOUNTS = [round(0.05 * n, 2) for n in range(1, 20)]

Words = Sequence[str]


class KneserNey:
    """Counts of a text, which give probabilities once a discount is chosen.

    Args:
        order: words of an n-gram; 1 is a unigram model.
        V: how many different words there may be, EOS among them.
    """

    def __init__(self, text: Sequence[Words], order: int, V: int):
        self.order, self.V = order, V
        self.levels: list[tuple[Counter, Counter, Counter]] = []  # from unigrams up: n-grams, c(h), N(h)
        grams = Counter(gram for words in text for gram in self.grams(words))
        for _ in range(order):
            totals: Counter = Counter()
            for gram, count in grams.items():
                totals[gram[:-1]] += count
            self.levels.insert(0, (grams, totals, Counter(gram[:-1] for gram in grams)))
            grams = Counter(gram[1:] for gram in grams)

    def grams(self, words: Words) -> Iterator[tuple[str, ...]]:
        """The n-gram that ends in each word, and in EOS."""
        padded = [*[BOS] * (self.order - 1), *words, EOS]
        return zip(*(padded[start:] for start in range(self.order)))

    def probability(self, gram: tuple[str, ...], discount: float) -> float:
        """p(last word | those before)."""
        p = 1 / self.V
        for n, (grams, totals, types) in enumerate(self.levels, start=1):
            part = gram[len(gram) - n :]
            total = totals[part[:-1]]
            if total:
                p = (max(grams[part] - discount, 0.0) + discount * types[part[:-1]] * p) / total
        return p

    def logprob(self, words: Words, discount: float) -> float:
        """log p(words, EOS), in nats."""
        return math.fsum(math.log(self.probability(gram, discount)) for gram in self.grams(words))

    def tune(self, text: Sequence[Words]) -> float:
        """The discount that makes a text most probable."""
        return max(DISCOUNTS, key=lambda discount: math.fsum(self.logprob(words, discount) for words in text))

    def parameter_count(self) -> int:
        """How many different n-grams were counted."""
        return sum(len(grams) for grams, _, _ in self.levels)
