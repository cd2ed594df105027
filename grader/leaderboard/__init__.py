"""The ranking: a public board on endev during the term, a private one on entest once, after the deadline.

A board is a folder (--board DIR, else $NEURALIZATION_BOARD, else ~/.config/neuralization/board) with the database,
the key that makes handles, and the staff's token. Keep it private and out of the repository; copy it to back it up.
One board is for one assignment.

A term, from first to last:
  python -m grader leaderboard settings --deadline 2026-11-30T23:59:00-05:00 --limit 5 --rule best
  python -m grader leaderboard add graded/reference/result.json --baseline reference
  python -m grader leaderboard groups pairs.txt       who works together: one row for each line of names, alice, bob
  python -m grader leaderboard add graded/            every result.json below; again and again, nothing counts twice
  python -m grader leaderboard build --out site/      the board as a page to publish
  python -m grader leaderboard serve                  the same and a page per submission, at http://127.0.0.1:8000
  python -m grader leaderboard handle alice           alice's handle; no name is ever stored or shown
  python -m grader leaderboard link k3f7-9q2m         a link for that student; it expires
  python -m grader leaderboard list                   every submission: status, scores, gaps to look at
  python -m grader leaderboard remove 17 --reason "copied"   off the board, kept with the reason; restore puts it back
  python -m grader leaderboard close                  after the deadline: fixes what the private board scores

`python -m grader leaderboard ACTION --help` says more. The order, and which runs count, is told in order.py.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from grader.errors import UsageError

ACTIONS = {
    "add": """\
keep results of `grade` or `grade-many`

RESULT is a result.json or a folder with such files below. Only what this grader trained in a sandbox, by the
full profile, is taken; a fault of the grader is refused and changes nothing. The student is the submission's
name without .zip and the like, or what --student-pattern finds in it: `--student-pattern '^[^_]+'` for
alice_2.zip. The time of submission is that of --submitted-at, else of the result, else that of the start of
grading. Status 1: some were refused; 2: some were no results.""",
    "build": """\
write the boards as static pages

DIR/index.html is the public board, DIR/private.html the final one once `close` was called. Each is one file
that needs nothing else. Submission pages are not written: they are not for everybody.""",
    "serve": """\
the boards and a page per submission, at http://127.0.0.1:PORT

Needs the extra `serve` (pip install '.[serve]'). It listens on this machine only: for students, put a web
server with https in front of it, and give its address by --url; links then begin with it. Staff log in with the
token in the board's folder.""",
    "list": """\
every submission: number, handle, time, status, scores in per cent, gaps to look at

A gap is flagged where endev - entest or entest - twin lies outside the 99 % interval of the reference's gap.""",
    "settings": """\
show the rules, or change them

Without options: the rules as they are. Changes hold for the whole term, earlier runs included.""",
    "groups": """\
say who works together: a group is one row, has one handle and one limit

FILE has a group a line, the names of its students between commas (as `add` finds them in the names of submissions).
It takes the place of all groups told before, and holds for earlier submissions too. That is the staff's to say:
what partners.txt says is the submission's word, by which anybody could hand in for others.""",
    "remove": "take a submission off the board; it is kept, with the reason, and still counts towards the limit",
    "restore": "put a removed submission back on the board",
    "handle": "print the handle of a student (the name as `add` finds it)",
    "link": "print a link to the pages of one student, signed, with an end",
    "close": """\
after the deadline: choose, for each handle, the submission that the private board scores

It is the one that stands for the handle on the public board. A choice is never made again: calling it once more
chooses for handles that had no graded run before, no others.""",
}


def default_folder() -> Path:
    set_by_user = os.environ.get("NEURALIZATION_BOARD")
    return Path(set_by_user) if set_by_user else Path.home() / ".config" / "neuralization" / "board"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", type=Path, metavar="DIR", help="the folder of the board")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    p = {}
    for name, text in ACTIONS.items():
        raw = argparse.RawDescriptionHelpFormatter
        p[name] = actions.add_parser(name, help=text.splitlines()[0], description=text, formatter_class=raw)
    p["add"].add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result.json, or a folder with some")
    who = p["add"].add_mutually_exclusive_group()
    who.add_argument("--student", metavar="NAME", help="whose they are")
    who.add_argument("--student-pattern", metavar="REGEX", help="finds the student in the submission's name")
    who.add_argument("--baseline", metavar="KIND", help="a row to compare with: majority, handout or reference")
    p["add"].add_argument("--submitted-at", metavar="TIME", help="when they were submitted: 2026-11-30T23:59:00-05:00")
    p["build"].add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pages go")
    p["serve"].add_argument("--port", type=int, default=8000, help="0: any that is free (default: 8000)")
    p["serve"].add_argument("--url", metavar="URL", help="the address that the web server in front of it has")
    for name in ("remove", "restore"):
        p[name].add_argument("id", type=int, metavar="ID", help="the number of the submission (see list)")
        p[name].add_argument("--reason", required=True, metavar="TEXT", help="kept, and shown to the owner")
    p["groups"].add_argument("file", type=Path, metavar="FILE")
    p["handle"].add_argument("student", metavar="NAME")
    p["link"].add_argument("handle", metavar="HANDLE", help="as the board shows it: k3f7-9q2m")
    p["link"].add_argument("--days", type=float, default=14, help="how long it is good for (default: 14)")
    p["link"].add_argument(
        "--url", default="http://127.0.0.1:8000", help="where `serve` is reached (default: %(default)s)"
    )
    rules = p["settings"]
    rules.add_argument("--deadline", metavar="TIME", help="a time with its zone, or none")
    rules.add_argument("--limit", metavar="N", help="scored runs that count in any 24 hours, or none (default: 5)")
    rules.add_argument("--rule", metavar="best|last", help="which of a student's runs counts (default: best)")
    rules.add_argument(
        "--ladder", metavar="off|paired|POINTS",
        help="show a new best only if it beats the old one by the standard error, or by so many points (default: off)",
    )  # fmt: skip
    rules.add_argument(
        "--band", metavar="auto|POINTS", help="width of a tie; auto: half the reference's 95 %% interval (default)"
    )


def run(args: argparse.Namespace) -> int:
    from grader.leaderboard import commands  # numpy and the pages: not for `python -m grader --help`

    folder = args.board or default_folder()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a board is a folder")
    return getattr(commands, args.action)(folder, args)
