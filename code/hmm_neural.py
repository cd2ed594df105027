"""HMM whose probabilities are made from embeddings of words and tags (eqs. 54-56).

    log p(t | s) = W^A[s, t] - logsumexp_t' W^A[s, t'],    W^A[s, t] = s . t + bias_t                         (55, H.2)
    log p(w | t) = W^B[t, w] - logsumexp_w' W^B[t, w'],    W^B[t, w] = theta_t . P w + (1 + gamma_t) log p^(w)     (56)

The softmax runs over the training words and OOV. w is the word's feature vector in the lexicon, and p^(w) its relative
frequency in the training text, smoothed: the dimension that tells a frequent word from a rare one like it. A low rank
of s . t and of theta_t . P w makes hundreds of tags affordable, which then share what they learn of words and tags.

Trained by gradient on -log p(t, w), unobserved tags summed over, or by generalized EM (L.1): an E step a minibatch, and
then some gradient steps up the expected log-likelihood, of which the first is what plain gradient training does too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chain import NEG_INF, times
from corpus import Batch
from hmm import FIRST_WORD, Counts, HiddenMarkovModel, LogProbabilities
from integerize import Integerizer
from lexicon import SINGLETONS_AS_NOVEL, Lexicon, WordFeatures
from tagger import Tagger


class HiddenMarkovModelNeural(HiddenMarkovModel):
    """HMM with softmax parameterization.

    | symbol | parameter | shape |
    | s, t | before, after | [k + 1, tag_dim] each: of tags as first and as second of a bigram; last rows BOS and EOS |
    | bias | bias | [k + 1], the last of EOS |
    | theta, gamma | theta, gamma | [k, word_dim], [k] |
    | P | projection | [e, word_dim] |

    Args:
        lexicon: its training words are the vocabulary, its features of them their vectors.
        tag_dim: 0 leaves the bigrams (s, t) independent of each other: `before` is then s . t itself, [k + 1, k + 1].
        word_dim: 0 leaves the features w as they are: `theta` is then [k, e], and there is no P.
        unigram: W^A[s, t] = bias_t, of BOS as of any s; as in HiddenMarkovModel.
        gem_steps: gradient steps to an E step; 0 for plain gradient training.
    """

    kind: ClassVar[str] = "hmm_neural"
    trained_by: ClassVar[str] = "gradient"

    def __init__(
        self,
        tagset: Integerizer,
        lexicon: Lexicon,
        tag_dim: int = 64,
        word_dim: int = 64,
        unigram: bool = False,
        gem_steps: int = 0,
    ):
        sizes = dict(tag_dim=tag_dim, word_dim=word_dim, unigram=unigram, gem_steps=gem_steps)
        Tagger.__init__(self, tagset, lexicon, **sizes)
        k, e = len(tagset), lexicon.dim
        self.tag_dim, self.word_dim, self.unigram, self.gem_steps = tag_dim, word_dim, unigram, gem_steps
        # random, so that tags that nobody has seen become different
        if not unigram:
            self.before = nn.Parameter(torch.randn(k + 1, tag_dim) if tag_dim else 0.1 * torch.randn(k + 1, k + 1))
        if not unigram and tag_dim:
            self.after = nn.Parameter(torch.randn(k + 1, tag_dim) / tag_dim**0.5)
        self.bias = nn.Parameter(torch.zeros(k + 1))
        self.theta = nn.Parameter(torch.randn(k, word_dim or e) * (3 * word_dim**-0.5 if word_dim else 0.1))
        self.gamma = nn.Parameter(torch.zeros(k))
        if word_dim:
            self.projection = nn.Parameter(0.1 * torch.randn(e, word_dim))
        self.word_types = Lexicon(lexicon.training_counts)  # one-hot: which row of `emission` a token has
        self.word_types.vocab = lexicon.vocab
        spellings = list(self.word_types.blocks[0].words)
        self.register_buffer("ids", torch.tensor([[lexicon.vocab.add(word) for word in spellings]]), persistent=False)
        self.register_buffer("log_frequency", log_frequency(lexicon, spellings), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> HiddenMarkovModelNeural:
        """In training, tokens of words that occur once become OOV half of the time. The vocabulary's features stay."""
        super().train(mode)
        self.lexicon.eval()
        return self

    @property
    def vocabulary(self) -> list[str]:
        return ["OOV", *list(self.word_types.blocks[0].words)[1:]]

    def rows(self, batch: Batch) -> WordFeatures:
        return self.word_types.features(batch)

    def transition_weights(self) -> Float[Tensor, "m m"]:
        """W^A, m = k + 1: the last row is BOS, the last column EOS."""
        if self.unigram:
            return self.bias.expand(len(self.bias), -1)
        return (self.before @ self.after.T if self.tag_dim else self.before) + self.bias

    def emission_weights(self) -> Float[Tensor, "V k"]:
        """W^B transposed: a row for each word of the vocabulary."""
        V = self.ids.shape[1]
        lengths, fold = self.ids.new_tensor([V]), self.ids.new_tensor([-1])
        words = self.lexicon.features(Batch([tuple(self.word_types.blocks[0].words)], self.ids, lengths, None, fold))
        scores = words @ self.projection @ self.theta.T if self.word_dim else words @ self.theta.T
        return scores[0] + (1 + self.gamma) * self.log_frequency[:, None]

    def log_probabilities(self) -> LogProbabilities:
        """Eq. 55, anew at each call."""
        W_A, W_B = self.transition_weights(), self.emission_weights()
        onward = W_A.log_softmax(dim=1)
        start = onward[-1, :-1] if self.unigram else W_A[-1, :-1].log_softmax(dim=0)
        ends = torch.arange(len(W_B), device=W_B.device)[:, None]
        emission = W_B.masked_fill((ends >= 1) & (ends < FIRST_WORD), NEG_INF).log_softmax(dim=0)
        return LogProbabilities(start, onward[:-1, :-1], onward[:-1, -1], emission)

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        loss = -self.logprob(batch).mean() + reg / N * self.squared_norm()
        loss.backward()
        return loss.item()

    def gradients(self, batch: Batch, reg: float, N: int) -> Iterator[float]:
        """Add the gradient of each step that is to be taken on this minibatch, one at a time, and give its loss.

        With generalized EM, the loss is the upper bound on -logprob that the E step gives: -E[log p(t, w)] minus the
        entropy of the posterior. The two are equal, as their gradients are, before the first step.
        """
        if not self.gem_steps:
            yield self.add_gradient(batch, reg, N)
            return
        counts, logprob = self.e_step(batch)
        entropy = logprob - self.expected_logprob(counts).item()
        for _ in range(self.gem_steps):
            loss = -(self.expected_logprob(counts) + entropy) / len(batch) + reg / N * self.squared_norm()
            loss.backward()
            yield loss.item()

    def expected_logprob(self, counts: Counts) -> Float[Tensor, ""]:
        """E[log p(t, w)] under the taggings that were counted (eq. 18)."""
        return sum(times(count, log_p).sum() for count, log_p in zip(counts, self.log_probabilities()))


def log_frequency(lexicon: Lexicon, words: list[str]) -> Float[Tensor, "V"]:
    """log p^(w): add-1/2 smoothed relative frequency of words in the training text, the first of them being OOV.

    Words that occur once count as OOV half of the time, as in training.
    """
    counts = torch.tensor([lexicon.training_counts.get(word, 0) for word in words], dtype=torch.float64)
    once = counts == 1
    counts = torch.where(once, (1 - SINGLETONS_AS_NOVEL) * counts, counts)
    counts[0] += SINGLETONS_AS_NOVEL * once.sum()
    return ((counts + 0.5) / (counts + 0.5).sum()).log().to(torch.get_default_dtype())
