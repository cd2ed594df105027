"""What the experiments share: running tag.py and measuring it, saying on what machine, writing tables.

Run as a program this file is a launcher: `python common.py FILE ...` is `python tag.py ...`, and leaves in FILE the
most memory that it took. Nothing here imports torch, so that the launcher adds nothing to what it measures.

To import this file puts code/ on the path and readies the process as tag.py does, so it comes before torch.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CODE, DATA, LEXICONS, WRITEUP = ROOT / "code", ROOT / "data", ROOT / "lexicons", ROOT / "writeup"
sys.path.insert(0, str(CODE))

import runtime  # noqa: E402, F401

QUICK_SENTENCES = {"ensup": 200, "endev": 50, "enraw": 50, "ptbsup": 200, "ptbdev": 50}
QUICK_FETCHED = {"ewtsup": 200, "ewtdev": 50}  # of corpora that may not be there
QUICK_ROWS = 1000  # of each lexicon


# Running tag.py


class RunError(RuntimeError):
    """tag.py did not end well; says what its last line was."""


@dataclass(frozen=True)
class Run:
    """One run of tag.py.

    Attributes:
        metrics: what --metrics wrote.
        output: the tagging.
        peak_memory: bytes of main memory at most; None where the system does not tell.
    """

    metrics: dict[str, Any]
    output: Path
    peak_memory: int | None


def run_tag(arguments: Sequence[str], folder: Path, stem: str) -> Run:
    """`python tag.py ARGUMENTS` as a process of its own, in a folder where its files go, named after `stem`.

    A corpus or lexicon that is in the folder comes before the one that is shipped.

    Raises:
        RunError: its exit status was not 0.
    """
    memory = folder / f"{stem}.memory"
    files = ["--save", f"{stem}.model", "-o", f"{stem}.output", "-e", f"{stem}.eval", "--metrics", f"{stem}.json"]
    command = [sys.executable, str(Path(__file__).resolve()), str(memory), *arguments, *files, "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
        raise RunError(f"tag.py {shlex.join(arguments)}: exit status {done.returncode}: {last}")
    metrics = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    return Run(metrics, folder / f"{stem}.output", json.loads(memory.read_text()))


def launch(report: str, arguments: Sequence[str]) -> None:
    """Be tag.py."""
    sys.argv = ["tag.py", *arguments]
    try:
        runpy.run_path(str(CODE / "tag.py"), run_name="__main__")
    finally:
        Path(report).write_text(json.dumps(peak_memory()))


def peak_memory() -> int | None:
    """The most main memory that this process ever held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent too, as it was when it started this process
        lines = status.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def small_data(folder: Path) -> None:
    """The first lines of the corpora and lexicons, under their own names: runs in this folder are over in seconds."""
    fetched = {name: sentences for name, sentences in QUICK_FETCHED.items() if (DATA / name).exists()}
    for name, sentences in {**QUICK_SENTENCES, **fetched}.items():
        (folder / name).write_text("".join(first_lines(DATA / name, sentences)), encoding="utf-8")
    for path in LEXICONS.glob("*-*.txt"):
        header, *rows = first_lines(path, QUICK_ROWS + 1)
        (folder / path.name).write_text("".join([f"{len(rows)} {header.split()[1]}\n", *rows]), encoding="utf-8")


def first_lines(path: Path, count: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [line for line, _ in zip(file, range(count))]


def find(name: str, *folders: Path) -> Path:
    """The file of this name in the first folder that has one."""
    return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)


# The machine


def machine(threads: int) -> dict[str, Any]:
    """What the measured times depend on.

    Args:
        threads: that torch computes with.
    """
    return dict(
        cpu=cpu_model(),
        cores=cores(),
        torch_threads=threads,
        torch=importlib.metadata.version("torch"),
        python=platform.python_version(),
        system=platform.system(),
    )


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """The load average of the last minute: above 0 before a measurement, the machine was not quiet."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def describe_machine(of: Mapping[str, Any]) -> str:
    return (
        f"{of['cpu']}, {of['cores']} cores, {of['system']}, Python {of['python']}, "
        f"torch {of['torch']} on {of['torch_threads']} threads"
    )


# Writing


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A markdown table; the first `left` columns are set left, the others right."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Indented, but a list of numbers on one line."""
    text = json.dumps(value, indent=1)
    write_text(path, re.sub(r"\[[-\d.,e\s]*\]", lambda match: " ".join(match[0].split()), text) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is none, or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
