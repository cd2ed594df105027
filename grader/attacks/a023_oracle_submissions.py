"""Submits 200 times by a program. Held: a limit by the time of submission; a rerun does not count."""

from datetime import datetime, timedelta, timezone

from grader.leaderboard.order import Policy, Run, statuses

VERDICT = ("ok",)
ONCE = True


def attack(case):
    start = datetime(2026, 5, 1, tzinfo=timezone.utc)
    runs = [Run(number, "one", start + timedelta(minutes=number), 0.9) for number in range(200)]
    found = list(statuses(runs, Policy(limit=5)).values())
    case.held(found.count("counted") == 5, f"{found.count('counted')} of 200 in a day are counted")
    again = statuses(list(reversed(runs)), Policy(limit=5))
    case.held([again[number] for number in range(200)] == found, "the order of grading changes what counts")
    return "ok", "5 of 200 are counted, whenever they are graded"
