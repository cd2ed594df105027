"""Ways to search the energy of a BLSTM-CRF compared, after Tu and Gimpel (2019): Tables 1 to 6, Figures 1 and 2.

    python writeup/experiments/search.py [--quick] [--seeds N] [--jobs N] [--only NAME ...] [--out FOLDER]

For each task `tag.py` trains energies (BLSTM-CRFs), local taggers and inference networks, the rows of search_rows.py,
each once for all the tables that show it; search_measure.py then measures accuracy and energies of all ways to search,
and last, with nothing beside it, their speed. A result is a file in results/search/ under --out (default: writeup/),
models are in results/search/models/. What is there, and was made by the same commands, is not made again, so an
interrupted experiment goes on where it stopped; delete results to have them made anew. From all results that are there
it then makes results/search.json, results/search.md and, with matplotlib, figures/search and search_hidden (.svg and
.png).

--only takes tables and tasks. Tasks whose corpora are not there are left out, and it is told which. With --jobs 2 two
runs go side by side, each on half of the cores. --quick trains for a moment, on the first sentences, in a temporary
folder. All is trained with --compile, which makes it faster and changes results by rounding alone.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import runs
import script
import search_curves
import search_figures
import search_measure
import search_summary
import search_tables
import search_velocity
from runs import Job, Result
from search_rows import (
    FETCHED,
    ROWS,
    TABLES,
    TASKS,
    absent,
    architectures,
    command_of,
    corpora,
    energy_of,
    is_network,
    row_of,
)
from searcher import COUNTS

import eval as evaluation
from corpus import read_corpus
from decoders.infnet import Settings

AFTER = "after"  # in what a result remembers, between its command and those of what it was made from
QUICK = {"sentences": 40, "vectors": 400}
HELD_OUT = 10  # where no test corpus is shipped, dev is one, and every so many-th part of sup is for tuning
KEPT = ("accuracy", "f1", "energy", "viterbi_energy", "search_error", "relaxed_energy", "parameters", "train_seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    args = script.options("search", __doc__, arguments, [*TABLES, *TASKS], seeds=1)
    tables = [name for name in TABLES if name in (args.only or ())] or list(TABLES)
    tasks = [name for name in TASKS if name in (args.only or ())] or list(TASKS)
    experiment = Experiment(args.folder, args.quick)
    failures = experiment.run(tables, [task for task in tasks if not absent(task)], range(args.seeds), args.jobs)
    summary = search_summary.summarize(experiment.existing(args.seeds), args.quick)
    left_out = [f"{task} left out: {why}" for task in tasks if (why := absent(task))]
    return script.finish(
        "search", args.out, summary, search_tables.markdown(summary),
        lambda folder: search_figures.draw(summary, folder), left_out, failures,
    )  # fmt: skip


class Experiment:
    """Where results are, and how they are made.

    Args:
        folder: of results; models go to a folder in it.
    """

    def __init__(self, folder: Path, quick: bool):
        self.folder, self.models, self.quick = folder, folder / "models", quick

    # What is to be made

    def trained(self, task: str, row: str, seed: int) -> Job:
        """A row of ROWS."""
        if not is_network(row):
            return Job(self.path(task, row, seed), command_of(task, row, "", seed, self.quick))
        energy = self.trained(task, energy_of(row), seed)
        command = command_of(task, row, f"{energy.path.stem}.model", seed, self.quick)
        return Job(self.path(task, row, seed), [*command, AFTER, *energy.command])

    def measured(self, what: str, task: str, energy: str, seed: int) -> Job:
        """What search_measure.py finds of an energy."""
        of, counts = (search_velocity, search_velocity.COUNTS) if what == "velocity" else (search_curves, COUNTS)
        settings = [what, *map(str, (of.STEPS, counts, of.TUNED_ON))]
        parts = [self.trained(task, row, seed).command for row in (energy, *self.searching(task, energy))]
        path = self.path(task, f"{what} {energy}", seed)
        return Job(path, [*settings, *(word for part in parts for word in (AFTER, *part))])

    def searching(self, task: str, energy: str) -> list[str]:
        """The networks that are measured with an energy: of the + all but the paper's are left out."""
        own = TASKS[task].network
        return [f"{own}+"] if energy == "energy+" else list(architectures(self.quick))

    def own(self, task: str, energy: str) -> str:
        """The network that is tailored, and that gradient descent begins from."""
        names = self.searching(task, energy)
        return next((name for name in names if name.startswith(TASKS[task].network)), names[0])

    def path(self, task: str, name: str, seed: int) -> Path:
        return self.folder / f"{task}-{re.sub('[^a-z0-9_]+', '-', name.replace('+', '_plus'))}-{seed}.json"

    def file(self, task: str, row: str, seed: int) -> Path | None:
        """Where the model of a row is, if there is one."""
        job = self.trained(task, row, seed)
        if not is_network(row):
            path = self.models / f"{job.path.stem}.model"
        else:
            result = job.result()
            path = self.models / result["file"] if result else None
        return path if path and path.exists() else None

    def needed(
        self, tables: Iterable[str], tasks: Sequence[str], seeds: Iterable[int]
    ) -> tuple[dict[tuple[str, str, int], None], dict[tuple[str, str, str, int], None]]:
        """What these tables need, in order: arguments of `trained` and of `measured`."""
        rows: dict[tuple[str, str, int], None] = {}
        measures: dict[tuple[str, str, str, int], None] = {}
        for seed in seeds:
            for task, table in (
                (task, TABLES[name]) for name in tables for task in TABLES[name].tasks if task in tasks
            ):
                systems = table.systems(task, self.quick)
                for row in map(row_of, systems):
                    rows[task, energy_of(row) if is_network(row) else row, seed] = None
                    rows[task, row, seed] = None
                energy = energy_of(systems[-1])
                for what in table.measured:
                    if seed == 0 or what != "speed":
                        measures[what, task, energy, seed] = None
                        rows.update({(task, row, seed): None for row in self.searching(task, energy)})
        return rows, measures

    # Making it

    def run(self, tables: Iterable[str], tasks: Sequence[str], seeds: Iterable[int], jobs: int) -> list[str]:
        """Make the results that these tables need and that are not there; what failed, a line each."""
        rows, measures = self.needed(tables, tasks, seeds)
        self.make_corpora({task for task, *_ in rows})
        self.forget_lost(rows, measures)

        def stage(name: str, wanted: list[Job], make: Any, jobs: int) -> list[str]:
            return runs.run_missing(f"search: {name}", wanted, self.quick, jobs, make) if wanted else []

        failures = stage(
            "taggers", [self.trained(*of) for of in rows if not is_network(of[1])], self.make_trained, jobs
        )
        failures += stage("networks", [self.trained(*of) for of in rows if is_network(of[1])], self.make_trained, jobs)
        for what, at_once in (("curves", jobs), ("velocity", jobs), ("speed", 1)):
            of = [key for key in measures if key[0] == what]
            ready = {self.measured(*key).path: key for key in of if self.ready(*key[1:])}
            make = partial(self.make_measured, keys=ready)
            failures += stage(what, [self.measured(*key) for key in ready.values()], make, at_once)
        return failures

    def make_corpora(self, tasks: Iterable[str]) -> None:
        """The corpora of search_rows.corpora."""
        self.models.mkdir(parents=True, exist_ok=True)
        for task in tasks:
            train, tune, test = corpora(task).values()
            wanted = {train: "sup", tune: "dev", test: "test"}
            texts = {name: (common.DATA / f"{task}{wanted[name]}") for name in wanted}
            if task not in FETCHED:
                texts[test] = common.DATA / f"{task}dev"
            most = QUICK["sentences"] if self.quick else sys.maxsize
            lines = {name: common.first_lines(path, most) for name, path in texts.items() if path.exists()}
            if task not in FETCHED:
                held_out = len(lines[train]) // HELD_OUT
                lines[train], lines[tune] = lines[train][:-held_out], lines[train][-held_out:]
            for name in wanted:
                common.write_text(self.models / name, "".join(lines[name]))
        if self.quick:
            header, *rows = common.first_lines(common.LEXICONS / "words-50.txt", QUICK["vectors"] + 1)
            common.write_text(self.models / "words-50.txt", "".join([f"{len(rows)} {header.split()[1]}\n", *rows]))

    def forget_lost(self, rows: Iterable[tuple[str, str, int]], measures: Iterable[tuple[str, str, str, int]]) -> None:
        """Delete the results of models that are needed for others and are not there, to have them made again."""
        needed = [(task, row, seed) for task, row, seed in rows if is_network(row)]
        for what, task, energy, seed in measures:
            if self.measured(what, task, energy, seed).result():
                continue
            networks = self.searching(task, energy)
            if not self.file(task, energy, seed) or not all(self.file(task, row, seed) for row in networks):
                for row in networks:
                    self.trained(task, row, seed).path.unlink(missing_ok=True)
        for task, row, seed in needed:
            energy = self.trained(task, energy_of(row), seed)
            if not self.trained(task, row, seed).result() and not self.file(task, energy_of(row), seed):
                energy.path.unlink(missing_ok=True)

    def ready(self, task: str, energy: str, seed: int) -> bool:
        """Whether all that is to be measured was trained, or has been measured."""
        rows = (energy, *self.searching(task, energy))
        return all(self.trained(task, row, seed).result() for row in rows)

    def make_trained(self, job: Job, jobs: int, threads: int, work: Path) -> None:
        """Train one row with one seed, and tag the test corpus. Of local taggers only the result is kept."""
        own = [*job.command, AFTER]
        command, load = own[: own.index(AFTER)], common.load()
        run = common.run_tag([*command, "--compile", "--threads", str(threads)], self.models, job.path.stem)
        gold = [sentence.tags for sentence in read_corpus(self.models / command[0])]
        found = [sentence.tags for sentence in read_corpus(run.output)]
        star = any(evaluation.STAR in tags for tags in gold)
        correct, tokens = evaluation.correct_by_sentence(gold, found, star)
        network = run.metrics["network"]
        result = dict(
            command=job.command, machine=common.machine(threads), jobs=jobs, load_before=load, load_after=common.load(),
            metrics={name: run.metrics[name] for name in KEPT}, correct_by_sentence=correct.tolist(),
            tokens_by_sentence=tokens.tolist(), peak_memory=run.peak_memory,
            sizes=self.sizes(command[0].removesuffix("test")),
        )  # fmt: skip
        if network:
            told = {name: value for name, value in network["infnet"].items() if name != "model"}
            settings = Settings(**{**told, "train": tuple(told["train"])})
            model = command[command.index("--model") + 1]
            result.update(file=f"{model}.{settings.name}.infnet")
            result["metrics"].update(train_seconds=network["train_seconds"], epochs=network["epochs"])
        common.write_json(job.path, result)
        endings = ["output", "eval", "json", "memory"]
        endings += ["model"] if command[command.index("--model") + 1].startswith("local_") else []
        for ending in endings:
            (self.models / f"{job.path.stem}.{ending}").unlink(missing_ok=True)

    def make_measured(
        self, job: Job, jobs: int, threads: int, work: Path, keys: dict[Path, tuple[str, str, str, int]]
    ) -> None:
        """Run search_measure.py in a process of its own."""
        what, task, energy, seed = keys[job.path]
        networks = {row: self.file(task, row, seed) for row in self.searching(task, energy)}
        _, tune, test = corpora(task).values()
        report, load = work / job.path.name, common.load()
        command = [
            sys.executable, str(Path(search_measure.__file__)), what, str(report), "--model",
            str(self.file(task, energy, seed)), "--tune", str(self.models / tune), "--test", str(self.models / test),
            "--own", self.own(task, energy), "--threads", str(threads), "--network",
            *(f"{name}={path}" for name, path in networks.items()), *(["--quick"] if self.quick else []),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
            raise common.RunError(f"search_measure.py {what} of {task} {energy}: exit status {done.returncode}: {last}")
        common.write_json(job.path, dict(
            command=job.command, machine=common.machine(threads), jobs=jobs, load_before=load, load_after=common.load(),
            **common.read_json(report),
        ))  # fmt: skip

    # What there is

    def existing(self, seeds: int) -> dict[str, Any]:
        """By task the results that were made by the commands of today: of rows and of what is measured, by seed."""
        found: dict[str, Any] = {}
        for task in TASKS:
            rows = {row: self.by_seed(seeds, lambda seed: self.trained(task, row, seed)) for row in ROWS}
            measures = {
                what: {
                    energy: self.by_seed(seeds, lambda seed: self.measured(what, task, energy, seed))
                    for energy in ("energy", "energy+")
                }
                for what in ("curves", "velocity", "speed")
            }
            parts = {"rows": rows, **measures}
            parts = {name: {of: results for of, results in part.items() if results} for name, part in parts.items()}
            if any(parts.values()):
                found[task] = parts
        return found

    def by_seed(self, seeds: int, job_of: Any) -> dict[int, Result]:
        return {seed: result for seed in range(seeds) if (result := job_of(seed).result())}

    def sizes(self, task: str) -> dict[str, int]:
        """Sentences of each corpus."""
        return {part: len(read_corpus(self.models / name)) for part, name in corpora(task).items()}


if __name__ == "__main__":
    sys.exit(main())
