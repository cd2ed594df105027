"""Inference procedures: from a model's distribution over taggings to one tagging a sentence. One procedure a file."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chain import NEG_INF, ImpossibleError, LinearChain
from corpus import IntegerizedCorpus
from tagger import Tagger

DECODERS = {
    "viterbi": "exact.viterbi",
    "posterior": "exact.posterior",
    "restricted": "restricted.restricted",
    "beam": "beam.beam",
    "gradient_descent": "gradient_descent.gradient_descent",
    "mean_field": "mean_field.mean_field",
}


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
    """The procedure of this name (one of DECODERS), imported when first asked for."""
    module, function = DECODERS[name].split(".")
    return getattr(importlib.import_module(f"decoders.{module}"), function)


def finish(
    chain: LinearChain,
    tags: Int[Tensor, "B n"],
    relaxed: Float[Tensor, "B n k"] | None = None,
    relaxed_energy: Float[Tensor, "B"] | None = None,
) -> Decoding:
    """A decoding of discrete tags, with their energy."""
    with torch.no_grad():
        return Decoding(tags, -chain.score(tags), relaxed, relaxed_energy)


def select(chain: LinearChain, sentences: Int[Tensor, "C"]) -> LinearChain:
    """The chain of some of the sentences, cut to the longest of them."""
    lengths = chain.lengths[sentences]
    n = int(lengths.max())
    trans = chain.trans if chain.shared else chain.trans[sentences, : n - 1]
    return LinearChain(chain.start[sentences], chain.given_emit[sentences, :n], trans, chain.stop[sentences], lengths)


def refuse_impossible(chain: LinearChain, suspects: Bool[Tensor, "B"]) -> None:
    """Raise ImpossibleError where a suspect, for which no possible tagging was found, indeed has none."""
    if suspects.any():
        impossible = suspects & (chain.log_partition == NEG_INF)
        if impossible.any():
            raise ImpossibleError(f"sentence {int(impossible.nonzero()[0])} of the batch has no possible tagging")


@dataclass(frozen=True)
class Energies:
    """Of each sentence of a corpus, in nats; nan where no tagging is possible.

    Attributes:
        found: [N] of the tagging that the decoder returned; never below that of Viterbi.
        viterbi: [N] of the tagging of highest probability.
        relaxed: [N] of the relaxed tagging, if the procedure works with one.
    """

    found: Float[Tensor, "N"]
    viterbi: Float[Tensor, "N"]
    relaxed: Float[Tensor, "N"] | None

    @property
    def search_error(self) -> Float[Tensor, "N"]:
        return self.found - self.viterbi


@dataclass(frozen=True)
class Tagging:
    """The taggings of a corpus, in its order; `impossible` holds the numbers of sentences without a possible one."""

    tags: list[list[int]]
    impossible: list[int]
    seconds: float
    energies: Energies | None = None


@torch.no_grad()
def tag_corpus(
    tagger: Tagger, corpus: IntegerizedCorpus, decode: Decoder, size: int = 64, energies: bool = False
) -> Tagging:
    """Tag every sentence; one without a possible tagging gets an empty list. `seconds` is from numbers to tags.

    Args:
        size: sentences in a batch.
        energies: find those of the taggings too, and those of the best ones, outside of the time taken.
    """
    device = next(tagger.parameters()).device
    tags: list[list[int]] = [[] for _ in range(len(corpus))]
    impossible: list[int] = []
    measured: list[tuple[Int[Tensor, "_"], list[Tensor]]] = []
    seconds = 0.0
    for sentences in corpus.by_length(size):
        began = time.perf_counter()
        batch = corpus.batch(sentences).to(device)
        try:
            found = decode(tagger, batch, None)
        except ImpossibleError:
            possible = tagger(batch).log_partition.cpu() > NEG_INF
            impossible.extend(sentences[~possible].tolist())
            sentences = sentences[possible]
            if not len(sentences):
                continue
            batch = corpus.batch(sentences).to(device)
            found = decode(tagger, batch, None)
        for number, row, length in zip(sentences.tolist(), found.tags.tolist(), batch.lengths.tolist()):
            tags[number] = row[:length]
        seconds += time.perf_counter() - began
        if energies:
            chain = tagger(batch)
            of_batch = [found.energy, -chain.score(chain.argmax), found.relaxed_energy]
            measured.append((sentences, [part.double().cpu() for part in of_batch if part is not None]))
    return Tagging(tags, sorted(impossible), seconds, collect(measured, len(corpus)) if energies else None)


def collect(measured: list[tuple[Int[Tensor, "_"], list[Tensor]]], N: int) -> Energies:
    """The energies of batches, each with the numbers of its sentences, in the order of the corpus."""
    columns = torch.full((3, N), torch.nan, dtype=torch.float64)
    for sentences, parts in measured:
        columns[: len(parts), sentences] = torch.stack(parts)
    relaxed = columns[2] if measured and len(measured[0][1]) == 3 else None
    return Energies(columns[0], columns[1], relaxed)
