"""Every model of the homework and its extensions in one table, and beside the best ones a classical peer, CRFsuite.

    python writeup/experiments/models.py [--quick] [--seeds N] [--jobs N] [--only NAME ...] [--out FOLDER]

Each row is trained by `tag.py` once for each seed (on ptbdev and ewtdev with seed 0 only); the result goes to
results/models/NAME-SEED.json under --out (default: writeup/). A result that is there, and was made by the same command,
is not made again, so an interrupted experiment goes on where it stopped; delete results to have them measured anew.
Seed 0 of all rows comes first. From all results that are there it then makes results/models.json and results/models.md.
With --jobs 2 two runs go side by side, each on half of the cores; times compare with those of other runs of as many.
--quick trains for a moment, on the first sentences, in a temporary folder.

The peer needs python-crfsuite (the extra `reference`; or in an environment of its own, its site-packages on
PYTHONPATH), its third corpus `python data/fetch.py ewt`. What is missing is told in the table.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import models_peer
import runs
import script
from models_rows import GROUPS, HALF, PEERS, ROWS, absent, compared, is_peer
from runs import CATEGORIES, QUICK, Job, Result, comparison_row, measure_cells, of_seeds, over_seeds, spread

Results = dict[str, dict[int, Result]]  # by name and seed


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options("models", __doc__, arguments, ROWS)
    seeds, names = range(args.seeds), args.only or list(ROWS)
    wanted = [
        job_of(args.folder, name, seed, args.quick)
        for seed in seeds
        for name in names
        if seed in seeds_of(name, seeds) and not absent(name)
    ]
    failures = runs.run_missing("models", wanted, args.quick, args.jobs, make_result)
    summary = summarize(existing(args.folder, seeds, args.quick), args.quick)
    left_out = [f"{name} left out: {why}" for name in names if (why := absent(name))]
    return script.finish("models", args.out, summary, markdown(summary), left_out=left_out, failures=failures)


# Running


def seeds_of(name: str, seeds: Iterable[int]) -> list[int]:
    """CRFsuite draws nothing at random, and what is not measured on endev takes long: one seed."""
    return list(seeds) if ROWS[name][0] == "endev" else [0]


def job_of(folder: Path, name: str, seed: int, quick: bool) -> Job:
    command = ROWS[name]
    if is_peer(name):
        command = models_peer.command_of(PEERS[command[1]], command[1], quick)
    else:
        command = [*command, "--seed", str(seed), *(QUICK if quick else [])]
    return Job(folder / f"{re.sub('[^a-z0-9_]+', '-', name)}-{seed}.json", command)


def existing(folder: Path, seeds: Iterable[int], quick: bool) -> Results:
    """The results that were made by the commands of today."""
    found = {
        name: {seed: job_of(folder, name, seed, quick).result() for seed in seeds_of(name, seeds)} for name in ROWS
    }
    present = {name: {seed: result for seed, result in of.items() if result} for name, of in found.items()}
    return {name: by_seed for name, by_seed in present.items() if by_seed}


def make_result(job: Job, jobs: int, threads: int, work: Path) -> None:
    """As runs.make_result, of either program."""
    module = models_peer if job.command[0] == "crfsuite" else runs
    module.make_result(job, jobs, threads, work)


# Summary


def summarize(results: Results, quick: bool) -> dict[str, Any]:
    """What the tables show."""
    every = [result for by_seed in results.values() for result in by_seed.values()]
    loads = [result["load_before"] for result in every if result["load_before"] is not None]
    ours = [result for name, by_seed in results.items() if not is_peer(name) for result in by_seed.values()]
    speeds = {(result["jobs"], result["machine"]["torch_threads"]) for result in ours}
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        speeds=sorted([jobs, threads] for jobs, threads in speeds),
        load_before=[min(loads), max(loads)] if loads else None,
        missing={name: absent(name) for name in ROWS if name not in results},
        systems={name: of_system(by_seed) for name, by_seed in results.items()},
        differences=[
            dict(a=name, b=peer, **runs.compare(results[name][0], results[peer][0]))
            for peer, *names in map(compared, PEERS)
            for name in names
            if 0 in results.get(name, {}) and 0 in results.get(peer, {})
        ],
    )


def of_system(by_seed: Mapping[int, Result]) -> dict[str, Any]:
    """One row: what runs.of_seeds says, and the accuracy on all words that are not known, whatever the lexicon has."""
    system = of_seeds(by_seed)
    system["command"] = system["command"].replace("tag.py crfsuite", "models_peer.py", 1)
    system["accuracy"]["unknown"] = over_seeds([unknown(result["metrics"]) for result in by_seed.values()])
    return system


def unknown(metrics: Mapping[str, Any]) -> float | None:
    """The accuracy on seen and novel words together."""
    counts, accuracy = metrics["counts"], metrics["accuracy"]
    right = sum(counts[name] * (accuracy[name] or 0.0) for name in ("seen", "novel"))
    return right / (counts["seen"] + counts["novel"]) if counts["seen"] + counts["novel"] else None


# The tables

MEASURED = ("cross-entropy", "training, s", "training, tokens/s", "tagging, tokens/s", "parameters", "seeds")


def markdown(summary: Mapping[str, Any]) -> str:
    """models.md of what is in models.json."""
    systems, missing = summary["systems"], summary["missing"]
    parts = [
        "# The models\n\nMade by `python writeup/experiments/models.py`: trained on ensup, measured on endev.\n\n",
        how_measured(summary["speeds"]),
    ]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    header = ("model", *(f"{name} %" for name in (*CATEGORIES, "unknown")), *MEASURED)
    parts.append("\n" + common.table(header, model_rows(systems, len(header))))
    parts.append(
        "\nMean ± standard deviation over seeds. Accuracy in per cent of all tokens, and of known words (in the "
        "training corpus), seen ones (only in the lexicon or in untagged training text) and novel ones (in neither): "
        "what is seen depends on the row, so rows compare by unknown words, seen and novel together. Cross-entropy is "
        "-log p(tags | words) in nats a token, ends of sentences counted. Half as long: with "
        f"`{HALF}`, the first row of that group and the one above it being alike in all else.\n"
    )
    not_run = [name for group in GROUPS.values() for name in group if name in missing]
    if not_run:
        whys = (f" ({missing[name]})" if missing[name] else "" for name in not_run)
        parts.append(f"\nNot run: {', '.join(map(str.__add__, not_run, whys))}.\n")
    parts.append("\n## Beside CRFsuite\n\n")
    header = ("corpus", "tagger", "all %", "known %", "unknown %", *MEASURED)
    parts.append(common.table(header, peer_rows(systems, missing, len(header)), left=2))
    parts.append(
        "\nEach trained on the corpus whose name ends in sup. CRFsuite is models_peer.py: features of the word, its "
        f"affixes, its shape and two words on each side, L-BFGS, {models_peer.ITERATIONS} iterations, on one thread; "
        "one run, as nothing in it is random. Its times do not count the making of the features, and its training "
        "tokens are those of all iterations.\n"
    )
    parts.append("\n### Differences\n\n")
    header = ("A", "B", "accuracy of A minus B, points", "95 % interval", "p")
    parts.append(common.table(header, map(comparison_row, summary["differences"]), left=2))
    parts.append("\nSeed 0; paired bootstrap over sentences, 10,000 draws (`eval.paired_bootstrap`); p is two-sided.\n")
    parts.append("\n## Commands\n\n")
    parts.append(common.table(("row", "command"), ((n, f"`{s['command']}`") for n, s in systems.items()), left=2))
    load = "{} to {}".format(*summary["load_before"]) if summary["load_before"] else "unknown"
    parts.append(
        f"\n`recipes/` is in writeup/experiments. Measured on {'; '.join(summary['machines'])}. Load average before a "
        f"run, other runs of these included: {load}.\n"
    )
    return "".join(parts)


def how_measured(speeds: Sequence[Sequence[int]]) -> str:
    """What the times mean."""
    ways = [
        f"{jobs} run{'s' * (jobs > 1)} at a time on {threads} thread{'s' * (threads > 1)} each"
        for jobs, threads in speeds
    ]
    text = f"Seconds and tokens a second: {', others '.join(ways)}." if ways else "Nothing measured yet."
    return (
        text
        + " Training is all of it, looks at the development corpus included; tagging is from numbered words to tags.\n"
    )


def model_rows(systems: Mapping[str, Any], columns: int) -> list[list[str]]:
    """The rows of the first table; a group has its title before it."""
    lines = []
    for title, group in GROUPS.items():
        present = [name for name in group if name in systems]
        if present:
            lines.append([f"**{title}**", *[""] * (columns - 1)])
        lines.extend([name, *cells(systems[name], (*CATEGORIES, "unknown"))] for name in present)
    return lines


def peer_rows(systems: Mapping[str, Any], missing: Mapping[str, str | None], columns: int) -> list[list[str]]:
    """The rows of the second table; why one is missing stands in its place."""
    lines = []
    for dev in PEERS:
        for name in compared(dev):
            tagger = name.removeprefix(dev).strip()
            if name in systems:
                lines.append([dev, tagger, *cells(systems[name], ("all", "known", "unknown"))])
            else:
                lines.append([dev, f"{tagger}: {missing[name] or 'not run'}", *["-"] * (columns - 2)])
    return lines


def cells(system: Mapping[str, Any], categories: Iterable[str]) -> list[str]:
    accuracy = [spread(system["accuracy"][category], 100, 2) for category in categories]
    return [*accuracy, *measure_cells(system), f"{system['parameters']:,}", str(len(system["seeds"]))]


if __name__ == "__main__":
    sys.exit(main())
