"""Sleeps, or computes, for ever. Held: `timeout` by wall and by CPU; earlier stages keep their points."""

from grader.attacks.case import when_tagging

VERDICT = ("timeout",)


def attack(case):
    for code in ("import time; time.sleep(1000)", "while True: pass"):
        result = case.grade({"code/tag.py": when_tagging(code)}, wall=3)
        case.held(result["verdict"] == "timeout", f"{code}: {result['verdict']}")
        case.held(result["points"] == 10, f"the training kept {result['points']} points")
    ran = case.run("while True: pass", cpu=0.5)
    case.held(ran.outcome.verdict == "timeout" and ran.outcome.wall < 10, f"by CPU: {ran.outcome}")
    return result["verdict"], "by the clock and by CPU; the training's points stay"
