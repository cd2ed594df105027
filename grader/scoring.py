"""Scores from taggings, on the trusted side: alignment, accuracy by kind of word, intervals, and the twin set.

A corpus line is `word/TAG word/TAG ...`, `&slash;` for a slash of a word's own (data/README.md). An output must repeat
the words of its input, line by line and word by word; nothing is repaired or cut to the shorter. Words are known (in a
tagged training token), seen (in a lexicon) or novel, looked up as they are, then lower-cased, as code/lexicon.py does.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grader.errors import GraderFault, StudentFault

CATEGORIES = ("known", "seen", "novel")
OTHER = "other"  # in a confusion table: a tag that the gold corpus does not have
DRAWS = 10_000


@dataclass(frozen=True)
class Tagged:
    """A sentence with its tags."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words)


def escape(text: str) -> str:
    return text.replace("/", "&slash;")


def unescape(text: str) -> str:
    return text.replace("&slash;", "/")


def read_gold(path: Path) -> list[Tagged]:
    """A tagged corpus of the grader's own. Raises GraderFault if it is missing or broken."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GraderFault("grader_error", f"{path}: {error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        tokens = [token.rpartition("/") for token in line.rstrip("\r").split(" ")] if line.strip() else []
        if any(not word or not tag for word, _, tag in tokens):
            raise GraderFault("grader_error", f"{path}:{number}: a token that is no word/TAG")
        if tokens:
            found.append(Tagged(*zip(*((unescape(word), unescape(tag)) for word, _, tag in tokens))))
    if not found:
        raise GraderFault("grader_error", f"{path}: no sentence in it")
    return found


def as_input(sentences: Iterable[Tagged], dummy_tag: str = "") -> bytes:
    """What a submission gets: the words, and no tag but perhaps the same one everywhere."""
    end = f"/{dummy_tag}" if dummy_tag else ""
    return "".join(" ".join(escape(word) + end for word in s.words) + "\n" for s in sentences).encode()


def largest_output(sentences: Sequence[Tagged]) -> int:
    """Bytes that an honest output of these sentences can have."""
    return len(as_input(sentences)) + 64 * sum(map(len, sentences)) + 4096


def read_tagging(data: bytes, sentences: Sequence[Tagged]) -> list[tuple[str, ...]]:
    """The tags that an output gives to these sentences, in their order.

    Raises:
        StudentFault: bad_output; the message has the first line that does not repeat its words, and no word of it.
    """
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise StudentFault("bad_output", f"line {data.count(bytes([10]), 0, error.start) + 1}: not UTF-8") from None
    lines = [line.removesuffix("\r") for line in lines]
    while lines and not lines[-1].strip():
        lines.pop()
    found = []
    for number, (line, sentence) in enumerate(zip(lines, sentences), start=1):
        tokens = [token.rpartition("/") for token in line.strip().split(" ")]
        if len(tokens) != len(sentence):
            raise StudentFault("bad_output", f"line {number}: {len(tokens)} tokens where {len(sentence)} are due")
        for position, ((word, slash, tag), wanted) in enumerate(zip(tokens, sentence.words), start=1):
            if not slash or not tag:
                raise StudentFault("bad_output", f"line {number}, token {position}: no tag")
            if unescape(word) != wanted:
                raise StudentFault("bad_output", f"line {number}, token {position}: not the word of the input")
        found.append(tuple(unescape(tag) for _, _, tag in tokens))
    if len(lines) != len(sentences):
        first = min(len(lines), len(sentences)) + 1
        raise StudentFault("bad_output", f"line {first}: {len(lines)} lines where {len(sentences)} are due")
    return found


class Vocabulary:
    """Which words are known, seen or novel."""

    def __init__(self, training: Iterable[Tagged], lexicons: Iterable[Path] = ()):
        self.counts = Counter(word for sentence in training for word in sentence.words)
        self.lexicon: set[str] = set()
        for path in lexicons:
            with path.open(encoding="utf-8") as file:
                next(file)  # its size
                self.lexicon.update(line.split("\t", 1)[0] for line in file)
        self.lexicon -= {"BOS", "EOS", "OOL"}

    def category(self, word: str) -> str:
        for name, table in (("known", self.counts), ("seen", self.lexicon)):
            if word in table or word.lower() in table:
                return name
        return "novel"


def score(gold: Sequence[Tagged], tags: Sequence[Sequence[str]], vocabulary: Vocabulary) -> dict[str, Any]:
    """Accuracy, counts by sentence and confusion of one tagging, as result.json has them."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    tagset = {tag for sentence in gold for tag in sentence.tags}
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    by_sentence = []
    for sentence, found in zip(gold, tags, strict=True):
        correct = 0
        for word, wanted, given in zip(sentence.words, sentence.tags, found, strict=True):
            category = vocabulary.category(word)
            total.update((category, "all"))
            confusion[wanted][given if given in tagset else OTHER] += 1
            if given == wanted:
                correct += 1
                right.update((category, "all"))
        by_sentence.append(correct)
    return {
        "accuracy": {name: right[name] / total[name] if total[name] else None for name in ("all", *CATEGORIES)},
        "correct_by_sentence": by_sentence,
        "tokens_by_sentence": [len(sentence) for sentence in gold],
        "confusion": {tag: dict(sorted(row.items())) for tag, row in sorted(confusion.items())},
    }


