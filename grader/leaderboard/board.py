"""The boards: what the store holds, put in order by its rules.

The public board is on endev, during the term. The private board is on entest, once: after the deadline `close`
chooses for each handle the submission that stands for it on the public board, and that one's entest is its place,
whatever other submissions of it would have reached. entest is shown to no student before, and the choice is never
made again.

Runs whose scores do not fit together are flagged for a human: a gap between endev and entest, or between entest and
its twin (where a tenth of the words are replaced by others of the same tag), outside the 99 % interval of the
reference's gap. An answer key learnt by heart makes such a gap; so may an honest mistake: a flag is a question, and
only the staff see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from grader.errors import UsageError
from grader.leaderboard.intake import parse_time
from grader.leaderboard.intervals import Interval, gap_interval
from grader.leaderboard.order import Place, Policy, Run, ladder_of, order, statuses
from grader.leaderboard.store import Store, Submission

PUBLIC, PRIVATE, TWIN = "endev", "entest", "twin"
BASELINES = {"majority": "Commonest tag", "handout": "Hand-out's default", "reference": "Reference"}
DEFAULTS = {"rule": "best", "limit": "5", "ladder": "off", "band": "auto", "deadline": "none"}
NEAR = 1e-9  # of a gap to the end of an interval


@dataclass(frozen=True)
class Line:
    place: Place
    submission: Submission
    interval: Interval  # around the score shown


@dataclass(frozen=True)
class Board:
    """`name` is the set; `policy` holds the band in use."""

    name: str
    lines: list[Line]
    policy: Policy


@dataclass(frozen=True)
class Gap:
    """A gap of accuracies (fractions) between two sets, and the reference's interval, which it leaves."""

    name: str
    gap: float
    interval: Interval


@dataclass(frozen=True)
class Point:
    """One submission of a handle over time. `score` is what its owner may see of it, None where that is nothing."""

    submission: Submission
    status: str
    score: float | None


def rules(store: Store) -> dict[str, str]:
    """The settings as they were written, with the defaults."""
    return {name: store.setting(name) or value for name, value in DEFAULTS.items()}


def policy_of(settings: dict[str, str], band: float = 0.0) -> Policy:
    """The settings' meaning; `band` stands where they say auto."""
    deadline = None if settings["deadline"] == "none" else parse_time(settings["deadline"], "deadline")
    limit = None if settings["limit"] == "none" else whole(settings["limit"])
    step = None if settings["ladder"] == "off" else "paired"
    if settings["ladder"] not in ("off", "paired"):
        step = points("ladder", settings["ladder"]) or None
    if settings["band"] != "auto":
        band = points("band", settings["band"])
    return Policy(settings["rule"], limit, deadline, step, band)


def whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise UsageError(f"limit {text!r} is neither a number of runs nor none")
    return int(text)


def points(name: str, text: str) -> float:
    """Percentage points as a fraction."""
    try:
        value = float(text) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{name} {text!r} is no number of percentage points")
    return value


def runs(store: Store, submissions: Iterable[Submission], name: str, vectors: bool) -> list[Run]:
    """What the order needs of the submissions on a set; `vectors` are what a Ladder needs besides."""
    correct = store.correct(name) if vectors else {}
    tokens = store.tokens().get(name) if vectors else None
    return [
        Run(
            s.id, s.handle, s.submitted, scored(s).get(name), s.baseline,
            s.removed is not None, correct.get(s.result), tokens,
        )
        for s in submissions
    ]  # fmt: skip


def band_of(submissions: Sequence[Submission], name: str) -> float:
    """The width of a tie: half the interval of the reference, or of the best run there is."""
    there = [s for s in submissions if name in scored(s) and s.removed is None]
    if not there:
        return 0.0
    low, high = max(there, key=lambda s: (s.handle == "reference", scored(s)[name], s.id)).scores[name].interval
    return (high - low) / 2


def board(store: Store, name: str, submissions: Sequence[Submission], policy: Policy) -> Board:
    by_number = {s.id: s for s in submissions}
    lines = []
    for place in order(runs(store, submissions, name, policy.ladder is not None), policy):
        submission = by_number[place.run.id]
        low, high = submission.scores[name].interval
        moved = place.shown - place.run.score  # a Ladder rounds; its interval must not give the score away
        lines.append(Line(place, submission, Interval(low + moved, high + moved)))
    return Board(name, lines, policy)


