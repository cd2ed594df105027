"""From a grader's result.json to what the board keeps of it; what the board does not take, and why.

The board takes only what this grader has trained and scored itself: a result of a sandbox of level A, B or C, of the
full profile, with a training stage that left a model wherever there are scores. A student's fault (a crash, a time-out)
is kept too: it has no score, is never listed, and lets the student see what happened. A grader's fault is not a
result: it is refused, and what the board has of that submission stays as it is.

Kept are the numbers, the stages with their messages and logs, and the hash of the submission; not its name.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from grader.errors import UsageError

SETS = ("endev", "entest", "twin")
CLASSES = ("all", "known", "seen", "novel")
LEVELS = ("A", "B", "C")
GRADER_FAULTS = ("grader_error", "sandbox_unavailable")
LARGEST = 64 << 20  # bytes of a result.json
LONGEST_LOG = 64 << 10  # characters kept of a stage's log


class Refused(Exception):
    """A good result file whose result has no place on the board."""


@dataclass(frozen=True)
class Score:
    """One set's. `accuracy` maps all, known, seen, novel to a fraction (None: no such token); `confusion` gold to
    predicted to count."""

    accuracy: dict[str, float | None]
    correct: np.ndarray
    tokens: np.ndarray
    confusion: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Result:
    """What the board keeps of a result file; `submission` is used for the handle and then forgotten."""

    key: str
    assignment: str
    submission: str
    sha256: str
    submitted: datetime | None
    started: datetime
    finished: datetime
    verdict: str
    scores: dict[str, Score]
    body: dict[str, Any]


def parse_time(text: str, what: str) -> datetime:
    """An ISO time with its zone, in UTC.

    Raises:
        UsageError: it is none, or has no zone.
    """
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        raise UsageError(f"{what} {text!r} is no time like 2026-11-30T23:59:00-05:00") from None
    if time.tzinfo is None:
        raise UsageError(f"{what} {text!r} has no time zone: write 2026-11-30T23:59:00-05:00, or ...Z for UTC")
    return time.astimezone(timezone.utc)


def read_result(path: Path) -> Result:
    """The result in a file.

    Raises:
        UsageError: it cannot be read, or is no result of the grader; the message names the file.
        Refused: it is one, and has no place on the board.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path}: over {LARGEST >> 20} MB, that is no result of the grader")
        data = json.loads(path.read_bytes(), parse_constant=lambda name: None)  # NaN is a missing number
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: no JSON") from None
    try:
        return parse_result(data)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path}: no result of the grader: {what}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def parse_result(data: dict[str, Any]) -> Result:
    if not isinstance(data, dict) or data.get("format") != 1:
        raise ValueError("its format is not 1")
    verdict, level = data["verdict"], (data.get("sandbox") or {}).get("level")
    if verdict in GRADER_FAULTS:
        raise Refused(f"a fault of the grader ({verdict}), not a result")
    if not data.get("finished") or data.get("score") is None:
        raise Refused("the grading has not finished")
    if level not in LEVELS:
        raise Refused(f"it did not run in a sandbox of level {', '.join(LEVELS)} (level: {level})")
    if data["profile"] != "full":
        raise Refused(f"graded by the {data['profile']} profile; the board takes the full one")
    scores = {name: parse_score(name, data["scores"][name]) for name in SETS if (data.get("scores") or {}).get(name)}
    stages = [parse_stage(stage) for stage in data["stages"]]
    if scores and not any(stage["kind"] == "training" and trained(stage) for stage in stages):
        raise Refused("it has scores, but not of a model that the grader trained")
    times = {name: parse_time(data[name], name) for name in ("started", "finished", "submitted_at") if data.get(name)}
    body = {
        "stages": stages,
        "confusion": {name: score.confusion for name, score in scores.items()},
        "level": level,
        **{name: data.get(name) for name in ("score", "points", "max_points", "notes", "flags", "seeds")},
    }
    texts = {"key": data["key"], "assignment": data["assignment"], "submission": data["submission"]}
    if not all(isinstance(text, str) and text for text in (*texts.values(), verdict)):
        raise ValueError("its key, assignment, submission and verdict should be texts")
    return Result(
        **texts, sha256=str(data["files"]["sha256"]), submitted=times.get("submitted_at"), started=times["started"],
        finished=times["finished"], verdict=verdict, scores=scores, body=body,
    )  # fmt: skip


def trained(stage: dict[str, Any]) -> bool:
    """Whether a training stage has left a model: of one seed at least, then the others count as nothing right."""
    return stage["verdict"] == "ok" or (stage["points"] or 0) > 0


def parse_stage(stage: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: finite(stage.get(name)) for name in ("points", "max_points", "seconds")}
    texts = {name: str(stage.get(name) or "") for name in ("name", "kind", "verdict", "message")}
    texts["name"] = str(stage.get("title") or texts["name"])
    log = str(stage.get("log") or "")
    cut = log[:LONGEST_LOG] + ("\n[cut here]" if len(log) > LONGEST_LOG else "")
    return {**numbers, **texts, "log": cut, "hidden": bool(stage.get("hidden", True))}


def parse_score(name: str, data: dict[str, Any]) -> Score:
    accuracy = {kind: finite(data["accuracy"].get(kind)) for kind in CLASSES}
    correct, tokens = np.array(data["correct_by_sentence"], float), np.array(data["tokens_by_sentence"], float)
    if correct.ndim != 1 or correct.shape != tokens.shape or not len(tokens):
        raise ValueError(f"{name}: correct_by_sentence and tokens_by_sentence should be lists of one length")
    if not ((0 <= correct).all() and (correct <= tokens).all() and (tokens >= 1).all()):
        raise ValueError(f"{name}: a sentence has more correct tokens than tokens, or none at all")
    if not all(0 <= value <= 1 for value in accuracy.values() if value is not None):
        raise ValueError(f"{name}: an accuracy is not between 0 and 1")
    confusion = {
        str(gold): {str(predicted): int(count) for predicted, count in row.items() if int(count) > 0}
        for gold, row in (data.get("confusion") or {}).items()
    }
    return Score(accuracy, correct, tokens, confusion)


def finite(number: Any) -> float | None:
    """A number as it is; None for anything that is no finite number."""
    good = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    return float(number) if good else None
