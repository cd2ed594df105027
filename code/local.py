"""Local taggers: p(t | w) = prod_i softmax(logits_i)[t_i], the logits of a network of the words (networks.py).

They are the non-structured baselines of Tu and Gimpel (2019): the loss -log p(t | w) is the sum over tokens of the
cross entropy. Each tag is chosen on its own, so all that a chain is asked for costs a step a token, none over pairs of
tags; and every decoder finds the same tagging.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chain import NEG_INF, LinearChain
from corpus import Batch
from integerize import Integerizer
from lexicon import Lexicon
from logsumexp_safe import logsumexp_safe
from networks import BLSTM, CNN, Network, Seq2Seq, improve
from tagger import Tagger


class IndependentTags(LinearChain):
    """The chain without bigram factors: a product of softmaxes. What it overrides is the same in time n k, not n k^2.

    Args:
        emit: [B, n, k] log-potentials of single tags.
        lengths: [B] tokens in each sentence.
    """

    def __init__(self, emit: Float[Tensor, "B n k"], lengths: Int[Tensor, "B"]):
        zero, k = emit.new_zeros(1), emit.shape[2]
        super().__init__(zero.expand(len(emit), k), emit, zero.expand(k, k), zero.expand(len(emit), k), lengths)

    def detach(self) -> IndependentTags:
        return IndependentTags(self.given_emit.detach(), self.lengths)

    def clamped(self, tags: Int[Tensor, "B n"]) -> IndependentTags:
        return IndependentTags(super().clamped(tags).given_emit, self.lengths)

    @cached_property
    def log_partition(self) -> Float[Tensor, "B"]:
        return torch.where(self.mask, logsumexp_safe(self.emit, dim=2), 0.0).sum(dim=1)

    @cached_property
    def marginals(self) -> Float[Tensor, "B n k"]:
        self._refuse_impossible()
        return torch.where(self.mask[:, :, None], self.emit.detach().softmax(dim=2), 0.0)

    @cached_property
    def argmax(self) -> Int[Tensor, "B n"]:
        best = self.emit.detach().max(dim=2)
        self._refuse((best.values == NEG_INF).any(dim=1))
        return torch.where(self.mask, best.indices, -1)


class NetworkTagger(Tagger):
    """A tagger whose scores of single tags are the logits of a network.

    Args:
        hidden: H of the network.
        plus: with the improvements of section 2.1: dropout of .5 on the embeddings of characters, the word features
            and the states of the network; word vectors are fine-tuned and there is a convolution over characters,
            which the lexicon must have been made with.
        more: what else the network's constructor takes.

    Raises:
        ValueError: a size is out of range, or `plus` with a lexicon that lacks what it needs.
    """

    network_class: ClassVar[type[Network]]

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, hidden: int, plus: bool, **more: Any):
        super().__init__(tagset, lexicon, hidden=hidden, plus=plus, **more)
        dropout = improve(lexicon) if plus else 0.0
        self.network = self.network_class(lexicon.dim, hidden, len(tagset), dropout=dropout, **more)

    def logits(self, batch: Batch) -> Float[Tensor, "B n k"]:
        return self.network(self.lexicon.embed(batch), batch.lengths)

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        loss = -self.logprob(batch).mean() + reg / N * self.squared_norm()
        loss.backward()
        return loss.item()


class LocalTagger(NetworkTagger):
    """A softmax for each token."""

    def forward(self, batch: Batch) -> IndependentTags:
        return IndependentTags(self.logits(batch), batch.lengths)


class LocalCNN(LocalTagger):
    """Args: see NetworkTagger; window: words on each side that the second convolution looks at."""

    kind: ClassVar[str] = "local_cnn"
    network_class = CNN

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, hidden: int = 100, plus: bool = False, window: int = 1):
        super().__init__(tagset, lexicon, hidden, plus, window=window)


class LocalBLSTM(LocalTagger):
    """Args: see NetworkTagger; layers: of the BLSTM."""

    kind: ClassVar[str] = "local_blstm"
    network_class = BLSTM

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, hidden: int = 100, plus: bool = False, layers: int = 1):
        super().__init__(tagset, lexicon, hidden, plus, layers=layers)


class LocalSeq2Seq(LocalTagger):
    """The network that reads its own labels. Args: see NetworkTagger; layers: of the encoder; feed: see networks.py.

    There are two distributions that such a network defines, unless its feed is soft, which has the first one only:

        p(t | w) = prod_i p(t_i | w, own labels before i)    the chain: the labels read are argmax, whatever t is
        q(t | w) = prod_i p(t_i | w, t_1 ... t_{i-1})        the labels read are those that are scored

    The network is trained as Tu and Gimpel train it, on its own labels: that is on p, which is a product of softmaxes,
    as those of the other local taggers, because the labels read are a function of the words. Its best tagging is the
    one that greedy decoding gives. q is autoregressive and no chain; `beam` searches it.

    Attributes:
        gold_share: in training, the share of the labels read that are gold ones, where these are known; what trains
            with a schedule (infnet_training.py) sets it.
    """

    kind: ClassVar[str] = "local_seq2seq"
    network_class = Seq2Seq

    def __init__(
        self, tagset: Integerizer, lexicon: Lexicon, hidden: int = 100, plus: bool = False, layers: int = 1,
        feed: str = "argmax",
    ):  # fmt: skip
        super().__init__(tagset, lexicon, hidden, plus, layers=layers, feed=feed)
        self.gold_share = 0.0

    def logits(self, batch: Batch) -> Float[Tensor, "B n k"]:
        fed = None
        if self.training and self.gold_share and batch.tags is not None:
            chosen = torch.rand(batch.tags.shape, device=batch.tags.device) < self.gold_share
            fed = torch.where(chosen, batch.tags, -1)
        return self.network(self.lexicon.embed(batch), batch.lengths, fed)

    def beam(self, batch: Batch, width: int) -> tuple[Int[Tensor, "B n"], Float[Tensor, "B"]]:
        """The tagging of highest q that beam search finds, -1 in the padding, and its log q(tags | words) in nats.

        Raises:
            ValueError: the feed is soft: no labels are read.
        """
        if self.network.soft:
            raise ValueError("a network with a soft feed reads no labels that a beam could search")
        return self.network.beam(self.lexicon.embed(batch), batch.lengths, width)
