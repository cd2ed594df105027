"""What the stages share: a run folder that holds only what the stage may see, one run in it, one entry of the result.

    code/         a fresh copy of the submission's code; the job's working folder, and all it may write
    data/         the corpora that the stage lists
    lexicons/     its lexicons

as in the hand-out, so `python tag.py endev` finds ../data/endev. Between two runs code/ is made anew: nothing that a
run left behind is there in the next but what the stage names, and that crosses as bytes that nobody looks into.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grader.assignment import Assignment, Profile, Stage
from grader.errors import StudentFault
from grader.sandbox import Job, Outcome, Sandbox, read_output
from grader.scoring import Vocabulary, read_gold
from grader.stages import hints
from grader.submission import Submission

FIXED = {  # all that a hidden stage says
    "ok": "done",
    "wrong_answer": "done; some answers are wrong",
    "crash": "your program ended with an error",
    "timeout": "your program ran longer than it may",
    "memory": "your program used more memory than it may",
    "output_limit": "your program wrote more than it may",
    "bad_output": "the output is not one tag for each word of the input, in the input's order",
    "violation": "the submission was refused",
    "missing_file": "a file that should be there is not",
}


@dataclass
class Grading:
    """One grading under way.

    Attributes:
        scratch: the folder of the runs.
        out: where the result goes; staff's logs too.
        seeds: of the trainings.
        seed: of all that the grader draws.
        models: what each seed's training left; None where it left nothing.
        scores: by corpus, as in the result.
        notes, flags: lines of the result.
    """

    assignment: Assignment
    profile: Profile
    submission: Submission
    sandbox: Sandbox
    scratch: Path
    out: Path
    seeds: tuple[int, ...]
    seed: int
    models: dict[int, bytes | None] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    _vocabulary: Vocabulary | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """Known and seen words, by the assignment's training corpus and lexicons."""
        if self._vocabulary is None:
            a = self.assignment
            training = read_gold(a.data_file(a.train))
            self._vocabulary = Vocabulary(training, [a.lexicon_file(name) for name in a.known_from])
        return self._vocabulary


@dataclass
class Spent:
    """What the runs of a stage took: seconds by the clock and of computing, and the largest memory in bytes."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0

    def add(self, outcome: Outcome) -> None:
        self.seconds += outcome.wall
        self.cpu_seconds += outcome.cpu
        self.peak_memory = max(self.peak_memory, outcome.peak_memory)


@dataclass(frozen=True)
class Run:
    """How a run went, and of the files that were asked for the bytes, or what is wrong with them."""

    outcome: Outcome
    files: Mapping[str, bytes | StudentFault]


def finish(
    stage: Stage, verdict: str, points: float, spent: Spent, message: str = "",
    details: Mapping[str, Any] | None = None, log: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A stage's entry in the result; of a hidden stage neither message nor log."""
    return {
        "name": stage.name, "title": stage.title, "kind": stage.kind, "verdict": verdict, "points": points,
        "max_points": stage.points, "hidden": stage.hidden,
        "message": FIXED[verdict] if stage.hidden or not message else message, "details": dict(details or {}),
        "log": "" if stage.hidden else log, "seconds": round(spent.seconds, 3),
        "cpu_seconds": round(spent.cpu_seconds, 3), "peak_memory": spent.peak_memory,
    }  # fmt: skip


def run(
    grading: Grading, stage: Stage, command: Sequence[str], put: Mapping[str, bytes], want: Mapping[str, int],
    readable: Sequence[Path] = (),
) -> Run:  # fmt: skip
    """Run a command in a fresh copy of the submission, and read what it left when all of it is dead.

    Args:
        put: files to lay into code/ first.
        want: names of files in code/ and the largest size of each, in bytes.
        readable: what else it may read.
    """
    work = grading.scratch / "work"
    code = work / "code"
    grading.sandbox.remove(code)
    work.mkdir(exist_ok=True)
    shutil.copytree(grading.submission.code, code)
    for name, data in put.items():
        grading.sandbox.remove(code / name)
        (code / name).write_bytes(data)
    there = [
        *supply(work / "data", [grading.assignment.data_file(name) for name in stage.data]),
        *supply(work / "lexicons", [grading.assignment.lexicon_file(name) for name in stage.lexicons]),
    ]
    wall = min(stage.limits.wall, grading.profile.wall)
    limits = replace(stage.limits, wall=wall, cpu=min(stage.limits.cpu, wall))
    outcome = grading.sandbox.run(Job(list(command), code, limits, [*there, *readable]))
    files: dict[str, bytes | StudentFault] = {}
    for name, limit in want.items():
        try:
            files[name] = read_output(code, name, limit)
        except StudentFault as fault:
            files[name] = fault
    grading.sandbox.remove(code)
    return Run(outcome, files)


