"""The energy of relaxed taggings and its slope: what gradient descent and mean field have in common.

A relaxed tagging q[i] is a distribution over tags at each position. Its energy is minus its expected score,

    E(q) = -sum_i q_i . emit_i - sum_i q_{i-1}^T trans q_i    (start and stop in the emissions of the ends)

and with the field of a position, h_i = emit_i + trans^T q_{i-1} + trans q_{i+1}, its slope is -h_i.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from chain import NEG_INF, LinearChain

FORBIDDEN = -1e4  # nats, in place of -inf: a relaxed tagging has some mass on every cell


def finite(chain: LinearChain) -> LinearChain:
    """The chain with FORBIDDEN for each -inf, 0 in the padding, and no gradients."""
    chain = chain.detach()
    trans = chain.trans if chain.shared else chain.trans.masked_fill(~chain.mask[:, 1:, None, None], 0.0)
    parts = (chain.start, chain.emit, trans, chain.stop)
    return LinearChain(*(part.masked_fill(part == NEG_INF, FORBIDDEN) for part in parts), chain.lengths)


class Relaxation:
    """A finite chain as a function of relaxed taggings, which are 0 in the padding."""

    def __init__(self, chain: LinearChain):
        self.trans, self.shared = chain.trans, chain.shared
        self.emit = chain.emit.clone()
        self.emit[:, 0] += chain.start
        self.emit[torch.arange(len(self.emit), device=self.emit.device), chain.lengths - 1] += chain.stop
        self.mask = chain.mask[:, :, None]

    def softmax(self, logits: Float[Tensor, "B n k"]) -> Float[Tensor, "B n k"]:
        """The relaxed tagging of these logits."""
        return logits.softmax(dim=2).masked_fill(~self.mask, 0.0)

    def field(self, q: Float[Tensor, "B n k"]) -> Float[Tensor, "B n k"]:
        """h: by how much the expected score rises with the mass of each tag, the other positions as they are."""
        field = self.emit.clone()
        if q.shape[1] == 1:
            return field
        if self.shared:
            field[:, 1:] += q[:, :-1] @ self.trans
            field[:, :-1] += q[:, 1:] @ self.trans.T
        else:
            field[:, 1:] += (q[:, :-1, None, :] @ self.trans).squeeze(2)
            field[:, :-1] += (self.trans @ q[:, 1:, :, None]).squeeze(3)
        return field

    def energy(self, q: Float[Tensor, "B n k"], field: Float[Tensor, "B n k"]) -> Float[Tensor, "B"]:
        """Of a relaxed tagging with its field, in nats. In sum_i q_i . h_i each pair of neighbours counts twice."""
        return (q * (self.emit + field)).sum(dim=(1, 2)) / -2

    def energy_of(self, q: Float[Tensor, "B n k"]) -> Float[Tensor, "B"]:
        """The same of a relaxed tagging whose field is not known yet, and differentiable: its slope is -h."""
        return _Energy.apply(q, self)


class _Energy(torch.autograd.Function):
    """Relaxation.energy, its gradient taken from the field rather than through it."""

    @staticmethod
    def forward(ctx, q: Tensor, relaxation: Relaxation) -> Tensor:
        field = relaxation.field(q)
        ctx.save_for_backward(field)
        return relaxation.energy(q, field)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None]:
        (field,) = ctx.saved_tensors
        return -slope[:, None, None] * field, None
