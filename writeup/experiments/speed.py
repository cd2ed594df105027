"""How fast the package is, beside its peers.

    python writeup/experiments/speed.py [--quick] [--only SECTION ...] [--out FOLDER]

Every comparison is made in one run, the calls of both sides alternating, so that whatever else the machine does slows
both; what is reported is the median of each side and the ratio of the medians. Sections:

- chain: log Z and the log-likelihood, both with their gradients, and Viterbi, of a random batch of mixed lengths;
  against pytorch-crf 0.7.2 (the extra `reference`) and against the plain engine, which is our chain.py without
  chain_fast.py: autograd through a loop over positions; ours both as it comes and with what --compile compiles. All
  sides are first held to give the same results.
- training: an epoch of crf_backprop, training steps of crf_neural, tagging; against the same without any kernels, as
  the students' package has it.
- runs: `tag.py` from nothing to a tagged endev, as a user calls it: seconds until the best dev cross-entropy, memory.

Writes results/speed.json and results/speed.md under --out (default: writeup/). With --only the other sections stay as
they are there. --quick measures next to nothing and shows that everything runs, in a temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import speed_chain
import torch
from speed_rows import OURS, PLAIN, Row, Target, alternate, compile_kernels, compiled, plainly, row, section_table
from torch import Tensor
from tqdm import tqdm

import options
import plan
from corpus import IntegerizedCorpus, read_corpus
from decoders import decoder, tag_corpus
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from training import Settings, Trainer
from word_vectors import read_lexicon


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny shapes and runs, into a temporary folder")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--out", type=Path, help="folder for results/ (default: writeup/)")
    args = parser.parse_args(arguments)
    out = args.out or (Path(tempfile.mkdtemp(prefix="speed-")) if args.quick else common.WRITEUP)
    if speed_chain.torchcrf is None:
        print(speed_chain.NO_PEER)

    path = out / "results" / "speed.json"
    result = common.read_json(path) or {}
    for name in args.only or SECTIONS:
        measured = dict(machine=common.machine(torch.get_num_threads()), load_before=common.load())
        print(f"{name}: {common.describe_machine(measured['machine'])}; load average {measured['load_before']}")
        with tempfile.TemporaryDirectory() as work:
            if args.quick:
                common.small_data(Path(work))
            rows, notes = SECTIONS[name](args.quick, Path(work))
        result[name] = {**measured, "load_after": common.load(), "quick": args.quick, "notes": notes, "rows": rows}
        print(section_table(rows))
    result = {name: result[name] for name in SECTIONS if name in result}
    common.write_json(path, result)
    common.write_text(path.with_suffix(".md"), markdown(result))
    print(f"in {path} and {path.with_suffix('.md')}")
    return 0


# training


@dataclass
class Course:
    """A model in training."""

    trainer: Trainer
    tagger: Tagger
    optimizer: torch.optim.Optimizer

    def step(self, sentences: Tensor) -> None:
        self.trainer.step(self.tagger, self.optimizer, sentences)

    def epoch(self) -> None:
        for sentences in self.trainer.training.shuffled(self.trainer.settings.batch_size):
            self.step(sentences)


def make_course(kind: str, lexicons: Sequence[str], work: Path) -> Course:
    """A new model on ensup, with tag.py's defaults."""
    planned = plan.make_plan(options.parser().parse_args(["endev", "--model", kind]), kind, None)
    training = read_corpus(common.find("ensup", work, common.DATA))
    dev = read_corpus(common.find("endev", work, common.DATA))
    tagset = Integerizer(sorted({tag for sentence in training for tag in sentence.tags}))
    vectors = [read_lexicon(common.find(name, work, common.LEXICONS)) for name in lexicons]
    lexicon = Lexicon.from_corpus(training, vectors=vectors)
    settings = Settings(**planned.settings)
    torch.manual_seed(0)
    tagger = tagger_class(kind)(tagset, lexicon, **planned.sizes).train()
    corpora = (IntegerizedCorpus(sentences, lexicon.vocab, tagset) for sentences in (training, dev))
    trainer = Trainer(lambda: tagger, *corpora, settings)
    return Course(trainer, tagger, trainer.optimizer(tagger))


def training_section(quick: bool, work: Path) -> tuple[list[Row], list[str]]:
    """Training and tagging, in this process."""
    rows: list[Row] = []
    stationary, plain = (make_course("crf_backprop", [], work) for _ in range(2))
    times = alternate({OURS: stationary.epoch, PLAIN: plainly(plain.epoch)}, quick, seconds=0.0, at_least=3)
    seconds = {side: statistics.median(of_side) for side, of_side in times.items()}
    tokens = stationary.trainer.training.tokens
    what = "crf_backprop (one-hot), "
    rows.append(row(what + "an epoch of ensup", "s", seconds[OURS], seconds[PLAIN], PLAIN, ("most", 3.0)))
    rows.append(row(what + "training", "tokens/s", tokens / seconds[OURS], tokens / seconds[PLAIN], PLAIN))
    rows.append(tagging_row(what + "tagging endev", stationary, quick, None))

    neural, plain = (make_course("crf_neural", ["words-50.txt"], work) for _ in range(2))
    what = "crf_neural --lexicon words-50.txt"
    rows.append(training_row(f"{what}, training", neural, plain, quick, 15_000))
    rows.append(tagging_row(f"{what}, tagging endev", neural, quick, 50_000))
    problem = compile_kernels()
    what += " --compile"
    if problem:
        rows.append(row(f"{what}, training", "tokens/s", None, target=("least", 20_000), note=problem))
        rows.append(row(f"{what}, tagging endev", "tokens/s", None, note=problem))
    else:
        rows.append(training_row(f"{what}, training", neural, plain, quick, 20_000, compiled))
        rows.append(tagging_row(f"{what}, tagging endev", neural, quick, None, compiled))
    notes = [
        "Settings and sizes are the defaults of tag.py. An epoch is the median of three; rates of training are medians "
        "over minibatches that both sides step on in turn; tagging goes from integerized words to tags."
    ]
    return rows, notes


