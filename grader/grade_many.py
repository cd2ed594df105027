"""Grade a class: every folder and archive in DIR, each like `grade` does; then a table and a summary.

    python -m grader grade-many submissions/ --out graded --jobs 4

Stop it as you like, kill -9 too: started again, it goes on, and grades nothing a second time whose submission, data,
assignment, grader and seed are what they were. Only faults of the grader are tried again, never those of a student.
More machines: --backend dask, or --emit slurm-array and --emit k8s-job, which print a script that runs this same
command with --index for each submission, and --collect at the end.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import hashlib
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grader import results
from grader.assignment import ASSIGNMENTS, Assignment, load_assignment
from grader.errors import UsageError
from grader.grade import add_assignment_arguments, add_sandbox_arguments, grade_submission, restart_key
from grader.sandbox import Sandbox, open_sandbox, stop_all

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
TRIES = 2  # of a grading that a fault of the grader ended


@dataclass(frozen=True)
class Work:
    """What a batch is made of; plain values, so that another machine can be told.

    Attributes:
        submissions: what is graded.
        out: one folder for each in it, summary.json and scores.csv.
        level, floor, trust: of the sandbox.
    """

    submissions: tuple[Path, ...]
    out: Path
    assignment: str
    profile: str
    seed: int
    level: str
    floor: str | None
    trust: bool


def find_submissions(folder: Path) -> tuple[Path, ...]:
    """The folders and archives of a folder, in the order of their names. Raises UsageError if there are none."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None
    found = [
        path
        for path in entries
        if not path.name.startswith((".", "__MACOSX"))
        and not path.is_symlink()
        and (path.is_dir() or path.name.lower().endswith(ARCHIVES))
    ]
    if not found:
        raise UsageError(f"{folder}: no folder, zip or tar in it")
    return tuple(found)


def folder_of(work: Work, submission: Path) -> Path:
    """Where a submission's result goes: a safe name that no other submission has."""
    raw = os.fsencode(submission.name)
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", raw.decode("ascii", errors="ignore")).strip("-.")[:60] or "submission"
    return work.out / f"{safe}-{hashlib.sha256(raw).hexdigest()[:8]}"


@contextmanager
def only_here(folder: Path) -> Iterator[bool]:
    """Whether no other process grades into this folder now; held until the end, by a lock that dies with its owner."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def grade_one(work: Work, submission: Path, assignment: Assignment, sandbox: Sandbox) -> dict[str, Any] | None:
    """The result of one submission, graded now or before; None where another process is at it."""
    out = folder_of(work, submission)
    with only_here(out) as ours:
        if not ours:
            return None
        old = results.read_result(out / "result.json")
        if results.finished(old) and old["key"] == restart_key(submission, assignment, work.profile, work.seed)[1]:
            return old
        for _ in range(TRIES):
            result = grade_submission(submission, assignment, sandbox, out, work.seed, work.profile)
            if result["score"] is not None:
                break
        return result


def sandbox_of(work: Work) -> Sandbox:
    return open_sandbox(work.level, work.floor, trust=work.trust)


def local(work: Work, jobs: int) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Results as they come, from so many threads; each waits for a sandboxed process of its own."""
    assignment, sandbox = load_assignment(work.assignment), sandbox_of(work)
    pending = list(work.submissions)
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Any, Path] = {}
        try:
            while pending or running:
                while pending and len(running) < jobs:
                    submission = pending.pop(0)
                    running[pool.submit(grade_one, work, submission, assignment, sandbox)] = submission
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BaseException:  # Ctrl-C: the threads wait for their jobs
            stop_all()
            raise


# Tables


def as_cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula, on one line."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    text = text.encode("utf-8", errors="replace").decode()
    number = re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text)
    return "'" + text if text.lstrip()[:1] in tuple("=+-@|%") and not number else text


