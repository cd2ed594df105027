"""Corpora that are drawn at random: small worlds whose pattern is known, so that one can see whether a model finds it.

    python data/draw.py            print the table of sizes that data/README.md shows
    python data/draw.py --bayes    print what each class of taggers can reach on lamp*, also in data/README.md

build.py writes them. Each corpus has a random generator of its own, seeded with its name, and takes nothing from it but
`random()`, whose sequence Python promises to keep: the same bytes on every version.

    icsup icraw icdev    ice creams eaten (1 2 3) on cold and hot days (C H): a hidden Markov model; icraw is untagged
    nextsup nextdev      the tag says what the next letter is: vowel (V), consonant (C), or none, the end (E)
    possup posdev        the tags are A _ B _ A _ B _ ... whatever the words; posdev has longer sentences
    lampsup lampdev      one lamp, two switches: the words before throw the one, the words after the other; noisy
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import comb, log
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "code"))

from corpus import Sentence  # noqa: E402

Item = TypeVar("Item")


def draw(chance: Random, items: Sequence[Item], weights: Sequence[float] | None = None) -> Item:
    """One of the items, with probabilities `weights` (that sum to 1) or all alike."""
    point = chance.random()
    if weights is None:
        return items[int(point * len(items))]
    for item, weight in zip(items, weights):
        point -= weight
        if point < 0:
            return item
    return items[-1]


# ic: a hidden Markov model

WEATHER = "CH"
TOMORROW = {"C": (0.8, 0.1), "H": (0.1, 0.8)}  # what is left, .1, ends the diary; it begins with either, .5 each
ICE_CREAMS = {"C": (0.7, 0.2, 0.1), "H": (0.1, 0.2, 0.7)}


def ice_cream(chance: Random) -> Sentence:
    """A diary: each day's number of ice creams, and what the weather was."""
    days: list[str] = []
    today = draw(chance, WEATHER)
    while today:
        days.append(today)
        today = draw(chance, (*WEATHER, ""), (*TOMORROW[today], 1 - sum(TOMORROW[today])))
    return Sentence(tuple(draw(chance, "123", ICE_CREAMS[day]) for day in days), tuple(days))


# next and pos: deterministic

VOWELS, CONSONANTS = "aei", "bcd"
CYCLE = "A_B_"


def length(chance: Random, lengths: range) -> int:
    return draw(chance, lengths)


def next_word(chance: Random, lengths: range) -> Sentence:
    """Letters drawn independently of each other; each has the tag of the one that follows it."""
    words = [draw(chance, VOWELS + CONSONANTS) for _ in range(length(chance, lengths))]
    return Sentence(tuple(words), (*("V" if word in VOWELS else "C" for word in words[1:]), "E"))


def position(chance: Random, lengths: range) -> Sentence:
    """Tags by position, words drawn independently of them."""
    n = length(chance, lengths)
    return Sentence(tuple(draw(chance, ("tick", "tock")) for _ in range(n)), tuple(CYCLE[i % 4] for i in range(n)))


# lamp: noisy, and non-local in both directions

LAMP_LENGTHS = range(8, 21)
FILLERS = ("the", "lamp", "in", "hall")
# how likely a word between the first and the last is to set a switch, or to turn it; of each switch
SET, TURN = 0.06, 0.10
# how likely a word is printed as its opposite, and a tag is wrong
MISPRINT, SLIP = 0.02, 0.05
# words on each switch: down or up; leave it or turn it
FIRST_SET, FIRST_TURN = ("fell", "rose"), ("stayed", "turned")
SECOND_SET, SECOND_TURN = ("fall", "rise"), ("stay", "turn")
KINDS = (FIRST_SET, FIRST_TURN, SECOND_SET, SECOND_TURN, FILLERS)
TAGS = ("off", "on")


def switch(words: Sequence[str], setters: tuple[str, str], turners: tuple[str, str]) -> list[int]:
    """Where a switch stands (0 down, 1 up) after none, one, two, ..., all of the words; it starts down."""
    states = [0]
    for word in words:
        if word in setters:
            states.append(setters.index(word))
        else:
            states.append(states[-1] ^ (word == turners[1]))
    return states


def lamp_states(words: Sequence[str]) -> list[int]:
    """Whether the lamp is on at each word: it is if exactly one switch is up.

    The first switch obeys the words before this one, as they come; the second obeys those after it, from the end of the
    sentence backwards.
    """
    first = switch(words[:-1], FIRST_SET, FIRST_TURN)
    second = switch(words[:0:-1], SECOND_SET, SECOND_TURN)[::-1]
    return [one ^ other for one, other in zip(first, second)]


