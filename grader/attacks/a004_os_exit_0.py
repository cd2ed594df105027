"""`os._exit(0)` at import, or in place of tagging. Held: missing predictions are never a pass."""

from grader.attacks.case import when_tagging

VERDICT = ("missing_file",)


def attack(case):
    for code in ("import os; os._exit(0)", when_tagging("import os; os._exit(0)")):
        result = case.grade({"code/tag.py": code})
        case.held(result["scores"].get("toytest") is None and result["score"] <= 10, f"score {result['score']}")
    return result["verdict"], "no output, no points for tagging"
