"""What a hand-out must be shown to do before it is handed out; see handout.py for the list.

Everything runs on copies, in other processes, and without a sandbox: all code in it is our own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grader import strip
from grader.assignment import Assignment, load_assignment
from grader.grade import grade_submission
from grader.handout import ROOT, Built
from grader.sandbox import Sandbox, open_sandbox

MAJORITY = Path(__file__).resolve().parent / "majority.py"
TO_WRITE = re.compile(r"NotImplementedError: task_\w+: write [\w.]+( \| NotImplementedError: task_\w+: write [\w.]+)*")
CALL_EACH = """
import importlib, inspect, json, sys
sys.path.insert(0, "code")
wrong = []
for module, name, task in json.load(sys.stdin):
    function = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    try:
        function(*[None] * len(inspect.signature(function).parameters))
        wrong.append(f"{module}.{name} returns something")
    except NotImplementedError as error:
        if not str(error).startswith(task + ": write "):
            wrong.append(f"{module}.{name} does not name {task}: {error}")
    except Exception as error:
        wrong.append(f"{module}.{name} raises {type(error).__name__}: {error}")
print("; ".join(wrong))
"""


class Unproved(Exception):
    """A proof that failed; the message says what was found."""


def prove(built: Built, scratch: Path, profile: str = "quick", new_environment: bool = False) -> bool:
    """Run all proofs, print a line for each; return whether all hold.

    Args:
        new_environment: also those of fresh.py, which install packages.
    """
    stripped, solved = scratch / "stripped", scratch / "solved"
    shutil.copytree(built.folder, stripped)
    shutil.copytree(built.folder, solved)
    for name in built.stripped:
        shutil.copyfile(ROOT / name, solved / name)
    grading = Gradings(scratch, profile)
    proofs: list[tuple[str, Callable[[], str]]] = [
        ("it imports", lambda: imports(stripped)),
        ("its functions are to be written", lambda: holes(stripped)),
        ("its tests before", lambda: tests_before(stripped)),
        ("its tests with the solutions", lambda: tests_after(solved)),
        ("the grader on the solutions", lambda: grading.reference(solved)),
        ("the grader on the hand-out as it is", lambda: grading.empty(stripped)),
        ("the grader on commonest tags", grading.majority),
    ]
    if new_environment:
        from grader.fresh import Student

        student = scratch / "student"
        shutil.copytree(solved, student)
        proofs += Student(student).proofs()
    good = True
    for title, proof in proofs:
        try:
            print(f"proved: {title}: {proof()}", flush=True)
        except Unproved as failure:
            good = False
            print(f"NOT PROVED: {title}: {failure}", flush=True)
    return good


def python(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """This interpreter, in a copy of the hand-out."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        env={**clean, **environment},
    )


def imports(folder: Path) -> str:
    modules = [path.stem for path in sorted((folder / "code").glob("*.py"))]
    modules += [f"decoders.{path.stem}" for path in sorted((folder / "code/decoders").glob("[!_]*.py"))]
    program = f"import sys; sys.path.insert(0, 'code'); import runtime, {', '.join(modules)}"
    done = python(folder, "-c", program)
    if done.returncode:
        raise Unproved("\n".join(done.stderr.splitlines()[-3:]))
    return f"{len(modules)} modules"


def holes(folder: Path) -> str:
    """Each function to be written raises NotImplementedError, which begins with its task."""
    wanted = [
        (file.removesuffix(".py"), name, task)
        for file, names in [*strip.GRADED.items(), *strip.TWINS.items()]
        for name, task in names.items()
    ]
    done = python(folder, "-c", CALL_EACH, stdin=json.dumps(wanted))
    if done.returncode or done.stdout.strip():
        raise Unproved((done.stdout or done.stderr).strip()[-500:])
    return f"{len(wanted)} functions raise NotImplementedError with the mark of their task"


def run_tests(folder: Path) -> dict[str, dict[str, Any]]:
    noted = folder.with_name(f"{folder.name}-outcomes.json")
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "grader.outcomes"]
    done = python(folder, "-m", "pytest", *options, OUTCOMES=str(noted), OMP_NUM_THREADS="1")
    if done.returncode not in (0, 1) or not noted.exists():
        raise Unproved("\n".join((done.stdout + done.stderr).splitlines()[-5:]))
    return json.loads(noted.read_text(encoding="utf-8"))


