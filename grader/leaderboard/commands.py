"""What `python -m grader leaderboard ACTION` does: one function an action, named after it."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from grader.errors import UsageError
from grader.leaderboard import board as boards
from grader.leaderboard.handles import DIGITS, Key, normal, private_secret
from grader.leaderboard.intake import SETS, Refused, parse_time, read_result
from grader.leaderboard.order import RULES
from grader.leaderboard.render import percent, static_pages, when
from grader.leaderboard.store import Store, create
from grader.results import write_whole

DATABASE, KEY_FILE, TOKEN_FILE = "board.sqlite", "handles.key", "staff.token"
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
HANDLE = re.compile(rf"[{DIGITS}]{{4}}-[{DIGITS}]{{4}}")


@contextmanager
def opened(folder: Path, make: bool = False) -> Iterator[tuple[Store, Key]]:
    """The board of a folder, and the key that its handles were made with.

    Args:
        make: whether to make a board where there is none.
    Raises:
        UsageError: there is no board; or the key is another than the one that it began with, by which all students
            would get new handles.
    """
    if make:
        create(folder / DATABASE)
    elif not (folder / DATABASE).exists():
        raise UsageError(f"{folder} holds no board yet: `leaderboard settings` or `leaderboard add` makes it")
    key = Key(private_secret(folder / KEY_FILE))
    with Store(folder / DATABASE) as store:
        if store.settle("key", key.fingerprint) != key.fingerprint:
            raise UsageError(f"{folder / KEY_FILE} is not the key of this board: put its own key back")
        yield store, key


# add


def add(folder: Path, args: argparse.Namespace) -> int:
    submitted = parse_time(args.submitted_at, "--submitted-at") if args.submitted_at else None
    if args.baseline is not None and args.baseline not in boards.BASELINES:
        raise UsageError(f"--baseline {args.baseline}: there are {', '.join(boards.BASELINES)}")
    pattern = compiled(args.student_pattern) if args.student_pattern else None
    counts = {"new": 0, "already there": 0, "refused": 0, "no result": 0}
    with opened(folder, make=True) as (store, key):
        for path in found(args.results):
            try:
                result = read_result(path)
                student = args.student or student_of(result.submission, pattern)
                handle = args.baseline or key.handle(student)
                number, new = store.add(result, handle, args.baseline is not None, submitted or result.submitted)
                what = "new" if new else "already there"
                print(f"{path}: submission {number} of {store.group_of(handle)}: {what}")
            except Refused as reason:
                what = "refused"
                print(f"{path}: refused: {reason}", file=sys.stderr)
            except UsageError as error:
                what = "no result"
                print(f"python -m grader: error: {error}", file=sys.stderr)
            counts[what] += 1
    print(", ".join(f"{count} {what}" for what, count in counts.items() if count))
    return 2 if counts["no result"] else 1 if counts["refused"] else 0


def found(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        below = sorted(path.rglob("result.json")) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"{path}: no result.json below it")
        yield from below


def compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--student-pattern {pattern!r}: {error}") from None


def student_of(submission: str, pattern: re.Pattern[str] | None) -> str:
    """The student that a submission's name tells."""
    name = PurePath(submission).name
    if pattern is None:
        ending = next((ending for ending in ARCHIVES if name.lower().endswith(ending)), "")
        return name[: len(name) - len(ending)] or name
    match = pattern.search(name)
    if not match or not (match.group(1) if pattern.groups else match.group()):
        raise Refused(f"--student-pattern finds no student in {name!r}")
    return match.group(1) if pattern.groups else match.group()


# What the staff decide


def settings(folder: Path, args: argparse.Namespace) -> int:
    changes = {name: value for name in boards.DEFAULTS if (value := getattr(args, name)) is not None}
    with opened(folder, make=True) as (store, _):
        after = boards.rules(store) | changes
        boards.policy_of(after)  # raises if one of them means nothing
        if after["rule"] not in RULES:
            raise UsageError(f"--rule {after['rule']}: there are {', '.join(RULES)}")
        if after["ladder"] != "off" and after["rule"] != "best":
            raise UsageError("a Ladder shows the best so far: it needs --rule best")
        with store.transaction():
            for name, value in changes.items():
                store.set(name, value)
        for name, value in after.items():
            print(f"{name:10}{value}")
    return 0


def groups(folder: Path, args: argparse.Namespace) -> int:
    told = read_groups(args.file)
    with opened(folder, make=True) as (store, key):
        store.set_groups({key.handle(name): key.group(names) for names in told for name in names})
    print(f"groups: {len(told)}")
    return 0