def supply(folder: Path, sources: Sequence[Path]) -> list[Path]:
    """Have a folder hold copies of exactly these files; return them."""
    folder.mkdir(exist_ok=True)
    names = {source.name for source in sources}
    for old in folder.iterdir():
        if old.name not in names:
            old.unlink()
    for source in sources:
        target = folder / source.name
        if not target.exists():
            shutil.copyfile(source, target)
            target.chmod(0o644)
    return [folder / source.name for source in sources]


def run_command(
    grading: Grading, stage: Stage, values: Mapping[str, str], put: Mapping[str, bytes], want: Mapping[str, int],
    spent: Spent,
) -> Run:  # fmt: skip
    """Run the stage's command, its placeholders filled in.

    Optional arguments that the program says it does not know are left out, and it is run again.
    """
    values = {"python": sys.executable, **grading.profile.values, **values}
    optional = list(stage.optional)
    while True:
        command = [argument.format_map(values) for argument in stage.command]
        command += [argument.format_map(values) for group in optional for argument in group]
        found = run(grading, stage, command, put, want)
        spent.add(found.outcome)
        unknown = [group for group in optional if refused(group[0], found.outcome)]
        if not unknown:
            return found
        optional = [group for group in optional if group not in unknown]


def refused(flag: str, outcome: Outcome) -> bool:
    """Whether the program ended because it does not know this flag, as argparse, optparse and click say it."""
    if outcome.verdict != "crash" or outcome.exit_code != 2:
        return False
    lines = re.findall(r"(?:unrecognized arguments|no such option)s?:(.*)", outcome.log, flags=re.IGNORECASE)
    return any(flag in line.split() for line in lines)


def problem(grading: Grading, stage: Stage, found: Run, wanted: str) -> StudentFault | None:
    """What is wrong with a run that should have written the file `wanted`: None, or verdict and message."""
    verdict, log = found.outcome.verdict, found.outcome.log
    if verdict != "ok":
        hint = hints.hint(log)
        how = f" (exit status {found.outcome.exit_code})" if verdict == "crash" and found.outcome.exit_code else ""
        return StudentFault(verdict, FIXED[verdict] + how + (f". {hint}" if hint else ""))
    file = found.files[wanted]
    if isinstance(file, StudentFault):
        return file if file.verdict != "missing_file" else StudentFault("missing_file", f"it wrote no file {wanted}")
    return None


def missing_entry(grading: Grading, stage: Stage) -> StudentFault | None:
    """A stage that runs a program which the submission does not have."""
    programs = [a for a in stage.command if a in grading.submission.missing]
    if not programs:
        return None
    where = f"code/{programs[0]}, or {programs[0]} at the top"
    return StudentFault("missing_file", f"there is no {programs[0]}: the submission should have {where}")


def keep_log(grading: Grading, stage: Stage, name: str, log: str) -> None:
    """Logs of hidden stages, for staff only."""
    if stage.hidden and log:
        folder = grading.out / "staff"
        folder.mkdir(exist_ok=True)
        (folder / f"{stage.name}-{name}.log").write_text(log, encoding="utf-8", errors="backslashreplace")


def cut(log: str, longest: int = 20_000) -> str:
    """The beginning and the end of a log."""
    half = longest // 2
    return (
        log
        if len(log) <= longest
        else f"{log[:half]}\n[... {len(log) - longest} characters left out ...]\n{log[-half:]}"
    )
