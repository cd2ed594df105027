"""What search.py measures of one energy: accuracy, energies and speed of each way to search it.

    python search_measure.py curves|speed|velocity RESULT --model FILE --tune CORPUS --test CORPUS [--network NAME=FILE]

`curves`: accuracy and energies of Viterbi, of the networks, and of descents after so many steps; `speed`: sentences a
second; `velocity`: search_velocity.py. The step size of a descent is tuned on the first corpus, all figures are of the
second. Accuracy is span F1 where the tags are labels of spans, else the share of tokens, a gold `*` always wrong.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from search_rows import BEAM, GD_ITERATIONS
from speed_chain import NO_PEER, torchcrf
from speed_rows import compile_kernels, compiled
from torch import Tensor

import eval as evaluation
from chain import LinearChain
from corpus import Batch, IntegerizedCorpus, Sentence, read_corpus
from decoders import Decoding, decoder, lowest, tag_corpus, tailored
from decoders import gradient_descent as descents
from decoders.gradient_descent import Iterate
from decoders.infnet import fingerprint, load
from decoders.relaxation import finite
from local import LocalSeq2Seq, LocalTagger
from tagger import Tagger

STEPS = {
    "gradient_descent": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    "warm_start": (0.3, 1.0, 3.0, 10.0, 30.0),
    "tailored": (0.001, 0.003, 0.01, 0.03),
}
COUNTS = {"gradient_descent": (5, 10, 20, 30, 40, 50, 100), "warm_start": (3, 5, 10), "tailored": (3, 5, 10)}
QUICK_COUNTS = {"gradient_descent": (10, 50), "warm_start": (3,), "tailored": (3,)}
MOMENTUM = descents.Settings.momentum
BATCHES = (1, 10, 32, 100)  # sentences at a time, of which the fastest counts beside 10
QUICK_BATCHES = (10,)
SIZE = 32  # sentences at a time otherwise
TUNED_ON = {"gradient_descent": 300, "warm_start": 300, "tailored": 160}  # sentences of the tuning corpus at most
TIMED = 200  # sentences of the test corpus whose tagging is timed

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


class Stop(NamedTuple):
    """Where a descent is after so many steps, batch by batch: tags and relaxed energy, and the best tags until then."""

    tags: list[Tensor]
    relaxed: list[Tensor]
    lowest: list[Tensor]


Walk = dict[int, Stop]  # by steps


class Searcher:
    """A model, its networks, and the two corpora.

    Args:
        networks: files of inference networks by what they are.
        quick: few steps, of one size each.
    """

    def __init__(self, model: Path, networks: dict[str, Path], tune: Path, test: Path, quick: bool = False):
        self.counts, self.batches = (QUICK_COUNTS, QUICK_BATCHES) if quick else (COUNTS, BATCHES)
        self.steps = {way: steps[:1] if quick else steps for way, steps in STEPS.items()}
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
    def part(self, sentences: list[Sentence]) -> Part:
        corpus = IntegerizedCorpus(sentences, self.tagger.lexicon.vocab, self.tagger.tagset)
        numbers = corpus.by_length(SIZE)
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

    # Ways to search

    def at_once(self, part: Part, decode: Callable[..., Decoding]) -> Point:
        """What needs no steps."""
        found = [decode(self.tagger, batch, chain) for batch, chain in zip(part.batches, part.chains)]
        relaxed = [of_batch.relaxed_energy for of_batch in found]
        return self.point(part, [of_batch.tags for of_batch in found], None if relaxed[0] is None else relaxed)

    def iterates(
        self, way: str, batch: Batch, chain: LinearChain, step: float, network: LocalTagger
    ) -> Iterator[Iterate]:
        """The start of a descent and what each step leads to."""
        if way == "tailored":
            return tailored.iterates(finite(chain), network.network, network.lexicon.embed(batch), step, MOMENTUM)
        B, n, k = chain.given_emit.shape
        start = network.logits(batch) if way == "warm_start" else descents.random_logits(n, k, 0)
        return descents.iterates(finite(chain), start.to(chain.given_emit).expand(B, n, k), step, MOMENTUM)

    @torch.no_grad()
    def walk(self, part: Part, way: str, step: float, network: LocalTagger) -> Walk:
        """A descent with steps of this size."""
        counts = self.counts[way]
        stops = {count: Stop([], [], []) for count in counts}
        for batch, chain in zip(part.batches, part.chains):
            tags = energy = None
            for number, now in zip(range(max(counts) + 1), self.iterates(way, batch, chain, step, network)):
                better = torch.ones_like(now.energy, dtype=torch.bool) if energy is None else now.energy < energy
                tags = now.tags if energy is None else torch.where(better[:, None], now.tags, tags)
                energy = now.energy if energy is None else torch.where(better, now.energy, energy)
                if number in stops:
                    for column, value in zip(stops[number], (now.tags, now.relaxed_energy, tags)):
                        column.append(value)
        return stops

    def tuned(self, way: str, part: Part, network: LocalTagger) -> dict[int, float]:
        """By number of steps, the size of a step that is best on these sentences."""
        walks = {step: self.walk(part, way, step, network) for step in self.steps[way]}
        return {
            count: max(walks, key=lambda step: self.quality(part, walks[step][count].tags))
            for count in self.counts[way]
        }

    def descent_points(self, test: Part, walks: dict[float, Walk], steps: dict[int, float]) -> list[Point]:
        """The last iterate after so many steps of this size; and the best tagging that was met."""
        points = []
        for count, step in steps.items():
            stop = walks[step][count]
            kept = self.point(test, stop.lowest, None)
            points.append(self.point(
                test, stop.tags, stop.relaxed, iterations=count, step=step, lowest_quality=kept["quality"],
                lowest_energy=kept["energy"], lowest_search_error=kept["search_error"],
            ))  # fmt: skip
        return points

    def oracle(self, test: Part, walks: dict[float, Walk], count: int) -> Point:
        """Gradient descent with the step of each sentence chosen by how many of its tokens are then right."""
        chosen = []
        for number, batch in enumerate(test.batches):
            choices = torch.stack([walk[count].tags[number] for walk in walks.values()])
            right = ((choices == batch.tags) & (batch.tags >= 0)).sum(dim=2)
            chosen.append(choices[right.argmax(dim=0), torch.arange(len(batch))])
        return self.point(test, chosen, None, iterations=count)

    def curves(self, own: str) -> dict[str, Any]:
        """All but speed; tailored copies and warm starts are of the network `own`."""
        test = self.part(self.test_sentences)
        tuning = {way: spaced(self.tune_sentences, TUNED_ON[way]) for way in self.counts}
        known = [torch.where(batch.tags >= 0, batch.tags, 0).masked_fill(~batch.mask, -1) for batch in test.batches]
        found: dict[str, Any] = dict(
            sentences=len(test.corpus), spans=self.spans, network=own,
            tuned_on={way: len(corpus) for way, corpus in tuning.items()},
            gold=test.mean([-chain.score(tags) for chain, tags in zip(test.chains, known)]),
            tokens=self.right(test, known)[1],
            viterbi=self.at_once(test, decoder("viterbi")),
            networks={name: self.at_once(test, decoder("infnet", net)) for name, net in self.networks.items()},
            beams={
                name: self.at_once(test, decoder("infnet", net, width=BEAM))
                for name, net in self.networks.items() if isinstance(net, LocalSeq2Seq)
            },
        )  # fmt: skip
        for way, sentences in tuning.items():
            steps = self.tuned(way, self.part(sentences), self.networks[own])
            tried = self.steps[way] if way == "gradient_descent" else set(steps.values())  # the oracle looks at all
            walks = {step: self.walk(test, way, step, self.networks[own]) for step in tried}
            found[way] = self.descent_points(test, walks, steps)
            if way == "gradient_descent":
                found["oracle"] = [self.oracle(test, walks, count) for count in self.counts[way]]
        return found

    # Speed

    def require_exact(self, ways: dict[str, Callable[..., Decoding]]) -> None:
        """Stop the program if one of them does not find what Viterbi's algorithm does."""
        batch = self.timed.batch(self.timed.by_length(SIZE)[0])
        best = lowest(self.tagger(batch).detach())
        for name, decode in ways.items():
            if not torch.allclose(decode(self.tagger, batch, None).energy, best, rtol=1e-5, atol=1e-3):
                raise SystemExit(f"{name} does not find the taggings of lowest energy: not timed")

    def rate(self, decode: Callable[..., Decoding], size: int) -> float:
        """Sentences a second."""
        tagging = min((tag_corpus(self.tagger, self.timed, decode, size) for _ in range(2)), key=lambda x: x.seconds)
        return len(self.timed) / tagging.seconds

    def speed(self, own: str) -> dict[str, Any]:
        """Sentences a second of each procedure at 10 a batch and at the best of BATCHES, and of descents by steps."""
        sentences = spaced(self.test_sentences, TIMED)
        self.timed = IntegerizedCorpus(sentences, self.tagger.lexicon.vocab, self.tagger.tagset)
        exact = {"viterbi": decoder("viterbi"), "restricted": decoder("restricted")}
        ways: dict[str, Callable] = {name: decoder("infnet", network) for name, network in self.networks.items()}
        ways.update(exact)
        absent = {}
        if problem := compile_kernels():
            absent.update({f"{name} --compile": problem for name in exact})
        else:
            ways.update({f"{name} --compile": compiled(decode) for name, decode in exact.items()})
        if torchcrf:
            ways["pytorch-crf"] = PeerDecoder()
        else:
            absent["pytorch-crf"] = NO_PEER
        self.require_exact({name: decode for name, decode in ways.items() if name not in self.networks})
        ways["gradient_descent"] = decoder("gradient_descent", iterations=GD_ITERATIONS)
        procedures = {}
        for name, decode in ways.items():
            rates = {size: self.rate(decode, size) for size in self.batches}
            best = max(rates, key=rates.get)
            procedures[name] = dict(at_10=rates[10], best=rates[best], size=best)
        descending = {
            way: {count: self.rate(decoder(way, self.networks[own], iterations=count), SIZE) for count in counts}
            for way, counts in self.counts.items()
        }
        same = {name: self.rate(ways[name], SIZE) for name in ("viterbi", own)}
        return dict(
            sentences=len(sentences),
            procedures=procedures,
            absent=absent,
            descents=descending,
            at_once=same,
            network=own,
        )


