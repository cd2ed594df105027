"""Gradient descent from where an inference network ends (Tu and Gimpel 2019, 4.2.2): from its logits, which are what
the softmax is taken of in either procedure.
"""

from __future__ import annotations

import torch

from chain import LinearChain
from corpus import Batch
from decoders import Decoding
from decoders.gradient_descent import Settings, gradient_descent
from local import LocalTagger
from tagger import Tagger

DEFAULT = Settings(iterations=10, step=10.0)


@torch.no_grad()
def warm_start(
    tagger: Tagger,
    batch: Batch,
    chain: LinearChain | None = None,
    *,
    network: LocalTagger,
    settings: Settings = DEFAULT,
) -> Decoding:
    """The discrete tagging of lowest energy that the descent meets, that of the network included, and the relaxed one
    in which it ends.

    Raises ImpossibleError where no tagging is possible. The relaxed energy counts FORBIDDEN for -inf.
    """
    return gradient_descent(tagger, batch, chain, network.logits(batch), settings)
