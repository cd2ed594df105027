"""Check your work before you hand it in, on your own machine.

    python -m grader check

First the public tests of every task; then a short training run and a tagging of endev, from the very files that
`submit` would hand in, by the code and with the messages of the grader. Your program runs with your own rights, in no
sandbox. The grader at home has other tests of the same functions, trains longer, and scores on text that is not here.
Exit status 1 if something is not right yet.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from grader import submit
from grader.assignment import DEFAULT, Assignment, load_assignment
from grader.errors import StudentFault, UsageError
from grader.results import ROOT
from grader.sandbox import open_sandbox
from grader.stages import leaderboard, training
from grader.stages.base import Grading
from grader.submission import unpack

STAGES = {"training": training.run, "leaderboard": leaderboard.run}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="quick", help="quick, or full: train as long as the grader does (quick)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT, metavar="DIR", help="where code/ and tests/ are (this package)"
    )
    parser.add_argument("--assignment", default=str(DEFAULT), help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    assignment = load_assignment(args.assignment)
    if args.profile not in assignment.profiles:
        raise UsageError(f"there is no profile {args.profile!r}; there are {', '.join(assignment.profiles)}")
    print("No sandbox: your program runs with your own rights.\n\nThe tests of each task:", flush=True)
    good = report_tests(run_tests(args.folder))
    print(f"\nTraining and tagging, profile {args.profile}:", flush=True)
    data = submit.archive(submit.collect(args.folder, assignment))
    submit.inspect(data, assignment)
    for entry in grade(data, assignment, args.profile):
        print(f"  {entry['title']}: {entry['message']}", flush=True)
        if entry["verdict"] != "ok":
            good = False
            print("".join(f"    | {line}\n" for line in entry["log"].splitlines()[-12:]), end="")
    print("\nAll is well so far." if good else "\nNot yet.")
    return 0 if good else 1


def run_tests(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each test that bears the mark of a task (see outcomes.py).

    Raises:
        StudentFault: crash; pytest did not get as far as the tests. Its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as scratch:
        noted = Path(scratch) / "outcomes.json"
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "grader.outcomes", "tests"], cwd=folder,
            env={**os.environ, "OUTCOMES": str(noted), "TASKS_ONLY": "1", "PYTHONPATH": path},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode not in (0, 1) or not noted.exists():
            words = "\n".join(done.stdout.splitlines()[-15:])
            raise StudentFault("crash", f"the tests could not be run:\n{words}")
        return json.loads(noted.read_text(encoding="utf-8"))


def report_tests(outcomes: dict[str, dict[str, Any]]) -> bool:
    """Print a line for each task; return whether all tests passed."""
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in outcomes.values():
        for task in entry["tasks"]:
            by_task[task].append(entry)
    for task, entries in by_task.items():
        failed = [entry for entry in entries if entry["outcome"] != "passed"]
        why = f"; {failed[0]['message'] or failed[0]['outcome']}"[:160] if failed else ""
        print(f"  {task:28} {len(entries) - len(failed):3} of {len(entries):3} passed{why}")
    return all(entry["outcome"] == "passed" for entry in outcomes.values())


def grade(data: bytes, assignment: Assignment, profile: str) -> list[dict[str, Any]]:
    """The stages of the grader that need nothing but what is here: their entries of the result.

    Raises:
        StudentFault: the grader would refuse the submission.
    """
    stages = tuple(stage for stage in assignment.stages if stage.kind in STAGES)
    assignment = replace(assignment, stages=stages)
    sandbox = open_sandbox("none", trust=True)
    chosen = assignment.profiles[profile]
    with sandbox.scratch() as scratch:
        zipped = scratch / "submission.zip"
        zipped.write_bytes(data)
        submission = unpack(zipped, scratch / "submission", assignment.layout)
        seeds = chosen.seeds[:1]
        grading = Grading(assignment, chosen, submission, sandbox, scratch, scratch, seeds, seeds[0])
        return [STAGES[stage.kind](grading, stage) for stage in stages]
