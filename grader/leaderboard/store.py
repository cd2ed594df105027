"""The store of a board: one SQLite file in a folder of the staff's.

    settings      name, value: deadline, limit, rule, ladder, band, assignment, fingerprint of the key
    sets          name, tokens: how many tokens each sentence of endev, entest, twin has; the same for all runs
    submissions   id, handle, baseline, sha256, submitted
    results       id, submission, key, finished, verdict, body: what the grader found, once for each grading
    scores        result, name: one row a set: accuracies, interval, correct tokens of each sentence
    events        submission, action (remove, restore), reason, at: nothing is ever deleted
    finals        handle, submission, at: what the private board scores, chosen once after the deadline
    pairs         member, handle: whose submissions stand under the handle of a group

A submission is a handle, the hash of its files and the time of submission; a result is a submission and the grader's
restart key. So the same result added twice is one row, and a regrade by another grader is another result of the same
submission, of which the newest stands. A submission whose time nobody told is the one of the same files that is
there, or else one of the time at which its grading started. It keeps the handle of who handed it in; what is read from
the store has the group's in its place, where there is a group, so that partners may be told at any time.

SQLite writes ahead (WAL) and syncs at each commit: a process killed at any moment leaves all of a transaction or
nothing of it, and readers never wait. WAL needs a local disk, not a network's.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from grader.errors import UsageError
from grader.leaderboard.intake import CLASSES, Refused, Result
from grader.leaderboard.intervals import Interval, accuracy_interval

VERSION = 2
APPLICATION = 0x4E4C4252  # "NLBR", so that no other program's file is taken for a board
SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sets (name TEXT PRIMARY KEY, tokens BLOB NOT NULL);
CREATE TABLE submissions (id INTEGER PRIMARY KEY, handle TEXT NOT NULL, baseline INTEGER NOT NULL, sha256 TEXT NOT NULL,
    submitted TEXT NOT NULL, UNIQUE (handle, sha256, submitted));
CREATE TABLE results (id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submissions, key TEXT NOT NULL,
    finished TEXT NOT NULL, verdict TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (submission, key));
CREATE TABLE scores (result INTEGER NOT NULL REFERENCES results, name TEXT NOT NULL, accuracy REAL, known REAL,
    seen REAL, novel REAL, low REAL NOT NULL, high REAL NOT NULL, correct BLOB NOT NULL,
    PRIMARY KEY (result, name)) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submissions, action TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE finals (handle TEXT PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submissions, at TEXT NOT NULL);
CREATE TABLE pairs (member TEXT PRIMARY KEY, handle TEXT NOT NULL);
CREATE INDEX events_of ON events (submission);
"""

WHOSE = "COALESCE((SELECT p.handle FROM pairs p WHERE p.member = s.handle), s.handle)"  # of submission s


@dataclass(frozen=True)
class Scored:
    """One set's score as the store keeps it; accuracies are fractions, None where there is no such token."""

    accuracy: dict[str, float | None]
    interval: Interval


@dataclass(frozen=True)
class Submission:
    """One submission with its newest result; `removed` is the reason, None for one that was not removed."""

    id: int
    handle: str
    baseline: bool
    submitted: datetime
    result: int
    finished: datetime
    verdict: str
    removed: str | None
    scores: dict[str, Scored] = field(default_factory=dict)


def text_of(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="microseconds")


