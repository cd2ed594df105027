"""Word features: what a model may know of a word, as a row vector of dimension e.

A lexicon is a list of blocks side by side: one-hot features of the training words, pretrained vectors from a lexicon
file. Every block looks a word up as it is, then lower-cased. Failing both, the one-hot block gives OOV; a pretrained
block gives its OOL row (out of lexicon) to a word known from training and a trained OOV vector, which starts as a copy
of OOL, to a novel one. So that OOV gets trained, training words that occur once are taken for novel half of the time.

Features are never built as a matrix if they are sparse: `lexicon.features(batch) @ weight` is eq. 43's product E W,
for the tokens of the batch; `lexicon.embed(batch)` gives the rows themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from corpus import Batch, InputError, Sentence, read_lines
from integerize import Integerizer

BOS, EOS = "\0BOS", "\0EOS"  # the words at the ends; no word of a text is spelled like this
SPECIAL_ROWS = {BOS: "BOS", EOS: "EOS"}
OOL = "OOL"
SINGLETONS_AS_NOVEL = 0.5

Value = TypeVar("Value")


def look_up(word: str, table: Mapping[str, Value]) -> Value | None:
    """The entry of the word as it is, else of the word in lower case, else None."""
    value = table.get(word)
    return table.get(word.lower()) if value is None else value


@dataclass(frozen=True)
class WordVectors:
    """A lexicon file: words by falling frequency and their vectors [V, e]."""

    words: list[str]
    matrix: Float[Tensor, "V e"]


def read_lexicon(path: str | Path) -> WordVectors:
    """Read `rows dims` and then a word and its vector a line, tabs or blanks between; or a GloVe file, without header.

    OOL, BOS and EOS are added, as the mean of all rows, where the file has none; of several rows of a word the first
    counts.

    Raises:
        InputError: the file is missing, empty or no UTF-8, or a row has another dimension or is no finite number.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    header = lines[0][1].split() if lines else []
    is_header = len(header) == 2 and all(field.isdecimal() and len(field) < 19 for field in header)
    promised = [int(field) for field in header] if is_header else None
    rows = lines[1:] if promised else lines
    if not rows:
        raise InputError(f"{path}: no word vector in it")
    dims = promised[1] if promised else len(rows[0][1].split()) - 1
    if dims < 1:
        raise InputError(f"{path}:{rows[0][0]}: a word without a vector")
    if promised and promised[0] != len(rows):
        raise InputError(f"{path}:1: the header promises {promised[0]} rows, the file has {len(rows)}")
    index: dict[str, int] = {}
    values: list[list[float]] = []
    for number, line in rows:
        word, *fields = line.split("\t") if "\t" in line else line.rsplit(" ", dims)
        if len(fields) != dims or not word:
            raise InputError(f"{path}:{number}: expected a word and {dims} numbers, found {len(fields)} numbers")
        if word not in index:
            try:
                values.append([float(field) for field in fields])
            except ValueError as error:
                raise InputError(f"{path}:{number}: {error}") from None
            index[word] = number
    matrix = torch.tensor(values, dtype=torch.float32)
    broken = ~matrix.isfinite().all(dim=1)
    if broken.any():
        word = list(index)[int(broken.nonzero()[0])]
        raise InputError(f"{path}:{index[word]}: the vector of {word!r} is not finite")
    missing = [special for special in (OOL, *SPECIAL_ROWS.values()) if special not in index]
    matrix = torch.cat([matrix, matrix.mean(dim=0, dtype=torch.float64).float().expand(len(missing), -1)])
    return WordVectors([*index, *missing], matrix)


@dataclass(frozen=True)
class WordFeatures:
    """The features of a batch's tokens, [B, m, e] in meaning: dense blocks as they are, one-hot ones as indices."""

    parts: list[Float[Tensor, "B m _"] | Int[Tensor, "B m"]]
    dims: list[int]

    def __matmul__(self, weight: Float[Tensor, "e out"]) -> Float[Tensor, "B m out"]:
        products = [
            part @ block if part.is_floating_point() else nn.functional.embedding(part, block)
            for part, block in zip(self.parts, weight.split(self.dims))
        ]
        return sum(products[1:], start=products[0])

    def transposed_product(self, x: Float[Tensor, "B m out"]) -> Float[Tensor, "e out"]:
        """The sum over tokens of feature vector times row of x: what `@` is the transpose of."""
        flat = x.flatten(0, 1)
        return torch.cat([
            part.flatten(0, 1).T @ flat
            if part.is_floating_point()
            else flat.new_zeros(dim, flat.shape[1]).index_add_(0, part.flatten(), flat)
            for part, dim in zip(self.parts, self.dims)
        ])  # fmt: skip

    def dense(self) -> Float[Tensor, "B m e"]:
        return torch.cat([
            part if part.is_floating_point() else nn.functional.one_hot(part, dim).float()
            for part, dim in zip(self.parts, self.dims)
        ], dim=-1)  # fmt: skip


class OneHot(nn.Module):
    """One dimension for each training word, and one each for OOV, BOS and EOS."""

    def __init__(self, training_words: Iterable[str]):
        super().__init__()
        self.index = {word: row for row, word in enumerate(["", BOS, EOS, *training_words])}  # "" stands for OOV
        self.dim = len(self.index)

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> list[int]:
        return [look_up(word, self.index) or 0 for word in words]

    def forward(self, rows: Int[Tensor, "B m"], as_novel: Bool[Tensor, "B m"]) -> Int[Tensor, "B m"]:
        return torch.where(as_novel, 0, rows)


