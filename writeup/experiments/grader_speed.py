"""What the grader costs and promises, measured: `python writeup/experiments/grader_speed.py [PART ...] [--quick]`.

- sandbox: a Python that does nothing, bare and at each level of the sandbox that this machine has, in turn, medians;
  and 20 tiny submissions by grade-many, with one job and with two, beside the same programs bare, one after another
  and two at a time. How much of the gain of the bare ones the grader keeps is the figure. Where nothing else runs.
- gradescope: the reference with the hand-out's files, handed in by `submit`, graded by the contents of autograder.zip
  in a folder like Gradescope's. Seconds, seconds of computing and memory, stage by stage; some minutes.
- flags: the same submission by the assignment of the original command line; some minutes.
- kills: a batch of 200, killed by kill -9 at 100 random moments (tests/test_grade_many.py); some minutes.

Without PART it is sandbox. Writes its parts of results/grader.json, and grader.md, under --out (default: writeup/).
"""

from __future__ import annotations

import common
import grader_reference as reference
from grader_reference import measured

# isort: split

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(common.ROOT))

from grader.attacks.case import HERE, LIMITS, MAJORITY, as_text, corpus
from grader.errors import GraderFault
from grader.grade_many import Work, find_submissions, local
from grader.sandbox import LEVELS, Job, Sandbox, open_sandbox
from grader.secret import VARIABLE

SUBMISSIONS, LOOP = 20, 20_000_000  # the loop makes each program take some tenths of a second
NOTHING = [sys.executable, "-I", "-S", "-c", "pass"]
MOST_START_UP, LEAST_KEPT = 0.050, 0.85


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (sandbox)")
    parser.add_argument("--quick", action="store_true", help="few runs and small ones, in a temporary folder")
    parser.add_argument("--out", type=Path, help="folder for results/ (default: writeup/)")
    args = parser.parse_args(arguments)
    for name in set(args.parts) - set(PARTS):
        parser.error(f"there is no part {name!r}")
    out = args.out or (Path(tempfile.mkdtemp(prefix="grader-")) if args.quick else common.WRITEUP)
    path = out / "results" / "grader.json"
    for name in args.parts or ["sandbox"]:
        found: dict[str, Any] = dict(machine=common.machine(1), load_before=common.load(), quick=args.quick)
        with tempfile.TemporaryDirectory() as folder:
            found.update(PARTS[name](Path(folder), args.quick))
        found["load_after"] = common.load()
        result = {**(common.read_json(path) or {}), name: found}
        common.write_json(path, result)
        common.write_text(path.with_suffix(".md"), markdown(result))
        print(PAGES[name](found))
    return 0


# sandbox


def sandbox(folder: Path, quick: bool) -> dict[str, Any]:
    sandboxes, refused = [], {}
    for level in LEVELS:
        try:
            sandboxes.append(open_sandbox(level))
        except GraderFault as fault:
            refused[level] = fault.message
    found: dict[str, Any] = dict(start_up=start_up(sandboxes, 3 if quick else 50))
    found["batch"] = batch(folder, sandboxes[0].name, 4 if quick else SUBMISSIONS) if sandboxes else None
    return dict(found, refused=refused)


def start_up(sandboxes: Sequence[Sandbox], runs: int) -> dict[str, float]:
    """Median seconds by level, `bare` first."""

    def bare() -> None:
        subprocess.run(NOTHING, check=True, stdin=subprocess.DEVNULL)

    def inside(sandbox: Sandbox) -> None:
        with sandbox.scratch() as folder:
            work = folder / "code"
            work.mkdir()
            began = time.perf_counter()
            outcome = sandbox.run(Job(NOTHING, work, LIMITS))
            seconds[sandbox.name].append(time.perf_counter() - began)
        assert outcome.verdict == "ok", outcome

    seconds: dict[str, list[float]] = {"bare": [], **{sandbox.name: [] for sandbox in sandboxes}}
    for _ in range(runs):
        seconds["bare"].append(timed(bare))
        for sandbox in sandboxes:
            inside(sandbox)
    return {name: statistics.median(times) for name, times in seconds.items()}


