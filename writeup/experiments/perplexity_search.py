"""Search errors, sentence by sentence: the energy of what a way to search finds, minus that of Viterbi's tagging.

Both energies are computed in double precision from one chain, so that an error is exactly 0 where the tagging is
Viterbi's and never below 0 but for the last digits. That of a relaxed tagging is the energy expected when each
position's tag is drawn from its distribution: not below Viterbi's either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from chain import LinearChain
from corpus import Batch, IntegerizedCorpus, Sentence
from decoders import decoder
from decoders.beam import beam
from decoders.gradient_descent import descend, random_logits
from decoders.relaxation import Relaxation, finite
from local import LocalTagger
from tagger import Tagger

SIZE = 32  # sentences at a time

Found = tuple[Tensor, Tensor | None]  # tags [B, n], and the relaxed tagging [B, n, k]
Way = Callable[[Batch, LinearChain], Found]
Errors = dict[str, list[float] | None]  # discrete and relaxed, of each sentence, in nats


class Problems:
    """Sentences with the energies of a model, to be searched.

    Raises:
        ImpossibleError: a sentence has no possible tagging.
    """

    @torch.no_grad()
    def __init__(self, tagger: Tagger, sentences: Sequence[Sentence]):
        corpus = IntegerizedCorpus(sentences, tagger.lexicon.vocab, tagger.tagset)
        self.numbers = corpus.by_length(SIZE)
        self.batches = [corpus.batch(part) for part in self.numbers]
        self.chains = [tagger(batch).detach() for batch in self.batches]
        self.exact = [double(chain) for chain in self.chains]
        self.lowest = [-chain.score(chain.argmax) for chain in self.exact]

    @torch.no_grad()
    def errors(self, way: Way) -> Errors:
        """Of each sentence, in the order of the corpus."""
        discrete = torch.empty(sum(map(len, self.numbers)), dtype=torch.float64)
        relaxed: Tensor | None = torch.empty_like(discrete)
        for numbers, batch, chain, exact, lowest in zip(
            self.numbers, self.batches, self.chains, self.exact, self.lowest
        ):
            tags, q = way(batch, chain)
            discrete[numbers] = -exact.score(tags) - lowest
            if q is None:
                relaxed = None
            else:
                relaxed[numbers] = Relaxation(finite(exact)).energy_of(normalized(q)) - lowest
        return dict(discrete=discrete.tolist(), relaxed=None if relaxed is None else relaxed.tolist())


def double(chain: LinearChain) -> LinearChain:
    parts = (chain.start, chain.given_emit, chain.trans, chain.stop)
    return LinearChain(*(part.double() for part in parts), chain.lengths)


def normalized(q: Float[Tensor, "B n k"]) -> Float[Tensor, "B n k"]:
    """In double precision, where distributions of single precision no longer sum to 1; 0 in the padding."""
    q = q.double()
    total = q.sum(dim=2, keepdim=True)
    return q / total.where(total > 0, 1.0)


# Ways to search


def network(tagger: Tagger, of_model: LocalTagger) -> Way:
    decode = decoder("infnet", of_model)
    return lambda batch, chain: pair(decode(tagger, batch, chain))


def mean_field(tagger: Tagger) -> Way:
    decode = decoder("mean_field")
    return lambda batch, chain: pair(decode(tagger, batch, chain))


def beam_search(tagger: Tagger, width: int) -> Way:
    return lambda batch, chain: pair(beam(tagger, batch, chain, width=width))


def gradient_descent(step: float, iterations: int) -> Way:
    """The last iterate of a descent from random logits, the same for each sentence."""

    def way(batch: Batch, chain: LinearChain) -> Found:
        B, n, k = chain.given_emit.shape
        start = random_logits(n, k, 0).to(chain.given_emit).expand(B, n, k)
        last = descend(chain, start, iterations, step).last
        return last.tags, last.relaxed

    return way


def pair(decoding) -> Found:
    return decoding.tags, decoding.relaxed


def tuned_step(problems: Problems, steps: Sequence[float], iterations: int) -> float:
    """The step whose last iterates have the lowest energy, as discrete taggings, in the mean."""

    def mean_error(step: float) -> float:
        errors = problems.errors(gradient_descent(step, iterations))["discrete"]
        return sum(errors) / len(errors)

    return min(steps, key=mean_error)
