"""Stationary conditional random field: p(t | w) prop. to prod phi_A(t_{i-1}, t_i) * prod phi_B(t_i, w_i)  (eq. 30)

with phi_A(s, t) = exp W^A[s, t] and phi_B(t, w) = exp W^B[t, w] (eq. 31), the same at every position. Log-linear, so
the gradient of the log-likelihood is observed minus expected counts of tag bigrams and of words under tags; it is
worked out by hand here, from the forward and backward passes. crf_backprop.py leaves that to back-propagation.

With `unigram` every bigram factor is 1, and p(t | w) a product of one softmax for each token.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chain import LinearChain
from corpus import Batch
from hmm import FIRST_WORD, HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures
from tagger import Tagger


class ConditionalRandomField(Tagger):
    """Stationary CRF.

    Parameters: W^A in three parts, start [k] (from BOS), trans [k, k], stop [k] (to EOS); and emission [e, k], which
    for one-hot words is W^B transposed.

    Args:
        unigram: W^A is 0 and no parameter.
    """

    kind: ClassVar[str] = "crf"

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, unigram: bool = False):
        super().__init__(tagset, lexicon, unigram=unigram)
        k = len(tagset)
        for name, shape in (("start", (k,)), ("stop", (k,)), ("trans", (k, k))):
            if unigram:
                self.register_buffer(name, torch.zeros(shape), persistent=False)
            else:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        self.emission = nn.Parameter(torch.zeros(lexicon.dim, k))

    def transition_weights(self) -> tuple[Float[Tensor, "k"], Float[Tensor, "k k"], Float[Tensor, "k"]]:
        """W^A in its three parts."""
        return self.start, self.trans, self.stop

    def emission_weights(self, words: WordFeatures) -> Float[Tensor, "B n k"]:
        """W^B[t, w_i] for each token and tag."""
        return words @ self.emission

    def chain(self, words: WordFeatures, batch: Batch) -> LinearChain:
        """The distribution over taggings that these word features give."""
        start, trans, stop = self.transition_weights()
        start, stop = start.expand(len(batch), -1), stop.expand(len(batch), -1)
        return LinearChain(start, self.emission_weights(words), trans, stop, batch.lengths)

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
        for name, parameter in self.named_parameters(recurse=False):  # W^A only where it is not fixed
            of_loss = 2 * reg / N * parameter.detach() - gradient[name] / len(batch)
            parameter.grad = of_loss if parameter.grad is None else parameter.grad + of_loss
        return -logprob / len(batch) + reg / N * self.squared_norm().item()

    @torch.no_grad()
    def start_from(self, hmm: HiddenMarkovModel) -> None:
        """Set W^A and W^B to the log-probabilities of an HMM (H.1): p(tags | words) is then the HMM's.

        A unigram CRF, which has no W^A, takes a unigram HMM's log p(t) into its W^B[t, w].

        Args:
            hmm: of the same tags and words, and smoothed: no event impossible.

        Raises:
            ValueError: this model has other weights than one for each tag bigram and one for each tag and word, or
                the HMM does not fit it.
        """
        one_hot = self.lexicon.one_hot and len(self.lexicon.blocks) == 1
        if not (one_hot and hasattr(self, "trans") and hasattr(self, "emission")):
            raise ValueError(
                "only a CRF with a weight for each tag bigram (no tag_rank) and for each tag and one-hot word "
                f"can start from an HMM, not this {self.kind}"
            )
        words, words_of_hmm = (list(tagger.lexicon.training_counts) for tagger in (self, hmm))
        if list(hmm.tagset) != list(self.tagset) or words_of_hmm != words:
            raise ValueError("an HMM of other tags or words")
        start, trans, stop, emission = hmm.log_probabilities()
        emission = emission.clone()
        emission[1:FIRST_WORD] = 0.0  # BOS and EOS, which a tag never emits
        weights = {"start": start, "trans": trans, "stop": stop, "emission": emission}
        if self.sizes["unigram"]:
            if not hmm.unigram:
                raise ValueError("a unigram CRF can start from a unigram HMM only")
            weights = {"emission": emission + start}
        if not all(weight.isfinite().all() for weight in weights.values()):
            raise ValueError("the HMM has probabilities of 0: smooth it (lambda > 0)")
        for name, weight in weights.items():
            self.get_parameter(name).copy_(weight)
