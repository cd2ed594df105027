"""Derive the course's corpora from the master files. The same masters give the same bytes, always.

    python data/build.py            write every derived corpus again
    python data/build.py --check    write nothing; name the files that differ from what would be written (exit status 1)
    python data/build.py --stats    write nothing; print the table of sizes that data/README.md shows

Masters (format in data/README.md): data/en-train.conll, data/en-dev.conll, data/en-raw.txt, grader/data/en-test.conll.
Derived from them, one sentence a line in the corpus format (code/corpus.py):

    ensup  endev  enraw     words with coarse tags: the first letter of the Penn tag; enraw is untagged
    ptbsup ptbdev           the same sentences with Penn tags
    nersup nerdev           the same sentences with named entities: O, and B- I- E- S- before PER LOC ORG MISC
    pairssup pairsdev       the same sentences with 400 labels, PREV+OWN, the Penn tags of the token before and of the
                            token itself (BOS+OWN at the start), and * for pairs that are not among the 400 commonest

from nothing but seeds (draw.py): icsup icraw icdev, nextsup nextdev, possup posdev, lampsup lampdev,

and, in grader/data only, entest ptbtest nertest pairstest, each with a twin `.words` that has the bare words. Without
the test master (students do not have it) these are left out, and one line says so.
Exit status: 0 done; 1 --check found a difference; 2 a master is malformed or a file cannot be read or written.

To add a derived corpus, write a function from the masters to (name, sentences) pairs and put it into FAMILIES.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "code"), str(ROOT / "data")]

import draw  # noqa: E402
from converters import limit  # noqa: E402

from corpus import InputError, Sentence, parse_sentence, read_lines, write_corpus  # noqa: E402

MASTERS = {
    "train": "data/en-train.conll",
    "dev": "data/en-dev.conll",
    "raw": "data/en-raw.txt",
    "test": "grader/data/en-test.conll",
}
ENDINGS = {"train": "sup", "dev": "dev", "test": "test"}
ENTITIES = ("PER", "LOC", "ORG", "MISC")
DOCUMENT = "# doc = "


@dataclass(frozen=True)
class AnnotatedSentence:
    """A sentence of a tagged master: words, Penn tags and BIO entity labels, one of each a token."""

    words: tuple[str, ...]
    penn: tuple[str, ...]
    bio: tuple[str, ...]


@dataclass(frozen=True)
class Masters:
    """What the master files hold: `tagged` by part (train, dev and, where its master is there, test)."""

    tagged: dict[str, list[AnnotatedSentence]]
    raw: list[Sentence]
    documents: dict[str, int]


# Reading the masters


def parse_token(line: str, previous: str, where: str) -> tuple[str, str, str]:
    """One line `word<TAB>tag<TAB>BIO`; `previous` is the BIO label before it ("O" at the start of a sentence)."""
    columns = line.split("\t")
    if len(columns) != 3:
        raise InputError(f"{where}: {len(columns)} columns instead of 3 (word, tag, entity with tabs between)")
    if not all(columns) or any(" " in column for column in columns):
        raise InputError(f"{where}: an empty column or one with a blank in it: {line!r}")
    word, tag, label = columns
    prefix, _, entity = label.partition("-")
    if label != "O" and (prefix not in ("B", "I") or entity not in ENTITIES):
        raise InputError(f"{where}: unknown entity label {label!r} (O, or B- or I- before {' '.join(ENTITIES)})")
    if prefix == "I" and previous not in (f"B-{entity}", f"I-{entity}"):
        raise InputError(f"{where}: {label} does not continue a B-{entity} (the label before it is {previous})")
    return word, tag, label


def read_tagged(path: Path) -> tuple[list[AnnotatedSentence], int]:
    """The sentences of a tagged master, and the number of its documents.

    Raises:
        InputError: what is malformed, with file and line.
    """
    sentences: list[AnnotatedSentence] = []
    documents = 0
    tokens: list[tuple[str, str, str]] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        line = line.rstrip("\r")
        if line.startswith(DOCUMENT):
            if tokens:
                raise InputError(f"{path}:{number}: a document starts inside a sentence (the empty line is missing)")
            documents += 1
        elif line:
            tokens.append(parse_token(line, tokens[-1][2] if tokens else "O", f"{path}:{number}"))
        elif tokens:
            words, penn, bio = zip(*tokens)
            sentences.append(AnnotatedSentence(words, penn, bio))
            tokens = []
    if not sentences:
        raise InputError(f"{path}: no sentence in it")
    return sentences, documents


def read_raw(path: Path) -> tuple[list[Sentence], int]:
    """The sentences of the untagged master, and the number of its documents.

    Raises:
        InputError: two blanks together or a blank at an end of a line, with file and line; no sentence at all.
    """
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(read_lines(path), start=1)]
    sentences = [
        parse_sentence(line, f"{path}:{number}", untagged=True)
        for number, line in lines
        if line and not line.startswith(DOCUMENT)
    ]
    if not sentences:
        raise InputError(f"{path}: no sentence in it")
    return sentences, sum(line.startswith(DOCUMENT) for _, line in lines)


def read_masters(root: Path) -> Masters:
    """All masters under `root`; the test master only where it is there."""
    tagged: dict[str, list[AnnotatedSentence]] = {}
    documents: dict[str, int] = {}
    for part in ENDINGS:
        if part != "test" or (root / MASTERS[part]).exists():
            tagged[part], documents[part] = read_tagged(root / MASTERS[part])
    raw, documents["raw"] = read_raw(root / MASTERS["raw"])
    return Masters(tagged, raw, documents)


# Deriving corpora


def coarse(penn: Sequence[str]) -> tuple[str, ...]:
    """The first letter of each Penn tag; a tag that starts with no letter (`,` or `-LRB-`) stays whole."""
    return tuple(tag[0] if tag[0].isalpha() else tag for tag in penn)


def bioes(bio: Sequence[str]) -> tuple[str, ...]:
    """BIO labels of one sentence with the ends of entities marked as well.

    >>> bioes(["B-PER", "I-PER", "O", "B-LOC"])
    ('B-PER', 'E-PER', 'O', 'S-LOC')
    """
    goes_on = [label.startswith("I-") for label in [*bio[1:], "O"]]
    last = {"B": "S", "I": "E", "O": "O"}
    return tuple(label if more else last[label[0]] + label[1:] for label, more in zip(bio, goes_on))


LAYERS: dict[str, Callable[[AnnotatedSentence], tuple[str, ...]]] = {
    "en": lambda sentence: coarse(sentence.penn),
    "ptb": lambda sentence: sentence.penn,
    "ner": lambda sentence: bioes(sentence.bio),
}


def pairs(penn: Sequence[str]) -> tuple[str, ...]:
    """Each Penn tag of one sentence with the one before it.

    >>> pairs(["DT", "NN"])
    ('BOS+DT', 'DT+NN')
    """
    return tuple(f"{previous}+{own}" for previous, own in zip(("BOS", *penn), penn))


def annotation_layers(masters: Masters) -> Iterator[tuple[str, list[Sentence]]]:
    """`en*`, `ptb*`, `ner*`: the same sentences, each prefix with another layer of their annotation."""
    for part, sentences in masters.tagged.items():
        for prefix, tags_of in LAYERS.items():
            yield prefix + ENDINGS[part], [Sentence(sentence.words, tags_of(sentence)) for sentence in sentences]
    yield "enraw", masters.raw


def pair_corpora(masters: Masters) -> Iterator[tuple[str, list[Sentence]]]:
    """`pairs*`: the 400 commonest pairs of tags in the training part, by `converters.limit`."""
    tagged = {
        ENDINGS[part]: [(list(sentence.words), list(pairs(sentence.penn))) for sentence in sentences]
        for part, sentences in masters.tagged.items()
    }
    for ending, sentences in limit(tagged).items():
        yield f"pairs{ending}", [Sentence(tuple(words), tuple(labels)) for words, labels in sentences]


def artificial_corpora(masters: Masters) -> Iterator[tuple[str, list[Sentence]]]:
    """`ic*`, `next*`, `pos*`, `lamp*`, which need no master."""
    return draw.corpora()


# Each turns the masters into (name, sentences) pairs. A name that ends in `test` goes to grader/data.
FAMILIES: tuple[Callable[[Masters], Iterable[tuple[str, list[Sentence]]]], ...] = (
    annotation_layers,
    pair_corpora,
    artificial_corpora,
)


def derive(masters: Masters) -> Iterator[tuple[str, list[Sentence]]]:
    """Every derived corpus with its path below the root of the project. Test corpora come with their `.words`."""
    for family in FAMILIES:
        for name, sentences in family(masters):
            if not name.endswith("test"):
                yield f"data/{name}", sentences
            elif "test" in masters.tagged:  # nothing of a test set, an artificial one either, is made for students
                yield f"grader/data/{name}", sentences
                yield (
                    f"grader/data/{name}.words",
                    [Sentence(sentence.words, (None,) * len(sentence)) for sentence in sentences],
                )


def build(masters: Masters, root: Path) -> list[str]:
    """Write every derived corpus below `root`; returns their paths below it."""
    written: list[str] = []
    for path, sentences in derive(masters):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_corpus(root / path, sentences)
        written.append(path)
    return written


def differing(masters: Masters, root: Path) -> list[str]:
    """The derived corpora that are missing below `root` or are not byte for byte what `build` writes."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        return [
            path
            for path in build(masters, fresh)
            if not (root / path).is_file() or (root / path).read_bytes() != (fresh / path).read_bytes()
        ]


