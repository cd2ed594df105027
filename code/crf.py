"""Stationary conditional random field: p(t | w) prop. to prod phi_A(t_{i-1}, t_i) * prod phi_B(t_i, w_i)  (eq. 30)

with phi_A(s, t) = exp W^A[s, t] and phi_B(t, w) = exp W^B[t, w] (eq. 31), the same at every position. Log-linear, so
the gradient of the log-likelihood is observed minus expected counts of tag bigrams and of words under tags; it is
worked out by hand here, from the forward and backward passes. crf_backprop.py leaves that to back-propagation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chain import LinearChain
from corpus import Batch
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures
from tagger import Tagger


class ConditionalRandomField(Tagger):
    """Stationary CRF.

    Parameters: W^A in three parts, start [k] (from BOS), trans [k, k], stop [k] (to EOS); and emission [e, k], which
    for one-hot words is W^B transposed.
    """

    kind: ClassVar[str] = "crf"

    def __init__(self, tagset: Integerizer, lexicon: Lexicon):
        super().__init__(tagset, lexicon)
        k = len(tagset)
        self.start, self.stop = nn.Parameter(torch.zeros(k)), nn.Parameter(torch.zeros(k))
        self.trans = nn.Parameter(torch.zeros(k, k))
        self.emission = nn.Parameter(torch.zeros(lexicon.dim, k))

    def emission_weights(self, words: WordFeatures) -> Float[Tensor, "B n k"]:
        """W^B[t, w_i] for each token and tag."""
        return words @ self.emission

    def chain(self, words: WordFeatures, batch: Batch) -> LinearChain:
        """The distribution over taggings that these word features give."""
        start, stop = self.start.expand(len(batch), -1), self.stop.expand(len(batch), -1)
        return LinearChain(start, self.emission_weights(words), self.trans, stop, batch.lengths)

    def forward(self, batch: Batch) -> LinearChain:
        return self.chain(self.lexicon.features(batch), batch)

    @torch.no_grad()
    def gradient(self, batch: Batch) -> tuple[dict[str, Tensor], float]:
        """The gradient of sum_b log p(tags_b | words_b), by parameter name, and that sum in nats.

        Observed minus expected counts. Where a tag is unobserved, its observed count is the expected one among the
        taggings that agree with the rest.
        """
        # BEGIN SOLUTION
        words = self.lexicon.features(batch)
        chain = self.chain(words, batch)
        observed, bigrams = chain.counts_given(batch.tags)
        surplus = observed - chain.marginals
        gradient = {
            "start": surplus[:, 0].sum(dim=0),
            "trans": bigrams - chain.transition_counts,
            "stop": chain.at_last(surplus).sum(dim=0),
            "emission": words.transposed_product(surplus),
        }
        return gradient, chain.log_prob(batch.tags, partial=True).sum().item()
        # END SOLUTION

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        gradient, logprob = self.gradient(batch)
        for name, of_logprob in gradient.items():
            parameter = self.get_parameter(name)
            of_loss = 2 * reg / N * parameter.detach() - of_logprob / len(batch)
            parameter.grad = of_loss if parameter.grad is None else parameter.grad + of_loss
        return -logprob / len(batch) + reg / N * self.squared_norm().item()
