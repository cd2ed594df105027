"""The distribution over taggings that every model in this course defines: a linear chain.

    p(t) = exp(score(t)) / Z,    score(t) = start[t_1] + sum_i emit[i, t_i] + sum_i trans[i, t_{i-1}, t_i] + stop[t_n]

which is eq. 44 of the handout, its factors given as log-potentials (eq. 50), all in nats; -inf marks what cannot be.
`start` and `stop` are the bigram factors of the ends (i = 1 and i = n+1). Uses: the loss of a CRF is -`log_prob`, a
tagger prints `argmax`, EM needs `marginals` and `transition_counts`, `energy` scores a relaxed tagging.

This file is the plain version, in log space, a step a position: what the handout's Algorithms 1 to 4 say. Where
chain_fast.py is present LinearChain takes its log-partition, counts and argmax from there: the same quantities, sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from logsumexp_safe import logsumexp_safe

try:
    import chain_fast
except ImportError:  # the students' package has no kernels
    chain_fast = None

NEG_INF = float("-inf")
LARGEST_PAIR_MARGINALS = 2**30  # bytes


class ImpossibleError(ValueError):
    """A sentence has no tagging of finite score."""


@dataclass(frozen=True)
class KBest:
    """The best taggings of each sentence, best first: tags [B, K, n] (-1: there is none), scores [B, K] in nats."""

    tags: Int[Tensor, "B K n"]
    scores: Float[Tensor, "B K"]


class LinearChain:
    """A batch of distributions over the taggings of sentences.

    Args:
        start: [B, k] log-potential of the bigram (BOS, t) at the first position.
        emit: [B, n, k] log-potentials of single tags.
        trans: [k, k] shared by all positions, or [B, n-1, k, k]: [b, i, s, t] scores s at position i before t at i + 1.
        stop: [B, k] log-potential of (t, EOS) at the last position.
        lengths: [B] tokens in each sentence. What stands beyond them never matters.

    Only `log_partition`, `score`, `log_prob` and `energy` are differentiable; the rest is detached.
    """

    def __init__(
        self,
        start: Float[Tensor, "B k"],
        emit: Float[Tensor, "B n k"],
        trans: Float[Tensor, "k k"] | Float[Tensor, "B n-1 k k"],
        stop: Float[Tensor, "B k"],
        lengths: Int[Tensor, "B"],
    ):
        self.start, self.given_emit, self.trans, self.stop, self.lengths = start, emit, trans, stop, lengths
        self.shared = trans.dim() == 2

    @cached_property
    def mask(self) -> Bool[Tensor, "B n"]:
        """Whether a position is in the sentence, not in the padding."""
        return torch.arange(self.given_emit.shape[1], device=self.given_emit.device) < self.lengths[:, None]

    @cached_property
    def emit(self) -> Float[Tensor, "B n k"]:
        """The log-potentials of single tags, 0 in the padding."""
        # filled, not multiplied: the padding may hold nan. `trans` is too large to copy: see `transition`
        with torch.enable_grad():  # it is kept, and may be asked for first where no gradients are
            return self.given_emit.masked_fill(~self.mask[:, :, None], 0.0)

    def transition(self, i: int) -> Float[Tensor, "1 k k"] | Float[Tensor, "B k k"]:
        """Log-potentials of the bigrams whose second tag is at position `i` (counted from 0, so i >= 1)."""
        if self.shared:
            return self.trans[None]
        return torch.where(self.mask[:, i, None, None], self.trans[:, i - 1], 0.0)

    def at_last(self, x: Float[Tensor, "B n k"]) -> Float[Tensor, "B k"]:
        """The column of each sentence's last token."""
        return x[torch.arange(len(x), device=x.device), self.lengths - 1]

    def detach(self) -> LinearChain:
        parts = (self.start, self.given_emit, self.trans, self.stop)
        return LinearChain(*(part.detach() for part in parts), self.lengths)

    @cached_property
    def log_partition(self) -> Float[Tensor, "B"]:
        """log Z, the log of the summed exp(score) of all taggings; -inf, with gradient 0, where none is possible."""
        if chain_fast is not None:
            return chain_fast.log_partition(self)
        return logsumexp_safe(self.at_last(forward(self)) + self.stop, dim=-1)

    @cached_property
    def marginals(self) -> Float[Tensor, "B n k"]:
        """p(t_i = t), 0 in the padding. Raises ImpossibleError if a sentence has no possible tagging."""
        if chain_fast is not None:
            p = chain_fast.marginals(self)
            self._refuse_impossible()
            return p
        self._refuse_impossible()
        # normalized at each position, not by log Z, which is rounded otherwise than the sum
        return torch.where(self.mask[:, :, None], (self._log_alpha + self._log_beta).softmax(dim=2), 0.0)

    @cached_property
    def pair_marginals(self) -> Float[Tensor, "B m k k"]:
        """p(t_i = s, t_{i+1} = t), 0 beyond the end, m = n - 1. Raises ValueError where it would exceed 1 GB."""
        (B, n, k), size = self.emit.shape, self.emit.element_size()
        if B * (n - 1) * k * k * size > LARGEST_PAIR_MARGINALS:
            raise ValueError(f"pair_marginals of {B} x {n - 1} x {k} x {k} would exceed 1 GB; use transition_counts")
        self._refuse_impossible()
        if n == 1:
            return self.emit.new_zeros(B, 0, k, k)
        return torch.stack([self._pair(i) for i in range(1, n)], dim=1)

    @cached_property
    def transition_counts(self) -> Float[Tensor, "k k"]:
        """Expected number of each tag bigram (s, t) in the whole batch, the ends not included (eq. 52)."""
        if chain_fast is not None:
            counts = chain_fast.transition_counts(self)
            self._refuse_impossible()
            return counts
        self._refuse_impossible()
        counts = self.emit.new_zeros(self.emit.shape[2], self.emit.shape[2])
        for i in range(1, self.emit.shape[1]):
            counts += self._pair(i).sum(dim=0)
        return counts

    @cached_property
    def argmax(self) -> Int[Tensor, "B n"]:
        """A tagging of highest score for each sentence, -1 in the padding. Raises ImpossibleError if none is."""
        with torch.no_grad():
            if chain_fast is not None:
                tags, score = chain_fast.viterbi(self)
            else:
                tags = viterbi(self)
                score = self.score(tags)
            self._refuse(score == NEG_INF)
        return tags

    @cached_property
    def entropy(self) -> Float[Tensor, "B"]:
        """-sum_t p(t) log p(t), in nats, by the chain rule: that of the first tag and then of each given the one
        before.

        log Z - E[score] would be shorter, but is the small difference of two large numbers.
        """
        self._refuse_impossible()
        chain = self.detach()
        first = (chain.start + chain.emit[:, 0] + self._log_beta[:, 0]).log_softmax(dim=1)
        p, entropy = first.exp(), -times(first.exp(), first).sum(dim=1)
        for i in range(1, chain.emit.shape[1]):
            onward = chain.transition(i) + (chain.emit[:, i] + self._log_beta[:, i])[:, None, :]
            onward = torch.where(p[:, :, None] > 0, onward, 0.0).log_softmax(dim=2)
            of_step = (p * -times(onward.exp(), onward).sum(dim=2)).sum(dim=1)
            entropy = entropy + torch.where(self.mask[:, i], of_step, 0.0)
            p = (p[:, None, :] @ onward.exp()).squeeze(1)
        return entropy

    def score(self, tags: Int[Tensor, "B n"], partial: bool = False) -> Float[Tensor, "B"]:
        """The score of a tagging; with `partial`, the log-sum over the taggings that agree with it where it is not -1.

        Raises:
            ValueError: not `partial`, and a -1 stands inside a sentence.
        """
        observed = self.mask & (tags >= 0)
        if partial and not torch.equal(observed, self.mask):
            return self.clamped(tags).log_partition
        if not torch.equal(observed, self.mask):
            sentence = int((observed != self.mask).any(dim=1).nonzero()[0])
            raise ValueError(f"sentence {sentence} has an unobserved tag (-1); use partial=True to sum over it")
        tags = tags.clamp(min=0)
        emissions = self.given_emit.gather(2, tags[:, :, None]).squeeze(2)
        if self.shared:
            transitions = self.trans[tags[:, :-1], tags[:, 1:]]
        else:
            to = self.trans.gather(2, tags[:, :-1, None, None].expand(-1, -1, 1, self.trans.shape[-1])).squeeze(2)
            transitions = to.gather(2, tags[:, 1:, None]).squeeze(2)
        first = self.start.gather(1, tags[:, :1]).squeeze(1)
        final = self.stop.gather(1, tags.gather(1, self.lengths[:, None] - 1)).squeeze(1)
        inside = torch.where(self.mask, emissions, 0.0).sum(dim=1)
        return first + inside + torch.where(self.mask[:, 1:], transitions, 0.0).sum(dim=1) + final

    def clamped(self, tags: Int[Tensor, "B n"]) -> LinearChain:
        """The unnormalized distribution over the taggings that agree with `tags` wherever that is not -1."""
        agrees = (tags[:, :, None] < 0) | (torch.arange(self.emit.shape[2], device=tags.device) == tags[:, :, None])
        emit = self.emit.masked_fill(~agrees, NEG_INF)
        return LinearChain(self.start, emit, self.trans, self.stop, self.lengths)

    def counts_given(self, tags: Int[Tensor, "B n"]) -> tuple[Float[Tensor, "B n k"], Float[Tensor, "k k"]]:
        """`marginals` and `transition_counts` given the observed tags: plain counts where none is -1."""
        if (tags[self.mask] < 0).any():
            clamped = self.clamped(tags)
            return clamped.marginals, clamped.transition_counts
        one_hot = torch.nn.functional.one_hot(tags.clamp(min=0), self.emit.shape[2]).to(self.emit.dtype)
        one_hot = one_hot * self.mask[:, :, None]
        return one_hot, one_hot[:, :-1].flatten(0, 1).T @ one_hot[:, 1:].flatten(0, 1)

    def log_prob(self, tags: Int[Tensor, "B n"], partial: bool = False) -> Float[Tensor, "B"]:
        """log p(tags), in nats; with `partial`, the log-probability that a tagging agrees with `tags`."""
        return self.score(tags, partial) - self.log_partition

    def energy(self, q: Float[Tensor, "B n k"]) -> Float[Tensor, "B"]:
        """-E[score] where every tag is drawn on its own from q_i; -score for a one-hot q. Multilinear in q.

        A forbidden cell costs nothing where q is 0 and +inf where it is not.
        """
        q = torch.where(self.mask[:, :, None], q, 0.0)
        expected = expectation(self.start, q[:, 0]) + expectation(self.stop, self.at_last(q))
        expected = expected + expectation(self.emit, q).sum(dim=1)
        trans = self.trans if self.shared else torch.where(self.mask[:, 1:, None, None], self.trans, 0.0)
        forbidden = trans == NEG_INF
        finite = trans.masked_fill(forbidden, 0.0)
        pairs = ((q[:, :-1, None, :] @ finite).squeeze(2) * q[:, 1:]).sum(dim=(1, 2))
        if forbidden.any():
            possible = (q > 0).to(q.dtype)
            met = ((possible[:, :-1, None, :] @ forbidden.to(q.dtype)).squeeze(2) * possible[:, 1:]).sum(dim=(1, 2))
            pairs = torch.where(met > 0, NEG_INF, pairs)
        return -(expected + pairs)

    def kbest(self, K: int) -> KBest:
        """The K taggings of highest score. Raises ImpossibleError if a sentence has no possible tagging."""
        B, n, k = self.emit.shape
        best = self.emit.new_full((B, K, k), NEG_INF)
        best[:, 0] = (self.start + self.emit[:, 0]).detach()
        columns, pointers = [best], []
        for i in range(1, n):
            paths = (best[:, :, :, None] + self.transition(i).detach()[:, None]).flatten(1, 2)
            best, pointer = paths.topk(K, dim=1) if K < paths.shape[1] else pad_topk(paths, K)
            best = best + self.emit[:, i, None].detach()
            columns.append(best)
            pointers.append(pointer)
        ends = torch.stack(columns, dim=1)[torch.arange(B, device=best.device), self.lengths - 1]
        ends = (ends + self.stop.detach()[:, None]).flatten(1)
        scores, end = ends.topk(K, dim=1)
        self._refuse(scores[:, 0] == NEG_INF)
        rank, tag = end // k, end % k
        tags = torch.full((B, K, n), -1, device=best.device)
        for i in reversed(range(n)):
            if i + 1 < n:
                pointer = pointers[i][torch.arange(B, device=best.device)[:, None], rank, tag]
                inside = (i + 1 < self.lengths)[:, None]
                rank, tag = torch.where(inside, pointer // k, rank), torch.where(inside, pointer % k, tag)
            tags[:, :, i] = torch.where(self.mask[:, i, None] & (scores > NEG_INF), tag, -1)
        return KBest(tags, scores)

    def sample(self, S: int, generator: torch.Generator | None = None) -> Int[Tensor, "B S n"]:
        """S taggings drawn from p, by the forward algorithm and backward sampling; -1 in the padding.

        Raises ImpossibleError if a sentence has no possible tagging.
        """
        self._refuse_impossible()
        B, n, k = self.emit.shape
        tags = torch.full((B, S, n), -1, device=self.emit.device)
        log_alpha, trans = self._log_alpha, self.trans.detach()
        for i in reversed(range(n)):
            if i == n - 1:
                onward = self.stop.detach()[:, None].expand(B, S, k)
            else:
                following = tags[:, :, i + 1].clamp(min=0)
                into = trans.T[following] if self.shared else trans[torch.arange(B)[:, None], i, :, following]
                onward = torch.where((self.lengths - 1 == i)[:, None, None], self.stop.detach()[:, None], into)
            uniform = torch.rand((B, S, k), generator=generator, device=self.emit.device, dtype=torch.float64)
            gumbel = -(-uniform.clamp(min=1e-300).log()).log()  # the argmax of log p + Gumbel noise is a draw from p
            drawn = (log_alpha[:, i, None] + onward + gumbel).argmax(dim=-1)
            tags[:, :, i] = torch.where(self.mask[:, i, None], drawn, -1)
        return tags

    @cached_property
    def _log_alpha(self) -> Float[Tensor, "B n k"]:
        with torch.no_grad():
            return forward(self)

    @cached_property
    def _log_beta(self) -> Float[Tensor, "B n k"]:
        with torch.no_grad():
            return backward(self)

    def _pair(self, i: int) -> Float[Tensor, "B k k"]:
        """p(t_{i-1} = s, t_i = t), 0 where `i` is beyond the end."""
        right = self.emit[:, i] + self._log_beta[:, i] - self.log_partition[:, None]
        log_p = self._log_alpha[:, i - 1, :, None] + self.transition(i) + right[:, None, :]
        return torch.where(self.mask[:, i, None, None], log_p.exp(), 0.0).detach()

    def _refuse_impossible(self) -> None:
        self._refuse(self.log_partition.detach() == NEG_INF)

    def _refuse(self, impossible: Bool[Tensor, "B"]) -> None:
        if impossible.any():
            raise ImpossibleError(f"sentence {int(impossible.nonzero()[0])} of the batch has no possible tagging")


def forward(chain: LinearChain) -> Float[Tensor, "B n k"]:
    """log alpha[b, i, t]: the log-sum of the scores of all ways to tag the first words so that position i has tag t.

    Algorithm 1 in log space, with eq. 49 for its step.
    """
    # BEGIN SOLUTION
    log_alpha = chain.start + chain.emit[:, 0]
    columns = [log_alpha]
    for i in range(1, chain.emit.shape[1]):
        log_alpha = logsumexp_safe(log_alpha[:, :, None] + chain.transition(i), dim=1) + chain.emit[:, i]
        columns.append(log_alpha)
    return torch.stack(columns, dim=1)
    # END SOLUTION


def backward(chain: LinearChain) -> Float[Tensor, "B n k"]:
    """log beta[b, i, s]: the log-sum of the scores of all ways to go on after tag s at position i, to the end.

    Algorithm 4's right-to-left half in log space; any value in the padding.
    """
    # BEGIN SOLUTION
    log_beta = chain.stop
    columns = [log_beta]
    for i in reversed(range(1, chain.emit.shape[1])):
        onward = logsumexp_safe(chain.transition(i) + (chain.emit[:, i] + log_beta)[:, None, :], dim=2)
        # in the padding, and at the last word, beta is that of the end
        log_beta = torch.where((i < chain.lengths)[:, None], onward, chain.stop)
        columns.append(log_beta)
    return torch.stack(columns[::-1], dim=1)
    # END SOLUTION


def viterbi(chain: LinearChain) -> Int[Tensor, "B n"]:
    """The tagging of highest score for each sentence, -1 in the padding: forward with max in place of sum."""
    # BEGIN SOLUTION
    best = chain.start + chain.emit[:, 0]
    columns, backpointers = [best], []
    for i in range(1, chain.emit.shape[1]):
        best, backpointer = (best[:, :, None] + chain.transition(i)).max(dim=1)
        best = best + chain.emit[:, i]
        columns.append(best)
        backpointers.append(backpointer)
    tag = (chain.at_last(torch.stack(columns, dim=1)) + chain.stop).argmax(dim=1)
    tags = [tag]
    for i in reversed(range(1, chain.emit.shape[1])):
        previous = backpointers[i - 1].gather(1, tag[:, None]).squeeze(1)
        tag = torch.where(i < chain.lengths, previous, tag)
        tags.append(tag)
    return torch.where(chain.mask, torch.stack(tags[::-1], dim=1), -1)
    # END SOLUTION


def counts_by_backprop(chain: LinearChain) -> tuple[Float[Tensor, "k k"], Float[Tensor, "B n k"]]:
    """Expected counts as derivatives of log Z (eqs. 51-53): of tag bigrams in the batch, and of tags at each position.

    The same as `transition_counts` and `marginals`, without a backward algorithm.
    """
    # BEGIN SOLUTION
    with torch.enable_grad():
        emit, trans = chain.emit.detach().requires_grad_(), chain.trans.detach().requires_grad_()
        free = LinearChain(chain.start.detach(), emit, trans, chain.stop.detach(), chain.lengths)
        log_z = logsumexp_safe(free.at_last(forward(free)) + free.stop, dim=-1).sum()
        by_trans, by_emit = torch.autograd.grad(log_z, (trans, emit), materialize_grads=True)
    return (by_trans if chain.shared else by_trans.sum(dim=(0, 1))), by_emit
    # END SOLUTION


def times(p: Float[Tensor, "..."], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """p * x where 0 times -inf is 0."""
    return torch.where(p > 0, p * x, 0.0)


def expectation(x: Float[Tensor, "*batch k"], q: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Sum of q * x over the last axis where 0 times -inf is 0, with the gradient x where x is finite."""
    possible = (x > NEG_INF) | (q > 0)
    return (q * torch.where(possible, x, 0.0)).sum(dim=-1)


def pad_topk(x: Float[Tensor, "B m k"], K: int) -> tuple[Float[Tensor, "B K k"], Int[Tensor, "B K k"]]:
    """`topk` along axis 1 where there may be fewer than K: the rest is -inf and points at 0."""
    values, indices = x.sort(dim=1, descending=True)
    short = K - x.shape[1]
    return (
        torch.nn.functional.pad(values, (0, 0, 0, short), value=NEG_INF),
        torch.nn.functional.pad(indices, (0, 0, 0, short)),
    )