# Counting


def table_row(
    part: str, documents: int, tagged: list[AnnotatedSentence], derived: dict[str, list[Sentence]]
) -> list[str]:
    """What `statistics` says of one master, but for its last column. An untagged master has dashes for tags."""
    sentences = [sentence.words for sentence in next(iter(derived.values()))]
    words = [word for sentence in sentences for word in sentence]
    tag_types = [len({tag for sentence in corpus for tag in sentence.tags}) for corpus in derived.values()]
    kinds = tag_types if tagged else [0] * (len(LAYERS) + 1)
    entities = sum(label.startswith("B-") for sentence in tagged for label in sentence.bio)
    return [
        f"`{Path(MASTERS[part]).name}`", " ".join(f"`{name}`" for name in derived),
        *(f"{size:,}" for size in (documents, len(sentences), len(words), len(set(words)))),
        *(f"{size:,}" if tagged else "-" for size in (*kinds, entities)),
        f"{len(words) / len(sentences):.1f}", f"{max(map(len, sentences))}",
    ]  # fmt: skip


def statistics(masters: Masters) -> str:
    """The sizes of the masters as a markdown table, one row a master."""
    header = (
        "master", "derived", "documents", "sentences", "tokens", "types", "coarse tags", "Penn tags", "entity labels",
        "pair labels", "entities", "mean length", "longest", "tokens not in sup",
    )  # fmt: skip
    rows = [header, ("---",) * 2 + ("---:",) * (len(header) - 2)]
    corpora = dict([*annotation_layers(masters), *pair_corpora(masters)])
    supervised = {word for sentence in masters.tagged["train"] for word in sentence.words}
    for part in (part for part in MASTERS if part in masters.documents):
        tagged, ending = masters.tagged.get(part, []), ENDINGS.get(part, part)
        derived = {name: corpus for name, corpus in corpora.items() if name.endswith(ending)}
        new = [word not in supervised for sentence in next(iter(derived.values())) for word in sentence.words]
        rows.append((*table_row(part, masters.documents[part], tagged, derived), f"{sum(new) / len(new):.1%}"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


# The command line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    action.add_argument("--stats", action="store_true", help="write nothing; print the table of sizes")
    parser.add_argument(
        "--root", type=Path, default=ROOT, metavar="DIR",
        help="the folder that has data/ and grader/data/ in it (default: the project this script is in)",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    try:
        masters = read_masters(args.root)
        if "test" not in masters.tagged:
            print(f"{MASTERS['test']} is not here (students do not have it): no test corpora", file=sys.stderr)
        if args.stats:
            print(statistics(masters))
        elif args.check:
            different = differing(masters, args.root)
            for path in different:
                print(f"{path}: not what the masters give; run python data/build.py", file=sys.stderr)
            return 1 if different else 0
        else:
            print("wrote " + " ".join(build(masters, args.root)))
    except (InputError, OSError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
