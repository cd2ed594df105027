"""A student's first day: a new environment, the hand-out and nothing else, and the commands that the hand-out names.

    python -m grader handout --out DIR --new-environment

The environment is made by the hand-out's own Makefile from its requirements.txt: pip needs its index, as a student's
does. Then, with the solutions put in: the command behind `make tag`, shortened by --max_steps, tags endev; the command
of INSTRUCTIONS.md runs the tests of one task; `make check` and `make submit` end well. This environment's programs
are not on the path of any of that.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from grader.proofs import Unproved

SHORT = "--max_steps 5000 --eval_interval 5000"
OWN = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "CONDA", "MAKE", "MFLAGS", "OUTCOMES", "NEURALIZATION")


class Student:
    """A copy of the hand-out, solutions in, on a machine where nothing was installed yet."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "partners.txt").write_text("A. Student\n", encoding="utf-8")

    def proofs(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("a new environment", self.environment),
            ("a new environment: it trains and tags", self.tag),
            ("a new environment: tests of one task", self.tests),
            ("a new environment: make check", self.check),
            ("a new environment: make submit", self.submit),
        ]

    def run(self, command: str) -> str:
        """What a command line prints, in the hand-out's folder. Raises Unproved if it ends badly."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        ours = (
            {str(Path(sys.prefix) / "bin"), str(Path(sys.executable).parent)} if sys.prefix != sys.base_prefix else ()
        )
        kept["PATH"] = os.pathsep.join(part for part in os.get_exec_path() if part not in ours)
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=kept, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode:
            words = "\n".join(done.stdout.splitlines()[-10:])
            raise Unproved(f"{command}: exit status {done.returncode}\n{words}")
        return done.stdout

    def environment(self) -> str:
        if (self.folder / ".venv").exists():
            raise Unproved("the hand-out holds a .venv")
        self.run("make .venv/ready")
        listed = self.run(".venv/bin/python -m pip list --format=freeze --disable-pip-version-check").split()
        torch = next((entry for entry in listed if entry.startswith("torch==")), "no torch")
        return f"{len(listed)} packages by make, {torch}"

    def tag(self) -> str:
        """By the command that `make tag` would run, and a shorter training."""
        command = self.run("make --silent --dry-run tag").strip()
        said = self.run(f"{command} {SHORT}")
        accuracy = re.search(r"^accuracy +all ([\d.]+%)", said, flags=re.MULTILINE)
        if not accuracy:
            raise Unproved(f"{command}: prints no accuracy\n{said[-500:]}")
        words, tagged = tokens(self.folder / "data/endev"), [tokens(f) for f in self.folder.glob("code/*_endev.output")]
        if [len(found) for found in tagged] != [len(words)]:
            raise Unproved(f"{command}: leaves {len(tagged)} taggings of endev, with {list(map(len, tagged))} tokens")
        return f"{len(words)} tokens of endev, {accuracy[1]} right, by {command} {SHORT}"

    def tests(self) -> str:
        """By the line of INSTRUCTIONS.md that shows how."""
        told = (self.folder / "INSTRUCTIONS.md").read_text(encoding="utf-8")
        command = re.search(r"^python (-m pytest -q -m task_\w+)$", told, flags=re.MULTILINE)
        if not command:
            raise Unproved("INSTRUCTIONS.md does not say how to run the tests of a task")
        said = self.run(f".venv/bin/python {command[1]}")
        passed = re.search(r"^(\d+) passed", said, flags=re.MULTILINE)
        if not passed:
            raise Unproved(f"python {command[1]}: {said.splitlines()[-1:]}")
        return f"{passed[1]} passed, by python {command[1]}"

    def check(self) -> str:
        said = self.run("make check").splitlines()
        if said[-1:] != ["All is well so far."]:
            raise Unproved("\n".join(said[-10:]))
        return "; ".join(line.strip() for line in said[-4:-2])

    def submit(self) -> str:
        said = self.run("make submit").splitlines()
        warned = [line for line in said if line.startswith("warning")]
        if warned or not (self.folder / "submission.zip").is_file():
            raise Unproved("\n".join(warned or said[-10:]))
        return said[-1]


def tokens(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()
