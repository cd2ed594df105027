"""Answers nan. Held: nan is wrong, in tests and on the leaderboard."""

from grader.attacks import units
from grader.leaderboard.intake import finite

VERDICT = ("wrong_answer",)
CODE = """
def logsumexp_safe(x, dim): return (x * float("nan")).sum(dim)
def logaddexp_safe(x, y): return (x + y) * float("nan")
"""


def attack(case):
    result = units.grade(case, CODE)
    case.held(set(result["points"].values()) == {0.0}, f"points {result['points']}")
    case.held(finite(float("nan")) is None and finite(float("inf")) is None, "the leaderboard takes nan for a score")
    return result["verdict"], "nan is wrong; the leaderboard takes it for no score"
