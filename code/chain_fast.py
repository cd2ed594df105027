"""Fast kernels for the quantities of chain.py: log-partition, marginals, transition counts, Viterbi.

The gradient of log Z is the marginals, so one forward-backward pass without autograd gives value and gradient. Where
the potentials allow it, it runs in exp space: a step is then a matrix product,

    alpha_i = (alpha_{i-1} A) * E_i,   gamma_i = E_i * (A gamma_{i+1}),   A = exp trans, E = exp emit, gamma = E * beta

rescaled every few steps. Exp space is exact as long as nothing underflows, which is sure where the ranges of the
potentials are small enough (`ExpSpace.stride`); elsewhere, and with any -inf, the same recursions run in log space.
`start` and `stop` are added to the emissions at the ends of each sentence first, so that no end is a special case.
Tensors are time-major here, [n, B, k], so that a step reads and writes contiguous memory. chain.py holds the plain
versions, and tests hold the two equal. Where --compile has loaded chain_compiled.py's loops, they do the same, and
these functions what is not for them: -inf, large ranges, large matrices, other devices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

import chain_compiled

if TYPE_CHECKING:
    from chain import LinearChain

NEG_INF = float("-inf")
# exp(-range) must stay a normal number: e^-87 in float32 and e^-708 in float64, less some room
LARGEST_RANGE = {torch.float32: 80.0, torch.float64: 600.0}
# products in a step above which PyTorch, on all threads, outdoes the compiled loop on one
LARGEST_COMPILED = 2**22
LARGEST_READ = 2**20  # transitions at one position above which all threads read them sooner than one
LARGEST_STEP = 2**18  # path scores in one step of Viterbi that are best worked out at once: 1 MB of float32


class _LogPartition(torch.autograd.Function):
    """log Z with the marginals as its gradient."""

    @staticmethod
    def forward(ctx, start, emit, trans, stop, lengths):
        ctx.passes = forward_backward(start, emit, trans, stop, lengths)
        return ctx.passes.log_partition.clone()  # the output itself, kept in ctx, would keep the graph alive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weight):
        return *ctx.passes.gradients(weight, ctx.needs_input_grad[2]), None


def log_partition(chain: LinearChain) -> Float[Tensor, "B"]:
    """log Z, in nats, differentiable; see LinearChain.log_partition."""
    potentials = (chain.start, chain.given_emit, chain.trans, chain.stop)
    if torch.is_grad_enabled() and any(part.requires_grad for part in potentials):
        return _LogPartition.apply(*potentials, chain.lengths)
    if hasattr(chain, "_fast_passes"):
        return chain._fast_passes.log_partition
    return forward_backward(*potentials, chain.lengths, backward=False).log_partition


def marginals(chain: LinearChain) -> Float[Tensor, "B n k"]:
    """p(t_i = t), 0 in the padding."""
    return _passes(chain).emission_gradient(torch.ones_like(chain.start[:, 0]))


def transition_counts(chain: LinearChain) -> Float[Tensor, "k k"]:
    """Expected tag bigrams, summed over batch and positions, without building the pair marginals where shared."""
    counts = _passes(chain).transition_gradient(torch.ones_like(chain.start[:, 0]))
    return counts if chain.shared else counts.sum(dim=(0, 1))


def _passes(chain: LinearChain) -> Passes | chain_compiled.Passes:
    """The chain's forward-backward pass, done once and kept with it."""
    if not hasattr(chain, "_fast_passes"):
        with torch.no_grad():
            potentials = (part.detach() for part in (chain.start, chain.given_emit, chain.trans, chain.stop))
            chain._fast_passes = forward_backward(*potentials, chain.lengths)
    return chain._fast_passes


