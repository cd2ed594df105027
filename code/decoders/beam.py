"""Beam search: Viterbi's algorithm that goes on from no more than m tags at each position, those of highest score."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from chain import NEG_INF, LinearChain
from corpus import Batch
from decoders import Decoding, refuse_impossible, select
from tagger import Tagger

WIDTH = 4
GROWTH = 4  # times wider, where all ways that were kept led nowhere


@torch.no_grad()
def beam(tagger: Tagger, batch: Batch, chain: LinearChain | None = None, width: int = WIDTH) -> Decoding:
    """The best tagging that a beam search finds; the best of all where `width` >= k.

    Raises ImpossibleError where no tagging is possible.
    """
    chain = tagger(batch) if chain is None else chain
    return Decoding(search(chain.detach(), width), chain)


def search(chain: LinearChain, width: int) -> Int[Tensor, "B n"]:
    """Its tags, -1 in the padding. A sentence in which the beam dies for structural zeros gets a wider one."""
    B, n, k = chain.given_emit.shape
    row = torch.arange(B, device=chain.lengths.device)
    score, pointers = chain.start + chain.given_emit[:, 0], []
    for i in range(1, n):
        kept, sources = score.topk(min(width, k), dim=1)
        onward = chain.trans[sources] if chain.shared else chain.trans[row[:, None], i - 1, sources]
        best, which = (kept[:, :, None] + onward).max(dim=1)
        score = torch.where(chain.mask[:, i, None], best + chain.given_emit[:, i], score)
        pointers.append(sources.gather(1, which))
    final, tag = (score + chain.stop).max(dim=1)
    tags = [tag]
    for i in reversed(range(1, n)):
        tag = torch.where(chain.mask[:, i], pointers[i - 1][row, tag], tag)
        tags.append(tag)
    found = torch.stack(tags[::-1], dim=1).masked_fill_(~chain.mask, -1)
    dead = final == NEG_INF
    refuse_impossible(chain, dead)
    if dead.any():
        wider = search(select(chain, dead.nonzero().squeeze(1)), GROWTH * width)
        found[dead, : wider.shape[1]] = wider
    return found
