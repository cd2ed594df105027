"""Hidden Markov model: p(t, w) = prod_{i=1}^{n+1} p(t_i | t_{i-1}) * prod_{i=1}^n p(w_i | t_i)  (eq. 1).

Trained by counting where tags are seen, by expectation maximization where they are not, by both where a text has both:
the E step counts, the M step turns counts into probabilities with add-lambda smoothing. Words outside the vocabulary
are the one word OOV.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chain import LinearChain
from corpus import Batch
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures
from tagger import Tagger

FIRST_WORD = 3  # the one-hot rows before it are OOV, BOS and EOS


class Counts(NamedTuple):
    """Expected numbers of events: first tags, tag bigrams, last tags, and words (rows) under tags (columns)."""

    start: Float[Tensor, "k"]
    trans: Float[Tensor, "k k"]
    stop: Float[Tensor, "k"]
    emission: Float[Tensor, "V k"]


class HiddenMarkovModel(Tagger):
    """First-order HMM over one-hot words.

    Parameters, all log-probabilities: start [k] = log p(t | BOS), trans [k, k] = log p(t | s), stop [k] = log p(EOS |
    s), emission [V, k] = log p(w | t), whose first row is OOV and whose rows for BOS and EOS are -inf.
    """

    kind: ClassVar[str] = "hmm"
    generative: ClassVar[bool] = True
    trained_by: ClassVar[str] = "counts"

    def __init__(self, tagset: Integerizer, lexicon: Lexicon):
        super().__init__(tagset, lexicon)
        k, V = len(tagset), lexicon.dim
        self.start, self.stop = nn.Parameter(torch.zeros(k)), nn.Parameter(torch.zeros(k))
        self.trans, self.emission = nn.Parameter(torch.zeros(k, k)), nn.Parameter(torch.zeros(V, k))
        # a start that breaks the symmetry between tags, for EM; one M step on seen tags forgets it
        noise = Counts(torch.rand(k), torch.rand(k, k), torch.rand(k), torch.rand(V, k))
        self.m_step(noise, smoothing=1.0)

    def chain(self, words: WordFeatures, batch: Batch) -> LinearChain:
        """The distribution over taggings that these word features give, its log-partition log p(words)."""
        start, stop = self.start.expand(len(batch), -1), self.stop.expand(len(batch), -1)
        return LinearChain(start, words @ self.emission, self.trans, stop, batch.lengths)

    def forward(self, batch: Batch) -> LinearChain:
        return self.chain(self.lexicon.features(batch), batch)

    @torch.no_grad()
    def e_step(self, batch: Batch) -> tuple[Counts, float]:
        """Expected counts of a batch, given its words and what is observed of its tags, and their log-likelihood.

        Where all tags are observed these are plain counts, whatever the parameters.
        """
        # BEGIN SOLUTION
        words = self.lexicon.features(batch)
        chain = self.chain(words, batch)
        tags = torch.full_like(batch.ids, -1) if batch.tags is None else batch.tags
        p, bigrams = chain.counts_given(tags)
        counts = Counts(p[:, 0].sum(dim=0), bigrams, chain.at_last(p).sum(dim=0), words.transposed_product(p))
        return counts, chain.score(tags, partial=True).sum().item()
        # END SOLUTION

    @torch.no_grad()
    def m_step(self, counts: Counts, smoothing: float) -> None:
        """Set the parameters to the smoothed relative frequencies of the events (eq. 17 with add-lambda).

        After a tag come the k tags or EOS, after BOS the k tags; a tag emits a word of the vocabulary or OOV.

        Args:
            smoothing: lambda, added to every count; at 0, what was never counted becomes impossible.
        """
        # BEGIN SOLUTION
        onward = torch.cat([counts.trans, counts.stop[:, None]], dim=1) + smoothing
        emission = counts.emission + smoothing
        emission[1:FIRST_WORD] = 0.0
        log_onward = log_normalize(onward, dim=1)
        self.start.copy_(log_normalize(counts.start + smoothing, dim=0))
        self.trans.copy_(log_onward[:, :-1])
        self.stop.copy_(log_onward[:, -1])
        self.emission.copy_(log_normalize(emission, dim=0))
        # END SOLUTION


def log_normalize(counts: Tensor, dim: int) -> Tensor:
    """log of counts over their sum along `dim`; all -inf where the sum is 0."""
    return counts.log() - counts.sum(dim=dim, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny).log()
