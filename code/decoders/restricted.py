"""Viterbi restricted to the few labels a position that could be on the best tagging, with a proof for all others.

For a sharpness b >= 1 let p_b be the distribution with all potentials times b, and Z_b its normalizer. The taggings
with tag t at position i have the share p_b(t_i = t) of Z_b together, so the best of them has no more:

    b max_{tagging with t at i} score(tagging)  <=  log Z_b + log p_b(t_i = t)

The more so where low potentials are raised. If a tagging of score S is known, every tag with

    p_b(t_i = t)  <  exp(b S) / Z_b

is thus proved to be on no tagging as good and can be left out: for b = 1, a tag less probable than a whole tagging.
Viterbi's algorithm on the tags with p_b >= 0.01 finds S. If the right side is at least 0.01, the others were rightly
left out; if not, it says which tags must stay, and the search is made once more.

The marginals p_b are a matrix product a step, much less work than the k k sums and comparisons of Viterbi's algorithm,
and with a large b few tags stay, 1 to 10 of 400. Exp space bears a limited range of potentials, so those far below the
best are raised, structural zeros too. A sentence in which too many tags stay is searched whole. So the answer is always
exact, and among equally good taggings it is the one that Viterbi's algorithm returns.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chain import NEG_INF, ImpossibleError, LinearChain
from corpus import Batch
from decoders import Decoding, select
from tagger import Tagger

SHARPNESS = 3.5  # b: more leaves fewer tags, but makes more of the potentials too low for exp space
RANGE = 56.0  # nats in float32 that exp space bears, emissions and transitions together, times b
FIRST = 0.01  # tags of lower marginal are left out at first
KEPT = 32  # tags a position that may stay in the second search
WORTHWHILE = 128  # tags in all, below which looking at all of them is sooner
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
    tags, proved = search(chain)
    left = (~proved).nonzero().squeeze(1)
    if len(left):
        try:
            found = select(chain, left).argmax
        except ImpossibleError:
            return chain.argmax  # raises it, with the number of the sentence
        tags[left, : found.shape[1]] = found
    return tags


@torch.no_grad()
def search(chain: LinearChain) -> tuple[Int[Tensor, "B n"], Bool[Tensor, "B"]]:
    """A tagging of each sentence, and whether it is proved the best. For shared transitions."""
    chain = chain.detach()
    p, log_partition = sharp_marginals(chain)
    tags = among(chain, p >= FIRST)
    score = SHARPNESS * chain.score(tags)
    rounding = 0.05 + 1e-5 * (log_partition.abs() + score.abs())  # log Z adds up n numbers
    needed = (score - log_partition - rounding).exp()
    proved = needed >= FIRST
    if not proved.all():
        kept = p >= needed[:, None]
        again = (~proved & (needed > 0) & (kept.sum(dim=2).amax(dim=0) <= KEPT)).nonzero().squeeze(1)
        if len(again):
            part = select(chain, again)
            n = part.mask.shape[1]
            tags[again, :n], proved[again] = among(part, kept[:n, again]), True
    return tags, proved


def sharp_marginals(chain: LinearChain) -> tuple[Float[Tensor, "n B k"], Float[Tensor, "B"]]:
    """p_b, nan or 0 in the padding, and log Z_b, of the chain with low potentials raised.

    Forward-backward in exp space, as in chain_fast.py. Potentials are at most 0 and at least -RANGE / 2 here, columns
    sum to 1: no number that matters underflows.
    """
    B, n, k = chain.given_emit.shape
    row, last = torch.arange(B, device=chain.lengths.device), chain.lengths - 1
    E = torch.mul(chain.given_emit.transpose(0, 1), SHARPNESS, out=chain.given_emit.new_empty(n, B, k))
    E[0] += chain.start * SHARPNESS
    E[last, row] += chain.stop * SHARPNESS
    highest = E.amax(dim=2).nan_to_num_(neginf=0.0)  # all -inf: any number, and no tagging is possible
    E.sub_(highest[:, :, None]).clamp_(min=-RANGE / 2).exp_()
    best = chain.trans.max().nan_to_num(neginf=0.0)
    A = ((chain.trans - best) * SHARPNESS).clamp_(min=-RANGE / 2).exp_()

    left, right, scale = torch.empty_like(E), torch.empty_like(E), E.new_empty(n, B, 1)
    for i in range(n):
        if i:
            torch.mm(left[i - 1], A, out=left[i]).mul_(E[i])
        else:
            left[0] = E[0]
        torch.sum(left[i], dim=1, keepdim=True, out=scale[i])
        left[i].div_(scale[i])
    at_end, onward = E.new_ones(()), (torch.arange(n, device=last.device)[:, None] < last)[:, :, None]
    shortest = int(last.min())
    right[n - 1] = 1.0
    for i in reversed(range(n - 1)):
        torch.mm(E[i + 1].mul_(right[i + 1]), A.T, out=right[i])
        right[i].div_(right[i].sum(dim=1, keepdim=True))
        if i >= shortest:
            right[i] = torch.where(onward[i], right[i], at_end)
    p = left.mul_(right)
    p.div_(p.sum(dim=2, keepdim=True))
    of_position = scale[:, :, 0].log_().add_(highest).cumsum(dim=0)
    return p, of_position[last, row] + SHARPNESS * best * last


def among(chain: LinearChain, kept: Bool[Tensor, "n B k"]) -> Int[Tensor, "B n"]:
    """The best tagging by labels that are kept, -1 in the padding; where none is possible, an impossible one."""
    n, B, _ = kept.shape
    position, label = (kept & chain.mask.T[:, :, None]).flatten(0, 1).nonzero(as_tuple=True)
    counts = position.bincount(minlength=n * B)
    m = max(1, int(counts.max()))
    place = torch.arange(len(label), device=label.device) - (counts.cumsum(0) - counts)[position]
    labels = label.new_zeros(n * B, m)
    labels[position, place] = label
    labels = labels.view(n, B, m).transpose(0, 1)
    absent = torch.arange(m, device=label.device) >= counts.view(n, B, 1).transpose(0, 1)
    parts = (
        chain.start.gather(1, labels[:, 0]),
        chain.given_emit.gather(2, labels).masked_fill_(absent, NEG_INF),
        chain.trans[labels[:, :-1, :, None], labels[:, 1:, None, :]],
        chain.stop.gather(1, chain.at_last(labels)),
    )
    reduced = LinearChain(*(part.clamp_(min=LOWEST) for part in parts), chain.lengths)
    tags = labels.gather(2, reduced.argmax.clamp(min=0)[:, :, None]).squeeze(2)
    return tags.masked_fill_(~chain.mask, -1)