def lamp(chance: Random, lengths: range) -> Sentence:
    """Words that throw switches, the first and the last surely; then noise in the tags, then noise in the words."""
    weights = (SET, TURN, SET, TURN, 1 - 2 * SET - 2 * TURN)
    inner = [draw(chance, draw(chance, KINDS, weights)) for _ in range(length(chance, lengths) - 2)]
    words = [draw(chance, FIRST_SET), *inner, draw(chance, SECOND_SET)]
    tags = [TAGS[state ^ (chance.random() < SLIP)] for state in lamp_states(words)]
    opposite = {word: pair[1 - side] for pair in KINDS[:-1] for side, word in enumerate(pair)}
    printed = [opposite.get(word, word) if chance.random() < MISPRINT else word for word in words]
    return Sentence(tuple(printed), tuple(tags))


# All of them

MAKERS: dict[str, tuple[int, Callable[[Random], Sentence]]] = {
    "icsup": (50, ice_cream),
    "icraw": (150, ice_cream),
    "icdev": (100, ice_cream),
    "nextsup": (250, lambda chance: next_word(chance, range(4, 13))),
    "nextdev": (100, lambda chance: next_word(chance, range(4, 13))),
    "possup": (200, lambda chance: position(chance, range(4, 13))),
    "posdev": (60, lambda chance: position(chance, range(13, 25))),
    "lampsup": (2000, lambda chance: lamp(chance, LAMP_LENGTHS)),
    "lampdev": (500, lambda chance: lamp(chance, LAMP_LENGTHS)),
}


def make(name: str) -> list[Sentence]:
    """The corpus of this name."""
    size, maker = MAKERS[name]
    chance = Random(name)
    sentences = [maker(chance) for _ in range(size)]
    if name.endswith("raw"):
        sentences = [Sentence(sentence.words, (None,) * len(sentence)) for sentence in sentences]
    return sentences


def corpora() -> Iterator[tuple[str, list[Sentence]]]:
    """Every artificial corpus, with its name."""
    for name in MAKERS:
        yield name, make(name)


# What taggers can reach on lamp (data/README.md has the argument)


def one_side(words: int) -> list[tuple[float, int, int]]:
    """Which words throw a switch, seen from a word with so many words on the switch's side, the farthest a setter.

    Returns:
        (probability, how many words matter: the nearest setter and the turners before it, how far away the setter is)
    """
    if words == 0:
        return [(1.0, 0, 0)]
    return [
        (
            comb(reach - 1, matter - 1) * TURN ** (matter - 1) * (1 - SET - TURN) ** (reach - matter)
            * (SET if reach < words else 1.0),
            matter,
            reach,
        )
        for reach in range(1, words + 1)
        for matter in range(1, reach + 1)
    ]  # fmt: skip


def expected_accuracy(share: Callable[[int, int], float], lengths: range = LAMP_LENGTHS) -> float:
    """The accuracy, over the distribution, of a tagger that uses a share of what the words tell.

    If m words matter to a tag, the switches as printed predict it with probability 1/2 + 1/2 (1 - 2 SLIP)
    (1 - 2 MISPRINT)^m. A share of 1 is all that; with a share of 0 one might as well toss a coin.

    Args:
        share: of how many words matter, and how far away the farther setter is.
    """
    told = 0.0
    for n in lengths:
        for before in range(n):
            for p, matter, reach in one_side(before):
                for p_, matter_, reach_ in one_side(n - 1 - before):
                    m = matter + matter_
                    told += p * p_ * (1 - 2 * SLIP) * (1 - 2 * MISPRINT) ** m * share(m, max(reach, reach_))
    return 0.5 + 0.5 * told / sum(lengths)


