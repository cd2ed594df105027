"""Looks for solutions, and for what else must not be there, in a folder that goes to students.

A solution leaks in more ways than a forgotten marker: a copy in a docstring, a notebook's output, a compiled file, a
snapshot of a test, the history of git. So every file of the folder is read, whatever its name, and its words are
compared with those of the solutions: a run of NGRAM tokens in common is a leak. Space, line breaks, numbers and quotes
do not count. A body that is shorter than that is looked for whole. Where the same few tokens stand in a file by right,
the build's table of accepted overlaps says so, with the reason.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.strip import WORDS

NGRAM = 16  # tokens; see `tokens`
TOKEN = re.compile(r"[^\W\d]\w*|[()\[\]{}=+*@%<>:,&|~^]")

FORBIDDEN_FOLDERS = {
    ".git", ".hg", ".svn", "__pycache__", ".pytest_cache", ".hypothesis", ".ruff_cache", ".mypy_cache", ".venv", "venv",
    ".ipynb_checkpoints", ".idea", ".vscode",
}  # fmt: skip
# compiled, what tag.py writes, pickles, archives
FORBIDDEN_ENDINGS = (
    ".pyc", ".pyo", ".so", ".o", ".c", ".cpp", ".cu", ".pyd", ".model", ".checkpoint", ".output", ".eval", ".kbest",
    ".samples", ".generated", ".infnet", ".partial", ".pkl", ".pickle", ".pt", ".npz", ".npy", ".zip", ".tar", ".gz",
    ".sqlite", ".orig", ".rej", ".bak", ".swp", ".patch", ".diff", "~",
)  # fmt: skip
FORBIDDEN_NAMES = re.compile(
    r"_fast\b|_compiled\b|test\.words$|(^|/)(en|ptb|ner|pairs)-?test(\.conll)?$|(^|/)\.DS_Store$"
)


@dataclass(frozen=True)
class Leak:
    """Something in `file` that must not be there."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def code_tokens(body: str) -> list[str]:
    """The tokens of a solution without its comments."""
    kept = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(body).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    ]
    return tokens(" ".join(kept))


def fingerprints(bodies: Mapping[str, Iterable[str]], n: int = NGRAM) -> dict[tuple[str, ...], str]:
    """Every run of `n` tokens of the solutions, with and without comments, and whose it is; short bodies whole."""
    runs: dict[tuple[str, ...], str] = {}
    for name, parts in bodies.items():
        for body in parts:
            for sequence in (code_tokens(body), tokens(body)):
                for i in range(max(len(sequence) - n, 0) + 1):
                    runs.setdefault(tuple(sequence[i : i + n]), name)
    return runs


def scan(
    root: Path,
    bodies: Mapping[str, Iterable[str]],
    accepted: Mapping[str, Sequence[str]] | None = None,
    binary: Iterable[str] = (),
) -> list[Leak]:
    """All that must not be in the folder `root`.

    Args:
        bodies: the solutions, by name.
        accepted: by file, pieces of text in it that a solution holds too, by right.
        binary: names of files that need not be text.
    """
    runs, leaks, binary = fingerprints(bodies), [], set(binary)
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        problem = forbidden(path, name)
        if problem:
            leaks.append(Leak(name, problem))
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        text = text_of(data)
        if text is None:
            if name not in binary:
                leaks.append(Leak(name, "is no text, so nobody can see what is in it"))
            text = data.decode("latin-1")
        for piece in (accepted or {}).get(name, ()):
            text = text.replace(piece, "\x00")
        marker = WORDS.search(text)
        if marker:
            leaks.append(Leak(f"{name}:{text[: marker.start()].count(chr(10)) + 1}", f"holds {marker[0]!r}"))
        leaks += [Leak(name, what) for what in overlaps(readable(name, text), runs)]
    return leaks


def forbidden(path: Path, name: str) -> str | None:
    """Why a file or folder of this name must not be there, if so."""
    if path.is_symlink():
        return "is a link"
    if path.name in FORBIDDEN_FOLDERS:
        return "must not be handed out"
    if path.is_file() and path.name.lower().endswith(FORBIDDEN_ENDINGS):
        return "must not be handed out, by its ending"
    if path.is_file() and FORBIDDEN_NAMES.search(re.sub(r"\.py$", "", name)):
        return "must not be handed out, by its name"
    return None


def text_of(data: bytes) -> str | None:
    """UTF-8 text; None for anything else, compiled files and archives among it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def readable(name: str, text: str) -> list[str]:
    """A text in the ways in which one reads it: as it is; the strings of JSON (a notebook's cells) and of Python."""
    ways = [text]
    if text.lstrip()[:1] in ("{", "["):
        try:
            ways.append("\n".join(strings_in(json.loads(text))))
        except ValueError:
            pass
    if name.endswith(".py"):
        tree = ast.parse(text.replace("\x00", "..."), name) if is_python(text) else ast.parse("")
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        ways.append("\n".join(string for string in strings if isinstance(string, str)))
    return ways


def is_python(text: str) -> bool:
    try:
        ast.parse(text.replace("\x00", "..."))
    except (SyntaxError, ValueError):
        return False
    return True


def strings_in(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from strings_in(inner)
    elif isinstance(value, list):
        if value and all(isinstance(line, str) for line in value):
            yield "".join(value)  # the lines of a cell
        else:
            for inner in value:
                yield from strings_in(inner)


def overlaps(texts: Iterable[str], runs: Mapping[tuple[str, ...], str]) -> list[str]:
    """What the texts have in common with the solutions, once for each solution."""
    by_start: dict[str, set[int]] = {}
    for run in runs:
        by_start.setdefault(run[0], set()).add(len(run))
    found: dict[str, str] = {}
    for text in texts:
        sequence = tokens(text)
        for i, token in enumerate(sequence):
            for length in by_start.get(token, ()):
                name = runs.get(tuple(sequence[i : i + length]))
                if name:
                    found.setdefault(name, " ".join(sequence[i : i + length]))
    return [f"has this in common with the solution of {name}: {run}" for name, run in found.items()]
