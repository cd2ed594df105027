"""Make the autograder that Gradescope runs.

    python -m grader gradescope --out autograder.zip --minutes 40

Upload the zip as the assignment's autograder, and choose on Gradescope's page at least 1 CPU, 1.5 GB and the minutes
that you gave here: Gradescope does not tell them to the grader, which ends its own work a little before. A secret test
set that is installed (`secret --from FILE`) goes along; the reference solution does not. There, `--run` grades the one
submission of the container and writes results.json; see gradescope_run.py and grader/README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

from grader.assignment import DEFAULT, Assignment, load_assignment
from grader.errors import UsageError
from grader.results import PACKAGE, ROOT, write_whole
from grader.secret import gold_path
from grader.submit import EPOCH

FILES = PACKAGE / "gradescope_files"  # setup.sh and run_autograder
VISIBILITY = ("after_published", "after_due_date", "hidden", "visible")
# Parts of grader/ that no grading needs; the rest goes along, file by file, if it is Python or an assignment.
AT_HOME = (
    "leaderboard/", "attacks/", "student/", "gradescope_files/", "data/", "strip.py", "leaks.py", "handout.py",
    "proofs.py", "fresh.py", "majority.py", "check.py", "outcomes.py",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE", help="make this zip")
    what.add_argument("--run", action="store_true", dest="here", help="grade, inside of Gradescope's container")
    parser.add_argument("--assignment", default=str(DEFAULT), metavar="FILE", help="(neuralization)")
    parser.add_argument("--profile", default="full", help="a size of the assignment: full or quick (full)")
    parser.add_argument("--minutes", type=float, default=40, help="the time limit set on Gradescope's page (40)")
    parser.add_argument("--per-day", type=int, default=10, help="gradings in 24 hours; 0: as many as wanted (10)")
    parser.add_argument(
        "--hidden",
        choices=VISIBILITY,
        default="after_published",
        help="when students see hidden stages (after_published)",
    )
    parser.add_argument("--root", type=Path, default=Path("/autograder"), help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.here:
        from grader.gradescope_run import grade_here

        return grade_here(args.root)
    assignment = load_assignment(args.assignment)
    if args.profile not in assignment.profiles:
        raise UsageError(f"there is no profile {args.profile!r}; there are {', '.join(assignment.profiles)}")
    if args.minutes < 5:
        raise UsageError("--minutes: less than 5 is not enough to start PyTorch and to grade")
    config = {
        "assignment": Path(args.assignment).name,
        "profile": args.profile,
        "deadline": 60 * args.minutes,
        "per_day": args.per_day,
        "hidden": args.hidden,
    }
    files = dict(contents(Path(args.assignment), assignment, config))
    data = archive(files)
    try:
        write_whole(args.out, data)
    except OSError as error:
        raise UsageError(f"{args.out}: {error.strerror}") from None
    secret = [stage.gold for stage in assignment.stages if stage.kind == "tagging" and gold_path(stage.gold)[1]]
    print(
        f"{args.out}: {len(files)} files, {len(data) / 1e6:.1f} MB; test set: {', '.join(secret) or 'the PUBLIC one'}"
    )
    return 0


def contents(path: Path, assignment: Assignment, config: dict) -> Iterator[tuple[str, bytes]]:
    """The files of the zip by name."""
    torch = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch=="))
    for name in ("setup.sh", "run_autograder"):
        yield name, (FILES / name).read_bytes().replace(b"@TORCH@", shlex.quote(torch).encode())
    yield "package/requirements.txt", (ROOT / "requirements.txt").read_bytes()
    yield "package/gradescope.json", (json.dumps(config, indent=1) + "\n").encode()
    for source in sorted(PACKAGE.rglob("*.py")):
        name = source.relative_to(PACKAGE).as_posix()
        if not name.startswith(AT_HOME):
            yield f"package/grader/{name}", source.read_bytes()
    yield f"package/grader/assignments/{path.name}", path.read_bytes()
    for stage in assignment.stages:
        if stage.kind == "tagging":
            gold, secret = gold_path(stage.gold)
            yield f"package/secret/{stage.gold}" if secret else f"package/grader/data/{stage.gold}", gold.read_bytes()
    data = {assignment.train, *(stage.gold for stage in assignment.stages if stage.kind == "leaderboard")}
    lexicons = set(assignment.known_from)
    for stage in assignment.stages:
        data.update(stage.data)
        lexicons.update(stage.lexicons)
    for name in sorted(data):
        yield f"package/data/{name}", assignment.data_file(name).read_bytes()
    for name in sorted(lexicons):
        yield f"package/lexicons/{name}", assignment.lexicon_file(name).read_bytes()


def archive(files: dict[str, bytes]) -> bytes:
    """A zip of the files, the two scripts executable; the same bytes for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            mode = 0o100755 if name in ("setup.sh", "run_autograder") else 0o100644
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, mode << 16
            zipped.writestr(info, files[name])
    return stream.getvalue()
