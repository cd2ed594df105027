"""Make the students' package from the reference: solutions taken out, tests, data and a small grader kept.

What goes in is named file by file in handout.toml. Solutions are stripped by tokenizer and parser (strip.py), what
comes out is searched for them (leaks.py), and the package is proved before it appears:

- it imports, and each function to be written raises NotImplementedError with the mark of its task;
- its tests pass, or fail with that error and nothing else;
- with the solutions put back all of its tests pass, and the grader gives full marks;
- a tagger that gives every word the commonest tag gets the baseline that the assignment states;
- with --new-environment: an environment made as the students make it trains, tags, tests, checks and submits.

DIR becomes the root of the package. Until all is proved it does not exist. Exit status 1: a proof failed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import leaks, strip
from grader.errors import GraderFault, UsageError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).resolve().parent / "handout.toml"


@dataclass(frozen=True)
class Table:
    """What handout.toml says.

    Attributes:
        sources: the file of the reference that each file of the hand-out comes from.
        left_out: files of code/ that stay at home on purpose.
        rewrites: by file of the hand-out, pairs of what stands in the reference and what takes its place.
        accepted: by file, text that a solution holds too, by right.
    """

    sources: Mapping[str, str]
    left_out: frozenset[str]
    rewrites: Mapping[str, Sequence[tuple[str, str]]]
    accepted: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Built:
    """A hand-out: its folder, the solutions by name, the files that hold any, and notes for the screen."""

    folder: Path
    bodies: Mapping[str, Sequence[str]]
    stripped: Sequence[str]
    notes: Sequence[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the package's root; must not exist or be empty"
    )
    parser.add_argument(
        "--full", action="store_true", help="grade the proofs by the real profile, not the quick one (hours)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--no-proofs", action="store_true", help="build and scan only")
    what.add_argument(
        "--new-environment",
        action="store_true",
        help="prove also that a student's new machine can do with it what it tells (installs packages there)",
    )


def run(args: argparse.Namespace) -> int:
    out = args.out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{args.out}: is there already and is no empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        built = build(Path(scratch) / "handout")
        for note in built.notes:
            print(note)
        if not args.no_proofs:
            from grader import proofs

            if not proofs.prove(built, Path(scratch), "full" if args.full else "quick", args.new_environment):
                return 1
        if out.exists():
            out.rmdir()
        os.replace(built.folder, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{args.out}: {len(files)} files, {size:.1f} MB" + (", NOT PROVED" if args.no_proofs else ""))
    return 0


def read_table(path: Path = TABLE) -> Table:
    with path.open("rb") as file:
        raw = tomllib.load(file)
    sources = {name: name for name in raw["files"]}
    for folder, names in raw["folders"].items():
        sources.update({f"{folder}/{name}": f"{folder}/{name}" for name in names})
    sources.update(raw["copies"])
    left_out = {f"{folder}/{name}" for folder, names in raw["left_out"].items() for name in names}
    rewrites: dict[str, list[tuple[str, str]]] = {}
    for entry in raw["rewrite"]:
        rewrites.setdefault(entry["file"], []).append((entry["old"], entry["new"]))
    accepted: dict[str, list[str]] = {}
    for entry in raw["accepted"]:
        accepted.setdefault(entry["file"], []).append(entry["text"])
    return Table(sources, frozenset(left_out), rewrites, accepted)


def build(folder: Path, root: Path = ROOT, table: Table | None = None) -> Built:
    """Make the hand-out in `folder`, which must not exist, and scan it.

    Raises:
        GraderFault: a file is missing, a marker is wrong, a replacement does not fit, a module imports one that stays
            at home, or the scan found something. The message names each.
    """
    table = table or read_table()
    bodies: dict[str, list[str]] = {}
    stripped = []
    for name, source in table.sources.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            data = (root / source).read_bytes()
        except OSError as error:
            raise fault(f"{source}: {error.strerror}") from None
        if name.endswith(".py") and not name.startswith("tests/"):
            try:
                result = strip.strip_source(data.decode("utf-8"), name)
            except strip.MarkerError as error:
                raise fault(str(error)) from None
            data = result.source.encode("utf-8")
            bodies.update({f"{Path(name).stem}.{function}": parts for function, parts in result.bodies.items()})
            if result.bodies:
                stripped.append(name)
        target.write_bytes(rewritten(data, name, table.rewrites.get(name, ())))
    unmarked = [name for name in {**strip.GRADED, **strip.TWINS} if f"code/{name}" not in stripped]
    if unmarked:
        raise fault(f"files with solutions are not in the table: {', '.join(unmarked)}")
    problems = [*broken_imports(folder), *map(str, leaks.scan(folder, bodies, table.accepted))]
    if problems:
        raise fault("the hand-out is not fit to be handed out\n" + "\n".join(f"  {problem}" for problem in problems))
    return Built(folder, bodies, stripped, [f"scanned for {len(bodies)} solutions: none left", *unlisted(root, table)])


def fault(message: str) -> GraderFault:
    return GraderFault("grader_error", message)


def rewritten(data: bytes, name: str, pairs: Sequence[tuple[str, str]]) -> bytes:
    """A file with its replacements; each old text stands in it exactly once."""
    for old, new in pairs:
        if data.count(old.encode()) != 1:
            raise fault(
                f"{name}: handout.toml replaces a text that stands in it {data.count(old.encode())} times: {old!r}"
            )
        data = data.replace(old.encode(), new.encode())
    return data


def unlisted(root: Path, table: Table) -> list[str]:
    """A note for each file of code/ that is in neither list of the table."""
    listed = {*table.sources.values(), *table.left_out}
    folders = {str(Path(source).parent) for source in table.sources.values() if source.startswith("code/")}
    files = {path.relative_to(root).as_posix() for folder in folders for path in (root / folder).glob("*.py")}
    return [f"not handed out, as handout.toml does not name it: {name}" for name in sorted(files - listed)]


def broken_imports(folder: Path) -> list[str]:
    """Imports of modules of ours that stay at home, but for those that `except ImportError` expects."""
    import ast

    ours = {path.stem for home in ("code", "tests", "data") for path in (ROOT / home).glob("*.py")}
    problems = []
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), name)
        expected = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.Try)
            and any(
                isinstance(h.type, ast.Name) and h.type.id in ("ImportError", "ModuleNotFoundError")
                for h in node.handlers
            )
            for statement in node.body
            for inner in ast.walk(statement)
        }
        present = {other.stem for home in ("code", "tests", "data") for other in (folder / home).glob("*.py")}
        for node in ast.walk(tree):
            if node in expected or not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module] if node.module and not node.level else []
            for module in modules:
                first = module.split(".")[0]
                if first == "grader" and not name.startswith("grader/"):
                    continue
                if first == "grader":
                    places = [
                        folder / (module.replace(".", "/") + ".py"),
                        folder / module.replace(".", "/") / "__init__.py",
                    ]
                    missing = not any(place.exists() for place in places)
                else:
                    missing = first in ours and first not in present
                if missing:
                    problems.append(f"{name}:{node.lineno}: imports {module}, which is not handed out")
    return problems
