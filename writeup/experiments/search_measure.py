"""What search.py measures of one task: accuracy, energies and time of each way to search the energy of a model.

Steps of descents are tuned on the even sentences of the development corpus, all figures are of the odd ones. Accuracy
is span F1 where the tags are labels of spans, else the share of tokens, a gold `*` always wrong.
"""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import eval as evaluation
from chain import LinearChain
from corpus import Batch, IntegerizedCorpus, Sentence, read_corpus
from decoders import decoder, lowest, tag_corpus
from decoders import gradient_descent as descents
from decoders.gradient_descent import Descent, Settings
from decoders.infnet import fingerprint, load
from decoders.tailored import tailor
from local import LocalTagger
from tagger import Tagger

STEPS = {
    "gradient_descent": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    "warm_start": (0.3, 1.0, 3.0, 10.0, 30.0),
    "tailored": (0.001, 0.003, 0.01, 0.03),
}
COUNTS = {"gradient_descent": (10, 20, 30, 40, 50, 100), "warm_start": (3, 5, 10), "tailored": (3, 5, 10)}
QUICK_COUNTS = {"gradient_descent": (10, 50), "warm_start": (3,), "tailored": (3,)}
BATCHES = (1, 10, 32, 100)  # sentences at a time, of which the fastest counts beside 10
SIZE = 32  # sentences at a time otherwise

Point = dict[str, float | int | None]


