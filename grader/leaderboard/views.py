"""The pages that depend on who asks: a submission's, and the list of submissions. What a student may see is decided
here.

A student sees only own submissions: their endev, what happened in each stage, the logs of the public stages; once the
board is closed, the points of hidden stages, and entest of the one submission that it scores; never the twin, and no
flag. With a Ladder the scores
are, until then, what the board showed. The staff see everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from grader.leaderboard import board as boards
from grader.leaderboard.intake import SETS
from grader.leaderboard.plots import heat_map, history_plot
from grader.leaderboard.render import name_of, page
from grader.leaderboard.store import Store, Submission

LINK = 14 * 86400  # seconds that a link made on a page lasts
ROWS = 200  # submissions a page


@dataclass(frozen=True)
class Visitor:
    """`kind` is "public", "student" or "staff", `base` what the addresses of its pages begin with."""

    kind: str
    base: str
    handle: str | None = None
    csrf: str = ""

    def may_see(self, submission: Submission) -> bool:
        return self.kind == "staff" or (self.kind == "student" and self.handle == submission.handle)


PUBLIC = Visitor("public", "")


def frame(store: Store, who: Visitor, here: str) -> dict[str, Any]:
    """What the frame around every page needs."""
    links = [("/", "Public board")]
    links += [("/private", "Final board")] if store.setting("closed") else []
    links += [("/runs", "Your submissions" if who.kind == "student" else "Submissions")] if who.kind != "public" else []
    made = [{"address": who.base + path, "text": text, "here": path == here} for path, text in links]
    return {"viewer": who.kind, "base": who.base, "csrf": who.csrf, "links": made}


def runs_page(store: Store, who: Visitor, number: int = 1) -> str:
    """The list of submissions, newest first; of the staff's, page `number` (from 1)."""
    everyone = store.submissions()
    status = boards.all_statuses(store, everyone)
    if who.kind == "staff":
        gaps, sets = boards.gaps(store, everyone), SETS
        listed = [(s, boards.scored(s)) for s in sorted(everyone, key=lambda s: (s.submitted, s.id), reverse=True)]
    else:
        gaps, sets = None, (boards.PUBLIC,)
        points = boards.history(store, who.handle or "", boards.masked(store))
        listed = [(point.submission, {boards.PUBLIC: point.score}) for point in reversed(points)]
    rows = [
        {
            "submission": s,
            "status": status[s.id],
            "gaps": (gaps or {}).get(s.id, []),
            "scores": [own.get(n) for n in sets],
        }
        for s, own in listed[(number - 1) * ROWS : number * ROWS]
    ]
    pages = {"older": number + 1 if number * ROWS < len(listed) else None, "newer": number - 1}
    return page("runs.html", rows=rows, sets=sets, judged=gaps is not None, **pages, **frame(store, who, "/runs"))


def run_page(store: Store, who: Visitor, number: int, now: datetime, link: Callable[[str, float], str]) -> str | None:
    """A submission's page; None where there is none that the visitor may see.

    Args:
        link: makes the address for a handle that is good until a second.
    """
    everyone = store.submissions()
    found = next((s for s in everyone if s.id == number), None)
    if found is None or not who.may_see(found):
        return None
    staff, masked = who.kind == "staff", who.kind != "staff" and boards.masked(store)
    points = boards.history(store, found.handle, masked)
    body = store.body(found.result)
    stages = body["stages"]
    if not staff:  # the points of a hidden stage tell its accuracy
        closed = store.setting("closed") is not None
        secret = {"log": ""} if closed else {"log": "", "max_points": None}
        stages = [stage | (secret if stage["hidden"] else {}) for stage in stages]
        if not closed and any(stage["hidden"] for stage in stages):
            body["points"] = None
    visible = visible_sets(store, found, staff, masked)
    references = {
        name_of(line.submission.handle): line.place.shown
        for line in boards.public_board(store).lines
        if line.submission.baseline and line.submission.handle != found.handle
    }
    end = now.timestamp() + LINK
    maps = {name: heat_map(body["confusion"].get(name, {})) for name in visible if name != boards.TWIN}
    return page(
        "run.html", run=found, body=body, masked=masked, points=points,
        status=next(point.status for point in points if point.submission.id == number),
        scores={name: found.scores[name] for name in visible},
        maps={name: drawn for name, drawn in maps.items() if drawn},
        gaps=((boards.gaps(store, everyone) or {}).get(number, []) if staff else []),
        plot=history_plot(points, references),
        stages=stages,
        events=store.events(number),
        link=link(found.handle, end) if staff and not found.baseline else None,
        link_end=datetime.fromtimestamp(end, timezone.utc),
        **frame(store, who, ""),
    )  # fmt: skip


def visible_sets(store: Store, submission: Submission, staff: bool, masked: bool) -> list[str]:
    """The sets whose scores the visitor may see: students' are endev, and entest of the submission that the final
    board scores."""
    if staff:
        return [name for name in SETS if name in submission.scores]
    final = store.setting("closed") and store.finals().get(submission.handle) == submission.id
    names = ([] if masked else [boards.PUBLIC]) + ([boards.PRIVATE] if final else [])
    return [name for name in names if name in submission.scores]
