"""Gradient descent whose velocity is not cleared between batches, as in the code of Tu and Gimpel (2019), beside ours.

Their descent works on batches of ten sentences in the order of the corpus, from fresh random logits, but with the
velocity in which the batch before ended. Here both ways run from the same random starts; steps are tuned for each
number of iterations on the tuning corpus.
"""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from searcher import Point, Searcher, spaced
from torch import Tensor

from chain import LinearChain
from decoders.gradient_descent import START, Settings
from decoders.relaxation import Relaxation, finite

BATCH = 10
COUNTS = (10, 20, 30, 40, 50)
QUICK_COUNTS = (2, 4)
STEPS = (3.0, 10.0, 30.0, 100.0)
TUNED_ON = 100  # sentences of the tuning corpus at most


def measure(searcher: Searcher, own: str) -> dict[str, Any]:
    """Of both ways a point for each number of iterations; no network takes part."""
    counts, steps = (QUICK_COUNTS, STEPS[:1]) if searcher.quick else (COUNTS, STEPS)
    tune = searcher.part(spaced(searcher.tune_sentences, TUNED_ON), in_order=BATCH)
    test = searcher.part(searcher.test_sentences, in_order=BATCH)
    found: dict[str, list[Point]] = {"cleared": [], "carried": []}
    for way, points in found.items():
        for count in counts:
            by_step = {step: descend(tune.chains, step, count, way == "carried") for step in steps}
            step = max(steps, key=lambda step: searcher.quality(tune, by_step[step]))
            tags = descend(test.chains, step, count, way == "carried")
            points.append(searcher.point(test, tags, None, iterations=count, step=step))
    return dict(sentences=len(test.corpus), tuned_on=len(tune.corpus), points=found)


@torch.no_grad()
def descend(chains: Sequence[LinearChain], step: float, count: int, carried: bool) -> list[Int[Tensor, "B n"]]:
    """The tags of each batch after so many iterations.

    Args:
        chains: of batches that are no larger than the first one.
        carried: whether a batch begins with the velocity in which the one before it ended; what stands beyond the end
            of its sentences keeps that of earlier ones.
    """
    longest = max(chain.given_emit.shape[1] for chain in chains)
    first = chains[0].given_emit
    velocity = first.new_zeros(len(first), longest, first.shape[2])
    generator, found = torch.Generator().manual_seed(0), []
    for chain in map(finite, chains):
        B, n, k = chain.given_emit.shape
        logits = start(B, n, k, generator).to(first)
        here = velocity[:B, :n] if carried else torch.zeros_like(logits)
        relaxation = Relaxation(chain)
        for _ in range(count):
            q = relaxation.softmax(logits)
            field = relaxation.field(q)
            slope = q * ((q * field).sum(dim=2, keepdim=True) - field)
            here.mul_(Settings.momentum).sub_(slope, alpha=step)
            logits = logits + here
        found.append(logits.max(dim=2).indices.masked_fill(~chain.mask, -1))
    return found


def start(B: int, n: int, k: int, generator: torch.Generator) -> Float[Tensor, "B n k"]:
    return (torch.rand(B, n, k, generator=generator, dtype=torch.float64) * 2 - 1) * START
