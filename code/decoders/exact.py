"""Exact inference: the tagging of highest probability, and the tag of highest probability at each position."""

from __future__ import annotations

import torch

from chain import LinearChain
from corpus import Batch
from decoders import Decoding
from tagger import Tagger


@torch.no_grad()
def viterbi(tagger: Tagger, batch: Batch, chain: LinearChain | None = None) -> Decoding:
    """argmax over taggings of p(tags | words). Raises ImpossibleError where no tagging is possible."""
    chain = tagger(batch) if chain is None else chain
    return Decoding(chain.argmax, chain)


@torch.no_grad()
def posterior(tagger: Tagger, batch: Batch, chain: LinearChain | None = None) -> Decoding:
    """The tags of highest marginal probability, each position on its own: the most correct tags in expectation.

    As a whole, such a tagging may be impossible, and its energy then +inf. Raises ImpossibleError where no tagging is
    possible.
    """
    chain = tagger(batch) if chain is None else chain
    tags = torch.where(chain.mask, chain.marginals.argmax(dim=2), -1)
    return Decoding(tags, chain)
