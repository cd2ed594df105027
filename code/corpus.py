"""Corpora: files of tagged sentences, read once, integerized once, handed out as padded batches.

One sentence a line, tokens `word/TAG` split at the last slash, single blanks between. A token without a slash is
untagged; one file may hold both. A slash that belongs to a word is written `&slash;`. UTF-8; LF or CRLF; a byte order
mark and empty lines are passed over.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from integerize import Integerizer

SLASH = "&slash;"
FOLDS = 10


class InputError(ValueError):
    """Something the user gave us is wrong: one line that names the file and, where there is one, the line."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words and their tags; None is the tag of an untagged token."""

    words: tuple[str, ...]
    tags: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.words)

    def __str__(self) -> str:
        return " ".join(
            escape(word) if tag is None else f"{escape(word)}/{escape(tag)}" for word, tag in zip(self.words, self.tags)
        )


def escape(text: str) -> str:
    return text.replace("/", SLASH)


def unescape(text: str) -> str:
    return text.replace(SLASH, "/")


def parse_sentence(line: str, where: str, untagged: bool = False) -> Sentence:
    """One line of a corpus file.

    Args:
        line: tokens with single blanks between.
        where: `file:line`, for messages.
        untagged: every token is a bare word, slashes and all.

    Raises:
        InputError: a token has an empty word or an empty tag, or two blanks stand together.
    """
    words: list[str] = []
    tags: list[str | None] = []
    for token in line.split(" "):
        word, slash, tag = (token, "", "") if untagged else token.rpartition("/")
        if not slash:
            word = token
        if not word or (slash and not tag):
            raise InputError(
                f"{where}: malformed token {token!r}"
                + (
                    " (two blanks together, or one at an end of the line)"
                    if not token
                    else " (a token is word/TAG or word)"
                )
            )
        words.append(unescape(word))
        tags.append(sys.intern(unescape(tag)) if slash else None)
    return Sentence(tuple(words), tuple(tags))


def parse_corpus(lines: Iterable[str], name: str, untagged: bool = False) -> list[Sentence]:
    """All sentences of a text; empty lines are passed over.

    Raises:
        InputError: a malformed token, or no sentence at all.
    """
    sentences = [
        parse_sentence(stripped, f"{name}:{number}", untagged)
        for number, line in enumerate(lines, start=1)
        if (stripped := line.rstrip("\r\n")).strip()
    ]
    if not sentences:
        raise InputError(f"{name}: no sentence in it")
    return sentences


def read_corpus(path: str | Path, untagged: bool = False) -> list[Sentence]:
    """Read a corpus file (see the head of this module for its format).

    Raises:
        InputError: the file is missing, empty, not UTF-8, or has a malformed token; with file and line.
    """
    return parse_corpus(read_lines(path), str(path), untagged)


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 text file, a byte order mark dropped. Only LF and CRLF end a line.

    Raises:
        InputError: no such file, not readable, or bytes that are no UTF-8 (with the line).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    return decode_lines(data, str(path))


def decode_lines(data: bytes, name: str) -> list[str]:
    """Like `read_lines`, of bytes already read."""
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8: {error.reason}") from None