class Store:
    """An open board, which `create` has made. Not to be shared by threads: each opens its own.

    Raises:
        UsageError: there is no such file, or it is no board, or one of a newer grader.
    """

    def __init__(self, path: Path):
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60, isolation_level=None
            )
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            application, version = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
        except sqlite3.Error as error:
            raise UsageError(f"{path}: {error}") from None
        if application != APPLICATION:
            raise UsageError(f"{path}: not a leaderboard")
        if version != VERSION:
            raise UsageError(f"{path}: of version {version}; this grader knows version {VERSION}")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is written inside, or nothing of it; other writers wait."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Settings

    def setting(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set(self, name: str, value: str | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM settings WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def settle(self, name: str, value: str) -> str:
        """The value of a setting that is given once: this one, if there was none."""
        self._db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
        return self.setting(name) or ""

    # Results

    def add(self, result: Result, handle: str, baseline: bool, submitted: datetime | None) -> tuple[int, bool]:
        """Keep a result.

        Args:
            submitted: the time of submission; None: nobody has told.
        Returns:
            the submission's number, and whether the result is new here.
        Raises:
            Refused: it is of another assignment, or was scored on other sentences than the rest of the board.
        """
        with self.transaction():
            assignment = self.settle("assignment", result.assignment)
            if assignment != result.assignment:
                raise Refused(f"it is of {result.assignment}; this board is of {assignment}")
            number = self._submission(result, handle, baseline, submitted)
            row = self._db.execute(
                "INSERT OR IGNORE INTO results (submission, key, finished, verdict, body) VALUES (?, ?, ?, ?, ?)",
                (number, result.key, text_of(result.finished), result.verdict, json.dumps(result.body)),
            )
            if row.rowcount:
                self._add_scores(row.lastrowid, result)
        return number, bool(row.rowcount)

    def _submission(self, result: Result, handle: str, baseline: bool, submitted: datetime | None) -> int:
        same = "SELECT id FROM submissions WHERE handle = ? AND sha256 = ?"
        if submitted is None:
            row = self._db.execute(same + " ORDER BY submitted", (handle, result.sha256)).fetchone()
            if row:
                return row[0]
            submitted = result.started
        values = (handle, result.sha256, text_of(submitted))
        self._db.execute(
            "INSERT OR IGNORE INTO submissions (handle, sha256, submitted, baseline) VALUES (?, ?, ?, ?)",
            (*values, baseline),
        )
        return self._db.execute(same + " AND submitted = ?", values).fetchone()[0]

    def _add_scores(self, number: int, result: Result) -> None:
        for name, score in result.scores.items():
            self._db.execute("INSERT OR IGNORE INTO sets VALUES (?, ?)", (name, pack(score.tokens)))
            if not np.array_equal(self.tokens()[name], score.tokens):
                raise Refused(f"its {name} has other sentences than that of the board's earlier results")
            interval = accuracy_interval(score.correct, score.tokens, score.accuracy["all"])
            accuracies = [score.accuracy[kind] for kind in CLASSES]
            row = (number, name, *accuracies, *interval, pack(score.correct))
            self._db.execute("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def tokens(self) -> dict[str, np.ndarray]:
        """How many tokens each sentence has, of each set that the board has met."""
        return {name: unpack(blob) for name, blob in self._db.execute("SELECT name, tokens FROM sets")}

    def submissions(self, handle: str | None = None) -> list[Submission]:
        """All submissions, or one handle's, by number."""
        where, values = (f"WHERE {WHOSE} = ?", (handle,)) if handle is not None else ("", ())
        rows = self._db.execute(
            f"""SELECT s.id, {WHOSE}, s.baseline, s.submitted, r.id, r.finished, r.verdict,
                (SELECT CASE action WHEN 'remove' THEN reason END FROM events WHERE submission = s.id
                 ORDER BY id DESC LIMIT 1)
            FROM submissions s JOIN results r ON r.id = (SELECT id FROM results WHERE submission = s.id
                ORDER BY finished DESC, id DESC LIMIT 1) {where} ORDER BY s.id""",
            values,
        )
        found = {
            result: Submission(
                number, whose, bool(baseline), datetime.fromisoformat(submitted), result,
                datetime.fromisoformat(finished), verdict, removed,
            )
            for number, whose, baseline, submitted, result, finished, verdict, removed in rows
        }  # fmt: skip
        query = "SELECT result, name, accuracy, known, seen, novel, low, high FROM scores"
        if handle is not None:
            query += f" JOIN results r ON r.id = result JOIN submissions s ON s.id = r.submission WHERE {WHOSE} = ?"
        for result, name, *accuracies, low, high in self._db.execute(query, values):
            if result in found:
                found[result].scores[name] = Scored(dict(zip(CLASSES, accuracies)), Interval(low, high))
        return list(found.values())

    def correct(self, name: str) -> dict[int, np.ndarray]:
        """The correct tokens of each sentence of a set, of every result that has them."""
        query = "SELECT result, correct FROM scores WHERE name = ?"
        return {result: unpack(blob) for result, blob in self._db.execute(query, (name,))}

    def body(self, result: int) -> dict[str, Any]:
        """The stages, confusions and notes of a result."""
        return json.loads(self._db.execute("SELECT body FROM results WHERE id = ?", (result,)).fetchone()[0])

    # What the staff decide

    def decide(self, submission: int, action: str, reason: str, now: datetime) -> None:
        """Remove a submission from the board, or restore it; both are kept.

        Raises:
            UsageError: there is no such submission.
        """
        with self.transaction():
            if not self._db.execute("SELECT 1 FROM submissions WHERE id = ?", (submission,)).fetchone():
                raise UsageError(f"there is no submission {submission}; `leaderboard list` has their numbers")
            row = (submission, action, reason, text_of(now))
            self._db.execute("INSERT INTO events (submission, action, reason, at) VALUES (?, ?, ?, ?)", row)

    def events(self, submission: int) -> list[tuple[str, str, datetime]]:
        """Action, reason and time, oldest first."""
        query = "SELECT action, reason, at FROM events WHERE submission = ? ORDER BY id"
        return [
            (action, reason, datetime.fromisoformat(at))
            for action, reason, at in self._db.execute(query, (submission,))
        ]

    def group_of(self, handle: str) -> str:
        """The handle that stands for this one on the board: its group's, else itself."""
        row = self._db.execute("SELECT handle FROM pairs WHERE member = ?", (handle,)).fetchone()
        return row[0] if row else handle

    def set_groups(self, groups: dict[str, str]) -> None:
        """Members' handles to groups' handles, in place of all groups that were told before.

        Raises:
            UsageError: the board is closed; what the private board scores was chosen for the groups as they were.
        """
        with self.transaction():
            if self.setting("closed") is not None:
                raise UsageError("the board is closed: its groups stay as they are")
            self._db.execute("DELETE FROM pairs")
            self._db.executemany("INSERT INTO pairs VALUES (?, ?)", groups.items())

    def choose_finals(self, chosen: dict[str, int], now: datetime) -> int:
        """Fix the submission that the private board scores, of each handle that has none yet; how many those were."""
        rows = [(handle, submission, text_of(now)) for handle, submission in chosen.items()]
        with self.transaction():
            before = self._db.total_changes
            self._db.executemany("INSERT OR IGNORE INTO finals VALUES (?, ?, ?)", rows)
            new = self._db.total_changes - before
            self.settle("closed", text_of(now))
        return new

    def finals(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT handle, submission FROM finals"))


def create(path: Path) -> None:
    """Make an empty board, aside, and put it in place whole; a board that is there stays as it is."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)  # of mode 600
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(fresh)) as db:
            db.executescript(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {SCHEMA}")
            db.execute("PRAGMA journal_mode = WAL")
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(fresh)


def pack(numbers: np.ndarray) -> bytes:
    return numbers.astype("<f8").tobytes()


def unpack(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, "<f8")
