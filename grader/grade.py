"""Grade one submission: a folder, zip or tar in, one result file out.

    python -m grader grade homework.zip --out graded/homework

The submission runs in a sandbox; see grader/README.md for its levels. The result is in result.json of the folder that
--out names, rewritten after each stage; the screen gets a summary. A fault of the grader (no sandbox, for one) is no
score: the exit status is then 3, and an older score stays.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from grader import results
from grader.assignment import DEFAULT, Assignment, load_assignment
from grader.errors import GraderFault, StudentFault, UsageError
from grader.sandbox import Sandbox, open_sandbox
from grader.stages import leaderboard, tagging, training, unit
from grader.stages.base import Grading, Spent, finish
from grader.submission import Submission, sha256_of, unpack

MOST_PARTNERS = 8  # that are noted
STAGES = {"unit": unit.run, "training": training.run, "tagging": tagging.run, "leaderboard": leaderboard.run}


def grade_submission(
    submission: Path, assignment: Assignment, sandbox: Sandbox, out: Path, seed: int = 0, profile: str = "full",
    submitted_at: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Grade one submission and write its result.

    Args:
        submission: a folder or an archive.
        out: the folder of the result, made if it is not there.
        seed: of all that the grader draws; the same seed gives the same score.
        submitted_at: ISO time, for late days and limits; only passed on.

    Returns:
        What result.json has. Whatever goes wrong in the grader itself is in it too, as a verdict without a score.

    Raises:
        UsageError: there is no such submission or profile.
    """
    if profile not in assignment.profiles:
        raise UsageError(f"there is no profile {profile!r}; there are {', '.join(assignment.profiles)}")
    result = new_result(submission, assignment, sandbox, seed, profile, submitted_at)
    out.mkdir(parents=True, exist_ok=True)
    try:
        result["files"]["sha256"], result["key"] = restart_key(submission, assignment, profile, seed)
        sandbox.hide(*hidden_from_jobs(assignment, submission, out))
        results.save(out, result)
        with sandbox.scratch() as scratch:
            unpacked = unpack(submission, out_of_reach(scratch), assignment.layout)
            grading = Grading(
                assignment, assignment.profiles[profile], unpacked, sandbox, scratch, out,
                tuple(seed + each for each in assignment.profiles[profile].seeds), seed,
            )  # fmt: skip
            describe_layout(result, unpacked)
            run_stages(grading, result)
    except StudentFault as fault:
        refuse_all(result, assignment, fault)
    except UsageError:
        raise
    except GraderFault as fault:
        blame_grader(result, fault.kind, str(fault))
    except Exception:  # a crash of one grading never stops the batch
        blame_grader(result, "grader_error", traceback.format_exc(limit=-4))
    result["finished"] = results.now()
    results.save(out, result)
    return result


def new_result(
    submission: Path, assignment: Assignment, sandbox: Sandbox, seed: int, profile: str, submitted_at: str | None
) -> dict[str, Any]:
    """The result before anything was run."""
    chosen = assignment.profiles[profile]
    return {
        "format": results.FORMAT, "key": "", "submission": submission.name, "assignment": assignment.name,
        "profile": profile, "verdict": "ok", "score": 0.0, "points": 0.0,
        "max_points": sum(stage.points for stage in assignment.stages), "stages": [], "scores": {},
        "sandbox": {"level": sandbox.name, "probes": sandbox.probes}, "notes": [], "flags": [], "error": "",
        "submitted_at": submitted_at, "started": results.now(), "finished": None,
        "seeds": [seed + each for each in chosen.seeds], "seed": seed, "versions": results.versions(),
        "partners": [], "files": {"sha256": "", "left_out": [], "missing": []},
    }  # fmt: skip


def restart_key(submission: Path, assignment: Assignment, profile: str, seed: int) -> tuple[str, str]:
    """The hash of a submission, and the key under which its grading counts as done."""
    try:
        sha256 = sha256_of(submission, assignment.layout)
    except StudentFault as fault:  # not even read: too large, or a link in it
        sha256 = results.digest([fault.message, str(submission.lstat().st_size), str(submission.lstat().st_mtime_ns)])
    return sha256, results.restart_key(sha256, data_digest(assignment), assignment.sha256, profile, seed)


def data_digest(assignment: Assignment) -> str:
    """The hash of all data that a score depends on, the gold tags too."""
    paths = [assignment.data_file(assignment.train), *map(assignment.lexicon_file, assignment.known_from)]
    for stage in assignment.stages:
        paths += map(assignment.data_file, stage.data)
        paths += map(assignment.lexicon_file, stage.lexicons)
        if stage.kind == "tagging":
            paths.append(tagging.gold_path(stage)[0])
        elif stage.kind == "leaderboard":
            paths.append(assignment.data_file(stage.gold))
    return results.files_digest(paths)


def hidden_from_jobs(assignment: Assignment, submission: Path, out: Path) -> list[Path]:
    """What no submission may read, where only modes of files can see to that."""
    gold = [tagging.gold_path(stage)[0] for stage in assignment.stages if stage.kind == "tagging"]
    return [*(path.parent for path in gold), submission, out]