def public_policy(store: Store, submissions: Sequence[Submission]) -> Policy:
    return policy_of(rules(store), band_of(submissions, PUBLIC))


def public_board(store: Store) -> Board:
    submissions = store.submissions()
    return board(store, PUBLIC, submissions, public_policy(store, submissions))


def private_board(store: Store) -> Board | None:
    """None before `close`."""
    if store.setting("closed") is None:
        return None
    submissions, finals = store.submissions(), store.finals()
    band = policy_of(rules(store), band_of(submissions, PRIVATE)).band
    listed = [s for s in submissions if s.baseline or finals.get(s.handle) == s.id]
    return board(store, PRIVATE, listed, Policy("last", band=band))


def close(store: Store, now: datetime) -> int:
    """Choose what the private board scores; how many handles were chosen for. A handle's choice is made once.

    Raises:
        UsageError: the deadline is not set, or not over.
    """
    deadline = policy_of(rules(store)).deadline
    if deadline is None:
        raise UsageError("the board has no deadline: `leaderboard settings --deadline TIME` sets it")
    if now <= deadline:
        raise UsageError(f"the deadline is {deadline:%Y-%m-%d %H:%M} UTC: the private board waits for it")
    chosen = {line.submission.handle: line.submission.id for line in public_board(store).lines if line.place.rank}
    return store.choose_finals(chosen, now)


def all_statuses(store: Store, submissions: Sequence[Submission]) -> dict[int, str]:
    return statuses(runs(store, submissions, PUBLIC, vectors=False), public_policy(store, submissions))


def history(store: Store, handle: str, masked: bool) -> list[Point]:
    """A handle's submissions in order of time; masked by a Ladder, each with what the board showed after it."""
    everyone = store.submissions()
    policy = public_policy(store, everyone)
    own = sorted((s for s in everyone if s.handle == handle), key=lambda s: (s.submitted, s.id))
    own_runs = runs(store, own, PUBLIC, policy.ladder is not None)
    status = statuses(own_runs, policy)
    shown = {run.id: run.score for run in own_runs}
    if masked:
        counted = [run for run in own_runs if status[run.id] == "counted"]
        shown = {run.id: value for run, (value, _) in zip(counted, ladder_of(counted, policy))}
    return [Point(s, status[s.id], shown.get(s.id)) for s in own]


def gaps(store: Store, submissions: Sequence[Submission]) -> dict[int, list[Gap]] | None:
    """The gaps of each submission that leave the reference's intervals; None where there is no reference to compare
    with."""
    references = [s for s in submissions if s.handle == "reference" and s.removed is None and PRIVATE in scored(s)]
    if not references:
        return None
    reference, tokens = max(references, key=lambda s: (s.submitted, s.id)), store.tokens()
    found: dict[int, list[Gap]] = {s.id: [] for s in submissions}
    for one, other in ((PUBLIC, PRIVATE), (PRIVATE, TWIN)):
        if not {one, other} <= scored(reference).keys():
            continue
        vectors = [(store.correct(name)[reference.result], tokens[name]) for name in (one, other)]
        gap = reference.scores[one].accuracy["all"] - reference.scores[other].accuracy["all"]
        interval = gap_interval(*vectors, gap, paired=other == TWIN and np.array_equal(tokens[one], tokens[other]))
        for s in submissions:
            own = scored(s)
            if {one, other} <= own.keys() and not inside(own[one] - own[other], interval):
                found[s.id].append(Gap(f"{one} - {other}", own[one] - own[other], interval))
    return found


def scored(submission: Submission) -> dict[str, float]:
    """The accuracy on each set that the submission has one on."""
    found = {name: score.accuracy["all"] for name, score in submission.scores.items()}
    return {name: accuracy for name, accuracy in found.items() if accuracy is not None}


def inside(gap: float, interval: Interval) -> bool:
    return interval.low - NEAR <= gap <= interval.high + NEAR


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def masked(store: Store) -> bool:
    """Whether students see of their runs only what the Ladder shows: until the board is closed."""
    return policy_of(rules(store)).ladder is not None and store.setting("closed") is None
