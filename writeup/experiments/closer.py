"""A closer look at surprises in the answers: words by frequency, short runs that test explanations, real corpora.

    python writeup/experiments/closer.py [--quick] [--seeds N] [--jobs N] [--only GROUP ...] [--out FOLDER]

The rows are those of closer_rows.py. Each is trained by `tag.py` once for each seed; the result goes to
results/closer/NAME-SEED.json under --out (default: writeup/). A result that is there, and was made by the same command,
is not made again; delete results to have them measured anew. From all results that are there, and from two probes that
train nothing (what the neighbours of a word vector tell of tags; how steep the sigmoids of an untrained model are), it
then makes results/closer.json, results/closer.md and, with matplotlib, figures/closer_words (.svg and .png). --quick
trains for a moment, on the first sentences, in a temporary folder.

Words are counted by how often they occur in the tagged training text, as a model looks them up: as they are, then in
lower case. Corpora that data/fetch.py has not fetched are left out, and the page says so.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import contextlib
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import answers
import plots
import probes
import runs
import script
from closer_rows import BINS, CHANGED, COMPARED, GROUPS, RAW, ROWS, SHOWN, absent, bin_of
from runs import Job, Result, comparison_row, over_seeds, spread

import eval as evaluation
from corpus import read_corpus
from word_features import look_up

LESS_REGULARIZED = {0: "reg 0.1", 32: "d=32 one_hot, reg 0.1"}  # of the figure, by d

Results = dict[str, dict[int, Result]]  # by name and seed


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options("closer", __doc__, arguments, ROWS, GROUPS, which=script.AT_MOST)
    wanted = wanted_jobs(args.folder, args.only, args.seeds, args.quick)
    failures = runs.run_missing("closer", wanted, args.quick, args.jobs, make_result)
    summary = summarize(existing(args.folder, args.seeds, args.quick), args.quick)
    earlier = common.read_json(args.out / "results" / "closer.json") or {}
    summary["probes"] = probes.run(args.quick, earlier.get("probes", {}) if earlier.get("quick") == args.quick else {})
    left_out = [f"{name} left out: {why}" for name in summary["missing"] if (why := absent(name))]
    return script.finish(
        "closer", args.out, summary, markdown(summary), lambda folder: draw(summary["systems"], folder),
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
    """Train and measure one row with one seed, words counted by their frequency in its tagged training text."""
    change = next((change for change in CHANGED if job.command[0] == change), None)
    command = job.command[change is not None :]
    for word in command:
        if part := answers.PART.fullmatch(word):
            answers.make_part(work / word, int(part[1]))
    load = common.load()
    arguments = [*command, "--compile", "--threads", str(threads)]
    if change:
        run = run_changed(change, arguments, work, job.path.stem)
    else:
        run = common.run_tag(arguments, work, job.path.stem)
    gold = read_corpus(common.find(command[0], work, common.DATA))
    tagging = [sentence.tags for sentence in read_corpus(run.output)]
    training = [read_corpus(common.find(Path(name).name, work, common.DATA)) for name in run.metrics["train"]]
    counts = Counter(
        word for corpus in training for s in corpus for word, tag in zip(s.words, s.tags) if tag is not None
    )
    by_frequency = {name: [0, 0] for name in BINS}
    for sentence, tags in zip(gold, tagging):
        for word, tag, found in zip(sentence.words, sentence.tags, tags):
            cell = by_frequency[bin_of(look_up(word, counts) or 0)]
            cell[0] += tag == found
            cell[1] += 1
    correct, tokens = evaluation.correct_by_sentence([sentence.tags for sentence in gold], tagging)
    common.write_json(job.path, dict(
        command=job.command, machine=common.machine(threads), jobs=jobs, load_before=load, load_after=common.load(),
        metrics=run.metrics, by_frequency=by_frequency, correct_by_sentence=correct.tolist(),
        tokens_by_sentence=tokens.tolist(),
    ))  # fmt: skip
    for file in work.glob(f"{job.path.stem}.*"):
        file.unlink()


def run_changed(change: str, arguments: Sequence[str], folder: Path, stem: str) -> common.Run:
    """As common.run_tag, with one thing as CHANGED says."""
    files = ["--save", f"{stem}.model", "-o", f"{stem}.output", "-e", f"{stem}.eval", "--metrics", f"{stem}.json"]
    process = multiprocessing.get_context("spawn").Process(
        target=be_changed_tag, args=(change, folder, [*arguments, *files, "--quiet"])
    )
    process.start()
    process.join()
    if process.exitcode:
        raise common.RunError(f"{change} tag.py {' '.join(arguments)}: exit status {process.exitcode}")
    return common.Run(common.read_json(folder / f"{stem}.json") or {}, folder / f"{stem}.output", None)


def be_changed_tag(change: str, folder: Path, arguments: list[str]) -> None:
    import lexicon
    import tag
    import training

    if change == RAW:
        lexicon.standardized = lambda rows: rows
    else:  # the lexicon throws the coin
        training.Trainer.expected_counts = lambda trainer, tagger, batch: tagger.e_step(batch)[0]
    os.chdir(folder)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        status = tag.main(arguments)
    sys.exit(status)


# Summary


def summarize(results: Results, quick: bool) -> dict[str, Any]:
    """What the tables show, but for the probes."""
    every = [result for by_seed in results.values() for result in by_seed.values()]
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        missing={name: absent(name) for name in ROWS if name not in results},
        systems={name: of_system(by_seed) for name, by_seed in results.items()},
        differences=[
            dict(a=a, b=b, **runs.compare(results[a][0], results[b][0]))
            for a, b in COMPARED
            if 0 in results.get(a, {}) and 0 in results.get(b, {})
        ],
    )


def of_system(by_seed: Mapping[int, Result]) -> dict[str, Any]:
    """One row: what runs.of_seeds says, joint cross-entropy, F1, and accuracy by frequency."""
    every = [by_seed[seed] for seed in sorted(by_seed)]
    counts = [result["by_frequency"] for result in every]
    unknown = [{"never": of["never"]} for of in counts]
    known = [{name: cell for name, cell in of.items() if name != "never"} for of in counts]
    return dict(
        runs.of_seeds(by_seed),
        joint=over_seeds([result["metrics"]["cross_entropy"] for result in every]),
        f1=over_seeds([result["metrics"]["f1"] for result in every]),
        by_frequency={name: over_seeds([share([of[name]]) for of in counts]) for name in BINS},
        known=over_seeds([share(of.values()) for of in known]),
        unknown=over_seeds([share(of.values()) for of in unknown]),
        tokens_by_frequency={name: every[0]["by_frequency"][name][1] for name in BINS},
    )


def share(cells: Iterable[Sequence[int]]) -> float | None:
    """Tokens tagged right among the tokens of (right, tokens) pairs."""
    right, tokens = (sum(column) for column in zip(*cells))
    return right / tokens if tokens else None


# The tables


def markdown(summary: Mapping[str, Any]) -> str:
    """closer.md of what is in closer.json."""
    systems, missing = summary["systems"], summary["missing"]
    parts = ["# A closer look\n\nMade by `python writeup/experiments/closer.py`.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    parts.append(
        "\nMean ± standard deviation over seeds. Columns of numbers of times: accuracy on words that occur so often in "
        "the tagged training text. Cross-entropy is -log p(tags | words) in nats a token; joint, of an HMM: "
        "-log p(tags, words).\n"
    )
    for key, group in GROUPS.items():
        header, row_of = (TREEBANK_HEADER, treebank_row) if key == "treebanks" else (HEADER, frequency_row)
        rows = [row_of(name, systems[name]) for name in group.rows if name in systems]
        if key == "frequency" and rows:
            rows.insert(0, tokens_row(next(systems[name] for name in group.rows if name in systems)))
        parts.append(f"\n## {group.title}\n\n{common.table(header, rows)}")
        not_run = [name + (f" ({missing[name]})" if missing[name] else "") for name in group.rows if name in missing]
        if not_run:
            parts.append(f"\nNot run: {', '.join(not_run)}.\n")
    parts.append("\n## Differences\n\n")
    header = ("A", "B", "accuracy of A minus B, points", "95 % interval", "p")
    parts.append(common.table(header, map(comparison_row, summary["differences"]), left=2))
    parts.append("\nSeed 0; paired bootstrap over sentences, 10,000 draws (`eval.paired_bootstrap`); p is two-sided.\n")
    parts.append(probes.markdown(summary["probes"]))
    parts.append("\n## Commands\n\n")
    parts.append(common.table(("row", "command"), ((n, f"`{s['command']}`") for n, s in systems.items()), left=2))
    parts.append(
        "\n`part16` is every 16th sentence of ensup. `raw`: tag frequencies are not standardized. `drawn`: a word that "
        "occurs once is OOV with a chance of one half, in place of half of its count. Measured on "
        f"{'; '.join(summary['machines'])}, with --compile.\n"
    )
    return "".join(parts)


HEADER = ("row", "all %", *BINS, "cross-entropy", "joint", "parameters", "seeds")
TREEBANK_HEADER = (
    "row",
    "all %",
    "known %",
    "unknown %",
    "F1 %",
    "cross-entropy",
    "training, s",
    "parameters",
    "seeds",
)


def tokens_row(system: Mapping[str, Any]) -> list[str]:
    tokens = system["tokens_by_frequency"]
    return ["(tokens)", f"{sum(tokens.values()):,}", *(f"{tokens[name]:,}" for name in BINS), *[""] * 4]


def frequency_row(name: str, of: Mapping[str, Any]) -> list[str]:
    joint = spread(of["joint"], 1, 4) if "hmm" in of["command"] else "-"
    return [
        name, spread(of["accuracy"]["all"], 100, 2), *(spread(of["by_frequency"][b], 100, 1) for b in BINS),
        spread(of["conditional_cross_entropy"], 1, 4), joint, f"{of['parameters']:,}", str(len(of["seeds"])),
    ]  # fmt: skip


def treebank_row(name: str, of: Mapping[str, Any]) -> list[str]:
    return [
        name, spread(of["accuracy"]["all"], 100, 2), spread(of["known"], 100, 2), spread(of["unknown"], 100, 2),
        spread(of["f1"], 100, 2), spread(of["conditional_cross_entropy"], 1, 4), spread(of["train_seconds"], 1, 0),
        f"{of['parameters']:,}", str(len(of["seeds"])),
    ]  # fmt: skip


# The figure


def draw(systems: Mapping[str, Any], folder: Path) -> None:
    """Errors by how often a word occurred in training, without and with context."""
    plots.prepare("closer")
    figure, axes = plots.pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for axis, d in zip(axes, (0, 32)):
        rows = {name: name for name in ("crf_backprop one_hot", *(f"d={d} {features}" for features in SHOWN))}
        rows[f"d={d} one_hot, reg 0.1"] = LESS_REGULARIZED[d]
        for label, name in rows.items():
            of = systems.get(name, {}).get("by_frequency", {})
            points = [(b, 100 * (1 - of[b]["mean"])) for b in BINS if b in of and of[b]["mean"] not in (None, 1.0)]
            if points:
                bins, errors = zip(*points)
                ticks = [name.replace(" or more", "+") for name in bins]
                line = "--" if name == LESS_REGULARIZED[d] else "-"
                axis.plot(ticks, errors, f"o{line}", label=label, markersize=4, linewidth=1)
        axis.set(title=f"d = {d}", xlabel="times in ensup", yscale="log")
        axis.grid(alpha=0.25)
        if axis.lines:
            axis.legend(frameon=False, fontsize=7)
    axes[0].set_ylabel("tokens of endev tagged wrong, %")
    plots.save(figure, folder / "closer_words")


if __name__ == "__main__":
    sys.exit(main())
