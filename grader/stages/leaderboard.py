"""The leaderboard stage: the same models on endev, whose tags everybody has; for the public ranking, without points."""

from __future__ import annotations

from typing import Any

from grader.assignment import Stage
from grader.stages.base import Grading
from grader.stages.tagging import score_on


def run(grading: Grading, stage: Stage) -> dict[str, Any]:
    return score_on(grading, stage, grading.assignment.data_file(stage.gold))