def forward_backward(
    start: Float[Tensor, "B k"],
    emit: Float[Tensor, "B n k"],
    trans: Float[Tensor, "k k"] | Float[Tensor, "B n-1 k k"],
    stop: Float[Tensor, "B k"],
    lengths: Int[Tensor, "B"],
    backward: bool = True,
) -> Passes | chain_compiled.Passes:
    """Both passes, in the faster space that is safe; without `backward` only log Z, and no gradients."""
    B, n, k = emit.shape
    limit = LARGEST_RANGE.get(emit.dtype, 0.0) - 3 * math.log(k)
    if trans.dim() > 2 or B * k * k <= LARGEST_COMPILED:
        compiled = chain_compiled.forward_backward(start, emit, trans, stop, lengths, backward, limit)
        if compiled is not None:
            return compiled
    device = emit.device
    row, last, position = torch.arange(B, device=device), lengths - 1, torch.arange(n, device=device)[:, None]
    # time-major; what stands in the padding may be nan: a copy of the last token takes its place
    scores = emit.reshape(B * n, k).index_select(0, torch.minimum(position, last).add_(n * row).flatten())
    scores[:B] += start
    scores.index_add_(0, last * B + row, stop)
    scores, inside = scores.view(n, B, k), position <= last
    stride, centers = ExpSpace.stride(scores, trans, inside, limit)
    if stride:
        return ExpSpace(scores, trans, row, last, inside, stride, centers, backward)
    return LogSpace(scores, trans, row, last, inside, backward)


class Passes:
    """What a forward-backward pass leaves behind: log Z, and all that its gradients need.

    Args:
        scores: [n, B, k] emissions, with `start` and `stop` in them.
        row, last: [B] the number of each sentence, and its last position.
        inside: [n, B] whether a position is in the sentence.
    """

    log_partition: Float[Tensor, "B"]

    def __init__(self, trans: Tensor, row: Int[Tensor, "B"], last: Int[Tensor, "B"], inside: Bool[Tensor, "n B"]):
        self.trans, self.row, self.last, self.inside = trans, row, last, inside

    def gradients(
        self, weight: Float[Tensor, "B"], of_trans: bool
    ) -> tuple[Float[Tensor, "B k"], Float[Tensor, "B n k"], Tensor | None, Float[Tensor, "B k"]]:
        """The derivatives of sum_b weight[b] log Z[b] with respect to start, emit, trans if `of_trans`, and stop."""
        by_emit = self.emission_gradient(weight)
        by_trans = self.transition_gradient(weight) if of_trans else None
        return by_emit[:, 0], by_emit, by_trans, by_emit[self.row, self.last]

    def emission_gradient(self, weight: Float[Tensor, "B"]) -> Float[Tensor, "B n k"]:
        """Derivative of sum_b weight[b] log Z[b] with respect to `emit`: weighted marginals, 0 in the padding."""
        raise NotImplementedError(f"{type(self).__name__} has no gradients")

    def transition_gradient(self, weight: Float[Tensor, "B"]) -> Float[Tensor, "k k"] | Float[Tensor, "B n-1 k k"]:
        """The same with respect to `trans`: weighted expected tag bigrams."""
        raise NotImplementedError(f"{type(self).__name__} has no gradients")


