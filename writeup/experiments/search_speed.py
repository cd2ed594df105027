"""Sentences a second of each way to search."""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections.abc import Callable, Mapping
from typing import Any

import torch
from search_rows import GD_ITERATIONS
from searcher import SIZE, Searcher, spaced
from speed_chain import NO_PEER, torchcrf
from speed_rows import compile_kernels, compiled

from chain import LinearChain
from corpus import Batch, IntegerizedCorpus
from decoders import Decoding, decoder, lowest, tag_corpus
from tagger import Tagger

BATCHES = (1, 10, 32, 100)  # sentences at a time, of which the fastest counts beside 10
QUICK_BATCHES = (10,)
TIMED = 200  # sentences of the test corpus whose tagging is timed

Decode = Callable[..., Decoding]


def measure(searcher: Searcher, own: str) -> dict[str, Any]:
    """Sentences a second of each procedure at 10 a batch and at the best of BATCHES, and of descents by steps; tailored
    copies and warm starts are of the network `own`.
    """
    clock = Clock(searcher)
    exact = {"viterbi": decoder("viterbi"), "restricted": decoder("restricted")}
    others, absent = dict(exact), {}
    if problem := compile_kernels():
        absent.update({f"{name} --compile": problem for name in exact})
    else:
        others.update({f"{name} --compile": compiled(decode) for name, decode in exact.items()})
    if torchcrf:
        others["pytorch-crf"] = PeerDecoder()
    else:
        absent["pytorch-crf"] = NO_PEER
    clock.require_exact(others)
    ways: dict[str, Decode] = {name: decoder("infnet", network) for name, network in searcher.networks.items()}
    ways.update(others, gradient_descent=decoder("gradient_descent", iterations=GD_ITERATIONS))
    procedures = {}
    for name, decode in ways.items():
        rates = {size: clock.rate(decode, size) for size in (QUICK_BATCHES if searcher.quick else BATCHES)}
        best = max(rates, key=rates.get)
        procedures[name] = dict(at_10=rates[10], best=rates[best], size=best)
    network = searcher.networks[own]
    return dict(
        sentences=len(clock.corpus),
        procedures=procedures,
        absent=absent,
        descents={
            way: {count: clock.rate(decoder(way, network, iterations=count), SIZE) for count in counts}
            for way, counts in searcher.counts.items()
        },
        at_once={name: clock.rate(ways[name], SIZE) for name in ("viterbi", own)},
        network=own,
    )


class Clock:
    """Times the tagging of some of the test sentences."""

    def __init__(self, searcher: Searcher):
        self.tagger = searcher.tagger
        sentences = spaced(searcher.test_sentences, TIMED)
        self.corpus = IntegerizedCorpus(sentences, self.tagger.lexicon.vocab, self.tagger.tagset)

    def require_exact(self, ways: Mapping[str, Decode]) -> None:
        """Stop the program if one of them does not find what Viterbi's algorithm does."""
        batch = self.corpus.batch(self.corpus.by_length(SIZE)[0])
        best = lowest(self.tagger(batch).detach())
        for name, decode in ways.items():
            if not torch.allclose(decode(self.tagger, batch, None).energy, best, rtol=1e-5, atol=1e-3):
                raise SystemExit(f"{name} does not find the taggings of lowest energy: not timed")

    def rate(self, decode: Decode, size: int) -> float:
        """Sentences a second."""
        tagging = min((tag_corpus(self.tagger, self.corpus, decode, size) for _ in range(2)), key=lambda x: x.seconds)
        return len(self.corpus) / tagging.seconds


class PeerDecoder:
    """pytorch-crf's decode of the model's emissions, with its transitions."""

    def __init__(self):
        self.crf = None

    def __call__(self, tagger: Tagger, batch: Batch, chain: LinearChain | None) -> Decoding:
        chain = tagger(batch)
        if self.crf is None:
            self.crf = torchcrf.CRF(chain.given_emit.shape[2], batch_first=True)
            self.crf.start_transitions.data = chain.start[0].clone()
            self.crf.end_transitions.data = chain.stop[0].clone()
            self.crf.transitions.data = chain.trans.clone()
        found = self.crf.decode(chain.given_emit, batch.mask)
        tags = torch.full(batch.ids.shape, -1)
        for row, path in zip(tags, found):
            row[: len(path)] = torch.tensor(path)
        return Decoding(tags, chain)
