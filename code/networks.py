"""Networks that read a sentence and give every word of it k logits, one for each label (Tu and Gimpel 2019, 4.1).

With x_1 ... x_n the features of the words and H the size of a network:

    cnn       f_w(t) = relu(W_w [x_{t-w}; ...; x_{t+w}] + b_w), H filters each, x being 0 beyond both ends
              logits_t = V [f_0(t); f_w(t)] + c
    blstm     s_t = [state of an LSTM that has read x_1 ... x_t; of another one that has read x_n ... x_t], H each
              logits_t = V s_t + c
    seq2seq   h_t = an LSTM that has read the embeddings of the labels 0 ... t-1, label 0 being a start symbol
              logits_t = V s_t + U h_t + c

The last one is a sequence-to-sequence network with fixed attention: the decoder h looks at position t of the encoder s
when it gives label t. What it reads of label t is, by its `feed`,

    argmax      the embedding of its own label, argmax logits_t, in training too; no gradient passes through that choice
    scheduled   the same, but in training often that of the gold label, the less often the longer it has been trained
                (scheduled sampling, Bengio et al. 2015)
    soft        sum_y softmax(logits_t)_y (embedding of y), in training or not; gradients pass

So out of training its logits, like those of the others, are a function of the words alone.

Used as taggers that look at no neighbouring label (local.py), as the local score of an energy (crf_blstm.py), and, with
a softmax, as inference networks, whose outputs are relaxed taggings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from characters import Characters
from encoders import GatedLayer
from lexicon import Lexicon
from word_features import Pretrained

MOST_LAYERS = 16
PLUS_DROPOUT = 0.5
FEEDS = ("argmax", "scheduled", "soft")


class Network(nn.Module):
    """What the three have in common: dropout, and the linear layer V, c over the states of the network.

    Args:
        states: dimension of what `read` gives.
        k: number of labels.
        dropout: in training, the share of the word features and of the states that are 0.
    """

    def __init__(self, states: int, k: int, dropout: float):
        super().__init__()
        self.k, self.dropout = k, dropout
        self.output = nn.Linear(states, k)

    def read(self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B n states"]:
        """What the network knows at each word."""
        raise NotImplementedError(f"{type(self).__name__} does not define its states")

    def forward(self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B n k"]:
        """The logits.

        Args:
            words: their features; what stands beyond a sentence's end is finite and never matters.
            lengths: words of each sentence, at least 1.
        """
        states = self.read(functional.dropout(words, self.dropout, self.training), lengths)
        return self.output(functional.dropout(states, self.dropout, self.training))


class CNN(Network):
    """Two convolutions without pooling: over each word alone, and over `window` words on each side of it too.

    Args:
        e, H, k: dimension of word features, filters of each convolution, labels.
        window: w; 1 is the paper's {1,3}-gram, 2 its {1,5}-gram configuration.
    """

    def __init__(self, e: int, H: int, k: int, window: int = 1, dropout: float = 0.0):
        require(H=(H, 1), window=(window, 1))
        super().__init__(2 * H, k, dropout)
        self.convolutions = nn.ModuleList([nn.Conv1d(e, H, 2 * w + 1, padding=w) for w in (0, window)])

    def read(self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B n states"]:
        inside = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
        x = torch.where(inside[:, :, None], words, 0.0).transpose(1, 2)
        return torch.cat([convolution(x) for convolution in self.convolutions], dim=1).relu().transpose(1, 2)


class BLSTM(Network):
    """A bidirectional LSTM; each further layer reads the states of the one below, with no dropout between.

    Args:
        e, H, k: dimension of word features, of the state of each direction, labels.
    """

    def __init__(self, e: int, H: int, k: int, layers: int = 1, dropout: float = 0.0):
        require(H=(H, 1), layers=(layers, 1, MOST_LAYERS))
        super().__init__(2 * H, k, dropout)
        self.layers = nn.ModuleList([GatedLayer("lstm", 2 * H if above else e, H) for above in range(layers)])

    def read(self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B n states"]:
        for layer in self.layers:
            before, after = layer(words, lengths - 2)  # a GatedLayer takes BOS and EOS to be there, and counts neither
            words = torch.cat([before[:, 1:], after[:, :-1]], dim=2)
        return words


class Seq2Seq(BLSTM):
    """A BLSTM encoder, and an LSTM decoder of the same H that reads labels.

    Args:
        e, H, k, layers: see BLSTM; the decoder has one layer.
        feed: what it reads, one of FEEDS; gold labels only by `fed`, so that scheduled is as argmax here.
    """

    def __init__(self, e: int, H: int, k: int, layers: int = 1, feed: str = "argmax", dropout: float = 0.0):
        super().__init__(e, H, k, layers, dropout)
        if feed not in FEEDS:
            raise ValueError(f"feed {feed!r} is none of {', '.join(FEEDS)}")
        self.soft = feed == "soft"
        self.labels = nn.Embedding(k + 1, H)  # the last row is the start symbol
        self.decoder = nn.LSTMCell(H, H)
        self.of_decoder = nn.Linear(H, k, bias=False)
        with torch.no_grad():  # the forget gate begins open, as in encoders.GatedLayer
            self.decoder.bias_ih[H : 2 * H] = 1.0
            self.decoder.bias_hh[H : 2 * H] = 0.0

    def forward(
        self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"], fed: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B n k"]:
        """The logits.

        Args:
            words, lengths: see Network.forward.
            fed: labels that the decoder reads in place of its own, which it still reads where a -1 is. With no -1,
                logits_t are those of p(y_t | y_<t, words) with y = fed. What stands beyond a sentence's end never
                matters.
        """
        of_encoder = super().forward(words, lengths)
        label, state = self.begin(len(words))
        read, columns = self.labels(label), []
        for t in range(words.shape[1]):
            state = self.decoder(read, state)
            columns.append(of_encoder[:, t] + self.of_decoder(state[0]))
            read = self.embed(columns[-1])
            if fed is not None:
                read = torch.where((fed[:, t] >= 0)[:, None], self.labels(fed[:, t].clamp(min=0)), read)
        return torch.stack(columns, dim=1)

    def embed(self, logits: Float[Tensor, "B k"]) -> Float[Tensor, "B H"]:
        """What the decoder reads of its own label."""
        if self.soft:
            return logits.softmax(dim=1) @ self.labels.weight[: self.k]
        return self.labels(logits.argmax(dim=1))

    def begin(self, sequences: int) -> tuple[Int[Tensor, "s"], tuple[Float[Tensor, "s H"], Float[Tensor, "s H"]]]:
        """The start symbol and the state 0 of the decoder, for so many sequences of labels."""
        H = self.decoder.hidden_size
        zero = self.labels.weight.new_zeros(sequences, H)
        return torch.full((sequences,), self.k, device=zero.device), (zero, zero)

    @torch.no_grad()
    def beam(
        self, words: Float[Tensor, "B n e"], lengths: Int[Tensor, "B"], width: int
    ) -> tuple[Int[Tensor, "B n"], Float[Tensor, "B"]]:
        """Beam search for the labels y of highest log p(y | words) = sum_t log p(y_t | y_<t, words).

        Args:
            width: how many beginnings of labellings are kept at each word; with 1 it is greedy.

        Returns:
            The best labelling found, -1 in the padding, and its log-probability in nats.
        """
        of_encoder = super().forward(words, lengths)
        (B, n, k), beams = of_encoder.shape, torch.arange(width, device=words.device)
        label, state = self.begin(B * width)
        history = label.new_empty(B, width, 0)
        log_p = torch.where(beams == 0, 0.0, -torch.inf).to(of_encoder.dtype).expand(B, -1)  # all begin alike
        for t in range(n):
            state = self.decoder(self.labels(label), state)
            logits = of_encoder[:, t, None] + self.of_decoder(state[0]).view(B, width, k)
            longer = (log_p[:, :, None] + logits.log_softmax(dim=2)).flatten(1).topk(width)
            goes_on = (t < lengths)[:, None]
            log_p = torch.where(goes_on, longer.values, log_p)
            origin = torch.where(goes_on, longer.indices // k, beams)
            chosen = torch.where(goes_on, longer.indices % k, -1)
            history = torch.cat([history.gather(1, origin[:, :, None].expand(-1, -1, t)), chosen[:, :, None]], dim=2)
            label = chosen.clamp(min=0).flatten()
            rows = (origin + width * torch.arange(B, device=words.device)[:, None]).flatten()
            state = (state[0][rows], state[1][rows])
        return history[:, 0], log_p[:, 0]


NETWORKS: dict[str, type[Network]] = {"cnn": CNN, "blstm": BLSTM, "seq2seq": Seq2Seq}


def require(**sizes: Sequence[int]) -> None:
    """Raise ValueError, naming it, where a size (value, least) or (value, least, most) is out of range."""
    for name, (value, least, *most) in sizes.items():
        if value < least:
            raise ValueError(f"{name} {value} is out of range (it must be at least {least})")
        if most and value > most[0]:
            raise ValueError(f"{name} {value} is out of range (it must be at most {most[0]})")


def improve(lexicon: Lexicon) -> float:
    """Make the word features those of a network with a "+" (2.1): dropout on the embeddings of characters.

    Returns:
        The dropout that the network needs too, on its input and on its states.

    Raises:
        ValueError: the word vectors are not fine-tuned, or there is no convolution over characters.
    """
    blocks = list(lexicon.blocks)
    if not any(isinstance(block, Pretrained) and block.delta is not None for block in blocks):
        raise ValueError("plus needs word vectors that are fine-tuned (--lexicon and --finetune)")
    if not any(isinstance(block, Characters) for block in blocks):
        raise ValueError("plus needs a convolution over characters (--characters)")
    for block in blocks:
        if isinstance(block, Characters):
            block.dropout = PLUS_DROPOUT
    return PLUS_DROPOUT
