"""What our models find in the artificial corpora, where it is known what there is to be found (data/README.md).

    python writeup/experiments/artificial.py [--quick] [--seeds N] [--only SYSTEM ...] [--out FOLDER]

`next` and `pos` follow rules without exception: a model has found the rule if it tags 100.0 % of the development corpus
right with a cross-entropy below .01 nats a token. `lamp` is noisy: models are set beside what any tagger can reach.

Each system is trained by `tag.py` on one thread, once for each seed (0, 1, ...; how many, SYSTEMS says); the result
goes to results/artificial/SYSTEM-SEED.json under --out (default: writeup/). A result that is there, and was made by the
same command, is not made again, so an interrupted experiment goes on where it stopped; delete results to have them
measured anew. From all results that are there it then makes results/artificial.json and results/artificial.md. --quick
trains for a moment, one seed of each system, in a temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import script
from tqdm import tqdm


class System(NamedTuple):
    """A kind of model, its options, the corpus that it is measured on, and how many seeds."""

    corpus: str
    arguments: list[str]
    seeds: int


STATIONARY = ["crf_backprop", "--restarts", "0", "--max_steps", "20000"]
# of the rule of `pos` the RNN sees nothing until its states begin to turn: no early stop before that, 5 starts, and a
# little regularization against states that spiral to a point and are told apart by large weights, up to 12 words
RULE = ["crf_neural", "--rnn_dim", "2", "--lr", "0.02", "--batch_size", "8", "--reg", "0.1"]
RULE += ["--max_steps", "15000", "--eval_interval", "3000", "--restarts", "4"]
# at first the two switches of `lamp` show at the ends of sentences only: large batches, or noise hides it
LAMP = ["crf_neural", "--rnn_dim", "16", "--lr", "0.05", "--batch_size", "250", "--reg", "0.1"]
LAMP += ["--max_steps", "300000", "--eval_interval", "30000"]
SYSTEMS: dict[str, System] = {
    "next crf_backprop": System("nextdev", STATIONARY, 3),
    "next crf_neural": System("nextdev", RULE, 10),
    "pos crf_backprop": System("posdev", STATIONARY, 3),
    "pos crf_neural": System("posdev", RULE, 10),
    "lamp hmm": System("lampdev", ["hmm"], 3),
    "lamp crf_backprop": System("lampdev", ["crf_backprop"], 3),
    "lamp crf_neural": System("lampdev", LAMP, 3),
}
RULES = ("next", "pos")  # corpora without exceptions
GOOD_ENOUGH = 0.01  # nats a token
QUICK = ["--max_steps", "64", "--eval_interval", "64", "--restarts", "0"]

Results = dict[str, dict[int, dict[str, Any]]]  # by system and seed


def load_corpora() -> Any:
    """data/draw.py: data/ is not on the path, where its other names would be in the way."""
    spec = importlib.util.spec_from_file_location("artificial_corpora", common.DATA / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options(
        "artificial", __doc__, arguments, SYSTEMS, seeds=None, which="at most so many of each system", jobs=False
    )
    wanted = [(name, seed) for name in args.only or SYSTEMS for seed in range(SYSTEMS[name].seeds)[: args.seeds]]
    failures = run_missing(args.folder, wanted, args.quick)
    summary = summarize(existing(args.folder, args.quick), args.quick)
    return script.finish("artificial", args.out, summary, markdown(summary), failures=failures)


# Running


def command_of(name: str, seed: int, quick: bool) -> list[str]:
    """The arguments of tag.py, but for the names of files."""
    system = SYSTEMS[name]
    return [system.corpus, "--model", *system.arguments, "--seed", str(seed), *(QUICK if quick else [])]


def result_path(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(' ', '-')}-{seed}.json"


def existing(folder: Path, quick: bool) -> Results:
    """The results that were made by the commands of today."""
    results: Results = {}
    for name, system in SYSTEMS.items():
        for seed in range(system.seeds):
            result = common.read_json(result_path(folder, name, seed))
            if result and result.get("command") == command_of(name, seed, quick):
                results.setdefault(name, {})[seed] = result
    return results


def run_missing(folder: Path, wanted: Sequence[tuple[str, int]], quick: bool) -> list[str]:
    """Make the results that are not there; what failed, a line each."""
    done = existing(folder, quick)
    missing = [(name, seed) for name, seed in wanted if seed not in done.get(name, {})]
    failures: list[str] = []
    bar = tqdm(missing, total=len(wanted), initial=len(wanted) - len(missing), desc="artificial", unit=" runs")
    with tempfile.TemporaryDirectory() as work:
        for name, seed in bar:
            command, path = command_of(name, seed, quick), result_path(folder, name, seed)
            try:
                run = common.run_tag([*command, "--threads", "1"], Path(work), path.stem)
            except common.RunError as error:
                failures.append(str(error))
            else:
                common.write_json(path, dict(command=command, machine=common.machine(1), metrics=run.metrics))
    return failures


# Summary


def summarize(results: Results, quick: bool) -> dict[str, Any]:
    """What the tables show: each run, and what is known of the corpora."""
    every = [result for by_seed in results.values() for result in by_seed.values()]
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        systems={name: of_system(name, by_seed) for name, by_seed in results.items()},
        bounds=[bound._asdict() for bound in load_corpora().bounds()],
    )


def of_system(name: str, by_seed: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """One system: how it is called, and its runs."""
    first = min(by_seed)
    return dict(
        command="tag.py " + " ".join(by_seed[first]["command"]).replace(f" --seed {first}", ""),
        parameters=by_seed[first]["metrics"]["parameters"],
        runs=[of_run(seed, by_seed[seed]["metrics"]) for seed in sorted(by_seed)],
    )


def of_run(seed: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, cross_entropy = metrics["accuracy"]["all"], metrics["conditional_cross_entropy"]
    return dict(
        seed=seed,
        accuracy=accuracy,
        cross_entropy=cross_entropy,
        found=round(accuracy, 3) == 1 and cross_entropy is not None and cross_entropy < GOOD_ENOUGH,
        starts=1 + metrics["history"][-1]["attempt"],
        train_seconds=metrics["train_seconds"],
    )


# The tables


def markdown(summary: Mapping[str, Any]) -> str:
    """artificial.md of what is in artificial.json."""
    systems = summary["systems"]
    parts = ["# The artificial corpora\n\nMade by `python writeup/experiments/artificial.py`.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    parts.append("\n## Rules without exception: `next` and `pos`\n\n")
    header = ("system", "accuracy, mean %", "lowest %", "cross-entropy, mean", "highest", "found", "training, s")
    rows = [rule_row(name, system) for name, system in systems.items() if name.split()[0] in RULES]
    parts.append(common.table(header, rows))
    parts.append(
        "\nOn nextdev and posdev, over seeds; cross-entropy is -log p(tags | words) in nats a token. Found: seeds with "
        f"100.0 % and a cross-entropy below {GOOD_ENOUGH:g}.\n"
    )
    parts.append("\n### Every seed of the biRNN-CRF, d = 2\n\n")
    header = ("corpus", "seed", "accuracy %", "cross-entropy", "starts", "training, s")
    named = [(corpus, f"{corpus} crf_neural") for corpus in RULES]
    rows = [[corpus, *run_row(run)] for corpus, name in named if name in systems for run in systems[name]["runs"]]
    parts.append(common.table(header, rows))
    parts.append(
        "\nStarts: from so many random weights, until the cross-entropy of the training corpus was below .01 nats a "
        "token; the lowest one counts.\n"
    )
    parts.append("\n## A noisy one: `lamp`\n\n")
    header = ("tagger", "accuracy on lampdev, %", "cross-entropy", "expected accuracy, %")
    rows = [lamp_row(name, system) for name, system in systems.items() if name.split()[0] == "lamp"]
    parts.append(common.table(header, [*rows, *map(bound_row, summary["bounds"])]))
    parts.append(
        "\nOurs: mean ± standard deviation over seeds. The others are computed, over the distribution that drew the "
        "corpus and for lampdev (data/README.md has the argument); empty: not computed.\n"
    )
    parts.append("\n## Commands\n\n")
    header = ("system", "command", "parameters", "seeds")
    rows = [(n, f"`{s['command']}`", f"{s['parameters']:,}", str(len(s["runs"]))) for n, s in systems.items()]
    parts.append(common.table(header, rows, left=2))
    parts.append(f"\nMeasured on {'; '.join(summary['machines'])}.\n")
    return "".join(parts)


def rule_row(name: str, system: Mapping[str, Any]) -> list[str]:
    accuracies, losses, found, seconds = (
        [run[key] for run in system["runs"]] for key in ("accuracy", "cross_entropy", "found", "train_seconds")
    )
    return [
        name, f"{100 * statistics.fmean(accuracies):.1f}", f"{100 * min(accuracies):.1f}",
        f"{statistics.fmean(losses):.4f}", f"{max(losses):.4f}", f"{sum(found)} of {len(found)}",
        f"{statistics.fmean(seconds):.0f}",
    ]  # fmt: skip


def run_row(run: Mapping[str, Any]) -> list[str]:
    numbers = [f"{100 * run['accuracy']:.1f}", f"{run['cross_entropy']:.4f}"]
    return [str(run["seed"]), *numbers, str(run["starts"]), f"{run['train_seconds']:.0f}"]


def lamp_row(name: str, system: Mapping[str, Any]) -> list[str]:
    accuracies, losses = ([run[key] for run in system["runs"]] for key in ("accuracy", "cross_entropy"))
    return [name, spread([100 * accuracy for accuracy in accuracies], 1), spread(losses, 3), ""]


def bound_row(bound: Mapping[str, Any]) -> list[str]:
    accuracy, nats = bound["accuracy"], bound["nats"]
    return [
        bound["tagger"], "" if accuracy is None else f"{100 * accuracy:.1f}", "" if nats is None else f"{nats:.3f}",
        "at most " * bound["at_most"] + f"{100 * bound['expected']:.1f}",
    ]  # fmt: skip


def spread(values: Sequence[float], digits: int) -> str:
    """`mean ± standard deviation` (of a sample: over n - 1)."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
