"""biRNN-CRF: a CRF whose potentials at each position look at the whole sentence (eqs. 44-48).

    p(t | w) proportional to prod_{i=1}^{n+1} phi_A(t_{i-1}, t_i, w, i) * prod_{i=1}^n phi_B(t_i, w_i, w, i)       (44)
    phi_A = exp(theta^A . f^A),  phi_B = exp(theta^B . f^B)                                                        (45)
    h_j = sigma(M [1; h_{j-1}; w_j]),  h'_{j-1} = sigma(M' [1; w_j; h'_j])                                         (46)
    f^A(s, t, w, i) = sigma(U^A [1; h_{i-2}; s; t; h'_i])                                                          (47)
    f^B(t, w, w, i) = sigma(U^B [1; h_{i-1}; t; w_i; h'_i])                                                        (48)

w_0 is the word BOS and w_{n+1} the word EOS; h_{-1} = 0 and h'_{n+1} = 0. Nothing is concatenated: U splits into a
block of columns for each piece of the bracket, and the argument of sigma is a sum of terms that broadcast.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chain import LinearChain
from corpus import Batch
from crf_backprop import ConditionalRandomFieldBackprop
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures
from tagger import Tagger

try:
    from crf_neural_fast import sum_of_sigmoids
except ImportError:  # the students' package has no kernels

    def sum_of_sigmoids(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
        """out[p, q] = sum_f theta[f] sigmoid(x[p, f] + y[q, f])."""
        return torch.sigmoid(x[:, None] + y) @ theta


class ConditionalRandomFieldNeural(ConditionalRandomFieldBackprop):
    """biRNN-CRF.

    | symbol | parameter | shape |
    | M, M' | M, M_ | [d, 1 + d + e] over [1; h; w], [d, 1 + e + d] over [1; w; h'] |
    | U^A, U^B | U_A, U_B | [F_A, 1 + d + 2 tag_dim + d], [F_B, 1 + d + tag_dim + e + d] |
    | theta^A, theta^B | theta_A, theta_B | [F_A], [F_B] |
    | tag embeddings | tags | [k + 2, tag_dim], the last two those of BOS and EOS |

    Args:
        rnn_dim: d; with 0 there is no context, and the model is stationary.
        transition_features, emission_features: F_A and F_B.
        tag_dim: dimension of the tag embeddings.
    """

    kind: ClassVar[str] = "crf_neural"

    def __init__(
        self,
        tagset: Integerizer,
        lexicon: Lexicon,
        rnn_dim: int = 32,
        transition_features: int = 16,
        emission_features: int = 64,
        tag_dim: int = 32,
    ):
        sizes = dict(rnn_dim=rnn_dim, tag_dim=tag_dim)
        sizes.update(transition_features=transition_features, emission_features=emission_features)
        Tagger.__init__(self, tagset, lexicon, **sizes)
        k, e, d = len(tagset), lexicon.dim, rnn_dim
        self.M = nn.Parameter(uniform(d, 1 + d + e))
        self.M_ = nn.Parameter(uniform(d, 1 + e + d))
        self.U_A = nn.Parameter(uniform(transition_features, 1 + 2 * d + 2 * tag_dim))
        self.U_B = nn.Parameter(uniform(emission_features, 1 + 2 * d + tag_dim + e))
        self.theta_A = nn.Parameter(torch.randn(transition_features) / transition_features**0.5)
        self.theta_B = nn.Parameter(torch.randn(emission_features) / emission_features**0.5)
        self.tags = nn.Parameter(torch.randn(k + 2, tag_dim))
        self.d, self.tag_dim, self.k = d, tag_dim, k

    def forward(self, batch: Batch) -> LinearChain:
        words = self.lexicon.features(batch, ends=True)
        prefix, suffix = self.context(words, batch)
        start, trans, stop = self.transition_potentials(prefix, suffix, batch)
        emit = self.emission_potentials(prefix, suffix, words)
        return LinearChain(start, emit, trans, stop, batch.lengths)

    def context(self, words: WordFeatures, batch: Batch) -> tuple[Float[Tensor, "B m d"], Float[Tensor, "B m d"]]:
        """What the m = n + 1 factors see of the words around them: prefix[:, i-1] = h_{i-2}, suffix[:, i-1] = h'_i.

        So the emission at i sees prefix[:, i] = h_{i-1} and suffix[:, i-1] = h'_i.
        """
        # BEGIN SOLUTION
        n, d, lengths = batch.ids.shape[1], self.d, batch.lengths[:, None]
        bias, recurrent, of_word = self.M.split([1, d, self.lexicon.dim], dim=1)
        bias_, of_word_, recurrent_ = self.M_.split([1, self.lexicon.dim, d], dim=1)
        inputs, inputs_ = (words @ torch.cat([of_word, of_word_]).T).tensor_split(2, dim=2)
        # left to right over BOS, w_1, ..., w_{n-1}; right to left over EOS, w_n, ..., w_2 of each sentence
        prefix = sigmoid_rnn(inputs[:, :n] + bias.T, recurrent)
        position = torch.arange(n + 1, device=lengths.device)
        from_end = (lengths + 1 - position[:n]).clamp(min=0)
        states_ = sigmoid_rnn(inputs_.gather(1, from_end[:, :, None].expand(-1, -1, d)) + bias_.T, recurrent_)
        suffix = states_.gather(1, (lengths - position).clamp(min=0)[:, :, None].expand(-1, -1, d))
        return prefix, suffix
        # END SOLUTION

    def transition_potentials(
        self, prefix: Float[Tensor, "B m d"], suffix: Float[Tensor, "B m d"], batch: Batch
    ) -> tuple[Float[Tensor, "B k"], Tensor, Float[Tensor, "B k"]]:
        """log phi_A = theta^A . f^A (eqs. 45, 47): start [B, k], trans [B, n-1, k, k] (d = 0: [k, k]), stop [B, k]."""
        # BEGIN SOLUTION
        B, k, d = len(batch), self.k, prefix.shape[2]
        bias, of_prefix, of_first, of_second, of_suffix = self.U_A.split([1, d, self.tag_dim, self.tag_dim, d], dim=1)
        first, second = self.tags @ of_first.T, self.tags @ of_second.T
        pairs = (first[:k, None] + second[:k]).flatten(0, 1)
        if d == 0:
            scores = [
                sum_of_sigmoids(bias.T, y, self.theta_A)
                for y in (first[k] + second[:k], pairs, first[:k] + second[k + 1])
            ]
            return scores[0].expand(B, -1), scores[1].view(k, k), scores[2].expand(B, -1)
        context = prefix @ of_prefix.T + suffix @ of_suffix.T + bias.T
        at_end = context[torch.arange(B, device=context.device), batch.lengths]
        start = sum_of_sigmoids(context[:, 0], first[k] + second[:k], self.theta_A)
        stop = sum_of_sigmoids(at_end, first[:k] + second[k + 1], self.theta_A)
        trans = sum_of_sigmoids(context[:, 1:-1].flatten(0, 1), pairs, self.theta_A)
        return start, trans.view(B, -1, k, k), stop
        # END SOLUTION

    def emission_potentials(
        self, prefix: Float[Tensor, "B m d"], suffix: Float[Tensor, "B m d"], words: WordFeatures
    ) -> Float[Tensor, "B m-1 k"]:
        """log phi_B = theta^B . f^B (eqs. 45, 48)."""
        # BEGIN SOLUTION
        d, e = self.d, self.lexicon.dim
        bias, of_prefix, of_tag, of_word, of_suffix = self.U_B.split([1, d, self.tag_dim, e, d], dim=1)
        context = prefix[:, 1:] @ of_prefix.T + suffix[:, :-1] @ of_suffix.T + (words @ of_word.T)[:, 1:-1] + bias.T
        emit = sum_of_sigmoids(context.flatten(0, 1), self.tags[: self.k] @ of_tag.T, self.theta_B)
        return emit.view(*context.shape[:2], self.k)
        # END SOLUTION


def sigmoid_rnn(inputs: Float[Tensor, "B m d"], recurrent: Float[Tensor, "d d"]) -> Float[Tensor, "B m+1 d"]:
    """All states of h_j = sigma(inputs_j + R h_{j-1}), the state 0 before the first input included.

    Torch has a fused loop for tanh, and sigma(z) = (1 + tanh(z / 2)) / 2: so with h = (1 + g) / 2

        g_j = tanh(inputs_j / 2 + R 1 / 4 + (R / 4) g_{j-1}),    g before the first input = -1.
    """
    B, m, d = inputs.shape
    before = inputs.new_zeros(B, 1, d)
    if d == 0:
        return inputs.new_zeros(B, m + 1, 0)
    shifted = (inputs / 2 + recurrent.sum(dim=1) / 4).transpose(0, 1).contiguous()
    weights = [torch.eye(d, dtype=inputs.dtype, device=inputs.device), recurrent / 4]
    g, _ = torch.rnn_tanh(shifted, inputs.new_full((1, B, d), -1.0), weights, False, 1, 0.0, False, False, False)
    return torch.cat([before, (1 + g.transpose(0, 1)) / 2], dim=1)


def uniform(rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """A weight matrix to begin with: entries up to columns ** -0.5 in size."""
    bound = columns**-0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)
