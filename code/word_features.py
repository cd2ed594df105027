"""The blocks that word features are made of, and their product with a weight matrix.

A block maps a word type to a row (or several) of its own numbering once, and rows to features at each use. One-hot and
multi-hot blocks give indices, dense blocks vectors; `WordFeatures @ weight` treats them alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from word_vectors import WordVectors

BOS, EOS = "\0BOS", "\0EOS"  # the words at the ends; no word of a text is spelled like this

Value = TypeVar("Value")


def look_up(word: str, table: Mapping[str, Value]) -> Value | None:
    """The entry of the word as it is, else of the word in lower case, else None."""
    value = table.get(word)
    return table.get(word.lower()) if value is None else value


@dataclass(frozen=True)
class WordFeatures:
    """The features of a batch's tokens, [B, m, e] in meaning, e the sum of `dims`.

    Each part is dense [B, m, dim], or the index of the one feature that fires [B, m], or of several [B, m, slots].
    """

    parts: list[Tensor]
    dims: list[int]

    def __matmul__(self, weight: Float[Tensor, "e out"]) -> Float[Tensor, "B m out"]:
        products = [_product(part, block) for part, block in zip(self.parts, weight.split(self.dims))]
        return sum(products[1:], start=products[0])

    def transposed_product(self, x: Float[Tensor, "B m out"]) -> Float[Tensor, "e out"]:
        """The sum over tokens of feature vector times row of x: what `@` is the transpose of."""
        return torch.cat([_transposed_product(part, dim, x.flatten(0, 1)) for part, dim in zip(self.parts, self.dims)])

    def dense(self) -> Float[Tensor, "B m e"]:
        """The vectors themselves, zeros and all."""
        return torch.cat([_dense(part, dim) for part, dim in zip(self.parts, self.dims)], dim=-1)


def _product(part: Tensor, weight: Float[Tensor, "dim out"]) -> Float[Tensor, "B m out"]:
    if part.is_floating_point():
        return part @ weight
    if part.dim() == 2:
        return nn.functional.embedding(part, weight)
    return nn.functional.embedding_bag(part.flatten(0, 1), weight, mode="sum").view(*part.shape[:2], -1)


def _transposed_product(part: Tensor, dim: int, x: Float[Tensor, "tokens out"]) -> Float[Tensor, "dim out"]:
    if part.is_floating_point():
        return part.flatten(0, 1).T @ x
    slots = part.reshape(len(x), -1)
    total = x.new_zeros(dim, x.shape[1])
    for slot in slots.T:
        total.index_add_(0, slot, x)
    return total


def _dense(part: Tensor, dim: int) -> Float[Tensor, "B m dim"]:
    if part.is_floating_point():
        return part
    one_hot = nn.functional.one_hot(part, dim).to(torch.get_default_dtype())
    return one_hot if part.dim() == 2 else one_hot.sum(dim=2)


class Block(nn.Module):
    """One kind of features.

    Attributes:
        kind: its name in model files.
        dim: how many features it has.
        index: the words that it knows of itself, for telling seen words from novel ones; empty for most.
    """

    kind: ClassVar[str]
    dim: int
    index: Mapping[str, int] = {}

    def config(self) -> dict[str, Any]:
        """What `make_block` needs to make it again, before its tensors are loaded."""
        return dict(kind=self.kind)

    def draw(self) -> None:
        """Draw its random weights from torch's global generator; most have none."""

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types *slots"]:
        """The row or rows of each word type; `known` tells whether a training token has it."""
        raise NotImplementedError(f"{type(self).__name__} has no rows")

    def forward(
        self, rows: Int[Tensor, "B m *slots"], as_novel: Bool[Tensor, "B m"], fold: Int[Tensor, "B 1"]
    ) -> Tensor:
        """The features of tokens by their rows; those marked `as_novel` as if they had not been met in training."""
        raise NotImplementedError(f"{type(self).__name__} has no features")


