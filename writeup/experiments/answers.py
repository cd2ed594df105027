"""What the reference answers to questions 18-26 need beside main_line.py, artificial.py and models.py.

    python writeup/experiments/answers.py [--quick] [--seeds N] [--jobs N] [--only GROUP ...] [--out FOLDER]

The rows are those of answers_rows.py, by question. Each is trained by `tag.py` once for each seed; the result goes to
results/answers/NAME-SEED.json under --out (default: writeup/). A result that is there, and was made by the same
command, is not made again, so an interrupted experiment goes on where it stopped; delete results to have them measured
anew. Seed 0 of all rows comes first. From all results that are there it then makes results/answers.json,
results/answers.md and, with matplotlib, figures/answers_settings, answers_curves and answers_data (.svg and .png).
--quick trains for a moment, on the first sentences, in a temporary folder.

Known, seen and novel mean the same words in all rows on endev, whatever a row knows of them: words of ensup, words that
only words-50.txt has, and the rest. (`tag.py` counts by what the model at hand knows.)

All is trained with --compile, which makes it faster and changes results by rounding alone.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import answers_figures
import numpy as np
import runs
import script
from answers_rows import COMPARED, GROUPS, ROWS, Group, absent
from runs import CATEGORIES, Job, Result, of_seeds, over_seeds, spread

import eval as evaluation
from corpus import Sentence, read_corpus, write_corpus
from word_features import look_up
from word_vectors import read_lexicon

PART = re.compile(r"part(\d+)")
NEAR = 1.02  # of the lowest loss: from there on a run is said to have arrived

Results = dict[str, dict[int, Result]]  # by name and seed


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options("answers", __doc__, arguments, ROWS, GROUPS, which=script.AT_MOST)
    wanted = wanted_jobs(args.folder, args.only, args.seeds, args.quick)
    failures = runs.run_missing("answers", wanted, args.quick, args.jobs, make_result)
    results = existing(args.folder, args.seeds, args.quick)
    summary = summarize(results, args.quick)
    left_out = [f"{name} left out: {why}" for name in summary["missing"] if (why := absent(name))]
    return script.finish(
        "answers", args.out, summary, markdown(summary), lambda folder: answers_figures.draw(summary, results, folder),
        left_out, failures,
    )  # fmt: skip


# Running


def wanted_jobs(folder: Path, only: Sequence[str] | None, seeds: int, quick: bool) -> list[Job]:
    """What is to be there, seed 0 of all rows first."""
    return runs.wanted_of(GROUPS, only, seeds, lambda name, seed: job_of(folder, name, seed, quick), absent)


def job_of(folder: Path, name: str, seed: int, quick: bool) -> Job:
    return runs.seeded(folder, name, ROWS[name], seed, quick)


def existing(folder: Path, seeds: int, quick: bool) -> Results:
    """The results that were made by the commands of today."""
    return runs.results_of(GROUPS, seeds, lambda name, seed: job_of(folder, name, seed, quick))


def make_result(job: Job, jobs: int, threads: int, work: Path) -> None:
    """Train and measure one row with one seed, with the words counted alike in all rows on endev."""
    for word in job.command:
        if part := PART.fullmatch(word):
            make_part(work / word, int(part[1]))
    load = common.load()
    run = common.run_tag([*job.command, "--compile", "--threads", str(threads)], work, job.path.stem)
    gold = read_corpus(common.find(job.command[0], work, common.DATA))
    tagging = [sentence.tags for sentence in read_corpus(run.output)]
    alike = categories(work, gold) if job.command[0] == "endev" else None
    common.write_json(job.path, dict(
        command=job.command, machine=common.machine(threads), jobs=jobs, load_before=load, load_after=common.load(),
        metrics=run.metrics, by_words=by_words(gold, tagging, alike),
    ))  # fmt: skip
    for file in work.glob(f"{job.path.stem}.*"):
        file.unlink()


def make_part(path: Path, part: int) -> None:
    """Every sentence of ensup whose number `part` divides: sentences of all documents, and smaller parts in larger."""
    if not path.exists():
        write_corpus(path, read_corpus(common.find("ensup", path.parent, common.DATA))[::part])


@functools.cache
def vocabularies(work: Path) -> tuple[dict[str, bool], Mapping[str, Any]]:
    """The words of ensup, and those of words-50.txt."""
    training = read_corpus(common.find("ensup", work, common.DATA))
    vectors = read_lexicon(common.find("words-50.txt", work, common.LEXICONS))
    return {word: True for sentence in training for word in sentence.words}, dict.fromkeys(vectors.words, True)


def categories(work: Path, sentences: Sequence[Sentence]) -> list[list[str]]:
    """known, seen or novel, of each word."""
    known, listed = vocabularies(work)

    def category(word: str) -> str:
        return "known" if look_up(word, known) else "seen" if look_up(word, listed) else "novel"

    return [[category(word) for word in sentence.words] for sentence in sentences]


def by_words(
    gold: Sequence[Sentence], tagging: Sequence[Sequence[str]], alike: Sequence[Sequence[str]] | None
) -> dict[str, dict[str, list[int]]]:
    """Tokens tagged right and tokens, of each sentence, among all words and among those of each category."""
    found = {}
    for name in CATEGORIES if alike else ("all",):
        tags = [
            [tag if name == "all" or alike[number][place] == name else None for place, tag in enumerate(sentence.tags)]
            for number, sentence in enumerate(gold)
        ]
        correct, tokens = evaluation.correct_by_sentence(tags, tagging)
        found[name] = dict(correct=correct.tolist(), tokens=tokens.tolist())
    return found


# Summary


def summarize(results: Results, quick: bool) -> dict[str, Any]:
    """What the tables show."""
    every = [result for by_seed in results.values() for result in by_seed.values()]
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        jobs=sorted({result["jobs"] for result in every}),
        missing={name: absent(name) for name in ROWS if name not in results},
        systems={name: of_system(by_seed) for name, by_seed in results.items()},
        differences=[
            dict(a=a, b=b, words=words, **compare(results[a][0], results[b][0], words))
            for a, b, words in COMPARED
            if 0 in results.get(a, {}) and 0 in results.get(b, {})
        ],
    )


def of_system(by_seed: Mapping[int, Result]) -> dict[str, Any]:
    """One row: what runs.of_seeds says, accuracy on the same words in all rows, and how soon a run has arrived."""
    every = [by_seed[seed] for seed in sorted(by_seed)]
    return dict(
        of_seeds(by_seed),
        alike={name: over_seeds([fraction(result["by_words"].get(name)) for result in every]) for name in CATEGORIES},
        arrival=over_seeds([arrival(result["metrics"]["history"]) for result in every]),
        worst=min(result["metrics"]["accuracy"]["all"] for result in every),
    )


def fraction(counts: Mapping[str, Sequence[int]] | None) -> float | None:
    return sum(counts["correct"]) / sum(counts["tokens"]) if counts and sum(counts["tokens"]) else None


def arrival(history: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds of training until the loss on the development corpus is near its lowest; None if it never is finite."""
    looks = [(entry["seconds"], entry["loss"]) for entry in history if entry["loss"] is not None]
    lowest = min((loss for _, loss in looks), default=None)
    return next((seconds for seconds, loss in looks if loss <= NEAR * lowest), None) if looks else None


