"""Fast kernels for the quantities of chain.py: log-partition, marginals, transition counts, Viterbi.

The gradient of log Z is the marginals, so one forward-backward pass without autograd gives value and gradient. Where
the potentials allow it, it runs in exp space: a step is then a matrix product,

    alpha_i = (alpha_{i-1} A) * E_i,   gamma_i = E_i * (A gamma_{i+1}),   A = exp trans, E = exp emit, gamma = E * beta

rescaled every few steps. Exp space is exact as long as nothing underflows, which is sure where the ranges of the
potentials are small enough (`fits_exp_space`); elsewhere, and with any -inf, the same recursions run in log space.
Tensors are time-major here, [n, B, k], so that a step reads and writes contiguous memory. chain.py holds the plain
versions, and tests hold the two equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from chain import LinearChain

NEG_INF = float("-inf")
# exp(-range) must stay a normal number: e^-87 in float32 and e^-708 in float64, less some room
LARGEST_RANGE = {torch.float32: 80.0, torch.float64: 600.0}
LARGEST_STEP = 2**18  # path scores in one step of Viterbi that are best worked out at once: 1 MB of float32


@dataclass
class Passes:
    """What a forward-backward pass leaves behind.

    The marginal of tag bigram (s, t) at positions i - 1, i is left[i-1, s] * exp(trans[s, t] - trans_max) * right[i, t]
    in exp space, and exp(left + trans + right) in log space. `marginals` and `right` are 0 (log space: -inf) in
    padding.
    """

    log_partition: Float[Tensor, "B"]
    marginals: Float[Tensor, "B n k"]
    left: Float[Tensor, "n B k"]
    trans: Float[Tensor, "k k"] | Float[Tensor, "B n-1 k k"]
    trans_max: Float[Tensor, ""] | Float[Tensor, "B n-1"] | None
    right: Float[Tensor, "n B k"]
    mask: Bool[Tensor, "B n"]

    @property
    def exp_space(self) -> bool:
        return self.trans_max is not None

    def transition_gradient(self, weight: Float[Tensor, "B"]) -> Tensor:
        """Derivative of sum_b weight[b] log Z[b] with respect to `trans`: weighted expected bigram counts."""
        left, right = self.left[:-1], self.right[1:]
        if self.trans.dim() == 4:
            return self._gradient_by_position(left.transpose(0, 1), right.transpose(0, 1), weight)
        if self.exp_space:
            A = (self.trans - self.trans_max).exp_()
            return A * (left.flatten(0, 1).T @ (right * weight[:, None]).flatten(0, 1))
        counts = torch.zeros_like(self.trans)
        for before, after in zip(left, right):
            pairs = (before[:, :, None] + self.trans).add_(after[:, None, :]).exp_()
            counts += (weight @ pairs.flatten(1)).view_as(counts)
        return counts

    def _gradient_by_position(self, left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
        if self.exp_space:
            counts = (self.trans - self.trans_max[:, :, None, None]).exp_()
            counts.mul_(left[:, :, :, None]).mul_((right * weight[:, None, None])[:, :, None, :])
        else:
            counts = self.trans + left[:, :, :, None]
            counts.add_(right[:, :, None, :]).exp_().mul_(weight[:, None, None, None])
        if not self.mask.all():  # `trans` may hold anything there, nan included
            counts.masked_fill_(~self.mask[:, 1:, None, None], 0.0)
        return counts


class _LogPartition(torch.autograd.Function):
    """log Z with the marginals as its gradient."""

    @staticmethod
    def forward(ctx, start, emit, trans, stop, lengths):
        passes = forward_backward(start, emit, trans, stop, lengths)
        ctx.passes, ctx.lengths = passes, lengths
        return passes.log_partition.clone()  # the output itself, kept in ctx, would keep the graph alive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weight):
        passes: Passes = ctx.passes
        by_emit = passes.marginals * weight[:, None, None]
        by_stop = by_emit[torch.arange(len(weight), device=weight.device), ctx.lengths - 1]
        by_trans = passes.transition_gradient(weight) if ctx.needs_input_grad[2] else None
        return by_emit[:, 0], by_emit, by_trans, by_stop, None


def log_partition(chain: LinearChain) -> Float[Tensor, "B"]:
    """log Z, in nats, differentiable; see LinearChain.log_partition."""
    potentials = (chain.start, chain.emit, chain.trans, chain.stop)
    if torch.is_grad_enabled() and any(part.requires_grad for part in potentials):
        return _LogPartition.apply(*potentials, chain.lengths)
    if hasattr(chain, "_fast_passes"):
        return chain._fast_passes.log_partition
    return forward_backward(*potentials, chain.lengths, backward=False).log_partition


def marginals(chain: LinearChain) -> Float[Tensor, "B n k"]:
    """p(t_i = t), 0 in the padding."""
    return _passes(chain).marginals


def transition_counts(chain: LinearChain) -> Float[Tensor, "k k"]:
    """Expected tag bigrams, summed over batch and positions, without building the pair marginals where shared."""
    counts = _passes(chain).transition_gradient(torch.ones_like(chain.start[:, 0]))
    return counts if chain.shared else counts.sum(dim=(0, 1))


def _passes(chain: LinearChain) -> Passes:
    """The chain's forward-backward pass, done once and kept with it."""
    if not hasattr(chain, "_fast_passes"):
        with torch.no_grad():
            potentials = (part.detach() for part in (chain.start, chain.emit, chain.trans, chain.stop))
            chain._fast_passes = forward_backward(*potentials, chain.lengths)
    return chain._fast_passes


