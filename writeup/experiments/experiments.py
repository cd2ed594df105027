"""All experiments, one after another: `python writeup/experiments/experiments.py [--quick] [--list] [--only NAME ...]`.

First a table says how many runs are missing and about how long they will take; then each script makes what is missing,
writes its page anew, and the pages go into the documents. Interrupted, the same command goes on. A script that fails is
told at the end (exit status 1) and does not keep the others from running. Scripts that have no results of single runs
are left out where their page is there: delete it to have them measured anew.

The estimate of a run is what training took when the same row was last measured, by writeup/results/NAME.json, and START
seconds; failing that, the mean of the script's other rows; failing that too, a constant below.
--quick runs every script on the first sentences, in temporary folders, and changes nothing. --list only prints.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import answers
import artificial
import closer
import language_model
import main_line
import models
import search

HERE = Path(__file__).resolve().parent
RESULTS = common.WRITEUP / "results"
START = 4.0  # seconds to start Python, read corpora and lexicons, and tag: of tag.py on endev, on 2 cores


class Script(NamedTuple):
    """One of the experiments.

    Attributes:
        runs: the row and whether its result is there, of each run that is wanted; None if there are no single results.
        seconds: of a run whose row was never measured; of all of it, if there are no runs. Measured on 2 cores of an
            Intel Xeon; None: not known.
        arguments: beside --quick.
        jobs: runs at a time.
        resumes: whether to run it though its page is there.
    """

    name: str
    runs: Callable[[], Iterator[tuple[str, bool]]] | None
    seconds: float | None
    arguments: Sequence[str] = ()
    jobs: int = 1
    resumes: bool = True


def of_main_line() -> Iterator[tuple[str, bool]]:
    for system in main_line.SYSTEMS:
        for seed in range(3):
            yield system, main_line.job_of(RESULTS / "main_line", system, seed, False).result() is not None


def of_artificial() -> Iterator[tuple[str, bool]]:
    done = artificial.existing(RESULTS / "artificial", False)
    for name, system in artificial.SYSTEMS.items():
        for seed in range(system.seeds):
            yield name, seed in done.get(name, {})


def of_models() -> Iterator[tuple[str, bool]]:
    for name in models.ROWS:
        if not models.absent(name):
            for seed in models.seeds_of(name, range(3)):
                yield name, models.job_of(RESULTS / "models", name, seed, False).result() is not None


def of_language_model() -> Iterator[tuple[str, bool]]:
    for name in (*language_model.SYSTEMS, "large"):
        yield name, language_model.existing(RESULTS / "language_model", name, False) is not None


def of_search() -> Iterator[tuple[str, bool]]:
    experiment = search.Experiment(RESULTS / "search", quick=False)
    here = [task for task in search.TASKS if not search.absent(task)]
    rows, measures = experiment.needed(search.TABLES, here, [0])
    for task, row, seed in rows:
        yield f"{task} {row}", experiment.trained(task, row, seed).result() is not None
    for what, task, energy, seed in measures:
        yield f"{what} {task} {energy}", experiment.measured(what, task, energy, seed).result() is not None


def of_rows(module: Any, name: str) -> Iterator[tuple[str, bool]]:
    """answers.py and closer.py."""
    for group in module.GROUPS.values():
        for row in group.rows:
            for seed in range(0 if module.absent(row) else group.seeds):
                yield row, module.job_of(RESULTS / name, row, seed, False).result() is not None


SCRIPTS = (
    Script("main_line", of_main_line, 25.0),
    Script("artificial", of_artificial, 30.0),
    Script("models", of_models, 75.0, ("--jobs", "2"), jobs=2),
    Script("language_model", of_language_model, 300.0),
    Script("answers", lambda: of_rows(answers, "answers"), 45.0, ("--jobs", "2"), jobs=2),
    Script("closer", lambda: of_rows(closer, "closer"), 45.0, ("--jobs", "2"), jobs=2),
    Script("search", of_search, 90.0, ("--jobs", "2"), jobs=2),
    Script("perplexity", None, 540.0),
    Script("speed", None, 420.0, resumes=False),
    Script("grader_speed", None, 60.0, resumes=False),
    Script("pictures", None, 15.0),
    Script("fill", None, 1.0),
)
PAGES = {"grader_speed": "grader.md"}  # where it is not the script's own name


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="everything in a moment, in temporary folders")
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    names = [script.name for script in SCRIPTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    args = parser.parse_args(arguments)
    chosen = [script for script in SCRIPTS if script.name in args.only]
    print(overview(chosen) if not args.quick else "a quick run: minutes in all, and no result is kept", flush=True)
    failed = [] if args.list else [script.name for script in chosen if not run(script, args.quick)]
    for name in failed:
        print(f"experiments.py: error: {name}.py failed: what it said stands above", file=sys.stderr)
    return 1 if failed else 0


# The estimate


def overview(scripts: Sequence[Script]) -> str:
    """A line a script: runs wanted, runs missing, about how long."""
    lines, known = [("experiment", "runs", "missing", "about")], []
    for script in scripts:
        wanted = list(script.runs()) if script.runs else []
        missing = [row for row, done in wanted if not done]
        seconds = 0.0 if is_left_out(script) else estimate(script, missing)
        known.append(seconds)
        counts = (str(len(wanted)), str(len(missing))) if script.runs else ("-", "-")
        lines.append((script.name, *counts, duration(seconds)))
    total = sum(seconds for seconds in known if seconds is not None)
    lines.append(("all", "", "", ("more than " if None in known else "") + duration(total)))
    return "\n".join(f"{name:15} {runs:>5} {missing:>8}   {about}" for name, runs, missing, about in lines)


def estimate(script: Script, missing: Sequence[str]) -> float | None:
    """Seconds for what is missing; None if not known."""
    if script.runs is None:
        return script.seconds
    recorded = recorded_seconds(script.name)
    other = statistics.fmean(recorded.values()) if recorded else script.seconds
    return sum(START + recorded.get(row, other) for row in missing) / script.jobs


def recorded_seconds(name: str) -> dict[str, float]:
    """How long a run of each row trained, as the page's JSON has it."""
    summary = common.read_json(RESULTS / f"{name}.json") or {}
    found = {row: train_seconds(system) for row, system in summary.get("systems", {}).items()}
    if name == "language_model":
        found["large"] = (summary.get("large") or {}).get("seconds")
    return {row: seconds for row, seconds in found.items() if seconds is not None}


def train_seconds(system: dict[str, Any]) -> float | None:
    if "runs" in system:  # of artificial.py
        return statistics.fmean(run["train_seconds"] for run in system["runs"])
    return system["train_seconds"]["mean"] if "train_seconds" in system else system.get("seconds")


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# Running


def is_left_out(script: Script) -> bool:
    return not script.resumes and (RESULTS / PAGES.get(script.name, f"{script.name}.md")).exists()


def run(script: Script, quick: bool) -> bool:
    """Whether it went well."""
    if not quick and is_left_out(script):
        print(f"\n{script.name}: its page is there", flush=True)
        return True
    more = (["--check"] if script.name == "fill" else ["--quick"]) if quick else script.arguments
    print(f"\n{script.name}.py", *more, flush=True)
    return subprocess.run([sys.executable, HERE / f"{script.name}.py", *more]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