class OneHot(Block):
    """One dimension for each training word, and one each for OOV, BOS and EOS."""

    kind = "one_hot"

    def __init__(self, training_words: Iterable[str]):
        super().__init__()
        names = dict.fromkeys(["", BOS, EOS, *training_words])  # "" stands for OOV
        self.words = {word: row for row, word in enumerate(names)}
        self.dim = len(self.words)

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types"]:
        return torch.tensor([look_up(word, self.words) or 0 for word in words])

    def forward(self, rows, as_novel, fold) -> Int[Tensor, "B m"]:
        return torch.where(as_novel, 0, rows)


class Pretrained(Block):
    """Fixed vectors from a lexicon file, and one trained vector, `oov`, for novel words without a row.

    Args:
        finetune: whether training may add a `delta` [rows, dim], zeros at first, to the fixed `matrix`. So a
            regularizer pulls the sum towards the vectors of the file.
    """

    kind = "pretrained"

    def __init__(self, vectors: WordVectors, finetune: bool = False):
        super().__init__()
        ends = {"BOS": BOS, "EOS": EOS}
        self.words = vectors.words
        self.index = {ends.get(word, word): row for row, word in enumerate(vectors.words)}
        self.dim = vectors.matrix.shape[1]
        self.ool = self.index.pop("OOL")
        self.register_buffer("matrix", vectors.matrix)
        self.oov = nn.Parameter(vectors.matrix[self.ool].clone())
        self.delta = nn.Parameter(torch.zeros_like(vectors.matrix)) if finetune else None

    def config(self) -> dict[str, Any]:
        return dict(kind=self.kind, words=self.words, dim=self.dim, finetune=self.delta is not None)

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types"]:
        """A word without a row gets OOL if it is known from training, else -1 for OOV."""
        found = (look_up(word, self.index) for word in words)
        return torch.tensor([row if row is not None else self.ool if k else -1 for row, k in zip(found, known)])

    def forward(self, rows, as_novel, fold) -> Float[Tensor, "B m dim"]:
        oov = (rows < 0) | (as_novel & (rows == self.ool))
        rows = rows.clamp(min=0)
        vectors = nn.functional.embedding(rows, self.matrix)
        if self.delta is not None:
            vectors = vectors + nn.functional.embedding(rows, self.delta)
        return torch.where(oov[:, :, None], self.oov, vectors)


class Problex(Block):
    """Log-probabilities of each tag given the word, and of the word, from its counts in the training text.

    A training token gets the counts of the other nine tenths of the text, so that what it sees of itself is what a
    token of new text would. `matrix` [words + 2, k + 1] holds those of all the text, its last rows those of OOV and
    of BOS and EOS.
    """

    kind = "problex"

    def __init__(self, words: Sequence[str], matrix: Float[Tensor, "rows dim"], of_folds: Tensor | None = None):
        super().__init__()
        self.words = {word: row for row, word in enumerate(words)}
        self.dim = matrix.shape[1]
        self.register_buffer("matrix", matrix)
        self.register_buffer("of_folds", of_folds, persistent=False)

    def config(self) -> dict[str, Any]:
        return dict(kind=self.kind, words=list(self.words), dim=self.dim)

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types"]:
        oov, end = len(self.words), len(self.words) + 1
        found = (end if word in (BOS, EOS) else look_up(word, self.words) for word in words)
        return torch.tensor([oov if row is None else row for row in found])

    def forward(self, rows, as_novel, fold) -> Float[Tensor, "B m dim"]:
        rows = torch.where(as_novel, len(self.words), rows)
        features = nn.functional.embedding(rows, self.matrix)
        if self.of_folds is None or not (fold >= 0).any():
            return features
        return torch.where(fold[:, :, None] >= 0, self.of_folds[fold.clamp(min=0), rows], features)


class Affixes(Block):
    """Multi-hot: the affixes and the shape of the word, of those that at least two training words have."""

    kind = "affixes"

    def __init__(self, names: Sequence[str], affixes):
        super().__init__()
        self.names = {name: row for row, name in enumerate(["", *names])}  # "" stands for all the rare ones
        self.affixes = affixes
        self.dim = len(self.names)

    def config(self) -> dict[str, Any]:
        return dict(kind=self.kind, names=list(self.names)[1:])

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types slots"]:
        return torch.tensor([[self.names.get(name, 0) for name in self.affixes(word)] for word in words])

    def forward(self, rows, as_novel, fold) -> Int[Tensor, "B m slots"]:
        return rows
