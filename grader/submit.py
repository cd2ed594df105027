"""Make the zip that you hand in, and refuse what the grader would refuse.

    python -m grader submit

It holds all *.py of code/, partners.txt (the names of all who worked on this, one a line) and, where there is a folder
models/, the models in it that are plain numbers (safetensors): for people to look at, no graded run sees them. The same
files make the same bytes.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from grader.assignment import DEFAULT, Assignment, load_assignment
from grader.errors import StudentFault, UsageError
from grader.results import ROOT, write_whole
from grader.submission import JUNK, Submission, printable, unpack

PARTNERS = "partners.txt"
MOST_PARTNERS = 2
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member, so that the time of day does not change the bytes
TO_WRITE = re.compile(r'raise NotImplementedError\(\s*"(task_\w+): write ([\w.]+)')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("submission.zip"), metavar="FILE", help="(submission.zip)")
    parser.add_argument("--folder", type=Path, default=ROOT, metavar="DIR", help="where code/ is (this package)")
    parser.add_argument("--assignment", default=str(DEFAULT), help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    assignment = load_assignment(args.assignment)
    files = collect(args.folder, assignment)
    files[PARTNERS] = partners(args.folder / PARTNERS)
    data = archive(files)
    inspect(data, assignment)
    for warning in warnings(files):
        print(f"warning: {warning}")
    try:
        write_whole(args.out, data)
    except OSError as error:
        raise UsageError(f"{args.out}: {error.strerror}") from None
    for name, content in sorted(files.items()):
        print(f"{len(content):>12,}  {name}")
    print(
        f"{args.out}: {len(files)} files, {len(data) / 1e6:.2f} MB of at most {assignment.layout.archive_bytes >> 20}"
    )
    return 0


def collect(folder: Path, assignment: Assignment) -> dict[str, bytes]:
    """Code and models of a submission by their names in it, in order.

    Raises:
        UsageError: there is no code/, or one of the files must not be handed in; says which.
    """
    code = folder / "code"
    if not code.is_dir():
        raise UsageError(f"{folder}: there is no folder code/ in it")
    files = {}
    for path in sorted(code.rglob("*")):
        name = path.relative_to(code).as_posix()
        wanted = any(fnmatch.fnmatchcase(name, pattern) for pattern in assignment.layout.keep)
        if wanted and not any(fnmatch.fnmatchcase(part, pattern) for part in name.split("/") for pattern in JUNK):
            files[f"code/{name}"] = read_plain(path)
    for path in sorted((folder / "models").glob("*")):
        data = read_plain(path)
        if not is_safetensors(data):
            raise UsageError(f"{path}: is no safetensors file (what tag.py saves is one); pickles are not taken")
        files[f"models/{path.name}"] = data
    return files


def partners(path: Path) -> bytes:
    """The names in partners.txt, a line each."""
    how = "write into it the names of all who worked on this (you, or you and one partner), one a line"
    if not path.exists():
        raise UsageError(f"{path}: is not there; {how}")
    try:
        names = [line.strip() for line in read_plain(path).decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no UTF-8 text (byte {error.start + 1})") from None
    if not 1 <= len(names) <= MOST_PARTNERS:
        raise UsageError(f"{path}: has {len(names)} names; {how}")
    return ("\n".join(names) + "\n").encode("utf-8")


def read_plain(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise UsageError(f"{path}: is no plain file (a link, or a folder), and is not taken")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def is_safetensors(data: bytes) -> bool:
    """Whether the bytes begin as a safetensors file does: the length of a JSON object, and that."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8")) if 0 < length <= len(data) - 8 else None
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of the files: the same bytes for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            zipped.writestr(info, files[name], compresslevel=9)
    return stream.getvalue()


def inspect(data: bytes, assignment: Assignment) -> Submission:
    """Read the zip as the grader does. Raises StudentFault with its reason where it would refuse."""
    if len(data) > assignment.layout.archive_bytes:
        raise StudentFault(
            "violation",
            f"the zip would have {len(data) / 1e6:.1f} MB, more than {assignment.layout.archive_bytes >> 20}; "
            "models/ is what is large, as a rule",
        )
    with tempfile.TemporaryDirectory() as scratch:
        zipped = Path(scratch) / "submission.zip"
        zipped.write_bytes(data)
        found = unpack(zipped, Path(scratch) / "unpacked", assignment.layout)
    if found.missing:
        raise StudentFault("missing_file", f"code/{found.missing[0]} is not there, and the grader runs it")
    if found.left_out:
        raise StudentFault("violation", f"the grader would leave out {printable(found.left_out[0])}")
    return found


def warnings(files: Mapping[str, bytes]) -> list[str]:
    """What will cost points: files that Python cannot read, functions that are still to be written."""
    found = []
    for name, data in files.items():
        if not name.endswith(".py"):
            continue
        try:
            ast.parse(data, name)
        except (SyntaxError, ValueError) as error:
            found.append(f"{name}:{getattr(error, 'lineno', None) or 1}: Python cannot read it: {error.args[0]}")
        holes = TO_WRITE.findall(data.decode("utf-8", errors="replace"))
        found += [f"{name}: {what} is still to be written ({task})" for task, what in holes]
    return found
