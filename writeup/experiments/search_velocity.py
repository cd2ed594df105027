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
from search_measure import TUNED_ON, Part, Point, Searcher, spaced
from torch import Tensor

from chain import LinearChain
from corpus import IntegerizedCorpus, Sentence
from decoders.gradient_descent import START, Settings
from decoders.relaxation import Relaxation, finite

BATCH = 10
COUNTS = (10, 20, 30, 40, 50, 100)
QUICK_COUNTS = (2, 4)


def measure(searcher: Searcher, quick: bool) -> dict[str, Any]:
    """Of both ways a point for each number of iterations."""
    counts, steps = QUICK_COUNTS if quick else COUNTS, searcher.steps["gradient_descent"]
    tune, test = (
        in_order(searcher, sentences)
        for sentences in (
            spaced(searcher.tune_sentences, TUNED_ON["gradient_descent"]), searcher.test_sentences,
        )
    )  # fmt: skip
    found: dict[str, Any] = {}
    for way, carried in (("cleared", False), ("carried", True)):
        on_tune, on_test = (
            {step: descend(part.chains, step, carried, counts) for step in steps} for part in (tune, test)
        )
        points: list[Point] = []
        for count in counts:
            step = max(steps, key=lambda step: searcher.quality(tune, on_tune[step][count]))
            points.append(searcher.point(test, on_test[step][count], None, iterations=count, step=step))
        found[way] = points
    return dict(sentences=len(test.corpus), tuned_on=len(tune.corpus), points=found)


@torch.no_grad()
def in_order(searcher: Searcher, sentences: list[Sentence]) -> Part:
    """Batches of ten sentences, as they follow each other."""
    corpus = IntegerizedCorpus(sentences, searcher.tagger.lexicon.vocab, searcher.tagger.tagset)
    numbers = list(torch.arange(len(corpus)).split(BATCH))
    batches = [corpus.batch(part) for part in numbers]
    return Part(corpus, numbers, batches, [searcher.tagger(batch).detach() for batch in batches])


@torch.no_grad()
def descend(
    chains: Sequence[LinearChain], step: float, carried: bool, counts: Sequence[int]
) -> dict[int, list[Int[Tensor, "B n"]]]:
    """The tags of each batch after so many iterations, by their number.

    Args:
        chains: of batches that are no larger than the first one.
        carried: whether a batch begins with the velocity of the one before; what stands beyond the end of its sentences
            keeps that of earlier ones.
    """
    longest = max(chain.given_emit.shape[1] for chain in chains)
    first = chains[0].given_emit
    velocity = first.new_zeros(len(first), longest, first.shape[2])
    generator = torch.Generator().manual_seed(0)
    found: dict[int, list[Int[Tensor, "B n"]]] = {count: [] for count in counts}
    for chain in map(finite, chains):
        B, n, k = chain.given_emit.shape
        logits = start(B, n, k, generator).to(first)
        here = velocity[:B, :n] if carried else torch.zeros_like(logits)
        relaxation = Relaxation(chain)
        for number in range(1, max(counts) + 1):
            q = relaxation.softmax(logits)
            field = relaxation.field(q)
            slope = q * ((q * field).sum(dim=2, keepdim=True) - field)
            here.mul_(Settings.momentum).sub_(slope, alpha=step)
            logits = logits + here
            if number in found:
                found[number].append(logits.max(dim=2).indices.masked_fill(~chain.mask, -1))
    return found


def start(B: int, n: int, k: int, generator: torch.Generator) -> Float[Tensor, "B n k"]:
    return (torch.rand(B, n, k, generator=generator, dtype=torch.float64) * 2 - 1) * START
