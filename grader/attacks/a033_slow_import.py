"""Spends its time in an import. Held: it counts, and the message names the stage."""

from grader.attacks.case import MAJORITY

VERDICT = ("timeout",)


def attack(case):
    slow = {"code/tag.py": "import slow\n" + MAJORITY.replace("from __future__ import annotations", "")}
    result = case.grade({**slow, "code/slow.py": "import time; time.sleep(600)"}, wall=1.5)
    stage = result["stages"][0]
    case.held(stage["verdict"] == "timeout" and "longer" in stage["message"], str(stage))
    return result["verdict"], f"{stage['title']}: {stage['message']}"