class PeerDecoder:
    """pytorch-crf's decode of the model's emissions, with its transitions."""

    def __init__(self):
        self.crf = None

    def __call__(self, tagger: Tagger, batch: Batch, chain: LinearChain | None) -> Decoding:
        chain = tagger(batch)
        if self.crf is None:
            self.crf = torchcrf.CRF(chain.given_emit.shape[2], batch_first=True)
            self.crf.start_transitions.data = chain.start[0].clone()
            self.crf.end_transitions.data = chain.stop[0].clone()
            self.crf.transitions.data = chain.trans.clone()
        found = self.crf.decode(chain.given_emit, batch.mask)
        tags = torch.full(batch.ids.shape, -1)
        for row, path in zip(tags, found):
            row[: len(path)] = torch.tensor(path)
        return Decoding(tags, chain)


def spaced(sentences: list[Sentence], most: int) -> list[Sentence]:
    """At most so many of the sentences, from all parts of the corpus."""
    return sentences[:: -(-len(sentences) // most)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("curves", "speed", "velocity"))
    parser.add_argument("result", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tune", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--network", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument(
        "--own", metavar="NAME", required=True, help="the network that is tailored and that descents begin from"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    networks = {name: Path(file) for name, _, file in (text.partition("=") for text in args.network)}
    searcher = Searcher(args.model, networks, args.tune, args.test, args.quick)
    if args.what == "velocity":
        import search_velocity  # which imports this file

        found = search_velocity.measure(searcher, args.quick)
    else:
        found = getattr(searcher, args.what)(args.own)
    common.write_json(args.result, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
