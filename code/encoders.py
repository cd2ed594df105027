"""Sentence encoders: what stands before each word of a sentence, and what stands after it, as vectors of dimension d.

As in eq. 46, h_j embeds the prefix w_0 ... w_j and h'_j the suffix w_{j+1} ... w_{n+1}, where w_0 is the word BOS and
w_{n+1} the word EOS; h_{-1} = 0 and h'_{n+1} = 0, the latter at each sentence's own end.

    sigmoid   h_j = sigma(M [1; h_{j-1}; w_j]),  h'_{j-1} = sigma(M' [1; w_j; h'_j])                           (46)
    lstm      h_j, c_j = LSTM(P w_j, h_{j-1}, c_{j-1}), and another LSTM from right to left; c_{-1} = c'_{n+1} = 0
    gru       h_j = GRU(P w_j, h_{j-1}), and another from right to left
    window    h_j = sigma(M [1; w_{j-W+1}; ...; w_j]),  h'_{j-1} = sigma(M' [1; w_j; ...; w_{j+W-1}]),
              the words before BOS and after EOS being 0

LSTM and GRU read words through a trained embedding P: their three or four gates on thousands of one-hot words would be
most of the parameters of the model. Dropout is of the numbers in P w, not of the features in w.

In a deep encoder each layer reads at word j, in place of w_j, the two states of the layer below that have just read it,
[h_j; h'_{j-1}]. Those look at the whole sentence between them. So above the first layer h_j is no longer a function of
the prefix alone: it reads, from left to right and as far as w_j, words each seen in its context; and h'_j likewise from
the right.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from crf_neural import sigmoid_rnn, uniform
from lexicon import WordFeatures

GATED: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
RNNS = ("sigmoid", *GATED)

Inputs = WordFeatures | Float[Tensor, "B m dim"]
States = tuple[Float[Tensor, "B columns d"], Float[Tensor, "B columns d"]]  # n + 3 columns


class Encoder(nn.Module):
    """Layers one upon another.

    Args:
        rnn: sigmoid, lstm or gru.
        e, d: dimensions of word features and of states; with d = 0 the states are empty.
        layers: how many, at least 1.
        window: W, the words that a state sees; with 0 there is a recurrent network instead.
        dropout: share of the numbers that each layer reads that are set to 0 in training; word features, where the
            first one reads these, stay.

    Attributes:
        dim: dimension of what it reads of a word, 2 d for P w and e for w.
    """

    def __init__(self, rnn: str, e: int, d: int, layers: int = 1, window: int = 0, dropout: float = 0.0):
        super().__init__()
        self.embedding, self.dropout, self.dim = None, dropout, e
        if window:
            self.layers = nn.ModuleList([WindowLayer(e, d, window)])
        elif rnn == "sigmoid":
            self.layers = nn.ModuleList([SigmoidLayer(2 * d if above else e, d) for above in range(layers)])
        else:
            self.dim = 2 * d
            self.embedding = nn.Parameter(uniform(2 * d, e).T.contiguous())
            self.layers = nn.ModuleList([GatedLayer(rnn, 2 * d, d) for _ in range(layers)])

    def embed(self, words: WordFeatures) -> Inputs:
        """What the first layer reads of words: P w, or w itself."""
        if self.embedding is None:
            return words
        return functional.dropout(words @ self.embedding, self.dropout, self.training)

    def forward(self, inputs: Inputs, lengths: Int[Tensor, "B"]) -> States:
        """The states of the top layer: h_j and h'_j in column j + 1, for j = -1 ... n + 1 of each sentence.

        Args:
            inputs: w_0 ... w_{n+1} as `embed` gives them (m = n + 2 columns).
            lengths: n of each sentence. What stands beyond column n + 2 is finite and of no meaning.
        """
        before, after = self.layers[0](inputs, lengths)
        for layer in self.layers[1:]:
            below = torch.cat([before[:, 1:], after[:, :-1]], dim=2)
            before, after = layer(functional.dropout(below, self.dropout, self.training), lengths)
        return before, after


class SigmoidLayer(nn.Module):
    """Eq. 46; parameters M [d, 1 + d + e] over [1; h; w] and M_ [d, 1 + e + d] over [1; w; h']."""

    def __init__(self, e: int, d: int):
        super().__init__()
        self.M, self.M_ = nn.Parameter(uniform(d, 1 + d + e)), nn.Parameter(uniform(d, 1 + e + d))

    def forward(self, inputs: WordFeatures | Float[Tensor, "B m e"], lengths: Int[Tensor, "B"]) -> States:
        d, e = self.M.shape[0], self.M.shape[1] - self.M.shape[0] - 1
        bias, recurrent, of_word = self.M.split([1, d, e], dim=1)
        bias_, of_word_, recurrent_ = self.M_.split([1, e, d], dim=1)
        x, x_ = (inputs @ torch.cat([of_word, of_word_]).T).tensor_split(2, dim=2)
        after = sigmoid_rnn(mirrored(x_, lengths + 1) + bias_.T, recurrent_)
        return sigmoid_rnn(x + bias.T, recurrent), mirrored(after, lengths + 2)


class GatedLayer(nn.Module):
    """An LSTM or GRU (in PyTorch's form of them) from left to right, and another from right to left."""

    def __init__(self, rnn: str, e: int, d: int):
        super().__init__()
        self.rightward, self.leftward = (GATED[rnn](e, d, batch_first=True) for _ in range(2))
        if rnn == "lstm":  # the forget gate, second of the four, begins open
            with torch.no_grad():
                for network in (self.rightward, self.leftward):
                    network.bias_ih_l0[d : 2 * d] = 1.0
                    network.bias_hh_l0[d : 2 * d] = 0.0

    def forward(self, inputs: Float[Tensor, "B m e"], lengths: Int[Tensor, "B"]) -> States:
        before, after = self.rightward(inputs)[0], self.leftward(mirrored(inputs, lengths + 1))[0]
        before, after = (functional.pad(states, (0, 0, 1, 0)) for states in (before, after))  # the state 0
        return before, mirrored(after, lengths + 2)


class WindowLayer(nn.Module):
    """W words on each side; parameters M, M_ [d, 1 + W e] over [1; w; ...; w], the words from left to right."""

    def __init__(self, e: int, d: int, window: int):
        super().__init__()
        self.window = window
        self.M, self.M_ = nn.Parameter(uniform(d, 1 + window * e)), nn.Parameter(uniform(d, 1 + window * e))

    def forward(self, inputs: WordFeatures, lengths: Int[Tensor, "B"]) -> States:
        d, W = self.M.shape[0], self.window
        blocks = [M[:, 1:].unflatten(1, (W, -1)) for M in (self.M, self.M_)]
        weight = torch.stack(blocks).permute(3, 0, 2, 1)  # [e, side, place in the window, d]
        products = (inputs @ weight.flatten(1)).unflatten(2, (2, W, d))
        m = products.shape[1]
        column = torch.arange(m + 1, device=lengths.device)
        inside = (column < (lengths + 2)[:, None])[:, :, None]  # of EOS and what is before it
        x, x_ = torch.where(inside[:, :m, :, None, None], products, 0.0).unbind(2)
        before = sum(functional.pad(x[:, : m - o, W - 1 - o], (0, 0, o, 0)) for o in range(min(W, m)))
        after = sum(functional.pad(x_[:, o:, o], (0, 0, 0, o)) for o in range(min(W, m)))
        before = functional.pad(torch.sigmoid(before + self.M[:, 0]), (0, 0, 1, 0))
        after = functional.pad(torch.sigmoid(after + self.M_[:, 0]), (0, 0, 0, 1))
        return before, torch.where(inside, after, 0.0)


def mirrored(x: Float[Tensor, "B m d"], last: Int[Tensor, "B"]) -> Float[Tensor, "B m d"]:
    """The columns 0 ... last[b] of each sentence the other way round; beyond them, column 0."""
    column = (last[:, None] - torch.arange(x.shape[1], device=x.device)).clamp(min=0)
    return x.gather(1, column[:, :, None].expand(-1, -1, x.shape[2]))