def over_seeds(scores: Mapping[int, dict[str, Any] | None]) -> dict[str, Any] | None:
    """One score from those of several seeds: means of the accuracies and of the counts, the confusions of the first.

    Args:
        scores: by seed; None where that seed has no tagging, which counts as nothing right.
    """
    there = [found for found in scores.values() if found]
    if not there:
        return None
    mean = {}
    for name in there[0]["accuracy"]:
        values = [found["accuracy"][name] if found else 0.0 for found in scores.values()]
        mean[name] = None if None in values else sum(values) / len(values)
    per_seed = [{"seed": seed, "accuracy": found["accuracy"] if found else None} for seed, found in scores.items()]
    counts = [sum(of_sentence) / len(scores) for of_sentence in zip(*(found["correct_by_sentence"] for found in there))]
    return {**there[0], "accuracy": mean, "correct_by_sentence": counts, "per_seed": per_seed}


def interval(correct: Sequence[int], tokens: Sequence[int], share: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """A bootstrap interval of the accuracy, drawn over sentences."""
    draw = np.random.default_rng(seed)
    c, n = np.asarray(correct, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    values = []
    for start in range(0, DRAWS, 1000):
        rows = draw.integers(len(c), size=(min(1000, DRAWS - start), len(c)))
        values.append(c[rows].sum(axis=1) / n[rows].sum(axis=1))
    low, high = np.quantile(np.concatenate(values), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def majority(training: Sequence[Tagged], gold: Sequence[Tagged]) -> list[tuple[str, ...]]:
    """The baseline's tags: for each word its commonest tag in training, for a new word the commonest of all."""
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in training:
        for word, tag in zip(sentence.words, sentence.tags):
            by_word[word][tag] += 1
    commonest = sum(by_word.values(), Counter()).most_common(1)[0][0]
    best = {word: tags.most_common(1)[0][0] for word, tags in by_word.items()}
    return [tuple(best.get(word, commonest) for word in sentence.words) for sentence in gold]


# The twin set and the order


def band(count: int) -> int:
    """Frequency band: 0, 1, 2-3, 4-7, 8-15, ..."""
    return count.bit_length()


def twin(gold: Sequence[Tagged], training: Sequence[Tagged], share: float, seed: int) -> list[Tagged]:
    """The same sentences with a share of the words replaced by others of the same tag and frequency band.

    Frequency is that in training text; the replacements are words of training and test text that had that tag there,
    capital for capital. A word without another like it stays, and then another is replaced in its place, so that the
    share is met as far as it can be. An answer that was memorised, not worked out, shows as a worse score here.
    """
    counts = Counter(word for sentence in training for word in sentence.words)

    def kind(word: str, tag: str) -> tuple[str, int, bool, bool]:
        return tag, band(counts[word]), word[:1].isupper(), word[:1].isalpha()

    others: dict[tuple[str, int, bool, bool], dict[str, None]] = defaultdict(dict)
    for sentence in (*training, *gold):
        for word, tag in zip(sentence.words, sentence.tags):
            others[kind(word, tag)][word] = None
    lists = {key: sorted(found) for key, found in others.items()}

    draw = random.Random(seed)
    places = [
        (s, i)
        for s, sentence in enumerate(gold)
        for i, (word, tag) in enumerate(zip(sentence.words, sentence.tags))
        if len(lists[kind(word, tag)]) > 1
    ]
    wanted = min(len(places), round(share * sum(map(len, gold))))
    words = [list(sentence.words) for sentence in gold]
    for s, i in draw.sample(places, wanted):
        word = gold[s].words[i]
        words[s][i] = draw.choice([other for other in lists[kind(word, gold[s].tags[i])] if other != word])
    return [Tagged(tuple(new), sentence.tags) for new, sentence in zip(words, gold)]


def shuffled(number: int, seed: int) -> list[int]:
    """An order of so many sentences: which one comes first, second, ..."""
    order = list(range(number))
    random.Random(seed).shuffle(order)
    return order


def unshuffled(items: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Items that stand in `order`, back where they belong."""
    found: list[Any] = [None] * len(order)
    for item, place in zip(items, order, strict=True):
        found[place] = item
    return found