def table(found: dict[Path, dict[str, Any] | None], assignment: Assignment) -> str:
    """One row for each submission, as CSV."""
    stages = [stage.name for stage in assignment.stages]
    rows = [["submission", "score", "verdict", "points", "max_points", *stages, "entest", "endev", "sandbox",
             "flags", "partners", "started", "finished", "sha256"]]  # fmt: skip
    for submission, result in found.items():
        if result is None:
            rows.append([submission.name, None, "not graded", *[None] * (len(rows[0]) - 3)])
            continue
        points = {stage["name"]: stage["points"] for stage in result["stages"]}
        accuracy = {name: score["accuracy"]["all"] for name, score in result["scores"].items() if score}
        rows.append([
            submission.name, result["score"], result["verdict"], result["points"], result["max_points"],
            *(points.get(name) for name in stages), accuracy.get("entest"), accuracy.get("endev"),
            result["sandbox"]["level"], "; ".join(result["flags"]), "; ".join(result.get("partners", ())),
            result["started"], result["finished"], result["files"]["sha256"],
        ])  # fmt: skip
    text = io.StringIO(newline="")
    csv.writer(text).writerows([as_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def summarize(found: dict[Path, dict[str, Any] | None]) -> dict[str, Any]:
    """Counts by verdict and by sandbox level; the mean score of those that have one."""
    there = [result for result in found.values() if result]
    scores = [result["score"] for result in there if result["score"] is not None]
    verdicts = Counter(result["verdict"] for result in there)
    verdicts.update(["not graded"] * (len(found) - len(there)))
    return {
        "submissions": len(found),
        "verdicts": dict(verdicts.most_common()),
        "mean_score": sum(scores) / len(scores) if scores else None,
        "sandbox_levels": dict(Counter(result["sandbox"]["level"] for result in there)),
        "grader_faults": [
            {"submission": path.name.encode(errors="replace").decode(), "verdict": r["verdict"], "error": r["error"]}
            for path, r in found.items()
            if r and r["score"] is None
        ],
    }


def write_tables(work: Work, found: dict[Path, dict[str, Any] | None], assignment: Assignment) -> dict[str, Any]:
    summary = summarize(found)
    results.write_whole(work.out / "scores.csv", table(found, assignment))
    results.write_whole(work.out / "summary.json", json.dumps(results.plain(summary), indent=1) + "\n")
    return summary


def refuse_mixed(found: dict[Path, dict[str, Any] | None], level: str | None, allowed: bool) -> None:
    """One batch, one level of sandbox: results of different levels do not compare."""
    levels = {result["sandbox"]["level"] for result in found.values() if results.finished(result)}
    levels |= {level} if level else set()
    if len(levels) > 1 and not allowed:
        raise UsageError(
            f"this batch would mix sandbox levels {', '.join(sorted(levels))}: choose one by --sandbox, use another "
            "--out, or allow it by --allow-mixed-levels"
        )


def there_already(work: Work) -> dict[Path, dict[str, Any] | None]:
    """What earlier runs left, finished or not."""
    return {path: results.read_result(folder_of(work, path) / "result.json") for path in work.submissions}


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder of submissions: folders, zips, tars")
    parser.add_argument("--out", default="graded", metavar="DIR", help="a folder of results (graded)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="submissions at a time (1)")
    parser.add_argument("--allow-mixed-levels", action="store_true", help="results of different sandbox levels may mix")
    g = parser.add_argument_group("more machines")
    g.add_argument(
        "--backend", choices=("local", "dask"), default="local", help="local threads, or Dask (extra `scale`)"
    )
    g.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask scheduler (default: a cluster made here)")
    g.add_argument("--tls", nargs=3, metavar=("CA", "CERT", "KEY"), help="files with which to meet that scheduler")
    g.add_argument("--emit", choices=("slurm-array", "k8s-job"), help="print a script for a queue, and grade nothing")
    g.add_argument("--image", default="neuralization-grader:latest", help="the container image of --emit k8s-job")
    g.add_argument(
        "--index", type=int, metavar="I", help="grade only the I-th submission (from 0), as a queue's task does"
    )
    g.add_argument(
        "--collect", action="store_true", help="grade nothing; make the tables from the results that are there"
    )
    add_assignment_arguments(parser)
    add_sandbox_arguments(parser)


def run(args: argparse.Namespace) -> int:
    submissions = find_submissions(Path(args.folder))
    assignment = load_assignment(args.assignment)
    if args.profile not in assignment.profiles:
        raise UsageError(f"there is no profile {args.profile!r}; there are {', '.join(assignment.profiles)}")
    if args.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    work = Work(
        submissions, Path(args.out), args.assignment, args.profile, args.seed, args.sandbox, args.floor, args.trust
    )
    if args.emit:
        from grader.backends import EMITTERS

        print(EMITTERS[args.emit](task_command(args), len(submissions), args.jobs, args), end="")
        return 0
    work.out.mkdir(parents=True, exist_ok=True)
    if args.index is not None:
        return run_index(work, args.index, assignment)
    found = there_already(work)
    if not args.collect:
        level = None if args.backend == "dask" else sandbox_of(work).name
        refuse_mixed(found, level, args.allow_mixed_levels)
        found = run_batch(work, args, assignment)
    summary = write_tables(work, found, assignment)
    refuse_mixed(found, None, args.allow_mixed_levels)
    print(describe(summary, work))
    if summary["grader_faults"]:
        for fault in summary["grader_faults"]:
            last = (fault["error"].strip().splitlines() or [""])[-1]
            print(f"python -m grader: {fault['submission']}: {fault['verdict']}: {last}", file=sys.stderr)
        return 3
    return 0


def run_batch(work: Work, args: argparse.Namespace, assignment: Assignment) -> dict[Path, dict[str, Any] | None]:
    """Grade all that is not graded yet, with a progress bar; the tables are kept up to date on the way."""
    if args.backend == "dask":
        from grader.backends import with_dask

        stream = with_dask(work, args.jobs, args.scheduler, args.tls)
    else:
        stream = local(work, args.jobs)
    found = there_already(work)
    with tqdm(total=len(found), unit="submission", disable=None) as bar:
        for submission, result in stream:
            found[submission] = result
            bar.update()
            bar.set_postfix_str(str(result["verdict"]) if result else "graded elsewhere")
            write_tables(work, found, assignment)
    return found


def run_index(work: Work, index: int, assignment: Assignment) -> int:
    """One task of a queue's array."""
    if not 0 <= index < len(work.submissions):
        raise UsageError(f"--index {index}: there are {len(work.submissions)} submissions")
    result = grade_one(work, work.submissions[index], assignment, sandbox_of(work))
    if result is None:
        print("another process is grading it")
        return 0
    print(f"{result['verdict']}: {result['score']}")
    return 3 if result["score"] is None else 0


def task_command(args: argparse.Namespace) -> list[str]:
    """This same command for one submission of a queue, but for the index."""
    command = ["grade-many", str(Path(args.folder).resolve()), "--out", str(Path(args.out).resolve())]
    path = Path(args.assignment).resolve()
    shipped = path.parent == ASSIGNMENTS or not path.exists()  # then its bare name, which is good anywhere
    command += [
        "--assignment",
        path.stem if shipped else str(path),
        "--profile",
        args.profile,
        "--seed",
        str(args.seed),
    ]
    command += ["--sandbox", args.sandbox]
    command += ["--floor", args.floor] if args.floor else []
    return command + (["--i-trust-this-code"] if args.trust else [])


def describe(summary: dict[str, Any], work: Work) -> str:
    mean = "" if summary["mean_score"] is None else f", mean score {summary['mean_score']:.1f} %"
    lines = [f"{summary['submissions']} submissions{mean}"]
    lines += [f"{count:6} {verdict}" for verdict, count in summary["verdicts"].items()]
    levels = ", ".join(f"{level} ({count})" for level, count in summary["sandbox_levels"].items())
    return "\n".join(
        [*lines, f"sandbox level {levels}", f"tables: {work.out / 'scores.csv'}, {work.out / 'summary.json'}"]
    )
