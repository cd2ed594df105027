"""From the files of a public corpus to sentences in the course's format, one table entry a corpus.

A `Converter` says which source files make up the training, development and test part, how one file is read, and which
layers of tags its sentences have. `convert` does the rest, the same for all. Rules that hold for every corpus:

- The words are the source's, unchanged, in order, but that white space inside a word, or a word without characters,
  is `_`, and a slash is `&slash;`. CoNLL-U files give their syntactic words (`do n't`), no multiword tokens.
- Entities are BIOES: `S-x` is a name of one token; in longer ones B is the first token, E the last, I between.
- A limited layer keeps the 400 commonest tags of the training part (ties in alphabetical order); the others are `*`.

Only the standard library is used here. To add a corpus, write its entry in CONVERTERS.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

COMMONEST = 400
CORE_ARGUMENTS = frozenset({"nsubj", "csubj", "obj", "iobj", "ccomp", "xcomp"})
ID, FORM, UPOS, XPOS, HEAD, RELATION = 0, 1, 3, 4, 6, 7  # columns of CoNLL-U

Rows = list[list[str]]  # a sentence: one row of columns a token
Sentences = list[tuple[list[str], list[str]]]  # words and tags of each sentence


class SourceError(ValueError):
    """A source file is not what it should be: one line that names it."""


# Reading


def read_blocks(data: bytes, name: str, columns: int, comment: str | None = None) -> Iterator[Rows]:
    """Sentences of a file that has a token a line, tabs between columns, and a blank line after each sentence.

    Args:
        data: the file, UTF-8. Only LF and CRLF end a line; a line of nothing but white space is blank.
        name: the file's name, for messages.
        columns: how many columns each token must have.
        comment: lines that start with this are passed over (None: there are none; `#` starts many a tweet's token).

    Raises:
        SourceError: bytes that are no UTF-8, or a line with another number of columns (with its number).
    """
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name}:{data.count(10, 0, error.start) + 1}: not UTF-8: {error.reason}") from None
    rows: Rows = []
    for number, line in enumerate([*lines, ""], start=1):
        line = line.rstrip("\r")
        if not line.strip():
            if rows:
                yield rows
            rows = []
        elif comment is None or not line.startswith(comment):
            rows.append(line.split("\t"))
            if len(rows[-1]) != columns:
                raise SourceError(f"{name}:{number}: {len(rows[-1])} columns instead of {columns}")


def read_pairs(data: bytes, name: str) -> Iterator[Rows]:
    """Sentences of rows `word, tag`."""
    return read_blocks(data, name, columns=2)


def read_conllu(data: bytes, name: str) -> Iterator[Rows]:
    """Sentences of a CoNLL-U file: the rows of its syntactic words (multiword tokens 1-2, empty nodes 1.1 left out)."""
    for rows in read_blocks(data, name, columns=10, comment="#"):
        yield [row for row in rows if row[ID].isdigit()]


# Tags of a sentence


def column(number: int) -> Callable[[Rows], list[str]]:
    """The tags are one column, as it is."""
    return lambda rows: [row[number] for row in rows]


def bioes(rows: Rows) -> list[str]:
    """The entities that the second column marks in BIO, in BIOES. An I that continues nothing begins an entity.

    >>> bioes([["Ann", "B-PER"], ["Lee", "I-PER"], ["saw", "O"], ["Oslo", "B-LOC"]])
    ['B-PER', 'E-PER', 'O', 'S-LOC']
    """
    bio = ["O", *(row[1] for row in rows), "O"]
    tags: list[str] = []
    for before, tag, after in zip(bio, bio[1:], bio[2:]):
        continues = tag[0] == "I" and before[1:] == tag[1:]
        continued = after == f"I{tag[1:]}"
        tags.append(tag if tag == "O" else ("IE" if continues else "BS")[not continued] + tag[1:])
    return tags


def slovak(rows: Rows) -> list[str]:
    """The full tags of the Slovak National Corpus. Punctuation is `Z`, which some documents write `ZIP`."""
    return ["Z" if row[XPOS] == "ZIP" else row[XPOS] for row in rows]


def supertags(rows: Rows) -> list[str]:
    """For each word, its place in the dependency tree and the arguments it takes, as one label.

    The relation to its head (`:` written `.`); `<` if the head is to the left, `>` if to the right, nothing for the
    root; if it has core arguments, `:` and their relations without subtypes in order, those on the left, `_`, those on
    the right, joined by `-`; `+L` if it has another dependent on the left, punctuation apart, `+R` if on the right.
    So `root:nsubj_obj+R` has a subject before it, an object after it and some modifier after it.
    """
    labels: list[str] = []
    for row in rows:
        here, head = int(row[ID]), int(row[HEAD])
        sides: tuple[list[str], list[str]] = ([], [])
        for other in rows:
            if other[HEAD] == row[ID]:
                sides[int(other[ID]) > here].append(other[RELATION].partition(":")[0])
        left, right = ([relation for relation in side if relation in CORE_ARGUMENTS] for side in sides)
        label = row[RELATION].replace(":", ".") + ("" if head == 0 else "<" if head < here else ">")
        if left or right:
            label += f":{'-'.join(left)}_{'-'.join(right)}"
        for side, mark in zip(sides, ("+L", "+R")):
            if any(relation not in CORE_ARGUMENTS and relation != "punct" for relation in side):
                label += mark
        labels.append(label)
    return labels


def limit(tagged: Mapping[str, Sentences], size: int = COMMONEST) -> dict[str, Sentences]:
    """The parts of a corpus with the `size` commonest tags of its part `sup`; any other tag becomes `*`."""
    counts = Counter(tag for _, tags in tagged["sup"] for tag in tags)
    kept = set(sorted(counts, key=lambda tag: (-counts[tag], tag))[:size])
    return {
        part: [(words, [tag if tag in kept else "*" for tag in tags]) for words, tags in sentences]
        for part, sentences in tagged.items()
    }


# Parts


def by_name(**names: str) -> Callable[[Sequence[str]], dict[str, list[str]]]:
    """Each part is the files with these names (blanks between them), in this order, whatever folders they are in."""

    def divide(paths: Sequence[str]) -> dict[str, list[str]]:
        found = {PurePosixPath(path).name: path for path in paths}
        return {part: [found[name] for name in part_names.split(" ")] for part, part_names in names.items()}

    return divide


def by_twenties(paths: Sequence[str]) -> dict[str, list[str]]:
    """Of each 20 files in order of name, number 10 is for development, number 20 for test, the rest for training."""
    parts: dict[str, list[str]] = {"sup": [], "dev": [], "test": []}
    for number, path in enumerate(sorted(paths), start=1):
        parts[{10: "dev", 0: "test"}.get(number % 20, "sup")].append(path)
    return parts


# Writing


def token(word: str, tag: str) -> str:
    """One token of a corpus file, `word/TAG`."""
    word = "_".join(word.split()) or "_"
    return f"{word.replace('/', '&slash;')}/{tag.replace('/', '&slash;')}"


def render(sentences: Sentences) -> bytes:
    """A corpus file: one sentence a line."""
    return "".join(" ".join(map(token, words, tags)) + "\n" for words, tags in sentences).encode()


@dataclass(frozen=True)
class Converter:
    """How the files of one source become corpus files.

    Attributes:
        divide: from the paths of the source files to the paths of each part, in order.
        read: the sentences of one file, given its bytes and its name.
        layers: prefix of the corpus files -> the tags of a sentence.
        limited: prefix of further corpus files -> the layer of which they keep the 400 commonest tags.
        form: the column that has the word.
    """

    divide: Callable[[Sequence[str]], dict[str, list[str]]]
    read: Callable[[bytes, str], Iterator[Rows]]
    layers: dict[str, Callable[[Rows], list[str]]]
    limited: dict[str, str] = field(default_factory=dict)
    form: int = 0


CONLLU_PARTS = {part: f"en_ewt-ud-{name}.conllu" for part, name in [("sup", "train"), ("dev", "dev"), ("test", "test")]}
CONVERTERS = {
    "ewt": Converter(
        by_name(**CONLLU_PARTS), read_conllu, {"ewt": column(XPOS), "ewtu": column(UPOS)}, form=FORM
    ),
    "ewtdep": Converter(by_name(**CONLLU_PARTS), read_conllu, {"depfull": supertags}, {"dep": "depfull"}, form=FORM),
    "twpos": Converter(
        by_name(sup="oct27.train oct27.dev", dev="oct27.test", test="daily547.conll"),
        read_pairs, {"tw": column(1)},
    ),
    "wnut": Converter(
        by_name(sup="wnut17train.conll", dev="emerging.dev.conll", test="emerging.test.annotated"),
        read_pairs, {"wnut": bioes},
    ),
    "nerbtc": Converter(by_name(sup="btc.train", dev="btc.dev", test="btc.test"), read_pairs, {"btc": bioes}),
    "skmorph": Converter(by_twenties, read_conllu, {"skfull": slovak}, {"sk": "skfull"}, form=FORM),
}  # fmt: skip


def convert(
    converter: Converter, files: Mapping[str, bytes], advance: Callable[[int], object] = lambda size: None
) -> dict[str, Sentences]:
    """All corpora that a source gives, by the names of their files.

    Args:
        files: path -> content of the source files.
        advance: called after each file with its size, to show progress.

    Raises:
        SourceError: a file is malformed.
    """
    tagged: dict[str, dict[str, Sentences]] = {prefix: {} for prefix in converter.layers}
    for part, paths in converter.divide(list(files)).items():
        for prefix in converter.layers:
            tagged[prefix][part] = []
        for path in paths:
            for rows in converter.read(files[path], path):
                words = [sys.intern(row[converter.form]) for row in rows]
                for prefix, tags_of in converter.layers.items():
                    tagged[prefix][part].append((words, [sys.intern(tag) for tag in tags_of(rows)]))
            advance(len(files[path]))
    for prefix, layer in converter.limited.items():
        tagged[prefix] = limit(tagged[layer])
    return {prefix + part: sentences for prefix, parts in tagged.items() for part, sentences in parts.items()}
