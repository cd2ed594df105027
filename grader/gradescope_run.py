"""Grade the one submission of a Gradescope container, and keep results.json up to date while that goes on.

The grading is `python -m grader grade` in a process of its own; this one only watches its result file. So a deadline is
kept whatever the grading does, and each finished stage counts even if it is the last. results.json is written at once
and after each stage, by rename. The first one has no score: if the machine dies before the first stage is done,
Gradescope says that the autograder failed, and an older score stays. A fault of the grader takes results.json away.

Gradescope's submission_metadata.json holds names, addresses and old results: it is read here, and no run sees it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic as clock
from typing import Any

from grader.assignment import Stage, load_assignment
from grader.errors import UsageError
from grader.results import ROOT, read_result, write_whole

MARGIN = 60.0  # seconds of the platform's limit that are ours, for starting, ending and writing
POLL = 1.0
PATIENCE = 10.0  # seconds that an interrupted grading has to end what it runs
LONGEST_TEXT = 20_000
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Metadata:
    """What the grader wants of submission_metadata.json. Times are None where Gradescope gives none.

    Attributes:
        previous: earlier submissions that have a score, in the order of their times: when, and the score.
    """

    created_at: datetime | None
    due: datetime | None
    previous: tuple[tuple[datetime, float], ...]

    @property
    def late_days(self) -> int:
        """Days begun after the due date."""
        if not self.created_at or not self.due or self.created_at <= self.due:
            return 0
        return math.ceil((self.created_at - self.due) / DAY)

    def in_last_day(self, limit: int) -> list[tuple[datetime, float]]:
        """Graded submissions of the 24 hours before this one: by its own time, so that a rerun finds the same.

        Those that were refused have a score too, the one that stayed; Gradescope tells of the latest only that it was.
        So the rule is applied to them again, from the first on: which of them it let through is what it was then.
        """
        if not self.created_at:
            return []

        def day_before(time: datetime) -> list[tuple[datetime, float]]:
            return [entry for entry in graded if time - DAY < entry[0] < time]

        graded: list[tuple[datetime, float]] = []
        for entry in self.previous:
            if len(day_before(entry[0])) < limit:
                graded.append(entry)
        return day_before(self.created_at)


def read_metadata(path: Path) -> Metadata:
    """The metadata; empty where there are none, or none that can be read."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raw = {}
    raw = raw if isinstance(raw, dict) else {}
    assignment = raw.get("assignment") if isinstance(raw.get("assignment"), dict) else {}
    previous = []
    for entry in raw.get("previous_submissions") or ():
        when, score = read_time(entry.get("submission_time")), read_score(entry.get("score"))
        if when and score is not None and not entry.get("autograder_error"):
            previous.append((when, score))
    return Metadata(
        read_time(raw.get("created_at")),
        read_time(assignment.get("due_date")),
        tuple(sorted(previous)),
    )