def fits_exp_space(start: Tensor, emit: Tensor, trans: Tensor, stop: Tensor, mask: Tensor) -> tuple[bool, int]:
    """Whether no sum in exp space can lose a term to underflow, and how many steps may pass between rescalings.

    Relative to its largest entry, an entry of alpha or gamma is at least exp(-r), r = the largest of range(start +
    emit) at the first position, range(emit + stop) at the last, range(trans) + range(emit) between. Nan and inf make
    r no number, and the answer False.
    """

    def spread(x: Tensor) -> Tensor:
        return x.amax(dim=-1) - x.amin(dim=-1)

    row, last = torch.arange(len(emit), device=emit.device), mask.sum(dim=1) - 1
    if trans.dim() == 2:
        of_trans = spread(trans.flatten())
    elif trans.numel():
        of_trans = torch.where(mask[:, 1:], spread(trans.flatten(2)), 0.0).max()
    else:
        of_trans = trans.new_zeros(())
    ends = torch.cat([spread(start + emit[:, 0]), spread(stop + emit[row, last])])
    r = float(torch.maximum(ends.max(), spread(emit).max() + of_trans))
    room = LARGEST_RANGE.get(emit.dtype, 0.0) - 2 * math.log(emit.shape[2])
    if not r <= room:
        return False, 1
    return True, max(1, min(8, int(room / 2 // max(r, 1.0))))


def forward_backward(
    start: Float[Tensor, "B k"],
    emit: Float[Tensor, "B n k"],
    trans: Float[Tensor, "k k"] | Float[Tensor, "B n-1 k k"],
    stop: Float[Tensor, "B k"],
    lengths: Int[Tensor, "B"],
    backward: bool = True,
) -> Passes:
    """Both passes (or, without `backward`, only log Z, the other fields being empty of meaning)."""
    mask = torch.arange(emit.shape[1], device=emit.device) < lengths[:, None]
    exp_space, stride = fits_exp_space(start, emit, trans, stop, mask)
    if exp_space:
        return _exp_space(start, emit, trans, stop, mask, stride, backward)
    return _log_space(start, emit, trans, stop, mask, backward)


def _exp_space(start, emit, trans, stop, mask, stride: int, backward: bool) -> Passes:
    B, n, k = emit.shape
    row, last = torch.arange(B, device=emit.device), mask.sum(dim=1) - 1
    emit_max = emit.amax(dim=2)
    E = (emit - emit_max[:, :, None]).exp_().transpose(0, 1).contiguous()
    # alpha_1 and gamma_n as one exponential each: a product of two could underflow
    first, final = start + emit[:, 0], stop + emit[row, last]
    first_max, stop_max = first.amax(dim=1), stop.amax(dim=1)
    S, T = (first - first_max[:, None]).exp_(), (final - final.amax(dim=1, keepdim=True)).exp_()
    if trans.dim() == 2:
        trans_max = trans.max()
        of_trans = trans_max * last
        left, gamma, log_scale = _sweep_shared(S, E, (trans - trans_max).exp_(), T, last, stride, backward)
    else:
        trans_max = trans.flatten(2).amax(dim=2) if n > 1 else emit.new_zeros(B, 0)
        of_trans = torch.nn.functional.pad(trans_max.cumsum(dim=1), (1, 0))[row, last]
        left, gamma, log_scale = _sweep_by_position(S, E, trans, trans_max, T, last, stride, backward)
    at_end = left[last, row] * (stop - stop_max[:, None]).exp_()
    log_z = at_end.sum(dim=1).log_() + log_scale.cumsum(dim=0)[last, row]
    log_z += first_max + stop_max + of_trans + emit_max.cumsum(dim=1)[row, last] - emit_max[:, 0]
    if not backward:
        return Passes(log_z, emit, left, trans, trans_max, left, mask)
    outside = ~mask.T[:, :, None]
    p = left * (gamma / E)
    norm = p.sum(dim=2, keepdim=True)
    p.div_(norm).masked_fill_(outside, 0.0)
    right = gamma.div_(norm * log_scale.exp()[:, :, None]).masked_fill_(outside, 0.0)
    return Passes(log_z, p.transpose(0, 1), left, trans, trans_max, right, mask)


def _sweep_shared(S, E, A, T, last, stride: int, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    """alpha and gamma side by side: gamma runs over each sentence from its end, so both are one batched product."""
    n, B, k = E.shape
    column = torch.arange(B, device=E.device)
    mirrored = (last - torch.arange(n, device=E.device)[:, None]).clamp(min=0).mul_(B).add_(column).flatten()
    sides = 2 if backward else 1
    state = E.new_empty(sides, n, B, k)
    state[0, 0] = S
    factors, step = E[None], A[None]
    if backward:
        state[1, 0] = T  # the last emission is in it, as the first is in S
        of_end = E.view(n * B, k).index_select(0, mirrored).view(n, B, k)
        factors, step = torch.stack([E, of_end]), torch.stack([A, A.T])
    scale = E.new_ones(sides, n, B, 1)
    states, factors, scales = state.unbind(1), factors.unbind(1), scale.unbind(1)
    for i in range(n):
        if i:
            torch.bmm(states[i - 1], step, out=states[i])
            states[i].mul_(factors[i])
        if i % stride == 0:
            torch.sum(states[i], dim=2, keepdim=True, out=scales[i])
            states[i].div_(scales[i])
    gamma = state[1].view(n * B, k).index_select(0, mirrored).view(n, B, k) if backward else E
    return state[0], gamma, scale[0, :, :, 0].log()


def _sweep_by_position(S, E, trans, trans_max, T, last, stride: int, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    """alpha from the left, then gamma from the right, which starts anew at each sentence's last token.

    exp(trans) is made a position at a time, twice: that costs less than the memory for all of it.
    """
    n, B, k = E.shape
    room = E.new_empty(B, k, k)

    def A(i: int) -> Tensor:
        return torch.sub(trans[:, i - 1], trans_max[:, i - 1, None, None], out=room).exp_()

    alpha, scale = torch.empty_like(E), E.new_ones(n, B, 1)
    alpha[0] = S
    for i in range(n):
        if i:
            torch.bmm(alpha[i - 1, :, None], A(i), out=alpha[i, :, None])
            alpha[i].mul_(E[i])
        if i % stride == 0:
            torch.sum(alpha[i], dim=1, keepdim=True, out=scale[i])
            alpha[i].div_(scale[i])
    gamma = torch.empty_like(E)
    if backward:
        for i in reversed(range(n)):
            onward = torch.bmm(A(i + 1), gamma[i + 1, :, :, None]).squeeze(2) * E[i] if i < n - 1 else T
            gamma[i] = torch.where((last == i)[:, None], T, onward)
            if i % stride == 0:
                gamma[i].div_(gamma[i].sum(dim=1, keepdim=True))
    return alpha, gamma, scale[:, :, 0].log_()


def _log_space(start, emit, trans, stop, mask, backward: bool) -> Passes:
    B, n, k = emit.shape
    row, last = torch.arange(B, device=emit.device), mask.sum(dim=1) - 1

    def into(i: int) -> Tensor:
        return trans if trans.dim() == 2 else trans[:, i - 1]

    alpha = emit.new_empty(n, B, k)
    alpha[0] = start + emit[:, 0]
    for i in range(1, n):
        alpha[i] = torch.logsumexp(alpha[i - 1, :, :, None] + into(i), dim=1) + emit[:, i]
    log_z = torch.logsumexp(alpha[last, row] + stop, dim=1)
    if not backward:
        return Passes(log_z, emit, alpha, trans, None, alpha, mask)
    beta = emit.new_empty(n, B, k)
    beta[n - 1] = stop
    for i in reversed(range(n - 1)):
        onward = torch.logsumexp(into(i + 1) + (emit[:, i + 1] + beta[i + 1])[:, None, :], dim=2)
        beta[i] = torch.where((i < last)[:, None], onward, stop)
    inside = mask.T[:, :, None]
    through = alpha + beta
    norm = torch.logsumexp(through, dim=2, keepdim=True)  # log Z at every position, but rounded the same as `through`
    norm = torch.where(norm == NEG_INF, 0.0, norm)  # an impossible sentence: every path is -inf already
    p = torch.where(inside, (through - norm).exp_(), 0.0)
    right = torch.where(inside, emit.transpose(0, 1) + beta - norm, NEG_INF)
    return Passes(log_z, p.transpose(0, 1), alpha, trans, None, right, mask)


def viterbi(chain: LinearChain) -> tuple[Int[Tensor, "B n"], Float[Tensor, "B"]]:
    """The tagging of highest score, -1 in the padding, and its score in nats.

    The way forward keeps only the best scores; on the way back the best predecessor is found again for the one tag that
    was chosen, which costs k a position instead of an argmax over k * k.
    """
    start, emit, trans, stop = (part.detach() for part in (chain.start, chain.emit, chain.trans, chain.stop))
    B, n, k = emit.shape
    best = emit.new_empty(n, B, k)
    columns, emissions = best.unbind(0), emit.unbind(1)
    torch.add(start, emissions[0], out=columns[0])
    by_target = trans.T.contiguous() if chain.shared else trans
    # [s, b, t], so that the maximum over s runs along contiguous rows; or a sentence at a time, if all are too many
    at_once = not chain.shared or B * k * k <= LARGEST_STEP
    paths = emit.new_empty(k, B, k) if at_once else emit.new_empty(k, k)
    for i in range(1, n):
        if at_once:
            into = trans[:, None, :] if chain.shared else trans[:, i - 1].transpose(0, 1)
            torch.add(columns[i - 1].T[:, :, None], into, out=paths)
            torch.amax(paths, dim=0, out=columns[i])
        else:
            for before, after in zip(columns[i - 1], columns[i]):
                torch.amax(torch.add(before, by_target, out=paths), dim=1, out=after)
        columns[i].add_(emissions[i])
    row, last = torch.arange(B, device=emit.device), chain.lengths - 1
    score, end = (best[last, row] + stop).max(dim=1)
    shortest = int(last.min())
    tags = [end]
    for i in reversed(range(n - 1)):
        into = by_target.index_select(0, tags[-1]) if chain.shared else by_target[row, i, :, tags[-1]]
        tag = (columns[i] + into).argmax(dim=1)
        tags.append(tag if i < shortest else torch.where(i < last, tag, end))
    return torch.stack(tags[::-1], dim=1).masked_fill_(~chain.mask, -1), score
