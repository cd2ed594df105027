"""The biRNN-CRF of crf_neural.py with other potentials and other sentence encoders (handout section 4, H.4-H.5).

What is changed in eqs. 45, 47 and 48, by the name of `potentials`:

    full              nothing
    inner             f^A(s, t, w, i) = sigma(U^A [1; h_i; s; t; h'_{i-2}])                               (footnote 32)
                      the transition sees the two words that it tags
    emission_context  f^A(s, t) = sigma(U^A [1; s; t])                                                    (footnote 32)
                      transitions are stationary, emissions see the context; the fastest
    window            h and h' are those of a fixed window of words (encoders.py)
    shared            phi_A = exp(theta^{A,s,t} . f(w, i)),  phi_B = exp(theta^{B,t} . f(w, i))           (footnote 32)
                      f(w, i) = [1; sigma(U^B [1; h_{i-1}; w_i; h'_i])]
                      one vector a position for all tags and tag bigrams; phi_B knows its word through f
    emission_mlp      f^A as in emission_context, phi_B as in shared
                      emissions are a network with one hidden layer, f, and an output for each tag; eq. 48, with the
                      tag inside sigma, has a hidden layer for each tag

Besides: the encoder may be an LSTM or GRU, which read words through an embedding P (encoders.py), and so does f(w, i)
then, with P w_i in the place of w_i; and it may be deep. Without `boundary` the factors of (BOS, t) and (t, EOS) are 1,
so that the product of the phi_A is over i = 2 ... n (footnote 29); with `unigram` all phi_A are 1; with `outside` the
hand-made features of a word stand outside sigma too (H.5): log phi_B gets the term W^T w over the one-hot, problex and
affix blocks of the lexicon.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from chain import LinearChain
from corpus import Batch
from crf_neural import ConditionalRandomFieldNeural, uniform
from encoders import RNNS, Encoder, Inputs
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures
from tagger import Tagger
from word_features import Affixes, OneHot, Problex

POTENTIALS = ("full", "shared", "inner", "emission_context", "emission_mlp", "window")
STATIONARY_TRANSITIONS = ("emission_context", "emission_mlp")
FOR_ALL_TAGS = ("shared", "emission_mlp")  # emission features are f(w, i), which sees no tag
HAND_MADE = (OneHot, Problex, Affixes)
MOST_LAYERS = 16


class ConditionalRandomFieldExtended(ConditionalRandomFieldNeural):
    """biRNN-CRF with variations; with the defaults of its own arguments, crf_neural's.

    Parameters: U_A, U_B, theta_A, theta_B and tags as in crf_neural, those of the encoder in place of M and M', and W
    [hand-made features, k] with `outside`. Without bigram factors there are no U_A and theta_A; where transitions are
    stationary U_A is [F_A, 1 + 2 tag_dim]. With f(w, i): U_B [F_B, 1 + d + e + d], with 2 d for e where P w is read,
    and theta_B [k, 1 + F_B]; shared: theta_A [k * k + 2 k, 1 + F_B] over the bigrams of tags, then those with BOS, then
    those with EOS.

    Args:
        rnn_dim, transition_features, emission_features, tag_dim: see ConditionalRandomFieldNeural.
        potentials: one of POTENTIALS.
        window: words on each side, for potentials "window".
        boundary: whether there are bigram factors of BOS and EOS.
        rnn, layers: see encoders.Encoder.
        outside: whether hand-made features are also outside sigma.
        dropout: in training, the share of the numbers that are 0 of P w, of what deeper layers read, and of the states
            that emission features read.
        unigram: the bigram factors are all 1.

    Raises:
        ValueError: sizes that do not go together, or out of range.
    """

    kind: ClassVar[str] = "crf_extended"

    def __init__(
        self,
        tagset: Integerizer,
        lexicon: Lexicon,
        rnn_dim: int = 32,
        transition_features: int = 16,
        emission_features: int = 64,
        tag_dim: int = 32,
        potentials: str = "full",
        window: int = 1,
        boundary: bool = True,
        rnn: str = "sigmoid",
        layers: int = 1,
        outside: bool = False,
        dropout: float = 0.0,
        unigram: bool = False,
    ):
        sizes = dict(rnn_dim=rnn_dim, transition_features=transition_features, emission_features=emission_features)
        sizes.update(tag_dim=tag_dim, potentials=potentials, window=window, boundary=boundary, rnn=rnn, layers=layers)
        sizes.update(outside=outside, dropout=dropout, unigram=unigram)
        refuse_nonsense(**sizes)
        Tagger.__init__(self, tagset, lexicon, **sizes)
        k, e, d, F_A, F_B = len(tagset), lexicon.dim, rnn_dim, transition_features, emission_features
        self.d, self.tag_dim, self.k = d, tag_dim, k
        self.potentials, self.boundary, self.unigram, self.dropout = potentials, boundary, unigram, dropout
        self.encoder = Encoder(rnn, e, d, layers, window if potentials == "window" else 0, dropout)
        shared, for_all_tags = potentials == "shared", potentials in FOR_ALL_TAGS
        if not (unigram or shared):
            of_context = 0 if potentials in STATIONARY_TRANSITIONS else 2 * d
            self.U_A = nn.Parameter(uniform(F_A, 1 + of_context + 2 * tag_dim))
        self.U_B = nn.Parameter(uniform(F_B, 1 + 2 * d + (self.encoder.dim if for_all_tags else tag_dim + e)))
        if shared and not unigram:
            self.theta_A = nn.Parameter(torch.zeros(k * k + 2 * k * boundary, 1 + F_B))
        elif not unigram:
            self.theta_A = nn.Parameter(torch.randn(F_A) / F_A**0.5)
        self.theta_B = nn.Parameter(torch.randn(*((k, 1 + F_B) if for_all_tags else (F_B,))) / F_B**0.5)
        if not (shared or (for_all_tags and unigram)):
            self.tags = nn.Parameter(torch.randn(k + 2, tag_dim))
        self.hand_made = [number for number, block in enumerate(lexicon.blocks) if isinstance(block, HAND_MADE)]
        if outside and not self.hand_made:
            raise ValueError("outside needs hand-made word features: one-hot words, problex or affixes")
        rows = sum(lexicon.dims[number] for number in self.hand_made)
        self.W = nn.Parameter(torch.zeros(rows, k)) if outside else None

    def forward(self, batch: Batch) -> LinearChain:
        words = self.lexicon.features(batch, ends=True)
        inputs = self.encoder.embed(words)
        before, after = self.encoder(inputs, batch.lengths)
        dropped_before, dropped_after = (functional.dropout(x, self.dropout, self.training) for x in (before, after))
        if self.potentials in FOR_ALL_TAGS:
            f = self.features_for_all_tags(dropped_before[:, 1:-1], dropped_after[:, 2:], inputs)
            emit = f[:, :-1] @ self.theta_B.T
        else:
            emit = self.emission_potentials(dropped_before[:, :-2], dropped_after[:, 2:], words)
        if self.potentials == "shared":
            start, trans, stop = self.shared_transitions(f, batch)
        else:
            start, trans, stop = self.transition_potentials(*self.transition_context(before, after), batch)
        if self.W is not None:
            emit = emit + (self.hand_made_features(words) @ self.W)[:, 1:-1]
        return LinearChain(start, emit, trans, stop, batch.lengths)

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        """As in crf_backprop, in less memory traffic: the gradient of reg |theta|^2 / N is 2 reg theta / N."""
        loss = -self.logprob(batch).mean()
        loss.backward()
        with torch.no_grad():
            for parameter in self.parameters():
                decay = 2 * reg / N * parameter
                parameter.grad = decay if parameter.grad is None else parameter.grad.add_(decay)
            return (loss + reg / N * self.squared_norm()).item()

    def context(self, words: WordFeatures, batch: Batch) -> tuple[Float[Tensor, "B m d"], Float[Tensor, "B m d"]]:
        """h_{i-2} and h'_i of the m = n + 1 factors, as in crf_neural; see encoders.py for what they look at."""
        before, after = self.encoder(self.encoder.embed(words), batch.lengths)
        return before[:, :-2], after[:, 2:]

    def transition_context(
        self, before: Float[Tensor, "B columns d"], after: Float[Tensor, "B columns d"]
    ) -> tuple[Float[Tensor, "B m c"], Float[Tensor, "B m c"]]:
        """What f^A sees of the states h_j and h'_j, which are in column j + 1: two vectors for each bigram factor."""
        if self.potentials == "inner":
            return before[:, 2:], after[:, :-2]
        if self.potentials in STATIONARY_TRANSITIONS:
            return before[:, :-2, :0], after[:, 2:, :0]
        return before[:, :-2], after[:, 2:]

    def transition_potentials(
        self, prefix: Float[Tensor, "B m c"], suffix: Float[Tensor, "B m c"], batch: Batch
    ) -> tuple[Float[Tensor, "B k"], Tensor, Float[Tensor, "B k"]]:
        """log phi_A as in crf_neural; 0 where `unigram` or the lack of `boundary` makes it so."""
        zeros = prefix.new_zeros(len(batch), self.k)
        if self.unigram:
            return zeros, prefix.new_zeros(self.k, self.k), zeros
        start, trans, stop = super().transition_potentials(prefix, suffix, batch)
        return (start, trans, stop) if self.boundary else (zeros, trans, zeros)

    def features_for_all_tags(
        self, prefix: Float[Tensor, "B m d"], suffix: Float[Tensor, "B m d"], inputs: Inputs
    ) -> Float[Tensor, "B m F"]:
        """f(w, i) for i = 1 ... n + 1, given h_{i-1}, h'_i and what the encoder reads of the words."""
        bias, of_prefix, of_word, of_suffix = self.U_B.split([1, self.d, self.encoder.dim, self.d], dim=1)
        f = torch.sigmoid(prefix @ of_prefix.T + suffix @ of_suffix.T + (inputs @ of_word.T)[:, 1:] + bias.T)
        return functional.pad(f, (1, 0), value=1.0)

    def shared_transitions(
        self, f: Float[Tensor, "B m F"], batch: Batch
    ) -> tuple[Float[Tensor, "B k"], Tensor, Float[Tensor, "B k"]]:
        """log phi_A = theta^{A,s,t} . f(w, i), in the shapes of `transition_potentials`."""
        k, zeros = self.k, f.new_zeros(len(batch), self.k)
        if self.unigram:
            return zeros, f.new_zeros(k, k), zeros
        of_pairs, of_first, of_last = self.theta_A.split([k * k, k, k] if self.boundary else [k * k, 0, 0])
        trans = (f[:, 1:-1] @ of_pairs.T).unflatten(2, (k, k))
        if not self.boundary:
            return zeros, trans, zeros
        return f[:, 0] @ of_first.T, trans, f[torch.arange(len(f), device=f.device), batch.lengths] @ of_last.T

    def hand_made_features(self, words: WordFeatures) -> WordFeatures:
        """Those blocks of word features that W weighs."""
        return WordFeatures([words.parts[b] for b in self.hand_made], [words.dims[b] for b in self.hand_made])


