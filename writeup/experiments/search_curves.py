"""Accuracy and energies of Viterbi, of the networks, and of descents after so many steps."""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from search_rows import BEAM
from searcher import Part, Point, Searcher, spaced
from torch import Tensor

from chain import LinearChain
from corpus import Batch
from decoders import decoder, tailored
from decoders import gradient_descent as descents
from decoders.gradient_descent import Iterate
from decoders.relaxation import finite
from local import LocalSeq2Seq, LocalTagger

STEPS = {
    "gradient_descent": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    "warm_start": (0.3, 1.0, 3.0, 10.0, 30.0),
    "tailored": (0.001, 0.003, 0.01, 0.03),
}
MOMENTUM = descents.Settings.momentum
TUNED_ON = {"gradient_descent": 300, "warm_start": 300, "tailored": 160}  # sentences of the tuning corpus at most


class Stop(NamedTuple):
    """Where a descent is after so many steps, batch by batch: tags and relaxed energy, and the best tags until then."""

    tags: list[Tensor]
    relaxed: list[Tensor]
    lowest: list[Tensor]


Walk = dict[int, Stop]  # by steps


def measure(searcher: Searcher, own: str) -> dict[str, Any]:
    """All ways; tailored copies and warm starts are of the network `own`."""
    test = searcher.part(searcher.test_sentences)
    tuning = {way: spaced(searcher.tune_sentences, TUNED_ON[way]) for way in searcher.counts}
    known = [torch.where(batch.tags >= 0, batch.tags, 0).masked_fill(~batch.mask, -1) for batch in test.batches]
    networks = searcher.networks
    found: dict[str, Any] = dict(
        sentences=len(test.corpus), spans=searcher.spans, network=own,
        tuned_on={way: len(corpus) for way, corpus in tuning.items()},
        gold=test.mean([-chain.score(tags) for chain, tags in zip(test.chains, known)]),
        tokens=searcher.right(test, known)[1],
        viterbi=searcher.at_once(test, decoder("viterbi")),
        networks={name: searcher.at_once(test, decoder("infnet", network)) for name, network in networks.items()},
        beams={
            name: searcher.at_once(test, decoder("infnet", network, width=BEAM))
            for name, network in networks.items() if isinstance(network, LocalSeq2Seq)
        },
    )  # fmt: skip
    for way, sentences in tuning.items():
        descent = Descent(searcher, way, networks[own])
        steps = descent.tuned(searcher.part(sentences))
        tried = descent.steps if way == "gradient_descent" else set(steps.values())  # the oracle looks at all
        walks = {step: descent.walk(test, step) for step in tried}
        found[way] = descent.points(test, walks, steps)
        if way == "gradient_descent":
            found["oracle"] = [oracle(searcher, test, walks, count) for count in descent.counts]
    return found


class Descent:
    """A way to search step by step.

    Args:
        way: gradient_descent from random logits, warm_start from those of the network, or tailored copies of it.
    """

    def __init__(self, searcher: Searcher, way: str, network: LocalTagger):
        self.searcher, self.way, self.network = searcher, way, network
        self.counts = searcher.counts[way]
        self.steps = STEPS[way][:1] if searcher.quick else STEPS[way]

    def iterates(self, batch: Batch, chain: LinearChain, step: float) -> Iterator[Iterate]:
        """The start of a descent and what each step leads to."""
        network = self.network
        if self.way == "tailored":
            return tailored.iterates(finite(chain), network.network, network.lexicon.embed(batch), step, MOMENTUM)
        B, n, k = chain.given_emit.shape
        start = network.logits(batch) if self.way == "warm_start" else descents.random_logits(n, k, 0)
        return descents.iterates(finite(chain), start.to(chain.given_emit).expand(B, n, k), step, MOMENTUM)

    @torch.no_grad()
    def walk(self, part: Part, step: float) -> Walk:
        """A descent with steps of this size."""
        stops = {count: Stop([], [], []) for count in self.counts}
        for batch, chain in zip(part.batches, part.chains):
            tags = energy = None
            for number, now in zip(range(max(self.counts) + 1), self.iterates(batch, chain, step)):
                better = torch.ones_like(now.energy, dtype=torch.bool) if energy is None else now.energy < energy
                tags = now.tags if energy is None else torch.where(better[:, None], now.tags, tags)
                energy = now.energy if energy is None else torch.where(better, now.energy, energy)
                if number in stops:
                    for column, value in zip(stops[number], (now.tags, now.relaxed_energy, tags)):
                        column.append(value)
        return stops

    def tuned(self, part: Part) -> dict[int, float]:
        """By number of steps, the size of a step that is best on these sentences."""
        walks = {step: self.walk(part, step) for step in self.steps}
        return {
            count: max(walks, key=lambda step: self.searcher.quality(part, walks[step][count].tags))
            for count in self.counts
        }

    def points(self, test: Part, walks: dict[float, Walk], steps: dict[int, float]) -> list[Point]:
        """The last iterate after so many steps of this size; and the best tagging that was met."""
        points = []
        for count, step in steps.items():
            stop = walks[step][count]
            kept = self.searcher.point(test, stop.lowest, None)
            points.append(self.searcher.point(
                test, stop.tags, stop.relaxed, iterations=count, step=step, lowest_quality=kept["quality"],
                lowest_energy=kept["energy"], lowest_search_error=kept["search_error"],
            ))  # fmt: skip
        return points


def oracle(searcher: Searcher, test: Part, walks: dict[float, Walk], count: int) -> Point:
    """Gradient descent with the step of each sentence chosen by how many of its tokens are then right."""
    chosen = []
    for number, batch in enumerate(test.batches):
        choices = torch.stack([walk[count].tags[number] for walk in walks.values()])
        right = ((choices == batch.tags) & (batch.tags >= 0)).sum(dim=2)
        chosen.append(choices[right.argmax(dim=0), torch.arange(len(batch))])
    return searcher.point(test, chosen, None, iterations=count)
