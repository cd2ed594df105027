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
from corpus import Batch, Sentence
from generate import draw_sentences
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


class LogProbabilities(NamedTuple):
    """Of the same events: log p(t | BOS), log p(t | s), log p(EOS | s), log p(w | t)."""

    start: Float[Tensor, "k"]
    trans: Float[Tensor, "k k"]
    stop: Float[Tensor, "k"]
    emission: Float[Tensor, "V k"]


class HiddenMarkovModel(Tagger):
    """First-order HMM over one-hot words. Its parameters are its LogProbabilities.

    The rows of `emission` are OOV, BOS, EOS (both -inf: they are no words) and the training words.

    Args:
        unigram: tags do not depend on the tag before, p(t | s) = p(t), nor does the end, p(EOS | s) = p(EOS).
            These k + 1 probabilities sum to 1, so p(EOS) is also what the model gives to the empty sentence.
    """

    kind: ClassVar[str] = "hmm"
    generative: ClassVar[bool] = True
    trained_by: ClassVar[str] = "counts"

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, unigram: bool = False):
        super().__init__(tagset, lexicon, unigram=unigram)
        k, V = len(tagset), lexicon.dim
        self.unigram = unigram
        self.start, self.stop = nn.Parameter(torch.zeros(k)), nn.Parameter(torch.zeros(k))
        self.trans, self.emission = nn.Parameter(torch.zeros(k, k)), nn.Parameter(torch.zeros(V, k))
        # a start that breaks the symmetry between tags, for EM; one M step on seen tags forgets it
        noise = Counts(torch.rand(k), torch.rand(k, k), torch.rand(k), torch.rand(V, k))
        self.m_step(noise, smoothing=1.0)

    def start_from(self, hmm: HiddenMarkovModel) -> None:
        """Take over the probabilities of an HMM of the same words and tags."""
        self.load_state_dict(hmm.state_dict())

    @property
    def vocabulary(self) -> list[str]:
        """The words that the rows of `emission` stand for."""
        return ["OOV", *list(self.lexicon.blocks[0].words)[1:]]

    def log_probabilities(self) -> LogProbabilities:
        return LogProbabilities(self.start, self.trans, self.stop, self.emission)

    def rows(self, batch: Batch) -> WordFeatures:
        """One-hot words: which row of `emission` each token has."""
        return self.lexicon.features(batch)

    def chain(self, rows: WordFeatures, batch: Batch) -> LinearChain:
        """The distribution over taggings given these words, its log-partition log p(words)."""
        start, trans, stop, emission = self.log_probabilities()
        return LinearChain(
            start.expand(len(batch), -1), rows @ emission, trans, stop.expand(len(batch), -1), batch.lengths
        )

    def forward(self, batch: Batch) -> LinearChain:
        return self.chain(self.rows(batch), batch)

    @torch.no_grad()
    def e_step(self, batch: Batch) -> tuple[Counts, float]:
        """Expected counts of a batch, given its words and what is observed of its tags, and their log-likelihood.

        Where all tags are observed these are plain counts, whatever the parameters.
        """
        # BEGIN SOLUTION
        rows = self.rows(batch)
        chain = self.chain(rows, batch)
        tags = torch.full_like(batch.ids, -1) if batch.tags is None else batch.tags
        p, bigrams = chain.counts_given(tags)
        counts = Counts(p[:, 0].sum(dim=0), bigrams, chain.at_last(p).sum(dim=0), rows.transposed_product(p))
        return counts, chain.score(tags, partial=True).sum().item()
        # END SOLUTION

    @torch.no_grad()
    def m_step(self, counts: Counts, smoothing: float) -> None:
        """Set the parameters to the smoothed relative frequencies of the events (eq. 17 with add-lambda).

        After a tag come the k tags or EOS, after BOS the k tags; a tag emits a word of the vocabulary or OOV. A
        unigram model counts what comes after any of them, BOS included, as one.

        Args:
            smoothing: lambda, added to every count; at 0, what was never counted becomes impossible.
        """
        # BEGIN SOLUTION
        onward = torch.cat([counts.trans, counts.stop[:, None]], dim=1)
        start = counts.start
        if self.unigram:
            onward = (onward.sum(dim=0) + nn.functional.pad(start, (0, 1))).expand_as(onward)
        log_onward = log_normalize(onward + smoothing, dim=1)
        emission = counts.emission + smoothing
        emission[1:FIRST_WORD] = 0.0
        self.start.copy_(log_onward[0, :-1] if self.unigram else log_normalize(start + smoothing, dim=0))
        self.trans.copy_(log_onward[:, :-1])
        self.stop.copy_(log_onward[:, -1])
        self.emission.copy_(log_normalize(emission, dim=0))
        # END SOLUTION

    @torch.no_grad()
    def generate(self, sentences: int, generator: torch.Generator | None = None, limit: int = 200) -> list[Sentence]:
        """Tagged sentences drawn from the model (L.3); see `generate.draw_sentences`."""
        return draw_sentences(
            *self.log_probabilities(), self.vocabulary, list(self.tagset), sentences, generator, limit
        )


def log_normalize(counts: Tensor, dim: int) -> Tensor:
    """log of counts over their sum along `dim`; all -inf where the sum is 0."""
    return counts.log() - counts.sum(dim=dim, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny).log()
