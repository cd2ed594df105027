"""The unit stage with two tests, for attacks on how answers are compared."""

from __future__ import annotations

import dataclasses
from typing import Any

from grader.assignment import Stage, Test, load_assignment
from grader.attacks.case import ROOT, Case

RIGHT = (ROOT / "code" / "logsumexp_safe.py").read_text(encoding="utf-8")


def grade(case: Case, code: str) -> dict[str, Any]:
    """Grade a submission that has only logsumexp_safe.py: the verdict, and the points of each test."""
    unit = load_assignment().stage("unit")
    tests = (Test("logsumexp_safe", 2.0), Test("logaddexp_safe", 1.0))
    stage: Stage = dataclasses.replace(unit, tests=tests, points=3.0)
    tiny = dataclasses.replace(case.assignment, stages=(stage,))
    result = Case(case.sandbox, tiny).grade({"code/logsumexp_safe.py": code, "code/tag.py": ""})
    return {"verdict": result["verdict"], "points": result["stages"][0]["details"]["points"]}
