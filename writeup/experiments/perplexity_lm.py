"""A small LSTM language model of sequences of symbols: the words of sentences, or their gold tags.

    log p(s_1 ... s_n) = sum_{i=1}^{n+1} log softmax(W h_i + b)[s_i],    h_i = LSTM(embeddings of s_0 ... s_{i-1})

s_0 = s_{n+1} is one symbol, the end of a sequence. Symbols that are rare in training are one symbol, UNKNOWN. W is the
matrix of embeddings, transposed: the training corpora are small. Perplexity is per symbol, the end counted.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from corpus import Batch, IntegerizedCorpus, Sentence
from integerize import Integerizer

END, UNKNOWN = "\0END", "\0UNKNOWN"  # symbols 0 and 1; no word and no tag is spelled like this


@dataclass(frozen=True)
class Settings:
    """Of the model and its training.

    Attributes:
        least: symbols that occur less often in training are UNKNOWN.
        dropout: on the embeddings and on the states.
        batch_size: sequences.
        epochs: at most.
        patience: stop after so many epochs in a row without a lower perplexity of the sequences to watch.
    """

    hidden: int = 128
    least: int = 2
    dropout: float = 0.5
    lr: float = 0.003
    batch_size: int = 32
    epochs: int = 60
    patience: int = 3
    seed: int = 0


class LanguageModel(nn.Module):
    """Args: symbols: how many there are, END as number 0."""

    def __init__(self, symbols: int, hidden: int, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(symbols, hidden)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, batch: Batch) -> Float[Tensor, "B m"]:
        """log p of each symbol given those before it, and of the end, in nats; 0 after that. m = n + 1."""
        ids = batch.ids.masked_fill(~batch.mask, 0)
        before, symbols = nn.functional.pad(ids, (1, 0)), nn.functional.pad(ids, (0, 1))
        states, _ = self.lstm(self.dropout(self.embedding(before)))
        inside = torch.arange(symbols.shape[1], device=ids.device) <= batch.lengths[:, None]
        logits = nn.functional.linear(self.dropout(states[inside]), self.embedding.weight, self.bias)
        log_p = states.new_zeros(symbols.shape)
        log_p[inside] = -nn.functional.cross_entropy(logits, symbols[inside], reduction="none")
        return log_p


class Sequences:
    """Training sequences and others, in the symbols of the former.

    Args:
        training: sequences of strings.
        least: see Settings.
    """

    def __init__(self, training: Sequence[Sequence[str]], least: int):
        counts = Counter(symbol for sequence in training for symbol in sequence)
        self.symbols = Integerizer([END, UNKNOWN, *(symbol for symbol, count in counts.items() if count >= least)])
        self.training = self.integerize(training)

    def integerize(self, sequences: Sequence[Sequence[str]]) -> IntegerizedCorpus:
        known = [tuple(symbol if symbol in self.symbols else UNKNOWN for symbol in row) for row in sequences]
        return IntegerizedCorpus([Sentence(row, (None,) * len(row)) for row in known], self.symbols, Integerizer())

    def unknown(self, corpus: IntegerizedCorpus) -> float:
        """The share of its tokens that are UNKNOWN."""
        return float((corpus.ids == self.symbols.index(UNKNOWN)).float().mean())


def train(sequences: Sequences, watched: IntegerizedCorpus, settings: Settings, what: str) -> tuple[LanguageModel, int]:
    """The model with the weights of the epoch after which the perplexity of `watched` was lowest; and which that was.

    Args:
        what: stands before the progress bar.
    """
    torch.manual_seed(settings.seed)
    model = LanguageModel(len(sequences.symbols), settings.hidden, settings.dropout)
    optimizer = torch.optim.Adam(model.parameters(), settings.lr)
    lowest, best, best_epoch = math.inf, None, 0
    with tqdm(range(1, settings.epochs + 1), desc=what, unit=" epochs") as bar:
        for epoch in bar:
            model.train()
            for numbers in sequences.training.shuffled(settings.batch_size):
                batch = sequences.training.batch(numbers)
                optimizer.zero_grad()
                (-model(batch).sum() / (batch.lengths + 1).sum()).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            found = perplexity(log_probabilities(model, watched), watched.lengths)
            if found < lowest:
                lowest, best, best_epoch = found, copy.deepcopy(model.state_dict()), epoch
            bar.set_postfix(perplexity=f"{found:.1f}", lowest=f"{lowest:.1f}")
            if epoch - best_epoch >= settings.patience:
                break
    if best is not None:
        model.load_state_dict(best)
    return model.eval(), best_epoch


@torch.no_grad()
def log_probabilities(model: LanguageModel, corpus: IntegerizedCorpus) -> Float[Tensor, "N"]:
    """log p of each sequence, its end included, in nats."""
    model.eval()
    found = torch.empty(len(corpus), dtype=torch.float64)
    for numbers in corpus.by_length(64):
        found[numbers] = model(corpus.batch(numbers)).double().sum(dim=1)
    return found


def perplexity(log_p: Float[Tensor, "N"], lengths: Tensor) -> float:
    """Of all sequences together, per symbol, their ends counted."""
    return math.exp(-float(log_p.sum()) / float((lengths + 1).sum()))