def read_time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def read_score(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def grade_here(root: Path) -> int:
    """Grade root/submission and write root/results/results.json."""
    began = clock()
    try:
        config = json.loads((ROOT / "gradescope.json").read_text(encoding="utf-8"))
    except OSError:
        raise UsageError("--run is for the container of an autograder.zip; make that by --out") from None
    metadata = read_metadata(root / "submission_metadata.json")
    private = [root / "results", root / "submission", root / "source", root / "submission_metadata.json"]
    for path in private:
        close(path)
    (root / "results").mkdir(mode=0o700, exist_ok=True)
    results = root / "results" / "results.json"
    write(results, {"output": "Grading has begun; no stage is done yet.", "tests": []})
    recent = metadata.in_last_day(config["per_day"])
    if config["per_day"] and len(recent) >= config["per_day"]:
        write(results, refusal(config["per_day"], recent))
        return 0
    out = root / "results" / "graded"
    command = [
        sys.executable, "-m", "grader", "grade", str(root / "submission"), "--out", str(out),
        "--assignment", config["assignment"], "--profile", config["profile"],
    ]  # fmt: skip
    if metadata.created_at:
        command += ["--submitted-at", metadata.created_at.isoformat()]
    stages = load_assignment(config["assignment"]).stages

    def render(result: dict[str, Any], final: bool = False, late: bool = False) -> None:
        seconds = clock() - began
        write(results, report(result, stages, metadata, config["hidden"], seconds, final, late))

    in_time, status = watch(command, out / "result.json", began + config["deadline"] - MARGIN, render)
    result = read_result(out / "result.json")
    if in_time and (status != 0 or not result or result["score"] is None):
        results.unlink(missing_ok=True)  # the grader's fault, or this machine's: no score
        print(
            f"no score: {result['error'] if result else 'there is no result'} (exit status {status})", file=sys.stderr
        )
        return 3
    render(result or {}, final=True, late=not in_time)
    return 0


def close(path: Path) -> None:
    """Nobody but the owner may look into it."""
    if path.exists():
        path.chmod(0o700 if path.is_dir() else 0o600)


def watch(
    command: Sequence[str], file: Path, deadline: float, changed: Callable[[dict[str, Any]], None]
) -> tuple[bool, int]:
    """Run the grading and tell of every new version of its result, until it ends or the deadline (monotonic) is there.

    Returns:
        Whether it ended by itself, and its exit status.
    """
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    seen = 0
    while True:
        try:
            status = process.wait(timeout=max(0.0, min(POLL, deadline - clock())))
        except subprocess.TimeoutExpired:
            status = None
        modified = file.stat().st_mtime_ns if file.exists() else 0
        if modified != seen:
            seen = modified
            result = read_result(file)
            if result and result["stages"]:
                changed(result)
        if status is not None:
            return True, status
        if clock() >= deadline:
            return False, stop(process)


def stop(process: subprocess.Popen) -> int:
    """Interrupt the grading, which ends what it runs; then make sure."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


# results.json


def write(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(content, ensure_ascii=True, allow_nan=False, indent=1) + "\n")


def refusal(limit: int, recent: Sequence[tuple[datetime, float]]) -> dict[str, Any]:
    """The results of a submission too many: the last score stays."""
    again = (recent[-limit][0] + DAY).isoformat(timespec="minutes")
    return {
        "score": recent[-1][1],
        "output": f"Not graded: at most {limit} submissions are graded in 24 hours, the next from {again} on. "
        "The score is that of your last graded submission.",
        "tests": [],
        "extra_data": {"not_graded": True},
    }


def report(
    result: Mapping[str, Any],
    stages: Sequence[Stage],
    metadata: Metadata,
    hidden: str,
    seconds: float,
    final: bool,
    late: bool,
) -> dict[str, Any]:
    """A result so far, or final, in Gradescope's form.

    Args:
        result: what the grader wrote; empty if it wrote nothing.
        stages: all of the assignment, also those that were not reached.
        hidden: the visibility of hidden stages.
        late: the deadline ended it.
    """
    done = {entry["name"]: entry for entry in result.get("stages", ())}
    tests: list[dict[str, Any]] = []
    for stage in stages:
        visibility = hidden if stage.hidden else "visible"
        if stage.name in done:
            tests += of_stage(done[stage.name], stage, visibility)
        elif final:
            why = "not reached: the time was over" if late else "not reached"
            tests.append(entry_of(stage.title, 0.0, stage.points, why, visibility))
    lines = list(result.get("notes", ()))
    if metadata.late_days:
        lines.append(f"Handed in {metadata.late_days} day(s) late.")
    if late:
        lines.append("The time limit ended the grading; the stages that were done count.")
    if not final:
        lines.append("Grading goes on.")
    sandbox = result.get("sandbox", {})
    content = {
        "score": round(sum(test["score"] for test in tests), 2),
        "execution_time": round(seconds),
        "output": "\n".join(lines),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "sandbox": sandbox,
            "key": result.get("key"),
            "seeds": result.get("seeds"),
            "versions": result.get("versions"),
            "flags": result.get("flags"),
            "late_days": metadata.late_days,
            "profile": result.get("profile"),
        },
    }
    board = leaderboard(result, stages)
    if board and sandbox.get("level") != "none":
        content["leaderboard"] = board
    return content


def of_stage(entry: Mapping[str, Any], stage: Stage, visibility: str) -> list[dict[str, Any]]:
    """A stage as tests: of a unit stage each test, of any other one."""
    points, said = entry["details"].get("points"), entry["details"].get("tests", {})
    if not isinstance(points, Mapping):
        text = entry["message"] + (f"\n\n{entry['log']}" if entry["log"] and entry["verdict"] != "ok" else "")
        return [entry_of(entry["title"], entry["points"], entry["max_points"], text, visibility, entry["verdict"])]
    return [
        entry_of(
            f"{entry['title']}: {test.name}",
            points.get(test.name, 0.0),
            test.points,
            said.get(test.name, entry["message"]),
            visibility,
        )
        for test in stage.tests
    ]


def entry_of(
    name: str, score: float, max_score: float, output: str, visibility: str, verdict: str | None = None
) -> dict[str, Any]:
    """One test. It passed if it has all its points; one that gives none, if its verdict is ok."""
    passed = score >= max_score if max_score else verdict in (None, "ok")
    return {
        "name": name,
        "score": round(score, 2),
        "max_score": max_score,
        "status": "passed" if passed else "failed",
        "output": output[:LONGEST_TEXT],
        "output_format": "text",
        "visibility": visibility,
    }


def leaderboard(result: Mapping[str, Any], stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Columns of Gradescope's board: accuracy on the public text, in per cent with one decimal."""
    board = next((stage for stage in stages if stage.kind == "leaderboard"), None)
    scores = (result.get("scores") or {}).get(board.gold) if board else None
    if not scores:
        return []
    columns = [(f"{board.gold} %", "all"), ("known %", "known"), ("seen %", "seen"), ("novel %", "novel")]
    found = [(title, scores["accuracy"].get(name)) for title, name in columns]
    return [
        {"name": title, "value": round(100 * value, 1), "order": "desc"} for title, value in found if value is not None
    ]
