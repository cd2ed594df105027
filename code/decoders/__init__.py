"""Inference procedures: from a model's distribution over taggings to one tagging a sentence. One procedure a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chain import ImpossibleError, LinearChain
from corpus import IntegerizedCorpus
from tagger import Tagger


@dataclass(frozen=True)
class Decoding:
    """What a decoder found for a batch.

    Attributes:
        tags: [B, n], -1 in the padding.
        energy: [B] minus the score of `tags`, in nats.
        relaxed: [B, n, k] the relaxed tagging, if the procedure works with one.
        relaxed_energy: [B] its energy.
    """

    tags: Int[Tensor, "B n"]
    energy: Float[Tensor, "B"]
    relaxed: Float[Tensor, "B n k"] | None = None
    relaxed_energy: Float[Tensor, "B"] | None = None


Decoder = Callable[..., Decoding]  # of (tagger, batch, chain=None)


def decoder(name: str) -> Decoder:
    """The procedure of this name (one of DECODERS)."""
    from decoders import exact

    return {"viterbi": exact.viterbi, "posterior": exact.posterior}[name]


DECODERS = ("viterbi", "posterior")


def finish(chain: LinearChain, tags: Int[Tensor, "B n"]) -> Decoding:
    """A decoding of discrete tags, with their energy."""
    with torch.no_grad():
        return Decoding(tags, -chain.score(tags))


@dataclass(frozen=True)
class Tagging:
    """The taggings of a corpus, in its order; `impossible` holds the numbers of sentences without a possible one."""

    tags: list[list[int]]
    impossible: list[int]
    seconds: float


@torch.no_grad()
def tag_corpus(tagger: Tagger, corpus: IntegerizedCorpus, decode: Decoder, size: int = 64) -> Tagging:
    """Tag every sentence; one without a possible tagging gets an empty list. `seconds` is from numbers to tags."""
    device = next(tagger.parameters()).device
    tags: list[list[int]] = [[] for _ in range(len(corpus))]
    impossible: list[int] = []
    began = time.perf_counter()
    for sentences in corpus.by_length(size):
        batch = corpus.batch(sentences).to(device)
        try:
            found = decode(tagger, batch, None).tags
        except ImpossibleError:
            possible = tagger(batch).log_partition.cpu() > float("-inf")
            impossible.extend(sentences[~possible].tolist())
            sentences = sentences[possible]
            if not len(sentences):
                continue
            batch = corpus.batch(sentences).to(device)
            found = decode(tagger, batch, None).tags
        for number, row, length in zip(sentences.tolist(), found.tolist(), batch.lengths.tolist()):
            tags[number] = row[:length]
    return Tagging(tags, sorted(impossible), time.perf_counter() - began)