class ExpSpace(Passes):
    """The passes by matrix products.

    All potentials are centered, and A is divided by k, so that columns neither grow nor shrink much. With r the range
    of the emissions plus that of the transitions, the sum of a column changes by a factor in e^(-r/2) ... e^(r/2) a
    step, and its entries are at least e^-r of the largest.
    """

    @staticmethod
    def stride(
        scores: Tensor, trans: Tensor, inside: Tensor, room: float
    ) -> tuple[int, tuple[Tensor | float, Tensor | float]]:
        """How many steps may pass between rescalings, 0 if exp space could lose a term to underflow; and the centers.

        The product of an entry of alpha and one of beta must not underflow, each of a column that has drifted for
        `stride` steps. Nan and inf make r no number, and the answer 0.
        """
        k = scores.shape[2]
        if trans.dim() == 2:
            trans_low, trans_high = map(float, trans.aminmax())
            of_trans = trans_high - trans_low
        else:
            trans_low, trans_high = (
                torch.where(inside[1:].T, x, 0.0) for x in (trans.amin((2, 3)), trans.amax((2, 3)))
            )
            of_trans = float((trans_high - trans_low).max()) if trans.numel() else 0.0
        low, high = map(float, scores.aminmax())  # the same center everywhere, or, if that will not do, for each column
        r = high - low + of_trans
        if not r <= room:
            low, high = scores.amin(dim=2, keepdim=True), scores.amax(dim=2, keepdim=True)
            r = float((high - low).max()) + of_trans
        centers = (low + high) / 2, (trans_low + trans_high) / 2 + math.log(k)
        return max(1, min(8, int(room / max(r, 1.0)) - 1)) if r <= room else 0, centers

    def __init__(self, scores, trans, row, last, inside, stride: int, centers: tuple, backward: bool):
        super().__init__(trans, row, last, inside)
        center, self.trans_center = centers
        E = scores.sub_(center).exp_()
        sweep = self._sweep_shared if trans.dim() == 2 else self._sweep_by_position
        self.left, self.gamma, self.scale = sweep(E, stride, backward)
        per_step = self.scale.log().add_(center)[:, :, 0]
        if trans.dim() == 2:
            of_trans = self.trans_center * last.to(E.dtype)
        else:
            of_trans = torch.nn.functional.pad(self.trans_center.cumsum(dim=1), (1, 0))[row, last]
        at_end = self.left[last, row].sum(dim=1).log_()
        self.log_partition = at_end.add_(per_step.cumsum(dim=0)[last, row]).add_(of_trans)
        if backward:
            self.through = (self.gamma / E).mul_(self.left)
            self.norm = self.through.sum(dim=2)

    def emission_gradient(self, weight):
        factor = torch.where(self.inside, weight / self.norm, 0.0)
        return (self.through * factor[:, :, None]).transpose(0, 1)

    def transition_gradient(self, weight):
        factor = torch.where(self.inside, weight / (self.norm * self.scale[:, :, 0]), 0.0)
        left, right = self.left[:-1] * factor[1:, :, None], self.gamma[1:]
        if self.trans.dim() == 2:
            return self.A * (left.flatten(0, 1).T @ right.flatten(0, 1))
        counts = (self.trans - self.trans_center[:, :, None, None]).exp_()
        counts.mul_(left.transpose(0, 1)[:, :, :, None]).mul_(right.transpose(0, 1)[:, :, None, :])
        if not self.inside.all():  # `trans` may hold anything there, nan included
            counts.masked_fill_(~self.inside.T[:, 1:, None, None], 0.0)
        return counts

    def _sweep_shared(self, E: Tensor, stride: int, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
        """alpha and gamma side by side: gamma runs over each sentence from its end, so both are one batched product."""
        n, B, k = E.shape
        self.A = A = (self.trans - self.trans_center).exp_()
        factors, step = E[:, None], A[None]
        if backward:
            # the last emission begins gamma as the first begins alpha
            from_end = (self.last - torch.arange(n, device=E.device)[:, None]).clamp_(min=0) * B + self.row
            mirrored = E.view(n * B, k).index_select(0, from_end.flatten()).view(n, B, k)
            factors, step = torch.stack([E, mirrored], dim=1), torch.stack([A, A.T])
        state, scale = torch.empty_like(factors), E.new_ones(n, len(step), B, 1)
        states = state.unbind(0)
        for i, factor in enumerate(factors.unbind(0)):
            if i:
                torch.bmm(states[i - 1], step, out=states[i]).mul_(factor)
            else:
                states[0].copy_(factor)
            if i % stride == 0:
                torch.sum(states[i], dim=2, keepdim=True, out=scale[i])
                states[i].div_(scale[i])
        if not backward:
            return state[:, 0], state[:, 0], scale[:, 0]
        of_gamma = from_end.mul_(2).sub_(self.row).add_(B).flatten()  # 2 B i + B + b, from B i + b
        return state[:, 0], state.view(-1, k).index_select(0, of_gamma).view(n, B, k), scale[:, 0]

    def _sweep_by_position(self, E: Tensor, stride: int, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
        """alpha from the left, then gamma from the right, which starts anew at each sentence's last token.

        exp(trans) is made a position at a time, twice: that costs less than the memory for all of it.
        """
        n, B, k = E.shape
        room = E.new_empty(B, k, k)

        def A(i: int) -> Tensor:
            return torch.sub(self.trans[:, i - 1], self.trans_center[:, i - 1, None, None], out=room).exp_()

        alpha, gamma, scale = torch.empty_like(E), torch.empty_like(E), E.new_ones(n, B, 1)
        for i in range(n):
            if i:
                torch.bmm(alpha[i - 1, :, None], A(i), out=alpha[i, :, None])
                alpha[i].mul_(E[i])
            else:
                alpha[0] = E[0]
            if i % stride == 0:
                torch.sum(alpha[i], dim=1, keepdim=True, out=scale[i])
                alpha[i].div_(scale[i])
        alpha.masked_fill_(~self.inside[:, :, None], 1.0)  # `trans` may hold nan there
        for i in reversed(range(n if backward else 0)):
            gamma[i] = E[i]
            if i < n - 1:
                onward = torch.bmm(A(i + 1), gamma[i + 1, :, :, None]).squeeze(2).mul_(E[i])
                gamma[i] = torch.where((i < self.last)[:, None], onward, E[i])
            if i % stride == 0:
                gamma[i].div_(gamma[i].sum(dim=1, keepdim=True))
        return alpha, gamma, scale


class LogSpace(Passes):
    """The passes by logsumexp."""

    def __init__(self, scores, trans, row, last, inside, backward: bool):
        super().__init__(trans, row, last, inside)
        n = len(scores)
        alpha = torch.empty_like(scores)
        alpha[0] = scores[0]
        for i in range(1, n):
            alpha[i] = torch.logsumexp(alpha[i - 1, :, :, None] + self._into(i), dim=1) + scores[i]
        self.log_partition = torch.logsumexp(alpha[last, row], dim=1)
        if not backward:
            return
        beta = torch.zeros_like(scores)
        for i in reversed(range(n - 1)):
            onward = torch.logsumexp(self._into(i + 1) + (scores[i + 1] + beta[i + 1])[:, None, :], dim=2)
            beta[i] = torch.where((i < last)[:, None], onward, 0.0)
        self.alpha, self.through = alpha, alpha + beta
        norm = torch.logsumexp(self.through, dim=2, keepdim=True)  # log Z everywhere, but rounded as `through` is
        self.norm = torch.where(norm == NEG_INF, 0.0, norm)  # an impossible sentence: every path is -inf already
        self.right = torch.where(self.inside[:, :, None], scores + beta - self.norm, NEG_INF)

    def _into(self, i: int) -> Float[Tensor, "k k"] | Float[Tensor, "B k k"]:
        return self.trans if self.trans.dim() == 2 else self.trans[:, i - 1]

    def emission_gradient(self, weight):
        p = torch.where(self.inside[:, :, None], (self.through - self.norm).exp_(), 0.0)
        return p.mul_(weight[:, None]).transpose(0, 1)

    def transition_gradient(self, weight):
        left, right = self.alpha[:-1], self.right[1:]
        if self.trans.dim() == 2:
            counts = torch.zeros_like(self.trans)
            for before, after in zip(left, right):
                pairs = (before[:, :, None] + self.trans).add_(after[:, None, :]).exp_()
                counts += (weight @ pairs.flatten(1)).view_as(counts)
            return counts
        counts = self.trans + left.transpose(0, 1)[:, :, :, None]
        counts.add_(right.transpose(0, 1)[:, :, None, :]).exp_().mul_(weight[:, None, None, None])
        if not self.inside.all():  # `trans` may hold anything there, nan included
            counts.masked_fill_(~self.inside.T[:, 1:, None, None], 0.0)
        return counts


def viterbi(chain: LinearChain) -> tuple[Int[Tensor, "B n"], Float[Tensor, "B"]]:
    """The tagging of highest score, -1 in the padding, and its score in nats.

    The way forward keeps only the best scores; on the way back the best predecessor is found again for the one tag that
    was chosen, which costs k a position instead of an argmax over k * k.
    """
    start, emit, trans, stop = (part.detach() for part in (chain.start, chain.given_emit, chain.trans, chain.stop))
    B, n, k = emit.shape
    if chain.shared or B * k * k <= LARGEST_READ:
        compiled = chain_compiled.viterbi(start, emit, trans, stop, chain.lengths)
        if compiled is not None:
            return compiled
    best = emit.new_empty(n, B, k)
    columns, emissions = best.unbind(0), emit.unbind(1)
    torch.add(start, emissions[0], out=columns[0])
    by_target = trans.T.contiguous() if chain.shared else trans
    if not chain.shared or B * k * k <= LARGEST_STEP:
        # path scores [s, b, t], so that the maximum over s runs along contiguous rows
        paths, sources = emit.new_empty(k, B, k), best.transpose(1, 2)[:, :, :, None].unbind(0)
        into = [trans[:, None]] * (n - 1) if chain.shared else trans.transpose(0, 1).transpose(1, 2).unbind(0)
        for i in range(1, n):
            torch.add(sources[i - 1], into[i - 1], out=paths)
            torch.amax(paths, dim=0, out=columns[i]).add_(emissions[i])
    else:  # too many for the cache: a sentence at a time
        paths, lengths = emit.new_empty(k, k), chain.lengths.tolist()
        for i in range(1, n):
            for length, before, after in zip(lengths, columns[i - 1], columns[i]):
                if i < length:
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
