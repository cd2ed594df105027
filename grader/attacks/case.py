"""What an attack has at hand: the sandbox, a tiny course that is graded by the real grader, and verdicts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import random
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grader.assignment import Assignment, load_assignment
from grader.errors import StudentFault
from grader.grade import grade_submission
from grader.sandbox import Job, Limits, Outcome, Sandbox, read_output
from grader.secret import VARIABLE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MAJORITY = (HERE.parent / "majority.py").read_text(encoding="utf-8")
LIMITS = Limits(wall=30, cpu=20, memory=256 << 20, processes=40, output=20_000, disk=16 << 20)


class Broken(Exception):
    """The attack got what it wanted."""


class NotRun(Exception):
    """The attack cannot be shown here; the message says why."""


@dataclasses.dataclass(frozen=True)
class Ran:
    """A run of a program: its outcome, and the plain files of at most a megabyte that it left."""

    outcome: Outcome
    files: Mapping[str, bytes]

    @property
    def log(self) -> str:
        return self.outcome.log


def corpus(seed: int, sentences: int) -> list[list[tuple[str, str]]]:
    """Sentences of eight words; four tags, forty words each, and ten words that have two tags."""
    draw = random.Random(seed)
    found = []
    for _ in range(sentences):
        sentence = []
        for _ in range(8):
            tag = draw.choice("DNVP")
            shared = tag in "NV" and draw.random() < 0.6
            number = min(draw.randrange(40), draw.randrange(40))  # some words are frequent, some new
            sentence.append((f"both{number % 10}" if shared else f"{tag.lower()}{number}", tag))
        found.append(sentence)
    return found


def as_text(sentences: Sequence[Sequence[tuple[str, str]]]) -> str:
    return "".join(" ".join(f"{word}/{tag}" for word, tag in sentence) + "\n" for sentence in sentences)


@contextlib.contextmanager
def course() -> Iterator[Assignment]:
    """The tiny course, its gold tags in a secret folder as staff would install them."""
    folder = Path(tempfile.mkdtemp(prefix="neuralization-course-"))
    before = os.environ.get(VARIABLE)
    try:
        (folder / "data").mkdir()
        (folder / "lexicons").mkdir()
        (folder / "secret").mkdir(mode=0o700)
        (folder / "data" / "toysup").write_text(as_text(corpus(1, 300)))
        (folder / "secret" / "toytest").write_text(as_text(corpus(2, 80)))
        os.environ[VARIABLE] = str(folder / "secret")
        yield load_assignment(HERE / "toy.toml", folder)
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        shutil.rmtree(folder)


class Case:
    """One sandbox under attack.

    Attributes:
        gold: the tagged test file of the tiny course, which no submission may ever see.
    """

    def __init__(self, sandbox: Sandbox, assignment: Assignment):
        self.sandbox, self.assignment = sandbox, assignment
        self.gold = Path(os.environ[VARIABLE]) / "toytest"

    def held(self, condition: bool, otherwise: str) -> None:
        """Say that the attack succeeded unless `condition`."""
        if not condition:
            raise Broken(otherwise)

    def run(
        self, code: str, files: Mapping[str, str] | None = None, readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None, **limits: float,
    ) -> Ran:  # fmt: skip
        """Run a program of the attacker's in the sandbox."""
        with self.sandbox.scratch() as folder:
            work = folder / "code"
            work.mkdir()
            for name, text in (files or {}).items():
                (work / name).write_text(text, encoding="utf-8")
            (work / "attack.py").write_text(textwrap.dedent(code), encoding="utf-8")
            job = Job(
                [sys.executable, "attack.py"], work, dataclasses.replace(LIMITS, **limits), readable, environment or {}
            )
            outcome = self.sandbox.run(job)
            left = {}
            for name in sorted(os.listdir(work)):
                with contextlib.suppress(StudentFault):
                    left[name] = read_output(work, name, 1 << 20)
        return Ran(outcome, left)

    def grade(self, files: Mapping[str, str | bytes], wall: float = 1e6) -> dict[str, Any]:
        """Have a submission graded by the real grader; `staff` in the result has the logs that only staff see."""
        with tempfile.TemporaryDirectory(prefix="neuralization-student-") as folder:
            for name, text in files.items():
                target = Path(folder, "submission", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text if isinstance(text, bytes) else text.encode())
            return self.grade_path(Path(folder, "submission"), wall)

    def grade_path(self, path: Path, wall: float = 1e6) -> dict[str, Any]:
        quick = dataclasses.replace(self.assignment.profiles["quick"], wall=wall)
        assignment = dataclasses.replace(self.assignment, profiles={"quick": quick})
        with tempfile.TemporaryDirectory(prefix="neuralization-graded-") as out:
            result = grade_submission(path, assignment, self.sandbox, Path(out), profile="quick")
            logs = [file.read_text() for file in sorted(Path(out).glob("staff/*.log"))]
            self.held(
                json.loads(Path(out, "result.json").read_text())["score"] == result["score"], "the result differs"
            )
        self.held(result["score"] is not None, f"the grader failed: {result['error'].strip()[-200:]}")
        return {**result, "staff": "\n".join(logs)}

    @functools.cached_property
    def honest(self) -> float:
        """Score of the honest submission that the attacks are made from."""
        result = self.grade({"code/tag.py": MAJORITY})
        self.held(result["verdict"] == "ok" and 60 < result["score"] < 99, f"the honest submission: {result['score']}")
        return result["score"]

    def accuracy(self, result: Mapping[str, Any], name: str = "toytest") -> float:
        found = result["scores"].get(name)
        return found["accuracy"]["all"] if found else 0.0


def when_tagging(code: str) -> str:
    """An honest tagger that does this, too, before it tags."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return MAJORITY.replace(
        "def main() -> None:\n", f"import sys\nif '--untagged' in sys.argv:\n{body}\n\ndef main() -> None:\n"
    )


def after_tagging(code: str) -> str:
    """An honest tagger that does this, too, after it has tagged; OUT is the name of its output."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return MAJORITY + f"\nimport sys\nif '--untagged' in sys.argv:\n    OUT = sys.argv[-1]\n{body}\n"