def monotone_share(m: int) -> float:
    """How well a function that is monotone in each of m fair bits can correlate with their parity, at best."""
    return comb(m - 1, (m - 1) // 2) / 2 ** (m - 1)


def expected_changes(lengths: range = LAMP_LENGTHS) -> float:
    """How likely two neighbouring tags differ: 1/2 where a switch is thrown between them, else only by a slip."""
    quiet = (1 - SET - TURN) ** 2
    slipped = 2 * SLIP * (1 - SLIP)
    changes = sum(0.5 * (n - 1) + max(n - 3, 0) * quiet * (slipped - 0.5) for n in lengths)
    return changes / sum(n - 1 for n in lengths)


def blind_logprob(tags: Sequence[str], q: float) -> float:
    """log p(tags) under a chain that starts with either tag, and goes over to the other one with probability q."""
    changes = sum(one != other for one, other in zip(tags, tags[1:]))
    return -log(2) + changes * log(q) + (len(tags) - 1 - changes) * log(1 - q)


def flip(flipped: int, probability: float) -> float:
    return probability if flipped else 1 - probability


def misread(before: int, after: int, word: str, setters: tuple[str, str], turners: tuple[str, str]) -> float:
    """p(the switch is misread after a word | it was or was not before), for words as they are printed."""
    if word in setters:
        return flip(after, MISPRINT)
    return flip(before ^ after, MISPRINT if word in turners else 0.0)


def posterior_logprob(sentence: Sentence) -> float:
    """log p(tags | words) under the true process: a forward algorithm over which of the switches are misread.

    The first switch is misread or not from left to right, the second from right to left: its factor goes backwards.
    """
    words = sentence.words
    pairs = [(one, other) for one in (0, 1) for other in (0, 1)]
    alpha = {(one, other): float(one == 0) for one, other in pairs}
    for i, (tag, state) in enumerate(zip(sentence.tags, lamp_states(words))):
        if i > 0:
            alpha = {
                (one, other): sum(
                    alpha[old, old_other] * misread(old, one, words[i - 1], FIRST_SET, FIRST_TURN)
                    * misread(other, old_other, words[i], SECOND_SET, SECOND_TURN)
                    for old, old_other in pairs
                )
                for one, other in pairs
            }  # fmt: skip
        wrong = TAGS.index(tag) ^ state
        alpha = {(one, other): p * flip(wrong ^ one ^ other, SLIP) for (one, other), p in alpha.items()}
    return log(alpha[0, 0] + alpha[1, 0])


# Tables


def markdown(rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table whose first row is its header and whose last columns, so many, are numbers."""
    rule = ["---"] * (len(rows[0]) - numbers) + ["---:"] * numbers
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


def sizes() -> str:
    """One row a corpus."""
    rows = [("corpus", "tags", "sentences", "tokens", "types", "mean length", "longest")]
    for name, sentences in corpora():
        words = [word for sentence in sentences for word in sentence.words]
        tags = sorted({tag for sentence in sentences for tag in sentence.tags if tag})
        rows.append((
            f"`{name}`", " ".join(f"`{tag}`" for tag in tags) or "-", f"{len(sentences):,}", f"{len(words):,}",
            f"{len(set(words))}", f"{len(words) / len(sentences):.1f}", f"{max(map(len, sentences))}",
        ))  # fmt: skip
    return markdown(rows, 5)


class Bound(NamedTuple):
    """What a class of taggers can reach on lamp; None where nothing was computed.

    Attributes:
        expected: accuracy over the distribution.
        at_most: whether it is only known that no member of the class is above `expected`.
        accuracy, nats: of its best member on lampdev; cross-entropy is in nats a token.
    """

    tagger: str
    expected: float
    at_most: bool = False
    accuracy: float | None = None
    nats: float | None = None


def bounds() -> list[Bound]:
    """What each class of taggers can reach on lamp: over the distribution, and what its best member does on lampdev."""
    dev = make("lampdev")
    tokens = sum(map(len, dev))

    def right(rule: Callable[[Sentence], Sequence[str]]) -> float:
        return sum(found == tag for sentence in dev for found, tag in zip(rule(sentence), sentence.tags)) / tokens

    def nats(logprob: Callable[[Sentence], float]) -> float:
        return -sum(map(logprob, dev)) / (tokens + len(dev))

    tag_counts: Counter[str] = Counter()
    word_counts: dict[str, Counter[str]] = {}
    for sentence in make("lampsup"):
        for word, tag in zip(sentence.words, sentence.tags):
            tag_counts[tag] += 1
            word_counts.setdefault(word, Counter())[tag] += 1
    majority = tag_counts.most_common(1)[0][0]
    by_word = {word: counts.most_common(1)[0][0] for word, counts in word_counts.items()}

    q = expected_changes()
    return [
        Bound(
            "the best that sees the whole sentence",
            expected_accuracy(lambda m, reach: 1.0),
            accuracy=right(lambda sentence: [TAGS[state] for state in lamp_states(sentence.words)]),
            nats=nats(posterior_logprob),
        ),
        *(
            Bound(
                f"the best that sees {c} words on each side",
                expected_accuracy(lambda m, reach, c=c: float(reach <= c)),
            )
            for c in (8, 4, 2)
        ),
        Bound(
            "any CRF whose potentials see one word each",
            expected_accuracy(lambda m, reach: monotone_share(m)),
            at_most=True,
        ),
        Bound(
            "the stationary CRF of highest likelihood", 0.5, nats=nats(lambda sentence: blind_logprob(sentence.tags, q))
        ),
        Bound(
            "the best tag for each word",
            0.5,
            accuracy=right(lambda sentence: [by_word[word] for word in sentence.words]),
        ),
        Bound("the commonest tag", 0.5, accuracy=right(lambda sentence: [majority] * len(sentence))),
    ]


def bayes() -> str:
    """The table of `bounds`."""
    rows = [("tagger", "accuracy expected", "accuracy on lampdev", "nats a token on lampdev")]
    for bound in bounds():
        rows.append((
            bound.tagger,
            "at most " * bound.at_most + f"{bound.expected:.1%}",
            "" if bound.accuracy is None else f"{bound.accuracy:.1%}",
            "" if bound.nats is None else f"{bound.nats:.3f}",
        ))  # fmt: skip
    return markdown(rows, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="draw.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bayes", action="store_true", help="print what classes of taggers can reach on lamp*")
    print(bayes() if parser.parse_args(arguments).bayes else sizes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