class Awesome(ConditionalRandomFieldExtended):
    """The tagger of --awesome: the same model, with sizes and training of our choice (defaults.py)."""

    kind: ClassVar[str] = "awesome"


def refuse_nonsense(**sizes: Any) -> None:
    """Raise ValueError, naming them, where a size is out of range or two of them make no sense together."""
    s = SimpleNamespace(**sizes)
    for name, values in (("potentials", POTENTIALS), ("rnn", RNNS)):
        if sizes[name] not in values:
            raise ValueError(f"{name} {sizes[name]!r} is none of {', '.join(values)}")
    if not 1 <= s.window:
        raise ValueError(f"window {s.window} is below 1")
    if not 1 <= s.layers <= MOST_LAYERS:
        raise ValueError(f"layers {s.layers} is out of range (it must be at least 1 and at most {MOST_LAYERS})")
    if not 0 <= s.dropout < 1:
        raise ValueError(f"dropout {s.dropout} is out of range (it must be at least 0 and below 1)")
    no_context, shared = s.rnn_dim == 0, s.potentials == "shared"
    clashes = [
        ("window", "potentials", s.window != 1 and s.potentials != "window"),
        ("rnn", "potentials", s.rnn != "sigmoid" and s.potentials == "window"),
        ("layers", "potentials", s.layers > 1 and s.potentials == "window"),
        ("rnn", "rnn_dim", s.rnn != "sigmoid" and no_context),
        ("layers", "rnn_dim", s.layers > 1 and no_context),
        ("potentials", "rnn_dim", s.potentials in ("inner", *STATIONARY_TRANSITIONS, "window") and no_context),
        ("unigram", "potentials", s.unigram and s.potentials in ("inner", "emission_context")),
        ("unigram", "boundary", s.unigram and not s.boundary),
        ("unigram", "transition_features", s.unigram and s.transition_features != 16),
        ("potentials", "transition_features", shared and s.transition_features != 16),
        ("potentials", "tag_dim", shared and s.tag_dim != 32),
        ("unigram", "tag_dim", s.unigram and s.potentials == "emission_mlp" and s.tag_dim != 32),
    ]
    for one, other, clash in clashes:
        if clash:
            raise ValueError(f"{one} {sizes[one]} does not go with {other} {sizes[other]}")
