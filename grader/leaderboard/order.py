"""The order of a leaderboard. This is the only place that knows it: the pages, the list for the staff and the choice
of the runs that the private board scores all call `order`.

Which runs count. A run has a status, the first of these that is true of it:

- `baseline`: not a student's; listed at its place, without a rank;
- `no score`: the score is missing, nan or infinite; it is never listed and uses up nothing;
- `late`: submitted after the deadline;
- `over the limit`: `limit` runs of the same handle that were neither late nor over the limit were submitted in the 24
  hours before it. The time of submission decides, never the time of grading, so a rerun changes nothing; a run
  without a score uses up nothing, a removed one does;
- `removed`: taken off by the staff, with a reason (a baseline can be, too);
- `counted`.

Which counted run stands for its handle. `best`: the one of the highest score, the earliest of equal ones. `last`: the
one submitted last. With a Ladder (ladder.py) it is the run that set the value shown, and that value is its score.

Ranks. Handles go by falling score. The first of a rank is its anchor: who is at most `band` below the anchor shares
its rank, for such a difference is noise (intervals.py); the next handle below opens a rank of its own, whose number
is one more than the handles above it (1, 1, 3). Within a rank the earlier submission comes first, then the handle. A
baseline comes after the ranks whose anchor is not below it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from grader.leaderboard.ladder import Attempt, ladder

DAY = timedelta(hours=24)
ROUNDING = 1e-9  # scores are fractions of tokens; below this a difference is the arithmetic's
RULES = ("best", "last")


@dataclass(frozen=True)
class Run:
    """What the order needs to know of one run; `score` is the accuracy (0 to 1) on the set that the board is about, and
    `correct` and `tokens` ([sentences] each) are what a Ladder compares."""

    id: int
    handle: str
    submitted: datetime
    score: float | None
    baseline: bool = False
    removed: bool = False
    correct: np.ndarray | None = None
    tokens: np.ndarray | None = None

    @property
    def scored(self) -> bool:
        return self.score is not None and math.isfinite(self.score)


@dataclass(frozen=True)
class Policy:
    """The rules of a board: `limit` runs in 24 hours (None: any number), `deadline` (None: none), `ladder` None,
    "paired" or a step (0 to 1), `band` the width of a tie (0 to 1)."""

    rule: str = "best"
    limit: int | None = None
    deadline: datetime | None = None
    ladder: str | float | None = None
    band: float = 0.0


@dataclass(frozen=True)
class Place:
    """A line of the board. `shown` is the score that it is ranked by, `tries` the handle's counted runs."""

    rank: int | None
    run: Run
    shown: float
    tries: int


def by_time(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.submitted, run.id))


def statuses(runs: Iterable[Run], policy: Policy) -> dict[int, str]:
    """The status of every run, by its number."""
    status = {}
    within: dict[str, list[datetime]] = defaultdict(list)  # of each handle, the runs that the limit has let through
    for run in by_time(runs):
        if run.baseline:
            status[run.id] = "removed" if run.removed else "baseline"
        elif not run.scored:
            status[run.id] = "no score"
        elif policy.deadline is not None and run.submitted > policy.deadline:
            status[run.id] = "late"
        elif policy.limit is not None and recent(within[run.handle], run.submitted) >= policy.limit:
            status[run.id] = "over the limit"
        else:
            within[run.handle].append(run.submitted)
            status[run.id] = "removed" if run.removed else "counted"
    return status


def recent(times: Sequence[datetime], now: datetime) -> int:
    return sum(now - time < DAY for time in times)


def order(runs: Iterable[Run], policy: Policy) -> list[Place]:
    """The board, first line first. It depends on the runs, not on the order in which they are given."""
    runs = list(runs)
    status = statuses(runs, policy)
    counted: dict[str, list[Run]] = defaultdict(list)
    for run in by_time(runs):
        if status[run.id] == "counted" or (status[run.id] == "baseline" and run.scored):
            counted[run.handle].append(run)
    students, baselines = [], []
    for of_handle in counted.values():
        if of_handle[0].baseline:
            baselines.append(Place(None, of_handle[-1], of_handle[-1].score, len(of_handle)))
        else:
            students.append(Place(None, *stands(of_handle, policy), len(of_handle)))
    return ranked(students, baselines, policy.band)


def stands(runs: Sequence[Run], policy: Policy) -> tuple[Run, float]:
    """Of one handle's counted runs, in order of time, the one that stands for it, and the score that it is ranked
    by."""
    if policy.ladder is not None:
        shown, setter = ladder_of(runs, policy)[-1]
        return runs[setter], shown
    if policy.rule == "last":
        return runs[-1], runs[-1].score
    best = max(runs, key=lambda run: run.score)  # max gives the first, so the earliest, of equal ones
    return best, best.score


def ladder_of(runs: Sequence[Run], policy: Policy) -> list[tuple[float, int]]:
    """After each of one handle's counted runs, in order of time: what a Ladder shows, and which run (from 0) set it."""
    eta = None if policy.ladder == "paired" else float(policy.ladder)
    return ladder([Attempt(run.score, run.correct, run.tokens) for run in runs], eta)


def ranked(students: Iterable[Place], baselines: Iterable[Place], band: float) -> list[Place]:
    lines = [(baseline.shown, baseline) for baseline in baselines]  # with the score that decides where the line goes
    anchor, rank = math.inf, 0
    for above, place in enumerate(sorted(students, key=lambda place: -place.shown)):
        if place.shown < anchor - band - ROUNDING:
            anchor, rank = place.shown, above + 1
        lines.append((anchor, Place(rank, place.run, place.shown, place.tries)))
    key = lambda line: (-line[0], line[1].rank is None, line[1].run.submitted, line[1].run.handle)
    return [place for _, place in sorted(lines, key=key)]