@dataclass(frozen=True)
class Half:
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
    """A model, its networks, and the two halves of a corpus.

    Args:
        networks: files of inference networks by what they are.
        quick: few steps, of one size each.
    """

    def __init__(self, model: Path, networks: dict[str, Path], corpus: Path, quick: bool = False):
        self.counts = QUICK_COUNTS if quick else COUNTS
        self.steps = {how: steps[:1] if quick else steps for how, steps in STEPS.items()}
        self.tagger = Tagger.load(model)
        mark = fingerprint(self.tagger)
        self.networks = {name: load(path, self.tagger, mark) for name, path in networks.items()}
        sentences = read_corpus(corpus)
        self.tuning, self.odd = self.half(sentences[::2]), self.half(sentences[1::2])
        self.names = list(self.tagger.tagset)

    @torch.no_grad()
    def half(self, sentences: list[Sentence]) -> Half:
        corpus = IntegerizedCorpus(sentences, self.tagger.lexicon.vocab, self.tagger.tagset)
        numbers = corpus.by_length(SIZE)
        batches = [corpus.batch(part) for part in numbers]
        return Half(corpus, numbers, batches, [self.tagger(batch).detach() for batch in batches])

    def quality(self, half: Half, tags: list[list[int]]) -> float:
        """F1 or accuracy, between 0 and 1."""
        gold = [sentence.tags for sentence in half.corpus.sentences]
        found = [[self.names[tag] for tag in row] for row in tags]
        if evaluation.is_span_task(self.names):
            return evaluation.span_f1(gold, found)[0].f1
        correct, total = evaluation.correct_by_sentence(gold, found, evaluation.STAR in self.names)
        return float(correct.sum() / total.sum())

    def point(self, half: Half, tags: Sequence[Tensor], relaxed: Sequence[Tensor] | None, **more: Any) -> Point:
        """What a table shows of a way to search."""
        energies = [-chain.score(of_batch) for chain, of_batch in zip(half.chains, tags)]
        return dict(
            quality=self.quality(half, half.collect(tags)),
            energy=half.mean(energies),
            search_error=half.mean(energies) - half.mean([lowest(chain) for chain in half.chains]),
            relaxed_energy=None if relaxed is None else half.mean(relaxed),
            **more,
        )

    # Ways to search

    def exact(self, name: str = "viterbi") -> Point:
        """Viterbi, or the network of this name."""
        decode = decoder("viterbi") if name == "viterbi" else decoder("infnet", self.networks[name])
        found, seconds = timed(lambda: [decode(self.tagger, batch) for batch in self.odd.batches])
        relaxed = None if name == "viterbi" else [of_batch.relaxed_energy for of_batch in found]
        return self.point(self.odd, [of_batch.tags for of_batch in found], relaxed, seconds=seconds)

    def descend(self, half: Half, how: str, network: LocalTagger, step: float, count: int) -> list[Descent]:
        """Of each batch."""
        found = []
        with torch.no_grad():
            for batch, chain in zip(half.batches, half.chains):
                if how == "tailored":
                    words = network.lexicon.embed(batch)
                    found.append(tailor(chain, network.network, words, Settings(iterations=count, step=step)))
                    continue
                B, n, k = chain.given_emit.shape
                start = network.logits(batch) if how == "warm_start" else descents.random_logits(n, k, 0)
                found.append(descents.descend(chain, start.to(chain.given_emit).expand(B, n, k), count, step))
        return found

    def tuned(self, how: str, network: LocalTagger, count: int) -> Point:
        """The last iterate after so many steps, of the size that is best on the tuning half."""

        def worth(step: float) -> float:
            found = self.descend(self.tuning, how, network, step, count)
            return self.quality(self.tuning, self.tuning.collect([of_batch.last.tags for of_batch in found]))

        step = max(self.steps[how], key=worth)
        found, seconds = timed(lambda: self.descend(self.odd, how, network, step, count))
        last = [of_batch.last for of_batch in found]
        kept = self.point(self.odd, [of_batch.tags for of_batch in found], None)
        return self.point(
            self.odd, [x.tags for x in last], [x.relaxed_energy for x in last],
            iterations=count, step=step, seconds=seconds, lowest_quality=kept["quality"], lowest_energy=kept["energy"],
        )  # fmt: skip

    def oracle(self, count: int) -> Point:
        """Gradient descent with the step of each sentence chosen by how many of its tokens are then right."""
        tags = []
        for batch, chain in zip(self.odd.batches, self.odd.chains):
            B, n, k = chain.given_emit.shape
            start = descents.random_logits(n, k, 0).to(chain.given_emit).expand(B, n, k)
            right = lambda found, gold=batch.tags: ((found == gold) & (gold >= 0)).sum(dim=1)
            tags.append(descents.oracle(chain, start, self.steps["gradient_descent"], [count], right).tags)
        return self.point(self.odd, tags, None, iterations=count)

    def table6(self, network: str) -> dict[str, Any]:
        """Energies and accuracy by iterations, of the network of this name and what begins from it."""
        own = self.networks[network]
        gold = self.odd.mean(
            [-chain.score(batch.tags.clamp(min=0)) for batch, chain in zip(self.odd.batches, self.odd.chains)]
        )
        rows = {how: [self.tuned(how, own, count) for count in counts] for how, counts in self.counts.items()}
        oracle = [self.oracle(count) for count in self.counts["gradient_descent"]]
        return dict(network=network, gold=gold, viterbi=self.exact(), infnet=self.exact(network), oracle=oracle, **rows)

    def table3(self, iterations: int) -> dict[str, dict[str, float]]:
        """Sentences a second at 10 a batch and at the best of BATCHES; for gradient descent, so many steps."""
        ways: dict[str, Callable] = {name: decoder("infnet", own) for name, own in self.networks.items()}
        ways.update(viterbi=decoder("viterbi"), restricted=decoder("restricted"))
        ways["gradient_descent"] = decoder("gradient_descent", iterations=iterations)
        corpus, rates = self.odd.corpus, {}
        for name, decode in ways.items():
            by_size = {}
            for size in BATCHES:
                seconds = min(tag_corpus(self.tagger, corpus, decode, size).seconds for _ in range(2))
                by_size[size] = len(corpus) / seconds
            rates[name] = dict(at_10=by_size[10], best=max(by_size.values()), size=max(by_size, key=by_size.get))
        return rates


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