def tests_before(folder: Path) -> str:
    return judge_before(run_tests(folder), {task for names in strip.GRADED.values() for task in names.values()})


def judge_before(outcomes: Mapping[str, Mapping[str, Any]], tasks: set[str]) -> str:
    """Of a hand-out as it is: each test passes, or fails by a function to be written; and each task has such."""
    bad = [
        f"{test}: {entry['outcome']} {entry['message']}"
        for test, entry in outcomes.items()
        if entry["outcome"] != "passed" and not TO_WRITE.fullmatch(entry["message"])
    ]
    if bad:
        raise Unproved(f"{len(bad)} tests end otherwise than by a function to be written, as {bad[0]}")
    failing = [entry for entry in outcomes.values() if entry["outcome"] == "failed"]
    silent = tasks - {task for entry in failing for task in entry["tasks"]}
    if silent:
        raise Unproved(f"no test fails for {', '.join(sorted(silent))}")
    early = [test for test, entry in outcomes.items() if entry["tasks"] and entry["outcome"] == "passed"]
    text = f"{len(failing)} fail with NotImplementedError, which names a task; {len(outcomes) - len(failing)} pass"
    return text + (f"; of these a task's: {', '.join(early)}" if early else "")


def tests_after(folder: Path) -> str:
    outcomes = run_tests(folder)
    bad = [f"{test}: {entry['message']}" for test, entry in outcomes.items() if entry["outcome"] != "passed"]
    if bad:
        raise Unproved(f"{len(bad)} of {len(outcomes)} do not pass, as {bad[0]}")
    return f"{len(outcomes)} pass"


class Gradings:
    """Gradings of submissions of our own, by the real grader."""

    def __init__(
        self, scratch: Path, profile: str, assignment: Assignment | None = None, sandbox: Sandbox | None = None
    ):
        self.scratch, self.profile = scratch, profile
        self.assignment = assignment or load_assignment()
        self.sandbox = sandbox or open_sandbox("none", trust=True)

    def grade(self, name: str, files: Sequence[Path], top: Path) -> dict[str, Any]:
        folder = self.scratch / f"submission-{name}"
        for path in files:
            target = folder / "code" / path.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        out = self.scratch / f"graded-{name}"
        result = grade_submission(folder, self.assignment, self.sandbox, out, profile=self.profile)
        if result["score"] is None:
            raise Unproved(f"{result['verdict']}: {result['error'].strip()[-500:]}")
        return result

    def of_package(self, name: str, folder: Path) -> dict[str, Any]:
        return self.grade(name, sorted((folder / "code").rglob("*.py")), folder / "code")

    def reference(self, folder: Path) -> str:
        result = self.of_package("reference", folder)
        if result["score"] != 100:
            raise Unproved(f"{result['score']} %, not all: {stages(result)}")
        return f"{result['score']:.0f} % ({stages(result)})"

    def empty(self, folder: Path) -> str:
        result = self.of_package("empty", folder)
        if result["score"] != 0:
            raise Unproved(f"{result['score']} %, not 0: {stages(result)}")
        return "0 %"

    def majority(self) -> str:
        folder = self.scratch / "majority"
        folder.mkdir()
        shutil.copyfile(MAJORITY, folder / "tag.py")
        result = self.grade("majority", [folder / "tag.py"], folder)
        said = []
        for stage in self.assignment.stages:
            if stage.kind not in ("tagging", "leaderboard"):
                continue
            if stage.gold not in result["scores"] or not result["scores"][stage.gold]:
                raise Unproved(f"no score on {stage.gold}: {stages(result)}")
            accuracy = result["scores"][stage.gold]["accuracy"]["all"]
            stated = self.assignment.baselines.get(f"majority_{stage.gold}")
            if stated is None or round(accuracy, 4) != round(stated, 4):
                raise Unproved(f"{accuracy:.4f} on {stage.gold}, and the assignment states {stated}")
            said.append(f"{stage.gold} {accuracy:.2%}")
        stated = self.assignment.baselines.get("majority_score")
        if stated is None or round(result["score"] / 100, 4) != round(stated, 4):
            raise Unproved(f"{result['score']} % of the points ({stages(result)}); the assignment states {stated}")
        return f"{', '.join(said)}, {result['score']:.1f} % of the points, as the assignment states"


def stages(result: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage['name']} {stage['points']:g} of {stage['max_points']:g}" for stage in result["stages"])
