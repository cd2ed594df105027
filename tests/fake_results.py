"""Result files as the grader writes them, of made-up submissions: for the tests of the leaderboard, and to look at its
pages (`python tests/fake_results.py DIR` writes a class)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

TAGS = list("CDEFIJMNPRTUVW") + ["``", "''", ",", ".", ":", "$"]
START = datetime(2026, 11, 2, 14, 30, tzinfo=timezone.utc)
SETS = ("endev", "entest", "twin")
STAGES = {"unit tests": "unit", "training": "training", "tagging entest": "tagging", "leaderboard": "leaderboard"}
LOG = "epoch 1: cross-entropy 0.41\nepoch 2: cross-entropy 0.22\nepoch 3: cross-entropy 0.19\n"


def lengths(name: str, sentences: int) -> np.ndarray:
    """Tokens of each sentence; entest and its twin are the same sentences."""
    kind = SETS.index(name) if name != "twin" else SETS.index("entest")
    return np.random.default_rng(kind).integers(3, 32, sentences)


def chances(tokens: np.ndarray, accuracy: float) -> np.ndarray:
    """That a token of each sentence is right: hard and easy sentences, of that accuracy on the whole."""
    hardness = np.random.default_rng(9).normal(0, 0.8, len(tokens))
    low, high = -20.0, 20.0
    for _ in range(50):
        chance = 1 / (1 + np.exp(hardness - (low + high) / 2))
        below = (chance * tokens).sum() / tokens.sum() < accuracy
        low, high = ((low + high) / 2, high) if below else (low, (low + high) / 2)
    return chance


def score(name: str, accuracy: float, seed: int, sentences: int = 640) -> dict[str, Any]:
    """One set's scores: each token right with about that probability; some sentences are harder, for everyone."""
    chance, tokens = np.random.default_rng([seed, SETS.index(name)]), lengths(name, sentences)
    correct = chance.binomial(tokens, chances(tokens, accuracy))
    wrong = int(tokens.sum() - correct.sum())
    share = chance.dirichlet(np.linspace(3, 0.3, len(TAGS)))
    confusion = {tag: {tag: int(count)} for tag, count in zip(TAGS, chance.multinomial(correct.sum(), share))}
    for gold, count in zip(TAGS, chance.multinomial(wrong, share)):
        taken = chance.multinomial(count, chance.dirichlet(np.full(len(TAGS) - 1, 0.3)))
        others = [tag for tag in TAGS if tag != gold]
        confusion[gold] |= {tag: int(n) for tag, n in zip(others, taken) if n}
    total = correct.sum() / tokens.sum()
    return {
        "accuracy": {"all": total, "known": min(1.0, total + 0.012), "seen": total - 0.03, "novel": total - 0.12},
        "correct_by_sentence": correct.tolist(),
        "tokens_by_sentence": tokens.tolist(),
        "confusion": confusion,
        "per_seed": [total],
    }


def stage_of(name: str, kind: str, verdict: str) -> dict[str, Any]:
    good = verdict == "ok"
    return {
        "name": name, "kind": kind, "verdict": verdict, "points": 25.0 * good, "max_points": 25.0, "details": {},
        "hidden": kind == "tagging", "message": "done" if good else "training ended with an error",
        "log": "secret words" if kind == "tagging" else LOG,
        "seconds": 41.5, "cpu_seconds": 41.0, "peak_memory": 400 << 20,
    }  # fmt: skip


def result(
    name: str = "alice.zip",
    accuracy: float | Mapping[str, float] | None = 0.95,
    number: int = 0,
    submitted: datetime | None = None,
    sentences: int = 640,
    **changes: Any,
) -> dict[str, Any]:
    """A result.json.

    Args:
        accuracy: of all sets, or of each; None: training crashed.
        number: gives the submission its bytes and its luck.
    """  # fmt: skip
    submitted = submitted or START + timedelta(hours=number)
    of_set = accuracy if isinstance(accuracy, Mapping) else dict.fromkeys(SETS, accuracy)
    verdict = "ok" if accuracy is not None else "crash"
    stages = [stage_of(stage, kind, verdict if kind == "training" else "ok") for stage, kind in STAGES.items()]
    digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
    scores = {} if accuracy is None else {n: score(n, value, number, sentences) for n, value in of_set.items()}
    points, minutes = 100.0 if scores else 75.0, lambda number: (submitted + timedelta(minutes=number)).isoformat()
    return {
        "format": 1, "key": digest[::-1], "submission": name, "assignment": "neuralization", "profile": "full",
        "verdict": verdict, "score": points, "points": points, "max_points": 100.0, "stages": stages, "scores": scores,
        "sandbox": {"level": "A", "probes": []}, "notes": ["the shipped entest is public: install a secret one"],
        "submitted_at": minutes(0), "started": minutes(1), "finished": minutes(4), "seeds": [0],
        "versions": {"torch": "2.13.0"}, "files": {"sha256": digest},
    } | changes  # fmt: skip


def write(folder: Path, data: Mapping[str, Any], name: str = "result.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def write_class(folder: Path, students: int = 14) -> None:
    """A class after three weeks: students who improve, one who crashes, one who knows entest by heart."""
    chance = np.random.default_rng(7)
    for student in range(students):
        best = chance.uniform(0.925, 0.972)
        for run in range(int(chance.integers(1, 9))):
            made = START + timedelta(days=1.7 * run + float(chance.uniform(0, 1)), hours=student)
            level = best - 0.05 * np.exp(-run / 1.5) + chance.normal(0, 0.002)
            accuracy: Any = {"endev": level, "entest": level - 0.004, "twin": level - 0.006}
            if student == 3:
                accuracy |= {"entest": 0.999, "twin": 0.93}
            if chance.uniform() < 0.12:
                accuracy = None
            data = result(f"student{student}.zip", accuracy, 100 * student + run, made)
            write(folder / f"student{student}-{run}", data)
    for name, level in (("majority", 0.888), ("handout", 0.941), ("reference", 0.9645)):
        write(folder.with_name("baselines") / name, result(name, level, 9000 + len(name), START - timedelta(days=3)))


if __name__ == "__main__":
    write_class(Path(sys.argv[1]) / "students")