def compare(a: Result, b: Result, words: str) -> dict[str, float]:
    """The accuracy of A minus that of B on some of the words, by the paired bootstrap over sentences."""
    of_a, of_b = a["by_words"][words], b["by_words"][words]
    return asdict(evaluation.paired_bootstrap(*map(np.array, (of_a["correct"], of_b["correct"], of_a["tokens"]))))


# The tables

HEADER = (
    "row", *(f"{name} %" for name in CATEGORIES), "lowest %", "cross-entropy", "training, s",
    "near the lowest loss after, s", "training, tokens/s", "parameters", "seeds",
)  # fmt: skip


def markdown(summary: Mapping[str, Any]) -> str:
    """answers.md of what is in answers.json."""
    systems, missing = summary["systems"], summary["missing"]
    parts = ["# For the answers\n\nMade by `python writeup/experiments/answers.py`; one table a question.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    parts.append(
        "\nMean ± standard deviation over seeds. On endev, known words are those of ensup, seen ones only in "
        "words-50.txt, novel ones in neither: the same words in every row. Lowest: the seed with the lowest accuracy. "
        "Cross-entropy is -log p(tags | words) in nats a token. Near the lowest loss: within "
        f"{100 * (NEAR - 1):.0f} % of it on the development corpus. Runs at a time: "
        f"{', '.join(map(str, summary['jobs'])) or '-'}.\n"
    )
    for group in GROUPS.values():
        parts.append(f"\n## {group.title}\n\n{common.table(HEADER, rows_of(group, systems))}")
        not_run = [name for name in group.rows if name in missing]
        if not_run:
            whys = (f" ({missing[name]})" if missing[name] else "" for name in not_run)
            parts.append(f"\nNot run: {', '.join(map(str.__add__, not_run, whys))}.\n")
    parts.append("\n## Questions 25 and 26: differences\n\n")
    header = ("A", "B", "words", "accuracy of A minus B, points", "95 % interval", "p")
    parts.append(common.table(header, map(difference_row, summary["differences"]), left=3))
    parts.append("\nSeed 0; paired bootstrap over sentences, 10,000 draws (`eval.paired_bootstrap`); p is two-sided.\n")
    parts.append("\n## Commands\n\n")
    parts.append(common.table(("row", "command"), ((n, f"`{s['command']}`") for n, s in systems.items()), left=2))
    parts.append(
        f"\n`part16` is every 16th sentence of ensup. Measured on {'; '.join(summary['machines'])}, with --compile.\n"
    )
    return "".join(parts)


def rows_of(group: Group, systems: Mapping[str, Any]) -> Iterable[list[str]]:
    for name in group.rows:
        if name in systems:
            of = systems[name]
            yield [
                name, *(spread(of["alike"][category], 100, 2) for category in CATEGORIES), f"{100 * of['worst']:.2f}",
                spread(of["conditional_cross_entropy"], 1, 4), spread(of["train_seconds"], 1, 1),
                spread(of["arrival"], 1, 1), spread(of["train_tokens_per_second"], 1, 0), f"{of['parameters']:,}",
                str(len(of["seeds"])),
            ]  # fmt: skip


def difference_row(of: Mapping[str, Any]) -> list[str]:
    a, b, *rest = runs.comparison_row(of)
    return [a, b, of["words"], *rest]


if __name__ == "__main__":
    sys.exit(main())
