"""Runs of tag.py that are made once, a result a file, and what several seeds of one system come to."""

from __future__ import annotations

import common  # before torch

# isort: split

import re
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import eval as evaluation
from corpus import read_corpus

RECIPES = common.WRITEUP / "experiments" / "recipes"
CATEGORIES = ("all", *evaluation.CATEGORIES)
MEASURES = ("conditional_cross_entropy", "train_seconds", "train_tokens_per_second", "tag_tokens_per_second")
QUICK = ["--max_steps", "300", "--eval_interval", "100", "--restarts", "0"]

Result = dict[str, Any]


class Job(NamedTuple):
    """A run, and where its result goes.

    Attributes:
        command: the arguments of tag.py, INPUT first, but for the names of files.
    """

    path: Path
    command: list[str]

    def result(self) -> Result | None:
        """What is in the file, if the command of today made it."""
        found = common.read_json(self.path)
        return found if found and found.get("command") == self.command else None


def seeded(folder: Path, name: str, row: Sequence[str], seed: int, quick: bool) -> Job:
    """The run of a row with one seed, its result in a file of the row's name."""
    stem = re.sub("[^a-z0-9_]+", "-", name)
    return Job(folder / f"{stem}-{seed}.json", [*row, "--seed", str(seed), *(QUICK if quick else [])])


def wanted_of(
    groups: Mapping[str, Any], only: Sequence[str] | None, seeds: int, job_of: Callable[[str, int], Job],
    absent: Callable[[str], str | None],
) -> list[Job]:  # fmt: skip
    """The runs of groups of rows, each with `rows` and `seeds`: seed 0 of all rows first.

    Args:
        only: names of groups and of rows; None for all.
        seeds: at most so many of each row.
        job_of: the run of a row with a seed.
        absent: why a row cannot be run, if it cannot.
    """
    seeds_of = {name: group.seeds for group in groups.values() for name in group.rows}
    names = [name for chosen in only or groups for name in (groups[chosen].rows if chosen in groups else [chosen])]
    here = [name for name in names if not absent(name)]
    return [job_of(name, seed) for seed in range(seeds) for name in here if seed < seeds_of[name]]


def results_of(
    groups: Mapping[str, Any], seeds: int, job_of: Callable[[str, int], Job]
) -> dict[str, dict[int, Result]]:
    """The results that were made by the commands of today, by row and seed; arguments as those of `wanted_of`."""
    found: dict[str, dict[int, Result]] = {}
    for group in groups.values():
        for name in group.rows:
            of = {seed: job_of(name, seed).result() for seed in range(min(seeds, group.seeds))}
            if present := {seed: result for seed, result in of.items() if result}:
                found[name] = present
    return found


# Making them


def run_missing(
    what: str, wanted: Sequence[Job], quick: bool, jobs: int, make: Callable[..., None] | None = None
) -> list[str]:
    """Make the results that are not there; what failed, a line each.

    Args:
        what: stands before the progress bar.
        quick: train for a moment, on the first sentences.
        jobs: runs at a time, which share the cores.
        make: makes a result, called as `make_result` is, which is the default.
    """
    missing = [job for job in wanted if job.result() is None]
    failures: list[str] = []
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(missing), desc=what, unit=" runs")
    with bar, tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(jobs) as pool:
        if quick:
            common.small_data(Path(work))
        shutil.copytree(RECIPES, Path(work) / RECIPES.name)
        threads = 1 if quick else max(1, common.cores() // jobs)
        made = [
            pool.submit(partial(make or make_result, job, jobs=jobs, threads=threads, work=Path(work)))
            for job in missing
        ]
        try:
            for run in as_completed(made):
                bar.update()
                if isinstance(run.exception(), common.RunError):
                    failures.append(str(run.exception()))
                else:
                    run.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def make_result(job: Job, jobs: int, threads: int, work: Path) -> None:
    """Train and measure one system with one seed."""
    load = common.load()
    run = common.run_tag([*job.command, "--threads", str(threads)], work, job.path.stem)
    gold = [sentence.tags for sentence in read_corpus(common.find(job.command[0], work, common.DATA))]
    correct, tokens = evaluation.correct_by_sentence(gold, [sentence.tags for sentence in read_corpus(run.output)])
    common.write_json(job.path, dict(
        command=job.command, machine=common.machine(threads), jobs=jobs, load_before=load, load_after=common.load(),
        peak_memory=run.peak_memory, metrics=run.metrics, correct_by_sentence=correct.tolist(),
        tokens_by_sentence=tokens.tolist(),
    ))  # fmt: skip
    for file in work.glob(f"{job.path.stem}.*"):  # models with their word vectors are large
        file.unlink()


# What they come to


def of_seeds(by_seed: Mapping[int, Result]) -> dict[str, Any]:
    """One system over its seeds."""
    metrics = [by_seed[seed]["metrics"] for seed in sorted(by_seed)]
    first = by_seed[min(by_seed)]
    return dict(
        command="tag.py " + " ".join(first["command"]).replace(f" --seed {min(by_seed)}", ""),
        seeds=sorted(by_seed),
        parameters=metrics[0]["parameters"],
        accuracy={name: over_seeds([run["accuracy"][name] for run in metrics]) for name in CATEGORIES},
        tokens=metrics[0]["counts"],
        **{name: over_seeds([run[name] for run in metrics]) for name in MEASURES},
    )


def over_seeds(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and standard deviation (of a sample: over n - 1); None where there is nothing to take them of."""
    numbers = [value for value in values if value is not None]
    mean = statistics.fmean(numbers) if numbers else None
    return dict(mean=mean, deviation=statistics.stdev(numbers) if len(numbers) > 1 else None)


def compare(a: Result, b: Result) -> dict[str, float]:
    """The accuracy of A minus that of B by the paired bootstrap over sentences."""
    counts = (a["correct_by_sentence"], b["correct_by_sentence"], a["tokens_by_sentence"])
    return asdict(evaluation.paired_bootstrap(*(np.array(column) for column in counts)))


# Cells of tables


def spread(value: Mapping[str, float | None], scale: float, digits: int) -> str:
    """`mean ± deviation`."""
    if value["mean"] is None:
        return "-"
    deviation = "" if value["deviation"] is None else f" ± {scale * value['deviation']:,.{digits}f}"
    return f"{scale * value['mean']:,.{digits}f}{deviation}"


def measure_cells(system: Mapping[str, Any]) -> list[str]:
    """The MEASURES of a system."""
    digits = {"conditional_cross_entropy": 4, "train_seconds": 1}
    return [spread(system[measure], 1, digits.get(measure, 0)) for measure in MEASURES]


def comparison_row(of: Mapping[str, Any]) -> list[str]:
    value, low, high = (f"{100 * of[end]:+.2f}" for end in ("value", "low", "high"))
    return [of["a"], of["b"], value, f"{low} to {high}", f"{of['p']:.4f}"]