def out_of_reach(scratch: Path) -> Path:
    """A place for the clean copy where a job cannot look."""
    private = scratch / "private"
    private.mkdir(mode=0o700)
    return private / "submission"


def describe_layout(result: dict[str, Any], submission: Submission) -> None:
    result["partners"] = partners(submission.folder)
    result["files"].update(left_out=list(submission.left_out[:50]), missing=list(submission.missing))
    result["notes"] += submission.notes


def partners(folder: Path) -> list[str]:
    """The names in partners.txt, if there is one: for the staff, and no more than the submission's word."""
    try:
        text = (folder / "partners.txt").read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return []
    names = [line.strip()[:100] for line in text.splitlines() if line.strip()]
    return names[:MOST_PARTNERS]


def run_stages(grading: Grading, result: dict[str, Any]) -> None:
    """Run them in turn, the result written after each."""
    for stage in grading.assignment.stages:
        result["stages"].append(STAGES[stage.kind](grading, stage))
        sum_up(result)
        result.update(scores=grading.scores, flags=grading.flags)
        result["notes"] = [*grading.submission.notes, *dict.fromkeys(grading.notes)]
        results.save(grading.out, result)


def sum_up(result: dict[str, Any]) -> None:
    """Points, score and verdict from the stages so far."""
    result["points"] = round(sum(stage["points"] for stage in result["stages"]), 6)
    result["score"] = round(100 * result["points"] / result["max_points"], 6) if result["max_points"] else 0.0
    result["verdict"] = results.worst(stage["verdict"] for stage in result["stages"])


def refuse_all(result: dict[str, Any], assignment: Assignment, fault: StudentFault) -> None:
    """A submission that could not be unpacked: every stage has its verdict, and no points."""
    result["stages"] = [finish(stage, fault.verdict, 0.0, Spent()) for stage in assignment.stages]
    result["notes"].append(fault.message)
    sum_up(result)


def blame_grader(result: dict[str, Any], kind: str, message: str) -> None:
    result.update(verdict=kind, score=None, error=message)


# The command


def add_sandbox_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs submissions."""
    g = parser.add_argument_group("sandbox")
    g.add_argument("--sandbox", choices=("auto", "A", "B", "C", "none"), default="auto", metavar="LEVEL",
                   help="A (namespaces), B (Landlock), C (a user of its own), none; auto is the strictest that proves "
                   "itself here")  # fmt: skip
    g.add_argument(
        "--floor", choices=("A", "B", "C"), help="the weakest level that auto may take (B; C in a container)"
    )
    g.add_argument(
        "--i-trust-this-code",
        action="store_true",
        dest="trust",
        help="what --sandbox none wants to hear each time: the code then runs with all your rights",
    )


def add_assignment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assignment", default=str(DEFAULT), metavar="FILE",
                        help="a TOML file, or the name of one that is shipped (neuralization)")  # fmt: skip
    parser.add_argument("--profile", default="full", help="a size of the assignment: full or quick (full)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that the grader draws (0)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", metavar="SUBMISSION", help="a folder, zip, tar, tar.gz or tar.bz2")
    parser.add_argument("--out", metavar="DIR", help="the folder of the result (graded/NAME)")
    parser.add_argument("--submitted-at", metavar="TIME", type=iso_time, help="ISO time, noted in the result")
    add_assignment_arguments(parser)
    add_sandbox_arguments(parser)


def iso_time(text: str) -> str:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 knows no Z
        if time.tzinfo is None:
            raise ValueError
        return time.isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO time such as 2026-05-01T23:59:00+00:00") from None


def run(args: argparse.Namespace) -> int:
    submission = Path(args.submission)
    if not submission.exists():
        raise UsageError(f"{submission}: there is no such file or folder")
    assignment = load_assignment(args.assignment)
    out = Path(args.out) if args.out else Path("graded") / (submission.stem or "submission")
    sandbox = open_sandbox(args.sandbox, args.floor, trust=args.trust)
    result = grade_submission(submission, assignment, sandbox, out, args.seed, args.profile, args.submitted_at)
    print(summary(result))
    print(f"the result is in {out}")
    if result["score"] is None:
        print(f"python -m grader: {result['verdict']}: {result['error'].strip()}", file=sys.stderr)
        return 3
    return 0


def summary(result: dict[str, Any]) -> str:
    """The result in a few lines for people."""
    lines = []
    for stage in result["stages"]:
        lines.append(f"{stage['points']:6.2f} / {stage['max_points']:<6g}{stage['title']}: {stage['message']}")
        lines += [f"{'':16}{name}: {text}" for name, text in stage["details"].get("tests", {}).items()]
    score = "no score" if result["score"] is None else f"{result['score']:.1f} %"
    lines.append(f"{result['points']:6.2f} / {result['max_points']:<6g}{score}, {result['verdict']}")
    if result["sandbox"]["level"] == "none":
        lines.append("run WITHOUT a sandbox, by --i-trust-this-code")
    return "\n".join([*lines, *result["notes"], *result["flags"]])