def batch(folder: Path, level: str, submissions: int) -> dict[str, Any]:
    """Seconds of a class with one job and with two, graded and bare."""
    before = os.environ.get(VARIABLE)
    make_class(folder, submissions)
    os.environ[VARIABLE] = str(folder / "secret")
    try:
        found = {
            "graded": {str(jobs): timed(lambda: grade_class(folder, level, jobs)) for jobs in (1, 2)},  # noqa: B023
            "bare": {str(jobs): timed(lambda: run_class(folder, jobs)) for jobs in (1, 2)},  # noqa: B023
        }
    finally:
        os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})
    gains = {how: of["1"] / of["2"] for how, of in found.items()}
    return dict(level=level, submissions=submissions, seconds=found, gains=gains, kept=gains["graded"] / gains["bare"])


def make_class(folder: Path, submissions: int) -> None:
    """The tiny course of the attack suite, and a class that hands in its tagger, slowed by a loop."""
    for name in ("data", "lexicons"):
        (folder / name).mkdir()
    (folder / "secret").mkdir(mode=0o700)
    (folder / "data" / "toysup").write_text(as_text(corpus(1, 300)))
    (folder / "secret" / "toytest").write_text(as_text(corpus(2, 80)))
    toy = (HERE / "toy.toml").read_text(encoding="utf-8")
    (folder / "toy.toml").write_text(
        toy.replace("format = 1\n", f'format = 1\nfolder = "{folder}"\n'), encoding="utf-8"
    )
    for number in range(submissions):
        student = folder / "class" / f"student{number:02}"
        (student / "code").mkdir(parents=True)
        program = MAJORITY.replace("def main() -> None:\n", f"def main() -> None:\n    sum(range({LOOP}))\n")
        (student / "code" / "tag.py").write_text(program, encoding="utf-8")
        (student / "partners.txt").write_text("A. Student\n")


def grade_class(folder: Path, level: str, jobs: int) -> None:
    """As grade-many does it."""
    submissions = find_submissions(folder / "class")
    work = Work(submissions, folder / f"out{jobs}", str(folder / "toy.toml"), "quick", 0, level, None, False)
    verdicts = [result["verdict"] for _, result in local(work, jobs) if result]
    assert verdicts == ["ok"] * len(submissions), verdicts


def run_class(folder: Path, jobs: int) -> None:
    """The same programs without the grader: each trains once and tags once."""

    def run(code: Path) -> None:
        train = ["toysup", "--train", str(folder / "data" / "toysup"), "--save", "graded.model"]
        for arguments in train, [str(folder / "data" / "toysup"), "--model", "graded.model", "--output_file", "out"]:
            subprocess.run([sys.executable, "tag.py", *arguments], cwd=code, check=True, stdin=subprocess.DEVNULL)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, sorted(folder.glob("class/*/code"))))


def timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


# The page


def markdown(result: dict[str, Any]) -> str:
    pages = [PAGES[name](result[name]) for name in PARTS if name in result]
    return "\n".join(["# The grader\n\nMade by `python writeup/experiments/grader_speed.py`.\n", *pages])


def sandbox_page(found: dict[str, Any]) -> str:
    start, batch = found["start_up"], found["batch"]
    rows = []
    for name, seconds in start.items():
        above = seconds - start["bare"]
        verdict = "" if name == "bare" else "met" if above <= MOST_START_UP else "missed"
        rows.append([name, f"{1000 * seconds:.0f}", f"{1000 * above:.0f}", verdict])
    header = ["sandbox", "start of a process, ms", "above the bare one, ms", "at most 50 ms above"]
    parts = ["## The sandbox\n\n", measured(found), common.table(header, rows)]
    parts += [f"\nLevel {level} is not to be had here: {why}\n" for level, why in found["refused"].items()]
    if batch:
        parts.append(f"\nA batch of {batch['submissions']} tiny submissions at level {batch['level']}:\n\n")
        rows = [
            [how, f"{of['1']:.1f}", f"{of['2']:.1f}", f"{batch['gains'][how]:.2f}"]
            for how, of in batch["seconds"].items()
        ]
        parts.append(common.table(["", "one job, s", "two jobs, s", "gain"], rows))
        met = "met" if batch["kept"] >= LEAST_KEPT else "missed"
        parts.append(f"\nThe grader keeps {batch['kept']:.2f} of the gain (at least {LEAST_KEPT}: {met}).\n")
    return "".join(parts)


PARTS = {"sandbox": sandbox, **reference.PARTS}
PAGES = {"sandbox": sandbox_page, **reference.PAGES}


if __name__ == "__main__":
    sys.exit(main())
