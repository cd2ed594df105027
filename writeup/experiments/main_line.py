"""The systems of the main line, from the HMM to the biRNN-CRF, trained on ensup and measured on endev.

    python writeup/experiments/main_line.py [--quick] [--seeds N] [--jobs N] [--only SYSTEM ...] [--out FOLDER]

Each system is trained by `tag.py` once for each seed; the result goes to results/main_line/SYSTEM-SEED.json under --out
(default: writeup/). A result that is there, and was made by the same command, is not made again, so an interrupted
experiment goes on where it stopped; delete results to have them measured anew. From all results that are there it then
makes results/main_line.json, results/main_line.md and, with matplotlib, figures/main_line and figures/learning_curves
(.svg and .png). Times are comparable only with --jobs 1 on a quiet machine. --quick trains for a moment, on the first
sentences, in a temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plots
import runs
import script
from plots import pyplot, save
from runs import CATEGORIES, QUICK, Job, comparison_row, measure_cells, of_seeds, spread

SYSTEMS: dict[str, list[str]] = {
    "hmm": ["hmm"],
    "crf": ["crf"],
    "crf_backprop": ["crf_backprop"],
    "crf_backprop words-50": ["crf_backprop", "--lexicon", "words-50.txt"],
    "crf_neural d=0": ["crf_neural", "--rnn_dim", "0"],
    "crf_neural d=0 words-50": ["crf_neural", "--rnn_dim", "0", "--lexicon", "words-50.txt"],
    "crf_neural words-50": ["crf_neural", "--lexicon", "words-50.txt"],
}
# A and B that differ in one thing
NEIGHBOURS = [
    ("crf", "hmm"),
    ("crf_backprop", "crf"),
    ("crf_backprop words-50", "crf_backprop"),
    ("crf_neural d=0", "crf_backprop"),
    ("crf_neural d=0 words-50", "crf_backprop words-50"),
    ("crf_neural words-50", "crf_neural d=0 words-50"),
]

Results = dict[str, dict[int, dict[str, Any]]]  # by system and seed


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options("main_line", __doc__, arguments, SYSTEMS)
    seeds = range(args.seeds)
    failures = run_missing(args.folder, args.only or list(SYSTEMS), seeds, args.quick, args.jobs)
    results = existing(args.folder, seeds, args.quick)
    summary = summarize(results, args.quick)
    page = markdown(summary)
    return script.finish(
        "main_line", args.out, summary, page, lambda folder: draw(summary, results, folder), failures=failures
    )


# Running


def command_of(system: str, seed: int, quick: bool) -> list[str]:
    """The arguments of tag.py, but for the names of files."""
    return ["endev", "--model", *SYSTEMS[system], "--seed", str(seed), *(QUICK if quick else [])]


def result_path(folder: Path, system: str, seed: int) -> Path:
    return folder / f"{system.replace(' ', '-').replace('=', '')}-{seed}.json"


def job_of(folder: Path, system: str, seed: int, quick: bool) -> Job:
    return Job(result_path(folder, system, seed), command_of(system, seed, quick))


def existing(folder: Path, seeds: Iterable[int], quick: bool) -> Results:
    """The results that were made by the commands of today."""
    results: Results = {}
    for system, seed in itertools.product(SYSTEMS, seeds):
        result = job_of(folder, system, seed, quick).result()
        if result:
            results.setdefault(system, {})[seed] = result
    return results


def absent_lexicon(system: str) -> str | None:
    """The lexicon that a system needs and that is not there."""
    lexicons = [argument for argument in SYSTEMS[system] if argument.endswith(".txt")]
    return next((name for name in lexicons if not (common.LEXICONS / name).exists()), None)


def run_missing(folder: Path, systems: Sequence[str], seeds: Sequence[int], quick: bool, jobs: int) -> list[str]:
    """Make the results that are not there; what failed, a line each."""
    wanted = []
    for system in systems:
        if absent_lexicon(system):
            print(f"{system} left out: lexicons/{absent_lexicon(system)} is not there")
        else:
            wanted.extend(job_of(folder, system, seed, quick) for seed in seeds)
    return runs.run_missing("main line", wanted, quick, jobs)


# Summary


def summarize(results: Results, quick: bool) -> dict[str, Any]:
    """What the tables show: means and deviations over seeds, and neighbours compared."""
    every = [result for by_seed in results.values() for result in by_seed.values()]
    loads = [load for result in every for load in (result["load_before"],) if load is not None]
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        jobs=sorted({result["jobs"] for result in every}),
        load_before=[min(loads), max(loads)] if loads else None,
        missing=[system for system in SYSTEMS if system not in results],
        systems={system: of_seeds(by_seed) for system, by_seed in results.items()},
        comparisons=[
            dict(a=a, b=b, **runs.compare(results[a][0], results[b][0]))
            for a, b in NEIGHBOURS
            if 0 in results.get(a, {}) and 0 in results.get(b, {})
        ],
    )


# The tables


def markdown(summary: dict[str, Any]) -> str:
    """main_line.md of what is in main_line.json."""
    systems = summary["systems"]
    parts = [
        "# The main line\n\nMade by `python writeup/experiments/main_line.py`: trained on ensup, measured on endev.\n"
    ]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    header = (
        "system", "all %", "known %", "seen %", "novel %", "conditional cross-entropy", "training, s",
        "training, tokens/s", "tagging, tokens/s", "parameters", "seeds",
    )  # fmt: skip
    parts.append("\n" + common.table(header, (system_row(name, system) for name, system in systems.items())))
    parts.append(
        "\nMean ± standard deviation over seeds. Accuracy in per cent of all tokens, and of known words (in the "
        "training corpus), seen ones (only in the lexicon) and novel ones (in neither): without a lexicon no word is "
        "seen, and more are novel. Cross-entropy is -log p(tags | words) in nats a token, ends of sentences counted.\n"
    )
    if summary["missing"]:
        parts.append(f"\nNot run: {', '.join(summary['missing'])}.\n")
    parts.append("\n## Neighbours\n\n")
    header = ("A", "B", "accuracy of A minus B, points", "95 % interval", "p")
    parts.append(common.table(header, map(comparison_row, summary["comparisons"]), left=2))
    parts.append(
        "\nSeed 0; paired bootstrap over the sentences of endev, 10,000 draws (`eval.paired_bootstrap`); p is "
        "two-sided.\n"
    )
    parts.append("\n## Commands\n\n")
    parts.append(common.table(("system", "command"), ((n, f"`{s['command']}`") for n, s in systems.items()), left=2))
    load = "{} to {}".format(*summary["load_before"]) if summary["load_before"] else "unknown"
    jobs = ", ".join(map(str, summary["jobs"]))
    parts.append(
        f"\nMeasured on {'; '.join(summary['machines'])}. Runs at a time: {jobs}. Load average before: {load}.\n"
    )
    return "".join(parts)


def system_row(name: str, system: Mapping[str, Any]) -> list[str]:
    accuracy = [spread(system["accuracy"][category], 100, 2) for category in CATEGORIES]
    return [name, *accuracy, *measure_cells(system), f"{system['parameters']:,}", str(len(system["seeds"]))]


# The figures


def draw(summary: dict[str, Any], results: Results, folder: Path) -> None:
    """Accuracy by category of words, and how the dev cross-entropy falls with time."""
    plots.prepare("main line")
    colours = dict(zip(SYSTEMS, pyplot.get_cmap("tab10").colors))
    if not results:
        return
    save(accuracy_figure(summary["systems"], colours), folder / "main_line")
    save(learning_figure(results, colours), folder / "learning_curves")


def accuracy_figure(systems: Mapping[str, Any], colours: Mapping[str, Any]):
    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    width, lowest = 0.85 / len(systems), 100.0
    for number, (name, system) in enumerate(systems.items()):
        of = [system["accuracy"][category] for category in CATEGORIES]
        present = [place for place, value in enumerate(of) if value["mean"] is not None]
        means = [100 * of[place]["mean"] for place in present]
        deviations = [100 * (of[place]["deviation"] or 0.0) for place in present]
        where = [place + (number - (len(systems) - 1) / 2) * width for place in present]
        axes.bar(where, means, width, yerr=deviations, label=name, color=colours[name], error_kw={"elinewidth": 0.8})
        lowest = min([lowest, *means])
    floor = max(0, 10 * int(lowest // 10 - 0.5))
    axes.set_ylim(floor, 100)
    axes.set_ylabel(f"tokens of endev tagged right, % (from {floor})")
    axes.set_xticks(range(len(CATEGORIES)), [f"{category} words" for category in CATEGORIES])
    axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)
    axes.set_title("Accuracy by what is known of the word; bars are means over seeds, whiskers one standard deviation")
    return figure


def learning_figure(results: Results, colours: Mapping[str, Any]):
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, by_seed in results.items():
        if name == "hmm":  # it is not trained by steps, and its cross-entropy is of words too
            continue
        for seed, result in sorted(by_seed.items()):
            history = [entry for entry in result["metrics"]["history"] if entry["loss"] is not None]
            axes.plot(
                [entry["seconds"] for entry in history], [entry["loss"] for entry in history], marker=".",
                label=name if seed == min(by_seed) else None, color=colours[name], linewidth=1,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("training, seconds")
    axes.set_ylabel("cross-entropy of endev, nats a token")
    if axes.lines:
        axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main())
