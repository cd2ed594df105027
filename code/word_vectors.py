"""Lexicon files: words and their pretrained vectors, in the format of this course, of word2vec or of GloVe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from corpus import InputError, read_lines

SPECIAL_ROWS = ("OOL", "BOS", "EOS")
NUMBER = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)


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
        before = word.rpartition(" ")  # some GloVe words have blanks, but none ends in a number
        if len(fields) != dims or not word or (before[1] and NUMBER.fullmatch(before[2])):
            raise InputError(f"{path}:{number}: expected a word and {dims} numbers")
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
    missing = [special for special in SPECIAL_ROWS if special not in index]
    matrix = torch.cat([matrix, matrix.mean(dim=0, dtype=torch.float64).float().expand(len(missing), -1)])
    return WordVectors([*index, *missing], matrix)
