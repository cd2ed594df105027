"""A trained energy with its inference networks and two corpora, and what is measured of any way to search it."""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import eval as evaluation
from chain import LinearChain
from corpus import Batch, IntegerizedCorpus, Sentence, read_corpus
from decoders import Decoding, lowest
from decoders.infnet import fingerprint, load
from tagger import Tagger

SIZE = 32  # sentences at a time
COUNTS = {"gradient_descent": (5, 10, 20, 30, 40, 50, 100), "warm_start": (3, 5, 10), "tailored": (3, 5, 10)}
QUICK_COUNTS = {"gradient_descent": (10, 50), "warm_start": (3,), "tailored": (3,)}

Point = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Sentences with the model's distributions over their taggings, batch by batch."""

    corpus: IntegerizedCorpus
    numbers: list[Tensor]
    batches: list[Batch]
    chains: list[LinearChain]

    def collect(self, of_batches: Sequence[Tensor]) -> list[list[int]]:
        """The taggings of batches as those of the corpus, in its order."""
        found: list[list[int]] = [[] for _ in range(len(self.corpus))]
        for numbers, tags in zip(self.numbers, of_batches):
            for number, row in zip(numbers.tolist(), tags.tolist()):
                found[number] = row[: len(self.corpus.sentences[number])]
        return found

    def mean(self, of_batches: Sequence[Tensor]) -> float:
        return float(torch.cat(list(of_batches)).double().mean())


class Searcher:
    """A model, its networks, and the two corpora.

    Accuracy is span F1 where the tags are labels of spans, else the share of tokens, a gold `*` always wrong.

    Args:
        networks: files of inference networks by what they are.
        quick: few steps, of one size each.
    """

    def __init__(self, model: Path, networks: dict[str, Path], tune: Path, test: Path, quick: bool = False):
        self.quick, self.counts = quick, QUICK_COUNTS if quick else COUNTS
        self.tagger = Tagger.load(model)
        mark = fingerprint(self.tagger)
        self.networks = {name: load(path, self.tagger, mark) for name, path in networks.items()}
        strangers = [str(networks[name]) for name, network in self.networks.items() if network is None]
        if strangers:
            raise ValueError(f"trained for another model than {model}: {', '.join(strangers)}")
        self.names = list(self.tagger.tagset)
        self.tune_sentences, self.test_sentences = read_corpus(tune), read_corpus(test)
        self.spans = evaluation.is_span_task(self.names)

    @torch.no_grad()
    def part(self, sentences: list[Sentence], in_order: int | None = None) -> Part:
        """Batches of sentences of like length, or of so many as they follow each other."""
        corpus = IntegerizedCorpus(sentences, self.tagger.lexicon.vocab, self.tagger.tagset)
        numbers = list(torch.arange(len(corpus)).split(in_order)) if in_order else corpus.by_length(SIZE)
        batches = [corpus.batch(part) for part in numbers]
        return Part(corpus, numbers, batches, [self.tagger(batch).detach() for batch in batches])

    def right(self, part: Part, tags: Sequence[Tensor]) -> tuple[list[int], list[int]]:
        """Of each sentence the tokens that are right, and all."""
        gold, found = self.spelled(part, tags)
        correct, total = evaluation.correct_by_sentence(gold, found, evaluation.STAR in self.names)
        return correct.tolist(), total.tolist()

    def spelled(self, part: Part, tags: Sequence[Tensor]) -> tuple[list[Sequence[str]], list[list[str]]]:
        """Gold and found tags."""
        gold = [sentence.tags for sentence in part.corpus.sentences]
        return gold, [[self.names[tag] for tag in row] for row in part.collect(tags)]

    def quality(self, part: Part, tags: Sequence[Tensor]) -> float:
        """F1 or accuracy, between 0 and 1."""
        if self.spans:
            return evaluation.span_f1(*self.spelled(part, tags))[0].f1
        correct, total = self.right(part, tags)
        return sum(correct) / sum(total)

    def point(self, part: Part, tags: Sequence[Tensor], relaxed: Sequence[Tensor] | None, **more: Any) -> Point:
        """What a table shows of a way to search."""
        energies = [-chain.score(of_batch) for chain, of_batch in zip(part.chains, tags)]
        return dict(
            quality=self.quality(part, tags),
            energy=part.mean(energies),
            search_error=part.mean(energies) - part.mean([lowest(chain) for chain in part.chains]),
            relaxed_energy=None if relaxed is None else part.mean(relaxed),
            correct=self.right(part, tags)[0],
            **more,
        )

    def at_once(self, part: Part, decode: Callable[..., Decoding]) -> Point:
        """What needs no steps."""
        found = [decode(self.tagger, batch, chain) for batch, chain in zip(part.batches, part.chains)]
        relaxed = [of_batch.relaxed_energy for of_batch in found]
        return self.point(part, [of_batch.tags for of_batch in found], None if relaxed[0] is None else relaxed)


def spaced(sentences: list[Sentence], most: int) -> list[Sentence]:
    """At most so many of the sentences, from all parts of the corpus."""
    return sentences[:: -(-len(sentences) // most)]