class Pretrained(nn.Module):
    """Fixed vectors from a lexicon file, and one trained vector for novel words without a row."""

    def __init__(self, vectors: WordVectors):
        super().__init__()
        names = {row: word for word, row in SPECIAL_ROWS.items()}
        self.words = vectors.words
        self.index = {names.get(word, word): row for row, word in enumerate(vectors.words)}
        self.dim = vectors.matrix.shape[1]
        self.ool = self.index.pop(OOL)
        self.register_buffer("matrix", vectors.matrix)
        self.oov = nn.Parameter(vectors.matrix[self.ool].clone())

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> list[int]:
        """Row numbers; a word without a row gets OOL if it is known from training, else -1 for OOV."""
        found = (look_up(word, self.index) for word in words)
        return [row if row is not None else self.ool if is_known else -1 for row, is_known in zip(found, known)]

    def forward(self, rows: Int[Tensor, "B m"], as_novel: Bool[Tensor, "B m"]) -> Float[Tensor, "B m e"]:
        oov = (rows < 0) | (as_novel & (rows == self.ool))
        vectors = nn.functional.embedding(rows.clamp(min=0), self.matrix)
        return torch.where(oov[:, :, None], self.oov, vectors)


class Lexicon(nn.Module):
    """The word features of one model, and its memory of which words it has met where.

    Args:
        training_counts: the words of the tagged training tokens, with how often each occurs.
        untagged_words: the words of untagged training text.
        vectors: pretrained lexicons, as many as wanted.
        one_hot: whether to have the one-hot block; without any vectors there is always one.

    Attributes:
        vocab: every spelling met so far by its number, as in Batch.ids; it grows as texts are read.
    """

    def __init__(
        self,
        training_counts: Mapping[str, int],
        untagged_words: Iterable[str] = (),
        vectors: Sequence[WordVectors] = (),
        one_hot: bool | None = None,
    ):
        super().__init__()
        self.training_counts = dict(training_counts)
        self.untagged_words = dict.fromkeys(untagged_words, True)
        self.one_hot = not vectors if one_hot is None else one_hot
        self.blocks = nn.ModuleList([OneHot(self.training_counts)] if self.one_hot else [])
        self.blocks.extend(Pretrained(block) for block in vectors)
        self.dims: list[int] = [block.dim for block in self.blocks]
        self.dim = sum(self.dims)
        self.vocab = Integerizer([BOS, EOS])
        self._rows: list[Tensor] = [torch.empty(0, dtype=torch.long) for _ in self.blocks]
        self._once = torch.empty(0, dtype=torch.bool)

    @classmethod
    def from_corpus(cls, training: Sequence[Sentence], **options) -> Lexicon:
        """The lexicon of a training corpus, whose sentences may be tagged, untagged or partly tagged."""
        counts: Counter[str] = Counter()
        untagged: Counter[str] = Counter()
        for sentence in training:
            for word, tag in zip(sentence.words, sentence.tags):
                (untagged if tag is None else counts)[word] += 1
        return cls(counts, untagged, **options)

    def category(self, word: str) -> str:
        """known (in a tagged training token), seen (only in untagged text or a pretrained lexicon) or novel."""
        if look_up(word, self.training_counts) is not None:
            return "known"
        tables = [self.untagged_words, *(block.index for block in self.pretrained())]
        return "seen" if any(look_up(word, table) is not None for table in tables) else "novel"

    def features(self, batch: Batch, ends: bool = False) -> WordFeatures:
        """The features of each token; with `ends`, of BOS before the first and EOS after the last too (m = n + 2)."""
        self._read_new_words(batch.ids.device)
        ids = torch.where(batch.mask, batch.ids, self.vocab.index(EOS))
        if ends:
            ids = nn.functional.pad(ids, (1, 0), value=self.vocab.index(BOS))
            ids = nn.functional.pad(ids, (0, 1), value=self.vocab.index(EOS))
        as_novel = torch.zeros_like(ids, dtype=torch.bool)
        if self.training:
            as_novel = self._once[ids] & (torch.rand(ids.shape, device=ids.device) < SINGLETONS_AS_NOVEL)
        parts = [block(rows[ids], as_novel) for block, rows in zip(self.blocks, self._rows)]
        return WordFeatures(parts, self.dims)

    def embed(self, batch: Batch, ends: bool = False) -> Float[Tensor, "B m e"]:
        """The feature vectors themselves, zeros and all."""
        return self.features(batch, ends).dense()

    def pretrained(self) -> list[Pretrained]:
        return [block for block in self.blocks if isinstance(block, Pretrained)]

    def _read_new_words(self, device: torch.device) -> None:
        """Extend the tables from word numbers to rows by the spellings that `vocab` has got since the last call."""
        done = len(self._once)
        if done < len(self.vocab):
            words = [self.vocab[number] for number in range(done, len(self.vocab))]
            known = [look_up(word, self.training_counts) is not None for word in words]
            for number, block in enumerate(self.blocks):
                new = torch.tensor(block.rows(words, known))
                self._rows[number] = torch.cat([self._rows[number].cpu(), new])
            once = torch.tensor([self.training_counts.get(word) == 1 for word in words])
            self._once = torch.cat([self._once.cpu(), once])
        if self._once.device != device:
            self._rows = [rows.to(device) for rows in self._rows]
            self._once = self._once.to(device)