Kernels = Callable[[Callable[..., Any]], Callable[..., Any]]


def as_it_is(work: Callable[..., Any]) -> Callable[..., Any]:
    return work


def training_row(what: str, ours: Course, plain: Course, quick: bool, least: float, kernels: Kernels = as_it_is) -> Row:
    """Tokens a second in training steps."""
    batches = ours.trainer.training.shuffled(ours.trainer.settings.batch_size)[: 4 if quick else 66]
    warm_up = 1 if quick else 6
    rates: dict[str, list[float]] = {OURS: [], PLAIN: []}
    for number, sentences in enumerate(tqdm(batches, desc=what, unit=" steps", leave=False)):
        tokens = int(ours.trainer.training.lengths[sentences].sum())
        for side, step in ((OURS, kernels(ours.step)), (PLAIN, plainly(plain.step))):
            began = time.perf_counter()
            step(sentences)
            if number >= warm_up:
                rates[side].append(tokens / (time.perf_counter() - began))
    median = {side: statistics.median(of_side) for side, of_side in rates.items()}
    return row(what, "tokens/s", median[OURS], median[PLAIN], PLAIN, ("least", least))


def tagging_row(what: str, course: Course, quick: bool, least: float | None, kernels: Kernels = as_it_is) -> Row:
    """Tokens of endev tagged a second, by the same model with and without kernels."""
    dev = course.trainer.dev
    course.tagger.eval()

    def tag() -> None:
        tag_corpus(course.tagger, dev, decoder("viterbi"))

    times = alternate({OURS: kernels(tag), PLAIN: plainly(tag)}, quick)
    course.tagger.train()
    median = {side: dev.tokens / statistics.median(of_side) for side, of_side in times.items()}
    return row(what, "tokens/s", median[OURS], median[PLAIN], PLAIN, ("least", least) if least else None)


# runs

RUNS = {"crf_backprop": ["crf_backprop"], "crf_neural": ["crf_neural", "--lexicon", "words-50.txt"]}
RUN_TARGETS: dict[tuple[str, str], Target] = {
    ("crf_backprop", "best"): ("most", 30.0),
    ("crf_neural", "best"): ("most", 120.0),
    ("crf_neural", "training"): ("least", 15_000),
    ("crf_neural", "tagging"): ("least", 50_000),
    ("crf_neural", "memory"): ("most", 2.0),
}


def runs_section(quick: bool, work: Path) -> tuple[list[Row], list[str]]:
    """tag.py as a user calls it."""
    rows: list[Row] = []
    notes = ["Seconds are of training, evaluations included, as tag.py counts them. No peer: these are whole runs."]
    for name, model in tqdm(RUNS.items(), desc="runs", unit=" runs"):
        arguments = ["endev", "--model", *model]
        run = common.run_tag([*arguments, *(["--max_steps", "64", "--restarts", "0"] if quick else [])], work, name)
        metrics, command = run.metrics, "tag.py " + " ".join(arguments)
        best = min((entry for entry in metrics["history"] if entry["loss"] is not None), key=lambda e: e["loss"])
        memory = run.peak_memory / 1e9 if run.peak_memory else None
        for key, what, unit, value in (
            ("best", "to the best dev cross-entropy", "s", best["seconds"]),
            ("end", "to the end of training", "s", metrics["train_seconds"]),
            ("training", "training", "tokens/s", metrics["train_tokens_per_second"]),
            ("tagging", "tagging", "tokens/s", metrics["tag_tokens_per_second"]),
            ("memory", "peak memory", "GB", memory),
        ):
            rows.append(row(f"{command}: {what}", unit, value, target=RUN_TARGETS.get((name, key))))
        notes.append(
            f"`{command}`: dev cross-entropy {best['loss']:.4f} nats a token, {metrics['accuracy']['all']:.2%} right."
        )
    return rows, notes


SECTIONS = {"chain": speed_chain.chain_section, "training": training_section, "runs": runs_section}


# The table


def markdown(result: dict[str, Any]) -> str:
    """speed.md of what is in speed.json."""
    parts = ["# Speed\n\nMade by `python writeup/experiments/speed.py`, whose head says how.\n"]
    for name, section in result.items():
        loads = f"load average {section['load_before']} before, {section['load_after']} after"
        quick = " A quick run: the figures mean nothing." if section["quick"] else ""
        parts.append(f"\n## {name}\n\nMeasured on {common.describe_machine(section['machine'])}; {loads}.{quick}\n\n")
        parts.append(section_table(section["rows"]))
        parts.append("\n" + "\n".join(section["notes"]) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