def read_groups(path: Path) -> Sequence[Sequence[str]]:
    """The names of each line, between commas.

    Raises:
        UsageError: the file cannot be read, a line has fewer than two names, or a name is there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or 'no UTF-8 text'}") from None
    told, seen = [], set()
    for number, line in enumerate(lines, start=1):
        names = [name.strip() for name in line.split(",") if name.strip()]
        twice = {normal(name) for name in names} & seen or len({normal(name) for name in names}) < len(names)
        if twice or len(names) == 1:
            raise UsageError(
                f"{path}:{number}: " + ("a name is there twice" if twice else "a group has two names or more")
            )
        seen.update(map(normal, names))
        told += [names] if names else []
    return told


def remove(folder: Path, args: argparse.Namespace) -> int:
    return decide(folder, args, "remove")


def restore(folder: Path, args: argparse.Namespace) -> int:
    return decide(folder, args, "restore")


def decide(folder: Path, args: argparse.Namespace, action: str) -> int:
    if not args.reason.strip():
        raise UsageError("--reason is empty")
    with opened(folder) as (store, _):
        store.decide(args.id, action, args.reason.strip(), boards.utc_now())
    print(f"submission {args.id}: {action}d")
    return 0


def close(folder: Path, args: argparse.Namespace) -> int:
    with opened(folder) as (store, _):
        new = boards.close(store, boards.utc_now())
        print(f"{new} chosen now, {len(store.finals())} in all; the private board is open")
    return 0


# What the staff look up


def list(folder: Path, args: argparse.Namespace) -> int:  # noqa: A001  named after its action
    with opened(folder) as (store, _):
        submissions = store.submissions()
        status, gaps = boards.all_statuses(store, submissions), boards.gaps(store, submissions)
    if gaps is None:
        print("no gaps are judged: the board has no reference with entest (add --baseline reference)", file=sys.stderr)
    print(f"{'id':>6}  {'handle':10}{'submitted':22}{'status':16}" + "".join(f"{name:>8}" for name in SETS) + "  gaps")
    for s in submissions:
        scores = "".join(f"{percent(boards.scored(s).get(name)):>8}" for name in SETS)
        flags = ", ".join(f"{gap.name} {100 * gap.gap:+.1f}" for gap in (gaps or {}).get(s.id, []))
        print(f"{s.id:>6}  {s.handle:10}{when(s.submitted):22}{status[s.id]:16}{scores}  {flags}".rstrip())
    return 0


def handle(folder: Path, args: argparse.Namespace) -> int:
    with opened(folder, make=True) as (store, key):
        print(store.group_of(key.handle(args.student)))
    return 0


def link(folder: Path, args: argparse.Namespace) -> int:
    if not HANDLE.fullmatch(args.handle):
        raise UsageError(f"{args.handle!r} is no handle like k3f7-9q2m; `leaderboard handle NAME` prints a student's")
    if not (math.isfinite(args.days) and 0 < args.days <= 366):
        raise UsageError("--days should be more than 0 and at most 366")
    with opened(folder) as (_, key):
        end = boards.utc_now().timestamp() + args.days * 86400
        print(f"{address(args.url)}/s/{key.link(args.handle, end)}/")
    return 0


def address(url: str) -> str:
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.path.strip("/")
    ):
        raise UsageError(f"--url {url!r} is no address like https://board.example.edu")
    return f"{parts.scheme}://{parts.netloc}"


# Pages


def build(folder: Path, args: argparse.Namespace) -> int:
    with opened(folder) as (store, _):
        pages = static_pages(store, boards.utc_now())
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            write_whole(args.out / name, text)
            print(args.out / name)
    except OSError as error:
        raise UsageError(f"{args.out}: {error.strerror}") from None
    return 0


def serve(folder: Path, args: argparse.Namespace) -> int:
    try:
        from grader.leaderboard import serve as web
    except ImportError as error:
        raise UsageError(f"serve needs the extra `serve`: pip install '.[serve]' ({error.name} is missing)") from None
    if not 0 <= args.port < 65536:
        raise UsageError(f"--port {args.port}: from 0 to 65535")
    token = private_secret(folder / TOKEN_FILE)
    with opened(folder, make=True) as (_, key):
        pass
    try:
        server = web.make_server(folder / DATABASE, key, token, args.port, address(args.url) if args.url else None)
    except OSError as error:
        raise UsageError(f"port {args.port}: {error.strerror}") from None
    print(
        f"http://127.0.0.1:{server.effective_port}/  (staff: /staff/, token in {folder / TOKEN_FILE}; Ctrl-C ends it)"
    )
    sys.stdout.flush()
    server.run()
    return 0
