"""Probes of closer.py that train nothing: what word vectors know of tags and of which words, and how steep the sigmoids
of an untrained model are.

- Words: how many there are, and how many tokens they are, by how often they occur in ensup.
- Neighbours: of each word of ensup that a lexicon has, the nearest other such word by cosine. How often has it the same
  commonest tag? A model whose potentials are smooth in the vector cannot well tell a word from its neighbours.
- Coverage: of the tokens of a development corpus, how many are known words that words-50.txt lacks? To a model over
  vectors all of them are one word.
- Slopes: the mean derivative of the sigmoids of eqs. 46 and 48 over all tokens (and tags) of endev, in per cent of its
  greatest value 1/4, for tag frequencies as they are and standardized. What back-propagation brings to M and U^B is in
  proportion. And how much the states of eq. 46 differ from token to token, as a standard deviation.
"""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from closer_rows import BINS, bin_of

import lexicon as lexicons
from corpus import IntegerizedCorpus, Sentence, read_corpus
from crf_neural import ConditionalRandomFieldNeural
from integerize import Integerizer
from word_features import look_up
from word_vectors import read_lexicon

FILES = ("words-10.txt", "words-20.txt", "words-50.txt", "syntax-50.txt")
QUICK = 200  # sentences
FREQUENT = 100  # times
COVERAGE = ("corpus", "known, % of tokens", "known without a vector, % of tokens", "of these of one tag, %")
SLOPES = ("tag frequencies", "mean slope in (46)", "deviation of states", "mean slope in (48)")
COVERED = ("en", "ewt", "tw", "btc")  # corpora


def run(quick: bool, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """All that `markdown` shows.

    Args:
        earlier: what this found before; of a corpus that is no longer there, its coverage is taken from it.
    """
    sentences = read_corpus(common.DATA / "ensup")[: QUICK if quick else None]
    dev = read_corpus(common.DATA / "endev")[: QUICK if quick else None]
    present = [name for name in FILES if (common.LEXICONS / name).exists()]
    return dict(
        words=words_by_frequency(sentences),
        neighbours={name: neighbours(sentences, name) for name in present},
        coverage=coverages(present, earlier.get("coverage", {})),
        slopes={name: slopes(sentences, dev, name == "standardized") for name in ("raw", "standardized")},
    )


def words_by_frequency(sentences: Sequence[Sentence]) -> dict[str, list[int]]:
    """Words and tokens in each bin."""
    found = {name: [0, 0] for name in BINS if name != "never"}
    for count in Counter(word for sentence in sentences for word in sentence.words).values():
        cell = found[bin_of(count)]
        cell[0] += 1
        cell[1] += count
    return found


def neighbours(sentences: Sequence[Sentence], file: str) -> dict[str, float]:
    """The share of words, and of tokens, whose nearest neighbour has the same commonest tag."""
    vectors = read_lexicon(common.LEXICONS / file)
    rows = {word: row for row, word in enumerate(vectors.words)}
    tags: dict[int, Counter[str | None]] = {}  # by row, so that spellings that share one are one word
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags):
            row = look_up(word, rows)
            if row is not None:
                tags.setdefault(row, Counter())[tag] += 1
    units = torch.nn.functional.normalize(vectors.matrix[list(tags)], dim=1)
    commonest = [counts.most_common(1)[0][0] for counts in tags.values()]
    tokens = [sum(counts.values()) for counts in tags.values()]
    same = []
    for start in range(0, len(units), 1000):
        cosines = units[start : start + 1000] @ units.T
        cosines[torch.arange(len(cosines)), start + torch.arange(len(cosines))] = -2.0
        copies = cosines > 1 - 1e-6  # a spelling of the same word, as the lexicons have of brackets and quotes
        nearest = cosines.masked_fill(copies, -2.0).argmax(dim=1).tolist()
        same += [commonest[start + number] == commonest[other] for number, other in enumerate(nearest)]
    often = [number for number, count in enumerate(tokens) if count >= FREQUENT]
    return dict(
        words=len(same),
        of_words=sum(same) / len(same),
        of_tokens=sum(count for count, right in zip(tokens, same) if right) / sum(tokens),
        of_frequent=sum(same[number] for number in often) / len(often) if often else None,
    )