@contextmanager
def write_whole(path: str | Path) -> Iterator[TextIO]:
    """Open a text file that appears under its name only when it is complete. A device or pipe is written as it is.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder")
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as file:
                yield file
            return
        path = Path(os.path.realpath(path))
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException as error:
        os.unlink(partial)
        if isinstance(error, OSError):
            raise InputError(f"{path}: {error.strerror}") from None
        raise


def write_corpus(path: str | Path, sentences: Iterable[Sentence]) -> None:
    """Write sentences in the format that `read_corpus` reads; the file appears whole or not at all."""
    with write_whole(path) as file:
        file.writelines(f"{sentence}\n" for sentence in sentences)


@dataclass(frozen=True)
class Batch:
    """Sentences of different lengths, padded into one rectangle.

    Attributes:
        words: the words themselves, one list a sentence.
        ids: [B, n] word types by number; padding is arbitrary and must never matter.
        lengths: [B] tokens of each sentence, at least 1.
        tags: [B, n] tags by number, -1 where unobserved and in the padding; None if no tag is known.
        fold: [B] which contiguous tenth (0-9) of the training sentences it is from; -1 if from none.
    """

    words: list[tuple[str, ...]]
    ids: Int[Tensor, "B n"]
    lengths: Int[Tensor, "B"]
    tags: Int[Tensor, "B n"] | None
    fold: Int[Tensor, "B"]

    @property
    def mask(self) -> Bool[Tensor, "B n"]:
        """True where there is a token, False in the padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    def to(self, device: torch.device | str) -> Batch:
        tags = None if self.tags is None else self.tags.to(device)
        return replace(
            self, ids=self.ids.to(device), lengths=self.lengths.to(device), tags=tags, fold=self.fold.to(device)
        )

    def __len__(self) -> int:
        return len(self.words)


class IntegerizedCorpus:
    """A corpus as one long row of numbers, from which batches are cut without a Python loop over tokens.

    Word types that `vocab` lacks are added to it: a number stands for exactly one spelling, and what a model knows
    of a spelling is the lexicon's business. Tags that `tagset` lacks become -1 and are counted in `unknown_tags`.

    Args:
        training: number the tenths of the corpus as folds (see Batch.fold).
    """

    def __init__(self, sentences: Sequence[Sentence], vocab: Integerizer, tagset: Integerizer, training: bool = False):
        self.sentences = sentences
        self.lengths = torch.tensor([len(sentence) for sentence in sentences], dtype=torch.long)
        self.offsets = self.lengths.cumsum(0) - self.lengths
        self.ids = torch.tensor([vocab.add(word) for sentence in sentences for word in sentence.words])
        known_tags = {tag: index for index, tag in enumerate(tagset)}
        tags = [known_tags.get(tag, -1) for sentence in sentences for tag in sentence.tags]
        self.tags = torch.tensor(tags)
        self.tagged = torch.tensor([tag is not None for sentence in sentences for tag in sentence.tags])
        self.unknown_tags = int((self.tagged & (self.tags < 0)).sum())
        numbers = torch.arange(len(sentences))
        self.fold = numbers * FOLDS // len(sentences) if training else torch.full_like(numbers, -1)

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def batch(self, sentences: Int[Tensor, "B"]) -> Batch:
        """The sentences with these numbers, padded to the longest of them."""
        lengths = self.lengths[sentences]
        position = torch.arange(int(lengths.max()))
        inside = position < lengths[:, None]
        where = (self.offsets[sentences][:, None] + position).clamp(max=self.tokens - 1)
        return Batch(
            words=[self.sentences[number].words for number in sentences.tolist()],
            ids=torch.where(inside, self.ids[where], 0),
            lengths=lengths,
            tags=torch.where(inside, self.tags[where], -1),
            fold=self.fold[sentences],
        )

    def by_length(self, size: int) -> list[Int[Tensor, "_"]]:
        """The corpus in batches of `size` sentences of like length, the longest first, for evaluation and tagging."""
        return list(self.lengths.argsort(descending=True, stable=True).split(size))

    def shuffled(self, size: int, pool: int = 16) -> list[Int[Tensor, "_"]]:
        """The corpus in random batches of `size` sentences of like length, for one epoch of training.

        Sentences are shuffled, sorted by length within pools of `pool` batches so that little is padded, and the
        batches shuffled again. Draws from torch's global generator.
        """
        batches: list[Tensor] = []
        for candidates in torch.randperm(len(self)).split(size * pool):
            ordered = candidates[self.lengths[candidates].argsort(stable=True)]
            batches.extend(ordered.split(size))
        return [batches[number] for number in torch.randperm(len(batches)).tolist()]
