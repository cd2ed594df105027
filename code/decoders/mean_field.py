"""Mean field: the product of independent distributions that is closest to p(tags | words).

Of all q with a distribution of its own at each position, it seeks the one of lowest free energy, E(q) - H(q), which is
-log Z plus the divergence of q from p. Where the neighbours are fixed, the best q_i is

    q_i = softmax(h_i),    h_i = emit_i + trans^T q_{i-1} + trans q_{i+1}

so all even positions may be updated at once, and then all odd ones (red-black), and the free energy never rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chain import LinearChain, times
from corpus import Batch
from decoders import Decoding, refuse_impossible
from decoders.relaxation import Relaxation, finite
from tagger import Tagger


@dataclass(frozen=True)
class Settings:
    """When to stop.

    Attributes:
        sweeps: at most so many updates of each position.
        tolerance: a sentence is done when no probability has changed by more in a sweep.
    """

    sweeps: int = 100
    tolerance: float = 1e-4


@dataclass(frozen=True)
class MeanField:
    """q [B, n, k], 0 in the padding; its energy [B]; and the free energy [S + 1, B] after each sweep, in nats.

    Energies are those of the finite chain.
    """

    q: Float[Tensor, "B n k"]
    energy: Float[Tensor, "B"]
    free_energies: Float[Tensor, "S B"]


@torch.no_grad()
def mean_field(
    tagger: Tagger, batch: Batch, chain: LinearChain | None = None, settings: Settings | None = None
) -> Decoding:
    """The most probable tag of each position under q, as the tagging; q as the relaxed one.

    Raises ImpossibleError where no tagging is possible. The relaxed energy counts FORBIDDEN for -inf.
    """
    chain = tagger(batch) if chain is None else chain
    found = fit(chain, settings or Settings())
    tags = found.q.argmax(dim=2).masked_fill(~chain.mask, -1)
    decoding = Decoding(tags, chain, found.q)
    refuse_impossible(chain, decoding.energy == torch.inf)
    return decoding


@torch.no_grad()
def fit(chain: LinearChain, settings: Settings) -> MeanField:
    """Red-black updates from the softmax of the emissions; each sentence until it has converged."""
    relaxation = Relaxation(finite(chain))
    red = (torch.arange(chain.mask.shape[1], device=chain.mask.device) % 2 == 0)[:, None]
    q = relaxation.softmax(relaxation.emit)
    field = relaxation.field(q)
    moving = torch.ones_like(chain.lengths, dtype=torch.bool)
    curve = [free_energy(relaxation, q, field)]
    for _ in range(settings.sweeps):
        before = q
        for color in (red, ~red):
            q = torch.where(color & moving[:, None, None], relaxation.softmax(field), q)
            field = relaxation.field(q)
        curve.append(free_energy(relaxation, q, field))
        moving &= (q - before).abs().amax(dim=(1, 2)) > settings.tolerance
        if not moving.any():
            break
    return MeanField(q, relaxation.energy(q, field), torch.stack(curve))


def free_energy(relaxation: Relaxation, q: Float[Tensor, "B n k"], field: Float[Tensor, "B n k"]) -> Float[Tensor, "B"]:
    """E(q) - H(q), an upper bound on -log Z."""
    return relaxation.energy(q, field) + times(q, q.log()).sum(dim=(1, 2))
