"""A tested function raises SystemExit. Held: that test fails, the others still run."""

from grader.attacks import units

VERDICT = ("crash",)
CODE = units.RIGHT + "\n\ndef logsumexp_safe(x, dim):\n    raise SystemExit(0)\n"


def attack(case):
    result = units.grade(case, CODE)
    case.held(result["points"] == {"logsumexp_safe": 0.0, "logaddexp_safe": 1.0}, f"points {result['points']}")
    return result["verdict"], "that test fails, the other passes"