def coverages(lexicons: Sequence[str], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """By corpus; what was found earlier, of a corpus that is not there."""
    found = {name: earlier[name] for name in COVERED if name in earlier}
    for name in COVERED if "words-50.txt" in lexicons else ():
        if (common.DATA / f"{name}sup").exists():
            found[name] = coverage(*(read_corpus(common.DATA / f"{name}{part}") for part in ("sup", "dev")))
    return {name: found[name] for name in COVERED if name in found}


def coverage(training: Sequence[Sentence], dev: Sequence[Sentence]) -> dict[str, float]:
    """Of the tokens of dev, known words and those of them without a vector; of the last, those of the commonest tag."""
    rows = dict.fromkeys(read_lexicon(common.LEXICONS / "words-50.txt").words, True)
    counts = Counter(word for s in training for word, tag in zip(s.words, s.tags) if tag is not None)
    tokens = [pair for sentence in dev for pair in zip(sentence.words, sentence.tags)]
    known = [(word, tag) for word, tag in tokens if look_up(word, counts)]
    without = [tag for word, tag in known if look_up(word, rows) is None]
    return dict(
        known=len(known) / len(tokens),
        known_without_vector=len(without) / len(tokens),
        of_one_tag=max(Counter(without).values(), default=0) / max(len(without), 1),
    )


@torch.no_grad()
def slopes(sentences: Sequence[Sentence], dev: Sequence[Sentence], standardized: bool) -> dict[str, float]:
    """Before training: the mean derivatives of the sigmoids of eqs. 46 and 48, over those at 0; how states differ."""
    transform = lexicons.standardized if standardized else lambda rows: rows
    with mock.patch.object(lexicons, "standardized", transform):
        features = lexicons.Lexicon.from_corpus(sentences, tag_frequencies=True)
    tagset = Integerizer(sorted({tag for sentence in sentences for tag in sentence.tags}))
    torch.manual_seed(0)
    model = ConditionalRandomFieldNeural(tagset, features).eval()
    corpus = IntegerizedCorpus(dev, features.vocab, tagset)
    total, cells, states = 0.0, 0, []
    for numbers in corpus.by_length(32):
        batch = corpus.batch(numbers)
        words = features.features(batch, ends=True)
        prefix, suffix = model.context(words, batch)
        bias, of_prefix, of_tag, of_word, of_suffix = model.U_B.split(
            [1, model.d, model.tag_dim, features.dim, model.d], dim=1
        )
        context = prefix[:, 1:] @ of_prefix.T + suffix[:, :-1] @ of_suffix.T + (words @ of_word.T)[:, 1:-1] + bias.T
        inside = batch.mask[:, 1:]  # h_0 and later; the state before BOS is 0 for all
        states.append(torch.cat([prefix[:, 1:-1][inside], suffix[:, 1:-1][inside]], dim=1))
        s = torch.sigmoid(context[batch.mask][:, None] + model.tags[: model.k] @ of_tag.T)
        total, cells = total + (s * (1 - s)).sum().item(), cells + s.numel()
    h = torch.cat(states)
    return dict(eq_46=(h * (1 - h)).mean().item() / 0.25, states=h.std(dim=0).mean().item(), eq_48=total / cells / 0.25)


def markdown(found: Mapping[str, Any]) -> str:
    header = ("lexicon", "words of ensup in it", "same tag, % of words", "% of tokens", "% of frequent words")
    rows = [
        [
            name.removesuffix(".txt"), f"{of['words']:,}",
            f"{100 * of['of_words']:.1f}", f"{100 * of['of_tokens']:.1f}",
            "-" if of["of_frequent"] is None else f"{100 * of['of_frequent']:.1f}",
        ]
        for name, of in found["neighbours"].items()
    ]  # fmt: skip
    slopes = [
        [name, f"{100 * of['eq_46']:.1f}", f"{of['states']:.3f}", f"{100 * of['eq_48']:.1f}"]
        for name, of in found["slopes"].items()
    ]
    covered = [
        [f"{name}dev", *(f"{100 * of[share]:.1f}" for share in ("known", "known_without_vector", "of_one_tag"))]
        for name, of in found["coverage"].items()
    ]
    words, tokens = (sum(column) for column in zip(*found["words"].values()))
    by_frequency = [
        [name, f"{w:,}", f"{100 * w / words:.1f}", f"{n:,}", f"{100 * n / tokens:.1f}"]
        for name, (w, n) in found["words"].items()
    ]
    return (
        "\n## Words of ensup\n\n"
        f"{common.table(('times', 'words', '% of words', 'tokens', '% of tokens'), by_frequency)}"
        f"\n## Nearest neighbours of word vectors\n\n{common.table(header, rows)}\nThe nearest other word of ensup by "
        f"cosine, and whether its commonest tag is the same. Frequent: at least {FREQUENT} times in ensup.\n"
        "\n## Known words without a vector\n\n"
        f"{common.table(COVERAGE, covered)}"
        "\nThe vectors are those of words-50.txt; the tag is the commonest among these tokens.\n"
        "\n## Sigmoids before training\n\n"
        f"{common.table(SLOPES, slopes)}"
        "\nOver the tokens (and tags) of endev; seed 0, default sizes. Slopes in % of the greatest there can be.\n"
    )
