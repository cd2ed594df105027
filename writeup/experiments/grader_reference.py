"""The parts of grader_speed.py that grade the reference, as a student would hand it in, and kill a batch.

The submission is the hand-out's own files with the solutions put in, so without fast kernels, zipped by `submit`.
"""

from __future__ import annotations

import common

# isort: split

import json
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(common.ROOT))

from grader import handout, submit
from grader.assignment import load_assignment
from grader.grade import grade_submission
from grader.results import read_result
from grader.sandbox import open_sandbox

KILLS, MINUTES, MEMORY = 100, 15, 1.5e9


def measured(found: dict[str, Any]) -> str:
    """Where and when, for a part's page."""
    return (
        f"Measured on {common.describe_machine(found['machine'])}; load average {found['load_before']} before, "
        f"{found['load_after']} after.{' A quick run: the figures mean nothing.' if found['quick'] else ''}\n\n"
    )


# Measuring


def reference(folder: Path) -> Path:
    """The zip that a student hands in who has written everything: the hand-out's files, with the solutions."""
    built = handout.build(folder / "solved")
    for name in built.stripped:
        shutil.copyfile(common.ROOT / name, built.folder / name)
    (built.folder / submit.PARTNERS).write_text("A. Student\nB. Student\n")
    grader(built.folder, "submit")
    return built.folder / "submission.zip"


def grader(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-B", "-m", "grader", *arguments], cwd=folder, check=True, stdout=sys.stderr)


def gradescope(folder: Path, quick: bool) -> dict[str, Any]:
    """A container's folders, and in them what run_autograder does."""
    profile, root = "quick" if quick else "full", folder / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(reference(folder)) as zipped:
        zipped.extractall(root / "submission")
    grader(common.ROOT, "gradescope", "--out", str(folder / "autograder.zip"), "--profile", profile)
    with zipfile.ZipFile(folder / "autograder.zip") as zipped:
        zipped.extractall(root / "source")
    (root / "submission_metadata.json").write_text("{}")
    command = [sys.executable, "-B", "-m", "grader", "gradescope", "--run", "--root", str(root)]
    subprocess.run(command, cwd=root / "source" / "package", check=True)
    return left_in(root)


def left_in(root: Path) -> dict[str, Any]:
    """What a finished run has left in the container's folders."""
    shown = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    result = read_result(root / "results" / "graded" / "result.json")
    times = [datetime.fromisoformat(result[name]) for name in ("started", "finished")]
    return dict(described(result), seconds=(times[1] - times[0]).total_seconds(), shown_score=shown["score"])


def flags(folder: Path, quick: bool) -> dict[str, Any]:
    assignment = load_assignment("neuralization-flags")
    began = time.perf_counter()
    result = grade_submission(
        reference(folder), assignment, open_sandbox(), folder / "out", profile="quick" if quick else "full"
    )
    return dict(described(result), seconds=time.perf_counter() - began)


def described(result: dict[str, Any]) -> dict[str, Any]:
    """Of a result what the page needs: stages, accuracies by seed, thresholds."""
    assert result["score"] is not None, result["error"]
    profile = load_assignment(result["assignment"]).profiles[result["profile"]]
    names = ("name", "verdict", "points", "max_points", "seconds", "cpu_seconds", "peak_memory")
    return {
        "level": result["sandbox"]["level"],
        "score": result["score"],
        "budget": dict(profile.values),
        "rubric": [list(pair) for pair in profile.rubrics["tagging"].points],
        "stages": [{name: stage[name] for name in names} for stage in result["stages"]],
        "accuracies": {
            name: [of_seed["accuracy"]["all"] for of_seed in found["per_seed"] if of_seed["accuracy"]]
            for name, found in result["scores"].items()
            if found
        },
    }


def kills(folder: Path, quick: bool) -> dict[str, Any]:
    command = [sys.executable, "tests/test_grade_many.py", str(4 if quick else KILLS)]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {"said": dict(part.rsplit(": ", 1) for part in done.stdout.strip().splitlines()[-1].split(", "))}


# Pages


def stages_table(found: dict[str, Any]) -> str:
    rows = [
        [
            stage["name"],
            f"{stage['points']:g} of {stage['max_points']:g}",
            f"{stage['seconds']:.0f}",
            f"{stage['cpu_seconds']:.0f}",
            f"{stage['peak_memory'] / 1e6:.0f}",
        ]
        for stage in found["stages"]
    ]
    table = common.table(["stage", "points", "seconds", "CPU seconds", "peak memory, MB"], rows)
    lines = [
        f"{name}: {', '.join(f'{100 * value:.2f}' for value in values)} %; mean {100 * statistics.mean(values):.2f}, "
        f"standard deviation {100 * statistics.stdev(values) if len(values) > 1 else 0:.2f}"
        for name, values in found["accuracies"].items()
    ]
    full, values = found["rubric"][-1][0], found["accuracies"]["entest"]
    lines.append(f"full points from {100 * full:.1f} % on, {100 * (statistics.mean(values) - full):.2f} below the mean")
    budget = ", ".join(f"{name} {value}" for name, value in found["budget"].items())
    said = "".join(f"- {line}\n" for line in lines)
    return f"{table}\nAt level {found['level']}, with {budget}. Accuracies by seed:\n\n{said}"


def gradescope_page(found: dict[str, Any]) -> str:
    computing = sum(stage["cpu_seconds"] for stage in found["stages"])
    waiting = found["seconds"] - sum(stage["seconds"] for stage in found["stages"])
    peak = max(stage["peak_memory"] for stage in found["stages"])
    fits = computing + waiting <= 60 * MINUTES and peak <= MEMORY
    return (
        "## The reference on Gradescope\n\n"
        + measured(found)
        + "The hand-out's files with the solutions, so without fast kernels, graded from the contents of "
        f"autograder.zip: {found['shown_score']:g} points, {found['score']:g} %.\n\n"
        + stages_table(found)
        + f"\nThe stages' runs compute for {computing:.0f} s, the grader outside of them takes {waiting:.0f} s, in "
        f"all {computing + waiting:.0f} s for one processor; here, beside others, {found['seconds']:.0f} s from first "
        f"to last. At most {peak / 1e6:.0f} MB in all processes of a run together. "
        f"One CPU, {MEMORY / 1e9:g} GB and {MINUTES} minutes: {'met' if fits else 'missed'}.\n"
    )


def flags_page(found: dict[str, Any]) -> str:
    return (
        "## The original command line\n\n"
        + measured(found)
        + f"The same submission by neuralization-flags.toml: {found['score']:g} % in {found['seconds']:.0f} s.\n\n"
        + stages_table(found)
    )


def kills_page(found: dict[str, Any]) -> str:
    said = ", ".join(f"{name}: {value}" for name, value in found["said"].items())
    return (
        "## Kill -9 of a batch\n\n"
        + measured(found)
        + f"Nothing finished was lost, nothing graded twice, no half file ({said}).\n"
    )


PARTS = {"gradescope": gradescope, "flags": flags, "kills": kills}
PAGES = {"gradescope": gradescope_page, "flags": flags_page, "kills": kills_page}
