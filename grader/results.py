"""What a grading leaves behind: result.json, its restart key, and a parser for JSON that a submission wrote.

`score` is the percentage of all points (0 to 100), or None where the grader, not the submission, is at fault. A file
appears under its name whole or not at all, and a grader fault never takes the place of an older score.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from grader.errors import VERDICTS, StudentFault

FORMAT = 1
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
# Worst last: the verdict of a submission is the worst of its stages'.
SEVERITY = (
    "ok",
    "wrong_answer",
    "missing_file",
    "crash",
    "bad_output",
    "output_limit",
    "memory",
    "timeout",
    "violation",
)
assert set(SEVERITY) == set(VERDICTS)
# What a score depends on. The rest of the package (the hand-out, the leaderboard, the attacks) may change without it.
SCORING_FILES = ("*.py", "stages/*.py", "sandbox/*.py")
NO_SCORING_FILES = (
    "__main__.py", "handout.py", "strip.py", "leaks.py", "proofs.py", "fresh.py", "majority.py", "outcomes.py",
    "secret.py", "gradescope.py", "gradescope_run.py", "submit.py", "check.py",
)  # fmt: skip


def worst(verdicts: Iterable[str]) -> str:
    return max(verdicts, key=SEVERITY.index, default="ok")


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def plain(value: Any) -> Any:
    """The value as JSON can have it: no nan, no inf, no numpy scalars, no tuples."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that appears under its name only when it is complete and on the disk."""
    data = content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.{id(content):x}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_result(path: Path) -> dict[str, Any] | None:
    """A result that `save` wrote; None where there is none, or none that is whole."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("format") == FORMAT else None


def finished(result: Mapping[str, Any] | None) -> bool:
    """Whether this is the end of a grading: a score, and no more stages to come."""
    return bool(result) and result.get("finished") is not None and result.get("score") is not None


def save(out: Path, result: Mapping[str, Any]) -> Path:
    """Write the result, so far or final, into its folder; return the file.

    An older finished result stays `result.json` until the new one is finished too, and is then kept under the name of
    its key. Until then, and for good where the grader is at fault, the new one is `unfinished.json`.
    """
    target, waiting = out / "result.json", out / "unfinished.json"
    text = json.dumps(plain(result), ensure_ascii=True, allow_nan=False, indent=1) + "\n"
    old = read_result(target)
    if finished(old) and not finished(result):
        write_whole(waiting, text)
        return waiting
    if finished(old) and (old["key"], old["started"]) != (result["key"], result["started"]):
        kept = out / f"result-{old['key'][:12]}-{old['finished'].translate({ord(c): None for c in '-:+'})}.json"
        if not kept.exists():
            os.link(target, kept)  # so that there is a result.json at every moment
    write_whole(target, text)
    waiting.unlink(missing_ok=True)
    return target


# What a result depends on


def digest(parts: Iterable[bytes | str]) -> str:
    """SHA-256 of a sequence: each part counts by its own hash, so that no two sequences share their bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return total.hexdigest()


@cache
def grader_version() -> str:
    """The hash of the source files that a score depends on."""
    files = sorted({path for pattern in SCORING_FILES for path in PACKAGE.glob(pattern)})
    kept = [path for path in files if path.name not in NO_SCORING_FILES]
    return digest(part for path in kept for part in (path.relative_to(PACKAGE).as_posix(), path.read_bytes()))


@cache
def _file_digest(path: Path, size: int, modified: int) -> str:
    return digest([path.read_bytes()])


def files_digest(paths: Iterable[Path]) -> str:
    """The hash of the contents of files, in this order."""
    return digest(_file_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def restart_key(submission: str, data: str, assignment: str, profile: str, seed: int) -> str:
    """Same key, same score: what was graded under it need not be graded again."""
    return digest([submission, grader_version(), data, assignment, profile, str(seed)])


@cache
def versions() -> dict[str, str]:
    """What ran: for telling why a score of another machine differs in its last digit."""
    found = {"grader": grader_version()[:16], "python": platform.python_version(), "platform": sys.platform}
    for package in ("torch", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    model = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    found["cpu"] = model[0] if model else platform.machine()
    found["vectors"] = next((name for name in ("avx512f", "avx2") if name in flags), "plain")
    return found


# JSON from the other side


def parse_json(data: bytes, what: str = "the output", depth: int = 16) -> Any:
    """JSON that a submission wrote: objects, arrays, strings, finite numbers, and not too deep.

    Raises:
        StudentFault: bad_output; anything else, duplicate keys, numbers beyond a float, more digits than a number has.
    """

    def bad(why: str) -> StudentFault:
        return StudentFault("bad_output", f"{what} is no valid JSON: {why}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise bad("a key occurs twice")
        return found

    def number(kind: type, longest: int) -> Any:
        def parse(text: str) -> Any:
            if len(text) > longest:
                raise bad("a number of too many digits")
            value = kind(text)
            if not math.isfinite(value):
                raise bad("a number out of range")
            return value

        return parse

    def constant(text: str) -> Any:
        raise bad(f"{text} is no number")

    level = deepest = 0
    inside = escaped = False
    for byte in data:  # before the parser, which recurses
        if inside:
            inside, escaped = escaped or byte != 0x22, not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    if deepest > depth:
        raise bad("nested too deep")
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant,
            parse_int=number(int, 19), parse_float=number(float, 40),
        )  # fmt: skip
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise bad("it does not parse") from None
