"""Inference procedures: from a model's distribution over taggings to one tagging a sentence. One procedure a file."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chain import NEG_INF, ImpossibleError, LinearChain
from corpus import IntegerizedCorpus
from decoders.relaxation import Relaxation, finite
from tagger import Tagger

DECODERS = {
    "viterbi": "exact.viterbi",
    "posterior": "exact.posterior",
    "restricted": "restricted.restricted",
    "beam": "beam.beam",
    "gradient_descent": "gradient_descent.gradient_descent",
    "mean_field": "mean_field.mean_field",
}
# Those that need an inference network (infnet.py), trained for the model at hand.
LEARNED = {
    "infnet": "infnet.infnet",
    "tailored": "tailored.tailored",
    "warm_start": "warm_start.warm_start",
}
DESCENTS = ("gradient_descent", "tailored", "warm_start")


@dataclass(frozen=True)
class Decoding:
    """What a decoder found for a batch. All but the tags is computed when it is first asked for.

    Attributes:
        tags: [B, n], -1 in the padding.
        given_chain: whose taggings they are, or what gives it: an inference network does without.
        given_relaxed: the relaxed tagging, or what gives it, if the procedure works with one.
    """

    tags: Int[Tensor, "B n"]
    given_chain: LinearChain | Callable[[], LinearChain]
    given_relaxed: Float[Tensor, "B n k"] | Callable[[], Float[Tensor, "B n k"]] | None = None

    @cached_property
    def chain(self) -> LinearChain:
        with torch.no_grad():
            return (self.given_chain if isinstance(self.given_chain, LinearChain) else self.given_chain()).detach()

    @cached_property
    def relaxed(self) -> Float[Tensor, "B n k"] | None:
        """The relaxed tagging, 0 in the padding; None where there is none."""
        return self.given_relaxed() if callable(self.given_relaxed) else self.given_relaxed

    @cached_property
    def energy(self) -> Float[Tensor, "B"]:
        """Minus the score of `tags`, in nats."""
        return -self.chain.score(self.tags)

    @cached_property
    def relaxed_energy(self) -> Float[Tensor, "B"] | None:
        """The energy of `relaxed`, FORBIDDEN (relaxation.py) standing for -inf."""
        if self.relaxed is None:
            return None
        return Relaxation(finite(self.chain)).energy_of(self.relaxed)


Decoder = Callable[..., Decoding]  # of (tagger, batch, chain=None)


def decoder(name: str, network: nn.Module | None = None, **given: float | None) -> Decoder:
    """The procedure of this name, imported when first asked for.

    Args:
        name: one of DECODERS, or, with the inference network that it needs, one of LEARNED.
        given: iterations and step of a descent, and width of a beam, where they are not those by default; what is None
            or not the procedure's is passed over.
    """
    where, function = {**DECODERS, **LEARNED}[name].split(".")
    module = importlib.import_module(f"decoders.{where}")
    options: dict[str, Any] = {"network": network} if name in LEARNED else {}
    if name in DESCENTS:
        changed = {key: given[key] for key in ("iterations", "step") if given.get(key) is not None}
        options["settings"] = replace(module.DEFAULT, **changed)
    if name == "infnet" and given.get("width") is not None:
        options["width"] = given["width"]
    return partial(getattr(module, function), **options)


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
            best = lowest(found.chain)
            of_batch = [found.energy.where(best.isfinite(), torch.nan), best, found.relaxed_energy]
            measured.append((sentences, [part.double().cpu() for part in of_batch if part is not None]))
    return Tagging(tags, sorted(impossible), seconds, collect(measured, len(corpus)) if energies else None)


def lowest(chain: LinearChain) -> Float[Tensor, "B"]:
    """The energy of the tagging of highest probability; nan where none is possible."""
    possible = (chain.log_partition > NEG_INF).nonzero().squeeze(1)
    energy = torch.full_like(chain.log_partition, torch.nan)
    if len(possible):
        chain = select(chain, possible)
        energy[possible] = -chain.score(chain.argmax)
    return energy


def collect(measured: list[tuple[Int[Tensor, "_"], list[Tensor]]], N: int) -> Energies:
    """The energies of batches, each with the numbers of its sentences, in the order of the corpus."""
    columns = torch.full((3, N), torch.nan, dtype=torch.float64)
    for sentences, parts in measured:
        columns[: len(parts), sentences] = torch.stack(parts)
    relaxed = columns[2] if measured and len(measured[0][1]) == 3 else None
    return Energies(columns[0], columns[1], relaxed)
