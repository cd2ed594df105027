"""Viterbi restricted to the few likeliest labels a position, with a proof that no other could have won.

The labels that are left out at a position stand together as one, the rest, which promises at least as much as any of
them: the highest of their emissions, and the highest transition that there is from a label or to it. On this smaller
chain Viterbi's algorithm runs. A tagging of the rest scores no less than each of those that it stands for, so if the
best tagging has no rest in it, it is the best of all (staggered decoding; Kaji, Fujiwara, Yoshinaga and Kitsuregawa,
ACL 2010). If it has, the sentence is searched again with more labels, and in the end with all.

The likeliest are those of the highest emissions: where these say much and transitions little, a dozen of 400 labels
suffice for most sentences. Where they do not, the searches are in vain, and cost a part of the one that follows. So the
answer is always exact, and among equally good taggings it is the one that Viterbi's algorithm returns: the rest comes
before all labels, and the labels are in their order.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from chain import ImpossibleError, LinearChain
from corpus import Batch
from decoders import Decoding, select
from tagger import Tagger

KEPT = (16, 64)  # labels a position of the first search and of the second
WORTHWHILE = 128  # labels in all, below which looking at all of them is sooner
LOWEST = -1e30  # in place of -inf: sums of it are finite


@torch.no_grad()
def restricted(tagger: Tagger, batch: Batch, chain: LinearChain | None = None) -> Decoding:
    """argmax over taggings of p(tags | words), as `viterbi` has it. Raises ImpossibleError where none is possible."""
    chain = tagger(batch) if chain is None else chain
    worthwhile = chain.shared and chain.given_emit.shape[2] >= WORTHWHILE
    return Decoding(argmax(chain) if worthwhile else chain.argmax, chain)


@torch.no_grad()
def argmax(chain: LinearChain) -> Int[Tensor, "B n"]:
    """chain.argmax, sooner where there are many labels. For shared transitions."""
    tags, proved = search(chain, KEPT[0])
    for kept in KEPT[1:]:
        left = (~proved).nonzero().squeeze(1)
        if len(left):
            found, proved[left] = search(select(chain, left), kept)
            tags[left, : found.shape[1]] = found
    left = (~proved).nonzero().squeeze(1)
    if len(left):
        try:
            found = select(chain, left).argmax
        except ImpossibleError:
            return chain.argmax  # raises it, with the number of the sentence
        tags[left, : found.shape[1]] = found
    return tags


@torch.no_grad()
def search(chain: LinearChain, kept: int) -> tuple[Int[Tensor, "B n"], Bool[Tensor, "B"]]:
    """A tagging of each sentence, and whether it is proved the best; where not, it means nothing.

    Args:
        chain: of shared transitions.
        kept: labels a position that are looked at each on its own.
    """
    smaller, labels = with_rest(chain.detach(), min(kept, chain.given_emit.shape[2] - 1))
    place = smaller.argmax
    proved = (place != 0).all(dim=1) & (smaller.score(place) > LOWEST / 2)
    return labels.gather(2, place.clamp(min=0)[:, :, None]).squeeze(2).masked_fill_(~chain.mask, -1), proved


def with_rest(chain: LinearChain, m: int) -> tuple[LinearChain, Int[Tensor, "B n m+1"]]:
    """The chain of the m likeliest labels a position and, before them, their rest; and what labels they are.

    The rest is named by one of the labels. Here -inf is LOWEST.
    """
    B, n, k = chain.given_emit.shape
    emit = chain.given_emit.clone()
    emit[:, 0] += chain.start
    emit[torch.arange(B, device=emit.device), chain.lengths - 1] += chain.stop
    highest = emit.topk(m + 1, dim=2)  # sorted: the last is the best of the rest
    labels = torch.cat([highest.indices[:, :, m:], highest.indices[:, :, :m].sort(dim=2).values], dim=2)
    before, after = labels[:, :-1, 1:], labels[:, 1:, 1:]
    trans = emit.new_empty(B, n - 1, m + 1, m + 1)
    trans[:, :, 0, 0] = chain.trans.max()
    trans[:, :, 0, 1:] = chain.trans.amax(dim=0)[after]
    trans[:, :, 1:, 0] = chain.trans.amax(dim=1)[before]
    trans[:, :, 1:, 1:] = chain.trans[before[:, :, :, None], after[:, :, None, :]]
    zero = emit.new_zeros(1).expand(B, m + 1)
    emit = emit.gather(2, labels).clamp_(min=LOWEST)
    return LinearChain(zero, emit, trans.clamp_(min=LOWEST), zero, chain.lengths), labels
